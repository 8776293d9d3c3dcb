#include "errorlog.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "stamp.h"

static const char *
level_name(wsgi_log_level level)
{
    switch (level) {
    case WSGI_LOG_ERROR:
        return "ERROR";
    case WSGI_LOG_WARNING:
        return "WARNING";
    case WSGI_LOG_INFO:
        return "INFO";
    case WSGI_LOG_DEBUG:
        return "DEBUG";
    }
    return "INFO"; /* A level of a newer library. */
}

void
errorlog_write_safe(errorlog *log, wsgi_log_level level, const char *entry)
{
    char memory[128];
    struct timespec now;
    text head;

    if (level > log->level)
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    text_init(&head, memory, sizeof(memory));
    text_puts(&head, "[");
    stamp_put(&head, now.tv_sec, stamp_offset_known());
    text_puts(&head, "] [");
    text_number(&head, (uint64_t)getpid(), 1);
    text_puts(&head, "] [");
    text_puts(&head, level_name(level));
    text_puts(&head, "] ");

    struct iovec parts[] = {
        { head.at, head.len },
        { (char *)(uintptr_t)entry, strlen(entry) },
        { (char[]){ '\n' }, 1 },
    };
    logfile_write(&log->file, parts, 3);
}

void
errorlog_write(void *user, wsgi_log_level level, const char *entry)
{
    stamp_offset(time(NULL));
    errorlog_write_safe(user, level, entry);
}

static void
hear(void *user, const char *sentence)
{
    errorlog *log = user;

    if (log->file.path)
        errorlog_write_safe(log, WSGI_LOG_ERROR, sentence);
}

void
errorlog_hear(errorlog *log, logfile *file)
{
    file->hear = hear;
    file->user = log;
}

void
errorlog_printf(errorlog *log, wsgi_log_level level, const char *format, ...)
{
    char entry[4096];
    va_list args;

    va_start(args, format);
    vsnprintf(entry, sizeof(entry), format, args);
    va_end(args);
    errorlog_write(log, level, entry);
}
