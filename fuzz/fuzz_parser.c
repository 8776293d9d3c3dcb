/*
 * The request parser: how the input is cut changes nothing, nor does what is
 * remembered of its connection, no read goes past the end, nothing comes after
 * an error, and what was understood means the same when it is written down
 * again.
 *
 * Input: a first line "LIMITS PIECES", then the bytes of a connection.  LIMITS
 * is u(sual), s(mall) or n(one), or m for out of memory; each further byte of
 * the line is the length of a piece: digits are 0 to 9, others their code.
 */
#include <inttypes.h>

#include "base/mem.h"
#include "fuzz.h"
#include "http/parser.h"
#include "support/guard.h"

#define MOST_INPUT ((size_t)256 * 1024)

/* Inputs up to this length are cut everywhere. */
#define MOST_SPLIT 96

static const wsgi__parser_limits usual = { .max_line = 8190,
                                           .max_fields = 100,
                                           .max_field_size = 8190,
                                           .max_body = 1 << 20 };
static const wsgi__parser_limits small = {
    .max_line = 32, .max_fields = 4, .max_field_size = 24, .max_body = 16
};
static const wsgi__parser_limits none = { 0 };

static const wsgi__parser_limits *
limits_of(char letter)
{
    return letter == 's' ? &small : letter == 'n' ? &none : &usual;
}

/* ---- What one way of cutting gives --------------------------------------- */

typedef struct run {
    wsgi__parser *parser;
    wsgi__buf trace; /* events as text, consecutive pieces of body as one */
    wsgi__buf body;  /* of the request under way */
    size_t used;
    bool failed;
    size_t n_requests;
} run;

static void
put_span(wsgi__buf *out, const char *label, wsgi__span span)
{
    wsgi__buf_printf(out, " %s %zu ", label, span.len);
    wsgi__buf_append(out, span.ptr, span.len);
}

/* Each span with its length, so that no two requests look alike. */
static void
put_request(wsgi__buf *out, const wsgi__request *req)
{
    put_span(out, "method", req->method);
    put_span(out, "target", req->target);
    put_span(out, "path", req->parts.path);
    put_span(out, "query", req->parts.query);
    put_span(out, "authority", req->parts.authority);
    put_span(out, "host", req->host);
    wsgi__buf_printf(out, " 1.%d length %" PRId64 " chunked %d keep %d 100 %d",
                     req->minor, req->content_length, req->chunked,
                     req->keep_alive, req->expect_continue);
    for (size_t i = 0; i < req->n_headers; i++) {
        put_span(out, "name", req->headers[i].name);
        put_span(out, "value", req->headers[i].value);
    }
}

static void
check_kind(wsgi__span text, fuzz_kind kind)
{
    for (size_t i = 0; i < text.len; i++)
        FUZZ_CHECK(fuzz_is(text.ptr[i], kind), "%.*s", FUZZ_SPAN(text));
}

/* How many fields of that name there are; *value is the last one's. */
static size_t
find_field(const wsgi__request *req, wsgi__span lower, wsgi__span *value)
{
    size_t n = 0;

    for (size_t i = 0; i < req->n_headers; i++)
        if (wsgi__span_is_nocase(req->headers[i].name, lower)) {
            *value = req->headers[i].value;
            n++;
        }
    return n;
}

/* One framing, said once and plainly (RFC 9112 6.3). */
static void
check_framing(const wsgi__request *req)
{
    wsgi__span value = WSGI__SPAN("");
    char digits[32];
    size_t zeros = 0;

    size_t n = find_field(req, WSGI__SPAN("transfer-encoding"), &value);
    FUZZ_CHECK(n == req->chunked, "%zu codings", n);
    FUZZ_CHECK(n == 0 || (req->minor == 1 && req->content_length < 0 &&
                          wsgi__span_is_nocase(value, WSGI__SPAN("chunked"))),
               "%.*s", FUZZ_SPAN(value));
    n = find_field(req, WSGI__SPAN("content-length"), &value);
    FUZZ_CHECK(n == (req->content_length >= 0), "%zu lengths", n);
    if (n == 0)
        return;
    snprintf(digits, sizeof(digits), "%" PRId64, req->content_length);
    while (zeros + 1 < value.len && value.ptr[zeros] == '0')
        zeros++;
    wsgi__span rest = { value.ptr + zeros, value.len - zeros };
    FUZZ_CHECK(wsgi__span_eq(rest, wsgi__span_of(digits)), "%s of %.*s",
               digits, FUZZ_SPAN(value));
}

