#include "python/module.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include <wsgi/wsgi.h>

#include "python/compat.h"
#include "python/hints.h"
#include "python/text.h"

/* The text of a span as Python reads names of files: any bytes will do. */
static PyObject *
str_of(wsgi__span span)
{
    return PyUnicode_DecodeFSDefaultAndSize(span.ptr, (Py_ssize_t)span.len);
}

/* Whether `part` is name or a package that name is in. */
static bool
is_name_or_package(PyObject *name, PyObject *part)
{
    Py_ssize_t len = PyUnicode_GET_LENGTH(part);
    if (PyUnicode_Tailmatch(name, part, 0, PY_SSIZE_T_MAX, -1) != 1)
        return false;
    return PyUnicode_GET_LENGTH(name) == len ||
           PyUnicode_READ_CHAR(name, len) == '.';
}

/* Whether it says that this very module is not there, and not one that the
 * module imports in its turn: then the module's own lines are on the stack. */
static bool
is_not_found(PyObject *raised, PyObject *name)
{
    if (!PyErr_GivenExceptionMatches(raised, PyExc_ModuleNotFoundError))
        return false;
    PyObject *traceback = wsgi__py_traceback(raised);
    PyObject *missing = PyObject_GetAttrString(raised, "name");
    bool result = !traceback && missing && PyUnicode_Check(missing) &&
                  is_name_or_package(name, missing);
    PyErr_Clear();
    Py_XDECREF(missing);
    Py_XDECREF(traceback);
    return result;
}

static bool
has_char(PyObject *name, Py_UCS4 c)
{
    return PyUnicode_FindChar(name, c, 0, PyUnicode_GET_LENGTH(name), 1) >= 0;
}

static void
tell_not_found(wsgi__loading *loading, PyObject *name, PyObject *raised)
{
    wsgi__loading_tell(loading, "the module \"");
    wsgi__text_str(loading->error, name);
    wsgi__buf_puts(loading->error, "\" was not found.\n");
    wsgi__text_str(loading->error, raised);
    wsgi__hints_near_modules(loading->error, name);
    wsgi__hints_below(loading->error, name);
    if (has_char(name, '-'))
        wsgi__buf_puts(loading->error,
                       "\nNames of modules have \"_\" where names of "
                       "distributions have \"-\".");
    wsgi__hints_search_path(loading->error);
}

static int
fail_import(wsgi__loading *loading, PyObject *name)
{
    PyObject *raised = wsgi__loading_take_raised();
    if (raised && is_not_found(raised, name)) {
        tell_not_found(loading, name, raised);
        Py_DECREF(raised);
        return WSGI_ERR_APP_IMPORT;
    }
    if (raised)
        wsgi__py_set_raised(raised);
    wsgi__loading_tell_raised(loading,
                              "importing the module raised an exception.");
    return WSGI_ERR_APP_IMPORT;
}

static int
import_named(wsgi__loading *loading, PyObject *name, PyObject **module)
{
    *module = PyImport_Import(name);
    return *module ? WSGI_OK : fail_import(loading, name);
}

typedef struct source_file {
    PyObject *path, *folder, *stem; /* absolute; its folder; without .py */
    struct stat info;
} source_file;

static void
clear_source(source_file *source)
{
    Py_CLEAR(source->path);
    Py_CLEAR(source->folder);
    Py_CLEAR(source->stem);
}

/* os.path.NAME(argument) */
static PyObject *
os_path(const char *name, PyObject *argument)
{
    PyObject *module = PyImport_ImportModule("os.path");
    PyObject *result =
        module ? PyObject_CallMethod(module, name, "O", argument) : NULL;
    Py_XDECREF(module);
    return result;
}

/* The item of a pair of str; steals the pair, which may be NULL. */
static PyObject *
take_item(PyObject *pair, Py_ssize_t index)
{
    PyObject *item = pair ? PySequence_GetItem(pair, index) : NULL;
    Py_XDECREF(pair);
    return item;
}

