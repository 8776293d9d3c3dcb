#include "server/server.h"

#include <errno.h>
#include <sys/resource.h>

#include "base/macros.h"
#include "python/interpreter.h"
#include "server/accept.h"
#include "server/recycle.h"
#include "server/worker_server.h"

/* Rounds of run and parse in one turn, for pipelined requests, and how long
 * their answers may wait for each other. */
#define ROUNDS_PER_TURN 16
#define ROUNDS_MS 2u

/* Descriptors that are not connections: files of the application, spooled
 * bodies, logs. */
#define RESERVED_FDS 64

/* For calls that an exception was raised in, once nobody waits for their answer
 * any more. */
#define GIVE_UP_MS 2000u

/* ---- Stopping ----------------------------------------------------------- */

static void
begin_drain(wsgi_server *server)
{
    int64_t grace =
        wsgi__options_int(&server->options, WSGI_OPT_GRACEFUL_TIMEOUT);

    server->phase = WSGI__SERVER_DRAINING;
    wsgi__loop_disarm(server->loop, &server->leave_end);
    server->conns.gentle = wsgi__worker_server_has_siblings(server);
    wsgi__conns_drain(&server->conns);
    wsgi__accept_remaining(server);
    if (grace > 0)
        wsgi__loop_arm(server->loop, &server->drain_end, (unsigned)grace);
}

static void
on_leave_end(wsgi__timer *timer)
{
    begin_drain(WSGI__OWNER(timer, wsgi_server, leave_end));
}

/* Where siblings accept, nobody has to notice that this one does not. */
static void
begin_leave(wsgi_server *server)
{
    int64_t delay = wsgi__options_int(&server->options, WSGI_OPT_DRAIN_DELAY);

    server->health.ready = false;
    atomic_store(&server->score->state, WSGI__WORKER_DRAINING);
    if (delay == 0 || wsgi__worker_server_has_siblings(server)) {
        begin_drain(server);
        return;
    }
    server->phase = WSGI__SERVER_LEAVING;
    wsgi__loop_arm(server->loop, &server->leave_end, (unsigned)delay);
}

static void
on_give_up(wsgi__timer *timer)
{
    wsgi_server *server = WSGI__OWNER(timer, wsgi_server, give_up);
    wsgi__log_printf(&server->log, WSGI_LOG_ERROR,
                     "%zu calls of the application do not end, although an "
                     "exception was raised in them; leaving them behind",
                     wsgi__executor_jobs(server->executor));
    server->given_up = true;
}

/* Nobody waits for what is under way any more. */
static void
end_calls(wsgi_server *server)
{
    wsgi__executor_interrupt(server->executor);
    wsgi__conns_close_all(&server->conns);
    wsgi__loop_arm(server->loop, &server->give_up, GIVE_UP_MS);
}

static void
on_drain_end(wsgi__timer *timer)
{
    wsgi_server *server = WSGI__OWNER(timer, wsgi_server, drain_end);
    wsgi__log_printf(&server->log, WSGI_LOG_WARNING,
                     "%zu connections were still open after the graceful "
                     "timeout; closing them",
                     server->conns.count);
    end_calls(server);
}

static void
obey_stop(wsgi_server *server)
{
    switch (atomic_load(&server->stop_asked)) {
    case WSGI__STOP_NOW:
        if (server->stopping_now)
            break;
        server->stopping_now = true;
        server->phase = WSGI__SERVER_DRAINING;
        wsgi__loop_disarm(server->loop, &server->leave_end);
        wsgi__accept_end(server);
        end_calls(server);
        break;
    case WSGI__STOP_DRAIN:
        if (server->phase == WSGI__SERVER_SERVING)
            begin_leave(server);
        break;
    default:
        break;
    }
}

void
wsgi_server_stop(wsgi_server *server, wsgi_stop how)
{
    if (!server)
        return;
    int wanted = how == WSGI_STOP_NOW ? WSGI__STOP_NOW : WSGI__STOP_DRAIN;
    int asked = atomic_load(&server->stop_asked);
    while (asked < wanted &&
           !atomic_compare_exchange_weak(&server->stop_asked, &asked, wanted))
        ;
    wsgi__loop *loop = atomic_load(&server->wake);
    if (loop)
        wsgi__loop_wake(loop);
}

/* ---- Starting ----------------------------------------------------------- */

/* A limit of descriptors that is too low would show as EMFILE under load. */
static size_t
most_connections(wsgi_server *server)
{
    int64_t asked =
        wsgi__options_int(&server->options, WSGI_OPT_WORKER_CONNECTIONS);
    size_t most = asked > 0 ? (size_t)asked : SIZE_MAX;
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) < 0 ||
        files.rlim_cur == RLIM_INFINITY)
        return most;
    size_t room = files.rlim_cur > 2 * RESERVED_FDS
                      ? (size_t)files.rlim_cur - RESERVED_FDS
                      : (size_t)files.rlim_cur / 2;
    if (asked > 0 && most > room)
        wsgi__log_printf(
            &server->log, WSGI_LOG_WARNING,
            "worker-connections is %zu, but the limit of open "
            "files (ulimit -n) of %llu allows for %zu: raise that "
            "limit",
            most, (unsigned long long)files.rlim_cur, room);
    return most < room ? most : room;
}

