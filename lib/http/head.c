#include "http/head.h"

#include <stdint.h>

#include <wsgi/wsgi.h>

#include "base/macros.h"
#include "http/chars.h"

/* Input is copied to the head in pieces of this size, because what follows a
 * head in the input is not part of it.  Most heads are one piece. */
#define HEAD_PIECE 1024
#define MAX_EMPTY_LINES 8

static void
fail(wsgi__head *h, int status, const char *reason)
{
    h->state = WSGI__HEAD_FAILED;
    h->fault = (wsgi__fault){ status, reason };
}

static void
fail_if(wsgi__head *h, wsgi__fault fault)
{
    if (fault.status)
        fail(h, fault.status, fault.reason);
}

/* ---- Why a byte is refused ---------------------------------------------- */

enum { BARE_LF, CR, BLANK, CONTROL, EIGHT_BIT, OTHER, N_KINDS };

static int
kind_of(unsigned char byte)
{
    if (byte == '\n')
        return BARE_LF;
    if (byte == '\r')
        return CR;
    if (byte == ' ' || byte == '\t')
        return BLANK;
    if (byte < 0x20 || byte == 0x7f)
        return CONTROL;
    return byte >= 0x80 ? EIGHT_BIT : OTHER;
}

#define NOT_HTTP "not an HTTP request"
#define TLS_HANDSHAKE 0x16 /* its first byte (RFC 8446 5.1) */
#define LINE_FAULTS                                                           \
    [BARE_LF] = "bare LF in the request line",                                \
    [CONTROL] = "control byte in the request line",                           \
    [EIGHT_BIT] = "8-bit byte in the request line"
#define BARE_CR(place)                                                        \
    {                                                                         \
        [BARE_LF] = place, [CR] = place, [BLANK] = place, [CONTROL] = place,  \
        [EIGHT_BIT] = place, [OTHER] = place                                  \
    }

static const char *const faults[WSGI__HEAD_ENDED][N_KINDS] = {
    [WSGI__HEAD_EMPTY_LINE] = { [BARE_LF] = "bare LF before the request line",
                                [CR] = NOT_HTTP,
                                [BLANK] = "blank before the request line",
                                [CONTROL] = NOT_HTTP,
                                [EIGHT_BIT] = NOT_HTTP,
                                [OTHER] = NOT_HTTP },
    [WSGI__HEAD_EMPTY_LF] = BARE_CR("bare CR before the request line"),
    [WSGI__HEAD_METHOD] = { LINE_FAULTS,
                            [CR] = "request line without a target",
                            [BLANK] = "tab in the request line",
                            [OTHER] = "byte not allowed in a method" },
    [WSGI__HEAD_TARGET] = { LINE_FAULTS,
                            [CR] = "request line without an HTTP version",
                            [BLANK] = "tab or two spaces in the request line",
                            [OTHER] =
                                "byte not allowed in the request target" },
    [WSGI__HEAD_VERSION] = { LINE_FAULTS, [CR] = "malformed HTTP version",
                             [BLANK] = "blank in or behind the HTTP version",
                             [OTHER] = "malformed HTTP version" },
    [WSGI__HEAD_LINE_LF] = BARE_CR("bare CR in the request line"),
    [WSGI__HEAD_FIELD] = { [BARE_LF] = "bare LF in the head",
                           [CR] = "bare CR in the head",
                           [BLANK] = "folded header field",
                           [CONTROL] = "control byte in a field name",
                           [EIGHT_BIT] = "8-bit byte in a field name",
                           [OTHER] = "byte not allowed in a field name" },
    [WSGI__HEAD_NAME] = { [BARE_LF] = "bare LF in the head",
                          [CR] = "header field without a colon",
                          [BLANK] =
                              "space in a field name or before its colon",
                          [CONTROL] = "control byte in a field name",
                          [EIGHT_BIT] = "8-bit byte in a field name",
                          [OTHER] = "byte not allowed in a field name" },
    [WSGI__HEAD_VALUE] = { [BARE_LF] = "bare LF in the head",
                           [CONTROL] = "control byte in a field value" },
    [WSGI__HEAD_FIELD_LF] = BARE_CR("bare CR in the head"),
    [WSGI__HEAD_LAST_LF] = BARE_CR("bare CR in the head"),
};

