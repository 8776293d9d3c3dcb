/*
 * Where the event loop, the GIL and threads meet.
 *
 * A connection submits a job when a request is complete; the executor runs the
 * application somewhere and reports back on the thread that has the loop.  While
 * serving, nobody but its files (executor_parts.h) takes the GIL or starts a
 * thread.
 *
 * A turn of the server has three phases: read (poll, parse, submit; no GIL),
 * run (the GIL once for all jobs that are ready) and flush (write what came
 * out).  While a call keeps the thread that runs the turn, another one takes the
 * loop over and goes on with the next turn: docs/concurrency.md.
 */
#ifndef WSGI_SERVER_EXECUTOR_H
#define WSGI_SERVER_EXECUTOR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/log.h"
#include "http/body.h"
#include "http/request.h"
#include "http/response.h"
#include "http/vars.h"
#include "server/score.h"

typedef struct wsgi__executor wsgi__executor;
typedef struct wsgi__job wsgi__job;

/* Blocks from this size on are lent to the output.  Smaller ones are copied,
 * which costs less than the bookkeeping of a loan, and leave in one write with
 * others.  A page of 10 KiB: 9,600 instructions lent, 18,900 copied. */
#define WSGI__LEND_FROM ((size_t)8 * 1024)

/* A piece of a response body: bytes, or a range of a file. */
typedef struct wsgi__chunk {
    const char *data; /* NULL: the file */
    size_t len;
    int fd; /* open until the job is done */
    off_t at;
    int64_t file_len;
    /* From write(): comes whether or not the job is paused. */
    bool pushed;
    /* To keep `data` beyond the event, without a copy: taken is set and
     * release(owner) called once, later, on any thread.  NULL: copy. */
    void (*release)(void *owner);
    void *owner;
    bool taken;
} wsgi__chunk;

typedef enum wsgi__end {
    WSGI__END_OK,
    WSGI__END_FAILED,    /* the application raised; it is logged */
    WSGI__END_CANCELLED, /* as the connection asked */
    WSGI__END_TIMEOUT,   /* the application takes too long; it is logged */
    WSGI__END_SHED       /* nobody had time for it: it was not begun */
} wsgi__end;

/* Called on the thread that has the loop, in this order: head, data*, end,
 * done.  Within an event the connection may pause, resume or cancel that job.
 * After WSGI__END_TIMEOUT, done may be long in coming: the answer does not wait
 * for it.  That end may also follow another one, when close() takes too long. */
typedef struct wsgi__job_events {
    /* res lives until this returns. */
    void (*head)(wsgi__job *job, const wsgi__response *res);
    void (*data)(wsgi__job *job, wsgi__chunk *chunk);
    /* Nothing more will come; the iterable's close() has still to run. */
    void (*end)(wsgi__job *job, wsgi__end how);
    /* The executor has let go: the job may be submitted again or freed. */
    void (*done)(wsgi__job *job);
} wsgi__job_events;

/* Embedded in its owner.  The first group is the owner's to fill, and stays
 * valid until done; the second the executor's (zero-filled at first). */
struct wsgi__job {
    const wsgi__request *req;
    const wsgi__conn_info *conn;
    wsgi__body *body; /* its content is taken over */
    const wsgi__job_events *events;

    void *run; /* what the executor keeps of it */
    /* Written by the thread that has the loop. */
    atomic_bool paused, cancelled;
};

typedef struct wsgi__executor_ops {
    /* Queues a job; its first event comes later, never from within. */
    void (*submit)(wsgi__executor *ex, wsgi__job *job);
    /* The output is full: no more data events, but for those of write(). */
    void (*pause)(wsgi__executor *ex, wsgi__job *job);
    void (*resume)(wsgi__executor *ex, wsgi__job *job);
    /* The client left, or the rest is of no use.  end and done still come. */
    void (*cancel)(wsgi__executor *ex, wsgi__job *job);
    /* The client has sent all it will ever send: it may have left.  A job that
     * has to wait for a thread is not worth running then, and is cancelled. */
    void (*leaving)(wsgi__executor *ex, wsgi__job *job);
    /* The run phase: some steps of every job that is ready.  False: the loop is
     * another thread's now, and nothing of it may be touched. */
    bool (*run)(wsgi__executor *ex);
    /* Whether run() would find something to do. */
    bool (*ready)(const wsgi__executor *ex);
} wsgi__executor_ops;

/* An interface, so that a connection can be tested without Python. */
struct wsgi__executor {
    const wsgi__executor_ops *ops;
};

/* ---- The executor of the library ---------------------------------------- */

struct wsgi__app;
struct wsgi__loop;

typedef struct wsgi__executor_settings {
    struct wsgi__app *app;   /* outlives the executor */
    struct wsgi__loop *loop; /* outlives it */
    const wsgi__log *log;    /* outlives it */
    wsgi__score *score;      /* outlives it; gauges and threads are kept up */
    unsigned threads;        /* calls at once, 1 or more */
    /* Milliseconds, 0: none.  Of a call without output; from when on its stack
     * is logged; in the queue. */
    unsigned timeout_ms, slow_ms, queue_ms;
    wsgi_stuck_cb stuck; /* see wsgi_server_set_stuck(); may be NULL */
    void *stuck_user;
    size_t queue_size; /* jobs that wait for a thread; 0: no limit */
} wsgi__executor_settings;

/* NULL when out of memory.  No GIL needed.  No thread is started before there
 * is something to do for one. */
wsgi__executor *wsgi__executor_new(const wsgi__executor_settings *settings);

/* One turn of whoever owns the loop: WSGI_OK to be called again,
 * WSGI__TURN_LOST when run() said that the loop is another's, anything else is
 * the end. */
typedef int (*wsgi__turn)(void *user);
#define WSGI__TURN_LOST 2

/* Makes turns until one ends it, and returns its result: on this thread, and
 * while an application call keeps it, on others.  Without the GIL. */
int wsgi__executor_serve(wsgi__executor *ex, wsgi__turn turn, void *user);

/* The loop is a host's: from here on the calling thread never runs the
 * application, which always gets a thread of its own. */
void wsgi__executor_be_hosted(wsgi__executor *ex);

/* Before the loop may wait: whether it ought to look first what is ready, as
 * this thread keeps the GIL that others want too. */
bool wsgi__executor_keeps_gil(const wsgi__executor *ex);

/* Gives back a GIL that was kept. */
void wsgi__executor_rest(wsgi__executor *ex);

/* Whether every thread is in a call. */
bool wsgi__executor_is_saturated(const wsgi__executor *ex);

/* Brings the gauges of the score up to date: threads in calls, and jobs that
 * wait for one. */
void wsgi__executor_show(const wsgi__executor *ex);

/* Jobs that are not done; of these, calls that ran into the timeout. */
size_t wsgi__executor_jobs(const wsgi__executor *ex);
size_t wsgi__executor_lost(const wsgi__executor *ex);

/* The end: the calling thread makes the remaining turns by itself, and nobody
 * takes the loop from it.  Calls that are cancelled are interrupted. */
void wsgi__executor_close_down(wsgi__executor *ex);
void wsgi__executor_closed_down(wsgi__executor *ex);

/* From here on a call that is cancelled has an exception raised in it, as for a
 * timeout: the server stops. */
void wsgi__executor_interrupt(wsgi__executor *ex);

/* Ends its threads.  With no job left, or with calls that do not end: false
 * then, and the executor stays for them, with what it refers to.  Without the
 * GIL. */
bool wsgi__executor_free(wsgi__executor *ex);

#endif
