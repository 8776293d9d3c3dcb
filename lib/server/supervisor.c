#include "server/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/macros.h"
#include "base/mem.h"
#include "server/cgroup.h"

/* A pass is made at least so often: heartbeats have no event. */
#define PASS_MS 1000u

/* When fork() fails, the machine is short of memory or processes. */
#define FORK_PAUSE_MS 1000u

/* Past such a pause this process has been stopped, and its workers perhaps as
 * well: their silence counts from then on. */
#define STOPPED_MS 5000u

/* A server gives a sign every second, later on a machine that is busy. */
#define SHORTEST_SILENCE_MS 3000

#define LONGEST_ERROR ((size_t)4096)
#define DAY_MS (INT64_C(24) * 60 * 60 * 1000)

/* ---- Configuration ------------------------------------------------------ */

static const struct {
    const char *name;
    int64_t initial, min, max;
    bool or_none; /* 0, too: never */
} options[WSGI__N_SUPERVISOR_OPTIONS] = {
    [WSGI_SUPERVISOR_WORKERS] = { "workers", 1, 1, WSGI__MOST_WORKERS, false },
    [WSGI_SUPERVISOR_GRACEFUL_TIMEOUT] = { "graceful-timeout", 35000, 0,
                                           DAY_MS, false },
    [WSGI_SUPERVISOR_HEARTBEAT_TIMEOUT] = { "heartbeat-timeout", 30000,
                                            SHORTEST_SILENCE_MS, DAY_MS,
                                            true },
    [WSGI_SUPERVISOR_SIGNALS] = { "signals", 1, 0, 1, false },
    [WSGI_SUPERVISOR_PRELOADED] = { "preloaded", 0, 0, 1, false },
    [WSGI_SUPERVISOR_RELOAD_TIMEOUT] = { "reload-timeout", 600000, 0, DAY_MS,
                                         false },
};

