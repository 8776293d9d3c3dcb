/* wsgi.errors: what is written, and which entries the log gets. */
#include "support/python.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>

#include "base/buf.h"
#include "base/mem.h"
#include "python/errors.h"

static wsgi__buf logged; /* entries, each ended with "|" */

static void
collect(void *user, wsgi_log_level level, const char *entry)
{
    (void)user;
    cr_expect_eq(level, WSGI_LOG_ERROR);
    wsgi__buf_puts(&logged, entry);
    wsgi__buf_puts(&logged, "|");
}

static const wsgi__log collecting = { WSGI_LOG_DEBUG, collect, NULL };

static void
start(void)
{
    python_start();
    wsgi__buf_init(&logged, 1024 * 1024);
}

static void
stop(void)
{
    wsgi__buf_free(&logged);
    python_stop();
}

TestSuite(errors, .init = start, .fini = stop);

typedef struct row {
    const char *run;    /* with e, the object */
    const char *logged; /* before e goes */
    const char *later;  /* when the line is ended; NULL: nothing */
} row;

static const row rows[] = {
    { "e.write('a\\n')", "a|", NULL },
    { "e.write('a\\nb\\n')", "a|b|", NULL },
    { "e.write('a\\n\\nb\\n')", "a||b|", NULL },
    { "e.write('a')", "", "a|" },
    { "e.write('')", "", NULL },
    { "e.write('a'); e.write(''); e.write('b')", "", "ab|" },
    { "e.write('a'); e.write('b\\nc')", "ab|", "c|" },
    { "e.write('a'); e.write('\\n')", "a|", NULL },
    { "e.write('a'); e.flush()", "a|", NULL },
    { "e.flush(); e.flush()", "", NULL },
    { "e.write('a'); e.flush(); e.write('b')", "a|", "b|" },
    { "e.write('a'); e.close(); e.write('b\\n')", "a|b|", NULL },
    { "e.writelines(['a\\n', 'b', 'c\\n'])", "a|bc|", NULL },
    { "e.writelines(x for x in ())", "", NULL },
    { "print('a', 1, file=e)", "a 1|", NULL },
    { "print('a', end='', file=e)", "", "a|" },
    { "import traceback\ntry: None.x\nexcept AttributeError: "
      "traceback.print_exc(0, file=e)",
      "AttributeError: 'NoneType' object has no attribute 'x'|", NULL },
    { "import logging\n"
      "h = logging.StreamHandler(e)\n"
      "h.emit(logging.LogRecord('n', 40, 'p', 1, 'said', (), None))",
      "said|", NULL },
    { "assert e.write('abc') == 3", "", "abc|" },
    { "assert e.write('\\xe4\\u20ac') == 2", "", "\xc3\xa4\xe2\x82\xac|" },
    { "e.write('\\ud800\\n')", "\\ud800|", NULL },
    /* lines stay lines */
    { "e.write('a\\r\\nb\\n')", "a|b|", NULL },
    { "e.write('a\\r'); e.write('\\nb\\n')", "a|b|", NULL },
    { "e.write('a\\rb\\n')", "a\\rb|", NULL },
    { "e.write('a\\0b\\x0bc\\x0cd\\n')", "a\\x00b\\x0bc\\x0cd|", NULL },
    { "e.write('\\x1b[31mred\\x1b[0m\\tx\\\\n\\n')",
      "\x1b[31mred\x1b[0m\tx\\n|", NULL },
};

static PyObject *
new_errors(PyObject *module, const wsgi__log *log)
{
    PyTypeObject *type = wsgi__errors_type();
    PyObject *errors = wsgi__errors_new(type, log);
    cr_assert_not_null(errors);
    Py_DECREF(type);
    cr_assert_eq(PyObject_SetAttrString(module, "e", errors), 0);
    return errors;
}

static void
run(PyObject *module, const char *code)
{
    PyObject *names = PyModule_GetDict(module);
    Py_XDECREF(PyRun_String(code, Py_file_input, names, names));
    cr_expect(python_quiet(), "%s", code);
}

Test(errors, lines_become_entries)
{
    PyObject *module = python_module("lines", "");
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        PyObject *errors = new_errors(module, &collecting);
        wsgi__buf_reset(&logged);
        run(module, rows[i].run);
        cr_expect_str_eq(wsgi__buf_str(&logged), rows[i].logged, "%s: \"%s\"",
                         rows[i].run, wsgi__buf_str(&logged));
        wsgi__buf_reset(&logged);
        wsgi__errors_flush(errors);
        const char *later = rows[i].later ? rows[i].later : "";
        cr_expect_str_eq(wsgi__buf_str(&logged), later, "%s, later: \"%s\"",
                         rows[i].run, wsgi__buf_str(&logged));
        Py_DECREF(errors);
    }
    Py_DECREF(module);
}

Test(errors, refuses_what_is_not_str)
{
    static const char *const wrong[] = { "e.write(b'x')", "e.write(None)",
                                         "e.write(1)",
                                         "e.writelines(['a', b'x'])" };
    PyObject *module = python_module("wrong", "");
    PyObject *errors = new_errors(module, &collecting);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        PyObject *result = python_eval(module, wrong[i]);
        cr_expect_null(result, "%s", wrong[i]);
        cr_expect(python_raised(PyExc_TypeError, "needs str, not"), "%s",
                  wrong[i]);
        Py_XDECREF(result);
    }
    Py_XDECREF(python_eval(module, "e.writelines(None)"));
    cr_expect(python_raised(PyExc_TypeError, "iterable"));
    Py_DECREF(errors);
    Py_DECREF(module);
}

