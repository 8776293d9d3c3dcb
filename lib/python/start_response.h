/*
 * start_response() and write() of one call (PEP 3333).
 *
 * What the application says is checked and copied to C memory: nothing in
 * Python is referred to afterwards.  Objects that the application keeps past
 * its call are harmless: they raise.  GIL held in every function.
 *
 * OPEN --start_response--> STARTED --final--> FINAL --end--> ENDED
 */
#ifndef WSGI_PYTHON_START_RESPONSE_H
#define WSGI_PYTHON_START_RESPONSE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "http/response.h"

/* Where write() puts its bytes: called with the GIL held, in the middle of the
 * application.  The head is final from then on (wsgi__call_response()).
 * Nonzero raises RuntimeError in the application, unless an exception is set
 * already.  The bytes are never empty. */
typedef struct wsgi__call_sink {
    int (*write)(struct wsgi__call_sink *sink, PyObject *bytes);
} wsgi__call_sink;

/* New reference, or NULL with an exception set. */
PyTypeObject *wsgi__start_response_type(void);

/* The sink outlives the object's end.  New reference, or NULL with an
 * exception set. */
PyObject *wsgi__start_response_new(PyTypeObject *type, wsgi__call_sink *sink);

/* An ended object becomes as new; nobody else refers to it. */
void wsgi__start_response_renew(PyObject *object, wsgi__call_sink *sink);

/* From now on start_response() raises the exc_info that it is given.  -1 with
 * an exception set when start_response() was not called yet. */
int wsgi__start_response_final(PyObject *object);

/* What the application answered, or NULL when it has not yet.  Lives until
 * renewed or freed; known_length is the caller's to set. */
wsgi__response *wsgi__start_response_get(PyObject *object);

/* Whether write() has sent something. */
bool wsgi__start_response_wrote(PyObject *object);

/* Both callables raise from now on.  Belongs to the life of every object: until
 * then it and its write() refer to each other. */
void wsgi__start_response_end(PyObject *object);

#endif
