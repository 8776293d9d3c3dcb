/* The access log: formats, and the lines that come out. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "accesslog.h"

/* What a request or a response carried: access->internal in these tests. */
typedef struct fields {
    const char *authorization;
} fields;

/* Takes the place of the library's. */
int64_t
wsgi_access_header(const wsgi_access *access, wsgi_header_of of,
                   const char *name, char *value, size_t size)
{
    static const struct {
        wsgi_header_of of;
        const char *name, *value;
    } all[] = {
        { WSGI_HEADER_REQUEST, "x-request-id", "id-7" },
        { WSGI_HEADER_REQUEST, "content-type", "text/plain" },
        { WSGI_HEADER_REQUEST, "x-empty", "" },
        { WSGI_HEADER_REQUEST, "x-evil", "a\"\r\nforged" },
        { WSGI_HEADER_RESPONSE, "content-type", "text/html" },
    };
    const fields *given = access->internal;

    if (given && strcasecmp(name, "authorization") == 0)
        return snprintf(value, size, "%s", given->authorization);
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        if (all[i].of == of && strcasecmp(all[i].name, name) == 0)
            return snprintf(value, size, "%s", all[i].value);
    return -1;
}

static const wsgi_access request = {
    .size = sizeof(wsgi_access),
    .remote = "192.0.2.7:51000",
    .method = "GET",
    .target = "/a%20b?q=1",
    .path = "/a%20b",
    .query = "q=1",
    .protocol = "HTTP/1.1",
    .referer = "http://example.org/",
    .user_agent = "curl/7.88.1",
    .status = 200,
    .body_bytes = 1234,
    .duration_us = 1234567,
};

#define NOW 1795377893 /* 2026-11-22 20:04:53 */

static const char *
render(const char *format, const wsgi_access *access)
{
    static char line[ACCESSLOG_LINE];
    char why[1024];
    accesslog log;
    text out;

    text_init(&out, why, sizeof(why));
    cr_assert(accesslog_compile(&log, format, &out), "%s: %s", format, why);
    text_init(&out, line, sizeof(line));
    accesslog_render(&log, access, NOW, 3600, &out);
    accesslog_free(&log);
    return line;
}

Test(accesslog, atoms)
{
    char pid[32];
    snprintf(pid, sizeof(pid), "<%ld>", (long)getpid());
    const struct {
        const char *format, *line;
    } cases[] = {
        { "", "" },
        { "no atom", "no atom" },
        { "100%%", "100%" },
        { "%%%%(h)s%%", "%%(h)s%" },
        { "%(h)s", "192.0.2.7" },
        { "%(l)s", "-" },
        { "%(u)s", "-" },
        { "%(t)s", "[22/Nov/2026:21:04:53 +0100]" },
        { "%(r)s", "GET /a%20b?q=1 HTTP/1.1" },
        { "%(m)s %(U)s %(q)s %(H)s", "GET /a%20b q=1 HTTP/1.1" },
        { "%(s)s %(B)s %(b)s", "200 1234 1234" },
        { "%(f)s %(a)s", "http://example.org/ curl/7.88.1" },
        { "%(T)s %(L)s %(M)s %(D)s", "1 1.234567 1234 1234567" },
        { "%(D)d", "1234567" },
        { "%(p)s", pid },
        { "%({x-request-id}i)s", "id-7" },
        { "%({X-Request-Id}i)s", "id-7" },
        { "%({content-type}i)s %({content-type}o)s", "text/plain text/html" },
        { "%({x-none}i)s %({x-none}o)s %({x-empty}i)s", "- - -" },
        { "%({HTTP_X_REQUEST_ID}e)s", "id-7" },
        { "%({CONTENT_TYPE}e)s", "text/plain" },
        { "%({HTTP_X_NONE}e)s", "-" },
        { "%({REQUEST_METHOD}e)s %({PATH_INFO}e)s", "GET /a%20b" },
        { "%({REMOTE_ADDR}e)s %({REMOTE_PORT}e)s", "192.0.2.7 51000" },
        { "%({REQUEST_URI}e)s %({RAW_URI}e)s", "/a%20b?q=1 /a%20b?q=1" },
        { "%({QUERY_STRING}e)s %({SERVER_PROTOCOL}e)s", "q=1 HTTP/1.1" },
        { "[%(m)s]%(s)s;", "[GET]200;" },
        { ACCESSLOG_DEFAULT,
          "192.0.2.7 - - [22/Nov/2026:21:04:53 +0100] "
          "\"GET /a%20b?q=1 HTTP/1.1\" 200 1234 \"http://example.org/\" "
          "\"curl/7.88.1\"" },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        const char *line = render(cases[i].format, &request);
        cr_expect_str_eq(line, cases[i].line, "%s: %s", cases[i].format, line);
    }
}

