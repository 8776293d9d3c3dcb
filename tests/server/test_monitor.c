/* The server for those who watch: real sockets, a report of the test's own. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "server/monitor.h"

typedef struct world {
    wsgi_monitor kind;
    wsgi__loop *loop;
    wsgi__log log;
    wsgi__monitors monitors;
    wsgi__score *score;
    wsgi__report_worker worker;
    wsgi__buf error;
    char folder[32], path[64], address[80];
} world;

static void
no_log(void *user, wsgi_log_level level, const char *entry)
{
    (void)user, (void)level, (void)entry;
}

static void
make_report(void *owner, wsgi__report *report)
{
    world *w = owner;
    report->workers = &w->worker;
    report->n_workers = 1;
}

static void
setup(world *w, wsgi_monitor kind)
{
    *w = (world){ .kind = kind,
                  .log = { WSGI_LOG_DEBUG, no_log, NULL },
                  .folder = "/tmp/monitorXXXXXX" };
    cr_assert(mkdtemp(w->folder));
    snprintf(w->path, sizeof(w->path), "%s/socket", w->folder);
    snprintf(w->address, sizeof(w->address), "unix:%s", w->path);
    wsgi__buf_init(&w->error, 4096);
    w->loop = wsgi__loop_new(WSGI__LOOP_AUTO);
    w->score = calloc(1, sizeof(*w->score));
    w->worker = (wsgi__report_worker){ .number = 1,
                                       .pid = getpid(),
                                       .state = WSGI__REPORT_READY,
                                       .score = w->score };
    cr_assert_eq(
        wsgi__monitors_bind(&w->monitors, w->kind, w->address, &w->error),
        WSGI_OK, "%s", wsgi__buf_str(&w->error));
    cr_assert_eq(
        wsgi__monitors_start(&w->monitors, w->loop, &w->log, make_report, w),
        WSGI_OK);
}

static void
teardown(world *w)
{
    wsgi__monitors_close(&w->monitors);
    wsgi__loop_free(w->loop);
    wsgi__buf_free(&w->error);
    free(w->score);
    cr_expect_eq(rmdir(w->folder), 0, "the socket is left behind");
}

static int
connect_to(const world *w)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    memcpy(to.sun_path, w->path, strlen(w->path) + 1);
    cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static void
turn(world *w)
{
    cr_assert_eq(wsgi__loop_run_once(w->loop, 10), WSGI_OK);
    wsgi__monitors_turn(&w->monitors);
}

/* Everything until the monitor closes its side; the caller frees it. */
static char *
ask(world *w, const char *request)
{
    size_t len = 0, cap = 1 << 20;
    char *text = calloc(1, cap);
    int fd = connect_to(w);
    ssize_t n = -1;

    cr_assert_eq(write(fd, request, strlen(request)),
                 (ssize_t)strlen(request));
    for (int i = 0; i < 200 && n != 0; i++) {
        turn(w);
        n = read(fd, text + len, cap - 1 - len);
        len += n > 0 ? (size_t)n : 0;
    }
    cr_expect_eq(n, 0, "the connection stays open");
    close(fd);
    return text;
}

static void
expect_answer(world *w, const char *method, const char *path,
              const char *status, const char *part)
{
    char request[256];
    snprintf(request, sizeof(request), "%s %s HTTP/1.1\r\nHost: x\r\n\r\n",
             method, path);
    char *got = ask(w, request);
    cr_expect(strncmp(got + 9, status, strlen(status)) == 0, "%s %s: %s",
              method, path, got);
    cr_expect(strstr(got, part), "%s %s: %s", method, path, got);
    cr_expect(strstr(got, "Connection: close\r\n"), "%s", got);
    free(got);
}

