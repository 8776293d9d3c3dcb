#include "wire.h"

#include "fuzz.h"

/* Cuts a line and its CRLF off.  Neither CR nor LF is anywhere else. */
static wsgi__span
take_line(wsgi__span *text)
{
    const char *end = memmem(text->ptr, text->len, "\r\n", 2);
    FUZZ_CHECK(end, "no line end: %.*s", FUZZ_SPAN(*text));
    wsgi__span line = { text->ptr, (size_t)(end - text->ptr) };
    *text = (wsgi__span){ end + 2, text->len - line.len - 2 };
    for (size_t i = 0; i < line.len; i++)
        FUZZ_CHECK(fuzz_is(line.ptr[i], FUZZ_VALUE),
                   "control byte in a head: %.*s", FUZZ_SPAN(line));
    return line;
}

static bool
starts(wsgi__span text, wsgi__span with)
{
    return text.len >= with.len &&
           wsgi__span_eq((wsgi__span){ text.ptr, with.len }, with);
}

static void
read_status(wire_head *head, wsgi__span line)
{
    static const wsgi__span version = { "HTTP/1.1 ", 9 };

    FUZZ_CHECK(starts(line, version) && line.len >= version.len + 4,
               "no status line: %.*s", FUZZ_SPAN(line));
    head->status =
        (wsgi__span){ line.ptr + version.len, line.len - version.len };
    const char *s = head->status.ptr;
    for (int i = 0; i < 3; i++)
        FUZZ_CHECK(s[i] >= '0' && s[i] <= '9', "%.*s", FUZZ_SPAN(line));
    FUZZ_CHECK(s[3] == ' ', "%.*s", FUZZ_SPAN(line));
    head->code = (s[0] - '0') * 100 + (s[1] - '0') * 10 + (s[2] - '0');
    FUZZ_CHECK(head->code >= 100, "%.*s", FUZZ_SPAN(line));
}

static int64_t
read_length(wsgi__span text)
{
    int64_t n = 0;

    FUZZ_CHECK(text.len > 0 && text.len <= 19, "a length of %.*s",
               FUZZ_SPAN(text));
    for (size_t i = 0; i < text.len; i++) {
        FUZZ_CHECK(text.ptr[i] >= '0' && text.ptr[i] <= '9',
                   "a length of %.*s", FUZZ_SPAN(text));
        int digit = text.ptr[i] - '0';
        FUZZ_CHECK(n <= (INT64_MAX - digit) / 10, "a length of %.*s",
                   FUZZ_SPAN(text));
        n = n * 10 + digit;
    }
    return n;
}

static void
note_field(wire_head *head, const wsgi__header *field)
{
    wsgi__span name = field->name, value = field->value;

    if (wsgi__span_is_nocase(name, WSGI__SPAN("content-length"))) {
        FUZZ_CHECK(head->length < 0, "two lengths");
        head->length = read_length(value);
    } else if (wsgi__span_is_nocase(name, WSGI__SPAN("transfer-encoding"))) {
        FUZZ_CHECK(!head->chunked, "two transfer codings");
        FUZZ_CHECK(wsgi__span_eq(value, WSGI__SPAN("chunked")), "%.*s",
                   FUZZ_SPAN(value));
        head->chunked = true;
    } else if (wsgi__span_is_nocase(name, WSGI__SPAN("connection"))) {
        FUZZ_CHECK(!head->closes && !head->keeps, "Connection twice");
        head->closes = wsgi__span_eq(value, WSGI__SPAN("close"));
        head->keeps = wsgi__span_eq(value, WSGI__SPAN("keep-alive"));
        FUZZ_CHECK(head->closes || head->keeps, "%.*s", FUZZ_SPAN(value));
    }
}

static void
read_field(wire_head *head, wsgi__span line)
{
    const char *colon = memchr(line.ptr, ':', line.len);

    FUZZ_CHECK(colon && colon > line.ptr, "no field: %.*s", FUZZ_SPAN(line));
    FUZZ_CHECK(head->n_fields < WIRE_MOST_FIELDS, "too many fields");
    wsgi__header *field = &head->fields[head->n_fields++];
    field->name = (wsgi__span){ line.ptr, (size_t)(colon - line.ptr) };
    for (size_t i = 0; i < field->name.len; i++)
        FUZZ_CHECK(fuzz_is(line.ptr[i], FUZZ_TOKEN),
                   "a name that is none: %.*s", FUZZ_SPAN(line));
    /* "Name: value", as the library writes it, a blank of its own each. */
    FUZZ_CHECK(line.len >= field->name.len + 2 && colon[1] == ' ', "%.*s",
               FUZZ_SPAN(line));
    field->value = (wsgi__span){ colon + 2, line.len - field->name.len - 2 };
    note_field(head, field);
}

