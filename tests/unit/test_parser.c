#include <criterion/criterion.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <wsgi/wsgi.h>

#include "base/mem.h"
#include "http/parser.h"
#include "support/guard.h"

#define COUNT(table) (sizeof(table) / sizeof *(table))
#define IN(text) text, sizeof(text) - 1

static const wsgi__parser_limits usual = { .max_line = 8190,
                                           .max_fields = 100,
                                           .max_field_size = 8190,
                                           .max_body = 1 << 20 };
/* "GET /234567 HTTP/1.1" is 20 bytes, "Host: 7890" is 10. */
static const wsgi__parser_limits small = {
    .max_line = 20, .max_fields = 3, .max_field_size = 10, .max_body = 5
};

/* ---- Traces ------------------------------------------------------------- */

static void
trace_span(wsgi__buf *trace, wsgi__span span)
{
    wsgi__buf_append(trace, span.ptr, span.len);
}

/* "GET /path?query 1.1 host=a len=3 chunked keep expect|Name=value|" */
static void
trace_head(wsgi__buf *trace, const wsgi__request *req)
{
    trace_span(trace, req->method);
    wsgi__buf_puts(trace, " ");
    trace_span(trace, req->parts.path);
    if (req->parts.query.len)
        wsgi__buf_puts(trace, "?");
    trace_span(trace, req->parts.query);
    wsgi__buf_printf(trace, " 1.%d host=", req->minor);
    trace_span(trace, req->host);
    if (req->content_length >= 0)
        wsgi__buf_printf(trace, " len=%" PRId64, req->content_length);
    wsgi__buf_puts(trace, req->chunked ? " chunked" : "");
    wsgi__buf_puts(trace, req->keep_alive ? " keep" : "");
    wsgi__buf_puts(trace, req->expect_continue ? " expect" : "");
    for (size_t i = 0; i < req->n_headers; i++) {
        wsgi__buf_puts(trace, "|");
        trace_span(trace, req->headers[i].name);
        wsgi__buf_puts(trace, "=");
        trace_span(trace, req->headers[i].value);
    }
    wsgi__buf_puts(trace, "|");
}

/* Body bytes of consecutive events stand in one pair of parentheses. */
static void
trace_body(wsgi__buf *trace, wsgi__span body)
{
    if (trace->len && trace->data[trace->len - 1] == ')')
        trace->len--;
    else
        wsgi__buf_puts(trace, "(");
    trace_span(trace, body);
    wsgi__buf_puts(trace, ")");
}

typedef struct run {
    wsgi__parser *parser;
    wsgi__buf trace;
    size_t used; /* by all calls, an ERROR's included */
    bool failed;
} run;

static void
run_event(run *r, wsgi__event event, const char *piece, size_t len)
{
    wsgi__span body = wsgi__parser_body(r->parser);

    cr_assert_eq(event == WSGI__EV_BODY, body.len > 0);
    switch (event) {
    case WSGI__EV_MORE:
        cr_assert_eq(len, 0, "MORE leaves %zu bytes", len);
        break;
    case WSGI__EV_HEAD:
        cr_assert(wsgi__parser_started(r->parser));
        trace_head(&r->trace, wsgi__parser_request(r->parser));
        break;
    case WSGI__EV_BODY:
        cr_assert(body.ptr + body.len == piece,
                  "the body is the end of what was used");
        trace_body(&r->trace, body);
        break;
    case WSGI__EV_END:
        wsgi__buf_puts(&r->trace, ".");
        wsgi__parser_reset(r->parser);
        break;
    case WSGI__EV_ERROR:
        wsgi__buf_printf(&r->trace, "!%d %s", wsgi__parser_status(r->parser),
                         wsgi__parser_reason(r->parser));
        r->failed = true;
        break;
    }
}

static void
run_piece(run *r, const char *piece, size_t len)
{
    wsgi__event event = WSGI__EV_END;
    while (event != WSGI__EV_MORE && !r->failed) {
        size_t used;
        event = wsgi__parser_feed(r->parser, piece, len, &used);
        cr_assert_leq(used, len);
        piece += used, len -= used;
        r->used += used;
        run_event(r, event, piece, len);
    }
}

/* Feeds in with a cut at `first` and then every `step` bytes, each piece at
 * the end of memory.  The result is for free() of its trace. */
static run
run_cut(const wsgi__parser_limits *limits, const char *in, size_t len,
        size_t first, size_t step)
{
    guard g = guard_new(len < step ? len : step);
    run r = { .parser = wsgi__parser_new(limits) };
    cr_assert_not_null(r.parser);
    wsgi__buf_init(&r.trace, 1 << 24);
    for (size_t at = 0, piece = first; at < len && !r.failed;
         at += piece, piece = step) {
        if (piece > len - at)
            piece = len - at;
        run_piece(&r, guard_copy(&g, in + at, piece), piece);
    }
    wsgi__buf_str(&r.trace);
    wsgi__parser_free(r.parser);
    guard_free(&g);
    return r;
}

static run
run_whole(const wsgi__parser_limits *limits, const char *in, size_t len)
{
    return run_cut(limits, in, len, len, len);
}

/* What a case is called in messages: its input, in printable form. */
static const char *
shown(const char *in, size_t len)
{
    static wsgi__buf text = { .max = 1 << 20 };
    wsgi__buf_reset(&text);
    wsgi__buf_escape(&text, (wsgi__span){ in, len < 300 ? len : 300 });
    return wsgi__buf_str(&text);
}

/* ---- Accepted ----------------------------------------------------------- */

#define H "Host: a\r\n"
#define G "GET / HTTP/1.1\r\n"
#define GH G H
#define P "POST / HTTP/1.1\r\n" H
#define PC P "Transfer-Encoding: chunked\r\n\r\n"
/* Their traces. */
#define T_G "GET / 1.1 host=a keep|Host=a|"
#define T_PC "POST / 1.1 host=a chunked keep|Host=a|Transfer-Encoding=chunked|"

typedef struct row {
    const char *in;
    size_t len;
    const char *trace;
} row;

