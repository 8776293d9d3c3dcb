target_sources(wsgi_objects PRIVATE
  net/address.c
  net/listener.c
  net/loop.c
  net/loop_epoll.c
  net/loop_poll.c
  net/outq.c
  net/stream.c
  net/unix_socket.c)
