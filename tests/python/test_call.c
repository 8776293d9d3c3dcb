/* One WSGI call, from the request to the last block, as PEP 3333 wants it. */
#include "support/python.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <inttypes.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "python/call.h"
#include "support/pymem.h"
#include "support/request.h"

TestSuite(call, .init = python_start, .fini = python_stop);

#define SPAN(text)                                                            \
    {                                                                         \
        (text), sizeof(text) - 1                                              \
    }

static const wsgi__conn_info conn = {
    .remote_addr = SPAN("192.0.2.7"),
    .remote_port = SPAN("51000"),
    .server_name = SPAN("www.example"),
    .server_port = SPAN("80"),
    .script_name = SPAN(""),
};

/* What a call did, as text: HEAD, DATA, FILE, WRITE, END, ERROR, CLOSE, LOG. */
typedef struct fixture {
    wsgi__call_sink sink;
    PyObject *module;
    wsgi__buf did;
    wsgi__call *now; /* the call under way */
} fixture;

static const char *const source =
    "import sys, io, os, gc, weakref, tempfile\n"
    "from wsgiref.validate import validator\n"
    "H = [('Content-Type', 'text/plain')]\n"
    "seen = []\n"
    "def info():\n"
    "    try: raise ValueError('first')\n"
    "    except ValueError: return sys.exc_info()\n"
    /* An application that answers and returns what f() gives. */
    "def ok(f):\n"
    "    def app(environ, start_response):\n"
    "        start_response('200 OK', H)\n"
    "        return f()\n"
    "    return app\n"
    "def none(f):\n"
    "    return lambda environ, start_response: f()\n"
    "class Blocks:\n"
    "    def __init__(self, *blocks): self.blocks = blocks\n"
    "    def __iter__(self): return iter(self.blocks)\n"
    "    def close(self): seen.append('closed')\n"
    "class BadClose(Blocks):\n"
    "    def close(self): raise KeyError('close')\n"
    "class Items:\n"
    "    def __init__(self, *blocks): self.blocks = blocks\n"
    "    def __len__(self): return len(self.blocks)\n"
    "    def __getitem__(self, i): return self.blocks[i]\n"
    "class Bytes(bytes): pass\n"
    "class List(list):\n"
    "    def close(self): seen.append('closed')\n"
    "class Slots:\n"
    "    __slots__ = ()\n"
    "    def __iter__(self): return iter([b'x'])\n"
    "def raiser(*blocks, error=ValueError):\n"
    "    try:\n"
    "        yield from blocks\n"
    "        raise error('within')\n"
    "    finally: seen.append('closed')\n"
    "def late(environ, start_response):\n"
    "    yield b''\n"
    "    start_response('202 Late', H)\n"
    "    yield b''\n"
    "    yield b'x'\n"
    "def latest(environ, start_response):\n"
    "    yield b''\n"
    "    start_response('204 No Content', [])\n"
    "def never(environ, start_response):\n"
    "    yield b'x'\n"
    "def writes(environ, start_response):\n"
    "    write = start_response('200 OK', H)\n"
    "    write(b'a'); write(b''); write(b'bc')\n"
    "    return [b'd']\n"
    "def writes_only(environ, start_response):\n"
    "    start_response('200 OK', H)(b'a')\n"
    "    return []\n"
    "def write_then_fail(environ, start_response):\n"
    "    start_response('200 OK', H)(b'a')\n"
    "    try: raise ValueError('first')\n"
    "    except ValueError: start_response('500 No', H, sys.exc_info())\n"
    "def replaces(environ, start_response):\n"
    "    start_response('200 OK', H)\n"
    "    try: raise ValueError('first')\n"
    "    except ValueError: start_response('500 No', H, sys.exc_info())\n"
    "    return [b'sorry']\n"
    "def fails_late(environ, start_response):\n"
    "    start_response('200 OK', H)\n"
    "    yield b'a'\n"
    "    start_response('500 No', H, info())\n"
    "def replaces_in_time(environ, start_response):\n"
    "    start_response('200 OK', H)\n"
    "    yield b''\n"
    "    start_response('500 No', H, info())\n"
    "    yield b'sorry'\n"
    "def twice(environ, start_response):\n"
    "    start_response('200 OK', H)\n"
    "    start_response('200 OK', H)\n";