static unsigned
milliseconds(const wsgi_server *server, wsgi_option option)
{
    return (unsigned)wsgi__options_int(&server->options, option);
}

static void
configure_conns(wsgi_server *server)
{
    const wsgi__options *options = &server->options;
    wsgi__conns *set = &server->conns;

    set->limits = (wsgi__parser_limits){
        .max_line =
            (size_t)wsgi__options_int(options, WSGI_OPT_LIMIT_REQUEST_LINE),
        .max_fields =
            (size_t)wsgi__options_int(options, WSGI_OPT_LIMIT_REQUEST_FIELDS),
        .max_field_size = (size_t)wsgi__options_int(
            options, WSGI_OPT_LIMIT_REQUEST_FIELD_SIZE),
        .max_body = wsgi__options_int(options, WSGI_OPT_LIMIT_REQUEST_BODY),
    };
    set->timeouts = (wsgi__timeouts){
        .header = milliseconds(server, WSGI_OPT_HEADER_TIMEOUT),
        .body = milliseconds(server, WSGI_OPT_BODY_TIMEOUT),
        .write = milliseconds(server, WSGI_OPT_WRITE_TIMEOUT),
        .keep_alive = milliseconds(server, WSGI_OPT_KEEP_ALIVE),
    };
    set->min_body_rate = wsgi__options_int(options, WSGI_OPT_MIN_BODY_RATE);
    set->body_in_memory =
        (size_t)wsgi__options_int(options, WSGI_OPT_BODY_SPOOL_SIZE);
    set->most = most_connections(server);
    set->script_name =
        wsgi__span_of(wsgi__options_str(options, WSGI_OPT_ROOT_PATH));
    set->style.server =
        wsgi__span_of(wsgi__options_str(options, WSGI_OPT_SERVER_HEADER));
    set->style.high_water =
        (size_t)wsgi__options_int(options, WSGI_OPT_OUTPUT_HIGH_WATER);
    set->style.keep_alive = set->timeouts.keep_alive > 0;
    set->style.keep_head = server->access != NULL;
    set->access.cb = server->access;
    set->access.user = server->access_user;
    wsgi__health_init(&server->health, wsgi__span_of(wsgi__options_str(
                                           options, WSGI_OPT_HEALTH_PATH)));
    if (server->health.path.len > 0)
        set->pages = &server->health.pages;
    set->trace = server->trace;
    set->trace_user = server->trace_user;
    set->score = server->score;
}

/* Without sendfile the queue reads and writes. */
static void
configure_streams(wsgi_server *server)
{
    wsgi__stream plain;
    wsgi__stream_plain(&plain, -1);
    server->stream_ops = *plain.ops;
    if (!wsgi__options_int(&server->options, WSGI_OPT_SENDFILE))
        server->stream_ops.sendfile = NULL;
    server->conns.stream_ops = &server->stream_ops;
}

static wsgi__executor *
make_executor(wsgi_server *server)
{
    const wsgi__options *options = &server->options;
    const wsgi__executor_settings settings = {
        .app = server->app,
        .loop = server->loop,
        .log = &server->log,
        .score = server->score,
        .threads = (unsigned)wsgi__options_int(options, WSGI_OPT_THREADS),
        .timeout_ms = milliseconds(server, WSGI_OPT_TIMEOUT),
        .slow_ms = milliseconds(server, WSGI_OPT_SLOW_REQUEST),
        .queue_ms = milliseconds(server, WSGI_OPT_QUEUE_TIMEOUT),
        .stuck = server->stuck,
        .stuck_user = server->stuck_user,
        .queue_size = (size_t)wsgi__options_int(options, WSGI_OPT_QUEUE_SIZE),
    };
    return wsgi__executor_new(&settings);
}

