#include "server/executor_parts.h"

#include "base/mem.h"
#include "python/child.h"
#include "python/traceback.h"

/* Steps of one job in a turn, before others are due. */
#define STEPS_PER_TURN 32

#define LONGEST_TRACEBACK ((size_t)256 * 1024)

/* ---- Reporting ---------------------------------------------------------- */

static void
put_request(wsgi__buf *text, const wsgi__job *job)
{
    wsgi__buf_puts(text, " ");
    wsgi__buf_escape(text, job->req->method);
    wsgi__buf_puts(text, " ");
    wsgi__buf_escape(text, job->req->target);
}

/* Takes the exception that is set to the log. */
static void
log_exception(const wsgi__run *r, const char *what)
{
    wsgi__buf text;
    wsgi__buf_init(&text, LONGEST_TRACEBACK);
    wsgi__buf_puts(&text, what);
    put_request(&text, r->job);
    wsgi__buf_puts(&text, "\n");
    wsgi__traceback_take(&text);
    wsgi__log_write(r->ex->set.log, WSGI_LOG_ERROR, wsgi__buf_str(&text));
    wsgi__buf_free(&text);
}

/* ---- Forks -------------------------------------------------------------- */

/* Asking is free; getpid() is a system call for every step. */
static volatile unsigned n_forks;

static void
count_fork(void)
{
    n_forks++;
}

static void
count_forks(void)
{
    pthread_atfork(NULL, NULL, count_fork);
}

void
wsgi__fork_watch(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, count_forks);
}

unsigned
wsgi__fork_count(void)
{
    return n_forks;
}

/* Whether the application forked, and this is the new process. */
static bool
is_child(const executor *ex)
{
    return ex->forks != n_forks;
}

/* Ends this process if it is one that the application forked: what came back
 * here is of no use, the parent answers the request.  An exception may be
 * set. */
static void
stay_parent(const wsgi__run *r)
{
    if (!is_child(r->ex))
        return;
    int status = PyErr_Occurred() ? wsgi__child_status() : -1;
    if (status >= 0)
        wsgi__child_exit(status);
    if (!PyErr_Occurred())
        PyErr_SetString(PyExc_RuntimeError,
                        "the application returned; a child ends with "
                        "os._exit() or sys.exit()");
    log_exception(r, "Error in a process that the application forked:");
    wsgi__child_exit(1);
}

/* ---- In and out of the application -------------------------------------- */

/* From here on another thread may take the loop, which somebody has to look
 * after.  r may be NULL. */
static void
enter_app(executor *ex, wsgi__run *r, wsgi__runner *self)
{
    self->calling = r;
    wsgi__crew_appoint(ex);
    self->entered = wsgi__baton_enter(&ex->baton);
    wsgi__crew_rouse(ex);
}

/* The GIL is asked for in there, because it may take as long as any call.
 * False: it is not to be had. */
static bool
enter(wsgi__run *r, wsgi__runner *self)
{
    enter_app(r->ex, r, self);
    if (!self->has_gil && !wsgi__runner_take_gil(self))
        return false;
    self->now = r;
    return true;
}

/* Whether the loop is still this thread's.  The call is not what it is in any
 * more: nothing is to be raised here. */
static bool
leave(wsgi__runner *self)
{
    if (!wsgi__baton_leave(&self->ex->baton, self->entered))
        return false;
    self->now = NULL;
    return true;
}

bool
wsgi__run_settle(executor *ex, wsgi__runner *self)
{
    enter_app(ex, NULL, self);
    if (self->has_gil || wsgi__runner_take_gil(self))
        wsgi__loans_settle(ex);
    if (leave(self))
        return true;
    pthread_mutex_lock(&ex->lock);
    if (!self->inbox)
        wsgi__crew_set_idle(ex, self);
    pthread_mutex_unlock(&ex->lock);
    /* There is a thread more for what is in the queue. */
    wsgi__loop_wake(ex->set.loop);
    return false;
}

/* ---- Output, on the thread that has the loop ---------------------------- */

static void
give_head(wsgi__run *r)
{
    if (r->head_given)
        return;
    r->head_given = r->head_told = true;
    r->job->events->head(r->job, wsgi__call_response(r->call));
}

