#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "python/child.h"

#include <unistd.h>

#include "python/compat.h"

int
wsgi__child_status(void)
{
    if (!PyErr_ExceptionMatches(PyExc_SystemExit))
        return -1;
    PyObject *raised = wsgi__py_take_raised();
    PyObject *code = PyObject_GetAttrString(raised, "code");
    int status = -1;
    if (code == Py_None)
        status = 0;
    else if (code && PyLong_Check(code)) /* the kernel keeps eight bits */
        status = (int)(PyLong_AsUnsignedLongMask(code) & 0xff);
    PyErr_Clear();
    Py_XDECREF(code);
    if (status < 0)
        wsgi__py_set_raised(raised);
    else
        Py_DECREF(raised);
    return status;
}

static void
flush(const char *name)
{
    PyObject *stream = PySys_GetObject(name); /* Borrowed. */
    Py_XINCREF(stream);
    if (stream && stream != Py_None)
        Py_XDECREF(PyObject_CallMethod(stream, "flush", NULL));
    PyErr_Clear();
    Py_XDECREF(stream);
}

_Noreturn void
wsgi__child_exit(int status)
{
    flush("stdout");
    flush("stderr");
    _exit(status);
}
