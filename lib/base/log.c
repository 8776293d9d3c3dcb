#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* On the stack: a log entry must come out when memory has not. */
#define ON_STACK 2048
#define LONGEST (64 * 1024)

#include "base/mem.h"

static const char *
level_name(wsgi_log_level level)
{
    static const char *const names[] = { "ERROR", "WARNING", "INFO", "DEBUG" };
    return names[level];
}

static void
write_stderr(wsgi_log_level level, const char *text)
{
    struct timespec now;
    struct tm tm;
    char stamp[64];

    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &tm);
    strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S %z", &tm);
    /* One call, so that entries of several processes do not mix. */
    fprintf(stderr, "[%s] [%ld] [%s] %s\n", stamp, (long)getpid(),
            level_name(level), text);
}

void
wsgi__log_write(const wsgi__log *log, wsgi_log_level level, const char *text)
{
    if (!wsgi__log_wants(log, level))
        return;
    if (log->cb)
        log->cb(log->user, level, text);
    else
        write_stderr(level, text);
}

void
wsgi__log_printf(const wsgi__log *log, wsgi_log_level level,
                 const char *format, ...)
{
    char small[ON_STACK];
    va_list args;

    if (!wsgi__log_wants(log, level))
        return;
    va_start(args, format);
    int len = vsnprintf(small, sizeof(small), format, args);
    va_end(args);

    char *large = NULL;
    if (len >= (int)sizeof(small)) {
        size_t size = len < LONGEST ? (size_t)len + 1 : LONGEST;
        large = wsgi__mem_alloc(size);
        if (large) {
            va_start(args, format);
            vsnprintf(large, size, format, args);
            va_end(args);
        }
    }
    wsgi__log_write(log, level, large ? large : small);
    wsgi__mem_free(large);
}