/* What every accepted head is: RFC 9112 in a few lines. */
static void
check_request(const wsgi__request *req)
{
    wsgi__span host;
    size_t n_hosts = find_field(req, WSGI__SPAN("host"), &host);

    FUZZ_CHECK(req->method.len > 0 && req->target.len > 0, "empty line");
    check_kind(req->method, FUZZ_TOKEN);
    check_kind(req->target, FUZZ_VISIBLE);
    FUZZ_CHECK(req->minor == 0 || req->minor == 1, "%d", req->minor);
    check_framing(req);
    for (size_t i = 0; i < req->n_headers; i++) {
        wsgi__span name = req->headers[i].name, value = req->headers[i].value;
        FUZZ_CHECK(name.len > 0, "empty name");
        check_kind(name, FUZZ_TOKEN);
        check_kind(value, FUZZ_VALUE);
    }
    FUZZ_CHECK(n_hosts == 1 || (n_hosts == 0 && req->minor == 0), "%zu hosts",
               n_hosts);
}

static void
on_body(run *r, const char *piece_end)
{
    wsgi__span body = wsgi__parser_body(r->parser);
    FUZZ_CHECK(body.ptr + body.len == piece_end, "a body that is elsewhere");
    wsgi__buf_append(&r->body, body.ptr, body.len);
}

static void
on_end(run *r)
{
    const wsgi__request *req = wsgi__parser_request(r->parser);
    int64_t len = (int64_t)r->body.len;

    FUZZ_CHECK(req->chunked ||
                   len == (req->content_length < 0 ? 0 : req->content_length),
               "%" PRId64 " bytes of %" PRId64, len, req->content_length);
    put_span(&r->trace, "body", wsgi__buf_span(&r->body));
    wsgi__buf_puts(&r->trace, " end\n");
    wsgi__buf_reset(&r->body);
    wsgi__parser_reset(r->parser);
    FUZZ_CHECK(!wsgi__parser_started(r->parser), "started by a reset");
    r->n_requests++;
}

