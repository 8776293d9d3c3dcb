/* The loop's back end for Linux: epoll, with a timerfd inside for hosts that
 * watch the epoll descriptor itself. */
#include "net/loop_backend.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <wsgi/wsgi.h>

#include "base/fd.h"
#include "base/mem.h"

typedef struct epoll_backend {
    wsgi__backend base;
    int fd;
    int timer;         /* -1 until a host asks for it */
    uint64_t timer_at; /* what timer is set to; 0: not set */
    struct epoll_event events[WSGI__FETCH_MAX];
} epoll_backend;

static uint32_t
to_epoll(unsigned want)
{
    /* EPOLLERR and EPOLLHUP are always reported.  EPOLLRDHUP is left out: it
     * is the half-closed client that still waits for its answer. */
    return (want & WSGI__READ ? EPOLLIN : 0u) |
           (want & WSGI__WRITE ? EPOLLOUT : 0u) |
           (want & WSGI__SHARED ? EPOLLEXCLUSIVE : 0u);
}

static unsigned
from_epoll(uint32_t events)
{
    return (events & EPOLLIN ? WSGI__READ : 0) |
           (events & EPOLLOUT ? WSGI__WRITE : 0) |
           (events & (EPOLLERR | EPOLLHUP) ? WSGI__HANGUP : 0);
}

static int
epoll_watch(wsgi__backend *backend, wsgi__io *io, unsigned want)
{
    epoll_backend *self = (epoll_backend *)backend;
    struct epoll_event event = { .events = to_epoll(want),
                                 .data = { .ptr = io } };

    if (io->want && to_epoll(io->want) == event.events)
        return WSGI_OK;
    int op = io->want ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    /* The kernel does not modify an exclusive one, nor make one so. */
    if (io->want && (io->want | want) & WSGI__SHARED) {
        epoll_ctl(self->fd, EPOLL_CTL_DEL, io->fd, NULL);
        op = EPOLL_CTL_ADD;
    }
    return epoll_ctl(self->fd, op, io->fd, &event) < 0 ? WSGI_ERR_SYSTEM
                                                       : WSGI_OK;
}

static void
epoll_unwatch(wsgi__backend *backend, wsgi__io *io)
{
    epoll_backend *self = (epoll_backend *)backend;

    /* Before close() and not left to it: a copy of the descriptor in a forked
     * process would keep the registration, and its pointer, alive. */
    epoll_ctl(self->fd, EPOLL_CTL_DEL, io->fd, NULL);
}

/* Only its readability counts: the loop looks at its deadlines anyway. */
static void
drain_timer(epoll_backend *self)
{
    uint64_t expirations;
    ssize_t ignored = read(self->timer, &expirations, sizeof(expirations));
    (void)ignored;
    self->timer_at = 0;
}

static int
epoll_wait_ready(wsgi__backend *backend, wsgi__fired *fired, int timeout_ms)
{
    epoll_backend *self = (epoll_backend *)backend;
    int n = epoll_wait(self->fd, self->events, WSGI__FETCH_MAX, timeout_ms);
    int found = 0;

    if (n < 0)
        return -1;
    for (int i = 0; i < n; i++) {
        const struct epoll_event *event = &self->events[i];
        if (event->data.ptr == NULL)
            drain_timer(self);
        else
            fired[found++] =
                (wsgi__fired){ event->data.ptr, from_epoll(event->events) };
    }
    return found;
}

static int
epoll_fd(const wsgi__backend *backend)
{
    return ((const epoll_backend *)backend)->fd;
}

static int
open_timer(epoll_backend *self)
{
    struct epoll_event event = { .events = EPOLLIN, .data = { .ptr = NULL } };
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);

    if (fd < 0)
        return WSGI_ERR_SYSTEM;
    if (epoll_ctl(self->fd, EPOLL_CTL_ADD, fd, &event) < 0) {
        wsgi__close_keeping_errno(fd);
        return WSGI_ERR_SYSTEM;
    }
    self->timer = fd;
    return WSGI_OK;
}

/* A timer that is set too early is left alone: deadlines mostly move away, with
 * each request of a connection, and one needless turn at the old deadline costs
 * less than a system call per request. */
static int
epoll_publish(wsgi__backend *backend, uint64_t at_ns)
{
    epoll_backend *self = (epoll_backend *)backend;

    /* At the first call, due or not: later there may be no descriptor left. */
    if (self->timer < 0 && open_timer(self) < 0)
        return WSGI_ERR_SYSTEM;
    if (at_ns == 0 || (self->timer_at && self->timer_at <= at_ns))
        return WSGI_OK;
    struct itimerspec at = { .it_value = {
                                 .tv_sec = (time_t)(at_ns / WSGI__NS_PER_S),
                                 .tv_nsec = (long)(at_ns % WSGI__NS_PER_S) } };
    if (timerfd_settime(self->timer, TFD_TIMER_ABSTIME, &at, NULL) < 0)
        return WSGI_ERR_SYSTEM;
    self->timer_at = at_ns;
    return WSGI_OK;
}

static void
epoll_close(wsgi__backend *backend)
{
    epoll_backend *self = (epoll_backend *)backend;

    if (self->timer >= 0)
        close(self->timer);
    close(self->fd);
    wsgi__mem_free(self);
}

static const wsgi__backend_ops epoll_ops = {
    .close = epoll_close,
    .watch = epoll_watch,
    .unwatch = epoll_unwatch,
    .wait = epoll_wait_ready,
    .fd = epoll_fd,
    .publish = epoll_publish,
};

wsgi__backend *
wsgi__backend_epoll(void)
{
    epoll_backend *self = wsgi__mem_zero(1, sizeof(*self));

    if (!self) {
        errno = ENOMEM;
        return NULL;
    }
    self->base.ops = &epoll_ops;
    self->timer = -1;
    self->fd = epoll_create1(EPOLL_CLOEXEC);
    if (self->fd < 0) {
        wsgi__mem_free(self);
        return NULL;
    }
    return &self->base;
}
