#include <wsgi/python.h>

#include "interp.h"

#include <stdarg.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "path.h"

const char *
interp_version(void)
{
    static char version[32];

    snprintf(version, sizeof(version), "%.*s",
             (int)strcspn(Py_GetVersion(), " "), Py_GetVersion());
    return version;
}

/* As gunicorn: the entries of --pythonpath, then the current directory.
 * Absolute, because applications change it.  NULL-terminated; NULL when out of
 * memory.  `words` is cut up. */
static char **
make_path(char *words)
{
    size_t n = 0, room = strlen(words) + 3;
    char **path = calloc(room, sizeof(char *));

    if (!path)
        return NULL;
    for (char *word; (word = strsep(&words, ",:"));)
        if (*word && (path[n] = path_absolute(word)))
            n++;
    path[n] = path_absolute(".");
    return path;
}

static void
free_path(char **path)
{
    for (size_t i = 0; path && path[i]; i++)
        free(path[i]);
    free(path);
}

bool
interp_start(const args *options, char *const *argv, text *error)
{
    wsgi_python_config config = WSGI_PYTHON_CONFIG_INIT;
    char why[1024] = "out of memory";
    char *words = strdup(options->pythonpath ? options->pythonpath : "");
    char **path = words ? make_path(words) : NULL;
    int status = WSGI_ERR_NOMEM;

    if (path) {
        config.venv = options->venv;
        config.path = (const char *const *)path;
        config.argv = (const char *const *)argv;
        status = wsgi_python_init(&config, why, sizeof(why));
    }
    if (status < 0)
        text_puts(error, why);
    free_path(path);
    free(words);
    return status >= 0;
}

/* ---- Files -------------------------------------------------------------- */

/* Borrowed from the arguments of these two events; NULL for any other.  A module
 * that is there as bytecode is only executed, one with a mistake only
 * compiled. */
static PyObject *
file_of_event(const char *event, PyObject *arguments)
{
    if (strcmp(event, "compile") == 0 && PyTuple_GET_SIZE(arguments) >= 2)
        return PyTuple_GET_ITEM(arguments, 1);
    if (strcmp(event, "exec") != 0 || PyTuple_GET_SIZE(arguments) < 1)
        return NULL;
    PyObject *code = PyTuple_GET_ITEM(arguments, 0);
    return PyCode_Check(code) ? ((PyCodeObject *)code)->co_filename : NULL;
}

/* Whole or not at all: a pipe takes so much at once. */
static void
write_name(int pipe, const char *name)
{
    char *path = path_absolute(name);
    size_t size = path ? strlen(path) + 1 : 0;
    ssize_t ignored = 0;

    if (size > 0 && size <= PIPE_BUF)
        ignored = write(pipe, path, size);
    (void)ignored; /* the supervisor is gone, and so is the worker soon */
    free(path);
}

/* "<string>" and "<frozen os>" are no files. */
static int
on_audit(const char *event, PyObject *arguments, void *user)
{
    PyObject *file = arguments ? file_of_event(event, arguments) : NULL;
    const char *name =
        file && PyUnicode_Check(file) ? PyUnicode_AsUTF8(file) : NULL;

    if (file && PyUnicode_Check(file) && !name)
        PyErr_Clear();
    if (name && *name && *name != '<')
        write_name((int)(intptr_t)user, name);
    return 0;
}

void
interp_name_files(int pipe)
{
    /* Fails where another hook forbids it, and then nothing is named. */
    if (PySys_AddAuditHook(on_audit, (void *)(intptr_t)pipe) < 0)
        PyErr_Clear();
}

void
interp_stop(void)
{
    wsgi_python_fini();
}

/* A new reference to what module.name(...) returns, or NULL without
 * exception. */
static PyObject *
call(const char *module, const char *name, const char *format, ...)
{
    PyObject *found = PyImport_ImportModule(module);
    PyObject *callable = found ? PyObject_GetAttrString(found, name) : NULL;
    PyObject *result = NULL;
    va_list values;

    va_start(values, format);
    PyObject *tuple = callable ? Py_VaBuildValue(format, values) : NULL;
    va_end(values);
    if (tuple)
        result = PyObject_CallObject(callable, tuple);
    Py_XDECREF(tuple);
    Py_XDECREF(callable);
    Py_XDECREF(found);
    PyErr_Clear();
    return result;
}

