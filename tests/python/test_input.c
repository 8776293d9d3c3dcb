/* wsgi.input: every method on a body in memory and on one in a file. */
#include "support/python.h"

#include <criterion/criterion.h>
#include <unistd.h>

#include "base/mem.h"
#include "python/input.h"

TestSuite(input, .init = python_start, .fini = python_stop);

/* Two more than a window of readline() over a file. */
#define LONG_LINE (64 * 1024 + 2)

typedef struct row {
    const char *body;
    const char *is_true; /* with f, the input */
} row;

static const row rows[] = {
    /* read() */
    { "abc", "f.read() == b'abc'" },
    { "abc", "(f.read(), f.read()) == (b'abc', b'')" },
    { "abc", "f.read(None) == b'abc'" },
    { "abc", "f.read(-1) == b'abc'" },
    { "abc", "f.read(-7) == b'abc'" },
    { "abc", "(f.read(0), f.read(2), f.read(2), f.read(2)) == "
             "(b'', b'ab', b'c', b'')" },
    { "abc", "f.read(1 << 62) == b'abc'" },
    { "abc", "f.read(10 ** 30) == b'abc'" },
    { "abc", "f.read(True) == b'a'" },
    { "abc", "f.read1(2) == b'ab'" },
    { "", "(f.read(), f.read(5), f.readline(), list(f)) == "
          "(b'', b'', b'', [])" },
    { "abc", "type(f.read()) is bytes" },
    { "abc", "raises(TypeError, f.read, 'x')" },
    { "abc", "raises(TypeError, f.read, 1.5)" },
    { "abc", "raises(TypeError, f.read, 1, 2)" },
    /* readline() */
    { "a\nbc\n\nd", "[f.readline() for i in range(6)] == "
                    "[b'a\\n', b'bc\\n', b'\\n', b'd', b'', b'']" },
    { "abc\nd", "(f.readline(2), f.readline(2), f.readline(2)) == "
                "(b'ab', b'c\\n', b'd')" },
    { "abc\nd", "(f.readline(0), f.readline(None)) == (b'', b'abc\\n')" },
    { "abc\nd", "f.readline(-1) == b'abc\\n'" },
    { "abc\nd", "f.readline(4) == b'abc\\n'" },
    { "abc\nd", "f.readline(10 ** 30) == b'abc\\n'" },
    { "a\r\nb", "f.readline() == b'a\\r\\n'" },
    { "a\nb\nc", "(f.readline(), f.read(1), f.readline(), f.read()) == "
                 "(b'a\\n', b'b', b'\\n', b'c')" },
    /* readlines() and iteration */
    { "a\nb\nc", "f.readlines() == [b'a\\n', b'b\\n', b'c']" },
    { "a\nb\nc", "f.readlines(None) == [b'a\\n', b'b\\n', b'c']" },
    { "a\nb\nc", "f.readlines(0) == [b'a\\n', b'b\\n', b'c']" },
    { "a\nb\nc", "f.readlines(1) == [b'a\\n']" },
    { "a\nb\nc", "f.readlines(2) == [b'a\\n']" },
    { "a\nb\nc", "f.readlines(3) == [b'a\\n', b'b\\n']" },
    { "a\nb\nc", "list(f) == [b'a\\n', b'b\\n', b'c']" },
    { "a\nb\nc", "(next(f), f.read()) == (b'a\\n', b'b\\nc')" },
    { "a\n", "iter(f) is f" },
    { "a\n", "(list(f), list(f)) == ([b'a\\n'], [])" },
    /* seek() and tell() */
    { "abcd", "(f.tell(), f.read(2), f.tell(), f.seek(1), f.read()) == "
              "(0, b'ab', 2, 1, b'bcd')" },
    { "abcd", "(f.seek(-1, 2), f.read()) == (3, b'd')" },
    { "abcd", "(f.read(1), f.seek(1, 1), f.read(1)) == (b'a', 2, b'c')" },
    { "abcd", "(f.seek(100), f.read(), f.readline(), list(f)) == "
              "(100, b'', b'', [])" },
    { "abcd", "(f.seek(-100, 2), f.read(1)) == (0, b'a')" },
    { "abcd", "(f.seek(2**63 - 1), f.read()) == (2**63 - 1, b'')" },
    { "abcd", "f.seek(2**63 - 1) and raises(OverflowError, f.seek, 1, 1)" },
    { "abcd", "raises(ValueError, f.seek, -1)" },
    { "abcd", "raises(ValueError, f.seek, 0, 3)" },
    { "abcd", "raises(TypeError, f.seek)" },
    { "abcd", "raises(TypeError, f.seek, 'x')" },
    /* what io's classes ask for */
    { "abc", "(f.readable(), f.seekable(), f.writable(), f.isatty(), "
             "f.closed, f.flush()) == (True, True, False, False, False, "
             "None)" },
    { "abc", "into(f, 2) == (2, b'ab')" },
    { "abc", "into(f, 5) == (3, b'abc\\0\\0')" },
    { "abc", "raises((TypeError, BufferError), f.readinto, b'xx')" },
    { "a\nb", "io.TextIOWrapper(f, 'latin-1').read() == 'a\\nb'" },
    { "\xc3\xa4\nb", "io.TextIOWrapper(f, 'utf-8').readlines() == "
                     "['\\xe4\\n', 'b']" },
    { "a\nb", "io.BufferedReader(f).readlines() == [b'a\\n', b'b']" },
    { "a\nb", "io.BufferedReader(f).peek(3) == b'a\\nb'" },
    /* close() */
    { "abc", "f.close() is None and f.close() is None and f.closed" },
    { "abc", "all(raises(ValueError, m) for m in (f.close() or (f.read, "
             "f.readline, f.readlines, f.tell, f.flush, f.readable, "
             "f.seekable, f.writable)))" },
    { "abc", "f.close() or raises(ValueError, next, f)" },
    { "abc", "f.close() or raises(ValueError, iter, f)" },
    { "abc", "f.close() or raises(ValueError, f.seek, 0)" },
    { "abc", "f.close() or raises(ValueError, f.readinto, bytearray(1))" },
    /* the type is ours alone */
    { "", "raises(TypeError, type(f))" },
    { "", "sys.version_info < (3, 10) or "
          "raises(TypeError, setattr, type(f), 'read', 1)" },
    { "", "raises(AttributeError, setattr, f, 'closed', False)" },
};

