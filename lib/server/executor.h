/*
 * Where the event loop, the GIL and threads meet.
 *
 * A connection submits a job when a request is complete; the executor runs the
 * application somewhere and reports back on the loop's thread.  No other file
 * takes the GIL while serving, and no other file starts a thread.
 *
 * A turn of the server has three phases: read (poll, parse, submit; no GIL),
 * run (wsgi__executor_run(): the GIL once for all jobs that are ready) and
 * flush (write what came out).
 */
#ifndef WSGI_SERVER_EXECUTOR_H
#define WSGI_SERVER_EXECUTOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/log.h"
#include "http/body.h"
#include "http/request.h"
#include "http/response.h"
#include "http/vars.h"

typedef struct wsgi__executor wsgi__executor;
typedef struct wsgi__job wsgi__job;

/* Blocks from this size on are lent to the output.  Smaller ones are copied,
 * which costs less than the bookkeeping of a loan, and leave in one write with
 * others. */
#define WSGI__LEND_FROM ((size_t)64 * 1024)

/* A piece of a response body: bytes, or a range of a file. */
typedef struct wsgi__chunk {
    const char *data; /* NULL: the file */
    size_t len;
    int fd; /* open until the job is done */
    off_t at;
    int64_t file_len;
    /* More follows at once, so that writing may wait for it; otherwise these
     * bytes go to the kernel before the application goes on (PEP 3333,
     * "Buffering and Streaming"). */
    bool gathered;
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
    WSGI__END_FAILED,   /* the application raised; it is logged */
    WSGI__END_CANCELLED /* as the connection asked */
} wsgi__end;

/* Called on the loop's thread, in this order: head, data*, end, done.  Within
 * an event the connection may pause, resume or cancel that job. */
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

    wsgi__job *next;
    void *run; /* what the executor keeps of a running job */
    bool queued, paused, cancelled;
};

typedef struct wsgi__executor_ops {
    /* Queues a job; its first event comes later, never from within. */
    void (*submit)(wsgi__executor *ex, wsgi__job *job);
    /* The output is full: no more data events, but for those of write(). */
    void (*pause)(wsgi__executor *ex, wsgi__job *job);
    void (*resume)(wsgi__executor *ex, wsgi__job *job);
    /* The client left, or the rest is of no use.  end and done still come. */
    void (*cancel)(wsgi__executor *ex, wsgi__job *job);
    /* The run phase: some steps of every job that is ready. */
    void (*run)(wsgi__executor *ex);
    /* Whether run() would find something to do. */
    bool (*ready)(const wsgi__executor *ex);
} wsgi__executor_ops;

/* An interface, so that a connection can be tested without Python. */
struct wsgi__executor {
    const wsgi__executor_ops *ops;
};

/* The executor of the library: runs the application on the loop's own thread.
 * app and log outlive it.  NULL when out of memory.  No GIL needed. */
struct wsgi__app;
wsgi__executor *wsgi__executor_new(struct wsgi__app *app,
                                   const wsgi__log *log);

/* With no job left. */
void wsgi__executor_free(wsgi__executor *ex);

#endif
