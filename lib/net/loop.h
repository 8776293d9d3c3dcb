/*
 * Readiness, deadlines and wake-ups for one thread.
 *
 * Level-triggered.  Knows no sockets' meaning, no HTTP, no Python.  The fd of
 * wsgi__loop_fd() is readable whenever wsgi__loop_run_once() has something to
 * do: that is the whole contract with a host's own loop.
 *
 * A loop belongs to one thread at a time; wsgi__loop_post() and
 * wsgi__loop_wake() are the exceptions.
 */
#ifndef WSGI_NET_LOOP_H
#define WSGI_NET_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct wsgi__loop wsgi__loop;

#define WSGI__READ 1u
#define WSGI__WRITE 2u
/* Both directions are gone, or an error is pending.  Reported for every watched
 * fd, asked for or not; watching for it alone is allowed. */
#define WSGI__HANGUP 4u
/* Together with WSGI__READ alone, for a listening socket that other processes
 * watch too: one of them is woken, not all.  A wake-up is lost if the one that
 * it went to stops watching before it has looked: look once more then. */
#define WSGI__SHARED 8u

typedef struct wsgi__io wsgi__io;
struct wsgi__io { /* embedded in its owner; zero-filled but for fd and ready */
    int fd;
    unsigned want; /* kept by the loop; 0: not watched */
    unsigned slot; /* the back end's own */
    /* The loop's own: place among this turn's events, from 1. */
    unsigned fired;
    void (*ready)(wsgi__io *io, unsigned events);
};

typedef struct wsgi__timer wsgi__timer;
struct wsgi__timer { /* embedded; zero-filled is "not armed" */
    wsgi__timer *prev, *next;
    uint64_t at; /* monotonic nanoseconds */
    void (*expired)(wsgi__timer *timer);
};

typedef enum wsgi__loop_kind {
    WSGI__LOOP_AUTO, /* epoll, or poll where $WSGI_LOOP is "poll" */
    WSGI__LOOP_EPOLL,
    WSGI__LOOP_POLL
} wsgi__loop_kind;

/* NULL with errno when out of memory or descriptors. */
wsgi__loop *wsgi__loop_new(wsgi__loop_kind kind);

/* Armed timers and pending posts are forgotten: neither run nor touched. */
void wsgi__loop_free(wsgi__loop *loop);

/* -1 for the poll back end, which has none. */
int wsgi__loop_fd(const wsgi__loop *loop);

/* One turn: waits at most timeout_ms (-1: for ever) for something to do, then
 * runs what is due: up to 256 ready descriptors, then posts, then expired
 * timers.  What posts or timers post runs in the next turn, which then does not
 * wait.  Not from a callback of the same loop.  Returns WSGI_OK, or
 * WSGI_ERR_SYSTEM with errno; EINTR is no error. */
int wsgi__loop_run_once(wsgi__loop *loop, int timeout_ms);

/* For a host's own loop, before going back to it: makes the fd readable now if
 * posts are pending, and no later than at the next deadline.  Cheap when that
 * has not come nearer.  WSGI_ERR_SYSTEM with errno; ENOTSUP from the poll back
 * end. */
int wsgi__loop_publish(wsgi__loop *loop);

/* Monotonic milliseconds, read once a turn, after the wait. */
uint64_t wsgi__loop_now(const wsgi__loop *loop);

/* Reads the clock again: for whoever arms timers after long work, such as an
 * import, that would otherwise count as time already waited. */
void wsgi__loop_refresh(wsgi__loop *loop);

/* Watches for WSGI__READ | WSGI__WRITE | WSGI__HANGUP, replacing what was
 * watched, for events of this turn too.  0 is unwatch.  No system call when
 * nothing changes.  A peer that only stopped sending is no hangup: that is
 * WSGI__READ and then the end of the stream.  WSGI_ERR_SYSTEM with errno;
 * WSGI_ERR_NOMEM. */
int wsgi__loop_watch(wsgi__loop *loop, wsgi__io *io, unsigned want);

/* No further call of io->ready, not even for events of this turn that were
 * already fetched; afterwards io may be freed and its fd closed. */
void wsgi__loop_unwatch(wsgi__loop *loop, wsgi__io *io);

/* Arms (again) for `ms` from wsgi__loop_now(); 0 is the next turn.  Expired
 * timers are called in the order of their deadlines, not armed any more; the
 * callback may arm, disarm and free any timer.  O(1): timers of one length form
 * a list that is sorted by itself; a loop keeps up to 32 different lengths, and
 * the 33rd is refused with WSGI_ERR_INVALID (the timer is then as it was).
 * A deadline may pass unnoticed while callbacks run. */
int wsgi__loop_arm(wsgi__loop *loop, wsgi__timer *timer, unsigned ms);
void wsgi__loop_disarm(wsgi__loop *loop, wsgi__timer *timer);

static inline bool
wsgi__timer_armed(const wsgi__timer *timer)
{
    return timer->next != NULL;
}

/* Runs fn once on the loop's thread, soon, in the order of posting.  The post
 * is the caller's and may be reused or freed when fn is called; until then it
 * must not be posted again.  Thread-safe; a system call only when the loop may
 * be asleep. */
typedef struct wsgi__post wsgi__post;
struct wsgi__post {
    wsgi__post *next;
    void (*fn)(wsgi__post *post);
};
void wsgi__loop_post(wsgi__loop *loop, wsgi__post *post);

/* Makes the current or next run_once return.  Thread-safe and
 * async-signal-safe. */
void wsgi__loop_wake(wsgi__loop *loop);

#endif
