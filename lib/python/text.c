#include "python/text.h"

#include <wsgi/wsgi.h>

static bool
is_break(char c)
{
    return c == '\0' || c == '\r' || c == '\v' || c == '\f';
}

int
wsgi__text_put(wsgi__buf *out, wsgi__span text)
{
    size_t before = out->len;
    while (text.len > 0) {
        size_t n = 0;
        while (n < text.len && !is_break(text.ptr[n]))
            n++;
        wsgi__span ends = { text.ptr + n, n < text.len };
        if (wsgi__buf_append(out, text.ptr, n) < 0 ||
            wsgi__buf_escape(out, ends) < 0) {
            out->len = before;
            return WSGI_ERR_NOMEM;
        }
        text.ptr += n + ends.len;
        text.len -= n + ends.len;
    }
    return WSGI_OK;
}

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
        wsgi__text_put(out, (wsgi__span){ PyBytes_AS_STRING(bytes),
                                          (size_t)PyBytes_GET_SIZE(bytes) });
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
