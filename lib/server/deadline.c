/* Calls that take too long: what is said of them, what is done about it. */
#include "server/executor_parts.h"

#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "base/mem.h"
#include "python/stack.h"

/* After something was raised in a call: then it is stuck, and so is a part of
 * this process. */
#define STUCK_MS 5000u

/* Whoever asks for the GIL waits 5 ms and a little for threads that compute.
 * After so long it is not given back at all. */
#define GIL_MS 1000u

#define LONGEST_STACK ((size_t)256 * 1024)
#define LONGEST_LINE 256

/* ---- A helper: needs the GIL, for which the loop must not wait ---------- */

typedef enum errand { SAY, RAISE } errand;

typedef struct helper {
    executor *ex;
    wsgi__runner *runner;
    wsgi__run *r; /* compared at first: it may be gone */
    uint64_t serial;
    errand what;
    wsgi_log_level level;
    char line[LONGEST_LINE]; /* the entry's first line */
} helper;

static void
log_stack(const helper *h, bool found, wsgi__buf *stack)
{
    wsgi__log_printf(h->ex->set.log, h->level, "%s\n%s", h->line,
                     found ? wsgi__buf_str(stack)
                           : "  (not in Python at the moment)");
}

/* GIL held: whether the call is under way, which it then cannot leave. */
static bool
is_there(const helper *h)
{
    return h->runner->now == h->r && h->r->serial == h->serial;
}

static void
say_where(const helper *h)
{
    wsgi__buf stack;
    wsgi__buf_init(&stack, LONGEST_STACK);
    wsgi__buf_puts(&stack, "Stack (most recent call last):\n");
    log_stack(h, wsgi__stack_of(h->runner->python_id, &stack), &stack);
    wsgi__buf_free(&stack);
}

static void
raise_there(const helper *h)
{
    PyObject *type = wsgi__stack_timeout_type();
    /* Python code has run meanwhile: the call may be over. */
    if (type && is_there(h))
        h->r->raised = wsgi__stack_raise(h->runner->python_id, type);
    Py_XDECREF(type);
}

static void
run_errand(const helper *h)
{
    if (h->line[0] && is_there(h))
        say_where(h);
    else if (h->line[0])
        wsgi__log_printf(h->ex->set.log, h->level, "%s; it has just ended",
                         h->line);
    if (h->what == RAISE)
        raise_there(h);
}

static void *
helper_main(void *arg)
{
    helper *h = arg;
    executor *ex = h->ex;
    wsgi__gil gil = { 0 };
    bool entered = wsgi__gil_try_enter(&gil);
    atomic_fetch_sub(&ex->n_waiting, 1);
    if (entered) {
        run_errand(h);
        wsgi__gil_leave(&gil);
        wsgi__gil_forget(&gil);
    }
    wsgi__mem_free(h);
    pthread_mutex_lock(&ex->lock);
    ex->n_helpers--;
    pthread_cond_broadcast(&ex->room);
    pthread_mutex_unlock(&ex->lock);
    return NULL;
}

/* A thread more, which is told of before it is there. */
static bool
start_helper(executor *ex, helper *h)
{
    pthread_t id;
    pthread_mutex_lock(&ex->lock);
    atomic_fetch_add(&ex->n_waiting, 1);
    bool started = pthread_create(&id, NULL, helper_main, h) == 0;
    if (started)
        ex->n_helpers++;
    else
        atomic_fetch_sub(&ex->n_waiting, 1);
    pthread_mutex_unlock(&ex->lock);
    if (started)
        pthread_detach(id);
    return started;
}

static void
send_helper(wsgi__run *r, errand what, wsgi_log_level level, const char *line)
{
    executor *ex = r->ex;
    helper *h = wsgi__mem_alloc(sizeof(*h));
    if (h) {
        *h = (helper){ .ex = ex,
                       .runner = r->home,
                       .r = r,
                       .serial = r->serial,
                       .what = what,
                       .level = level };
        snprintf(h->line, sizeof(h->line), "%s", line);
    }
    if (h && start_helper(ex, h)) {
        wsgi__loop_arm(ex->set.loop, &ex->gil_timer, GIL_MS);
        return;
    }
    wsgi__mem_free(h);
    if (line[0])
        wsgi__log_write(ex->set.log, level, line);
}

/* ---- The GIL is not to be had ------------------------------------------- */

static void
on_gil_timer(wsgi__timer *timer)
{
    executor *ex = WSGI__OWNER(timer, executor, gil_timer);
    if (atomic_load(&ex->n_waiting) == 0)
        return;
    wsgi__buf text;
    wsgi__buf_init(&text, LONGEST_STACK);
    if (!wsgi__stack_of_all(&text))
        wsgi__buf_puts(&text, "  (no stacks can be had)");
    wsgi__log_printf(ex->set.log, WSGI_LOG_ERROR,
                     "The GIL was not given back for %u ms: some thread "
                     "keeps it in C code.  Threads, most recent call first:\n"
                     "%s",
                     GIL_MS, wsgi__buf_str(&text));
    wsgi__buf_free(&text);
}

/* ---- Stages ------------------------------------------------------------- */

