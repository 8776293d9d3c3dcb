#include <stdarg.h>
#include <stdio.h>

#include "server/conn_parts.h"

void
wsgi__conn_trace(const wsgi__conn *conn, wsgi_trace_kind kind,
                 wsgi__span bytes)
{
    if (conn->set->trace && bytes.len > 0)
        conn->set->trace(conn->set->trace_user, kind, conn->number, bytes.ptr,
                         bytes.len);
}

void __attribute__((format(printf, 2, 3)))
wsgi__conn_trace_text(const wsgi__conn *conn, const char *format, ...)
{
    char text[256];
    va_list args;

    if (!conn->set->trace)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    wsgi__conn_trace(conn, WSGI_TRACE_TEXT, wsgi__span_of(text));
}

/* A page of the server's own is one piece: head, empty line, body. */
void
wsgi__conn_trace_page(const wsgi__conn *conn, wsgi__span page)
{
    const char *end = memmem(page.ptr, page.len, "\r\n\r\n", 4);
    size_t head = end ? (size_t)(end - page.ptr) + 4 : page.len;
    wsgi__conn_trace(conn, WSGI_TRACE_RESPONSE_HEAD,
                     (wsgi__span){ page.ptr, head });
    wsgi__conn_trace(conn, WSGI_TRACE_RESPONSE_BODY,
                     (wsgi__span){ page.ptr + head, page.len - head });
}

void
wsgi__conn_trace_chunk(const wsgi__conn *conn, const wsgi__chunk *chunk)
{
    if (chunk->data)
        wsgi__conn_trace(conn, WSGI_TRACE_RESPONSE_BODY,
                         (wsgi__span){ chunk->data, chunk->len });
    else
        wsgi__conn_trace_text(conn, "a file of %lld bytes follows",
                              (long long)chunk->file_len);
}

/* For messages: a client on a Unix socket has no address. */
const char *
wsgi__conn_peer_name(const wsgi__conn *conn)
{
    return *conn->peer.host ? conn->peer.host : "unix:";
}
