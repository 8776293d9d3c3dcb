#include "support/request.h"

#include <assert.h>
#include <stdlib.h>

static wsgi__header
header_of(const char *line)
{
    const char *colon = strchr(line, ':');
    assert(colon);
    return (wsgi__header){ { line, (size_t)(colon - line) },
                           wsgi__span_trim(wsgi__span_of(colon + 1)) };
}

static void
set_target(wsgi__request *req, const char *target, const char *authority)
{
    const char *path = target;
    if (authority) {
        path = strstr(target, "://");
        assert(path && strncmp(path + 3, authority, strlen(authority)) == 0);
        path += 3 + strlen(authority);
    }
    const char *query = strchr(path, '?');
    req->target = wsgi__span_of(target);
    req->parts.authority = wsgi__span_of(authority);
    req->parts.path = query ? (wsgi__span){ path, (size_t)(query - path) }
                            : wsgi__span_of(path);
    if (req->parts.path.len == 0)
        req->parts.path = WSGI__SPAN("/");
    req->parts.query = wsgi__span_of(query ? query + 1 : NULL);
    req->host = req->parts.authority;
}

static void
apply(wsgi__request *req, const wsgi__header *header)
{
    wsgi__span name = header->name;
    if (wsgi__span_is_nocase(name, WSGI__SPAN("host"))) {
        if (req->parts.authority.len == 0)
            req->host = header->value;
    } else if (wsgi__span_is_nocase(name, WSGI__SPAN("content-length"))) {
        req->content_length = atoll(header->value.ptr);
    } else if (wsgi__span_is_nocase(name, WSGI__SPAN("transfer-encoding"))) {
        req->chunked = true;
    } else if (wsgi__span_is_nocase(name, WSGI__SPAN("connection"))) {
        req->keep_alive =
            wsgi__span_is_nocase(header->value, WSGI__SPAN("keep-alive"));
    }
}

const wsgi__request *
request_fill(request_fake *fake, const request_text *text)
{
    wsgi__request *req = &fake->req;

    *req = (wsgi__request){ .minor = text->http_1_0 ? 0 : 1,
                            .headers = fake->headers,
                            .cap_headers = REQUEST_MAX_HEADERS,
                            .content_length = -1,
                            .keep_alive = !text->http_1_0 };
    req->method = wsgi__span_of(text->method ? text->method : "GET");
    set_target(req, text->target ? text->target : "/", text->authority);
    for (; text->headers[req->n_headers]; req->n_headers++) {
        fake->headers[req->n_headers] =
            header_of(text->headers[req->n_headers]);
        apply(req, &fake->headers[req->n_headers]);
    }
    return req;
}
