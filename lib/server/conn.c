#include "server/conn.h"

#include <errno.h>
#include <stdio.h>

#include "base/macros.h"
#include "server/conn_parts.h"

/* How long a client may go on sending after its last answer (RFC 9112 9.6).
 * Closing at once would reset the connection under the answer it has not read
 * yet. */
#define LINGER_MS 2000

static void next_request(wsgi__conn *conn);

#define CONN_OF(member_ptr, member) WSGI__OWNER(member_ptr, wsgi__conn, member)

/* ---- States ------------------------------------------------------------- */

bool
wsgi__conn_is_reading(const wsgi__conn *conn)
{
    return conn->state == WSGI__CONN_HEAD || conn->state == WSGI__CONN_BODY;
}

bool
wsgi__conn_is_idle(const wsgi__conn *conn)
{
    return conn->state == WSGI__CONN_HEAD &&
           !(conn->x && wsgi__parser_started(conn->x->parser));
}

static unsigned
head_deadline(const wsgi__conn *conn)
{
    const wsgi__timeouts *timeouts = &conn->set->timeouts;
    if (!wsgi__conn_is_idle(conn))
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

void
wsgi__conn_arm(wsgi__conn *conn)
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
    if (wsgi__loop_watch(conn->set->loop, &conn->io, want) >= 0)
        return;
    wsgi__log_printf(conn->set->log, WSGI_LOG_ERROR,
                     "cannot watch a connection: %s; closing it",
                     strerror(errno));
    wsgi__conn_close(conn);
}

/* The one place where the state changes, but for closing. */
void
wsgi__conn_enter(wsgi__conn *conn, wsgi__conn_state state)
{
    conn->state = state;
    wsgi__conn_arm(conn);
    watch(conn, interest(conn));
}

/* One request is over, however it ended. */
static void
record(const wsgi__conn *conn, int code)
{
    wsgi__conns *set = conn->set;
    const wsgi__exchange *x = conn->x;
    uint64_t ms = wsgi__loop_now(set->loop) - x->began_ms;
    wsgi__access_write(&set->access, x, &conn->peer, code);
    wsgi__count_add(&set->score->responses[code < 600 ? code : 0], 1);
    wsgi__histogram_add(&set->score->latency, ms * 1000);
}

static void
leave_job(wsgi__conn *conn)
{
    wsgi__conns *set = conn->set;
    wsgi__exchange *x = conn->x;
    if (!x)
        return;
    if (x->submitted || x->code)
        record(conn, x->code ? x->code : 499);
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
    wsgi__conn_trace_text(conn, "closed");
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
        wsgi__conn_enter(conn, WSGI__CONN_LINGER);
}

/* ---- Output ------------------------------------------------------------- */

bool
wsgi__conn_queued(wsgi__conn *conn, int status)
{
    if (status == WSGI_OK)
        return true;
    wsgi__log_printf(
        conn->set->log, WSGI_LOG_ERROR, "cannot queue a response: %s",
        status == WSGI_ERR_SYSTEM ? strerror(errno) : wsgi_strerror(status));
    wsgi__conn_close(conn);
    return false;
}

void
wsgi__conn_mark_unflushed(wsgi__conn *conn)
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
                         wsgi__conn_peer_name(conn), strerror(errno));
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
    wsgi__conn_enter(conn, WSGI__CONN_WRITE);
}

/* Hands the kernel what it takes.  May close. */
void
wsgi__conn_write_out(wsgi__conn *conn)
{
    uint64_t written = 0;
    int result = wsgi__outq_write(&conn->out, &conn->stream, &written);
    wsgi__count_add(&conn->set->score->bytes_out, written);
    if (result == WSGI__FAILED || result == WSGI__BAD_FILE) {
        log_write_failure(conn, result);
        wsgi__conn_close(conn);
    } else if (result != 0) {
        await_room(conn, written > 0);
    }
}

/* ---- The end of an exchange --------------------------------------------- */

void
wsgi__conn_finish(wsgi__conn *conn)
{
    wsgi__conns *set = conn->set;
    wsgi__exchange *x = conn->x;
    /* A client that was not told of the end may send its next request. */
    bool keep = x->plan.keep_alive && (!set->draining || set->gentle);

    record(conn, x->code);
    if (x->submitted) /* done takes it back */
        conn->orphans++;
    else
        wsgi__conns_give_exchange(set, x);
    conn->x = NULL;
    conn->n_requests++;
    conn->set->n_requests++;
    if (keep)
        next_request(conn);
    else
        linger(conn);
}

