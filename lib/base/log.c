#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

/* On the stack: a log entry must come out when memory has not. */
#define ON_STACK 2048
#define LONGEST ((size_t)64 * 1024)

static const char *
level_name(wsgi_log_level level)
{
    static const char *const names[] = { "ERROR", "WARNING", "INFO", "DEBUG" };
    return names[level];
}

/* One writev, so that entries of several processes do not mix: stdio cuts a
 * long one into several writes. */
static void
write_stderr(wsgi_log_level level, const char *text)
{
    struct timespec now;
    struct tm tm;
    char stamp[64], head[128];

    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &tm);
    strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S %z", &tm);
    snprintf(head, sizeof(head), "[%s] [%ld] [%s] ", stamp, (long)getpid(),
             level_name(level));
    struct iovec parts[] = {
        { head, strlen(head) },
        { (char *)(uintptr_t)text, strlen(text) },
        { (char[]){ '\n' }, 1 },
    };
    /* Nobody is left to be told when this fails. */
    ssize_t written = writev(STDERR_FILENO, parts, 3);
    (void)written;
}

/* Callers log a failure before they look at errno once more. */
void
wsgi__log_write(const wsgi__log *log, wsgi_log_level level, const char *text)
{
    int saved = errno;

    if (!wsgi__log_wants(log, level))
        return;
    if (log->cb)
        log->cb(log->user, level, text);
    else
        write_stderr(level, text);
    errno = saved;
}

void
wsgi__log_printf(const wsgi__log *log, wsgi_log_level level,
                 const char *format, ...)
{
    char small[ON_STACK];
    int saved = errno;
    va_list args;

    if (!wsgi__log_wants(log, level))
        return;
    va_start(args, format);
    int len = vsnprintf(small, sizeof(small), format, args);
    va_end(args);
    if (len < 0) { /* a text that the locale cannot encode */
        wsgi__log_write(log, level, format);
        errno = saved;
        return;
    }

    char *large = NULL;
    if (len >= (int)sizeof(small)) {
        size_t size = (size_t)len < LONGEST ? (size_t)len + 1 : LONGEST;
        large = wsgi__mem_alloc(size);
        if (large) {
            va_start(args, format);
            vsnprintf(large, size, format, args);
            va_end(args);
        }
    }
    wsgi__log_write(log, level, large ? large : small);
    wsgi__mem_free(large);
    errno = saved;
}