/* Refuses the byte at `at` and steps over it. */
static size_t
refuse(wsgi__head *h, const unsigned char *bytes, size_t at)
{
    /* https:// with the port of http:// is too common not to be named. */
    if (h->state == WSGI__HEAD_EMPTY_LINE && bytes[at] == TLS_HANDSHAKE)
        fail(h, 400, "TLS on a port of plain HTTP");
    else
        fail(h, 400, faults[h->state][kind_of(bytes[at])]);
    return at + 1;
}

/* ---- Request line ------------------------------------------------------- */

/* A scan function takes bytes from `at` on, at most to `stop`, sets the state
 * and returns the place of the next byte.  `at` is below `stop`. */
typedef size_t scan_fn(wsgi__head *h, const unsigned char *bytes, size_t at,
                       size_t stop);

static size_t
skip(const unsigned char *bytes, size_t at, size_t stop, unsigned kind)
{
    while (at < stop && wsgi__char_is(bytes[at], kind))
        at++;
    return at;
}

static wsgi__span
head_span(const wsgi__head *h, size_t from, size_t to)
{
    return (wsgi__span){ h->req->head.data + from, to - from };
}

/* RFC 9112 2.2: at least one empty line before a request is to be ignored. */
static size_t
scan_empty_line(wsgi__head *h, const unsigned char *bytes, size_t at,
                size_t stop)
{
    (void)stop;
    if (bytes[at] == '\r') {
        h->state = WSGI__HEAD_EMPTY_LF;
        return at + 1;
    }
    if (!wsgi__char_is(bytes[at], WSGI__CH_TOKEN))
        return refuse(h, bytes, at);
    h->state = WSGI__HEAD_METHOD;
    return at;
}

static size_t
scan_empty_lf(wsgi__head *h, const unsigned char *bytes, size_t at,
              size_t stop)
{
    (void)stop;
    if (bytes[at] != '\n')
        return refuse(h, bytes, at);
    if (++h->empty_lines > MAX_EMPTY_LINES)
        fail(h, 400, "too many empty lines before the request line");
    else
        h->state = WSGI__HEAD_EMPTY_LINE;
    return at + 1;
}

static size_t
scan_method(wsgi__head *h, const unsigned char *bytes, size_t at, size_t stop)
{
    at = skip(bytes, at, stop, WSGI__CH_TOKEN);
    if (at == stop)
        return at;
    if (bytes[at] != ' ')
        return refuse(h, bytes, at);
    h->req->method = head_span(h, 0, at);
    h->mark = at + 1;
    h->state = WSGI__HEAD_TARGET;
    return at + 1;
}

static size_t
scan_target(wsgi__head *h, const unsigned char *bytes, size_t at, size_t stop)
{
    at = skip(bytes, at, stop, WSGI__CH_VISIBLE);
    if (at == stop)
        return at;
    if (bytes[at] != ' ' || at == h->mark)
        return refuse(h, bytes, at);
    h->req->target = head_span(h, h->mark, at);
    h->mark = at + 1;
    h->state = WSGI__HEAD_VERSION;
    return at + 1;
}

/* HTTP-version of RFC 9112 2.3, in upper case, and the CR behind it. */
static size_t
scan_version(wsgi__head *h, const unsigned char *bytes, size_t at, size_t stop)
{
    static const unsigned char pattern[] = "HTTP/0.0\r"; /* 0: any digit */

    for (; at < stop; at++) {
        unsigned char expected = pattern[at - h->mark];
        if (bytes[at] != expected &&
            !(expected == '0' && wsgi__is_digit((char)bytes[at])))
            return refuse(h, bytes, at);
        if (expected == '\r') {
            h->state = WSGI__HEAD_LINE_LF;
            return at + 1;
        }
    }
    return at;
}