/* Goes on with the request that was being read. */
static void
read_on(wsgi__conn *conn)
{
    wsgi__conn_enter(conn, conn->drained);
    if (conn->state == WSGI__CONN_CLOSED)
        return;
    if (conn->parsed < conn->input.len)
        wsgi__conn_await_turn(conn);
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
    if (!x || wsgi__conn_is_reading(conn)) /* no x: LINGER */
        return;
    if (!x->complete) {
        if (conn->state == WSGI__CONN_WRITE)
            wsgi__conn_enter(conn, WSGI__CONN_RUN);
        if (conn->state != WSGI__CONN_CLOSED)
            set->executor->ops->resume(set->executor, &x->job);
    } else if (!x->submitted || x->orphan) {
        wsgi__conn_finish(conn);
    } else if (conn->state == WSGI__CONN_WRITE) {
        wsgi__conn_enter(conn, WSGI__CONN_RUN); /* until done */
    }
}

void
wsgi__conn_flush(wsgi__conn *conn)
{
    if (conn->state == WSGI__CONN_CLOSED)
        return;
    wsgi__conn_write_out(conn);
    if (conn->state != WSGI__CONN_CLOSED && !wsgi__outq_pending(&conn->out))
        settle(conn);
}

void
wsgi__conn_await_turn(wsgi__conn *conn)
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
    wsgi__conn_enter(conn, WSGI__CONN_HEAD);
    if (conn->state == WSGI__CONN_CLOSED)
        return;
    if (conn->parsed < conn->input.len)
        wsgi__conn_await_turn(conn);
}

/* ---- What the loop reports ---------------------------------------------- */

static void
on_ready(wsgi__io *io, unsigned events)
{
    wsgi__conn *conn = CONN_OF(io, io);
    /* Closing a Unix socket over unread bytes resets it, and the answer is
     * lost: what lingers is read to its end. */
    bool last_bytes = conn->state == WSGI__CONN_LINGER && events & WSGI__READ;
    if (events & WSGI__HANGUP && !last_bytes) {
        wsgi__conn_trace_text(conn, "the client is gone");
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
        wsgi__conn_read(conn);
        break;
    case WSGI__CONN_RUN: /* its next request has to wait */
        watch(conn, WSGI__HANGUP);
        if (conn->state == WSGI__CONN_RUN)
            wsgi__conn_note_leaving(conn);
        break;
    case WSGI__CONN_LINGER:
        wsgi__conn_drop_input(conn);
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
    if (wsgi__conn_is_reading(conn))
        wsgi__conn_read(conn);
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
        if (wsgi__conn_is_idle(conn))
            linger(conn);
        else
            wsgi__conn_refuse(conn, 408, "the request head took too long");
        break;
    case WSGI__CONN_BODY:
        wsgi__conn_refuse(conn, 408, "the request body took too long");
        break;
    case WSGI__CONN_WRITE:
        wsgi__log_printf(conn->set->log, WSGI_LOG_INFO,
                         "%s stopped reading its response; the connection is "
                         "closed",
                         wsgi__conn_peer_name(conn));
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

bool
wsgi__conn_is_spare(const wsgi__conn *conn)
{
    return wsgi__conn_is_idle(conn) && conn->n_requests > 0;
}

void
wsgi__conn_start(wsgi__conn *conn)
{
    conn->io.fd = conn->stream.fd;
    conn->io.ready = on_ready;
    conn->timer.expired = on_expired;
    wsgi__conn_trace_text(conn, "connection from %s%s%s",
                          *conn->peer.host ? conn->peer.host : "a Unix socket",
                          *conn->peer.port ? " port " : "", conn->peer.port);
    wsgi__conn_enter(conn, WSGI__CONN_HEAD);
}

void
wsgi__conn_drain(wsgi__conn *conn)
{
    if (!wsgi__conn_is_idle(conn))
        return;
    wsgi__conn_read(conn); /* a request may have come just now */
    if (conn->state == WSGI__CONN_CLOSED || !wsgi__conn_is_idle(conn))
        return;
    if (conn->n_requests > 0 && !conn->set->gentle)
        wsgi__conn_close(conn);
    else
        wsgi__conn_arm(conn);
}
