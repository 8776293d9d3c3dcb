/*
 * An executor whose applications follow a script, each job its own answer.
 *
 * Keeps to server/executor.h and checks that the connection does: a job is
 * submitted, paused, resumed and cancelled only while that is allowed.  What
 * each job gave is kept in a record, for comparison with what a client got.
 *
 * The body of job N is pattern text, so that a byte of another job, or out of
 * its place, shows.  Blocks are memory of their own, freed when they are given
 * back; files are descriptors of their own, closed when the job is done.
 */
#ifndef FUZZ_SCRIPT_EXECUTOR_H
#define FUZZ_SCRIPT_EXECUTOR_H

#include "server/executor.h"

#define SCRIPT_MOST_JOBS 256
#define SCRIPT_MOST_CLIENTS 3

typedef struct script_answer {
    int code;
    char kind; /* g(athered), s(treamed), p(ushed), f(ile); c(ut file): ends
                * before the length that was said */
    size_t block, count; /* bytes of a block, their number */
    int64_t length;      /* Content-Length, -1: none given */
    bool fails, never;   /* raises at the end; before the head */
    bool late, stops;    /* runs into the timeout before the head; at the end:
                          * done comes with script_executor_release() */
    bool shed;           /* is not begun */
    bool held, rests;    /* waits for script_executor_release(): before the
                          * head; behind the first block */
} script_answer;

typedef struct script_record {
    script_answer answer;
    wsgi__job *job; /* NULL when done */
    unsigned client;
    unsigned number; /* of the pattern, from 0 */
    bool to_head, minor;
    bool head_given, ended;
    wsgi__end how;
    uint64_t given; /* bytes of the body */
    size_t n_given; /* blocks */
    int fd;
} script_record;

typedef struct script_executor {
    wsgi__executor base;
    script_answer next; /* for the jobs submitted from now on */
    script_record records[SCRIPT_MOST_JOBS]; /* in the order of submission */
    size_t n_records;
    size_t n_running;
    size_t n_lent;  /* blocks not yet given back */
    size_t budget;  /* bytes that may still be answered */
    size_t largest; /* block or file so far */
    bool released;
    uint64_t n_steps; /* tells progress */
} script_executor;

void script_executor_init(script_executor *sx);

/* Answers that are held go on, and no later one is held. */
void script_executor_release(script_executor *sx);

/* Byte `at` of the body of job `number`. */
char script_pattern(unsigned number, uint64_t at);

#endif