static void
begin_line(wsgi__head *h, size_t at, size_t max)
{
    h->line = at;
    h->limit = at + max;
    h->state = WSGI__HEAD_FIELD;
}

/* The version comes first, so that the preface of HTTP/2 ("PRI * HTTP/2.0")
 * is answered as what it is. */
static bool
accept_line(wsgi__head *h, unsigned char major, unsigned char minor)
{
    wsgi__request *req = h->req;
    req->minor = minor != '0'; /* a later one is served as 1.1 */

    if (major == '0')
        fail(h, 400, "malformed HTTP version"); /* 0.9 has none to send */
    else if (major != '1')
        fail(h, 505, "HTTP version not supported");
    else if (wsgi__span_eq(req->method, WSGI__SPAN("CONNECT")))
        fail(h, 501, "CONNECT is not supported");
    else
        fail_if(h, wsgi__bad_request(wsgi__target_parse(
                       req->method, req->target, &req->parts)));
    return h->state != WSGI__HEAD_FAILED;
}

static size_t
scan_line_lf(wsgi__head *h, const unsigned char *bytes, size_t at, size_t stop)
{
    (void)stop;
    if (bytes[at] != '\n')
        return refuse(h, bytes, at);
    if (accept_line(h, bytes[h->mark + 5], bytes[h->mark + 7]))
        begin_line(h, at + 1, h->limits.max_field_size);
    h->line_len = h->model_at = at + 1;
    h->is_like = h->model->state != WSGI__MODEL_NONE;
    if (h->is_like)
        h->model_at = h->model->line_len;
    return at + 1;
}

/* ---- Lines of the model ------------------------------------------------- */

/* Whether the bytes of the head from `at` on begin with that text. */
static bool
head_has(const wsgi__head *h, size_t at, const char *text, size_t len)
{
    const wsgi__buf *head = &h->req->head;
    return head->len - at >= len && memcmp(head->data + at, text, len) == 0;
}

/* All fields at once; returns the place behind the head, or `at`. */
static size_t
take_all(wsgi__head *h, size_t at)
{
    const wsgi__model *model = h->model;
    wsgi__span fields = wsgi__model_fields(model);

    /* Fields mean something else in HTTP/1.0. */
    if (model->minor != h->req->minor ||
        !head_has(h, at, fields.ptr, fields.len))
        return at;
    if (wsgi__model_take_fields(model, h->req, at, &h->fields) < 0)
        fail(h, 503, "out of memory");
    else
        h->state = WSGI__HEAD_ENDED;
    return at + fields.len;
}

static void
add_field(wsgi__head *h, wsgi__span name, wsgi__span value, bool acted_on)
{
    if (wsgi__request_add(h->req, name, value) < 0)
        fail(h, 503, "out of memory");
    else if (acted_on)
        fail_if(h, wsgi__fields_add(&h->fields, h->req, name, value));
}

/* How many of the first len bytes are the same; eight at a time. */
static size_t
common_len(const char *a, const char *b, size_t len)
{
    size_t n = 0;
    uint64_t of_a = 0, of_b = 0;
    for (; len - n >= sizeof(of_a); n += sizeof(of_a)) {
        memcpy(&of_a, a + n, sizeof(of_a));
        memcpy(&of_b, b + n, sizeof(of_b));
        if (of_a != of_b)
            break;
    }
    while (n < len && a[n] == b[n])
        n++;
    return n;
}

/* The lines that come next in the model, as many as the head has; returns the
 * place behind them, or `at`.  All in one comparison: 2,000 instructions less
 * than line by line for a browser's head in which two lines differ. */