static const row accepted[] = {
    /* the request line */
    { IN(GH "\r\n"), T_G "." },
    { IN("GET / HTTP/1.0\r\n\r\n"), "GET / 1.0 host=|." },
    { IN("GET / HTTP/1.2\r\n" H "\r\n"), T_G "." },
    { IN("GET / HTTP/1.9\r\n" H "\r\n"), T_G "." },
    { IN("GET /a%20b?c=%00 HTTP/1.1\r\n" H "\r\n"),
      "GET /a%20b?c=%00 1.1 host=a keep|Host=a|." },
    { IN("GET //x HTTP/1.1\r\n" H "\r\n"),
      "GET //x 1.1 host=a keep|Host=a|." },
    { IN("GET /\"<>\\^`{|}~ HTTP/1.1\r\n" H "\r\n"),
      "GET /\"<>\\^`{|}~ 1.1 host=a keep|Host=a|." },
    { IN("HEAD / HTTP/1.1\r\n" H "\r\n"), "HEAD / 1.1 host=a keep|Host=a|." },
    { IN("get / HTTP/1.1\r\n" H "\r\n"), "get / 1.1 host=a keep|Host=a|." },
    { IN("BREW / HTTP/1.1\r\n" H "\r\n"), "BREW / 1.1 host=a keep|Host=a|." },
    { IN("X / HTTP/1.1\r\n" H "\r\n"), "X / 1.1 host=a keep|Host=a|." },
    { IN("!#$%&'*+-.^_`|~9z / HTTP/1.1\r\n" H "\r\n"),
      "!#$%&'*+-.^_`|~9z / 1.1 host=a keep|Host=a|." },
    { IN("M-SEARCH / HTTP/1.1\r\n" H "\r\n"),
      "M-SEARCH / 1.1 host=a keep|Host=a|." },
    { IN("CONNECTS / HTTP/1.1\r\n" H "\r\n"),
      "CONNECTS / 1.1 host=a keep|Host=a|." },
    { IN("OPTIONS * HTTP/1.1\r\n" H "\r\n"),
      "OPTIONS * 1.1 host=a keep|Host=a|." },
    { IN("TRACE / HTTP/1.1\r\n" H "\r\n"),
      "TRACE / 1.1 host=a keep|Host=a|." },
    { IN("GET http://b:80/c?d HTTP/1.1\r\n" H "\r\n"),
      "GET /c?d 1.1 host=b:80 keep|Host=a|." },
    { IN("GET HTTPS://b HTTP/1.1\r\nHost:\r\n\r\n"),
      "GET / 1.1 host=b keep|Host=|." },
    { IN("GET http://[::1]?q HTTP/1.0\r\n\r\n"), "GET /?q 1.0 host=[::1]|." },
    /* empty lines before it */
    { IN("\r\n" GH "\r\n"), T_G "." },
    { IN("\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n" GH "\r\n"), T_G "." },
    { IN("\r\n"), "" },
    { IN(GH "\r\n\r\n"), T_G "." },
    { IN(GH "\r\n\r\n\r\n" GH "\r\n"), T_G "." T_G "." },
    /* Host */
    { IN(G "Host:\r\n\r\n"), "GET / 1.1 host= keep|Host=|." },
    { IN(G "hOsT:\t[::1]:8080 \t \r\n\r\n"),
      "GET / 1.1 host=[::1]:8080 keep|hOsT=[::1]:8080|." },
    { IN("GET / HTTP/1.0\r\n" H "\r\n"), "GET / 1.0 host=a|Host=a|." },
    /* fields */
    { IN(GH "X:\r\n\r\n"), "GET / 1.1 host=a keep|Host=a|X=|." },
    { IN(GH "X: \t \r\n\r\n"), "GET / 1.1 host=a keep|Host=a|X=|." },
    { IN(GH "X:a\r\n\r\n"), "GET / 1.1 host=a keep|Host=a|X=a|." },
    { IN(GH "X: a b\tc \r\n\r\n"), "GET / 1.1 host=a keep|Host=a|X=a b\tc|." },
    { IN(GH "X: a: b, \"c\"\r\n\r\n"),
      "GET / 1.1 host=a keep|Host=a|X=a: b, \"c\"|." },
    { IN(GH "X: \x80\xa1\xff\r\n\r\n"),
      "GET / 1.1 host=a keep|Host=a|X=\x80\xa1\xff|." },
    { IN(GH "X: a\xa0z\r\n\r\n"), "GET / 1.1 host=a keep|Host=a|X=a\xa0z|." },
    { IN(GH "X: voil\xc3\xa0\r\n\r\n"),
      "GET / 1.1 host=a keep|Host=a|X=voil\xc3\xa0|." },
    { IN(GH "X: \xe5\x88\xa0\r\n\r\n"),
      "GET / 1.1 host=a keep|Host=a|X=\xe5\x88\xa0|." },
    { IN(GH "X: 12345678901234567\t8901234567890\xe9\r\n\r\n"),
      "GET / 1.1 host=a keep|Host=a|X=12345678901234567\t8901234567890\xe9|"
      "." },
    { IN(GH "!#$%&'*+-.^_`|~9z: x\r\n\r\n"),
      "GET / 1.1 host=a keep|Host=a|!#$%&'*+-.^_`|~9z=x|." },
    { IN(GH "X: 1\r\nX: 2\r\nx: 3\r\n\r\n"),
      "GET / 1.1 host=a keep|Host=a|X=1|X=2|x=3|." },
    { IN(GH "Proxy-Connection: close\r\nHos: t\r\n\r\n"),
      "GET / 1.1 host=a keep|Host=a|Proxy-Connection=close|Hos=t|." },
    { IN(GH "Cookie: a=b; c=d\r\n\r\n"),
      "GET / 1.1 host=a keep|Host=a|Cookie=a=b; c=d|." },
    /* Connection */
    { IN(GH "Connection: close\r\n\r\n"),
      "GET / 1.1 host=a|Host=a|Connection=close|." },
    { IN(GH "connection: x, CLOSE\r\n\r\n"),
      "GET / 1.1 host=a|Host=a|connection=x, CLOSE|." },
    { IN(GH "Connection: keep-alive,close\r\n\r\n"),
      "GET / 1.1 host=a|Host=a|Connection=keep-alive,close|." },
    { IN(GH "Connection: close\r\nConnection: keep-alive\r\n\r\n"),
      "GET / 1.1 host=a|Host=a|Connection=close|Connection=keep-alive|." },
    { IN(GH "Connection: closed, not-close\r\n\r\n"),
      "GET / 1.1 host=a keep|Host=a|Connection=closed, not-close|." },
    { IN(GH "Connection: ,\r\n\r\n"),
      "GET / 1.1 host=a keep|Host=a|Connection=,|." },
    { IN(GH "Connection:\r\n\r\n"),
      "GET / 1.1 host=a keep|Host=a|Connection=|." },
    { IN("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"),
      "GET / 1.0 host= keep|Connection=Keep-Alive|." },
    { IN("GET / HTTP/1.0\r\nConnection: a\r\nConnection: b ,\tkeep-alive\r\n"
         "\r\n"),
      "GET / 1.0 host= keep|Connection=a|Connection=b ,\tkeep-alive|." },
    { IN("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n"),
      "GET / 1.0 host=|Connection=keep-alive, close|." },
    /* Upgrade is ignored, and the connection stays in step */
    { IN(GH "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n" GH "\r\n"),
      "GET / 1.1 host=a keep|Host=a|Connection=Upgrade|Upgrade=websocket|." T_G
      "." },
    { IN(GH "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
            "HTTP2-Settings: AAMAAABk\r\nContent-Length: 2\r\n\r\nhiX"),
      "GET / 1.1 host=a len=2 keep|Host=a|"
      "Connection=Upgrade, HTTP2-Settings|Upgrade=h2c|"
      "HTTP2-Settings=AAMAAABk|Content-Length=2|(hi)." },
    /* Expect */
    { IN(P "Content-Length: 1\r\nExpect: 100-Continue\r\n\r\nx"),
      "POST / 1.1 host=a len=1 keep expect|Host=a|Content-Length=1|"
      "Expect=100-Continue|(x)." },
    { IN(GH "Expect: 100-continue\r\nExpect: 100-continue\r\n\r\n"),
      "GET / 1.1 host=a keep expect|Host=a|Expect=100-continue|"
      "Expect=100-continue|." },
    { IN("GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n"),
      "GET / 1.0 host=|Expect=100-continue|." },
    /* Content-Length */
    { IN(P "Content-Length: 3\r\n\r\nabc"),
      "POST / 1.1 host=a len=3 keep|Host=a|Content-Length=3|(abc)." },
    { IN(P "content-length:0\r\n\r\n"),
      "POST / 1.1 host=a len=0 keep|Host=a|content-length=0|." },
    { IN(P "Content-Length: 0000000000000000000000003 \r\n\r\nabcG"),
      "POST / 1.1 host=a len=3 keep|Host=a|"
      "Content-Length=0000000000000000000000003|(abc)." },
    { IN("POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\n\r\n"),
      "POST / 1.0 host= len=2|Content-Length=2|(\r\n)." },
    { IN(P "Content-Length: 5\r\n\r\nabc"),
      "POST / 1.1 host=a len=5 keep|Host=a|Content-Length=5|(abc)" },
    { IN("GET / HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\nx" GH "\r\n"),
      "GET / 1.1 host=a len=1 keep|Host=a|Content-Length=1|(x)." T_G "." },
    /* chunked */
    { IN(PC "0\r\n\r\n"), T_PC "." },
    { IN(PC "3\r\nabc\r\n0\r\n\r\n"), T_PC "(abc)." },
    { IN(PC "1\r\na\r\n2\r\nbc\r\n000\r\n\r\n" GH "\r\n"),
      T_PC "(abc)." T_G "." },
    { IN(PC "a\r\n0123456789\r\nA\r\n\r\n\r\n\r\n\r\n\r\n\r\n0\r\n\r\n"),
      T_PC "(0123456789\r\n\r\n\r\n\r\n\r\n)." },
    { IN(PC "0000000000000003\r\nabc\r\n0000000000000000\r\n\r\n"),
      T_PC "(abc)." },
    { IN(P "X:\t\r\nTransfer-Encoding: \tchunked\t \r\nY:a\tb\r\n\r\n"
           "3\r\nabc\r\n0\r\n\r\n"),
      "POST / 1.1 host=a chunked keep|Host=a|X=|Transfer-Encoding=chunked|"
      "Y=a\tb|(abc)." },
    { IN(P "Content-Length:\t3\t\r\n\r\nabc"),
      "POST / 1.1 host=a len=3 keep|Host=a|Content-Length=3|(abc)." },
    { IN(PC "3 ;a\r\nabc\r\n0\t ;a\r\n\r\n"), T_PC "(abc)." },
    { IN(PC "3;a=b;c=\"d;\xe9\t\"\r\nabc\r\n0;last\r\n\r\n"), T_PC "(abc)." },
    { IN(PC "3\r\nabc\r\n0\r\nX-T: 1\r\nHost: evil\r\nY:\r\n\r\n"),
      T_PC "(abc)." },
    { IN(PC "3\r\nabc\r\n"), T_PC "(abc)" },
    { IN(PC "3\r\nab"), T_PC "(ab)" },
    { IN(P "Transfer-Encoding:  CHUNKED \r\n\r\n0\r\n\r\n"),
      "POST / 1.1 host=a chunked keep|Host=a|Transfer-Encoding=CHUNKED|." },
    { IN("BREW / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
         "1\r\nx\r\n0\r\n\r\n"),
      "BREW / 1.1 host=a chunked keep|Host=a|Transfer-Encoding=chunked|(x)." },
    /* pipelined */
    { IN(GH "\r\n" GH "\r\n" P "Content-Length: 1\r\n\r\nx" PC
            "1\r\ny\r\n0\r\n\r\n" GH "\r\n"),
      T_G "." T_G
          ".POST / 1.1 host=a len=1 keep|Host=a|Content-Length=1|(x)." T_PC
          "(y)." T_G "." },
    /* cut short: nothing more than that is known */
    { IN("GET / HTTP/1.1\r\nHost: a\r\n"), "" },
    { IN("GET / HT"), "" },
    { IN(PC "80000\r\n"), T_PC },
    { IN(PC "1\r\nx\r\nfffff\r\n"), T_PC "(x)" },
    { IN(P "Content-Length: 1048576\r\n\r\nx"),
      "POST / 1.1 host=a len=1048576 keep|Host=a|Content-Length=1048576|(x)" },
    { IN("GET / HTTP/1."), "" },
};

