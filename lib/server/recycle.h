/*
 * When a worker has served enough: by the number of its requests, its age or its
 * memory it asks the supervisor for another in its place.  For serve.c; nothing
 * for a server without a worker.
 */
#ifndef WSGI_SERVER_RECYCLE_H
#define WSGI_SERVER_RECYCLE_H

#include "server/server.h"

/* The server begins to serve. */
void wsgi__recycle_begin(wsgi_server *server);

/* To be called once a turn. */
void wsgi__recycle_by_requests(wsgi_server *server);

/* To be called now and then: it asks the kernel. */
void wsgi__recycle_by_age_and_size(wsgi_server *server);

#endif
