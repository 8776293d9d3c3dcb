/* What follows when a worker has ended. */
#include "server/supervisor.h"

#include <stdio.h>
#include <sys/wait.h>

#include "server/cgroup.h"

/* A worker that dies earlier than this has died young. */
#define YOUNG_MS 5000u

static bool
was_killed_for_memory(wsgi_supervisor *self)
{
    int64_t kills = wsgi__cgroup_killed();
    bool more = kills > self->oom_kills;

    self->oom_kills = kills;
    return more;
}

/* What the supervisor itself has told a worker is no news. */
static wsgi_log_level
level_of(const wsgi__death *death)
{
    if (!wsgi__cause_is_expected(death))
        return WSGI_LOG_ERROR;
    return death->told == WSGI__TOLD_NOTHING ? WSGI_LOG_INFO : WSGI_LOG_DEBUG;
}

static void
report(wsgi_supervisor *self, size_t place, int status)
{
    const wsgi__process *process = &self->processes[place];
    bool late = process->told == WSGI__KILLED_LATE;
    char who[32], text[512];

    snprintf(who, sizeof(who), "worker %zu", place + 1);
    wsgi__death death = {
        .who = who,
        .pid = process->pid,
        .status = status,
        .told = process->told,
        .drained = atomic_load(&self->board->place[place].state) ==
                   WSGI__WORKER_DRAINING,
        .limit_ms = late ? self->plan.drain_ms : self->plan.silence_ms,
        .out_of_memory = was_killed_for_memory(self),
    };
    wsgi__cause_text(&death, text, sizeof(text));
    /* That is the end, and the program's to tell. */
    if (!self->ever_ready && process->told == WSGI__TOLD_NOTHING)
        wsgi__supervisor_fail(self, WSGI_ERR_WORKER, "%s before it was ready",
                              text);
    else
        wsgi__log_write(&self->log, level_of(&death), text);
}

/* The next one waits, the longer the more have died soon after their start. */
void
wsgi__supervisor_back_off(wsgi_supervisor *self, uint64_t lived_ms)
{
    self->n_young = lived_ms < YOUNG_MS ? self->n_young + 1 : 0;
    unsigned wait = wsgi__plan_backoff(self->n_young);
    self->plan.spawn_at_ms = wsgi__loop_now(self->loop) + wait;
    if (wait >= 1000)
        wsgi__log_printf(&self->log, WSGI_LOG_WARNING,
                         "%u workers in a row were of use for seconds only; "
                         "the next one starts in %.1f s",
                         self->n_young, wait / 1000.0);
}

static void
give_up_reload(wsgi_supervisor *self, const char *why)
{
    wsgi__log_printf(&self->log, WSGI_LOG_ERROR,
                     "the reload has failed: a new worker %s; the old ones go "
                     "on",
                     why);
    self->plan.generation = self->plan.serving;
    self->plan.proved = true;
    wsgi__supervisor_tell(self, WSGI_SUPERVISOR_RELOAD_FAILED);
}

void
wsgi__supervisor_reload_overdue(wsgi_supervisor *self)
{
    char why[64];

    snprintf(why, sizeof(why), "was not ready after %g s",
             (double)self->plan.start_ms / 1000);
    give_up_reload(self, why);
}

static bool
has_workers_of(const wsgi_supervisor *self, unsigned generation)
{
    for (size_t i = 0; i < WSGI__MOST_PLACES; i++)
        if (self->places[i].generation == generation &&
            self->places[i].state == WSGI__PLACE_READY)
            return true;
    return false;
}

/* It ended without having been told to. */
static void
mourn(wsgi_supervisor *self, const wsgi__place *place, int status,
      uint64_t lived_ms)
{
    const wsgi__plan *plan = &self->plan;

    if (plan->phase != WSGI__PLAN_RUN)
        return;
    if (!self->ever_ready) {
        self->failed = true;
        self->boot_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        self->plan.phase = WSGI__PLAN_KILL;
    } else if (place->state == WSGI__PLACE_STARTING &&
               place->generation == plan->generation &&
               plan->serving != plan->generation &&
               has_workers_of(self, plan->serving)) {
        give_up_reload(self, "could not start");
    } else {
        wsgi__supervisor_back_off(self, lived_ms);
    }
}

/* While old workers serve, the new ones may take their time; not any more. */
static void
tell_of_gap(wsgi_supervisor *self)
{
    const wsgi__plan *plan = &self->plan;

    if (plan->phase == WSGI__PLAN_RUN && plan->serving &&
        plan->serving != plan->generation &&
        !has_workers_of(self, plan->serving) &&
        !has_workers_of(self, plan->generation))
        wsgi__log_printf(&self->log, WSGI_LOG_ERROR,
                         "nobody serves: the last of the old workers has "
                         "ended, and no new one has become ready");
}

void
wsgi__supervisor_lost(wsgi_supervisor *self, size_t place, int status)
{
    wsgi__place was = self->places[place];
    const wsgi__process *process = &self->processes[place];
    uint64_t lived = wsgi__loop_now(self->loop) - process->started_ms;

    report(self, place, status);
    wsgi__supervisor_count_restart(self, place, status);
    bool told = process->told != WSGI__TOLD_NOTHING;
    bool silent = process->told == WSGI__KILLED_SILENT;
    wsgi__board_clear(self->board, place);
    self->places[place] = (wsgi__place){ .state = WSGI__PLACE_FREE };
    if (!told)
        mourn(self, &was, status, lived);
    else if (silent)
        wsgi__supervisor_back_off(self, lived);
    if ((!told || silent) && was.state != WSGI__PLACE_STARTING)
        tell_of_gap(self);
    wsgi__supervisor_tell(self, WSGI_SUPERVISOR_CHANGED);
}
