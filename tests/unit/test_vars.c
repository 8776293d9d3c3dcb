#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>

#include <wsgi/wsgi.h>

#include "base/mem.h"
#include "http/parser.h"
#include "http/vars.h"
#include "support/request.h"

/* Variables as they come, "KEY=value\n" each. */
typedef struct seen {
    wsgi__buf text;
    int stop_at; /* the n-th call returns 77; 0: none does */
    int n;
} seen;

static int
see(void *user, wsgi__span key, wsgi__span value)
{
    seen *s = user;
    if (++s->n == s->stop_at)
        return 77;
    wsgi__buf_append(&s->text, key.ptr, key.len);
    wsgi__buf_puts(&s->text, "=");
    wsgi__buf_append(&s->text, value.ptr, value.len);
    wsgi__buf_puts(&s->text, "\n");
    return 0;
}

static const wsgi__conn_info plain = {
    .remote_addr = { "192.0.2.7", 9 },
    .remote_port = { "51000", 5 },
    .server_name = { "127.0.0.1", 9 },
    .server_port = { "8888", 4 },
    .script_name = { "", 0 },
};

/* The value of `key` in "KEY=value\n" lines, to be freed; NULL when it is
 * absent.  A key that comes twice fails the test. */
static char *
value_of(const char *lines, const char *key)
{
    size_t len = strlen(key);
    char *value = NULL;
    for (const char *line = lines; *line; line = strchr(line, '\n') + 1) {
        if (strncmp(line, key, len) != 0 || line[len] != '=')
            continue;
        cr_expect_null(value, "%s twice in %s", key, lines);
        free(value);
        value = strndup(line + len + 1, strcspn(line + len + 1, "\n"));
    }
    return value;
}

/* The text of all variables, to be freed. */
static char *
vars_text(const wsgi__request *req, const wsgi__conn_info *conn,
          int64_t body_length, const wsgi__header **dropped)
{
    seen s = { .stop_at = 0 };
    wsgi__buf scratch;
    wsgi__buf_init(&s.text, 1 << 20);
    wsgi__buf_init(&scratch, WSGI__VARS_MAX_SCRATCH);
    int status =
        wsgi__vars_each(req, conn, body_length, &scratch, dropped, see, &s);
    cr_assert_eq(status, 0, "status %d", status);
    char *text = strdup(wsgi__buf_str(&s.text));
    wsgi__buf_free(&s.text);
    wsgi__buf_free(&scratch);
    return text;
}

/* ---- Everything, once --------------------------------------------------- */

Test(vars, a_whole_request)
{
    static const request_text text = {
        .method = "POST",
        .target = "/caf%C3%A9/x%2Fy?a=%41&b",
        .headers = { "Host: example.org:8888", "User-Agent: test",
                     "Content-Type: text/plain", "Accept: a/b",
                     "Content-Length: 12", "Accept: c/d",
                     "X-Empty:", "Cookie: a=1", "Cookie: b=2" },
    };
    static const char expected[] = "REQUEST_METHOD=POST\n"
                                   "PATH_INFO=/caf\xc3\xa9/x/y\n"
                                   "QUERY_STRING=a=%41&b\n"
                                   "REQUEST_URI=/caf%C3%A9/x%2Fy?a=%41&b\n"
                                   "RAW_URI=/caf%C3%A9/x%2Fy?a=%41&b\n"
                                   "SERVER_PROTOCOL=HTTP/1.1\n"
                                   "SCRIPT_NAME=\n"
                                   "SERVER_NAME=127.0.0.1\n"
                                   "SERVER_PORT=8888\n"
                                   "REMOTE_ADDR=192.0.2.7\n"
                                   "REMOTE_PORT=51000\n"
                                   "CONTENT_LENGTH=12\n"
                                   "HTTP_HOST=example.org:8888\n"
                                   "HTTP_USER_AGENT=test\n"
                                   "CONTENT_TYPE=text/plain\n"
                                   "HTTP_ACCEPT=a/b, c/d\n"
                                   "HTTP_X_EMPTY=\n"
                                   "HTTP_COOKIE=a=1; b=2\n";
    request_fake fake;
    char *got = vars_text(request_fill(&fake, &text), &plain, 12, NULL);
    cr_expect_str_eq(got, expected, "%s", got);
    free(got);
}

