/* What an application may say, part of http/response.h: pure rules. */
#include "http/response.h"

#include "base/macros.h"
#include "http/chars.h"
#include "http/decimal.h"

/* PEP 3333 leaves these to the server; wsgiref's list, with the name that HTTP
 * has for "Trailers". */
static const wsgi__span hop_by_hop[] = {
    WSGI__SPAN_INIT("connection"),
    WSGI__SPAN_INIT("keep-alive"),
    WSGI__SPAN_INIT("proxy-authenticate"),
    WSGI__SPAN_INIT("proxy-authorization"),
    WSGI__SPAN_INIT("te"),
    WSGI__SPAN_INIT("trailer"),
    WSGI__SPAN_INIT("trailers"),
    WSGI__SPAN_INIT("upgrade"),
};
static const wsgi__span transfer_encoding =
    WSGI__SPAN_INIT("transfer-encoding");
static const wsgi__span content_length = WSGI__SPAN_INIT("content-length");

static bool
has(wsgi__span text, char c)
{
    return text.len && memchr(text.ptr, c, text.len);
}

static bool
has_line_end(wsgi__span text)
{
    return has(text, '\r') || has(text, '\n');
}

const char *
wsgi__response_check_status(wsgi__span status, int *code)
{
    const char *s = status.ptr;
    /* An empty reason is valid on the wire, its blank is not optional (RFC
     * 9112 4). */
    if (status.len < 4 || !wsgi__is_digit(s[0]) || !wsgi__is_digit(s[1]) ||
        !wsgi__is_digit(s[2]) || s[3] != ' ')
        return "a status is a code of three digits, a space and a reason: "
               "write \"200 OK\"";
    if (s[0] == '0')
        return "a status code lies between 200 and 999: write \"200 OK\"";
    if (s[0] == '1')
        return "a 1xx status is not an answer yet: start_response() takes "
               "the final status, such as \"200 OK\"";
    bool valid = wsgi__chars_are(status, WSGI__CH_VALUE);
    if (!valid && has_line_end(status))
        return "a status has no line end: write code and reason in one line, "
               "\"200 OK\"";
    if (!valid || has(status, '\t'))
        return "a status has no control characters: write \"200 OK\"";
    *code = (s[0] - '0') * 100 + (s[1] - '0') * 10 + (s[2] - '0');
    return NULL;
}

static const char *
check_name(wsgi__span name)
{
    if (name.len == 0)
        return "a header name is not empty";
    if (!wsgi__chars_are(name, WSGI__CH_TOKEN))
        return "a header name has no other characters than ASCII letters, "
               "digits and !#$%&'*+-.^_`|~: write (\"Content-Type\", "
               "\"text/html\")";
    return NULL;
}

static const char *
check_value(wsgi__span value)
{
    if (wsgi__chars_are_value(value))
        return NULL;
    if (has_line_end(value))
        return "a header value has no line end: give a header of its own "
               "for each line";
    return "a header value has no control characters: encode or remove them";
}

const char *
wsgi__response_check_header(wsgi__span name, wsgi__span value)
{
    const char *rule = check_name(name);
    if (rule)
        return rule;
    if (wsgi__span_is_nocase(name, transfer_encoding))
        return "Transfer-Encoding is the server's to set: leave it out and "
               "yield the body as it is";
    for (size_t i = 0; i < WSGI__COUNT(hop_by_hop); i++)
        if (wsgi__span_is_nocase(name, hop_by_hop[i]))
            return "hop-by-hop headers are the server's to set (PEP 3333): "
                   "leave it out";
    return check_value(value);
}

const char *
wsgi__response_find_length(wsgi__response *res)
{
    int64_t found = -1;
    for (size_t i = 0; i < res->n_headers; i++) {
        if (!wsgi__span_is_nocase(res->headers[i].name, content_length))
            continue;
        int64_t n = wsgi__decimal_read(wsgi__span_trim(res->headers[i].value));
        if (n < 0)
            return "Content-Length is a number of bytes in decimal digits: "
                   "write str(len(body))";
        if (found >= 0 && n != found)
            return "several Content-Length headers differ: give one, or none "
                   "and let the server count";
        found = n;
    }
    res->content_length = found;
    return NULL;
}
