#include <criterion/criterion.h>

#include <wsgi/wsgi.h>

#include "base/mem.h"
#include "http/target.h"
#include "support/guard.h"

#define COUNT(table) (sizeof(table) / sizeof *(table))

static wsgi__span
guarded(guard *g, const char *text, size_t len)
{
    return (wsgi__span){ guard_copy(g, text, len), len };
}

static bool
is_text(wsgi__span span, const char *text)
{
    return wsgi__span_eq(span, wsgi__span_of(text));
}

/* ---- Splitting ---------------------------------------------------------- */

static const struct {
    const char *method, *target, *path, *query, *authority;
} accepted[] = {
    { "GET", "/", "/", "", "" },
    { "GET", "/a/b", "/a/b", "", "" },
    { "GET", "/?", "/", "", "" },
    { "GET", "/a?b", "/a", "b", "" },
    { "GET", "/a?b?c=/d", "/a", "b?c=/d", "" },
    { "GET", "//evil.example/x", "//evil.example/x", "", "" },
    { "GET", "/http://a", "/http://a", "", "" },
    { "GET", "/*", "/*", "", "" },
    { "GET", "/a%20b%2F", "/a%20b%2F", "", "" },
    { "GET", "/%", "/%", "", "" },
    { "GET", "/%0", "/%0", "", "" },
    { "GET", "/%2500", "/%2500", "", "" },
    { "GET", "/a?%00", "/a", "%00", "" },
    { "GET", "/\"<>\\^`{|}", "/\"<>\\^`{|}", "", "" },
    { "GET", "/!~", "/!~", "", "" },
    { "OPTIONS", "*", "*", "", "" },
    { "OPTIONS", "/", "/", "", "" },
    { "GET", "http://a", "/", "", "a" },
    { "GET", "http://a/", "/", "", "a" },
    { "GET", "http://a/b?c", "/b", "c", "a" },
    { "GET", "http://a?c", "/", "c", "a" },
    { "GET", "http://a?c/d", "/", "c/d", "a" },
    { "GET", "http://a:80/@", "/@", "", "a:80" },
    { "GET", "http://[::1]:80/", "/", "", "[::1]:80" },
    { "GET", "HTTPS://A.example/x", "/x", "", "A.example" },
    { "OPTIONS", "http://a", "/", "", "a" },
};

Test(target, splits)
{
    guard g = guard_new(4096);
    for (size_t i = 0; i < COUNT(accepted); i++) {
        const char *text = accepted[i].target;
        wsgi__target parts;
        const char *fault =
            wsgi__target_parse(wsgi__span_of(accepted[i].method),
                               guarded(&g, text, strlen(text)), &parts);
        cr_expect_null(fault, "%s: %s", text, fault);
        cr_expect(is_text(parts.path, accepted[i].path), "%s: path", text);
        cr_expect(is_text(parts.query, accepted[i].query), "%s: query", text);
        cr_expect(is_text(parts.authority, accepted[i].authority),
                  "%s: authority", text);
    }
    guard_free(&g);
}

#define LONE(text) text, sizeof(text) - 1

