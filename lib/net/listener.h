/*
 * A listening socket: made from an address, or adopted; accepts connections.
 *
 * Does not watch itself: its owner embeds the wsgi__io.  Accepted sockets are
 * non-blocking, close-on-exec and, on TCP, without Nagle's delay.
 */
#ifndef WSGI_NET_LISTENER_H
#define WSGI_NET_LISTENER_H

#include <stdbool.h>

#include "base/buf.h"
#include "net/address.h"
#include "net/loop.h"
#include "net/unix_socket.h"

typedef struct wsgi__listener_options {
    int backlog;
    bool reuse_port;
    mode_t socket_mode;
} wsgi__listener_options;

typedef struct wsgi__listener {
    wsgi__io io;   /* io.fd is the socket; ready is the owner's to set */
    void *owner;   /* the owner's */
    char *text;    /* "127.0.0.1:8888", "[::1]:80", "unix:/run/x", "unix:@x" */
    bool is_unix;  /* peers have no address */
    bool wildcard; /* 0.0.0.0 or ::: ask the connection for its address */
    wsgi__endpoint self;
    wsgi__unix_file file; /* of a Unix socket that was made here */
} wsgi__listener;

/* Makes a socket, binds it and listens: every address a host name resolves to
 * is tried in turn, the first that binds is taken; ":port" listens on IPv6 and
 * IPv4 at once where the machine has both, while "[::]:port" is IPv6 alone, so
 * that it goes together with "0.0.0.0:port".  A Unix socket left behind by a dead
 * server is replaced, one that is answered is WSGI_ERR_BIND, anything else at
 * the path is left alone (WSGI_ERR_BIND).
 * WSGI_ERR_ADDRESS (cannot be resolved), WSGI_ERR_BIND, WSGI_ERR_NOMEM; error
 * has a sentence with the remedy (port in use, privileged port, path whose
 * folder is missing, ...). */
int wsgi__listener_open(const wsgi__address *address,
                        const wsgi__listener_options *options,
                        wsgi__listener **listener, wsgi__buf *error);

/* Takes a socket that is bound (listen is called on it).  WSGI_ERR_INVALID
 * when it is no stream socket of IP or Unix, is connected or not bound;
 * WSGI_ERR_SYSTEM, WSGI_ERR_NOMEM.  fd then stays the caller's. */
int wsgi__listener_adopt(int fd, const wsgi__listener_options *options,
                         wsgi__listener **listener, wsgi__buf *error);

/* The file of a Unix socket that was adopted is removed as if it had been made
 * here.  WSGI_ERR_NOMEM. */
int wsgi__listener_own(wsgi__listener *listener);

/* Stops listening: new clients are refused.  Removes the file of a Unix socket
 * that open made, unless forked processes go on with it: unlink_file says, and
 * may say so later, when it is called again or freed.  What describes the listener stays, for connections that came through it. */
void wsgi__listener_close(wsgi__listener *listener, bool unlink_file);

/* Closes and frees. */
void wsgi__listener_free(wsgi__listener *listener, bool unlink_file);

/* A new connection's fd, or -1 with errno: EAGAIN when there is none, EMFILE,
 * ENFILE, ENOBUFS or ENOMEM when the machine is short; connections that failed
 * before they were accepted are passed over (a bounded number of them, then it
 * is EAGAIN too). */
int wsgi__listener_accept(wsgi__listener *listener, wsgi__endpoint *peer);

#endif
