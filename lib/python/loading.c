#include "python/loading.h"

#include <string.h>

#include <wsgi/wsgi.h>

#include "base/macros.h"
#include "python/compat.h"
#include "python/text.h"
#include "python/traceback.h"

typedef struct advice {
    PyObject **type;  /* what was raised */
    const char *part; /* in its text; "" for any */
    const char *text;
} advice;

static const advice advices[] = {
    { &PyExc_SystemExit, "",
      "It ends the program while it is imported: move what does so under "
      "if __name__ == \"__main__\":" },
    { &PyExc_ImportError, "attempted relative import with no known parent",
      "A file is imported on its own, without its package: name the module "
      "instead, as \"package.module:callable\", with the folder that the "
      "package is in as the current directory." },
    { &PyExc_ModuleNotFoundError, "No module named",
      "The application was found, but what it imports was not: is it "
      "installed in this "
      "Python, or in a virtual environment that is not in use here?" },
};

static bool
fits(const advice *row, PyObject *raised)
{
    if (!PyErr_GivenExceptionMatches(raised, *row->type))
        return false;
    if (!*row->part)
        return true;
    PyObject *text = PyObject_Str(raised);
    const char *utf8 = text ? PyUnicode_AsUTF8(text) : NULL;
    bool result = utf8 && strstr(utf8, row->part);
    PyErr_Clear();
    Py_XDECREF(text);
    return result;
}

static const char *
advice_for(PyObject *raised)
{
    for (size_t i = 0; i < WSGI__COUNT(advices); i++)
        if (fits(&advices[i], raised))
            return advices[i].text;
    return NULL;
}

static bool
is_import_frame(PyTracebackObject *traceback)
{
    static const char machinery[] = "<frozen importlib";
    PyCodeObject *code = PyFrame_GetCode(traceback->tb_frame);
    const char *name = PyUnicode_AsUTF8(code->co_filename);
    bool result = name && strncmp(name, machinery, strlen(machinery)) == 0;
    PyErr_Clear();
    Py_DECREF(code);
    return result;
}

PyObject *
wsgi__loading_take_raised(void)
{
    PyObject *raised = wsgi__py_take_raised();
    PyObject *all = raised ? wsgi__py_traceback(raised) : NULL;
    PyTracebackObject *own = (PyTracebackObject *)all;
    while (own && is_import_frame(own))
        own = own->tb_next;
    if (all &&
        PyException_SetTraceback(raised, own ? (PyObject *)own : Py_None) < 0)
        PyErr_Clear();
    Py_XDECREF(all);
    return raised;
}

void
wsgi__loading_tell(wsgi__loading *loading, const char *what)
{
    wsgi__buf_puts(loading->error, "\"");
    wsgi__buf_append(loading->error, loading->spec.text.ptr,
                     loading->spec.text.len);
    wsgi__buf_puts(loading->error, "\": ");
    wsgi__buf_puts(loading->error, what);
}

void
wsgi__loading_tell_traceback(wsgi__loading *loading)
{
    wsgi__buf_puts(loading->error, "\n");
    wsgi__traceback_take(loading->error);
}

int
wsgi__loading_fail(wsgi__loading *loading)
{
    wsgi__loading_tell(loading, "Python failed on the way.");
    wsgi__loading_tell_traceback(loading);
    return WSGI_ERR_APP_IMPORT;
}

void
wsgi__loading_tell_raised(wsgi__loading *loading, const char *what)
{
    PyObject *raised = wsgi__loading_take_raised();
    const char *text = raised ? advice_for(raised) : NULL;
    wsgi__loading_tell(loading, what);
    if (raised)
        wsgi__py_set_raised(raised);
    wsgi__loading_tell_traceback(loading);
    if (text)
        wsgi__buf_printf(loading->error, "\n%s", text);
}