static const char *const source = "import io, sys\n"
                                  "def raises(kind, call, *args):\n"
                                  "    try:\n"
                                  "        call(*args)\n"
                                  "    except kind:\n"
                                  "        return True\n"
                                  "    return False\n"
                                  "def into(f, size):\n"
                                  "    b = bytearray(size)\n"
                                  "    return f.readinto(b), bytes(b)\n";

/* in_memory 0 makes a file of the smallest body. */
static PyObject *
new_input(PyTypeObject *type, const char *data, size_t len, size_t in_memory)
{
    wsgi__body body;
    wsgi__body_init(&body, in_memory);
    cr_assert_eq(wsgi__body_append(&body, data, len), 0);
    cr_assert_eq(wsgi__body_in_file(&body), len > in_memory);
    PyObject *input = wsgi__input_new(type, &body);
    cr_assert_not_null(input);
    cr_expect_eq(body.len, 0, "the body was not taken over");
    cr_expect(!wsgi__body_in_file(&body));
    cr_expect_eq(wsgi__body_span(&body).len, 0);
    wsgi__body_free(&body);
    return input;
}

static void
set_input(PyObject *module, PyObject *input)
{
    cr_assert_eq(PyObject_SetAttrString(module, "f", input), 0);
    Py_DECREF(input);
}

static void
run_rows(size_t in_memory)
{
    PyTypeObject *type = wsgi__input_type();
    PyObject *module = python_module("rows", source);
    cr_assert_not_null(type);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        set_input(module, new_input(type, rows[i].body, strlen(rows[i].body),
                                    in_memory));
        cr_expect(python_true(module, rows[i].is_true), "%zu: %s (of \"%s\")",
                  in_memory, rows[i].is_true, rows[i].body);
    }
    Py_DECREF(module);
    Py_DECREF(type);
}

Test(input, reads_from_memory)
{
    run_rows(1024);
}

Test(input, reads_from_a_file)
{
    run_rows(0);
}

/* Lines shorter and longer than the window, and at its borders. */
Test(input, reads_lines_across_windows_of_a_file)
{
    PyTypeObject *type = wsgi__input_type();
    PyObject *module = python_module(
        "lines", "def same(f, g, size):\n"
                 "    while True:\n"
                 "        a, b = f.readline(size), g.readline(size)\n"
                 "        if a != b or f.tell() != g.tell(): return False\n"
                 "        if not a: return True\n");
    char *data = wsgi__mem_alloc(4 * LONG_LINE);
    memset(data, 'x', 4 * LONG_LINE);
    static const size_t ends[] = { 0,         1,         100,      65534,
                                   65535,     65536,     65537,    LONG_LINE,
                                   2 * 65536, 3 * 65536, 3 * 65537 };
    for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++)
        data[ends[i]] = '\n';
    static const char *const sizes[] = { "-1", "1000", "65536", "65537" };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        char expression[64];
        PyObject *g = new_input(type, data, 4 * LONG_LINE, SIZE_MAX / 2);
        PyObject_SetAttrString(module, "g", g);
        Py_DECREF(g);
        set_input(module, new_input(type, data, 4 * LONG_LINE, 0));
        snprintf(expression, sizeof(expression), "same(f, g, %s)", sizes[i]);
        cr_expect(python_true(module, expression), "%s", expression);
    }
    wsgi__mem_free(data);
    Py_DECREF(module);
    Py_DECREF(type);
}

