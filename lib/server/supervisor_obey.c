/* What a supervisor is asked to do, by signals or by the program. */
#include "server/supervisor.h"

#include "base/macros.h"

void
wsgi_supervisor_ask(wsgi_supervisor *self, wsgi_supervisor_request request)
{
    if (!self || (unsigned)request >= WSGI__N_REQUESTS)
        return;
    atomic_fetch_add(&self->asked[request], 1);
    wsgi__loop *loop = atomic_load(&self->wake);
    if (loop)
        wsgi__loop_wake(loop);
}

static void
begin_stop(wsgi_supervisor *self, wsgi__plan_phase phase)
{
    bool first = self->plan.phase < WSGI__PLAN_STOP;

    self->plan.phase = phase;
    if (!first)
        return;
    wsgi__supervisor_tell(self, WSGI_SUPERVISOR_STOPPING);
    atomic_store(&self->board->closing, 1);
}

/* Draining, then ending, then killing: each time it is asked again. */
static void
obey_stop(wsgi_supervisor *self, bool now)
{
    const char *name = wsgi__signals_name(atomic_load(&self->stopped_by));

    switch (self->plan.phase) {
    case WSGI__PLAN_RUN:
    case WSGI__PLAN_PAUSE:
        if (now) {
            wsgi__log_printf(&self->log, WSGI_LOG_INFO, "%s: stopping at once",
                             name);
            begin_stop(self, WSGI__PLAN_STOP_NOW);
        } else {
            wsgi__log_printf(
                &self->log, WSGI_LOG_INFO,
                "%s: finishing the requests under way; again to stop at once",
                name);
            begin_stop(self, WSGI__PLAN_STOP);
        }
        break;
    case WSGI__PLAN_STOP:
        wsgi__log_printf(&self->log, WSGI_LOG_INFO, "%s: stopping at once",
                         name);
        begin_stop(self, WSGI__PLAN_STOP_NOW);
        break;
    case WSGI__PLAN_STOP_NOW:
    case WSGI__PLAN_KILL:
        begin_stop(self, WSGI__PLAN_KILL);
        break;
    }
}

static void
obey_reload(wsgi_supervisor *self)
{
    if (self->plan.phase >= WSGI__PLAN_STOP)
        return;
    if (self->options[WSGI_SUPERVISOR_PRELOADED] &&
        self->plan.phase == WSGI__PLAN_RUN) {
        wsgi__log_printf(&self->log, WSGI_LOG_WARNING,
                         "SIGHUP: the application was loaded before the "
                         "workers were forked, and new workers would run the "
                         "old code: restart to load new code, or do without "
                         "preloading");
        return;
    }
    wsgi__log_printf(&self->log, WSGI_LOG_INFO,
                     "SIGHUP: starting %u new workers", self->plan.wanted);
    self->plan.phase = WSGI__PLAN_RUN;
    self->plan.generation = ++self->last_generation;
    self->plan.proved = false;
    self->plan.spawn_at_ms = 0;
    self->n_young = 0;
    wsgi__supervisor_tell(self, WSGI_SUPERVISOR_RELOADING);
}

static void
obey_reopen(wsgi_supervisor *self)
{
    wsgi__supervisor_tell(self, WSGI_SUPERVISOR_REOPEN);
    wsgi__process_signal_all(self, SIGUSR1);
}

static void
obey_resize(wsgi_supervisor *self, int by)
{
    unsigned wanted = self->plan.wanted;

    if (self->plan.phase != WSGI__PLAN_RUN ||
        (by < 0 ? wanted <= 1 : wanted >= WSGI__MOST_WORKERS))
        return;
    self->plan.wanted = by < 0 ? wanted - 1 : wanted + 1;
    self->options[WSGI_SUPERVISOR_WORKERS] = self->plan.wanted;
    wsgi__log_printf(&self->log, WSGI_LOG_INFO, "%s: %u workers from now on",
                     by < 0 ? "SIGTTOU" : "SIGTTIN", self->plan.wanted);
}

static void
obey_pause(wsgi_supervisor *self)
{
    if (self->plan.phase != WSGI__PLAN_RUN)
        return;
    wsgi__log_printf(
        &self->log, WSGI_LOG_INFO,
        "SIGWINCH: the workers drain, and none is started until SIGHUP");
    self->plan.phase = WSGI__PLAN_PAUSE;
}

static void
obey(wsgi_supervisor *self, wsgi_supervisor_request request)
{
    switch (request) {
    case WSGI_ASK_STOP:
        obey_stop(self, false);
        break;
    case WSGI_ASK_STOP_NOW:
        obey_stop(self, true);
        break;
    case WSGI_ASK_RELOAD:
        obey_reload(self);
        break;
    case WSGI_ASK_REOPEN:
        obey_reopen(self);
        break;
    case WSGI_ASK_UPGRADE:
        if (self->plan.phase < WSGI__PLAN_STOP)
            wsgi__supervisor_tell(self, WSGI_SUPERVISOR_UPGRADE);
        break;
    case WSGI_ASK_MORE:
        obey_resize(self, 1);
        break;
    case WSGI_ASK_FEWER:
        obey_resize(self, -1);
        break;
    case WSGI_ASK_PAUSE:
        obey_pause(self);
        break;
    }
}

/* Of two signals that are pending the kernel delivers the lower number first,
 * whichever came first: within a pass there is no order of arrival.  WINCH and
 * HUP together must not leave a server without workers, so what brings them back
 * comes last. */
static const wsgi_supervisor_request order[] = {
    WSGI_ASK_STOP, WSGI_ASK_STOP_NOW, WSGI_ASK_REOPEN, WSGI_ASK_UPGRADE,
    WSGI_ASK_MORE, WSGI_ASK_FEWER,    WSGI_ASK_PAUSE,  WSGI_ASK_RELOAD,
};

/* Taken from the last on: of two that come meanwhile, the one that is obeyed
 * later is not taken alone. */
void
wsgi__supervisor_obey(wsgi_supervisor *self)
{
    unsigned times[WSGI__COUNT(order)];

    for (size_t i = WSGI__COUNT(order); i-- > 0;)
        times[i] = atomic_exchange(&self->asked[order[i]], 0);
    for (size_t i = 0; i < WSGI__COUNT(order); i++)
        for (; times[i] > 0; times[i]--)
            obey(self, order[i]);
}
