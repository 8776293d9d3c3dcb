/* Python.h wants to come first. */
#include "python/call.h"

#include "server/executor.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "base/mem.h"
#include "python/child.h"
#include "python/gil.h"
#include "python/traceback.h"

/* Jobs and steps of one turn: how long the run phase may keep the loop from
 * polling when every request is short. */
#define JOBS_PER_TURN 64
#define STEPS_PER_TURN 16

/* When they are not: what is answered has to leave before others, who are no
 * faster, have their turn. */
#define LONGEST_RUN_NS (2 * 1000 * 1000)

#define LONGEST_TRACEBACK ((size_t)256 * 1024)

/* A block of the application's that the output refers to. */
typedef struct loan {
    struct loan *next;
    struct executor *ex;
    PyObject *bytes;
} loan;

typedef struct executor {
    wsgi__executor base;
    struct wsgi__app *app;
    const wsgi__log *log;
    wsgi__gil gil;
    wsgi__job *first, *last; /* the queue of ready jobs */
    wsgi__job *current;      /* is being advanced, and is not in the queue */
    unsigned forks;          /* of n_forks, when the run phase began */
    /* Loans that came back.  Whoever writes pushes without the GIL, the next
     * holder of the GIL takes all: a stack without a lock. */
    _Atomic(loan *) returned;
} executor;

/* What a job has while its application runs. */
typedef struct run {
    wsgi__call_sink sink; /* first: the sink's address is the run's */
    executor *ex;
    wsgi__job *job;
    wsgi__call *call;
    bool head_given;
} run;

static executor *
from_base(wsgi__executor *base)
{
    return (executor *)(void *)base;
}

/* ---- The queue ---------------------------------------------------------- */

static void
enqueue(executor *ex, wsgi__job *job)
{
    /* advance() looks at the flags of its own job after every event. */
    if (job->queued || job == ex->current)
        return;
    job->queued = true;
    job->next = NULL;
    if (ex->last)
        ex->last->next = job;
    else
        ex->first = job;
    ex->last = job;
}

static wsgi__job *
dequeue(executor *ex)
{
    wsgi__job *job = ex->first;
    ex->first = job->next;
    if (!ex->first)
        ex->last = NULL;
    job->queued = false;
    return job;
}

/* ---- Loans -------------------------------------------------------------- */

static void
return_loan(void *owner)
{
    loan *l = owner;
    l->next = atomic_load(&l->ex->returned);
    while (!atomic_compare_exchange_weak(&l->ex->returned, &l->next, l))
        ;
}

/* GIL held. */
static void
settle_loans(executor *ex)
{
    loan *l = atomic_exchange(&ex->returned, NULL);
    while (l) {
        loan *next = l->next;
        Py_DECREF(l->bytes);
        wsgi__mem_free(l);
        l = next;
    }
}

/* The loan has the reference to bytes once the chunk is taken. */
static void
offer_loan(executor *ex, wsgi__chunk *chunk, PyObject *bytes)
{
    if (chunk->len < WSGI__LEND_FROM)
        return;
    loan *l = wsgi__mem_alloc(sizeof(*l));
    if (!l)
        return; /* it is copied, then */
    *l = (loan){ .ex = ex, .bytes = bytes };
    chunk->release = return_loan;
    chunk->owner = l;
}

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
log_exception(const executor *ex, const wsgi__job *job, const char *what)
{
    wsgi__buf text;
    wsgi__buf_init(&text, LONGEST_TRACEBACK);
    wsgi__buf_puts(&text, what);
    put_request(&text, job);
    wsgi__buf_puts(&text, "\n");
    wsgi__traceback_take(&text);
    wsgi__log_write(ex->log, WSGI_LOG_ERROR, wsgi__buf_str(&text));
    wsgi__buf_free(&text);
}

/* ---- Forks -------------------------------------------------------------- */

/* Forks between this process and the one that loaded the library.  Asking is
 * free; getpid() is a system call for every step. */
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

/* Whether the application forked since the run phase began, and this is the
 * new process. */