/* "app.wsgi" keeps its suffix: a module by that name cannot be found, so it is
 * loaded from its place. */
static PyObject *
stem_of(PyObject *base)
{
    Py_ssize_t len = PyUnicode_GET_LENGTH(base);
    PyObject *suffix = PyUnicode_FromString(".py");
    Py_ssize_t is_py =
        suffix ? PyUnicode_Tailmatch(base, suffix, 0, len, 1) : -1;
    Py_XDECREF(suffix);
    if (is_py < 0)
        return NULL;
    return PyUnicode_Substring(base, 0, is_py ? len - 3 : len);
}

static int
split_path(wsgi__loading *loading, source_file *source)
{
    PyObject *given = str_of(loading->spec.module);
    PyObject *base = NULL;
    source->path = given ? os_path("abspath", given) : NULL;
    if (source->path)
        source->folder = take_item(os_path("split", source->path), 0);
    if (source->folder)
        base = take_item(os_path("split", source->path), 1);
    if (base)
        source->stem = stem_of(base);
    Py_XDECREF(base);
    Py_XDECREF(given);
    return source->stem ? WSGI_OK : wsgi__loading_fail(loading);
}

/* Why the file cannot be a module, 0 when it can. */
static int
stat_file(PyObject *path, struct stat *info)
{
    PyObject *bytes = PyUnicode_EncodeFSDefault(path);
    int why = EINVAL;
    if (bytes)
        why = stat(PyBytes_AS_STRING(bytes), info) < 0 ? errno : 0;
    if (why == 0 && S_ISDIR(info->st_mode))
        why = EISDIR;
    PyErr_Clear();
    Py_XDECREF(bytes);
    return why;
}

static bool
is_file_with_py(PyObject *path)
{
    struct stat info;
    PyObject *with = PyUnicode_FromFormat("%U.py", path);
    bool result = with && stat_file(with, &info) == 0;
    PyErr_Clear();
    Py_XDECREF(with);
    return result;
}

static int
fail_file(wsgi__loading *loading, const source_file *source, int why)
{
    wsgi__buf *out = loading->error;
    wsgi__loading_tell(loading, "there is no file to import: ");
    wsgi__text_str(out, source->path);
    wsgi__buf_printf(out, ": %s.", strerror(why));
    if (why == ENOENT)
        wsgi__hints_near_files(out, source->folder, source->path);
    if (is_file_with_py(source->path))
        wsgi__buf_puts(out, "\nThere is one with \".py\" behind it.");
    wsgi__buf_puts(out, "\nA text with a \"/\", or with \".py\" at its end, "
                        "names a file; a module of a package is written with "
                        "dots: \"package.module:callable\".");
    return WSGI_ERR_APP_IMPORT;
}

/* The folder goes first on sys.path, once. */
static int
put_first(PyObject *folder)
{
    PyObject *path = PySys_GetObject("path"); /* Borrowed. */
    if (!path || !PyList_Check(path)) {
        PyErr_SetString(PyExc_RuntimeError, "sys.path is no list");
        return -1;
    }
    if (PyList_GET_SIZE(path) > 0) {
        int same =
            PyObject_RichCompareBool(PyList_GET_ITEM(path, 0), folder, Py_EQ);
        if (same != 0)
            return same < 0 ? -1 : 0;
    }
    return PyList_Insert(path, 0, folder);
}

/* Whether the module was loaded from that file. */
static bool
is_from(PyObject *module, const source_file *source)
{
    struct stat info;
    PyObject *path = PyObject_GetAttrString(module, "__file__");
    bool result = path && PyUnicode_Check(path) &&
                  stat_file(path, &info) == 0 &&
                  info.st_dev == source->info.st_dev &&
                  info.st_ino == source->info.st_ino;
    PyErr_Clear();
    Py_XDECREF(path);
    return result;
}

