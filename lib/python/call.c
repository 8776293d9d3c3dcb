#include "python/call.h"

#include <assert.h>

#include "base/mem.h"
#include "python/compat.h"
#include "python/environ.h"
#include "python/errors.h"
#include "python/input.h"
#include "python/object.h"
#include "python/state.h"

/*
 * Where the next block comes from.
 *
 * NOTHING: the application has not been called; -> one of the three below
 * GATHERED, ITERATED, KERNEL: -> ENDED
 * ENDED: after END, ERROR or close
 */
typedef enum source {
    NOTHING,
    GATHERED, /* an exact list or tuple: result[at] */
    ITERATED, /* iterator */
    KERNEL,   /* a file, to be sent in one step */
    ENDED
} source;

struct wsgi__call {
    wsgi__app *app;
    PyObject *environ, *input, *start_response;
    PyObject *context;  /* of contextvars: entered while it runs */
    PyObject *result;   /* of the application; has the close() */
    PyObject *iterator; /* ITERATED */
    Py_ssize_t at;      /* GATHERED: the next item */
    wsgi__file file;    /* KERNEL: what is to be sent */
    source source;
    bool gathered, final, closed;
};

/* ---- Life --------------------------------------------------------------- */

/* Zero-filled, or NULL.  One is kept: 130 instructions a request. */
static wsgi__call *
take_memory(wsgi__app *app)
{
    wsgi__call *call = app->spare_call;
    app->spare_call = NULL;
    if (!call)
        return wsgi__mem_zero(1, sizeof(*call));
    *call = (wsgi__call){ .app = NULL };
    return call;
}

static void
give_memory(wsgi__app *app, wsgi__call *call)
{
#ifndef Py_GIL_DISABLED
    wsgi__call *other = app->spare_call;
    app->spare_call = call;
    call = other;
#else
    (void)app;
#endif
    wsgi__mem_free(call);
}

static PyObject *
take_input(wsgi__app *app, wsgi__body *body)
{
    PyObject *input = wsgi__spares_take(&app->inputs);
    if (!input)
        return wsgi__input_new(app->input_type, body);
    wsgi__input_renew(input, body);
    return input;
}

/* Every call begins with what the thread had set that made the application.
 * New reference. */
static PyObject *
take_context(wsgi__app *app)
{
    PyObject *context = wsgi__spares_take(&app->contexts);
    return context ? context : PyContext_Copy(app->context);
}

/* One in which nothing was set is as good as new. */
static void
give_context(wsgi__call *call)
{
    PyObject *context = call->context;
    call->context = NULL;
    if (context && call->app->context_is_empty && PyObject_Size(context) == 0)
        wsgi__spares_give(&call->app->contexts, context);
    else
        Py_XDECREF(context);
}

static PyObject *
take_start_response(wsgi__app *app, wsgi__call_sink *sink)
{
    PyObject *start = wsgi__spares_take(&app->starts);
    if (!start)
        return wsgi__start_response_new(app->start_response_type, sink);
    wsgi__start_response_renew(start, sink);
    return start;
}

wsgi__call *
wsgi__call_new(wsgi__app *app, const wsgi__request *req,
               const wsgi__conn_info *conn, wsgi__body *body,
               wsgi__call_sink *sink)
{
    int64_t body_length = body->len;
    wsgi__call *call = take_memory(app);
    if (!call) {
        PyErr_NoMemory();
        return NULL;
    }
    call->app = app;
    if ((call->context = take_context(app)) &&
        (call->start_response = take_start_response(app, sink)) &&
        (call->input = take_input(app, body)) &&
        (call->environ = wsgi__environ_make(
             app->environ, req, conn, body_length, call->input, app->log)))
        return call;
    call->closed = true; /* nothing to close, an exception to keep */
    wsgi__call_free(call);
    return NULL;
}

/* ---- Context ------------------------------------------------------------ */

