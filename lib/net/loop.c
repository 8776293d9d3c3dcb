/* The loop: turns, timers and posts, over a back end that finds out which
 * descriptors are ready. */
#include "net/loop.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <wsgi/wsgi.h>

#include "base/mem.h"
#include "net/loop_backend.h"

#define LENGTHS_MAX 32
#define NS_PER_MS UINT64_C(1000000)

/* Timers of one length, in the order of arming, which is that of their
 * deadlines.  A ring: an armed timer always has a neighbour. */
typedef struct timer_list {
    unsigned ms;
    wsgi__timer ring;
} timer_list;

struct wsgi__loop {
    wsgi__backend *backend;
    uint64_t now; /* monotonic nanoseconds; grows with every turn */
    bool in_turn;
    unsigned n_lists;
    timer_list lists[LENGTHS_MAX];
    wsgi__io waker; /* an eventfd */
    wsgi__fired fired[WSGI__FETCH_MAX];

    /* Newest first; pushed one by one, taken all at once. */
    _Atomic(wsgi__post *) posted;
    /* Whether a post has to write to the eventfd.  The loop stores `asleep` and
     * then looks at `posted`, a poster stores `posted` and then looks at
     * `asleep`: both sequentially consistent, so one of them sees the other. */
    atomic_bool asleep;
};

static timer_list *
list_of(wsgi__loop *loop, unsigned ms)
{
    for (unsigned i = 0; i < loop->n_lists; i++)
        if (loop->lists[i].ms == ms)
            return &loop->lists[i];
    if (loop->n_lists == LENGTHS_MAX)
        return NULL;
    timer_list *list = &loop->lists[loop->n_lists++];
    list->ms = ms;
    list->ring.prev = list->ring.next = &list->ring;
    return list;
}

static wsgi__timer *
earliest(const wsgi__loop *loop)
{
    wsgi__timer *found = NULL;

    for (unsigned i = 0; i < loop->n_lists; i++) {
        wsgi__timer *first = loop->lists[i].ring.next;
        if (first != &loop->lists[i].ring && (!found || first->at < found->at))
            found = first;
    }
    return found;
}

static void
unlink_timer(wsgi__timer *timer)
{
    if (!timer->next)
        return;
    timer->prev->next = timer->next;
    timer->next->prev = timer->prev;
    timer->prev = timer->next = NULL;
}

int
wsgi__loop_arm(wsgi__loop *loop, wsgi__timer *timer, unsigned ms)
{
    timer_list *list = list_of(loop, ms);

    if (!list)
        return WSGI_ERR_INVALID;
    unlink_timer(timer);
    timer->at = loop->now + ms * NS_PER_MS;
    timer->next = &list->ring;
    timer->prev = list->ring.prev;
    timer->prev->next = list->ring.prev = timer;
    return WSGI_OK;
}

void
wsgi__loop_disarm(wsgi__loop *loop, wsgi__timer *timer)
{
    (void)loop;
    unlink_timer(timer);
}

/* What was armed since turn_began is not before it, so this ends. */
static void
expire_timers(wsgi__loop *loop, uint64_t turn_began)
{
    wsgi__timer *timer;

    while ((timer = earliest(loop)) && timer->at < turn_began) {
        unlink_timer(timer);
        timer->expired(timer);
    }
}

/* Strictly later than before: a timer of 0 ms is then due in the next turn,
 * however soon that comes, and never in its own. */
void
wsgi__loop_refresh(wsgi__loop *loop)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    uint64_t now =
        (uint64_t)time.tv_sec * WSGI__NS_PER_S + (uint64_t)time.tv_nsec;
    loop->now = now > loop->now ? now : loop->now + 1;
}

uint64_t
wsgi__loop_now(const wsgi__loop *loop)
{
    return loop->now / NS_PER_MS;
}

/* Rounded up: a wait that ends before the deadline would be followed by
 * others of no length until it is there. */
static int
shorten_wait(const wsgi__loop *loop, int timeout_ms)
{
    const wsgi__timer *timer = timeout_ms ? earliest(loop) : NULL;

    if (!timer)
        return timeout_ms;
    if (timer->at <= loop->now)
        return 0;
    uint64_t ms = (timer->at - loop->now + NS_PER_MS - 1) / NS_PER_MS;
    int until = ms < INT_MAX ? (int)ms : INT_MAX;
    return timeout_ms < 0 || until < timeout_ms ? until : timeout_ms;
}

void
wsgi__loop_wake(wsgi__loop *loop)
{
    /* In a signal handler errno is somebody else's.  EAGAIN says that the
     * counter is full, which wakes as well. */
    int error = errno;
    uint64_t one = 1;
    ssize_t ignored = write(loop->waker.fd, &one, sizeof(one));
    (void)ignored;
    errno = error;
}

static void
drain_waker(wsgi__io *io, unsigned events)
{
    uint64_t wakes;
    ssize_t ignored = read(io->fd, &wakes, sizeof(wakes));
    (void)ignored;
    (void)events;
}

void
wsgi__loop_post(wsgi__loop *loop, wsgi__post *post)
{
    post->next = atomic_load_explicit(&loop->posted, memory_order_relaxed);
    while (!atomic_compare_exchange_weak(&loop->posted, &post->next, post))
        continue;
    if (atomic_load(&loop->asleep) && atomic_exchange(&loop->asleep, false))
        wsgi__loop_wake(loop);
}

