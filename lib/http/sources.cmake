target_sources(wsgi_objects PRIVATE
  http/body.c
  http/parser.c
  http/request.c
  http/response.c
  http/target.c
  http/vars.c)