static int
build(wsgi_server *server)
{
    server->loop = wsgi__loop_new(WSGI__LOOP_AUTO);
    if (!server->loop)
        return wsgi__server_fail(server, WSGI_ERR_SYSTEM,
                                 "cannot make an event loop: %s",
                                 strerror(errno));
    server->executor = make_executor(server);
    if (!server->executor ||
        wsgi__conns_init(&server->conns, server->loop, server->executor,
                         &server->log) < 0)
        return wsgi__server_fail(server, WSGI_ERR_NOMEM, "out of memory");
    configure_conns(server);
    configure_streams(server);
    if (wsgi__server_start_monitors(server) < 0)
        return wsgi__server_fail(server, WSGI_ERR_SYSTEM,
                                 "cannot watch the address of metrics or the "
                                 "control socket: %s",
                                 strerror(errno));
    wsgi__accept_init(server);
    server->leave_end.expired = on_leave_end;
    server->drain_end.expired = on_drain_end;
    server->give_up.expired = on_give_up;
    if (wsgi__worker_server_begin(server) < 0)
        return wsgi__server_fail(server, WSGI_ERR_SYSTEM,
                                 "cannot watch for the supervisor's orders: "
                                 "%s",
                                 strerror(errno));
    return WSGI_OK;
}

/* Calls that are cancelled end, but for those that do not listen. */
static void
await_calls(wsgi_server *server)
{
    wsgi__executor *ex = server->executor;
    uint64_t until = wsgi__loop_now(server->loop) + GIVE_UP_MS;
    ex->ops->run(ex);
    while (wsgi__executor_jobs(ex) > 0 && !server->given_up &&
           wsgi__loop_now(server->loop) < until) {
        wsgi__loop_run_once(server->loop, 20);
        ex->ops->run(ex);
    }
}

static bool
close_all(wsgi_server *server)
{
    wsgi__executor *ex = server->executor;
    wsgi__accept_end(server);
    wsgi__monitors_close(&server->monitors);
    wsgi__worker_server_end(server);
    wsgi__loop_disarm(server->loop, &server->leave_end);
    wsgi__loop_disarm(server->loop, &server->drain_end);
    if (server->conns.input) {
        wsgi__executor_close_down(ex);
        wsgi__conns_close_all(&server->conns);
        await_calls(server);
        wsgi__executor_closed_down(ex);
    }
    wsgi__loop_disarm(server->loop, &server->give_up);
    if (wsgi__executor_jobs(ex) > 0)
        return false;
    if (server->conns.input)
        wsgi__conns_free(&server->conns);
    return wsgi__executor_free(ex);
}

bool
wsgi__server_close(wsgi_server *server)
{
    if (!server->executor)
        return true;
    if (server->left_behind)
        return false;
    void *paused = wsgi__gil_pause();
    bool closed = close_all(server);
    server->left_behind = !closed;
    if (!closed)
        wsgi__interpreter_keep();
    else
        server->executor = NULL;
    wsgi__gil_resume(paused);
    return closed;
}

/* Brings the descriptor of a host's own loop up to date.  The poll back end has
 * none. */
static int
publish(wsgi_server *server)
{
    if (wsgi__loop_fd(server->loop) < 0 ||
        wsgi__loop_publish(server->loop) >= 0)
        return WSGI_OK;
    return wsgi__server_fail(server, WSGI_ERR_SYSTEM,
                             "cannot make the server's descriptor ready for "
                             "its next deadline: %s",
                             strerror(errno));
}

static int
begin(wsgi_server *server)
{
    int status = wsgi_server_load(server);
    if (status < 0)
        return status;
    if (server->phase != WSGI__SERVER_NEW)
        return wsgi__server_fail(server, WSGI_ERR_STATE,
                                 "the server was started before");
    if (server->n_listeners == 0)
        return wsgi__server_fail(server, WSGI_ERR_STATE,
                                 "no address: call wsgi_server_bind() before");
    status = wsgi__server_make_app(server);
    if (status == WSGI_OK)
        status = build(server);
    if (status < 0) {
        wsgi__server_close(server);
        server->phase = WSGI__SERVER_STOPPED;
        return status;
    }
    atomic_store(&server->wake, server->loop);
    server->phase = WSGI__SERVER_SERVING;
    wsgi__accept_regulate(server);
    wsgi__worker_server_ready(server);
    /* A stop that came before there was a loop to wake is not forgotten. */
    if (atomic_load(&server->stop_asked) != WSGI__STOP_NONE)
        wsgi__loop_wake(server->loop);
    return WSGI_OK;
}

int
wsgi_server_start(wsgi_server *server)
{
    int status = begin(server);
    /* The timer inside the descriptor is made now: later there may be no
     * descriptor left for it. */
    return status < 0 ? status : publish(server);
}

/* ---- Serving ------------------------------------------------------------ */

/* What the turn read is run, until nothing more is ready or others are due.
 * False: the loop is another thread's. */
static bool
run_ready(wsgi_server *server)
{
    wsgi__executor *ex = server->executor;
    uint64_t began = wsgi__loop_now(server->loop);
    bool more = true;
    for (int i = 0; more && i < ROUNDS_PER_TURN; i++) {
        if (!ex->ops->run(ex))
            return false;
        more = wsgi__conns_continue(&server->conns);
        /* The application took its time: deadlines start from now. */
        wsgi__loop_refresh(server->loop);
        more = more && wsgi__loop_now(server->loop) - began <= ROUNDS_MS;
    }
    return true;
}

