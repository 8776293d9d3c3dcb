/* wsgi.file_wrapper: as an iterable, and which files the kernel may send. */
#include "support/python.h"

#include <criterion/criterion.h>
#include <unistd.h>

#include "python/file_wrapper.h"

TestSuite(file_wrapper, .init = python_start, .fini = python_stop);

/* path is a file of 10,000 bytes; every file opened is closed at the end. */
static const char *const source =
    "import io, os, sys, gc, gzip, tempfile, weakref\n"
    "fd, path = tempfile.mkstemp()\n"
    "data = bytes(range(250)) * 40\n"
    "os.write(fd, data); os.close(fd)\n"
    "def at(file, where):\n"
    "    file.seek(where); return file\n"
    "def after_read(file, size):\n"
    "    file.read(size); return file\n"
    "def written():\n"
    "    f = tempfile.TemporaryFile(); f.write(data); f.seek(100); return f\n"
    "def unflushed():\n"
    "    f = open(path + 'w', 'w+b'); os.unlink(path + 'w')\n"
    "    f.write(b'abc'); f.seek(0); f.write(b'xy'); return f\n"
    "def pipe():\n"
    "    r, w = os.pipe(); os.write(w, b'abc'); os.close(w)\n"
    "    return open(r, 'rb')\n"
    "def closed():\n"
    "    f = open(path, 'rb'); f.close(); return f\n"
    "def partly(f):\n"
    "    next(f); return f\n"
    "class Reader(io.BufferedReader): pass\n"
    "class Raw(io.FileIO): pass\n"
    "class Duck:\n"
    "    def __init__(self, blocks): self.blocks = list(blocks)\n"
    "    def read(self, size): self.size = size; return self.blocks.pop(0)\n"
    "class Closing(Duck):\n"
    "    closed = 0\n"
    "    def close(self): self.closed += 1\n"
    "class Failing(Duck):\n"
    "    def close(self): raise ValueError('close')\n"
    "class NoFile:\n"
    "    def read(self, size=-1): return b''\n"
    "    def fileno(self): raise io.UnsupportedOperation('fileno')\n"
    "def zipped():\n"
    "    with gzip.open(path + 'z', 'wb') as f: f.write(data)\n"
    "    f = gzip.open(path + 'z', 'rb'); os.unlink(path + 'z'); return f\n"
    "def end():\n"
    "    os.unlink(path)\n";

typedef struct fixture {
    wsgi__file_types types;
    PyObject *module;
} fixture;

static void
set_up(fixture *f)
{
    f->module = python_module("site", source);
    cr_assert_eq(wsgi__file_types_init(&f->types), 0);
    cr_assert_eq(
        PyObject_SetAttrString(f->module, "W", (PyObject *)f->types.wrapper),
        0);
}

static void
tear_down(fixture *f)
{
    cr_expect(python_true(f->module, "end() is None"));
    wsgi__file_types_clear(&f->types);
    Py_DECREF(f->module);
}

static const char *const truths[] = {
    "list(W(open(path, 'rb'), 4000)) == [data[:4000], data[4000:8000], "
    "data[8000:]]",
    "[len(b) for b in W(open(path, 'rb'))] == [8192, 1808]",
    "[len(b) for b in W(open(path, 'rb'), None)] == [8192, 1808]",
    "[len(b) for b in W(filelike=open(path, 'rb'), blksize=9999)] == "
    "[9999, 1]",
    "list(W(io.BytesIO(b''))) == []",
    "list(W(Duck([b'a', b'b', b'', b'c']))) == [b'a', b'b']",
    "[d := Duck([b'']), list(W(d, 7)), d.size == 7][2]",
    "[w := W(io.BytesIO(b'x')), iter(w) is w][1]",
    "[d := Duck([]), w := W(d, 5), w.filelike is d and w.blksize == 5][2]",
    "[c := Closing([]), w := W(c), w.close(), w.close(), c.closed == 2][4]",
    "W(Duck([])).close() is None",
    "b''.join(W(zipped())) == data",
    "type(W).__name__ == 'type' and W.__name__ == 'file_wrapper'",
};

Test(file_wrapper, is_an_iterable_of_blocks)
{
    fixture f;
    set_up(&f);
    for (size_t i = 0; i < sizeof(truths) / sizeof(*truths); i++)
        cr_expect(python_true(f.module, truths[i]), "%s", truths[i]);
    tear_down(&f);
}

static const struct {
    const char *call;
    PyObject **type;
    const char *says;
} bads[] = {
    { "list(W(open(path, 'r', encoding='latin-1')))", &PyExc_TypeError,
      "gave str, WSGI needs bytes: open it with mode \"rb\"" },
    { "list(W(Duck([bytearray(b'x')])))", &PyExc_TypeError,
      "gave bytearray, WSGI needs bytes" },
    { "list(W(Duck([None])))", &PyExc_TypeError, "gave NoneType" },
    { "list(W(Duck([])))", &PyExc_IndexError, "" },
    { "W(Failing([])).close()", &PyExc_ValueError, "close" },
    { "W()", &PyExc_TypeError, "file_wrapper" },
    { "W(object())", &PyExc_AttributeError, "read" },
    { "W(io.BytesIO(), 0)", &PyExc_ValueError, "must be positive, not 0" },
    { "W(io.BytesIO(), -1)", &PyExc_ValueError, "must be positive" },
    { "W(io.BytesIO(), 'x')", &PyExc_TypeError, "" },
    { "W(io.BytesIO(), 1 << 70)", &PyExc_OverflowError, "" },
    { "W(io.BytesIO(), 1, 2)", &PyExc_TypeError, "" },
    { "type('S', (W,), {})", &PyExc_TypeError, "not an acceptable base" },
};

