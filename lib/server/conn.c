#include "server/conn.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/macros.h"

/* Of one connection in one turn, so that an upload leaves time for others. */
#define READS_PER_EVENT 8

/* After the last answer: how long, and how much, a client may go on sending
 * (RFC 9112 9.6).  Closing at once would reset the connection under the answer
 * it has not read yet. */
#define LINGER_MS 2000
#define LINGER_BYTES ((uint32_t)64 * 1024)

static void on_ready(wsgi__io *io, unsigned events);
static void on_expired(wsgi__timer *timer);
static void await_turn(wsgi__conn *conn);
static void next_request(wsgi__conn *conn);

static const wsgi__job_events job_events;

#define CONN_OF(member_ptr, member) WSGI__OWNER(member_ptr, wsgi__conn, member)

/* For messages: a client on a Unix socket has no address. */
static const char *
peer_name(const wsgi__conn *conn)
{
    return *conn->peer.host ? conn->peer.host : "unix:";
}

/* ---- Trace -------------------------------------------------------------- */

static void
trace(const wsgi__conn *conn, wsgi_trace_kind kind, wsgi__span bytes)
{
    if (conn->set->trace && bytes.len > 0)
        conn->set->trace(conn->set->trace_user, kind, conn->number, bytes.ptr,
                         bytes.len);
}

static void __attribute__((format(printf, 2, 3)))
trace_text(const wsgi__conn *conn, const char *format, ...)
{
    char text[256];
    va_list args;

    if (!conn->set->trace)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    trace(conn, WSGI_TRACE_TEXT, wsgi__span_of(text));
}

/* A page of the server's own is one piece: head, empty line, body. */
static void
trace_page(const wsgi__conn *conn, wsgi__span page)
{
    const char *end = memmem(page.ptr, page.len, "\r\n\r\n", 4);
    size_t head = end ? (size_t)(end - page.ptr) + 4 : page.len;
    trace(conn, WSGI_TRACE_RESPONSE_HEAD, (wsgi__span){ page.ptr, head });
    trace(conn, WSGI_TRACE_RESPONSE_BODY,
          (wsgi__span){ page.ptr + head, page.len - head });
}

static void
trace_chunk(const wsgi__conn *conn, const wsgi__chunk *chunk)
{
    if (chunk->data)
        trace(conn, WSGI_TRACE_RESPONSE_BODY,
              (wsgi__span){ chunk->data, chunk->len });
    else
        trace_text(conn, "a file of %lld bytes follows",
                   (long long)chunk->file_len);
}

/* ---- States ------------------------------------------------------------- */

static bool
is_reading(const wsgi__conn *conn)
{
    return conn->state == WSGI__CONN_HEAD || conn->state == WSGI__CONN_BODY;
}

static bool
is_idle(const wsgi__conn *conn)
{
    return conn->state == WSGI__CONN_HEAD &&
           !(conn->x && wsgi__parser_started(conn->x->parser));
}

static unsigned
head_deadline(const wsgi__conn *conn)
{
    const wsgi__timeouts *timeouts = &conn->set->timeouts;
    if (!is_idle(conn))
        return timeouts->header;
    if (conn->set->draining)
        return WSGI__DRAIN_GRACE_MS;
    return conn->n_requests ? timeouts->keep_alive : timeouts->header;
}

/* Milliseconds; 0: none. */
static unsigned
deadline(const wsgi__conn *conn)
{
    switch (conn->state) {
    case WSGI__CONN_HEAD:
        return head_deadline(conn);
    case WSGI__CONN_BODY:
        return conn->set->timeouts.body;
    case WSGI__CONN_WRITE:
        return conn->set->timeouts.write;
    case WSGI__CONN_LINGER:
        return LINGER_MS;
    case WSGI__CONN_RUN:
    case WSGI__CONN_CLOSED:
        break;
    }
    return 0;
}