/* The same module: a string of C99 has its limit. */
static const char *const more_source =
    "def echo(environ, start_response):\n"
    "    start_response('200 OK', H)\n"
    "    return [environ['REQUEST_METHOD'].encode(), b' ',\n"
    "            environ['wsgi.input'].read()]\n"
    "def complains(environ, start_response):\n"
    "    print('said', file=environ['wsgi.errors'])\n"
    "    environ['wsgi.errors'].write('begun')\n"
    "    start_response('200 OK', H)\n"
    "    return []\n"
    "def truths(environ, start_response):\n"
    "    start_response('200 OK', H)\n"
    "    e = environ\n"
    "    assert e['wsgi.version'] == (1, 0)\n"
    "    assert e['wsgi.multithread'] is True\n"
    "    assert e['wsgi.multiprocess'] is False\n"
    "    assert e['wsgi.run_once'] is False\n"
    "    assert e['wsgi.input_terminated'] is True\n"
    "    assert e['SERVER_SOFTWARE'] == 'libwsgi/test'\n"
    "    assert e['wsgi.url_scheme'] == 'http'\n"
    "    return []\n"
    "class App:\n"
    "    def __call__(self, environ, start_response):\n"
    "        start_response('200 OK', H); return [b'object']\n"
    "    def method(self, environ, start_response):\n"
    "        start_response('200 OK', H); return [b'method']\n"
    "class ClassApp:\n"
    "    def __init__(self, environ, start_response):\n"
    "        self.start = start_response\n"
    "    def __iter__(self):\n"
    "        self.start('200 OK', H); yield b'class'\n"
    "def wrapped(make):\n"
    "    def app(environ, start_response):\n"
    "        start_response('200 OK', H)\n"
    "        return environ['wsgi.file_wrapper'](make())\n"
    "    return app\n"
    "def file(size, where=0):\n"
    "    f = tempfile.TemporaryFile()\n"
    "    f.write(b'x' * size); f.seek(where); return f\n"
    "def keeps(environ, start_response):\n"
    "    write = start_response('200 OK', H)\n"
    "    seen.append((environ, start_response, write))\n"
    "    return [b'x']\n"
    "def checked(environ, start_response):\n"
    "    f, e = environ['wsgi.input'], environ['wsgi.errors']\n"
    "    assert f.readline(2) and f.readlines() and not f.read(1)\n"
    "    e.write('x\\n'); e.writelines(['y\\n']); e.flush()\n"
    "    write = start_response('200 OK', H)\n"
    "    yield b'x'\n"
    "def exits(environ, start_response):\n"
    "    sys.exit('bye')\n"
    "from contextvars import ContextVar\n"
    "who, left = ContextVar('who', default='nobody'), []\n"
    "class Named:\n"
    "    def __init__(self, name): self.token = who.set(name); self.n = 0\n"
    "    def __iter__(self): return self\n"
    "    def __next__(self):\n"
    "        self.n += 1\n"
    "        if self.n > 2: raise StopIteration\n"
    "        return who.get().encode()\n"
    "    def close(self): left.append(who.get()); who.reset(self.token)\n"
    "setting = ContextVar('setting'); setting.set('imported')\n"
    "def settings(environ, start_response):\n"
    "    start_response('200 OK', H)\n"
    "    was = setting.get(); setting.set('changed')\n"
    "    return [was.encode()]\n"
    "def named(environ, start_response):\n"
    "    start_response('200 OK', H)\n"
    "    return Named(str(len(left)) + environ['REQUEST_METHOD'])\n";

/* ---- Running one -------------------------------------------------------- */

static void
note(fixture *f, const char *what, PyObject *bytes)
{
    if (f->did.len)
        wsgi__buf_puts(&f->did, "|");
    wsgi__buf_puts(&f->did, what);
    if (bytes) {
        wsgi__buf_puts(&f->did, " ");
        wsgi__buf_append(&f->did, PyBytes_AS_STRING(bytes),
                         (size_t)PyBytes_GET_SIZE(bytes));
    }
}

/* "what Type: text"; clears the exception. */
static void
note_raised(fixture *f, const char *what)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    cr_assert_not_null(type, "%s without an exception", what);
    PyObject *text =
        PyUnicode_FromFormat("%s: %S", ((PyTypeObject *)type)->tp_name, value);
    PyObject *bytes = PyUnicode_AsUTF8String(text);
    note(f, what, bytes);
    Py_DECREF(bytes);
    Py_DECREF(text);
    Py_DECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
}

static void
note_head(fixture *f)
{
    char text[64];
    const wsgi__response *response = wsgi__call_response(f->now);
    cr_assert_not_null(response, "a step without a head");
    snprintf(text, sizeof(text), "HEAD %d %" PRId64 "%s", response->code,
             response->known_length,
             wsgi__call_is_gathered(f->now) ? " gathered" : "");
    note(f, text, NULL);
}

static int
note_write(wsgi__call_sink *sink, PyObject *bytes)
{
    fixture *f = (fixture *)(void *)sink;
    cr_expect_not_null(wsgi__call_response(f->now), "no head with write()");
    note(f, "WRITE", bytes);
    return 0;
}

static void
note_log(void *user, wsgi_log_level level, const char *entry)
{
    (void)level;
    note(user, "LOG", NULL);
    wsgi__buf_puts(&((fixture *)user)->did, " ");
    wsgi__buf_puts(&((fixture *)user)->did, entry);
}

static void
note_file(fixture *f, const wsgi__call_chunk *chunk)
{
    char text[64], byte;
    snprintf(text, sizeof(text), "FILE %jd+%" PRId64, (intmax_t)chunk->at,
             chunk->len);
    note(f, text, NULL);
    cr_expect_eq(pread(chunk->fd, &byte, 1, chunk->at), 1);
}

static wsgi__step
take_step(fixture *f, bool *head)
{
    wsgi__call_chunk chunk;
    wsgi__step step = wsgi__call_next(f->now, &chunk);
    if (step != WSGI__STEP_ERROR && !*head) {
        *head = true;
        note_head(f);
    }
    switch (step) {
    case WSGI__STEP_DATA:
        cr_expect(PyBytes_GET_SIZE(chunk.bytes) > 0, "an empty block");
        cr_expect(PyBytes_CheckExact(chunk.bytes) ||
                      wsgi__call_is_gathered(f->now),
                  "a block with a destructor");
        note(f, "DATA", chunk.bytes);
        Py_DECREF(chunk.bytes);
        break;
    case WSGI__STEP_FILE:
        note_file(f, &chunk);
        break;
    case WSGI__STEP_END:
        note(f, "END", NULL);
        break;
    case WSGI__STEP_ERROR:
        note_raised(f, "ERROR");
        break;
    }
    return step;
}

static wsgi__call *
new_call(fixture *f, wsgi__app *app, const char *posted)
{
    static const request_text get = { .headers = { "Host: a" } };
    static const request_text post = {
        .method = "POST",
        .headers = { "Host: a", "Transfer-Encoding: chunked" }
    };
    request_fake fake;
    wsgi__body body;
    wsgi__body_init(&body, 1024);
    if (posted)
        cr_assert_eq(wsgi__body_append(&body, posted, strlen(posted)), 0);
    f->now = wsgi__call_new(app, request_fill(&fake, posted ? &post : &get),
                            &conn, &body, &f->sink);
    cr_expect_eq(body.len, 0, "the body was not taken over");
    wsgi__body_free(&body);
    return f->now;
}

