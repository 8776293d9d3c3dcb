#include <wsgi/python.h>

#include "interp.h"

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

void
interp_stop(void)
{
    wsgi_python_fini();
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
