/*
 * From "module:callable" to the callable.  GIL held in every function.
 */
#ifndef WSGI_PYTHON_IMPORTER_H
#define WSGI_PYTHON_IMPORTER_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "base/buf.h"

/* Imports `module[:attr[.attr]...]`, `module:factory()` or `path/file.py[:...]`
 * (a text with a '/' or ending in ".py" before the colon).  Without an
 * attribute `application`, then `app` is taken.  With `factory` the attribute
 * is called and its result taken, as with "()".  A file's folder is put first
 * on sys.path and its module imported by name, or, where that name leads to
 * another module or to none, from its place with its path as the name.
 *
 * WSGI_OK: *app is a new reference to a callable.  Else no exception is left
 * set and `error` has the whole story in lines without a final newline:
 * WSGI_ERR_APP_IMPORT with the traceback (also when the factory raised), and
 * where the module itself is not found the current directory, sys.path and near
 * names; WSGI_ERR_APP_MISSING with near names; WSGI_ERR_APP_TYPE with what it
 * is, when it is not callable or sure to fail in every request (async, or not
 * to be called with two arguments); WSGI_ERR_INVALID for a text that is no specification. */
int wsgi__importer_load(const char *spec, bool factory, PyObject **app,
                        wsgi__buf *error);

#endif
