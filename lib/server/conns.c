#include "server/conns.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "server/conn.h"

/* Exchanges kept for the next requests, some 3 KiB each: their buffers stay
 * warm, connections that are busy find their heads remembered, and the memory
 * of a burst is given back. */
#define MOST_SPARE 512

/* For tests, which have no server. */
static wsgi__score unread;

int
wsgi__conns_init(wsgi__conns *set, wsgi__loop *loop, wsgi__executor *executor,
                 const wsgi__log *log)
{
    *set = (wsgi__conns){ .loop = loop, .executor = executor, .log = log };
    set->input = wsgi__mem_alloc(WSGI__INPUT_SIZE);
    if (!set->input)
        return WSGI_ERR_NOMEM;
    wsgi__buf_init(&set->scratch, WSGI__LONGEST_HEAD);
    wsgi__access_init(&set->access);
    set->score = &unread;
    set->style.log = log;
    set->style.scratch = &set->scratch;
    set->style.made = &set->made;
    set->style.date = &set->date;
    set->style.keep_alive = true;
    return WSGI_OK;
}

void
wsgi__conns_free(wsgi__conns *set)
{
    wsgi__conns_close_all(set);
    wsgi__conns_reap(set);
    while (set->spare) {
        wsgi__exchange *next = set->spare->next;
        wsgi__exchange_free(set->spare);
        set->spare = next;
    }
    wsgi__access_free(&set->access);
    wsgi__buf_free(&set->scratch);
    wsgi__mem_free(set->input);
    set->input = NULL;
}

/* ---- Exchanges ---------------------------------------------------------- */

/*
 * The pool is a list.  In front are exchanges that remember nobody, the one
 * used last first; behind them those that remember the heads of a connection
 * (http/model.h), the one used last at the end.  Who is remembered gets his own
 * again; who is not gets the first, whoever was remembered by it.
 */
static void
unlink_spare(wsgi__conns *set, wsgi__exchange *x)
{
    if (x->prev)
        x->prev->next = x->next;
    else
        set->spare = x->next;
    if (x->next)
        x->next->prev = x->prev;
    else
        set->last_spare = x->prev;
    x->prev = x->next = NULL;
    set->n_spare--;
}

static void
link_spare(wsgi__conns *set, wsgi__exchange *x, bool first)
{
    x->next = first ? set->spare : NULL;
    x->prev = first ? NULL : set->last_spare;
    *(x->prev ? &x->prev->next : &set->spare) = x;
    *(x->next ? &x->next->prev : &set->last_spare) = x;
    set->n_spare++;
}

/* Of an exchange in the pool. */
static void
forget(wsgi__exchange *x)
{
    wsgi__conn *conn = x->conn;
    if (!conn)
        return;
    conn->kept = NULL;
    x->conn = NULL;
    wsgi__parser_forget(x->parser);
}

/* Who has another in the pool is better off with a new one than at the expense
 * of somebody who is remembered, unless there are many. */
static wsgi__exchange *
choose_spare(const wsgi__conns *set, const wsgi__conn *conn)
{
    wsgi__exchange *first = set->spare;
    if (conn->kept)
        return conn->kept;
    if (first && first->conn && set->n_spare < MOST_SPARE)
        return NULL;
    return first;
}

wsgi__exchange *
wsgi__conns_take_exchange(wsgi__conns *set, wsgi__conn *conn)
{
    wsgi__exchange *x = choose_spare(set, conn);
    if (x) {
        unlink_spare(set, x);
        if (x->conn != conn) {
            forget(x);
            x->described = false;
        }
        conn->kept = NULL;
    } else {
        x = wsgi__exchange_new(&set->limits, set->body_in_memory);
        if (!x)
            return NULL;
    }
    x->conn = conn;
    /* Many connections have one request only. */
    if (conn->n_requests > 0)
        wsgi__parser_remember(x->parser);
    return x;
}

void
wsgi__conns_give_exchange(wsgi__conns *set, wsgi__exchange *x)
{
    wsgi__conn *conn = x->conn;
    bool remembers =
        conn->state != WSGI__CONN_CLOSED && wsgi__parser_remembers(x->parser);

    wsgi__exchange_reset(x);
    if (remembers) {
        conn->kept = x;
    } else {
        x->conn = NULL;
        wsgi__parser_forget(x->parser);
    }
    link_spare(set, x, !remembers);
    if (set->n_spare <= MOST_SPARE)
        return;
    x = set->spare;
    unlink_spare(set, x);
    forget(x);
    wsgi__exchange_free(x);
}

/* The connection is over: its exchange in the pool is anybody's. */
static void
release_kept(wsgi__conns *set, wsgi__conn *conn)
{
    wsgi__exchange *x = conn->kept;
    if (!x)
        return;
    forget(x);
    unlink_spare(set, x);
    link_spare(set, x, true);
}

/* ---- Connections -------------------------------------------------------- */

