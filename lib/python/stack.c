#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "python/stack.h"

#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

#include <wsgi/wsgi.h>

#include "python/text.h"

/* ---- With the GIL ------------------------------------------------------- */

/* New reference to the frame, or NULL without an exception. */
static PyObject *
frame_of(unsigned long thread)
{
    PyObject *frame = NULL;
    PyObject *frames = PySys_GetObject("_current_frames"); /* Borrowed. */
    PyObject *all = frames ? PyObject_CallNoArgs(frames) : NULL;
    PyObject *key = all ? PyLong_FromUnsignedLong(thread) : NULL;
    if (key && PyDict_Check(all)) {
        frame = PyDict_GetItemWithError(all, key); /* Borrowed from all. */
        Py_XINCREF(frame);
    }
    Py_XDECREF(key);
    Py_XDECREF(all);
    PyErr_Clear();
    return frame;
}

static bool
append_lines(wsgi__buf *out, PyObject *lines)
{
    bool done = false;
    PyObject *nothing = PyUnicode_FromString("");
    PyObject *text = nothing ? PyUnicode_Join(nothing, lines) : NULL;
    PyObject *bytes = text ? wsgi__text_utf8(text) : NULL;
    if (bytes) {
        wsgi__span span = { PyBytes_AS_STRING(bytes),
                            (size_t)PyBytes_GET_SIZE(bytes) };
        while (span.len > 0 && span.ptr[span.len - 1] == '\n')
            span.len--;
        done = wsgi__text_put(out, span) == WSGI_OK;
    }
    Py_XDECREF(bytes);
    Py_XDECREF(text);
    Py_XDECREF(nothing);
    return done;
}

bool
wsgi__stack_of(unsigned long thread, wsgi__buf *out)
{
    PyObject *frame = frame_of(thread);
    if (!frame)
        return false;
    PyObject *module = PyImport_ImportModule("traceback");
    PyObject *lines =
        module ? PyObject_CallMethod(module, "format_stack", "O", frame)
               : NULL;
    bool done = lines && append_lines(out, lines);
    Py_XDECREF(lines);
    Py_XDECREF(module);
    Py_DECREF(frame);
    PyErr_Clear();
    return done;
}

/* New reference: a subclass of SystemExit, which frameworks let pass as they
 * let pass that of other servers.  Made each time: it is seldom needed. */
static PyObject *
timeout_type(const char *message)
{
    PyObject *dict = PyDict_New();
    PyObject *text = dict ? PyUnicode_FromString(message) : NULL;
    PyObject *type = NULL;
    if (text && PyDict_SetItemString(dict, "__doc__", text) == 0)
        type = PyErr_NewException("libwsgi.RequestTimeout", PyExc_SystemExit,
                                  dict);
    Py_XDECREF(text);
    Py_XDECREF(dict);
    return type;
}

bool
wsgi__stack_raise(unsigned long thread, const char *message)
{
    PyObject *type = timeout_type(message);
    int n = type ? PyThreadState_SetAsyncExc(thread, type) : 0;
    Py_XDECREF(type);
    PyErr_Clear();
    return n == 1;
}

/* ---- Without it --------------------------------------------------------- */

typedef const char *(*dump_threads)(int fd, PyInterpreterState *interp,
                                    PyThreadState *current);

static void
append_file(wsgi__buf *out, int fd)
{
    char piece[4096];
    ssize_t n;
    off_t at = 0;
    while ((n = pread(fd, piece, sizeof(piece), at)) > 0) {
        if (wsgi__buf_append(out, piece, (size_t)n) < 0)
            return;
        at += n;
    }
    while (out->len > 0 && out->data[out->len - 1] == '\n')
        out->len--;
}

/* What faulthandler does: it is meant for a process in any state. */
bool
wsgi__stack_of_all(wsgi__buf *out)
{
    union {
        void *object;
        dump_threads call;
    } dump = { dlsym(RTLD_DEFAULT, "_Py_DumpTracebackThreads") };
    int fd = dump.object ? memfd_create("stacks", MFD_CLOEXEC) : -1;
    if (fd < 0)
        return false;
    bool done = !dump.call(fd, PyInterpreterState_Main(), NULL);
    append_file(out, fd);
    close(fd);
    return done;
}
