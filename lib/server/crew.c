/* The threads of an executor: who has the loop, who looks after whom, who is in
 * a call. */
#include "server/executor_parts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

/* How often the watcher looks.  A call that it sees twice is late: so the loop
 * waits for a call one to two times as long. */
#define TICK_NS (2 * WSGI__NS_PER_MS)

/* Looks at a loop that makes no calls, before the watcher goes to sleep. */
#define LOOKS_BEFORE_SLEEP 25

/* After a failure to start a thread. */
#define RETRY_MS 1000

static _Thread_local wsgi__runner *here;

wsgi__runner *
wsgi__runner_here(const executor *ex)
{
    return here && here->ex == ex ? here : NULL;
}

/* ---- Who may do what ---------------------------------------------------- */

/* With one call at a time it is always the same thread that calls: there are
 * applications that count on it. */
bool
wsgi__runner_may_call(const wsgi__runner *runner)
{
    const executor *ex = runner->ex;
    return ex->set.threads > 1 || runner->number == (ex->hosted ? 1 : 0);
}

unsigned
wsgi__crew_busy(const executor *ex)
{
    /* n_started changes on this thread alone. */
    return ex->crew.n_started - atomic_load(&ex->crew.n_idle) -
           (ex->owner ? 1 : 0);
}

/* Few are needed so badly that another attempt in each turn would be worth its
 * price. */
bool
wsgi__crew_is_short(const executor *ex)
{
    return ex->crew.failed && wsgi__loop_now(ex->set.loop) < ex->crew.retry_ms;
}

void
wsgi__runner_show(const wsgi__runner *runner, wsgi__thread_phase phase,
                  const wsgi__run *r)
{
    wsgi__score *score = runner->ex->set.score;
    size_t slot = runner->number < WSGI__SCORE_THREADS
                      ? runner->number
                      : WSGI__SCORE_THREADS - 1;
    char line[WSGI__SCORE_TEXT] = "";
    int len = 0;
    if (r) {
        const wsgi__request *req = r->job->req;
        len = snprintf(line, sizeof(line), "%.*s %.*s",
                       (int)(req->method.len < 32 ? req->method.len : 32),
                       req->method.ptr,
                       (int)(req->target.len < 160 ? req->target.len : 160),
                       req->target.ptr);
    }
    wsgi__score_thread_set(&score->thread[slot], phase, wsgi__now_ns(), line,
                           len > 0 ? (size_t)len : 0);
}

/* ---- Idle and woken ----------------------------------------------------- */

void
wsgi__crew_set_idle(executor *ex, wsgi__runner *self)
{
    if (self->idle)
        return;
    self->idle = true;
    atomic_fetch_add(&ex->crew.n_idle, 1);
    wsgi__runner_show(self, WSGI__THREAD_IDLE, NULL);
}

/* lock */
static void
set_watcher(executor *ex, wsgi__runner *runner)
{
    ex->crew.watcher = runner;
    atomic_store(&ex->crew.watched, runner != NULL);
}

/* lock: whatever it was to watch, it has something else to do. */
static void
set_active(executor *ex, wsgi__runner *runner)
{
    if (!runner->idle)
        return;
    runner->idle = false;
    atomic_fetch_sub(&ex->crew.n_idle, 1);
    if (ex->crew.watcher == runner)
        set_watcher(ex, NULL);
}

/* lock */
static void
wake(wsgi__runner *runner)
{
    pthread_cond_signal(&runner->wake);
}

static void *thread_main(void *arg);

