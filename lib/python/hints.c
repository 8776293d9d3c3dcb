#include "python/hints.h"

#include "python/text.h"

#define MAX_NAMES 20

/* module.function(...); NULL with the exception set. */
static PyObject *
call(const char *module, const char *function, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    PyObject *tuple = Py_VaBuildValue(format, args);
    va_end(args);
    PyObject *owner = tuple ? PyImport_ImportModule(module) : NULL;
    PyObject *callable =
        owner ? PyObject_GetAttrString(owner, function) : NULL;
    PyObject *result = callable ? PyObject_CallObject(callable, tuple) : NULL;
    Py_XDECREF(callable);
    Py_XDECREF(owner);
    Py_XDECREF(tuple);
    return result;
}

/* "a", "b" and so on.  list is a list of str. */
static void
append_names(wsgi__buf *out, PyObject *list, const char *before)
{
    Py_ssize_t n = PyList_GET_SIZE(list);
    for (Py_ssize_t i = 0; i < n && i < MAX_NAMES; i++) {
        wsgi__buf_puts(out, i == 0 ? before : ", ");
        wsgi__text_str(out, PyList_GET_ITEM(list, i));
    }
    if (n > MAX_NAMES)
        wsgi__buf_puts(out, ", ...");
}

/* Steals names, a list of str, or NULL with an exception set. */
static void
append_near(wsgi__buf *out, PyObject *name, PyObject *names)
{
    PyObject *near =
        names ? call("difflib", "get_close_matches", "(OO)", name, names)
              : NULL;
    if (near && PyList_Check(near) && PyList_GET_SIZE(near) > 0) {
        append_names(out, near, "\nDid you mean ");
        wsgi__buf_puts(out, "?");
    }
    PyErr_Clear();
    Py_XDECREF(near);
    Py_XDECREF(names);
}

/* Appends prefix + info.name to the list. */
static int
add_module(PyObject *list, PyObject *prefix, PyObject *info)
{
    PyObject *name = PyObject_GetAttrString(info, "name");
    PyObject *full = name ? PyUnicode_Concat(prefix, name) : NULL;
    int result = full ? PyList_Append(list, full) : -1;
    Py_XDECREF(full);
    Py_XDECREF(name);
    return result;
}

/* The modules in the folders, each with the prefix before its name.  New
 * reference. */
static PyObject *
modules_in(PyObject *folders, PyObject *prefix)
{
    PyObject *list = PyList_New(0);
    PyObject *found =
        list ? call("pkgutil", "iter_modules", "(O)", folders) : NULL;
    PyObject *info;
    while (found && (info = PyIter_Next(found)) != NULL) {
        int result = add_module(list, prefix, info);
        Py_DECREF(info);
        if (result < 0)
            break;
    }
    Py_XDECREF(found);
    if (PyErr_Occurred())
        Py_CLEAR(list);
    return list;
}

static PyObject *
current_folder(void)
{
    return call("os", "getcwd", "()");
}

/* What stands before the last dot is a package that was imported: its folders,
 * and the prefix of what is in there.  NULL and NULL when there is none. */
static void
package_of(PyObject *name, PyObject **folders, PyObject **prefix)
{
    Py_ssize_t len = PyUnicode_GET_LENGTH(name);
    Py_ssize_t dot = PyUnicode_FindChar(name, '.', 0, len, -1);
    PyObject *package = dot > 0 ? PyUnicode_Substring(name, 0, dot) : NULL;
    PyObject *module = package ? PyImport_GetModule(package) : NULL;
    *folders = module ? PyObject_GetAttrString(module, "__path__") : NULL;
    *prefix = *folders ? PyUnicode_Substring(name, 0, dot + 1) : NULL;
    Py_XDECREF(module);
    Py_XDECREF(package);
    PyErr_Clear();
}

static PyObject *
first_part(PyObject *name)
{
    Py_ssize_t len = PyUnicode_GET_LENGTH(name);
    Py_ssize_t dot = PyUnicode_FindChar(name, '.', 0, len, 1);
    return PyUnicode_Substring(name, 0, dot < 0 ? len : dot);
}

/* The module `part` of name is there: a dot is easily written for the colon. */
static void
append_there(wsgi__buf *out, PyObject *name, PyObject *part)
{
    Py_ssize_t len = PyUnicode_GET_LENGTH(part);
    PyObject *rest =
        PyUnicode_Substring(name, len + 1, PyUnicode_GET_LENGTH(name));
    wsgi__buf_puts(out, "\nThere is a \"");
    wsgi__text_str(out, part);
    wsgi__buf_puts(out, "\" in the current directory");
    if (rest && PyUnicode_GET_LENGTH(rest) > 0) {
        wsgi__buf_puts(out, ": did you mean \"");
        wsgi__text_str(out, part);
        wsgi__buf_puts(out, ":");
        wsgi__text_str(out, rest);
        wsgi__buf_puts(out, "\"?");
    } else {
        wsgi__buf_puts(out, ".");
    }
    PyErr_Clear();
    Py_XDECREF(rest);
}