static const char *
phase_of(const wsgi__run *r)
{
    if (r->end_told)
        return "in close()";
    if (!r->head_told)
        return "before it answered";
    return "in the middle of its answer";
}

static void
describe(const wsgi__run *r, char line[LONGEST_LINE], const char *what)
{
    const wsgi__request *req = r->job->req;
    uint64_t ms = wsgi__loop_now(r->ex->set.loop) - r->step_ms;
    wsgi__buf target;
    wsgi__buf_init(&target, 1024);
    wsgi__buf_escape(&target, req->method);
    wsgi__buf_puts(&target, " ");
    wsgi__span cut = req->target;
    if (cut.len > 120)
        cut.len = 120;
    wsgi__buf_escape(&target, cut);
    snprintf(line, LONGEST_LINE,
             "%s %s after %llu.%llu s, %s (thread wsgi-%u)",
             wsgi__buf_str(&target), what, (unsigned long long)ms / 1000,
             (unsigned long long)ms % 1000 / 100, phase_of(r),
             r->home ? r->home->number + 1 : 0);
    wsgi__buf_free(&target);
}

static void
arm(wsgi__run *r, wsgi__deadline_stage stage, unsigned ms)
{
    r->stage = stage;
    wsgi__loop_arm(r->ex->set.loop, &r->timer, ms);
}

static void
arm_timeout(wsgi__run *r, unsigned spent)
{
    unsigned timeout = r->ex->set.timeout_ms;
    if (timeout > 0)
        arm(r, WSGI__DEADLINE_TIMEOUT, timeout - spent);
    else
        r->stage = WSGI__DEADLINE_NONE;
}

static void
on_slow(wsgi__run *r)
{
    unsigned slow = r->ex->set.slow_ms;
    char line[LONGEST_LINE];
    r->slow_told = true;
    describe(r, line, "is still running");
    arm_timeout(r, slow);
    send_helper(r, SAY, WSGI_LOG_WARNING, line);
}

/* The answer does not wait for the call to notice. */
static void
on_timeout(wsgi__run *r)
{
    char line[LONGEST_LINE];
    describe(r, line, "ran into the timeout");
    wsgi__count_add(&r->ex->set.score->timeouts, 1);
    r->ended = r->end_told = true;
    r->ex->n_lost++;
    r->ex->base.ops->cancel(&r->ex->base, r->job);
    arm(r, WSGI__DEADLINE_STUCK, STUCK_MS);
    send_helper(r, RAISE, WSGI_LOG_ERROR, line);
    r->job->events->end(r->job, WSGI__END_TIMEOUT);
}

static void
on_stuck(wsgi__run *r)
{
    char line[LONGEST_LINE];
    describe(r, line,
             r->raised ? "does not end, although an exception was raised in it"
                       : "does not end, and nothing can be raised in it");
    wsgi__log_printf(r->ex->set.log, WSGI_LOG_ERROR,
                     "%s; its thread is lost, and this process is to be "
                     "replaced",
                     line);
    atomic_store(&r->ex->set.score->replace, WSGI__REPLACE_STUCK);
    r->stage = WSGI__DEADLINE_NONE;
}

/* Its thread has other calls first. */
static bool
is_in_inbox(wsgi__run *r)
{
    pthread_mutex_lock(&r->ex->lock);
    bool in_inbox = r->in_inbox;
    pthread_mutex_unlock(&r->ex->lock);
    return in_inbox;
}

static void
on_expired(wsgi__timer *timer)
{
    wsgi__run *r = WSGI__OWNER(timer, wsgi__run, timer);
    if (is_in_inbox(r)) {
        wsgi__deadline_arm(r);
        return;
    }
    switch (r->stage) {
    case WSGI__DEADLINE_SLOW:
        on_slow(r);
        break;
    case WSGI__DEADLINE_TIMEOUT:
        on_timeout(r);
        break;
    case WSGI__DEADLINE_STUCK:
        on_stuck(r);
        break;
    case WSGI__DEADLINE_NONE:
        break;
    }
}

/* ---- What others ask for ------------------------------------------------ */

void
wsgi__deadline_init(wsgi__run *r)
{
    r->timer.expired = on_expired;
}

void
wsgi__deadline_init_all(executor *ex)
{
    ex->gil_timer.expired = on_gil_timer;
}

void
wsgi__deadline_arm(wsgi__run *r)
{
    const wsgi__executor_settings *set = &r->ex->set;
    if (r->ended)
        return; /* the stages after the timeout go on */
    r->step_ms = wsgi__loop_now(set->loop);
    if (set->slow_ms > 0 && !r->slow_told &&
        (set->timeout_ms == 0 || set->slow_ms < set->timeout_ms))
        arm(r, WSGI__DEADLINE_SLOW, set->slow_ms);
    else
        arm_timeout(r, 0);
}

void
wsgi__deadline_disarm(wsgi__run *r)
{
    wsgi__loop_disarm(r->ex->set.loop, &r->timer);
    r->stage = WSGI__DEADLINE_NONE;
}

void
wsgi__deadline_interrupt(wsgi__run *r)
{
    if (r->ended || !r->home || !Py_IsInitialized())
        return;
    send_helper(r, RAISE, WSGI_LOG_ERROR, "");
}
