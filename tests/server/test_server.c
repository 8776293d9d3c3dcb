/* The public API, with Python and over real sockets. */
#include "support/python.h"
#include "support/serving.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <wsgi/python.h>

#include "base/mem.h"
#include "server/worker.h"

TestSuite(server, .init = python_start, .fini = python_stop);

#define HELLO                                                                 \
    "def app(environ, start_response):\n"                                     \
    "    start_response('200 OK', [('Content-Type', 'text/plain')])\n"        \
    "    return [b'hello ' + environ['PATH_INFO'].encode()]\n"

static void
quiet(void *user, wsgi_log_level level, const char *entry)
{
    (void)user;
    (void)level;
    (void)entry;
}

/* New reference. */
static PyObject *
app_of(const char *source)
{
    PyObject *module = python_module("served", source);
    PyObject *app = python_get(module, "app");
    Py_DECREF(module);
    return app;
}

/* ---- Serving ------------------------------------------------------------ */

static void *
serve(void *user)
{
    return (void *)(intptr_t)wsgi_server_serve(user);
}

Test(server, serves_from_a_thread_and_stops_from_another)
{
    wsgi_server *server = serving_new(HELLO);
    pthread_t thread;
    void *status;
    PyThreadState *gil = PyEval_SaveThread();

    cr_assert_eq(pthread_create(&thread, NULL, serve, server), 0);
    for (int i = 0; i < 3; i++) {
        char *got = serving_ask(server, "/thread");
        cr_expect(strstr(got, "\r\n\r\nhello /thread"), "%s", got);
        free(got);
    }
    wsgi_server_stop(server, WSGI_STOP_DRAIN);
    pthread_join(thread, &status);
    cr_expect_eq((int)(intptr_t)status, WSGI_OK);
    PyEval_RestoreThread(gil);
    cr_expect_eq(wsgi_server_serve(server), WSGI_ERR_STATE, "once only");
    wsgi_server_free(server);
}

static wsgi_server *signalled;

static void
on_signal(int number)
{
    (void)number;
    wsgi_server_stop(signalled, WSGI_STOP_DRAIN);
}

Test(server, stops_from_a_signal_handler)
{
    signalled = serving_new(HELLO);
    signal(SIGALRM, on_signal);
    alarm(1);
    /* The GIL is held here: serving gives it back, and takes it again. */
    cr_expect_eq(wsgi_server_serve(signalled), WSGI_OK);
    cr_expect(python_quiet(), "the GIL is held again");
    wsgi_server_free(signalled);
}

Test(server, a_stop_before_serving_is_not_forgotten)
{
    wsgi_server *server = serving_new(HELLO);
    wsgi_server_stop(server, WSGI_STOP_NOW);
    wsgi_server_stop(server, WSGI_STOP_DRAIN);
    cr_expect_eq(wsgi_server_serve(server), WSGI_OK);
    wsgi_server_free(server);
}

/* ---- A host's own loop -------------------------------------------------- */

static void *
ask_in_thread(void *user)
{
    return serving_ask(user, "/own-loop");
}

Test(server, one_descriptor_is_the_whole_contract)
{
    wsgi_server *server = serving_new(HELLO);
    cr_expect_eq(wsgi_server_fd(server), -1, "not before the start");
    cr_expect_eq(wsgi_server_dispatch(server, 0), WSGI_ERR_STATE);
    cr_assert_eq(wsgi_server_start(server), WSGI_OK, "%s",
                 wsgi_server_error(server));

    pthread_t client;
    void *got = NULL;
    pthread_create(&client, NULL, ask_in_thread, server);
    struct pollfd watched = { wsgi_server_fd(server), POLLIN, 0 };
    cr_assert_geq(watched.fd, 0);
    for (int turns = 0; turns < 20; turns++) {
        if (python_poll(&watched, 1, 500) == 0)
            break; /* nothing left to do */
        cr_assert_eq(wsgi_server_dispatch(server, 0), WSGI_OK);
    }
    pthread_join(client, &got);
    cr_expect(strstr(got, "hello /own-loop"), "%s", (char *)got);
    free(got);

    wsgi_server_stop(server, WSGI_STOP_DRAIN);
    cr_expect_eq(python_poll(&watched, 1, 1000), 1,
                 "the stop shows in the fd");
    int status = WSGI_OK;
    for (int i = 0; i < 100 && status == WSGI_OK; i++)
        status = wsgi_server_dispatch(server, 100);
    cr_expect_eq(status, WSGI_STOPPED);
    cr_expect_eq(wsgi_server_dispatch(server, 0), WSGI_STOPPED);
    wsgi_server_free(server);
}