static void
give_bytes(wsgi__run *r, PyObject *bytes, bool pushed)
{
    wsgi__chunk chunk = wsgi__chunk_of(bytes, pushed);
    wsgi__loan_offer(r->ex, &chunk, bytes);
    Py_INCREF(bytes);
    r->job->events->data(r->job, &chunk);
    if (chunk.taken)
        return; /* the loan has the reference */
    Py_DECREF(bytes);
    wsgi__loan_drop(&chunk);
}

static void
give_file(wsgi__run *r, const wsgi__call_chunk *file)
{
    wsgi__chunk chunk = { .fd = file->fd,
                          .at = file->at,
                          .file_len = file->len };
    r->job->events->data(r->job, &chunk);
}

/* ---- write() ------------------------------------------------------------ */

/* Why it may not be called from here, or NULL. */
static const char *
refuse_write(const wsgi__run *r, const wsgi__runner *self)
{
    if (is_child(r->ex))
        return "write() was called in a process that the application forked; "
               "the connection is its parent's";
    if (!self || self->now != r)
        return "write() was called while the application was not running; "
               "call it from there or from the iterable's next()";
    return NULL;
}

static int
write_late(wsgi__run *r, PyObject *bytes)
{
    int status = WSGI_OK;
    if (!r->head_given) {
        status = wsgi__outbox_head(r, wsgi__call_response(r->call));
        r->head_given = status == WSGI_OK;
    }
    if (status == WSGI_OK)
        status = wsgi__outbox_bytes(r, bytes, true);
    if (status < 0) {
        PyErr_NoMemory();
        return -1;
    }
    wsgi__outbox_await_room(r);
    return 0;
}

/* The application is running: the loop may be this thread's, or another's. */
static int
sink_write(wsgi__call_sink *sink, PyObject *bytes)
{
    wsgi__run *r = (wsgi__run *)(void *)sink;
    wsgi__runner *self = wsgi__runner_here(r->ex);
    const char *why = refuse_write(r, self);
    if (why) {
        PyErr_SetString(PyExc_RuntimeError, why);
        return -1;
    }
    if (!leave(self))
        return r->job->cancelled ? 0 : write_late(r, bytes);
    give_head(r);
    if (!r->job->cancelled)
        give_bytes(r, bytes, true);
    enter_app(r->ex, r, self);
    self->now = r;
    return 0;
}

/* ---- Steps -------------------------------------------------------------- */

void
wsgi__run_init(wsgi__run *r, executor *ex, wsgi__job *job)
{
    *r = (wsgi__run){ .sink = { sink_write },
                      .ex = ex,
                      .job = job,
                      .serial = ++ex->last_serial };
    job->run = r;
    wsgi__deadline_init(r);
}

/* Builds environ.  False with an exception set. */
static bool
begin(wsgi__run *r)
{
    wsgi__job *job = r->job;
    r->call = wsgi__call_new(r->ex->set.app, job->req, job->conn, job->body,
                             &r->sink);
    return r->call != NULL;
}

/* In the application. */
static wsgi__step
next(wsgi__run *r, wsgi__call_chunk *chunk)
{
    if (!r->call && !begin(r))
        return WSGI__STEP_ERROR;
    wsgi__step made = wsgi__call_next(r->call, chunk);
    stay_parent(r);
    return made;
}

/* What the call did not meet must not cut short its close(), or hit the next
 * call. */
static void
forget_raised(const wsgi__run *r, const wsgi__runner *self)
{
    if (r->raised)
        PyThreadState_SetAsyncExc(self->python_id, NULL);
}

/* Ends the call: close() runs here, and destructors. */
static void
close_call(wsgi__run *r, wsgi__runner *self)
{
    forget_raised(r, self);
    if (r->call) {
        int failed = wsgi__call_close(r->call);
        stay_parent(r);
        if (failed)
            log_exception(r, "close() of the response failed:");
        wsgi__call_free(r->call);
        r->call = NULL;
    }
    self->now = NULL;
    forget_raised(r, self);
    atomic_fetch_sub(&r->home->n_bound, 1);
}

/* ---- On the thread that has the loop ------------------------------------ */

/* The answer is complete before close() runs: an application may take its time
 * there, the client need not. */
