/*
 * wsgi.input: a request body as a binary file object.
 *
 * Reads, never blocks, has an end.  The body is there already, in memory or in
 * a temporary file, and belongs to the object: an application may keep it
 * longer than its request.  Complete enough for io.BufferedReader and
 * io.TextIOWrapper to be put on top of it.  GIL held in every function; it is
 * given back while much is read from a file.
 */
#ifndef WSGI_PYTHON_INPUT_H
#define WSGI_PYTHON_INPUT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "http/body.h"

/* New reference, or NULL with an exception set. */
PyTypeObject *wsgi__input_type(void);

/* Takes the content of body over; body is empty and usable afterwards.  New
 * reference; NULL with an exception set, body is then unchanged. */
PyObject *wsgi__input_new(PyTypeObject *type, wsgi__body *body);

/* Makes an input that nobody else refers to as wsgi__input_new() gives it. */
void wsgi__input_renew(PyObject *input, wsgi__body *body);

/* Frees the content early: as close(). */
void wsgi__input_close(PyObject *input);

#endif
