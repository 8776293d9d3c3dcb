/*
 * wsgi.errors: text of the application becomes entries of the log.
 *
 * One entry per line, at WSGI_LOG_ERROR, as soon as the line is complete.  The
 * beginning of a line waits for its end until flush(), the end of the call or
 * 64 KiB; each thread has its own, so lines of several threads do not mix.
 * One object serves all calls of an application.  GIL held in every function.
 */
#ifndef WSGI_PYTHON_ERRORS_H
#define WSGI_PYTHON_ERRORS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "base/log.h"

/* New reference, or NULL with an exception set. */
PyTypeObject *wsgi__errors_type(void);

/* The log outlives the object, or is replaced.  New reference, or NULL with an
 * exception set. */
PyObject *wsgi__errors_new(PyTypeObject *type, const wsgi__log *log);

/* Ends the line that the calling thread has begun. */
void wsgi__errors_flush(PyObject *errors);

/* Ends the begun lines of every thread; from then on lines go to stderr. */
void wsgi__errors_detach(PyObject *errors);

#endif