/* Exactly at a limit. */
static const row within_small[] = {
    { IN("GET /234567 HTTP/1.1\r\nHost: 7890\r\n\r\n"),
      "GET /234567 1.1 host=7890 keep|Host=7890|." },
    { IN("GET / HTTP/1.1\r\nHost:   \t \r\nA:\r\nB:\r\n\r\n"),
      "GET / 1.1 host= keep|Host=|A=|B=|." },
    { IN("POST / HTTP/1.0\r\nA:\r\nA: 4567890\r\n\r\n"),
      "POST / 1.0 host=|A=|A=4567890|." },
    { IN("POST / HTTP/1.1\r\n" H "Transfer-E"), "" },
};

static void
expect_trace(const row *r, const wsgi__parser_limits *limits)
{
    run whole = run_whole(limits, r->in, r->len);
    const char *trace = wsgi__buf_str(&whole.trace);
    cr_expect_str_eq(trace, r->trace, "%s:\n  got  %s\n  want %s",
                     shown(r->in, r->len), trace, r->trace);
    wsgi__buf_free(&whole.trace);
}

Test(parser, accepts)
{
    for (size_t i = 0; i < COUNT(accepted); i++)
        expect_trace(&accepted[i], &usual);
    for (size_t i = 0; i < COUNT(within_small); i++)
        expect_trace(&within_small[i], &small);
}

/* ---- Refused ------------------------------------------------------------ */

#define LF_LINE "!400 bare LF in the request line"
#define LF_HEAD "!400 bare LF in the head"
#define CR_HEAD "!400 bare CR in the head"
#define BAD_SIZE T_PC "!400 chunk size not a hexadecimal number"
#define BAD_LENGTH "!400 Content-Length not a decimal number"
#define BAD_CODING "!400 malformed Transfer-Encoding"
#define BAD_HOST "!400 byte not allowed in a host"
#define BAD_VERSION "!400 malformed HTTP version"
#define BAD_TRAILER T_PC "!400 malformed trailer field"
#define LONG_LINE "!414 request line over the limit"
#define LONG_FIELD "!431 header field over the limit"
#define BIG_BODY "!413 request body over the limit"

