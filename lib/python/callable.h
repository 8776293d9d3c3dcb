/*
 * Whether an object can be a WSGI application, and calling a factory.  GIL
 * held in every function.
 */
#ifndef WSGI_PYTHON_CALLABLE_H
#define WSGI_PYTHON_CALLABLE_H

#include "python/loading.h"

/* Refuses what is sure to fail in every request: what cannot be called, what
 * cannot take two arguments, what is async.  was_made: a factory returned it.
 * WSGI_OK, or WSGI_ERR_APP_TYPE with the story told. */
int wsgi__callable_check(wsgi__loading *loading, PyObject *object,
                         bool was_made);

/* Replaces the factory, a reference that the caller owns, by what it returns.
 * WSGI_ERR_APP_IMPORT, *object then NULL, when it raises; WSGI_ERR_APP_TYPE
 * when it cannot be called.  The story is told. */
int wsgi__callable_make(wsgi__loading *loading, PyObject **object);

#endif
