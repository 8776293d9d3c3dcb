/*
 * The Python half of floor1: environ, one call, the answer.  GIL held in every
 * function.
 *
 * What fails here ends the program: a floor has no one to tell.
 */
#ifndef BENCH_FLOOR1_H
#define BENCH_FLOOR1_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>

typedef struct app app;

typedef struct text {
    const char *ptr;
    size_t len;
} text;

#define FLOOR1_MAX_FIELDS 100

/* A request's head; the texts lie in the read buffer. */
typedef struct head {
    text method, target;
    text names[FLOOR1_MAX_FIELDS], values[FLOOR1_MAX_FIELDS];
    size_t n_fields;
    int minor;
    bool keep_alive;
} head;

/* Starts Python and imports "module:callable" from the current directory. */
app *app_new(const char *spec, const char *port);

/* Prints the exception, and ends the program. */
_Noreturn void app_die(void);

/* New reference: all but the body. */
PyObject *app_environ(app *a, const head *asked);

/* Calls the application with an environ and the body, NULL if there is none,
 * and writes its answer; one of a single block may wait for the next where
 * `more` requests are at hand: app_flush() ends the row. */
void app_serve(app *a, int fd, PyObject *environ, PyObject *body,
               bool keep_alive, bool more);
void app_flush(app *a);

#endif