static size_t
take_lines(wsgi__head *h, size_t at)
{
    const wsgi__model *model = h->model;
    const wsgi__buf *head = &h->req->head;
    size_t most = model->text.len - h->model_at;
    if (most > head->len - at)
        most = head->len - at;
    size_t common =
        common_len(head->data + at, model->text.data + h->model_at, most);
    size_t i = h->req->n_headers, start = at;
    for (; i < model->n_lines && h->state != WSGI__HEAD_FAILED; i++) {
        const wsgi__model_line *line = &model->lines[i];
        if (line->len > common)
            break;
        size_t value_at = at + line->value_at;
        add_field(h, head_span(h, at, at + line->name_len),
                  head_span(h, value_at, value_at + line->value_len),
                  line->acted_on);
        common -= line->len;
        at += line->len;
    }
    h->model_at += at - start;
    if (at > start && h->state != WSGI__HEAD_FAILED)
        begin_line(h, at, h->limits.max_field_size);
    return at;
}

/* A field that was scanned: does the model have its name there? */
static void
compare_name(wsgi__head *h, wsgi__span name)
{
    const wsgi__model *model = h->model;
    size_t i = h->req->n_headers - 1;
    if (!h->is_like)
        return;
    h->is_like =
        i < model->n_lines && model->lines[i].name_len == name.len &&
        memcmp(model->text.data + h->model_at, name.ptr, name.len) == 0;
    if (!h->is_like)
        return;
    h->model_at += model->lines[i].len;
    h->req->like.changed |= UINT64_C(1) << i;
}

/* ---- Fields ------------------------------------------------------------- */

static size_t
scan_field(wsgi__head *h, const unsigned char *bytes, size_t at, size_t stop)
{
    (void)stop;
    if (h->is_like) {
        size_t next = h->req->n_headers == 0 ? take_all(h, at) : at;
        if (next == at)
            next = take_lines(h, at);
        if (next > at)
            return next;
    }
    if (bytes[at] == '\r') {
        h->state = WSGI__HEAD_LAST_LF;
        return at + 1;
    }
    if (kind_of(bytes[at]) == BLANK && h->req->n_headers == 0) {
        fail(h, 400, "blank before the first header field");
        return at + 1;
    }
    if (!wsgi__char_is(bytes[at], WSGI__CH_TOKEN))
        return refuse(h, bytes, at);
    if (h->req->n_headers == h->limits.max_fields) {
        fail(h, 431, "too many header fields");
        return at + 1;
    }
    h->state = WSGI__HEAD_NAME;
    return at;
}

static size_t
scan_name(wsgi__head *h, const unsigned char *bytes, size_t at, size_t stop)
{
    at = skip(bytes, at, stop, WSGI__CH_TOKEN);
    if (at == stop)
        return at;
    if (bytes[at] != ':')
        return refuse(h, bytes, at);
    h->name_len = at - h->line;
    h->mark = at + 1;
    h->state = WSGI__HEAD_BLANK;
    return at + 1;
}

static size_t
scan_blank(wsgi__head *h, const unsigned char *bytes, size_t at, size_t stop)
{
    while (at < stop && (bytes[at] == ' ' || bytes[at] == '\t'))
        at++;
    h->mark = at;
    if (at < stop)
        h->state = WSGI__HEAD_VALUE;
    return at;
}

static size_t
scan_value(wsgi__head *h, const unsigned char *bytes, size_t at, size_t stop)
{
    while (stop - at >= 8 &&
           !wsgi__chars_have_control((const char *)bytes + at))
        at += 8;
    at = skip(bytes, at, stop, WSGI__CH_VALUE);
    if (at == stop)
        return at;
    if (bytes[at] != '\r')
        return refuse(h, bytes, at);
    h->state = WSGI__HEAD_FIELD_LF;
    return at + 1;
}

/* A no-break space at either end, in Latin-1 or UTF-8: str.strip() takes it
 * off, so that the application would see another value than a proxy.  A byte
 * 0xA0 that ends another character of UTF-8 ("voil\303\240") is none. */
