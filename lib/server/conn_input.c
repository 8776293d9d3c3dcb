#include <errno.h>
#include <sys/socket.h>

#include "server/conn_parts.h"

/* Of one connection in one turn, so that an upload leaves time for others. */
#define READS_PER_EVENT 8

/* What a client may go on sending after its last answer: with the time for it,
 * a bound on the work. */
#define LINGER_BYTES ((uint32_t)16 * 1024 * 1024)

/* ---- Refusing ----------------------------------------------------------- */

static void
log_refusal(const wsgi__conn *conn, int code, const char *reason)
{
    const wsgi__request *req = wsgi__parser_request(conn->x->parser);
    const wsgi__log *log = conn->set->log;
    wsgi__buf text;

    if (!wsgi__log_wants(log, WSGI_LOG_INFO))
        return;
    wsgi__buf_init(&text, (size_t)8 * 1024);
    if (req->method.len) {
        wsgi__buf_puts(&text, " (");
        wsgi__buf_escape(&text, req->method);
        wsgi__buf_puts(&text, req->target.len ? " " : "");
        wsgi__buf_escape(&text, req->target);
        wsgi__buf_puts(&text, ")");
    }
    wsgi__log_printf(log, WSGI_LOG_INFO, "%d %s to %s: %s%s", code,
                     wsgi__response_phrase(code), wsgi__conn_peer_name(conn),
                     reason ? reason : "", wsgi__buf_str(&text));
    wsgi__buf_free(&text);
}

/* Answers in the application's place; nothing further is read as a request. */
void
wsgi__conn_refuse(wsgi__conn *conn, int code, const char *reason)
{
    wsgi__conns *set = conn->set;
    log_refusal(conn, code, reason);
    if (wsgi__answer_error(conn->x, code, reason, &set->style, &conn->out) <
        0) {
        wsgi__conn_close(conn);
        return;
    }
    wsgi__conn_trace_page(conn, wsgi__buf_span(&set->scratch));
    wsgi__conn_enter(conn, WSGI__CONN_RUN);
    wsgi__conn_mark_unflushed(conn);
}

/* ---- Input -------------------------------------------------------------- */

static void
begin(wsgi__conn *conn)
{
    wsgi__exchange *x = wsgi__conns_take_exchange(conn->set, conn);
    if (!x) {
        wsgi__log_printf(conn->set->log, WSGI_LOG_ERROR,
                         "out of memory for a request; closing its "
                         "connection");
        wsgi__conn_close(conn);
        return;
    }
    conn->x = x;
}

/* A Unix socket has no name and port; the client knows what it asked for. */
static void
name_from_host(wsgi__conn_info *info, wsgi__span host)
{
    const char *colon = NULL;
    info->server_name = host.len ? host : WSGI__SPAN("localhost");
    info->server_port = WSGI__SPAN("80");
    for (size_t i = host.len; i > 0 && host.ptr[i - 1] != ']'; i--)
        if (host.ptr[i - 1] == ':')
            colon = host.ptr + i - 1;
    if (!colon)
        return;
    size_t len = (size_t)(colon - host.ptr);
    info->server_name.len = len;
    if (len + 1 < host.len)
        info->server_port = (wsgi__span){ colon + 1, host.len - len - 1 };
}

static void
describe(wsgi__conn *conn, const wsgi__request *req)
{
    wsgi__conn_info *info = &conn->x->info;
    if (conn->x->described)
        return;
    *info = (wsgi__conn_info){
        .remote_addr = wsgi__span_of(conn->peer.host),
        .remote_port = wsgi__span_of(conn->peer.port),
        .server_name = wsgi__span_of(conn->self.host),
        .server_port = wsgi__span_of(conn->self.port),
        .script_name = conn->set->script_name,
    };
    conn->x->described = !conn->listener->is_unix;
    if (conn->listener->is_unix)
        name_from_host(info, req->host);
}

