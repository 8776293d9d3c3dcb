#include "http/response.h"

#include <assert.h>
#include <stdint.h>

#include <wsgi/wsgi.h>

#include "base/macros.h"
#include "base/mem.h"
#include "http/decimal.h"

static const wsgi__span date_name = WSGI__SPAN_INIT("date");
static const wsgi__span server_name = WSGI__SPAN_INIT("server");
static const wsgi__span length_name = WSGI__SPAN_INIT("content-length");

/* ---- Copies ------------------------------------------------------------- */

/* Copies the bytes to *at, which moves on. */
static wsgi__span
copy_span(wsgi__span span, char **at)
{
    wsgi__span copy = { *at, span.len };
    if (span.len > 0)
        memcpy(*at, span.ptr, span.len);
    *at += span.len;
    return copy;
}

wsgi__response *
wsgi__response_dup(const wsgi__response *res)
{
    size_t size = sizeof(*res) + res->n_headers * sizeof(*res->headers) +
                  res->status.len;
    for (size_t i = 0; i < res->n_headers; i++)
        size += res->headers[i].name.len + res->headers[i].value.len;
    wsgi__response *copy = wsgi__mem_alloc(size);
    if (!copy)
        return NULL;
    wsgi__header *headers = (wsgi__header *)(void *)(copy + 1);
    char *at = (char *)(headers + res->n_headers);
    *copy = *res;
    copy->headers = headers;
    copy->status = copy_span(res->status, &at);
    for (size_t i = 0; i < res->n_headers; i++) {
        headers[i] = res->headers[i];
        headers[i].name = copy_span(res->headers[i].name, &at);
        headers[i].value = copy_span(res->headers[i].value, &at);
    }
    return copy;
}

/* ---- Framing ------------------------------------------------------------ */

static bool
is_bodiless(int code)
{
    return code < 200 || code == 204 || code == 304;
}

/* The Content-Length that may be announced (RFC 9110 8.6), -1: none. */
static int64_t
announced_length(const wsgi__response *res, bool head)
{
    if (res->code < 200 || res->code == 204)
        return -1;
    /* 205 has no content either, but is framed like any other (RFC 9110
     * 15.3.6): nothing is what it announces. */
    if (res->code == 205)
        return 0;
    if (res->content_length >= 0)
        return res->content_length;
    /* For HEAD and 304 it is the length that GET would have: the body at hand
     * does not tell, if the application left it out. */
    if (res->code == 304 || (head && res->known_length == 0))
        return -1;
    return res->known_length;
}

wsgi__plan
wsgi__response_plan(const wsgi__request *req, const wsgi__response *res,
                    bool may_keep_alive)
{
    bool head = wsgi__request_is_head(req);
    wsgi__plan plan = { .length = announced_length(res, head) };

    /* In the order of RFC 9112 6.3. */
    if (head || is_bodiless(res->code))
        plan.framing = WSGI__FRAME_NONE;
    else if (plan.length >= 0)
        plan.framing = WSGI__FRAME_LENGTH;
    else if (req->minor >= 1)
        plan.framing = WSGI__FRAME_CHUNKED;
    else
        plan.framing = WSGI__FRAME_CLOSE;
    plan.add_length = plan.length >= 0 && res->content_length < 0;
    plan.keep_alive =
        may_keep_alive && req->keep_alive && plan.framing != WSGI__FRAME_CLOSE;
    return plan;
}

/* What the server itself puts in a head. */
typedef struct own_fields {
    wsgi__header list[4]; /* Date, Server, one of framing, Connection */
    size_t n;
    char digits[WSGI__DECIMAL_MAX];
} own_fields;

static void
add_own(own_fields *own, wsgi__span name, wsgi__span value)
{
    assert(own->n < WSGI__COUNT(own->list));
    own->list[own->n++] = (wsgi__header){ name, value };
}

/* Whether the application gave a header of that name. */
static bool
gives(const wsgi__response *res, wsgi__span lower)
{
    for (size_t i = 0; i < res->n_headers; i++)
        if (wsgi__span_is_nocase(res->headers[i].name, lower))
            return true;
    return false;
}