Test(vars, a_bare_request)
{
    static const request_text text = { .http_1_0 = true };
    static const wsgi__conn_info unix_socket = {
        .remote_addr = { "", 0 },
        .remote_port = { "", 0 },
        .server_name = { "localhost", 9 },
        .server_port = { "80", 2 },
        .script_name = { "", 0 },
    };
    static const char expected[] = "REQUEST_METHOD=GET\n"
                                   "PATH_INFO=/\n"
                                   "QUERY_STRING=\n"
                                   "REQUEST_URI=/\n"
                                   "RAW_URI=/\n"
                                   "SERVER_PROTOCOL=HTTP/1.0\n"
                                   "SCRIPT_NAME=\n"
                                   "SERVER_NAME=localhost\n"
                                   "SERVER_PORT=80\n"
                                   "REMOTE_ADDR=\n"
                                   "REMOTE_PORT=\n";
    request_fake fake;
    char *got = vars_text(request_fill(&fake, &text), &unix_socket, 0, NULL);
    cr_expect_str_eq(got, expected, "%s", got);
    free(got);
}

/* ---- One variable at a time --------------------------------------------- */

typedef struct var_case {
    const char *name;
    request_text text;
    const char *key, *value; /* NULL: absent */
    int64_t body_length;
    const char *script_name;
    bool https;
} var_case;

#define KEY(k, v) .key = (k), .value = (v)
#define HEADERS(...) .text = { .headers = { __VA_ARGS__ } }

