#include "http/body.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include <wsgi/wsgi.h>

#include "base/fd.h"
#include "base/mem.h"

/* Memory that an idle body may go on holding. */
#define KEEP (64 * 1024)

/* Of a body that is expected: what is taken at first, and how many times what
 * is there already afterwards. */
#define FIRST_MEMORY ((size_t)64 * 1024)
#define AHEAD 4

void
wsgi__body_init(wsgi__body *body, size_t in_memory)
{
    *body = (wsgi__body){ .fd = -1, .expected = -1, .in_memory = in_memory };
    wsgi__buf_init(&body->mem, in_memory);
}

void
wsgi__body_expect(wsgi__body *body, int64_t len)
{
    body->expected = len;
}

static void
close_file(wsgi__body *body)
{
    if (body->fd >= 0)
        close(body->fd);
    body->fd = -1;
}

void
wsgi__body_reset(wsgi__body *body)
{
    bool reserved = body->expected >= 0; /* perhaps far more than was used */

    close_file(body);
    body->len = 0;
    body->expected = -1;
    wsgi__buf_reset(&body->mem);
    if (body->mem.cap > KEEP || reserved)
        wsgi__buf_free(&body->mem);
}

void
wsgi__body_free(wsgi__body *body)
{
    close_file(body);
    body->len = 0;
    wsgi__buf_free(&body->mem);
}

/* For file systems that have no O_TMPFILE (NFS, FUSE, some overlays). */
static int
open_named(const char *dir)
{
    static const char pattern[] = "/wsgi-XXXXXX";
    size_t len = strlen(dir);
    char *path = wsgi__mem_alloc(len + sizeof(pattern));
    if (!path) {
        errno = ENOMEM;
        return -1;
    }
    memcpy(path, dir, len);
    memcpy(path + len, pattern, sizeof(pattern));
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    int error = errno;
    wsgi__mem_free(path);
    errno = error;
    return fd;
}

/* A file without a name.  A $TMPDIR that cannot be used is an error, not a
 * reason for /tmp: it may have been set because /tmp is too small. */
static int
open_unlinked(void)
{
    /* With raised privileges it is not the caller who says where. */
    const char *dir = secure_getenv("TMPDIR");
    if (!dir || !*dir)
        dir = "/tmp";
    int fd = open(dir, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
    /* EISDIR: to an old kernel it is a directory opened for writing. */
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR))
        fd = open_named(dir);
    return fd;
}

static int
write_all(int fd, int64_t at, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = pwrite(fd, data, len, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            if (n == 0) /* not for regular files, but never spin */
                errno = EIO;
            return WSGI_ERR_SYSTEM;
        }
        data += n;
        at += n;
        len -= (size_t)n;
    }
    return WSGI_OK;
}

/* Memory to file, with what comes next.  The memory is given up only once
 * everything is written. */
static int
spill(wsgi__body *body, const char *data, size_t len)
{
    int fd = open_unlinked();
    if (fd < 0)
        return WSGI_ERR_SYSTEM;
    if (write_all(fd, 0, body->mem.data, body->mem.len) < 0 ||
        write_all(fd, body->len, data, len) < 0) {
        wsgi__close_keeping_errno(fd);
        return WSGI_ERR_SYSTEM;
    }
    wsgi__buf_free(&body->mem);
    body->fd = fd;
    return WSGI_OK;
}

/* One piece of memory for all that is expected, where it is not too much.  If
 * there is none, the next bytes may have their place all the same. */
static void
reserve(wsgi__body *body, size_t len)
{
    size_t have = body->mem.len + len;

    if (have <= body->mem.cap || body->expected < 0)
        return;
    size_t cap = have > FIRST_MEMORY / AHEAD ? have * AHEAD : FIRST_MEMORY;
    if (cap > body->in_memory)
        cap = body->in_memory;
    if (cap > (uint64_t)body->expected)
        cap = (size_t)body->expected;
    if (cap > have)
        wsgi__buf_reserve(&body->mem, cap - body->mem.len);
}

static int
store(wsgi__body *body, const char *data, size_t len)
{
    /* Bytes of a write that failed half-way lie behind body->len, where
     * nobody reads them and the next write puts others. */
    if (body->fd >= 0)
        return write_all(body->fd, body->len, data, len);
    if (len <= body->in_memory - body->mem.len) {
        reserve(body, len);
        return wsgi__buf_append(&body->mem, data, len);
    }
    return spill(body, data, len);
}

int
wsgi__body_append(wsgi__body *body, const void *data, size_t len)
{
    if (len == 0)
        return WSGI_OK;
    if (len > (uint64_t)(INT64_MAX - body->len)) {
        errno = EFBIG;
        return WSGI_ERR_SYSTEM;
    }
    int status = store(body, data, len);
    if (status == WSGI_OK)
        body->len += (int64_t)len;
    return status;
}

static ssize_t
read_all(int fd, int64_t at, char *into, size_t len)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n =
            pread(fd, into + done, len - done, (off_t)(at + (int64_t)done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0) { /* less than was written: no end to be taken for ours */
            errno = EIO;
            return -1;
        }
        done += (size_t)n;
    }
    return (ssize_t)done;
}

ssize_t
wsgi__body_read(const wsgi__body *body, int64_t at, void *into, size_t len)
{
    assert(at >= 0);
    if (at >= body->len)
        return 0;
    if (len > (uint64_t)(body->len - at))
        len = (size_t)(body->len - at);
    if (len > SSIZE_MAX)
        len = SSIZE_MAX;
    if (body->fd >= 0)
        return read_all(body->fd, at, into, len);
    if (len > 0)
        memcpy(into, body->mem.data + at, len);
    return (ssize_t)len;
}
