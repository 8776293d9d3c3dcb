/* What goes into the output queue, without a socket. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "server/answer.h"

typedef struct sink {
    wsgi__stream stream; /* first */
    wsgi__buf got;
} sink;

static ssize_t
sink_writev(wsgi__stream *stream, const struct iovec *iov, int n)
{
    sink *s = (sink *)(void *)stream;
    ssize_t total = 0;
    for (int i = 0; i < n; i++) {
        wsgi__buf_append(&s->got, iov[i].iov_base, iov[i].iov_len);
        total += (ssize_t)iov[i].iov_len;
    }
    return total;
}

static const wsgi__stream_ops sink_ops = { .writev = sink_writev };

typedef struct world {
    wsgi__exchange *x;
    wsgi__outq out;
    wsgi__buf scratch;
    wsgi__head_made made;
    wsgi__date date;
    wsgi__log log;
    wsgi__answer_style style;
    int errors_logged;
} world;

static void
count_error(void *user, wsgi_log_level level, const char *entry)
{
    (void)entry;
    if (level == WSGI_LOG_ERROR)
        ++*(int *)user;
}

static void
begin(world *w, const char *request)
{
    size_t used;

    wsgi__exchange_reset(w->x);
    cr_assert_eq(
        wsgi__parser_feed(w->x->parser, request, strlen(request), &used),
        WSGI__EV_HEAD);
}

static void
setup(world *w, const char *request)
{
    static const wsgi__parser_limits limits = { .max_line = 8190 };
    *w = (world){ 0 };
    w->log = (wsgi__log){ WSGI_LOG_INFO, count_error, &w->errors_logged };
    wsgi__buf_init(&w->scratch, 65536);
    w->style = (wsgi__answer_style){
        .log = &w->log,
        .server = WSGI__SPAN("test"),
        .high_water = 64,
        .keep_alive = true,
        .scratch = &w->scratch,
        .made = &w->made,
        .date = &w->date,
    };
    w->x = wsgi__exchange_new(&limits, 1024);
    begin(w, request);
}

/* Everything that was queued; the caller frees it. */
static char *
drain(world *w)
{
    sink s = { .stream = { .ops = &sink_ops, .fd = -1 } };
    uint64_t written = 0;
    wsgi__buf_init(&s.got, 1 << 20);
    while (wsgi__outq_pending(&w->out) &&
           wsgi__outq_write(&w->out, &s.stream, &written) == WSGI__WANT_WRITE)
        ;
    char *text = strdup(wsgi__buf_str(&s.got));
    wsgi__buf_free(&s.got);
    return text;
}

static void
teardown(world *w)
{
    wsgi__outq_free(&w->out);
    wsgi__exchange_free(w->x);
    wsgi__buf_free(&w->scratch);
}

#define GET11 "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
#define HEAD11 "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"
#define GET10 "GET / HTTP/1.0\r\n\r\n"
#define GET10_ALIVE "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"

static const struct {
    const char *name, *request, *status;
    int64_t content_length, known_length;
    const char *blocks[4];
    wsgi__end how;
    /* expected */
    const char *body; /* behind the head */
    bool keep_alive, error;
} cases[] = {
    { "known length",
      GET11,
      "200 OK",
      -1,
      5,
      { "hel", "lo" },
      WSGI__END_OK,
      "hello",
      true,
      false },
    { "chunked",
      GET11,
      "200 OK",
      -1,
      -1,
      { "hel", "lo" },
      WSGI__END_OK,
      "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
      true,
      false },
    { "until close on 1.0",
      GET10,
      "200 OK",
      -1,
      -1,
      { "hel", "lo" },
      WSGI__END_OK,
      "hello",
      false,
      false },
    { "HEAD drops the body",
      HEAD11,
      "200 OK",
      -1,
      5,
      { "hello" },
      WSGI__END_OK,
      "",
      true,
      false },
    { "204 drops the body",
      GET11,
      "204 No Content",
      -1,
      5,
      { "hello" },
      WSGI__END_OK,
      "",
      true,
      false },
    { "304 drops the body",
      GET11,
      "304 Not Modified",
      -1,
      -1,
      { "hello" },
      WSGI__END_OK,
      "",
      true,
      false },
    { "too many bytes are cut",
      GET11,
      "200 OK",
      3,
      -1,
      { "hel", "lo" },
      WSGI__END_OK,
      "hel",
      true,
      true },
    { "too many in one block",
      GET11,
      "200 OK",
      3,
      -1,
      { "hello" },
      WSGI__END_OK,
      "hel",
      true,
      true },
    { "too few bytes close",
      GET11,
      "200 OK",
      9,
      -1,
      { "hello" },
      WSGI__END_OK,
      "hello",
      false,
      true },
    { "failing in the middle leaves no last chunk",
      GET11,
      "200 OK",
      -1,
      -1,
      { "hello" },
      WSGI__END_FAILED,
      "5\r\nhello\r\n",
      false,
      false },
    { "no block at all, chunked",
      GET11,
      "200 OK",
      -1,
      -1,
      { NULL },
      WSGI__END_OK,
      "0\r\n\r\n",
      true,
      false },
    { "no block at all, length 0",
      GET11,
      "200 OK",
      -1,
      0,
      { NULL },
      WSGI__END_OK,
      "",
      true,
      false },
};