static void
dispatch(wsgi_server *server, int times)
{
    /* Some of them are woken by threads that have nothing to tell. */
    for (times *= 4; times > 0; times--)
        cr_assert_eq(wsgi_server_dispatch(server, 20), WSGI_OK);
}

/* The poll back end has no descriptor to hand out: said in words. */
Test(server, the_poll_back_end_has_no_descriptor_but_can_be_dispatched)
{
    setenv("WSGI_LOOP", "poll", 1);
    wsgi_server *server = serving_new(HELLO);
    cr_assert_eq(wsgi_server_start(server), WSGI_OK);
    cr_expect_eq(wsgi_server_fd(server), -1);
    int fd = serving_connect(server);
    char block[4096];
    dprintf(fd, "GET /poll HTTP/1.1\r\nHost: x\r\n\r\n");
    dispatch(server, 3);
    cr_expect_gt(recv(fd, block, sizeof(block), MSG_DONTWAIT), 0);
    close(fd);
    wsgi_server_free(server);
}

/* ---- Shortages ---------------------------------------------------------- */

static void
count_errors(void *user, wsgi_log_level level, const char *entry)
{
    (void)entry;
    if (level == WSGI_LOG_ERROR)
        ++*(int *)user;
}

static void
connect_fd(int fd, const wsgi_server *server)
{
    const char *address = wsgi_server_address(server, 0);
    struct sockaddr_in sa = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        .sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1)),
    };
    cr_assert_eq(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
}

Test(server, without_descriptors_clients_are_turned_away)
{
    wsgi_server *server = serving_new(HELLO);
    int errors = 0;
    wsgi_server_set_log(server, WSGI_LOG_ERROR, count_errors, &errors);
    cr_assert_eq(wsgi_server_start(server), WSGI_OK);
    int turned_away = socket(AF_INET, SOCK_STREAM, 0);
    int served = socket(AF_INET, SOCK_STREAM, 0);

    struct rlimit usual, none;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &usual), 0);
    int lowest_free = dup(served);
    close(lowest_free);
    none = usual;
    none.rlim_cur = (rlim_t)lowest_free;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);

    char block[4096] = "";
    connect_fd(turned_away, server);
    dispatch(server, 20);
    cr_expect_gt(recv(turned_away, block, sizeof(block) - 1, MSG_DONTWAIT), 0);
    cr_expect(strncmp(block, "HTTP/1.1 503 ", 13) == 0, "%s", block);
    cr_expect(strstr(block, "Retry-After: "), "%s", block);
    cr_expect_eq(errors, 1, "said once, not at every attempt");

    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &usual), 0);
    connect_fd(served, server);
    dprintf(served, "GET /after HTTP/1.1\r\nHost: x\r\n\r\n");
    dispatch(server, 20);
    memset(block, 0, sizeof(block));
    cr_expect_gt(recv(served, block, sizeof(block) - 1, MSG_DONTWAIT), 0);
    cr_expect(strstr(block, "hello /after"), "%s", block);
    close(turned_away);
    close(served);
    wsgi_server_free(server);
}

