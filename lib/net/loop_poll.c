/* The loop's back end for everywhere: poll().  Its cost grows with the number
 * of watched descriptors, ready or not. */
#include "net/loop_backend.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>

#include <wsgi/wsgi.h>

#include "base/mem.h"

#define FIRST_CAPACITY 16

/* Two arrays of one length, without gaps; io->slot is the index. */
typedef struct poll_backend {
    wsgi__backend base;
    struct pollfd *fds;
    wsgi__io **ios;
    unsigned n, cap;
    unsigned start; /* where the next search for ready ones begins */
} poll_backend;

static short
to_poll(unsigned want)
{
    return (short)((want & WSGI__READ ? POLLIN : 0) |
                   (want & WSGI__WRITE ? POLLOUT : 0));
}

static unsigned
from_poll(short events)
{
    return (events & POLLIN ? WSGI__READ : 0) |
           (events & POLLOUT ? WSGI__WRITE : 0) |
           (events & (POLLERR | POLLHUP | POLLNVAL) ? WSGI__HANGUP : 0);
}

static int
grow(poll_backend *self)
{
    if (self->cap > UINT32_MAX / 2 / sizeof(*self->fds))
        return WSGI_ERR_NOMEM;
    unsigned cap = self->cap ? self->cap * 2 : FIRST_CAPACITY;
    struct pollfd *fds = wsgi__mem_resize(self->fds, cap * sizeof(*fds));
    if (!fds)
        return WSGI_ERR_NOMEM;
    self->fds = fds; /* larger than cap says does no harm */
    wsgi__io **ios = wsgi__mem_resize(self->ios, cap * sizeof(wsgi__io *));
    if (!ios)
        return WSGI_ERR_NOMEM;
    self->ios = ios;
    self->cap = cap;
    return WSGI_OK;
}

static int
poll_watch(wsgi__backend *backend, wsgi__io *io, unsigned want)
{
    poll_backend *self = (poll_backend *)backend;

    if (!io->want) {
        if (self->n == self->cap && grow(self) < 0)
            return WSGI_ERR_NOMEM;
        io->slot = self->n++;
        self->ios[io->slot] = io;
    }
    self->fds[io->slot] = (struct pollfd){ io->fd, to_poll(want), 0 };
    return WSGI_OK;
}

static void
poll_unwatch(wsgi__backend *backend, wsgi__io *io)
{
    poll_backend *self = (poll_backend *)backend;
    unsigned last = --self->n;

    self->fds[io->slot] = self->fds[last];
    self->ios[io->slot] = self->ios[last];
    self->ios[io->slot]->slot = io->slot;
}

/* Begins where the search before ended, so that no low slot keeps the others
 * waiting when more are ready than are fetched. */
static int
collect(poll_backend *self, wsgi__fired *fired, int ready)
{
    int max = ready < WSGI__FETCH_MAX ? ready : WSGI__FETCH_MAX;
    int found = 0;
    unsigned at = self->start < self->n ? self->start : 0;

    for (unsigned i = 0; i < self->n && found < max; i++) {
        if (self->fds[at].revents)
            fired[found++] = (wsgi__fired){ self->ios[at],
                                            from_poll(self->fds[at].revents) };
        at = at + 1 < self->n ? at + 1 : 0;
    }
    self->start = at;
    return found;
}

static int
poll_wait_ready(wsgi__backend *backend, wsgi__fired *fired, int timeout_ms)
{
    poll_backend *self = (poll_backend *)backend;
    int ready = poll(self->fds, self->n, timeout_ms);

    return ready < 0 ? -1 : collect(self, fired, ready);
}

static void
poll_close(wsgi__backend *backend)
{
    poll_backend *self = (poll_backend *)backend;

    wsgi__mem_free(self->fds);
    wsgi__mem_free(self->ios);
    wsgi__mem_free(self);
}

static const wsgi__backend_ops poll_ops = {
    .close = poll_close,
    .watch = poll_watch,
    .unwatch = poll_unwatch,
    .wait = poll_wait_ready,
};

wsgi__backend *
wsgi__backend_poll(void)
{
    poll_backend *self = wsgi__mem_zero(1, sizeof(*self));

    if (!self) {
        errno = ENOMEM;
        return NULL;
    }
    self->base.ops = &poll_ops;
    return &self->base;
}