static void
note_begin(wsgi__conn *conn)
{
    if (conn->x->began)
        return;
    conn->x->began = true;
    conn->x->began_ms = wsgi__loop_now(conn->set->loop);
    conn->x->began_us = wsgi__access_clock(&conn->set->access);
}

/* A client that brings a byte now and then would hold a connection for ever. */
static bool
is_too_slow(const wsgi__conn *conn)
{
    const wsgi__conns *set = conn->set;
    uint64_t ms = wsgi__loop_now(set->loop) - conn->x->body_since;
    if (set->min_body_rate == 0 || ms <= set->timeouts.body)
        return false;
    return (uint64_t)conn->x->body.len * 1000 / ms <
           (uint64_t)set->min_body_rate;
}

static void
on_more(wsgi__conn *conn)
{
    if (conn->state == WSGI__CONN_BODY && is_too_slow(conn)) {
        wsgi__conn_refuse(conn, 408, "the request body came too slowly");
        return;
    }
    /* The time for a head runs from its first byte, that for a body from its
     * last. */
    bool first = !conn->x->began && wsgi__parser_started(conn->x->parser);
    if (first)
        note_begin(conn);
    if (first || conn->state == WSGI__CONN_BODY)
        wsgi__conn_arm(conn);
}

static void
on_head(wsgi__conn *conn, bool more_input)
{
    const wsgi__request *req = wsgi__parser_request(conn->x->parser);
    note_begin(conn);
    wsgi__conn_trace(conn, WSGI_TRACE_REQUEST_HEAD,
                     wsgi__buf_span(&req->head));
    describe(conn, req);
    if (!wsgi__request_has_body(req))
        return;
    /* RFC 9110 10.1.1: may be left out where the body comes already. */
    if (req->expect_continue && !more_input) {
        wsgi__span go_on = WSGI__CONTINUE;
        wsgi__conn_trace(conn, WSGI_TRACE_RESPONSE_HEAD, go_on);
        /* Who waits for it would wait in vain. */
        if (!wsgi__conn_queued(
                conn, wsgi__outq_copy(&conn->out, go_on.ptr, go_on.len)))
            return;
        wsgi__conn_mark_unflushed(conn);
    }
    wsgi__body_expect(&conn->x->body, req->content_length);
    conn->x->body_since = wsgi__loop_now(conn->set->loop);
    wsgi__conn_enter(conn, WSGI__CONN_BODY);
}

static int
body_failure(int status)
{
    if (status == WSGI_ERR_NOMEM)
        return 503;
    return errno == ENOSPC || errno == EDQUOT ? 507 : 500;
}

static void
on_body(wsgi__conn *conn)
{
    wsgi__span bytes = wsgi__parser_body(conn->x->parser);
    wsgi__conn_trace(conn, WSGI_TRACE_REQUEST_BODY, bytes);
    int status = wsgi__body_append(&conn->x->body, bytes.ptr, bytes.len);
    if (status == WSGI_OK)
        return;
    int code = body_failure(status);
    wsgi__log_printf(
        conn->set->log, WSGI_LOG_ERROR, "cannot store a request body: %s",
        status == WSGI_ERR_NOMEM ? wsgi_strerror(status) : strerror(errno));
    wsgi__conn_refuse(conn, code, "the request body cannot be stored");
}

static void
on_request(wsgi__conn *conn)
{
    wsgi__exchange *x = conn->x;
    wsgi__executor *ex = conn->set->executor;
    x->job.req = wsgi__parser_request(x->parser);
    x->job.conn = &x->info;
    x->job.body = &x->body;
    x->job.events = &wsgi__conn_job_events;
    wsgi__conn_enter(conn, WSGI__CONN_RUN);
    if (conn->state == WSGI__CONN_CLOSED || wsgi__conn_answer_page(conn))
        return;
    x->submitted = true;
    ex->ops->submit(ex, &x->job);
}

/* Returns how much of the input was used: all of it, but for what follows a
 * complete request. */