/* Idle connections make room for those who want something. */
Test(server, a_full_server_closes_what_is_idle)
{
    wsgi_server *server = serving_new(HELLO);
    char block[4096];
    int fds[4];
    cr_assert_eq(wsgi_server_set_int(server, WSGI_OPT_WORKER_CONNECTIONS, 2),
                 WSGI_OK);
    cr_assert_eq(wsgi_server_start(server), WSGI_OK);
    for (int i = 0; i < 4; i++) {
        fds[i] = serving_connect(server);
        dprintf(fds[i], "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        dispatch(server, 5);
        cr_expect_gt(recv(fds[i], block, sizeof(block), MSG_DONTWAIT), 0, "%d",
                     i);
    }
    cr_expect_eq(recv(fds[0], block, sizeof(block), MSG_DONTWAIT), 0,
                 "the oldest went first");
    cr_expect_lt(recv(fds[3], block, sizeof(block), MSG_DONTWAIT), 0);
    for (int i = 0; i < 4; i++)
        close(fds[i]);
    wsgi_server_free(server);
}

/* Busy ones are left alone: who comes then waits. */
Test(server, a_full_server_lets_newcomers_wait)
{
    wsgi_server *server = serving_new(HELLO);
    char block[4096];
    cr_assert_eq(wsgi_server_set_int(server, WSGI_OPT_WORKER_CONNECTIONS, 1),
                 WSGI_OK);
    cr_assert_eq(wsgi_server_start(server), WSGI_OK);
    int busy = serving_connect(server);
    dprintf(busy, "GET / HT");
    dispatch(server, 3);
    int waiting = serving_connect(server);
    dprintf(waiting, "GET /w HTTP/1.1\r\nHost: x\r\n\r\n");
    dispatch(server, 5);
    cr_expect_lt(recv(waiting, block, sizeof(block), MSG_DONTWAIT), 0);
    dprintf(busy, "TP/1.1\r\nHost: x\r\n\r\n");
    dispatch(server, 8);
    cr_expect_gt(recv(busy, block, sizeof(block), MSG_DONTWAIT), 0);
    cr_expect_gt(recv(waiting, block, sizeof(block), MSG_DONTWAIT), 0);
    close(busy);
    close(waiting);
    wsgi_server_free(server);
}

/* A stream of more blocks than fit in one turn: dispatch leaves the
 * descriptor readable while anything is left to do. */
Test(server, the_descriptor_is_readable_while_work_is_left)
{
    wsgi_server *server =
        serving_new("def app(environ, start_response):\n"
                    "    start_response('200 OK', [])\n"
                    "    return (b'x' for _ in range(1000))\n");
    cr_assert_eq(wsgi_server_start(server), WSGI_OK);
    int fd = serving_connect(server);
    dprintf(fd, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    struct pollfd watched[2] = { { wsgi_server_fd(server), POLLIN, 0 },
                                 { fd, POLLIN, 0 } };
    char block[65536];
    size_t total = 0;
    for (;;) {
        cr_assert_gt(python_poll(watched, 2, 5000), 0,
                     "stalled after %zu bytes", total);
        if (watched[0].revents)
            cr_assert_eq(wsgi_server_dispatch(server, 0), WSGI_OK);
        if (!watched[1].revents)
            continue;
        ssize_t n = read(fd, block, sizeof(block));
        if (n <= 0)
            break;
        total += (size_t)n;
    }
    cr_expect_gt(total, (size_t)1000 * 6);
    close(fd);
    wsgi_server_free(server);
}

/* ---- Mistakes ----------------------------------------------------------- */

/* Between two steps of the application the connection is the loop's, which
 * does not hold the GIL: another thread's write() must not touch it. */
Test(server, write_is_refused_while_the_application_does_not_run)
{
    wsgi_server *server = serving_new(
        "kept = []\n"
        "def app(environ, start_response):\n"
        "    kept.append(start_response('200 OK', []))\n"
        "    return (b'x' * 1000000 for _ in range(100))\n"
        "def late():\n"
        "    try: kept[0](b'late')\n"
        "    except RuntimeError as e: return 'not running' in str(e)\n");
    PyObject *module = PyImport_ImportModule("served");
    cr_assert_eq(wsgi_server_start(server), WSGI_OK);
    int fd = serving_connect(server);
    dprintf(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    while (!python_true(module, "len(kept) == 1"))
        cr_assert_eq(wsgi_server_dispatch(server, 10), WSGI_OK);

    cr_expect(python_true(module, "late()"));
    close(fd);
    Py_DECREF(module);
    wsgi_server_free(server);
}

Test(server, errors_name_the_thing)
{
    wsgi_server *server = wsgi_server_new();
    static const struct {
        const char *address;
        int status;
    } addresses[] = {
        { "", WSGI_ERR_ADDRESS },
        { "8000", WSGI_ERR_ADDRESS },
        { "127.0.0.1:99999", WSGI_ERR_ADDRESS },
        { "unix:/no/such/folder/socket", WSGI_ERR_BIND },
        { "fd://987", WSGI_ERR_BIND },
    };
    for (size_t i = 0; i < sizeof(addresses) / sizeof(*addresses); i++) {
        cr_expect_eq(wsgi_server_bind(server, addresses[i].address),
                     addresses[i].status, "%s", addresses[i].address);
        cr_expect(strstr(wsgi_server_error(server), addresses[i].address),
                  "%s: %s", addresses[i].address, wsgi_server_error(server));
    }
    cr_expect_eq(wsgi_server_load(server), WSGI_ERR_STATE, "no application");
    cr_expect_eq(wsgi_server_set_app(server, ""), WSGI_ERR_INVALID);
    cr_expect_str_eq(wsgi_server_error(server),
                     "Provide a WSGI application object as module:callable");
    cr_expect_eq(wsgi_server_set_app_object(server, Py_None),
                 WSGI_ERR_APP_TYPE);
    cr_expect(strstr(wsgi_server_error(server), "NoneType"));
    cr_expect_eq(wsgi_server_set_text(server, "keep-alive", "often"),
                 WSGI_ERR_INVALID);
    cr_expect_eq(wsgi_server_set_text(server, "keep-alvie", "5"),
                 WSGI_ERR_OPTION);
    cr_expect_eq(
        wsgi_server_set_int(server, WSGI_OPT_LIMIT_REQUEST_FIELDS, -1),
        WSGI_ERR_INVALID);
    cr_expect_eq(wsgi_server_set_app(server, "no_such_module:app"), WSGI_OK);
    cr_expect_eq(wsgi_server_load(server), WSGI_ERR_APP_IMPORT);
    cr_expect(strstr(wsgi_server_error(server), "no_such_module"));
    cr_expect_eq(wsgi_server_set_app(server, "os:path.no_such"), WSGI_OK);
    cr_expect_eq(wsgi_server_start(server), WSGI_ERR_APP_MISSING);
    cr_expect_eq(wsgi_server_set_app(server, "os:sep"), WSGI_OK);
    cr_expect_eq(wsgi_server_serve(server), WSGI_ERR_APP_TYPE);
    cr_expect_null(PyErr_Occurred());
    wsgi_server_free(server);
}

Test(server, an_object_is_not_taken_without_the_gil)
{
    wsgi_server *server = wsgi_server_new();
    PyObject *app = app_of(HELLO);
    PyThreadState *gil = PyEval_SaveThread();
    int status = wsgi_server_set_app_object(server, app);
    PyEval_RestoreThread(gil);
    cr_expect_eq(status, WSGI_ERR_STATE);
    cr_expect(strstr(wsgi_server_error(server), "GIL"));
    Py_DECREF(app);
    wsgi_server_free(server);
}

/* Its objects are of no use to the thread states that serve. */
Test(server, a_sub_interpreter_cannot_be_served)
{
    PyThreadState *first = PyThreadState_Get();
    PyThreadState *sub = Py_NewInterpreter();
    cr_assert_not_null(sub);
    wsgi_server *server = wsgi_server_new();
    PyObject *callable = PyEval_GetBuiltins();
    callable = PyDict_GetItemString(callable, "pow");

    cr_expect_eq(wsgi_server_set_app_object(server, callable), WSGI_ERR_STATE);
    cr_expect(strstr(wsgi_server_error(server), "sub-interpreter"));
    cr_assert_eq(wsgi_server_set_app(server, "operator:add"), WSGI_OK);
    cr_expect_eq(wsgi_server_load(server), WSGI_ERR_STATE);
    cr_expect(strstr(wsgi_server_error(server), "sub-interpreter"));
    Py_EndInterpreter(sub);
    PyThreadState_Swap(first);
    cr_expect_eq(wsgi_server_load(server), WSGI_OK, "%s",
                 wsgi_server_error(server));
    wsgi_server_free(server);
}

Test(server, a_null_server_is_out_of_memory)
{
    cr_expect_eq(wsgi_server_set_app(NULL, "a:b"), WSGI_ERR_NOMEM);
    cr_expect_eq(wsgi_server_bind(NULL, ":1"), WSGI_ERR_NOMEM);
    cr_expect_eq(wsgi_server_serve(NULL), WSGI_ERR_NOMEM);
    cr_expect_eq(wsgi_server_dispatch(NULL, 0), WSGI_ERR_NOMEM);
    cr_expect_eq(wsgi_server_load(NULL), WSGI_ERR_NOMEM);
    cr_expect_str_eq(wsgi_server_error(NULL), wsgi_strerror(WSGI_ERR_NOMEM));
    cr_expect_null(wsgi_server_address(NULL, 0));
    wsgi_server_stop(NULL, WSGI_STOP_NOW);
    wsgi_server_free(NULL);
}

Test(server, configuration_is_closed_once_started)
{
    wsgi_server *server = serving_new(HELLO);
    cr_assert_eq(wsgi_server_start(server), WSGI_OK);
    cr_expect_eq(wsgi_server_bind(server, "127.0.0.1:0"), WSGI_ERR_STATE);
    cr_expect_eq(wsgi_server_set_app(server, "a:b"), WSGI_ERR_STATE);
    cr_expect_eq(wsgi_server_set_text(server, "keep-alive", "1"),
                 WSGI_ERR_STATE);
    cr_expect_eq(wsgi_server_start(server), WSGI_ERR_STATE);
    wsgi_server_free(server); /* without a stop: closes at once */
}

/* Two would take each other's orders. */
Test(server, a_worker_has_one_server)
{
    wsgi__score score = { 0 };
    wsgi_worker worker = { .number = 1, .score = &score };
    wsgi_server *server = serving_new(HELLO), *other = serving_new(HELLO);

    cr_expect_eq(wsgi_server_set_worker(NULL, &worker), WSGI_ERR_NOMEM);
    cr_expect_eq(wsgi_server_set_worker(server, &worker), WSGI_OK);
    cr_expect_eq(wsgi_server_set_worker(server, &worker), WSGI_OK);
    cr_expect_eq(wsgi_server_set_worker(other, &worker), WSGI_ERR_STATE);
    cr_expect(strstr(wsgi_server_error(other), "has a server already"));
    cr_assert_eq(wsgi_server_start(other), WSGI_OK);
    cr_expect_eq(wsgi_server_set_worker(other, &worker), WSGI_ERR_STATE);
    cr_expect(strstr(wsgi_server_error(other), "has been started"));
    wsgi_server_free(other);
    wsgi_server_free(server);
}

Test(server, sockets_can_be_passed_on)
{
    wsgi_server *server = wsgi_server_new();
    char path[] = "/tmp/wsgi-test-XXXXXX", address[64];

    cr_assert_not_null(mkdtemp(path));
    snprintf(address, sizeof(address), "unix:%s/socket", path);
    cr_assert_eq(wsgi_server_bind(server, address), WSGI_OK);
    cr_expect_geq(wsgi_server_socket(server, 0), 0);
    cr_expect_eq(wsgi_server_socket(server, 1), -1);
    cr_expect_eq(wsgi_server_socket(NULL, 0), -1);
    wsgi_server_leave_sockets(server);
    wsgi_server_free(server);
    cr_expect_eq(access(address + 5, F_OK), 0, "it is another's now");
    unlink(address + 5);
    rmdir(path);
}

Test(server, sockets_that_were_passed_on_have_a_new_owner)
{
    wsgi_server *old = wsgi_server_new(), *server = wsgi_server_new();
    char path[] = "/tmp/wsgi-test-XXXXXX", address[64];

    cr_assert_not_null(mkdtemp(path));
    snprintf(address, sizeof(address), "unix:%s/socket", path);
    cr_assert_eq(wsgi_server_bind(old, address), WSGI_OK);
    int fd = dup(wsgi_server_socket(old, 0));
    cr_assert_eq(wsgi_server_bind_fd(server, fd), WSGI_OK);
    wsgi_server_leave_sockets(old);
    wsgi_server_free(old);
    cr_expect_eq(wsgi_server_own_socket(NULL, 0), WSGI_ERR_NOMEM);
    cr_expect_eq(wsgi_server_own_socket(server, 1), WSGI_ERR_INVALID);
    cr_expect_eq(wsgi_server_own_socket(server, 0), WSGI_OK);
    wsgi_server_free(server);
    cr_expect_eq(access(address + 5, F_OK), -1);
    rmdir(path);
}

Test(server, sockets_can_be_left_to_forked_processes)
{
    wsgi_server *server = wsgi_server_new();
    char path[] = "/tmp/wsgi-test-XXXXXX", address[64];

    cr_assert_not_null(mkdtemp(path));
    snprintf(address, sizeof(address), "unix:%s/socket", path);
    cr_assert_eq(wsgi_server_bind(server, address), WSGI_OK);
    int fd = wsgi_server_socket(server, 0);
    wsgi_server_close_sockets(server);
    wsgi_server_close_sockets(NULL);
    cr_expect_lt(fcntl(fd, F_GETFD), 0);
    cr_expect_eq(wsgi_server_socket(server, 0), -1);
    cr_expect_eq(access(address + 5, F_OK), 0, "they still accept");
    wsgi_server_free(server);
    cr_expect_eq(access(address + 5, F_OK), -1, "they have ended");
    rmdir(path);
}

/* ---- Ownership ---------------------------------------------------------- */

Test(server, an_adopted_socket_belongs_to_the_server)
{
    wsgi_server *server = wsgi_server_new();
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in sa = { .sin_family = AF_INET,
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    cr_assert_eq(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    cr_expect_eq(wsgi_server_bind_fd(server, fd), WSGI_OK, "%s",
                 wsgi_server_error(server));
    cr_expect(strncmp(wsgi_server_address(server, 0), "127.0.0.1:", 10) == 0);
    cr_expect_null(wsgi_server_address(server, 1));
    int pair[2];
    cr_assert_eq(pipe(pair), 0);
    cr_expect_lt(wsgi_server_bind_fd(server, pair[0]), 0);
    wsgi_server_free(server);
    cr_expect_lt(fcntl(fd, F_GETFD), 0, "closed by the server");
    cr_expect_geq(fcntl(pair[0], F_GETFD), 0, "refused: still the caller's");
}

Test(server, the_application_is_let_go)
{
    PyObject *app = app_of(HELLO);
    Py_ssize_t before = Py_REFCNT(app);
    wsgi_server *server = wsgi_server_new();
    cr_expect_eq(wsgi_server_set_app_object(server, app), WSGI_OK);
    cr_expect_eq(wsgi_server_set_app_object(server, app), WSGI_OK);
    cr_expect_eq(wsgi_server_load(server), WSGI_OK);
    wsgi_server_free(server);
    cr_expect_eq(Py_REFCNT(app), before);
    Py_DECREF(app);
}

Test(server, options_count_until_the_start)
{
    wsgi_server *server =
        serving_new("def app(environ, start_response):\n"
                    "    start_response('200 OK', [])\n"
                    "    return [environ['SERVER_SOFTWARE'].encode()]\n");
    cr_assert_eq(wsgi_server_load(server), WSGI_OK);
    cr_assert_eq(
        wsgi_server_set_str(server, WSGI_OPT_SERVER_HEADER, "after/load"),
        WSGI_OK);
    cr_assert_eq(wsgi_server_start(server), WSGI_OK);
    int fd = serving_connect(server);
    char block[4096] = "";
    dprintf(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    dispatch(server, 3);
    cr_expect_gt(recv(fd, block, sizeof(block) - 1, MSG_DONTWAIT), 0);
    cr_expect(strstr(block, "\r\n\r\nafter/load"), "%s", block);
    close(fd);
    wsgi_server_free(server);
}

/* ---- Records ------------------------------------------------------------ */

typedef struct record {
    int calls, status;
    char method[16], target[64], agent[64], type[64], missing[8];
    uint64_t bytes;
} record;

static void
on_access(void *user, const wsgi_access *access)
{
    record *r = user;
    r->calls++;
    r->status = access->status;
    r->bytes = access->body_bytes;
    snprintf(r->method, sizeof(r->method), "%s", access->method);
    snprintf(r->target, sizeof(r->target), "%s", access->target);
    wsgi_access_header(access, WSGI_HEADER_REQUEST, "HOST", r->agent,
                       sizeof(r->agent));
    wsgi_access_header(access, WSGI_HEADER_RESPONSE, "content-type", r->type,
                       sizeof(r->type));
    cr_expect_eq(wsgi_access_header(access, WSGI_HEADER_RESPONSE, "x-none",
                                    r->missing, sizeof(r->missing)),
                 -1);
}

typedef struct traced {
    char text[5][512];
} traced;

static void
on_trace(void *user, wsgi_trace_kind kind, uint64_t connection,
         const char *data, size_t len)
{
    traced *t = user;
    cr_expect_eq(connection, 1);
    strncat(t->text[kind], data, len < 511 - strlen(t->text[kind]) ? len : 0);
}

static void
serve_past_python(void)
{
    wsgi_server *server =
        serving_new("def app(environ, start_response):\n"
                    "    start_response('200 OK', [])\n"
                    "    return (b'x' * 1000000 for _ in range(100))\n");
    cr_assert_eq(wsgi_server_start(server), WSGI_OK);
    int fd = serving_connect(server);
    dprintf(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    /* Until the call waits for its client: a thread that waits for the GIL is
     * ended by CPython. */
    for (int i = 0; i < 40; i++)
        wsgi_server_dispatch(server, 10);
    Py_FinalizeEx();
    wsgi_server_free(server);
    close(fd);
}

/* Against the advice of wsgi_python_fini().  In a process of its own: what
 * Python's objects held is lost. */
Test(server, a_started_server_outlives_python)
{
    int status = -1;
    PyOS_BeforeFork();
    pid_t child = fork();
    if (child == 0) {
        PyOS_AfterFork_Child();
        alarm(20);
        serve_past_python();
        _exit(0);
    }
    PyOS_AfterFork_Parent();
    waitpid(child, &status, 0);
    cr_expect_eq(status, 0, "it ended with status %#x", (unsigned)status);
}

Test(server, access_and_trace_callbacks)
{
    wsgi_server *server = serving_new(HELLO);
    record r = { 0 };
    static traced t;
    wsgi_server_set_access_log(server, on_access, &r);
    wsgi_server_set_trace(server, on_trace, &t);
    pthread_t thread;
    PyThreadState *gil = PyEval_SaveThread();
    pthread_create(&thread, NULL, serve, server);
    free(serving_ask(server, "/a?b"));
    wsgi_server_stop(server, WSGI_STOP_DRAIN);
    pthread_join(thread, NULL);
    PyEval_RestoreThread(gil);

    cr_expect_eq(r.calls, 1);
    cr_expect_eq(r.status, 200);
    cr_expect_eq(r.bytes, 8);
    cr_expect_str_eq(r.method, "GET");
    cr_expect_str_eq(r.target, "/a?b");
    cr_expect_str_eq(r.agent, "x");
    cr_expect_str_eq(r.type, "text/plain");
    cr_expect(strstr(t.text[WSGI_TRACE_REQUEST_HEAD], "GET /a?b HTTP/1.1"));
    cr_expect(strstr(t.text[WSGI_TRACE_RESPONSE_HEAD], "HTTP/1.1 200 OK"));
    cr_expect_str_eq(t.text[WSGI_TRACE_RESPONSE_BODY], "hello /a");
    wsgi_server_free(server);
}

/* ---- Two faults at once ------------------------------------------------- */

Test(server, every_allocation_of_a_start_may_fail)
{
    for (long n = 1; n < 80; n++) {
        PyObject *app = app_of(HELLO);
        wsgi__mem_fail_nth(n);
        wsgi_server *server = wsgi_server_new();
        wsgi_server_set_log(server, WSGI_LOG_ERROR, quiet, NULL);
        int status = wsgi_server_set_app_object(server, app);
        if (status == WSGI_OK)
            status = wsgi_server_bind(server, "127.0.0.1:0");
        if (status == WSGI_OK)
            status = wsgi_server_start(server);
        long asked = wsgi__mem_count();
        wsgi__mem_fail_nth(0);
        cr_expect(status < 0 || asked < n || status == WSGI_OK);
        cr_expect_null(PyErr_Occurred(), "allocation %ld", n);
        if (status < 0)
            cr_expect(*wsgi_server_error(server), "allocation %ld", n);
        wsgi_server_free(server);
        Py_DECREF(app);
    }
}
