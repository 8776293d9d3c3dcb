/*
 * What a supervisor does next, as a function of what it knows.
 *
 * Pure: no clock, no process, no memory of its own.  The supervisor asks for one
 * step after the other, carries each out and notes it in the table, until there
 * is nothing to do.
 */
#ifndef WSGI_SERVER_SUPERVISOR_PLAN_H
#define WSGI_SERVER_SUPERVISOR_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 *   state    | leaves to
 *   ---------+--------------------------------------------------------------
 *   FREE     | STARTING by a fork
 *   STARTING | READY when the worker says so; DRAINING when it is not wanted,
 *            | ENDING when nobody is
 *   READY    | DRAINING by SIGTERM; ENDING by SIGQUIT, or by SIGABRT when it
 *            | gives no sign of life
 *   DRAINING | ENDING by SIGQUIT; KILLED when it takes too long
 *   ENDING   | KILLED when it has not ended soon
 *   KILLED   | -
 *
 * and from each but FREE to FREE, when the process has ended.
 */
typedef enum wsgi__place_state {
    WSGI__PLACE_FREE = 0,
    WSGI__PLACE_STARTING,
    WSGI__PLACE_READY,
    WSGI__PLACE_DRAINING,
    WSGI__PLACE_ENDING,
    WSGI__PLACE_KILLED
} wsgi__place_state;

typedef struct wsgi__place {
    wsgi__place_state state;
    unsigned generation;
    uint64_t since_ms; /* of the state */
    uint64_t sign_ms;  /* its last sign of life; 0: it owes none yet */
    bool replace;      /* it has asked for another in its place */
} wsgi__place;

typedef enum wsgi__plan_phase {
    WSGI__PLAN_RUN = 0,
    WSGI__PLAN_PAUSE,    /* no workers, for a while */
    WSGI__PLAN_STOP,     /* drain all */
    WSGI__PLAN_STOP_NOW, /* end all */
    WSGI__PLAN_KILL      /* kill all */
} wsgi__plan_phase;

typedef struct wsgi__plan {
    wsgi__plan_phase phase;
    unsigned wanted; /* workers */
    /* Workers of `serving` are in charge, those of `generation` are to be; equal
     * but while a reload is under way.  Any other is not wanted any more.  After
     * a pause none is in charge: 0. */
    unsigned serving, generation;
    bool proved; /* a worker of `generation` has been ready */
    uint64_t now_ms;
    uint64_t spawn_at_ms; /* no fork before */
    uint64_t drain_ms;    /* how long a worker may drain; 0: for ever */
    uint64_t silence_ms;  /* how long it may give no sign; 0: for ever */
    uint64_t start_ms;    /* how long a reload waits for its first worker */
    const wsgi__place *places;
    size_t n_places;
} wsgi__plan;

/* How long a worker that was told to end at once may take, or to write down its
 * stacks: longer than what a server waits for calls that do not listen. */
#define WSGI__END_MS 5000u

/* What is late in the eyes of the worker itself comes first. */
typedef enum wsgi__act {
    WSGI__ACT_NOTHING = 0,
    WSGI__ACT_SPAWN, /* into that place */
    WSGI__ACT_DRAIN, /* SIGTERM */
    WSGI__ACT_END,   /* SIGQUIT */
    WSGI__ACT_ABORT, /* SIGABRT: it gives no sign of life */
    WSGI__ACT_KILL   /* SIGKILL */
} wsgi__act;

typedef struct wsgi__step {
    wsgi__act act;
    size_t place;
    unsigned generation; /* of a SPAWN */
} wsgi__step;

wsgi__step wsgi__plan_next(const wsgi__plan *plan);

/* Whether the workers of `generation` that are ready are as many as there are to
 * be: a reload is then done. */
bool wsgi__plan_complete(const wsgi__plan *plan);

/* Whether a reload waits for its first worker for too long, while those in charge
 * can go on without it. */
bool wsgi__plan_overdue(const wsgi__plan *plan);

/* Until when nothing comes up by itself, in ms from now and at most `most`. */
unsigned wsgi__plan_wait(const wsgi__plan *plan, unsigned most);

/* How long to wait before the next fork, when the n-th worker in a row has died
 * young: not at all at first, then ever longer up to some seconds. */
unsigned wsgi__plan_backoff(unsigned n);

#endif
