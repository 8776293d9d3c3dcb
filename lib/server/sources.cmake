target_sources(wsgi_objects PRIVATE
  server/accept.c
  server/access.c
  server/answer.c
  server/conn.c
  server/conns.c
  server/exchange.c
  server/executor.c
  server/serve.c
  server/server.c)
