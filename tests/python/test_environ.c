/* environ: from a request head to the dict that an application gets. */
#include "support/python.h"

#include <criterion/criterion.h>

#include "base/buf.h"
#include "base/mem.h"
#include "python/environ.h"
#include "support/request.h"

TestSuite(environ, .init = python_start, .fini = python_stop);

#define SPAN(text)                                                            \
    {                                                                         \
        (text), sizeof(text) - 1                                              \
    }

static const wsgi__conn_info http = {
    .remote_addr = SPAN("192.0.2.7"),
    .remote_port = SPAN("51000"),
    .server_name = SPAN("www.example"),
    .server_port = SPAN("80"),
    .script_name = SPAN(""),
};

static const wsgi__conn_info https = {
    .remote_addr = SPAN(""),
    .remote_port = SPAN(""),
    .server_name = SPAN("localhost"),
    .server_port = SPAN("443"),
    .script_name = SPAN("/app"),
    .https = true,
};

static wsgi__buf logged;

static void
collect(void *user, wsgi_log_level level, const char *entry)
{
    (void)user;
    cr_expect_eq(level, WSGI_LOG_WARNING);
    wsgi__buf_puts(&logged, entry);
    wsgi__buf_puts(&logged, "\n");
}

static const wsgi__log log_to = { WSGI_LOG_DEBUG, collect, NULL };

typedef struct fixture {
    wsgi__environ *maker;
    PyObject *module, *base;
} fixture;

static void
set_up(fixture *f)
{
    f->module = python_module("site", "base = {'wsgi.version': (1, 0), "
                                      "'SERVER_SOFTWARE': 'x'}\n"
                                      "marker = object()\n");
    f->base = python_get(f->module, "base");
    f->maker = wsgi__environ_new(f->base);
    cr_assert_not_null(f->maker);
    wsgi__buf_init(&logged, 65536);
}

static void
tear_down(fixture *f)
{
    wsgi__environ_free(f->maker);
    wsgi__buf_free(&logged);
    Py_DECREF(f->base);
    Py_DECREF(f->module);
}

static PyObject *
make(fixture *f, const request_text *text, const wsgi__conn_info *conn,
     int64_t body_length)
{
    request_fake fake;
    PyObject *input = python_get(f->module, "marker");
    PyObject *dict = wsgi__environ_make(f->maker, request_fill(&fake, text),
                                        conn, body_length, input, &log_to);
    Py_DECREF(input);
    return dict;
}

/* Makes it the `e` of the module. */
static void
make_e(fixture *f, const request_text *text, const wsgi__conn_info *conn,
       int64_t body_length)
{
    PyObject *dict = make(f, text, conn, body_length);
    cr_assert(python_quiet());
    cr_assert_eq(PyObject_SetAttrString(f->module, "e", dict), 0);
    Py_DECREF(dict);
}

typedef struct row {
    request_text request;
    const wsgi__conn_info *conn;
    int64_t body_length;
    const char *is_true;
} row;

