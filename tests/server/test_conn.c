/* The state machine of a connection: real sockets, no Python. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "server/conn.h"
#include "server/health.h"
#include "support/fake_executor.h"

typedef struct world {
    wsgi__loop *loop;
    fake_executor fx;
    wsgi__log log;
    wsgi__conns set;
    wsgi__listener listener;
    int client;
    int accesses, last_status;
    uint64_t last_bytes;
    int64_t last_type; /* length of the answer's Content-Type, -1: none */
} world;

static void
no_log(void *user, wsgi_log_level level, const char *entry)
{
    (void)user;
    (void)level;
    (void)entry;
}

static void
on_access(void *user, const wsgi_access *access)
{
    world *w = user;
    w->accesses++;
    w->last_status = access->status;
    w->last_bytes = access->body_bytes;
    w->last_type = wsgi_access_header(access, WSGI_HEADER_RESPONSE,
                                      "content-type", NULL, 0);
}

static void
connect_client(world *w)
{
    int pair[2];
    wsgi__endpoint peer = { "192.0.2.7", "51000" };
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    int small = 4096; /* so that a response of some size blocks */
    setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    w->client = pair[0];
    cr_assert_eq(wsgi__conns_add(&w->set, pair[1], &w->listener, &peer),
                 WSGI_OK);
}

static void
setup(world *w)
{
    *w = (world){ 0 };
    w->loop = wsgi__loop_new(WSGI__LOOP_AUTO);
    fake_executor_init(&w->fx);
    w->log = (wsgi__log){ WSGI_LOG_DEBUG, no_log, NULL };
    cr_assert_eq(wsgi__conns_init(&w->set, w->loop, &w->fx.base, &w->log),
                 WSGI_OK);
    w->set.limits = (wsgi__parser_limits){ .max_line = 256,
                                           .max_fields = 8,
                                           .max_field_size = 256,
                                           .max_body = 4096 };
    w->set.timeouts = (wsgi__timeouts){ 20000, 20000, 20000, 20000 };
    w->set.body_in_memory = 64;
    w->set.most = 16;
    w->set.style.high_water = 16384;
    w->set.access.cb = on_access;
    w->set.access.user = w;
    strcpy(w->listener.self.host, "127.0.0.1");
    strcpy(w->listener.self.port, "80");
    connect_client(w);
}

static void
teardown(world *w)
{
    wsgi__conns_close_all(&w->set);
    w->fx.base.ops->run(&w->fx.base);
    wsgi__conns_free(&w->set);
    wsgi__loop_free(w->loop);
    if (w->client >= 0)
        close(w->client);
}

/* One turn as server/serve.c takes it. */
static void
turn(world *w)
{
    cr_assert_eq(wsgi__loop_run_once(w->loop, 10), WSGI_OK);
    do
        w->fx.base.ops->run(&w->fx.base);
    while (wsgi__conns_continue(&w->set));
    wsgi__conns_flush(&w->set);
    wsgi__conns_reap(&w->set);
}

static void
turns(world *w, int n)
{
    while (n-- > 0)
        turn(w);
}

static void
say(world *w, const char *text)
{
    cr_assert_eq(write(w->client, text, strlen(text)), (ssize_t)strlen(text));
}

/* What has arrived at the client so far; the caller frees it.  *closed tells
 * whether the server has ended its side. */
static char *
hear(world *w, bool *closed)
{
    size_t len = 0, cap = 1 << 20;
    char *text = malloc(cap + 1);
    if (closed)
        *closed = false;
    for (int quiet = 0; quiet < 3 && len < cap;) {
        turn(w);
        ssize_t n = read(w->client, text + len, cap - len);
        if (n == 0 || (n < 0 && errno == ECONNRESET)) {
            if (closed)
                *closed = true;
            break;
        }
        if (n > 0)
            len += (size_t)n;
        quiet = n > 0 ? 0 : quiet + 1;
    }
    text[len] = '\0';
    return text;
}

static size_t
occurrences(const char *text, const char *what)
{
    size_t n = 0;
    for (text = strstr(text, what); text; text = strstr(text + 1, what))
        n++;
    return n;
}

/* The deadline of the only connection is over. */
static void
expire(world *w)
{
    wsgi__timer *timer = &w->set.first->timer;
    cr_assert(wsgi__timer_armed(timer));
    wsgi__loop_disarm(w->loop, timer);
    timer->expired(timer);
}

#define GET(target) "GET " target " HTTP/1.1\r\nHost: x\r\n\r\n"

