/*
 * A file, or stdout or stderr, that log lines are appended to.
 *
 * Each entry goes out with one system call on a descriptor opened O_APPEND, so
 * that lines of several threads and processes do not mix and no lock is needed.
 * A log that cannot be written stops nobody: it is said once on stderr, and to
 * whoever wants to hear it.
 */
#ifndef WSGID_LOGFILE_H
#define WSGID_LOGFILE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/uio.h>

typedef struct logfile {
    int fd;
    char *path; /* absolute; NULL for a standard stream, which stays open */
    atomic_bool complained;
    /* Gets what is said on stderr, which may be nobody's; NULL: it does not.
     * Async-signal-safe. */
    void (*hear)(void *user, const char *sentence);
    void *user;
} logfile;

/* "-" is the standard stream given.  false: errno says why, and `log` needs no
 * closing. */
bool logfile_open(logfile *log, const char *path, int standard);
void logfile_close(logfile *log);

/* Opens the path again, after the file was renamed; false when that fails, which
 * was said, and the old file is kept.  Async-signal-safe, and at any moment: the descriptor's number
 * does not change, so a write under way goes to one file or the other. */
bool logfile_reopen(logfile *log);

/* One entry, newline included, in n parts.  The parts may be changed.
 * Async-signal-safe. */
void logfile_write(logfile *log, struct iovec *parts, int n);

#endif
