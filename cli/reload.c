#include "reload.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "interp.h"
#include "path.h"

/* From the last change to the reload: a checkout writes many files, an editor
 * removes one and writes it again. */
#define QUIET_MS 150

static const char *const option = "--reload";

/* ---- In the supervisor -------------------------------------------------- */

static void
watch_file(program *self, const char *path)
{
    reloading *r = &self->reload;

    if (watcher_add(&r->watcher, path) || r->complained || errno == ENOENT)
        return;
    r->complained = true;
    errorlog_printf(&self->errors, WSGI_LOG_WARNING,
                    "--reload cannot watch %s: %s%s; changes there and of "
                    "other files may go unnoticed",
                    path, strerror(errno),
                    errno == ENOSPC ? " (sysctl fs.inotify.max_user_watches)"
                                    : "");
}

/* Names end with a NUL, and the last one may not be whole yet. */
static void
take_names(program *self)
{
    reloading *r = &self->reload;
    char *at = r->names, *end = at + r->n_names;

    for (char *nul; (nul = memchr(at, '\0', (size_t)(end - at))); at = nul + 1)
        watch_file(self, at);
    r->n_names = (size_t)(end - at);
    if (r->n_names == sizeof(r->names)) /* no name is as long as that */
        r->n_names = 0;
    memmove(r->names, at, r->n_names);
}

/* All that there is: a file whose import somebody has heard of is watched. */
static void
on_names(void *user, int fd)
{
    program *self = user;
    reloading *r = &self->reload;
    ssize_t n;

    while ((n = read(fd, r->names + r->n_names,
                     sizeof(r->names) - r->n_names)) > 0) {
        r->n_names += (size_t)n;
        take_names(self);
    }
}

static bool
has_starting_worker(const program *self)
{
    wsgi_worker_info info = WSGI_WORKER_INFO_INIT;

    for (size_t i = 0; wsgi_supervisor_worker(self->supervisor, i, &info) >= 0;
         i++)
        if (info.state == WSGI_WORKER_STARTING)
            return true;
    return false;
}

/* While a worker cannot start, the file that it lacks may be a new one. */
static void
on_change(void *user, int fd)
{
    program *self = user;
    reloading *r = &self->reload;
    const struct itimerspec quiet = { .it_value.tv_nsec =
                                          QUIET_MS * 1000000L };

    (void)fd;
    if (watcher_take(&r->watcher, has_starting_worker(self), r->changed,
                     sizeof(r->changed)))
        timerfd_settime(r->timer, 0, &quiet, NULL);
}

static void
on_quiet(void *user, int fd)
{
    program *self = user;
    uint64_t times;

    if (read(fd, &times, sizeof(times)) < 0)
        return;
    errorlog_printf(&self->errors, WSGI_LOG_INFO, "--reload: %s has changed",
                    self->reload.changed);
    wsgi_supervisor_ask(self->supervisor, WSGI_ASK_RELOAD);
}

static bool
open_all(reloading *r)
{
    int ends[2];

    if (!watcher_open(&r->watcher) || pipe2(ends, O_CLOEXEC) < 0)
        return false;
    r->from = ends[0];
    r->to = ends[1];
    r->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    /* A worker waits until its names are taken, and the supervisor never. */
    return r->timer >= 0 && fcntl(r->from, F_SETFL, O_NONBLOCK) == 0;
}

static int
watch_all(program *self)
{
    const reloading *r = &self->reload;
    const struct {
        int fd;
        wsgi_supervisor_fd_cb ready;
    } watches[] = {
        { r->from, on_names },
        { r->watcher.fd, on_change },
        { r->timer, on_quiet },
    };

    for (size_t i = 0; i < sizeof(watches) / sizeof(*watches); i++)
        if (wsgi_supervisor_watch(self->supervisor, watches[i].fd, 0,
                                  watches[i].ready, self) < 0)
            return program_fail(self, CANNOT_BOOT,
                                wsgi_supervisor_error(self->supervisor));
    return DONE;
}

static int
add_extra(program *self)
{
    const args_list *files = &self->options.reload_files;

    for (size_t i = 0; i < files->n; i++) {
        char *path = path_absolute(files->items[i]);
        bool added = path && watcher_add(&self->reload.watcher, path);
        free(path);
        if (!added)
            return program_fail_errno(self, "--reload-extra-file",
                                      files->items[i]);
    }
    return DONE;
}

int
reload_begin(program *self)
{
    if (!self->options.reload)
        return DONE;
    char *here = path_absolute(".");
    bool opened = here && open_all(&self->reload) &&
                  watcher_add_folder(&self->reload.watcher, here);
    free(here);
    if (!opened)
        return program_fail_errno(self, option, "inotify");
    int code = add_extra(self);
    return code ? code : watch_all(self);
}

void
reload_end(program *self)
{
    reloading *r = &self->reload;
    int fds[] = { r->from, r->to, r->timer };

    watcher_close(&r->watcher);
    for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    r->from = r->to = r->timer = -1;
}

/* ---- In a worker -------------------------------------------------------- */

void
reload_name_files(program *self)
{
    if (self->options.reload)
        interp_name_files(self->reload.to);
}

void
reload_await_change(program *self, wsgi_worker *worker)
{
    struct pollfd told = { .fd = wsgi_worker_fd(worker), .events = POLLIN };

    errorlog_write(&self->errors, WSGI_LOG_INFO,
                   "--reload: waiting for a file to change");
    while (wsgi_worker_order_now(worker) == WSGI_WORKER_GO_ON)
        poll(&told, 1, -1);
}