/* Neither input nor calls bring a refused request back. */
static void
on_error(run *r)
{
    static const char sane[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    size_t used;

    FUZZ_CHECK(wsgi__parser_status(r->parser) >= 400 &&
                   wsgi__parser_status(r->parser) <= 505,
               "%d", wsgi__parser_status(r->parser));
    fuzz_check_sentence(wsgi__span_of(wsgi__parser_reason(r->parser)));
    put_span(&r->trace, "body", wsgi__buf_span(&r->body));
    wsgi__buf_printf(&r->trace, " error %d %s", wsgi__parser_status(r->parser),
                     wsgi__parser_reason(r->parser));
    FUZZ_CHECK(wsgi__parser_feed(r->parser, sane, sizeof(sane) - 1, &used) ==
                       WSGI__EV_ERROR &&
                   used == 0,
               "a request behind an error");
    r->failed = true;
}

static void
run_piece(run *r, const char *piece, size_t len)
{
    bool more = false;

    while (!more && !r->failed) {
        size_t used;
        wsgi__event event = wsgi__parser_feed(r->parser, piece, len, &used);
        FUZZ_CHECK(used <= len, "%zu of %zu bytes used", used, len);
        piece += used;
        len -= used;
        r->used += used;
        switch (event) {
        case WSGI__EV_MORE:
            FUZZ_CHECK(len == 0, "%zu bytes left", len);
            more = true;
            break;
        case WSGI__EV_HEAD:
            check_request(wsgi__parser_request(r->parser));
            put_request(&r->trace, wsgi__parser_request(r->parser));
            break;
        case WSGI__EV_BODY:
            on_body(r, piece);
            break;
        case WSGI__EV_END:
            on_end(r);
            break;
        case WSGI__EV_ERROR:
            on_error(r);
            break;
        }
    }
}

/* Lengths of pieces, over and over; none: all in one. */
typedef struct cuts {
    size_t lens[64], n;
} cuts;

static cuts
read_cuts(wsgi__span line)
{
    const size_t most = sizeof(((cuts *)0)->lens) / sizeof(size_t);
    cuts c = { .n = line.len < most ? line.len : most };
    size_t sum = 0;

    for (size_t i = 0; i < c.n; i++) {
        unsigned char byte = (unsigned char)line.ptr[i];
        bool digit = byte >= '0' && byte <= '9';
        c.lens[i] = digit ? byte - (size_t)'0' : byte;
        sum += c.lens[i];
    }
    if (sum == 0) /* would never end */
        c.n = 0;
    return c;
}

static void
run_pieces(run *r, wsgi__parser *parser, wsgi__span input, const cuts *c)
{
    static guard guarded;

    if (!guarded.map)
        guarded = guard_new(MOST_INPUT);
    *r = (run){ .parser = parser };
    wsgi__buf_init(&r->trace, 16 * MOST_INPUT);
    wsgi__buf_init(&r->body, MOST_INPUT);
    for (size_t i = 0; input.len > 0 && !r->failed; i++) {
        size_t len = c->n ? c->lens[i % c->n] : input.len;
        if (len > input.len)
            len = input.len;
        run_piece(r, guard_copy(&guarded, input.ptr, len), len);
        input = (wsgi__span){ input.ptr + len, input.len - len };
    }
}

static void
run_free(run *r)
{
    wsgi__parser_free(r->parser);
    wsgi__buf_free(&r->trace);
    wsgi__buf_free(&r->body);
}

/* ---- What must be so ----------------------------------------------------- */

static void
check_cut(const run *whole, const wsgi__parser_limits *limits,
          wsgi__span input, const cuts *c)
{
    run cut;

    run_pieces(&cut, wsgi__parser_new(limits), input, c);
    FUZZ_CHECK(whole->used == cut.used, "%zu bytes used, %zu in pieces of %zu",
               whole->used, cut.used, c->lens[0]);
    FUZZ_CHECK(wsgi__span_eq(wsgi__buf_span(&whole->trace),
                             wsgi__buf_span(&cut.trace)),
               "in pieces of %zu:\n%.*s\n%.*s", c->lens[0],
               FUZZ_SPAN(wsgi__buf_span(&whole->trace)),
               FUZZ_SPAN(wsgi__buf_span(&cut.trace)));
    run_free(&cut);
}

/* The parser of a connection that had all of `before`, twice. */
static wsgi__parser *
parser_after(const wsgi__parser_limits *limits, wsgi__span before)
{
    wsgi__parser *parser = wsgi__parser_new(limits);

    wsgi__parser_remember(parser);
    for (int i = 0; i < 2; i++) {
        run r;
        run_pieces(&r, parser, before, &(cuts){ .n = 0 });
        wsgi__parser_reset(parser);
        r.parser = NULL;
        run_free(&r);
    }
    return parser;
}

/* What is remembered of other requests changes nothing. */
static void
check_remembered(const wsgi__parser_limits *limits, wsgi__span before,
                 wsgi__span input)
{
    run fresh, after;

    run_pieces(&fresh, wsgi__parser_new(limits), input, &(cuts){ .n = 0 });
    run_pieces(&after, parser_after(limits, before), input, &(cuts){ .n = 0 });
    FUZZ_CHECK(fresh.used == after.used &&
                   wsgi__span_eq(wsgi__buf_span(&fresh.trace),
                                 wsgi__buf_span(&after.trace)),
               "not the same when remembered:\n%.*s\n%.*s",
               FUZZ_SPAN(wsgi__buf_span(&fresh.trace)),
               FUZZ_SPAN(wsgi__buf_span(&after.trace)));
    run_free(&fresh);
    run_free(&after);
}

/* Behind itself, and with each byte changed behind what it was. */
static void
check_memory(const wsgi__parser_limits *limits, wsgi__span input)
{
    char changed[MOST_SPLIT];

    check_remembered(limits, input, input);
    if (input.len > MOST_SPLIT)
        return;
    memcpy(changed, input.ptr, input.len);
    for (size_t at = 0; at < input.len; at++) {
        changed[at] ^= 1;
        check_remembered(limits, input, (wsgi__span){ changed, input.len });
        changed[at] ^= 1;
    }
}

static wsgi__span
cut_to(wsgi__span *text, const char *separator)
{
    size_t len = strlen(separator);
    const char *at = memmem(text->ptr, text->len, separator, len);

    FUZZ_CHECK(at, "no %s in %.*s", separator, FUZZ_SPAN(*text));
    wsgi__span head = { text->ptr, (size_t)(at - text->ptr) };
    *text = (wsgi__span){ at + len, text->len - head.len - len };
    return head;
}

/* The grammar of RFC 9112 over an accepted head, line by line: it has nothing
 * that the grammar does not have, and was taken apart where that says. */
static void
check_grammar(wsgi__span text, const wsgi__request *req)
{
    wsgi__span line = cut_to(&text, "\r\n");

    while (line.len == 0) /* before the request line */
        line = cut_to(&text, "\r\n");
    FUZZ_CHECK(wsgi__span_eq(cut_to(&line, " "), req->method), "method");
    FUZZ_CHECK(wsgi__span_eq(cut_to(&line, " "), req->target), "target");
    FUZZ_CHECK(line.len == 8 && memcmp(line.ptr, "HTTP/1.", 7) == 0 &&
                   line.ptr[7] >= '0' && line.ptr[7] <= '9' &&
                   (line.ptr[7] != '0') == req->minor,
               "%.*s", FUZZ_SPAN(line));
    size_t n = 0;
    while ((line = cut_to(&text, "\r\n")).len > 0) {
        wsgi__span name = cut_to(&line, ":");
        FUZZ_CHECK(n < req->n_headers, "fewer fields than lines");
        const wsgi__header *h = &req->headers[n++];
        FUZZ_CHECK(wsgi__span_eq(h->name, name), "%.*s", FUZZ_SPAN(name));
        FUZZ_CHECK(wsgi__span_eq(h->value, wsgi__span_trim(line)), "%.*s",
                   FUZZ_SPAN(line));
    }
    FUZZ_CHECK(n == req->n_headers && text.len == 0, "%zu of %zu fields", n,
               req->n_headers);
}

static void
put_head(wsgi__buf *out, const wsgi__request *req)
{
    wsgi__buf_append(out, req->method.ptr, req->method.len);
    wsgi__buf_puts(out, " ");
    wsgi__buf_append(out, req->target.ptr, req->target.len);
    wsgi__buf_printf(out, " HTTP/1.%d\r\n", req->minor);
    for (size_t i = 0; i < req->n_headers; i++) {
        const wsgi__header *h = &req->headers[i];
        wsgi__buf_append(out, h->name.ptr, h->name.len);
        wsgi__buf_puts(out, ": ");
        wsgi__buf_append(out, h->value.ptr, h->value.len);
        wsgi__buf_puts(out, "\r\n");
    }
    wsgi__buf_puts(out, "\r\n");
}

/* A head written anew from what was understood of it is understood as the same
 * head: nothing in it can be read two ways. */
static void
check_rewritten(wsgi__span input)
{
    wsgi__parser *first = wsgi__parser_new(&none);
    wsgi__parser *second = wsgi__parser_new(&none);
    wsgi__buf text, traces[2];
    size_t used;

    wsgi__buf_init(&text, 2 * MOST_INPUT);
    wsgi__buf_init(&traces[0], 8 * MOST_INPUT);
    wsgi__buf_init(&traces[1], 8 * MOST_INPUT);
    if (wsgi__parser_feed(first, input.ptr, input.len, &used) ==
        WSGI__EV_HEAD) {
        check_grammar((wsgi__span){ input.ptr, used },
                      wsgi__parser_request(first));
        put_head(&text, wsgi__parser_request(first));
        /* "a:b" grows by a blank: the ceiling may be passed. */
        bool fits = text.len < WSGI__PARSER_MAX_HEAD;
        wsgi__event event =
            wsgi__parser_feed(second, text.data, text.len, &used);
        FUZZ_CHECK(!fits || (event == WSGI__EV_HEAD && used == text.len),
                   "refused when written anew: %.*s",
                   FUZZ_SPAN(wsgi__buf_span(&text)));
        put_request(&traces[0], wsgi__parser_request(first));
        put_request(&traces[1], wsgi__parser_request(second));
        FUZZ_CHECK(!fits || wsgi__span_eq(wsgi__buf_span(&traces[0]),
                                          wsgi__buf_span(&traces[1])),
                   "another head when written anew: %.*s",
                   FUZZ_SPAN(wsgi__buf_span(&text)));
    }
    wsgi__parser_free(first);
    wsgi__parser_free(second);
    wsgi__buf_free(&text);
    wsgi__buf_free(&traces[0]);
    wsgi__buf_free(&traces[1]);
}

/* The parser alone, as buffers of ours would fail too. */
static void
run_out_of_memory(wsgi__span input, long nth)
{
    wsgi__mem_fail_nth(nth);
    wsgi__parser *parser = wsgi__parser_new(&usual);
    wsgi__event event = WSGI__EV_END;
    for (size_t used;
         parser && event != WSGI__EV_MORE && event != WSGI__EV_ERROR;) {
        if (event == WSGI__EV_END)
            wsgi__parser_reset(parser);
        event = wsgi__parser_feed(parser, input.ptr, input.len, &used);
        input = (wsgi__span){ input.ptr + used, input.len - used };
    }
    wsgi__mem_fail_nth(0);
    if (parser && event == WSGI__EV_ERROR)
        FUZZ_CHECK(wsgi__parser_status(parser) != 0, "an error without one");
    wsgi__parser_free(parser);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    wsgi__span input = fuzz_input(data, size), lengths;
    run whole;

    if (size > MOST_INPUT || !fuzz_line(&input, &lengths))
        return -1;
    char letter = fuzz_letter(&lengths, 'u');
    if (letter == 'm') {
        run_out_of_memory(input, (long)fuzz_number(&lengths, 1, 64));
        return 0;
    }
    const wsgi__parser_limits *limits = limits_of(letter);
    run_pieces(&whole, wsgi__parser_new(limits), input, &(cuts){ .n = 0 });
    cuts given = read_cuts(lengths);
    check_cut(&whole, limits, input, &given);
    check_cut(&whole, limits, input, &(cuts){ .lens = { 1 }, .n = 1 });
    for (size_t at = 1; at < input.len && input.len <= MOST_SPLIT; at++)
        check_cut(&whole, limits, input,
                  &(cuts){ .lens = { at, MOST_SPLIT }, .n = 2 });
    run_free(&whole);
    check_memory(limits, input);
    check_rewritten(input);
    return 0;
}
