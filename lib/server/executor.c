#include "server/executor_parts.h"

#include "base/macros.h"
#include "base/mem.h"

/* Jobs of one turn: how long the run phase may keep the loop from polling when
 * every request is short. */
#define JOBS_PER_TURN 64

/* When they are not: what is answered has to leave before others, who are no
 * faster, have their turn. */
#define LONGEST_RUN_NS (2 * WSGI__NS_PER_MS)

/* How long the GIL is kept over turns while others want it: they get it when
 * Python code runs here, or at the latest then. */
#define LONGEST_KEEP_NS (20 * WSGI__NS_PER_MS)

/* How long helpers have at the end, which need the GIL for their last steps. */
#define HELPERS_NS (2000 * WSGI__NS_PER_MS)

#define MOST_SPARE 64

/* ---- Runs --------------------------------------------------------------- */

static wsgi__run *
take_run(executor *ex)
{
    wsgi__run *r = ex->spare;
    if (!r)
        return wsgi__mem_alloc(sizeof(*r));
    ex->spare = r->next;
    ex->n_spare--;
    return r;
}

static void
give_run(executor *ex, wsgi__run *r)
{
    if (ex->n_spare >= MOST_SPARE) {
        wsgi__mem_free(r);
        return;
    }
    r->next = ex->spare;
    ex->spare = r;
    ex->n_spare++;
}

static void
clear_flags(wsgi__job *job)
{
    atomic_store_explicit(&job->paused, false, memory_order_relaxed);
    atomic_store_explicit(&job->cancelled, false, memory_order_relaxed);
}

static void
done(executor *ex, wsgi__job *job)
{
    job->run = NULL;
    clear_flags(job);
    ex->n_jobs--;
    job->events->done(job);
}

void
wsgi__executor_finish(executor *ex, wsgi__run *r)
{
    wsgi__job *job = r->job;
    ex->n_lost -= r->ended;
    wsgi__deadline_disarm(r);
    give_run(ex, r);
    done(ex, job);
}

/* A call that waited goes on, if it may.  Here if it began on this thread, or
 * else where it began. */
void
wsgi__executor_requeue(executor *ex, wsgi__run *r)
{
    pthread_mutex_lock(&ex->lock);
    bool waits = r->state == WSGI__RUN_WAITING && !r->posted;
    bool goes_on = waits && (!r->job->paused || r->job->cancelled);
    /* Without Python it is only to be forgotten. */
    bool here = r->home == ex->owner || !Py_IsInitialized();
    if (goes_on && !here)
        wsgi__crew_send_home(ex, r);
    pthread_mutex_unlock(&ex->lock);
    if (waits)
        wsgi__deadline_disarm(r);
    if (goes_on && here)
        wsgi__queue_add(ex, r);
    else if (goes_on)
        wsgi__deadline_arm(r);
}

/* ---- What the connection asks for --------------------------------------- */

/* No call can be made now: all threads are in calls, or there ought to be more
 * and the machine has none. */
static bool
is_saturated(const executor *ex)
{
    return wsgi__crew_busy(ex) >= ex->set.threads ||
           (wsgi__crew_is_short(ex) && atomic_load(&ex->crew.n_idle) == 0 &&
            !(ex->owner && wsgi__runner_may_call(ex->owner)));
}

static void
op_submit(wsgi__executor *base, wsgi__job *job)
{
    executor *ex = wsgi__executor_of(base);
    wsgi__run *r = take_run(ex);
    clear_flags(job);
    ex->n_jobs++;
    if (!r) {
        job->run = ex->failed;
        ex->failed = job;
        return;
    }
    wsgi__run_init(r, ex, job);
    r->queued_ms = wsgi__loop_now(ex->set.loop);
    wsgi__queue_add(ex, r);
}

static void
op_pause(wsgi__executor *base, wsgi__job *job)
{
    (void)base;
    job->paused = true;
}

static void
op_resume(wsgi__executor *base, wsgi__job *job)
{
    if (!job->paused)
        return;
    job->paused = false;
    if (job->run)
        wsgi__executor_requeue(wsgi__executor_of(base), job->run);
}

