#include "support/python.h"

#include <criterion/criterion.h>

#include "base/buf.h"
#include "base/mem.h"
#include "python/traceback.h"

TestSuite(traceback, .init = python_start, .fini = python_stop);

#define CEILING 65536

/* Runs the source, which raises, and gives the text that is made of it. */
static const char *
text_of(wsgi__buf *out, const char *source)
{
    PyObject *globals = PyDict_New();
    PyDict_SetItemString(globals, "__builtins__", PyEval_GetBuiltins());
    PyObject *code = Py_CompileString(source, "view.py", Py_file_input);
    PyObject *result = code ? PyEval_EvalCode(code, globals, globals) : NULL;
    cr_expect_null(result, "it did not raise: %s", source);
    Py_XDECREF(result);
    Py_XDECREF(code);
    Py_DECREF(globals);
    wsgi__traceback_take(out);
    cr_expect(python_quiet(), "left set after: %s", source);
    return wsgi__buf_str(out);
}

typedef struct row {
    const char *name, *source;
    const char *wanted[5];
} row;

static const row rows[] = {
    { "what ends a string",
      "try:\n    raise KeyError(1)\nexcept KeyError:\n"
      "    raise ValueError('a\\0b\\r\\x0bc\\nd')\n",
      { "KeyError: 1", "ValueError: a\\x00b\\r\\x0bc\nd" } },
    { "plain",
      "def view():\n    return 1 / 0\nview()\n",
      { "Traceback (most recent call last):", "\"view.py\", line 3",
        "line 2, in view", "ZeroDivisionError: division by zero" } },
    { "cause",
      "try:\n    {}['k']\nexcept KeyError as e:\n"
      "    raise ValueError('outer') from e\n",
      { "KeyError: 'k'", "direct cause", "ValueError: outer" } },
    { "context",
      "try:\n    {}['k']\nexcept KeyError:\n    raise ValueError('outer')\n",
      { "KeyError: 'k'", "During handling", "ValueError: outer" } },
    { "syntax",
      "compile('def f(:\\n', 'bad.py', 'exec')\n",
      { "\"bad.py\", line 1", "def f(:", "^", "SyntaxError" } },
    { "exit", "raise SystemExit(3)\n", { "SystemExit: 3" } },
    { "interrupt", "raise KeyboardInterrupt\n", { "KeyboardInterrupt" } },
    { "memory", "raise MemoryError\n", { "MemoryError" } },
    { "str raises",
      "class E(Exception):\n    def __str__(self):\n        1 / 0\n"
      "raise E()\n",
      { "line 4", "E: <" } },
    { "surrogate",
      "raise ValueError('a\\udc80b \\u20ac')\n",
      { "ValueError: a\\udc80b \xe2\x82\xac" } },
    { "recursion",
      "def f():\n    f()\nf()\n",
      { "RecursionError", "Previous line repeated" } },
#if PY_VERSION_HEX >= 0x030b0000
    { "group",
      "raise ExceptionGroup('two', [ValueError('a'), KeyError('b')])\n",
      { "ExceptionGroup: two (2 sub-exceptions)", "ValueError: a",
        "KeyError: 'b'" } },
    { "note",
      "e = ValueError('x')\ne.add_note('see the manual')\nraise e\n",
      { "ValueError: x", "see the manual" } },
#endif
};

Test(traceback, reads_as_python_prints_it)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        wsgi__buf out;
        wsgi__buf_init(&out, CEILING);
        const char *text = text_of(&out, rows[i].source);
        for (const char *const *part = rows[i].wanted; *part; part++)
            cr_expect(strstr(text, *part), "%s: no %s in:\n%s", rows[i].name,
                      *part, text);
        cr_expect(out.len > 0 && text[out.len - 1] != '\n',
                  "%s: final newline", rows[i].name);
        wsgi__buf_free(&out);
    }
}

/* Frames, type and text are left when Python's own module cannot do it. */
static const row broken[] = {
    { "module replaced",
      "import sys\nsys.modules['traceback'] = None\n"
      "def view():\n    raise ValueError('x')\nview()\n",
      { "\"view.py\", line 4, in view", "ValueError: x" } },
    { "format_exception raises",
      "import traceback\ndef f(*a):\n    raise RuntimeError('no')\n"
      "traceback.format_exception = f\nraise KeyError('k')\n",
      { "\"view.py\", line 5, in <module>", "KeyError: 'k'" } },
    { "not even a list",
      "import traceback\ntraceback.format_exception = lambda *a: 7\n"
      "raise KeyError('k')\n",
      { "KeyError: 'k'" } },
    { "str raises as well",
      "import sys\nsys.modules['traceback'] = None\n"
      "class E(Exception):\n    def __str__(self):\n        1 / 0\n"
      "raise E()\n",
      { "line 6", "E: <E>" } },
    { "modules gone",
      "import sys\nsys.modules.clear()\nsys.path = None\n"
      "raise ValueError('x')\n",
      { "line 4", "ValueError: x" } },
};

Test(traceback, survives_a_broken_interpreter)
{
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        /* sys.modules is put back for the next row, and for the end. */
        PyObject *modules = PyImport_GetModuleDict();
        PyObject *saved = PyDict_Copy(modules);
        PyObject *path = PySys_GetObject("path");
        Py_INCREF(path);
        wsgi__buf out;
        wsgi__buf_init(&out, CEILING);
        const char *text = text_of(&out, broken[i].source);
        for (const char *const *part = broken[i].wanted; *part; part++)
            cr_expect(strstr(text, *part), "%s: no %s in:\n%s", broken[i].name,
                      *part, text);
        wsgi__buf_free(&out);
        PyDict_Update(modules, saved);
        PyDict_DelItemString(modules, "traceback");
        PyErr_Clear();
        PySys_SetObject("path", path);
        Py_DECREF(path);
        Py_DECREF(saved);
    }
}

Test(traceback, without_an_exception_is_nothing)
{
    wsgi__buf out;
    wsgi__buf_init(&out, CEILING);
    wsgi__traceback_take(&out);
    cr_expect_eq(out.len, 0);
    wsgi__buf_free(&out);
}

Test(traceback, is_appended)
{
    wsgi__buf out;
    wsgi__buf_init(&out, CEILING);
    wsgi__buf_puts(&out, "before: \n\n");
    PyErr_SetString(PyExc_ValueError, "x");
    wsgi__traceback_take(&out);
    cr_expect_str_eq(wsgi__buf_str(&out), "before: \n\nValueError: x");
    wsgi__buf_free(&out);
}

/* A text past the ceiling is cut down to what names the error. */
Test(traceback, without_room_names_the_type)
{
    wsgi__buf out;
    wsgi__buf_init(&out, 128);
    const char *text = text_of(
        &out, "def view():\n    raise ValueError('x' * 500)\nview()\n");
    cr_expect(strstr(text, "ValueError"), "%s", text);
    cr_expect_leq(out.len, 128);
    wsgi__buf_free(&out);
}

Test(traceback, survives_each_failing_allocation)
{
    for (long nth = 1; nth < 20; nth++) {
        wsgi__buf out;
        wsgi__buf_init(&out, CEILING);
        PyErr_SetString(PyExc_ValueError, "x");
        wsgi__mem_fail_nth(nth);
        wsgi__traceback_take(&out);
        long asked = wsgi__mem_count();
        wsgi__mem_fail_nth(0);
        cr_expect(python_quiet(), "the exception stays, nth %ld", nth);
        wsgi__buf_free(&out);
        if (asked < nth)
            return;
    }
    cr_assert(false, "it never got through");
}
