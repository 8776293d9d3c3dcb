/*
 * What differs between the versions of CPython, 3.9 to 3.13, in one place.
 */
#ifndef WSGI_PYTHON_COMPAT_H
#define WSGI_PYTHON_COMPAT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>

/* The exception that is set, as an instance with its traceback, and clears it.
 * New reference; NULL when none is set.  GIL held. */
static inline PyObject *
wsgi__py_take_raised(void)
{
#if PY_VERSION_HEX >= 0x030c0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *traceback;
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

/* Whether the calling thread has a thread state attached.  GIL not needed;
 * Python is initialised. */
static inline bool
wsgi__py_is_attached(void)
{
#if PY_VERSION_HEX >= 0x030d0000
    return PyThreadState_GetUnchecked() != NULL;
#elif PY_VERSION_HEX >= 0x030c0000
    return _PyThreadState_UncheckedGet() != NULL;
#else
    /* Before 3.12 there is one current state for the whole process, so it may
     * be another thread's: which may be freed at any moment, hence must not be
     * looked into while comparing pointers is enough. */
    PyThreadState *current = _PyThreadState_UncheckedGet();
    PyThreadState *mine = PyGILState_GetThisThreadState();
    if (!current || !mine || current == mine)
        return current && mine;
    /* Only a sub-interpreter gives a thread a second state.  They are put at
     * the head of the list. */
    if (PyInterpreterState_Head() == PyInterpreterState_Main())
        return false;
    return current->thread_id == PyThread_get_thread_ident();
#endif
}

#endif
