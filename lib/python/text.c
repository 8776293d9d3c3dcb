#include "python/text.h"

PyObject *
wsgi__text_utf8(PyObject *str)
{
    return PyUnicode_AsEncodedString(str, "utf-8", "backslashreplace");
}

/* Steals text, which may be NULL with an exception set. */
static void
append(wsgi__buf *out, PyObject *text, PyObject *object)
{
    PyObject *bytes = text ? wsgi__text_utf8(text) : NULL;
    if (bytes)
        wsgi__buf_append(out, PyBytes_AS_STRING(bytes),
                         (size_t)PyBytes_GET_SIZE(bytes));
    else
        wsgi__buf_printf(out, "<%s>", Py_TYPE(object)->tp_name);
    PyErr_Clear();
    Py_XDECREF(bytes);
    Py_XDECREF(text);
}

void
wsgi__text_str(wsgi__buf *out, PyObject *object)
{
    append(out, PyObject_Str(object), object);
}

void
wsgi__text_repr(wsgi__buf *out, PyObject *object, Py_ssize_t max)
{
    PyObject *text = PyObject_Repr(object);
    if (!text || PyUnicode_GET_LENGTH(text) <= max) {
        append(out, text, object);
        return;
    }
    append(out, PyUnicode_Substring(text, 0, max), object);
    Py_DECREF(text);
    wsgi__buf_puts(out, "...");
}