static void
end_call(fixture *f)
{
    if (wsgi__call_close(f->now) < 0)
        note_raised(f, "CLOSE");
    cr_expect(python_quiet());
    cr_expect_eq(wsgi__call_close(f->now), 0, "closed twice");
    wsgi__call_free(f->now);
    f->now = NULL;
    cr_expect(python_quiet());
}

/* A whole call: what it did. */
static const char *
run(fixture *f, wsgi__app *app, const char *posted)
{
    bool head = false;
    wsgi__buf_reset(&f->did);
    cr_assert_not_null(new_call(f, app, posted));
    while (take_step(f, &head) < WSGI__STEP_END)
        ;
    end_call(f);
    return wsgi__buf_str(&f->did);
}

static wsgi__app *
new_app(PyObject *callable, const wsgi__log *log)
{
    static const wsgi__log silent = { WSGI_LOG_ERROR, NULL, NULL };
    const wsgi__app_settings settings = {
        .multithread = true,
        .software = "libwsgi/test",
        .log = log ? log : &silent,
    };
    return wsgi__app_new(callable, &settings);
}

static wsgi__app *
eval_app(fixture *f, const char *expression, const wsgi__log *log)
{
    PyObject *callable = python_eval(f->module, expression);
    cr_assert(python_quiet(), "%s", expression);
    wsgi__app *app = new_app(callable, log);
    Py_DECREF(callable);
    cr_assert_not_null(app, "%s", expression);
    return app;
}

static void
set_up(fixture *f)
{
    *f = (fixture){ .sink = { note_write },
                    .module = python_module("site", source) };
    PyObject *names = PyModule_GetDict(f->module);
    Py_XDECREF(PyRun_String(more_source, Py_file_input, names, names));
    cr_assert(python_quiet());
    wsgi__buf_init(&f->did, 1024 * 1024);
}

static void
tear_down(fixture *f)
{
    wsgi__buf_free(&f->did);
    Py_DECREF(f->module);
}

/* ---- What applications do ----------------------------------------------- */

typedef struct row {
    const char *app;
    const char *did;
} row;

