#include "python/importer.h"

#include <string.h>

#include <wsgi/wsgi.h>

#include "base/macros.h"
#include "python/callable.h"
#include "python/compat.h"
#include "python/hints.h"
#include "python/loading.h"
#include "python/module.h"
#include "python/text.h"

/* An AttributeError that carries lines of Python comes from a __getattr__ or a
 * property: there the mistake is. */
static bool
is_plainly_missing(PyObject *raised)
{
    PyObject *traceback = wsgi__py_traceback(raised);
    Py_XDECREF(traceback);
    return !traceback &&
           PyErr_GivenExceptionMatches(raised, PyExc_AttributeError);
}

static int
fail_attribute(wsgi__loading *loading, PyObject *object, PyObject *name)
{
    PyObject *raised = wsgi__py_take_raised();
    if (raised && !is_plainly_missing(raised)) {
        wsgi__py_set_raised(raised);
        wsgi__loading_tell_raised(
            loading, "looking the attribute up raised an exception.");
        return WSGI_ERR_APP_IMPORT;
    }
    Py_XDECREF(raised);
    wsgi__loading_tell(loading, PyModule_Check(object)
                                    ? "the module has no attribute \""
                                    : "the object has no attribute \"");
    wsgi__text_str(loading->error, name);
    wsgi__buf_puts(loading->error, "\".");
    wsgi__hints_near_attributes(loading->error, object, name);
    wsgi__hints_callables(loading->error, object);
    wsgi__hints_submodules(loading->error, object);
    wsgi__hints_origin(loading->error, object);
    return WSGI_ERR_APP_MISSING;
}

/* object.name; steals object. */
static int
step(wsgi__loading *loading, PyObject **object, wsgi__span name)
{
    PyObject *owner = *object;
    PyObject *key =
        PyUnicode_DecodeFSDefaultAndSize(name.ptr, (Py_ssize_t)name.len);
    int status = WSGI_OK;
    *object = key ? PyObject_GetAttr(owner, key) : NULL;
    if (!key)
        status = wsgi__loading_fail(loading);
    else if (!*object)
        status = fail_attribute(loading, owner, key);
    Py_XDECREF(key);
    Py_DECREF(owner);
    return status;
}

static int
get_named(wsgi__loading *loading, PyObject **object)
{
    wsgi__span rest = loading->spec.attr;
    int status = WSGI_OK;
    while (status == WSGI_OK && rest.len > 0) {
        const char *dot = memchr(rest.ptr, '.', rest.len);
        size_t len = dot ? (size_t)(dot - rest.ptr) : rest.len;
        status = step(loading, object, (wsgi__span){ rest.ptr, len });
        len += dot != NULL;
        rest.ptr += len;
        rest.len -= len;
    }
    return status;
}

/* Which of the usual names the module has. */
static int
get_usual(wsgi__loading *loading, PyObject **object)
{
    static const char *const usual[] = { "application", "app" };

    for (size_t i = 0; i < WSGI__COUNT(usual); i++) {
        int has = PyObject_HasAttrString(*object, usual[i]);
        if (has)
            return step(loading, object, wsgi__span_of(usual[i]));
    }
    wsgi__loading_tell(
        loading, "the module has neither \"application\" nor \"app\": write "
                 "\"module:callable\".");
    wsgi__hints_callables(loading->error, *object);
    wsgi__hints_submodules(loading->error, *object);
    wsgi__hints_origin(loading->error, *object);
    Py_CLEAR(*object);
    return WSGI_ERR_APP_MISSING;
}

/* *object is NULL or owned by the caller, whatever the result. */
static int
load_object(wsgi__loading *loading, PyObject **object)
{
    bool is_made = loading->is_factory || loading->spec.is_call;
    int status = wsgi__module_load(loading, object);
    if (status == WSGI_OK)
        status = loading->spec.attr.len > 0 ? get_named(loading, object)
                                            : get_usual(loading, object);
    if (status == WSGI_OK && is_made)
        status = wsgi__callable_make(loading, object);
    if (status == WSGI_OK)
        status = wsgi__callable_check(loading, *object, is_made);
    return status;
}

int
wsgi__importer_load(const char *spec, bool factory, PyObject **app,
                    wsgi__buf *error)
{
    wsgi__loading loading = { .is_factory = factory, .error = error };
    *app = NULL;
    int status = wsgi__appspec_parse(spec, &loading.spec, error);
    if (status == WSGI_OK)
        status = load_object(&loading, app);
    if (status < 0)
        Py_CLEAR(*app);
    return status;
}