/* Calls take turns on a thread while their clients do not keep up.  What one of
 * them sets in a context variable, which is where Flask and Django have the
 * request, is nothing to the others. */
static int
enter_context(wsgi__call *call)
{
    return PyContext_Enter(call->context);
}

/* An exception that is set stays set. */
static void
leave_context(wsgi__call *call)
{
    PyObject *before = PyErr_Occurred() ? wsgi__py_take_raised() : NULL;
    if (PyContext_Exit(call->context) < 0)
        PyErr_WriteUnraisable(call->context);
    if (before)
        wsgi__py_set_raised(before);
}

/* ---- What the application returned -------------------------------------- */

/* Strings and bytes are iterable, but never what was meant. */
static bool
is_one_block(PyObject *result)
{
    return PyUnicode_Check(result) || PyBytes_Check(result) ||
           PyByteArray_Check(result) || PyMemoryView_Check(result);
}

static void
refuse_result(PyObject *result)
{
    const char *instead = "[b\"...\"]";
    if (result == Py_None)
        instead = "return [b\"...\"]";
    else if (PyCoro_CheckExact(result))
        instead = "serve an async application with an ASGI server";
    else if (PyDict_Check(result))
        instead = "[json.dumps(data).encode()]";
    else if (PyUnicode_Check(result))
        instead = "[b\"...\"] or [text.encode()]";
    else if (PyBytes_Check(result))
        instead = "[body]";
    else if (is_one_block(result))
        instead = "[bytes(body)]";
    PyErr_Format(PyExc_TypeError,
                 "the application returned %.200s; WSGI needs an iterable of "
                 "bytes: %s",
                 Py_TYPE(result)->tp_name, instead);
}

/* 0 for bytes, else -1 with an exception set. */
static int
check_block(PyObject *block)
{
    if (PyBytes_Check(block))
        return 0;
    const char *instead = "b\"...\"";
    if (PyUnicode_Check(block))
        instead = "b\"...\" or .encode()";
    else if (PyObject_CheckBuffer(block))
        instead = "bytes(block)";
    PyErr_Format(PyExc_TypeError,
                 "the application yielded %.200s; WSGI needs bytes: %s",
                 Py_TYPE(block)->tp_name, instead);
    return -1;
}

/* The keys of a dict are seldom what was meant: it is the dict that is named. */
static int
check_item(const wsgi__call *call, PyObject *block)
{
    if (PyBytes_Check(block) || !PyDict_Check(call->result))
        return check_block(block);
    refuse_result(call->result);
    return -1;
}

/* Borrowed from the list or tuple.  A list may have changed since. */
static PyObject *
item(PyObject *result, Py_ssize_t at)
{
    if (at >= PySequence_Fast_GET_SIZE(result))
        return NULL;
    return PySequence_Fast_GET_ITEM(result, at);
}

/* The length of all blocks together, or -1 with an exception set. */
static int64_t
gathered_length(PyObject *result)
{
    int64_t sum = 0;
    PyObject *block;
    for (Py_ssize_t i = 0; (block = item(result, i)); i++) {
        if (check_block(block) < 0)
            return -1;
        int64_t len = PyBytes_GET_SIZE(block);
        if (len > INT64_MAX - sum) {
            PyErr_SetString(PyExc_OverflowError,
                            "the application returned too many bytes");
            return -1;
        }
        sum += len;
    }
    return sum;
}

/* The head is final with the first step that is not an error.  known_length as
 * far as it is known, -1: not. */
static int
make_final(wsgi__call *call, int64_t known_length)
{
    if (call->final)
        return 0;
    if (wsgi__start_response_final(call->start_response) < 0)
        return -1;
    call->final = true;
    if (!wsgi__start_response_wrote(call->start_response))
        wsgi__start_response_get(call->start_response)->known_length =
            known_length;
    return 0;
}