static const row rows[] = {
    /* lists and tuples are known as a whole */
    { "ok(lambda: [b'abc'])", "HEAD 200 3 gathered|DATA abc|END" },
    { "ok(lambda: (b'a', b'bc'))", "HEAD 200 3 gathered|DATA a|DATA bc|END" },
    { "ok(lambda: [b'', b'a', b'', b'b', b''])",
      "HEAD 200 2 gathered|DATA a|DATA b|END" },
    { "ok(lambda: [])", "HEAD 200 0 gathered|END" },
    { "ok(lambda: ())", "HEAD 200 0 gathered|END" },
    { "ok(lambda: [b''])", "HEAD 200 0 gathered|END" },
    { "ok(lambda: [Bytes(b'abc')])", "HEAD 200 3 gathered|DATA abc|END" },
    { "ok(lambda: Blocks(Bytes(b'abc')))", "HEAD 200 -1|DATA abc|END" },
    /* everything else is iterated */
    { "ok(lambda: List([b'abc']))", "HEAD 200 -1|DATA abc|END" },
    { "ok(lambda: iter([b'a', b'b']))", "HEAD 200 -1|DATA a|DATA b|END" },
    { "ok(lambda: (x for x in [b'', b'a', b'', b'b', b'']))",
      "HEAD 200 -1|DATA a|DATA b|END" },
    { "ok(lambda: (x for x in []))", "HEAD 200 0|END" },
    { "ok(lambda: (x for x in [b'', b'']))", "HEAD 200 0|END" },
    { "ok(lambda: Blocks(b'a', b'b'))", "HEAD 200 -1|DATA a|DATA b|END" },
    { "ok(lambda: Items(b'a'))", "HEAD 200 -1|DATA a|END" },
    { "ok(Slots)", "HEAD 200 -1|DATA x|END" },
    { "ok(lambda: {b'a': 1})", "HEAD 200 -1|DATA a|END" },
    { "ok(lambda: io.BytesIO(b'a\\nb'))", "HEAD 200 -1|DATA a\n|DATA b|END" },
    { "ok(lambda: map(bytes, [b'a']))", "HEAD 200 -1|DATA a|END" },
    /* start_response() in time, replaced, late, never */
    { "late", "HEAD 202 -1|DATA x|END" },
    { "latest", "HEAD 204 0|END" },
    { "replaces", "HEAD 500 5 gathered|DATA sorry|END" },
    { "replaces_in_time", "HEAD 500 -1|DATA sorry|END" },
    { "fails_late", "HEAD 200 -1|DATA a|ERROR ValueError: first" },
    { "twice", "ERROR AssertionError: start_response() was called before; a "
               "second call needs exc_info: start_response(status, headers, "
               "sys.exc_info())" },
    { "never", "ERROR RuntimeError: the application did not call "
               "start_response() before its body: start_response(\"200 OK\", "
               "headers)" },
    { "none(lambda: [b'x'])", "ERROR RuntimeError: the application did not "
                              "call start_response() before its body: "
                              "start_response(\"200 OK\", headers)" },
    { "none(lambda: [])", "ERROR RuntimeError: the application did not call "
                          "start_response() before its body: "
                          "start_response(\"200 OK\", headers)" },
    { "none(lambda: iter([]))",
      "ERROR RuntimeError: the application did not call start_response() "
      "before its body: start_response(\"200 OK\", headers)" },
    /* write() */
    { "writes", "WRITE a|WRITE bc|HEAD 200 -1 gathered|DATA d|END" },
    { "writes_only", "WRITE a|HEAD 200 -1 gathered|END" },
    { "write_then_fail", "WRITE a|ERROR ValueError: first" },
    /* what is returned */
    { "ok(lambda: None)",
      "ERROR TypeError: the application returned NoneType; WSGI needs an "
      "iterable of bytes: return [b\"...\"]" },
    { "ok(lambda: 5)", "ERROR TypeError: the application returned int; WSGI "
                       "needs an iterable of bytes: [b\"...\"]" },
    { "ok(lambda: 'text')",
      "ERROR TypeError: the application returned str; WSGI needs an iterable "
      "of bytes: [b\"...\"] or [text.encode()]" },
    { "ok(lambda: '')",
      "ERROR TypeError: the application returned str; WSGI needs an iterable "
      "of bytes: [b\"...\"] or [text.encode()]" },
    { "ok(lambda: b'body')",
      "ERROR TypeError: the application returned bytes; WSGI needs an "
      "iterable of bytes: [body]" },
    { "ok(lambda: bytearray(b'body'))",
      "ERROR TypeError: the application returned bytearray; WSGI needs an "
      "iterable of bytes: [bytes(body)]" },
    { "ok(lambda: memoryview(b'body'))",
      "ERROR TypeError: the application returned memoryview; WSGI needs an "
      "iterable of bytes: [bytes(body)]" },
    /* blocks; a list is looked at before anything is sent */
    { "ok(lambda: [b'a', 'b'])",
      "ERROR TypeError: the application yielded str; WSGI needs bytes: "
      "b\"...\" or .encode()" },
    { "ok(lambda: [''])",
      "ERROR TypeError: the application yielded str; WSGI needs bytes: "
      "b\"...\" or .encode()" },
    { "ok(lambda: iter([b'a', 'b']))",
      "HEAD 200 -1|DATA a|ERROR TypeError: the application yielded str; WSGI "
      "needs bytes: b\"...\" or .encode()" },
    { "ok(lambda: iter(['']))",
      "ERROR TypeError: the application yielded str; WSGI needs bytes: "
      "b\"...\" or .encode()" },
    { "ok(lambda: iter([bytearray(b'a')]))",
      "ERROR TypeError: the application yielded bytearray; WSGI needs bytes: "
      "bytes(block)" },
    { "ok(lambda: [memoryview(b'a')])",
      "ERROR TypeError: the application yielded memoryview; WSGI needs bytes: "
      "bytes(block)" },
    { "ok(lambda: [1])", "ERROR TypeError: the application yielded int; WSGI "
                         "needs bytes: b\"...\"" },
    { "ok(lambda: [None])", "ERROR TypeError: the application yielded "
                            "NoneType; WSGI needs bytes: b\"...\"" },
    { "ok(lambda: {'a': 1})",
      "ERROR TypeError: the application returned dict; WSGI needs an "
      "iterable of bytes: [json.dumps(data).encode()]" },
    /* exceptions of every kind */
    { "none(lambda: 1 / 0)", "ERROR ZeroDivisionError: division by zero" },
    { "lambda: 1", "ERROR TypeError: <lambda>() takes 0 positional arguments "
                   "but 2 were given" },
    { "exits", "ERROR SystemExit: bye" },
    { "ok(lambda: raiser(error=KeyboardInterrupt))",
      "ERROR KeyboardInterrupt: within" },
    { "ok(lambda: raiser(error=SystemExit))", "ERROR SystemExit: within" },
    { "ok(lambda: raiser(b'a'))",
      "HEAD 200 -1|DATA a|ERROR ValueError: within" },
    { "ok(lambda: Blocks(*iter(int, 1)) if 0 else Blocks(b'a', 'b'))",
      "HEAD 200 -1|DATA a|ERROR TypeError: the application yielded str; WSGI "
      "needs bytes: b\"...\" or .encode()" },
    { "ok(lambda: BadClose(b'a'))",
      "HEAD 200 -1|DATA a|END|CLOSE KeyError: 'close'" },
    { "ok(lambda: BadClose(1))",
      "ERROR TypeError: the application yielded int; WSGI needs bytes: "
      "b\"...\"|CLOSE KeyError: 'close'" },
    /* callables of every kind */
    { "App()", "HEAD 200 6 gathered|DATA object|END" },
    { "App().method", "HEAD 200 6 gathered|DATA method|END" },
    { "ClassApp", "HEAD 200 -1|DATA class|END" },
    { "echo", "HEAD 200 4 gathered|DATA GET|DATA  |END" },
    { "truths", "HEAD 200 0 gathered|END" },
    /* wsgi.file_wrapper */
    { "wrapped(lambda: file(9000))", "HEAD 200 9000|FILE 0+9000|END" },
    { "wrapped(lambda: file(9000, 8999))", "HEAD 200 1|FILE 8999+1|END" },
    { "wrapped(lambda: file(9, 9))", "HEAD 200 0|END" },
    { "wrapped(lambda: io.BytesIO(b'abc'))", "HEAD 200 -1|DATA abc|END" },
    { "wrapped(lambda: io.StringIO('abc'))",
      "ERROR TypeError: wsgi.file_wrapper: read() of the file gave str, WSGI "
      "needs bytes: open it with mode \"rb\"" },
    { "lambda e, s: e['wsgi.file_wrapper'](file(5))",
      "ERROR RuntimeError: the application did not call start_response() "
      "before its body: start_response(\"200 OK\", headers)" },
    { "lambda e, s: [s('200 OK', H), iter(e['wsgi.file_wrapper'](file(5)))]"
      "[1]",
      "HEAD 200 5|FILE 0+5|END" },
    { "lambda e, s: [s('200 OK', H), map(bytes, "
      "e['wsgi.file_wrapper'](file(5)))][1]",
      "HEAD 200 -1|DATA xxxxx|END" },
};

