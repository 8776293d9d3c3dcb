/*
 * From what the application says to bytes in an output queue: head, framing,
 * counting.  No socket, no Python: tested with a queue alone.
 *
 * Functions return WSGI_OK, or WSGI_ERR_NOMEM (WSGI_ERR_SYSTEM for a temporary
 * file that is full): the connection is then of no more use.
 */
#ifndef WSGI_SERVER_ANSWER_H
#define WSGI_SERVER_ANSWER_H

#include "base/log.h"
#include "http/date.h"
#include "net/outq.h"
#include "server/exchange.h"
#include "server/page.h"

/* What the head in the scratch was made of. */
typedef struct wsgi__head_made {
    uint64_t number; /* of the response; 0: of nothing that may come again */
    time_t when;
    wsgi__plan plan;
    int minor; /* of the request's version */
} wsgi__head_made;

/* What every answer of a server shares. */
typedef struct wsgi__answer_style {
    const wsgi__log *log;
    wsgi__span server;  /* Server field; empty: none */
    size_t high_water;  /* pending bytes from which write() spills */
    bool keep_head;     /* copy heads for the access log */
    bool keep_alive;    /* connections may stay open */
    wsgi__buf *scratch; /* for heads; the last one stays */
    wsgi__head_made *made;
    wsgi__date *date; /* of now, or of some time before */
} wsgi__answer_style;

int wsgi__answer_head(wsgi__exchange *x, const wsgi__response *res,
                      const wsgi__answer_style *style, wsgi__outq *out);

/* Sets x->abandoned when nothing further is wanted (HEAD, 204, more bytes than
 * Content-Length). */
int wsgi__answer_data(wsgi__exchange *x, wsgi__chunk *chunk,
                      const wsgi__answer_style *style, wsgi__outq *out);

/* Sets x->complete; x->plan.keep_alive is then what is to happen. */
int wsgi__answer_end(wsgi__exchange *x, wsgi__end how,
                     const wsgi__answer_style *style, wsgi__outq *out);

/* A page of the server's own, whole; bytes are copied. */
int wsgi__answer_page(wsgi__exchange *x, const wsgi__page *page,
                      const wsgi__answer_style *style, wsgi__outq *out);

/* The server's own answer, and the end of the connection.  reason may be
 * NULL. */
int wsgi__answer_error(wsgi__exchange *x, int code, const char *reason,
                       const wsgi__answer_style *style, wsgi__outq *out);

#endif