/* A line is bounded: what is longer comes in pieces, at whole characters. */
Test(errors, cuts_long_lines)
{
    static const char *const codes[] = {
        "e.write('x' * 200000 + '\\n')",
        "for i in range(200): e.write('x' * 1000)\ne.flush()",
        "for n in 60000, 60000, 80000: e.write('x' * n)\ne.flush()",
    };
    PyObject *module = python_module("long", "");
    PyObject *errors = new_errors(module, &collecting);
    for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++) {
        size_t n = 0, entry = 0;
        wsgi__buf_reset(&logged);
        run(module, codes[i]);
        for (size_t at = 0; at < logged.len; at++) {
            n += logged.data[at] == 'x';
            entry = logged.data[at] == '|' ? 0 : entry + 1;
            cr_assert_leq(entry, 64 * 1024, "%s", codes[i]);
        }
        cr_expect_eq(n, 200000, "%s: %zu", codes[i], n);
    }
    wsgi__buf_reset(&logged);
    run(module, "e.write('x' + '\\xe4' * 40000 + '\\n')");
    cr_expect_eq(strspn(logged.data + 65535, "|"), 1,
                 "not cut between two characters");
    Py_DECREF(errors);
    Py_DECREF(module);
}

Test(errors, keeps_lines_of_threads_apart)
{
    PyObject *module = python_module(
        "threads",
        "import threading\n"
        "a, b = threading.Event(), threading.Event()\n"
        "def first():\n"
        "    e.write('one '); a.set(); b.wait(); e.write('two\\n')\n"
        "def second():\n"
        "    a.wait(); e.write('three '); b.set(); t.join()\n"
        "    e.write('four\\n')\n"
        "def run():\n"
        "    global t\n"
        "    t = threading.Thread(target=first)\n"
        "    u = threading.Thread(target=second)\n"
        "    t.start(); u.start(); t.join(); u.join()\n");
    PyObject *errors = new_errors(module, &collecting);
    run(module, "run()");
    cr_expect_str_eq(wsgi__buf_str(&logged), "one two|three four|");
    Py_DECREF(errors);
    Py_DECREF(module);
}

/* Beginnings of lines are kept for 64 threads, and each is written. */
Test(errors, bounds_begun_lines)
{
    PyObject *module = python_module(
        "many", "import threading\n"
                "def run():\n"
                "    gate = threading.Event()\n"
                "    def one(): e.write('x'); gate.wait()\n"
                "    all = [threading.Thread(target=one) for i in range(70)]\n"
                "    for t in all: t.start()\n"
                "    gate.set()\n"
                "    for t in all: t.join()\n");
    PyObject *errors = new_errors(module, &collecting);
    run(module, "run()");
    cr_expect_geq(logged.len, 2 * 6, "more than 64 kept");
    wsgi__errors_detach(errors);
    cr_expect_eq(logged.len, 2 * 70, "%s", wsgi__buf_str(&logged));
    Py_DECREF(errors);
    Py_DECREF(module);
}

Test(errors, detached_writes_to_stderr)
{
    PyObject *module = python_module("detached", "");
    PyObject *errors = new_errors(module, &collecting);
    run(module, "e.write('begun')");
    cr_expect_eq(logged.len, 0);
    wsgi__errors_detach(errors);
    cr_expect_str_eq(wsgi__buf_str(&logged), "begun|");
    cr_redirect_stderr();
    run(module, "e.write('later\\n')");
    fflush(stderr);
    char text[256];
    size_t len = fread(text, 1, sizeof(text) - 1, cr_get_redirected_stderr());
    text[len] = '\0';
    cr_expect(strstr(text, "[ERROR] later\n"), "%s", text);
    cr_expect_str_eq(wsgi__buf_str(&logged), "begun|");
    Py_DECREF(errors);
    Py_DECREF(module);
}

static PyObject *nested;

/* A log callback of a host may well be written in Python. */
static void
write_again(void *user, wsgi_log_level level, const char *entry)
{
    collect(user, level, entry);
    if (strcmp(entry, "in") != 0)
        Py_XDECREF(PyObject_CallMethod(nested, "write", "s", "in\nbegun"));
}

Test(errors, log_callback_may_write)
{
    static const wsgi__log log = { WSGI_LOG_DEBUG, write_again, NULL };
    PyObject *module = python_module("nested", "");
    nested = new_errors(module, &log);
    run(module, "e.write('a\\n')");
    cr_expect_str_eq(wsgi__buf_str(&logged), "a|in|");
    run(module, "e.write('b')");
    wsgi__errors_detach(nested);
    cr_expect_str_eq(wsgi__buf_str(&logged), "a|in|begunb|in|");
    cr_redirect_stderr(); /* where the last beginning goes */
    Py_CLEAR(nested);
    Py_DECREF(module);
}

/* An entry comes out, whatever allocation fails. */
Test(errors, out_of_memory_loses_no_entry)
{
    PyObject *module = python_module("memory", "");
    PyObject *errors = new_errors(module, &collecting);
    for (long nth = 1; nth < 10; nth++) {
        wsgi__buf_reset(&logged);
        wsgi__buf_reserve(&logged, 4096);
        wsgi__mem_fail_nth(nth);
        run(module, "e.write('a'); e.write('b\\n')");
        wsgi__mem_fail_nth(0);
        cr_expect_neq(logged.len, 0, "allocation %ld", nth);
        wsgi__errors_flush(errors);
    }
    cr_expect_str_eq(wsgi__buf_str(&logged), "ab|", "not usable afterwards");
    Py_DECREF(errors);
    Py_DECREF(module);
}

Test(errors, is_not_made_by_applications)
{
    PyObject *module = python_module("made", "");
    PyObject *errors = new_errors(module, NULL);
    Py_XDECREF(python_eval(module, "type(e)()"));
    cr_expect(python_raised(PyExc_TypeError, "cannot create"));
    Py_DECREF(errors);
    Py_DECREF(module);
}