static bool
is_queued(const wsgi__run *r)
{
    return r->state == WSGI__RUN_QUEUED;
}

static void
op_cancel(wsgi__executor *base, wsgi__job *job)
{
    executor *ex = wsgi__executor_of(base);
    wsgi__run *r = job->run;
    if (job->cancelled)
        return;
    job->cancelled = true;
    if (!r)
        return;
    pthread_mutex_lock(&ex->lock);
    bool held = r->state == WSGI__RUN_HELD;
    if (is_queued(r))
        ex->n_dropped++;
    pthread_cond_broadcast(&ex->room);
    pthread_mutex_unlock(&ex->lock);
    if (held && ex->interrupting)
        wsgi__deadline_interrupt(r);
    wsgi__executor_requeue(ex, r);
}

static void
op_leaving(wsgi__executor *base, wsgi__job *job)
{
    executor *ex = wsgi__executor_of(base);
    wsgi__run *r = job->run;
    if (!r)
        return;
    pthread_mutex_lock(&ex->lock);
    bool waits = is_queued(r) && !r->home;
    pthread_mutex_unlock(&ex->lock);
    r->leaving = true;
    if (waits && r->waited)
        op_cancel(base, job);
}

/* ---- The run phase ------------------------------------------------------ */

static void
fail_unallocated(executor *ex)
{
    while (ex->failed) {
        wsgi__job *job = ex->failed;
        ex->failed = job->run;
        job->run = NULL;
        wsgi__log_printf(ex->set.log, WSGI_LOG_ERROR,
                         "Error handling request: out of memory");
        job->events->end(job, WSGI__END_FAILED);
        done(ex, job);
    }
}

/* Python was finalised under the server: the objects of jobs and loans cannot
 * be reached any more. */
static void
abandon_all(executor *ex)
{
    atomic_store(&ex->returned, NULL);
    while (ex->begun.first || ex->fresh.first) {
        wsgi__run *r = wsgi__queue_take(ex);
        wsgi__run_abandon(r);
        wsgi__queue_drop(ex, r, WSGI__END_CANCELLED);
    }
}

/* Whether the owner makes this call by itself. */
static bool
runs_here(executor *ex, const wsgi__run *r)
{
    const wsgi__runner *self = ex->owner;
    if (r->home)
        return r->home == self;
    return self && wsgi__runner_may_call(self) &&
           atomic_load_explicit(&ex->pooling, memory_order_relaxed) <= 0;
}

/* Calls that have begun on this thread and wait are not mixed with new ones
 * where that can be helped: the loop moves to a thread without any. */
static bool
wants_heir(const executor *ex, const wsgi__run *r)
{
    const wsgi__runner *self = ex->owner;
    if (!self || r->home)
        return false;
    return !wsgi__runner_may_call(self) || atomic_load(&self->n_bound) > 0;
}

static unsigned
bound_of(const wsgi__runner *self)
{
    return wsgi__runner_may_call(self) ? atomic_load(&self->n_bound)
                                       : UINT32_MAX;
}

static void
note_wait(executor *ex, uint64_t queued_ms)
{
    uint64_t now = wsgi__loop_now(ex->set.loop);
    wsgi__histogram_add(&ex->set.score->queue, (now - queued_ms) * 1000);
}

/* Somewhere else.  False: it has to stay in the queue. */
static bool
send_away(executor *ex, wsgi__run *r)
{
    if (r->home) {
        pthread_mutex_lock(&ex->lock);
        wsgi__crew_send_home(ex, r);
        pthread_mutex_unlock(&ex->lock);
    } else if (!wsgi__crew_hand_over(ex, r)) {
        return false;
    }
    wsgi__deadline_arm(r);
    return true;
}

/* Whether there is a job, and a thread that may make its call.  That counts for
 * calls that have begun, too: with the owner in the last call that may be made,
 * nobody would be left to take the loop from it. */
static bool
may_go(const executor *ex)
{
    return (ex->begun.first || ex->fresh.first) && !is_saturated(ex);
}

typedef enum progress { GO_ON, STAY, LOST } progress;

