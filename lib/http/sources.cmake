target_sources(wsgi_objects PRIVATE
  http/body.c
  http/chars.c
  http/chunked.c
  http/date.c
  http/fields.c
  http/head.c
  http/model.c
  http/parser.c
  http/request.c
  http/response.c
  http/response_check.c
  http/target.c
  http/vars.c)
