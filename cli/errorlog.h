/*
 * The error log: "[2026-11-22 20:04:53 +0000] [pid] [LEVEL] text", the form of
 * gunicorn's, on stderr or in a file.
 */
#ifndef WSGID_ERRORLOG_H
#define WSGID_ERRORLOG_H

#include <wsgi/wsgi.h>

#include "logfile.h"

typedef struct errorlog {
    logfile file;
    wsgi_log_level level; /* entries above it are dropped */
} errorlog;

/* A wsgi_log_cb: user is the errorlog.  Any thread. */
void errorlog_write(void *user, wsgi_log_level level, const char *entry);

/* The same in a signal handler. */
void errorlog_write_safe(errorlog *log, wsgi_log_level level,
                         const char *entry);

/* Trouble with that file, which may be its own, is an entry too where the log is
 * a file: stderr has it anyway. */
void errorlog_hear(errorlog *log, logfile *file);

void errorlog_printf(errorlog *log, wsgi_log_level level, const char *format,
                     ...) __attribute__((format(printf, 3, 4)));

#endif
