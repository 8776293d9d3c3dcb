/*
 * Bytes of a client to CGI variables: each key once, of the characters that a
 * key may have, no NUL in what a client cannot put one into, and the same
 * values as a plain search through the headers gives.
 *
 * Input: a first line with SCRIPT_NAME, behind it m and a number when that
 * allocation is to fail; then one request.
 */
#include <inttypes.h>

#include "base/mem.h"
#include "fuzz.h"
#include "http/parser.h"
#include "http/vars.h"

#define MOST_VARS (WSGI__PARSER_MAX_FIELDS + 32)

typedef struct variable {
    wsgi__span key, value;
} variable;

typedef struct seen {
    variable list[MOST_VARS];
    size_t n;
    wsgi__buf text; /* what the keys and values were */
    char room[2 * 1024 * 1024];
} seen;

static wsgi__span
keep(wsgi__buf *text, wsgi__span span)
{
    size_t at = text->len;
    if (wsgi__buf_append(text, span.ptr, span.len) < 0)
        abort();
    return (wsgi__span){ text->data + at, span.len };
}

static const variable *
find(const seen *s, wsgi__span key)
{
    for (size_t i = 0; i < s->n; i++)
        if (wsgi__span_eq(s->list[i].key, key))
            return &s->list[i];
    return NULL;
}

/* A token in upper case, its hyphens replaced. */
static void
check_key(wsgi__span key)
{
    FUZZ_CHECK(key.len > 0, "empty key");
    for (size_t i = 0; i < key.len; i++) {
        char c = key.ptr[i];
        FUZZ_CHECK(fuzz_is(c, FUZZ_TOKEN) && c != '-' &&
                       !(c >= 'a' && c <= 'z'),
                   "%.*s", FUZZ_SPAN(key));
    }
}

static int
on_variable(void *user, wsgi__span key, wsgi__span value)
{
    seen *s = user;

    check_key(key);
    FUZZ_CHECK(!find(s, key), "twice: %.*s", FUZZ_SPAN(key));
    FUZZ_CHECK(!value.len || !memchr(value.ptr, '\0', value.len),
               "NUL in %.*s", FUZZ_SPAN(key));
    FUZZ_CHECK(s->n < MOST_VARS, "too many variables");
    s->list[s->n++] = (variable){ keep(&s->text, key), keep(&s->text, value) };
    return 0;
}

/* ---- The same, slowly ----------------------------------------------------- */

static bool
becomes(wsgi__span name, wsgi__span key)
{
    if (name.len != key.len)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        c = c >= 'a' && c <= 'z' ? (char)(c - 32) : c == '-' ? '_' : c;
        if (c != key.ptr[i])
            return false;
    }
    return true;
}

static bool
has_underscore(wsgi__span name)
{
    return memchr(name.ptr, '_', name.len) != NULL;
}

/* The values of the headers that become this key, joined; returns how many. */
static size_t
join(const wsgi__request *req, wsgi__span name, const char *separator,
     wsgi__buf *out)
{
    size_t n = 0;

    for (size_t i = 0; i < req->n_headers; i++) {
        const wsgi__header *h = &req->headers[i];
        if (has_underscore(h->name) || !becomes(h->name, name))
            continue;
        if (n++)
            wsgi__buf_puts(out, separator);
        wsgi__buf_append(out, h->value.ptr, h->value.len);
    }
    return n;
}

static bool
is_own(wsgi__span key)
{
    static const char *const own[] = {
        "REQUEST_METHOD", "SCRIPT_NAME",     "PATH_INFO",   "QUERY_STRING",
        "REQUEST_URI",    "RAW_URI",         "SERVER_NAME", "SERVER_PORT",
        "REMOTE_ADDR",    "SERVER_PROTOCOL", "REMOTE_PORT", "CONTENT_LENGTH",
        "HTTP_HOST",
    };
    for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++)
        if (wsgi__span_eq(key, wsgi__span_of(own[i])))
            return true;
    return false;
}

/* Every variable that came from headers has what the headers say. */
static size_t
check_values(const seen *s, const wsgi__request *req, wsgi__buf *expected)
{
    static const wsgi__span prefix = { "HTTP_", 5 };
    size_t n_used = 0;

    for (size_t i = 0; i < s->n; i++) {
        wsgi__span key = s->list[i].key, name = key;
        if (is_own(key))
            continue;
        if (!wsgi__span_eq(key, WSGI__SPAN("CONTENT_TYPE"))) {
            FUZZ_CHECK(key.len >= prefix.len &&
                           memcmp(key.ptr, prefix.ptr, prefix.len) == 0,
                       "%.*s", FUZZ_SPAN(key));
            name = (wsgi__span){ key.ptr + prefix.len, key.len - prefix.len };
        }
        bool cookie = wsgi__span_eq(key, WSGI__SPAN("HTTP_COOKIE"));
        wsgi__buf_reset(expected);
        n_used += join(req, name, cookie ? "; " : ", ", expected);
        FUZZ_CHECK(wsgi__span_eq(s->list[i].value, wsgi__buf_span(expected)),
                   "%.*s is %.*s", FUZZ_SPAN(key),
                   FUZZ_SPAN(s->list[i].value));
    }
    return n_used;
}