Test(call, does_what_the_pep_says)
{
    fixture f;
    set_up(&f);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        wsgi__app *app = eval_app(&f, rows[i].app, NULL);
        /* The second round uses what the first left. */
        for (int round = 0; round < 2; round++)
            cr_expect_str_eq(run(&f, app, NULL), rows[i].did, "%s\n    %s\n",
                             rows[i].app, wsgi__buf_str(&f.did));
        wsgi__app_free(app);
    }
    tear_down(&f);
}

Test(call, passes_the_body_on)
{
    fixture f;
    set_up(&f);
    wsgi__app *app = eval_app(&f, "echo", NULL);
    cr_expect_str_eq(run(&f, app, "posted"),
                     "HEAD 200 11 gathered|DATA POST|DATA  |DATA posted|END");
    cr_expect_str_eq(run(&f, app, NULL),
                     "HEAD 200 4 gathered|DATA GET|DATA  |END");
    wsgi__app_free(app);
    tear_down(&f);
}

/* The validator of the standard library finds nothing, and closing is checked
 * by it too. */
static const row validated[] = {
    { "validator(ok(lambda: [b'abc']))", "HEAD 200 -1|DATA abc|END" },
    { "validator(ok(lambda: []))", "HEAD 200 0|END" },
    { "validator(ok(lambda: Blocks(b'a', b'b')))",
      "HEAD 200 -1|DATA a|DATA b|END" },
    { "validator(writes)", "WRITE a|WRITE bc|HEAD 200 -1|DATA d|END" },
    { "validator(checked)", "LOG x|LOG y|HEAD 200 -1|DATA x|END" },
    { "validator(replaces)", "HEAD 500 -1|DATA sorry|END" },
    { "validator(truths)", "HEAD 200 0|END" },
    { "validator(wrapped(lambda: file(5)))", "HEAD 200 -1|DATA xxxxx|END" },
};

Test(call, validator_finds_nothing)
{
    fixture f;
    set_up(&f);
    wsgi__log log = { WSGI_LOG_ERROR, note_log, &f };
    for (size_t i = 0; i < sizeof(validated) / sizeof(*validated); i++) {
        wsgi__app *app = eval_app(&f, validated[i].app, &log);
        cr_expect_str_eq(run(&f, app, "ab\ncd\n"), validated[i].did,
                         "%s\n    %s\n", validated[i].app,
                         wsgi__buf_str(&f.did));
        cr_expect(python_true(f.module, "gc.collect() >= 0"));
        wsgi__app_free(app);
    }
    tear_down(&f);
}

/* ---- close() ------------------------------------------------------------ */

/* After that many steps the server gives up; -1 is to the end. */
static const struct {
    const char *app;
    int steps;
    const char *closed; /* of `seen` */
} closings[] = {
    { "ok(lambda: Blocks(b'a', b'b'))", -1, "['closed']" },
    { "ok(lambda: Blocks(b'a', b'b'))", 1, "['closed']" },
    { "ok(lambda: Blocks(b'a', b'b'))", 2, "['closed']" },
    { "ok(lambda: Blocks(b'a', b'b'))", 0, "[]" },
    { "none(lambda: Blocks(b'a', b'b'))", -1, "['closed']" },
    { "ok(lambda: Blocks('a'))", -1, "['closed']" },
    { "ok(lambda: Blocks())", -1, "['closed']" },
    { "ok(lambda: List([b'a']))", -1, "['closed']" },
    { "ok(lambda: raiser(b'a', b'b'))", 1, "['closed']" },
    { "ok(lambda: raiser(b'a', b'b'))", -1, "['closed']" },
    { "ok(lambda: raiser())", -1, "['closed']" },
    { "none(lambda: 1 / 0)", -1, "[]" },
};

Test(call, closes_once_whenever_it_ends)
{
    fixture f;
    char expression[64];
    set_up(&f);
    for (size_t i = 0; i < sizeof(closings) / sizeof(*closings); i++) {
        bool head = false;
        wsgi__app *app = eval_app(&f, closings[i].app, NULL);
        wsgi__buf_reset(&f.did);
        cr_assert_not_null(new_call(&f, app, NULL));
        for (int step = 0; step != closings[i].steps; step++)
            if (take_step(&f, &head) >= WSGI__STEP_END)
                break;
        end_call(&f);
        snprintf(expression, sizeof(expression), "seen == %s",
                 closings[i].closed);
        cr_expect(python_true(f.module, expression), "%s after %d steps",
                  closings[i].app, closings[i].steps);
        cr_expect(python_true(f.module, "seen.clear() is None"));
        wsgi__app_free(app);
    }
    tear_down(&f);
}

/* A file goes to its end, and is closed behind it. */
Test(call, closes_the_file)
{
    fixture f;
    bool head = false;
    set_up(&f);
    cr_assert(python_true(f.module, "globals().update(h=file(9)) is None"));
    wsgi__app *app = eval_app(&f, "wrapped(lambda: h)", NULL);
    cr_assert_not_null(new_call(&f, app, NULL));
    cr_expect_eq(take_step(&f, &head), WSGI__STEP_FILE);
    cr_expect(python_true(f.module, "not h.closed"));
    cr_expect_eq(take_step(&f, &head), WSGI__STEP_END);
    cr_expect(python_true(f.module, "not h.closed"));
    end_call(&f);
    cr_expect(python_true(f.module, "h.closed"));
    wsgi__app_free(app);
    tear_down(&f);
}

