/*
 * What there is to tell about a program that serves: facts, gathered by whoever
 * has them, and the texts that are made of them.
 *
 * Pure: no I/O, no clock, no Python.
 */
#ifndef WSGI_SERVER_REPORT_H
#define WSGI_SERVER_REPORT_H

#include <stdbool.h>

#include <wsgi/wsgi.h>

#include "base/buf.h"
#include "server/score.h"

typedef enum wsgi__report_state {
    WSGI__REPORT_STARTING = 0,
    WSGI__REPORT_READY,
    WSGI__REPORT_DRAINING,
    WSGI__REPORT_ENDING, /* was told to end at once */
    WSGI__N_REPORT_STATES
} wsgi__report_state;

/* Why a worker has been replaced. */
typedef enum wsgi__restart {
    WSGI__RESTART_EXIT = 0, /* it ended by itself */
    WSGI__RESTART_SIGNAL,   /* not the supervisor's */
    WSGI__RESTART_SILENT,   /* its loop gave no sign, and it was killed */
    WSGI__RESTART_STUCK,    /* a call was past its timeout and did not end */
    WSGI__RESTART_REQUESTS, /* max-requests */
    WSGI__RESTART_LIFETIME, /* max-lifetime */
    WSGI__RESTART_MEMORY,   /* max-memory */
    WSGI__RESTART_ASKED,    /* the program's own reason */
    WSGI__N_RESTARTS
} wsgi__restart;

typedef struct wsgi__report_worker {
    unsigned number;
    int64_t pid;
    wsgi__report_state state;
    uint64_t age_ms;
    const wsgi__score *score;
} wsgi__report_worker;

typedef struct wsgi__report {
    int64_t pid;                        /* of the process that tells */
    uint64_t now_ns;                    /* monotonic */
    const wsgi__report_worker *workers; /* those that there are, by number */
    size_t n_workers;
    const wsgi__score *ended; /* counters of those that are gone; NULL: none */
    const wsgi__count *restarts; /* by cause; NULL: nobody replaces workers */
} wsgi__report;

/* Appends the Prometheus text format 0.0.4: counters and histograms summed over
 * the workers, past ones included, so that none ever goes down.
 * WSGI_ERR_NOMEM; what was appended is then of no use. */
int wsgi__report_metrics(const wsgi__report *report, wsgi__buf *out);

#define WSGI__METRICS_TYPE                                                    \
    WSGI__SPAN("text/plain; version=0.0.4; charset=utf-8")

/* Appends a table for people: each worker, and what each of its threads is
 * doing now, for how long.  WSGI_ERR_NOMEM as above. */
int wsgi__report_status(const wsgi__report *report, wsgi__buf *out);

/* "starting" */
const char *wsgi__report_state_name(wsgi__report_state state);

/* Whether anybody is ready for requests. */
bool wsgi__report_is_ready(const wsgi__report *report);

/* ---- For the files that write them --------------------------------------- */

/* Counts over the workers and those that have ended, of a member of
 * wsgi__score. */
#define WSGI__REPORT_SUM(report, member)                                      \
    wsgi__report_sum((report), offsetof(wsgi__score, member))
uint64_t wsgi__report_sum(const wsgi__report *report, size_t offset);

/* Goes on after a failure without doing anything. */
typedef struct wsgi__writer {
    wsgi__buf *out;
    int status;
} wsgi__writer;

#define WSGI__WRITE_TEXT(writer, ...)                                         \
    do {                                                                      \
        if ((writer)->status == WSGI_OK)                                      \
            (writer)->status = wsgi__buf_printf((writer)->out, __VA_ARGS__);  \
    } while (0)

#endif
