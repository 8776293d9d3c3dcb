/*
 * What a worker tells about itself: counters, a heartbeat, what each thread is
 * doing.
 *
 * Plain numbers without pointers, in memory of the server's own or in memory
 * that a supervisor shares with it.  Written by the worker without locks, read
 * by anybody at any time: each number is true, together they may be of
 * different moments.  Counters only grow; gauges say what is now.  No HTTP, no
 * Python, no I/O.
 */
#ifndef WSGI_SERVER_SCORE_H
#define WSGI_SERVER_SCORE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* The upper bounds of a histogram, in milliseconds; what is longer counts in
 * one bucket more. */
#define WSGI__SCORE_BOUNDS                                                    \
    {                                                                         \
        1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000,   \
            60000                                                             \
    }
#define WSGI__SCORE_BUCKETS 16

/* Threads of one worker that are told apart; more share the last place. */
#define WSGI__SCORE_THREADS 65

/* Of a request line. */
#define WSGI__SCORE_TEXT 200

typedef _Atomic(uint64_t) wsgi__count;

typedef struct wsgi__histogram {
    wsgi__count buckets[WSGI__SCORE_BUCKETS]; /* not cumulative */
    wsgi__count sum_us;
} wsgi__histogram;

typedef enum wsgi__worker_state {
    WSGI__WORKER_STARTING = 0,
    WSGI__WORKER_READY,
    WSGI__WORKER_DRAINING
} wsgi__worker_state;

/* Why a worker asks for another in its place. */
typedef enum wsgi__replace {
    WSGI__REPLACE_NO = 0,
    WSGI__REPLACE_REQUESTS, /* max-requests */
    WSGI__REPLACE_LIFETIME, /* max-lifetime */
    WSGI__REPLACE_MEMORY,   /* max-memory */
    WSGI__REPLACE_STUCK,    /* a call is past its timeout and does not end */
    WSGI__REPLACE_ASKED     /* the program's own reason */
} wsgi__replace;

typedef enum wsgi__thread_phase {
    WSGI__THREAD_NONE = 0, /* there is no such thread */
    WSGI__THREAD_IDLE,
    WSGI__THREAD_LOOP,  /* has the loop, and runs short calls there */
    WSGI__THREAD_CALL,  /* in a call of the application for long */
    WSGI__THREAD_BLOCK, /* in the iterable's next() */
    WSGI__THREAD_CLOSE  /* in the iterable's close() */
} wsgi__thread_phase;

typedef struct wsgi__score_thread {
    atomic_uint phase;
    atomic_uint version;  /* odd while `what` is being written */
    wsgi__count since_ns; /* monotonic: of the phase */
    /* The request line, escaped, with a NUL. */
    _Atomic(char) what[WSGI__SCORE_TEXT];
} wsgi__score_thread;

typedef struct wsgi__score {
    wsgi__count heartbeat_ns; /* monotonic: the loop's last turn; 0: none */
    wsgi__count started_ns;
    atomic_int state;   /* wsgi__worker_state */
    atomic_int replace; /* wsgi__replace */

    /* Gauges. */
    wsgi__count threads, busy; /* of the application; in a call */
    wsgi__count connections, queued;

    /* Counters. */
    wsgi__count accepted;
    wsgi__count responses[600]; /* by status code; 0: any other */
    wsgi__count bytes_in, bytes_out;
    wsgi__count timeouts;    /* requests past `timeout` */
    wsgi__count shed;        /* refused with 503: queue full or too long */
    wsgi__count takeovers;   /* the loop went to another thread */
    wsgi__histogram latency; /* first byte of a request to end of its answer */
    wsgi__histogram queue;   /* complete request to call of the application */

    wsgi__score_thread thread[WSGI__SCORE_THREADS];
} wsgi__score;

/* All of a score has one writer at a time, the thread that has the loop (but
 * for the thread slots): no locked instruction is needed. */
static inline void
wsgi__count_add(wsgi__count *count, uint64_t n)
{
    atomic_store_explicit(
        count, atomic_load_explicit(count, memory_order_relaxed) + n,
        memory_order_relaxed);
}

static inline void
wsgi__count_set(wsgi__count *count, uint64_t n)
{
    atomic_store_explicit(count, n, memory_order_relaxed);
}

static inline uint64_t
wsgi__count_get(const wsgi__count *count)
{
    return atomic_load_explicit(count, memory_order_relaxed);
}

void wsgi__histogram_add(wsgi__histogram *histogram, uint64_t us);

/* Any thread, one writer per slot. */
void wsgi__score_thread_set(wsgi__score_thread *thread,
                            wsgi__thread_phase phase, uint64_t since_ns,
                            const char *what, size_t len);

/* A consistent copy of `what` with a NUL; "" while it keeps changing. */
void wsgi__score_thread_what(const wsgi__score_thread *thread,
                             char what[WSGI__SCORE_TEXT]);

#endif
