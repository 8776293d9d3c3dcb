/*
 * Addresses to listen on, as text and as sockaddr.  No socket is made here.
 */
#ifndef WSGI_NET_ADDRESS_H
#define WSGI_NET_ADDRESS_H

#include <sys/socket.h>

#include "base/buf.h"

typedef enum wsgi__address_kind {
    WSGI__ADDR_TCP,
    WSGI__ADDR_UNIX,
    WSGI__ADDR_ABSTRACT,
    WSGI__ADDR_FD
} wsgi__address_kind;

#define WSGI__ADDR_HOST_MAX 256
#define WSGI__ADDR_PORT_MAX 6
#define WSGI__ADDR_PATH_MAX 108 /* sun_path */

typedef struct wsgi__address {
    wsgi__address_kind kind;
    char host[WSGI__ADDR_HOST_MAX]; /* "": all interfaces */
    char port[WSGI__ADDR_PORT_MAX];
    char path[WSGI__ADDR_PATH_MAX]; /* of a Unix socket, without '@' */
    int fd;
} wsgi__address;

/* Reads "host:port", ":port", "[v6]:port", "unix:/path", "unix:@name",
 * "fd://N" ("fd:N" too).  Ports are numbers, 0 for any free one; a zone may
 * follow an IPv6 address ("[fe80::1%eth0]:80").  WSGI_ERR_ADDRESS with a
 * sentence in `error` that names the text, the fault and the form expected,
 * where a port alone or a host without one gets its own. */
int wsgi__address_parse(const char *text, wsgi__address *address,
                        wsgi__buf *error);

/* A socket's peer or own address in numbers.  host for a Unix socket is "" and
 * port "". */
typedef struct wsgi__endpoint {
    char host[46]; /* INET6_ADDRSTRLEN */
    char port[WSGI__ADDR_PORT_MAX];
} wsgi__endpoint;

/* IPv4-mapped IPv6 addresses are given as IPv4. */
void wsgi__endpoint_of(const struct sockaddr *sa, socklen_t len,
                       wsgi__endpoint *endpoint);

#endif