size_t
wire_read_head(wsgi__span text, wire_head *head)
{
    wsgi__span rest = text;
    wsgi__span line;

    if (!memmem(text.ptr, text.len, "\r\n\r\n", 4))
        return 0;
    head->n_fields = 0;
    head->length = -1;
    head->chunked = head->closes = head->keeps = false;
    read_status(head, take_line(&rest));
    while ((line = take_line(&rest)).len > 0)
        read_field(head, line);
    /* RFC 9110 8.6, RFC 9112 6.1. */
    bool bodiless = head->code < 200 || head->code == 204;
    FUZZ_CHECK(!bodiless || (head->length < 0 && !head->chunked),
               "%d with a length", head->code);
    FUZZ_CHECK(head->length < 0 || !head->chunked, "two framings");
    return text.len - rest.len;
}

wsgi__span
wire_field(const wire_head *head, wsgi__span lower)
{
    wsgi__span found = { NULL, 0 };

    for (size_t i = 0; i < head->n_fields; i++)
        if (wsgi__span_is_nocase(head->fields[i].name, lower)) {
            FUZZ_CHECK(!found.ptr, "%.*s twice", FUZZ_SPAN(lower));
            found = head->fields[i].value;
        }
    return found;
}

static wire_body
read_sized(uint64_t size, wsgi__span text, wire_piece_cb piece, void *user)
{
    uint64_t there = text.len < size ? text.len : size;

    if (there)
        piece(user, (wsgi__span){ text.ptr, (size_t)there });
    return (wire_body){ there == size ? WIRE_COMPLETE : WIRE_CUT,
                        (size_t)there, there };
}

/* Lower-case digits without a leading zero, as the library writes them. */
static size_t
read_chunk_size(wsgi__span line)
{
    size_t size = 0;

    FUZZ_CHECK(line.len > 0 && line.len <= 8, "a chunk of %.*s",
               FUZZ_SPAN(line));
    FUZZ_CHECK(line.len == 1 || *line.ptr != '0', "a chunk of %.*s",
               FUZZ_SPAN(line));
    for (size_t i = 0; i < line.len; i++) {
        char c = line.ptr[i];
        FUZZ_CHECK(fuzz_is(c, FUZZ_HEX) && (c < 'A' || c > 'F'),
                   "a chunk of %.*s", FUZZ_SPAN(line));
        size = size << 4 | (size_t)fuzz_hex_value(c);
    }
    return size;
}

static bool
take_crlf(wsgi__span *text)
{
    size_t len = text->len < 2 ? text->len : 2;

    FUZZ_CHECK(memcmp(text->ptr, "\r\n", len) == 0, "no CRLF behind a chunk");
    *text = (wsgi__span){ text->ptr + len, text->len - len };
    return len == 2;
}

static wire_body
read_chunked(wsgi__span text, wire_piece_cb piece, void *user)
{
    wire_body body = { .end = WIRE_CUT, .used = text.len };
    wsgi__span rest = text;

    while (memmem(rest.ptr, rest.len, "\r\n", 2)) {
        size_t size = read_chunk_size(take_line(&rest));
        if (size == 0 && take_crlf(&rest)) {
            body.end = WIRE_COMPLETE;
            body.used = text.len - rest.len;
        }
        if (size == 0)
            return body;
        wire_body part = read_sized(size, rest, piece, user);
        body.size += part.size;
        rest = (wsgi__span){ rest.ptr + part.used, rest.len - part.used };
        if (part.end != WIRE_COMPLETE || !take_crlf(&rest))
            return body;
    }
    return body;
}

wire_body
wire_read_body(const wire_head *head, bool to_head, wsgi__span text,
               wire_piece_cb piece, void *user)
{
    /* In the order of RFC 9112 6.3. */
    if (to_head || head->code < 200 || head->code == 204 || head->code == 304)
        return (wire_body){ .end = WIRE_COMPLETE };
    if (head->chunked)
        return read_chunked(text, piece, user);
    if (head->length >= 0)
        return read_sized((uint64_t)head->length, text, piece, user);
    wire_body body = read_sized(text.len, text, piece, user);
    body.end = WIRE_UNTIL_CLOSE;
    return body;
}
