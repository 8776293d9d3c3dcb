/*
 * libwsgi - several processes that serve, and one that looks after them.
 *
 *     #include <wsgi/supervisor.h>
 *
 *     static int
 *     work(wsgi_worker *worker, void *user)
 *     {
 *         wsgi_server *server = user;
 *
 *         if (wsgi_server_set_worker(server, worker) < 0 ||
 *             wsgi_server_serve(server) < 0)
 *             return 1;
 *         return 0;
 *     }
 *
 *     wsgi_server_set_app(server, "wsgiapp:app");
 *     wsgi_server_bind(server, "127.0.0.1:8000");
 *     wsgi_supervisor *supervisor = wsgi_supervisor_new();
 *     wsgi_supervisor_set_int(supervisor, WSGI_SUPERVISOR_WORKERS, 4);
 *     if (wsgi_supervisor_run(supervisor, work, server) < 0)
 *         fprintf(stderr, "%s\n", wsgi_supervisor_error(supervisor));
 *     wsgi_supervisor_free(supervisor);
 *
 * The supervisor forks workers, tells why one died, starts another in its
 * place, and replaces all of them for new code without a gap.  It knows neither
 * HTTP nor Python: a worker is a function, and may be anything.  What the
 * application does cannot stop the supervisor, since Python runs in the workers
 * only.
 *
 * A worker is *starting* until it says wsgi_worker_ready() (a server that is
 * served does), then *ready*, and *draining* once it has been told to stop.  New
 * workers come first and old ones go when the new ones are ready: the sockets
 * are shared, and nobody is refused.
 *
 * Signals.  wsgi_supervisor_run() takes these over, and gives them back when it
 * returns; wsgi_supervisor_ask() does the same without a signal:
 *
 *   TERM, INT    workers finish what is under way, then it returns; again: now
 *   QUIT         workers end at once
 *   HUP          new workers, the old ones drain when these are ready
 *   USR1, USR2   passed on to the program, as WSGI_SUPERVISOR_REOPEN (and to
 *                the workers) and WSGI_SUPERVISOR_UPGRADE
 *   TTIN, TTOU   one worker more, one less
 *   WINCH        workers drain, the supervisor stays until HUP; not where it
 *                comes from a terminal that was resized
 *
 * Of what has come by the time it looks, a stop counts first and a reload last:
 * WINCH and HUP together end with new workers.
 *
 * In a worker, TERM asks to drain and QUIT to end at once: both reach
 * wsgi_server_stop() by themselves, and end a worker that is still starting.
 * INT is left to the supervisor, since a terminal sends it to both.  In
 * processes that a worker forks all have their usual effect.
 *
 * Threads.  A supervisor belongs to one thread, and a process runs one at a
 * time; wsgi_supervisor_ask() may be called by any thread or signal handler.
 * fork() copies the calling thread only: start others in the workers.
 */
#ifndef WSGI_SUPERVISOR_H
#define WSGI_SUPERVISOR_H

#include <wsgi/wsgi.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wsgi_supervisor wsgi_supervisor;
typedef struct wsgi_worker wsgi_worker;

/* ---- Lifecycle ---------------------------------------------------------- */

/* NULL when out of memory.  Functions answer a NULL supervisor with
 * WSGI_ERR_NOMEM, so that this result needs no check of its own. */
WSGI_API WSGI_NODISCARD wsgi_supervisor *wsgi_supervisor_new(void);

/* Not while it runs.  NULL is ignored. */
WSGI_API void wsgi_supervisor_free(wsgi_supervisor *supervisor);

/* What went wrong in the last failing call, in one line; "" if nothing has. */
WSGI_API const char *wsgi_supervisor_error(const wsgi_supervisor *supervisor);

/* Numbers are part of the ABI.  Durations are milliseconds. */
typedef enum wsgi_supervisor_option {
    /* How many workers there are to be, 1 to 256. [1] */
    WSGI_SUPERVISOR_WORKERS = 1,
    /* A worker that drains longer is killed; 0: never.  Longer than what the
     * worker allows itself (WSGI_OPT_GRACEFUL_TIMEOUT). [35000] */
    WSGI_SUPERVISOR_GRACEFUL_TIMEOUT = 2,
    /* A worker that was ready and has given no sign for so long is sent SIGABRT
     * and then SIGKILL; 0: never, or at least 3000. [30000] */
    WSGI_SUPERVISOR_HEARTBEAT_TIMEOUT = 3,
    /* Whether to take over the signals named above, 0 or 1. [1] */
    WSGI_SUPERVISOR_SIGNALS = 4,
    /* Whether RELOAD is refused, with a message, because new workers would run
     * the old code: the program has loaded it before the fork.  0 or 1. [0] */
    WSGI_SUPERVISOR_PRELOADED = 5,
    /* A reload whose first worker has not become ready after so long has failed,
     * and the old workers go on; 0: it waits for ever. [600000] */
    WSGI_SUPERVISOR_RELOAD_TIMEOUT = 6
} wsgi_supervisor_option;