Test(accesslog, wrong_formats_are_named)
{
    static const struct {
        const char *format, *named;
    } cases[] = {
        { "%(z)s", "\"%(z)s\" is unknown" },
        { "%(h)s %()s", "\"%()s\" is unknown" },
        { "%({}i)s", "\"%({}i)s\" is unknown" },
        { "%({x}z)s", "\"%({x}z)s\" is unknown" },
        { "%({x})s", "\"%({x})s\" is unknown" },
        { "%({wsgi.input}e)s", "\"%({wsgi.input}e)s\" is unknown" },
        { "%({HTTP_}e)s", "\"%({HTTP_}e)s\" is unknown" },
        { "%h %l", "\"%h\" is no atom" },
        { "x %", "\"%\" is no atom" },
        { "%(h", "\"%(h\" is no atom" },
        { "%(h)", "\"%(h)\" lacks the s" },
        { "%(h)x", "\"%(h)\" lacks the s" },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char why[1024];
        accesslog log;
        text error;
        text_init(&error, why, sizeof(why));
        cr_expect_not(accesslog_compile(&log, cases[i].format, &error), "%s",
                      cases[i].format);
        cr_expect(strstr(why, cases[i].named), "%s: %s", cases[i].format, why);
    }
}

Test(accesslog, addresses)
{
    static const struct {
        const char *remote, *line;
    } cases[] = {
        { "192.0.2.7:51000", "192.0.2.7 51000" },
        { "[2001:db8::1]:443", "2001:db8::1 443" },
        { "unix:", "- -" },
        { "", "- -" },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        wsgi_access access = request;
        access.remote = cases[i].remote;
        const char *line = render("%(h)s %({REMOTE_PORT}e)s", &access);
        cr_expect_str_eq(line, cases[i].line, "%s: %s", access.remote, line);
    }
}

Test(accesslog, users)
{
    static const struct {
        const char *authorization, *user;
    } cases[] = {
        { "Basic YWxpY2U6cGFzc3dvcmQ=", "alice" },
        { "basic   YWxpY2U6cGFzc3dvcmQ=", "alice" },
        { "BASIC YWxpY2U6", "alice" },
        { "Basic OnB3", "-" },     /* ":pw" */
        { "Basic YWxpY2U=", "-" }, /* "alice" without a colon */
        { "Basic", "-" },
        { "Basic ", "-" },
        { "Basic !!!!", "-" },
        { "BasicYWxpY2U6cHc=", "-" },
        { "Bearer YWxpY2U6cHc=", "-" },
        { "Basic YSJiCmM6cHc=", "a\\\"b\\nc" }, /* a"b<LF>c:pw */
        { "Basic w7x4OnB3", "\\xc3\\xbcx" },
        { "", "-" },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        fields given = { cases[i].authorization };
        wsgi_access access = request;
        access.internal = &given;
        const char *line = render("%(u)s", &access);
        cr_expect_str_eq(line, cases[i].user, "%s: %s", given.authorization,
                         line);
    }
}

Test(accesslog, a_client_cannot_forge_a_line)
{
    wsgi_access access = request;

    access.method = "GE\"T";
    access.target = "/\r\n1.2.3.4 - - \"";
    access.referer = "\x1b[2J\\";
    access.user_agent = "\" 200\n\xff";
    cr_expect_str_eq(render("\"%(r)s\" \"%(f)s\" \"%(a)s\"", &access),
                     "\"GE\\\"T /\\r\\n1.2.3.4 - - \\\" HTTP/1.1\" "
                     "\"\\x1b[2J\\\\\" \"\\\" 200\\n\\xff\"");
    cr_expect_str_eq(render("%({x-evil}i)s", &access), "a\\\"\\r\\nforged");
}

Test(accesslog, what_is_missing_is_a_dash)
{
    /* A request line that was not understood. */
    const wsgi_access nothing = { .size = sizeof(wsgi_access),
                                  .remote = "192.0.2.7:1",
                                  .method = "",
                                  .target = "",
                                  .path = "",
                                  .query = "",
                                  .protocol = "",
                                  .referer = "",
                                  .user_agent = "",
                                  .status = 400 };

    cr_expect_str_eq(
        render("\"%(r)s\" %(m)s %(U)s %(q)s %(H)s %(s)s %(b)s %(B)s "
               "\"%(f)s\" \"%(a)s\" %(L)s",
               &nothing),
        "\"-\" - - - - 400 - 0 \"-\" \"-\" 0.000000");
}

Test(accesslog, a_line_that_is_too_long_is_cut_and_marked)
{
    static char target[20000];
    wsgi_access access = request;

    memset(target, '\x01', sizeof(target) - 1);
    access.target = target;
    const char *line = render("%(s)s %(r)s %(a)s", &access);
    size_t len = strlen(line);
    cr_assert_lt(len, ACCESSLOG_LINE);
    cr_expect_gt(len, ACCESSLOG_LINE - 64);
    cr_expect_str_eq(line + len - 3, "...");
    cr_expect(strncmp(line, "200 GET \\x01", 12) == 0);
}

Test(accesslog, writes_a_line_a_request)
{
    char content[256] = "";
    char why[64];
    accesslog log;
    text error;
    int ends[2];

    cr_assert_eq(pipe(ends), 0);
    text_init(&error, why, sizeof(why));
    cr_assert(accesslog_compile(&log, "%(m)s %(s)s", &error));
    log.file.fd = ends[1];
    accesslog_write(&log, &request);
    accesslog_write(&log, &request);
    cr_assert_gt(read(ends[0], content, sizeof(content) - 1), 0);
    cr_expect_str_eq(content, "GET 200\nGET 200\n");
    accesslog_free(&log);
}