int
wsgi__supervisor_fail(wsgi_supervisor *self, int status, const char *format,
                      ...)
{
    char text[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    wsgi__buf_reset(&self->error);
    wsgi__buf_puts(&self->error, text);
    return status;
}

static int
fail_errno(wsgi_supervisor *self, const char *what)
{
    return wsgi__supervisor_fail(self, WSGI_ERR_SYSTEM, "cannot %s: %s", what,
                                 strerror(errno));
}

wsgi_supervisor *
wsgi_supervisor_new(void)
{
    wsgi_supervisor *self = wsgi__mem_zero(1, sizeof(*self));

    if (!self)
        return NULL;
    wsgi__buf_init(&self->error, LONGEST_ERROR);
    self->log.level = WSGI_LOG_INFO;
    self->lifeline[0] = self->lifeline[1] = self->notice.fd = -1;
    for (size_t i = 0; i < WSGI__N_SUPERVISOR_OPTIONS; i++)
        self->options[i] = options[i].initial;
    return self;
}

void
wsgi_supervisor_free(wsgi_supervisor *self)
{
    if (!self)
        return;
    wsgi__process_release(self);
    wsgi__watch_release(self, false);
    wsgi__monitors_close(&self->monitors);
    atomic_store(&self->wake, NULL);
    wsgi__loop_free(self->loop);
    wsgi__buf_free(&self->error);
    wsgi__mem_free(self);
}

const char *
wsgi_supervisor_error(const wsgi_supervisor *self)
{
    if (!self)
        return wsgi_strerror(WSGI_ERR_NOMEM);
    /* The text is part of what the supervisor owns, not of its state. */
    return wsgi__buf_str((wsgi__buf *)&self->error);
}

static bool
is_option(wsgi_supervisor_option option)
{
    return option > 0 && (size_t)option < WSGI__N_SUPERVISOR_OPTIONS;
}

static bool
is_allowed(wsgi_supervisor_option option, int64_t value)
{
    if (value == 0 && options[option].or_none)
        return true;
    return value >= options[option].min && value <= options[option].max;
}

int
wsgi_supervisor_set_int(wsgi_supervisor *self, wsgi_supervisor_option option,
                        int64_t value)
{
    if (!self)
        return WSGI_ERR_NOMEM;
    if (!is_option(option))
        return wsgi__supervisor_fail(
            self, WSGI_ERR_OPTION,
            "there is no supervisor option number %d in libwsgi " WSGI_VERSION,
            (int)option);
    if (!is_allowed(option, value))
        return wsgi__supervisor_fail(self, WSGI_ERR_INVALID,
                                     "%s cannot be %" PRId64
                                     ": expected %s%" PRId64 " to %" PRId64,
                                     options[option].name, value,
                                     options[option].or_none ? "0 or " : "",
                                     options[option].min, options[option].max);
    self->options[option] = value;
    if (option == WSGI_SUPERVISOR_WORKERS)
        self->plan.wanted = (unsigned)value;
    return WSGI_OK;
}

int64_t
wsgi_supervisor_get_int(const wsgi_supervisor *self,
                        wsgi_supervisor_option option)
{
    return self && is_option(option) ? self->options[option] : -1;
}

void
wsgi_supervisor_set_log(wsgi_supervisor *self, wsgi_log_level level,
                        wsgi_log_cb cb, void *user)
{
    if (self)
        self->log = (wsgi__log){ .level = level, .cb = cb, .user = user };
}

void
wsgi_supervisor_set_event(wsgi_supervisor *self, wsgi_supervisor_event_cb cb,
                          void *user)
{
    if (!self)
        return;
    self->event = cb;
    self->event_user = user;
}

void
wsgi__supervisor_tell(wsgi_supervisor *self, wsgi_supervisor_event event)
{
    if (self->event)
        self->event(self->event_user, event);
}

unsigned
wsgi_supervisor_cpus(void)
{
    return wsgi__cgroup_cpus();
}

int
wsgi_supervisor_adopt(wsgi_supervisor *self, int64_t pid, const char *name)
{
    if (!self)
        return WSGI_ERR_NOMEM;
    int status = wsgi__supervisor_need_loop(self);
    return status < 0 ? status : wsgi__process_adopt(self, (pid_t)pid, name);
}

/* ---- Reading ------------------------------------------------------------ */

static wsgi_worker_state
public_state(wsgi__place_state state)
{
    switch (state) {
    case WSGI__PLACE_FREE:
    case WSGI__PLACE_STARTING:
        break;
    case WSGI__PLACE_READY:
        return WSGI_WORKER_READY;
    case WSGI__PLACE_DRAINING:
        return WSGI_WORKER_DRAINING;
    case WSGI__PLACE_ENDING:
    case WSGI__PLACE_KILLED:
        return WSGI_WORKER_DYING;
    }
    return WSGI_WORKER_STARTING;
}

static void
describe(const wsgi_supervisor *self, size_t place, wsgi_worker_info *info)
{
    const wsgi__place *of = &self->places[place];
    uint64_t now = wsgi__loop_now(self->loop);
    wsgi_worker_info full = {
        .size = info->size,
        .number = (unsigned)place + 1,
        .generation = of->generation,
        .pid = self->processes[place].pid,
        .state = public_state(of->state),
        .age_ms = (int64_t)(now - self->processes[place].started_ms),
        .silent_ms = of->sign_ms == 0     ? -1
                     : of->sign_ms >= now ? 0
                                          : (int64_t)(now - of->sign_ms),
    };

    /* What an older program does not know of it has no room for. */
    memcpy(info, &full, info->size < sizeof(full) ? info->size : sizeof(full));
}

int
wsgi_supervisor_worker(const wsgi_supervisor *self, size_t index,
                       wsgi_worker_info *info)
{
    if (!self || info->size < sizeof(info->size))
        return WSGI_ERR_INVALID;
    for (size_t i = 0; i < WSGI__MOST_PLACES; i++) {
        if (self->places[i].state == WSGI__PLACE_FREE || index-- > 0)
            continue;
        describe(self, i, info);
        return WSGI_OK;
    }
    return WSGI_ERR_INVALID;
}

int
wsgi_supervisor_boot_status(const wsgi_supervisor *self)
{
    return self && self->failed ? self->boot_status : -1;
}

int
wsgi_supervisor_stopped_by(const wsgi_supervisor *self)
{
    return self ? atomic_load(&self->stopped_by) : 0;
}

/* ---- Passes ------------------------------------------------------------- */

static void
note_ready(wsgi_supervisor *self, size_t place)
{
    bool first = !self->ever_ready;

    self->places[place].state = WSGI__PLACE_READY;
    self->places[place].since_ms = self->plan.now_ms;
    if (self->places[place].generation == self->plan.generation)
        self->plan.proved = true;
    self->ever_ready = true;
    wsgi__log_printf(&self->log, WSGI_LOG_DEBUG, "worker %zu (pid %ld) ready",
                     place + 1, (long)self->processes[place].pid);
    if (first)
        wsgi__supervisor_tell(self, WSGI_SUPERVISOR_READY);
    wsgi__supervisor_tell(self, WSGI_SUPERVISOR_CHANGED);
}

static const char *
reason_to_replace(int reason)
{
    switch ((wsgi__replace)reason) {
    case WSGI__REPLACE_NO:
        break;
    case WSGI__REPLACE_REQUESTS:
        return "it has answered max-requests";
    case WSGI__REPLACE_LIFETIME:
        return "it has reached max-lifetime";
    case WSGI__REPLACE_MEMORY:
        return "it is past max-memory";
    case WSGI__REPLACE_STUCK:
        return "a call of the application does not end";
    case WSGI__REPLACE_ASKED:
        return "it asks for it";
    }
    return "it asks for it";
}

static void
note_replace(wsgi_supervisor *self, size_t place, int reason)
{
    self->places[place].replace = true;
    wsgi__log_printf(
        &self->log,
        reason == WSGI__REPLACE_STUCK ? WSGI_LOG_WARNING : WSGI_LOG_INFO,
        "worker %zu (pid %ld) is being replaced: %s", place + 1,
        (long)self->processes[place].pid, reason_to_replace(reason));
    /* Where the application takes more from the start, so will the next one. */
    if (reason == WSGI__REPLACE_MEMORY)
        wsgi__supervisor_back_off(self, self->plan.now_ms -
                                            self->processes[place].started_ms);
}

/* What the worker of a place has written since the last pass. */
static void
read_score(wsgi_supervisor *self, size_t place)
{
    wsgi__place *of = &self->places[place];
    const wsgi__score *score = &self->board->place[place];
    uint64_t beat_ms = wsgi__count_get(&score->heartbeat_ns) / 1000000;
    int reason = atomic_load(&score->replace);

    if (beat_ms)
        of->sign_ms = beat_ms > self->awake_ms ? beat_ms : self->awake_ms;
    if (of->state == WSGI__PLACE_STARTING &&
        atomic_load(&score->state) != WSGI__WORKER_STARTING)
        note_ready(self, place);
    if (of->state == WSGI__PLACE_READY && reason && !of->replace)
        note_replace(self, place, reason);
}

static void
read_scores(wsgi_supervisor *self)
{
    for (size_t i = 0; i < WSGI__MOST_PLACES; i++)
        if (self->places[i].state != WSGI__PLACE_FREE)
            read_score(self, i);
}

static bool
has_workers(const wsgi_supervisor *self)
{
    for (size_t i = 0; i < WSGI__MOST_PLACES; i++)
        if (self->places[i].state != WSGI__PLACE_FREE)
            return true;
    return false;
}

static void
spawn(wsgi_supervisor *self, size_t place, unsigned generation)
{
    if (wsgi__process_spawn(self, place, generation) == WSGI_OK) {
        self->fork_failing = false;
        return;
    }
    /* That is the end, and the program's to tell. */
    if (!self->ever_ready && !has_workers(self))
        fail_errno(self, "fork a worker");
    else if (!self->fork_failing)
        wsgi__log_printf(&self->log, WSGI_LOG_ERROR,
                         "cannot fork a worker: %s; trying again every %u s",
                         strerror(errno), FORK_PAUSE_MS / 1000);
    self->fork_failing = true;
    self->plan.spawn_at_ms = self->plan.now_ms + FORK_PAUSE_MS;
}

static wsgi__told
reason_to_kill(const wsgi_supervisor *self, size_t place)
{
    if (self->plan.phase == WSGI__PLAN_KILL)
        return WSGI__KILLED_ASKED;
    if (self->processes[place].told == WSGI__KILLED_SILENT)
        return WSGI__KILLED_SILENT;
    return self->places[place].state == WSGI__PLACE_DRAINING
               ? WSGI__KILLED_LATE
               : WSGI__KILLED_SLOW;
}

static void
carry_out(wsgi_supervisor *self, wsgi__step step)
{
    switch (step.act) {
    case WSGI__ACT_NOTHING:
        break;
    case WSGI__ACT_SPAWN:
        spawn(self, step.place, step.generation);
        break;
    case WSGI__ACT_DRAIN:
        wsgi__process_signal(self, step.place, SIGTERM, WSGI__PLACE_DRAINING,
                             WSGI__TOLD_DRAIN);
        break;
    case WSGI__ACT_END:
        wsgi__process_signal(self, step.place, SIGQUIT, WSGI__PLACE_ENDING,
                             WSGI__TOLD_END);
        break;
    case WSGI__ACT_ABORT:
        wsgi__process_signal(self, step.place, SIGABRT, WSGI__PLACE_ENDING,
                             WSGI__KILLED_SILENT);
        break;
    case WSGI__ACT_KILL:
        wsgi__process_signal(self, step.place, SIGKILL, WSGI__PLACE_KILLED,
                             reason_to_kill(self, step.place));
        break;
    }
}

static void
finish_reload(wsgi_supervisor *self)
{
    wsgi__plan *plan = &self->plan;

    if (plan->phase != WSGI__PLAN_RUN || plan->serving == plan->generation ||
        !wsgi__plan_complete(plan))
        return;
    plan->serving = plan->generation;
    wsgi__log_printf(&self->log, WSGI_LOG_INFO,
                     "the new workers have taken over; the old ones drain");
    wsgi__supervisor_tell(self, WSGI_SUPERVISOR_RELOADED);
}

static void
tick(wsgi_supervisor *self)
{
    uint64_t now = self->plan.now_ms;

    if (now - self->passed_ms > STOPPED_MS)
        self->awake_ms = now;
    self->passed_ms = now;
    if (now - self->ticked_ms < PASS_MS)
        return;
    self->ticked_ms = now;
    wsgi__supervisor_tell(self, WSGI_SUPERVISOR_TICK);
}

static void
pass(wsgi_supervisor *self)
{
    wsgi__plan *plan = &self->plan;

    plan->now_ms = wsgi__loop_now(self->loop);
    plan->drain_ms = (uint64_t)self->options[WSGI_SUPERVISOR_GRACEFUL_TIMEOUT];
    plan->silence_ms =
        (uint64_t)self->options[WSGI_SUPERVISOR_HEARTBEAT_TIMEOUT];
    plan->start_ms = (uint64_t)self->options[WSGI_SUPERVISOR_RELOAD_TIMEOUT];
    tick(self);
    wsgi__supervisor_obey(self);
    /* First what they have said: one that was ready and died was ready. */
    read_scores(self);
    wsgi__process_reap(self);
    finish_reload(self);
    if (wsgi__plan_overdue(plan))
        wsgi__supervisor_reload_overdue(self);
    wsgi__step step;
    do {
        step = wsgi__plan_next(plan);
        carry_out(self, step);
    } while (step.act != WSGI__ACT_NOTHING);
    if (plan->phase == WSGI__PLAN_PAUSE)
        plan->serving = 0;
}

/* ---- Running ------------------------------------------------------------ */

int
wsgi__supervisor_need_loop(wsgi_supervisor *self)
{
    if (self->loop)
        return WSGI_OK;
    self->loop = wsgi__loop_new(WSGI__LOOP_AUTO);
    return self->loop ? WSGI_OK : fail_errno(self, "make an event loop");
}

static void
on_notice(wsgi__io *io, unsigned events)
{
    uint64_t n;
    ssize_t ignored = read(io->fd, &n, sizeof(n));
    (void)ignored, (void)events;
}

static int
open_channels(wsgi_supervisor *self)
{
    int status = wsgi__supervisor_need_loop(self);

    if (status < 0)
        return status;
    self->board = wsgi__board_new();
    if (!self->board)
        return fail_errno(self, "share memory with workers");
    self->notice = (wsgi__io){ .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
                               .ready = on_notice };
    if (self->notice.fd < 0 || pipe2(self->lifeline, O_CLOEXEC) < 0 ||
        wsgi__loop_watch(self->loop, &self->notice, WSGI__READ) < 0)
        return fail_errno(self, "make descriptors for workers");
    if (wsgi__supervisor_start_monitors(self) < 0)
        return fail_errno(self, "watch the address of metrics or the control "
                                "socket");
    return WSGI_OK;
}

static void
close_one(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void
close_channels(wsgi_supervisor *self)
{
    wsgi__monitors_close(&self->monitors);
    if (self->notice.fd >= 0)
        wsgi__loop_unwatch(self->loop, &self->notice);
    close_one(&self->notice.fd);
    close_one(&self->lifeline[0]);
    close_one(&self->lifeline[1]);
    wsgi__board_free(self->board);
    self->board = NULL;
}

static void
begin(wsgi_supervisor *self)
{
    pthread_sigmask(SIG_SETMASK, NULL, &self->mask);
    self->plan = (wsgi__plan){
        .phase = WSGI__PLAN_RUN,
        .wanted = (unsigned)self->options[WSGI_SUPERVISOR_WORKERS],
        .serving = 1,
        .generation = 1,
        .places = self->places,
        .n_places = WSGI__MOST_PLACES,
    };
    self->last_generation = 1;
    self->ever_ready = self->failed = self->fork_failing = false;
    self->n_young = 0;
    self->oom_kills = wsgi__cgroup_killed();
    wsgi__loop_refresh(self->loop);
    self->passed_ms = self->ticked_ms = wsgi__loop_now(self->loop);
    self->awake_ms = 0;
    atomic_store(&self->wake, self->loop);
}

static int
look_after(wsgi_supervisor *self)
{
    for (;;) {
        pass(self);
        if (self->plan.phase >= WSGI__PLAN_STOP && !has_workers(self))
            return WSGI_OK;
        if (!self->ever_ready && self->fork_failing && !has_workers(self))
            return WSGI_ERR_SYSTEM;
        unsigned wait = wsgi__plan_wait(&self->plan, PASS_MS);
        if (wsgi__loop_run_once(self->loop, (int)wait) < 0)
            return fail_errno(self, "wait for events");
        wsgi__monitors_turn(&self->monitors);
    }
}

int
wsgi_supervisor_run(wsgi_supervisor *self, wsgi_worker_main work, void *user)
{
    if (!self)
        return WSGI_ERR_NOMEM;
    self->work = work;
    self->work_user = user;
    if (wsgi__signals_take(self) < 0)
        return wsgi__supervisor_fail(self, WSGI_ERR_STATE,
                                     "another supervisor runs in this "
                                     "process");
    wsgi__buf_reset(&self->error);
    int status = open_channels(self);
    if (status == WSGI_OK) {
        begin(self);
        status = look_after(self);
    }
    if (status == WSGI_OK && self->failed)
        status = WSGI_ERR_WORKER;
    wsgi__signals_give_back(self);
    close_channels(self);
    return status;
}
