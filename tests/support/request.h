/*
 * A request head from literals, without the parser.
 *
 *     static const request_text text = { .method = "GET", .target = "/",
 *                                        .headers = { "Host: a" } };
 *     request_fake fake;
 *     const wsgi__request *req = request_fill(&fake, &text);
 *
 * Allocates nothing: spans point into the literals, so there is nothing to
 * free.  What the parser would work out is worked out simply: path and query
 * of the target, host, content_length, chunked, keep_alive.
 */
#ifndef TESTS_SUPPORT_REQUEST_H
#define TESTS_SUPPORT_REQUEST_H

#include "http/request.h"

#define REQUEST_MAX_HEADERS 16

typedef struct request_text {
    const char *method;    /* NULL: "GET" */
    const char *target;    /* NULL: "/" */
    const char *authority; /* of an absolute-form target, or NULL */
    const char *headers[REQUEST_MAX_HEADERS + 1]; /* "Name: value" */
    bool http_1_0;
} request_text;

typedef struct request_fake {
    wsgi__request req;
    wsgi__header headers[REQUEST_MAX_HEADERS];
} request_fake;

/* Returns &fake->req. */
const wsgi__request *request_fill(request_fake *fake,
                                  const request_text *text);

#endif
