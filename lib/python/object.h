/*
 * Making heap types and their objects, and the few calls for that which differ
 * from CPython 3.9 to 3.13.
 */
#ifndef WSGI_PYTHON_OBJECT_H
#define WSGI_PYTHON_OBJECT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#if PY_VERSION_HEX < 0x030A0000
static inline PyObject *
Py_NewRef(PyObject *object)
{
    Py_INCREF(object);
    return object;
}
#define Py_TPFLAGS_IMMUTABLETYPE 0
#define Py_TPFLAGS_DISALLOW_INSTANTIATION 0
#endif

/* ISO C has no conversion between function and object pointers; POSIX does,
 * and slots are void pointers. */
#define WSGI__SLOT(id, function)                                              \
    {                                                                         \
        (id), __extension__(void *)(function)                                 \
    }
#define WSGI__METHOD(function) ((PyCFunction)(void (*)(void))(function))

/* For types that only we make objects of. */
#define WSGI__FINAL_TYPE                                                      \
    (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE |                          \
     Py_TPFLAGS_DISALLOW_INSTANTIATION)

/* A heap type of our own; nobody can make objects of it from Python unless it
 * has a Py_tp_new.  New reference, or NULL with an exception set. */
static inline PyTypeObject *
wsgi__type_new(PyType_Spec *spec)
{
    PyTypeObject *type = (PyTypeObject *)PyType_FromSpec(spec);
    if (!type && !PyErr_Occurred())
        PyErr_NoMemory(); /* CPython 3.11 forgets it for the name's copy */
#if PY_VERSION_HEX < 0x030A0000
    if (type && type->tp_new == PyBaseObject_Type.tp_new)
        type->tp_new = NULL; /* what DISALLOW_INSTANTIATION does later */
#endif
    return type;
}

/* Frees an object of a heap type without GC: the object owns a reference to
 * its type. */
static inline void
wsgi__object_free(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

/* The attribute, or NULL: without an exception when there is none. */
static inline PyObject *
wsgi__optional_attr(PyObject *object, PyObject *name)
{
#if PY_VERSION_HEX >= 0x030D0000
    PyObject *value;
    PyObject_GetOptionalAttr(object, name, &value);
    return value;
#else
    PyObject *value = PyObject_GetAttr(object, name);
    if (!value && PyErr_ExceptionMatches(PyExc_AttributeError))
        PyErr_Clear();
    return value;
#endif
}

/* Makes the fields of a str readable without another call. */
static inline int
wsgi__str_ready(PyObject *str)
{
#if PY_VERSION_HEX < 0x030C0000
    return PyUnicode_READY(str);
#else
    (void)str;
    return 0;
#endif
}

/* For what several threads share.  The GIL does it all, except where there is
 * none. */
#ifdef Py_GIL_DISABLED
typedef PyMutex wsgi__lock;
#define WSGI__LOCK(lock) PyMutex_Lock(lock)
#define WSGI__UNLOCK(lock) PyMutex_Unlock(lock)
#else
typedef char wsgi__lock;
#define WSGI__LOCK(lock) ((void)(lock))
#define WSGI__UNLOCK(lock) ((void)(lock))
#endif

#endif
