#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "python/traceback.h"

#include <wsgi/wsgi.h>

#include "python/compat.h"
#include "python/text.h"

/* New reference to the list of lines, or NULL with an exception set. */
static PyObject *
formatted_lines(PyObject *raised)
{
    PyObject *lines = NULL;
    PyObject *traceback = wsgi__py_traceback(raised);
    PyObject *module = PyImport_ImportModule("traceback");
    if (module)
        lines = PyObject_CallMethod(module, "format_exception", "OOO",
                                    (PyObject *)Py_TYPE(raised), raised,
                                    traceback ? traceback : Py_None);
    Py_XDECREF(module);
    Py_XDECREF(traceback);
    return lines;
}

/* False when something raised, which is cleared, or the text has no room. */
static bool
append_formatted(wsgi__buf *out, PyObject *raised)
{
    PyObject *lines = formatted_lines(raised);
    PyObject *nothing = lines ? PyUnicode_FromString("") : NULL;
    PyObject *text = nothing ? PyUnicode_Join(nothing, lines) : NULL;
    PyObject *bytes = text ? wsgi__text_utf8(text) : NULL;
    int status = WSGI_ERR_NOMEM;
    if (bytes)
        status = wsgi__text_put(
            out, (wsgi__span){ PyBytes_AS_STRING(bytes),
                               (size_t)PyBytes_GET_SIZE(bytes) });
    PyErr_Clear();
    Py_XDECREF(bytes);
    Py_XDECREF(text);
    Py_XDECREF(nothing);
    Py_XDECREF(lines);
    return status == WSGI_OK;
}

/* The attribute as text, "?" when there is none. */
static void
append_attribute(wsgi__buf *out, PyObject *object, const char *name)
{
    PyObject *value = object ? PyObject_GetAttrString(object, name) : NULL;
    PyErr_Clear();
    if (value)
        wsgi__text_str(out, value);
    else
        wsgi__buf_puts(out, "?");
    Py_XDECREF(value);
}

/* Steals traceback; the next one as a new reference, NULL after the last. */
static PyObject *
append_frame(wsgi__buf *out, PyObject *traceback)
{
    PyObject *frame = PyObject_GetAttrString(traceback, "tb_frame");
    PyObject *code = frame ? PyObject_GetAttrString(frame, "f_code") : NULL;
    PyObject *next = PyObject_GetAttrString(traceback, "tb_next");
    PyErr_Clear();
    wsgi__buf_puts(out, "  File \"");
    append_attribute(out, code, "co_filename");
    wsgi__buf_puts(out, "\", line ");
    append_attribute(out, traceback, "tb_lineno");
    wsgi__buf_puts(out, ", in ");
    append_attribute(out, code, "co_name");
    wsgi__buf_puts(out, "\n");
    Py_XDECREF(code);
    Py_XDECREF(frame);
    Py_DECREF(traceback);
    if (next == Py_None)
        Py_CLEAR(next);
    return next;
}

/* For an interpreter that cannot import its traceback module, or not run it
 * for want of memory: where it was raised, without source lines and causes. */
static void
append_plain(wsgi__buf *out, PyObject *raised)
{
    PyObject *traceback = wsgi__py_traceback(raised);
    while (traceback)
        traceback = append_frame(out, traceback);
    wsgi__buf_puts(out, Py_TYPE(raised)->tp_name);
    wsgi__buf_puts(out, ": ");
    wsgi__text_str(out, raised);
}

void
wsgi__traceback_take(wsgi__buf *out)
{
    PyObject *raised = wsgi__py_take_raised();
    if (!raised)
        return;
    size_t before = out->len;
    if (!append_formatted(out, raised))
        append_plain(out, raised);
    while (out->len > before && out->data[out->len - 1] == '\n')
        out->len--;
    Py_DECREF(raised);
}
