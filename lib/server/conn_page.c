#include "server/conn_parts.h"

static void
send_page(wsgi__conn *conn, const wsgi__page *page)
{
    wsgi__answer_style style = conn->set->style;

    /* Who is told to go away asks elsewhere next. */
    style.keep_alive = style.keep_alive && page->code < 500;
    if (!wsgi__conn_queued(
            conn, wsgi__answer_page(conn->x, page, &style, &conn->out)))
        return;
    wsgi__conn_trace(conn, WSGI_TRACE_RESPONSE_HEAD,
                     wsgi__buf_span(style.scratch));
    if (conn->x->body_bytes > 0)
        wsgi__conn_trace(conn, WSGI_TRACE_RESPONSE_BODY, page->body);
    wsgi__conn_mark_unflushed(conn);
}

bool
wsgi__conn_answer_page(wsgi__conn *conn)
{
    wsgi__pages *pages = conn->set->pages;
    wsgi__page page;

    if (!pages ||
        !pages->find(pages, wsgi__parser_request(conn->x->parser), &page))
        return false;
    send_page(conn, &page);
    return true;
}
