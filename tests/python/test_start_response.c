/* start_response() and write(): what is accepted, refused, kept, and when. */
#include "support/python.h"

#include <criterion/criterion.h>

#include "base/buf.h"
#include "base/mem.h"
#include "python/start_response.h"

TestSuite(start_response, .init = python_start, .fini = python_stop);

/* A sink that collects what write() gives it. */
typedef struct fake_sink {
    wsgi__call_sink sink;
    wsgi__buf bytes;
    PyObject *ends;    /* what to end within the write, or NULL */
    int (*fail)(void); /* what to return, or NULL */
} fake_sink;

static int
fake_write(wsgi__call_sink *sink, PyObject *bytes)
{
    fake_sink *fake = (fake_sink *)(void *)sink;
    cr_expect(PyBytes_GET_SIZE(bytes) > 0, "an empty write");
    if (fake->ends)
        wsgi__start_response_end(fake->ends);
    wsgi__buf_append(&fake->bytes, PyBytes_AS_STRING(bytes),
                     (size_t)PyBytes_GET_SIZE(bytes));
    return fake->fail ? fake->fail() : 0;
}

typedef struct fixture {
    PyTypeObject *type;
    PyObject *module;
    PyObject *start; /* also `s` of the module */
    fake_sink fake;
} fixture;

static void
renew(fixture *f)
{
    if (f->start)
        wsgi__start_response_end(f->start);
    Py_XDECREF(f->start);
    f->start = wsgi__start_response_new(f->type, &f->fake.sink);
    cr_assert_not_null(f->start);
    cr_assert_eq(PyObject_SetAttrString(f->module, "s", f->start), 0);
    wsgi__buf_reset(&f->fake.bytes);
}

static const char *const source =
    "import sys, gc\n"
    "class Str(str): pass\n"
    "class Pair(tuple): pass\n"
    "class Clearing:\n"
    "    def __repr__(self):\n"
    "        listed.clear()\n"
    "        return 'shown'\n"
    "listed = []\n"
    "def cleared(make):\n"
    "    listed[:] = [make(Clearing())]\n"
    "    s('200 OK', listed)\n"
    "def info(kind=ValueError, text='first'):\n"
    "    try: raise kind(text)\n"
    "    except kind: return sys.exc_info()\n"
    "def again(*args):\n"
    "    try: s(*args)\n"
    "    except ValueError as e: return e\n"
    "def handle():\n"
    "    try:\n"
    "        try: raise ValueError('first')\n"
    "        except ValueError: s('500 No', [], sys.exc_info())\n"
    "    except ValueError: pass\n"
    "    else: raise AssertionError\n";

static void
set_up(fixture *f)
{
    *f = (fixture){ .type = wsgi__start_response_type(),
                    .module = python_module("site", source),
                    .fake = { .sink = { fake_write } } };
    wsgi__buf_init(&f->fake.bytes, 65536);
    cr_assert_not_null(f->type);
    renew(f);
}

static void
tear_down(fixture *f)
{
    wsgi__buf_free(&f->fake.bytes);
    wsgi__start_response_end(f->start);
    Py_DECREF(f->start);
    Py_DECREF(f->module);
    Py_DECREF(f->type);
}

/* ---- What is kept ------------------------------------------------------- */

/* "status|name=value|..." */
static const char *
shown(wsgi__buf *text, const wsgi__response *response)
{
    wsgi__buf_reset(text);
    if (!response)
        return "(none)";
    wsgi__buf_append(text, response->status.ptr, response->status.len);
    for (size_t i = 0; i < response->n_headers; i++) {
        const wsgi__header *header = &response->headers[i];
        wsgi__buf_puts(text, "|");
        wsgi__buf_append(text, header->name.ptr, header->name.len);
        wsgi__buf_puts(text, "=");
        wsgi__buf_escape(text, header->value);
    }
    return wsgi__buf_str(text);
}

typedef struct good {
    const char *call;
    const char *kept;
    int code;
    int64_t length;
} good;