/* Steals names, which may be NULL with an exception set. */
static void
append_near_modules(wsgi__buf *out, PyObject *name, PyObject *part,
                    PyObject *names)
{
    int is_there = names ? PySequence_Contains(names, part) : 0;
    if (is_there > 0) {
        append_there(out, name, part);
        Py_DECREF(names);
    } else {
        append_near(out, part, names);
    }
}

void
wsgi__hints_near_modules(wsgi__buf *out, PyObject *name)
{
    PyObject *folders, *prefix, *part = NULL;
    package_of(name, &folders, &prefix);
    if (folders && prefix) {
        append_near(out, name, modules_in(folders, prefix));
    } else {
        part = first_part(name);
        Py_XSETREF(folders, Py_BuildValue("[N]", current_folder()));
        Py_XSETREF(prefix, PyUnicode_FromString(""));
        if (part && folders && prefix)
            append_near_modules(out, name, part, modules_in(folders, prefix));
    }
    PyErr_Clear();
    Py_XDECREF(part);
    Py_XDECREF(folders);
    Py_XDECREF(prefix);
}

/* The paths like "FOLDER/" + path + suffix; NULL with an exception set. */
static PyObject *
paths_below(PyObject *path, const char *suffix)
{
    PyObject *escaped = call("glob", "escape", "(O)", path);
    PyObject *pattern =
        escaped ? PyUnicode_FromFormat("*/%U%s", escaped, suffix) : NULL;
    PyObject *found = pattern ? call("glob", "glob", "(O)", pattern) : NULL;
    Py_XDECREF(pattern);
    Py_XDECREF(escaped);
    return found;
}

/* path: "backend/shop.py" */
static void
append_below(wsgi__buf *out, PyObject *path)
{
    Py_ssize_t len = PyUnicode_GET_LENGTH(path);
    Py_ssize_t slash = PyUnicode_FindChar(path, '/', 0, len, 1);
    PyObject *below = PyUnicode_Substring(path, 0, slash < 0 ? len : slash);
    if (below) {
        wsgi__buf_puts(out, "\nThere is \"");
        wsgi__text_str(out, path);
        wsgi__buf_puts(out, "\": start in its folder (wsgid --chdir ");
        wsgi__text_str(out, below);
        wsgi__buf_puts(out, "), or put that on sys.path (--pythonpath ");
        wsgi__text_str(out, below);
        wsgi__buf_puts(out, ").");
    }
    PyErr_Clear();
    Py_XDECREF(below);
}

void
wsgi__hints_below(wsgi__buf *out, PyObject *name)
{
    static const char *const suffixes[] = { ".py", "/__init__.py" };
    PyObject *path = PyObject_CallMethod(name, "replace", "ss", ".", "/");

    for (size_t i = 0; path && i < sizeof suffixes / sizeof *suffixes; i++) {
        PyObject *found = paths_below(path, suffixes[i]);
        bool any = found && PyList_Check(found) && PyList_GET_SIZE(found) > 0;
        if (any)
            append_below(out, PyList_GET_ITEM(found, 0));
        Py_XDECREF(found);
        if (any)
            break;
    }
    PyErr_Clear();
    Py_XDECREF(path);
}

void
wsgi__hints_near_files(wsgi__buf *out, PyObject *folder, PyObject *path)
{
    PyObject *base = call("os.path", "basename", "(O)", path);
    if (base)
        append_near(out, base, call("os", "listdir", "(O)", folder));
    PyErr_Clear();
    Py_XDECREF(base);
}

/* "" and "." stand for the current directory. */
static bool
is_on_path(PyObject *path, PyObject *folder)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(path); i++) {
        PyObject *entry = PyList_GET_ITEM(path, i); /* Borrowed. */
        if (!PyUnicode_Check(entry))
            continue;
        if (PyUnicode_GET_LENGTH(entry) == 0 ||
            PyUnicode_CompareWithASCIIString(entry, ".") == 0 ||
            PyUnicode_Compare(entry, folder) == 0)
            return true;
    }
    return false;
}

static void
append_path(wsgi__buf *out, PyObject *path, PyObject *folder)
{
    wsgi__buf_puts(out, "\nsys.path:");
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(path); i++) {
        wsgi__buf_puts(out, "\n  ");
        wsgi__text_str(out, PyList_GET_ITEM(path, i));
    }
    if (!is_on_path(path, folder))
        wsgi__buf_puts(out, "\nThe current directory is not on sys.path: put "
                            "it there with PYTHONPATH, or with `path` of "
                            "wsgi_python_config.");
}