static unsigned
interest(const wsgi__conn *conn)
{
    switch (conn->state) {
    case WSGI__CONN_HEAD:
    case WSGI__CONN_BODY:
    case WSGI__CONN_LINGER:
        return WSGI__READ;
    case WSGI__CONN_RUN:
        /* Stays as it is, but for a drained WRITE. */
        return conn->io.want & WSGI__WRITE ? WSGI__HANGUP : conn->io.want;
    case WSGI__CONN_WRITE:
        return WSGI__WRITE;
    case WSGI__CONN_CLOSED:
        break;
    }
    return WSGI__HANGUP;
}

static void
arm(wsgi__conn *conn)
{
    unsigned ms = deadline(conn);
    if (ms)
        wsgi__loop_arm(conn->set->loop, &conn->timer, ms);
    else
        wsgi__loop_disarm(conn->set->loop, &conn->timer);
}

static void
watch(wsgi__conn *conn, unsigned want)
{
    if (wsgi__loop_watch(conn->set->loop, &conn->io, want) < 0)
        wsgi__conn_close(conn);
}

/* The one place where the state changes, but for closing. */
static void
enter(wsgi__conn *conn, wsgi__conn_state state)
{
    conn->state = state;
    arm(conn);
    watch(conn, interest(conn));
}

static void
leave_job(wsgi__conn *conn)
{
    wsgi__conns *set = conn->set;
    wsgi__exchange *x = conn->x;
    if (!x)
        return;
    if (x->submitted || x->code)
        wsgi__access_write(&set->access, x, &conn->peer,
                           x->code ? x->code : 499);
    if (x->submitted) { /* done takes the exchange back */
        set->executor->ops->cancel(set->executor, &x->job);
        return;
    }
    wsgi__conns_give_exchange(set, x);
    conn->x = NULL;
}

void
wsgi__conn_close(wsgi__conn *conn)
{
    wsgi__conns *set = conn->set;
    if (conn->state == WSGI__CONN_CLOSED)
        return;
    trace_text(conn, "closed");
    conn->state = WSGI__CONN_CLOSED;
    wsgi__loop_disarm(set->loop, &conn->timer);
    wsgi__loop_unwatch(set->loop, &conn->io);
    wsgi__outq_free(&conn->out);
    conn->stream.ops->close(&conn->stream);
    leave_job(conn);
    wsgi__conns_bury(set, conn);
}

static void
linger(wsgi__conn *conn)
{
    conn->lingered = 0;
    conn->parsed = 0;
    wsgi__buf_free(&conn->input);
    if (conn->stream.ops->shutdown(&conn->stream) < 0)
        wsgi__conn_close(conn);
    else
        enter(conn, WSGI__CONN_LINGER);
}

/* ---- Output ------------------------------------------------------------- */

/* Whether an answer could be queued; else the connection is closed. */
static bool
queued(wsgi__conn *conn, int status)
{
    if (status == WSGI_OK)
        return true;
    wsgi__log_printf(
        conn->set->log, WSGI_LOG_ERROR, "cannot queue a response: %s",
        status == WSGI_ERR_SYSTEM ? strerror(errno) : wsgi_strerror(status));
    wsgi__conn_close(conn);
    return false;
}

static void
mark_unflushed(wsgi__conn *conn)
{
    if (conn->unflushed)
        return;
    conn->unflushed = true;
    conn->next_unflushed = conn->set->unflushed;
    conn->set->unflushed = conn;
}

static void
log_write_failure(const wsgi__conn *conn, int result)
{
    const wsgi__log *log = conn->set->log;
    if (result == WSGI__BAD_FILE)
        wsgi__log_printf(log, WSGI_LOG_ERROR,
                         "a file became shorter while it was sent; the "
                         "connection is closed");
    else /* the client left: not worth more */
        wsgi__log_printf(log, WSGI_LOG_DEBUG, "cannot write to %s: %s",
                         peer_name(conn), strerror(errno));
}

/* Waits for room in the socket, even with a pipelined request half read: the
 * end of the input, or its deadline, would close the connection under the
 * answers before it. */