/* owner, lock: another thread, or NULL. */
static wsgi__runner *
start_thread(executor *ex)
{
    wsgi__crew *crew = &ex->crew;
    unsigned last = ex->set.threads;
    if (wsgi__crew_is_short(ex))
        return NULL;
    for (unsigned i = 1; i <= last; i++) {
        wsgi__runner *runner = &crew->runners[i];
        if (runner->started)
            continue;
        int error = pthread_create(&runner->id, NULL, thread_main, runner);
        if (error) {
            if (!crew->failed)
                wsgi__log_printf(ex->set.log, WSGI_LOG_ERROR,
                                 "cannot start a thread for the application: "
                                 "%s; going on with %u",
                                 strerror(error), crew->n_started);
            crew->failed = true;
            crew->retry_ms = wsgi__loop_now(ex->set.loop) + RETRY_MS;
            return NULL;
        }
        crew->failed = false;
        runner->started = true;
        crew->n_started++;
        wsgi__crew_set_idle(ex, runner);
        return runner;
    }
    return NULL;
}

/* lock: who is idle, and has fewest calls bound to it.  The watcher only if
 * there is nobody else. */
static wsgi__runner *
find_idle(executor *ex, bool may_call)
{
    wsgi__crew *crew = &ex->crew;
    wsgi__runner *found = NULL;
    unsigned least = 0;
    for (unsigned i = 0; i < crew->n; i++) {
        wsgi__runner *runner = &crew->runners[i];
        if (!runner->idle || (may_call && !wsgi__runner_may_call(runner)))
            continue;
        unsigned bound =
            2 * atomic_load(&runner->n_bound) + (runner == crew->watcher);
        if (found && bound >= least)
            continue;
        found = runner;
        least = bound;
    }
    return found;
}

/* lock */
static void
put_into_inbox(executor *ex, wsgi__runner *runner, wsgi__run *r)
{
    wsgi__run **end = &runner->inbox;
    while (*end)
        end = &(*end)->next;
    *end = r;
    r->next = NULL;
    r->state = WSGI__RUN_HELD;
    r->in_inbox = true;
    atomic_store(&runner->others_wait, true);
    set_active(ex, runner);
    wake(runner);
}

bool
wsgi__crew_hand_over(executor *ex, wsgi__run *r)
{
    pthread_mutex_lock(&ex->lock);
    wsgi__runner *runner = find_idle(ex, true);
    if (!runner || atomic_load(&runner->n_bound) > 0) {
        wsgi__runner *fresh = start_thread(ex);
        if (fresh && wsgi__runner_may_call(fresh))
            runner = fresh;
    }
    if (runner) {
        wsgi__runner_show(runner, WSGI__THREAD_CALL, r);
        wsgi__run_bind(r, runner);
        put_into_inbox(ex, runner, r);
    }
    pthread_mutex_unlock(&ex->lock);
    return runner != NULL;
}

void
wsgi__crew_send_home(executor *ex, wsgi__run *r)
{
    if (r->home->idle)
        wsgi__runner_show(r->home, WSGI__THREAD_BLOCK, r);
    put_into_inbox(ex, r->home, r);
}

void
wsgi__crew_send_for_loans(executor *ex)
{
    wsgi__crew *crew = &ex->crew;
    pthread_mutex_lock(&ex->lock);
    if (!crew->settler)
        crew->settler = find_idle(ex, false);
    if (crew->settler)
        wake(crew->settler);
    pthread_mutex_unlock(&ex->lock);
}

bool
wsgi__crew_choose_heir(executor *ex, unsigned bound)
{
    wsgi__crew *crew = &ex->crew;
    pthread_mutex_lock(&ex->lock);
    wsgi__runner *runner = find_idle(ex, true);
    if (!runner || atomic_load(&runner->n_bound) >= bound) {
        wsgi__runner *fresh = start_thread(ex);
        runner = fresh && wsgi__runner_may_call(fresh) ? fresh : NULL;
    }
    crew->heir = runner;
    pthread_mutex_unlock(&ex->lock);
    return runner != NULL;
}

/* ---- Watching ----------------------------------------------------------- */

void
wsgi__crew_appoint(executor *ex)
{
    wsgi__crew *crew = &ex->crew;
    if (atomic_load_explicit(&crew->watched, memory_order_relaxed))
        return;
    pthread_mutex_lock(&ex->lock);
    wsgi__runner *runner = find_idle(ex, false);
    if (!runner)
        runner = start_thread(ex);
    if (runner) {
        set_watcher(ex, runner);
        wake(runner);
    }
    pthread_mutex_unlock(&ex->lock);
}

