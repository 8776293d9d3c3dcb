#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "net/stream.h"

#define N(table) (sizeof(table) / sizeof(*(table)))

/* Ours is called in place of the C library's: the next calls fail with
 * `inject`, the last of them first. */
static int inject[4];
static size_t n_inject;

ssize_t
sendfile(int out, int in, off_t *at, size_t len)
{
    if (n_inject) {
        errno = inject[--n_inject];
        return -1;
    }
    return syscall(SYS_sendfile, out, in, at, len);
}

static wsgi__stream
open_pair(int *peer)
{
    wsgi__stream stream;
    int fds[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    wsgi__stream_plain(&stream, fds[0]);
    *peer = fds[1];
    return stream;
}

static ssize_t
write_text(wsgi__stream *stream, const char *text)
{
    struct iovec iov = { (void *)text, strlen(text) };
    return stream->ops->writev(stream, &iov, 1);
}

static int
make_file(const char *content)
{
    int fd = memfd_create("stream", MFD_CLOEXEC);
    cr_assert(fd >= 0);
    cr_assert_eq(write(fd, content, strlen(content)),
                 (ssize_t)strlen(content));
    return fd;
}

Test(stream, reads_then_wants_more_then_ends)
{
    char into[16];
    int peer;
    wsgi__stream s = open_pair(&peer);

    cr_expect_eq(s.ops->read(&s, into, sizeof(into)), WSGI__WANT_READ);
    cr_expect_eq(send(peer, "hello", 5, 0), 5);
    cr_expect_eq(s.ops->read(&s, into, 3), 3);
    cr_expect_eq(s.ops->read(&s, into + 3, sizeof(into) - 3), 2);
    cr_expect_eq(memcmp(into, "hello", 5), 0);
    shutdown(peer, SHUT_WR);
    cr_expect_eq(s.ops->read(&s, into, sizeof(into)), 0);
    cr_expect_eq(write_text(&s, "still"), 5, "a half-closed peer is answered");
    s.ops->close(&s);
    close(peer);
}

Test(stream, writes_until_the_buffer_is_full)
{
    static char block[65536];
    struct iovec iov[2] = { { block, sizeof(block) },
                            { block, sizeof(block) } };
    int peer;
    wsgi__stream s = open_pair(&peer);
    ssize_t n = 0;

    for (int i = 0; i < 1000 && n >= 0; i++)
        n = s.ops->writev(&s, iov, 2);
    cr_expect_eq(n, WSGI__WANT_WRITE, "%zd", n);
    s.ops->close(&s);
    close(peer);
}

Test(stream, shutdown_ends_what_the_peer_reads)
{
    char into[8];
    int peer;
    wsgi__stream s = open_pair(&peer);

    cr_expect_eq(s.ops->shutdown(&s), 0);
    cr_expect_eq(recv(peer, into, sizeof(into), 0), 0);
    cr_expect_eq(send(peer, "late", 4, 0), 4);
    cr_expect_eq(s.ops->read(&s, into, sizeof(into)), 4);
    s.ops->close(&s);
    cr_expect_eq(s.fd, -1);
    s.ops->close(&s); /* harmless */
    close(peer);
}

Test(stream, sends_a_range_of_a_file)
{
    char into[16] = "";
    int peer, file = make_file("0123456789");
    wsgi__stream s = open_pair(&peer);

    cr_expect_eq(s.ops->sendfile(&s, file, 3, 4), 4);
    cr_expect_eq(recv(peer, into, sizeof(into), 0), 4);
    cr_expect_str_eq(into, "3456");
    cr_expect_eq(lseek(file, 0, SEEK_CUR), 10, "the file's offset stays");
    s.ops->close(&s);
    close(peer);
    close(file);
}

Test(stream, a_short_or_unfit_file_is_told_from_a_broken_stream)
{
    int peer, pipes[2], file = make_file("0123456789");
    wsgi__stream s = open_pair(&peer);

    cr_assert_eq(pipe(pipes), 0);
    cr_expect_eq(s.ops->sendfile(&s, file, 8, 10), 2);
    cr_expect_eq(s.ops->sendfile(&s, file, 10, 8), WSGI__BAD_FILE, "short");
    cr_expect_eq(s.ops->sendfile(&s, pipes[0], 0, 8), WSGI__BAD_FILE, "pipe");
    cr_expect_eq(s.ops->sendfile(&s, -1, 0, 8), WSGI__BAD_FILE, "closed");
    close(peer);
    errno = 0;
    cr_expect_eq(s.ops->sendfile(&s, file, 0, 8), WSGI__FAILED, "stream");
    cr_expect_eq(errno, EPIPE);
    s.ops->close(&s);
    close(pipes[0]);
    close(pipes[1]);
    close(file);
}

static const struct {
    const char *name;
    int error;
    ssize_t result;
} sendfile_errors[] = {
    { "EINVAL", EINVAL, WSGI__BAD_FILE },
    { "ENOSYS", ENOSYS, WSGI__BAD_FILE },
    { "EIO", EIO, WSGI__BAD_FILE },
    { "EAGAIN", EAGAIN, WSGI__WANT_WRITE },
    { "ECONNRESET", ECONNRESET, WSGI__FAILED },
    { "ENOMEM", ENOMEM, WSGI__FAILED },
    { "EINTR is retried", EINTR, 10 },
};

Test(stream, sorts_the_errors_of_sendfile)
{
    int peer, file = make_file("0123456789");
    wsgi__stream s = open_pair(&peer);

    for (size_t i = 0; i < N(sendfile_errors); i++) {
        inject[0] = sendfile_errors[i].error;
        n_inject = 1;
        ssize_t result = s.ops->sendfile(&s, file, 0, 10);
        int error = errno;
        cr_expect_eq(result, sendfile_errors[i].result, "%s: %zd",
                     sendfile_errors[i].name, result);
        if (result == WSGI__FAILED)
            cr_expect_eq(error, sendfile_errors[i].error, "%s",
                         sendfile_errors[i].name);
        cr_expect_eq(n_inject, 0, "%s", sendfile_errors[i].name);
    }
    s.ops->close(&s);
    close(peer);
    close(file);
}

static volatile sig_atomic_t n_sigpipe;

static void
on_sigpipe(int number)
{
    (void)number;
    n_sigpipe++;
}

static bool
sigpipe_is(int (*what)(sigset_t *))
{
    sigset_t set;
    sigemptyset(&set);
    what(&set);
    return sigismember(&set, SIGPIPE) == 1;
}

static int
get_blocked(sigset_t *set)
{
    return pthread_sigmask(SIG_BLOCK, NULL, set);
}

static void
block_sigpipe(int how)
{
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, SIGPIPE);
    pthread_sigmask(how, &only, NULL);
}

