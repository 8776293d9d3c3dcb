#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>

#include <wsgi/wsgi.h>

#include "base/mem.h"
#include "http/response.h"
#include "support/request.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

#define DATE WSGI__SPAN("Sun, 06 Nov 1994 08:49:37 GMT")
#define SERVER WSGI__SPAN("libwsgi")
#define NOTHING ((wsgi__span){ NULL, 0 })

/* ---- What an application may say ---------------------------------------- */

Test(response, status)
{
    static const struct {
        const char *status;
        int code;         /* 0: refused */
        const char *rule; /* part of it */
    } cases[] = {
        { "200 OK", 200, NULL },
        { "404 Not Found", 404, NULL },
        { "299 ", 299, NULL }, /* no reason is a reason */
        { "999 Message here", 999, NULL },
        { "200 caf\xe9", 200, NULL },
        { "200  OK ", 200, NULL },
        { "", 0, "three digits" },
        { "200", 0, "three digits" },
        { "20", 0, "three digits" },
        { "2000 OK", 0, "three digits" },
        { "20 OK", 0, "three digits" },
        { "200OK", 0, "three digits" },
        { "200\tOK", 0, "three digits" },
        { " 200 OK", 0, "three digits" },
        { "OK", 0, "three digits" },
        { "2x0 OK", 0, "three digits" },
        { "+20 OK", 0, "three digits" },
        { "-20 OK", 0, "three digits" },
        { "2\xb2 0 OK", 0, "three digits" },
        { "000 OK", 0, "between 200 and 999" },
        { "099 OK", 0, "between 200 and 999" },
        { "100 Continue", 0, "final status" },
        { "101 Switching Protocols", 0, "final status" },
        { "199 x", 0, "final status" },
        { "200 OK\r\nSet-Cookie: a", 0, "one line" },
        { "200 OK\n", 0, "one line" },
        { "200 OK\r", 0, "one line" },
        { "200 \x7f", 0, "control" },
        { "200 O\tK", 0, "control" },
        { "200 O\x1bK", 0, "control" },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        int code = 0;
        const char *rule =
            wsgi__response_check_status(wsgi__span_of(cases[i].status), &code);
        cr_expect_eq(code, cases[i].code, "\"%s\": %d", cases[i].status, code);
        if (!cases[i].rule)
            cr_expect_null(rule, "\"%s\": %s", cases[i].status, rule);
        else
            cr_expect(rule && strstr(rule, cases[i].rule), "\"%s\": %s",
                      cases[i].status, rule ? rule : "(accepted)");
    }
}

/* NUL cannot stand in the table. */
Test(response, status_with_each_byte)
{
    for (int c = 0; c < 256; c++) {
        char text[] = "200 a?b";
        int code;
        text[5] = (char)c;
        const char *rule = wsgi__response_check_status(
            (wsgi__span){ text, sizeof(text) - 1 }, &code);
        cr_expect_eq(rule == NULL, c >= 0x20 && c != 0x7f, "byte %02x", c);
    }
}

Test(response, every_three_digits)
{
    for (int n = 0; n < 1000; n++) {
        char text[16];
        int code = -1;
        snprintf(text, sizeof(text), "%03d x", n);
        bool taken = !wsgi__response_check_status(wsgi__span_of(text), &code);
        cr_expect_eq(taken, n >= 200, "%s", text);
        cr_expect_eq(code, taken ? n : -1, "%s", text);
    }
}

