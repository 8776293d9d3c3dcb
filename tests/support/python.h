/*
 * An interpreter for tests, and what they ask of it.
 *
 *     TestSuite(input, .init = python_start, .fini = python_stop);
 *
 *     PyObject *module = python_module("site", "def app(e, s): ...\n");
 *     PyObject *app = python_get(module, "app");
 *
 * Criterion runs each test in a process of its own, so each has an interpreter
 * of its own too.  Without site and without the environment's variables: it
 * starts in 20 ms and finds nothing but the standard library.  The GIL is held
 * from python_start() to python_stop(), in every function.
 */
#ifndef SUPPORT_PYTHON_H
#define SUPPORT_PYTHON_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

/* python_start() aborts when it cannot.  Python allocates with malloc(), so
 * that sanitizers see its objects.  python_stop() finalises, after which
 * whatever is still referenced counts as a leak; it fails the test when an
 * exception was left set. */
void python_start(void);
void python_stop(void);

/* Runs the source text as the module of that name, which `import` then finds.
 * New reference.  When the source raises, the test is aborted with the
 * traceback on stderr. */
PyObject *python_module(const char *name, const char *source);

/* The attribute, dotted if need be.  New reference; fails the test when there
 * is none. */
PyObject *python_get(PyObject *object, const char *name);

/* The value of an expression with the module's names.  New reference, or NULL
 * with the exception set. */
PyObject *python_eval(PyObject *module, const char *expression);

/* Whether an expression with the module's names is true; false with the
 * traceback on stderr when it raises. */
bool python_true(PyObject *module, const char *expression);

/* Exactly a str, or bytes, with that content.  NULL objects are neither.
 * What differs is printed on stderr. */
bool python_is_str(PyObject *object, const char *utf8);
bool python_is_bytes(PyObject *object, const void *data, size_t len);

/* Whether an exception of the type is set whose text contains `part`; clears
 * it.  What differs is printed on stderr. */
bool python_raised(PyObject *type, const char *part);

/* poll() as a host with its own loop does it: without the GIL, which threads of
 * the application need. */
int python_poll(struct pollfd *fds, nfds_t n, int timeout_ms);

/* Whether no exception is set; prints and clears the one that is. */
bool python_quiet(void);

#endif