static const good goods[] = {
    { "s('200 OK', [])", "200 OK", 200, -1 },
    { "s('404 Not Found', [('A', 'b')])", "404 Not Found|A=b", 404, -1 },
    { "s('299 Odd reason', [('A', 'b'), ('a', ''), ('C-d', 'x y')])",
      "299 Odd reason|A=b|a=|C-d=x y", 299, -1 },
    { "s('200 OK', [('Content-Length', '12')])", "200 OK|Content-Length=12",
      200, 12 },
    { "s('200 OK', [('content-length', '0')])", "200 OK|content-length=0", 200,
      0 },
    { "s('200 OK', [('Set-Cookie', 'a=1'), ('Set-Cookie', 'b=2')])",
      "200 OK|Set-Cookie=a=1|Set-Cookie=b=2", 200, -1 },
    { "s('200 OK', [('A', '\\xe4')])", "200 OK|A=\\xe4", 200, -1 },
    { "s('200 OK', [('A', 'b')], None)", "200 OK|A=b", 200, -1 },
    { "s('200 OK', [('A', 'b')], info())", "200 OK|A=b", 200, -1 },
    { "s('200 OK', [('A', 'b')], exc_info=None)", "200 OK|A=b", 200, -1 },
    { "s('200 OK', [('A', 'b')], exc_info=info())", "200 OK|A=b", 200, -1 },
    { "s('200 OK', [], (None, None, None))", "200 OK", 200, -1 },
    { "s(Str('200 OK'), [Pair((Str('A'), Str('b')))])", "200 OK|A=b", 200,
      -1 },
    { "s(*('200 OK', [('A', 'b')]))", "200 OK|A=b", 200, -1 },
    { "[s('500 No', [('A', 'b')]), s('200 OK', [('C', 'd')], info())]",
      "200 OK|C=d", 200, -1 },
    { "len([s('200 OK', [('X-%d' % i, 'v' * 10) for i in range(3)])])",
      "200 OK|X-0=vvvvvvvvvv|X-1=vvvvvvvvvv|X-2=vvvvvvvvvv", 200, -1 },
};

Test(start_response, keeps_what_is_right)
{
    fixture f;
    wsgi__buf text;
    set_up(&f);
    wsgi__buf_init(&text, 65536);
    for (size_t i = 0; i < sizeof(goods) / sizeof(*goods); i++) {
        renew(&f);
        PyObject *result = python_eval(f.module, goods[i].call);
        cr_expect(python_quiet(), "%s", goods[i].call);
        Py_XDECREF(result);
        wsgi__response *response = wsgi__start_response_get(f.start);
        cr_expect_str_eq(shown(&text, response), goods[i].kept, "%s: %s",
                         goods[i].call, text.data);
        cr_assert_not_null(response);
        cr_expect_eq(response->code, goods[i].code, "%s", goods[i].call);
        cr_expect_eq(response->content_length, goods[i].length, "%s",
                     goods[i].call);
        cr_expect_eq(response->known_length, -1, "%s", goods[i].call);
    }
    wsgi__buf_free(&text);
    tear_down(&f);
}

/* More than fits on the stack. */
Test(start_response, keeps_many_headers)
{
    fixture f;
    set_up(&f);
    Py_XDECREF(python_eval(
        f.module, "s('200 OK', [('X-%d' % i, str(i)) for i in range(1000)])"));
    cr_expect(python_quiet());
    const wsgi__response *response = wsgi__start_response_get(f.start);
    cr_assert_not_null(response);
    cr_assert_eq(response->n_headers, 1000);
    cr_expect(wsgi__span_eq(response->headers[999].name, WSGI__SPAN("X-999")));
    cr_expect(wsgi__span_eq(response->headers[999].value, WSGI__SPAN("999")));
    tear_down(&f);
}

/* The objects may change or go: what is kept is a copy. */
Test(start_response, keeps_copies)
{
    fixture f;
    wsgi__buf text;
    set_up(&f);
    wsgi__buf_init(&text, 65536);
    PyObject *result = PyRun_String(
        "h = [('A', 'b' * 100)]\ns('200 ' + 'x' * 100, h)\n"
        "h.append(('C', 'd'))\nh[0] = None\ndel h\ngc.collect()\n",
        Py_file_input, PyModule_GetDict(f.module), PyModule_GetDict(f.module));
    cr_expect(python_quiet());
    Py_XDECREF(result);
    const char *kept = shown(&text, wsgi__start_response_get(f.start));
    cr_expect_eq(strlen(kept), 104 + 3 + 100, "%s", kept);
    wsgi__buf_free(&text);
    tear_down(&f);
}

