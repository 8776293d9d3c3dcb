/*
 * Connections from a server's listeners: as many as it may have, with a rest
 * where the machine is short of descriptors or memory.  On the loop's thread;
 * the loop exists.  For serve.c.
 */
#ifndef WSGI_SERVER_ACCEPT_H
#define WSGI_SERVER_ACCEPT_H

#include "server/server.h"

/* Prepares the listeners; none is watched yet. */
void wsgi__accept_init(wsgi_server *server);

/* Begins, pauses and goes on by the number of connections, while the server
 * accepts.  To be called once a turn. */
void wsgi__accept_regulate(wsgi_server *server);

/* Looks for connections without having been woken, if it accepts. */
void wsgi__accept_look(wsgi_server *server);

/* Takes what the kernel has established already, as those clients know nothing
 * of a stop, and ends accepting.  With siblings only what may have woken this server and nobody
 * else. */
void wsgi__accept_remaining(wsgi_server *server);

/* Stops listening: from here on clients are refused by the kernel, and a load
 * balancer or the next server on the same address gets them. */
void wsgi__accept_end(wsgi_server *server);

#endif
