/*
 * A server as the work of a supervised worker.  For serve.c; each function does
 * nothing for a server without one.
 */
#ifndef WSGI_SERVER_WORKER_SERVER_H
#define WSGI_SERVER_WORKER_SERVER_H

#include "server/server.h"

/* Watches for orders, and keeps the loop turning.  The loop exists.
 * WSGI_ERR_SYSTEM with errno, WSGI_ERR_NOMEM. */
int wsgi__worker_server_begin(wsgi_server *server);

/* It accepts connections. */
void wsgi__worker_server_ready(wsgi_server *server);

/* No orders any more. */
void wsgi__worker_server_end(wsgi_server *server);

/* Whether one of them has a thread free for the application.  For a server all
 * of whose threads are in calls: what it accepts has to wait. */
bool wsgi__worker_server_has_free_sibling(const wsgi_server *server);

/* Whether other processes go on accepting from the same sockets. */
bool wsgi__worker_server_has_siblings(const wsgi_server *server);

#endif
