/*
 * The record of an answered request, for the access callback.  No I/O.
 */
#ifndef WSGI_SERVER_ACCESS_H
#define WSGI_SERVER_ACCESS_H

#include "net/address.h"
#include "server/exchange.h"

typedef struct wsgi__access_log {
    wsgi_access_cb cb; /* NULL: nobody wants records */
    void *user;
    wsgi__buf text; /* scratch: the strings of the record */
} wsgi__access_log;

void wsgi__access_init(wsgi__access_log *access);
void wsgi__access_free(wsgi__access_log *access);

/* Monotonic microseconds where records are wanted, else 0. */
uint64_t wsgi__access_clock(const wsgi__access_log *access);

/* Calls back with what is known of x; status is what the log shows.  Out of
 * memory, the record is left out. */
void wsgi__access_write(wsgi__access_log *access, const wsgi__exchange *x,
                        const wsgi__endpoint *peer, int status);

#endif