Test(monitor, answers_from_the_report)
{
    world w;
    setup(&w, WSGI_MONITOR_METRICS);
    wsgi__count_set(&w.score->responses[204], 3);
    expect_answer(&w, "GET", "/metrics", "200 OK",
                  "\nwsgi_requests_total{status=\"204\"} 3\n");
    expect_answer(&w, "GET", "/metrics", "200 OK",
                  "Content-Type: text/plain; version=0.0.4; "
                  "charset=utf-8\r\n");
    expect_answer(&w, "GET", "/health", "200 OK", "\r\n\r\nready\n");
    expect_answer(&w, "HEAD", "/health", "200 OK", "Content-Length: 6\r\n");
    w.worker.state = WSGI__REPORT_STARTING;
    expect_answer(&w, "GET", "/health", "503 Service Unavailable",
                  "no worker is ready\n");
    expect_answer(&w, "GET", "/health/live", "200 OK", "live\n");
    expect_answer(&w, "GET", "/", "404 Not Found", "/metrics");
    expect_answer(&w, "POST", "/metrics", "405 Method Not Allowed",
                  "Allow: GET, HEAD\r\n");
    expect_answer(&w, "GET", "/ HTTP", "400 Bad Request", "");
    teardown(&w);
}

Test(monitor, shows_request_lines_on_the_control_socket_alone)
{
    world w;
    setup(&w, WSGI_MONITOR_METRICS);
    expect_answer(&w, "GET", "/status", "404 Not Found", "");
    teardown(&w);
    setup(&w, WSGI_MONITOR_CONTROL);
    struct stat file;
    cr_assert_eq(stat(w.path, &file), 0);
    cr_expect_eq(file.st_mode & 0777, 0600);
    wsgi__score_thread_set(&w.score->thread[0], WSGI__THREAD_CALL, 1,
                           "GET /secret HTTP/1.1", 20);
    expect_answer(&w, "GET", "/status", "200 OK", "GET /secret HTTP/1.1");
    expect_answer(&w, "GET", "/metrics", "200 OK", "wsgi_info{");
    teardown(&w);
}

Test(monitor, takes_a_crowd_by_and_by)
{
    int idle[40];
    world w;
    setup(&w, WSGI_MONITOR_METRICS);
    for (size_t i = 0; i < 40; i++)
        idle[i] = connect_to(&w);
    for (int i = 0; i < 5; i++)
        turn(&w);
    for (size_t i = 0; i < 40; i++)
        cr_assert_gt(write(idle[i], "GET /health HTTP/1.0\r\n\r\n", 24), 0);
    for (size_t i = 0; i < 40; i++) {
        char got[512] = "";
        for (int n = 0; n < 100 && read(idle[i], got, 511) <= 0; n++)
            turn(&w);
        cr_expect(strstr(got, "200 OK"), "%zu: %s", i, got);
        close(idle[i]);
    }
    teardown(&w);
}

/* Each byte of a body is given the time for one anew. */
Test(monitor, answers_although_slow_clients_have_every_connection)
{
    static const char upload[] = "POST /metrics HTTP/1.1\r\nHost: x\r\n"
                                 "Content-Length: 60000\r\n\r\n";
    char got[512] = "";
    int slow[32];
    world w;

    setup(&w, WSGI_MONITOR_METRICS);
    for (size_t i = 0; i < 32; i++) {
        slow[i] = connect_to(&w);
        cr_assert_gt(write(slow[i], upload, sizeof(upload) - 1), 0);
    }
    turn(&w);
    int fd = connect_to(&w);
    cr_assert_gt(write(fd, "GET /health HTTP/1.0\r\n\r\n", 24), 0);
    for (int n = 0; n < 400 && read(fd, got, sizeof(got) - 1) <= 0; n++) {
        for (size_t i = 0; i < 32; i++)
            (void)send(slow[i], "x", 1, MSG_NOSIGNAL);
        turn(&w);
        usleep(5000);
    }
    cr_expect(strstr(got, "200 OK"), "%s", got);
    for (size_t i = 0; i < 32; i++)
        close(slow[i]);
    close(fd);
    teardown(&w);
}