static void
await_room(wsgi__conn *conn, bool progress)
{
    /* In the run phase the loop's clock is as old as the application's call. */
    wsgi__loop_refresh(conn->set->loop);
    if (conn->state != WSGI__CONN_WRITE)
        conn->drained = conn->state;
    else if (!progress)
        return;
    enter(conn, WSGI__CONN_WRITE);
}

/* Hands the kernel what it takes.  May close. */
static void
write_out(wsgi__conn *conn)
{
    uint64_t written = 0;
    int result = wsgi__outq_write(&conn->out, &conn->stream, &written);
    if (result == WSGI__FAILED || result == WSGI__BAD_FILE) {
        log_write_failure(conn, result);
        wsgi__conn_close(conn);
    } else if (result != 0) {
        await_room(conn, written > 0);
    }
}

/* ---- The end of an exchange --------------------------------------------- */

static void
finish(wsgi__conn *conn)
{
    wsgi__conns *set = conn->set;
    wsgi__exchange *x = conn->x;
    bool keep = x->plan.keep_alive && !set->draining;

    wsgi__access_write(&set->access, x, &conn->peer, x->code);
    wsgi__conns_give_exchange(set, x);
    conn->x = NULL;
    conn->n_requests++;
    if (keep)
        next_request(conn);
    else
        linger(conn);
}

/* Goes on with the request that was being read. */
static void
read_on(wsgi__conn *conn)
{
    enter(conn, conn->drained);
    if (conn->state == WSGI__CONN_CLOSED)
        return;
    if (conn->parsed < conn->input.len)
        await_turn(conn);
    if (conn->set->draining)
        wsgi__conn_drain(conn);
}

/* The output is with the kernel: what is next? */
static void
settle(wsgi__conn *conn)
{
    wsgi__conns *set = conn->set;
    wsgi__exchange *x = conn->x;

    if (conn->state == WSGI__CONN_WRITE && conn->drained != WSGI__CONN_RUN) {
        read_on(conn);
        return;
    }
    if (!x || is_reading(conn)) /* no x: LINGER */
        return;
    if (!x->complete) {
        if (conn->state == WSGI__CONN_WRITE)
            enter(conn, WSGI__CONN_RUN);
        if (conn->state != WSGI__CONN_CLOSED)
            set->executor->ops->resume(set->executor, &x->job);
    } else if (!x->submitted) {
        finish(conn);
    } else if (conn->state == WSGI__CONN_WRITE) {
        enter(conn, WSGI__CONN_RUN); /* until done */
    }
}

void
wsgi__conn_flush(wsgi__conn *conn)
{
    if (conn->state == WSGI__CONN_CLOSED)
        return;
    write_out(conn);
    if (conn->state != WSGI__CONN_CLOSED && !wsgi__outq_pending(&conn->out))
        settle(conn);
}

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
                     wsgi__response_phrase(code), peer_name(conn),
                     reason ? reason : "", wsgi__buf_str(&text));
    wsgi__buf_free(&text);
}

/* Answers in the application's place; nothing further is read as a request. */
static void
refuse(wsgi__conn *conn, int code, const char *reason)
{
    wsgi__conns *set = conn->set;
    log_refusal(conn, code, reason);
    if (wsgi__answer_error(conn->x, code, reason, &set->style, &conn->out) <
        0) {
        wsgi__conn_close(conn);
        return;
    }
    trace_page(conn, wsgi__buf_span(&set->scratch));
    enter(conn, WSGI__CONN_RUN);
    mark_unflushed(conn);
}

/* ---- Input -------------------------------------------------------------- */

static void
begin(wsgi__conn *conn)
{
    wsgi__exchange *x = wsgi__conns_take_exchange(conn->set);
    if (!x) {
        wsgi__log_printf(conn->set->log, WSGI_LOG_ERROR,
                         "out of memory for a request; closing its "
                         "connection");
        wsgi__conn_close(conn);
        return;
    }
    x->conn = conn;
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
    *info = (wsgi__conn_info){
        .remote_addr = wsgi__span_of(conn->peer.host),
        .remote_port = wsgi__span_of(conn->peer.port),
        .server_name = wsgi__span_of(conn->self.host),
        .server_port = wsgi__span_of(conn->self.port),
        .script_name = conn->set->script_name,
    };
    if (conn->listener->is_unix)
        name_from_host(info, req->host);
}

