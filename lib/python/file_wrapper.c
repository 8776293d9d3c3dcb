#include "python/file_wrapper.h"

#include <fcntl.h>
#include <stdbool.h>
#include <structmember.h>
#include <sys/stat.h>

#include "python/object.h"

#define DEFAULT_BLOCK 8192

typedef struct file_wrapper {
    PyObject_HEAD PyObject *filelike;
    PyObject *block_size; /* an int */
    PyObject *read;       /* of filelike */
} file_wrapper;

/* ---- The object --------------------------------------------------------- */

/* None stands for the default, as some frameworks pass it on. */
static PyObject *
new_block_size(PyObject *given)
{
    if (!given || given == Py_None)
        return PyLong_FromLong(DEFAULT_BLOCK);
    Py_ssize_t size = PyNumber_AsSsize_t(given, PyExc_OverflowError);
    if (size == -1 && PyErr_Occurred())
        return NULL;
    if (size <= 0)
        return PyErr_Format(PyExc_ValueError,
                            "wsgi.file_wrapper: the block size must be "
                            "positive, not %zd",
                            size);
    return PyLong_FromSsize_t(size);
}

static PyObject *
wrapper_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = { "filelike", "blksize", NULL };
    PyObject *filelike, *block_size = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|O:file_wrapper", names,
                                     &filelike, &block_size))
        return NULL;
    allocfunc alloc = type->tp_alloc;
    file_wrapper *self = (file_wrapper *)alloc(type, 0);
    if (!self)
        return NULL;
    self->filelike = Py_NewRef(filelike);
    self->block_size = new_block_size(block_size);
    self->read =
        self->block_size ? PyObject_GetAttrString(filelike, "read") : NULL;
    if (!self->read)
        Py_CLEAR(self);
    return (PyObject *)self;
}

static int
refuse_block(PyObject *block)
{
    if (PyUnicode_Check(block))
        PyErr_SetString(PyExc_TypeError,
                        "wsgi.file_wrapper: read() of the file gave str, WSGI "
                        "needs bytes: open it with mode \"rb\"");
    else
        PyErr_Format(PyExc_TypeError,
                     "wsgi.file_wrapper: read() of the file gave %.200s, WSGI "
                     "needs bytes",
                     Py_TYPE(block)->tp_name);
    return -1;
}

static PyObject *
wrapper_next(PyObject *object)
{
    file_wrapper *self = (file_wrapper *)object;
    if (!self->read) /* cleared by the collector */
        return NULL;
    PyObject *block =
        PyObject_CallFunctionObjArgs(self->read, self->block_size, NULL);
    if (!block)
        return NULL;
    if (!PyBytes_Check(block) && refuse_block(block) < 0)
        Py_CLEAR(block);
    else if (PyBytes_GET_SIZE(block) == 0)
        Py_CLEAR(block);
    return block;
}

/* The file's own, where it has one. */
static PyObject *
wrapper_close(PyObject *object, PyObject *unused)
{
    (void)unused;
    file_wrapper *self = (file_wrapper *)object;
    if (!self->filelike)
        Py_RETURN_NONE;
    PyObject *name = PyUnicode_InternFromString("close");
    PyObject *close = name ? wsgi__optional_attr(self->filelike, name) : NULL;
    Py_XDECREF(name);
    if (!close)
        return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
    PyObject *result = PyObject_CallNoArgs(close);
    Py_DECREF(close);
    return result;
}

static int
wrapper_traverse(PyObject *object, visitproc visit, void *arg)
{
    file_wrapper *self = (file_wrapper *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->filelike);
    Py_VISIT(self->block_size);
    Py_VISIT(self->read);
    return 0;
}

static int
wrapper_clear(PyObject *object)
{
    file_wrapper *self = (file_wrapper *)object;
    Py_CLEAR(self->filelike);
    Py_CLEAR(self->block_size);
    Py_CLEAR(self->read);
    return 0;
}

static void
wrapper_dealloc(PyObject *object)
{
    PyObject_GC_UnTrack(object);
    wrapper_clear(object);
    wsgi__object_free(object);
}

static PyMethodDef methods[] = {
    { "close", wrapper_close, METH_NOARGS, NULL },
    { NULL, NULL, 0, NULL },
};

/* As wsgiref's has them: middleware looks at them. */
static PyMemberDef members[] = {
    { "filelike", T_OBJECT, offsetof(file_wrapper, filelike), READONLY, NULL },
    { "blksize", T_OBJECT, offsetof(file_wrapper, block_size), READONLY,
      NULL },
    { NULL, 0, 0, 0, NULL },
};

static PyType_Slot slots[] = {
    WSGI__SLOT(Py_tp_new, wrapper_new),
    WSGI__SLOT(Py_tp_dealloc, wrapper_dealloc),
    WSGI__SLOT(Py_tp_traverse, wrapper_traverse),
    WSGI__SLOT(Py_tp_clear, wrapper_clear),
    WSGI__SLOT(Py_tp_iter, PyObject_SelfIter),
    WSGI__SLOT(Py_tp_iternext, wrapper_next),
    { Py_tp_methods, methods },
    { Py_tp_members, members },
    { 0, NULL },
};

