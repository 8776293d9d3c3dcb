/*
 * A server without a terminal (--daemon).
 *
 * The process that the user has started waits until somebody serves, or until
 * it is clear that nobody will, and ends with the exit code of that; messages
 * come on its stderr until then.  The server is in a session of its own, of which
 * it is not the leader, so that no terminal can become its own again.
 */
#ifndef WSGID_DETACH_H
#define WSGID_DETACH_H

#include <stdbool.h>

typedef struct detach {
    bool waited_for; /* somebody reads `to` */
    int to;
} detach;

/* Returns in the new process.  false: errno says why; this is then the first or
 * the new one. */
bool detach_begin(detach *self);

/* Somebody serves: stdin, stdout and stderr are /dev/null from here on, and the
 * process that waits ends with 0.  Nothing without detach_begin(). */
void detach_ready(detach *self);

/* In a worker, when it has loaded what it serves: the same, but the process that
 * waits is its parent's business. */
void detach_worker(detach *self);

/* At the end: if somebody waits still, with this code. */
void detach_end(detach *self, int code);

#endif