Test(call, free_closes_what_was_not_closed)
{
    fixture f;
    bool head = false;
    set_up(&f);
    wsgi__app *app = eval_app(&f, "ok(lambda: Blocks(b'a', b'b'))", NULL);
    cr_assert_not_null(new_call(&f, app, NULL));
    take_step(&f, &head);
    wsgi__call_free(f.now);
    cr_expect(python_true(f.module, "seen == ['closed']"));
    wsgi__app_free(app);

    /* There is nobody to raise to. */
    cr_redirect_stderr();
    app = eval_app(&f, "ok(lambda: BadClose(b'a'))", NULL);
    cr_assert_not_null(new_call(&f, app, NULL));
    take_step(&f, &head);
    wsgi__call_free(f.now);
    cr_expect(python_quiet());
    wsgi__app_free(app);
    wsgi__call_free(NULL);
    tear_down(&f);
}

/* The exception of a step is the server's to log, not close()'s to lose. */
Test(call, close_keeps_the_exception_that_is_set)
{
    static const struct {
        const char *app;
        int result;
        PyObject **type;
        const char *context;
    } cases[] = {
        { "ok(lambda: Blocks(1))", 0, &PyExc_TypeError, "NoneType" },
        { "ok(lambda: BadClose(1))", -1, &PyExc_KeyError, "TypeError" },
    };
    fixture f;
    set_up(&f);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        wsgi__call_chunk chunk;
        wsgi__app *app = eval_app(&f, cases[i].app, NULL);
        cr_assert_not_null(new_call(&f, app, NULL));
        cr_expect_eq(wsgi__call_next(f.now, &chunk), WSGI__STEP_ERROR);
        cr_expect_eq(wsgi__call_close(f.now), cases[i].result);
        PyObject *type, *value, *traceback;
        wsgi__call_free(f.now);
        PyErr_Fetch(&type, &value, &traceback);
        PyErr_NormalizeException(&type, &value, &traceback);
        cr_assert_not_null(value, "%s", cases[i].app);
        cr_expect(PyErr_GivenExceptionMatches(value, *cases[i].type), "%s",
                  cases[i].app);
        PyObject *context = PyException_GetContext(value);
        cr_expect_str_eq(Py_TYPE(context ? context : Py_None)->tp_name,
                         cases[i].context, "%s", cases[i].app);
        Py_XDECREF(context);
        Py_XDECREF(type);
        Py_XDECREF(value);
        Py_XDECREF(traceback);
        wsgi__app_free(app);
    }
    tear_down(&f);
}

/* ---- What stays --------------------------------------------------------- */

Test(call, errors_become_log_entries)
{
    fixture f;
    set_up(&f);
    wsgi__log log = { WSGI_LOG_ERROR, note_log, &f };
    wsgi__app *app = eval_app(&f, "complains", &log);
    cr_expect_str_eq(run(&f, app, NULL),
                     "LOG said|HEAD 200 0 gathered|END|LOG begun");
    wsgi__app_free(app);
    tear_down(&f);
}

/* Whatever the application keeps is its own, and harmless. */
Test(call, kept_objects_are_harmless)
{
    static const struct {
        const char *expression;
        const char *says; /* NULL: true */
    } uses[] = {
        { "e['REQUEST_METHOD'] == 'POST'", NULL },
        { "e['wsgi.input'].read() == b'posted'", NULL },
        { "[b''.join(e['wsgi.file_wrapper'](file(5)))] == [b'xxxxx']", NULL },
        { "s('200 OK', H)", "start_response() was called after" },
        { "w(b'x')", "write() was called after" },
        { "e['wsgi.errors'].write('to stderr\\n') == 10", NULL },
    };
    fixture f;
    set_up(&f);
    wsgi__log log = { WSGI_LOG_ERROR, note_log, &f };
    wsgi__app *app = eval_app(&f, "keeps", &log);
    run(&f, app, "posted");
    cr_assert(python_true(f.module, "globals().update(zip('esw', seen[0])) "
                                    "is None"));
    run(&f, app, NULL); /* takes nothing of the first call's for its own */
    cr_redirect_stderr();
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof(uses) / sizeof(*uses); i++) {
            if (!uses[i].says) {
                cr_expect(python_true(f.module, uses[i].expression), "%d: %s",
                          round, uses[i].expression);
                continue;
            }
            Py_XDECREF(python_eval(f.module, uses[i].expression));
            cr_expect(python_raised(PyExc_RuntimeError, uses[i].says),
                      "%d: %s", round, uses[i].expression);
        }
        cr_expect(python_true(f.module, "e['wsgi.input'].seek(0) == 0"));
        wsgi__app_free(app);
        app = NULL;
    }
    cr_expect_str_eq(strstr(wsgi__buf_str(&f.did), "LOG"), "LOG to stderr",
                     "%s", wsgi__buf_str(&f.did));
    tear_down(&f);
}

Test(call, several_may_be_under_way)
{
    enum { N = 20 };
    fixture f, each[N];
    bool heads[N] = { false };
    set_up(&f);
    wsgi__app *app = eval_app(&f, "late", NULL);
    for (int i = 0; i < N; i++) {
        each[i] = (fixture){ .sink = { note_write }, .module = f.module };
        wsgi__buf_init(&each[i].did, 1024);
        cr_assert_not_null(new_call(&each[i], app, i % 2 ? "x" : NULL));
    }
    for (int step = 0; step < 2; step++)
        for (int i = 0; i < N; i++)
            take_step(&each[i], &heads[i]);
    for (int i = 0; i < N; i++) {
        end_call(&each[i]);
        cr_expect_str_eq(wsgi__buf_str(&each[i].did),
                         "HEAD 202 -1|DATA x|END");
        wsgi__buf_free(&each[i].did);
    }
    wsgi__app_free(app);
    tear_down(&f);
}

