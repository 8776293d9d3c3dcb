/*
 * Exceptions as objects, whichever way this version of CPython keeps them (3.9
 * to 3.13).  What else differs is in object.h, and for thread states in gil.c.
 */
#ifndef WSGI_PYTHON_COMPAT_H
#define WSGI_PYTHON_COMPAT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* The exception that is set, as an instance with its traceback, and clears it.
 * New reference; NULL when none is set.  GIL held. */
static inline PyObject *
wsgi__py_take_raised(void)
{
#if PY_VERSION_HEX >= 0x030c0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *traceback;
    if (!PyErr_Occurred()) /* as nearly always */
        return NULL;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (value && traceback)
        PyException_SetTraceback(value, traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
#endif
}

/* The traceback of an exception, or NULL: one that was set to None is kept as
 * None before 3.13.  New reference.  GIL held. */
static inline PyObject *
wsgi__py_traceback(PyObject *raised)
{
    PyObject *traceback = PyException_GetTraceback(raised);
    if (traceback == Py_None)
        Py_CLEAR(traceback);
    return traceback;
}

/* Sets it again.  Steals the reference.  GIL held. */
static inline void
wsgi__py_set_raised(PyObject *raised)
{
#if PY_VERSION_HEX >= 0x030c0000
    PyErr_SetRaisedException(raised);
#else
    PyObject *type = (PyObject *)Py_TYPE(raised);
    Py_INCREF(type);
    PyErr_Restore(type, raised, wsgi__py_traceback(raised));
#endif
}

#endif