Test(answer, table)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        world w;
        setup(&w, cases[i].request);
        wsgi__header header = { WSGI__SPAN("Content-Length"), { 0 } };
        char digits[32];
        snprintf(digits, sizeof(digits), "%lld",
                 (long long)cases[i].content_length);
        header.value = wsgi__span_of(digits);
        wsgi__response res = {
            .status = wsgi__span_of(cases[i].status),
            .code = atoi(cases[i].status),
            .headers = &header,
            .n_headers = cases[i].content_length >= 0,
            .content_length = cases[i].content_length,
            .known_length = cases[i].known_length,
        };
        cr_expect_eq(wsgi__answer_head(w.x, &res, &w.style, &w.out), WSGI_OK,
                     "%s", cases[i].name);
        for (int b = 0; cases[i].blocks[b]; b++) {
            wsgi__chunk chunk = { .data = cases[i].blocks[b],
                                  .len = strlen(cases[i].blocks[b]),
                                  .fd = -1 };
            cr_expect_eq(wsgi__answer_data(w.x, &chunk, &w.style, &w.out),
                         WSGI_OK, "%s", cases[i].name);
        }
        wsgi__answer_end(w.x, cases[i].how, &w.style, &w.out);
        char *got = drain(&w);
        const char *body = strstr(got, "\r\n\r\n");
        cr_expect(body != NULL, "%s", cases[i].name);
        cr_expect_str_eq(body ? body + 4 : "", cases[i].body, "%s: %s",
                         cases[i].name, got);
        cr_expect_eq(w.x->plan.keep_alive, cases[i].keep_alive, "%s",
                     cases[i].name);
        cr_expect_eq(w.errors_logged > 0, cases[i].error, "%s", cases[i].name);
        cr_expect(w.x->complete, "%s", cases[i].name);
        free(got);
        teardown(&w);
    }
}

Test(answer, failure_before_the_head_is_a_500)
{
    world w;
    setup(&w, GET11);
    cr_expect_eq(wsgi__answer_end(w.x, WSGI__END_FAILED, &w.style, &w.out),
                 WSGI_OK);
    char *got = drain(&w);
    cr_expect(strncmp(got, "HTTP/1.1 500 ", 13) == 0, "%s", got);
    cr_expect(!w.x->plan.keep_alive);
    free(got);
    teardown(&w);
}

/* write() cannot wait: memory stays bounded, the bytes and their order do
 * not suffer. */
Test(answer, write_spills_to_a_file_past_the_mark)
{
    world w;
    setup(&w, GET11);
    wsgi__response res = { .status = WSGI__SPAN("200 OK"),
                           .code = 200,
                           .content_length = -1,
                           .known_length = -1 };
    wsgi__answer_head(w.x, &res, &w.style, &w.out);
    for (int i = 0; i < 100; i++) {
        char block[16];
        snprintf(block, sizeof(block), "%09d;", i);
        wsgi__chunk chunk = {
            .data = block, .len = 10, .fd = -1, .pushed = true
        };
        cr_assert_eq(wsgi__answer_data(w.x, &chunk, &w.style, &w.out),
                     WSGI_OK);
    }
    cr_expect(wsgi__body_in_file(&w.x->spill));
    wsgi__answer_end(w.x, WSGI__END_OK, &w.style, &w.out);
    char *got = drain(&w);
    const char *at = strstr(got, "\r\n\r\n") + 4;
    for (int i = 0; i < 100; i++) {
        char want[32];
        int len = snprintf(want, sizeof(want), "a\r\n%09d;\r\n", i);
        cr_assert(strncmp(at, want, (size_t)len) == 0, "block %d", i);
        at += len;
    }
    cr_expect_str_eq(at, "0\r\n\r\n");
    free(got);
    teardown(&w);
}

/* A file wrapper: by Content-Length, cut to it, or in one chunk where write()
 * came before. */
Test(answer, files)
{
    static const struct {
        int64_t content_length, known_length;
        const char *body;
    } rows[] = {
        { -1, 6, "abcdef" },
        { 3, 6, "abc" },
        { -1, -1, "6\r\nabcdef\r\n0\r\n\r\n" },
    };
    char name[] = "/tmp/wsgi-answer-XXXXXX";
    int fd = mkstemp(name);
    cr_assert(fd >= 0);
    unlink(name);
    cr_assert_eq(write(fd, "abcdef", 6), 6);
    for (size_t i = 0; i < 3; i++) {
        world w;
        setup(&w, GET11);
        wsgi__response res = { .status = WSGI__SPAN("200 OK"),
                               .code = 200,
                               .content_length = rows[i].content_length,
                               .known_length = rows[i].known_length };
        wsgi__answer_head(w.x, &res, &w.style, &w.out);
        wsgi__chunk chunk = { .fd = fd, .file_len = 6 };
        wsgi__answer_data(w.x, &chunk, &w.style, &w.out);
        wsgi__answer_end(w.x, WSGI__END_OK, &w.style, &w.out);
        char *got = drain(&w);
        cr_expect_str_eq(strstr(got, "\r\n\r\n") + 4, rows[i].body, "%zu", i);
        cr_expect_eq(w.errors_logged, 0);
        free(got);
        teardown(&w);
    }
    close(fd);
}

