#include "support/python.h"

#include <criterion/criterion.h>
#include <string.h>

static void
abort_on(PyStatus status)
{
    cr_assert_not(PyStatus_Exception(status), "no interpreter: %s",
                  status.err_msg ? status.err_msg : "unknown");
}

void
python_start(void)
{
    PyPreConfig before;
    PyPreConfig_InitIsolatedConfig(&before);
    before.allocator = PYMEM_ALLOCATOR_MALLOC;
    before.utf8_mode = 1;
    abort_on(Py_PreInitialize(&before));

    PyConfig config;
    PyConfig_InitIsolatedConfig(&config);
    config.site_import = 0;
    /* The python3 of PATH may be another installation.  From a place where
     * nothing is, the standard library is looked for under the prefix that
     * libpython was built with. */
    abort_on(PyConfig_SetString(&config, &config.program_name,
                                L"/nonexistent/python3"));
    PyStatus status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    abort_on(status);
}

void
python_stop(void)
{
    cr_expect(python_quiet(), "an exception was left set");
    cr_expect_eq(Py_FinalizeEx(), 0, "finalising failed");
}

PyObject *
python_module(const char *name, const char *source)
{
    PyObject *module = NULL;
    PyObject *code = Py_CompileString(source, name, Py_file_input);
    if (code)
        module = PyImport_ExecCodeModule(name, code);
    Py_XDECREF(code);
    if (!module)
        PyErr_Print();
    cr_assert_not_null(module, "%s does not run", name);
    return module;
}

PyObject *
python_get(PyObject *object, const char *name)
{
    Py_INCREF(object);
    while (object && name) {
        const char *dot = strchr(name, '.');
        size_t len = dot ? (size_t)(dot - name) : strlen(name);
        PyObject *key = PyUnicode_FromStringAndSize(name, (Py_ssize_t)len);
        PyObject *next = key ? PyObject_GetAttr(object, key) : NULL;
        Py_XDECREF(key);
        Py_DECREF(object);
        object = next;
        name = dot ? dot + 1 : NULL;
    }
    if (!object)
        PyErr_Print();
    cr_assert_not_null(object, "no such attribute");
    return object;
}

PyObject *
python_eval(PyObject *module, const char *expression)
{
    PyObject *names = PyModule_GetDict(module); /* Borrowed. */
    return PyRun_String(expression, Py_eval_input, names, names);
}

bool
python_true(PyObject *module, const char *expression)
{
    PyObject *value = python_eval(module, expression);
    int is_true = value ? PyObject_IsTrue(value) : -1;
    Py_XDECREF(value);
    if (is_true < 0)
        PyErr_Print();
    return is_true > 0;
}

static bool
differs(PyObject *object, const char *wanted)
{
    PySys_FormatStderr("expected %s, got %A\n", wanted,
                       object ? object : Py_None);
    return false;
}

bool
python_is_str(PyObject *object, const char *utf8)
{
    if (!object || !PyUnicode_CheckExact(object))
        return differs(object, utf8);
    Py_ssize_t len;
    const char *text = PyUnicode_AsUTF8AndSize(object, &len);
    if (!text) { /* A lone surrogate, which utf8 cannot have. */
        PyErr_Clear();
        return differs(object, utf8);
    }
    size_t wanted = strlen(utf8);
    if ((size_t)len != wanted || memcmp(text, utf8, wanted) != 0)
        return differs(object, utf8);
    return true;
}

bool
python_is_bytes(PyObject *object, const void *data, size_t len)
{
    if (!object || !PyBytes_CheckExact(object))
        return differs(object, "bytes");
    if ((size_t)PyBytes_GET_SIZE(object) == len &&
        (len == 0 || memcmp(PyBytes_AS_STRING(object), data, len) == 0))
        return true;
    PyObject *wanted = PyBytes_FromStringAndSize(data, (Py_ssize_t)len);
    PySys_FormatStderr("expected %A, got %A\n", wanted, object);
    Py_XDECREF(wanted);
    return false;
}

static bool
contains(PyObject *value, const char *part)
{
    PyObject *text = value ? PyObject_Str(value) : NULL;
    PyObject *bytes =
        text ? PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace")
             : NULL;
    bool found = bytes && strstr(PyBytes_AS_STRING(bytes), part);
    Py_XDECREF(bytes);
    Py_XDECREF(text);
    PyErr_Clear();
    return found;
}

bool
python_raised(PyObject *type, const char *part)
{
    if (!PyErr_Occurred()) {
        PySys_FormatStderr("expected %A, but nothing was raised\n", type);
        return false;
    }
    bool right_type = PyErr_ExceptionMatches(type) != 0;
    PyObject *raised, *value, *traceback;
    PyErr_Fetch(&raised, &value, &traceback);
    PyErr_NormalizeException(&raised, &value, &traceback);
    bool right = right_type && contains(value, part);
    if (!right)
        PySys_FormatStderr("expected %A with \"%s\", got %A\n", type, part,
                           value ? value : raised);
    Py_XDECREF(raised);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    return right;
}

bool
python_quiet(void)
{
    if (!PyErr_Occurred())
        return true;
    PyErr_Print();
    return false;
}

int
python_poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
    PyThreadState *state = PyEval_SaveThread();
    int ready = poll(fds, n, timeout_ms);
    PyEval_RestoreThread(state);
    return ready;
}