static const row rows[] = {
    { { .target = "/" }, &http, 0, "type(e) is dict" },
    { { .target = "/" },
      &http,
      0,
      "all(type(k) is str for k in e) and all(type(v) is str for k, v in "
      "e.items() if '.' not in k)" },
    { { .target = "/" }, &http, 0, "e['wsgi.input'] is marker" },
    { { .target = "/" }, &http, 0, "e['wsgi.version'] == (1, 0)" },
    { { .target = "/" }, &http, 0, "e['SERVER_SOFTWARE'] == 'x'" },
    { { .target = "/" }, &http, 0, "e['wsgi.url_scheme'] == 'http'" },
    { { .target = "/" }, &https, 0, "e['wsgi.url_scheme'] == 'https'" },
    { { .target = "/" }, &http, 0, "'HTTPS' not in e" },
    { { .target = "/" }, &https, 0, "e['HTTPS'] == 'on'" },
    { { .method = "PUT", .target = "/a%20b%e4/c?d=e%20f" },
      &http,
      0,
      "[e[k] for k in ('REQUEST_METHOD', 'SCRIPT_NAME', 'PATH_INFO', "
      "'QUERY_STRING', 'REQUEST_URI', 'RAW_URI', 'SERVER_PROTOCOL')] == "
      "['PUT', '', '/a b\\xe4/c', 'd=e%20f', '/a%20b%e4/c?d=e%20f', "
      "'/a%20b%e4/c?d=e%20f', 'HTTP/1.1']" },
    { { .target = "/", .http_1_0 = true },
      &http,
      0,
      "e['SERVER_PROTOCOL'] == 'HTTP/1.0'" },
    { { .target = "/app/x" },
      &https,
      0,
      "(e['SCRIPT_NAME'], e['PATH_INFO']) == ('/app', '/x')" },
    { { .target = "/" },
      &http,
      0,
      "[e[k] for k in ('REMOTE_ADDR', 'REMOTE_PORT', 'SERVER_NAME', "
      "'SERVER_PORT')] == ['192.0.2.7', '51000', 'www.example', '80']" },
    { { .target = "/" },
      &https,
      0,
      "[e[k] for k in ('REMOTE_ADDR', 'REMOTE_PORT', 'SERVER_NAME', "
      "'SERVER_PORT')] == ['', '', 'localhost', '443']" },
    { { .target = "/",
        .headers = { "Host: a", "X-B: c", "x-b: d", "Cookie: e=f",
                     "Cookie: g=h" } },
      &http,
      0,
      "[e[k] for k in ('HTTP_HOST', 'HTTP_X_B', 'HTTP_COOKIE')] == "
      "['a', 'c, d', 'e=f; g=h']" },
    { { .method = "POST",
        .target = "/",
        .headers = { "Content-Type: text/x", "Content-Length: 3" } },
      &http,
      3,
      "(e['CONTENT_TYPE'], e['CONTENT_LENGTH']) == ('text/x', '3') and "
      "not any(k.startswith('HTTP_CONTENT') for k in e)" },
    { { .method = "POST",
        .target = "/",
        .headers = { "Transfer-Encoding: chunked" } },
      &http,
      77,
      "e['CONTENT_LENGTH'] == '77' and 'HTTP_TRANSFER_ENCODING' not in e" },
    { { .target = "/" }, &http, 0, "'CONTENT_LENGTH' not in e" },
    { { .target = "/", .headers = { "A: \xe4\xc3\xa4", "B:" } },
      &http,
      0,
      "(e['HTTP_A'], e['HTTP_B']) == ('\\xe4\\xc3\\xa4', '')" },
    { { .target = "/", .headers = { "Proxy: evil" } },
      &http,
      0,
      "'HTTP_PROXY' not in e" },
};

Test(environ, has_what_the_pep_asks_for)
{
    fixture f;
    set_up(&f);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        make_e(&f, &rows[i].request, rows[i].conn, rows[i].body_length);
        cr_expect(python_true(f.module, rows[i].is_true), "%s",
                  rows[i].is_true);
    }
    cr_expect_eq(logged.len, 0, "%s", wsgi__buf_str(&logged));
    tear_down(&f);
}

/* An application may do to it what it likes. */
Test(environ, is_new_for_each_request)
{
    static const request_text text = { .headers = { "Host: a" } };
    fixture f;
    set_up(&f);
    make_e(&f, &text, &http, 0);
    cr_expect(python_true(f.module,
                          "[e.clear(), e.update(REQUEST_METHOD='x', y='z'), "
                          "base.update(later=1)]"));
    make_e(&f, &text, &http, 0);
    cr_expect(python_true(f.module, "e['REQUEST_METHOD'] == 'GET' and "
                                    "e['HTTP_HOST'] == 'a' and "
                                    "'y' not in e and 'later' not in e"));
    tear_down(&f);
}

/* Found by identity in the application's dict look-ups. */
Test(environ, known_keys_are_interned_and_values_shared)
{
    static const request_text text = { .headers = { "Host: some.example",
                                                    "Accept: text/html",
                                                    "X-Odd: value" } };
    fixture f;
    set_up(&f);
    cr_assert(python_true(f.module, "globals().update(sys=__import__('sys')) "
                                    "or True"));
    make_e(&f, &text, &http, 0);
    cr_expect(python_true(
        f.module, "all(any(k is sys.intern(n) for k in e) for n in "
                  "('HTTP_HOST', 'HTTP_ACCEPT', 'PATH_INFO', 'wsgi.input'))"));
    cr_expect(python_true(f.module, "globals().update(before=e) or True"));
    make_e(&f, &text, &http, 0);
    cr_expect(python_true(f.module,
                          "all(e[k] is before[k] for k in ('HTTP_HOST', "
                          "'HTTP_ACCEPT', 'HTTP_X_ODD', 'PATH_INFO'))"));
    tear_down(&f);
}