static const var_case var_cases[] = {
    /* RFC 3875 4.1.8, PEP 3333: the version of the request */
    { "1.0", .text = { .http_1_0 = true },
      KEY("SERVER_PROTOCOL", "HTTP/1.0") },
    { "method as it is", .text = { .method = "m-search" },
      KEY("REQUEST_METHOD", "m-search") },

    /* HTTPS */
    { "plain", KEY("HTTPS", NULL) },
    { "tls", KEY("HTTPS", "on"), .https = true },
    { "Https header", HEADERS("Https: on"), KEY("HTTPS", NULL) },

    /* body */
    { "no body", HEADERS("Host: a"), KEY("CONTENT_LENGTH", NULL) },
    { "empty body", HEADERS("Content-Length: 0"), KEY("CONTENT_LENGTH", "0") },
    { "length", HEADERS("content-length: 5"), KEY("CONTENT_LENGTH", "5"),
      .body_length = 5 },
    { "length as sent", HEADERS("Content-Length: 0005"),
      KEY("CONTENT_LENGTH", "5"), .body_length = 5 },
    { "chunked", HEADERS("Transfer-Encoding: chunked"),
      KEY("CONTENT_LENGTH", "1234"), .body_length = 1234 },
    { "chunked, empty", HEADERS("Transfer-Encoding: chunked"),
      KEY("CONTENT_LENGTH", "0") },
    { "chunked, largest", HEADERS("Transfer-Encoding: chunked"),
      KEY("CONTENT_LENGTH", "9223372036854775807"), .body_length = INT64_MAX },
    { "no HTTP_CONTENT_LENGTH", HEADERS("Content-Length: 5"),
      KEY("HTTP_CONTENT_LENGTH", NULL), .body_length = 5 },
    { "no HTTP_TRANSFER_ENCODING", HEADERS("tRANSFER-eNCODING: chunked"),
      KEY("HTTP_TRANSFER_ENCODING", NULL) },
    { "no type", HEADERS("Host: a"), KEY("CONTENT_TYPE", NULL) },
    { "type", HEADERS("CONTENT-TYPE: a/b; c=d"),
      KEY("CONTENT_TYPE", "a/b; c=d") },
    { "no HTTP_CONTENT_TYPE", HEADERS("Content-Type: a/b"),
      KEY("HTTP_CONTENT_TYPE", NULL) },
    { "empty type", HEADERS("Content-Type:"), KEY("CONTENT_TYPE", "") },
    { "two types", HEADERS("Content-Type: a/b", "content-type: c/d"),
      KEY("CONTENT_TYPE", "a/b, c/d") },

    /* host */
    { "host", HEADERS("hOST: a:1"), KEY("HTTP_HOST", "a:1") },
    { "no host", .text = { .http_1_0 = true }, KEY("HTTP_HOST", NULL) },
    { "empty host", HEADERS("Host:"), KEY("HTTP_HOST", "") },
    { "absolute-form replaces it",
      .text = { .target = "http://real:80/x?y",
                .authority = "real:80",
                .headers = { "Host: claimed" } },
      KEY("HTTP_HOST", "real:80") },
    { "absolute-form without it",
      .text = { .target = "http://real/x",
                .authority = "real",
                .http_1_0 = true },
      KEY("HTTP_HOST", "real") },

    /* target */
    { "absolute-form path",
      .text = { .target = "http://h/x%20y?q", .authority = "h" },
      KEY("PATH_INFO", "/x y") },
    { "absolute-form without path",
      .text = { .target = "http://h", .authority = "h" },
      KEY("PATH_INFO", "/") },
    { "absolute-form uri",
      .text = { .target = "http://h/x?q", .authority = "h" },
      KEY("REQUEST_URI", "http://h/x?q") },
    { "asterisk", .text = { .method = "OPTIONS", .target = "*" },
      KEY("PATH_INFO", "*") },
    { "asterisk under a prefix",
      .text = { .method = "OPTIONS", .target = "*" }, KEY("PATH_INFO", "*"),
      .script_name = "/app" },
    { "decoded once", .text = { .target = "/%2541" },
      KEY("PATH_INFO", "/%41") },
    { "plus is plus", .text = { .target = "/a+b" }, KEY("PATH_INFO", "/a+b") },
    { "slashes are kept", .text = { .target = "//a//../b/" },
      KEY("PATH_INFO", "//a//../b/") },
    { "raw query", .text = { .target = "/?a%20b?c=%00" },
      KEY("QUERY_STRING", "a%20b?c=%00") },
    { "empty query", .text = { .target = "/?" }, KEY("QUERY_STRING", "") },
    { "raw uri", .text = { .target = "/%7Ea?b" }, KEY("RAW_URI", "/%7Ea?b") },

    /* SCRIPT_NAME and what is left of the path */
    { "prefix name", .text = { .target = "/app/x" },
      KEY("SCRIPT_NAME", "/app"), .script_name = "/app" },
    { "prefix cut", .text = { .target = "/app/x" }, KEY("PATH_INFO", "/x"),
      .script_name = "/app" },
    { "prefix alone", .text = { .target = "/app" }, KEY("PATH_INFO", ""),
      .script_name = "/app" },
    { "prefix and slash", .text = { .target = "/app/" }, KEY("PATH_INFO", "/"),
      .script_name = "/app" },
    { "prefix of a word", .text = { .target = "/apple" },
      KEY("PATH_INFO", "/apple"), .script_name = "/app" },
    { "prefix cut by the proxy", .text = { .target = "/x" },
      KEY("PATH_INFO", "/x"), .script_name = "/app" },
    { "prefix longer than the path", .text = { .target = "/a" },
      KEY("PATH_INFO", "/a"), .script_name = "/app" },
    { "prefix cut once", .text = { .target = "/app/app/x" },
      KEY("PATH_INFO", "/app/x"), .script_name = "/app" },
    { "prefix in another case", .text = { .target = "/App/x" },
      KEY("PATH_INFO", "/App/x"), .script_name = "/app" },
    { "encoded prefix", .text = { .target = "/%61pp/x" },
      KEY("PATH_INFO", "/x"), .script_name = "/app" },
    { "prefix outside ASCII", .text = { .target = "/caf%C3%A9/x" },
      KEY("PATH_INFO", "/x"), .script_name = "/caf\xc3\xa9" },
    { "deep prefix", .text = { .target = "/a/b/c" }, KEY("PATH_INFO", "/c"),
      .script_name = "/a/b" },
    { "uri keeps the prefix", .text = { .target = "/app/x" },
      KEY("REQUEST_URI", "/app/x"), .script_name = "/app" },

    /* names */
    { "dashes and digits", HEADERS("x-a-1b: v"), KEY("HTTP_X_A_1B", "v") },
    { "any token", HEADERS("!#$%&'*+.^`|~: v"),
      KEY("HTTP_!#$%&'*+.^`|~", "v") },
    { "underscore", HEADERS("X_Real_Ip: 6.6.6.6"),
      KEY("HTTP_X_REAL_IP", NULL) },
    { "underscore beside the real one",
      HEADERS("X-Real-Ip: 1.2.3.4", "X_Real-Ip: 6.6.6.6"),
      KEY("HTTP_X_REAL_IP", "1.2.3.4") },
    { "underscored length", HEADERS("Content_Length: 5"),
      KEY("CONTENT_LENGTH", NULL) },
    { "underscored HTTP_CONTENT_LENGTH", HEADERS("Content_Length: 5"),
      KEY("HTTP_CONTENT_LENGTH", NULL) },
    { "httpoxy", HEADERS("Proxy: http://evil"), KEY("HTTP_PROXY", NULL) },
    { "httpoxy in capitals", HEADERS("PROXY: http://evil"),
      KEY("HTTP_PROXY", NULL) },
    { "but Proxy-Authorization", HEADERS("Proxy-Authorization: x"),
      KEY("HTTP_PROXY_AUTHORIZATION", "x") },
    { "no variable of the server", HEADERS("Remote-Addr: 6.6.6.6"),
      KEY("REMOTE_ADDR", "192.0.2.7") },
    { "a header's own", HEADERS("Remote-Addr: 6.6.6.6"),
      KEY("HTTP_REMOTE_ADDR", "6.6.6.6") },
    { "Connection", HEADERS("Connection: close"),
      KEY("HTTP_CONNECTION", "close") },
    { "value outside ASCII", HEADERS("X: \xe9\xff"),
      KEY("HTTP_X", "\xe9\xff") },

    /* repeated headers */
    { "cases of one name", HEADERS("A-b: 1", "a-B: 2", "A-B: 3"),
      KEY("HTTP_A_B", "1, 2, 3") },
    { "order of receipt", HEADERS("X: c", "Y: -", "X: a", "Z: -", "X: b"),
      KEY("HTTP_X", "c, a, b") },
    { "empty among them", HEADERS("X:", "X: a", "X:"),
      KEY("HTTP_X", ", a, ") },
    { "all empty", HEADERS("X:", "X:"), KEY("HTTP_X", ", ") },
    { "cookies", HEADERS("Cookie: a=1; b=2", "COOKIE: c=3"),
      KEY("HTTP_COOKIE", "a=1; b=2; c=3") },
    { "no cookies", HEADERS("Cookie2: a", "Cookie2: b"),
      KEY("HTTP_COOKIE2", "a, b") },
    { "of equal length", HEADERS("Ab: 1", "Ba: 2", "Ab: 3", "Ba: 4"),
      KEY("HTTP_BA", "2, 4") },
    { "a prefix of the other", HEADERS("Ab: 1", "Abc: 2", "Ab: 3"),
      KEY("HTTP_ABC", "2") },
};

