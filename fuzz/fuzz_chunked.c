/*
 * The chunked coding against a decoder that has the whole text and takes its
 * time: the same content, end, faults and limits, however the input is cut.
 *
 * Input: a first line "MAX_BODY MAX_META PIECE", then the coded bytes, which go
 * in by pieces of that length.
 */
#include "fuzz.h"
#include "http/chunked.h"

typedef enum verdict { WHOLE, PART, BAD } verdict;

typedef struct result {
    verdict is;
    size_t used; /* where WHOLE */
    int status;  /* where BAD; 0: any */
    wsgi__buf body;
} result;

/* ---- Slowly -------------------------------------------------------------- */

typedef struct slow {
    wsgi__span rest;
    int64_t max_body, total;
    size_t max_meta, meta;
    bool cr; /* the last line got as far as its CR */
    result *out;
} slow;

static bool
decide(slow *s, verdict is, int status)
{
    s->out->is = is;
    s->out->status = status;
    return false;
}

/* Cuts off the bytes before the next CR, which a field value could have, and
 * the CRLF.  False when that decides: *line is then what there is of it. */
static bool
take_line(slow *s, wsgi__span *line)
{
    size_t n = 0;

    while (n < s->rest.len && s->rest.ptr[n] != '\r') {
        if (!fuzz_is(s->rest.ptr[n], FUZZ_VALUE))
            return decide(s, BAD, 400);
        n++;
    }
    *line = (wsgi__span){ s->rest.ptr, n };
    s->cr = n < s->rest.len;
    if (n + 1 < s->rest.len && s->rest.ptr[n + 1] != '\n')
        return decide(s, BAD, 400);
    size_t used = n + 2 < s->rest.len ? n + 2 : s->rest.len;
    bool whole = n + 2 <= s->rest.len;
    s->rest = (wsgi__span){ s->rest.ptr + used, s->rest.len - used };
    return whole || decide(s, PART, 0);
}

static size_t
count_of(wsgi__span text, fuzz_kind kind)
{
    size_t n = 0;
    while (n < text.len && fuzz_is(text.ptr[n], kind))
        n++;
    return n;
}

static bool
charge(slow *s, size_t len)
{
    s->meta += len;
    return s->meta <= s->max_meta || decide(s, BAD, 400);
}

/* An extension, blanks before its semicolon included; so far, of a part. */
static bool
may_follow(const slow *s, wsgi__span line, size_t at)
{
    while (at < line.len && (line.ptr[at] == ' ' || line.ptr[at] == '\t'))
        at++;
    return at < line.len ? line.ptr[at] == ';' : !s->cr;
}

/* 1*HEXDIG, then nothing or an extension: of a part of a line, what is there. */
static bool
take_size(slow *s, int64_t *size)
{
    wsgi__span line;
    bool whole = take_line(s, &line);
    if (!whole && s->out->is == BAD)
        return false;
    size_t digits = count_of(line, FUZZ_HEX);
    *size = 0;
    for (size_t i = 0; i < digits; i++) {
        if (i >= 16 || *size > INT64_MAX >> 4)
            return decide(s, BAD, 400);
        *size = *size << 4 | fuzz_hex_value(line.ptr[i]);
    }
    if (digits == 0 && (s->cr || line.len > 0))
        return decide(s, BAD, 400);
    if (digits < line.len &&
        (!may_follow(s, line, digits) || !charge(s, line.len - digits)))
        return decide(s, BAD, 400);
    return whole;
}

static bool
take_data(slow *s, int64_t size)
{
    size_t len = (uint64_t)size < s->rest.len ? (size_t)size : s->rest.len;

    if (size > INT64_MAX - s->total)
        return decide(s, BAD, 400);
    if (s->max_body && size > s->max_body - s->total)
        return decide(s, BAD, 413);
    s->total += size;
    wsgi__buf_append(&s->out->body, s->rest.ptr, len);
    s->rest = (wsgi__span){ s->rest.ptr + len, s->rest.len - len };
    size_t n = s->rest.len < 2 ? s->rest.len : 2;
    if (memcmp(s->rest.ptr, "\r\n", n) != 0)
        return decide(s, BAD, 400);
    s->rest = (wsgi__span){ s->rest.ptr + n, s->rest.len - n };
    return n == 2 || decide(s, PART, 0);
}