typedef void (*sigpipe_handler)(int);

static const struct {
    const char *name;
    sigpipe_handler handler;
    bool blocked, pending;
} dispositions[] = {
    { "default", SIG_DFL, false, false },
    { "default, blocked", SIG_DFL, true, false },
    { "ignored", SIG_IGN, false, false },
    { "handled", on_sigpipe, false, false },
    { "handled, blocked", on_sigpipe, true, false },
    { "handled, blocked, one pending", on_sigpipe, true, true },
};

/* With SIG_DFL a leak would end the test's process. */
Test(stream, sigpipe_never_reaches_the_program)
{
    for (size_t i = 0; i < N(dispositions); i++) {
        const char *name = dispositions[i].name;
        int peer, file = make_file("0123456789");
        wsgi__stream s = open_pair(&peer);

        n_sigpipe = 0;
        signal(SIGPIPE, dispositions[i].handler);
        if (dispositions[i].blocked)
            block_sigpipe(SIG_BLOCK);
        if (dispositions[i].pending)
            raise(SIGPIPE);
        close(peer);
        cr_expect_eq(write_text(&s, "x"), WSGI__FAILED, "%s: writev", name);
        cr_expect_eq(errno, EPIPE, "%s: writev", name);
        cr_expect_eq(s.ops->sendfile(&s, file, 0, 10), WSGI__FAILED, "%s",
                     name);
        cr_expect_eq(errno, EPIPE, "%s", name);
        cr_expect_eq(sigpipe_is(sigpending), dispositions[i].pending, "%s",
                     name);
        cr_expect_eq(sigpipe_is(get_blocked), dispositions[i].blocked,
                     "%s: the mask is as before", name);
        block_sigpipe(SIG_UNBLOCK);
        cr_expect_eq(n_sigpipe, dispositions[i].pending, "%s", name);
        s.ops->close(&s);
        close(file);
    }
}