Test(vars, table)
{
    for (size_t i = 0; i < sizeof(var_cases) / sizeof(*var_cases); i++) {
        const var_case *c = &var_cases[i];
        request_fake fake;
        wsgi__conn_info conn = plain;
        conn.https = c->https;
        conn.script_name = wsgi__span_of(c->script_name);
        char *text = vars_text(request_fill(&fake, &c->text), &conn,
                               c->body_length, NULL);
        char *got = value_of(text, c->key);
        if (!c->value)
            cr_expect_null(got, "%s: %s is there: \"%s\"", c->name, c->key,
                           got ? got : "");
        else
            cr_expect(got && strcmp(got, c->value) == 0,
                      "%s: %s is \"%s\", not \"%s\"", c->name, c->key,
                      got ? got : "(absent)", c->value);
        free(got);
        free(text);
    }
}

/* ---- What is new beside a model ------------------------------------------ */

typedef struct some_row {
    bool same_line;
    uint64_t fields;
    const char *expected;
} some_row;

Test(vars, only_what_is_new)
{
    static const request_text text = {
        .method = "PUT",
        .target = "/a%20b?c",
        .headers = { "Host: h", "X_Y: no", "Proxy: no", "Content-Length: 3",
                     "Content-Type: t", "Accept: d" },
    };
    static const char line[] = "REQUEST_METHOD=PUT\n"
                               "PATH_INFO=/a b\n"
                               "QUERY_STRING=c\n"
                               "REQUEST_URI=/a%20b?c\n"
                               "RAW_URI=/a%20b?c\n"
                               "SERVER_PROTOCOL=HTTP/1.1\n"
                               "CONTENT_LENGTH=3\n";
    static const some_row some_rows[] = {
        { false, 0, line },
        { true, 0, "CONTENT_LENGTH=3\n" },
        { true, 1 << 5, "CONTENT_LENGTH=3\nHTTP_ACCEPT=d\n" },
        { true, 0x3e, "CONTENT_LENGTH=3\nCONTENT_TYPE=t\nHTTP_ACCEPT=d\n" },
    };
    for (size_t i = 0; i < sizeof(some_rows) / sizeof(*some_rows); i++) {
        request_fake fake;
        wsgi__buf scratch = { .max = WSGI__VARS_MAX_SCRATCH };
        seen s = { .text = { .max = 65536 } };
        request_fill(&fake, &text);
        fake.req.like =
            (wsgi__likeness){ .model = 1,
                              .same_line = some_rows[i].same_line };
        cr_expect_eq(wsgi__vars_some(&fake.req, &plain, 3, some_rows[i].fields,
                                     &scratch, see, &s),
                     0);
        cr_expect_str_eq(wsgi__buf_str(&s.text), some_rows[i].expected,
                         "row %zu", i);
        wsgi__buf_free(&s.text);
        wsgi__buf_free(&scratch);
    }
}