/* ---- What is refused ---------------------------------------------------- */

typedef struct bad {
    const char *call;
    PyObject **type;
    const char *says;
} bad;

static const bad bads[] = {
    /* status */
    { "s(200, [])", &PyExc_TypeError,
      "status must be str such as \"200 OK\"" },
    { "s(b'200 OK', [])", &PyExc_TypeError, "not bytes" },
    { "s(None, [])", &PyExc_TypeError, "not NoneType" },
    { "s('200', [])", &PyExc_ValueError, "status '200': " },
    { "s('OK', [])", &PyExc_ValueError, "200 OK" },
    { "s('', [])", &PyExc_ValueError, "status ''" },
    { "s('200 OK\\r\\nX: y', [])", &PyExc_ValueError, "line end" },
    { "s('200 \\u20ac', [])", &PyExc_ValueError, "latin-1" },
    /* the list */
    { "s('200 OK', {'A': 'b'})", &PyExc_TypeError,
      "headers must be a list of (name, value) tuples, not dict: use "
      "list(headers.items())" },
    { "s('200 OK', (('A', 'b'),))", &PyExc_TypeError,
      "not tuple: use list(headers)" },
    { "s('200 OK', None)", &PyExc_TypeError, "not NoneType" },
    { "s('200 OK', iter([]))", &PyExc_TypeError, "use list(headers)" },
    { "s('200 OK', [['A', 'b']])", &PyExc_TypeError,
      "item 0 is ['A', 'b'] of type list: write (name, value)" },
    { "s('200 OK', [('A', 'b'), 'C: d'])", &PyExc_TypeError,
      "item 1 is 'C: d' of type str" },
    { "s('200 OK', [('A', 'b', 'c')])", &PyExc_TypeError, "item 0" },
    { "s('200 OK', [()])", &PyExc_TypeError, "item 0 is ()" },
    /* types of names and values */
    { "s('200 OK', [('X-Count', 5)])", &PyExc_TypeError,
      "header 'X-Count' has the value 5 of type int; WSGI needs str: "
      "str(5)" },
    { "s('200 OK', [('A', b'x')])", &PyExc_TypeError,
      "header 'A' has the value b'x' of type bytes; WSGI needs str: "
      ".decode(\"latin-1\")" },
    { "s('200 OK', [('A', None)])", &PyExc_TypeError,
      "header 'A' has the value None; WSGI needs str: leave the header out" },
    { "s('200 OK', [(b'A', 'x')])", &PyExc_TypeError,
      "a name b'A' of type bytes" },
    { "s('200 OK', [(1, 'x')])", &PyExc_TypeError, "a name 1 of type int" },
    /* the list has let them go before the message is complete */
    { "cleared(lambda c: (chr(65) * 9, c))", &PyExc_TypeError,
      "header 'AAAAAAAAA' has the value shown of type Clearing; WSGI needs "
      "str: str(shown)" },
    { "cleared(lambda c: (c, 'x'))", &PyExc_TypeError,
      "header shown has a name shown of type Clearing" },
    { "cleared(lambda c: c)", &PyExc_TypeError,
      "item 0 is shown of type Clearing" },
    /* what they say */
    { "s('200 OK', [('A', '\\u20ac')])", &PyExc_ValueError,
      "encode as RFC 8187 or percent-encode" },
    { "s('200 OK', [('\\u20ac', 'x')])", &PyExc_ValueError, "ASCII letters" },
    { "s('200 OK', [('A', 'x\\r\\nSet-Cookie: a=b')])", &PyExc_ValueError,
      "header 'A' with the value 'x\\r\\nSet-Cookie: a=b'" },
    { "s('200 OK', [('A', 'x\\0')])", &PyExc_ValueError, "control" },
    { "s('200 OK', [('A b', 'x')])", &PyExc_ValueError, "header 'A b'" },
    { "s('200 OK', [('A:', 'x')])", &PyExc_ValueError, "header 'A:'" },
    { "s('200 OK', [('', 'x')])", &PyExc_ValueError, "header ''" },
    { "s('200 OK', [('\\xe4', 'x')])", &PyExc_ValueError,
      "header '\xc3\xa4'" },
    { "s('200 OK', [('Connection', 'close')])", &PyExc_ValueError,
      "hop-by-hop" },
    { "s('200 OK', [('transfer-encoding', 'chunked')])", &PyExc_ValueError,
      "Transfer-Encoding" },
    { "s('200 OK', [('Content-Length', 'x')])", &PyExc_ValueError,
      "Content-Length" },
    { "s('200 OK', [('Content-Length', '1'), ('Content-Length', '2')])",
      &PyExc_ValueError, "Content-Length" },
    { "s('200 OK', [('A', 'x' * (1 << 20))])", &PyExc_ValueError,
      "longer than 1048576 bytes" },
    { "s('200 OK', [None] * (1 << 20))", &PyExc_ValueError,
      "1048576 headers" },
    /* arguments */
    { "s()", &PyExc_TypeError, "takes status, headers" },
    { "s('200 OK')", &PyExc_TypeError, "1 by position" },
    { "s('200 OK', [], None, None)", &PyExc_TypeError, "4 by position" },
    { "s('200 OK', [], status='x')", &PyExc_TypeError, "1 by name" },
    { "s('200 OK', headers=[])", &PyExc_TypeError, "1 by name" },
    { "s('200 OK', [], None, exc_info=None)", &PyExc_TypeError, "by name" },
    { "s('200 OK', [], 'x')", &PyExc_TypeError,
      "exc_info must be the tuple of sys.exc_info(), not str" },
    { "s('200 OK', [], (1, 2))", &PyExc_TypeError, "sys.exc_info()" },
    { "s('200 OK', [], ValueError())", &PyExc_TypeError, "not ValueError" },
    /* order */
    { "[s('200 OK', []), s('200 OK', [])]", &PyExc_AssertionError,
      "was called before; a second call needs exc_info" },
    { "[s('200 OK', []), s('200 OK', [], None)]", &PyExc_AssertionError,
      "called before" },
    { "[s('200 OK', []), s('200 OK', [], (None, None, None))]",
      &PyExc_AssertionError, "called before" },
    { "[s('200 OK', []), s('200', [], info())]", &PyExc_ValueError, "'200'" },
    /* write() */
    { "s('200 OK', [])('x')", &PyExc_TypeError,
      "write() needs bytes, not str: b\"...\" or .encode()" },
    { "s('200 OK', [])(bytearray(b'x'))", &PyExc_TypeError, "bytes(...)" },
    { "s('200 OK', [])(None)", &PyExc_TypeError, "not NoneType" },
    { "s('200 OK', [])()", &PyExc_TypeError, "write" },
};