Test(conn, keeps_alive_and_owns_nothing_while_idle)
{
    world w;
    bool closed;
    setup(&w);
    for (int i = 0; i < 3; i++) {
        say(&w, GET("/a"));
        char *got = hear(&w, &closed);
        cr_expect(strncmp(got, "HTTP/1.1 200 OK\r\n", 17) == 0, "%s", got);
        cr_expect(strstr(got, "\r\n\r\nhello"), "%s", got);
        cr_expect(!closed);
        free(got);
        cr_expect_null(w.set.first->x);
        cr_expect_null(w.set.first->input.data);
        cr_expect_null(w.set.first->out.first);
    }
    cr_expect_eq(w.accesses, 3);
    cr_expect_eq(w.set.n_spare, 1, "the exchange is used again");
    teardown(&w);
}

/* ---- What is remembered of a connection --------------------------------- */

static void
get_times(world *w, int client, int times)
{
    while (times-- > 0) {
        w->client = client;
        say(w, GET("/a"));
        free(hear(w, NULL));
    }
}

Test(conn, each_connection_has_its_own_exchange_again)
{
    world w;
    setup(&w);
    int first = w.client;
    wsgi__conn *one = w.set.first;
    connect_client(&w);
    int second = w.client;
    wsgi__conn *two = w.set.first;

    get_times(&w, first, 1);
    cr_expect_null(one->kept, "many connections have one request only");
    get_times(&w, first, 1);
    get_times(&w, second, 2);
    wsgi__exchange *of_one = one->kept, *of_two = two->kept;
    cr_assert(of_one && of_two && of_one != of_two);
    for (int i = 0; i < 3; i++) {
        get_times(&w, first, 1);
        get_times(&w, second, 1);
        cr_expect_eq(one->kept, of_one);
        cr_expect_eq(two->kept, of_two);
        cr_expect(wsgi__parser_remembers(of_one->parser));
    }
    cr_expect_eq(w.set.n_spare, 2);
    close(first);
    turns(&w, 3);
    cr_expect_eq(w.set.count, 1);
    cr_expect(!wsgi__parser_remembers(of_one->parser),
              "what is remembered ends with the connection");
    cr_expect_eq(w.set.spare, of_one, "and the exchange is anybody's");
    cr_expect_eq(w.set.n_spare, 2);

    connect_client(&w);
    get_times(&w, w.client, 2);
    cr_expect_eq(w.set.first->kept, of_one);
    cr_expect_eq(two->kept, of_two);
    close(second);
    teardown(&w);
}

Test(conn, pipelined_requests_are_answered_in_order)
{
    world w;
    setup(&w);
    wsgi__buf many;
    wsgi__buf_init(&many, 65536);
    for (int i = 0; i < 40; i++)
        wsgi__buf_puts(&many, GET("/p"));
    wsgi__buf_puts(&many, "GET /last HTTP/1.1\r\nHost: x\r\n"
                          "Connection: close\r\n\r\n" GET("/never"));
    say(&w, wsgi__buf_str(&many));
    wsgi__buf_free(&many);
    bool closed;
    char *got = hear(&w, &closed);
    cr_expect_eq(occurrences(got, "HTTP/1.1 200 OK"), 41);
    cr_expect_str_eq(w.fx.last_target, "/last");
    cr_expect(closed);
    free(got);
    teardown(&w);
}

Test(conn, a_request_cut_at_every_byte)
{
    static const char request[] = "POST /cut HTTP/1.1\r\nHost: x\r\n"
                                  "Content-Length: 5\r\n\r\nhello";
    for (size_t cut = 1; cut < sizeof(request) - 1; cut++) {
        world w;
        setup(&w);
        cr_assert(write(w.client, request, cut) == (ssize_t)cut);
        turns(&w, 1);
        cr_expect_eq(w.fx.submitted, 0, "%zu", cut);
        say(&w, request + cut);
        char *got = hear(&w, NULL);
        cr_expect(strstr(got, "200 OK"), "%zu: %s", cut, got);
        cr_expect_str_eq(w.fx.last_body, "hello");
        free(got);
        teardown(&w);
    }
}

/* What ends a connection, and with which answer.  GET /smuggled behind an
 * error is never looked at. */
static const struct {
    const char *name, *request, *status;
    bool never_submitted;
} refused[] = {
    { "bare LF", "GET / HTTP/1.1\nHost: x\n\n" GET("/smuggled"), "400", true },
    { "two lengths",
      "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
      "Content-Length: 2\r\n\r\n" GET("/smuggled"),
      "400", true },
    { "body too large",
      "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4097\r\n"
      "Expect: 100-continue\r\n\r\n",
      "413", true },
    { "expectation",
      "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
      "Expect: wonders\r\n\r\n",
      "417", true },
    { "bad chunk",
      "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked"
      "\r\n\r\nxyz\r\n" GET("/smuggled"),
      "400", true },
    { "CONNECT", "CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n", "501", true },
};

