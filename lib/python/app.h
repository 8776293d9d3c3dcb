/*
 * An application ready to be called: the callable, our Python types, and the
 * environ that every request starts from.  GIL held in every function.
 */
#ifndef WSGI_PYTHON_APP_H
#define WSGI_PYTHON_APP_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "base/log.h"

typedef struct wsgi__app_settings {
    bool multithread, multiprocess; /* wsgi.*: must be true to the facts */
    const char *software;           /* SERVER_SOFTWARE */
    const wsgi__log *log;           /* for wsgi.errors; outlives the app */
} wsgi__app_settings;

typedef struct wsgi__app wsgi__app;

/* Takes its own reference to callable.  NULL with an exception set. */
wsgi__app *wsgi__app_new(PyObject *callable,
                         const wsgi__app_settings *settings);

/* After every call of it was freed.  Objects that the application kept stay
 * valid: wsgi.errors writes to stderr, start_response() and write() raise. */
void wsgi__app_free(wsgi__app *app);

#endif
