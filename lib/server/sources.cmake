target_sources(wsgi_objects PRIVATE
  server/accept.c
  server/access.c
  server/answer.c
  server/conn.c
  server/conn_input.c
  server/conn_job.c
  server/conn_page.c
  server/conn_trace.c
  server/conns.c
  server/exchange.c
  server/executor.c
  server/health.c
  server/score.c
  server/serve.c
  server/server.c)
