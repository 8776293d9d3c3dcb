/*
 * Where the library's messages go: a level and one callback.
 *
 * Knows no file and no format: the callback, or the default that writes to
 * stderr, does.  Thread-safe once set up.  errno is left as it was.
 */
#ifndef WSGI_BASE_LOG_H
#define WSGI_BASE_LOG_H

#include <stdbool.h>

#include <wsgi/wsgi.h>

#include "base/span.h"

typedef struct wsgi__log {
    wsgi_log_level level; /* messages above it are dropped */
    wsgi_log_cb cb;       /* NULL: stderr */
    void *user;
} wsgi__log;

static inline bool
wsgi__log_wants(const wsgi__log *log, wsgi_log_level level)
{
    return level <= log->level;
}

/* Formats and hands over one entry.  Bytes from outside go through
 * wsgi__buf_escape() first.  An entry longer than 64 KiB is cut. */
void wsgi__log_printf(const wsgi__log *log, wsgi_log_level level,
                      const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Hands over an entry that is text already, such as a traceback. */
void wsgi__log_write(const wsgi__log *log, wsgi_log_level level,
                     const char *text);

#endif
