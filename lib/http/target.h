/*
 * The request-target (RFC 9112 3.2): which form, and its parts.  Pure.
 */
#ifndef WSGI_HTTP_TARGET_H
#define WSGI_HTTP_TARGET_H

#include "base/buf.h"
#include "base/span.h"

typedef struct wsgi__target {
    wsgi__span path;      /* as received; "/" for absolute-form without one;
                           * "*" for asterisk-form */
    wsgi__span query;     /* behind the first '?', raw; may be empty */
    wsgi__span authority; /* of absolute-form, else empty */
} wsgi__target;

/* Splits a target.  Spans point into it.  NULL on success, else the reason for
 * a 400: a byte outside 0x21-0x7E, a fragment, a form that the method does not
 * have (only OPTIONS has "*"), an authority that is none. */
const char *wsgi__target_parse(wsgi__span method, wsgi__span target,
                               wsgi__target *parts);

/* NULL when text is a host with an optional port (RFC 9110 4.2, 7.2), else the
 * reason for a 400.  The empty text is a valid Host (RFC 9112 3.2). */
const char *wsgi__target_check_host(wsgi__span text);

/* Appends the percent-decoded bytes, decoded once.  A '%' without two hex
 * digits stays as it is, as every peer leaves it.  WSGI_ERR_INVALID for a NUL
 * in the result, WSGI_ERR_NOMEM. */
int wsgi__target_decode(wsgi__span path, wsgi__buf *out);

#endif
