/*
 * What the files of the executor share: executor.c has the queue and decides
 * who runs what, crew.c has the threads, call_run.c a call under way, outbox.c
 * what a thread without the loop has to report, deadline.c calls that take too
 * long.  For those alone.
 *
 * Three kinds of state.  What only the thread that has the loop may touch, its
 * owner, says "owner".  What the lock guards says "lock".  The rest belongs to
 * the thread that is in the call.
 */
#ifndef WSGI_SERVER_EXECUTOR_PARTS_H
#define WSGI_SERVER_EXECUTOR_PARTS_H

/* Python.h wants to come first. */
#include "python/call.h"

#include <pthread.h>
#include <time.h>

#include "net/loop.h"
#include "python/gil.h"
#include "server/baton.h"
#include "server/executor.h"

typedef struct wsgi__run wsgi__run;
typedef struct wsgi__runner wsgi__runner;
typedef struct wsgi__crew wsgi__crew;
typedef struct wsgi__record wsgi__record;

/* A job's way through the executor.
 *
 *   QUEUED   in the executor's queue                      -> HELD
 *   HELD     a thread is in it, or has it in its inbox    -> WAITING, OVER
 *   WAITING  begun, and let go: its output is on the way
 *            or has no room                               -> QUEUED, HELD
 *   OVER     all is said, perhaps not yet heard
 */
typedef enum wsgi__run_state {
    WSGI__RUN_QUEUED,
    WSGI__RUN_HELD,
    WSGI__RUN_WAITING,
    WSGI__RUN_OVER
} wsgi__run_state;

/* What the deadline of a call will do next. */
typedef enum wsgi__deadline_stage {
    WSGI__DEADLINE_NONE,
    WSGI__DEADLINE_SLOW,    /* say that it is slow, and where it is */
    WSGI__DEADLINE_TIMEOUT, /* answer in its place, raise in it */
    WSGI__DEADLINE_STUCK    /* it did not end: ask for another process */
} wsgi__deadline_stage;

typedef struct executor executor;

struct wsgi__run {
    wsgi__call_sink sink; /* first: the sink's address is the run's */
    executor *ex;
    wsgi__job *job;
    wsgi__call *call;
    wsgi__runner *home; /* owner writes: its thread; NULL: not begun */
    uint64_t serial;    /* tells it from earlier ones at this address */
    wsgi__run *next;    /* in the queue, an inbox or the spares */
    bool head_given;
    atomic_bool raised; /* GIL to write: something was raised in its thread */

    wsgi__run_state state; /* owner while nobody else has it, else lock */

    /* lock: what its thread reports. */
    wsgi__post post;
    wsgi__record *first, *last;
    size_t unseen; /* bytes of the records */
    bool posted, end_due;
    bool in_inbox; /* its thread has not come to it yet */
    wsgi__end how;

    /* owner */
    wsgi__timer timer;
    wsgi__deadline_stage stage;
    uint64_t queued_ms, step_ms; /* of the loop's clock */
    bool head_told;              /* the connection has it */
    bool ended;                  /* the end event was given early */
    bool slow_told;              /* of this call, once */
    bool end_told;               /* the connection has the end event */
    bool leaving;                /* the client may have left */
    bool waited;                 /* did not begin in the turn it came in */
};

/* A thread of the executor.  Number 0 is the one that serves. */
struct wsgi__runner {
    executor *ex;
    unsigned number;
    pthread_t id;
    unsigned long python_id; /* of threading.get_ident(); 0: not in Python */
    wsgi__gil gil;
    bool has_gil;
    uint64_t entered;    /* what to leave the baton with */
    uint64_t gil_since;  /* ns: since when it has it */
    wsgi__run *now;      /* GIL: the call that it is in */
    wsgi__run *calling;  /* owner: what it is taken over in */
    atomic_uint n_bound; /* calls begun here and not over */

    /* lock */
    pthread_cond_t wake;
    wsgi__run *inbox;        /* calls to go on with, oldest first */
    atomic_bool others_wait; /* lock to write: there are some */
    bool idle, started;
};

typedef struct wsgi__queue {
    wsgi__run *first, *last;
    size_t n;
} wsgi__queue;

struct wsgi__crew {
    wsgi__runner *runners;
    unsigned n;            /* places for threads */
    unsigned n_started;    /* lock */
    atomic_uint n_idle;    /* lock to write */
    wsgi__runner *watcher; /* lock: looks whether the owner is late */
    wsgi__runner *heir;    /* lock to write: has the loop after this turn */
    atomic_bool watched;   /* there is a watcher; lock to write */
    atomic_bool parked;    /* it sleeps until a call begins; lock to write */
    bool over, ending;     /* lock: result is there; threads are to end */
    wsgi__runner *settler; /* lock: is to take back loans */
    bool failed;       /* owner: no thread could be started, which is said */
    uint64_t retry_ms; /* owner: when to try again, by the loop's clock */
    int result;
    wsgi__turn turn;
    void *user;
};