static void
note_begin(wsgi__conn *conn)
{
    if (conn->x->began)
        return;
    conn->x->began = true;
    conn->x->began_us = wsgi__access_clock(&conn->set->access);
}

static void
on_more(wsgi__conn *conn)
{
    /* The time for a head runs from its first byte, that for a body from its
     * last. */
    bool first = !conn->x->began && wsgi__parser_started(conn->x->parser);
    if (first)
        note_begin(conn);
    if (first || conn->state == WSGI__CONN_BODY)
        arm(conn);
}

static void
on_head(wsgi__conn *conn, bool more_input)
{
    const wsgi__request *req = wsgi__parser_request(conn->x->parser);
    note_begin(conn);
    trace(conn, WSGI_TRACE_REQUEST_HEAD, wsgi__buf_span(&req->head));
    describe(conn, req);
    if (!wsgi__request_has_body(req))
        return;
    /* RFC 9110 10.1.1: may be left out where the body comes already. */
    if (req->expect_continue && !more_input) {
        wsgi__span go_on = WSGI__CONTINUE;
        trace(conn, WSGI_TRACE_RESPONSE_HEAD, go_on);
        /* Who waits for it would wait in vain. */
        if (!queued(conn, wsgi__outq_copy(&conn->out, go_on.ptr, go_on.len)))
            return;
        mark_unflushed(conn);
    }
    enter(conn, WSGI__CONN_BODY);
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
    trace(conn, WSGI_TRACE_REQUEST_BODY, bytes);
    int status = wsgi__body_append(&conn->x->body, bytes.ptr, bytes.len);
    if (status == WSGI_OK)
        return;
    int code = body_failure(status);
    wsgi__log_printf(
        conn->set->log, WSGI_LOG_ERROR, "cannot store a request body: %s",
        status == WSGI_ERR_NOMEM ? wsgi_strerror(status) : strerror(errno));
    refuse(conn, code, "the request body cannot be stored");
}

static void
on_request(wsgi__conn *conn)
{
    wsgi__exchange *x = conn->x;
    wsgi__executor *ex = conn->set->executor;
    x->job.req = wsgi__parser_request(x->parser);
    x->job.conn = &x->info;
    x->job.body = &x->body;
    x->job.events = &job_events;
    x->submitted = true;
    enter(conn, WSGI__CONN_RUN);
    ex->ops->submit(ex, &x->job);
}

/* Returns how much of the input was used: all of it, but for what follows a
 * complete request. */
static size_t
parse(wsgi__conn *conn, const char *data, size_t len)
{
    size_t used = 0;
    while (is_reading(conn)) {
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
            refuse(conn, wsgi__parser_status(parser),
                   wsgi__parser_reason(parser));
            break;
        }
    }
    return used;
}

static void
take_input(wsgi__conn *conn, const char *data, size_t len)
{
    size_t used = parse(conn, data, len);
    bool pipelined = conn->x && conn->x->submitted;
    if (used == len || conn->state == WSGI__CONN_CLOSED || !pipelined)
        return;
    if (wsgi__buf_append(&conn->input, data + used, len - used) < 0)
        wsgi__conn_close(conn);
}

static void
end_of_input(wsgi__conn *conn, ssize_t result)
{
    if (result == WSGI__FAILED)
        trace_text(conn, "cannot read: %s", strerror(errno));
    else if (!is_idle(conn))
        trace_text(conn, "the client stopped in the middle of a request");
    wsgi__conn_close(conn);
}

