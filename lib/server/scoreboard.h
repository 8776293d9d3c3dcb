/*
 * The memory that a supervisor shares with its workers: a score for each, and
 * what those that have ended have counted.
 *
 * Made before the first fork and inherited; no pointers in it.  The supervisor
 * gives a place to one worker at a time.
 */
#ifndef WSGI_SERVER_SCOREBOARD_H
#define WSGI_SERVER_SCOREBOARD_H

#include <stdbool.h>

#include "server/score.h"

/* Of one supervisor at once: old workers drain while new ones start. */
#define WSGI__MOST_PLACES 512

typedef struct wsgi__board {
    /* Set before all are told to drain: nobody is left to accept what the
     * kernel still queues. */
    atomic_int closing;
    /* One more than the highest place that a worker has had: who reads the
     * places behind it makes the kernel fill a page for each. */
    atomic_size_t n_used;
    wsgi__score ended; /* counters of workers that are gone */
    wsgi__score place[WSGI__MOST_PLACES];
} wsgi__board;

/* Zero-filled, of which the kernel keeps only what is used; NULL with errno. */
wsgi__board *wsgi__board_new(void);

/* In this process only; NULL is ignored. */
void wsgi__board_free(wsgi__board *board);

/* A worker is about to have this place. */
void wsgi__board_use(wsgi__board *board, size_t place);

/* Whether a worker other than that of `own` is ready and has a thread that
 * does nothing. */
bool wsgi__board_has_free(const wsgi__board *board, const wsgi__score *own);

/* The worker of this place has ended: its counters go to `ended`, the place is
 * for the next one. */
void wsgi__board_clear(wsgi__board *board, size_t place);

/* Adds the counters of one score to another; gauges, state and threads say what
 * is now and stay. */
void wsgi__score_add(wsgi__score *sum, const wsgi__score *score);

#endif