/* What is asked for is not what is allocated. */
Test(input, allocates_no_more_than_there_is)
{
    PyTypeObject *type = wsgi__input_type();
    PyObject *module = python_module(
        "sizes", "import sys\n"
                 "def size(f): return sys.getsizeof(f.read(1 << 40))\n");
    set_input(module, new_input(type, "abc", 3, 1024));
    cr_expect(python_true(module, "size(f) < 100"));
    Py_DECREF(module);
    Py_DECREF(type);
}

/* Others run while a large piece is read from a file, and may close it. */
Test(input, stands_closing_by_another_thread)
{
    PyTypeObject *type = wsgi__input_type();
    PyObject *module = python_module(
        "threads", "import sys, threading\n"
                   "sys.setswitchinterval(1e-6)\n"
                   "def run(f, size):\n"
                   "    got = []\n"
                   "    def read():\n"
                   "        try: got.append(len(f.read()))\n"
                   "        except ValueError: got.append(0)\n"
                   "    reader = threading.Thread(target=read)\n"
                   "    closer = threading.Thread(target=f.close)\n"
                   "    reader.start(); closer.start()\n"
                   "    reader.join(); closer.join()\n"
                   "    return f.closed and got[0] in (0, size)\n");
    size_t len = 4 * 1024 * 1024;
    char *data = wsgi__mem_zero(1, len);
    for (int i = 0; i < 20; i++) {
        set_input(module, new_input(type, data, len, 0));
        cr_expect(python_true(module, "run(f, 4 << 20)"), "round %d", i);
    }
    wsgi__mem_free(data);
    Py_DECREF(module);
    Py_DECREF(type);
}

/* Nobody can do that to an unlinked file but through /proc. */
Test(input, says_so_when_the_file_was_cut)
{
    PyTypeObject *type = wsgi__input_type();
    wsgi__body body;
    wsgi__body_init(&body, 0);
    cr_assert_eq(wsgi__body_append(&body, "abc", 3), 0);
    int fd = dup(body.fd);
    PyObject *input = wsgi__input_new(type, &body);
    cr_assert_eq(ftruncate(fd, 1), 0);
    close(fd);
    PyObject *read = PyObject_CallMethod(input, "read", NULL);
    cr_expect_null(read);
    cr_expect(python_raised(PyExc_OSError, "Input/output error"));
    Py_XDECREF(read);
    Py_DECREF(input);
    Py_DECREF(type);
}

Test(input, renewed_is_as_new)
{
    PyTypeObject *type = wsgi__input_type();
    PyObject *module = python_module("renewed", source);
    PyObject *input = new_input(type, "abc\n", 4, 0);
    Py_XDECREF(PyObject_CallMethod(input, "readline", NULL));
    wsgi__input_close(input);
    wsgi__body body;
    wsgi__body_init(&body, 1024);
    cr_assert_eq(wsgi__body_append(&body, "de", 2), 0);
    wsgi__input_renew(input, &body);
    set_input(module, input);
    cr_expect(python_true(module, "(f.closed, f.tell(), f.read()) == "
                                  "(False, 0, b'de')"));
    wsgi__body_free(&body);
    Py_DECREF(module);
    Py_DECREF(type);
}

/* The window is the one allocation of ours. */
Test(input, raises_when_out_of_memory)
{
    PyTypeObject *type = wsgi__input_type();
    PyObject *input = new_input(type, "abc\nd", 5, 0);
    wsgi__mem_fail_nth(1);
    PyObject *line = PyObject_CallMethod(input, "readline", NULL);
    wsgi__mem_fail_nth(0);
    cr_expect_null(line);
    cr_expect(python_raised(PyExc_MemoryError, ""));
    line = PyObject_CallMethod(input, "readline", NULL);
    cr_expect(python_is_bytes(line, "abc\n", 4), "not usable afterwards");
    Py_XDECREF(line);
    Py_DECREF(input);
    Py_DECREF(type);
}

/* Each object holds its type: its count tells how many are left. */
Test(input, leaks_nothing)
{
    PyTypeObject *type = wsgi__input_type();
    PyObject *module = python_module("leaks", source);
    Py_ssize_t before = Py_REFCNT(type);
    for (int i = 0; i < 1000; i++) {
        set_input(module, new_input(type, "a\nb", 3, i % 10 ? 1024 : 0));
        cr_assert(python_true(module, "len(f.readlines()) == 2"));
    }
    cr_assert_eq(PyObject_DelAttrString(module, "f"), 0);
    cr_expect_eq(Py_REFCNT(type), before);
    Py_DECREF(module);
    Py_DECREF(type);
}
