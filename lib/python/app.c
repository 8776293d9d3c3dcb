#include "python/app.h"

#include "base/mem.h"
#include "python/compat.h"
#include "python/errors.h"
#include "python/input.h"
#include "python/object.h"
#include "python/start_response.h"
#include "python/state.h"

/* Steals value, which may be NULL with an exception set. */
static int
set_item(PyObject *dict, const char *key, PyObject *value)
{
    PyObject *name = value ? PyUnicode_InternFromString(key) : NULL;
    int failed = name ? PyDict_SetItem(dict, name, value) : -1;
    Py_XDECREF(name);
    Py_XDECREF(value);
    return failed;
}

static PyObject *
new_latin1(const char *text)
{
    wsgi__span span = wsgi__span_of(text);
    return PyUnicode_DecodeLatin1(span.ptr, (Py_ssize_t)span.len, NULL);
}

/* What each environ has in common. */
static PyObject *
new_base(wsgi__app *app, const wsgi__app_settings *settings)
{
    PyObject *base = PyDict_New();
    if (base &&
        set_item(base, "wsgi.version", Py_BuildValue("(ii)", 1, 0)) == 0 &&
        set_item(base, "wsgi.multithread",
                 PyBool_FromLong(settings->multithread)) == 0 &&
        set_item(base, "wsgi.multiprocess",
                 PyBool_FromLong(settings->multiprocess)) == 0 &&
        set_item(base, "wsgi.run_once", PyBool_FromLong(0)) == 0 &&
        set_item(base, "wsgi.input_terminated", PyBool_FromLong(1)) == 0 &&
        set_item(base, "wsgi.errors", Py_NewRef(app->errors)) == 0 &&
        set_item(base, "wsgi.file_wrapper",
                 Py_NewRef((PyObject *)app->files.wrapper)) == 0 &&
        set_item(base, "SERVER_SOFTWARE", new_latin1(settings->software)) == 0)
        return base;
    Py_XDECREF(base);
    return NULL;
}

static int
make_parts(wsgi__app *app, const wsgi__app_settings *settings)
{
    if (!(app->context = PyContext_CopyCurrent()))
        return -1;
    app->context_is_empty = PyObject_Size(app->context) == 0;
    if (!(app->input_type = wsgi__input_type()) ||
        !(app->errors_type = wsgi__errors_type()) ||
        !(app->start_response_type = wsgi__start_response_type()) ||
        wsgi__file_types_init(&app->files) < 0 ||
        !(app->attr_close = PyUnicode_InternFromString("close")) ||
        !(app->errors = wsgi__errors_new(app->errors_type, settings->log)))
        return -1;
    PyObject *base = new_base(app, settings);
    if (base)
        app->environ = wsgi__environ_new(base);
    Py_XDECREF(base);
    return app->environ ? 0 : -1;
}

wsgi__app *
wsgi__app_new(PyObject *callable, const wsgi__app_settings *settings)
{
    if (!PyCallable_Check(callable)) {
        PyErr_Format(PyExc_TypeError,
                     "a WSGI application is a callable, not %.200s",
                     Py_TYPE(callable)->tp_name);
        return NULL;
    }
    wsgi__app *app = wsgi__mem_zero(1, sizeof(*app));
    if (!app) {
        PyErr_NoMemory();
        return NULL;
    }
    app->callable = Py_NewRef(callable);
    app->log = settings->log;
    if (make_parts(app, settings) < 0) {
        PyObject *raised = wsgi__py_take_raised();
        wsgi__app_free(app);
        wsgi__py_set_raised(raised);
        return NULL;
    }
    return app;
}

static void
clear_spares(wsgi__spares *spares)
{
    PyObject *object;
    while ((object = wsgi__spares_take(spares)))
        Py_DECREF(object);
}

void
wsgi__app_free(wsgi__app *app)
{
    if (!app)
        return;
    if (app->errors)
        wsgi__errors_detach(app->errors);
    clear_spares(&app->inputs);
    clear_spares(&app->starts);
    clear_spares(&app->contexts);
    Py_CLEAR(app->context);
    wsgi__mem_free(app->spare_call);
    wsgi__environ_free(app->environ);
    Py_CLEAR(app->errors);
    wsgi__file_types_clear(&app->files);
    Py_CLEAR(app->attr_close);
    Py_CLEAR(app->input_type);
    Py_CLEAR(app->errors_type);
    Py_CLEAR(app->start_response_type);
    Py_CLEAR(app->callable);
    wsgi__mem_free(app);
}
