/*
 * A server: options, listeners, connections, executor and application, and
 * their life.  Shared by server.c and serve.c; programs see <wsgi/wsgi.h>.
 */
#ifndef WSGI_SERVER_SERVER_H
#define WSGI_SERVER_SERVER_H

/* Python.h wants to come first. */
#include "python/app.h"

#include <stdatomic.h>
#include <sys/types.h>

#include <wsgi/supervisor.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/options.h"
#include "net/listener.h"
#include "net/loop.h"
#include "python/gil.h"
#include "server/conns.h"
#include "server/health.h"
#include "server/monitor.h"
#include "server/score.h"

typedef enum wsgi__phase {
    WSGI__SERVER_NEW,     /* configured; bound, perhaps loaded */
    WSGI__SERVER_SERVING, /* accepts */
    WSGI__SERVER_LEAVING, /* accepts still, for the drain delay */
    WSGI__SERVER_DRAINING,
    WSGI__SERVER_STOPPED
} wsgi__phase;

/* Values of stop_asked: what wsgi_server_stop() was told, plus one. */
enum { WSGI__STOP_NONE, WSGI__STOP_DRAIN, WSGI__STOP_NOW };

struct wsgi_server {
    wsgi__options options;
    wsgi__log log;
    wsgi__buf error;
    wsgi__phase phase;

    wsgi__listener **listeners;
    size_t n_listeners;
    pid_t bound_by; /* who removes the files of Unix sockets */

    char *app_spec;
    PyObject *app_object; /* instead of app_spec */
    wsgi__app *app;       /* loaded */
    wsgi__gil gil;        /* of the thread that configures */

    wsgi_access_cb access;
    void *access_user;
    wsgi_trace_cb trace;
    void *trace_user;

    wsgi_stuck_cb stuck;
    void *stuck_user;

    wsgi__loop *loop;
    wsgi__executor *executor;
    wsgi__conns conns;
    wsgi__health health;
    wsgi__monitors monitors;
    wsgi__report_worker self; /* as its monitors report it */
    uint64_t began_ns;        /* monotonic: when serving began */
    wsgi__stream_ops stream_ops;
    wsgi__timer accept_pause; /* the machine is short of descriptors */
    int reserve_fd;      /* -1, or what is given up to turn a client away */
    bool accept_failing; /* it is said once until it is over */
    uint64_t accept_failed_at;
    wsgi__timer leave_end, drain_end, give_up;
    bool accepting;
    bool stopping_now; /* it was told to, and has begun */
    bool given_up;     /* calls that do not end are not waited for */
    bool left_behind;  /* they have what they need of the server */

    wsgi__score *score; /* own_score, or a worker's place in shared memory */
    wsgi__score own_score;
    wsgi_worker *worker; /* NULL: not supervised */
    wsgi__io orders;     /* of the supervisor */
    wsgi__timer beat;
    uint64_t last_request; /* of this worker; 0: no limit */
    uint64_t ready_ms;

    /* Written by any thread or signal handler. */
    atomic_int stop_asked;
    /* `loop` as wsgi_server_stop() may see it, from the start until free. */
    _Atomic(wsgi__loop *) wake;
};

/* Sets the error text and returns status. */
int wsgi__server_fail(wsgi_server *server, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As every public call that configures begins: WSGI_ERR_STATE once started. */
int wsgi__server_enter_config(wsgi_server *server);

/* Its monitors answer from now on.  WSGI_ERR_NOMEM, WSGI_ERR_SYSTEM. */
int wsgi__server_start_monitors(wsgi_server *server);

/* From the loaded callable, by the options as they are now.  No GIL needed. */
int wsgi__server_make_app(wsgi_server *server);

static inline bool
wsgi__server_accepts(const wsgi_server *server)
{
    return server->phase == WSGI__SERVER_SERVING ||
           server->phase == WSGI__SERVER_LEAVING;
}

/* Ends serving at once, if it has begun: connections and executor go.  The
 * loop stays, since wsgi_server_stop() may be waking it.  False: calls of the
 * application do not end, and have what they need of the server still. */
bool wsgi__server_close(wsgi_server *server);

#endif