static const struct {
    const char *method, *target;
    size_t len;
    const char *reason;
} refused[] = {
    { "GET", LONE(""), "empty request target" },
    { "GET", LONE("/a b"), "byte not allowed in the request target" },
    { "GET", LONE("/a\tb"), "byte not allowed in the request target" },
    { "GET", LONE("/a\0b"), "byte not allowed in the request target" },
    { "GET", LONE("/a\x7f"), "byte not allowed in the request target" },
    { "GET", LONE("/\xc3\xa9"), "byte not allowed in the request target" },
    { "GET", LONE("/?\xff"), "byte not allowed in the request target" },
    { "GET", LONE("/a#b"), "fragment in the request target" },
    { "GET", LONE("/a?b#"), "fragment in the request target" },
    { "GET", LONE("/%00"), "NUL in the path" },
    { "GET", LONE("/%%00?x"), "NUL in the path" },
    { "GET", LONE("http://a/%00"), "NUL in the path" },
    { "GET", LONE("*"), "request target * with a method other than OPTIONS" },
    { "options", LONE("*"),
      "request target * with a method other than OPTIONS" },
    { "OPTIONS", LONE("**"), "request target neither a path nor an http URI" },
    { "GET", LONE("a"), "request target neither a path nor an http URI" },
    { "GET", LONE("a:80"), "request target neither a path nor an http URI" },
    { "GET", LONE("?x"), "request target neither a path nor an http URI" },
    { "GET", LONE("http:/a"),
      "request target neither a path nor an http URI" },
    { "GET", LONE("ftp://a/"),
      "request target neither a path nor an http URI" },
    { "GET", LONE("http://"), "absolute request target without a host" },
    { "GET", LONE("https:///x"), "absolute request target without a host" },
    { "GET", LONE("http://u@a/"), "user information in the request target" },
    { "GET", LONE("http://u:p@a"), "user information in the request target" },
    { "GET", LONE("http://a\\b/"), "byte not allowed in a host" },
    { "GET", LONE("http://:80/"), "port without a host" },
    { "GET", LONE("http://a:b/"), "port of a host that is no number" },
};

Test(target, refuses)
{
    guard g = guard_new(4096);
    for (size_t i = 0; i < COUNT(refused); i++) {
        wsgi__target parts;
        const char *fault = wsgi__target_parse(
            wsgi__span_of(refused[i].method),
            guarded(&g, refused[i].target, refused[i].len), &parts);
        cr_expect_str_eq(fault ? fault : "accepted", refused[i].reason,
                         "%s: %s", refused[i].target, fault);
    }
    guard_free(&g);
}

/* ---- Host --------------------------------------------------------------- */

static const char *const hosts[] = {
    "",
    "a",
    "example.com",
    "example.com.",
    "example.com:",
    "example.com:0",
    "example.com:8080",
    "example.com:65535",
    "example.com:00080",
    "127.0.0.1",
    "127.0.0.1:80",
    "my_host",
    "xn--bcher-kva.example",
    "a%20b",
    "a%c3%a9",
    "-._~!$&'()*+,;=",
    "[::]",
    "[::1]:8080",
    "[2001:db8::7]",
    "[2001:DB8:0:0:8:800:200C:417A]:",
    "[::ffff:192.0.2.1]",
};

Test(target, accepts_hosts)
{
    guard g = guard_new(4096);
    for (size_t i = 0; i < COUNT(hosts); i++) {
        const char *fault =
            wsgi__target_check_host(guarded(&g, hosts[i], strlen(hosts[i])));
        cr_expect_null(fault, "%s: %s", hosts[i], fault);
    }
    guard_free(&g);
}

static const struct {
    const char *host;
    size_t len;
    const char *reason;
} no_hosts[] = {
    { LONE(" "), "byte not allowed in a host" },
    { LONE("a b"), "byte not allowed in a host" },
    { LONE("a, b"), "byte not allowed in a host" },
    { LONE("a/b"), "byte not allowed in a host" },
    { LONE("a?b"), "byte not allowed in a host" },
    { LONE("a#b"), "byte not allowed in a host" },
    { LONE("u@a"), "byte not allowed in a host" },
    { LONE("a\\b"), "byte not allowed in a host" },
    { LONE("a\"b"), "byte not allowed in a host" },
    { LONE("<a>"), "byte not allowed in a host" },
    { LONE("a\0b"), "byte not allowed in a host" },
    { LONE("\xc3\xa9"), "byte not allowed in a host" },
    { LONE("a%"), "byte not allowed in a host" },
    { LONE("a%2"), "byte not allowed in a host" },
    { LONE("a%2g"), "byte not allowed in a host" },
    { LONE("a]"), "byte not allowed in a host" },
    { LONE(":"), "port without a host" },
    { LONE(":80"), "port without a host" },
    { LONE("::1"), "port without a host" },
    { LONE("a:b"), "port of a host that is no number" },
    { LONE("a:8 0"), "port of a host that is no number" },
    { LONE("a:-1"), "port of a host that is no number" },
    { LONE("a:80:80"), "port of a host that is no number" },
    { LONE("a:65536"), "port of a host out of range" },
    { LONE("a:000080"), "port of a host out of range" },
    { LONE("[::1]:65536"), "port of a host out of range" },
    { LONE("["), "malformed IPv6 address in a host" },
    { LONE("[]"), "malformed IPv6 address in a host" },
    { LONE("[::1"), "malformed IPv6 address in a host" },
    { LONE("[::1]x"), "byte not allowed in a host" },
    { LONE("[1.2.3.4]"), "malformed IPv6 address in a host" },
    { LONE("[fe80::1%25eth0]"), "malformed IPv6 address in a host" },
    { LONE("[v1.a]"), "malformed IPv6 address in a host" },
    { LONE("[::1\0]"), "malformed IPv6 address in a host" },
    { LONE("[1:2:3:4:5:6:7:8:9:10:11:12:13:14:15:16:17:18:19:20]"),
      "malformed IPv6 address in a host" },
};