/* Where the client reached us; a listener on all interfaces does not know. */
static void
find_self(wsgi__conn *conn)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);

    conn->self = conn->listener->self;
    if (conn->listener->wildcard &&
        getsockname(conn->stream.fd, (struct sockaddr *)&sa, &len) == 0)
        wsgi__endpoint_of((struct sockaddr *)&sa, len, &conn->self);
}

static void
link_conn(wsgi__conns *set, wsgi__conn *conn)
{
    conn->next = set->first;
    if (set->first)
        set->first->prev = conn;
    set->first = conn;
    set->count++;
}

static void
unlink_conn(wsgi__conns *set, wsgi__conn *conn)
{
    if (conn->prev)
        conn->prev->next = conn->next;
    else
        set->first = conn->next;
    if (conn->next)
        conn->next->prev = conn->prev;
    conn->prev = conn->next = NULL;
    set->count--;
}

int
wsgi__conns_add(wsgi__conns *set, int fd, const wsgi__listener *listener,
                const wsgi__endpoint *peer)
{
    wsgi__conn *conn = wsgi__mem_zero(1, sizeof(*conn));
    if (!conn) {
        close(fd);
        return WSGI_ERR_NOMEM;
    }
    wsgi__stream_plain(&conn->stream, fd);
    if (set->stream_ops)
        conn->stream.ops = set->stream_ops;
    wsgi__buf_init(&conn->input, WSGI__INPUT_SIZE);
    conn->set = set;
    conn->listener = listener;
    conn->peer = *peer;
    conn->number = ++set->last_number;
    conn->since_ms = wsgi__loop_now(set->loop);
    find_self(conn);
    link_conn(set, conn);
    wsgi__count_add(&set->score->accepted, 1);
    wsgi__conn_start(conn);
    return conn->state == WSGI__CONN_CLOSED ? WSGI_ERR_SYSTEM : WSGI_OK;
}

void
wsgi__conns_bury(wsgi__conns *set, wsgi__conn *conn)
{
    release_kept(set, conn);
    unlink_conn(set, conn);
    conn->dead = true;
    conn->next = set->dead;
    set->dead = conn;
}

/* The one that has been there longest.  Looked for only where the set is full,
 * or the machine. */
static wsgi__conn *
find_spare(const wsgi__conns *set)
{
    wsgi__conn *found = NULL;
    for (wsgi__conn *conn = set->first; conn; conn = conn->next)
        if (wsgi__conn_is_spare(conn))
            found = conn;
    return found;
}

bool
wsgi__conns_have_room(const wsgi__conns *set)
{
    return !wsgi__conns_full(set) || find_spare(set);
}

bool
wsgi__conns_close_idle(wsgi__conns *set)
{
    wsgi__conn *spare = find_spare(set);
    if (spare)
        wsgi__conn_close(spare);
    return spare != NULL;
}

bool
wsgi__conns_make_room(wsgi__conns *set)
{
    return !wsgi__conns_full(set) || wsgi__conns_close_idle(set);
}

bool
wsgi__conns_close_older(wsgi__conns *set, unsigned ms)
{
    wsgi__conn *oldest = set->first;
    while (oldest && oldest->next)
        oldest = oldest->next;
    if (!oldest || wsgi__loop_now(set->loop) - oldest->since_ms < ms)
        return false;
    wsgi__conn_close(oldest);
    return true;
}

/* ---- Phases of a turn --------------------------------------------------- */

bool
wsgi__conns_continue(wsgi__conns *set)
{
    wsgi__conn *conn = set->waiting;
    set->waiting = NULL;
    bool any = conn != NULL;
    while (conn) {
        wsgi__conn *next = conn->next_waiting;
        conn->waiting = false;
        wsgi__conn_continue(conn);
        conn = next;
    }
    return any;
}

void
wsgi__conns_flush(wsgi__conns *set)
{
    wsgi__conn *conn = set->unflushed;
    set->unflushed = NULL;
    while (conn) {
        wsgi__conn *next = conn->next_unflushed;
        conn->unflushed = false;
        wsgi__conn_flush(conn);
        conn = next;
    }
}

static void
free_conn(wsgi__conn *conn)
{
    wsgi__buf_free(&conn->input);
    wsgi__outq_free(&conn->out);
    wsgi__mem_free(conn);
}

/* A closed connection may still stand in a list of this turn, or have a job:
 * it waits for the turn in which neither is so. */
void
wsgi__conns_reap(wsgi__conns *set)
{
    wsgi__conn **link = &set->dead;
    while (*link) {
        wsgi__conn *conn = *link;
        if (conn->unflushed || conn->waiting || conn->x || conn->orphans) {
            link = &conn->next;
            continue;
        }
        *link = conn->next;
        free_conn(conn);
    }
}

/* ---- The end ------------------------------------------------------------ */

void
wsgi__conns_drain(wsgi__conns *set)
{
    set->draining = true;
    set->style.keep_alive = false;
    for (wsgi__conn *conn = set->first, *next; conn; conn = next) {
        next = conn->next;
        wsgi__conn_drain(conn);
    }
}

void
wsgi__conns_close_all(wsgi__conns *set)
{
    while (set->first)
        wsgi__conn_close(set->first);
}
