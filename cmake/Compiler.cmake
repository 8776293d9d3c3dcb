# wsgi_compiler: warnings and sanitizers for everything that is ours.
add_library(wsgi_compiler INTERFACE)
target_compile_options(wsgi_compiler INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow
  -Wstrict-prototypes -Wmissing-prototypes)
if(WSGI_WERROR)
  target_compile_options(wsgi_compiler INTERFACE -Werror)
endif()
if(WSGI_SANITIZE)
  target_compile_options(wsgi_compiler INTERFACE
    -fsanitize=${WSGI_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
  target_link_options(wsgi_compiler INTERFACE -fsanitize=${WSGI_SANITIZE})
endif()