static bool
has_odd_blank(wsgi__span value)
{
    const unsigned char *text = (const unsigned char *)value.ptr;
    size_t len = value.len;

    if (len > 0 && text[0] == 0xa0)
        return true;
    if (len > 1 && text[0] == 0xc2 && text[1] == 0xa0)
        return true;
    return len > 1 && text[len - 1] == 0xa0 &&
           (text[len - 2] < 0x80 || text[len - 2] == 0xc2);
}

static void
end_field(wsgi__head *h, size_t end)
{
    wsgi__span name = head_span(h, h->line, h->line + h->name_len);
    wsgi__span value = wsgi__span_trim(head_span(h, h->mark, end));

    if (has_odd_blank(value)) {
        fail(h, 400, "no-break space around a field value");
        return;
    }
    add_field(h, name, value, true);
    if (h->state != WSGI__HEAD_FAILED)
        compare_name(h, name);
}

static size_t
scan_field_lf(wsgi__head *h, const unsigned char *bytes, size_t at,
              size_t stop)
{
    (void)stop;
    if (bytes[at] != '\n')
        return refuse(h, bytes, at);
    end_field(h, at - 1);
    if (h->state != WSGI__HEAD_FAILED)
        begin_line(h, at + 1, h->limits.max_field_size);
    return at + 1;
}

static size_t
scan_head_lf(wsgi__head *h, const unsigned char *bytes, size_t at, size_t stop)
{
    (void)stop;
    if (bytes[at] != '\n')
        return refuse(h, bytes, at);
    h->state = WSGI__HEAD_ENDED;
    h->is_like = h->is_like && h->req->n_headers == h->model->n_lines;
    return at + 1;
}

static scan_fn *const scans[WSGI__HEAD_ENDED] = {
    [WSGI__HEAD_EMPTY_LINE] = scan_empty_line,
    [WSGI__HEAD_EMPTY_LF] = scan_empty_lf,
    [WSGI__HEAD_METHOD] = scan_method,
    [WSGI__HEAD_TARGET] = scan_target,
    [WSGI__HEAD_VERSION] = scan_version,
    [WSGI__HEAD_LINE_LF] = scan_line_lf,
    [WSGI__HEAD_FIELD] = scan_field,
    [WSGI__HEAD_NAME] = scan_name,
    [WSGI__HEAD_BLANK] = scan_blank,
    [WSGI__HEAD_VALUE] = scan_value,
    [WSGI__HEAD_FIELD_LF] = scan_field_lf,
    [WSGI__HEAD_LAST_LF] = scan_head_lf,
};

/* ---- Feeding ------------------------------------------------ */

static void
refuse_size(wsgi__head *h)
{
    if (h->state < WSGI__HEAD_FIELD)
        fail(h, 414, "request line over the limit");
    else if (h->req->head.len == h->req->head.max)
        fail(h, 431, "request head over the limit");
    else
        fail(h, 431, "header field over the limit");
}

static bool
expects_lf(wsgi__head_state state)
{
    return state == WSGI__HEAD_LINE_LF || state == WSGI__HEAD_FIELD_LF ||
           state == WSGI__HEAD_LAST_LF;
}

/* How far to scan: to the end of the bytes that are there, or to where the
 * line must end; then only a line end may follow.  `at` where nothing may. */
static size_t
scan_stop(const wsgi__head *h, size_t at)
{
    size_t len = h->req->head.len;
    if (len <= h->limit || expects_lf(h->state))
        return len;
    if (at < h->limit)
        return h->limit;
    return h->req->head.data[at] == '\r' ? at + 1 : at;
}

/* Scans what was added to the head at `at`, drops what is behind the end or
 * behind the byte that was refused, and returns where that is. */
static size_t
scan_head(wsgi__head *h, size_t at)
{
    wsgi__buf *head = &h->req->head;

    while (at < head->len && h->state < WSGI__HEAD_ENDED) {
        size_t stop = scan_stop(h, at);
        if (stop == at) {
            head->len = ++at;
            refuse_size(h);
            break;
        }
        at = scans[h->state](h, (const unsigned char *)head->data, at, stop);
    }
    head->len = at;
    return at;
}

