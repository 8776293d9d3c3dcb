/* What a supervisor tells of its workers, to a client that is a process of its
 * own.  The workers are C functions that count three answers each. */
#include <criterion/criterion.h>

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <wsgi/supervisor.h>

#include "server/worker.h"

#define TEXT (64 * 1024)

/* What the client has heard, in memory that it shares with the test. */
typedef struct heard {
    char first[TEXT], status[TEXT], last[TEXT], answer[TEXT];
} heard;

static char path[64], address[80];
static heard *ears;

static int
count_three(wsgi_worker *worker, void *user)
{
    struct pollfd told = { .fd = wsgi_worker_fd(worker), .events = POLLIN };

    (void)user;
    wsgi__count_add(&worker->score->responses[200], 3);
    wsgi_worker_ready(worker);
    while (wsgi_worker_order_now(worker) == WSGI_WORKER_GO_ON) {
        poll(&told, 1, 100);
        wsgi_worker_beat(worker);
    }
    return 0;
}

/* ---- The client --------------------------------------------------------- */

static bool
ask(const char *target)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    size_t len = 0;
    ssize_t n;

    memcpy(to.sun_path, path, strlen(path) + 1);
    ears->answer[0] = '\0';
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 &&
        dprintf(fd, "GET %s HTTP/1.0\r\n\r\n", target) > 0)
        while ((n = read(fd, ears->answer + len, TEXT - 1 - len)) > 0)
            ears->answer[len += (size_t)n] = '\0';
    close(fd);
    return len > 0;
}

/* Until the answer has that part; gives up with the test. */
static void
await(const char *target, const char *part)
{
    while (!ask(target) || !strstr(ears->answer, part))
        poll(NULL, 0, 10);
}

static void
be_client(void)
{
    await("/metrics", "wsgi_workers{state=\"ready\"} 2\n");
    strcpy(ears->first, ears->answer);
    await("/status", "WORKER");
    strcpy(ears->status, ears->answer);
    const char *row = strstr(ears->status, "\n     1 ");
    if (row)
        kill((pid_t)atol(row + 8), SIGKILL);
    await("/metrics", "wsgi_worker_restarts_total{cause=\"signal\"} 1\n");
    await("/metrics", "wsgi_workers{state=\"ready\"} 2\n");
    strcpy(ears->last, ears->answer);
    kill(getppid(), SIGTERM);
    _exit(0);
}

/* ---- The tests ---------------------------------------------------------- */

static void
no_log(void *user, wsgi_log_level level, const char *entry)
{
    (void)user, (void)level, (void)entry;
}

static void
expect_line(const char *text, const char *line)
{
    cr_expect(strstr(text, line), "%s is not in\n%s", line, text);
}

Test(supervisor_monitor, tells_of_workers_living_and_dead)
{
    alarm(50);
    snprintf(path, sizeof(path), "/tmp/monitor-%ld", (long)getpid());
    snprintf(address, sizeof(address), "unix:%s", path);
    ears = mmap(NULL, sizeof(*ears), PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(ears, MAP_FAILED);
    wsgi_supervisor *supervisor = wsgi_supervisor_new();
    wsgi_supervisor_set_log(supervisor, WSGI_LOG_ERROR, no_log, NULL);
    cr_assert_eq(
        wsgi_supervisor_set_int(supervisor, WSGI_SUPERVISOR_WORKERS, 2),
        WSGI_OK);
    cr_assert_eq(wsgi_supervisor_bind_monitor(supervisor, WSGI_MONITOR_CONTROL,
                                              address),
                 WSGI_OK, "%s", wsgi_supervisor_error(supervisor));
    cr_expect_str_eq(
        wsgi_supervisor_monitor_address(supervisor, WSGI_MONITOR_CONTROL),
        address);
    pid_t client = fork();
    if (client == 0)
        be_client();
    cr_assert_eq(wsgi_supervisor_run(supervisor, count_three, NULL), WSGI_OK,
                 "%s", wsgi_supervisor_error(supervisor));
    waitpid(client, NULL, 0);
    wsgi_supervisor_free(supervisor);
    cr_expect_neq(access(path, F_OK), 0, "the socket is left behind");

    expect_line(ears->first, "wsgi_requests_total{status=\"200\"} 6\n");
    expect_line(ears->first,
                "wsgi_worker_restarts_total{cause=\"signal\"} 0\n");
    expect_line(ears->status, "): workers 2, ");
    /* Three of the dead, three of each that lives. */
    expect_line(ears->last, "wsgi_requests_total{status=\"200\"} 9\n");
    munmap(ears, sizeof(*ears));
}

Test(supervisor_monitor, refuses_what_cannot_be)
{
    wsgi_supervisor *supervisor = wsgi_supervisor_new();
    wsgi_monitor none = (wsgi_monitor)2;
    cr_expect_eq(wsgi_supervisor_bind_monitor(supervisor, none, ":0"),
                 WSGI_ERR_INVALID);
    cr_expect_null(wsgi_supervisor_monitor_address(supervisor, none));
    cr_expect_eq(wsgi_supervisor_bind_monitor(supervisor, WSGI_MONITOR_METRICS,
                                              "nonsense"),
                 WSGI_ERR_ADDRESS);
    cr_expect_null(
        wsgi_supervisor_monitor_address(supervisor, WSGI_MONITOR_METRICS));
    cr_expect_eq(
        wsgi_supervisor_bind_monitor(NULL, WSGI_MONITOR_METRICS, ":0"),
        WSGI_ERR_NOMEM);
    wsgi_supervisor_free(supervisor);
}