Test(start_response, refuses_what_is_wrong_and_says_why)
{
    fixture f;
    set_up(&f);
    for (size_t i = 0; i < sizeof(bads) / sizeof(*bads); i++) {
        renew(&f);
        PyObject *result = python_eval(f.module, bads[i].call);
        cr_expect_null(result, "%s was accepted", bads[i].call);
        Py_XDECREF(result);
        cr_expect(python_raised(*bads[i].type, bads[i].says), "%s",
                  bads[i].call);
        cr_expect_eq(f.fake.bytes.len, 0, "%s", bads[i].call);
    }
    tear_down(&f);
}

/* The first answer stands when the one that was to replace it is wrong. */
Test(start_response, failed_replacement_leaves_the_first)
{
    fixture f;
    wsgi__buf text;
    set_up(&f);
    wsgi__buf_init(&text, 1024);
    Py_XDECREF(python_eval(f.module, "s('200 OK', [('A', 'b')])"));
    for (long nth = 0; nth < 3; nth++) {
        wsgi__mem_fail_nth(nth);
        Py_XDECREF(
            python_eval(f.module, nth ? "s('500 No', [('C', 'd' * 99)] * 30, "
                                        "info())"
                                      : "s('500 No', [('C', 5)], info())"));
        wsgi__mem_fail_nth(0);
        cr_expect(python_raised(nth ? PyExc_MemoryError : PyExc_TypeError, ""),
                  "%ld", nth);
        cr_expect_str_eq(shown(&text, wsgi__start_response_get(f.start)),
                         "200 OK|A=b", "%ld", nth);
    }
    wsgi__buf_free(&text);
    tear_down(&f);
}

/* ---- Order and write() -------------------------------------------------- */

