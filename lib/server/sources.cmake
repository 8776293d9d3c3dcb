target_sources(wsgi_objects PRIVATE
  server/server.c)