static int
begin_gathered(wsgi__call *call)
{
#ifdef Py_GIL_DISABLED
    PyObject *snapshot = PySequence_Tuple(call->result);
    if (!snapshot)
        return -1;
    Py_SETREF(call->result, snapshot);
#endif
    call->source = GATHERED;
    call->gathered = true;
    int64_t len = gathered_length(call->result);
    return len < 0 ? -1 : make_final(call, len);
}

static int
begin_iterated(wsgi__call *call)
{
    PyTypeObject *type = Py_TYPE(call->result);
    if (is_one_block(call->result) ||
        (!type->tp_iter && !PySequence_Check(call->result))) {
        refuse_result(call->result);
        return -1;
    }
    call->source = ITERATED;
    call->iterator = PyObject_GetIter(call->result);
    return call->iterator ? 0 : -1;
}

/* Calls the application, and finds out how to get at its blocks. */
static int
begin(wsgi__call *call)
{
    /* Room in front of the arguments lets bound methods be called without a
     * copy of them. */
    PyObject *args[] = { NULL, call->environ, call->start_response };
    call->result =
        PyObject_Vectorcall(call->app->callable, args + 1,
                            2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    if (!call->result)
        return -1;
    if (PyList_CheckExact(call->result) || PyTuple_CheckExact(call->result))
        return begin_gathered(call);
    switch (wsgi__file_wrapper_file(&call->app->files, call->result,
                                    &call->file)) {
    case 1:
        call->source = KERNEL;
        return make_final(call, call->file.len);
    case 0:
        return begin_iterated(call);
    }
    return -1;
}

/* ---- Steps -------------------------------------------------------------- */

static wsgi__step
next_gathered(wsgi__call *call, wsgi__call_chunk *chunk)
{
    PyObject *block;
    while ((block = item(call->result, call->at))) {
        call->at++;
        if (check_block(block) < 0)
            return WSGI__STEP_ERROR;
        if (PyBytes_GET_SIZE(block) == 0)
            continue;
        chunk->bytes = Py_NewRef(block);
        return WSGI__STEP_DATA;
    }
    return WSGI__STEP_END;
}

/* Instances of subclasses may have a destructor, which is the application's code
 * as any other: it runs here, not where the block has been sent.  Takes the
 * reference; NULL with an exception. */
static PyObject *
as_plain_bytes(PyObject *block)
{
    if (PyBytes_CheckExact(block))
        return block;
    PyObject *plain = PyBytes_FromStringAndSize(PyBytes_AS_STRING(block),
                                                PyBytes_GET_SIZE(block));
    Py_DECREF(block);
    return plain;
}

/* start_response() may be called as late as in the step that gives the first
 * block which is not empty. */
static wsgi__step
next_iterated(wsgi__call *call, wsgi__call_chunk *chunk)
{
    PyObject *block;
    while ((block = PyIter_Next(call->iterator))) {
        bool empty = PyBytes_Check(block) && PyBytes_GET_SIZE(block) == 0;
        if (!empty) {
            if (check_item(call, block) < 0 || make_final(call, -1) < 0) {
                Py_DECREF(block);
                return WSGI__STEP_ERROR;
            }
            chunk->bytes = as_plain_bytes(block);
            return chunk->bytes ? WSGI__STEP_DATA : WSGI__STEP_ERROR;
        }
        Py_DECREF(block);
    }
    if (PyErr_Occurred() || make_final(call, 0) < 0)
        return WSGI__STEP_ERROR;
    return WSGI__STEP_END;
}

static wsgi__step
next_kernel(wsgi__call *call, wsgi__call_chunk *chunk)
{
    chunk->fd = call->file.fd;
    chunk->at = call->file.at;
    chunk->len = call->file.len;
    call->source = ENDED;
    return WSGI__STEP_FILE;
}

static wsgi__step
step(wsgi__call *call, wsgi__call_chunk *chunk)
{
    if (call->source == NOTHING && begin(call) < 0)
        return WSGI__STEP_ERROR;
    switch (call->source) {
    case GATHERED:
        return next_gathered(call, chunk);
    case ITERATED:
        return next_iterated(call, chunk);
    case KERNEL:
        return next_kernel(call, chunk);
    case NOTHING:
    case ENDED:
        break;
    }
    return WSGI__STEP_END;
}

static wsgi__step
end_step(wsgi__call *call, wsgi__step made)
{
    if (made == WSGI__STEP_END || made == WSGI__STEP_ERROR) {
        call->source = ENDED;
        wsgi__start_response_end(call->start_response);
    }
    return made;
}

wsgi__step
wsgi__call_next(wsgi__call *call, wsgi__call_chunk *chunk)
{
    assert(!call->closed);
    *chunk = (wsgi__call_chunk){ .fd = -1 };
    if (call->source == GATHERED) /* nothing runs */
        return end_step(call, next_gathered(call, chunk));
    if (enter_context(call) < 0)
        return end_step(call, WSGI__STEP_ERROR);
    wsgi__step made = step(call, chunk);
    leave_context(call);
    return end_step(call, made);
}

bool
wsgi__call_is_gathered(const wsgi__call *call)
{
    return call->gathered;
}

const wsgi__response *
wsgi__call_response(const wsgi__call *call)
{
    return wsgi__start_response_get(call->start_response);
}

/* ---- The end ------------------------------------------------------------ */

static int
close_result(wsgi__call *call)
{
    if (!call->result || PyList_CheckExact(call->result) ||
        PyTuple_CheckExact(call->result))
        return 0;
    PyObject *close = wsgi__optional_attr(call->result, call->app->attr_close);
    if (!close)
        return PyErr_Occurred() ? -1 : 0;
    PyObject *result = NULL;
    if (enter_context(call) == 0) {
        result = PyObject_CallNoArgs(close);
        leave_context(call);
    }
    Py_DECREF(close);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

/* As `finally: close()` would have it: what close() raised is raised, the
 * exception before it becomes its context.  Steals the reference. */
static void
chain(PyObject *before)
{
    PyObject *raised = wsgi__py_take_raised();
    if (raised && raised != before)
        PyException_SetContext(raised, before); /* steals */
    else
        Py_DECREF(before);
    if (raised)
        wsgi__py_set_raised(raised);
}

int
wsgi__call_close(wsgi__call *call)
{
    if (call->closed)
        return 0;
    call->closed = true;
    call->source = ENDED;
    wsgi__start_response_end(call->start_response);

    PyObject *before = wsgi__py_take_raised();
    int failed = close_result(call);
    wsgi__errors_flush(call->app->errors);
    if (failed && before)
        chain(before);
    else if (before)
        wsgi__py_set_raised(before);
    return failed;
}

/* A generator that was not run to its end has its `finally` run here. */
static void
release_result(wsgi__call *call)
{
    bool entered = call->iterator && enter_context(call) == 0;
    Py_CLEAR(call->iterator);
    Py_CLEAR(call->result);
    if (entered)
        leave_context(call);
}

/* Destructors of the application run here: an exception that is set must not
 * be in their way. */
void
wsgi__call_free(wsgi__call *call)
{
    if (!call)
        return;
    PyObject *before = wsgi__py_take_raised();
    if (!call->closed && wsgi__call_close(call) < 0)
        PyErr_WriteUnraisable(call->app->callable);
    release_result(call);
    Py_CLEAR(call->environ);
    give_context(call);
    if (call->start_response)
        wsgi__start_response_end(call->start_response);
    wsgi__spares_give(&call->app->starts, call->start_response);
    if (call->input && Py_REFCNT(call->input) == 1)
        wsgi__input_close(call->input);
    wsgi__spares_give(&call->app->inputs, call->input);
    give_memory(call->app, call);
    if (before)
        wsgi__py_set_raised(before);
}