static PyType_Spec spec = {
    .name = "libwsgi.file_wrapper",
    .basicsize = (int)sizeof(file_wrapper),
    .flags =
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};

/* ---- Files that the kernel can send ------------------------------------- */

int
wsgi__file_types_init(wsgi__file_types *types)
{
    *types = (wsgi__file_types){ .wrapper = NULL };
    PyObject *io = PyImport_ImportModule("io");
    if (!io)
        return -1;
    bool failed =
        !(types->wrapper = wsgi__type_new(&spec)) ||
        !(types->raw = PyObject_GetAttrString(io, "FileIO")) ||
        !(types->reader = PyObject_GetAttrString(io, "BufferedReader")) ||
        !(types->random = PyObject_GetAttrString(io, "BufferedRandom")) ||
        !(types->attr_raw = PyUnicode_InternFromString("raw")) ||
        !(types->attr_fileno = PyUnicode_InternFromString("fileno")) ||
        !(types->attr_tell = PyUnicode_InternFromString("tell")) ||
        !(types->attr_flush = PyUnicode_InternFromString("flush"));
    Py_DECREF(io);
    return failed ? -1 : 0;
}

void
wsgi__file_types_clear(wsgi__file_types *types)
{
    Py_CLEAR(types->wrapper);
    Py_CLEAR(types->raw);
    Py_CLEAR(types->reader);
    Py_CLEAR(types->random);
    Py_CLEAR(types->attr_raw);
    Py_CLEAR(types->attr_fileno);
    Py_CLEAR(types->attr_tell);
    Py_CLEAR(types->attr_flush);
}

/* Whether read() gives the bytes of the descriptor and nothing else: exactly
 * io's types, as a subclass may do anything. */
static int
reads_descriptor(const wsgi__file_types *types, PyObject *filelike)
{
    PyObject *type = (PyObject *)Py_TYPE(filelike);
    if (type == types->raw)
        return 1;
    if (type != types->reader && type != types->random)
        return 0;
    PyObject *raw = PyObject_GetAttr(filelike, types->attr_raw);
    if (!raw)
        return -1;
    int is_file = (PyObject *)Py_TYPE(raw) == types->raw;
    Py_DECREF(raw);
    return is_file;
}

/* The result of a method without arguments as a number; -1 with an exception
 * set. */
static long long
ask(PyObject *filelike, PyObject *method)
{
    PyObject *result = PyObject_CallMethodNoArgs(filelike, method);
    long long number = result ? PyLong_AsLongLong(result) : -1;
    Py_XDECREF(result);
    return number;
}

/* What was written through the buffer has to be in the file. */
static int
flush(const wsgi__file_types *types, PyObject *filelike)
{
    if ((PyObject *)Py_TYPE(filelike) != types->random)
        return 0;
    PyObject *result = PyObject_CallMethodNoArgs(filelike, types->attr_flush);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

/* A size of 0 is no answer: /proc has regular files without one. */
static bool
can_send(int fd, off_t at, wsgi__file *file)
{
    struct stat info;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || (flags & O_ACCMODE) == O_WRONLY || fstat(fd, &info) < 0 ||
        !S_ISREG(info.st_mode) || info.st_size <= at)
        return false;
    *file = (wsgi__file){ fd, at, (int64_t)(info.st_size - at) };
    return true;
}

/* tell() of the object is the logical position: the descriptor's is ahead of
 * it by what the object has in its buffer. */
static int
find_file(const wsgi__file_types *types, PyObject *filelike, wsgi__file *file)
{
    int known = reads_descriptor(types, filelike);
    if (known <= 0)
        return known;
    if (flush(types, filelike) < 0)
        return -1;
    long long fd = ask(filelike, types->attr_fileno);
    if (fd < 0)
        return -1;
    long long at = ask(filelike, types->attr_tell);
    if (at < 0)
        return -1;
    return can_send((int)fd, (off_t)at, file);
}

/* Pipes have no tell() and closed files nothing: reading says what is wrong
 * with them, if anything is. */
int
wsgi__file_wrapper_file(const wsgi__file_types *types, PyObject *object,
                        wsgi__file *file)
{
    if (Py_TYPE(object) != types->wrapper)
        return 0;
    PyObject *filelike = ((file_wrapper *)object)->filelike;
    int found = filelike ? find_file(types, filelike, file) : 0;
    if (found >= 0 || !(PyErr_ExceptionMatches(PyExc_OSError) ||
                        PyErr_ExceptionMatches(PyExc_ValueError) ||
                        PyErr_ExceptionMatches(PyExc_AttributeError)))
        return found;
    PyErr_Clear();
    return 0;
}
