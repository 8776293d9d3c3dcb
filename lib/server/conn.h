/*
 * One connection: a state machine between a stream, a parser, the executor and
 * an output queue.  For server/conns.c and tests; others see wsgi__conns.
 */
#ifndef WSGI_SERVER_CONN_H
#define WSGI_SERVER_CONN_H

#include "server/conns.h"

/*
 *   state   | watches        | deadline            | leaves to
 *   --------+----------------+---------------------+--------------------------
 *   HEAD    | read           | header, or          | BODY, RUN; WRITE with 4xx,
 *           |                | keep-alive if idle  | LINGER
 *   BODY    | read           | body                | RUN; WRITE with 4xx
 *   RUN     | as before *    | -                   | WRITE, HEAD, LINGER
 *   WRITE   | write          | write               | where it came from, once
 *           |                |                     | drained: RUN, HEAD, BODY
 *   LINGER  | read, drops    | 2 s                 | CLOSED
 *   CLOSED  | -              | -                   | freed without a job
 *
 * * Most requests are over within the turn that read them.  So interest in
 *   reading stays, and is given up only if it fires: a request costs no change
 *   of what the kernel watches.
 */
typedef enum wsgi__conn_state {
    WSGI__CONN_HEAD,
    WSGI__CONN_BODY,
    WSGI__CONN_RUN,
    WSGI__CONN_WRITE,
    WSGI__CONN_LINGER,
    WSGI__CONN_CLOSED
} wsgi__conn_state;

struct wsgi__conn {
    wsgi__io io;
    wsgi__stream stream;
    wsgi__timer timer;
    wsgi__outq out;
    wsgi__conns *set;
    const wsgi__listener *listener;
    wsgi__exchange *x;    /* NULL while idle */
    wsgi__exchange *kept; /* in the pool, remembers the heads of this one */
    wsgi__conn *prev, *next;
    wsgi__conn *next_unflushed, *next_waiting;
    wsgi__buf input; /* read, but not yet parsed: pipelined requests */
    size_t parsed;   /* of input */
    uint64_t number;
    uint64_t since_ms; /* of the loop's clock */
    uint32_t n_requests;
    uint32_t lingered; /* bytes dropped in LINGER */
    uint32_t orphans;  /* exchanges that it was answered without */
    wsgi__conn_state state;
    wsgi__conn_state drained; /* what WRITE goes back to */
    bool unflushed, waiting;  /* is in that list of the set */
    bool dead;                /* is in the list of the dead */
    wsgi__endpoint peer, self;
};

/* What is read from a socket at once, and what a connection keeps of it. */
#define WSGI__INPUT_SIZE ((size_t)72 * 1024)

/* A connection on which no request has come yet is given this long to send
 * one, once the server drains: its first bytes may be under way.  Where the
 * drain is gentle, every idle connection is. */
#define WSGI__DRAIN_GRACE_MS 1000u

/* Of a response head. */
#define WSGI__LONGEST_HEAD ((size_t)1024 * 1024)

/* ---- What wsgi__conns calls --------------------------------------------- */

/* Between two requests: closing it loses nothing. */
bool wsgi__conn_is_spare(const wsgi__conn *conn);

/* The socket is new. */
void wsgi__conn_start(wsgi__conn *conn);

/* Input is left over and the answer before it is complete. */
void wsgi__conn_continue(wsgi__conn *conn);

/* The output queue has something new. */
void wsgi__conn_flush(wsgi__conn *conn);

/* No request after the one under way, unless the drain is gentle and its answer
 * has promised to keep the connection.  An idle one closes at once if it had a
 * request before and the drain is not gentle; else it has WSGI__DRAIN_GRACE_MS. */
void wsgi__conn_drain(wsgi__conn *conn);

/* Closes now, whatever is under way; cancels the job. */
void wsgi__conn_close(wsgi__conn *conn);

/* ---- What conns.c does for a connection --------------------------------- */

/* For a request of conn.  NULL when out of memory. */
wsgi__exchange *wsgi__conns_take_exchange(wsgi__conns *set, wsgi__conn *conn);
void wsgi__conns_give_exchange(wsgi__conns *set, wsgi__exchange *x);

/* A closed connection leaves the set, and is freed when nothing refers to
 * it. */
void wsgi__conns_bury(wsgi__conns *set, wsgi__conn *conn);

#endif