static size_t
parse(wsgi__conn *conn, const char *data, size_t len)
{
    size_t used = 0;
    while (wsgi__conn_is_reading(conn)) {
        size_t n;
        if (!conn->x)
            begin(conn);
        if (!conn->x)
            break;
        wsgi__parser *parser = conn->x->parser;
        wsgi__event event =
            wsgi__parser_feed(parser, data + used, len - used, &n);
        used += n;
        switch (event) {
        case WSGI__EV_MORE:
            on_more(conn);
            return used;
        case WSGI__EV_HEAD:
            on_head(conn, used < len);
            break;
        case WSGI__EV_BODY:
            on_body(conn);
            break;
        case WSGI__EV_END:
            on_request(conn);
            break;
        case WSGI__EV_ERROR:
            wsgi__conn_refuse(conn, wsgi__parser_status(parser),
                              wsgi__parser_reason(parser));
            break;
        }
    }
    return used;
}

/* Whether another request may come after the one that was parsed last. */
static bool
has_next(const wsgi__exchange *x)
{
    return x->submitted || x->plan.keep_alive;
}

static void
take_input(wsgi__conn *conn, const char *data, size_t len)
{
    size_t used = parse(conn, data, len);
    bool pipelined = conn->x && has_next(conn->x);
    if (used == len || conn->state == WSGI__CONN_CLOSED || !pipelined)
        return;
    if (wsgi__buf_append(&conn->input, data + used, len - used) < 0)
        wsgi__conn_close(conn);
}

static void
end_of_input(wsgi__conn *conn, ssize_t result)
{
    if (result == WSGI__FAILED)
        wsgi__conn_trace_text(conn, "cannot read: %s", strerror(errno));
    else if (!wsgi__conn_is_idle(conn))
        wsgi__conn_trace_text(conn,
                              "the client stopped in the middle of a request");
    wsgi__conn_close(conn);
}

void
wsgi__conn_read(wsgi__conn *conn)
{
    char *input = conn->set->input;
    if (conn->parsed < conn->input.len) { /* first things first */
        wsgi__conn_continue(conn);
        return;
    }
    for (int i = 0; i < READS_PER_EVENT && wsgi__conn_is_reading(conn); i++) {
        ssize_t n =
            conn->stream.ops->read(&conn->stream, input, WSGI__INPUT_SIZE);
        if (n == WSGI__WANT_READ || n == WSGI__WANT_WRITE)
            return;
        if (n <= 0) {
            end_of_input(conn, n);
            return;
        }
        wsgi__count_add(&conn->set->score->bytes_in, (uint64_t)n);
        take_input(conn, input, (size_t)n);
        /* Less than asked for: there is hardly more. */
        if ((size_t)n < WSGI__INPUT_SIZE)
            return;
    }
}

/* An end of the input does not tell a client that left from one that only has
 * said all.  Whoever has to wait is taken for the first. */
void
wsgi__conn_note_leaving(wsgi__conn *conn)
{
    wsgi__executor *ex = conn->set->executor;
    char byte;
    if (conn->x && conn->x->submitted && conn->parsed == conn->input.len &&
        recv(conn->stream.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
        ex->ops->leaving(ex, &conn->x->job);
}

void
wsgi__conn_drop_input(wsgi__conn *conn)
{
    ssize_t n = conn->stream.ops->read(&conn->stream, conn->set->input,
                                       WSGI__INPUT_SIZE);
    if (n == WSGI__WANT_READ || n == WSGI__WANT_WRITE)
        return;
    if (n > 0)
        conn->lingered += (uint32_t)n;
    if (n <= 0 || conn->lingered > LINGER_BYTES)
        wsgi__conn_close(conn);
}

void
wsgi__conn_continue(wsgi__conn *conn)
{
    /* What waited for its turn may have been read meanwhile. */
    if (!wsgi__conn_is_reading(conn) || conn->parsed == conn->input.len)
        return;
    conn->parsed += parse(conn, conn->input.data + conn->parsed,
                          conn->input.len - conn->parsed);
    if (conn->parsed < conn->input.len)
        return;
    wsgi__buf_free(&conn->input);
    conn->parsed = 0;
}