/* WSGI_ERR_OPTION, WSGI_ERR_INVALID.  WORKERS also while it runs, on its
 * thread. */
WSGI_API int wsgi_supervisor_set_int(wsgi_supervisor *supervisor,
                                     wsgi_supervisor_option option,
                                     int64_t value);
WSGI_API int64_t wsgi_supervisor_get_int(const wsgi_supervisor *supervisor,
                                         wsgi_supervisor_option option);

/* As wsgi_server_set_log(). */
WSGI_API void wsgi_supervisor_set_log(wsgi_supervisor *supervisor,
                                      wsgi_log_level level, wsgi_log_cb cb,
                                      void *user);

/* CPUs that this process may use: its affinity, and the quota of its control
 * group rounded up.  At least 1. */
WSGI_API unsigned wsgi_supervisor_cpus(void);

/* ---- Running ------------------------------------------------------------ */

/* Runs in the worker process; the result is its exit status. */
typedef int (*wsgi_worker_main)(wsgi_worker *worker, void *user);

/* Forks workers and looks after them until it is asked to stop and the last
 * one has gone.  In a worker this does not return: the process ends with the
 * status that `work` returns, after stdio is flushed and without atexit
 * handlers.
 *
 * WSGI_OK after a stop.  WSGI_ERR_WORKER when no worker has ever become ready
 * and one has ended: what is wrong would be wrong with the next one too;
 * wsgi_supervisor_boot_status() then has its status.  WSGI_ERR_STATE when
 * another supervisor runs in this process, WSGI_ERR_SYSTEM (also when the first
 * worker cannot be forked; later ones are tried again), WSGI_ERR_NOMEM. */
WSGI_API int wsgi_supervisor_run(wsgi_supervisor *supervisor,
                                 wsgi_worker_main work, void *user);

/* After WSGI_ERR_WORKER: the exit status of the worker that could not start,
 * or -1 if a signal ended it. */
WSGI_API int wsgi_supervisor_boot_status(const wsgi_supervisor *supervisor);

typedef enum wsgi_supervisor_request {
    WSGI_ASK_STOP = 0,     /* as TERM; again: as STOP_NOW */
    WSGI_ASK_STOP_NOW = 1, /* as QUIT; again: SIGKILL to the workers */
    WSGI_ASK_RELOAD = 2,   /* as HUP */
    WSGI_ASK_REOPEN = 3,   /* as USR1 */
    WSGI_ASK_UPGRADE = 4,  /* as USR2 */
    WSGI_ASK_MORE = 5,     /* as TTIN */
    WSGI_ASK_FEWER = 6,    /* as TTOU; the last worker stays */
    WSGI_ASK_PAUSE = 7     /* as WINCH */
} wsgi_supervisor_request;

/* Async-signal-safe and thread-safe; returns at once.  Before run it is
 * remembered. */
WSGI_API void wsgi_supervisor_ask(wsgi_supervisor *supervisor,
                                  wsgi_supervisor_request request);

/* The signal that stopped it last, or 0: wsgi_supervisor_ask() did. */
WSGI_API int wsgi_supervisor_stopped_by(const wsgi_supervisor *supervisor);

/* ---- What a program may add to the supervisor's loop --------------------- */

typedef enum wsgi_supervisor_event {
    /* The first worker is ready: from now on somebody serves. */
    WSGI_SUPERVISOR_READY = 0,
    /* New workers are being started in place of all. */
    WSGI_SUPERVISOR_RELOADING = 1,
    /* They have taken over. */
    WSGI_SUPERVISOR_RELOADED = 2,
    /* One of them could not start, or not in time: the old ones go on. */
    WSGI_SUPERVISOR_RELOAD_FAILED = 3,
    /* Asked to stop, before the workers are told.  Close the listening sockets
     * here: the workers have copies of them, and the last one to go empties the
     * queue. */
    WSGI_SUPERVISOR_STOPPING = 4,
    /* Log files are to be opened again. */
    WSGI_SUPERVISOR_REOPEN = 5,
    /* The program is to start its successor. */
    WSGI_SUPERVISOR_UPGRADE = 6,
    /* Around fork(), in the supervisor; AFTER_FORK also when it failed.  In the
     * worker, `work` is what comes next. */
    WSGI_SUPERVISOR_BEFORE_FORK = 7,
    WSGI_SUPERVISOR_AFTER_FORK = 8,
    /* About once a second. */
    WSGI_SUPERVISOR_TICK = 9,
    /* A worker has become ready, or has ended. */
    WSGI_SUPERVISOR_CHANGED = 10
} wsgi_supervisor_event;

/* On the supervisor's thread.  It delays the supervisor as long as it runs. */
typedef void (*wsgi_supervisor_event_cb)(void *user,
                                         wsgi_supervisor_event event);
