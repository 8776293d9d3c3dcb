/*
 * One request and its answer: what a connection needs only while it is busy.
 *
 * An idle connection has none, which is what keeps it small.  No socket here:
 * bytes come from the connection and go to its output queue.
 */
#ifndef WSGI_SERVER_EXCHANGE_H
#define WSGI_SERVER_EXCHANGE_H

#include "http/body.h"
#include "http/parser.h"
#include "http/response.h"
#include "http/vars.h"
#include "server/executor.h"

typedef struct wsgi__exchange {
    wsgi__parser *parser;
    wsgi__body body;
    wsgi__conn_info info;
    wsgi__job job;
    void *conn; /* whose exchange it is; in the pool: whose heads it
                 * remembers, or NULL */
    struct wsgi__exchange *prev, *next; /* in the pool */

    /* The answer; see answer.h. */
    wsgi__plan plan;
    int64_t left;     /* bytes still to come of plan.length; -1: unknown */
    wsgi__body spill; /* what write() gave while the output was full */
    wsgi__buf head;   /* a copy of the response head, for the access log */
    int code;         /* 0: nothing answered yet */
    uint64_t body_bytes;
    uint64_t began_us;   /* when the first byte came; 0: nobody asked */
    uint64_t began_ms;   /* the same by the loop's clock */
    uint64_t body_since; /* loop's milliseconds at the end of the head */

    bool described; /* info is that of conn, which it is still in the pool */
    bool began;     /* its first byte has come */
    bool submitted; /* the executor has the job: until done */
    bool complete;  /* all of the answer is in the output queue */
    bool abandoned; /* the rest of what the application yields is dropped */
    bool orphan;    /* answered, and the job not done: its thread is stuck */
} wsgi__exchange;

/* As reset leaves it.  NULL when out of memory. */
wsgi__exchange *wsgi__exchange_new(const wsgi__parser_limits *limits,
                                   size_t body_in_memory);
void wsgi__exchange_free(wsgi__exchange *x);

/* For the next request; keeps small buffers. */
void wsgi__exchange_reset(wsgi__exchange *x);

#endif