static void
on_readable(wsgi__conn *conn)
{
    char *input = conn->set->input;
    if (conn->parsed < conn->input.len) { /* first things first */
        wsgi__conn_continue(conn);
        return;
    }
    for (int i = 0; i < READS_PER_EVENT && is_reading(conn); i++) {
        ssize_t n =
            conn->stream.ops->read(&conn->stream, input, WSGI__INPUT_SIZE);
        if (n == WSGI__WANT_READ || n == WSGI__WANT_WRITE)
            return;
        if (n <= 0) {
            end_of_input(conn, n);
            return;
        }
        take_input(conn, input, (size_t)n);
        /* Less than asked for: there is hardly more. */
        if ((size_t)n < WSGI__INPUT_SIZE)
            return;
    }
}

static void
drop_input(wsgi__conn *conn)
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

static void
await_turn(wsgi__conn *conn)
{
    if (conn->waiting)
        return;
    conn->waiting = true;
    conn->next_waiting = conn->set->waiting;
    conn->set->waiting = conn;
}

static void
next_request(wsgi__conn *conn)
{
    enter(conn, WSGI__CONN_HEAD);
    if (conn->state == WSGI__CONN_CLOSED)
        return;
    if (conn->parsed < conn->input.len)
        await_turn(conn);
}

void
wsgi__conn_continue(wsgi__conn *conn)
{
    if (!is_reading(conn))
        return;
    conn->parsed += parse(conn, conn->input.data + conn->parsed,
                          conn->input.len - conn->parsed);
    if (conn->parsed < conn->input.len)
        return;
    wsgi__buf_free(&conn->input);
    conn->parsed = 0;
}

/* ---- What the executor reports ------------------------------------------ */

static wsgi__conn *
conn_of(wsgi__job *job)
{
    return WSGI__OWNER(job, wsgi__exchange, job)->conn;
}

static void
on_job_head(wsgi__job *job, const wsgi__response *res)
{
    wsgi__conn *conn = conn_of(job);
    wsgi__conns *set = conn->set;
    if (conn->state == WSGI__CONN_CLOSED)
        return;
    if (queued(conn, wsgi__answer_head(conn->x, res, &set->style, &conn->out)))
        trace(conn, WSGI_TRACE_RESPONSE_HEAD, wsgi__buf_span(&set->scratch));
}

static void
on_job_data(wsgi__job *job, wsgi__chunk *chunk)
{
    wsgi__conn *conn = conn_of(job);
    wsgi__conns *set = conn->set;
    if (conn->state == WSGI__CONN_CLOSED)
        return;
    if (!queued(conn,
                wsgi__answer_data(conn->x, chunk, &set->style, &conn->out)))
        return;
    if (conn->x->abandoned)
        set->executor->ops->cancel(set->executor, job);
    else
        trace_chunk(conn, chunk);
    bool full = wsgi__outq_pending(&conn->out) >= set->style.high_water;
    if (chunk->gathered && !full) {
        mark_unflushed(conn);
        return;
    }
    write_out(conn);
    if (conn->state != WSGI__CONN_CLOSED && wsgi__outq_pending(&conn->out))
        set->executor->ops->pause(set->executor, job);
}

static void
on_job_end(wsgi__job *job, wsgi__end how)
{
    wsgi__conn *conn = conn_of(job);
    wsgi__conns *set = conn->set;
    wsgi__exchange *x = conn->x;
    if (conn->state == WSGI__CONN_CLOSED)
        return;
    bool ours = x->code == 0;
    if (!queued(conn, wsgi__answer_end(x, how, &set->style, &conn->out)))
        return;
    if (ours)
        trace_page(conn, wsgi__buf_span(&set->scratch));
    if (x->streams) /* close() may take its time */
        write_out(conn);
}

/* A pipelined request can be looked at before the output is with the kernel:
 * many small answers then leave in one write. */
static bool
can_go_on(const wsgi__conn *conn)
{
    return conn->x->complete && conn->x->plan.keep_alive &&
           !conn->set->draining && conn->parsed < conn->input.len &&
           conn->state != WSGI__CONN_WRITE &&
           wsgi__outq_pending(&conn->out) < conn->set->style.high_water;
}