void
wsgi__crew_unpark(executor *ex)
{
    wsgi__crew *crew = &ex->crew;
    pthread_mutex_lock(&ex->lock);
    if (crew->parked && crew->watcher) {
        atomic_store(&crew->parked, false);
        wake(crew->watcher);
    }
    pthread_mutex_unlock(&ex->lock);
}

/* lock: the loop makes no calls.  Either this sees that one has begun, or
 * whoever begins it sees that the watcher is parked. */
static void
park(executor *ex, wsgi__runner *self, uint64_t seen)
{
    wsgi__crew *crew = &ex->crew;
    atomic_store(&crew->parked, true);
    if (wsgi__baton_look(&ex->baton) != seen)
        atomic_store(&crew->parked, false);
    while (crew->parked && crew->watcher == self && !self->inbox &&
           !crew->ending && !crew->over && crew->heir != self)
        pthread_cond_wait(&self->wake, &ex->lock);
    atomic_store(&crew->parked, false);
}

/* lock */
static void
wait_for_a_tick(executor *ex, wsgi__runner *self)
{
    struct timespec at = wsgi__in_ns(TICK_NS);
    pthread_cond_timedwait(&self->wake, &ex->lock, &at);
}

/* lock: the loop is this thread's.  The call that it was taken from goes on. */
static void
take_over(executor *ex, wsgi__runner *self, uint64_t from)
{
    wsgi__runner *late = &ex->crew.runners[wsgi__baton_thread(from)];
    set_active(ex, self);
    ex->owner = self;
    atomic_store_explicit(&ex->suspicious, true, memory_order_relaxed);
    wsgi__count_add(&ex->set.score->takeovers, 1);
    wsgi__runner_show(late, WSGI__THREAD_CALL, late->calling);
    wsgi__runner_show(self, WSGI__THREAD_LOOP, NULL);
    if (late->calling)
        wsgi__deadline_arm(late->calling);
}

/* lock: true when the loop is this thread's now. */
static bool
watch(executor *ex, wsgi__runner *self)
{
    wsgi__crew *crew = &ex->crew;
    uint64_t seen = wsgi__baton_look(&ex->baton);
    unsigned quiet = 0;
    bool taken = false;

    while (!taken && crew->watcher == self && !self->inbox && !crew->ending &&
           !crew->over && crew->heir != self) {
        wait_for_a_tick(ex, self);
        uint64_t now = wsgi__baton_look(&ex->baton);
        if (now != seen)
            quiet = 0;
        else if (wsgi__baton_in_app(now))
            taken = wsgi__baton_take(&ex->baton, now, self->number);
        else if (++quiet == LOOKS_BEFORE_SLEEP)
            park(ex, self, now), quiet = 0;
        if (taken)
            take_over(ex, self, now);
        seen = now;
    }
    if (crew->watcher == self)
        set_watcher(ex, NULL);
    return taken;
}

/* ---- Having the loop ---------------------------------------------------- */

/* owner: the loop goes to the heir.  False: that has got something else to do
 * since it was chosen. */
static bool
give_loop(executor *ex, wsgi__runner *self)
{
    wsgi__crew *crew = &ex->crew;
    wsgi__executor_rest(&ex->base);
    pthread_mutex_lock(&ex->lock);
    wsgi__runner *heir = crew->heir;
    if (!heir->idle) {
        crew->heir = NULL;
        pthread_mutex_unlock(&ex->lock);
        return false;
    }
    set_active(ex, heir);
    wsgi__runner_show(heir, WSGI__THREAD_LOOP, NULL);
    if (!self->inbox)
        wsgi__crew_set_idle(ex, self);
    ex->owner = heir;
    wsgi__baton_give(&ex->baton, heir->number);
    wake(heir);
    pthread_mutex_unlock(&ex->lock);
    return true;
}