/* token ":" value, of a part of a line what is there. */
static bool
take_trailer(slow *s, bool *last)
{
    wsgi__span line;
    bool whole = take_line(s, &line);
    if (!whole && s->out->is == BAD)
        return false;
    size_t name = count_of(line, FUZZ_TOKEN);
    *last = whole && line.len == 0;
    if (line.len == 0)
        return whole;
    if (name == 0 || (name < line.len && line.ptr[name] != ':') ||
        (name == line.len && s->cr))
        return decide(s, BAD, 400);
    return charge(s, line.len) && whole;
}

static void
decode_slowly(slow *s, wsgi__span text)
{
    int64_t size = 1;
    bool last = false;

    s->rest = text;
    while (size > 0)
        if (!take_size(s, &size) || (size > 0 && !take_data(s, size)))
            return;
    while (!last)
        if (!take_trailer(s, &last))
            return;
    s->out->is = WHOLE;
    s->out->used = text.len - s->rest.len;
}

/* ---- As the library does it ------------------------------------------------ */

static void
decode(wsgi__chunked *c, wsgi__span text, size_t piece_len, result *out)
{
    while (text.len > 0 && !wsgi__chunked_ended(c) && !c->fault.status) {
        size_t len = piece_len && piece_len < text.len ? piece_len : text.len;
        char *exact = malloc(len);
        wsgi__span piece;
        if (!exact)
            abort();
        memcpy(exact, text.ptr, len);
        size_t used = wsgi__chunked_feed(c, exact, len, &piece);
        FUZZ_CHECK(used <= len && used > 0, "%zu of %zu used", used, len);
        wsgi__buf_append(&out->body, piece.ptr, piece.len);
        free(exact);
        text = (wsgi__span){ text.ptr + used, text.len - used };
        out->used += used;
    }
    out->is = wsgi__chunked_ended(c) ? WHOLE : c->fault.status ? BAD : PART;
    out->status = c->fault.status;
    if (out->is == BAD)
        fuzz_check_sentence(wsgi__span_of(c->fault.reason));
}

static bool
is_prefix(wsgi__span a, wsgi__span b)
{
    return a.len <= b.len && memcmp(a.ptr, b.ptr, a.len) == 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    wsgi__span text = fuzz_input(data, size), line;
    result fast = { 0 }, plain = { 0 };
    wsgi__chunked c;

    if (!fuzz_line(&text, &line))
        return -1;
    int64_t max_body = fuzz_number(&line, 0, INT64_MAX);
    size_t max_meta = (size_t)fuzz_number(&line, 64, 8192);
    size_t piece = (size_t)fuzz_number(&line, 1, 4096);
    wsgi__buf_init(&fast.body, size + 1);
    wsgi__buf_init(&plain.body, size + 1);
    wsgi__chunked_init(&c, max_body, max_meta);
    decode(&c, text, piece, &fast);
    decode_slowly(
        &(slow){ .max_body = max_body, .max_meta = max_meta, .out = &plain },
        text);
    FUZZ_CHECK(fast.is == plain.is, "%d, not %d", (int)fast.is, (int)plain.is);
    wsgi__span body = fuzz_buf(&fast.body), expected = fuzz_buf(&plain.body);
    FUZZ_CHECK(fast.is == BAD
                   ? is_prefix(body, expected) || is_prefix(expected, body)
                   : wsgi__span_eq(body, expected),
               "%.*s, not %.*s", FUZZ_SPAN(body), FUZZ_SPAN(expected));
    FUZZ_CHECK(fast.is != WHOLE || fast.used == plain.used, "%zu, not %zu",
               fast.used, plain.used);
    FUZZ_CHECK(fast.status != 413 || plain.status == 413, "%d for %d",
               fast.status, plain.status);
    wsgi__buf_free(&fast.body);
    wsgi__buf_free(&plain.body);
    return 0;
}
