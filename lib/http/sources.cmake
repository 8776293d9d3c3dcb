target_sources(wsgi_objects PRIVATE
  http/date.c)
