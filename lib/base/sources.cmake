target_sources(wsgi_objects PRIVATE
  base/buf.c
  base/log.c
  base/mem.c
  base/option_name.c
  base/option_text.c
  base/options.c
  base/status.c)