static void
finish_turns(executor *ex, wsgi__runner *self, int result)
{
    wsgi__crew *crew = &ex->crew;
    wsgi__executor_rest(&ex->base);
    pthread_mutex_lock(&ex->lock);
    crew->result = result;
    crew->over = true;
    wsgi__crew_set_idle(ex, self);
    bool stuck = ex->n_jobs > 0 && !crew->runners[0].idle;
    for (unsigned i = 0; i < crew->n; i++)
        wake(&crew->runners[i]);
    pthread_mutex_unlock(&ex->lock);
    if (stuck && ex->set.stuck)
        ex->set.stuck(ex->set.stuck_user);
}

/* Without the lock, until the loop is somebody else's or the turns are over. */
static void
have_loop(executor *ex, wsgi__runner *self)
{
    wsgi__crew *crew = &ex->crew;
    for (;;) {
        int status = crew->turn(crew->user);
        if (status == WSGI__TURN_LOST)
            return;
        if (status != WSGI_OK) {
            finish_turns(ex, self, status);
            return;
        }
        if (crew->heir && give_loop(ex, self))
            return;
    }
}

/* ---- The life of a thread ----------------------------------------------- */

/* Without the lock: what is in the inbox. */
static void
work(executor *ex, wsgi__runner *self, wsgi__run *r)
{
    if (!wsgi__runner_take_gil(self)) {
        wsgi__run_refuse_late(r, self);
        return;
    }
    uint64_t began = self->gil_since;
    wsgi__run_late(r, self);
    wsgi__loans_settle(ex);
    wsgi__runner_leave_gil(self);
    wsgi__runner_note(self, wsgi__now_ns() - began);
}

/* Without the lock. */
static void
settle(executor *ex, wsgi__runner *self)
{
    if (!wsgi__runner_take_gil(self))
        return;
    wsgi__loans_settle(ex);
    wsgi__runner_leave_gil(self);
}

/* lock, given up meanwhile.  Does what there is to do for this thread, or
 * waits for it. */
static void
act(executor *ex, wsgi__runner *self)
{
    wsgi__crew *crew = &ex->crew;
    wsgi__run *r = self->inbox;
    if (r) {
        self->inbox = r->next;
        r->in_inbox = false;
        atomic_store(&self->others_wait, self->inbox != NULL);
        pthread_mutex_unlock(&ex->lock);
        work(ex, self, r);
        pthread_mutex_lock(&ex->lock);
    } else if (crew->settler == self) {
        crew->settler = NULL;
        pthread_mutex_unlock(&ex->lock);
        settle(ex, self);
        pthread_mutex_lock(&ex->lock);
    } else if (crew->heir == self && ex->owner == self) {
        crew->heir = NULL;
        pthread_mutex_unlock(&ex->lock);
        have_loop(ex, self);
        pthread_mutex_lock(&ex->lock);
    } else if (crew->watcher == self) {
        if (!watch(ex, self))
            return;
        pthread_mutex_unlock(&ex->lock);
        have_loop(ex, self);
        pthread_mutex_lock(&ex->lock);
    } else {
        pthread_cond_wait(&self->wake, &ex->lock);
    }
}

static void
name_thread(const wsgi__runner *self)
{
    char name[16];
    snprintf(name, sizeof(name), "wsgi-%u", self->number + 1);
    pthread_setname_np(pthread_self(), name);
}

static void *
thread_main(void *arg)
{
    wsgi__runner *self = arg;
    executor *ex = self->ex;
    here = self;
    name_thread(self);
    pthread_mutex_lock(&ex->lock);
    while (!ex->crew.ending || self->inbox)
        act(ex, self);
    pthread_mutex_unlock(&ex->lock);
    wsgi__gil_forget(&self->gil);
    return NULL;
}

/* owner; lock taken here: the serving thread joins, or leaves again. */
static void
enlist(executor *ex, wsgi__runner *self)
{
    pthread_mutex_lock(&ex->lock);
    self->started = true;
    self->id = pthread_self();
    self->python_id = 0;
    ex->crew.n_started++;
    ex->crew.over = false;
    ex->crew.heir = NULL;
    ex->hosted = false;
    ex->owner = self;
    wsgi__baton_give(&ex->baton, self->number);
    pthread_mutex_unlock(&ex->lock);
    wsgi__runner_show(self, WSGI__THREAD_LOOP, NULL);
}

