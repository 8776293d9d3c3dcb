/*
 * The header fields that the server itself acts on: Host, Content-Length,
 * Transfer-Encoding, Connection and Expect.  Pure: no I/O, no clock, no Python.
 *
 * Strict: what two servers could read differently is refused (RFC 9112 6.3,
 * 11.2).
 */
#ifndef WSGI_HTTP_FIELDS_H
#define WSGI_HTTP_FIELDS_H

#include "http/fault.h"
#include "http/request.h"

/* What was said so far and is no part of the request itself. */
typedef struct wsgi__fields {
    bool has_host, says_close, says_keep_alive, expects_other;
} wsgi__fields;

/* Whether the server acts on fields of that name. */
bool wsgi__fields_know(wsgi__span name);

/* Takes one field of the head into req.  Its request line must be known; the
 * value is trimmed. */
wsgi__fault wsgi__fields_add(wsgi__fields *fields, wsgi__request *req,
                             wsgi__span name, wsgi__span value);

/* What only the whole head can tell; sets host and keep_alive.  max_body 0: no
 * limit.  400, 413, 417. */
wsgi__fault wsgi__fields_end(const wsgi__fields *fields, wsgi__request *req,
                             int64_t max_body);

#endif