static progress
advance(executor *ex, wsgi__run *r)
{
    if (!r->home)
        wsgi__run_bind(r, ex->owner);
    switch (wsgi__run_advance(r, ex->owner)) {
    case WSGI__ADVANCE_MORE:
        wsgi__queue_add(ex, r);
        break;
    case WSGI__ADVANCE_OVER:
    case WSGI__ADVANCE_WAITS:
        break;
    case WSGI__ADVANCE_LOST:
        return LOST;
    }
    return GO_ON;
}

/* There is no other thread: better here than never. */
static progress
insist(executor *ex, wsgi__run *r)
{
    if (ex->owner && wsgi__runner_may_call(ex->owner))
        return advance(ex, r);
    wsgi__queue_put_back(ex, r);
    return STAY;
}

static progress
go_on_with(executor *ex, wsgi__run *r)
{
    if (!r->home && (r->job->cancelled || (r->leaving && r->waited))) {
        wsgi__queue_drop(ex, r, WSGI__END_CANCELLED);
        return GO_ON;
    }
    if (wants_heir(ex, r) && wsgi__crew_choose_heir(ex, bound_of(ex->owner))) {
        wsgi__queue_put_back(ex, r);
        return STAY;
    }
    uint64_t queued_ms = r->queued_ms;
    bool begins = !r->home;
    progress made = GO_ON;
    if (runs_here(ex, r))
        made = advance(ex, r);
    else if (!send_away(ex, r))
        made = insist(ex, r);
    if (begins && made == GO_ON)
        note_wait(ex, queued_ms);
    return made;
}

/* The end of a run phase with the GIL: it goes back, unless threads that compute
 * would keep it for 5 ms each time. */
static void
end_phase(executor *ex, wsgi__runner *self)
{
    if (!self || !self->has_gil)
        return;
    wsgi__loans_settle(ex);
    uint64_t contended = wsgi__count_get(&ex->contended_until);
    if (contended > self->gil_since && wsgi__crew_busy(ex) == 0 &&
        wsgi__now_ns() - self->gil_since < LONGEST_KEEP_NS)
        return;
    wsgi__runner_leave_gil(self);
}

static bool
has_loans(const executor *ex)
{
    return atomic_load_explicit(&ex->returned, memory_order_relaxed);
}

/* Loans came back, and no call is there that would take them along. */
static bool
needs_settling(const executor *ex)
{
    return has_loans(ex) && ex->owner && wsgi__crew_busy(ex) == 0;
}

static progress
run_jobs(executor *ex)
{
    uint64_t until = wsgi__now_ns() + LONGEST_RUN_NS;
    progress made = GO_ON;
    for (int i = 0; i < JOBS_PER_TURN && made == GO_ON && may_go(ex); i++) {
        made = go_on_with(ex, wsgi__queue_take(ex));
        if (made == GO_ON && may_go(ex) && wsgi__now_ns() > until)
            return STAY;
    }
    return made;
}

static bool
op_run(wsgi__executor *base)
{
    executor *ex = wsgi__executor_of(base);
    wsgi__runner *self = ex->owner;

    fail_unallocated(ex);
    if (ex->n_dropped)
        wsgi__queue_drop_cancelled(ex);
    if (!ex->owner && has_loans(ex) && wsgi__crew_busy(ex) == 0)
        wsgi__crew_send_for_loans(ex);
    if (!may_go(ex) && !needs_settling(ex)) {
        wsgi__queue_note_waiting(ex);
        return true;
    }
    if (!Py_IsInitialized()) {
        abandon_all(ex);
        return true;
    }
    progress made = run_jobs(ex);
    if (made != LOST && needs_settling(ex) && !wsgi__run_settle(ex, self))
        made = LOST;
    if (made == LOST) {
        if (self->has_gil)
            wsgi__loans_settle(ex);
        wsgi__runner_leave_gil(self);
        return false;
    }
    end_phase(ex, self);
    if (!may_go(ex))
        wsgi__queue_note_waiting(ex);
    return true;
}

static bool
op_ready(const wsgi__executor *base)
{
    const executor *ex = (const executor *)(const void *)base;
    return may_go(ex) || ex->n_dropped || ex->failed || needs_settling(ex);
}

/* ---- Life --------------------------------------------------------------- */