static bool
is_child(const executor *ex)
{
    return ex->forks != n_forks;
}

/* Ends this process if it is one that the application forked: what came back
 * here is of no use, the parent answers the request.  An exception may be
 * set. */
static void
stay_parent(const executor *ex, const wsgi__job *job)
{
    if (!is_child(ex))
        return;
    int status = PyErr_Occurred() ? wsgi__child_status() : -1;
    if (status >= 0)
        wsgi__child_exit(status);
    if (!PyErr_Occurred())
        PyErr_SetString(PyExc_RuntimeError,
                        "the application returned; a child ends with "
                        "os._exit() or sys.exit()");
    log_exception(ex, job, "Error in a process that the application forked:");
    wsgi__child_exit(1);
}

/* ---- Output ------------------------------------------------------------- */

static void
give_head(run *r)
{
    if (r->head_given)
        return;
    r->head_given = true;
    r->job->events->head(r->job, wsgi__call_response(r->call));
}

static void
give_bytes(run *r, PyObject *bytes, bool gathered, bool pushed)
{
    wsgi__chunk chunk = { .data = PyBytes_AS_STRING(bytes),
                          .len = (size_t)PyBytes_GET_SIZE(bytes),
                          .fd = -1,
                          .gathered = gathered,
                          .pushed = pushed };
    offer_loan(r->ex, &chunk, bytes);
    Py_INCREF(bytes);
    r->job->events->data(r->job, &chunk);
    if (chunk.taken)
        return; /* the loan has the reference */
    Py_DECREF(bytes);
    wsgi__mem_free(chunk.owner);
}

static void
give_file(run *r, const wsgi__call_chunk *file)
{
    wsgi__chunk chunk = { .fd = file->fd,
                          .at = file->at,
                          .file_len = file->len };
    r->job->events->data(r->job, &chunk);
}

/* write() of start_response: the application is running. */
static int
sink_write(wsgi__call_sink *sink, PyObject *bytes)
{
    run *r = (run *)(void *)sink;
    const char *why = NULL;
    if (is_child(r->ex))
        why = "write() was called in a process that the application forked; "
              "the connection is its parent's";
    /* From a thread of the application's, while the loop is elsewhere. */
    else if (r->ex->current != r->job)
        why = "write() was called while the application was not running; "
              "call it from there or from the iterable's next()";
    if (why) {
        PyErr_SetString(PyExc_RuntimeError, why);
        return -1;
    }
    give_head(r);
    if (!r->job->cancelled)
        give_bytes(r, bytes, false, true);
    return 0;
}

/* ---- Running ------------------------------------------------------------ */

static run *
start(executor *ex, wsgi__job *job)
{
    run *r = wsgi__mem_zero(1, sizeof(*r));
    if (!r) {
        PyErr_NoMemory();
        return NULL;
    }
    r->sink.write = sink_write;
    r->ex = ex;
    r->job = job;
    r->call =
        wsgi__call_new(ex->app, job->req, job->conn, job->body, &r->sink);
    if (!r->call) {
        wsgi__mem_free(r);
        return NULL;
    }
    job->run = r;
    return r;
}

/* The answer is complete before close() runs: an application may take its time
 * there, the client need not. */
static void
finish(executor *ex, wsgi__job *job, wsgi__end how)
{
    run *r = job->run;
    job->events->end(job, how);
    if (r) {
        int failed = wsgi__call_close(r->call);
        stay_parent(ex, job);
        if (failed)
            log_exception(ex, job, "close() of the response failed:");
        wsgi__call_free(r->call);
        wsgi__mem_free(r);
        job->run = NULL;
    }
    job->paused = job->cancelled = false;
    ex->current = NULL;
    job->events->done(job);
}

static void
fail(executor *ex, wsgi__job *job)
{
    log_exception(ex, job, "Error handling request");
    finish(ex, job, WSGI__END_FAILED);
}

typedef enum outcome { GO_ON, OVER } outcome;