static void
choose_own(const wsgi__request *req, const wsgi__response *res,
           const wsgi__plan *plan, wsgi__span date, wsgi__span server,
           own_fields *own)
{
    own->n = 0;
    if (date.len && !gives(res, date_name))
        add_own(own, WSGI__SPAN("Date"), date);
    if (server.len && !gives(res, server_name))
        add_own(own, WSGI__SPAN("Server"), server);
    if (plan->length >= 0)
        add_own(own, WSGI__SPAN("Content-Length"),
                wsgi__decimal(own->digits, (uint64_t)plan->length));
    else if (plan->framing == WSGI__FRAME_CHUNKED)
        add_own(own, WSGI__SPAN("Transfer-Encoding"), WSGI__SPAN("chunked"));
    /* Keeping alive goes without saying from 1.1 on (RFC 9112 9.3). */
    if (!plan->keep_alive)
        add_own(own, WSGI__SPAN("Connection"), WSGI__SPAN("close"));
    else if (req->minor == 0)
        add_own(own, WSGI__SPAN("Connection"), WSGI__SPAN("keep-alive"));
}

static const wsgi__span version = WSGI__SPAN_INIT("HTTP/1.1 ");
static const wsgi__span colon = WSGI__SPAN_INIT(": ");
static const wsgi__span line_end = WSGI__SPAN_INIT("\r\n");

/* Adds to a sum of sizes from outside; false when it does not fit. */
static bool
add_size(size_t *sum, size_t size)
{
    if (size > SIZE_MAX - *sum)
        return false;
    *sum += size;
    return true;
}

static bool
add_field_size(size_t *sum, const wsgi__header *field)
{
    return add_size(sum, field->name.len) && add_size(sum, field->value.len) &&
           add_size(sum, colon.len + line_end.len);
}

/* Whether the application's header goes out as it is.  Its Content-Length is
 * in the plan already: repeated ones, or one that a 204 must not have, end
 * there. */
static bool
passes(const wsgi__header *field)
{
    return !wsgi__span_is_nocase(field->name, length_name);
}

static bool
head_size(const wsgi__response *res, const own_fields *own, size_t *size)
{
    *size = version.len + 2 * line_end.len;
    if (!add_size(size, res->status.len))
        return false;
    for (size_t i = 0; i < own->n; i++)
        if (!add_field_size(size, &own->list[i]))
            return false;
    for (size_t i = 0; i < res->n_headers; i++)
        if (passes(&res->headers[i]) &&
            !add_field_size(size, &res->headers[i]))
            return false;
    return true;
}

/* Into room that is there already. */
static void
put(wsgi__buf *out, wsgi__span bytes)
{
    if (bytes.len)
        memcpy(out->data + out->len, bytes.ptr, bytes.len);
    out->len += bytes.len;
}

static void
put_field(wsgi__buf *out, const wsgi__header *field)
{
    put(out, field->name);
    put(out, colon);
    put(out, field->value);
    put(out, line_end);
}

int
wsgi__response_head(const wsgi__request *req, const wsgi__response *res,
                    const wsgi__plan *plan, wsgi__span date, wsgi__span server,
                    wsgi__buf *out)
{
    own_fields own;
    size_t size;

    choose_own(req, res, plan, date, server, &own);
    if (!head_size(res, &own, &size) || wsgi__buf_reserve(out, size) < 0)
        return WSGI_ERR_NOMEM;
    put(out, version);
    put(out, res->status);
    put(out, line_end);
    /* Control data first, as RFC 9110 5.3 advises. */
    for (size_t i = 0; i < own.n; i++)
        put_field(out, &own.list[i]);
    for (size_t i = 0; i < res->n_headers; i++)
        if (passes(&res->headers[i]))
            put_field(out, &res->headers[i]);
    put(out, line_end);
    return WSGI_OK;
}

