/* What a supervisor tells of its workers. */
#include "server/supervisor.h"

#include <sys/wait.h>
#include <unistd.h>

int
wsgi_supervisor_bind_monitor(wsgi_supervisor *self, wsgi_monitor what,
                             const char *address)
{
    if (!self)
        return WSGI_ERR_NOMEM;
    int status =
        wsgi__monitors_bind(&self->monitors, what, address, &self->error);
    if (status == WSGI_OK && self->board) /* it runs */
        status = wsgi__supervisor_start_monitors(self);
    return status;
}

void
wsgi_supervisor_close_monitors(wsgi_supervisor *self)
{
    if (self)
        wsgi__monitors_close(&self->monitors);
}

const char *
wsgi_supervisor_monitor_address(const wsgi_supervisor *self, wsgi_monitor what)
{
    return self ? wsgi__monitors_address(&self->monitors, what) : NULL;
}

/* ---- Reports ------------------------------------------------------------ */

static wsgi__report_state
state_of(wsgi__place_state state)
{
    switch (state) {
    case WSGI__PLACE_FREE:
    case WSGI__PLACE_STARTING:
        break;
    case WSGI__PLACE_READY:
        return WSGI__REPORT_READY;
    case WSGI__PLACE_DRAINING:
        return WSGI__REPORT_DRAINING;
    case WSGI__PLACE_ENDING:
    case WSGI__PLACE_KILLED:
        return WSGI__REPORT_ENDING;
    }
    return WSGI__REPORT_STARTING;
}

static void
make_report(void *owner, wsgi__report *report)
{
    wsgi_supervisor *self = owner;
    uint64_t now_ms = wsgi__loop_now(self->loop);
    size_t n = 0;

    for (size_t i = 0; i < WSGI__MOST_PLACES; i++) {
        if (self->places[i].state == WSGI__PLACE_FREE)
            continue;
        self->reported[n++] = (wsgi__report_worker){
            .number = (unsigned)i + 1,
            .pid = self->processes[i].pid,
            .state = state_of(self->places[i].state),
            .age_ms = now_ms - self->processes[i].started_ms,
            .score = &self->board->place[i],
        };
    }
    report->now_ns = now_ms * 1000000;
    report->workers = self->reported;
    report->n_workers = n;
    report->ended = &self->board->ended;
    report->restarts = self->restarts;
}

/* ---- Restarts ----------------------------------------------------------- */

/* What it asked for by itself and was then told to; WSGI__N_RESTARTS: it asked
 * for nothing, and its end is part of a stop or a reload. */
static wsgi__restart
asked(wsgi__replace replace)
{
    switch (replace) {
    case WSGI__REPLACE_NO:
        break;
    case WSGI__REPLACE_REQUESTS:
        return WSGI__RESTART_REQUESTS;
    case WSGI__REPLACE_LIFETIME:
        return WSGI__RESTART_LIFETIME;
    case WSGI__REPLACE_MEMORY:
        return WSGI__RESTART_MEMORY;
    case WSGI__REPLACE_STUCK:
        return WSGI__RESTART_STUCK;
    case WSGI__REPLACE_ASKED:
        return WSGI__RESTART_ASKED;
    }
    return WSGI__N_RESTARTS;
}

static wsgi__restart
cause_of(wsgi__told told, wsgi__replace replace, int status)
{
    switch (told) {
    case WSGI__TOLD_NOTHING:
        return WIFSIGNALED(status) ? WSGI__RESTART_SIGNAL : WSGI__RESTART_EXIT;
    case WSGI__KILLED_SILENT:
        return WSGI__RESTART_SILENT;
    case WSGI__TOLD_DRAIN:
    case WSGI__TOLD_END:
    case WSGI__KILLED_LATE:
    case WSGI__KILLED_SLOW:
    case WSGI__KILLED_ASKED:
        break;
    }
    return asked(replace);
}

void
wsgi__supervisor_count_restart(wsgi_supervisor *self, size_t place, int status)
{
    int replace = atomic_load(&self->board->place[place].replace);
    wsgi__restart cause =
        cause_of(self->processes[place].told, (wsgi__replace)replace, status);

    if (cause != WSGI__N_RESTARTS)
        wsgi__count_add(&self->restarts[cause], 1);
}

int
wsgi__supervisor_start_monitors(wsgi_supervisor *self)
{
    return wsgi__monitors_start(&self->monitors, self->loop, &self->log,
                                make_report, self);
}