/* Frameworks keep the request in context variables: calls that take turns on a
 * thread have their own. */
Test(call, each_has_its_context_variables)
{
    fixture f, each[2];
    bool heads[2] = { false };
    set_up(&f);
    wsgi__app *app = eval_app(&f, "named", NULL);
    for (int i = 0; i < 2; i++) {
        each[i] = (fixture){ .sink = { note_write }, .module = f.module };
        wsgi__buf_init(&each[i].did, 1024);
        cr_assert_not_null(new_call(&each[i], app, i ? "x" : NULL));
    }
    for (int step = 0; step < 3; step++)
        for (int i = 0; i < 2; i++)
            take_step(&each[i], &heads[i]);
    for (int i = 0; i < 2; i++) {
        end_call(&each[i]);
        cr_expect_str_eq(wsgi__buf_str(&each[i].did),
                         i ? "HEAD 200 -1|DATA 0POST|DATA 0POST|END"
                           : "HEAD 200 -1|DATA 0GET|DATA 0GET|END");
        wsgi__buf_free(&each[i].did);
    }
    cr_expect(python_true(f.module, "left == ['0GET', '0POST']"));
    cr_expect(python_true(f.module, "who.get() == 'nobody'"));
    wsgi__app_free(app);
    tear_down(&f);
}

/* What was set as the application was imported holds for each call, on any
 * thread; what a call sets ends with it. */
Test(call, begins_with_the_context_of_the_import)
{
    fixture f;
    set_up(&f);
    wsgi__app *app = eval_app(&f, "settings", NULL);
    PyObject *elsewhere = PyContext_New();
    for (int i = 0; i < 3; i++) {
        fixture each = { .sink = { note_write }, .module = f.module };
        bool head = false;
        wsgi__buf_init(&each.did, 1024);
        cr_assert_eq(PyContext_Enter(elsewhere), 0);
        cr_assert_not_null(new_call(&each, app, NULL));
        take_step(&each, &head);
        take_step(&each, &head);
        end_call(&each);
        cr_assert_eq(PyContext_Exit(elsewhere), 0);
        cr_expect_str_eq(wsgi__buf_str(&each.did),
                         "HEAD 200 8 gathered|DATA imported|END");
        wsgi__buf_free(&each.did);
    }
    Py_DECREF(elsewhere);
    wsgi__app_free(app);
    tear_down(&f);
}

/* ---- The application ---------------------------------------------------- */

Test(call, app_must_be_callable)
{
    cr_expect_null(new_app(Py_None, NULL));
    cr_expect(python_raised(PyExc_TypeError,
                            "a WSGI application is a callable, not NoneType"));
    wsgi__app_free(NULL);
}

/* ---- Memory ------------------------------------------------------------- */

/* Each kind of call, ten thousand times: no object more than before. */
static const char *const counted[] = {
    "ok(lambda: [b'abc'])",
    "ok(lambda: (x for x in [b'a', b'']))",
    "late",
    "never",
    "writes",
    "write_then_fail",
    "replaces",
    "ok(lambda: None)",
    "ok(lambda: iter(['x']))",
    "none(lambda: 1 / 0)",
    "ok(lambda: BadClose(b'a'))",
    "wrapped(lambda: io.BytesIO(b'abc'))",
    "echo",
};

static size_t
objects(fixture *f)
{
    PyObject *n = python_eval(f->module, "gc.collect() and 0 or "
                                         "(seen.clear(), "
                                         "len(gc.get_objects()))[1]");
    size_t count = PyLong_AsSize_t(n);
    Py_DECREF(n);
    return count;
}

Test(call, leaks_nothing)
{
    fixture f;
    set_up(&f);
    for (size_t i = 0; i < sizeof(counted) / sizeof(*counted); i++) {
        wsgi__app *app = eval_app(&f, counted[i], NULL);
        PyObject *callable = python_eval(f.module, "H");
        for (int j = 0; j < 100; j++)
            run(&f, app, j % 2 ? "posted" : NULL);
        Py_ssize_t references = Py_REFCNT(callable);
        size_t before = objects(&f);
        for (int j = 0; j < 10000; j++)
            run(&f, app, j % 2 ? "posted" : NULL);
        size_t after = objects(&f);
        cr_expect_leq(after, before + 5, "%s: %zu objects more", counted[i],
                      after - before);
        cr_expect_leq(Py_REFCNT(callable), references, "%s", counted[i]);
        Py_DECREF(callable);
        wsgi__app_free(app);
    }
    tear_down(&f);
}

/* What needs the collector would keep memory until it runs. */
Test(call, leaves_no_cycles)
{
    fixture f;
    set_up(&f);
    for (size_t i = 0; i < sizeof(counted) / sizeof(*counted); i++) {
        wsgi__app *app = eval_app(&f, counted[i], NULL);
        run(&f, app, NULL);
        objects(&f);
        cr_expect(python_true(f.module, "gc.disable() is None"));
        for (int j = 0; j < 10; j++)
            run(&f, app, NULL);
        cr_expect(python_true(f.module, "gc.collect() == 0"), "%s",
                  counted[i]);
        wsgi__app_free(app);
    }
    tear_down(&f);
}