/* The IANA registry of status codes, permanent entries in use. */
static const struct phrase {
    int code;
    const char *text;
} phrases[] = {
    { 100, "Continue" },
    { 101, "Switching Protocols" },
    { 102, "Processing" },
    { 103, "Early Hints" },
    { 200, "OK" },
    { 201, "Created" },
    { 202, "Accepted" },
    { 203, "Non-Authoritative Information" },
    { 204, "No Content" },
    { 205, "Reset Content" },
    { 206, "Partial Content" },
    { 207, "Multi-Status" },
    { 208, "Already Reported" },
    { 226, "IM Used" },
    { 300, "Multiple Choices" },
    { 301, "Moved Permanently" },
    { 302, "Found" },
    { 303, "See Other" },
    { 304, "Not Modified" },
    { 305, "Use Proxy" },
    { 307, "Temporary Redirect" },
    { 308, "Permanent Redirect" },
    { 400, "Bad Request" },
    { 401, "Unauthorized" },
    { 402, "Payment Required" },
    { 403, "Forbidden" },
    { 404, "Not Found" },
    { 405, "Method Not Allowed" },
    { 406, "Not Acceptable" },
    { 407, "Proxy Authentication Required" },
    { 408, "Request Timeout" },
    { 409, "Conflict" },
    { 410, "Gone" },
    { 411, "Length Required" },
    { 412, "Precondition Failed" },
    { 413, "Content Too Large" },
    { 414, "URI Too Long" },
    { 415, "Unsupported Media Type" },
    { 416, "Range Not Satisfiable" },
    { 417, "Expectation Failed" },
    { 421, "Misdirected Request" },
    { 422, "Unprocessable Content" },
    { 423, "Locked" },
    { 424, "Failed Dependency" },
    { 425, "Too Early" },
    { 426, "Upgrade Required" },
    { 428, "Precondition Required" },
    { 429, "Too Many Requests" },
    { 431, "Request Header Fields Too Large" },
    { 451, "Unavailable For Legal Reasons" },
    { 500, "Internal Server Error" },
    { 501, "Not Implemented" },
    { 502, "Bad Gateway" },
    { 503, "Service Unavailable" },
    { 504, "Gateway Timeout" },
    { 505, "HTTP Version Not Supported" },
    { 506, "Variant Also Negotiates" },
    { 507, "Insufficient Storage" },
    { 508, "Loop Detected" },
    { 510, "Not Extended" },
    { 511, "Network Authentication Required" },
};

const char *
wsgi__response_phrase(int code)
{
    for (size_t i = 0; i < WSGI__COUNT(phrases); i++)
        if (phrases[i].code == code)
            return phrases[i].text;
    return "Unknown";
}

#define STATUS_MAX 48 /* code, blank and the longest phrase */

static wsgi__span
status_line(int code, char out[STATUS_MAX])
{
    char digits[WSGI__DECIMAL_MAX];
    wsgi__buf line = { .data = out, .cap = STATUS_MAX };
    wsgi__span phrase = wsgi__span_of(wsgi__response_phrase(code));

    assert(4 + phrase.len <= STATUS_MAX);
    put(&line, wsgi__decimal(digits, (uint64_t)code));
    put(&line, WSGI__SPAN(" "));
    put(&line, phrase);
    return wsgi__buf_span(&line);
}

int
wsgi__response_error(int code, const char *reason, bool head_only,
                     wsgi__span date, wsgi__span server, wsgi__buf *out)
{
    static const wsgi__header fields[] = {
        { .name = WSGI__SPAN_INIT("Content-Type"),
          .value = WSGI__SPAN_INIT("text/plain; charset=utf-8") },
        /* Of 503 alone: it is over soon, or so one hopes (RFC 9110 15.6.4). */
        { .name = WSGI__SPAN_INIT("Retry-After"),
          .value = WSGI__SPAN_INIT("1") },
    };
    char text[STATUS_MAX];
    assert(code >= 400 && code <= 599);
    wsgi__span status = status_line(code, text);
    wsgi__span why = wsgi__span_of(reason);
    wsgi__span separator = reason ? colon : (wsgi__span){ "", 0 };
    wsgi__span end = WSGI__SPAN("\n");

    size_t body = 0;
    if (!add_size(&body, status.len + separator.len + end.len) ||
        !add_size(&body, why.len) || body > INT64_MAX)
        return WSGI_ERR_NOMEM;
    wsgi__response res = {
        .status = status,
        .code = code,
        .headers = fields,
        .n_headers = code == 503 ? 2 : 1,
    };
    wsgi__plan plan = { .framing = WSGI__FRAME_LENGTH,
                        .length = (int64_t)body };
    size_t before = out->len;
    /* The request may be what could not be understood: it is not looked at
     * for a connection that closes. */
    if (wsgi__response_head(NULL, &res, &plan, date, server, out) < 0)
        return WSGI_ERR_NOMEM;
    if (head_only)
        return WSGI_OK;
    if (wsgi__buf_reserve(out, body) < 0) {
        out->len = before;
        return WSGI_ERR_NOMEM;
    }
    put(out, status);
    put(out, separator);
    put(out, why);
    put(out, end);
    return WSGI_OK;
}

size_t
wsgi__chunk_head(char out[WSGI__CHUNK_HEAD_MAX], size_t len)
{
    static const char hex[] = "0123456789abcdef";
    size_t n = 1;

    assert(len > 0); /* 0 would end the body */
    for (size_t rest = len >> 4; rest; rest >>= 4)
        n++;
    for (size_t i = n; i-- > 0; len >>= 4)
        out[i] = hex[len & 15];
    out[n] = '\r';
    out[n + 1] = '\n';
    return n + 2;
}
