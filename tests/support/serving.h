/*
 * A server of an application from source text, on a free port of loopback, and
 * the simplest of clients.  The interpreter is started (support/python.h).
 */
#ifndef WSGI_SUPPORT_SERVING_H
#define WSGI_SUPPORT_SERVING_H

#include <wsgi/wsgi.h>

/* `app` of the module `served`, which has that source.  Logs nothing.  The GIL
 * is held. */
wsgi_server *serving_new(const char *source);

/* The next functions need no GIL, and fail the test when they cannot. */

/* A new connection to its first address. */
int serving_connect(const wsgi_server *server);

/* Asks and reads until the server closes; the whole answer with a NUL, to be
 * freed by the caller. */
char *serving_ask(const wsgi_server *server, const char *target);

/* Reads until the server closes, closes fd; to be freed by the caller. */
char *serving_read(int fd);

#endif