static void
on_job_done(wsgi__job *job)
{
    wsgi__conn *conn = conn_of(job);
    wsgi__exchange *x = conn->x;
    x->submitted = false;
    if (conn->state == WSGI__CONN_CLOSED) {
        wsgi__conns_give_exchange(conn->set, x);
        conn->x = NULL;
        return;
    }
    mark_unflushed(conn);
    if (can_go_on(conn))
        finish(conn);
}

static const wsgi__job_events job_events = {
    .head = on_job_head,
    .data = on_job_data,
    .end = on_job_end,
    .done = on_job_done,
};

/* ---- What the loop reports ---------------------------------------------- */

static void
on_ready(wsgi__io *io, unsigned events)
{
    wsgi__conn *conn = CONN_OF(io, io);
    /* Closing a Unix socket over unread bytes resets it, and the answer is
     * lost: what lingers is read to its end. */
    bool last_bytes = conn->state == WSGI__CONN_LINGER && events & WSGI__READ;
    if (events & WSGI__HANGUP && !last_bytes) {
        trace_text(conn, "the client is gone");
        wsgi__conn_close(conn);
        return;
    }
    if (events & WSGI__WRITE)
        wsgi__conn_flush(conn);
    if (!(events & WSGI__READ))
        return;
    switch (conn->state) {
    case WSGI__CONN_HEAD:
    case WSGI__CONN_BODY:
        on_readable(conn);
        break;
    case WSGI__CONN_RUN: /* its next request has to wait */
        watch(conn, WSGI__HANGUP);
        break;
    case WSGI__CONN_LINGER:
        drop_input(conn);
        break;
    case WSGI__CONN_WRITE:
    case WSGI__CONN_CLOSED:
        break;
    }
}

/* After a long call of the application more is ready than the loop fetches in
 * one turn, and deadlines are over: whether bytes came, or can go, since. */
static bool
has_moved(wsgi__conn *conn)
{
    if (is_reading(conn))
        on_readable(conn);
    else if (conn->state == WSGI__CONN_WRITE)
        wsgi__conn_flush(conn);
    return wsgi__timer_armed(&conn->timer) || deadline(conn) == 0;
}

static void
on_expired(wsgi__timer *timer)
{
    wsgi__conn *conn = CONN_OF(timer, timer);
    if (has_moved(conn))
        return;
    switch (conn->state) {
    case WSGI__CONN_HEAD:
        /* A request that crosses the close would be answered by a reset if
         * the socket were gone.  A proxy that reads a plain end instead sends
         * it again on another connection. */
        if (is_idle(conn))
            linger(conn);
        else
            refuse(conn, 408, "the request head took too long");
        break;
    case WSGI__CONN_BODY:
        refuse(conn, 408, "the request body took too long");
        break;
    case WSGI__CONN_WRITE:
        wsgi__log_printf(conn->set->log, WSGI_LOG_INFO,
                         "%s stopped reading its response; the connection is "
                         "closed",
                         peer_name(conn));
        wsgi__conn_close(conn);
        break;
    case WSGI__CONN_LINGER:
        wsgi__conn_close(conn);
        break;
    case WSGI__CONN_RUN:
    case WSGI__CONN_CLOSED:
        break;
    }
}

void
wsgi__conn_start(wsgi__conn *conn)
{
    conn->io.fd = conn->stream.fd;
    conn->io.ready = on_ready;
    conn->timer.expired = on_expired;
    trace_text(conn, "connection from %s%s%s",
               *conn->peer.host ? conn->peer.host : "a Unix socket",
               *conn->peer.port ? " port " : "", conn->peer.port);
    enter(conn, WSGI__CONN_HEAD);
}

void
wsgi__conn_drain(wsgi__conn *conn)
{
    if (!is_idle(conn))
        return;
    on_readable(conn); /* a request may have come just now */
    if (conn->state == WSGI__CONN_CLOSED || !is_idle(conn))
        return;
    if (conn->n_requests > 0)
        wsgi__conn_close(conn);
    else
        arm(conn);
}
