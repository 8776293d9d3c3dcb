/*
 * Requests with the machine out of memory, at every allocation.
 *
 * A server and its client in one thread: each request of the table is made
 * again and again, and the n-th allocation fails, ours or Python's, for n = 1,
 * 2, 3 ... until none is left to fail.
 */
#include "support/python.h"
#include "support/serving.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <wsgi/python.h>

#include "base/macros.h"
#include "base/mem.h"
#include "support/pymem.h"

TestSuite(faults, .init = python_start, .fini = python_stop);

/* The Date is the application's, so that two answers to one request are equal
 * byte by byte. */
static const char *const source =
    "import io, os\n"
    "H = [('Date', 'Thu, 01 Jan 1970 00:00:00 GMT')]\n"
    /* Without memory CPython 3.11 leaks a list of constants, [b'a', b'b']. */
    "WORD = b'hello'\n"
    "fd = os.memfd_create('served')\n"
    "os.write(fd, bytes(range(256)) * 40)\n"
    "def plain(e, s):\n"
    "    s('200 OK', H + [('X-Path', e['PATH_INFO'])])\n"
    "    return [WORD, b'', b'world']\n"
    "def lent(e, s):\n"
    "    s('200 OK', H)\n"
    "    return [b'x' * 40000, b'y' * 40000]\n"
    "def streamed(e, s):\n"
    "    s('200 OK', H)\n"
    "    return (b'x' * n for n in (0, 1, 200, 40000, 3))\n"
    "def read(e, s):\n"
    "    body = e['wsgi.input'].read()\n"
    "    s('200 OK', H)\n"
    "    return [b'%d' % len(body), body[-9:]]\n"
    "def lines(e, s):\n"
    "    n = sum(len(line) for line in e['wsgi.input'])\n"
    "    s('200 OK', H)\n"
    "    return [b'%d' % n]\n"
    "def file(e, s):\n"
    "    f = open(os.dup(fd), 'rb', buffering=0)\n"
    "    f.seek(0)\n"
    "    s('200 OK', H)\n"
    "    return e['wsgi.file_wrapper'](f)\n"
    "def filelike(e, s):\n"
    "    s('200 OK', H)\n"
    "    return e['wsgi.file_wrapper'](io.BytesIO(b'abc' * 9000), 8000)\n"
    "def write(e, s):\n"
    "    put = s('200 OK', H)\n"
    "    put(b'abc')\n"
    "    put(b'def' * 9000)\n"
    "    return [b'ghi']\n"
    "def spill(e, s):\n"
    "    put = s('200 OK', H)\n"
    "    for n in range(60): put(b'%2d' % n * 50000)\n"
    "    return []\n"
    "def replaced(e, s):\n"
    "    s('200 OK', H)\n"
    "    try: raise ValueError('replaced')\n"
    "    except ValueError as error:\n"
    "        s('200 Fine', H, (type(error), error, error.__traceback__))\n"
    "    return [b'sorry']\n"
    "def errors(e, s):\n"
    "    e['wsgi.errors'].write('a line\\nhalf a line')\n"
    "    s('200 OK', H)\n"
    "    return [b'noted']\n"
    "def raises(e, s):\n"
    "    raise ValueError('as it should')\n"
    "def breaks(e, s):\n"
    "    s('200 OK', H)\n"
    "    yield b'a block'\n"
    "    raise ValueError('half-way')\n"
    "class Closing(list):\n"
    "    def close(self): raise ValueError('in close')\n"
    "def closing(e, s):\n"
    "    s('200 OK', H)\n"
    "    return Closing([b'a', b'b'])\n"
    "def app(e, s):\n"
    "    return globals()[e['PATH_INFO'].strip('/')](e, s)\n";

/* Long enough for a file, with the options below. */
#define BLOCK_50 "0123456789\n12345678901234567890123456789012345678\n"
#define BLOCK_500                                                             \
    BLOCK_50 BLOCK_50 BLOCK_50 BLOCK_50 BLOCK_50 BLOCK_50 BLOCK_50 BLOCK_50   \
        BLOCK_50 BLOCK_50
#define CHUNK_500 "1f4\r\n" BLOCK_500 "\r\n"