static void
dismiss(executor *ex, wsgi__runner *self)
{
    pthread_mutex_lock(&ex->lock);
    set_active(ex, self);
    self->started = false;
    ex->crew.n_started--;
    ex->owner = NULL;
    ex->hosted = true;
    pthread_mutex_unlock(&ex->lock);
    wsgi__runner_show(self, WSGI__THREAD_NONE, NULL);
}

void
wsgi__executor_close_down(wsgi__executor *base)
{
    executor *ex = wsgi__executor_of(base);
    here = &ex->crew.runners[0];
    enlist(ex, here);
    pthread_mutex_lock(&ex->lock);
    ex->crew.over = true; /* nobody takes this loop */
    pthread_mutex_unlock(&ex->lock);
    ex->interrupting = true;
}

void
wsgi__executor_closed_down(wsgi__executor *base)
{
    executor *ex = wsgi__executor_of(base);
    wsgi__executor_rest(base);
    dismiss(ex, here);
    wsgi__gil_forget(&here->gil);
    here = NULL;
}

int
wsgi__executor_serve(wsgi__executor *base, wsgi__turn turn, void *user)
{
    executor *ex = wsgi__executor_of(base);
    wsgi__crew *crew = &ex->crew;
    wsgi__runner *self = &crew->runners[0];
    wsgi__runner *before = here;

    here = self;
    crew->turn = turn;
    crew->user = user;
    enlist(ex, self);
    have_loop(ex, self);
    pthread_mutex_lock(&ex->lock);
    while (!crew->over || self->inbox)
        act(ex, self);
    int result = crew->result;
    pthread_mutex_unlock(&ex->lock);
    dismiss(ex, self);
    wsgi__gil_forget(&self->gil);
    here = before;
    return result;
}

/* ---- Beginning and end -------------------------------------------------- */

int
wsgi__cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t monotonic;
    if (pthread_condattr_init(&monotonic))
        return WSGI_ERR_NOMEM;
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    int failed = pthread_cond_init(cond, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return failed ? WSGI_ERR_NOMEM : WSGI_OK;
}

int
wsgi__crew_init(wsgi__crew *crew, executor *ex, unsigned n)
{
    crew->runners = wsgi__mem_zero(n, sizeof(*crew->runners));
    if (!crew->runners)
        return WSGI_ERR_NOMEM;
    for (; crew->n < n; crew->n++) {
        wsgi__runner *runner = &crew->runners[crew->n];
        runner->ex = ex;
        runner->number = crew->n;
        if (wsgi__cond_init(&runner->wake) < 0)
            return WSGI_ERR_NOMEM;
    }
    return WSGI_OK;
}

/* Threads that are in a call cannot be waited for. */
static bool
end_threads(wsgi__crew *crew, executor *ex)
{
    pthread_mutex_lock(&ex->lock);
    crew->ending = true;
    bool all = true;
    for (unsigned i = 0; i < crew->n; i++) {
        wake(&crew->runners[i]);
        if (crew->runners[i].started && !crew->runners[i].idle)
            all = false;
    }
    pthread_mutex_unlock(&ex->lock);
    for (unsigned i = 0; i < crew->n; i++) {
        if (!crew->runners[i].started)
            continue;
        if (all)
            pthread_join(crew->runners[i].id, NULL);
        else
            pthread_detach(crew->runners[i].id);
        crew->runners[i].started = false;
    }
    return all;
}

bool
wsgi__crew_free(wsgi__crew *crew, executor *ex)
{
    if (!end_threads(crew, ex))
        return false;
    for (unsigned i = 0; i < crew->n; i++)
        pthread_cond_destroy(&crew->runners[i].wake);
    wsgi__mem_free(crew->runners);
    return true;
}