Test(answer, every_allocation_may_fail)
{
    for (long n = 1; n < 12; n++) {
        world w;
        setup(&w, GET11);
        wsgi__response res = { .status = WSGI__SPAN("200 OK"),
                               .code = 200,
                               .content_length = -1,
                               .known_length = -1 };
        wsgi__mem_fail_nth(n);
        int status = wsgi__answer_head(w.x, &res, &w.style, &w.out);
        for (int i = 0; status == WSGI_OK && i < 20; i++) {
            wsgi__chunk chunk = {
                .data = "0123456789", .len = 10, .fd = -1, .pushed = true
            };
            status = wsgi__answer_data(w.x, &chunk, &w.style, &w.out);
        }
        if (status == WSGI_OK)
            status = wsgi__answer_end(w.x, WSGI__END_OK, &w.style, &w.out);
        long count = wsgi__mem_count();
        wsgi__mem_fail_nth(0);
        cr_expect(status == WSGI_ERR_NOMEM || count < n, "allocation %ld: %d",
                  n, status);
        teardown(&w);
    }
}

/* ---- A head like the one before ----------------------------------------- */

typedef struct head_case {
    const char *name, *request;
    wsgi__response res;
    bool close, made_earlier, after_error, unknown; /* and so was the first */
    bool again; /* the head before is used */
} head_case;

#define SAID(code_, number_, length_)                                         \
    {                                                                         \
        .status = WSGI__SPAN_INIT(#code_ " Said"), .code = code_,             \
        .number = number_, .content_length = -1, .known_length = length_      \
    }

/* After 200 with the number 7 and five bytes, kept alive.  The texts differ
 * here where the numbers are the same, to tell which of them was used. */
static const head_case head_cases[] = {
    { .name = "the same",
      .request = GET11,
      .res = SAID(200, 7, 5),
      .again = true },
    { .name = "the same for HEAD", .request = HEAD11, .res = SAID(200, 7, 5) },
    { .name = "another number", .request = GET11, .res = SAID(200, 8, 5) },
    { .name = "nothing is known", .request = GET11, .res = SAID(200, 0, 5) },
    { .name = "another length", .request = GET11, .res = SAID(200, 7, 6) },
    { .name = "no length", .request = GET11, .res = SAID(200, 7, -1) },
    { .name = "HTTP/1.0", .request = GET10, .res = SAID(200, 7, 5) },
    { .name = "HTTP/1.0, kept alive",
      .request = GET10_ALIVE,
      .res = SAID(200, 7, 5) },
    { .name = "nothing is known of either",
      .request = GET11,
      .res = SAID(200, 0, 5),
      .unknown = true },
    { .name = "the end",
      .request = GET11,
      .res = SAID(200, 7, 5),
      .close = true },
    { .name = "a second later",
      .request = GET11,
      .res = SAID(200, 7, 5),
      .made_earlier = true },
    { .name = "after a page of the server",
      .request = GET11,
      .res = SAID(200, 7, 5),
      .after_error = true },
};

Test(answer, a_head_like_the_one_before_is_not_made_again)
{
    static const wsgi__response known = { .status =
                                              WSGI__SPAN_INIT("200 First"),
                                          .code = 200,
                                          .number = 7,
                                          .content_length = -1,
                                          .known_length = 5 };
    for (size_t i = 0; i < sizeof(head_cases) / sizeof(*head_cases); i++) {
        const head_case *c = &head_cases[i];
        world w;
        char *text;
        wsgi__response first = known;
        if (c->unknown)
            first.number = 0;
        setup(&w, GET11);
        cr_assert_eq(wsgi__answer_head(w.x, &first, &w.style, &w.out), 0);
        free(drain(&w));
        if (c->after_error) {
            begin(&w, GET11);
            wsgi__answer_error(w.x, 500, NULL, &w.style, &w.out);
            free(drain(&w));
        }
        w.made.when -= c->made_earlier;
        w.style.keep_alive = !c->close;
        begin(&w, c->request);
        cr_assert_eq(wsgi__answer_head(w.x, &c->res, &w.style, &w.out), 0);
        text = drain(&w);
        cr_expect_eq(strstr(text, "200 First") != NULL, c->again, "%s: %s",
                     c->name, text);
        cr_expect_eq(strstr(text, "200 Said") == NULL, c->again, "%s: %s",
                     c->name, text);
        free(text);
        teardown(&w);
    }
}