static const wsgi__executor_ops ops = {
    .submit = op_submit,
    .pause = op_pause,
    .resume = op_resume,
    .cancel = op_cancel,
    .leaving = op_leaving,
    .run = op_run,
    .ready = op_ready,
};

wsgi__executor *
wsgi__executor_new(const wsgi__executor_settings *settings)
{
    executor *ex = wsgi__mem_zero(1, sizeof(*ex));
    if (!ex)
        return NULL;
    wsgi__fork_watch();
    ex->base.ops = &ops;
    ex->set = *settings;
    ex->forks = wsgi__fork_count();
    ex->hosted = true;
    wsgi__queue_init(ex);
    wsgi__deadline_init_all(ex);
    if (pthread_mutex_init(&ex->lock, NULL) ||
        wsgi__cond_init(&ex->room) < 0 ||
        wsgi__crew_init(&ex->crew, ex, settings->threads + 1) < 0) {
        wsgi__crew_free(&ex->crew, ex);
        wsgi__mem_free(ex);
        return NULL;
    }
    wsgi__count_set(&ex->set.score->threads, settings->threads);
    return &ex->base;
}

void
wsgi__executor_be_hosted(wsgi__executor *base)
{
    executor *ex = wsgi__executor_of(base);
    ex->hosted = true;
    ex->owner = NULL;
}

bool
wsgi__executor_keeps_gil(const wsgi__executor *base)
{
    const executor *ex = (const executor *)(const void *)base;
    return ex->owner && ex->owner->has_gil;
}

void
wsgi__executor_rest(wsgi__executor *base)
{
    executor *ex = wsgi__executor_of(base);
    if (ex->owner)
        wsgi__runner_leave_gil(ex->owner);
}

bool
wsgi__executor_is_saturated(const wsgi__executor *base)
{
    return is_saturated((const executor *)(const void *)base);
}

void
wsgi__executor_show(const wsgi__executor *base)
{
    const executor *ex = (const executor *)(const void *)base;
    wsgi__count_set(&ex->set.score->busy, wsgi__crew_busy(ex));
    wsgi__count_set(&ex->set.score->queued, ex->fresh.n);
}

size_t
wsgi__executor_jobs(const wsgi__executor *base)
{
    return ((const executor *)(const void *)base)->n_jobs;
}

size_t
wsgi__executor_lost(const wsgi__executor *base)
{
    return ((const executor *)(const void *)base)->n_lost;
}

void
wsgi__executor_interrupt(wsgi__executor *base)
{
    wsgi__executor_of(base)->interrupting = true;
}

/* By the calling thread, which may be any. */
static void
settle_at_the_end(executor *ex)
{
    wsgi__gil gil = { 0 };
    if (!atomic_load(&ex->returned) || !Py_IsInitialized())
        return;
    wsgi__gil_enter(&gil);
    wsgi__loans_settle(ex);
    wsgi__gil_leave(&gil);
    wsgi__gil_forget(&gil);
}

/* Whether all are gone. */
static bool
await_helpers(executor *ex)
{
    struct timespec at = wsgi__in_ns(HELPERS_NS);
    int error = 0;
    pthread_mutex_lock(&ex->lock);
    while (ex->n_helpers > 0 && error == 0)
        error = pthread_cond_timedwait(&ex->room, &ex->lock, &at);
    bool gone = ex->n_helpers == 0;
    pthread_mutex_unlock(&ex->lock);
    return gone;
}

bool
wsgi__executor_free(wsgi__executor *base)
{
    executor *ex = wsgi__executor_of(base);
    if (!ex)
        return true;
    wsgi__loop_disarm(ex->set.loop, &ex->queue_timer);
    wsgi__loop_disarm(ex->set.loop, &ex->gil_timer);
    if (!await_helpers(ex) || !wsgi__crew_free(&ex->crew, ex))
        return false;
    settle_at_the_end(ex);
    while (ex->spare) {
        wsgi__run *next = ex->spare->next;
        wsgi__mem_free(ex->spare);
        ex->spare = next;
    }
    pthread_mutex_destroy(&ex->lock);
    pthread_cond_destroy(&ex->room);
    wsgi__mem_free(ex);
    return true;
}