Test(response, header)
{
    static const struct {
        const char *name, *value;
        const char *rule; /* part of it; NULL: accepted */
    } cases[] = {
        { "Content-Type", "text/html; charset=utf-8", NULL },
        { "content-length", "5", NULL },
        { "X", "", NULL },
        { "X", " padded\t", NULL },
        { "X", "tab\tinside", NULL },
        { "X", "caf\xe9 \x80\xff", NULL },
        { "!#$%&'*+-.^_`|~09azAZ", "v", NULL },
        { "Date", "x", NULL },
        { "Server", "x", NULL },
        { "Trail", "x", NULL },
        { "TEE", "x", NULL },
        { "Connection-Id", "x", NULL },
        { "Proxy-Connection-Time", "x", NULL },

        { "", "v", "not empty" },
        { "X Y", "v", "ASCII letters" },
        { "X:", "v", "ASCII letters" },
        { "X\r\nY", "v", "ASCII letters" },
        { " X", "v", "ASCII letters" },
        { "X\t", "v", "ASCII letters" },
        { "caf\xe9", "v", "ASCII letters" },
        { "X(Y)", "v", "ASCII letters" },
        { "\x7f", "v", "ASCII letters" },

        { "X", "a\r\nSet-Cookie: b=c", "line end" },
        { "X", "a\n b", "line end" },
        { "X", "a\r", "line end" },
        { "X", "\r\n\r\n<html>", "line end" },
        { "X", "\x01", "control" },
        { "X", "a\x7f", "control" },
        { "X", "a\x0b", "control" },
        { "X", "\x1b[31m", "control" },

        { "Connection", "close", "hop-by-hop" },
        { "cONNECTION", "close", "hop-by-hop" },
        { "Keep-Alive", "timeout=5", "hop-by-hop" },
        { "Proxy-Authenticate", "x", "hop-by-hop" },
        { "Proxy-Authorization", "x", "hop-by-hop" },
        { "TE", "x", "hop-by-hop" },
        { "Trailer", "x", "hop-by-hop" },
        { "Trailers", "x", "hop-by-hop" },
        { "Upgrade", "h2c", "hop-by-hop" },
        { "Transfer-Encoding", "chunked", "leave it out" },
        { "transfer-encoding", "identity", "leave it out" },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *rule = wsgi__response_check_header(
            wsgi__span_of(cases[i].name), wsgi__span_of(cases[i].value));
        if (!cases[i].rule)
            cr_expect_null(rule, "%s: %s: %s", cases[i].name, cases[i].value,
                           rule);
        else
            cr_expect(rule && strstr(rule, cases[i].rule), "%s: %s: %s",
                      cases[i].name, cases[i].value,
                      rule ? rule : "(accepted)");
    }
}

Test(response, header_with_each_byte)
{
    /* RFC 9110 5.6.2, written out. */
    static const char token[] =
        "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
        "abcdefghijklmnopqrstuvwxyz";
    for (int c = 0; c < 256; c++) {
        for (int place = 0; place < 3; place++) {
            char text[] = "aaa";
            text[place] = (char)c;
            wsgi__span span = { text, 3 };
            cr_expect_eq(!wsgi__response_check_header(span, WSGI__SPAN("v")),
                         memchr(token, c, sizeof(token) - 1) != NULL,
                         "name, byte %02x at %d", c, place);
            cr_expect_eq(!wsgi__response_check_header(WSGI__SPAN("X"), span),
                         c == '\t' || (c >= 0x20 && c <= 0x7e) || c >= 0x80,
                         "value, byte %02x at %d", c, place);
        }
    }
}

/* A rule ends up in a log line. */
Test(response, rules_are_one_line)
{
    static const char *const bad[][2] = {
        { "", "" },    { "X:", "" }, { "X", "\n" },
        { "X", "\1" }, { "TE", "" }, { "Transfer-Encoding", "" },
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        const char *rule = wsgi__response_check_header(
            wsgi__span_of(bad[i][0]), wsgi__span_of(bad[i][1]));
        cr_assert_not_null(rule, "case %zu", i);
        cr_expect_null(strpbrk(rule, "\r\n"), "%s", rule);
    }
}

Test(response, find_length)
{
    static const struct {
        const char *values[3]; /* of Content-Length */
        int64_t length;
        const char *rule;
    } cases[] = {
        { { NULL }, -1, NULL },
        { { "0" }, 0, NULL },
        { { "12" }, 12, NULL },
        { { "0012" }, 12, NULL },
        { { " 12\t" }, 12, NULL },
        { { "9223372036854775807" }, INT64_MAX, NULL },
        { { "5", "5" }, 5, NULL },
        { { "5", "05", "5" }, 5, NULL },
        { { "5", "6" }, -2, "differ" },
        { { "5", "5", "6" }, -2, "differ" },
        { { "" }, -2, "decimal digits" },
        { { " " }, -2, "decimal digits" },
        { { "-1" }, -2, "decimal digits" },
        { { "+1" }, -2, "decimal digits" },
        { { "1 2" }, -2, "decimal digits" },
        { { "1,1" }, -2, "decimal digits" },
        { { "0x10" }, -2, "decimal digits" },
        { { "1_0" }, -2, "decimal digits" },
        { { "1.0" }, -2, "decimal digits" },
        { { "None" }, -2, "decimal digits" },
        { { "\xb2" }, -2, "decimal digits" },
        { { "9223372036854775808" }, -2, "decimal digits" },
        { { "18446744073709551617" }, -2, "decimal digits" },
        { { "99999999999999999999999" }, -2, "decimal digits" },
        { { "5", "x" }, -2, "decimal digits" },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        wsgi__header headers[5] = { { WSGI__SPAN("X"), WSGI__SPAN("1") } };
        size_t n = 1;
        for (int k = 0; k < 3 && cases[i].values[k]; k++)
            headers[n++] =
                (wsgi__header){ k % 2 ? WSGI__SPAN("content-length")
                                      : WSGI__SPAN("Content-Length"),
                                wsgi__span_of(cases[i].values[k]) };
        wsgi__response res = { .headers = headers,
                               .n_headers = n,
                               .content_length = -2 };
        const char *rule = wsgi__response_find_length(&res);
        cr_expect_eq(res.content_length, cases[i].length, "case %zu: %lld", i,
                     (long long)res.content_length);
        if (!cases[i].rule)
            cr_expect_null(rule, "case %zu: %s", i, rule);
        else
            cr_expect(rule && strstr(rule, cases[i].rule), "case %zu: %s", i,
                      rule ? rule : "(accepted)");
    }
}

