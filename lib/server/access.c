#include "server/access.h"

#include <time.h>

/* Strings of one record: a head, more or less. */
#define LONGEST_TEXT ((size_t)1024 * 1024)

void
wsgi__access_init(wsgi__access_log *access)
{
    *access = (wsgi__access_log){ 0 };
    wsgi__buf_init(&access->text, LONGEST_TEXT);
}

void
wsgi__access_free(wsgi__access_log *access)
{
    wsgi__buf_free(&access->text);
}

static uint64_t
now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t
wsgi__access_clock(const wsgi__access_log *access)
{
    return access->cb ? now_us() : 0;
}

/* ---- Strings ------------------------------------------------------------ */

/* The strings are written one after the other into a buffer that may move, so
 * they are kept as offsets until all are there. */
typedef enum text_of {
    T_REMOTE,
    T_METHOD,
    T_TARGET,
    T_PATH,
    T_QUERY,
    T_REFERER,
    T_USER_AGENT,
    N_TEXTS
} text_of;

static wsgi__span
field(const wsgi__request *req, wsgi__span lower)
{
    const wsgi__header *header = wsgi__request_header(req, lower);
    return header ? header->value : WSGI__SPAN("");
}

static int
write_remote(wsgi__buf *text, const wsgi__endpoint *peer)
{
    if (!*peer->host)
        return wsgi__buf_puts(text, "unix:");
    return strchr(peer->host, ':')
               ? wsgi__buf_printf(text, "[%s]:%s", peer->host, peer->port)
               : wsgi__buf_printf(text, "%s:%s", peer->host, peer->port);
}

static int
write_texts(wsgi__buf *text, const wsgi__request *req,
            const wsgi__endpoint *peer, size_t at[N_TEXTS])
{
    const wsgi__span spans[N_TEXTS] = {
        [T_METHOD] = req->method,
        [T_TARGET] = req->target,
        [T_PATH] = req->parts.path,
        [T_QUERY] = req->parts.query,
        [T_REFERER] = field(req, WSGI__SPAN("referer")),
        [T_USER_AGENT] = field(req, WSGI__SPAN("user-agent")),
    };
    int status = WSGI_OK;

    wsgi__buf_reset(text);
    for (int i = 0; i < N_TEXTS && status == WSGI_OK; i++) {
        at[i] = text->len;
        status = i == T_REMOTE
                     ? write_remote(text, peer)
                     : wsgi__buf_append(text, spans[i].ptr, spans[i].len);
        if (status == WSGI_OK)
            status = wsgi__buf_append(text, "", 1);
    }
    return status;
}

void
wsgi__access_write(wsgi__access_log *access, const wsgi__exchange *x,
                   const wsgi__endpoint *peer, int status)
{
    const wsgi__request *req = wsgi__parser_request(x->parser);
    size_t at[N_TEXTS];

    if (!access->cb || write_texts(&access->text, req, peer, at) < 0)
        return;
    const char *text = access->text.data;
    const wsgi_access record = {
        .size = sizeof(record),
        .remote = text + at[T_REMOTE],
        .method = text + at[T_METHOD],
        .target = text + at[T_TARGET],
        .path = text + at[T_PATH],
        .query = text + at[T_QUERY],
        .protocol = req->minor ? "HTTP/1.1" : "HTTP/1.0",
        .referer = text + at[T_REFERER],
        .user_agent = text + at[T_USER_AGENT],
        .status = status,
        .body_bytes = x->body_bytes,
        .duration_us = x->began_us ? now_us() - x->began_us : 0,
        .internal = x,
    };
    access->cb(access->user, &record);
}

/* ---- Header fields ------------------------------------------------------ */

static bool
same_name(wsgi__span name, const char *wanted)
{
    size_t i = 0;
    while (i < name.len && wanted[i] &&
           wsgi__ascii_lower(name.ptr[i]) == wsgi__ascii_lower(wanted[i]))
        i++;
    return i == name.len && !wanted[i];
}

static bool
find_in_request(const wsgi__request *req, const char *name, wsgi__span *value)
{
    for (size_t i = 0; i < req->n_headers; i++)
        if (same_name(req->headers[i].name, name)) {
            *value = req->headers[i].value;
            return true;
        }
    return false;
}

/* The head was made by wsgi__response_head(): "Name: value\r\n" lines. */
static bool
find_in_head(wsgi__span head, const char *name, wsgi__span *value)
{
    if (head.len == 0) /* the client left before there was one */
        return false;
    const char *line = head.ptr, *end = head.ptr + head.len;
    while (line < end) {
        const char *stop = memchr(line, '\r', (size_t)(end - line));
        if (!stop || stop == line)
            return false;
        const char *colon = memchr(line, ':', (size_t)(stop - line));
        if (colon &&
            same_name((wsgi__span){ line, (size_t)(colon - line) }, name)) {
            *value = wsgi__span_trim(
                (wsgi__span){ colon + 1, (size_t)(stop - colon - 1) });
            return true;
        }
        line = stop + 2;
    }
    return false;
}

int64_t
wsgi_access_header(const wsgi_access *access, wsgi_header_of of,
                   const char *name, char *value, size_t size)
{
    const wsgi__exchange *x = access->internal;
    wsgi__span found;
    bool there =
        of == WSGI_HEADER_REQUEST
            ? find_in_request(wsgi__parser_request(x->parser), name, &found)
            : find_in_head(wsgi__buf_span(&x->head), name, &found);
    if (!there)
        return -1;
    if (size > 0) {
        size_t n = found.len < size ? found.len : size - 1;
        if (n)
            memcpy(value, found.ptr, n);
        value[n] = '\0';
    }
    return (int64_t)found.len;
}
