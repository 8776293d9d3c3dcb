/* What an application is made of, for python/app and python/call alone. */
#ifndef WSGI_PYTHON_STATE_H
#define WSGI_PYTHON_STATE_H

#include "python/app.h"
#include "python/environ.h"
#include "python/file_wrapper.h"

/* Objects that a call is done with and nobody else refers to, for the next:
 * saves making and freeing two objects a request. */
#define WSGI__MOST_SPARES 8
typedef struct wsgi__spares {
    size_t n;
    PyObject *objects[WSGI__MOST_SPARES];
} wsgi__spares;

struct wsgi__app {
    PyObject *callable;
    PyTypeObject *input_type, *errors_type, *start_response_type;
    wsgi__file_types files;
    PyObject *errors;
    wsgi__environ *environ;
    PyObject *attr_close;
    const wsgi__log *log;
    wsgi__spares inputs, starts, contexts;
    PyObject *context; /* of contextvars, that every call begins with */
    bool context_is_empty;
    struct wsgi__call *spare_call; /* memory for the next, or NULL */
};

/* New reference, or NULL without an exception. */
static inline PyObject *
wsgi__spares_take(wsgi__spares *spares)
{
    return spares->n > 0 ? spares->objects[--spares->n] : NULL;
}

/* Takes the caller's reference over. */
static inline void
wsgi__spares_give(wsgi__spares *spares, PyObject *object)
{
#ifndef Py_GIL_DISABLED /* a count of 1 is certain under the GIL only */
    if (object && Py_REFCNT(object) == 1 && spares->n < WSGI__MOST_SPARES) {
        spares->objects[spares->n++] = object;
        return;
    }
#else
    (void)spares;
#endif
    Py_XDECREF(object);
}

#endif
