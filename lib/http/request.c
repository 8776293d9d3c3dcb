#include "http/request.h"

#include <stdint.h>

#include <wsgi/wsgi.h>

#include "base/mem.h"

#define FIRST_HEADERS 16
/* More than this is given back after the request that needed it, so that one
 * large head does not stay with an idle connection. */
#define MAX_KEPT (16 * 1024)

void
wsgi__request_init(wsgi__request *req, size_t max_head)
{
    *req = (wsgi__request){ .minor = 1, .content_length = -1 };
    wsgi__buf_init(&req->head, max_head);
}

void
wsgi__request_reset(wsgi__request *req)
{
    if (req->head.cap > MAX_KEPT)
        wsgi__buf_free(&req->head);
    wsgi__buf_reset(&req->head);
    if (req->cap_headers > MAX_KEPT / sizeof(wsgi__header)) {
        wsgi__mem_free(req->headers);
        req->headers = NULL;
        req->cap_headers = 0;
    }
    *req = (wsgi__request){ .head = req->head,
                            .headers = req->headers,
                            .cap_headers = req->cap_headers,
                            .minor = 1,
                            .content_length = -1 };
}

void
wsgi__request_free(wsgi__request *req)
{
    wsgi__buf_free(&req->head);
    wsgi__mem_free(req->headers);
    wsgi__request_init(req, req->head.max);
}

int
wsgi__request_grow(wsgi__request *req)
{
    if (req->cap_headers > SIZE_MAX / sizeof(wsgi__header) / 2)
        return WSGI_ERR_NOMEM;
    size_t cap = req->cap_headers ? req->cap_headers * 2 : FIRST_HEADERS;
    wsgi__header *headers =
        wsgi__mem_resize(req->headers, cap * sizeof(*headers));
    if (!headers)
        return WSGI_ERR_NOMEM;
    req->headers = headers;
    req->cap_headers = cap;
    return WSGI_OK;
}

const wsgi__header *
wsgi__request_header(const wsgi__request *req, wsgi__span lower)
{
    for (size_t i = 0; i < req->n_headers; i++)
        if (wsgi__span_is_nocase(req->headers[i].name, lower))
            return &req->headers[i];
    return NULL;
}