struct executor {
    wsgi__executor base;
    wsgi__executor_settings set;
    wsgi__baton baton;
    /* Between the owner and threads that have no loop: inboxes, records and who
     * is idle.  Held for a few assignments, and to start a thread; never while
     * Python runs or the GIL is taken. */
    pthread_mutex_t lock;
    pthread_cond_t room; /* with lock: records were taken, a helper is gone */
    wsgi__crew crew;
    unsigned forks; /* of the count of forks, when it was made */
    bool hosted;    /* the loop's thread is a host's */

    /* owner */
    wsgi__runner *owner; /* NULL: a host's thread */
    wsgi__queue begun, fresh;
    bool begun_is_next;
    size_t n_jobs, n_lost; /* lost: past the timeout */
    uint64_t last_serial;
    bool interrupting;  /* cancelled calls are to end at once */
    unsigned n_dropped; /* of fresh: cancelled */
    wsgi__run *spare;   /* for the next jobs */
    size_t n_spare;
    wsgi__timer queue_timer;
    wsgi__job *failed; /* there was no memory for their runs */

    /* Any thread; hints. */
    atomic_int pooling; /* short calls to come before the owner calls again */
    atomic_bool suspicious;      /* a call was late: is it the GIL? */
    wsgi__count contended_until; /* ns: others want the GIL all the time */

    /* Loans that came back.  Whoever writes pushes without the GIL, the next
     * holder of the GIL takes all: a stack without a lock. */
    _Atomic(struct wsgi__loan *) returned;
    unsigned n_helpers;    /* lock: threads of deadline.c */
    atomic_uint n_waiting; /* of these, without the GIL yet */
    wsgi__timer gil_timer; /* owner */
};

static inline executor *
wsgi__executor_of(wsgi__executor *base)
{
    return (executor *)(void *)base;
}

static inline uint64_t
wsgi__now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

#define WSGI__NS_PER_MS UINT64_C(1000000)

/* For pthread_cond_timedwait(): so long from now. */
static inline struct timespec
wsgi__in_ns(uint64_t ns)
{
    uint64_t at = wsgi__now_ns() + ns;
    return (struct timespec){ .tv_sec = (time_t)(at / 1000000000u),
                              .tv_nsec = (long)(at % 1000000000u) };
}

/* ---- executor.c --------------------------------------------------------- */

/* owner: all was heard of it. */
void wsgi__executor_finish(executor *ex, wsgi__run *r);

/* owner; lock for a run that another thread may have: a call that waits goes
 * on, on the thread that it began on. */
void wsgi__executor_requeue(executor *ex, wsgi__run *r);

/* ---- queue.c: owner ------------------------------------------------------ */

void wsgi__queue_init(executor *ex);

/* At its end; at its beginning.  Which queue it is follows from whether the job
 * has begun. */
void wsgi__queue_add(executor *ex, wsgi__run *r);
void wsgi__queue_put_back(executor *ex, wsgi__run *r);

/* The next in turn; there is one. */
wsgi__run *wsgi__queue_take(executor *ex);

/* Ends a job that was not begun. */
void wsgi__queue_drop(executor *ex, wsgi__run *r, wsgi__end how);
void wsgi__queue_drop_cancelled(executor *ex);

/* What is in the queue has to wait for a thread: not too many, and not for
 * ever. */
void wsgi__queue_note_waiting(executor *ex);

/* ---- crew.c ------------------------------------------------------------- */

/* Waits by the monotonic clock.  WSGI_ERR_NOMEM. */
int wsgi__cond_init(pthread_cond_t *cond);

int wsgi__crew_init(wsgi__crew *crew, executor *ex, unsigned n);
/* Whether all threads are gone. */
bool wsgi__crew_free(wsgi__crew *crew, executor *ex);

/* owner: threads inside calls, but for the owner. */
unsigned wsgi__crew_busy(const executor *ex);

/* owner: gives a call that has not begun to a thread that is idle.  False:
 * there is none. */
bool wsgi__crew_hand_over(executor *ex, wsgi__run *r);

/* lock: gives a call to the thread that began it. */
void wsgi__crew_send_home(executor *ex, wsgi__run *r);

/* Whether this thread may call the application. */
bool wsgi__runner_may_call(const wsgi__runner *runner);

/* What `wsgid status` shows of a thread: the call, or NULL. */
void wsgi__runner_show(const wsgi__runner *runner, wsgi__thread_phase phase,
                       const wsgi__run *r);

/* owner: a thread is needed, and cannot be had at the moment. */
bool wsgi__crew_is_short(const executor *ex);

/* owner, a host: some thread takes back what the output was lent. */
void wsgi__crew_send_for_loans(executor *ex);

/* owner: after this turn the loop goes to an idle thread with fewer calls bound
 * to it than `bound`.  False: there is none. */
bool wsgi__crew_choose_heir(executor *ex, unsigned bound);