Test(vars, whether_a_request_is_alike)
{
    static const struct {
        request_text text;
        wsgi__likeness like;
        bool alike;
    } cases[] = {
        { { .headers = { "Host: a", "B: c" } }, { 0 }, false },
        { { .headers = { "Host: a", "B: c" } },
          { .model = 1, .is_model = true },
          true },
        { { .headers = { "Host: a", "Bc: 1", "bC: 2" } },
          { .model = 1, .is_model = true },
          false },
        { { .headers = { "B: c", "Host: a" } },
          { .model = 1, .changed = 1 },
          true },
        { { .headers = { "B: c", "hOST: a" } },
          { .model = 1, .changed = 2 },
          false },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        request_fake fake;
        request_fill(&fake, &cases[i].text);
        fake.req.like = cases[i].like;
        cr_expect_eq(wsgi__vars_are_alike(&fake.req), cases[i].alike,
                     "case %zu", i);
    }
}

Test(vars, dropped_is_reported)
{
    static const struct {
        request_text text;
        const char *first; /* NULL: none */
    } cases[] = {
        { { .headers = { "Host: a", "X-Y: 1" } }, NULL },
        { { .headers = { "X_Y: 1" } }, "X_Y" },
        { { .headers = { "A: 1", "_: 2", "X_Y: 3" } }, "_" },
        /* these are dropped for other reasons */
        { { .headers = { "Proxy: a", "Transfer-Encoding: chunked" } }, NULL },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        request_fake fake;
        static const wsgi__header stale;
        const wsgi__header *dropped = &stale;
        free(vars_text(request_fill(&fake, &cases[i].text), &plain, 0,
                       &dropped));
        if (!cases[i].first)
            cr_expect_null(dropped, "case %zu", i);
        else
            cr_expect(dropped && wsgi__span_eq(dropped->name,
                                               wsgi__span_of(cases[i].first)),
                      "case %zu", i);
    }
}

/* ---- Failures ----------------------------------------------------------- */

static const request_text rich = {
    .method = "POST",
    .target = "/some/%41path?query",
    .headers = { "Host: a", "X: 1", "X: 2", "Content-Type: a/b",
                 "Content-Length: 3", "Cookie: a", "Cookie: b" },
};