/* The n-th allocation of ours fails, for each n. */
Test(call, stands_every_failing_allocation)
{
    fixture f;
    set_up(&f);
    PyObject *callable = python_get(f.module, "late");
    for (long nth = 1, reached = 1; reached; nth++) {
        wsgi__buf_reserve(&f.did, 4096);
        wsgi__buf_reset(&f.did);
        bool head = false;
        wsgi__mem_fail_nth(nth);
        wsgi__app *app = new_app(callable, NULL);
        if (app && new_call(&f, app, NULL)) {
            while (take_step(&f, &head) < WSGI__STEP_END)
                ;
            end_call(&f);
        }
        reached = wsgi__mem_count() >= nth;
        wsgi__mem_fail_nth(0);
        if (PyErr_Occurred())
            cr_expect(python_raised(PyExc_MemoryError, ""), "%ld", nth);
        else if (reached)
            cr_expect_str_eq(wsgi__buf_str(&f.did),
                             "ERROR MemoryError: ", "%ld: %s", nth,
                             wsgi__buf_str(&f.did));
        else
            cr_expect_str_eq(wsgi__buf_str(&f.did), "HEAD 202 -1|DATA x|END");
        wsgi__app_free(app);
    }
    Py_DECREF(callable);
    tear_down(&f);
}

/* An application in C, so that the allocations that fail are the call's and not
 * the interpreter's: it reads, complains, answers and writes. */
static PyObject *
c_app(PyObject *blocks, PyObject *args)
{
    PyObject *environ_dict, *start, *write = NULL, *headers = NULL;
    PyObject *input, *errors, *read = NULL, *said = NULL, *written = NULL;
    if (!PyArg_ParseTuple(args, "OO", &environ_dict, &start))
        return NULL;
    input = PyDict_GetItemString(environ_dict, "wsgi.input");
    errors = PyDict_GetItemString(environ_dict, "wsgi.errors");
    if (!input || !errors) { /* the look-up itself was out of memory */
        PyErr_NoMemory();
        return NULL;
    }
    if ((read = PyObject_CallMethod(input, "readlines", NULL)) &&
        (said = PyObject_CallMethod(errors, "write", "s", "begun")) &&
        (headers = Py_BuildValue("[(ss)(ss)]", "A", "b", "C", "d")) &&
        (write = PyObject_CallFunction(start, "sO", "200 OK", headers)))
        written = PyObject_CallFunction(write, "y", "w");
    Py_XDECREF(read);
    Py_XDECREF(said);
    Py_XDECREF(headers);
    Py_XDECREF(write);
    Py_XDECREF(written);
    return written ? PyObject_GetIter(blocks) : NULL;
}

static PyMethodDef c_app_method = { "app", c_app, METH_VARARGS, NULL };

static int
keep_write(wsgi__call_sink *sink, PyObject *bytes)
{
    (void)sink;
    cr_expect(PyBytes_GET_SIZE(bytes) == 1);
    return 0;
}

static void
ignore_log(void *user, wsgi_log_level level, const char *entry)
{
    (void)user, (void)level, (void)entry;
}

/* Steps, END or ERROR included; an exception may be left set. */
static int
run_quietly(wsgi__app *app)
{
    static const request_text text = {
        .method = "POST", .headers = { "X_A: b", "Content-Length: 4" }
    };
    static wsgi__call_sink sink = { keep_write };
    request_fake fake;
    wsgi__body body;
    wsgi__body_init(&body, 1024);
    cr_assert_eq(wsgi__body_append(&body, "a\nb\n", 4), 0);
    int steps = 0;
    wsgi__call *call =
        wsgi__call_new(app, request_fill(&fake, &text), &conn, &body, &sink);
    if (call) {
        wsgi__step step;
        do {
            wsgi__call_chunk chunk;
            step = wsgi__call_next(call, &chunk);
            Py_XDECREF(chunk.bytes);
            steps++;
        } while (step < WSGI__STEP_END);
        cr_expect_eq(step == WSGI__STEP_ERROR, PyErr_Occurred() != NULL);
        wsgi__call_close(call);
        wsgi__call_free(call);
    }
    wsgi__body_free(&body);
    return steps;
}

/* Each allocation of Python's on the way of a call fails once: it raises, and
 * nothing stays behind (which a sanitizer sees).  Making the types is part of it
 * before CPython 3.13, whose dictresize() itself crashes when a type's dict
 * cannot grow. */
Test(call, stands_every_failing_allocation_of_python)
{
    static const wsgi__log log = { WSGI_LOG_ERROR, ignore_log, NULL };
    PyObject *blocks = Py_BuildValue("[yyy]", "a", "", "b");
    PyObject *callable = PyCFunction_New(&c_app_method, blocks);
    Py_ssize_t references = Py_REFCNT(blocks);
    bool reached = true;
    long failed = 0;
    /* The first of all contexts, without memory, crashes CPython 3.11. */
    Py_XDECREF(PyContext_New());
    for (long nth = 1; reached; nth++) {
        wsgi__app *app = NULL;
#if PY_VERSION_HEX >= 0x030d0000
        app = new_app(callable, &log);
#endif
        pymem_fail_nth(nth);
        if (!app)
            app = new_app(callable, &log);
        int steps = app ? run_quietly(app) : 0;
        reached = pymem_stop();
        if (!PyErr_Occurred())
            cr_expect_eq(steps, 3, "allocation %ld: %d steps", nth, steps);
        else if (++failed)
            cr_expect(python_raised(PyExc_MemoryError, ""), "allocation %ld",
                      nth);
        /* Afterwards it works as ever. */
        if (app) {
            cr_expect_eq(run_quietly(app), 3, "after allocation %ld", nth);
            cr_expect(python_quiet(), "after allocation %ld", nth);
        }
        wsgi__app_free(app);
        cr_expect_eq(Py_REFCNT(blocks), references, "allocation %ld", nth);
    }
    cr_expect_gt(failed, 20, "only %ld allocations failed", failed);
    Py_DECREF(callable);
    Py_DECREF(blocks);
}
