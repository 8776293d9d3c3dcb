/* Many calls at once: the loop goes from thread to thread while clients keep
 * asking.  Runs under ThreadSanitizer too. */
#include "support/python.h"
#include "support/serving.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <wsgi/python.h>

#include "base/mem.h"

TestSuite(executor, .init = python_start, .fini = python_stop);

/* What a request asks for stands in its path.  `inside` counts calls under
 * way; what the most were is in `most`. */
static const char *const source =
    "import threading, time\n"
    "lock, local = threading.Lock(), threading.local()\n"
    "inside = most = 0\n"
    "threads, gate = set(), threading.Event()\n"
    "def enter(by):\n"
    "    global inside, most\n"
    "    with lock:\n"
    "        inside += by; most = max(most, inside)\n"
    "        threads.add(threading.get_ident())\n"
    "def answer(e, start, body):\n"
    "    start('200 OK', [('X-Path', e['PATH_INFO'])])\n"
    "    return [body]\n"
    "def fast(e, start): return answer(e, start, b'fast')\n"
    "def sleeps(e, start):\n"
    "    time.sleep(0.01); return answer(e, start, b'slept')\n"
    "def naps(e, start):\n"
    "    time.sleep(0.7); return answer(e, start, b'napped')\n"
    "def spins(e, start):\n"
    "    until = time.monotonic() + 0.01\n"
    "    while time.monotonic() < until: pass\n"
    "    return answer(e, start, b'spun')\n"
    "def streams(e, start):\n"
    "    start('200 OK', [])\n"
    "    me = threading.get_ident()\n"
    "    for i in range(20):\n"
    "        enter(1)\n"
    "        if i % 5 == 0: time.sleep(0.004)\n"
    "        enter(-1)\n"
    "        yield b'%d' % (i % 10)\n"
    "        assert threading.get_ident() == me\n"
    "def writes(e, start):\n"
    "    write = start('200 OK', [])\n"
    "    for i in range(10):\n"
    "        if i % 3 == 0: time.sleep(0.004)\n"
    "        write(b'%d' % i)\n"
    "    return []\n"
    "def large(e, start):\n"
    "    time.sleep(0.004)\n"
    "    start('200 OK', [])\n"
    "    return [b'x' * 30000, b'', b'y' * 5]\n"
    "def raises(e, start):\n"
    "    time.sleep(0.004); raise ValueError('late')\n"
    "class Closing:\n"
    "    def __init__(self): self.n = 0\n"
    "    def __iter__(self): return self\n"
    "    def __next__(self):\n"
    "        self.n += 1\n"
    "        if self.n > 1: raise StopIteration\n"
    "        return b'closing'\n"
    "    def close(self): time.sleep(0.006)\n"
    "def closes(e, start):\n"
    "    start('200 OK', []); return Closing()\n"
    "def counts(e, start):\n"
    "    local.n = getattr(local, 'n', 0) + 1\n"
    "    return answer(e, start, b'%d' % local.n)\n"
    "def waits(e, start):\n"
    "    assert gate.wait(20); return answer(e, start, b'waited')\n"
    "def opens(e, start):\n"
    "    gate.set(); return answer(e, start, b'opened')\n"
    "shared = b'shared block'\n"
    "def many(e, start):\n"
    "    start('200 OK', [])\n"
    "    return [shared] * 4500\n"
    "def drips(e, start):\n"
    "    start('200 OK', [])\n"
    "    for i in range(64):\n"
    "        enter(1); time.sleep(0.002); enter(-1)\n"
    "        yield b'z' * 65536\n"
    "class Dying(bytes):\n"
    "    def __del__(self): gone.append(threading.get_ident())\n"
    "gone, left = [], []\n"
    "def dies(e, start):\n"
    "    write = start('200 OK', [])\n"
    "    for wait in 0, 0.004:\n" /* the loop is its thread's, or another's */
    "        time.sleep(wait)\n"
    "        write(Dying(b'd' * 10000))\n"
    "        left.append(gone.count(threading.get_ident()))\n"
    "    return []\n"
    "def refused(e, start):\n"
    "    write = start('200 OK', [])\n"
    "    time.sleep(0.004)\n"
    "    fail(int(e['QUERY_STRING']))\n"
    "    try: write(b'first')\n"
    "    except MemoryError: pass\n"
    "    fail(0)\n"
    "    write(b'second')\n"
    "    return []\n"
    "def app(e, start):\n"
    "    enter(1)\n"
    "    try: return globals()[e['PATH_INFO'][1:]](e, start)\n"
    "    finally: enter(-1)\n";