#define FIELDS " HTTP/1.1\r\nHost: x\r\n"
#define LAST FIELDS "Connection: close\r\n\r\n"
#define LONG_FIELD "X-Long: " BLOCK_200 BLOCK_200 "\r\n"
#define BLOCK_200                                                             \
    "0123456789012345678901234567890123456789"                                \
    "0123456789012345678901234567890123456789"                                \
    "0123456789012345678901234567890123456789"                                \
    "0123456789012345678901234567890123456789"                                \
    "0123456789012345678901234567890123456789"
#define UPLOAD(path)                                                          \
    "POST " path FIELDS "Transfer-Encoding: chunked\r\n"                      \
    "Connection: close\r\n\r\n"

typedef struct kind {
    const char *name, *request;
} kind;

static const kind kinds[] = {
    { "plain", "GET /plain" LAST },
    { "many fields", "GET /plain" FIELDS LONG_FIELD LONG_FIELD LONG_FIELD
                     "Cookie: a=1\r\nCookie: b=2\r\n"
                     "Accept: a\r\nAccept: b\r\nConnection: close\r\n\r\n" },
    { "pipelined", "GET /plain" FIELDS "\r\nGET /streamed" FIELDS
                   "\r\nHEAD /plain" FIELDS "\r\nGET /lent" LAST },
    { "lent blocks", "GET /lent" LAST },
    { "streamed", "GET /streamed" LAST },
    { "upload", UPLOAD("/read") CHUNK_500 "0\r\n\r\n" },
    { "spooled upload",
      UPLOAD("/read") CHUNK_500 CHUNK_500 CHUNK_500 CHUNK_500 CHUNK_500
      "0\r\nX-Trailer: 1\r\n\r\n" },
    { "spooled lines",
      UPLOAD("/lines") CHUNK_500 CHUNK_500 CHUNK_500 CHUNK_500 CHUNK_500
      "0\r\n\r\n" },
    { "upload that nobody reads",
      UPLOAD("/plain") CHUNK_500 CHUNK_500 CHUNK_500 CHUNK_500 "0\r\n\r\n" },
    { "upload with a length", "POST /read" FIELDS "Content-Length: 500\r\n"
                              "Connection: close\r\n\r\n" BLOCK_500 },
    { "upload that waits for 100",
      "POST /read" FIELDS "Content-Length: 500\r\nExpect: 100-continue\r\n"
      "Connection: close\r\n\r\n" BLOCK_500 },
    { "file", "GET /file" LAST },
    { "file-like", "GET /filelike" LAST },
    { "write()", "GET /write" LAST },
    { "write() into a file", "GET /spill" LAST },
    { "replaced head", "GET /replaced" LAST },
    { "wsgi.errors", "GET /errors" LAST },
    { "failing", "GET /raises" LAST },
    { "failing half-way", "GET /breaks" LAST },
    { "failing in close()", "GET /closing" LAST },
    { "refused", "GET /plain HTTP/1.1\r\n\r\n" },
};

/* ---- The server --------------------------------------------------------- */

static void
ignore_log(void *user, wsgi_log_level level, const char *entry)
{
    (void)user;
    (void)level;
    (void)entry;
}

static void
take_access(void *user, const wsgi_access *access)
{
    char value[64];
    (void)user;
    wsgi_access_header(access, WSGI_HEADER_RESPONSE, "date", value,
                       sizeof(value));
}

/* WSGI_OK, or why it cannot serve. */
static int
prepare(wsgi_server *server, PyObject *app)
{
    int status = wsgi_server_set_app_object(server, app);
    wsgi_server_set_log(server, WSGI_LOG_DEBUG, ignore_log, NULL);
    wsgi_server_set_access_log(server, take_access, NULL);
    if (status == WSGI_OK)
        status = wsgi_server_set_int(server, WSGI_OPT_BODY_SPOOL_SIZE, 1000);
    if (status == WSGI_OK)
        status = wsgi_server_set_int(server, WSGI_OPT_OUTPUT_HIGH_WATER, 9000);
    if (status == WSGI_OK)
        status = wsgi_server_bind(server, "127.0.0.1:0");
    if (status == WSGI_OK)
        status = wsgi_server_start(server);
    return status;
}

static wsgi_server *
new_server(PyObject *app)
{
    wsgi_server *server = wsgi_server_new();
    cr_assert_eq(prepare(server, app), WSGI_OK, "%s",
                 wsgi_server_error(server));
    return server;
}

/* ---- The client --------------------------------------------------------- */

#define MOST ((size_t)7 * 1024 * 1024)

typedef struct answer {
    char *data; /* with a NUL behind it */
    size_t len;
} answer;