/* ---- Framing ------------------------------------------------------------ */

typedef struct situation {
    const char *method;
    bool http_1_0, client_keeps, server_keeps;
    int code;
    int64_t given, known;
} situation;

/* A second opinion in the words of RFC 9112 6.3 and RFC 9110 8.6. */
static wsgi__plan
expected_plan(const situation *s)
{
    bool head = strcmp(s->method, "HEAD") == 0;
    wsgi__plan p = { .length = -1 };

    switch (s->code) {
    case 199:
    case 204:
        p.framing = WSGI__FRAME_NONE;
        break;
    case 304:
        p.framing = WSGI__FRAME_NONE;
        p.length = s->given;
        break;
    case 205: /* "the server MUST NOT generate content" */
        p.framing = head ? WSGI__FRAME_NONE : WSGI__FRAME_LENGTH;
        p.length = 0;
        break;
    default:
        p.length = s->given >= 0 ? s->given : s->known;
        if (head && s->given < 0 && s->known == 0)
            p.length = -1; /* GET might have had more */
        p.framing = head            ? WSGI__FRAME_NONE
                    : p.length >= 0 ? WSGI__FRAME_LENGTH
                    : s->http_1_0   ? WSGI__FRAME_CLOSE
                                    : WSGI__FRAME_CHUNKED;
    }
    p.add_length = p.length >= 0 && s->given < 0;
    p.keep_alive =
        s->client_keeps && s->server_keeps && p.framing != WSGI__FRAME_CLOSE;
    return p;
}

static size_t
count_in(const char *head, const char *line_start)
{
    size_t n = 0;
    for (const char *at = head; (at = strstr(at, line_start)); at++)
        n++;
    return n;
}

/* What must hold on the wire, whatever was decided. */
static void
check_wire(const situation *s, const wsgi__request *req,
           const wsgi__plan *plan, const char *what)
{
    wsgi__buf out;
    char status[16], given[32];
    wsgi__header headers[2];
    wsgi__response res = { .code = s->code,
                           .content_length = s->given,
                           .known_length = s->known,
                           .headers = headers };

    snprintf(status, sizeof(status), "%d x", s->code);
    snprintf(given, sizeof(given), "%lld", (long long)s->given);
    res.status = wsgi__span_of(status);
    for (; s->given >= 0 && res.n_headers < 2; res.n_headers++)
        headers[res.n_headers] = (wsgi__header){ WSGI__SPAN("content-length"),
                                                 wsgi__span_of(given) };
    wsgi__buf_init(&out, 4096);
    cr_assert_eq(wsgi__response_head(req, &res, plan, DATE, SERVER, &out), 0);
    const char *head = wsgi__buf_str(&out);
    size_t lengths = count_in(head, "\r\nContent-Length: ") +
                     count_in(head, "\r\ncontent-length: ");
    size_t chunked = count_in(head, "\r\nTransfer-Encoding: chunked\r\n");
    size_t closes = count_in(head, "\r\nConnection: close\r\n");
    size_t keeps = count_in(head, "\r\nConnection: keep-alive\r\n");

    cr_expect_eq(lengths, plan->length >= 0, "%s:\n%s", what, head);
    cr_expect_eq(chunked, plan->framing == WSGI__FRAME_CHUNKED, "%s:\n%s",
                 what, head);
    cr_expect_leq(lengths + chunked, 1, "%s:\n%s", what, head);
    cr_expect_eq(closes, !plan->keep_alive, "%s:\n%s", what, head);
    cr_expect_eq(keeps, plan->keep_alive && s->http_1_0, "%s:\n%s", what,
                 head);
    cr_expect(!(s->http_1_0 && chunked), "%s:\n%s", what, head);
    if (s->code == 199 || s->code == 204)
        cr_expect_eq(lengths + chunked, 0, "%s:\n%s", what, head);
    wsgi__buf_free(&out);
}

