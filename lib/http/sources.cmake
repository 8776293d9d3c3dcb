target_sources(wsgi_objects PRIVATE
  http/body.c
  http/date.c
  http/response.c
  http/response_check.c
  http/vars.c)