static wsgi__advance
finish(wsgi__run *r, wsgi__runner *self, wsgi__end how)
{
    r->end_told = true;
    r->job->events->end(r->job, how);
    if (enter(r, self)) /* it was in Python before */
        close_call(r, self);
    if (!leave(self)) {
        wsgi__outbox_leave(r, self, WSGI__RUN_OVER);
        return WSGI__ADVANCE_LOST;
    }
    r->state = WSGI__RUN_OVER;
    wsgi__executor_finish(r->ex, r);
    return WSGI__ADVANCE_OVER;
}

static wsgi__advance
give(wsgi__run *r, wsgi__runner *self, wsgi__step made,
     wsgi__call_chunk *chunk)
{
    switch (made) {
    case WSGI__STEP_DATA:
        give_head(r);
        give_bytes(r, chunk->bytes, false);
        Py_DECREF(chunk->bytes);
        return WSGI__ADVANCE_MORE;
    case WSGI__STEP_FILE:
        give_head(r);
        give_file(r, chunk);
        return WSGI__ADVANCE_MORE;
    case WSGI__STEP_END:
        give_head(r);
        return finish(r, self, WSGI__END_OK);
    case WSGI__STEP_ERROR:
        break;
    }
    log_exception(r, "Error handling request");
    return finish(r, self, WSGI__END_FAILED);
}

static bool report(wsgi__run *r, wsgi__runner *self, wsgi__step made,
                   wsgi__call_chunk *chunk);

static void
log_refusal(const wsgi__run *r)
{
    wsgi__log_printf(r->ex->set.log, WSGI_LOG_ERROR,
                     "Error handling request: out of memory for a thread of "
                     "Python");
}

/* Without the GIL: nothing of Python has begun. */
static wsgi__advance
refuse(wsgi__run *r, wsgi__runner *self)
{
    if (!leave(self)) {
        wsgi__run_refuse_late(r, self);
        return WSGI__ADVANCE_LOST;
    }
    log_refusal(r);
    atomic_fetch_sub(&self->n_bound, 1);
    r->job->events->end(r->job, WSGI__END_FAILED);
    r->state = WSGI__RUN_OVER;
    wsgi__executor_finish(r->ex, r);
    return WSGI__ADVANCE_OVER;
}

/* The blocks of a list are there already: no code of the application runs
 * between them. */
static wsgi__advance
step(wsgi__run *r, wsgi__runner *self)
{
    wsgi__call_chunk chunk;
    bool gathered = r->call && wsgi__call_is_gathered(r->call);

    if (gathered && self->has_gil)
        return give(r, self, next(r, &chunk), &chunk);
    if (!enter(r, self))
        return refuse(r, self);
    wsgi__step made = next(r, &chunk);
    if (leave(self))
        return give(r, self, made, &chunk);
    if (report(r, self, made, &chunk))
        wsgi__run_late(r, self);
    return WSGI__ADVANCE_LOST;
}

wsgi__advance
wsgi__run_advance(wsgi__run *r, wsgi__runner *self)
{
    for (int i = 0; i < STEPS_PER_TURN; i++) {
        if (r->job->cancelled)
            return finish(r, self, WSGI__END_CANCELLED);
        if (r->job->paused) {
            r->state = WSGI__RUN_WAITING;
            return WSGI__ADVANCE_WAITS;
        }
        wsgi__advance result = step(r, self);
        if (result != WSGI__ADVANCE_MORE)
            return result;
    }
    return WSGI__ADVANCE_MORE;
}

/* ---- On a thread without it --------------------------------------------- */

static void
finish_late(wsgi__run *r, wsgi__runner *self, wsgi__end how)
{
    wsgi__outbox_end(r, how);
    close_call(r, self);
    wsgi__outbox_leave(r, self, WSGI__RUN_OVER);
}

static int
report_head(wsgi__run *r)
{
    if (r->head_given)
        return WSGI_OK;
    r->head_given = true;
    return wsgi__outbox_head(r, wsgi__call_response(r->call));
}

