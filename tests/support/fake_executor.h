/*
 * An executor without Python: every job is answered from a script.
 *
 * Follows the contract of server/executor.h, pause and cancel included, so that
 * a connection under test meets what it meets in the library.
 */
#ifndef WSGI_SUPPORT_FAKE_EXECUTOR_H
#define WSGI_SUPPORT_FAKE_EXECUTOR_H

#include "server/executor.h"

#define FAKE_MOST_BLOCKS 64
#define FAKE_MOST_JOBS 64

typedef struct fake_answer {
    const char *status;                   /* "200 OK" */
    int64_t content_length;               /* -1: none given */
    const char *blocks[FAKE_MOST_BLOCKS]; /* NULL-terminated */
    size_t repeat; /* the blocks this many times more; 0: once */
    bool gathered; /* an exact list: its length is known */
    bool pushed;   /* through write() */
    int file;      /* > 0: a file instead of blocks */
    int64_t file_len;
    bool fails;       /* raises after the blocks */
    bool fails_first; /* raises before the head */
    bool times_out;   /* after the blocks, or before the head with fails_first;
                       * done comes with fake_executor_release() */
    bool sheds;       /* is not begun */
    bool leaves;      /* as if the client had left while it waited */
    bool holds;       /* does nothing until fake_executor_release() */
} fake_answer;

typedef struct fake_run {
    wsgi__job *job;
    size_t block; /* the next one */
    bool head_given;
    bool ended; /* by a timeout: done is to come */
} fake_run;

typedef struct fake_executor {
    wsgi__executor base;
    fake_answer answer; /* for every job */
    fake_run jobs[FAKE_MOST_JOBS];
    size_t n_jobs; /* under way */
    bool released;

    /* What was seen, for assertions. */
    size_t submitted, ended, done, paused, cancelled, leaving;
    char last_target[256];
    char last_body[256];
    int64_t last_body_len;
    size_t loans_returned;
} fake_executor;

void fake_executor_init(fake_executor *fx);

/* Lets jobs that are held go on with the next run. */
void fake_executor_release(fake_executor *fx);

#endif