static void
check_situation(const situation *s)
{
    char what[160];
    request_text text = { .method = s->method, .http_1_0 = s->http_1_0 };
    request_fake fake;
    wsgi__response res = { .code = s->code,
                           .content_length = s->given,
                           .known_length = s->known };

    request_fill(&fake, &text);
    fake.req.keep_alive = s->client_keeps;
    snprintf(what, sizeof(what),
             "%s HTTP/1.%d, %d, Content-Length %lld, known %lld, client %s, "
             "server %s",
             s->method, !s->http_1_0, s->code, (long long)s->given,
             (long long)s->known, s->client_keeps ? "keeps" : "closes",
             s->server_keeps ? "keeps" : "closes");
    wsgi__plan want = expected_plan(s);
    wsgi__plan got = wsgi__response_plan(&fake.req, &res, s->server_keeps);
    cr_expect_eq(got.framing, want.framing, "%s: framing %d", what,
                 got.framing);
    cr_expect_eq(got.length, want.length, "%s: length %lld", what,
                 (long long)got.length);
    cr_expect_eq(got.keep_alive, want.keep_alive, "%s", what);
    cr_expect_eq(got.add_length, want.add_length, "%s", what);
    check_wire(s, &fake.req, &got, what);
}

Test(response, plan_of_every_combination)
{
    static const char *const methods[] = { "GET", "HEAD", "POST", "OPTIONS",
                                           "head" };
    static const int codes[] = { 199, 200, 201, 204, 205, 206,
                                 301, 304, 404, 500, 999 };
    static const int64_t lengths[] = { -1, 0, 1, 5, INT64_MAX };
    size_t n = 0;
    for (size_t m = 0; m < COUNT(methods); m++)
        for (size_t c = 0; c < COUNT(codes); c++)
            for (size_t g = 0; g < COUNT(lengths); g++)
                for (size_t k = 0; k < COUNT(lengths); k++)
                    for (unsigned bits = 0; bits < 8; bits++, n++)
                        check_situation(&(situation){
                            .method = methods[m],
                            .http_1_0 = bits & 1,
                            .client_keeps = bits & 2,
                            .server_keeps = bits & 4,
                            .code = codes[c],
                            .given = lengths[g],
                            .known = lengths[k],
                        });
    cr_expect_eq(n, 5 * 11 * 5 * 5 * 8);
}

/* ---- Heads, byte for byte ----------------------------------------------- */

typedef struct head_case {
    const char *name;
    request_text request;
    const char *status;
    int code;
    const char *headers[6];
    int64_t known;
    bool server_keeps;
    bool bare; /* no Date, no Server of ours */
    const char *expected;
} head_case;

#define OURS                                                                  \
    "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"                                 \
    "Server: libwsgi\r\n"