/* Secrets are not kept for the next request. */
Test(environ, secrets_are_not_remembered)
{
    static const request_text text = {
        .headers = { "Cookie: a=secret", "Authorization: Basic c2VjcmV0" }
    };
    fixture f;
    set_up(&f);
    make_e(&f, &text, &http, 0);
    cr_expect(python_true(f.module, "globals().update(before=e) or True"));
    make_e(&f, &text, &http, 0);
    cr_expect(python_true(f.module, "not any(e[k] is before[k] for k in "
                                    "('HTTP_COOKIE', 'HTTP_AUTHORIZATION'))"));
    tear_down(&f);
}

/* Names and values that never come again push others out, and are right. */
Test(environ, remembers_a_bounded_number)
{
    char name[64], value[64];
    fixture f;
    set_up(&f);
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof(name), "X-%d: v%d", i * 7919, i);
        snprintf(value, sizeof(value), "Host: host-%d", i);
        request_text text = { .headers = { name, value } };
        PyObject *dict = make(&f, &text, &http, 0);
        cr_assert_not_null(dict);
        snprintf(name, sizeof(name), "HTTP_X_%d", i * 7919);
        snprintf(value, sizeof(value), "v%d", i);
        cr_assert(python_is_str(PyDict_GetItemString(dict, name), value));
        snprintf(value, sizeof(value), "host-%d", i);
        cr_assert(
            python_is_str(PyDict_GetItemString(dict, "HTTP_HOST"), value));
        Py_DECREF(dict);
    }
    /* Not even then is a secret remembered. */
    static const request_text text = { .headers = { "Cookie: a=secret" } };
    make_e(&f, &text, &http, 0);
    cr_expect(python_true(f.module, "globals().update(before=e) or True"));
    make_e(&f, &text, &http, 0);
    cr_expect(python_true(f.module,
                          "e['HTTP_COOKIE'] is not before['HTTP_COOKIE']"));
    tear_down(&f);
}

/* At the lengths where hashing and remembering change, bytes that differ in one
 * place only are told apart. */
Test(environ, tells_similar_text_apart)
{
    fixture f;
    set_up(&f);
    static const size_t lengths[] = { 1, 7, 8, 9, 16, 17, 59, 60, 256, 257 };
    for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++)
        for (size_t at = 0; at < lengths[i]; at++) {
            char value[300] = "A: ", name[300] = "";
            memset(value + 3, 'v', lengths[i]);
            memset(name, 'n', lengths[i]);
            value[3 + at] = name[at] = 'x';
            strcat(name, ": w");
            request_text text = { .headers = { value, name } };
            PyObject *dict = make(&f, &text, &http, 0);
            char key[300] = "HTTP_";
            for (size_t j = 0; j < lengths[i]; j++)
                key[5 + j] = (char)(name[j] - 'a' + 'A');
            cr_assert(
                python_is_str(PyDict_GetItemString(dict, "HTTP_A"), value + 3),
                "%zu of %zu", at, lengths[i]);
            cr_assert(python_is_str(PyDict_GetItemString(dict, key), "w"),
                      "%zu of %zu", at, lengths[i]);
            Py_DECREF(dict);
        }
    tear_down(&f);
}

/* ---- Requests that are like a model -------------------------------------- */

/* As the parser finds it: the model, then one like it. */
static PyObject *
make_like(fixture *f, const request_text *text, wsgi__likeness like,
          int64_t body_length)
{
    request_fake fake;
    PyObject *input = python_get(f->module, "marker");
    request_fill(&fake, text);
    fake.req.like = like;
    PyObject *dict = wsgi__environ_make(f->maker, &fake.req, &http,
                                        body_length, input, &log_to);
    Py_DECREF(input);
    return dict;
}

static void
make_like_e(fixture *f, const request_text *text, wsgi__likeness like,
            int64_t body_length)
{
    PyObject *dict = make_like(f, text, like, body_length);
    cr_assert(python_quiet());
    cr_assert_eq(PyObject_SetAttrString(f->module, "e", dict), 0);
    Py_DECREF(dict);
}