static outcome
step(executor *ex, run *r)
{
    wsgi__call_chunk chunk;
    wsgi__step made = wsgi__call_next(r->call, &chunk);

    stay_parent(ex, r->job);
    switch (made) {
    case WSGI__STEP_DATA:
        give_head(r);
        give_bytes(r, chunk.bytes, wsgi__call_is_gathered(r->call), false);
        Py_DECREF(chunk.bytes);
        return GO_ON;
    case WSGI__STEP_FILE:
        give_head(r);
        give_file(r, &chunk);
        return GO_ON;
    case WSGI__STEP_END:
        give_head(r);
        finish(ex, r->job, WSGI__END_OK);
        return OVER;
    case WSGI__STEP_ERROR:
        break;
    }
    fail(ex, r->job);
    return OVER;
}

/* Some steps of one job: until it is over, paused, or others are due, which is
 * true.  After done the job may be gone, or be submitted again. */
static bool
advance(executor *ex, wsgi__job *job)
{
    if (!job->run && !job->cancelled && !start(ex, job)) {
        fail(ex, job);
        return false;
    }
    run *r = job->run;
    for (int i = 0; i < STEPS_PER_TURN; i++) {
        if (job->cancelled) {
            finish(ex, job, WSGI__END_CANCELLED);
            return false;
        }
        if (job->paused)
            return false;
        if (step(ex, r) == OVER)
            return false;
    }
    return true;
}

static void
op_submit(wsgi__executor *base, wsgi__job *job)
{
    job->paused = job->cancelled = false;
    enqueue(from_base(base), job);
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
    enqueue(from_base(base), job);
}

static void
op_cancel(wsgi__executor *base, wsgi__job *job)
{
    job->cancelled = true;
    enqueue(from_base(base), job);
}

static bool
op_ready(const wsgi__executor *base)
{
    const executor *ex = (const executor *)(const void *)base;
    return ex->first ||
           atomic_load_explicit(&ex->returned, memory_order_relaxed);
}

static int64_t
now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* A host has finalised Python before it freed the server: the objects of jobs
 * and loans cannot be reached any more. */
static void
abandon_all(executor *ex)
{
    atomic_store(&ex->returned, NULL);
    while (ex->first) {
        wsgi__job *job = dequeue(ex);
        job->run = NULL;
        finish(ex, job, WSGI__END_CANCELLED);
    }
}

static void
op_run(wsgi__executor *base)
{
    executor *ex = from_base(base);
    if (!op_ready(base))
        return;
    if (!Py_IsInitialized()) {
        abandon_all(ex);
        return;
    }
    int64_t until = now_ns() + LONGEST_RUN_NS;
    wsgi__gil_enter(&ex->gil);
    ex->forks = n_forks;
    for (int i = 0; i < JOBS_PER_TURN && ex->first; i++) {
        wsgi__job *job = ex->current = dequeue(ex);
        bool more = advance(ex, job);
        ex->current = NULL;
        if (more)
            enqueue(ex, job);
        if (ex->first && now_ns() > until)
            break;
    }
    settle_loans(ex);
    wsgi__gil_leave(&ex->gil);
}

static const wsgi__executor_ops ops = {
    .submit = op_submit,
    .pause = op_pause,
    .resume = op_resume,
    .cancel = op_cancel,
    .run = op_run,
    .ready = op_ready,
};

wsgi__executor *
wsgi__executor_new(struct wsgi__app *app, const wsgi__log *log)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    executor *ex = wsgi__mem_zero(1, sizeof(*ex));
    if (!ex)
        return NULL;
    pthread_once(&once, count_forks);
    ex->base.ops = &ops;
    ex->app = app;
    ex->log = log;
    return &ex->base;
}

void
wsgi__executor_free(wsgi__executor *base)
{
    executor *ex = from_base(base);
    if (!ex)
        return;
    if (Py_IsInitialized()) {
        wsgi__gil_enter(&ex->gil);
        settle_loans(ex);
        wsgi__gil_leave(&ex->gil);
        wsgi__gil_forget(&ex->gil);
    }
    wsgi__mem_free(ex);
}