/* Dropped, or given as something else. */
static bool
is_left_out(wsgi__span name)
{
    return has_underscore(name) ||
           wsgi__span_is_nocase(name, WSGI__SPAN("proxy")) ||
           wsgi__span_is_nocase(name, WSGI__SPAN("host")) ||
           wsgi__span_is_nocase(name, WSGI__SPAN("content-length")) ||
           wsgi__span_is_nocase(name, WSGI__SPAN("transfer-encoding"));
}

static void
check_path(const seen *s, const wsgi__request *req, wsgi__span script)
{
    const variable *info = find(s, WSGI__SPAN("PATH_INFO"));
    wsgi__buf path;

    FUZZ_CHECK(info, "no PATH_INFO");
    wsgi__buf_init(&path, WSGI__VARS_MAX_SCRATCH);
    FUZZ_CHECK(wsgi__target_decode(req->parts.path, &path) == WSGI_OK,
               "PATH_INFO of what cannot be decoded");
    wsgi__span whole = wsgi__buf_span(&path);
    bool cut = info->value.len < whole.len;
    FUZZ_CHECK(!cut || (whole.len - info->value.len == script.len &&
                        memcmp(whole.ptr, script.ptr, script.len) == 0 &&
                        (!info->value.len || *info->value.ptr == '/')),
               "%.*s below %.*s", FUZZ_SPAN(info->value), FUZZ_SPAN(script));
    wsgi__span tail = { whole.ptr + (whole.len - info->value.len),
                        info->value.len };
    FUZZ_CHECK(wsgi__span_eq(tail, info->value), "%.*s of %.*s",
               FUZZ_SPAN(info->value), FUZZ_SPAN(whole));
    wsgi__buf_free(&path);
}

static void
check_all(const seen *s, const wsgi__request *req, wsgi__span script)
{
    size_t n_expected = 0;
    wsgi__buf expected;

    wsgi__buf_init(&expected, WSGI__VARS_MAX_SCRATCH);
    for (size_t i = 0; i < req->n_headers; i++)
        n_expected += !is_left_out(req->headers[i].name);
    size_t n_used = check_values(s, req, &expected);
    FUZZ_CHECK(n_used == n_expected, "%zu headers used of %zu", n_used,
               n_expected);
    check_path(s, req, script);
    const variable *host = find(s, WSGI__SPAN("HTTP_HOST"));
    FUZZ_CHECK(!host || wsgi__span_eq(host->value, req->host), "%.*s",
               FUZZ_SPAN(host->value));
    FUZZ_CHECK(host || req->host.len == 0, "no HTTP_HOST");
    wsgi__buf_free(&expected);
}

/* ---- One request ----------------------------------------------------------- */

static void
run(const wsgi__request *req, wsgi__span script, long nth)
{
    static seen s; /* too large for a stack */
    wsgi__buf scratch;
    const wsgi__header *dropped;
    const wsgi__conn_info info = {
        .remote_addr = WSGI__SPAN("192.0.2.1"),
        .remote_port = WSGI__SPAN("40000"),
        .server_name = WSGI__SPAN("localhost"),
        .server_port = WSGI__SPAN("80"),
        .script_name = script,
    };

    s.n = 0;
    s.text = (wsgi__buf){ .data = s.room,
                          .cap = sizeof(s.room),
                          .max = sizeof(s.room) - 1 };
    wsgi__buf_init(&scratch, WSGI__VARS_MAX_SCRATCH);
    int64_t length = req->content_length < 0 ? 0 : req->content_length;
    wsgi__mem_fail_nth(nth);
    int status = wsgi__vars_each(req, &info, length, &scratch, &dropped,
                                 on_variable, &s);
    wsgi__mem_fail_nth(0);
    /* A NUL in the path is refused by the parser already. */
    FUZZ_CHECK(status == WSGI_OK || (nth && status == WSGI_ERR_NOMEM), "%d",
               status);
    if (status == WSGI_OK)
        check_all(&s, req, script);
    if (status == WSGI_OK && dropped)
        FUZZ_CHECK(has_underscore(dropped->name), "%.*s",
                   FUZZ_SPAN(dropped->name));
    wsgi__buf_free(&scratch);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const wsgi__parser_limits none = { 0 };
    wsgi__span input = fuzz_input(data, size), line;
    size_t used;

    if (!fuzz_line(&input, &line))
        return -1;
    size_t len = 0;
    while (len < line.len && line.ptr[len] != ' ' && line.ptr[len] != '\0')
        len++;
    wsgi__span script = { line.ptr, len };
    line = (wsgi__span){ line.ptr + len, line.len - len };
    bool fails = fuzz_letter(&line, ' ') == 'm';
    wsgi__parser *parser = wsgi__parser_new(&none);
    if (wsgi__parser_feed(parser, input.ptr, input.len, &used) ==
        WSGI__EV_HEAD)
        run(wsgi__parser_request(parser), script,
            fails ? (long)fuzz_number(&line, 1, 8) : 0);
    wsgi__parser_free(parser);
    return 0;
}
