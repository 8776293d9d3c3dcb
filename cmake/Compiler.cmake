# wsgi_compiler: warnings and sanitizers for everything that is ours.
# wsgi_warnings: the former alone.
add_library(wsgi_warnings INTERFACE)
target_compile_options(wsgi_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow
  -Wstrict-prototypes -Wmissing-prototypes)
if(WSGI_WERROR)
  target_compile_options(wsgi_warnings INTERFACE -Werror)
endif()
add_library(wsgi_compiler INTERFACE)
target_link_libraries(wsgi_compiler INTERFACE wsgi_warnings)
if(WSGI_SANITIZE)
  target_compile_options(wsgi_compiler INTERFACE
    -fsanitize=${WSGI_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
  target_link_options(wsgi_compiler INTERFACE -fsanitize=${WSGI_SANITIZE})
endif()
