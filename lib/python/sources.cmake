target_sources(wsgi_objects PRIVATE
  python/appspec.c
  python/callable.c
  python/gil.c
  python/hints.c
  python/importer.c
  python/interpreter.c
  python/loading.c
  python/module.c
  python/text.c
  python/traceback.c
  python/venv.c)
