#include "logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "path.h"
#include "text.h"

static int
open_append(const char *path)
{
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY,
                0666);
}

bool
logfile_open(logfile *log, const char *path, int standard)
{
    *log = (logfile){ .fd = standard };
    if (strcmp(path, "-") == 0)
        return true;
    log->path = path_absolute(path);
    if (!log->path)
        return false;
    log->fd = open_append(log->path);
    if (log->fd >= 0)
        return true;
    int error = errno;
    free(log->path);
    log->path = NULL;
    errno = error;
    return false;
}

void
logfile_close(logfile *log)
{
    if (!log->path)
        return;
    close(log->fd);
    free(log->path);
    *log = (logfile){ .fd = -1 };
}

/* strerror() may not be called in a signal handler. */
static const char *
reason_of(int error)
{
    static const struct {
        int error;
        const char *reason;
    } reasons[] = {
        { ENOSPC, "no space left on the device" },
        { EDQUOT, "disk quota exceeded" },
        { EPIPE, "nobody reads it any more" },
        { EACCES, "permission denied" },
        { ENOENT, "no such directory" },
        { EROFS, "read-only file system" },
        { EFBIG, "file too large" },
        { EIO, "input/output error" },
    };

    for (size_t i = 0; i < sizeof(reasons) / sizeof(*reasons); i++)
        if (reasons[i].error == error)
            return reasons[i].reason;
    return NULL;
}

static void
put_reason(text *out, int error)
{
    const char *reason = reason_of(error);

    if (reason) {
        text_puts(out, reason);
    } else {
        text_puts(out, "error ");
        text_number(out, (uint64_t)error, 1);
    }
}

static void
say(const char *sentence, size_t len)
{
    struct iovec parts[] = {
        { (char[]){ "wsgid: " }, sizeof("wsgid: ") - 1 },
        { (char *)(uintptr_t)sentence, len },
        { (char[]){ '\n' }, 1 },
    };

    if (writev(STDERR_FILENO, parts, 3) < 0)
        return; /* There is nobody left to tell. */
}

/* Once until the next reopening: a full disk would fill stderr as well. */
static void
complain(logfile *log, const char *what, const char *result)
{
    int error = errno;
    char memory[4352];
    text line;

    if (atomic_exchange(&log->complained, true))
        return;
    text_init(&line, memory, sizeof(memory));
    text_puts(&line, what);
    if (log->path)
        text_puts(&line, log->path);
    else
        text_puts(&line, log->fd == STDOUT_FILENO ? "stdout" : "stderr");
    text_puts(&line, ": ");
    put_reason(&line, error);
    text_puts(&line, result);
    say(line.at, line.len);
    if (log->hear)
        log->hear(log->user, line.at);
}

bool
logfile_reopen(logfile *log)
{
    int saved = errno;

    if (!log->path)
        return true;
    atomic_store(&log->complained, false);
    int fd = open_append(log->path);
    bool done = fd >= 0 && dup3(fd, log->fd, O_CLOEXEC) >= 0;
    if (!done)
        complain(log, "cannot reopen ", "; the old file is kept");
    if (fd >= 0)
        close(fd);
    errno = saved;
    return done;
}

/* Drops the first `done` bytes; true while something is left. */
static bool
advance(struct iovec **parts, int *n, size_t done)
{
    while (*n > 0 && done >= (*parts)->iov_len) {
        done -= (*parts)->iov_len;
        (*parts)++, (*n)--;
    }
    if (*n == 0)
        return false;
    (*parts)->iov_base = (char *)(*parts)->iov_base + done;
    (*parts)->iov_len -= done;
    return true;
}

void
logfile_write(logfile *log, struct iovec *parts, int n)
{
    int saved = errno;

    for (;;) {
        ssize_t done = writev(log->fd, parts, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0) {
            complain(log, "cannot write to ", "; log entries are lost");
            break;
        }
        /* Short only on a pipe or a disk that is just full. */
        if (!advance(&parts, &n, (size_t)done))
            break;
    }
    errno = saved;
}