static void
run_posts(wsgi__loop *loop)
{
    if (!atomic_load_explicit(&loop->posted, memory_order_relaxed))
        return;
    wsgi__post *newest = atomic_exchange(&loop->posted, NULL);
    wsgi__post *oldest = NULL;
    while (newest) {
        wsgi__post *older = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = older;
    }
    while (oldest) {
        wsgi__post *next = oldest->next;
        oldest->fn(oldest);
        oldest = next;
    }
}

static int
wait_for_events(wsgi__loop *loop, int timeout_ms)
{
    int wait_ms = shorten_wait(loop, timeout_ms);

    if (wait_ms != 0)
        atomic_store(&loop->asleep, true);
    if (wait_ms != 0 && atomic_load(&loop->posted))
        wait_ms = 0;
    int n = loop->backend->ops->wait(loop->backend, loop->fired, wait_ms);
    atomic_store_explicit(&loop->asleep, false, memory_order_relaxed);
    return n;
}

static void
deliver_events(wsgi__loop *loop, int n)
{
    for (int i = 0; i < n; i++)
        loop->fired[i].io->fired = (unsigned)i + 1;
    for (int i = 0; i < n; i++) {
        wsgi__io *io = loop->fired[i].io;
        if (!io)
            continue;
        io->fired = 0;
        unsigned events = loop->fired[i].events & (io->want | WSGI__HANGUP);
        if (events)
            io->ready(io, events);
    }
}

int
wsgi__loop_run_once(wsgi__loop *loop, int timeout_ms)
{
    assert(!loop->in_turn);
    loop->in_turn = true;
    int n = wait_for_events(loop, timeout_ms);
    if (n < 0 && errno != EINTR) {
        loop->in_turn = false;
        return WSGI_ERR_SYSTEM;
    }
    wsgi__loop_refresh(loop);
    uint64_t began = loop->now;
    deliver_events(loop, n);
    run_posts(loop);
    expire_timers(loop, began);
    loop->in_turn = false;
    return WSGI_OK;
}

int
wsgi__loop_watch(wsgi__loop *loop, wsgi__io *io, unsigned want)
{
    if (want == io->want)
        return WSGI_OK;
    if (want == 0) {
        wsgi__loop_unwatch(loop, io);
        return WSGI_OK;
    }
    int status = loop->backend->ops->watch(loop->backend, io, want);
    if (status == WSGI_OK)
        io->want = want;
    return status;
}

void
wsgi__loop_unwatch(wsgi__loop *loop, wsgi__io *io)
{
    if (!io->want)
        return;
    loop->backend->ops->unwatch(loop->backend, io);
    io->want = 0;
    if (io->fired)
        loop->fired[io->fired - 1].io = NULL;
    io->fired = 0;
}

int
wsgi__loop_fd(const wsgi__loop *loop)
{
    return loop->backend->ops->fd ? loop->backend->ops->fd(loop->backend) : -1;
}

int
wsgi__loop_publish(wsgi__loop *loop)
{
    if (!loop->backend->ops->publish) {
        errno = ENOTSUP;
        return WSGI_ERR_SYSTEM;
    }
    atomic_store(&loop->asleep, true);
    if (atomic_load(&loop->posted) && atomic_exchange(&loop->asleep, false))
        wsgi__loop_wake(loop);
    const wsgi__timer *next = earliest(loop);
    /* Due is what lies before the clock, not at it. */
    return loop->backend->ops->publish(loop->backend, next ? next->at + 1 : 0);
}

static wsgi__backend *
open_backend(wsgi__loop_kind kind)
{
    const char *wish = kind == WSGI__LOOP_AUTO ? getenv("WSGI_LOOP") : NULL;

    if (kind == WSGI__LOOP_POLL || (wish && strcmp(wish, "poll") == 0))
        return wsgi__backend_poll();
    return wsgi__backend_epoll();
}

wsgi__loop *
wsgi__loop_new(wsgi__loop_kind kind)
{
    wsgi__loop *loop = wsgi__mem_zero(1, sizeof(*loop));

    if (!loop) {
        errno = ENOMEM;
        return NULL;
    }
    loop->waker = (wsgi__io){ .fd = -1, .ready = drain_waker };
    loop->backend = open_backend(kind);
    if (!loop->backend)
        goto fail;
    loop->waker.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (loop->waker.fd < 0)
        goto fail;
    int status = wsgi__loop_watch(loop, &loop->waker, WSGI__READ);
    if (status == WSGI_ERR_NOMEM)
        errno = ENOMEM;
    if (status < 0)
        goto fail;
    wsgi__loop_refresh(loop);
    return loop;

fail:;
    int error = errno;
    wsgi__loop_free(loop);
    errno = error;
    return NULL;
}

void
wsgi__loop_free(wsgi__loop *loop)
{
    if (!loop)
        return;
    if (loop->backend)
        loop->backend->ops->close(loop->backend);
    if (loop->waker.fd >= 0)
        close(loop->waker.fd);
    wsgi__mem_free(loop);
}
