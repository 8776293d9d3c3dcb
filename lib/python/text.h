/*
 * Python objects as text for people.  GIL held in every function.
 *
 * UTF-8; what cannot be encoded, such as a lone surrogate, is escaped.
 */
#ifndef WSGI_PYTHON_TEXT_H
#define WSGI_PYTHON_TEXT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "base/buf.h"

/* Appends text that is UTF-8 already, line ends and colours as they are; what
 * would end the string or forge a line of a log, \0 \r \v \f, is escaped.  The
 * buffer is unchanged on failure. */
int wsgi__text_put(wsgi__buf *out, wsgi__span text);

/* The bytes of a str.  New reference, or NULL with an exception set. */
PyObject *wsgi__text_utf8(PyObject *str);

/* These do not fail: an object that cannot be shown is "<TYPE>", and no
 * exception is left set.  None may be set on entry. */

/* Appends str(object). */
void wsgi__text_str(wsgi__buf *out, PyObject *object);

/* Appends repr(object), cut after max characters. */
void wsgi__text_repr(wsgi__buf *out, PyObject *object, Py_ssize_t max);

#endif
