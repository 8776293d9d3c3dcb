/* What a program adds to the supervisor's loop. */
#include "server/supervisor.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/macros.h"
#include "base/mem.h"

static void
on_ready(wsgi__io *io, unsigned events)
{
    wsgi__watch *watch = WSGI__OWNER(io, wsgi__watch, io);
    (void)events;
    watch->ready(watch->user, io->fd);
}

static wsgi__watch **
find(wsgi_supervisor *self, int fd)
{
    wsgi__watch **link = &self->watches;

    while (*link && (*link)->io.fd != fd)
        link = &(*link)->next;
    return link;
}

static wsgi__watch *
add(wsgi_supervisor *self, int fd)
{
    wsgi__watch *watch = wsgi__mem_zero(1, sizeof(*watch));

    if (!watch)
        return NULL;
    watch->io = (wsgi__io){ .fd = fd, .ready = on_ready };
    watch->next = self->watches;
    self->watches = watch;
    return watch;
}

int
wsgi_supervisor_watch(wsgi_supervisor *self, int fd, int writable,
                      wsgi_supervisor_fd_cb ready, void *user)
{
    if (!self)
        return WSGI_ERR_NOMEM;
    int status = wsgi__supervisor_need_loop(self);
    if (status < 0)
        return status;
    wsgi__watch *watch = *find(self, fd);
    if (!watch && !(watch = add(self, fd)))
        return wsgi__supervisor_fail(self, WSGI_ERR_NOMEM, "out of memory");
    watch->ready = ready;
    watch->user = user;
    status = wsgi__loop_watch(self->loop, &watch->io,
                              WSGI__READ | (writable ? WSGI__WRITE : 0));
    if (status == WSGI_OK)
        return status;
    wsgi__supervisor_fail(self, status, "cannot watch descriptor %d: %s", fd,
                          strerror(errno));
    wsgi_supervisor_unwatch(self, fd);
    return status;
}

void
wsgi_supervisor_unwatch(wsgi_supervisor *self, int fd)
{
    wsgi__watch **link = self ? find(self, fd) : NULL;
    wsgi__watch *watch = link ? *link : NULL;

    if (!watch)
        return;
    wsgi__loop_unwatch(self->loop, &watch->io);
    *link = watch->next;
    wsgi__mem_free(watch);
}

void
wsgi__watch_release(wsgi_supervisor *self, bool close_them)
{
    while (self->watches) {
        wsgi__watch *watch = self->watches;
        self->watches = watch->next;
        if (close_them)
            close(watch->io.fd);
        else
            wsgi__loop_unwatch(self->loop, &watch->io);
        wsgi__mem_free(watch);
    }
}
