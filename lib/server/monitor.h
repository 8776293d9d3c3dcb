/*
 * A small HTTP server beside the one of the application: for those who watch
 * it.  It runs on the loop of its owner, who has to call wsgi__monitor_turn()
 * after each turn of that, and answers from reports that its owner makes.
 *
 *     /metrics      the Prometheus text format
 *     /health       200 when somebody is ready for requests, else 503
 *     /health/live  200
 *     /status       a table for people; on the control socket alone, since
 *                   request lines are in it
 *
 * No Python, and no executor: every request has a page.  A connection ends with
 * its answer.
 */
#ifndef WSGI_SERVER_MONITOR_H
#define WSGI_SERVER_MONITOR_H

#include "net/listener.h"
#include "server/conns.h"
#include "server/report.h"

/* Fills in how things are now; what it points to stays until the next call. */
typedef void (*wsgi__monitor_report)(void *owner, wsgi__report *report);

typedef struct wsgi__monitor {
    wsgi__pages pages;
    wsgi__conns conns;
    wsgi__listener *listener; /* NULL: this monitor is not wanted */
    wsgi__loop *loop;         /* NULL: not started */
    wsgi__timer rest;
    const wsgi__log *log;
    wsgi__monitor_report report;
    void *owner;
    wsgi__buf text; /* of the page */
    pid_t bound_by;
    bool shows_status;
} wsgi__monitor;

/* Zero-filled is a monitor that nobody wants: the functions below do nothing
 * with it. */

/* Listens, without answering yet.  shows_status: it is the control socket,
 * which then has mode 0600.  WSGI_ERR_STATE when there is an address already;
 * otherwise as wsgi__listener_open(), with a sentence in `error`. */
int wsgi__monitor_bind(wsgi__monitor *monitor, const char *address,
                       bool shows_status, wsgi__buf *error);

/* Answers from now on.  loop, log and owner outlive it.  WSGI_ERR_NOMEM,
 * WSGI_ERR_SYSTEM. */
int wsgi__monitor_start(wsgi__monitor *monitor, wsgi__loop *loop,
                        const wsgi__log *log, wsgi__monitor_report report,
                        void *owner);

/* After wsgi__loop_run_once(): writes answers. */
void wsgi__monitor_turn(wsgi__monitor *monitor);

/* Closes everything; it is as zero-filled then. */
void wsgi__monitor_close(wsgi__monitor *monitor);

/* In a process that was forked: its copies of the descriptors are closed.  The
 * loop, which is the parent's, is not touched. */
void wsgi__monitor_abandon(wsgi__monitor *monitor);

#endif
