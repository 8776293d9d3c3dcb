#include "net/unix_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <wsgi/wsgi.h>

#include "base/fd.h"
#include "base/mem.h"

static int
new_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* 0 when nobody listens there any more, or an errno. */
static int
probe(const struct sockaddr_un *at, socklen_t len)
{
    int fd = new_socket();
    if (fd < 0)
        return errno;
    int error =
        connect(fd, (const struct sockaddr *)at, len) < 0 ? errno : EADDRINUSE;
    close(fd);
    if (error == ECONNREFUSED || error == ENOENT)
        return 0;
    /* Its queue is full, or it is a socket of another type: somebody's. */
    if (error == EAGAIN || error == EPROTOTYPE)
        return EADDRINUSE;
    return error;
}

/* Makes way for a new socket: 0, or the errno that says what is there. */
static int
remove_stale(const struct sockaddr_un *at, socklen_t len)
{
    struct stat found;

    if (lstat(at->sun_path, &found) < 0)
        return errno == ENOENT ? 0 : errno;
    if (!S_ISSOCK(found.st_mode))
        return EEXIST;
    int error = probe(at, len);
    if (error)
        return error;
    return unlink(at->sun_path) < 0 && errno != ENOENT ? errno : 0;
}

/* What the umask took of the mode is given back before listen(), and before
 * listen() nobody can connect.  umask() itself would change the files that
 * other threads create meanwhile. */
static int
restore_mode(const char *path, mode_t mode)
{
    struct stat made;

    if (lstat(path, &made) < 0)
        return -1;
    if ((made.st_mode & 07777) == mode)
        return 0;
    /* Emulated through /proc by the C library, which may not be mounted. */
    if (fchmodat(AT_FDCWD, path, mode, AT_SYMLINK_NOFOLLOW) == 0)
        return 0;
    return errno == EOPNOTSUPP ? chmod(path, mode) : -1;
}

/* The mode of the socket before bind() is what its file is created with, less
 * the umask: so it never allows more than was asked for. */
static int
listen_at(int fd, const struct sockaddr_un *at, socklen_t len, int backlog,
          mode_t mode)
{
    bool is_file = at->sun_path[0] != '\0';

    if ((is_file && fchmod(fd, mode) < 0) ||
        bind(fd, (const struct sockaddr *)at, len) < 0)
        return -1;
    if ((!is_file || restore_mode(at->sun_path, mode) == 0) &&
        listen(fd, backlog) == 0)
        return 0;
    int error = errno;
    if (is_file)
        unlink(at->sun_path);
    errno = error;
    return -1;
}

int
wsgi__unix_listen(const struct sockaddr_un *at, socklen_t len, int backlog,
                  mode_t mode)
{
    int error = at->sun_path[0] ? remove_stale(at, len) : 0;

    if (error) {
        errno = error;
        return -1;
    }
    int fd = new_socket();
    if (fd >= 0 && listen_at(fd, at, len, backlog, mode) < 0) {
        wsgi__close_keeping_errno(fd);
        return -1;
    }
    return fd;
}

/* ---- Its file ----------------------------------------------------------- */

/* NULL when out of memory. */
static char *
absolute_path(const char *path)
{
    char folder[PATH_MAX];

    if (*path == '/' || !getcwd(folder, sizeof(folder)))
        return wsgi__mem_strdup(path);
    size_t size = strlen(folder) + sizeof("/") + strlen(path);
    char *absolute = wsgi__mem_alloc(size);
    if (absolute)
        snprintf(absolute, size, "%s/%s", folder, path);
    return absolute;
}

int
wsgi__unix_file_remember(wsgi__unix_file *file, const char *path)
{
    struct stat made;

    if (lstat(path, &made) < 0)
        return WSGI_OK; /* somebody was quick; nothing to remove then */
    *file = (wsgi__unix_file){ .path = absolute_path(path),
                               .dev = made.st_dev,
                               .ino = made.st_ino };
    return file->path ? WSGI_OK : WSGI_ERR_NOMEM;
}

void
wsgi__unix_file_remove(const wsgi__unix_file *file)
{
    struct stat found;

    if (file->path && lstat(file->path, &found) == 0 &&
        found.st_dev == file->dev && found.st_ino == file->ino)
        unlink(file->path);
}

void
wsgi__unix_file_forget(wsgi__unix_file *file)
{
    wsgi__mem_free(file->path);
    file->path = NULL;
}