/* A fresh module for the file, not run yet; *loader is what runs it. */
static PyObject *
module_of_file(PyObject *name, PyObject *path, PyObject **loader)
{
    PyObject *module = NULL, *spec = NULL;
    PyObject *machinery = PyImport_ImportModule("importlib.machinery");
    PyObject *util = PyImport_ImportModule("importlib.util");
    *loader = NULL;
    if (machinery && util)
        *loader = PyObject_CallMethod(machinery, "SourceFileLoader", "OO",
                                      name, path);
    if (*loader)
        spec =
            PyObject_CallMethod(util, "spec_from_loader", "OO", name, *loader);
    if (spec)
        module = PyObject_CallMethod(util, "module_from_spec", "O", spec);
    Py_XDECREF(spec);
    Py_XDECREF(util);
    Py_XDECREF(machinery);
    return module;
}

/* Runs it as `import` does: found under its name while it runs, and no longer
 * when it raised. */
static int
run_module(PyObject *modules, PyObject *name, PyObject *module,
           PyObject *loader)
{
    if (PyObject_SetItem(modules, name, module) < 0)
        return -1;
    PyObject *done = PyObject_CallMethod(loader, "exec_module", "O", module);
    if (done) {
        Py_DECREF(done);
        return 0;
    }
    PyObject *raised = wsgi__py_take_raised();
    if (PyObject_DelItem(modules, name) < 0)
        PyErr_Clear();
    wsgi__py_set_raised(raised);
    return -1;
}

/* Under its path as the name, which no other module has. */
static int
load_from_place(wsgi__loading *loading, const source_file *source,
                PyObject **module)
{
    PyObject *modules = PyImport_GetModuleDict(); /* Borrowed. */
    PyObject *loader = NULL;
    *module = PyImport_GetModule(source->path);
    if (*module)
        return WSGI_OK;
    if (!PyErr_Occurred())
        *module = module_of_file(source->path, source->path, &loader);
    if (*module && run_module(modules, source->path, *module, loader) < 0)
        Py_CLEAR(*module);
    Py_XDECREF(loader);
    if (*module)
        return WSGI_OK;
    wsgi__loading_tell_raised(loading,
                              "importing the file raised an exception.");
    return WSGI_ERR_APP_IMPORT;
}

/* By its stem, so that the rest of the site finds the same module.  Not if the
 * stem leads elsewhere: to a module of Python (time.py), to another site's file
 * of that name in this process, or nowhere (my.app.py, app.wsgi). */
static int
import_file(wsgi__loading *loading, const source_file *source,
            PyObject **module)
{
    *module = PyImport_GetModule(source->stem);
    if (!*module && PyErr_Occurred())
        return wsgi__loading_fail(loading);
    if (!*module && !has_char(source->stem, '.')) {
        int status = import_named(loading, source->stem, module);
        if (status < 0)
            return status;
    }
    if (*module && is_from(*module, source))
        return WSGI_OK;
    Py_CLEAR(*module);
    return load_from_place(loading, source, module);
}

static int
load_file(wsgi__loading *loading, PyObject **module)
{
    source_file source = { 0 };
    int status = split_path(loading, &source);
    int why = status == WSGI_OK ? stat_file(source.path, &source.info) : 0;
    if (why != 0)
        status = fail_file(loading, &source, why);
    if (status == WSGI_OK && put_first(source.folder) < 0)
        status = wsgi__loading_fail(loading);
    if (status == WSGI_OK)
        status = import_file(loading, &source, module);
    clear_source(&source);
    return status;
}

int
wsgi__module_load(wsgi__loading *loading, PyObject **module)
{
    if (loading->spec.is_file)
        return load_file(loading, module);
    PyObject *name = str_of(loading->spec.module);
    int status = name ? import_named(loading, name, module)
                      : wsgi__loading_fail(loading);
    Py_XDECREF(name);
    return status;
}
