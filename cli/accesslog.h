/*
 * Lines of the access log, by a format of gunicorn's atoms.
 *
 * The format is compiled once; rendering allocates nothing, and may go on in
 * several threads.  Whatever came from a client is escaped, so that no request
 * can forge a line or end its quotes; an empty value is "-".
 *
 *   %(h)s address  %(l)s "-"       %(u)s user (Basic)  %(t)s time
 *   %(r)s request  %(m)s method    %(U)s path          %(q)s query
 *   %(H)s protocol %(s)s status    %(B)s bytes         %(b)s bytes or "-"
 *   %(f)s referer  %(a)s agent     %(p)s process id    %% percent sign
 *   %(T)s, %(L)s, %(M)s, %(D)s     duration: s, s with fraction, ms, us
 *   %({name}i)s, %({name}o)s       field of the request, of the response
 *   %({NAME}e)s                    environ: HTTP_*, CONTENT_*, and what
 *                                  accesslog.c lists; the library tells no more
 */
#ifndef WSGID_ACCESSLOG_H
#define WSGID_ACCESSLOG_H

#include <stdbool.h>
#include <time.h>

#include <wsgi/wsgi.h>

#include "logfile.h"
#include "text.h"

#define ACCESSLOG_DEFAULT                                                     \
    "%(h)s %(l)s %(u)s %(t)s \"%(r)s\" %(s)s %(b)s \"%(f)s\" \"%(a)s\""

/* Longest line; what is past it is cut and ends in "...". */
#define ACCESSLOG_LINE 65536

typedef struct accesslog_part accesslog_part;

typedef struct accesslog {
    accesslog_part *parts;
    size_t n_parts;
    char *names; /* literals and names of fields, which parts point into */
    logfile file;
} accesslog;

/* false: `error` says what is wrong and where; nothing is to be freed. */
bool accesslog_compile(accesslog *log, const char *format, text *error);
void accesslog_free(accesslog *log);

/* One line, without newline.  offset: seconds east of UTC. */
void accesslog_render(const accesslog *log, const wsgi_access *access,
                      time_t now, int offset, text *out);

/* A wsgi_access_cb: renders and writes to log->file.  user is the accesslog. */
void accesslog_write(void *user, const wsgi_access *access);

#endif
