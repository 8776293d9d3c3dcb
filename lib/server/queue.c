/* Jobs that wait: for their turn, or for a thread; and what becomes of those
 * that wait too long. */
#include "server/executor_parts.h"

#include "base/macros.h"

/* Looks at the queue within the time that a job may stay there. */
#define QUEUE_LOOKS 8

/* Until the next attempt to have one thread more. */
#define SHORT_OF_THREADS_MS 1000u

/* There are two queues, served in turn: streams and new calls do not keep each
 * other waiting. */
static wsgi__queue *
queue_of(executor *ex, const wsgi__run *r)
{
    return r->home ? &ex->begun : &ex->fresh;
}

void
wsgi__queue_add(executor *ex, wsgi__run *r)
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

void
wsgi__queue_put_back(executor *ex, wsgi__run *r)
{
    wsgi__queue *queue = queue_of(ex, r);
    r->state = WSGI__RUN_QUEUED;
    r->next = queue->first;
    queue->first = r;
    if (!queue->last)
        queue->last = r;
    queue->n++;
}

wsgi__run *
wsgi__queue_take(executor *ex)
{
    ex->begun_is_next = !ex->begun_is_next;
    bool begun = ex->begun.first && (ex->begun_is_next || !ex->fresh.first);
    wsgi__queue *queue = begun ? &ex->begun : &ex->fresh;
    wsgi__run *r = queue->first;
    queue->first = r->next;
    if (!queue->first)
        queue->last = NULL;
    queue->n--;
    r->state = WSGI__RUN_HELD;
    return r;
}

/* ---- Who does not get a turn -------------------------------------------- */

/* Ends a job that was not begun: no thread, no Python, no GIL. */
void
wsgi__queue_drop(executor *ex, wsgi__run *r, wsgi__end how)
{
    if (how == WSGI__END_SHED)
        wsgi__count_add(&ex->set.score->shed, 1);
    r->end_told = true;
    r->job->events->end(r->job, how);
    wsgi__executor_finish(ex, r);
}

/* Goes through the new jobs, the n-th of which stay if the verdict is OK. */
typedef wsgi__end (*verdict)(const executor *ex, const wsgi__run *r, size_t n);

static void
sift(executor *ex, verdict on)
{
    wsgi__run *r = ex->fresh.first;
    ex->fresh = (wsgi__queue){ 0 };
    while (r) {
        wsgi__run *next = r->next;
        wsgi__end how = on(ex, r, ex->fresh.n);
        if (how == WSGI__END_OK)
            wsgi__queue_add(ex, r);
        else
            wsgi__queue_drop(ex, r, how);
        r = next;
    }
}

static wsgi__end
on_cancelled(const executor *ex, const wsgi__run *r, size_t n)
{
    (void)ex, (void)n;
    return r->job->cancelled ? WSGI__END_CANCELLED : WSGI__END_OK;
}

static wsgi__end
on_size(const executor *ex, const wsgi__run *r, size_t n)
{
    (void)r;
    return n >= ex->set.queue_size ? WSGI__END_SHED : WSGI__END_OK;
}

static wsgi__end
on_age(const executor *ex, const wsgi__run *r, size_t n)
{
    (void)n;
    uint64_t age = wsgi__loop_now(ex->set.loop) - r->queued_ms;
    return age >= ex->set.queue_ms ? WSGI__END_SHED : WSGI__END_OK;
}

void
wsgi__queue_drop_cancelled(executor *ex)
{
    ex->n_dropped = 0;
    sift(ex, on_cancelled);
}

static void
arm_timer(executor *ex)
{
    unsigned ms = ex->set.queue_ms / QUEUE_LOOKS + 1;
    if (wsgi__crew_is_short(ex) &&
        (ex->set.queue_ms == 0 || ms > SHORT_OF_THREADS_MS))
        ms = SHORT_OF_THREADS_MS;
    else if (ex->set.queue_ms == 0)
        return;
    if (!wsgi__timer_armed(&ex->queue_timer))
        wsgi__loop_arm(ex->set.loop, &ex->queue_timer, ms);
}

void
wsgi__queue_note_waiting(executor *ex)
{
    if (!ex->fresh.first)
        return;
    if (ex->set.queue_size > 0 && ex->fresh.n > ex->set.queue_size)
        sift(ex, on_size);
    for (wsgi__run *r = ex->fresh.first; r; r = r->next)
        r->waited = true;
    arm_timer(ex);
}

/* Whoever has waited too long is told to come again. */
static void
on_timer(wsgi__timer *timer)
{
    executor *ex = WSGI__OWNER(timer, executor, queue_timer);
    if (ex->set.queue_ms > 0)
        sift(ex, on_age);
    if (ex->fresh.first)
        arm_timer(ex);
}

void
wsgi__queue_init(executor *ex)
{
    ex->queue_timer.expired = on_timer;
}
