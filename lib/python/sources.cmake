target_sources(wsgi_objects PRIVATE
  python/app.c
  python/call.c
  python/environ.c
  python/errors.c
  python/file_wrapper.c
  python/input.c
  python/start_response.c)