Test(start_response, is_needed_before_the_body)
{
    fixture f;
    set_up(&f);
    cr_expect_eq(wsgi__start_response_final(f.start), -1);
    cr_expect(
        python_raised(PyExc_RuntimeError, "did not call start_response()"));
    cr_expect_null(wsgi__start_response_get(f.start));
    tear_down(&f);
}

/* PEP 3333: after the head, exc_info is raised, with its own traceback. */
Test(start_response, raises_exc_info_after_the_head)
{
    fixture f;
    set_up(&f);
    Py_XDECREF(python_eval(f.module, "s('200 OK', [])"));
    cr_expect_eq(wsgi__start_response_final(f.start), 0);
    cr_expect_eq(wsgi__start_response_final(f.start), 0);
    cr_expect(python_true(f.module,
                          "[i := info(), again('500 No', [], i) is i[1]][1]"));
    cr_expect(python_true(f.module,
                          "[i := info(), e := again('500 No', [], i), "
                          "e.__context__ is None][2]"));
    /* info's frame is the end of the traceback still. */
    cr_expect(python_true(f.module,
                          "[e := again('500 No', [], info()), "
                          "e.__traceback__.tb_next.tb_frame.f_code.co_name == "
                          "'info'][1]"));
    Py_XDECREF(python_eval(f.module, "s('500 No', [], info(KeyError, 'k'))"));
    cr_expect(python_raised(PyExc_KeyError, "k"));
    Py_XDECREF(python_eval(f.module, "s('500 No', [], (ValueError, None, "
                                     "None))"));
    cr_expect(python_raised(PyExc_ValueError, ""));
    Py_XDECREF(python_eval(f.module, "s('500 No', [], (1, 2, 3))"));
    cr_expect(python_raised(PyExc_TypeError, "no exception in it"));
    Py_XDECREF(python_eval(f.module, "s('500 No', [])"));
    cr_expect(python_raised(PyExc_AssertionError, "called before"));
    tear_down(&f);
}

Test(start_response, exc_info_leaves_no_cycle)
{
    fixture f;
    set_up(&f);
    Py_XDECREF(python_eval(f.module, "s('200 OK', [])"));
    wsgi__start_response_final(f.start);
    cr_expect(python_true(f.module, "[gc.collect(), gc.disable(), "
                                    "[handle() for i in range(100)], "
                                    "gc.collect()][3] == 0"));
    tear_down(&f);
}

Test(start_response, write_goes_to_the_sink)
{
    fixture f;
    set_up(&f);
    cr_expect(python_true(f.module, "[w := s('200 OK', []), w(b'a'), w(b''), "
                                    "w(b'bc')][1:] == [None] * 3"));
    cr_expect(python_true(f.module, "callable(w) and w.__name__ == 'write'"));
    cr_expect_str_eq(wsgi__buf_str(&f.fake.bytes), "abc");
    cr_expect(wsgi__start_response_wrote(f.start));
    /* The head is final. */
    Py_XDECREF(python_eval(f.module, "s('500 No', [], info())"));
    cr_expect(python_raised(PyExc_ValueError, "first"));
    tear_down(&f);
}

Test(start_response, empty_write_leaves_the_head_open)
{
    fixture f;
    set_up(&f);
    Py_XDECREF(python_eval(f.module, "s('200 OK', [])(b'')"));
    cr_expect_not(wsgi__start_response_wrote(f.start));
    Py_XDECREF(python_eval(f.module, "s('500 No', [], info())"));
    cr_expect(python_quiet());
    cr_expect_eq(wsgi__start_response_get(f.start)->code, 500);
    tear_down(&f);
}

static int
just_fail(void)
{
    return -1;
}

static int
fail_with_exception(void)
{
    PyErr_SetString(PyExc_BrokenPipeError, "gone");
    return -1;
}

Test(start_response, write_says_when_the_sink_fails)
{
    fixture f;
    set_up(&f);
    f.fake.fail = just_fail;
    Py_XDECREF(python_eval(f.module, "s('200 OK', [])(b'x')"));
    cr_expect(python_raised(PyExc_RuntimeError, "write() failed"));
    renew(&f);
    f.fake.fail = fail_with_exception;
    Py_XDECREF(python_eval(f.module, "s('200 OK', [])(b'x')"));
    cr_expect(python_raised(PyExc_BrokenPipeError, "gone"));
    tear_down(&f);
}