/* What an answer ends with, or has in it. */
static const struct wanted {
    const char *path, *status, *end;
} wanted[] = {
    { "/fast", "HTTP/1.1 200 ", "\r\n\r\nfast" },
    { "/sleeps", "HTTP/1.1 200 ", "\r\n\r\nslept" },
    { "/spins", "HTTP/1.1 200 ", "\r\n\r\nspun" },
    { "/streams", "HTTP/1.1 200 ", "0\r\n\r\n" },
    { "/writes", "HTTP/1.1 200 ", "0\r\n\r\n" },
    { "/large", "HTTP/1.1 200 ", "xyyyyy" },
    { "/raises", "HTTP/1.1 500 ", "\n" },
    { "/closes", "HTTP/1.1 200 ", "0\r\n\r\n" },
    { "/many", "HTTP/1.1 200 ", "shared block" },
};
enum { N_WANTED = sizeof(wanted) / sizeof(*wanted), N_CLIENTS = 8 };

typedef struct client {
    const wsgi_server *server;
    unsigned seed;
    int n;
    char wrong[256];
} client;

static bool
ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), n = strlen(end);
    return len >= n && strcmp(text + len - n, end) == 0;
}

/* Frees the answer. */
static void
expect_end(char *answer, const char *end)
{
    cr_expect(ends_with(answer, end), "%s", answer);
    free(answer);
}

/* Streams come in chunks of any length: their digits in order. */
static bool
has_digits(const char *answer, const struct wanted *w)
{
    const char *body = strstr(answer, "\r\n\r\n");
    char next = '0';
    int n = 0;
    if (strcmp(w->path, "/streams") != 0 && strcmp(w->path, "/writes") != 0)
        return true;
    for (const char *at = body ? body + 4 : ""; *at;) {
        long size = strtol(at, (char **)&at, 16);
        at += 2;
        for (; size > 0; size--, n++, at++) {
            if (*at != next)
                return false;
            next = (char)(next == '9' ? '0' : next + 1);
        }
        at += 2;
    }
    return n == (w->path[1] == 's' ? 20 : 10);
}

static void *
ask_often(void *arg)
{
    client *c = arg;
    for (int i = 0; i < c->n && !c->wrong[0]; i++) {
        const struct wanted *w = &wanted[rand_r(&c->seed) % N_WANTED];
        char *got = serving_ask(c->server, w->path);
        if (strncmp(got, w->status, strlen(w->status)) != 0 ||
            !ends_with(got, w->end) || !has_digits(got, w))
            snprintf(c->wrong, sizeof(c->wrong), "%s: %.200s", w->path, got);
        free(got);
    }
    return NULL;
}

static void *
serve(void *server)
{
    return (void *)(intptr_t)wsgi_server_serve(server);
}

typedef struct served {
    wsgi_server *server;
    pthread_t thread;
    PyThreadState *gil;
} served;

static served
start_this(wsgi_server *server)
{
    served s = { .server = server, .gil = PyEval_SaveThread() };
    cr_assert_eq(pthread_create(&s.thread, NULL, serve, server), 0);
    return s;
}

static served
start(const char *name, const char *value)
{
    wsgi_server *server = serving_new(source);
    if (name)
        cr_assert_eq(wsgi_server_set_text(server, name, value), WSGI_OK);
    return start_this(server);
}

/* With the GIL held again. */
static void
stop(served *s)
{
    void *status;
    wsgi_server_stop(s->server, WSGI_STOP_DRAIN);
    pthread_join(s->thread, &status);
    cr_expect_eq((int)(intptr_t)status, WSGI_OK);
    PyEval_RestoreThread(s->gil);
}

static void
expect_true(const char *expression)
{
    PyObject *module = PyImport_ImportModule("served");
    cr_expect(python_true(module, expression), "%s", expression);
    Py_XDECREF(module);
}

static void
crowd(const wsgi_server *server, int n)
{
    client clients[N_CLIENTS];
    pthread_t threads[N_CLIENTS];
    for (unsigned i = 0; i < N_CLIENTS; i++) {
        clients[i] = (client){ .server = server, .seed = i + 1, .n = n };
        pthread_create(&threads[i], NULL, ask_often, &clients[i]);
    }
    for (int i = 0; i < N_CLIENTS; i++) {
        pthread_join(threads[i], NULL);
        cr_expect_str_empty(clients[i].wrong, "%s", clients[i].wrong);
    }
}

Test(executor, answers_are_right_whoever_has_the_loop)
{
    served s = start(NULL, NULL);
    crowd(s.server, 40);
    stop(&s);
    expect_true("inside == 0");
    expect_true("most > 1");
    expect_true("most <= 4");
    wsgi_server_free(s.server);
}

Test(executor, one_thread_never_makes_two_calls)
{
    served s = start("threads", "1");
    crowd(s.server, 20);
    stop(&s);
    expect_true("most == 1");
    expect_true("len(threads) == 1");
    wsgi_server_free(s.server);
}