WSGI_API void wsgi_supervisor_set_event(wsgi_supervisor *supervisor,
                                        wsgi_supervisor_event_cb cb,
                                        void *user);

/* Calls ready, level-triggered, when fd can be read or has hung up, and with
 * `writable` also when it can be written.  A second call for the same fd
 * replaces the first.  Before run or from a callback; workers get no call, and
 * close fd if it is close-on-exec.  WSGI_ERR_SYSTEM, WSGI_ERR_NOMEM. */
typedef void (*wsgi_supervisor_fd_cb)(void *user, int fd);
WSGI_API int wsgi_supervisor_watch(wsgi_supervisor *supervisor, int fd,
                                   int writable, wsgi_supervisor_fd_cb ready,
                                   void *user);
WSGI_API void wsgi_supervisor_unwatch(wsgi_supervisor *supervisor, int fd);

/* A child of the program's own, such as its successor: it is waited for, and
 * how it ended is logged under that name.  The name is copied. */
WSGI_API int wsgi_supervisor_adopt(wsgi_supervisor *supervisor, int64_t pid,
                                   const char *name);

/* ---- Reading the workers ------------------------------------------------- */

typedef enum wsgi_worker_state {
    WSGI_WORKER_STARTING = 0,
    WSGI_WORKER_READY = 1,
    WSGI_WORKER_DRAINING = 2,
    WSGI_WORKER_DYING = 3 /* was told to end at once, or is being killed */
} wsgi_worker_state;

/* Grows at the end only: a field is there when its end is within size. */
typedef struct wsgi_worker_info {
    size_t size;
    unsigned number; /* 1 and up; free numbers are given again */
    unsigned generation;
    int64_t pid;
    wsgi_worker_state state;
    int64_t age_ms;    /* since the fork */
    int64_t silent_ms; /* since its last sign; -1: none yet */
} wsgi_worker_info;

#define WSGI_WORKER_INFO_INIT                                                 \
    {                                                                         \
        sizeof(wsgi_worker_info), 0, 0, 0, WSGI_WORKER_STARTING, 0, -1        \
    }

/* The index-th worker there is, by number; info starts from
 * WSGI_WORKER_INFO_INIT.  WSGI_ERR_INVALID past the last.  On the supervisor's
 * thread. */
WSGI_API int wsgi_supervisor_worker(const wsgi_supervisor *supervisor,
                                    size_t index, wsgi_worker_info *info);

/* Adds an address at which the supervisor tells over HTTP how its workers are,
 * as wsgi_server_bind_monitor() does for one server: numbers are summed over
 * the workers, and those that have ended still count.  Before run or from a
 * callback. */
WSGI_API int wsgi_supervisor_bind_monitor(wsgi_supervisor *supervisor,
                                          wsgi_monitor what,
                                          const char *address);

/* The address that was bound, or NULL. */
WSGI_API const char *
wsgi_supervisor_monitor_address(const wsgi_supervisor *supervisor,
                                wsgi_monitor what);

/* Leaves these addresses, to a successor perhaps.  From a callback too, or they
 * close when run returns. */
WSGI_API void wsgi_supervisor_close_monitors(wsgi_supervisor *supervisor);

/* ---- In a worker --------------------------------------------------------- */

WSGI_API unsigned wsgi_worker_number(const wsgi_worker *worker);
WSGI_API unsigned wsgi_worker_generation(const wsgi_worker *worker);

/* It can do its work.  Also its first sign. */
WSGI_API void wsgi_worker_ready(wsgi_worker *worker);

/* A sign of life, cheap enough for every turn of a loop.  A worker that was
 * ready owes one per heartbeat timeout; a server gives them by itself. */
WSGI_API void wsgi_worker_beat(wsgi_worker *worker);

/* Asks for another worker in this one's place.  It goes on until it is told to
 * drain, which is when the other is ready. */
WSGI_API void wsgi_worker_replace(wsgi_worker *worker);

typedef enum wsgi_worker_order {
    WSGI_WORKER_GO_ON = 0,
    WSGI_WORKER_DRAIN = 1,
    WSGI_WORKER_END = 2
} wsgi_worker_order;

/* What a worker without a server has been told; wsgi_worker_fd() is readable
 * from when that changes first, and from when the supervisor has died, which is
 * an order to drain. */
WSGI_API wsgi_worker_order wsgi_worker_order_now(wsgi_worker *worker);
WSGI_API int wsgi_worker_fd(const wsgi_worker *worker);

/* The server is what this worker does: it tells when it is ready and gives
 * signs of life, obeys the orders, and counts in memory that the supervisor can
 * read.  In the worker, before the server is started; it was bound before the
 * fork, so that all workers share its sockets.  WSGI_ERR_STATE: it is started, or
 * the worker has a server already. */
WSGI_API int wsgi_server_set_worker(wsgi_server *server, wsgi_worker *worker);

#ifdef __cplusplus
}
#endif

#endif /* WSGI_SUPERVISOR_H */