Test(start_response, raises_after_the_end)
{
    fixture f;
    set_up(&f);
    Py_XDECREF(python_eval(f.module, "globals().update(w=s('200 OK', []))"));
    wsgi__start_response_end(f.start);
    cr_expect_not_null(wsgi__start_response_get(f.start), "kept till freed");
    static const char *const calls[] = { "s('200 OK', [])",
                                         "s('200 OK', [], info())", "w(b'x')",
                                         "w(b'')" };
    for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
        Py_XDECREF(python_eval(f.module, calls[i]));
        cr_expect(
            python_raised(PyExc_RuntimeError, "after its request had ended"),
            "%s", calls[i]);
    }
    tear_down(&f);
}

/* The sink may give back the GIL, and the request end meanwhile. */
Test(start_response, stands_an_end_within_write)
{
    fixture f;
    set_up(&f);
    f.fake.ends = f.start;
    Py_XDECREF(python_eval(f.module, "globals().update(w=s('200 OK', []))"));
    Py_XDECREF(python_eval(f.module, "w(b'x')"));
    cr_expect(python_quiet());
    Py_XDECREF(python_eval(f.module, "w(b'x')"));
    cr_expect(python_raised(PyExc_RuntimeError, "ended"));
    tear_down(&f);
}

Test(start_response, renewed_is_as_new)
{
    fixture f;
    set_up(&f);
    static const char *const calls[] = {
        "s('200 OK', [('A', 'b')])",
        "s('200 OK', [('A', 'b' * 9999)])",
    };
    for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
        Py_XDECREF(python_eval(f.module, calls[i]));
        cr_expect(python_quiet());
        wsgi__start_response_end(f.start);
        wsgi__start_response_renew(f.start, &f.fake.sink);
        cr_expect_null(wsgi__start_response_get(f.start));
        cr_expect_not(wsgi__start_response_wrote(f.start));
    }
    Py_XDECREF(python_eval(f.module, "s('404 No', [])(b'x')"));
    cr_expect_eq(wsgi__start_response_get(f.start)->code, 404);
    cr_expect_str_eq(wsgi__buf_str(&f.fake.bytes), "x");
    tear_down(&f);
}

/* The text of what is kept, "200 OK|A=b|length", or the exception's type. */
static void
put_kept(wsgi__buf *out, fixture *f, const char *call)
{
    Py_XDECREF(python_eval(f->module, call));
    wsgi__response *kept = wsgi__start_response_get(f->start);
    wsgi__buf_reset(out);
    if (PyErr_Occurred() || !kept) {
        wsgi__buf_puts(out, PyErr_Occurred() ? "raises" : "nothing");
        PyErr_Clear();
        return;
    }
    wsgi__buf_append(out, kept->status.ptr, kept->status.len);
    for (size_t i = 0; i < kept->n_headers; i++) {
        wsgi__buf_puts(out, "|");
        wsgi__buf_append(out, kept->headers[i].name.ptr,
                         kept->headers[i].name.len);
        wsgi__buf_puts(out, "=");
        wsgi__buf_append(out, kept->headers[i].value.ptr,
                         kept->headers[i].value.len);
    }
    wsgi__buf_printf(out, "|%d %lld %lld", kept->code,
                     (long long)kept->content_length,
                     (long long)kept->known_length);
}

static void
set_known_length(fixture *f)
{
    if (wsgi__start_response_get(f->start))
        wsgi__start_response_get(f->start)->known_length = 77;
}

/* What was said in the response before is not checked again; nothing else may
 * pass for it. */