Test(executor, calls_that_wait_for_another_get_their_own_thread)
{
    served s = start("threads", "3");
    int waiting[2];
    for (int i = 0; i < 2; i++) {
        waiting[i] = serving_connect(s.server);
        dprintf(waiting[i],
                "GET /waits HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    }
    expect_end(serving_ask(s.server, "/opens"), "opened");
    for (int i = 0; i < 2; i++)
        expect_end(serving_read(waiting[i]), "waited");
    stop(&s);
    wsgi_server_free(s.server);
}

/* threading.local lives as long as the thread: what counts in one does not
 * start anew. */
Test(executor, threads_keep_their_state)
{
    served s = start("threads", "1");
    char want[16];
    for (int i = 1; i <= 20; i++) {
        char *got = serving_ask(s.server, "/counts");
        snprintf(want, sizeof(want), "\r\n\r\n%d", i);
        cr_expect(ends_with(got, want), "%s", got);
        free(got);
        if (i % 5 == 0) /* the loop has been elsewhere meanwhile */
            free(serving_ask(s.server, "/sleeps"));
    }
    stop(&s);
    wsgi_server_free(s.server);
}

/* ---- Clients that do not keep up ----------------------------------------- */

static int
ask_slowly(const wsgi_server *server, const char *path)
{
    int fd = serving_connect(server), small = 32 * 1024;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    dprintf(fd, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            path);
    return fd;
}

/* Streams that wait for their clients are bound to threads: with calls on all
 * others somebody has to be left for the loop. */
Test(executor, the_loop_is_there_with_streams_and_all_threads_in_calls)
{
    served s = start("threads", "2");
    int slow[3], busy[2];
    for (int i = 0; i < 3; i++)
        slow[i] = ask_slowly(s.server, "/drips");
    free(serving_ask(s.server, "/sleeps"));
    for (int i = 0; i < 2; i++) {
        busy[i] = serving_connect(s.server);
        dprintf(busy[i],
                "GET /naps HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    }
    /* What needs no call is answered, whatever the threads are in. */
    for (int i = 0; i < 5; i++) {
        int fd = serving_connect(s.server);
        dprintf(fd, "GET / HTTP/1.1\r\n\r\n");
        char *got = serving_read(fd);
        cr_expect(strncmp(got, "HTTP/1.1 400 ", 13) == 0, "%s", got);
        free(got);
    }
    for (int i = 0; i < 3; i++) {
        size_t total = 0;
        char block[65536];
        for (ssize_t n; (n = read(slow[i], block, sizeof(block))) > 0;)
            total += (size_t)n;
        cr_expect_gt(total, 64 * 65536u, "stream %d: %zu", i, total);
        close(slow[i]);
    }
    for (int i = 0; i < 2; i++)
        expect_end(serving_read(busy[i]), "napped");
    stop(&s);
    expect_true("inside == 0");
    expect_true("most <= 2");
    wsgi_server_free(s.server);
}

/* Two streams on one thread take turns. */
Test(executor, streams_on_one_thread_take_turns)
{
    served s = start("threads", "1");
    int first = ask_slowly(s.server, "/drips");
    int second = ask_slowly(s.server, "/drips");
    char block[65536];
    size_t got[2] = { 0 };
    while (got[0] < 1000000 || got[1] < 1000000) {
        ssize_t n[2] = { read(first, block, sizeof(block)),
                         read(second, block, sizeof(block)) };
        cr_assert(n[0] > 0 && n[1] > 0, "one of them has ended");
        got[0] += (size_t)n[0];
        got[1] += (size_t)n[1];
    }
    close(first);
    close(second);
    stop(&s);
    expect_true("most == 1");
    wsgi_server_free(s.server);
}

/* ---- What a call gives --------------------------------------------------- */

/* A destructor is code of the application, and belongs to its call. */
Test(executor, what_has_a_destructor_is_not_kept)
{
    served s = start(NULL, NULL);
    expect_end(serving_ask(s.server, "/dies"), "d\r\n0\r\n\r\n");
    stop(&s);
    expect_true("left == [1, 2]");
    wsgi_server_free(s.server);
}

static PyObject *
fail(PyObject *self, PyObject *nth)
{
    (void)self;
    wsgi__mem_fail_nth(PyLong_AsLong(nth));
    Py_RETURN_NONE;
}

static void
add_fail(void)
{
    static PyMethodDef method = { "fail", fail, METH_O, NULL };
    PyObject *module = PyImport_ImportModule("served");
    PyObject *function = PyCFunction_New(&method, NULL);
    cr_assert_eq(PyObject_SetAttrString(module, "fail", function), 0);
    Py_DECREF(function);
    Py_DECREF(module);
}

/* The memory that fails may be that of the thread with the loop, which is not
 * waited for, and then closes the connection: another try. */
static char *
ask_until_answered(const wsgi_server *server, const char *target)
{
    char *got = serving_ask(server, target);
    for (int i = 0; i < 100 && *got == '\0'; i++) {
        free(got);
        got = serving_ask(server, target);
    }
    return got;
}

/* Whatever of a block was refused for want of memory: the head is not said
 * again. */
Test(executor, a_block_that_is_refused_leaves_the_rest_right)
{
    wsgi_server *server = serving_new(source);
    add_fail();
    served s = start_this(server);
    for (int nth = 1; nth < 5; nth++) {
        char path[32];
        snprintf(path, sizeof(path), "/refused?%d", nth);
        char *got = ask_until_answered(s.server, path);
        const char *body = strstr(got, "\r\n\r\n");
        cr_expect_eq(strncmp(got, "HTTP/1.1 200 ", 13), 0, "%s: %s", path,
                     got);
        cr_expect(body && !strstr(body, "HTTP/"), "%s: %s", path, got);
        cr_expect(ends_with(got, "second\r\n0\r\n\r\n"), "%s: %s", path, got);
        free(got);
    }
    stop(&s);
    wsgi_server_free(s.server);
}

/* ---- Clients that leave ------------------------------------------------- */

Test(executor, clients_may_leave_at_any_time)
{
    served s = start(NULL, NULL);
    for (int i = 0; i < 60; i++) {
        int fd = serving_connect(s.server);
        dprintf(fd, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n",
                wanted[i % N_WANTED].path);
        struct timespec moment = { .tv_nsec = i % 7 * 1000000 };
        nanosleep(&moment, NULL);
        close(fd);
    }
    expect_end(serving_ask(s.server, "/fast"), "fast");
    stop(&s);
    expect_true("inside == 0");
    wsgi_server_free(s.server);
}

Test(executor, stops_at_once_with_calls_under_way)
{
    served s = start(NULL, NULL);
    int fds[8];
    for (int i = 0; i < 8; i++) {
        fds[i] = serving_connect(s.server);
        dprintf(fds[i], "GET %s HTTP/1.1\r\nHost: x\r\n\r\n",
                wanted[i % N_WANTED].path);
    }
    wsgi_server_stop(s.server, WSGI_STOP_NOW);
    stop(&s);
    for (int i = 0; i < 8; i++)
        close(fds[i]);
    expect_true("inside == 0");
    wsgi_server_free(s.server);
}

/* ---- Several servers ----------------------------------------------------- */

/* They share the interpreter, and nothing else. */
Test(executor, two_servers_in_one_process)
{
    wsgi_server *servers[2] = { serving_new(source), serving_new(source) };
    pthread_t threads[2], clients[4];
    client asking[4];
    PyThreadState *gil = PyEval_SaveThread();
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, serve, servers[i]);
    for (unsigned i = 0; i < 4; i++) {
        asking[i] =
            (client){ .server = servers[i % 2], .seed = i + 1, .n = 20 };
        pthread_create(&clients[i], NULL, ask_often, &asking[i]);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(clients[i], NULL);
        cr_expect_str_empty(asking[i].wrong, "%s", asking[i].wrong);
    }
    for (int i = 0; i < 2; i++) {
        void *status;
        wsgi_server_stop(servers[i], WSGI_STOP_DRAIN);
        pthread_join(threads[i], &status);
        cr_expect_eq((int)(intptr_t)status, WSGI_OK);
    }
    PyEval_RestoreThread(gil);
    for (int i = 0; i < 2; i++)
        wsgi_server_free(servers[i]);
}

/* ---- A host's own loop -------------------------------------------------- */

Test(executor, dispatch_does_not_wait_for_the_application)
{
    wsgi_server *server = serving_new(source);
    cr_assert_eq(wsgi_server_set_text(server, "threads", "2"), WSGI_OK);
    cr_assert_eq(wsgi_server_start(server), WSGI_OK);
    PyThreadState *gil = PyEval_SaveThread();
    int waiting = serving_connect(server);
    dprintf(waiting,
            "GET /waits HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    /* It is being called; a loop that waited for it would not get here. */
    for (int i = 0; i < 10; i++)
        cr_assert_eq(wsgi_server_dispatch(server, 10), WSGI_OK);
    int opening = serving_connect(server);
    dprintf(opening,
            "GET /opens HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    char block[4096] = "";
    for (int i = 0; i < 1000 && !strstr(block, "waited"); i++) {
        cr_assert_eq(wsgi_server_dispatch(server, 10), WSGI_OK);
        size_t len = strlen(block);
        ssize_t n =
            recv(waiting, block + len, sizeof(block) - 1 - len, MSG_DONTWAIT);
        block[len + (n > 0 ? (size_t)n : 0)] = '\0';
    }
    cr_expect(strstr(block, "\r\n\r\nwaited"), "%s", block);
    close(waiting);
    close(opening);
    PyEval_RestoreThread(gil);
    wsgi_server_free(server);
}
