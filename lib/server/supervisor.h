/*
 * A supervisor: its table of workers, its loop, what it was asked.  Shared by
 * supervisor*.c; programs see <wsgi/supervisor.h>.
 *
 * supervisor.c has the life and the passes; the others have one concern each:
 * _plan what is done next, _process forking, signalling and waiting, _signals
 * the signals of the supervisor itself, _obey what they ask for, _death what
 * follows when a worker has ended and _cause the words for it, _watch what a
 * program adds to the loop, _monitor what is told of the workers.
 */
#ifndef WSGI_SERVER_SUPERVISOR_H
#define WSGI_SERVER_SUPERVISOR_H

#include <signal.h>
#include <stdatomic.h>
#include <sys/types.h>

#include <wsgi/supervisor.h>

#include "base/buf.h"
#include "base/log.h"
#include "net/loop.h"
#include "server/monitor.h"
#include "server/scoreboard.h"
#include "server/supervisor_cause.h"
#include "server/supervisor_plan.h"

#define WSGI__MOST_WORKERS 256
#define WSGI__MOST_ADOPTED 16
#define WSGI__N_REQUESTS 8           /* of wsgi_supervisor_request */
#define WSGI__N_SUPERVISOR_OPTIONS 7 /* numbers 1 to 6 */

/* The process in a place: what the plan need not know. */
typedef struct wsgi__process {
    wsgi__io exit; /* a pidfd, or -1 where there are none */
    pid_t pid;
    uint64_t started_ms;
    wsgi__told told;
} wsgi__process;

typedef struct wsgi__adopted {
    wsgi__io exit;
    pid_t pid; /* 0: free */
    char *name;
} wsgi__adopted;

/* A descriptor of the program's. */
typedef struct wsgi__watch wsgi__watch;
struct wsgi__watch {
    wsgi__io io;
    wsgi__watch *next;
    wsgi_supervisor_fd_cb ready;
    void *user;
};

struct wsgi_supervisor {
    wsgi__log log;
    wsgi__buf error;
    int64_t options[WSGI__N_SUPERVISOR_OPTIONS];
    wsgi_supervisor_event_cb event;
    void *event_user;

    wsgi_worker_main work;
    void *work_user;

    wsgi__loop *loop;
    wsgi__watch *watches;
    wsgi__board *board;
    wsgi__io notice; /* an eventfd that workers write to */
    int lifeline[2]; /* workers have the reading end */
    sigset_t mask;   /* as it was when it began to run */

    wsgi__plan plan;
    wsgi__place places[WSGI__MOST_PLACES];
    wsgi__process processes[WSGI__MOST_PLACES];
    wsgi__adopted adopted[WSGI__MOST_ADOPTED];

    wsgi__monitors monitors;
    wsgi__report_worker reported[WSGI__MOST_PLACES];
    wsgi__count restarts[WSGI__N_RESTARTS];

    bool ever_ready; /* a worker has been ready once */
    bool failed;     /* none ever was, and one has ended */
    int boot_status;
    unsigned last_generation;
    unsigned n_young;  /* deaths in a row of workers that died young */
    bool fork_failing; /* it is said once until it works again */
    int64_t oom_kills;
    uint64_t passed_ms; /* the last pass */
    uint64_t awake_ms;  /* since when this process has not been stopped */
    uint64_t ticked_ms;

    /* Written by any thread or signal handler. */
    atomic_uint asked[WSGI__N_REQUESTS];
    atomic_int stopped_by;
    /* `loop` as wsgi_supervisor_ask() may see it. */
    _Atomic(wsgi__loop *) wake;
};

/* Sets the error text and returns status. */
int wsgi__supervisor_fail(wsgi_supervisor *self, int status,
                          const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Tells the program. */
void wsgi__supervisor_tell(wsgi_supervisor *self, wsgi_supervisor_event event);

/* Makes the loop if there is none yet. */
int wsgi__supervisor_need_loop(wsgi_supervisor *self);

/* ---- supervisor_signals.c ----------------------------------------------- */

/* Between these two a signal is a request.  WSGI_ERR_STATE: another supervisor
 * has them. */
int wsgi__signals_take(wsgi_supervisor *self);
void wsgi__signals_give_back(wsgi_supervisor *self);

/* "SIGTERM"; "asked to stop" for 0. */
const char *wsgi__signals_name(int number);

/* ---- supervisor_process.c ----------------------------------------------- */

/* Forks a worker into a free place.  Returns in the supervisor only;
 * WSGI_ERR_SYSTEM with errno. */
int wsgi__process_spawn(wsgi_supervisor *self, size_t place,
                        unsigned generation);

/* Sends a signal and notes in the plan what state that makes. */
void wsgi__process_signal(wsgi_supervisor *self, size_t place, int number,
                          wsgi__place_state state, wsgi__told told);

/* Passes a signal on to the workers that are at work. */
void wsgi__process_signal_all(wsgi_supervisor *self, int number);

/* Collects what has ended. */
void wsgi__process_reap(wsgi_supervisor *self);

/* Waits for a child that is no worker. */
int wsgi__process_adopt(wsgi_supervisor *self, pid_t pid, const char *name);

/* Forgets those that still run. */
void wsgi__process_release(wsgi_supervisor *self);

/* ---- supervisor_obey.c -------------------------------------------------- */

/* Takes the requests that have come since the last time. */
void wsgi__supervisor_obey(wsgi_supervisor *self);

/* ---- supervisor_death.c ------------------------------------------------- */

/* The worker of this place has ended: the place is still as it was. */
void wsgi__supervisor_lost(wsgi_supervisor *self, size_t place, int status);

/* The reload has waited long enough for its first worker. */
void wsgi__supervisor_reload_overdue(wsgi_supervisor *self);

/* A worker that lived so long is of no use any more: if that was not long, the
 * next fork waits. */
void wsgi__supervisor_back_off(wsgi_supervisor *self, uint64_t lived_ms);

/* ---- supervisor_monitor.c ----------------------------------------------- */

/* Its monitors answer from now on.  WSGI_ERR_NOMEM, WSGI_ERR_SYSTEM. */
int wsgi__supervisor_start_monitors(wsgi_supervisor *self);

/* A worker has ended, and its score is still there. */
void wsgi__supervisor_count_restart(wsgi_supervisor *self, size_t place,
                                    int status);

/* ---- supervisor_watch.c ------------------------------------------------- */

/* Unwatches all; `close_them` in a worker, which has no use for copies. */
void wsgi__watch_release(wsgi_supervisor *self, bool close_them);

#endif