static int
connect_to(const wsgi_server *server)
{
    int fd = serving_connect(server);
    cr_assert_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

/* Whether there is more to come. */
static bool
receive(int fd, answer *got)
{
    ssize_t n = read(fd, got->data + got->len, MOST - got->len);
    if (n > 0)
        got->len += (size_t)n;
    got->data[got->len] = '\0';
    return n > 0 || (n < 0 && errno == EAGAIN);
}

static size_t
send_part(int fd, const char *request, size_t from, size_t to)
{
    cr_assert_eq(send(fd, request + from, to - from, MSG_NOSIGNAL),
                 (ssize_t)(to - from));
    return to;
}

/* Sends the request and turns the server until it closes the connection; who
 * expects 100 (Continue) waits for it.  false: nothing happened any more. */
static bool
ask(wsgi_server *server, const char *request, answer *got)
{
    int fd = connect_to(server);
    size_t len = strlen(request), first = len;
    bool open = true;

    if (strstr(request, "\r\nExpect:"))
        first = (size_t)(strstr(request, "\r\n\r\n") - request) + 4;
    got->len = 0;
    got->data[0] = '\0';
    size_t sent = send_part(fd, request, 0, first);
    while (open) {
        struct pollfd watched[2] = { { wsgi_server_fd(server), POLLIN, 0 },
                                     { fd, POLLIN, 0 } };
        if (python_poll(watched, 2, 10000) <= 0)
            break;
        if (watched[0].revents)
            cr_assert_eq(wsgi_server_dispatch(server, 0), WSGI_OK, "%s",
                         wsgi_server_error(server));
        if (watched[1].revents)
            open = receive(fd, got);
        if (sent < len && strncmp(got->data, "HTTP/1.1 100", 12) == 0)
            sent = send_part(fd, request, sent, len);
    }
    close(fd);
    wsgi_server_dispatch(server, 0);
    return !open;
}

static answer
new_answer(void)
{
    answer got = { calloc(1, MOST + 1), 0 };
    cr_assert_not_null(got.data);
    return got;
}

/* ---- What is right ------------------------------------------------------ */

/* A page of the server's own: to HEAD it has no body. */
static bool
is_page(const char *text, size_t len)
{
    const char *length = strstr(text, "\r\nContent-Length: ");
    const char *body = strstr(text, "\r\n\r\n");
    return strncmp(text, "HTTP/1.1 5", 10) == 0 && length && body &&
           length < body &&
           (size_t)(body - text) + 4 + (size_t)atol(length + 18) >= len;
}

/* Pages of the server's own have the time of day. */
static bool
is_equal(const answer *got, const answer *wanted)
{
    bool page = strncmp(wanted->data, "HTTP/1.1 2", 10) != 0;
    return got->len == wanted->len &&
           memcmp(got->data, wanted->data, page ? 12 : got->len) == 0;
}

/* The answer, or what its framing shows to be cut, or after some answers of a
 * pipeline a page in the place of one. */
static bool
is_right(const answer *got, const answer *wanted)
{
    size_t same = 0;
    while (same < got->len && same < wanted->len &&
           got->data[same] == wanted->data[same])
        same++;
    if (same == got->len || is_equal(got, wanted))
        return true;
    for (size_t at = same + 1; at-- > 0;)
        if (is_page(got->data + at, got->len - at))
            return true;
    return false;
}

static int
lowest_free_fd(void)
{
    int fd = dup(0);
    close(fd);
    return fd;
}

/* ---- Ours and Python's -------------------------------------------------- */

typedef struct memory {
    const char *whose;
    void (*fail_nth)(long n);
    bool (*stop)(void); /* Whether the n-th was reached. */
} memory;

static long asked_for;

static void
ours_fail_nth(long n)
{
    asked_for = n;
    wsgi__mem_fail_nth(n);
}

static bool
ours_stop(void)
{
    bool reached = wsgi__mem_count() >= asked_for;
    wsgi__mem_fail_nth(0);
    return reached;
}

static const memory ours = { "our", ours_fail_nth, ours_stop };
static const memory pythons = { "Python's", pymem_fail_nth, pymem_stop };

/* Something that is asked for, what for, and what is to come of it. */
typedef struct trial {
    const kind *kind;
    const memory *memory;
    PyObject *app;
    answer wanted, got;
    bool warm; /* after a first request of the kind */
} trial;

static void
expect_right(const trial *t, long n, bool right, const char *what)
{
    cr_expect(right, "%s, %s, %s allocation %ld: %s; %zu bytes: %.400s",
              t->kind->name, t->warm ? "warm" : "cold", t->memory->whose, n,
              what, t->got.len, t->got.data);
}

/* One request without the n-th allocation, and one with everything.  Whether
 * there was an n-th. */
static bool
fails_once(trial *t, long n)
{
    wsgi_server *server = new_server(t->app);
    const char *request = t->kind->request;

    if (t->warm)
        ask(server, request, &t->got);
    int fds = lowest_free_fd();
    t->memory->fail_nth(n);
    bool over = ask(server, request, &t->got);
    bool reached = t->memory->stop();

    expect_right(t, n, over, "stalled");
    expect_right(t, n, is_right(&t->got, &t->wanted), "no answer");
    expect_right(t, n, python_quiet(), "an exception is left");
    expect_right(t, n, lowest_free_fd() == fds, "a file is left open");
    over = ask(server, request, &t->got);
    expect_right(t, n, over && is_equal(&t->got, &t->wanted), "the next");
    wsgi_server_free(server);
    return reached;
}

static void
fail_each(const memory *m, const kind *k, PyObject *app, bool warm)
{
    trial t = { k, m, app, new_answer(), new_answer(), warm };
    wsgi_server *server = new_server(app);
    long n = 1;

    cr_assert(ask(server, k->request, &t.wanted));
    wsgi_server_free(server);
    while (fails_once(&t, n))
        n++;
    /* What is refused never gets to Python. */
    cr_expect(n > 3 || (m == &pythons && strcmp(k->name, "refused") == 0),
              "%s: %s memory was hardly asked for", k->name, m->whose);
    free(t.wanted.data);
    free(t.got.data);
}

/* Without memory for a function, CPython 3.12.1 and 3.13.0 lose a reference of
 * its code (PyFunction_NewWithQualName(); sys.getrefcount() and
 * _testcapi.set_nomemory() show it without us), and they free static types
 * (type_dealloc() below ImportError's clear). */
#if PY_VERSION_HEX < 0x030c0000
/* Formatting a traceback without memory, CPython 3.11 itself loses some
 * strings, which would count as leaks of ours.  Without that module the library
 * makes a plainer text. */
static void
hide_traceback_module(void)
{
    cr_assert_eq(
        PyDict_SetItemString(PyImport_GetModuleDict(), "traceback", Py_None),
        0);
}

#endif

/* Every step-th kind from the first: tests run at once. */
static void
fail_kinds(const memory *m, size_t first, size_t step)
{
    PyObject *module = python_module("served", source);
    PyObject *app = python_get(module, "app");

    for (size_t i = first; i < WSGI__COUNT(kinds); i += step) {
        fail_each(m, &kinds[i], app, false);
        fail_each(m, &kinds[i], app, true);
    }
    PyObject_DelAttrString(module, "app");
    Py_DECREF(app);
    Py_DECREF(module);
}

Test(faults, our_memory)
{
    fail_kinds(&ours, 0, 1);
}

#if PY_VERSION_HEX < 0x030c0000
Test(faults, memory_of_python_even)
{
    hide_traceback_module();
    fail_kinds(&pythons, 0, 2);
}

Test(faults, memory_of_python_odd)
{
    hide_traceback_module();
    fail_kinds(&pythons, 1, 2);
}
#endif

/* From wsgi_server_new() to the end: each step fails with a status and a
 * message, and what was built is given back. */
Test(faults, a_server_that_cannot_start)
{
    PyObject *module = python_module("served", source);
    PyObject *app = python_get(module, "app");
    bool reached = true;

    for (long n = 1; reached; n++) {
        int fds = lowest_free_fd();
        ours_fail_nth(n);
        wsgi_server *server = wsgi_server_new();
        int status = prepare(server, app);
        reached = ours_stop();
        /* What only makes a message longer may be left out. */
        if (status < 0)
            cr_expect_str_not_empty(wsgi_server_error(server),
                                    "allocation %ld", n);
        if (!reached)
            cr_expect_eq(status, WSGI_OK, "%s", wsgi_server_error(server));
        wsgi_server_free(server);
        cr_expect(python_quiet(), "allocation %ld", n);
        cr_expect_eq(lowest_free_fd(), fds, "allocation %ld", n);
    }
    Py_DECREF(app);
    Py_DECREF(module);
}