Test(conn, refuses_and_parses_nothing_more)
{
    for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
        world w;
        bool closed;
        setup(&w);
        say(&w, refused[i].request);
        char *got = hear(&w, &closed);
        cr_expect(strncmp(got + 9, refused[i].status, 3) == 0, "%s: %s",
                  refused[i].name, got);
        cr_expect_eq(occurrences(got, "HTTP/1.1 "), 1, "%s: %s",
                     refused[i].name, got);
        cr_expect(strstr(got, "Connection: close"), "%s", refused[i].name);
        cr_expect(closed, "%s", refused[i].name);
        cr_expect_eq(w.fx.submitted, 0, "%s", refused[i].name);
        cr_expect_eq(w.accesses, 1, "%s", refused[i].name);
        free(got);
        teardown(&w);
    }
}

/* Bytes and end of the input come together, behind the answer. */
Test(conn, a_refused_client_that_goes_on_is_not_reset)
{
    world w;
    char got[4096];
    setup(&w);
    say(&w, "junk\n");
    turns(&w, 3);
    cr_assert_eq(w.set.first->state, WSGI__CONN_LINGER);
    say(&w, "and more of it\n");
    shutdown(w.client, SHUT_WR);
    turns(&w, 3);
    cr_expect_eq(w.set.count, 0);
    cr_expect_gt(read(w.client, got, sizeof(got)), 0);
    ssize_t n = read(w.client, got, sizeof(got));
    cr_expect_eq(n, 0, "%s", n < 0 ? strerror(errno) : "more");
    teardown(&w);
}

Test(conn, asks_for_the_body_once)
{
    world w;
    setup(&w);
    say(&w, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
            "Expect: 100-continue\r\n\r\n");
    char *got = hear(&w, NULL);
    cr_expect_str_eq(got, "HTTP/1.1 100 Continue\r\n\r\n");
    free(got);
    say(&w, "hello");
    got = hear(&w, NULL);
    cr_expect(strncmp(got, "HTTP/1.1 200 OK", 15) == 0, "%s", got);
    free(got);
    teardown(&w);
}

