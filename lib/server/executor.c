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

/* Looks at the queue within the time that a job may stay there. */
#define QUEUE_LOOKS 8

#define MOST_SPARE 64

/* ---- The queue ---------------------------------------------------------- */

/* There are two: calls that have begun go on however many threads are in calls,
 * new ones have to wait for one. */
static wsgi__queue *
queue_of(executor *ex, const wsgi__run *r)
{
    return r->home ? &ex->begun : &ex->fresh;
}

static void
enqueue(executor *ex, wsgi__run *r)
{
    wsgi__queue *queue = queue_of(ex, r);
    r->state = WSGI__RUN_QUEUED;
    r->next = NULL;
    if (queue->last)
        queue->last->next = r;
    else
        queue->first = r;
    queue->last = r;
    queue->n++;
}

static wsgi__run *
dequeue(wsgi__queue *queue)
{
    wsgi__run *r = queue->first;
    queue->first = r->next;
    if (!queue->first)
        queue->last = NULL;
    queue->n--;
    r->state = WSGI__RUN_HELD;
    return r;
}

static void
put_back(executor *ex, wsgi__run *r)
{
    wsgi__queue *queue = queue_of(ex, r);
    r->state = WSGI__RUN_QUEUED;
    r->next = queue->first;
    queue->first = r;
    if (!queue->last)
        queue->last = r;
    queue->n++;
}

/* Takes out, one after the other, what was in the queue: some of it may be put
 * in again. */
static wsgi__run *
empty(wsgi__queue *queue)
{
    wsgi__run *first = queue->first;
    *queue = (wsgi__queue){ 0 };
    return first;
}

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

/* Ends a job that was not begun: no Python, no GIL. */
static void
drop(executor *ex, wsgi__run *r, wsgi__end how)
{
    r->job->events->end(r->job, how);
    wsgi__executor_finish(ex, r);
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
        enqueue(ex, r);
    else if (goes_on)
        wsgi__deadline_arm(r);
}

/* ---- What the connection asks for --------------------------------------- */

static bool
is_saturated(const executor *ex)
{
    return wsgi__crew_busy(ex) >= ex->set.threads;
}