static const request_text model = {
    .target = "/a?b",
    .headers = { "Host: c", "Accept: d", "X_Y: z", "Cookie: e=f", "X-G: h" }
};
static const wsgi__likeness is_model = { .model = 7,
                                         .is_model = true,
                                         .same_line = true };

static const struct {
    request_text text;
    wsgi__likeness like;
    int64_t body_length;
} alike[] = {
    { { .target = "/a?b",
        .headers = { "Host: c", "Accept: d", "X_Y: z", "Cookie: e=f",
                     "X-G: h" } },
      { .model = 7, .same_line = true },
      0 },
    { { .method = "HEAD",
        .target = "/other%20path",
        .http_1_0 = true,
        .headers = { "Host: c", "Accept: d", "X_Y: z", "Cookie: e=f",
                     "X-G: h" } },
      { .model = 7 },
      0 },
    { { .target = "/a?b",
        .headers = { "Host: c", "Accept: other", "X_Y: other",
                     "Cookie: e=other", "X-G: " } },
      { .model = 7, .changed = 0x1e, .same_line = true },
      0 },
    { { .target = "/a?b",
        .headers = { "Host: other", "Accept: d", "X_Y: z", "Cookie: e=f",
                     "X-G: h" } },
      { .model = 7, .changed = 1, .same_line = true },
      0 },
};

/* The same dict, whether or not anything is known of the model; and it is
 * known, or nothing would be tested. */
Test(environ, likeness_changes_nothing)
{
    fixture f;
    set_up(&f);
    make_like_e(&f, &model, is_model, 0);
    /* What an application does to its dict is its own affair. */
    cr_assert(python_true(f.module, "e.update(HTTP_X_G='x', y='z') or True"));
    for (size_t i = 0; i < sizeof(alike) / sizeof(*alike); i++) {
        make_like_e(&f, &alike[i].text, (wsgi__likeness){ 0 }, 0);
        cr_assert(python_true(f.module, "globals().update(fresh=e) or True"));
        make_like_e(&f, &alike[i].text, alike[i].like, 0);
        cr_expect(python_true(f.module, "e == fresh"), "row %zu", i);
        cr_expect(python_true(f.module, "e['wsgi.input'] is marker"));
    }
    tear_down(&f);
}

/* Nothing but what is said to have changed is looked at: so the likeness is
 * used. */
Test(environ, likeness_is_used)
{
    static const request_text other = {
        .target = "/never/seen",
        .headers = { "Host: c", "Accept: never", "X_Y: z", "Cookie: e=g",
                     "X-G: i" }
    };
    fixture f;
    set_up(&f);
    make_like_e(&f, &model, is_model, 0);
    make_like_e(
        &f, &other,
        (wsgi__likeness){ .model = 7, .changed = 0x10, .same_line = true }, 0);
    cr_expect(python_true(f.module, "(e['PATH_INFO'], e['HTTP_ACCEPT'], "
                                    "e['HTTP_X_G']) == ('/a', 'd', 'i')"));
    cr_expect(python_true(f.module, "e['HTTP_COOKIE'] == 'e=g'"),
              "a secret is taken from each request");
    tear_down(&f);
}

Test(environ, likeness_has_no_secrets_and_no_input)
{
    fixture f;
    set_up(&f);
    PyObject *marker = python_get(f.module, "marker");
    Py_ssize_t before = Py_REFCNT(marker);
    PyObject *dict = make_like(&f, &model, is_model, 0);
    PyObject *cookie = PyDict_GetItemString(dict, "HTTP_COOKIE");
    cr_assert_eq(Py_REFCNT(cookie), 1, "the dict alone has it");
    Py_DECREF(dict);
    cr_expect_eq(Py_REFCNT(marker), before);
    Py_DECREF(marker);
    tear_down(&f);
}

/* A body's length is its own, whatever the head says: chunked ones differ. */
Test(environ, likeness_has_no_length)
{
    static const request_text text = {
        .method = "POST", .headers = { "Transfer-Encoding: chunked" }
    };
    fixture f;
    set_up(&f);
    make_like_e(&f, &text, is_model, 11);
    make_like_e(&f, &text, (wsgi__likeness){ .model = 7, .same_line = true },
                22);
    cr_expect(python_true(f.module, "e['CONTENT_LENGTH'] == '22'"));
    tear_down(&f);
}