static const head_case head_cases[] = {
    { .name = "list",
      .status = "200 OK",
      .code = 200,
      .headers = { "Content-Type: text/plain" },
      .known = 12,
      .server_keeps = true,
      .expected = "HTTP/1.1 200 OK\r\n" OURS "Content-Length: 12\r\n"
                  "Content-Type: text/plain\r\n\r\n" },
    { .name = "length of the application",
      .status = "200 OK",
      .code = 200,
      .headers = { "X-A: 1", "content-length: 007", "X-B: 2" },
      .known = 12,
      .server_keeps = true,
      .expected = "HTTP/1.1 200 OK\r\n" OURS "Content-Length: 7\r\n"
                  "X-A: 1\r\nX-B: 2\r\n\r\n" },
    { .name = "lengths that agree",
      .status = "200 OK",
      .code = 200,
      .headers = { "Content-Length: 7", "Content-Length: 7" },
      .known = -1,
      .server_keeps = true,
      .expected = "HTTP/1.1 200 OK\r\n" OURS "Content-Length: 7\r\n\r\n" },
    { .name = "stream",
      .status = "200 OK",
      .code = 200,
      .known = -1,
      .server_keeps = true,
      .expected =
          "HTTP/1.1 200 OK\r\n" OURS "Transfer-Encoding: chunked\r\n\r\n" },
    { .name = "stream to 1.0",
      .request = { .http_1_0 = true },
      .status = "200 OK",
      .code = 200,
      .known = -1,
      .server_keeps = true,
      .expected = "HTTP/1.1 200 OK\r\n" OURS "Connection: close\r\n\r\n" },
    { .name = "stream to 1.0 that would keep",
      .request = { .http_1_0 = true, .headers = { "Connection: keep-alive" } },
      .status = "200 OK",
      .code = 200,
      .known = -1,
      .server_keeps = true,
      .expected = "HTTP/1.1 200 OK\r\n" OURS "Connection: close\r\n\r\n" },
    { .name = "length to 1.0 that keeps",
      .request = { .http_1_0 = true, .headers = { "Connection: keep-alive" } },
      .status = "200 OK",
      .code = 200,
      .known = 3,
      .server_keeps = true,
      .expected = "HTTP/1.1 200 OK\r\n" OURS "Content-Length: 3\r\n"
                  "Connection: keep-alive\r\n\r\n" },
    { .name = "length to 1.0",
      .request = { .http_1_0 = true },
      .status = "200 OK",
      .code = 200,
      .known = 3,
      .server_keeps = true,
      .expected = "HTTP/1.1 200 OK\r\n" OURS "Content-Length: 3\r\n"
                  "Connection: close\r\n\r\n" },
    { .name = "client closes",
      .request = { .headers = { "Connection: close" } },
      .status = "200 OK",
      .code = 200,
      .known = -1,
      .server_keeps = true,
      .expected = "HTTP/1.1 200 OK\r\n" OURS "Transfer-Encoding: chunked\r\n"
                  "Connection: close\r\n\r\n" },
    { .name = "server closes",
      .status = "200 OK",
      .code = 200,
      .known = 0,
      .expected = "HTTP/1.1 200 OK\r\n" OURS "Content-Length: 0\r\n"
                  "Connection: close\r\n\r\n" },
    { .name = "HEAD",
      .request = { .method = "HEAD" },
      .status = "200 OK",
      .code = 200,
      .headers = { "Content-Length: 99" },
      .known = 0,
      .server_keeps = true,
      .expected = "HTTP/1.1 200 OK\r\n" OURS "Content-Length: 99\r\n\r\n" },
    { .name = "HEAD with the body of GET",
      .request = { .method = "HEAD" },
      .status = "200 OK",
      .code = 200,
      .known = 5,
      .server_keeps = true,
      .expected = "HTTP/1.1 200 OK\r\n" OURS "Content-Length: 5\r\n\r\n" },
    { .name = "HEAD of a stream",
      .request = { .method = "HEAD" },
      .status = "200 OK",
      .code = 200,
      .known = -1,
      .server_keeps = true,
      .expected = "HTTP/1.1 200 OK\r\n" OURS "\r\n" },
    { .name = "204 with a length",
      .status = "204 No Content",
      .code = 204,
      .headers = { "Content-Length: 0", "X: y" },
      .known = 0,
      .server_keeps = true,
      .expected = "HTTP/1.1 204 No Content\r\n" OURS "X: y\r\n\r\n" },
    { .name = "304 with the length of GET",
      .status = "304 Not Modified",
      .code = 304,
      .headers = { "Content-Length: 50", "ETag: \"a\"" },
      .known = 0,
      .server_keeps = true,
      .expected = "HTTP/1.1 304 Not Modified\r\n" OURS
                  "Content-Length: 50\r\nETag: \"a\"\r\n\r\n" },
    { .name = "304 without",
      .status = "304 Not Modified",
      .code = 304,
      .known = 0,
      .server_keeps = true,
      .expected = "HTTP/1.1 304 Not Modified\r\n" OURS "\r\n" },
    { .name = "Date and Server of the application",
      .status = "200 OK",
      .code = 200,
      .headers = { "DATE: today", "server: mine" },
      .known = 0,
      .server_keeps = true,
      .expected = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
                  "DATE: today\r\nserver: mine\r\n\r\n" },
    { .name = "Date of the application",
      .status = "200 OK",
      .code = 200,
      .headers = { "date: today" },
      .known = 0,
      .server_keeps = true,
      .expected = "HTTP/1.1 200 OK\r\nServer: libwsgi\r\n"
                  "Content-Length: 0\r\ndate: today\r\n\r\n" },
    { .name = "no Date, no Server",
      .status = "200 OK",
      .code = 200,
      .known = 0,
      .server_keeps = true,
      .bare = true,
      .expected = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" },
    { .name = "repeated headers in their order",
      .status = "200 OK",
      .code = 200,
      .headers = { "Set-Cookie: a=1", "X: ", "Set-Cookie: b=\xe9" },
      .known = 0,
      .server_keeps = true,
      .bare = true,
      .expected = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
                  "Set-Cookie: a=1\r\nX: \r\nSet-Cookie: b=\xe9\r\n\r\n" },
    { .name = "empty reason",
      .status = "299 ",
      .code = 299,
      .known = 0,
      .server_keeps = true,
      .bare = true,
      .expected = "HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n" },
    { .name = "largest length",
      .status = "200 OK",
      .code = 200,
      .known = INT64_MAX,
      .server_keeps = true,
      .bare = true,
      .expected = "HTTP/1.1 200 OK\r\n"
                  "Content-Length: 9223372036854775807\r\n\r\n" },
    { .name = "everything at once",
      .request = { .http_1_0 = true, .headers = { "Connection: keep-alive" } },
      .status = "500 Oh",
      .code = 500,
      .headers = { "A: 1", "B: 2", "C: 3", "D: 4", "E: 5" },
      .known = 1,
      .expected = "HTTP/1.1 500 Oh\r\n" OURS "Content-Length: 1\r\n"
                  "Connection: close\r\n"
                  "A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\nE: 5\r\n\r\n" },
};

/* Head of a case, appended; the status of wsgi__response_head(). */
static int
make_head(const head_case *c, wsgi__buf *out)
{
    wsgi__header headers[6];
    request_fake fake;
    const wsgi__request *req = request_fill(&fake, &c->request);
    wsgi__response res = { .status = wsgi__span_of(c->status),
                           .code = c->code,
                           .headers = headers,
                           .known_length = c->known };
    for (; res.n_headers < 6 && c->headers[res.n_headers]; res.n_headers++) {
        const char *line = c->headers[res.n_headers];
        const char *colon = strstr(line, ": ");
        headers[res.n_headers] =
            (wsgi__header){ { line, (size_t)(colon - line) },
                            wsgi__span_of(colon + 2) };
    }
    cr_assert_null(wsgi__response_find_length(&res), "%s", c->name);
    wsgi__plan plan = wsgi__response_plan(req, &res, c->server_keeps);
    return wsgi__response_head(req, &res, &plan, c->bare ? NOTHING : DATE,
                               c->bare ? NOTHING : SERVER, out);
}

Test(response, heads)
{
    for (size_t i = 0; i < COUNT(head_cases); i++) {
        const head_case *c = &head_cases[i];
        wsgi__buf out;
        wsgi__buf_init(&out, 4096);
        cr_assert_eq(make_head(c, &out), WSGI_OK, "%s", c->name);
        cr_expect_str_eq(wsgi__buf_str(&out), c->expected, "%s:\n%s", c->name,
                         wsgi__buf_str(&out));
        wsgi__buf_free(&out);
    }
}

/* One allocation at most; where it fails, and under every ceiling that is too
 * low, what was there before stays. */
Test(response, head_or_nothing)
{
    for (size_t i = 0; i < COUNT(head_cases); i++) {
        const head_case *c = &head_cases[i];
        size_t need = 6 + strlen(c->expected);
        for (size_t max = 6; max <= need; max++) {
            wsgi__buf out;
            wsgi__buf_init(&out, max);
            cr_assert_eq(wsgi__buf_puts(&out, "before"), WSGI_OK);
            int status = make_head(c, &out);
            cr_expect_eq(status, max < need ? WSGI_ERR_NOMEM : WSGI_OK,
                         "%s, ceiling %zu", c->name, max);
            cr_expect_eq(out.len, max < need ? 6 : need, "%s, ceiling %zu",
                         c->name, max);
            cr_expect_eq(memcmp(out.data, "before", 6), 0);
            wsgi__buf_free(&out);
        }
        wsgi__buf out;
        wsgi__buf_init(&out, 4096);
        wsgi__mem_fail_nth(1);
        cr_expect_eq(make_head(c, &out), WSGI_ERR_NOMEM, "%s", c->name);
        cr_expect_eq(out.len, 0, "%s", c->name);
        cr_expect_eq(make_head(c, &out), WSGI_OK, "%s", c->name);
        cr_expect_eq(wsgi__mem_count(), 2, "%s: one reservation", c->name);
        wsgi__mem_fail_nth(0);
        wsgi__buf_free(&out);
    }
}

Test(response, head_of_impossible_size)
{
    request_text text = { .method = NULL };
    request_fake fake;
    wsgi__header headers[2] = {
        { WSGI__SPAN("X"), { "", SIZE_MAX / 2 } },
        { WSGI__SPAN("X"), { "", SIZE_MAX / 2 } },
    };
    wsgi__response res = { .status = WSGI__SPAN("200 OK"),
                           .code = 200,
                           .headers = headers,
                           .n_headers = 2,
                           .content_length = -1 };
    wsgi__plan plan = { .length = -1 };
    wsgi__buf out;
    wsgi__buf_init(&out, SIZE_MAX);
    cr_expect_eq(wsgi__response_head(request_fill(&fake, &text), &res, &plan,
                                     DATE, SERVER, &out),
                 WSGI_ERR_NOMEM);
    cr_expect_eq(out.len, 0);
    wsgi__buf_free(&out);
}

/* ---- Responses of the server itself ------------------------------------- */

Test(response, errors)
{
    static const struct {
        int code;
        const char *reason;
        bool head_only, bare;
        const char *expected;
    } cases[] = {
        { 413, "reason", false, false,
          "HTTP/1.1 413 Content Too Large\r\n" OURS "Content-Length: 30\r\n"
          "Connection: close\r\n"
          "Content-Type: text/plain; charset=utf-8\r\n\r\n"
          "413 Content Too Large: reason\n" },
        { 413, "reason", true, false,
          "HTTP/1.1 413 Content Too Large\r\n" OURS "Content-Length: 30\r\n"
          "Connection: close\r\n"
          "Content-Type: text/plain; charset=utf-8\r\n\r\n" },
        { 400, NULL, false, false,
          "HTTP/1.1 400 Bad Request\r\n" OURS "Content-Length: 16\r\n"
          "Connection: close\r\n"
          "Content-Type: text/plain; charset=utf-8\r\n\r\n"
          "400 Bad Request\n" },
        { 500, NULL, false, true,
          "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 26\r\n"
          "Connection: close\r\n"
          "Content-Type: text/plain; charset=utf-8\r\n\r\n"
          "500 Internal Server Error\n" },
        { 599, NULL, true, true,
          "HTTP/1.1 599 Unknown\r\nContent-Length: 12\r\n"
          "Connection: close\r\n"
          "Content-Type: text/plain; charset=utf-8\r\n\r\n" },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        wsgi__span date = cases[i].bare ? NOTHING : DATE;
        wsgi__span server = cases[i].bare ? NOTHING : SERVER;
        size_t need = strlen(cases[i].expected);
        for (size_t max = 0; max <= need; max++) {
            wsgi__buf out;
            wsgi__buf_init(&out, max);
            int status =
                wsgi__response_error(cases[i].code, cases[i].reason,
                                     cases[i].head_only, date, server, &out);
            cr_expect_eq(status, max < need ? WSGI_ERR_NOMEM : WSGI_OK,
                         "case %zu, ceiling %zu", i, max);
            cr_expect_eq(out.len, max < need ? 0 : need,
                         "case %zu, ceiling %zu", i, max);
            wsgi__buf_free(&out);
        }
        wsgi__buf out;
        wsgi__buf_init(&out, 4096);
        cr_assert_eq(wsgi__response_error(cases[i].code, cases[i].reason,
                                          cases[i].head_only, date, server,
                                          &out),
                     WSGI_OK);
        cr_expect_str_eq(wsgi__buf_str(&out), cases[i].expected,
                         "case %zu:\n%s", i, wsgi__buf_str(&out));
        wsgi__buf_free(&out);
    }
}

/* A reason that does not fit into the first allocation makes a second one. */
Test(response, error_out_of_memory)
{
    static char reason[3001];
    memset(reason, 'r', 3000);
    for (long nth = 1; nth <= 2; nth++) {
        wsgi__buf out;
        wsgi__buf_init(&out, 8192);
        wsgi__mem_fail_nth(nth);
        cr_expect_eq(
            wsgi__response_error(400, reason, false, DATE, SERVER, &out),
            WSGI_ERR_NOMEM, "allocation %ld", nth);
        cr_expect_eq(out.len, 0, "allocation %ld", nth);
        cr_expect_eq(
            wsgi__response_error(400, reason, false, DATE, SERVER, &out),
            WSGI_OK, "allocation %ld", nth);
        wsgi__mem_fail_nth(0);
        wsgi__buf_free(&out);
    }
}

Test(response, phrases)
{
    static const struct {
        int code;
        const char *phrase;
    } cases[] = {
        { 100, "Continue" },
        { 200, "OK" },
        { 203, "Non-Authoritative Information" },
        { 302, "Found" },
        { 304, "Not Modified" },
        { 308, "Permanent Redirect" },
        { 408, "Request Timeout" },
        { 413, "Content Too Large" },
        { 414, "URI Too Long" },
        { 417, "Expectation Failed" },
        { 422, "Unprocessable Content" },
        { 431, "Request Header Fields Too Large" },
        { 501, "Not Implemented" },
        { 504, "Gateway Timeout" },
        { 505, "HTTP Version Not Supported" },
        { 511, "Network Authentication Required" },
        { 306, "Unknown" },
        { 418, "Unknown" },
        { 600, "Unknown" },
        { 0, "Unknown" },
        { -1, "Unknown" },
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        cr_expect_str_eq(wsgi__response_phrase(cases[i].code), cases[i].phrase,
                         "%d", cases[i].code);
}

/* Every phrase makes a status that the rules accept, and an error page that
 * says it whole. */
Test(response, phrases_are_fit_for_a_status)
{
    int known = 0;
    for (int code = 200; code < 600; code++) {
        char status[128];
        int back = 0;
        const char *phrase = wsgi__response_phrase(code);
        known += strcmp(phrase, "Unknown") != 0;
        snprintf(status, sizeof(status), "%d %s", code, phrase);
        cr_expect_null(
            wsgi__response_check_status(wsgi__span_of(status), &back), "%s",
            status);
        cr_expect_eq(back, code);
        if (code < 400)
            continue;
        wsgi__buf out;
        wsgi__buf_init(&out, 4096);
        cr_assert_eq(
            wsgi__response_error(code, NULL, false, NOTHING, NOTHING, &out),
            WSGI_OK);
        const char *text = wsgi__buf_str(&out);
        cr_expect_eq(strncmp(text + 9, status, strlen(status)), 0, "%s", text);
        const char *body = strstr(text, "\r\n\r\n") + 4;
        cr_expect_eq(strncmp(body, status, strlen(status)), 0, "%s", text);
        cr_expect_eq(atol(strstr(text, "Content-Length: ") + 16),
                     (long)strlen(body), "%s", text);
        wsgi__buf_free(&out);
    }
    cr_expect_eq(known, 57, "%d phrases from 200 on", known);
}

/* ---- Chunks ------------------------------------------------------------- */

Test(response, chunk_head)
{
    static const size_t lengths[] = {
        1,     9,      10,      15,        16,           17,
        255,   256,    4095,    4096,      65535,        65536,
        0xabc, 0xffff, 1 << 20, 0x1234567, SIZE_MAX - 1, SIZE_MAX,
    };
    for (size_t i = 0; i < COUNT(lengths); i++) {
        char out[WSGI__CHUNK_HEAD_MAX], expected[32];
        size_t len = wsgi__chunk_head(out, lengths[i]);
        int n = snprintf(expected, sizeof(expected), "%zx\r\n", lengths[i]);
        cr_assert_eq(len, (size_t)n, "%zx: %zu", lengths[i], len);
        cr_expect_eq(memcmp(out, expected, len), 0, "%zx", lengths[i]);
    }
}

/* ---- Copies ------------------------------------------------------------- */

Test(response, a_copy_owns_what_it_refers_to)
{
    char status[] = "200 OK", name[] = "X-Name", value[] = "value",
         none[] = "";
    const wsgi__header headers[] = {
        { .name = wsgi__span_of(name), .value = wsgi__span_of(value) },
        { .name = wsgi__span_of(name), .value = wsgi__span_of(none) },
    };
    const wsgi__response res = { .status = wsgi__span_of(status),
                                 .code = 200,
                                 .headers = headers,
                                 .n_headers = 2,
                                 .content_length = 7,
                                 .known_length = -1 };
    wsgi__response *copy = wsgi__response_dup(&res);
    cr_assert_not_null(copy);
    memset(status, '#', sizeof(status));
    memset(name, '#', sizeof(name));
    memset(value, '#', sizeof(value));
    cr_expect(wsgi__span_eq(copy->status, WSGI__SPAN("200 OK")));
    cr_expect_eq(copy->code, 200);
    cr_expect_eq(copy->content_length, 7);
    cr_expect_eq(copy->known_length, -1);
    cr_assert_eq(copy->n_headers, 2);
    cr_expect(wsgi__span_eq(copy->headers[0].name, WSGI__SPAN("X-Name")));
    cr_expect(wsgi__span_eq(copy->headers[0].value, WSGI__SPAN("value")));
    cr_expect_eq(copy->headers[1].value.len, 0);
    wsgi__mem_free(copy);
    wsgi__mem_fail_nth(1);
    cr_expect_null(wsgi__response_dup(&res));
    wsgi__mem_fail_nth(0);
}
