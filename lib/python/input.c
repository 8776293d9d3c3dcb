#include "python/input.h"

#include <errno.h>
#include <structmember.h>

#include "base/mem.h"
#include "python/gil.h"
#include "python/object.h"

/* A file is looked through in pieces of this size for line ends. */
#define WINDOW (64 * 1024)

typedef struct input {
    PyObject_HEAD wsgi__body body;
    int64_t at;
    char *window; /* part of a file, for readline(); made when needed */
    int64_t window_at;
    size_t window_len;
    int busy; /* reads under way that have given back the GIL */
    bool closed;
} input;

/* ---- Bytes out of the body ---------------------------------------------- */

static bool
is_open(const input *self)
{
    if (self->closed)
        PyErr_SetString(PyExc_ValueError, "I/O operation on closed file");
    return !self->closed;
}

/* While a read has given back the GIL, the file must stay. */
static void
drop_content(input *self)
{
    if (self->busy > 0)
        return;
    wsgi__body_free(&self->body);
    wsgi__body_init(&self->body, 0);
    wsgi__mem_free(self->window);
    self->window = NULL;
    self->window_len = 0;
}

static int64_t
remaining(const input *self)
{
    return self->at < self->body.len ? self->body.len - self->at : 0;
}

/* How much a read of `size` bytes gives; negative is everything. */
static size_t
bounded(const input *self, Py_ssize_t size)
{
    int64_t rest = remaining(self);
    return (size_t)(size < 0 || size > rest ? rest : size);
}

static int
copy_file(const wsgi__body *body, int64_t at, char *into, size_t len)
{
    while (len > 0) {
        ssize_t n = wsgi__body_read(body, at, into, len);
        if (n < 0)
            return -1;
        if (n == 0) {
            errno = EIO; /* somebody has cut the temporary file */
            return -1;
        }
        into += n;
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

/* Copies exactly len bytes, which are there.  Others may run while a large
 * piece comes from the file. */
static int
copy_out(input *self, int64_t at, char *into, size_t len)
{
    if (!wsgi__body_in_file(&self->body)) {
        if (len)
            memcpy(into, self->body.mem.data + at, len);
        return 0;
    }
    int failed;
    if (len > WINDOW) {
        self->busy++;
        void *paused = wsgi__gil_pause();
        failed = copy_file(&self->body, at, into, len);
        int reason = errno;
        wsgi__gil_resume(paused);
        errno = reason;
        self->busy--;
        if (self->closed)
            drop_content(self);
    } else {
        failed = copy_file(&self->body, at, into, len);
    }
    if (failed)
        PyErr_SetFromErrno(PyExc_OSError);
    return failed;
}

/* Reads on by len bytes, which are there. */
static PyObject *
take(input *self, size_t len)
{
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)len);
    if (!bytes)
        return NULL;
    int64_t at = self->at;
    self->at += (int64_t)len;
    if (copy_out(self, at, PyBytes_AS_STRING(bytes), len) < 0) {
        self->at = at;
        Py_CLEAR(bytes);
    }
    return bytes;
}

/* ---- Lines -------------------------------------------------------------- */

static int
fill_window(input *self, int64_t at)
{
    if (self->window_len > 0 && at >= self->window_at &&
        at - self->window_at < (int64_t)self->window_len)
        return 0;
    if (!self->window && !(self->window = wsgi__mem_alloc(WINDOW))) {
        PyErr_NoMemory();
        return -1;
    }
    int64_t rest = self->body.len - at;
    size_t len = rest < WINDOW ? (size_t)rest : WINDOW;
    self->window_len = 0;
    if (copy_out(self, at, self->window, len) < 0)
        return -1;
    self->window_at = at;
    self->window_len = len;
    return 0;
}

/* The bytes at `at`, as many as there are in one piece. */
static int
piece_at(input *self, int64_t at, wsgi__span *piece)
{
    if (!wsgi__body_in_file(&self->body)) {
        *piece = (wsgi__span){ self->body.mem.data + at,
                               (size_t)(self->body.len - at) };
        return 0;
    }
    if (fill_window(self, at) < 0)
        return -1;
    size_t skip = (size_t)(at - self->window_at);
    *piece = (wsgi__span){ self->window + skip, self->window_len - skip };
    return 0;
}

/* Length of the line at the position with its end, at most `limit` bytes.  -1
 * with an exception set. */
static int64_t
line_length(input *self, size_t limit)
{
    size_t len = 0;
    while (len < limit) {
        wsgi__span piece;
        if (piece_at(self, self->at + (int64_t)len, &piece) < 0)
            return -1;
        if (piece.len > limit - len)
            piece.len = limit - len;
        const char *end = memchr(piece.ptr, '\n', piece.len);
        if (end)
            return (int64_t)(len + (size_t)(end - piece.ptr) + 1);
        len += piece.len;
    }
    return (int64_t)len;
}