/* Joined values cannot be set one by one. */
Test(environ, repeated_fields_have_no_likeness)
{
    static const request_text twice = { .headers = { "A: 1", "a: 2" } };
    static const request_text other = { .headers = { "A: 1", "a: 3" } };
    fixture f;
    set_up(&f);
    make_like_e(&f, &twice, is_model, 0);
    make_like_e(
        &f, &other,
        (wsgi__likeness){ .model = 7, .changed = 2, .same_line = true }, 0);
    cr_expect(python_true(f.module, "e['HTTP_A'] == '1, 3'"));
    tear_down(&f);
}

/* Models that never come again push others out. */
Test(environ, likenesses_are_bounded)
{
    char header[64];
    fixture f;
    set_up(&f);
    for (uint64_t i = 1; i < 5000; i++) {
        wsgi__likeness like = is_model;
        snprintf(header, sizeof(header), "A: v%d", (int)i);
        request_text text = { .headers = { header } };
        like.model = i;
        Py_DECREF(make_like(&f, &text, like, 0));
        like.is_model = false;
        like.model = i > 600 ? i - 600 : i;
        PyObject *dict = make_like(&f, &text, like, 0);
        cr_assert(
            python_is_str(PyDict_GetItemString(dict, "HTTP_A"), header + 3));
        Py_DECREF(dict);
    }
    tear_down(&f);
}

Test(environ, warns_once_of_dropped_names)
{
    static const request_text texts[] = {
        { .headers = { "X-Good: a" } },
        { .headers = { "X_Ba\x1b: a", "X_Other: b" } },
        { .headers = { "X_Third: a" } },
    };
    fixture f;
    set_up(&f);
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        make_e(&f, &texts[i], &http, 0);
    cr_expect(python_true(f.module, "not any('THIRD' in k for k in e)"));
    const char *text = wsgi__buf_str(&logged);
    cr_expect(strstr(text, "X_Ba\\x1b"), "%s", text);
    cr_expect_eq(strchr(text, '\n') - text, (ptrdiff_t)logged.len - 1, "%s",
                 text);
    tear_down(&f);
}

Test(environ, refuses_a_nul_in_the_path)
{
    static const request_text text = { .target = "/a%00b" };
    fixture f;
    set_up(&f);
    PyObject *dict = make(&f, &text, &http, 0);
    cr_expect_null(dict);
    cr_expect(python_raised(PyExc_ValueError, "NUL"));
    tear_down(&f);
}

Test(environ, raises_when_out_of_memory)
{
    static const request_text text = { .target = "/a",
                                       .headers = { "X_A: b", "C: d" } };
    for (long nth = 1, made = 0; !made; nth++) {
        fixture f = { .module = python_module("memory", "marker = 1"),
                      .base = PyDict_New() };
        PyObject *dict = NULL;
        wsgi__buf_init(&logged, 65536);
        wsgi__mem_fail_nth(nth);
        f.maker = wsgi__environ_new(f.base);
        if (f.maker)
            dict = make(&f, &text, &http, 0);
        made = wsgi__mem_count() < nth;
        wsgi__mem_fail_nth(0);
        /* That the warning is lost is no reason to fail. */
        if (made || dict)
            cr_expect(python_quiet(), "allocation %ld", nth);
        else
            cr_expect(python_raised(PyExc_MemoryError, ""), "allocation %ld",
                      nth);
        Py_XDECREF(dict);
        tear_down(&f);
    }
}

Test(environ, leaks_nothing)
{
    static const request_text text = {
        .target = "/a?b", .headers = { "Host: c", "Cookie: d=e" }
    };
    fixture f;
    set_up(&f);
    PyObject *marker = python_get(f.module, "marker");
    make_e(&f, &text, &http, 0);
    PyObject_DelAttrString(f.module, "e");
    Py_ssize_t before = Py_REFCNT(marker);
    for (int i = 0; i < 1000; i++)
        Py_XDECREF(make(&f, &text, i % 2 ? &http : &https, 0));
    cr_expect_eq(Py_REFCNT(marker), before);
    Py_DECREF(marker);
    tear_down(&f);
}
