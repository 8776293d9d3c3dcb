/* A plain socket as a stream. */
#include "net/stream.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/macros.h"

static bool
would_block(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK;
}

static ssize_t
plain_read(wsgi__stream *stream, void *into, size_t len)
{
    ssize_t n;

    assert(len > 0); /* else 0 would look like the end */
    do
        n = recv(stream->fd, into, len, 0);
    while (n < 0 && errno == EINTR);
    if (n >= 0)
        return n;
    return would_block() ? WSGI__WANT_READ : WSGI__FAILED;
}

static ssize_t
plain_writev(wsgi__stream *stream, const struct iovec *iov, int n)
{
    struct msghdr message = { .msg_iov = (struct iovec *)iov,
                              .msg_iovlen = (size_t)n };
    ssize_t sent;

    do
        sent = sendmsg(stream->fd, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return sent;
    return would_block() ? WSGI__WANT_WRITE : WSGI__FAILED;
}

/* sendfile() has no MSG_NOSIGNAL: SIGPIPE is held back in this thread and, if
 * one came, taken away.  Right with any disposition (a blocked signal is kept
 * even where it is ignored), and not worth a look at it: blocking and restoring
 * cost 0.3 us for up to 1 MiB. */
typedef struct pipe_guard {
    sigset_t before;
    bool keep; /* one was pending before: it is the program's */
} pipe_guard;

static void
hold_sigpipe(pipe_guard *guard)
{
    sigset_t only, pending;

    sigemptyset(&only);
    sigaddset(&only, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &only, &guard->before);
    /* Where it was not blocked, none can be pending. */
    guard->keep = sigismember(&guard->before, SIGPIPE) == 1 &&
                  sigpending(&pending) == 0 &&
                  sigismember(&pending, SIGPIPE) == 1;
}

static void
restore_sigpipe(const pipe_guard *guard, bool raised)
{
    if (raised && !guard->keep) {
        const struct timespec at_once = { 0, 0 };
        sigset_t only;
        sigemptyset(&only);
        sigaddset(&only, SIGPIPE);
        while (sigtimedwait(&only, NULL, &at_once) < 0 && errno == EINTR)
            continue;
    }
    pthread_sigmask(SIG_SETMASK, &guard->before, NULL);
}

static ssize_t
sendfile_without_signal(int to, int file, off_t at, size_t len)
{
    pipe_guard guard;
    ssize_t n;

    hold_sigpipe(&guard);
    do
        n = sendfile(to, file, &at, len);
    while (n < 0 && errno == EINTR);
    int error = errno;
    restore_sigpipe(&guard, n < 0 && error == EPIPE);
    errno = error;
    return n;
}

/* Errors that come from the file: not readable, not mappable, a device, or its
 * disk failed.  The stream is as good as before. */
static bool
is_file_fault(int error)
{
    static const int faults[] = { EINVAL, ENOSYS,    EBADF,  EIO,
                                  ESPIPE, EOVERFLOW, EISDIR, EOPNOTSUPP };

    for (size_t i = 0; i < WSGI__COUNT(faults); i++)
        if (error == faults[i])
            return true;
    return false;
}

static ssize_t
plain_sendfile(wsgi__stream *stream, int file, off_t at, size_t len)
{
    ssize_t n = sendfile_without_signal(stream->fd, file, at, len);

    if (n > 0 || len == 0)
        return n;
    if (n == 0) /* the file ends before at + len */
        return WSGI__BAD_FILE;
    if (would_block())
        return WSGI__WANT_WRITE;
    return is_file_fault(errno) ? WSGI__BAD_FILE : WSGI__FAILED;
}

static int
plain_shutdown(wsgi__stream *stream)
{
    return shutdown(stream->fd, SHUT_WR) < 0 ? WSGI__FAILED : 0;
}

static void
plain_close(wsgi__stream *stream)
{
    if (stream->fd >= 0)
        close(stream->fd);
    stream->fd = -1;
}

static const wsgi__stream_ops plain_ops = {
    .read = plain_read,
    .writev = plain_writev,
    .sendfile = plain_sendfile,
    .shutdown = plain_shutdown,
    .close = plain_close,
};

void
wsgi__stream_plain(wsgi__stream *stream, int fd)
{
    *stream = (wsgi__stream){ .ops = &plain_ops, .fd = fd };
}
