/*
 * One WSGI call, step by step (PEP 3333).  GIL held in every function.
 *
 *     wsgi__call *call = wsgi__call_new(app, req, conn, body, sink);
 *     while ((step = wsgi__call_next(call, &chunk)) < WSGI__STEP_END) ...
 *     wsgi__call_close(call);      always: runs the iterable's close()
 *     wsgi__call_free(call);
 *
 * Knows no connection and no socket.  Pull: nothing runs ahead of the reader,
 * except write(), which pushes into the sink.
 */
#ifndef WSGI_PYTHON_CALL_H
#define WSGI_PYTHON_CALL_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "http/body.h"
#include "http/request.h"
#include "http/response.h"
#include "http/vars.h"
#include "python/app.h"
#include "python/start_response.h"

typedef struct wsgi__call wsgi__call;

typedef enum wsgi__step {
    WSGI__STEP_DATA, /* chunk->bytes: a new reference, not empty */
    WSGI__STEP_FILE, /* chunk->fd, at, len: to be sent from the kernel */
    WSGI__STEP_END,
    WSGI__STEP_ERROR /* raised; the exception is set */
} wsgi__step;

typedef struct wsgi__call_chunk {
    PyObject *bytes; /* DATA: a new reference */
    int fd;          /* FILE: a regular file, open until wsgi__call_close() */
    off_t at;
    int64_t len; /* from `at` to the end of the file */
} wsgi__call_chunk;

/* Builds environ; the application is not called yet.  Takes the content of
 * body over (it is empty afterwards).  app and sink outlive the call; req and
 * conn are needed during this function only.  NULL with an exception set. */
wsgi__call *wsgi__call_new(wsgi__app *app, const wsgi__request *req,
                           const wsgi__conn_info *conn, wsgi__body *body,
                           wsgi__call_sink *sink);

/* The first step calls the application.  The head is final when the first step
 * other than ERROR returns: start_response() raises exc_info from then on.
 * Empty blocks are passed over.  Nothing but close() and free() follows END or
 * ERROR.  What the application got wrong (no start_response, str for bytes, ...)
 * is ERROR, with an exception whose text names the rule and what to write
 * instead. */
wsgi__step wsgi__call_next(wsgi__call *call, wsgi__call_chunk *chunk);

/* Whether all blocks exist already (an exact list or tuple), so that they may
 * be sent together. */
bool wsgi__call_is_gathered(const wsgi__call *call);

/* NULL until start_response was called; final as said above.  Lives as long as
 * the call.  known_length is set when the head becomes final by a step: the sum
 * of a list or tuple, what is left of a file, 0 when there was no block; -1
 * otherwise, and always when write() was used. */
const wsgi__response *wsgi__call_response(const wsgi__call *call);

/* Ends the call: runs close() of the iterable, once, whatever came before;
 * later calls do nothing.  start_response() and write() raise from then on.  -1
 * with the exception set when close() raised.  An exception that is set before
 * stays set, and becomes the context of that of close(). */
int wsgi__call_close(wsgi__call *call);

/* Closes it if nobody has; what close() raises then goes to
 * sys.unraisablehook. */
void wsgi__call_free(wsgi__call *call);

#endif
