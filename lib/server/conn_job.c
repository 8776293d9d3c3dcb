#include <errno.h>

#include "base/macros.h"
#include "server/conn_parts.h"

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
    if (wsgi__conn_queued(
            conn, wsgi__answer_head(conn->x, res, &set->style, &conn->out)))
        wsgi__conn_trace(conn, WSGI_TRACE_RESPONSE_HEAD,
                         wsgi__buf_span(&set->scratch));
}

static void
on_job_data(wsgi__job *job, wsgi__chunk *chunk)
{
    wsgi__conn *conn = conn_of(job);
    wsgi__conns *set = conn->set;
    if (conn->state == WSGI__CONN_CLOSED)
        return;
    if (!wsgi__conn_queued(
            conn, wsgi__answer_data(conn->x, chunk, &set->style, &conn->out)))
        return;
    if (conn->x->abandoned)
        set->executor->ops->cancel(set->executor, job);
    else
        wsgi__conn_trace_chunk(conn, chunk);
    /* PEP 3333, "Buffering and Streaming": a block may wait if another thread
     * goes on with it while the application makes the next.  That thread is the
     * one that takes the loop over.  A file has to be sent while it is open. */
    bool full = wsgi__outq_pending(&conn->out) >= set->style.high_water;
    if (chunk->data && !full) {
        wsgi__conn_mark_unflushed(conn);
        return;
    }
    wsgi__conn_write_out(conn);
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
    if (how == WSGI__END_CANCELLED && x->code == 0) {
        wsgi__conn_close(conn); /* the client is gone */
        return;
    }
    x->orphan = how == WSGI__END_TIMEOUT;
    if (x->complete) { /* close() takes too long: the next request does not */
        x->plan.keep_alive = false;
        wsgi__conn_mark_unflushed(conn);
        return;
    }
    bool ours = x->code == 0;
    if (!wsgi__conn_queued(conn,
                           wsgi__answer_end(x, how, &set->style, &conn->out)))
        return;
    if (ours)
        wsgi__conn_trace_page(conn, wsgi__buf_span(&set->scratch));
    wsgi__conn_mark_unflushed(conn); /* done may be long in coming */
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
    wsgi__exchange *x = WSGI__OWNER(job, wsgi__exchange, job);
    x->submitted = false;
    if (conn->x != x) { /* the answer has not waited for it */
        conn->orphans--;
        wsgi__conns_give_exchange(conn->set, x);
        return;
    }
    if (conn->state == WSGI__CONN_CLOSED) {
        wsgi__conns_give_exchange(conn->set, x);
        conn->x = NULL;
        return;
    }
    wsgi__conn_mark_unflushed(conn);
    if (can_go_on(conn))
        wsgi__conn_finish(conn);
}

const wsgi__job_events wsgi__conn_job_events = {
    .head = on_job_head,
    .data = on_job_data,
    .end = on_job_end,
    .done = on_job_done,
};
