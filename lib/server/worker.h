/*
 * The worker's side of a supervisor: what it is told and what it tells.
 *
 * Made by the supervisor before the fork, begun in the child.  Orders come by
 * signals, and from a pipe that hangs up when the supervisor has died; both show
 * in one descriptor.
 */
#ifndef WSGI_SERVER_WORKER_H
#define WSGI_SERVER_WORKER_H

#include <stdbool.h>
#include <sys/types.h>

#include <wsgi/supervisor.h>

#include "server/scoreboard.h"

struct wsgi_worker {
    unsigned number, generation;
    pid_t pid; /* processes that it forks are other ones */
    wsgi__board *board;
    wsgi__score *score; /* its place on the board */
    int lifeline;       /* reading end: hangs up with the supervisor */
    int notice;         /* an eventfd: the supervisor looks at the scores */
    int told;           /* an eventfd: an order has come */
    int fd;             /* an epoll descriptor with told and lifeline */
    atomic_int order;   /* wsgi_worker_order */
    bool has_server;
};

/* In the child, with every signal blocked: signals are the worker's from here
 * on.  WSGI_ERR_SYSTEM with errno. */
int wsgi__worker_begin(wsgi_worker *worker);

/* Whether all workers go, so that nobody else will accept what is queued. */
static inline bool
wsgi__worker_is_last(const wsgi_worker *worker)
{
    return atomic_load(&worker->board->closing) != 0;
}

/* Has the supervisor look at this worker's score. */
void wsgi__worker_notify(wsgi_worker *worker);

/* wsgi_worker_replace() with a reason; the first one counts. */
void wsgi__worker_replace(wsgi_worker *worker, wsgi__replace why);

#endif
