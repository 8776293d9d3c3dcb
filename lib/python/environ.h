/*
 * The environ dict of a request (PEP 3333, "environ Variables").
 *
 * One maker serves all requests of an application: it has a template with what
 * never changes, one for each of the models that requests are like
 * (http/request.h), and remembers the str objects of keys and of values that
 * recur.  What is remembered is bounded whatever clients send, and has no
 * secrets such as cookies.  GIL held in every function.
 */
#ifndef WSGI_PYTHON_ENVIRON_H
#define WSGI_PYTHON_ENVIRON_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "base/log.h"
#include "http/vars.h"

typedef struct wsgi__environ wsgi__environ;

/* Takes its own reference to base, a dict of what is the same in each environ,
 * such as wsgi.errors; what the maker sets itself may be missing.  NULL with
 * an exception set. */
wsgi__environ *wsgi__environ_new(PyObject *base);
void wsgi__environ_free(wsgi__environ *maker);

/* A dict with the base, the variables of the request, wsgi.url_scheme and
 * wsgi.input.  The first header that is dropped for a '_' in its name is
 * logged as a warning, once in the maker's life.  New reference; NULL with an
 * exception set, ValueError for a path that decodes to a NUL. */
PyObject *wsgi__environ_make(wsgi__environ *maker, const wsgi__request *req,
                             const wsgi__conn_info *conn, int64_t body_length,
                             PyObject *input, const wsgi__log *log);

#endif