Test(target, refuses_hosts)
{
    guard g = guard_new(4096);
    for (size_t i = 0; i < COUNT(no_hosts); i++) {
        const char *fault = wsgi__target_check_host(
            guarded(&g, no_hosts[i].host, no_hosts[i].len));
        cr_expect_str_eq(fault ? fault : "accepted", no_hosts[i].reason,
                         "%s: %s", no_hosts[i].host, fault);
    }
    guard_free(&g);
}

/* ---- Decoding ----------------------------------------------------------- */

static const struct {
    const char *path;
    size_t len;
    const char *decoded; /* NULL: WSGI_ERR_INVALID */
} codes[] = {
    { LONE(""), "" },
    { LONE("/a"), "/a" },
    { LONE("/a%20b"), "/a b" },
    { LONE("%41%7a%7A"), "Azz" },
    { LONE("/%c3%A9%ff"), "/\xc3\xa9\xff" },
    { LONE("/a%2Fb%3f"), "/a/b?" },
    { LONE("%2541"), "%41" },
    { LONE("%25%34%31"), "%41" },
    { LONE("%0d%0a"), "\r\n" },
    { LONE("%"), "%" },
    { LONE("%4"), "%4" },
    { LONE("%4g%g4"), "%4g%g4" },
    { LONE("%%41"), "%A" },
    { LONE("a+b"), "a+b" },
    { LONE("*"), "*" },
    { LONE("/%00"), NULL },
    { LONE("/%%00"), NULL },
    { LONE("/%0%00"), NULL },
    { LONE("/a\0b"), NULL },
};

Test(target, decodes_once)
{
    guard g = guard_new(4096);
    for (size_t i = 0; i < COUNT(codes); i++) {
        wsgi__buf out;
        wsgi__buf_init(&out, 64);
        wsgi__buf_puts(&out, "x");
        int status = wsgi__target_decode(
            guarded(&g, codes[i].path, codes[i].len), &out);
        const char *decoded = codes[i].decoded;
        cr_expect_eq(status, decoded ? WSGI_OK : WSGI_ERR_INVALID, "%s: %d",
                     codes[i].path, status);
        cr_expect_str_eq(wsgi__buf_str(&out) + 1, decoded ? decoded : "", "%s",
                         codes[i].path);
        cr_expect_eq(out.data[0], 'x', "%s: what stood there", codes[i].path);
        wsgi__buf_free(&out);
    }
    guard_free(&g);
}

Test(target, decode_out_of_memory)
{
    static const char *const paths[] = { "/plain", "/%41" };
    for (size_t i = 0; i < COUNT(paths); i++) {
        wsgi__buf out;
        wsgi__buf_init(&out, 64);
        wsgi__mem_fail_nth(1);
        cr_expect_eq(wsgi__target_decode(wsgi__span_of(paths[i]), &out),
                     WSGI_ERR_NOMEM, "%s", paths[i]);
        wsgi__mem_fail_nth(0);
        cr_expect_eq(out.len, 0, "%s", paths[i]);
        wsgi__buf_free(&out);
    }
}