Test(start_response, what_was_said_before_changes_nothing)
{
    static const char *const calls[] = {
        "s('200 OK', [('A', 'b'), ('C', 'd')])",
        "s('200 OK', [('A', 'b'), ('C', 'e')])",
        "s('200 OK', [('A', 'b')])",
        "s('200 OK', [('C', 'd'), ('A', 'b')])",
        "s('200 OK', [('A', 'b'), ('C', 'd'), ('E', 'f')])",
        "s('404 No', [('A', 'b'), ('C', 'd')])",
        "s('200 OK', [('Content-Length', '12')])",
        "s('200 OK', [])",
        "s('200 OK', [('A', 'b' * 5000)])",
        "s('200 OK', [('A', 'b'), ('C', b'd')])",
        "s('200 OK', [('A', 'b'), ['C', 'd']])",
        "s('200 OK', [('A', 'b'), ('C', 'd', 'e')])",
        "s('200 OK', [('A', 'b'), ('C', '\\u0164')])",
        "s('200 OK', (('A', 'b'), ('C', 'd')))",
        "s(b'200 OK', [('A', 'b'), ('C', 'd')])",
    };
    const size_t n = sizeof(calls) / sizeof(*calls);
    fixture f;
    wsgi__buf fresh = { .max = 100000 }, after = { .max = 100000 };
    set_up(&f);
    for (size_t before = 0; before < n; before++)
        for (size_t i = 0; i < n; i++) {
            PyObject *used = f.start;
            put_kept(&after, &f, calls[before]);
            set_known_length(&f);
            wsgi__start_response_renew(f.start, &f.fake.sink);
            put_kept(&after, &f, calls[i]);
            f.start = wsgi__start_response_new(f.type, &f.fake.sink);
            PyObject_SetAttrString(f.module, "s", f.start);
            put_kept(&fresh, &f, calls[i]);
            cr_expect_str_eq(wsgi__buf_str(&after), wsgi__buf_str(&fresh),
                             "%s after %s", calls[i], calls[before]);
            Py_DECREF(f.start);
            f.start = used;
            PyObject_SetAttrString(f.module, "s", f.start);
            wsgi__start_response_renew(f.start, &f.fake.sink);
        }
    wsgi__buf_free(&fresh);
    wsgi__buf_free(&after);
    tear_down(&f);
}

static uint64_t
number_of(fixture *f, const char *call)
{
    wsgi__start_response_renew(f->start, &f->fake.sink);
    Py_XDECREF(python_eval(f->module, call));
    cr_assert(python_quiet());
    return wsgi__start_response_get(f->start)->number;
}

/* Who remembers what was made of a response goes by its number. */
Test(start_response, equal_responses_have_one_number)
{
    static const char *const others[] = {
        "s('200 OK', [('A', 'c')])",     "s('200 OK', [('B', 'b')])",
        "s('200 ok', [('A', 'b')])",     "s('200 OK', [])",
        "s('200 OK', [('A', 'b')] * 2)",
    };
    const char *call = "s('200 OK', [('A', 'b')])";
    fixture f;
    set_up(&f);
    uint64_t latest = 0;
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
        uint64_t number = number_of(&f, call);
        cr_expect_gt(number, latest, "not one that was there before");
        cr_expect_eq(number_of(&f, call), number);
        latest = number_of(&f, others[i]);
        cr_expect_gt(latest, number, "%s", others[i]);
    }
    tear_down(&f);
}

Test(start_response, raises_when_out_of_memory)
{
    fixture f;
    set_up(&f);
    static const char *const calls[] = {
        "s('200 OK', [('A', 'b')])",
        "s('200 OK', [('A', 'b')] * 30)",
    };
    for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++)
        for (long nth = 1;; nth++) {
            renew(&f);
            wsgi__mem_fail_nth(nth);
            PyObject *write = python_eval(f.module, calls[i]);
            bool reached = wsgi__mem_count() >= nth;
            wsgi__mem_fail_nth(0);
            if (!reached) {
                cr_expect_not_null(write, "%s", calls[i]);
                Py_XDECREF(write);
                break;
            }
            cr_expect_null(write, "%s, allocation %ld", calls[i], nth);
            cr_expect(python_raised(PyExc_MemoryError, ""));
            cr_expect_null(wsgi__start_response_get(f.start));
        }
    tear_down(&f);
}

Test(start_response, leaks_nothing)
{
    fixture f;
    set_up(&f);
    Py_ssize_t before = Py_REFCNT(f.type);
    for (int i = 0; i < 1000; i++) {
        renew(&f);
        Py_XDECREF(python_eval(
            f.module, i % 2 ? "s('200 OK', [('A', 'b')])(b'x')"
                            : "globals().update(w=s('200 OK', [], info()))"));
        cr_assert(python_quiet());
    }
    PyObject_SetAttrString(f.module, "w", Py_None);
    cr_expect_eq(Py_REFCNT(f.type), before, "%zd", Py_REFCNT(f.type) - before);
    tear_down(&f);
}