/* Whether one more job may wait. */
static bool
has_room(const executor *ex)
{
    return ex->set.queue_size == 0 || ex->fresh.n < ex->set.queue_size ||
           !is_saturated(ex);
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
    r->shed = !has_room(ex);
    if (r->shed)
        ex->n_dropped++;
    enqueue(ex, r);
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

static void
shed(executor *ex, wsgi__run *r)
{
    wsgi__count_add(&ex->set.score->shed, 1);
    drop(ex, r, WSGI__END_SHED);
}

/* What was cancelled or refused before it began needs no thread and no GIL. */
static void
sort_out_dropped(executor *ex)
{
    wsgi__run *r = empty(&ex->fresh);
    ex->n_dropped = 0;
    while (r) {
        wsgi__run *next = r->next;
        if (r->job->cancelled)
            drop(ex, r, WSGI__END_CANCELLED);
        else if (r->shed)
            shed(ex, r);
        else
            enqueue(ex, r);
        r = next;
    }
}

/* Python was finalised under the server: the objects of jobs and loans cannot
 * be reached any more. */
static void
abandon_all(executor *ex)
{
    atomic_store(&ex->returned, NULL);
    while (ex->begun.first || ex->fresh.first) {
        wsgi__run *r = dequeue(ex->begun.first ? &ex->begun : &ex->fresh);
        wsgi__run_abandon(r);
        drop(ex, r, WSGI__END_CANCELLED);
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
note_wait(executor *ex, wsgi__run *r)
{
    if (r->home)
        return;
    uint64_t now = wsgi__loop_now(ex->set.loop);
    wsgi__histogram_add(&ex->set.score->queue, (now - r->queued_ms) * 1000);
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

static bool
may_begin(const executor *ex)
{
    return ex->fresh.first && !is_saturated(ex);
}

static bool
may_go(const executor *ex)
{
    return ex->begun.first || may_begin(ex);
}

/* In turn, so that streams and new calls do not keep each other waiting. */
static wsgi__run *
pick(executor *ex)
{
    ex->begun_is_next = !ex->begun_is_next;
    bool begun = ex->begun.first && (ex->begun_is_next || !may_begin(ex));
    return dequeue(begun ? &ex->begun : &ex->fresh);
}

typedef enum progress { GO_ON, STAY, LOST } progress;

static progress
advance(executor *ex, wsgi__run *r)
{
    if (!r->home)
        wsgi__run_bind(r, ex->owner);
    switch (wsgi__run_advance(r, ex->owner)) {
    case WSGI__ADVANCE_MORE:
        enqueue(ex, r);
        break;
    case WSGI__ADVANCE_OVER:
    case WSGI__ADVANCE_WAITS:
        break;
    case WSGI__ADVANCE_LOST:
        return LOST;
    }
    return GO_ON;
}

/* There is no thread but this one: better here than never. */
static progress
insist(executor *ex, wsgi__run *r)
{
    if (wsgi__crew_busy(ex) > 0 || !ex->owner) {
        put_back(ex, r);
        return STAY;
    }
    return advance(ex, r);
}

static progress
go_on_with(executor *ex, wsgi__run *r)
{
    if (!r->home && (r->job->cancelled || (r->leaving && r->waited))) {
        drop(ex, r, WSGI__END_CANCELLED);
        return GO_ON;
    }
    if (wants_heir(ex, r) && wsgi__crew_choose_heir(ex, bound_of(ex->owner))) {
        put_back(ex, r);
        return STAY;
    }
    if (!runs_here(ex, r)) {
        note_wait(ex, r);
        return send_away(ex, r) ? GO_ON : insist(ex, r);
    }
    note_wait(ex, r);
    return advance(ex, r);
}

/* Jobs that cannot go now have to wait for a thread: not for ever. */
static void
note_waiting(executor *ex)
{
    if (!ex->fresh.first || may_begin(ex))
        return;
    for (wsgi__run *r = ex->fresh.first; r; r = r->next)
        r->waited = true;
    if (ex->set.queue_ms > 0 && !wsgi__timer_armed(&ex->queue_timer))
        wsgi__loop_arm(ex->set.loop, &ex->queue_timer,
                       ex->set.queue_ms / QUEUE_LOOKS + 1);
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
        made = go_on_with(ex, pick(ex));
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
        sort_out_dropped(ex);
    if (!may_go(ex) && !needs_settling(ex)) {
        note_waiting(ex);
        return true;
    }
    if (!Py_IsInitialized()) {
        abandon_all(ex);
        return true;
    }
    if (self)
        wsgi__crew_appoint(ex);
    progress made = run_jobs(ex);
    if (made != LOST && needs_settling(ex) && !wsgi__run_settle(ex, self))
        made = LOST;
    if (made == LOST) {
        wsgi__loans_settle(ex);
        wsgi__runner_leave_gil(self);
        return false;
    }
    end_phase(ex, self);
    note_waiting(ex);
    return true;
}

static bool
op_ready(const wsgi__executor *base)
{
    const executor *ex = (const executor *)(const void *)base;
    return may_go(ex) || ex->n_dropped || ex->failed || needs_settling(ex);
}

/* ---- Overload ----------------------------------------------------------- */

/* Whoever has waited too long is told to come again. */
static void
on_queue_timer(wsgi__timer *timer)
{
    executor *ex = WSGI__OWNER(timer, executor, queue_timer);
    uint64_t now = wsgi__loop_now(ex->set.loop);
    wsgi__run *r = empty(&ex->fresh);
    while (r) {
        wsgi__run *next = r->next;
        if (now - r->queued_ms >= ex->set.queue_ms)
            shed(ex, r);
        else
            enqueue(ex, r);
        r = next;
    }
    if (ex->fresh.first)
        note_waiting(ex);
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
    ex->queue_timer.expired = on_queue_timer;
    wsgi__deadline_init_all(ex);
    if (pthread_mutex_init(&ex->lock, NULL) ||
        pthread_cond_init(&ex->room, NULL) ||
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

bool
wsgi__executor_free(wsgi__executor *base)
{
    executor *ex = wsgi__executor_of(base);
    if (!ex)
        return true;
    wsgi__loop_disarm(ex->set.loop, &ex->queue_timer);
    wsgi__loop_disarm(ex->set.loop, &ex->gil_timer);
    if (atomic_load(&ex->n_helpers) > 0 || !wsgi__crew_free(&ex->crew, ex))
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