void
interp_watch_crashes(int fd)
{
    PyGILState_STATE gil = PyGILState_Ensure();
    Py_XDECREF(call("faulthandler", "enable", "(i)", fd));
    PyGILState_Release(gil);
}

static void
put_name(text *out, PyObject *thread)
{
    PyObject *name = PyObject_GetAttrString(thread, "name");
    const char *utf8 =
        name && PyUnicode_Check(name) ? PyUnicode_AsUTF8(name) : NULL;

    text_puts(out, out->len ? ", " : "");
    text_escape(out, utf8 ? utf8 : "?", utf8 ? strlen(utf8) : 1);
    Py_XDECREF(name);
    PyErr_Clear();
}

static void
put_threads(text *out)
{
    PyObject *threads = call("threading", "enumerate", "()");
    PyObject *self = call("threading", "current_thread", "()");
    Py_ssize_t n = threads && PyList_Check(threads) ? PyList_Size(threads) : 0;

    for (Py_ssize_t i = 0; i < n; i++)
        if (PyList_GetItem(threads, i) != self)
            put_name(out, PyList_GetItem(threads, i));
    Py_XDECREF(self);
    Py_XDECREF(threads);
}

static void
flush(const char *name)
{
    /* Borrowed from sys; None where the program has no such stream. */
    PyObject *file = PySys_GetObject(name);
    PyObject *result = file && file != Py_None
                           ? PyObject_CallMethod(file, "flush", NULL)
                           : NULL;

    Py_XDECREF(result);
    PyErr_Clear();
}

void
interp_freeze(text *threads)
{
    PyGILState_STATE gil = PyGILState_Ensure();
    put_threads(threads);
    flush("stdout");
    flush("stderr");
    Py_XDECREF(call("gc", "collect", "()"));
    Py_XDECREF(call("gc", "freeze", "()"));
    PyGILState_Release(gil);
}

void
interp_before_fork(void)
{
    wsgi_python_before_fork();
}

void
interp_after_fork(bool in_child)
{
    if (in_child)
        wsgi_python_after_fork_child();
    else
        wsgi_python_after_fork_parent();
}

/* The module's name in sys.modules: "site" of "site:app", "wsgi" of
 * "path/wsgi.py:app". */
static void
module_name(const char *spec, char *name, size_t size)
{
    size_t len = strcspn(spec, ":");
    const char *slash = memrchr(spec, '/', len);

    if (slash) {
        len -= (size_t)(slash + 1 - spec);
        spec = slash + 1;
    }
    if (len > 3 && memcmp(spec + len - 3, ".py", 3) == 0)
        len -= 3;
    snprintf(name, size, "%.*s", (int)len, spec);
}

/* A new reference to sys.modules[name].__file__, or NULL without exception. */
static PyObject *
module_file(const char *name)
{
    /* Borrowed from sys. */
    PyObject *modules = PySys_GetObject("modules");
    PyObject *module = modules ? PyMapping_GetItemString(modules, name) : NULL;
    PyObject *file =
        module ? PyObject_GetAttrString(module, "__file__") : NULL;

    Py_XDECREF(module);
    PyErr_Clear();
    return file;
}

static void
print_line(FILE *out, const char *label, PyObject *value)
{
    const char *utf8 =
        value && PyUnicode_Check(value) ? PyUnicode_AsUTF8(value) : NULL;

    PyErr_Clear();
    if (utf8)
        fprintf(out, "  %s: %s\n", label, utf8);
}

void
interp_describe(FILE *out, const char *spec)
{
    char name[256];
    PyGILState_STATE gil = PyGILState_Ensure();

    module_name(spec, name, sizeof(name));
    PyObject *file = module_file(name);
    fprintf(out, "%s: imported, and callable\n", spec);
    print_line(out, "file", file);
    print_line(out, "sys.prefix", PySys_GetObject("prefix"));
    fprintf(out, "  Python: %s\n", interp_version());
    Py_XDECREF(file);
    PyGILState_Release(gil);
}