Test(file_wrapper, refuses_what_is_wrong)
{
    fixture f;
    set_up(&f);
    for (size_t i = 0; i < sizeof(bads) / sizeof(*bads); i++) {
        Py_XDECREF(python_eval(f.module, bads[i].call));
        cr_expect(python_raised(*bads[i].type, bads[i].says), "%s",
                  bads[i].call);
    }
    tear_down(&f);
}

/* at and len; -1: has to be read. */
static const struct {
    const char *object;
    off_t at;
    int64_t len;
} files[] = {
    { "W(open(path, 'rb'))", 0, 10000 },
    { "W(open(path, 'rb', buffering=0))", 0, 10000 },
    { "W(open(path, 'r+b'))", 0, 10000 },
    { "W(at(open(path, 'rb'), 9999))", 9999, 1 },
    { "W(at(open(path, 'rb', buffering=0), 77))", 77, 9923 },
    /* the descriptor is 8192 ahead */
    { "W(after_read(open(path, 'rb'), 3))", 3, 9997 },
    { "partly(W(open(path, 'rb'), 5))", 5, 9995 },
    { "W(written())", 100, 9900 },
    { "W(unflushed())", 2, 1 },
    /* nothing left, and files that do not tell their size */
    { "W(at(open(path, 'rb'), 10000))", 0, -1 },
    { "W(at(open(path, 'rb'), 20000))", 0, -1 },
    { "W(open('/proc/self/status', 'rb'))", 0, -1 },
    { "W(open('/dev/null', 'rb'))", 0, -1 },
    /* no regular file, or not what read() gives */
    { "W(pipe())", 0, -1 },
    { "W(io.BytesIO(data))", 0, -1 },
    { "W(zipped())", 0, -1 },
    { "W(open(path, 'r'))", 0, -1 },
    { "W(open(path, 'ab'))", 0, -1 },
    { "W(open(path, 'ab', buffering=0))", 0, -1 },
    { "W(Reader(open(path, 'rb', buffering=0)))", 0, -1 },
    { "W(Raw(path))", 0, -1 },
    { "W(io.BufferedReader(Raw(path)))", 0, -1 },
    { "W(io.BufferedReader(io.BytesIO(data)))", 0, -1 },
    { "W(NoFile())", 0, -1 },
    { "W(Duck([]))", 0, -1 },
    { "W(closed())", 0, -1 },
    { "open(path, 'rb')", 0, -1 },
    { "[data]", 0, -1 },
};

/* The descriptor has, from `at` on, what read() would have given. */
static void
expect_same_content(fixture *f, PyObject *object, const wsgi__file *file,
                    const char *name)
{
    char *bytes = PyMem_Malloc(16384);
    ssize_t n = pread(file->fd, bytes, 16384, file->at);
    cr_expect_eq(n, file->len, "%s", name);
    PyObject_SetAttrString(f->module, "w", object);
    PyObject *read = python_eval(f->module, "b''.join(w)");
    cr_expect(python_is_bytes(read, bytes, n > 0 ? (size_t)n : 0), "%s", name);
    Py_XDECREF(read);
    PyMem_Free(bytes);
}

Test(file_wrapper, knows_what_the_kernel_can_send)
{
    fixture f;
    set_up(&f);
    for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
        wsgi__file file = { .fd = -1 };
        PyObject *object = python_eval(f.module, files[i].object);
        cr_expect(python_quiet(), "%s", files[i].object);
        cr_assert_not_null(object);
        int found = wsgi__file_wrapper_file(&f.types, object, &file);
        cr_expect_eq(found, files[i].len >= 0, "%s: %d", files[i].object,
                     found);
        cr_expect(python_quiet(), "%s", files[i].object);
        if (found == 1) {
            cr_expect_eq(file.at, files[i].at, "%s", files[i].object);
            cr_expect_eq(file.len, files[i].len, "%s", files[i].object);
            expect_same_content(&f, object, &file, files[i].object);
        }
        Py_DECREF(object);
    }
    tear_down(&f);
}

/* A wrapper may end up in what its file refers to. */
Test(file_wrapper, is_collected_in_a_cycle)
{
    fixture f;
    set_up(&f);
    cr_expect(python_true(f.module, "[d := Duck([]), d.blocks.append(W(d)), "
                                    "r := weakref.ref(d)] and True"));
    cr_expect(python_true(f.module, "globals().pop('d') and gc.collect() > 0 "
                                    "and r() is None"));
    tear_down(&f);
}

Test(file_wrapper, leaks_nothing)
{
    fixture f;
    set_up(&f);
    Py_ssize_t before = Py_REFCNT(f.types.wrapper);
    for (int i = 0; i < 1000; i++) {
        cr_assert(python_true(f.module, "len(list(W(Duck([b'x', b''])))) == "
                                        "1"));
        Py_XDECREF(python_eval(f.module, "W(Duck([]), 'x')"));
        cr_assert(python_raised(PyExc_TypeError, ""));
    }
    cr_expect_eq(Py_REFCNT(f.types.wrapper), before);
    tear_down(&f);
}
