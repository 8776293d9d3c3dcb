#include "http/fields.h"

#include "base/macros.h"
#include "http/chars.h"
#include "http/decimal.h"

static wsgi__fault
add_host(wsgi__fields *fields, wsgi__request *req, wsgi__span value)
{
    if (fields->has_host)
        return wsgi__bad_request("two Host fields");
    fields->has_host = true;
    req->host = value;
    return wsgi__bad_request(wsgi__target_check_host(value));
}

/* 1*DIGIT (RFC 9110 8.6); NULL or the reason why it is none. */
static const char *
read_length(wsgi__span text, int64_t *length)
{
    if (text.len == 0)
        return "empty Content-Length";
    *length = wsgi__decimal_read(text);
    if (*length == WSGI__NO_DECIMAL)
        return "Content-Length not a decimal number";
    if (*length == WSGI__LARGE_DECIMAL)
        return "Content-Length too large";
    return NULL;
}

static const char both_lengths[] = "Content-Length beside Transfer-Encoding";

static wsgi__fault
add_content_length(wsgi__fields *fields, wsgi__request *req, wsgi__span value)
{
    (void)fields;
    /* Equal ones too: nothing good sends them (RFC 9112 6.3). */
    if (req->content_length >= 0)
        return wsgi__bad_request("two Content-Length fields");
    if (req->chunked)
        return wsgi__bad_request(both_lengths);
    int64_t length;
    const char *reason = read_length(value, &length);
    if (!reason)
        req->content_length = length;
    return wsgi__bad_request(reason);
}

/* Cuts the next element off a comma-separated list; false behind the last. */
static bool
next_element(wsgi__span *list, wsgi__span *element)
{
    if (!list->ptr)
        return false;
    const char *comma = list->len ? memchr(list->ptr, ',', list->len) : NULL;
    size_t len = comma ? (size_t)(comma - list->ptr) : list->len;
    *element = wsgi__span_trim((wsgi__span){ list->ptr, len });
    *list = comma ? (wsgi__span){ comma + 1, list->len - len - 1 }
                  : (wsgi__span){ NULL, 0 };
    return true;
}

/* Anything but a lone "chunked".  A coding that is merely unknown is 501 (RFC
 * 9112 6.1); "chunked" before the last place leaves the end of the body to
 * guesses, and so does what is no list of tokens. */
static wsgi__fault
refuse_coding(wsgi__span list)
{
    wsgi__span coding;
    while (next_element(&list, &coding)) {
        if (coding.len == 0 || !wsgi__chars_are(coding, WSGI__CH_TOKEN))
            return wsgi__bad_request("malformed Transfer-Encoding");
        if (list.ptr && wsgi__span_is_nocase(coding, WSGI__SPAN("chunked")))
            return wsgi__bad_request("chunked not the last transfer coding");
    }
    return (wsgi__fault){ 501, "unknown transfer coding" };
}

static wsgi__fault
add_transfer_encoding(wsgi__fields *fields, wsgi__request *req,
                      wsgi__span value)
{
    (void)fields;
    if (req->minor == 0)
        return wsgi__bad_request("Transfer-Encoding in an HTTP/1.0 request");
    if (req->chunked)
        return wsgi__bad_request("two Transfer-Encoding fields");
    if (req->content_length >= 0)
        return wsgi__bad_request(both_lengths);
    if (!wsgi__span_is_nocase(value, WSGI__SPAN("chunked")))
        return refuse_coding(value);
    req->chunked = true;
    return WSGI__NO_FAULT;
}

static wsgi__fault
add_connection(wsgi__fields *fields, wsgi__request *req, wsgi__span value)
{
    wsgi__span option;
    (void)req;
    while (next_element(&value, &option)) {
        if (wsgi__span_is_nocase(option, WSGI__SPAN("close")))
            fields->says_close = true;
        else if (wsgi__span_is_nocase(option, WSGI__SPAN("keep-alive")))
            fields->says_keep_alive = true;
    }
    return WSGI__NO_FAULT;
}

/* An HTTP/1.0 client cannot wait for a 100 (RFC 9110 10.1.1).  What else is
 * expected is refused when the whole head has proved sound. */
static wsgi__fault
add_expect(wsgi__fields *fields, wsgi__request *req, wsgi__span value)
{
    if (!wsgi__span_is_nocase(value, WSGI__SPAN("100-continue")))
        fields->expects_other = true;
    else if (req->minor > 0)
        req->expect_continue = true;
    return WSGI__NO_FAULT;
}

static const struct {
    wsgi__span name;
    wsgi__fault (*add)(wsgi__fields *fields, wsgi__request *req,
                       wsgi__span value);
} known[] = {
    { WSGI__SPAN_INIT("host"), add_host },
    { WSGI__SPAN_INIT("connection"), add_connection },
    { WSGI__SPAN_INIT("content-length"), add_content_length },
    { WSGI__SPAN_INIT("transfer-encoding"), add_transfer_encoding },
    { WSGI__SPAN_INIT("expect"), add_expect },
};

bool
wsgi__fields_know(wsgi__span name)
{
    for (size_t i = 0; i < WSGI__COUNT(known); i++)
        if (wsgi__span_is_nocase(name, known[i].name))
            return true;
    return false;
}

wsgi__fault
wsgi__fields_add(wsgi__fields *fields, wsgi__request *req, wsgi__span name,
                 wsgi__span value)
{
    for (size_t i = 0; i < WSGI__COUNT(known); i++)
        if (wsgi__span_is_nocase(name, known[i].name))
            return known[i].add(fields, req, value);
    return WSGI__NO_FAULT;
}

wsgi__fault
wsgi__fields_end(const wsgi__fields *fields, wsgi__request *req,
                 int64_t max_body)
{
    if (req->minor > 0 && !fields->has_host)
        return wsgi__bad_request("HTTP/1.1 request without Host");
    if (fields->expects_other)
        return (wsgi__fault){ 417, "expectation other than 100-continue" };
    if (max_body > 0 && req->content_length > max_body)
        return (wsgi__fault){ 413, "request body over the limit" };
    if (req->parts.authority.len > 0)
        req->host = req->parts.authority; /* RFC 9112 3.2.2 */
    req->keep_alive =
        !fields->says_close && (req->minor > 0 || fields->says_keep_alive);
    return WSGI__NO_FAULT;
}
