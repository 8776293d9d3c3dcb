#include "watcher.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

/* Written, replaced or gone; permissions are no change of a program. */
#define CHANGES                                                               \
    (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ONLYDIR)

/* Of files and of folders: an application has some thousand modules. */
#define MOST 65536

bool
watcher_open(watcher *self)
{
    *self = (watcher){ .fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC) };
    return self->fd >= 0;
}

void
watcher_close(watcher *self)
{
    if (self->fd >= 0)
        close(self->fd);
    for (size_t i = 0; i < self->n_folders; i++)
        free(self->folders[i].path);
    for (size_t i = 0; i < self->n_files; i++)
        free(self->files[i].name);
    free(self->folders);
    free(self->files);
    *self = (watcher){ .fd = -1 };
}

/* ---- Adding ------------------------------------------------------------- */

/* Room for one element more behind n of that size, in steps of a power of
 * two.  NULL with errno. */
static void *
grow(void *array, size_t n, size_t size)
{
    if (n >= MOST) {
        errno = ENOSPC;
        return NULL;
    }
    if (n & (n - 1))
        return array;
    return realloc(array, (n ? 2 * n : 1) * size);
}

static const watched_folder *
folder_of(const watcher *self, int wd)
{
    for (size_t i = 0; i < self->n_folders; i++)
        if (self->folders[i].wd == wd)
            return &self->folders[i];
    return NULL;
}

/* The number of the watch, or -1 with errno.  The kernel knows which paths are
 * one folder. */
static int
watch_folder(watcher *self, const char *path)
{
    int wd = inotify_add_watch(self->fd, path, CHANGES);

    if (wd < 0 || folder_of(self, wd))
        return wd;
    watched_folder *grown =
        grow(self->folders, self->n_folders, sizeof(*grown));
    if (!grown)
        return -1;
    self->folders = grown;
    char *copy = strdup(path);
    if (!copy)
        return -1;
    grown[self->n_folders++] = (watched_folder){ wd, copy };
    return wd;
}

bool
watcher_add_folder(watcher *self, const char *path)
{
    return watch_folder(self, path) >= 0;
}

static bool
is_watched(const watcher *self, int wd, const char *name)
{
    for (size_t i = 0; i < self->n_files; i++)
        if (self->files[i].wd == wd && strcmp(self->files[i].name, name) == 0)
            return true;
    return false;
}

static bool
add_name(watcher *self, int wd, const char *name)
{
    if (is_watched(self, wd, name))
        return true;
    watched_file *grown = grow(self->files, self->n_files, sizeof(*grown));
    if (!grown)
        return false;
    self->files = grown;
    char *copy = strdup(name);
    if (!copy)
        return false;
    grown[self->n_files++] = (watched_file){ wd, copy };
    return true;
}

bool
watcher_add(watcher *self, const char *path)
{
    const char *slash = strrchr(path, '/');
    char folder[PATH_MAX];
    size_t len = slash ? (size_t)(slash - path) : 0;

    if (!slash || len >= sizeof(folder) || !slash[1]) {
        errno = EINVAL;
        return false;
    }
    memcpy(folder, path, len);
    strcpy(folder + len, len ? "" : "/");
    int wd = watch_folder(self, folder);
    return wd >= 0 && add_name(self, wd, slash + 1);
}

/* ---- Changes ------------------------------------------------------------ */

/* The folder is gone; when it comes again, so do its files. */
static void
forget(watcher *self, int wd)
{
    for (size_t i = 0; i < self->n_folders; i++)
        if (self->folders[i].wd == wd)
            self->folders[i].wd = -1;
    for (size_t i = 0; i < self->n_files; i++)
        if (self->files[i].wd == wd)
            self->files[i].wd = -1;
}

static bool
is_python(const char *name)
{
    size_t len = strlen(name);
    return len > 3 && strcmp(name + len - 3, ".py") == 0;
}

/* Whether it is one to act on. */
static bool
look_at(watcher *self, const struct inotify_event *event, bool any_python)
{
    if (event->mask & IN_IGNORED) {
        forget(self, event->wd);
        return false;
    }
    /* Too many at once: one of them may well be one of ours. */
    if (event->mask & IN_Q_OVERFLOW)
        return true;
    return event->len > 0 && (is_watched(self, event->wd, event->name) ||
                              (any_python && is_python(event->name)));
}

static void
write_path(const watcher *self, const struct inotify_event *event, char *path,
           size_t size)
{
    const watched_folder *folder = folder_of(self, event->wd);

    snprintf(path, size, "%s/%s", folder ? folder->path : "",
             event->len ? event->name : "");
}

bool
watcher_take(watcher *self, bool any_python, char *path, size_t size)
{
    _Alignas(struct inotify_event) char events[16 * 1024];
    bool changed = false;
    ssize_t len;

    while ((len = read(self->fd, events, sizeof(events))) > 0) {
        const struct inotify_event *event;
        for (const char *at = events; at < events + len;
             at += sizeof(*event) + event->len) {
            event = (const struct inotify_event *)(const void *)at;
            if (!look_at(self, event, any_python))
                continue;
            changed = true;
            write_path(self, event, path, size);
        }
    }
    return changed;
}