Test(vars, nul_in_the_path)
{
    static const request_text text = { .target = "/a%00b" };
    request_fake fake;
    seen s = { .stop_at = 0 };
    wsgi__buf scratch;
    wsgi__buf_init(&scratch, WSGI__VARS_MAX_SCRATCH);
    cr_expect_eq(wsgi__vars_each(request_fill(&fake, &text), &plain, 0,
                                 &scratch, NULL, see, &s),
                 WSGI_ERR_INVALID);
    cr_expect_eq(s.n, 0, "variables of a request that is refused");
    wsgi__buf_free(&scratch);
}

Test(vars, callback_stops_at_each_variable)
{
    request_fake fake;
    const wsgi__request *req = request_fill(&fake, &rich);
    int status = 77, n = 0;
    while (status == 77) {
        seen s = { .stop_at = ++n };
        wsgi__buf scratch;
        wsgi__buf_init(&s.text, 1 << 16);
        wsgi__buf_init(&scratch, WSGI__VARS_MAX_SCRATCH);
        status = wsgi__vars_each(req, &plain, 3, &scratch, NULL, see, &s);
        cr_expect_eq(s.n, status == 77 ? n : n - 1);
        wsgi__buf_free(&s.text);
        wsgi__buf_free(&scratch);
    }
    cr_expect_eq(status, 0);
    cr_expect_eq(n, 17, "16 variables, not %d", n - 1);
}

Test(vars, out_of_memory_at_each_allocation)
{
    request_fake fake;
    const wsgi__request *req = request_fill(&fake, &rich);
    int status = WSGI_ERR_NOMEM;
    long nth = 0;
    while (status == WSGI_ERR_NOMEM) {
        seen s = { .stop_at = 0 };
        wsgi__buf scratch;
        wsgi__buf_init(&scratch, WSGI__VARS_MAX_SCRATCH);
        wsgi__buf_init(&s.text, 1 << 16);
        cr_assert_eq(wsgi__buf_reserve(&s.text, 4096), WSGI_OK);
        wsgi__mem_fail_nth(++nth);
        status = wsgi__vars_each(req, &plain, 3, &scratch, NULL, see, &s);
        wsgi__mem_fail_nth(0);
        if (status == WSGI_ERR_NOMEM)
            cr_expect_eq(s.n, 0);
        wsgi__buf_free(&scratch);
        wsgi__buf_free(&s.text);
    }
    cr_expect_eq(status, 0);
    cr_expect_gt(nth, 2, "the sweep saw too little");
}

/* Whatever the ceiling, it is either enough or refused before anything is
 * emitted.  The second request uses nearly all that is reserved for it. */
Test(vars, each_ceiling_of_scratch)
{
    static const request_text tight = { .headers = { "X: 1", "X: 2" } };
    static const request_text *const texts[] = { &rich, &tight };
    for (size_t i = 0; i < 2; i++) {
        request_fake fake;
        const wsgi__request *req = request_fill(&fake, texts[i]);
        bool fitted = false;
        for (size_t max = 0; max < 2048; max++) {
            seen s = { .stop_at = 0 };
            wsgi__buf scratch;
            wsgi__buf_init(&s.text, 1 << 16);
            wsgi__buf_init(&scratch, max);
            int status =
                wsgi__vars_each(req, &plain, 3, &scratch, NULL, see, &s);
            cr_expect(status == 0 || (status == WSGI_ERR_NOMEM && s.n == 0),
                      "request %zu, ceiling %zu", i, max);
            cr_expect(!fitted || status == 0, "request %zu, ceiling %zu", i,
                      max);
            fitted = status == 0;
            wsgi__buf_free(&s.text);
            wsgi__buf_free(&scratch);
        }
        cr_expect(fitted, "request %zu", i);
    }
}