/* Moves a span with the buffer; empty and constant spans stand still. */
static void
rebase(wsgi__span *span, const char *data, uintptr_t before, size_t len)
{
    uintptr_t offset = (uintptr_t)span->ptr - before;
    if (span->ptr && offset < len)
        span->ptr = data + offset;
}

static void
rebase_request(wsgi__request *req, uintptr_t before)
{
    wsgi__span *const spans[] = { &req->method,          &req->target,
                                  &req->parts.path,      &req->parts.query,
                                  &req->parts.authority, &req->host };
    const char *data = req->head.data;
    size_t len = req->head.len;

    for (size_t i = 0; i < WSGI__COUNT(spans); i++)
        rebase(spans[i], data, before, len);
    for (size_t i = 0; i < req->n_headers; i++) {
        rebase(&req->headers[i].name, data, before, len);
        rebase(&req->headers[i].value, data, before, len);
    }
}

static int
append_to_head(wsgi__request *req, const char *data, size_t len)
{
    uintptr_t before = (uintptr_t)req->head.data;
    int status = wsgi__buf_reserve(&req->head, before ? len : HEAD_PIECE);
    if (status < 0)
        return status;
    if (before && before != (uintptr_t)req->head.data)
        rebase_request(req, before);
    return wsgi__buf_append(&req->head, data, len);
}

/* Empty lines are not kept, so that a request line begins its head. */
static size_t
feed_empty_lines(wsgi__head *h, const char *data, size_t len)
{
    size_t at = 0;
    while (at < len && h->state < WSGI__HEAD_METHOD)
        at = scans[h->state](h, (const unsigned char *)data, at, len);
    return at;
}

/* One that is like the model is better seen in one piece. */
static size_t
piece_size(const wsgi__head *h)
{
    size_t size = HEAD_PIECE;
    if (h->model->text.len > HEAD_PIECE / 2)
        size += h->model->text.len;
    return size;
}

/* Takes bytes of the head; returns how many. */
static size_t
feed_lines(wsgi__head *h, const char *data, size_t len)
{
    wsgi__buf *head = &h->req->head;
    size_t used = 0;

    while (used < len && h->state < WSGI__HEAD_ENDED) {
        size_t before = head->len;
        size_t piece = piece_size(h);
        if (piece > len - used)
            piece = len - used;
        if (piece > head->max - before)
            piece = head->max - before;
        if (append_to_head(h->req, data + used, piece) < 0) {
            fail(h, 503, "out of memory");
            break;
        }
        used += scan_head(h, before) - before;
        if (head->len == head->max && h->state < WSGI__HEAD_ENDED)
            refuse_size(h);
    }
    return used;
}

/* Takes the head if it is the model's: 500 of 9,000 instructions for a small
 * request, whose line would be scanned otherwise. */
static size_t
feed_model(wsgi__head *h, const char *data, size_t len)
{
    const wsgi__model *model = h->model;
    size_t size = model->text.len;
    if (model->state == WSGI__MODEL_NONE || len < size ||
        memcmp(data, model->text.data, size) != 0)
        return 0;
    h->is_like = true;
    h->line_len = model->line_len;
    if (append_to_head(h->req, data, size) < 0) {
        fail(h, 503, "out of memory");
        return 0;
    }
    wsgi__model_take_line(model, h->req);
    return take_all(h, h->line_len);
}

void
wsgi__head_init(wsgi__head *h, const wsgi__head_limits *limits,
                wsgi__request *req, const wsgi__model *model)
{
    *h = (wsgi__head){ .limits = *limits,
                       .req = req,
                       .model = model,
                       .limit = limits->max_line };
}

size_t
wsgi__head_feed(wsgi__head *h, const char *data, size_t len)
{
    size_t used = 0;
    if (h->state == WSGI__HEAD_EMPTY_LINE)
        used = feed_model(h, data, len);
    if (h->state < WSGI__HEAD_METHOD)
        used = feed_empty_lines(h, data, len);
    return used + feed_lines(h, data + used, len - used);
}
