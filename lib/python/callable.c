#include "python/callable.h"

#include <wsgi/wsgi.h>

#include "python/hints.h"
#include "python/text.h"

#define MAX_REPR 200

static void
tell_object(wsgi__loading *loading, PyObject *object)
{
    wsgi__buf_printf(loading->error,
                     "\nIt is of type \"%s\": ", Py_TYPE(object)->tp_name);
    wsgi__text_repr(loading->error, object, MAX_REPR);
}

static int
fail_type(wsgi__loading *loading, PyObject *object, bool was_made)
{
    wsgi__loading_tell(loading,
                       was_made ? "what the factory returned cannot be called."
                                : "the object cannot be called.");
    tell_object(loading, object);
    if (was_made && object == Py_None)
        wsgi__buf_puts(loading->error,
                       "\nDoes the factory end with a return of "
                       "the application?");
    if (PyModule_Check(object)) {
        wsgi__buf_puts(loading->error, "\nA module is no application: write "
                                       "\"package.module:callable\".");
        wsgi__hints_callables(loading->error, object);
    }
    return WSGI_ERR_APP_TYPE;
}

/* The Python function that runs when object is called, and how many of its
 * arguments are bound.  New reference; NULL when it is not known for sure, as
 * with classes, C functions and proxies. */
static PyObject *
function_of(PyObject *object, int *n_bound)
{
    PyObject *call = NULL, *function = NULL;
    *n_bound = !PyFunction_Check(object);
    if (PyFunction_Check(object))
        function = object;
    else if (PyMethod_Check(object))
        function = PyMethod_GET_FUNCTION(object);
    else if (!PyType_Check(object))
        call = PyObject_GetAttrString(object, "__call__");
    PyErr_Clear();
    if (call && PyMethod_Check(call) && PyMethod_GET_SELF(call) == object)
        function = PyMethod_GET_FUNCTION(call);
    if (function && !PyFunction_Check(function))
        function = NULL;
    Py_XINCREF(function);
    Py_XDECREF(call);
    return function;
}

typedef struct signature {
    int least, most; /* positional arguments; most -1 for any number */
    bool is_async;
} signature;

static Py_ssize_t
n_defaults(PyObject *function)
{
    PyObject *defaults = PyFunction_GetDefaults(function); /* Borrowed. */
    return defaults && PyTuple_Check(defaults) ? PyTuple_GET_SIZE(defaults)
                                               : 0;
}

static signature
signature_of(PyObject *function, int n_bound)
{
    PyCodeObject *code = (PyCodeObject *)PyFunction_GetCode(function);
    signature result;
    result.is_async =
        (code->co_flags & (CO_COROUTINE | CO_ASYNC_GENERATOR)) != 0;
    result.most = code->co_argcount - n_bound;
    result.least = result.most - (int)n_defaults(function);
    if (code->co_flags & CO_VARARGS)
        result.most = -1;
    return result;
}

static int
refuse_signature(wsgi__loading *loading, PyObject *object, signature found)
{
    if (found.is_async) {
        wsgi__loading_tell(
            loading,
            "this is an async callable, such as ASGI has; a WSGI "
            "application is called with (environ, start_response) and "
            "returns an iterable.");
        tell_object(loading, object);
        wsgi__buf_puts(loading->error,
                       "\nServe it with an ASGI server, or wrap "
                       "it (a2wsgi.ASGIMiddleware).");
        return WSGI_ERR_APP_TYPE;
    }
    wsgi__loading_tell(
        loading, "a WSGI application is called with two arguments (environ, "
                 "start_response), which this does not take.");
    tell_object(loading, object);
    if (found.least <= 0 && !loading->spec.is_call && !loading->is_factory)
        wsgi__buf_puts(loading->error,
                       "\nIf it makes the application, add \"()\" or set the "
                       "option factory (--factory).");
    return WSGI_ERR_APP_TYPE;
}

int
wsgi__callable_check(wsgi__loading *loading, PyObject *object, bool was_made)
{
    if (!PyCallable_Check(object))
        return fail_type(loading, object, was_made);
    int n_bound;
    PyObject *function = function_of(object, &n_bound);
    if (!function)
        return WSGI_OK;
    signature found = signature_of(function, n_bound);
    Py_DECREF(function);
    bool takes_two = found.least <= 2 && (found.most < 0 || found.most >= 2);
    if (takes_two && !found.is_async)
        return WSGI_OK;
    return refuse_signature(loading, object, found);
}

int
wsgi__callable_make(wsgi__loading *loading, PyObject **object)
{
    PyObject *factory = *object;
    if (!PyCallable_Check(factory))
        return fail_type(loading, factory, false);
    *object = PyObject_CallNoArgs(factory);
    if (!*object) {
        wsgi__loading_tell_raised(
            loading, "calling the factory, without arguments, raised an "
                     "exception.");
        Py_DECREF(factory);
        return WSGI_ERR_APP_IMPORT;
    }
    Py_DECREF(factory);
    return WSGI_OK;
}