Test(vars, scratch_is_used_again)
{
    request_fake fake;
    const wsgi__request *req = request_fill(&fake, &rich);
    seen s = { .stop_at = 0 };
    wsgi__buf scratch;
    wsgi__buf_init(&s.text, 1 << 16);
    cr_assert_eq(wsgi__buf_reserve(&s.text, 8192), WSGI_OK);
    wsgi__buf_init(&scratch, WSGI__VARS_MAX_SCRATCH);
    cr_assert_eq(wsgi__vars_each(req, &plain, 3, &scratch, NULL, see, &s), 0);
    char *first = strdup(wsgi__buf_str(&s.text));
    wsgi__mem_fail_nth(1);
    for (int i = 0; i < 3; i++) {
        wsgi__buf_reset(&s.text);
        cr_assert_eq(wsgi__vars_each(req, &plain, 3, &scratch, NULL, see, &s),
                     0);
        cr_expect_str_eq(wsgi__buf_str(&s.text), first);
    }
    wsgi__mem_fail_nth(0);
    free(first);
    wsgi__buf_free(&s.text);
    wsgi__buf_free(&scratch);
}

/* ---- Many headers ------------------------------------------------------- */

static int
count_calls(void *user, wsgi__span key, wsgi__span value)
{
    size_t *sums = user; /* calls, bytes of values of HTTP_X... */
    sums[0]++;
    if (key.len > 6 && memcmp(key.ptr, "HTTP_X", 6) == 0)
        sums[1] += value.len;
    return 0;
}

/* As many and as long as the parser lets through, in n_names names that come
 * round and round, so each one's headers lie far from each other. */
static void
many(size_t n_names)
{
    enum { N = WSGI__PARSER_MAX_FIELDS };
    static char names[N][16];
    static char value[100];
    static wsgi__header headers[N];
    char *path = malloc(60000);
    wsgi__request req = { .method = WSGI__SPAN("GET"),
                          .target = WSGI__SPAN("/"),
                          .content_length = -1,
                          .minor = 1,
                          .headers = headers,
                          .n_headers = N };

    memset(path, '/', 60000);
    memset(value, 'v', sizeof(value));
    req.parts.path = (wsgi__span){ path, 60000 };
    for (size_t i = 0; i < N; i++) {
        /* Small and large letters by turns: one name all the same. */
        int len = snprintf(names[i], sizeof(names[i]), "%c-%04zu",
                           i % 3 ? 'x' : 'X', i % n_names);
        headers[i].name = (wsgi__span){ names[i], (size_t)len };
        headers[i].value = (wsgi__span){ value, 90 };
    }
    size_t sums[2] = { 0, 0 };
    wsgi__buf scratch;
    wsgi__buf_init(&scratch, WSGI__VARS_MAX_SCRATCH);
    cr_assert_eq(
        wsgi__vars_each(&req, &plain, 0, &scratch, NULL, count_calls, sums), 0,
        "%zu names", n_names);
    cr_expect_eq(sums[0], 11 + n_names, "%zu names: %zu variables", n_names,
                 sums[0]);
    cr_expect_eq(sums[1], N * 90 + (N - n_names) * 2, "%zu names: %zu bytes",
                 n_names, sums[1]);
    wsgi__buf_free(&scratch);
    free(path);
}

Test(vars, as_many_headers_as_there_can_be)
{
    static const size_t names[] = { 1,   2,    3,    7,    64,  65,
                                    999, 1000, 1024, 1999, 2000 };
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        many(names[i]);
}

/* Every sequence of up to six headers with three names. */
Test(vars, every_order_of_few_headers)
{
    static const char *const lines[] = { "Aa: 1", "bB: 2", "C: 3" };
    static const char *const keys[] = { "HTTP_AA", "HTTP_BB", "HTTP_C" };
    for (unsigned n = 1, total = 3; n <= 6; n++, total *= 3) {
        for (unsigned code = 0; code < total; code++) {
            request_text text = { .headers = { NULL } };
            char expected[3][64] = { "", "", "" };
            unsigned rest = code;
            for (unsigned i = 0; i < n; i++, rest /= 3) {
                char *list = expected[rest % 3];
                strcat(list, *list ? ", " : "");
                strcat(list, strchr(lines[rest % 3], ':') + 2);
                text.headers[i] = lines[rest % 3];
            }
            request_fake fake;
            char *got = vars_text(request_fill(&fake, &text), &plain, 0, NULL);
            for (int k = 0; k < 3; k++) {
                char *value = value_of(got, keys[k]);
                cr_assert_str_eq(value ? value : "", expected[k],
                                 "%u headers, order %u: %s", n, code, got);
                free(value);
            }
            free(got);
        }
    }
}