/* Whether the call goes on. */
static bool
report(wsgi__run *r, wsgi__runner *self, wsgi__step made,
       wsgi__call_chunk *chunk)
{
    int status = WSGI_OK;
    if (made == WSGI__STEP_ERROR) {
        log_exception(r, "Error handling request");
        finish_late(r, self, WSGI__END_FAILED);
        return false;
    }
    status = report_head(r);
    if (status == WSGI_OK && made == WSGI__STEP_DATA)
        status = wsgi__outbox_bytes(r, chunk->bytes, false);
    if (made == WSGI__STEP_DATA)
        Py_DECREF(chunk->bytes);
    if (status == WSGI_OK && made == WSGI__STEP_FILE)
        status = wsgi__outbox_file(r, chunk);
    if (status < 0) {
        PyErr_NoMemory();
        log_exception(r, "Error handling request");
        finish_late(r, self, WSGI__END_FAILED);
        return false;
    }
    if (made == WSGI__STEP_END)
        finish_late(r, self, WSGI__END_OK);
    else if (made == WSGI__STEP_FILE) /* open until it is sent */
        wsgi__outbox_leave(r, self, WSGI__RUN_WAITING);
    return made == WSGI__STEP_DATA;
}

void
wsgi__run_refuse_late(wsgi__run *r, wsgi__runner *self)
{
    log_refusal(r);
    atomic_fetch_sub(&self->n_bound, 1);
    wsgi__outbox_end(r, WSGI__END_FAILED);
    wsgi__outbox_leave(r, self, WSGI__RUN_OVER);
}

void
wsgi__run_late(wsgi__run *r, wsgi__runner *self)
{
    wsgi__call_chunk chunk;
    self->now = r;
    do {
        if (r->job->cancelled) {
            finish_late(r, self, WSGI__END_CANCELLED);
            return;
        }
        if (r->call && wsgi__outbox_must_wait(r, self)) {
            wsgi__outbox_leave(r, self, WSGI__RUN_WAITING);
            return;
        }
    } while (report(r, self, next(r, &chunk), &chunk));
}

/* ---- The GIL ------------------------------------------------------------ */

/* As long a wait is no accident: some thread of Python computes, and gives the
 * GIL back only when it is told to, after 5 ms. */
#define CONTENDED_NS (1 * WSGI__NS_PER_MS)
#define CONTENDED_FOR_NS (1000 * WSGI__NS_PER_MS)

/* Short calls on threads of their own before the owner calls by itself again. */
#define POOL_CREDIT 32

/* A call was late.  If the GIL is free nevertheless, it waits for something
 * else: then calls are better made side by side.  If it is not, more threads
 * would only wait for it too. */
static void
draw_conclusions(executor *ex, uint64_t waited, uint64_t now)
{
    if (waited > CONTENDED_NS) {
        wsgi__count_set(&ex->contended_until, now + CONTENDED_FOR_NS);
        atomic_store_explicit(&ex->pooling, 0, memory_order_relaxed);
    } else if (atomic_load_explicit(&ex->suspicious, memory_order_relaxed)) {
        atomic_store_explicit(&ex->pooling, POOL_CREDIT, memory_order_relaxed);
    }
    atomic_store_explicit(&ex->suspicious, false, memory_order_relaxed);
}

bool
wsgi__runner_take_gil(wsgi__runner *self)
{
    uint64_t before = wsgi__now_ns();
    if (!wsgi__gil_try_enter(&self->gil))
        return false;
    self->has_gil = true;
    self->gil_since = wsgi__now_ns();
    if (!self->python_id)
        self->python_id = PyThread_get_thread_ident();
    draw_conclusions(self->ex, self->gil_since - before, self->gil_since);
    return true;
}

void
wsgi__runner_leave_gil(wsgi__runner *self)
{
    if (!self->has_gil)
        return;
    self->has_gil = false;
    wsgi__gil_leave(&self->gil);
}

void
wsgi__runner_note(wsgi__runner *self, uint64_t ns)
{
    atomic_int *pooling = &self->ex->pooling;
    int credit = atomic_load_explicit(pooling, memory_order_relaxed);
    if (credit <= 0)
        return;
    atomic_store_explicit(pooling,
                          ns < CONTENDED_NS ? credit - 1 : POOL_CREDIT,
                          memory_order_relaxed);
}

void
wsgi__run_abandon(wsgi__run *r)
{
    r->call = NULL;
}
