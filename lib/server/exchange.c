#include "server/exchange.h"

#include "base/mem.h"

/* An application's head is bounded by what start_response accepts; the copy
 * for the access log by this. */
#define LONGEST_HEAD_COPY ((size_t)64 * 1024)

wsgi__exchange *
wsgi__exchange_new(const wsgi__parser_limits *limits, size_t body_in_memory)
{
    wsgi__exchange *x = wsgi__mem_zero(1, sizeof(*x));
    if (!x)
        return NULL;
    x->parser = wsgi__parser_new(limits);
    if (!x->parser) {
        wsgi__mem_free(x);
        return NULL;
    }
    wsgi__body_init(&x->body, body_in_memory);
    wsgi__body_init(&x->spill, 0);
    wsgi__buf_init(&x->head, LONGEST_HEAD_COPY);
    x->left = -1;
    return x;
}

void
wsgi__exchange_free(wsgi__exchange *x)
{
    if (!x)
        return;
    wsgi__parser_free(x->parser);
    wsgi__body_free(&x->body);
    wsgi__body_free(&x->spill);
    wsgi__buf_free(&x->head);
    wsgi__mem_free(x);
}

void
wsgi__exchange_reset(wsgi__exchange *x)
{
    wsgi__parser_reset(x->parser);
    wsgi__body_reset(&x->body);
    wsgi__body_reset(&x->spill);
    wsgi__buf_reset(&x->head);
    x->job = (wsgi__job){ 0 };
    x->plan = (wsgi__plan){ 0 };
    x->left = -1;
    x->code = 0;
    x->body_bytes = 0;
    x->began_us = 0;
    x->began = x->submitted = x->complete = x->abandoned = x->orphan = false;
}