/* A line that the window has needs no second read. */
static PyObject *
take_line(input *self, Py_ssize_t size)
{
    int64_t len = line_length(self, bounded(self, size));
    if (len < 0)
        return NULL;
    if (len == 0 || self->window_len == 0 || self->at < self->window_at ||
        self->at + len > self->window_at + (int64_t)self->window_len)
        return take(self, (size_t)len);
    PyObject *bytes = PyBytes_FromStringAndSize(
        self->window + (self->at - self->window_at), (Py_ssize_t)len);
    if (bytes)
        self->at += len;
    return bytes;
}

/* ---- Methods ------------------------------------------------------------ */

/* The one argument that may be left out; None and what is missing is -1, what
 * does not fit is clipped, as there is never that much to read. */
static int
parse_size(const char *method, PyObject *const *args, Py_ssize_t n_args,
           Py_ssize_t *size)
{
    *size = -1;
    if (n_args > 1) {
        PyErr_Format(PyExc_TypeError,
                     "wsgi.input.%s() takes at most 1 argument, %zd given",
                     method, n_args);
        return -1;
    }
    if (n_args == 0 || args[0] == Py_None)
        return 0;
    *size = PyNumber_AsSsize_t(args[0], NULL);
    return *size == -1 && PyErr_Occurred() ? -1 : 0;
}

static PyObject *
input_read(PyObject *object, PyObject *const *args, Py_ssize_t n_args)
{
    input *self = (input *)object;
    Py_ssize_t size;
    if (parse_size("read", args, n_args, &size) < 0 || !is_open(self))
        return NULL;
    return take(self, bounded(self, size));
}

static PyObject *
input_readline(PyObject *object, PyObject *const *args, Py_ssize_t n_args)
{
    input *self = (input *)object;
    Py_ssize_t size;
    if (parse_size("readline", args, n_args, &size) < 0 || !is_open(self))
        return NULL;
    return take_line(self, size);
}

static int
append_line(input *self, PyObject *lines, Py_ssize_t *total)
{
    PyObject *line = take_line(self, -1);
    int failed = line ? PyList_Append(lines, line) : -1;
    if (!failed)
        *total += PyBytes_GET_SIZE(line);
    Py_XDECREF(line);
    return failed;
}

/* The hint is a size in bytes to be reached, as io defines it; 0 is none. */
static PyObject *
input_readlines(PyObject *object, PyObject *const *args, Py_ssize_t n_args)
{
    input *self = (input *)object;
    Py_ssize_t hint, total = 0;
    if (parse_size("readlines", args, n_args, &hint) < 0 || !is_open(self))
        return NULL;
    PyObject *lines = PyList_New(0);
    if (!lines)
        return NULL;
    while (remaining(self) > 0 && (hint <= 0 || total < hint))
        if (append_line(self, lines, &total) < 0) {
            Py_DECREF(lines);
            return NULL;
        }
    return lines;
}

static PyObject *
input_readinto(PyObject *object, PyObject *target)
{
    input *self = (input *)object;
    Py_buffer into;
    if (!is_open(self) ||
        PyObject_GetBuffer(target, &into, PyBUF_WRITABLE) < 0)
        return NULL;
    size_t len = bounded(self, into.len);
    int64_t at = self->at;
    self->at += (int64_t)len;
    int failed = copy_out(self, at, into.buf, len);
    PyBuffer_Release(&into);
    if (failed) {
        self->at = at;
        return NULL;
    }
    return PyLong_FromSize_t(len);
}

static PyObject *
input_next(PyObject *object)
{
    input *self = (input *)object;
    if (!is_open(self) || remaining(self) == 0)
        return NULL;
    return take_line(self, -1);
}

static PyObject *
input_iter(PyObject *object)
{
    return is_open((input *)object) ? Py_NewRef(object) : NULL;
}

/* The origin of `whence`; -1 with an exception set. */
static int64_t
seek_origin(const input *self, long whence)
{
    switch (whence) {
    case SEEK_SET:
        return 0;
    case SEEK_CUR:
        return self->at;
    case SEEK_END:
        return self->body.len;
    }
    PyErr_Format(PyExc_ValueError, "invalid whence (%ld, should be 0, 1 or 2)",
                 whence);
    return -1;
}

/* Past the end is allowed, and nothing is there.  Before the start is an
 * error when it was asked for, and the start when it was computed: as
 * io.BytesIO has it. */
