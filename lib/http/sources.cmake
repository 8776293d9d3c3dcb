target_sources(wsgi_objects PRIVATE
  http/body.c
  http/date.c
  http/vars.c)