static const row refused[] = {
    /* not HTTP; each is refused at the byte that shows it */
    { IN("\x16\x03\x01"), "!400 TLS on a port of plain HTTP" },
    { IN("\x16"), "!400 TLS on a port of plain HTTP" },
    { IN("G\x16"), "!400 control byte in the request line" },
    { IN("\x80.\x01\x03"), "!400 not an HTTP request" },
    { IN("\0"), "!400 not an HTTP request" },
    { IN("{"), "!400 not an HTTP request" },
    { IN("<policy-file-request/>"), "!400 not an HTTP request" },
    { IN("\x7f"), "!400 not an HTTP request" },
    { IN(" "), "!400 blank before the request line" },
    { IN("\tGET"), "!400 blank before the request line" },
    { IN("\n"), "!400 bare LF before the request line" },
    { IN("\r\n\n"), "!400 bare LF before the request line" },
    { IN("\rG"), "!400 bare CR before the request line" },
    { IN("\r\r\n"), "!400 bare CR before the request line" },
    { IN("\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n"),
      "!400 too many empty lines before the request line" },
    /* methods */
    { IN("GET\r"), "!400 request line without a target" },
    { IN("GET\n"), LF_LINE },
    { IN("GET\t"), "!400 tab in the request line" },
    { IN("GE\xc3"), "!400 8-bit byte in the request line" },
    { IN("GE\0"), "!400 control byte in the request line" },
    { IN("GE\x7f"), "!400 control byte in the request line" },
    { IN("GET@"), "!400 byte not allowed in a method" },
    { IN("GET: "), "!400 byte not allowed in a method" },
    { IN("CONNECT a:80 HTTP/1.1\r\n"), "!501 CONNECT is not supported" },
    { IN("CONNECT / HTTP/1.0\r\n"), "!501 CONNECT is not supported" },
    /* targets */
    { IN("GET \r"), "!400 request line without an HTTP version" },
    { IN("GET  "), "!400 tab or two spaces in the request line" },
    { IN("GET /\t"), "!400 tab or two spaces in the request line" },
    { IN("GET \t"), "!400 tab or two spaces in the request line" },
    { IN("GET /\n"), LF_LINE },
    { IN("GET /\r"), "!400 request line without an HTTP version" },
    { IN("GET /\r\n\r\n"), "!400 request line without an HTTP version" },
    { IN("GET /\0"), "!400 control byte in the request line" },
    { IN("GET /\x0b"), "!400 control byte in the request line" },
    { IN("GET /\x7f"), "!400 control byte in the request line" },
    { IN("GET /\xc3"), "!400 8-bit byte in the request line" },
    { IN("GET /\xa0"), "!400 8-bit byte in the request line" },
    { IN("GET /#x HTTP/1.1\r\n"), "!400 fragment in the request target" },
    { IN("GET /?a#x HTTP/1.1\r\n"), "!400 fragment in the request target" },
    { IN("GET /%00 HTTP/1.1\r\n"), "!400 NUL in the path" },
    { IN("GET * HTTP/1.1\r\n"),
      "!400 request target * with a method other than OPTIONS" },
    { IN("GET a HTTP/1.1\r\n"),
      "!400 request target neither a path nor an http URI" },
    { IN("GET a:80 HTTP/1.1\r\n"),
      "!400 request target neither a path nor an http URI" },
    { IN("GET ftp://a/ HTTP/1.1\r\n"),
      "!400 request target neither a path nor an http URI" },
    { IN("GET http:///x HTTP/1.1\r\n"),
      "!400 absolute request target without a host" },
    { IN("GET http://u:p@a/ HTTP/1.1\r\n"),
      "!400 user information in the request target" },
    { IN("GET http://a:b/ HTTP/1.1\r\n"),
      "!400 port of a host that is no number" },
    { IN("GET http://a\"b/ HTTP/1.1\r\n"), BAD_HOST },
    /* versions */
    { IN("GET / HTTP/2.0\r\n"), "!505 HTTP version not supported" },
    { IN("GET / HTTP/9.9\r\n"), "!505 HTTP version not supported" },
    { IN("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
      "!505 HTTP version not supported" },
    { IN("GET / HTTP/0.9\r\n"), BAD_VERSION },
    { IN("GET / HTTP/1\r"), BAD_VERSION },
    { IN("GET / HTTP/1.\r"), BAD_VERSION },
    { IN("GET / HTTP/1.10"), BAD_VERSION },
    { IN("GET / HTTP/11"), BAD_VERSION },
    { IN("GET / HTTP/01"), BAD_VERSION },
    { IN("GET / HTTP/x"), BAD_VERSION },
    { IN("GET / HTTP 1"), "!400 blank in or behind the HTTP version" },
    { IN("GET / http/1.1"), BAD_VERSION },
    { IN("GET / HTTPS/1.1"), BAD_VERSION },
    { IN("GET / ICY/1.1"), BAD_VERSION },
    { IN("GET /a b HTTP/1.1"), BAD_VERSION },
    { IN("GET /  HTTP/1.1"), "!400 blank in or behind the HTTP version" },
    { IN("GET / HTTP/1.1 "), "!400 blank in or behind the HTTP version" },
    { IN("GET / HTTP/1.1\t"), "!400 blank in or behind the HTTP version" },
    { IN("GET / HTTP/1.1\n"), LF_LINE },
    { IN("GET / HTTP/1.1\0"), "!400 control byte in the request line" },
    { IN("GET / HTTP/1.1\xa0"), "!400 8-bit byte in the request line" },
    { IN("GET / HTTP/1.1\r\r"), "!400 bare CR in the request line" },
    { IN("GET / HTTP/1.1\rX"), "!400 bare CR in the request line" },
    { IN("GET / \r"), BAD_VERSION },
    /* lines of the head */
    { IN(G " X: a"), "!400 blank before the first header field" },
    { IN(G "\tX: a"), "!400 blank before the first header field" },
    { IN(G " \r\n"), "!400 blank before the first header field" },
    { IN(GH " folded"), "!400 folded header field" },
    { IN(GH "\tfolded"), "!400 folded header field" },
    { IN(GH " \r\n"), "!400 folded header field" },
    { IN(G "\n"), LF_HEAD },
    { IN(GH "\n"), LF_HEAD },
    { IN(G "Host: a\n"), LF_HEAD },
    { IN(G "Host\n"), LF_HEAD },
    { IN(G "Host:\n"), LF_HEAD },
    { IN(GH "\rX"), CR_HEAD },
    { IN(GH "\r\r\n"), CR_HEAD },
    { IN(G "Host: a\rb"), CR_HEAD },
    { IN(G "Host: a\r\r\n"), CR_HEAD },
    { IN(G "Host: a\r\0"), CR_HEAD },
    /* names */
    { IN(G "Host : a"), "!400 space in a field name or before its colon" },
    { IN(G "Host\t: a"), "!400 space in a field name or before its colon" },
    { IN(G "Ho st: a"), "!400 space in a field name or before its colon" },
    { IN(G "Host\r"), "!400 header field without a colon" },
    { IN(G "GET / HTTP/1.1\r\n"),
      "!400 space in a field name or before its colon" },
    { IN(G ": a"), "!400 byte not allowed in a field name" },
    { IN(G "X@: a"), "!400 byte not allowed in a field name" },
    { IN(G "X(c): a"), "!400 byte not allowed in a field name" },
    { IN(G "X\"y"), "!400 byte not allowed in a field name" },
    { IN(G "X/y"), "!400 byte not allowed in a field name" },
    { IN(G "X\0y"), "!400 control byte in a field name" },
    { IN(G "\0"), "!400 control byte in a field name" },
    { IN(G "X\x0b:"), "!400 control byte in a field name" },
    { IN(G "X\x7f"), "!400 control byte in a field name" },
    { IN(G "X\xa0:"), "!400 8-bit byte in a field name" },
    { IN(G "\xef\xbb\xbfHost: a"), "!400 8-bit byte in a field name" },
    /* values */
    { IN(G "X: a\0b"), "!400 control byte in a field value" },
    { IN(G "X:\0"), "!400 control byte in a field value" },
    { IN(G "X: 123456789012345\x01"), "!400 control byte in a field value" },
    { IN(G "X: 12345678\x1f"), "!400 control byte in a field value" },
    { IN(G "X: a\x7f"), "!400 control byte in a field value" },
    { IN(G "X: \x0b"
           "a"),
      "!400 control byte in a field value" },
    { IN(G "X: a\x0c"), "!400 control byte in a field value" },
    { IN(G "X: a\x08z"), "!400 control byte in a field value" },
    { IN(G "X: \xa0\r\n"), "!400 no-break space around a field value" },
    { IN(G "X: \xa0z\r\n"), "!400 no-break space around a field value" },
    { IN(G "X: a\xa0 \r\n"), "!400 no-break space around a field value" },
    { IN(G "X: \xc2\xa0z\r\n"), "!400 no-break space around a field value" },
    { IN(G "X: z\xc2\xa0\r\n"), "!400 no-break space around a field value" },
    /* Host */
    { IN(G "\r\n"), "!400 HTTP/1.1 request without Host" },
    { IN("GET / HTTP/1.7\r\n\r\n"), "!400 HTTP/1.1 request without Host" },
    { IN("GET http://a/ HTTP/1.1\r\n\r\n"),
      "!400 HTTP/1.1 request without Host" },
    { IN(GH H), "!400 two Host fields" },
    { IN(GH "X: y\r\nhost:\r\n"), "!400 two Host fields" },
    { IN(G "Host:\r\nHost:\r\n"), "!400 two Host fields" },
    { IN("GET / HTTP/1.0\r\n" H H), "!400 two Host fields" },
    { IN(G "Host: a b\r\n"), BAD_HOST },
    { IN(G "Host: a, b\r\n"), BAD_HOST },
    { IN(G "Host: a/b\r\n"), BAD_HOST },
    { IN(G "Host: http://a\r\n"), "!400 port of a host that is no number" },
    { IN(G "Host: u@a\r\n"), BAD_HOST },
    { IN(G "Host: a\xe9\r\n"), BAD_HOST },
    { IN("GET / HTTP/1.0\r\nHost: a b\r\n"), BAD_HOST },
    { IN("GET http://b/ HTTP/1.1\r\nHost: a b\r\n"), BAD_HOST },
    { IN(G "Host: a:b\r\n"), "!400 port of a host that is no number" },
    { IN(G "Host: a:99999\r\n"), "!400 port of a host out of range" },
    { IN(G "Host: :80\r\n"), "!400 port without a host" },
    { IN(G "Host: [::1\r\n"), "!400 malformed IPv6 address in a host" },
    /* Content-Length */
    { IN(P "Content-Length: 1\r\nContent-Length: 1\r\n"),
      "!400 two Content-Length fields" },
    { IN(P "Content-Length: 1\r\ncontent-length: 2\r\n"),
      "!400 two Content-Length fields" },
    { IN(P "Content-Length:\r\n"), "!400 empty Content-Length" },
    { IN(P "Content-Length: \t\r\n"), "!400 empty Content-Length" },
    { IN(P "Content-Length: 1, 1\r\n"), BAD_LENGTH },
    { IN(P "Content-Length: 1,1\r\n"), BAD_LENGTH },
    { IN(P "Content-Length: 1 1\r\n"), BAD_LENGTH },
    { IN(P "Content-Length: +3\r\n"), BAD_LENGTH },
    { IN(P "Content-Length: -3\r\n"), BAD_LENGTH },
    { IN(P "Content-Length: 0x3\r\n"), BAD_LENGTH },
    { IN(P "Content-Length: 1_0\r\n"), BAD_LENGTH },
    { IN(P "Content-Length: 3.0\r\n"), BAD_LENGTH },
    { IN(P "Content-Length: \"3\"\r\n"), BAD_LENGTH },
    { IN(P "Content-Length: 3;\r\n"), BAD_LENGTH },
    { IN(P "Content-Length: \xb2\r\n"), BAD_LENGTH },
    { IN(P "Content-Length: 9223372036854775808\r\n"),
      "!400 Content-Length too large" },
    { IN(P "Content-Length: 18446744073709551619\r\n"),
      "!400 Content-Length too large" },
    { IN(P "Content-Length: 99999999999999999999999\r\n"),
      "!400 Content-Length too large" },
    /* Transfer-Encoding */
    { IN("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n"),
      "!400 Transfer-Encoding in an HTTP/1.0 request" },
    { IN(P "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
      "!400 two Transfer-Encoding fields" },
    { IN(P "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n"),
      "!400 two Transfer-Encoding fields" },
    { IN(P "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n"),
      "!400 Content-Length beside Transfer-Encoding" },
    { IN(P "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"),
      "!400 Content-Length beside Transfer-Encoding" },
    { IN(P "Transfer-Encoding:\r\n"), BAD_CODING },
    { IN(P "Transfer-Encoding: ,chunked\r\n"), BAD_CODING },
    { IN(P "Transfer-Encoding: chunked,\r\n"),
      "!400 chunked not the last transfer coding" },
    { IN(P "Transfer-Encoding: chunked;q=1\r\n"), BAD_CODING },
    { IN(P "Transfer-Encoding: \"chunked\"\r\n"), BAD_CODING },
    { IN(P "Transfer-Encoding: chun ked\r\n"), BAD_CODING },
    { IN(P "Transfer-Encoding: \x0b"
           "chunked\r\n"),
      "!400 control byte in a field value" },
    { IN(P "Transfer-Encoding: \xa0"
           "chunked\r\n"),
      "!400 no-break space around a field value" },
    { IN(P "Transfer-Encoding: chunked, chunked\r\n"),
      "!400 chunked not the last transfer coding" },
    { IN(P "Transfer-Encoding: Chunked, identity\r\n"),
      "!400 chunked not the last transfer coding" },
    { IN(P "Transfer-Encoding: chunked, gzip\r\n"),
      "!400 chunked not the last transfer coding" },
    { IN(P "Transfer-Encoding: gzip, chunked\r\n"),
      "!501 unknown transfer coding" },
    { IN(P "Transfer-Encoding: gzip\r\n"), "!501 unknown transfer coding" },
    { IN(P "Transfer-Encoding: identity\r\n"),
      "!501 unknown transfer coding" },
    { IN(P "Transfer-Encoding: xchunked\r\n"),
      "!501 unknown transfer coding" },
    { IN(P "Transfer_Encoding: chunked\r\nTransfer-Encoding: x\r\n"),
      "!501 unknown transfer coding" },
    /* Expect, in a head that is sound */
    { IN(GH "Expect: 200-ok\r\n\r\n"),
      "!417 expectation other than 100-continue" },
    { IN(GH "Expect: 100-continue, x\r\n\r\n"),
      "!417 expectation other than 100-continue" },
    { IN(GH "Expect: x\r\nExpect: 100-continue\r\n\r\n"),
      "!417 expectation other than 100-continue" },
    { IN(GH "Expect: x\r\n" H), "!400 two Host fields" },
    /* chunks */
    { IN(PC "\r"), BAD_SIZE },
    { IN(PC "g"), BAD_SIZE },
    { IN(PC " 3"), BAD_SIZE },
    { IN(PC "\t3"), BAD_SIZE },
    { IN(PC "3 \r"), T_PC "!400 blank behind a chunk size" },
    { IN(PC "3\t\r"), T_PC "!400 blank behind a chunk size" },
    { IN(PC "3 3"), T_PC "!400 blank behind a chunk size" },
    { IN(PC "3 \n"), T_PC "!400 blank behind a chunk size" },
    { IN(PC "+3"), BAD_SIZE },
    { IN(PC "-1"), BAD_SIZE },
    { IN(PC "0x3"), BAD_SIZE },
    { IN(PC "1_0"), BAD_SIZE },
    { IN(PC ";a"), BAD_SIZE },
    { IN(PC "3\0"), BAD_SIZE },
    { IN(PC "\xb2"), BAD_SIZE },
    { IN(PC "\n"), T_PC "!400 bare LF after a chunk size" },
    { IN(PC "3\n"), T_PC "!400 bare LF after a chunk size" },
    { IN(PC "3\rx"), T_PC "!400 bare CR after a chunk size" },
    { IN(PC "8000000000000000"), T_PC "!400 chunk size too large" },
    { IN(PC "ffffffffffffffff"), T_PC "!400 chunk size too large" },
    { IN(PC "10000000000000003"), T_PC "!400 chunk size too large" },
    { IN(PC "00000000000000003"), T_PC "!400 chunk size too large" },
    { IN(PC "3;a\n"), T_PC "!400 bare LF in a chunk extension" },
    { IN(PC "3;a\rb"), T_PC "!400 bare CR after a chunk size" },
    { IN(PC "3;a\0"), T_PC "!400 control byte in a chunk extension" },
    { IN(PC "3;a\x7f"), T_PC "!400 control byte in a chunk extension" },
    { IN(PC "3\r\nabcX"), T_PC "(abc)!400 chunk data without CRLF behind it" },
    { IN(PC "3\r\nabc\n"),
      T_PC "(abc)!400 chunk data without CRLF behind it" },
    { IN(PC "3\r\nabc\rX"),
      T_PC "(abc)!400 chunk data without CRLF behind it" },
    { IN(PC "3\r\nabc0\r\n\r\n"),
      T_PC "(abc)!400 chunk data without CRLF behind it" },
    { IN(PC "3\r\nabc\r\n\r\n"),
      T_PC "(abc)!400 chunk size not a hexadecimal number" },
    /* trailers */
    { IN(PC "0\r\n X: y"), BAD_TRAILER },
    { IN(PC "0\r\nX: y\r\n folded"), BAD_TRAILER },
    { IN(PC "0\r\nX : y"), BAD_TRAILER },
    { IN(PC "0\r\nX\r\n"), BAD_TRAILER },
    { IN(PC "0\r\n: y"), BAD_TRAILER },
    { IN(PC "0\r\nX@"), BAD_TRAILER },
    { IN(PC "0\r\n\xff"), BAD_TRAILER },
    { IN(PC "0\r\nGET / HTTP/1.1\r\n"), BAD_TRAILER },
    { IN(PC "0\r\n\n"), T_PC "!400 bare LF in the trailers" },
    { IN(PC "0\r\nX\n"), T_PC "!400 bare LF in the trailers" },
    { IN(PC "0\r\nX: y\n"), T_PC "!400 bare LF in the trailers" },
    { IN(PC "0\r\nX: y\rz"), T_PC "!400 bare CR in the trailers" },
    { IN(PC "0\r\n\rX"), T_PC "!400 bare CR in the trailers" },
    { IN(PC "0\r\nX: \0"), T_PC "!400 control byte in a trailer field" },
    /* a fault behind a good request ends it all */
    { IN(GH "\r\n" GH "\r\n\x16" GH "\r\n"),
      T_G "." T_G ".!400 TLS on a port of plain HTTP" },
    { IN(P "Content-Length: 1\r\n\r\nx\n"),
      "POST / 1.1 host=a len=1 keep|Host=a|Content-Length=1|(x)."
      "!400 bare LF before the request line" },
    { IN(PC "100001\r\n"), T_PC BIG_BODY },
    { IN(PC "1\r\nx\r\n100000\r\n"), T_PC "(x)" BIG_BODY },
    { IN(P "Content-Length: 1048577\r\nHost: b\r\n"), "!400 two Host fields" },
    { IN(P "Content-Length: 1048577\r\n\r\nabc"), BIG_BODY },
    { IN(P "Content-Length: 1048577\r\nExpect: 100-continue\r\n\r\n"),
      BIG_BODY },
};

/* One over a limit, before the line has an end. */
static const row beyond_small[] = {
    { IN("GET /2345678 HTTP/1.1"), LONG_LINE },
    { IN("GET /2345678901234567"), LONG_LINE },
    { IN("ABCDEFGHIJKLMNOPQRSTU"), LONG_LINE },
    { IN("GET /2345678901234567\n"), LONG_LINE },
    { IN("GET / HTTP/1.1\r\nHost: 78901"), LONG_FIELD },
    { IN("GET / HTTP/1.1\r\nHost:      x"), LONG_FIELD },
    { IN("GET / HTTP/1.1\r\nABCDEFGHIJK"), LONG_FIELD },
    { IN("GET / HTTP/1.1\r\nABCDEFGHIJ:"), LONG_FIELD },
    { IN("GET / HTTP/1.1\r\nA:\r\nB:\r\nC:\r\nD"),
      "!431 too many header fields" },
};

Test(parser, refuses)
{
    for (size_t i = 0; i < COUNT(refused); i++)
        expect_trace(&refused[i], &usual);
    for (size_t i = 0; i < COUNT(beyond_small); i++)
        expect_trace(&beyond_small[i], &small);
}

/* ---- Cuts --------------------------------------------------------------- */

/* The same events, bytes used and memory accesses inside the input, wherever
 * the input is cut in two and however small its pieces are. */
static void
expect_same(const row *r, const wsgi__parser_limits *limits)
{
    run whole = run_whole(limits, r->in, r->len);
    const char *want = wsgi__buf_str(&whole.trace);

    for (size_t first = 1; first <= r->len; first++) {
        /* The last round is the one of single bytes. */
        size_t step = first < r->len ? r->len : 1;
        size_t cut = first < r->len ? first : 1;
        run split = run_cut(limits, r->in, r->len, cut, step);
        const char *got = wsgi__buf_str(&split.trace);
        cr_expect_str_eq(got, want, "%s, cut at %zu, step %zu: %s",
                         shown(r->in, r->len), cut, step, got);
        cr_expect_eq(split.used, whole.used, "%s, cut at %zu: used %zu",
                     shown(r->in, r->len), cut, split.used);
        wsgi__buf_free(&split.trace);
    }
    wsgi__buf_free(&whole.trace);
}

Test(parser, cuts_do_not_matter_to_what_is_accepted)
{
    for (size_t i = 0; i < COUNT(accepted); i++)
        expect_same(&accepted[i], &usual);
    for (size_t i = 0; i < COUNT(within_small); i++)
        expect_same(&within_small[i], &small);
}

Test(parser, cuts_do_not_matter_to_what_is_refused)
{
    for (size_t i = 0; i < COUNT(refused); i++)
        expect_same(&refused[i], &usual);
    for (size_t i = 0; i < COUNT(beyond_small); i++)
        expect_same(&beyond_small[i], &small);
}

/* ---- Ceilings and limits of real size ----------------------------------- */

static const wsgi__parser_limits none = { 0 };

/* Text with `len` times `fill` between two ends. */
static wsgi__span
padded(const char *before, size_t len, char fill, const char *after)
{
    static wsgi__buf text = { .max = 1 << 20 };
    wsgi__buf_reset(&text);
    wsgi__buf_puts(&text, before);
    cr_assert_eq(wsgi__buf_reserve(&text, len), WSGI_OK);
    memset(text.data + text.len, fill, len);
    text.len += len;
    wsgi__buf_puts(&text, after);
    return wsgi__buf_span(&text);
}

static void
expect_end(const wsgi__parser_limits *limits, wsgi__span in, const char *end)
{
    /* Whole, in pieces of an odd size, and in single bytes. */
    const size_t steps[] = { in.len, 1021, 1 };
    for (size_t i = 0; i < COUNT(steps); i++) {
        run r = run_cut(limits, in.ptr, in.len, steps[i], steps[i]);
        const char *got = wsgi__buf_str(&r.trace);
        size_t len = strlen(end);
        bool same =
            r.trace.len >= len && strcmp(got + r.trace.len - len, end) == 0;
        cr_expect(same, "%.40s... of %zu bytes by %zu: ...%s, not %s", in.ptr,
                  in.len, steps[i],
                  got + (r.trace.len > 60 ? r.trace.len - 60 : 0), end);
        wsgi__buf_free(&r.trace);
    }
}

Test(parser, request_line_limit_of_the_default)
{
    /* "GET /" and " HTTP/1.1" are 14 bytes. */
    expect_end(&usual,
               padded("GET /", 8190 - 14, 'a', " HTTP/1.1\r\n" H "\r\n"),
               "|Host=a|.");
    expect_end(&usual,
               padded("GET /", 8190 - 13, 'a', " HTTP/1.1\r\n" H "\r\n"),
               LONG_LINE);
    expect_end(&usual, padded("GET /", 8190 - 5, 'a', ""), "");
    expect_end(&usual, padded("GET /", 8190 - 4, 'a', ""), LONG_LINE);
}

Test(parser, field_size_limit_of_the_default)
{
    expect_end(&usual, padded(GH "X:", 8190 - 2, 'a', "\r\n\r\n"), "a|.");
    expect_end(&usual, padded(GH "X:", 8190 - 1, 'a', "\r\n\r\n"), LONG_FIELD);
    expect_end(&usual, padded(GH "X:", 8190 - 1, ' ', ""), LONG_FIELD);
    expect_end(&usual, padded(GH, 8190 + 1, 'a', ""), LONG_FIELD);
}

Test(parser, ceiling_of_a_head)
{
    const size_t around = strlen(GH "X:\r\n\r\n");
    const size_t line = strlen("GET /");

    expect_end(
        &none,
        padded(GH "X:", WSGI__PARSER_MAX_HEAD - around, 'a', "\r\n\r\n"),
        "a|.");
    expect_end(
        &none,
        padded(GH "X:", WSGI__PARSER_MAX_HEAD - around + 1, 'a', "\r\n\r\n"),
        "!431 request head over the limit");
    expect_end(&none,
               padded("GET /", WSGI__PARSER_MAX_HEAD - line - 1, 'a', ""), "");
    expect_end(&none, padded("GET /", WSGI__PARSER_MAX_HEAD - line, 'a', ""),
               LONG_LINE);
}

/* Heads past the 80 KiB that are http-parser's own limit. */
Test(parser, limit_of_http_parser_does_not_show)
{
    expect_end(&none, padded("GET /", 100000, 'a', " HTTP/1.1\r\n" H "\r\n"),
               "|Host=a|.");
    expect_end(&none, padded(GH, 100000, 'n', ": v\r\n\r\n"), "n=v|.");
    expect_end(&none, padded(GH "X: ", 200000, 'v', "\r\n\r\n"), "v|.");
}

static wsgi__span
many_fields(size_t n)
{
    static wsgi__buf text = { .max = 1 << 20 };
    wsgi__buf_reset(&text);
    wsgi__buf_puts(&text, GH);
    for (size_t i = 1; i < n; i++)
        wsgi__buf_puts(&text, "X: y\r\n");
    wsgi__buf_puts(&text, "\r\n");
    return wsgi__buf_span(&text);
}

Test(parser, number_of_fields)
{
    expect_end(&usual, many_fields(100), "X=y|.");
    expect_end(&usual, many_fields(101), "!431 too many header fields");
    expect_end(&none, many_fields(WSGI__PARSER_MAX_FIELDS), "X=y|.");
    expect_end(&none, many_fields(WSGI__PARSER_MAX_FIELDS + 1),
               "!431 too many header fields");
}

Test(parser, extensions_and_trailers_are_bounded_together)
{
    const size_t max = WSGI__PARSER_MAX_CHUNK_META;
    static const char over[] = "!400 chunk extensions and trailers too long";

    expect_end(&usual, padded(PC "0;", max - 1, 'x', "\r\n\r\n"), "|.");
    expect_end(&usual, padded(PC "0;", max, 'x', ""), over);
    expect_end(&usual, padded(PC "0\r\nX:", max - 2, 'x', "\r\n\r\n"), "|.");
    expect_end(&usual, padded(PC "0\r\nX:", max - 1, 'x', ""), over);
    expect_end(&usual, padded(PC "0\r\n", max + 1, 'x', ""), over);
    expect_end(&usual,
               padded(PC "1;a\r\nz\r\n0;b\r\nX:", max - 6, 'x', "\r\n\r\n"),
               "(z).");
    expect_end(&usual, padded(PC "1;a\r\nz\r\n0;b\r\nX:", max - 5, 'x', ""),
               over);
}

/* ---- Numbers beyond 32 bits --------------------------------------------- */

/* The head; returns what stands behind it. */
static wsgi__event
feed_text(wsgi__parser *p, const char *text)
{
    size_t used, len = strlen(text);
    wsgi__event event = wsgi__parser_feed(p, text, len, &used);
    cr_expect_eq(used, len, "%s", text);
    return event;
}

/* A body of `size` bytes without having them: a piece of 64 KiB, again and
 * again, is all that is looked at. */
static void
feed_zeros(wsgi__parser *p, int64_t size)
{
    static const char zeros[64 * 1024];
    while (size > 0) {
        size_t used;
        size_t len =
            size < (int64_t)sizeof zeros ? (size_t)size : sizeof zeros;
        cr_assert_eq(wsgi__parser_feed(p, zeros, len, &used), WSGI__EV_BODY);
        cr_assert_eq(used, len);
        cr_assert_eq(wsgi__parser_body(p).ptr, zeros, "not copied");
        cr_assert_eq(wsgi__parser_body(p).len, len);
        size -= (int64_t)len;
    }
}

static void
expect_over(wsgi__parser *p)
{
    size_t used;
    cr_expect_eq(wsgi__parser_feed(p, NULL, 0, &used), WSGI__EV_END);
    wsgi__parser_reset(p);
    cr_expect_eq(feed_text(p, GH "\r\n"), WSGI__EV_HEAD);
    wsgi__parser_free(p);
}

Test(parser, content_length_of_gigabytes)
{
    wsgi__parser *p = wsgi__parser_new(&none);
    cr_assert_eq(feed_text(p, P "Content-Length: 5000000001\r\n\r\n"),
                 WSGI__EV_HEAD);
    cr_expect_eq(wsgi__parser_request(p)->content_length, INT64_C(5000000001));
    feed_zeros(p, INT64_C(5000000001));
    expect_over(p);
}

Test(parser, chunk_of_gigabytes)
{
    wsgi__parser *p = wsgi__parser_new(&none);
    cr_assert_eq(feed_text(p, PC), WSGI__EV_HEAD);
    cr_assert_eq(feed_text(p, "140000001\r\n"), WSGI__EV_MORE);
    feed_zeros(p, INT64_C(0x140000001));
    cr_assert_eq(feed_text(p, "\r\n0\r\n\r\n"), WSGI__EV_END);
    expect_over(p);
}

Test(parser, largest_numbers)
{
    static const row rows[] = {
        { IN(P "Content-Length: 9223372036854775807\r\n\r\n"),
          "POST / 1.1 host=a len=9223372036854775807 keep|Host=a|"
          "Content-Length=9223372036854775807|" },
        { IN(PC "7fffffffffffffff\r\nx"), T_PC "(x)" },
        { IN(PC "1\r\nx\r\n7fffffffffffffff\r\n"),
          T_PC "(x)!400 chunk sizes too large" },
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        expect_trace(&rows[i], &none);
}

/* ---- The interface ------------------------------------------------------ */

Test(parser, says_whether_a_request_has_started)
{
    static const struct {
        const char *in;
        bool started;
    } rows[] = { { "", false },       { "\r", false },  { "\r\n", false },
                 { "\r\n\r", false }, { "G", true },    { "\r\nG", true },
                 { "\n", true },      { "\x16", true }, { GH, true } };
    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t used;
        wsgi__parser *p = wsgi__parser_new(&usual);
        wsgi__parser_feed(p, rows[i].in, strlen(rows[i].in), &used);
        cr_expect_eq(wsgi__parser_started(p), rows[i].started, "row %zu", i);
        wsgi__parser_reset(p);
        cr_expect_not(wsgi__parser_started(p), "row %zu, reset", i);
        wsgi__parser_free(p);
    }
}

Test(parser, stays_failed_until_reset)
{
    size_t used;
    wsgi__parser *p = wsgi__parser_new(&usual);
    cr_expect_eq(feed_text(p, "\x16"), WSGI__EV_ERROR);
    cr_expect_eq(wsgi__parser_feed(p, IN(GH "\r\n"), &used), WSGI__EV_ERROR);
    cr_expect_eq(used, 0);
    cr_expect_eq(wsgi__parser_status(p), 400);
    wsgi__parser_reset(p);
    cr_expect_eq(wsgi__parser_status(p), 0);
    cr_expect_null(wsgi__parser_reason(p));
    cr_expect_eq(feed_text(p, GH "\r\n"), WSGI__EV_HEAD);
    wsgi__parser_free(p);
}

Test(parser, takes_nothing_behind_the_end)
{
    size_t used;
    wsgi__parser *p = wsgi__parser_new(&usual);
    cr_expect_eq(feed_text(p, GH "\r\n"), WSGI__EV_HEAD);
    for (int i = 0; i < 2; i++) {
        cr_expect_eq(wsgi__parser_feed(p, IN("GET"), &used), WSGI__EV_END);
        cr_expect_eq(used, 0);
    }
    wsgi__parser_free(p);
}

Test(parser, tells_what_it_understood_of_a_refused_head)
{
    static const struct {
        const char *in, *method, *target;
    } rows[] = {
        { "\x16", "", "" },
        { "GE\x01", "", "" },
        { "GET /\x01", "GET", "" },
        { "GET /x HTTP/3.0\r\n", "GET", "/x" },
        { "GET /x HTTP/1.1\r\n\n", "GET", "/x" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        wsgi__parser *p = wsgi__parser_new(&usual);
        cr_expect_eq(feed_text(p, rows[i].in), WSGI__EV_ERROR);
        const wsgi__request *req = wsgi__parser_request(p);
        cr_expect(wsgi__span_eq(req->method, wsgi__span_of(rows[i].method)),
                  "method of row %zu", i);
        cr_expect(wsgi__span_eq(req->target, wsgi__span_of(rows[i].target)),
                  "target of row %zu", i);
        wsgi__parser_free(p);
    }
}

/* Spans of the head move with its buffer, which grows several times here. */
Test(parser, spans_point_into_the_head)
{
    wsgi__span in = padded("GET http://h/p?q HTTP/1.1\r\n" H "X: ", 5000, 'x',
                           "\r\nY: z\r\n\r\n");
    wsgi__parser *p = wsgi__parser_new(&usual);
    for (size_t i = 0; i < in.len; i++) {
        size_t used;
        wsgi__event event = wsgi__parser_feed(p, in.ptr + i, 1, &used);
        cr_assert_eq(event, i + 1 < in.len ? WSGI__EV_MORE : WSGI__EV_HEAD);
    }
    const wsgi__request *req = wsgi__parser_request(p);
    const wsgi__span spans[] = { req->method,          req->target,
                                 req->parts.path,      req->parts.query,
                                 req->parts.authority, req->host,
                                 req->headers[0].name, req->headers[0].value,
                                 req->headers[2].value };
    cr_expect(wsgi__span_eq(wsgi__buf_span(&req->head), in));
    for (size_t i = 0; i < COUNT(spans); i++)
        cr_expect(spans[i].ptr >= req->head.data &&
                      spans[i].ptr + spans[i].len <=
                          req->head.data + req->head.len,
                  "span %zu", i);
    cr_expect(wsgi__span_eq(req->headers[2].value, WSGI__SPAN("z")));
    wsgi__parser_free(p);
}

/* ---- What is remembered of a connection -------------------------------- */

/* Bodies are part of the input: what follows has to be found behind them. */
static const struct {
    const char *in;
    size_t len;
} heads[] = {
    { IN(GH "\r\n") },
    { IN(GH "A: 1\r\nB: 2\r\nC: 3\r\n\r\n") },
    { IN(GH "A: 1\r\nB: 3\r\nC: 3\r\n\r\n") },
    { IN(GH "A: 1\r\nB:\t2 \r\nC: 3\r\n\r\n") },
    { IN(GH "a: 1\r\nB: 2\r\nC: 3\r\n\r\n") },
    { IN(GH "A: 1\r\nB: 2\r\n\r\n") },
    { IN(GH "B: 2\r\nA: 1\r\nC: 3\r\n\r\n") },
    { IN(GH "A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n\r\n") },
    { IN("GET /other?q=1 HTTP/1.1\r\n" H "A: 1\r\nB: 2\r\nC: 3\r\n\r\n") },
    { IN("GET /other HTTP/1.0\r\n" H "A: 1\r\nB: 2\r\nC: 3\r\n\r\n") },
    { IN("HEAD / HTTP/1.1\r\n" H "A: 1\r\nB: 2\r\nC: 3\r\n\r\n") },
    { IN("GET http://other/ HTTP/1.1\r\n" H "\r\n") },
    { IN(G "Host: other\r\n\r\n") },
    { IN(G "A: 1\r\n" H "B: 2\r\nC: 3\r\n\r\n") },
    { IN(P "Content-Length: 3\r\n\r\nabc") },
    { IN(P "Content-Length: 2\r\n\r\nab") },
    { IN(P "Content-Length: 2 \r\n\r\nab") },
    { IN(P "Content-Length: 0\r\n\r\n") },
    { IN(PC "3\r\nabc\r\n0\r\n\r\n") },
    { IN(P "Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n") },
    { IN(P "Expect: 100-continue\r\nContent-Length: 2\r\n\r\nab") },
    { IN(P "Expect: 100-continue\r\nContent-Length: 1\r\n\r\na") },
    { IN(GH "Connection: close\r\n\r\n") },
    { IN(GH "Connection: keep-alive\r\n\r\n") },
    { IN("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n") },
    { IN("GET / HTTP/1.0\r\n\r\n") },
    /* refused, and only by what differs from one above */
    { IN(GH "A: 1\r\nB: \x01\r\nC: 3\r\n\r\n") },
    { IN(GH "A: 1\r\nB: 2\nC: 3\r\n\r\n") },
    { IN(GH "A: 1\r\nB: 2\r\n C: 3\r\n\r\n") },
    { IN(GH "A: 1\r\nB : 2\r\nC: 3\r\n\r\n") },
    { IN(GH "A: 1\r\nB: 2\r\nC: 3\r\n" H "\r\n") },
    { IN(GH H "\r\n") },
    { IN(G "A: 1\r\nB: 2\r\nC: 3\r\n\r\n") },
    { IN(G "Host: a b\r\n\r\n") },
    { IN(P "Content-Length: -1\r\n\r\n") },
    { IN(P "Content-Length: 99999999\r\n\r\n") },
    { IN(P "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc") },
    { IN(P "Transfer-Encoding: gzip\r\n\r\n") },
    { IN(P "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc") },
    { IN("POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n") },
    { IN("GET / HTTP/2.0\r\n" H "\r\n") },
    { IN("GET /\x80 HTTP/1.1\r\n" H "\r\n") },
};

/* A parser that has seen the head this many times. */
static wsgi__parser *
parser_after(size_t head, int times)
{
    wsgi__parser *p = wsgi__parser_new(&usual);
    run r = { .parser = p };
    wsgi__parser_remember(p);
    wsgi__buf_init(&r.trace, 1 << 16);
    while (times-- > 0)
        run_piece(&r, heads[head].in, heads[head].len);
    wsgi__buf_free(&r.trace);
    return p;
}

/* What the second head gives in pieces after the first. */
static run
run_after(size_t before, int times, size_t head, size_t first, size_t step)
{
    run r = { .parser = parser_after(before, times) };
    const char *in = heads[head].in;
    size_t len = heads[head].len;
    wsgi__buf_init(&r.trace, 1 << 16);
    for (size_t at = 0, piece = first; at < len && !r.failed;
         at += piece, piece = step) {
        if (piece > len - at)
            piece = len - at;
        run_piece(&r, in + at, piece);
    }
    wsgi__buf_str(&r.trace);
    return r;
}

static bool
is_accepted(size_t head)
{
    run r = run_whole(&usual, heads[head].in, heads[head].len);
    bool failed = r.failed;
    wsgi__buf_free(&r.trace);
    return !failed;
}

static void
expect_same_after(size_t before, int times, size_t head, size_t first,
                  size_t step)
{
    run fresh = run_whole(&usual, heads[head].in, heads[head].len);
    run r = run_after(before, times, head, first, step);
    cr_expect_str_eq(wsgi__buf_str(&r.trace), wsgi__buf_str(&fresh.trace),
                     "head %zu after %d times %zu, cut at %zu", head, times,
                     before, first);
    cr_expect_eq(r.used, fresh.used);
    wsgi__parser_free(r.parser);
    wsgi__buf_free(&r.trace);
    wsgi__buf_free(&fresh.trace);
}

/* Whatever was there before, and however the input is cut. */
Test(parser, what_is_remembered_changes_nothing)
{
    for (size_t before = 0; before < COUNT(heads); before++) {
        if (!is_accepted(before))
            continue;
        for (size_t i = 0; i < COUNT(heads); i++) {
            for (int times = 1; times <= 3; times++)
                expect_same_after(before, times, i, heads[i].len,
                                  heads[i].len);
            for (size_t at = 1; at < heads[i].len; at++)
                expect_same_after(before, 2, i, at, heads[i].len);
            expect_same_after(before, 2, i, 1, 1);
        }
    }
}

/* The likeness of a head, fed in one piece, to one seen before: "line" for the
 * same request line, and the numbers of the fields that changed. */
static void
put_likeness(wsgi__buf *out, const char *first, const char *second)
{
    wsgi__parser *p = wsgi__parser_new(&usual);
    uint64_t number = 0;
    size_t used;

    wsgi__parser_remember(p);
    for (int i = 0; i < 3; i++) {
        const char *in = i < 2 ? first : second;
        cr_assert_eq(wsgi__parser_feed(p, in, strlen(in), &used),
                     WSGI__EV_HEAD);
        const wsgi__likeness *like = &wsgi__parser_request(p)->like;
        cr_assert_eq(like->is_model, i == 1, "the second is the model");
        if (i == 1)
            number = like->model;
        if (i == 2 && like->model) {
            cr_assert_eq(like->model, number);
            wsgi__buf_puts(out, like->same_line ? "line" : "like");
            for (unsigned k = 0; k < 64; k++)
                if (like->changed >> k & 1)
                    wsgi__buf_printf(out, " %u", k);
        }
        wsgi__parser_reset(p);
    }
    wsgi__parser_free(p);
}

Test(parser, tells_how_a_head_is_like_its_model)
{
    static const char first[] = GH "A: 1\r\nB: 2\r\n\r\n";
    static const struct {
        const char *second, *likeness;
    } cases[] = {
        { GH "A: 1\r\nB: 2\r\n\r\n", "line" },
        { "GET /x HTTP/1.1\r\n" H "A: 1\r\nB: 2\r\n\r\n", "like" },
        { "PUT / HTTP/1.1\r\n" H "A: 1\r\nB: 2\r\n\r\n", "like" },
        { "GET / HTTP/1.0\r\n" H "A: 1\r\nB: 2\r\n\r\n", "like" },
        { GH "A: 1\r\nB: 3\r\n\r\n", "line 2" },
        { GH "A: 22\r\nB: 33\r\n\r\n", "line 1 2" },
        { G "Host: b\r\nA: 1\r\nB: 2\r\n\r\n", "line 0" },
        { GH "A: 1\r\nb: 2\r\n\r\n", "" },
        { GH "A: 1\r\n\r\n", "" },
        { GH "A: 1\r\nB: 2\r\nC: 3\r\n\r\n", "" },
        { GH "B: 2\r\nA: 1\r\n\r\n", "" },
        { "GET http://a/ HTTP/1.1\r\n" H "A: 1\r\nB: 2\r\n\r\n", "" },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        wsgi__buf got = { .max = 1000 };
        put_likeness(&got, first, cases[i].second);
        cr_expect_str_eq(wsgi__buf_str(&got), cases[i].likeness, "%s",
                         cases[i].second);
        wsgi__buf_free(&got);
    }
}

/* No likeness without being asked to remember, nor after forgetting; two
 * parsers do not share numbers. */
Test(parser, remembers_for_one_connection)
{
    wsgi__parser *p = wsgi__parser_new(&usual);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(feed_text(p, GH "\r\n"), WSGI__EV_HEAD);
        cr_expect_eq(wsgi__parser_request(p)->like.model, 0);
        wsgi__parser_reset(p);
    }
    cr_expect(!wsgi__parser_remembers(p));
    wsgi__parser_free(p);

    uint64_t numbers[2];
    for (int i = 0; i < 2; i++) {
        p = parser_after(0, 2);
        cr_assert_eq(feed_text(p, GH "\r\n"), WSGI__EV_HEAD);
        numbers[i] = wsgi__parser_request(p)->like.model;
        cr_expect_neq(numbers[i], 0);
        cr_expect(wsgi__parser_remembers(p));
        wsgi__parser_reset(p);
        wsgi__parser_forget(p);
        cr_expect(!wsgi__parser_remembers(p));
        cr_assert_eq(feed_text(p, GH "\r\n"), WSGI__EV_HEAD);
        cr_expect_eq(wsgi__parser_request(p)->like.model, 0);
        wsgi__parser_free(p);
    }
    cr_expect_neq(numbers[0], numbers[1]);
}

/* What is kept for a connection is bounded. */
Test(parser, long_heads_are_not_remembered)
{
    wsgi__span in = padded(GH "X: ", 4096, 'x', "\r\n\r\n");
    wsgi__parser *p = wsgi__parser_new(&usual);
    wsgi__parser_remember(p);
    for (int i = 0; i < 3; i++) {
        size_t used;
        cr_assert_eq(wsgi__parser_feed(p, in.ptr, in.len, &used),
                     WSGI__EV_HEAD);
        cr_expect(!wsgi__parser_remembers(p));
        wsgi__parser_reset(p);
    }
    wsgi__parser_free(p);
}

/* Without memory nothing is remembered, and the request is as good. */
Test(parser, remembering_may_fail)
{
    static const char in[] = GH "A: 1\r\n\r\n";
    for (long n = 1; n < 20; n++) {
        wsgi__parser *p = wsgi__parser_new(&usual);
        cr_assert_eq(feed_text(p, in), WSGI__EV_HEAD);
        wsgi__parser_reset(p);
        wsgi__parser_remember(p);
        wsgi__mem_fail_nth(n);
        for (int i = 0; i < 3; i++) {
            cr_expect_eq(feed_text(p, in), WSGI__EV_HEAD, "allocation %ld", n);
            wsgi__parser_reset(p);
        }
        wsgi__mem_fail_nth(0);
        wsgi__parser_free(p);
    }
}

/* ---- Memory ------------------------------------------------------------- */

Test(parser, allocates_nothing_in_the_steady_state)
{
    size_t used;
    wsgi__parser *p = wsgi__parser_new(&usual);
    wsgi__parser_remember(p);
    for (int i = 0; i < 4; i++) {
        if (i == 2) /* the second is the model of those to come */
            wsgi__mem_fail_nth(1000000); /* counts from here */
        cr_assert_eq(feed_text(p, PC), WSGI__EV_HEAD);
        cr_assert_eq(feed_text(p, "1\r\nx"), WSGI__EV_BODY);
        cr_assert_eq(feed_text(p, "\r\n0\r\n\r\n"), WSGI__EV_END);
        wsgi__parser_reset(p);
        cr_assert_eq(wsgi__parser_feed(p, "", 0, &used), WSGI__EV_MORE);
    }
    cr_expect_eq(wsgi__mem_count(), 0);
    wsgi__mem_fail_nth(0);
    wsgi__parser_free(p);
}

Test(parser, any_allocation_may_fail)
{
    wsgi__span in = padded(GH "X: ", 3000, 'x', "\r\n\r\n");
    long n = 1;

    wsgi__mem_fail_nth(n);
    cr_expect_null(wsgi__parser_new(&usual));
    for (n = 1; n < 100; n++) {
        size_t used;
        wsgi__mem_fail_nth(0);
        wsgi__parser *p = wsgi__parser_new(&usual);
        wsgi__mem_fail_nth(n);
        wsgi__event event = wsgi__parser_feed(p, in.ptr, in.len, &used);
        bool failed = wsgi__mem_count() >= n;
        wsgi__mem_fail_nth(0);
        cr_expect_eq(event, failed ? WSGI__EV_ERROR : WSGI__EV_HEAD,
                     "allocation %ld", n);
        cr_expect_eq(wsgi__parser_status(p), failed ? 503 : 0);
        if (failed)
            cr_expect_str_eq(wsgi__parser_reason(p), "out of memory");
        wsgi__parser_free(p);
        if (!failed)
            break;
    }
    cr_expect_gt(n, 3, "the head, its growth and the headers");
    cr_expect_lt(n, 100);
}

Test(parser, free_takes_null)
{
    wsgi__parser_free(NULL);
}
