/*
 * Pages of the server's own: answers that need no application.
 *
 * What a request gets is decided here, by whoever has pages to give; how it
 * reaches the client is the business of a connection.  No I/O.
 */
#ifndef WSGI_SERVER_PAGE_H
#define WSGI_SERVER_PAGE_H

#include "http/request.h"

typedef struct wsgi__page {
    int code;
    wsgi__span status; /* "200 OK" */
    wsgi__span type;   /* Content-Type */
    wsgi__span allow;  /* of a 405; else empty */
    wsgi__span body;   /* valid until the next page is asked for */
} wsgi__page;

/* Embedded in its owner. */
typedef struct wsgi__pages wsgi__pages;
struct wsgi__pages {
    /* On the loop's thread.  false: there is none for this request. */
    bool (*find)(wsgi__pages *pages, const wsgi__request *req,
                 wsgi__page *page);
};

/* A page of plain text. */
#define WSGI__PAGE_TEXT(code_, status_, body_)                                \
    (wsgi__page)                                                              \
    {                                                                         \
        .code = (code_), .status = WSGI__SPAN_INIT(status_),                  \
        .type = WSGI__SPAN_INIT("text/plain; charset=utf-8"),                 \
        .body = WSGI__SPAN_INIT(body_)                                        \
    }

/* A page can be read with GET and HEAD alone; else *page is the 405. */
static inline bool
wsgi__page_allows(const wsgi__request *req, wsgi__page *page)
{
    if (wsgi__span_eq(req->method, WSGI__SPAN("GET")) ||
        wsgi__request_is_head(req))
        return true;
    *page = WSGI__PAGE_TEXT(405, "405 Method Not Allowed",
                            "405 Method Not Allowed: use GET or HEAD\n");
    page->allow = WSGI__SPAN("GET, HEAD");
    return false;
}

#endif