static bool
has_work(const wsgi_server *server)
{
    return server->executor->ops->ready(server->executor) ||
           server->conns.waiting || server->conns.unflushed ||
           wsgi__monitors_pending(&server->monitors);
}

/* With a GIL that others want all the time it is given back only for a wait
 * that is one: to have it again takes 5 ms. */
static int
await_events(wsgi_server *server, int timeout_ms)
{
    wsgi__executor *ex = server->executor;
    int wait_ms = has_work(server) ? 0 : timeout_ms;
    if (wait_ms == 0 || !wsgi__executor_keeps_gil(ex))
        return wsgi__loop_run_once(server->loop, wait_ms);
    int status = wsgi__loop_run_once(server->loop, 0);
    /* It is not waited here: a stop may have been among the events. */
    if (status == WSGI_OK && !has_work(server))
        wsgi__executor_rest(ex);
    return status;
}

/* Before it waits: a thread that has taken the loop over in the middle of a turn
 * begins here, and may wait for long. */
static void
show_load(wsgi_server *server)
{
    wsgi__count_set(&server->score->connections, server->conns.count);
    wsgi__executor_show(server->executor);
}

/* Calls that an exception was raised in get a little time, others as much as a
 * graceful stop has. */
static bool
is_through(wsgi_server *server)
{
    if (server->phase != WSGI__SERVER_DRAINING || server->conns.count > 0 ||
        has_work(server))
        return false;
    size_t jobs = wsgi__executor_jobs(server->executor);
    if (jobs == 0 || server->given_up)
        return true;
    if (jobs == wsgi__executor_lost(server->executor) &&
        !wsgi__timer_armed(&server->give_up))
        wsgi__loop_arm(server->loop, &server->give_up, GIVE_UP_MS);
    return false;
}

/* read, run, flush.  By whichever thread has the loop. */
static int
turn(void *user, int timeout_ms)
{
    wsgi_server *server = user;
    /* The turn before may have ended in a call, and with another thread. */
    show_load(server);
    wsgi__accept_regulate(server);
    if (await_events(server, timeout_ms) < 0)
        return wsgi__server_fail(server, WSGI_ERR_SYSTEM,
                                 "cannot wait for events: %s",
                                 strerror(errno));
    obey_stop(server);
    if (!run_ready(server))
        return WSGI__TURN_LOST;
    wsgi__conns_flush(&server->conns);
    wsgi__conns_reap(&server->conns);
    wsgi__monitors_turn(&server->monitors);
    wsgi__accept_regulate(server);
    wsgi__recycle_by_requests(server);
    wsgi__count_set(&server->score->heartbeat_ns,
                    wsgi__loop_now(server->loop) * 1000000);
    return is_through(server) ? WSGI_STOPPED : WSGI_OK;
}

static int
long_turn(void *user)
{
    return turn(user, -1);
}

static int
finish(wsgi_server *server, int status)
{
    if (status == WSGI_STOPPED) {
        server->phase = WSGI__SERVER_STOPPED;
        wsgi__server_close(server);
    }
    return status;
}

int
wsgi_server_fd(const wsgi_server *server)
{
    return server && server->loop ? wsgi__loop_fd(server->loop) : -1;
}

static int
check_started(wsgi_server *server)
{
    if (!server)
        return WSGI_ERR_NOMEM;
    if (server->phase == WSGI__SERVER_STOPPED)
        return WSGI_STOPPED;
    if (server->phase == WSGI__SERVER_NEW)
        return wsgi__server_fail(server, WSGI_ERR_STATE,
                                 "the server has not been started");
    return WSGI_OK;
}

int
wsgi_server_dispatch(wsgi_server *server, int timeout_ms)
{
    int status = check_started(server);
    if (status != WSGI_OK)
        return status;
    wsgi__executor_be_hosted(server->executor);
    /* Even for a moment: threads of the application wait for it. */
    void *paused = wsgi__gil_pause();
    status = turn(server, timeout_ms);
    wsgi__gil_resume(paused);
    if (status != WSGI_OK)
        return finish(server, status);
    /* What is left has to show in the descriptor. */
    if (has_work(server))
        wsgi__loop_wake(server->loop);
    return publish(server);
}

int
wsgi_server_serve(wsgi_server *server)
{
    int status = WSGI_OK;
    if (!server || server->phase == WSGI__SERVER_NEW ||
        server->phase == WSGI__SERVER_STOPPED)
        status = begin(server);
    if (status < 0)
        return status;
    void *paused = wsgi__gil_pause();
    status = finish(server,
                    wsgi__executor_serve(server->executor, long_turn, server));
    wsgi__gil_resume(paused);
    return status == WSGI_STOPPED ? WSGI_OK : status;
}
