/*
 * The connections of one loop, and what they share.
 *
 * Owned by the server (or a test), used on the loop's thread only.  Knows the
 * executor's interface, not Python.
 */
#ifndef WSGI_SERVER_CONNS_H
#define WSGI_SERVER_CONNS_H

#include "base/log.h"
#include "net/listener.h"
#include "net/loop.h"
#include "net/stream.h"
#include "server/access.h"
#include "server/answer.h"
#include "server/executor.h"
#include "server/page.h"
#include "server/score.h"

typedef struct wsgi__conn wsgi__conn;

/* Milliseconds; 0: no limit, but for keep_alive, where it closes at once. */
typedef struct wsgi__timeouts {
    unsigned header, body, write, keep_alive;
} wsgi__timeouts;

typedef struct wsgi__conns {
    /* Set by the owner before the first connection. */
    wsgi__loop *loop;
    wsgi__executor *executor;
    const wsgi__log *log;
    wsgi__parser_limits limits;
    wsgi__timeouts timeouts;
    int64_t min_body_rate; /* bytes a second; 0: none */
    size_t body_in_memory;
    size_t most; /* connections at once */
    wsgi__span script_name;
    wsgi__answer_style style;
    wsgi__access_log access;
    wsgi_trace_cb trace;
    void *trace_user;
    const wsgi__stream_ops *stream_ops; /* NULL: plain sockets */
    wsgi__pages *pages;                 /* of the server's own; NULL: none */
    wsgi__score *score; /* set by init to one that nobody reads */

    /* Kept here. */
    wsgi__conn *first;
    size_t count;
    uint64_t last_number;
    uint64_t n_requests;
    wsgi__conn *unflushed; /* have output since the last flush */
    wsgi__conn *waiting;   /* have a pipelined request to be parsed */
    wsgi__conn *dead;      /* closed, freed at the end of the turn */
    wsgi__exchange *spare, *last_spare; /* the pool, see conns.c */
    size_t n_spare;
    char *input; /* what was read last, of any connection */
    wsgi__buf scratch;
    wsgi__head_made made;
    wsgi__date date;
    bool draining;
    /* Set by the owner before it drains, if others serve on: a client that is
     * about to send its next request has the grace to do so. */
    bool gentle;
} wsgi__conns;

/* Zero-fills the rest.  executor may be NULL where pages answer every request.
 * WSGI_ERR_NOMEM. */
int wsgi__conns_init(wsgi__conns *set, wsgi__loop *loop,
                     wsgi__executor *executor, const wsgi__log *log);

/* Closes what is open still and frees the rest.  Jobs are over before: first
 * wsgi__conns_close_all(), then the executor until nothing is ready. */
void wsgi__conns_free(wsgi__conns *set);

/* Takes an accepted socket over, whatever the result.  peer is copied;
 * listener outlives the connection.  WSGI_ERR_NOMEM, WSGI_ERR_SYSTEM. */
int wsgi__conns_add(wsgi__conns *set, int fd, const wsgi__listener *listener,
                    const wsgi__endpoint *peer);

static inline bool
wsgi__conns_full(const wsgi__conns *set)
{
    return set->count >= set->most;
}

/* Whether one more fits in; when full, whether a connection that is idle
 * between two requests could be closed for it. */
bool wsgi__conns_have_room(const wsgi__conns *set);

/* Closes such a connection if that is what it takes; false if there is none. */
bool wsgi__conns_make_room(wsgi__conns *set);

/* Closes one whether or not the set is full: the machine is. */
bool wsgi__conns_close_idle(wsgi__conns *set);

/* Closes the one that has been there longest, whatever is under way, if it has
 * been there that long; false if it has not. */
bool wsgi__conns_close_older(wsgi__conns *set, unsigned ms);

/* Parses pipelined requests whose turn has come; true if there were any. */
bool wsgi__conns_continue(wsgi__conns *set);

/* The flush phase: writes what the turn put into output queues. */
void wsgi__conns_flush(wsgi__conns *set);

/* Frees what was closed in this turn. */
void wsgi__conns_reap(wsgi__conns *set);

/* Graceful stop: connections close after their answer, idle ones at once.  One
 * that had no request yet has a moment for one; if the drain is gentle, so has
 * every idle one, and one whose answer has promised to be kept. */
void wsgi__conns_drain(wsgi__conns *set);

/* Closes all at once and cancels their jobs, whose done is still to come. */
void wsgi__conns_close_all(wsgi__conns *set);

#endif
