target_sources(wsgi_objects PRIVATE
  http/chars.c
  http/chunked.c
  http/fields.c
  http/head.c
  http/parser.c
  http/request.c
  http/target.c)