Test(conn, a_body_cut_short_never_reaches_the_application)
{
    world w;
    setup(&w);
    say(&w, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhel");
    turns(&w, 2);
    shutdown(w.client, SHUT_WR);
    turns(&w, 3);
    cr_expect_eq(w.fx.submitted, 0);
    cr_expect_eq(w.set.count, 0);
    teardown(&w);
}

Test(conn, a_half_closed_client_is_answered)
{
    world w;
    bool closed;
    setup(&w);
    say(&w, GET("/half"));
    shutdown(w.client, SHUT_WR);
    char *got = hear(&w, &closed);
    cr_expect(strstr(got, "hello"), "%s", got);
    cr_expect(closed);
    free(got);
    teardown(&w);
}

/* A megabyte for a client that does not read: the application is paused, the
 * output is bounded, and all of it comes in the end. */
Test(conn, a_slow_reader_pauses_the_application)
{
    for (int gathered = 0; gathered <= 1; gathered++) {
        world w;
        setup(&w);
        w.fx.answer.gathered = false;
        w.fx.answer.blocks[0] = "0123456789abcdef0123456789abcdef"
                                "0123456789abcdef0123456789abcdef";
        w.fx.answer.repeat = 16383;
        say(&w, GET("/slow"));
        turns(&w, 5);
        cr_expect_eq(w.fx.n_jobs, 1);
        cr_expect_gt(w.fx.paused, 0);
        cr_expect_eq(w.set.first->state, WSGI__CONN_WRITE);
        cr_expect_lt(wsgi__outq_pending(&w.set.first->out), 65536);
        size_t total = 0;
        char block[65536];
        for (int i = 0; i < 100000 && w.fx.done == 0; i++) {
            ssize_t n = read(w.client, block, sizeof(block));
            total += n > 0 ? (size_t)n : 0;
            turn(&w);
        }
        for (;;) {
            turn(&w);
            ssize_t n = read(w.client, block, sizeof(block));
            if (n <= 0)
                break;
            total += (size_t)n;
        }
        cr_expect_gt(total, (size_t)1 << 20);
        cr_expect_eq(w.fx.done, 1);
        cr_expect_eq(w.set.first->state, WSGI__CONN_HEAD);
        teardown(&w);
    }
}

/* The answer waits for room in the socket while what follows its request, and
 * the end of the input, are there already: no byte of it may be lost, and
 * nothing more is read before it is gone. */
Test(conn, what_follows_a_request_does_not_cut_its_answer)
{
    static const struct {
        const char *name, *behind, *later;
        size_t answers;
        bool draining;
    } rows[] = {
        { "an empty line", "\r\n", NULL, 1, false },
        { "half a head", "GET /ha", NULL, 1, false },
        { "half a body",
          "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe", NULL, 1,
          false },
        { "the head of one that waits for the answer",
          "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n", "hello",
          2, false },
        { "an empty line, and the server stops", "\r\n", NULL, 1, true },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        world w;
        char block[12001];
        setup(&w);
        memset(block, 'b', sizeof(block) - 1);
        block[sizeof(block) - 1] = '\0';
        w.fx.answer.blocks[0] = block;
        say(&w, GET("/first"));
        say(&w, rows[i].behind);
        if (!rows[i].later)
            shutdown(w.client, SHUT_WR);
        turns(&w, 3);
        if (rows[i].draining)
            wsgi__conns_drain(&w.set);
        cr_assert_not_null(w.set.first, "%s", rows[i].name);
        cr_expect_eq(w.set.first->state, WSGI__CONN_WRITE, "%s", rows[i].name);
        char *got = hear(&w, NULL);
        size_t len = strlen(got),
               head = (size_t)(strstr(got, "\r\n\r\n") - got);
        cr_expect_eq(len, head + 4 + 12000, "%s: %zu bytes", rows[i].name,
                     len);
        free(got);
        if (rows[i].later)
            say(&w, rows[i].later);
        free(hear(&w, NULL));
        cr_expect_eq(w.fx.done, rows[i].answers, "%s", rows[i].name);
        cr_expect_eq(w.set.count, rows[i].later ? 1 : 0, "%s", rows[i].name);
        teardown(&w);
    }
}

Test(conn, a_client_that_leaves_while_queued_is_dropped)
{
    world w;
    setup(&w);
    w.fx.answer.holds = true;
    say(&w, GET("/gone"));
    turns(&w, 2);
    cr_expect_eq(w.fx.n_jobs, 1);
    close(w.client);
    w.client = -1;
    turns(&w, 3);
    cr_expect_eq(w.fx.cancelled, 1);
    cr_expect_eq(w.fx.done, 1);
    cr_expect_eq(w.last_status, 499);
    cr_expect_eq(w.last_type, -1, "there is no answer to have one");
    cr_expect_eq(w.set.count, 0);
    cr_expect_null(w.set.dead, "freed once the job is done");
    teardown(&w);
}

Test(conn, input_while_running_does_not_spin)
{
    world w;
    setup(&w);
    w.fx.answer.holds = true;
    say(&w, GET("/one"));
    turns(&w, 2);
    say(&w, GET("/two"));
    turns(&w, 2);
    cr_expect_eq(w.set.first->io.want, WSGI__HANGUP);
    fake_executor_release(&w.fx);
    char *got = hear(&w, NULL);
    cr_expect_eq(occurrences(got, "200 OK"), 2, "%s", got);
    free(got);
    teardown(&w);
}

Test(conn, failures_of_the_application)
{
    static const struct {
        const char *name;
        bool first;
        const char *status;
    } rows[] = {
        { "before the head", true, "500" },
        { "after the head", false, "200" },
    };
    for (size_t i = 0; i < 2; i++) {
        world w;
        bool closed;
        setup(&w);
        w.fx.answer.fails_first = rows[i].first;
        w.fx.answer.fails = true;
        w.fx.answer.gathered = false;
        say(&w, GET("/fail"));
        char *got = hear(&w, &closed);
        cr_expect(strncmp(got + 9, rows[i].status, 3) == 0, "%s: %s",
                  rows[i].name, got);
        cr_expect_null(strstr(got, "\r\n0\r\n"), "%s: no last chunk",
                       rows[i].name);
        cr_expect(closed, "%s", rows[i].name);
        free(got);
        teardown(&w);
    }
}

/* Another thread would flush while the application makes the next one. */
Test(conn, blocks_of_a_turn_leave_together)
{
    world w;
    char block[256];
    setup(&w);
    w.fx.answer.gathered = false;
    w.fx.answer.repeat = 2;
    say(&w, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    cr_assert_eq(wsgi__loop_run_once(w.loop, 10), WSGI_OK);
    w.fx.base.ops->run(&w.fx.base);
    cr_expect_eq(w.fx.done, 1);
    cr_expect_lt(read(w.client, block, sizeof(block)), 0, "not one by one");
    wsgi__conns_flush(&w.set);
    ssize_t n = read(w.client, block, sizeof(block) - 1);
    cr_assert_gt(n, 0);
    block[n] = '\0';
    cr_expect_eq(occurrences(block, "\r\n5\r\nhello"), 3, "%s", block);
    cr_expect(strstr(block, "\r\n0\r\n\r\n"), "%s", block);
    teardown(&w);
}

/* ---- Calls that do not end ---------------------------------------------- */

static const char ask_once[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

Test(conn, a_timeout_is_answered_without_the_call)
{
    world w;
    bool closed;
    setup(&w);
    w.fx.answer.times_out = w.fx.answer.fails_first = true;
    say(&w, ask_once);
    char *got = hear(&w, &closed);
    cr_expect(strncmp(got, "HTTP/1.1 504 ", 13) == 0, "%s", got);
    cr_expect(strstr(got, "\r\nConnection: close\r\n"), "%s", got);
    cr_expect(closed);
    cr_expect_eq(w.last_status, 504);
    cr_expect_eq(w.last_bytes, strlen(strstr(got, "\r\n\r\n") + 4),
                 "a page of the server's own is a body too");
    cr_expect_eq(w.accesses, 1);
    free(got);
    close(w.client);
    turns(&w, 3);
    cr_expect_eq(w.set.count, 0, "the connection is gone");
    cr_expect_eq(w.fx.done, 0, "its call is not");
    /* Another is served meanwhile. */
    w.fx.answer.times_out = w.fx.answer.fails_first = false;
    connect_client(&w);
    say(&w, ask_once);
    got = hear(&w, NULL);
    cr_expect(strstr(got, "\r\n\r\nhello"), "%s", got);
    free(got);
    fake_executor_release(&w.fx);
    turns(&w, 2);
    cr_expect_eq(w.fx.done, 2);
    cr_expect_eq(w.accesses, 2);
    teardown(&w);
}

Test(conn, a_timeout_after_the_head_cuts_the_answer)
{
    world w;
    bool closed;
    setup(&w);
    w.fx.answer.times_out = true;
    w.fx.answer.gathered = false;
    say(&w, ask_once);
    char *got = hear(&w, &closed);
    cr_expect(strstr(got, "\r\n5\r\nhello\r\n"), "%s", got);
    cr_expect_not(strstr(got, "0\r\n\r\n"), "%s", got);
    cr_expect(closed);
    free(got);
    fake_executor_release(&w.fx);
    turns(&w, 2);
    cr_expect_eq(w.fx.done, 1);
    teardown(&w);
}

Test(conn, a_client_may_leave_before_it_hears_of_the_timeout)
{
    world w;
    setup(&w);
    w.fx.answer.times_out = w.fx.answer.fails_first = true;
    say(&w, ask_once);
    cr_assert_eq(wsgi__loop_run_once(w.loop, 10), WSGI_OK);
    close(w.client);
    w.client = -1;
    turns(&w, 4);
    cr_expect_eq(w.set.count, 0);
    fake_executor_release(&w.fx);
    turns(&w, 2);
    cr_expect_eq(w.fx.done, 1);
    cr_expect_null(w.set.dead, "nothing refers to it any more");
    teardown(&w);
}

Test(conn, who_cannot_be_served_in_time_is_told)
{
    world w;
    bool closed;
    setup(&w);
    w.fx.answer.sheds = true;
    say(&w, ask_once);
    char *got = hear(&w, &closed);
    cr_expect(strncmp(got, "HTTP/1.1 503 ", 13) == 0, "%s", got);
    cr_expect(strstr(got, "\r\nRetry-After: "), "%s", got);
    cr_expect(closed);
    cr_expect_eq(w.last_status, 503);
    free(got);
    teardown(&w);
}

Test(conn, who_left_while_waiting_is_not_answered)
{
    world w;
    bool closed;
    setup(&w);
    w.fx.answer.leaves = true;
    say(&w, ask_once);
    char *got = hear(&w, &closed);
    cr_expect_str_eq(got, "");
    cr_expect(closed);
    cr_expect_eq(w.last_status, 499);
    cr_expect_eq(w.accesses, 1);
    free(got);
    teardown(&w);
}

Test(conn, the_end_of_the_input_is_passed_on)
{
    world w;
    setup(&w);
    w.fx.answer.holds = true;
    say(&w, ask_once);
    turns(&w, 2);
    cr_expect_eq(w.fx.leaving, 0);
    cr_assert_eq(shutdown(w.client, SHUT_WR), 0);
    turns(&w, 2);
    cr_expect_eq(w.fx.leaving, 1);
    fake_executor_release(&w.fx);
    char *got = hear(&w, NULL);
    cr_expect(strstr(got, "\r\n\r\nhello"), "a half-closed client waits");
    free(got);
    teardown(&w);
}

/* ---- Deadlines ---------------------------------------------------------- */

Test(conn, deadlines)
{
    static const struct {
        const char *name, *said;
        wsgi__timeouts timeouts;
        const char *status; /* "": closes without a word */
        bool big;
    } rows[] = {
        { "a head that does not end",
          "GET / HT",
          { 30, 0, 0, 0 },
          "408",
          false },
        { "a body that does not end",
          "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe",
          { 20000, 30, 0, 0 },
          "408",
          false },
        { "nothing at all", "", { 30, 0, 0, 0 }, "", false },
        { "idle", GET("/"), { 20000, 0, 0, 30 }, "200", false },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        world w;
        bool closed = false;
        setup(&w);
        w.set.timeouts = rows[i].timeouts;
        /* The first deadline was armed with the default. */
        close(w.client);
        connect_client(&w);
        say(&w, rows[i].said);
        wsgi__buf all;
        wsgi__buf_init(&all, 65536);
        for (int n = 0; n < 300 && !closed; n++) {
            char *got = hear(&w, &closed);
            wsgi__buf_puts(&all, got);
            free(got);
        }
        cr_expect(closed, "%s", rows[i].name);
        const char *got = wsgi__buf_str(&all);
        cr_expect(strncmp(*got ? got + 9 : got, rows[i].status, 3) == 0,
                  "%s: %s", rows[i].name, got);
        wsgi__buf_free(&all);
        teardown(&w);
    }
}

/* The loop was busy for longer than the deadline, and fetched the events of
 * others first. */
Test(conn, what_came_before_a_deadline_is_found_counts)
{
    static const struct {
        const char *name, *before, *meanwhile;
        const char *status; /* "": closes without a word */
    } rows[] = {
        { "first request", "", GET("/"), "200" },
        { "nothing", "", "", "" },
        { "rest of a head", "GET / HTTP/1.1\r\nHo", "st: x\r\n\r\n", "200" },
        { "some more of a head", "GET / HTTP/1.1\r\nHo", "st: x\r\n", "408" },
        { "rest of a body",
          "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe", "llo",
          "200" },
        { "nothing of a body",
          "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe", "",
          "408" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        world w;
        setup(&w);
        say(&w, rows[i].before);
        turns(&w, 1);
        say(&w, rows[i].meanwhile);
        expire(&w);
        char *got = hear(&w, NULL);
        cr_expect(strncmp(*got ? got + 9 : got, rows[i].status, 3) == 0,
                  "%s: %s", rows[i].name, got);
        cr_expect(*rows[i].status || w.set.first->state == WSGI__CONN_LINGER,
                  "%s", rows[i].name);
        free(got);
        teardown(&w);
    }
}

Test(conn, a_client_that_read_before_the_deadline_was_found_gets_the_rest)
{
    for (int reads = 0; reads <= 1; reads++) {
        world w;
        char block[12001], got[65536];
        setup(&w);
        memset(block, 'b', sizeof(block) - 1);
        block[sizeof(block) - 1] = '\0';
        w.fx.answer.blocks[0] = block;
        say(&w, GET("/"));
        turns(&w, 2);
        cr_assert_eq(w.set.first->state, WSGI__CONN_WRITE);
        if (reads)
            cr_expect_gt(read(w.client, got, sizeof(got)), 0);
        expire(&w);
        cr_expect_eq(w.set.count, reads ? 1 : 0, "%d", reads);
        teardown(&w);
    }
}

Test(conn, a_request_that_crosses_the_close_of_an_idle_connection)
{
    world w;
    char byte;
    setup(&w);
    w.set.timeouts.keep_alive = 300;
    say(&w, GET("/first"));
    free(hear(&w, NULL));

    /* Before the end: it counts, although the time is over. */
    say(&w, GET("/in-time"));
    w.set.first->timer.expired(&w.set.first->timer);
    char *got = hear(&w, NULL);
    cr_expect(strstr(got, "200 OK"), "%s", got);
    free(got);

    /* Behind it: a plain end.  A reset reads as a failure, which proxies do not
     * repeat the request after. */
    for (int n = 0; n < 300 && recv(w.client, &byte, 1, MSG_PEEK) < 0; n++)
        turn(&w);
    cr_expect_eq(write(w.client, GET("/late"), strlen(GET("/late"))),
                 (ssize_t)strlen(GET("/late")));
    turns(&w, 3);
    cr_expect_eq(read(w.client, &byte, 1), 0);
    cr_expect_eq(w.accesses, 2);
    close(w.client);
    w.client = -1;
    turns(&w, 2);
    cr_expect_eq(w.set.count, 0);
    teardown(&w);
}

/* A byte now and then keeps no connection. */
Test(conn, a_body_that_comes_too_slowly)
{
    static const struct {
        int64_t rate;
        const char *status;
    } rows[] = { { 1000000, "408" }, { 0, "200" } };
    for (size_t i = 0; i < 2; i++) {
        world w;
        setup(&w);
        w.set.timeouts.body = 20;
        w.set.min_body_rate = rows[i].rate;
        say(&w, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\n\r\n");
        for (int n = 0; n < 30; n++) {
            say(&w, "x");
            turn(&w);
            usleep(2000);
        }
        char *got = hear(&w, NULL);
        cr_expect(strncmp(*got ? got + 9 : got, rows[i].status, 3) == 0,
                  "%zu: %s", i, got);
        free(got);
        teardown(&w);
    }
}

Test(conn, draining)
{
    world w;
    bool closed;
    setup(&w);
    say(&w, GET("/first"));
    free(hear(&w, NULL));
    /* A request that is under way at this moment is still answered. */
    say(&w, GET("/under-way"));
    wsgi__conns_drain(&w.set);
    char *got = hear(&w, &closed);
    cr_expect(strstr(got, "Connection: close"), "%s", got);
    cr_expect(closed);
    free(got);
    close(w.client);
    w.client = -1;
    turns(&w, 2);
    cr_expect_eq(w.set.count, 0);
    teardown(&w);
}

Test(conn, draining_closes_idle_connections_at_once)
{
    world w;
    setup(&w);
    say(&w, GET("/first"));
    free(hear(&w, NULL));
    wsgi__conns_drain(&w.set);
    cr_expect_eq(w.set.count, 0);
    teardown(&w);
}

/* Others serve on, so there is no hurry: the next request is answered, and the
 * client told. */
Test(conn, gentle_draining_waits_for_one_request_more)
{
    world w;
    bool closed;
    setup(&w);
    say(&w, GET("/first"));
    free(hear(&w, NULL));
    w.set.gentle = true;
    wsgi__conns_drain(&w.set);
    cr_expect_eq(w.set.count, 1);
    say(&w, GET("/second"));
    char *got = hear(&w, &closed);
    cr_expect(strstr(got, "Connection: close"), "%s", got);
    cr_expect(closed);
    free(got);
    teardown(&w);
}

/* 16,000 bytes, to a client that has not read them yet; `more` is behind the
 * request. */
static void
ask_for_much(world *w, const char *more)
{
    w->fx.answer.blocks[0] = "0123456789abcdef";
    w->fx.answer.repeat = 1000 - 1;
    w->fx.answer.content_length = 16000;
    say(w, GET("/last"));
    say(w, more);
    turns(w, 1);
    cr_assert(w->set.first && wsgi__outq_pending(&w->set.first->out) > 0,
              "the answer waits");
}

/* Its head said nothing of an end, when there was none in sight. */
Test(conn, gentle_draining_keeps_what_an_answer_promised)
{
    world w;
    bool closed;
    setup(&w);
    ask_for_much(&w, "");
    w.set.gentle = true;
    wsgi__conns_drain(&w.set);
    char *got = hear(&w, &closed);
    cr_expect_null(strstr(got, "Connection: close"), "%s", got);
    cr_expect_not(closed);
    free(got);
    say(&w, GET("/next"));
    got = hear(&w, &closed);
    cr_expect(strstr(got, "Connection: close"), "%s", got);
    cr_expect(closed);
    free(got);
    teardown(&w);
}

/* What ends the requests of a connection whose last answer is still on its way
 * to a client that reads slowly. */
static void
let_drain(world *w)
{
    wsgi__conns_drain(&w->set);
}

static void
let_client_end(world *w)
{
    cr_assert_eq(shutdown(w->client, SHUT_WR), 0);
    turns(w, 2);
}

static void
let_keep_alive_pass(world *w)
{
    usleep(30 * 1000);
    turns(w, 2);
}

static const struct {
    const char *name, *more; /* behind the request */
    void (*happens)(world *w);
} last_answers[] = {
    { "drained", "\r\n", let_drain },
    { "drained while it waits", "", let_drain },
    { "client ends its side", "\r\n", let_client_end },
    { "client ends its side within a head", "GET /2 HT", let_client_end },
    { "keep-alive passes", "\r\n", let_keep_alive_pass },
};

Test(conn, the_last_answer_is_written_whole)
{
    for (size_t i = 0; i < sizeof(last_answers) / sizeof(*last_answers); i++) {
        const char *name = last_answers[i].name;
        world w;
        bool closed;
        setup(&w);
        w.set.timeouts.keep_alive = 10;
        ask_for_much(&w, last_answers[i].more);
        last_answers[i].happens(&w);
        char *got = hear(&w, &closed);
        const char *body = strstr(got, "\r\n\r\n");
        cr_expect(body && strlen(body + 4) == 16000, "%s: %zu bytes", name,
                  strlen(got));
        cr_expect(closed, "%s", name);
        free(got);
        teardown(&w);
    }
}

Test(conn, every_allocation_may_fail)
{
    for (long n = 1; n < 40; n++) {
        world w;
        setup(&w);
        wsgi__mem_fail_nth(n);
        say(&w,
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 80\r\n\r\n"
            "01234567890123456789012345678901234567890123456789012345678901"
            "234567890123456789" GET("/second"));
        turns(&w, 4);
        wsgi__mem_fail_nth(0);
        /* Whatever failed: an answer, or the end; and the next client is
         * served. */
        close(w.client);
        turns(&w, 3);
        connect_client(&w);
        say(&w, GET("/after"));
        char *got = hear(&w, NULL);
        cr_expect(strstr(got, "200 OK"), "allocation %ld: %s", n, got);
        free(got);
        teardown(&w);
    }
}

/* ---- Pages of the server's own ------------------------------------------ */

static void
setup_pages(world *w, wsgi__health *health)
{
    setup(w);
    wsgi__health_init(health, WSGI__SPAN("/health"));
    w->set.pages = &health->pages;
    w->set.style.keep_alive = true;
}

Test(conn, answers_a_page_while_the_application_is_busy)
{
    world w;
    wsgi__health health;
    bool closed;
    setup_pages(&w, &health);
    w.fx.answer.holds = true;
    say(&w, GET("/slow"));
    turns(&w, 2);
    int slow = w.client;
    connect_client(&w);
    for (int i = 0; i < 3; i++) {
        say(&w, GET("/health"));
        char *got = hear(&w, &closed);
        cr_expect(strncmp(got, "HTTP/1.1 200 OK\r\n", 17) == 0, "%s", got);
        cr_expect(strstr(got, "\r\n\r\nready\n"), "%s", got);
        cr_expect(!closed);
        free(got);
    }
    cr_expect_eq(w.fx.submitted, 1);
    cr_expect_eq(w.accesses, 3);
    cr_expect_eq(w.last_status, 200);
    cr_expect_null(w.set.first->x);
    close(w.client);
    w.client = slow;
    fake_executor_release(&w.fx);
    char *got = hear(&w, NULL);
    cr_expect(strstr(got, "hello"), "%s", got);
    free(got);
    teardown(&w);
}

Test(conn, answers_pages_in_their_place_among_pipelined_requests)
{
    world w;
    wsgi__health health;
    setup_pages(&w, &health);
    say(&w,
        GET("/health") GET("/health/live")
            GET("/a") "HEAD /health HTTP/1.1\r\nHost: x\r\n\r\n"
                      "POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: "
                      "3\r\n\r\nabc" GET("/b") GET("/health"));
    char *got = hear(&w, NULL);
    static const char *const order[] = {
        "200 OK",
        "ready\n",
        "200 OK",
        "live\n",
        "hello",
        "200 OK",
        "Content-Length: 6\r\n",
        "405 Method Not Allowed",
        "Allow: GET, HEAD\r\n",
        "hello",
        "200 OK",
        "ready\n",
    };
    const char *at = got;
    for (size_t i = 0; i < sizeof(order) / sizeof(*order); i++) {
        at = strstr(at, order[i]);
        cr_assert(at, "%zu: %s is not there in its place:\n%s", i, order[i],
                  got);
        at += strlen(order[i]);
    }
    cr_expect_eq(occurrences(got, "HTTP/1.1 "), 7, "%s", got);
    cr_expect_eq(w.fx.submitted, 2);
    cr_expect_eq(w.accesses, 7);
    free(got);
    teardown(&w);
}

Test(conn, says_that_it_stops_and_closes)
{
    world w;
    wsgi__health health;
    bool closed;
    setup_pages(&w, &health);
    health.ready = false;
    say(&w, GET("/health") GET("/a"));
    char *got = hear(&w, &closed);
    cr_expect(strstr(got, "503 Service Unavailable\r\n"), "%s", got);
    cr_expect(strstr(got, "Connection: close\r\n"), "%s", got);
    cr_expect(strstr(got, "\r\n\r\nstopping\n"), "%s", got);
    cr_expect(closed);
    cr_expect_eq(w.fx.submitted, 0);
    free(got);
    teardown(&w);
}

Test(conn, survives_a_page_without_memory)
{
    for (long n = 1; n < 100; n++) {
        world w;
        wsgi__health health;
        setup_pages(&w, &health);
        say(&w, GET("/health"));
        wsgi__mem_fail_nth(n);
        turns(&w, 3);
        bool failed = wsgi__mem_count() >= n;
        wsgi__mem_fail_nth(0);
        char *got = hear(&w, NULL);
        cr_expect(failed || strstr(got, "ready"), "%ld: %s", n, got);
        free(got);
        teardown(&w);
        if (!failed)
            return;
    }
    cr_assert(false, "allocations never end");
}

Test(conn, counts_every_byte_that_it_writes)
{
    world w;
    wsgi__health health;
    setup_pages(&w, &health);
    wsgi__score *score = calloc(1, sizeof(*score));
    w.set.score = score;
    say(&w, GET("/health") GET("/a") "BAD\r\n\r\n");
    char *got = hear(&w, NULL);
    cr_expect_eq(wsgi__count_get(&score->bytes_out), strlen(got));
    cr_expect_eq(wsgi__count_get(&score->responses[200]), 2);
    cr_expect_eq(wsgi__count_get(&score->responses[400]), 1);
    free(got);
    teardown(&w);
    free(score);
}
