/*
 * One request head, as received, as data.  Pure.
 *
 * Filled by http/parser; read by everybody else.  Spans point into `head`, so
 * they live as long as the request is neither reset nor freed.
 */
#ifndef WSGI_HTTP_REQUEST_H
#define WSGI_HTTP_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"
#include "http/target.h"

typedef struct wsgi__header {
    wsgi__span name, value; /* value without the blanks around it */
} wsgi__header;

/*
 * How a head resembles its model, one that came before on its connection: the
 * same names in the same order, and the same values but where `changed` says
 * so.  What was made of the model's other fields may be used again.
 */
typedef struct wsgi__likeness {
    uint64_t model;   /* its number, unique in the process; 0: none */
    uint64_t changed; /* 1 << i for headers[i] */
    bool is_model;    /* this is the first head with that number */
    bool same_line;   /* the request line is the model's, too */
} wsgi__likeness;

/* A head of more fields has no model. */
#define WSGI__LIKENESS_FIELDS 64

typedef struct wsgi__request {
    wsgi__buf head;            /* owns the bytes of every span below */
    wsgi__span method, target; /* as received */
    wsgi__target parts;        /* of the target */
    wsgi__span host; /* authority of an absolute-form target, else Host; may
                      * be empty */
    int minor;       /* HTTP/1.minor: 0, or 1 for every later one */
    wsgi__header *headers;
    size_t n_headers, cap_headers;
    int64_t content_length; /* -1: none given */
    bool chunked;
    bool keep_alive;      /* what version and Connection allow */
    bool expect_continue; /* Expect: 100-continue, on 1.1 */
    wsgi__likeness like;
} wsgi__request;

/* max_head bounds the bytes that are kept.  Allocates nothing. */
void wsgi__request_init(wsgi__request *req, size_t max_head);
/* Keeps the memory, but gives a buffer of more than 16 KiB back. */
void wsgi__request_reset(wsgi__request *req);
void wsgi__request_free(wsgi__request *req);

/* Room for more headers.  WSGI_ERR_NOMEM. */
int wsgi__request_grow(wsgi__request *req);

/* Adds a header.  WSGI_ERR_NOMEM. */
static inline int
wsgi__request_add(wsgi__request *req, wsgi__span name, wsgi__span value)
{
    if (req->n_headers == req->cap_headers) {
        int status = wsgi__request_grow(req);
        if (status < 0)
            return status;
    }
    req->headers[req->n_headers++] = (wsgi__header){ name, value };
    return 0;
}

/* The first header of that name, which is given in lower case, or NULL. */
const wsgi__header *wsgi__request_header(const wsgi__request *req,
                                         wsgi__span lower);

/* Whether a body follows the head (RFC 9112 6.3). */
static inline bool
wsgi__request_has_body(const wsgi__request *req)
{
    return req->chunked || req->content_length > 0;
}

static inline bool
wsgi__request_is_head(const wsgi__request *req)
{
    return wsgi__span_eq(req->method, WSGI__SPAN("HEAD"));
}

#endif