/* owner: calls are about to begin, and somebody has to look after them. */
void wsgi__crew_appoint(executor *ex);

/* The owner is in a call: a watcher that sleeps has to wake up. */
void wsgi__crew_unpark(executor *ex);
static inline void
wsgi__crew_rouse(executor *ex)
{
    if (atomic_load(&ex->crew.parked))
        wsgi__crew_unpark(ex);
}

/* lock: the thread has nothing to do from here on. */
void wsgi__crew_set_idle(executor *ex, wsgi__runner *self);

/* The calling thread as one of the executor's, or NULL. */
wsgi__runner *wsgi__runner_here(const executor *ex);

/* ---- call_run.c: GIL held in all of these ------------------------------- */

typedef struct wsgi__loan wsgi__loan;

/* No GIL: for a new job. */
void wsgi__run_init(wsgi__run *r, executor *ex, wsgi__job *job);

/* owner: it is going to be begun by that thread, and stays there. */
static inline void
wsgi__run_bind(wsgi__run *r, wsgi__runner *runner)
{
    r->home = runner;
    atomic_fetch_add(&runner->n_bound, 1);
}

/* Steps on the thread that has the loop, with events at once: until it is over
 * (done was given), paused, or others are due. */
typedef enum wsgi__advance {
    WSGI__ADVANCE_OVER,
    WSGI__ADVANCE_WAITS,
    WSGI__ADVANCE_MORE,
    WSGI__ADVANCE_LOST /* the loop is another thread's */
} wsgi__advance;
wsgi__advance wsgi__run_advance(wsgi__run *r, wsgi__runner *self);

/* Steps on a thread without the loop, which reports by posts, until it is over
 * or let go: the run may be gone then. */
void wsgi__run_late(wsgi__run *r, wsgi__runner *self);

/* No GIL: it cannot be begun for want of memory. */
void wsgi__run_refuse_late(wsgi__run *r, wsgi__runner *self);

/* On the thread that has the loop, without the GIL: takes it for the loans that
 * came back.  False: the loop is another thread's. */
bool wsgi__run_settle(executor *ex, wsgi__runner *self);

/* GIL: takes back what the output was lent. */
void wsgi__loans_settle(executor *ex);

/* Taking and giving back, by the thread's own way.  False: there is no memory
 * for a thread that has not been in Python before. */
bool wsgi__runner_take_gil(wsgi__runner *self);
void wsgi__runner_leave_gil(wsgi__runner *self);

/* A call on a thread of its own took so long: short ones bring the owner back
 * to calling by itself. */
void wsgi__runner_note(wsgi__runner *self, uint64_t ns);

/* Forks between this process and the one that loaded the library. */
unsigned wsgi__fork_count(void);
void wsgi__fork_watch(void);

/* Python was finalised under it: forgets what it had there. */
void wsgi__run_abandon(wsgi__run *r);

/* ---- outbox.c ----------------------------------------------------------- */

/* By the thread that is in the call; WSGI_ERR_NOMEM.  GIL held. */
int wsgi__outbox_head(wsgi__run *r, const wsgi__response *res);
int wsgi__outbox_bytes(wsgi__run *r, PyObject *bytes, bool pushed);
int wsgi__outbox_file(wsgi__run *r, const wsgi__call_chunk *file);
void wsgi__outbox_end(wsgi__run *r, wsgi__end how);

/* The thread leaves the call: it is over, or waits. */
void wsgi__outbox_leave(wsgi__run *r, wsgi__runner *self,
                        wsgi__run_state state);

/* Whether the thread ought to let go: the call is paused, too much is on its
 * way, or other calls wait for this thread. */
bool wsgi__outbox_must_wait(wsgi__run *r, const wsgi__runner *self);

/* In write(): waits, without the GIL, until the loop has taken what is there. */
void wsgi__outbox_await_room(wsgi__run *r);

/* bytes outlives it. */
static inline wsgi__chunk
wsgi__chunk_of(PyObject *bytes, bool pushed)
{
    return (wsgi__chunk){ .data = PyBytes_AS_STRING(bytes),
                          .len = (size_t)PyBytes_GET_SIZE(bytes),
                          .fd = -1,
                          .pushed = pushed };
}

/* A loan of bytes in a chunk, or nothing where that is not worth it. */
void wsgi__loan_offer(executor *ex, wsgi__chunk *chunk, PyObject *bytes);
/* Not taken: gives it back.  GIL held; `bytes` was not referenced by it. */
void wsgi__loan_drop(wsgi__chunk *chunk);

/* ---- deadline.c: owner -------------------------------------------------- */

/* The call goes on without the loop, or made progress. */
void wsgi__deadline_arm(wsgi__run *r);
void wsgi__deadline_disarm(wsgi__run *r);
void wsgi__deadline_init(wsgi__run *r);
void wsgi__deadline_init_all(executor *ex);
/* Raises in the thread of the call. */
void wsgi__deadline_interrupt(wsgi__run *r);

#endif
