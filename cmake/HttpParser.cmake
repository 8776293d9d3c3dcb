# Debian ships no .pc file for http-parser.  Sets the target wsgi_http_parser.
find_path(HTTP_PARSER_INCLUDE_DIR http_parser.h REQUIRED)
find_library(HTTP_PARSER_LIBRARY http_parser REQUIRED)
mark_as_advanced(HTTP_PARSER_INCLUDE_DIR HTTP_PARSER_LIBRARY)

add_library(wsgi_http_parser INTERFACE)
target_include_directories(wsgi_http_parser SYSTEM INTERFACE ${HTTP_PARSER_INCLUDE_DIR})
target_link_libraries(wsgi_http_parser INTERFACE ${HTTP_PARSER_LIBRARY})