static PyObject *
input_seek(PyObject *object, PyObject *args)
{
    input *self = (input *)object;
    long long offset;
    int whence = SEEK_SET;
    if (!PyArg_ParseTuple(args, "L|i:seek", &offset, &whence) ||
        !is_open(self))
        return NULL;
    int64_t origin = seek_origin(self, whence);
    if (origin < 0)
        return NULL;
    if (whence == SEEK_SET && offset < 0)
        return PyErr_Format(PyExc_ValueError, "negative seek value %lld",
                            offset);
    if (offset > INT64_MAX - origin) {
        PyErr_SetString(PyExc_OverflowError, "seek position too large");
        return NULL;
    }
    self->at = origin + offset > 0 ? origin + offset : 0;
    return PyLong_FromLongLong(self->at);
}

static PyObject *
input_tell(PyObject *object, PyObject *unused)
{
    (void)unused;
    input *self = (input *)object;
    return is_open(self) ? PyLong_FromLongLong(self->at) : NULL;
}

static PyObject *
input_close(PyObject *object, PyObject *unused)
{
    (void)unused;
    wsgi__input_close(object);
    Py_RETURN_NONE;
}

/* io.TextIOWrapper asks and flushes whatever it is given. */
static PyObject *
input_yes(PyObject *object, PyObject *unused)
{
    (void)unused;
    return is_open((input *)object) ? PyBool_FromLong(1) : NULL;
}

static PyObject *
input_no(PyObject *object, PyObject *unused)
{
    (void)unused;
    return is_open((input *)object) ? PyBool_FromLong(0) : NULL;
}

static PyObject *
input_flush(PyObject *object, PyObject *unused)
{
    (void)unused;
    if (!is_open((input *)object))
        return NULL;
    Py_RETURN_NONE;
}

/* ---- The type ----------------------------------------------------------- */

static void
input_dealloc(PyObject *object)
{
    drop_content((input *)object);
    wsgi__object_free(object);
}

static PyMethodDef methods[] = {
    { "read", WSGI__METHOD(input_read), METH_FASTCALL, NULL },
    { "read1", WSGI__METHOD(input_read), METH_FASTCALL, NULL },
    { "readline", WSGI__METHOD(input_readline), METH_FASTCALL, NULL },
    { "readlines", WSGI__METHOD(input_readlines), METH_FASTCALL, NULL },
    { "readinto", input_readinto, METH_O, NULL },
    { "readinto1", input_readinto, METH_O, NULL },
    { "seek", input_seek, METH_VARARGS, NULL },
    { "tell", input_tell, METH_NOARGS, NULL },
    { "close", input_close, METH_NOARGS, NULL },
    { "flush", input_flush, METH_NOARGS, NULL },
    { "readable", input_yes, METH_NOARGS, NULL },
    { "seekable", input_yes, METH_NOARGS, NULL },
    { "writable", input_no, METH_NOARGS, NULL },
    { "isatty", input_no, METH_NOARGS, NULL },
    { NULL, NULL, 0, NULL },
};

static PyMemberDef members[] = {
    { "closed", T_BOOL, offsetof(input, closed), READONLY, NULL },
    { NULL, 0, 0, 0, NULL },
};

static PyType_Slot slots[] = {
    WSGI__SLOT(Py_tp_dealloc, input_dealloc),
    WSGI__SLOT(Py_tp_iter, input_iter),
    WSGI__SLOT(Py_tp_iternext, input_next),
    { Py_tp_methods, methods },
    { Py_tp_members, members },
    { 0, NULL },
};

static PyType_Spec spec = {
    .name = "libwsgi.Input",
    .basicsize = (int)sizeof(input),
    .flags = WSGI__FINAL_TYPE,
    .slots = slots,
};

PyTypeObject *
wsgi__input_type(void)
{
    return wsgi__type_new(&spec);
}

PyObject *
wsgi__input_new(PyTypeObject *type, wsgi__body *body)
{
    input *self = PyObject_New(input, type);
    if (!self)
        return NULL;
    wsgi__body_init(&self->body, 0);
    self->window = NULL;
    self->window_len = 0;
    self->busy = 0;
    wsgi__input_renew((PyObject *)self, body);
    return (PyObject *)self;
}

void
wsgi__input_renew(PyObject *object, wsgi__body *body)
{
    input *self = (input *)object;
    drop_content(self);
    self->body = *body;
    self->at = 0;
    self->closed = false;
    wsgi__body_init(body, self->body.in_memory);
}

void
wsgi__input_close(PyObject *object)
{
    input *self = (input *)object;
    self->closed = true;
    drop_content(self);
}
