/*
 * One load of an application: what was asked for, and where the story of its
 * failure goes.  Shared by the units that importer.h is made of.  GIL held in
 * every function; none leaves an exception set.
 */
#ifndef WSGI_PYTHON_LOADING_H
#define WSGI_PYTHON_LOADING_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "base/buf.h"
#include "python/appspec.h"

typedef struct wsgi__loading {
    wsgi__appspec spec;
    bool is_factory;
    wsgi__buf *error;
} wsgi__loading;

/* Appends `"SPEC": what`. */
void wsgi__loading_tell(wsgi__loading *loading, const char *what);

/* The exception that is set, and clears it; its traceback begins with the
 * site's own code, without the frames of Python's import machinery before, and
 * is NULL when there is no such code.  New reference, or NULL. */
PyObject *wsgi__loading_take_raised(void);

/* Appends the traceback of the exception that is set, on lines of its own, and
 * clears it. */
void wsgi__loading_tell_traceback(wsgi__loading *loading);

/* Code of the site raised: appends `what`, the traceback and, for well-known
 * mistakes, the remedy. */
void wsgi__loading_tell_raised(wsgi__loading *loading, const char *what);

/* For steps that fail for want of memory only.  WSGI_ERR_APP_IMPORT. */
int wsgi__loading_fail(wsgi__loading *loading);

#endif