void
wsgi__hints_search_path(wsgi__buf *out)
{
    PyObject *path = PySys_GetObject("path"); /* Borrowed. */
    PyObject *folder = current_folder();
    if (folder) {
        wsgi__buf_puts(out, "\nCurrent directory: ");
        wsgi__text_str(out, folder);
    }
    if (folder && path && PyList_Check(path)) {
        Py_INCREF(path);
        append_path(out, path, folder);
        Py_DECREF(path);
    }
    PyErr_Clear();
    Py_XDECREF(folder);
}

/* "a:b.c" where a.b is a module that nobody has imported. */
static void
append_submodule(wsgi__buf *out, PyObject *object, PyObject *name)
{
    const char *package =
        PyModule_Check(object) ? PyModule_GetName(object) : NULL;
    PyObject *full =
        package ? PyUnicode_FromFormat("%s.%U", package, name) : NULL;
    PyObject *found =
        full ? call("importlib.util", "find_spec", "(O)", full) : NULL;
    if (found && found != Py_None) {
        wsgi__buf_puts(out, "\nThere is a module of that name: write \"");
        wsgi__text_str(out, full);
        wsgi__buf_puts(out, ":...\".");
    }
    PyErr_Clear();
    Py_XDECREF(found);
    Py_XDECREF(full);
}

void
wsgi__hints_near_attributes(wsgi__buf *out, PyObject *object, PyObject *name)
{
    append_near(out, name, PyObject_Dir(object));
    append_submodule(out, object, name);
}

/* Whether the current directory has another file of that name. */
static bool
hides_another(PyObject *file)
{
    PyObject *base = call("os.path", "basename", "(O)", file);
    PyObject *same =
        base ? call("os.path", "samefile", "(OO)", base, file) : NULL;
    bool result = same == Py_False; /* NULL when there is none */
    PyErr_Clear();
    Py_XDECREF(same);
    Py_XDECREF(base);
    return result;
}

void
wsgi__hints_origin(wsgi__buf *out, PyObject *module)
{
    PyObject *file = PyModule_Check(module)
                         ? PyObject_GetAttrString(module, "__file__")
                         : NULL;
    if (file && PyUnicode_Check(file)) {
        wsgi__buf_puts(out, "\nIt was imported from ");
        wsgi__text_str(out, file);
        wsgi__buf_puts(out, hides_another(file)
                                ? ", which hides the one in the current "
                                  "directory: give yours another name."
                                : ".");
    }
    PyErr_Clear();
    Py_XDECREF(file);
}

void
wsgi__hints_submodules(wsgi__buf *out, PyObject *module)
{
    const char *name =
        PyModule_Check(module) ? PyModule_GetName(module) : NULL;
    PyObject *folders =
        name ? PyObject_GetAttrString(module, "__path__") : NULL;
    PyObject *prefix = folders ? PyUnicode_FromFormat("%s.", name) : NULL;
    PyObject *list = prefix ? modules_in(folders, prefix) : NULL;
    if (list && PyList_GET_SIZE(list) > 0) {
        append_names(out, list, "\nModules of this package: ");
        wsgi__buf_puts(out, ".");
    }
    PyErr_Clear();
    Py_XDECREF(list);
    Py_XDECREF(prefix);
    Py_XDECREF(folders);
}

/* 1, 0, or -1 with an exception set. */
static int
is_public_callable(PyObject *object, PyObject *name)
{
    if (!PyUnicode_Check(name) || PyUnicode_GET_LENGTH(name) == 0 ||
        PyUnicode_READ_CHAR(name, 0) == '_')
        return 0;
    PyObject *value = PyObject_GetAttr(object, name);
    int result = value ? PyCallable_Check(value) : -1;
    Py_XDECREF(value);
    return result;
}

void
wsgi__hints_callables(wsgi__buf *out, PyObject *object)
{
    PyObject *names = PyObject_Dir(object); /* Sorted. */
    PyObject *list = names ? PyList_New(0) : NULL;
    for (Py_ssize_t i = 0; list && i < PyList_GET_SIZE(names); i++) {
        PyObject *name = PyList_GET_ITEM(names, i); /* Borrowed. */
        if (is_public_callable(object, name) > 0 &&
            PyList_Append(list, name) < 0)
            Py_CLEAR(list);
        PyErr_Clear();
    }
    if (list && PyList_GET_SIZE(list) > 0) {
        append_names(out, list, "\nIts callables: ");
        wsgi__buf_puts(out, ".");
    }
    PyErr_Clear();
    Py_XDECREF(list);
    Py_XDECREF(names);
}
