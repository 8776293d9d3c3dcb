target_sources(wsgi_objects PRIVATE
  python/gil.c)
