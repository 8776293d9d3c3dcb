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

#include "base/buf.h"
#include "base/log.h"
#include "net/loop.h"
#include "server/report.h"

/* One of each kind; embedded in its owner.  Zero-filled: nobody wants any, and
 * the functions do nothing. */
#define WSGI__N_MONITORS 2
typedef struct wsgi__monitors {
    struct wsgi__monitor *of[WSGI__N_MONITORS]; /* by wsgi_monitor */
} wsgi__monitors;

/* Fills in how things are now; what it points to stays until the next call. */
typedef void (*wsgi__monitor_report)(void *owner, wsgi__report *report);

/* Listens there, without answering yet.  WSGI_ERR_INVALID when there is no such
 * kind, WSGI_ERR_STATE when it has an address already, otherwise as
 * wsgi__listener_open(): with a sentence in `error`. */
int wsgi__monitors_bind(wsgi__monitors *monitors, wsgi_monitor what,
                        const char *address, wsgi__buf *error);

/* "127.0.0.1:9100", or NULL. */
const char *wsgi__monitors_address(const wsgi__monitors *monitors,
                                   wsgi_monitor what);

/* Those that do not yet answer do from now on.  loop, log and owner outlive it.  WSGI_ERR_NOMEM,
 * WSGI_ERR_SYSTEM. */
int wsgi__monitors_start(wsgi__monitors *monitors, wsgi__loop *loop,
                         const wsgi__log *log, wsgi__monitor_report report,
                         void *owner);

/* After wsgi__loop_run_once(): writes answers. */
void wsgi__monitors_turn(wsgi__monitors *monitors);

/* Whether such a turn would write anything: the loop must not wait then. */
bool wsgi__monitors_pending(const wsgi__monitors *monitors);

/* Closes everything; it is as zero-filled then. */
void wsgi__monitors_close(wsgi__monitors *monitors);

/* In a process that was forked: its copies of the descriptors are closed.  The
 * loop, which is the parent's, is not touched. */
void wsgi__monitors_abandon(wsgi__monitors *monitors);

#endif