Test(monitor, is_not_wanted_when_zero_filled)
{
    wsgi__monitors none = { 0 };
    cr_expect_eq(wsgi__monitors_start(&none, NULL, NULL, NULL, NULL), WSGI_OK);
    cr_expect_null(wsgi__monitors_address(&none, WSGI_MONITOR_METRICS));
    wsgi__monitors_turn(&none);
    wsgi__monitors_abandon(&none);
    wsgi__monitors_close(&none);
}

Test(monitor, has_one_address_of_each_kind)
{
    world w;
    setup(&w, WSGI_MONITOR_METRICS);
    cr_expect_eq(wsgi__monitors_bind(&w.monitors, WSGI_MONITOR_METRICS,
                                     "127.0.0.1:0", &w.error),
                 WSGI_ERR_STATE);
    cr_expect_eq(wsgi__monitors_bind(&w.monitors, (wsgi_monitor)2,
                                     "127.0.0.1:0", &w.error),
                 WSGI_ERR_INVALID);
    cr_expect_eq(wsgi__monitors_bind(&w.monitors, WSGI_MONITOR_CONTROL,
                                     w.address, &w.error),
                 WSGI_ERR_BIND);
    cr_expect(strstr(wsgi__buf_str(&w.error), w.path), "%s",
              wsgi__buf_str(&w.error));
    cr_expect_null(wsgi__monitors_address(&w.monitors, WSGI_MONITOR_CONTROL));
    cr_expect_str_eq(wsgi__monitors_address(&w.monitors, WSGI_MONITOR_METRICS),
                     w.address);
    teardown(&w);
}

static int
count_sockets(void)
{
    int n = 0, type;
    socklen_t len = sizeof(type);
    for (int fd = 3; fd < 256; fd++)
        n += getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &type, &len) == 0;
    return n;
}

Test(monitor, goes_on_after_a_fork_that_abandons_it)
{
    world w;
    setup(&w, WSGI_MONITOR_METRICS);
    int waiting = connect_to(&w);
    turn(&w);
    /* The client's end, and what Criterion has. */
    int others = count_sockets() - 2;
    pid_t child = fork();
    if (child == 0) {
        wsgi__monitors_abandon(&w.monitors);
        _exit(count_sockets());
    }
    int status = -1;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_expect_eq(WEXITSTATUS(status), others);
    expect_answer(&w, "GET", "/health", "200 OK", "ready\n");
    close(waiting);
    teardown(&w);
}

Test(monitor, survives_without_memory)
{
    world w;
    setup(&w, WSGI_MONITOR_CONTROL);
    for (long n = 1; n < 60; n++) {
        int fd = connect_to(&w);
        cr_assert_gt(write(fd, "GET /status HTTP/1.0\r\n\r\n", 24), 0);
        wsgi__mem_fail_nth(n);
        turn(&w);
        turn(&w);
        wsgi__mem_fail_nth(0);
        close(fd);
        turn(&w);
    }
    expect_answer(&w, "GET", "/status", "200 OK", "WORKER");
    teardown(&w);
}

Test(monitor, begins_whole_or_not_at_all)
{
    bool failed = true;
    for (long n = 1; failed && n < 100; n++) {
        wsgi__monitors monitors = { 0 };
        wsgi__log log = { WSGI_LOG_DEBUG, no_log, NULL };
        wsgi__buf error;
        wsgi__buf_init(&error, 4096);
        wsgi__loop *loop = wsgi__loop_new(WSGI__LOOP_AUTO);
        wsgi__mem_fail_nth(n);
        int status = wsgi__monitors_bind(&monitors, WSGI_MONITOR_CONTROL,
                                         "127.0.0.1:0", &error);
        if (status == WSGI_OK)
            status =
                wsgi__monitors_start(&monitors, loop, &log, make_report, NULL);
        failed = wsgi__mem_count() >= n;
        wsgi__mem_fail_nth(0);
        cr_expect(failed || status == WSGI_OK, "%ld", n);
        wsgi__monitors_close(&monitors);
        wsgi__loop_free(loop);
        wsgi__buf_free(&error);
    }
    cr_expect_not(failed, "allocations never end");
}
