#include "http/target.h"

#include <arpa/inet.h>

#include <wsgi/wsgi.h>

#include "base/macros.h"
#include "http/chars.h"

static wsgi__span
span_from(wsgi__span span, size_t start)
{
    return (wsgi__span){ span.ptr + start, span.len - start };
}

static wsgi__span
span_to(wsgi__span span, size_t end)
{
    return (wsgi__span){ span.ptr, end };
}

/* Where c stands, or span.len. */
static size_t
span_find(wsgi__span span, char c)
{
    const char *at = span.len ? memchr(span.ptr, c, span.len) : NULL;
    return at ? (size_t)(at - span.ptr) : span.len;
}

/* ---- Host --------------------------------------------------------------- */

static const char *
check_port(wsgi__span port)
{
    /* RFC 3986 allows leading zeros, but nobody sends more than five digits
     * in good faith.  None at all is the default port. */
    unsigned number = 0;
    if (port.len > 5)
        return "port of a host out of range";
    for (size_t i = 0; i < port.len; i++) {
        if (!wsgi__is_digit(port.ptr[i]))
            return "port of a host that is no number";
        number = number * 10 + (unsigned)(port.ptr[i] - '0');
    }
    return number > 65535 ? "port of a host out of range" : NULL;
}

static bool
is_hex_pair(wsgi__span text, size_t at)
{
    return text.len - at >= 2 &&
           wsgi__char_is((unsigned char)text.ptr[at], WSGI__CH_HEX) &&
           wsgi__char_is((unsigned char)text.ptr[at + 1], WSGI__CH_HEX);
}

/* reg-name of RFC 3986 3.2.2, which an IPv4 address is too. */
static const char *
check_name(wsgi__span name)
{
    if (name.len == 0)
        return "port without a host"; /* RFC 9110 4.2.1 */
    for (size_t i = 0; i < name.len; i++) {
        if (wsgi__char_is((unsigned char)name.ptr[i], WSGI__CH_HOST))
            continue;
        if (name.ptr[i] != '%' || !is_hex_pair(name, i + 1))
            return "byte not allowed in a host";
        i += 2;
    }
    return NULL;
}

/* What stands between the brackets.  IPvFuture and zones are refused: no such
 * address reaches a server, only text that others read differently. */
static const char *
check_ipv6(wsgi__span address)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr parsed;

    if (address.len >= sizeof(text) || memchr(address.ptr, '\0', address.len))
        return "malformed IPv6 address in a host";
    memcpy(text, address.ptr, address.len);
    text[address.len] = '\0';
    return inet_pton(AF_INET6, text, &parsed) == 1
               ? NULL
               : "malformed IPv6 address in a host";
}

static const char *
check_bracketed(wsgi__span text)
{
    size_t close = span_find(text, ']');
    if (close == text.len)
        return "malformed IPv6 address in a host";
    const char *fault = check_ipv6((wsgi__span){ text.ptr + 1, close - 1 });
    if (fault)
        return fault;
    wsgi__span rest = span_from(text, close + 1);
    if (rest.len == 0)
        return NULL;
    return *rest.ptr == ':' ? check_port(span_from(rest, 1))
                            : "byte not allowed in a host";
}

const char *
wsgi__target_check_host(wsgi__span text)
{
    if (text.len == 0)
        return NULL;
    if (*text.ptr == '[')
        return check_bracketed(text);
    size_t colon = span_find(text, ':');
    const char *fault = check_name(span_to(text, colon));
    if (fault || colon == text.len)
        return fault;
    return check_port(span_from(text, colon + 1));
}

/* ---- Target ------------------------------------------------------------- */

/* Every byte is visible ASCII and none begins a fragment (RFC 9112 3.2). */
static const char *
check_bytes(wsgi__span target)
{
    for (size_t i = 0; i < target.len; i++) {
        if (!wsgi__char_is((unsigned char)target.ptr[i], WSGI__CH_VISIBLE))
            return "byte not allowed in the request target";
        if (target.ptr[i] == '#')
            return "fragment in the request target";
    }
    return NULL;
}

/* "%00" would end the path for the application's C libraries. */
static bool
has_encoded_nul(wsgi__span path)
{
    for (;;) {
        size_t percent = span_find(path, '%');
        if (path.len - percent < 3)
            return false;
        path = span_from(path, percent + 1);
        if (path.ptr[0] == '0' && path.ptr[1] == '0')
            return true;
    }
}

static const char *
split_path(wsgi__span text, wsgi__target *parts)
{
    size_t mark = span_find(text, '?');
    parts->path = span_to(text, mark);
    if (mark < text.len)
        parts->query = span_from(text, mark + 1);
    return has_encoded_nul(parts->path) ? "NUL in the path" : NULL;
}

/* The length of "http://" or "https://", or 0. */
static size_t
scheme_len(wsgi__span target)
{
    static const wsgi__span schemes[] = { WSGI__SPAN_INIT("http://"),
                                          WSGI__SPAN_INIT("https://") };
    for (size_t i = 0; i < WSGI__COUNT(schemes); i++)
        if (target.len >= schemes[i].len &&
            wsgi__span_is_nocase(span_to(target, schemes[i].len), schemes[i]))
            return schemes[i].len;
    return 0;
}

static const char *
split_absolute(wsgi__span rest, wsgi__target *parts)
{
    size_t end = 0;
    while (end < rest.len && rest.ptr[end] != '/' && rest.ptr[end] != '?')
        end++;
    parts->authority = span_to(rest, end);
    if (end == 0)
        return "absolute request target without a host";
    /* RFC 9110 4.2.4: user information serves to disguise the host. */
    if (span_find(parts->authority, '@') < end)
        return "user information in the request target";
    const char *fault = wsgi__target_check_host(parts->authority);
    if (fault)
        return fault;
    fault = split_path(span_from(rest, end), parts);
    if (parts->path.len == 0)
        parts->path = WSGI__SPAN("/");
    return fault;
}

const char *
wsgi__target_parse(wsgi__span method, wsgi__span target, wsgi__target *parts)
{
    *parts = (wsgi__target){ WSGI__SPAN(""), WSGI__SPAN(""), WSGI__SPAN("") };
    if (target.len == 0)
        return "empty request target";
    const char *fault = check_bytes(target);
    if (fault)
        return fault;
    if (*target.ptr == '/')
        return split_path(target, parts);
    if (wsgi__span_eq(target, WSGI__SPAN("*"))) {
        parts->path = target;
        return wsgi__span_eq(method, WSGI__SPAN("OPTIONS"))
                   ? NULL
                   : "request target * with a method other than OPTIONS";
    }
    size_t scheme = scheme_len(target);
    if (scheme)
        return split_absolute(span_from(target, scheme), parts);
    return "request target neither a path nor an http URI";
}

/* ---- Percent-decoding --------------------------------------------------- */

/* Writes at most path.len bytes; returns their number. */
static size_t
decode_into(char *out, wsgi__span path)
{
    size_t len = 0;
    for (size_t i = 0; i < path.len; i++) {
        unsigned char c = (unsigned char)path.ptr[i];
        if (c == '%' && is_hex_pair(path, i + 1)) {
            c = (unsigned char)(wsgi__hex_value((unsigned char)path.ptr[i + 1])
                                    << 4 |
                                wsgi__hex_value(
                                    (unsigned char)path.ptr[i + 2]));
            i += 2;
        }
        out[len++] = (char)c;
    }
    return len;
}

int
wsgi__target_decode(wsgi__span path, wsgi__buf *out)
{
    if (path.len == 0)
        return WSGI_OK;
    if (memchr(path.ptr, '\0', path.len) || has_encoded_nul(path))
        return WSGI_ERR_INVALID;
    /* Most paths have nothing to decode, and a memchr is nearly free. */
    if (span_find(path, '%') == path.len)
        return wsgi__buf_append(out, path.ptr, path.len);
    int status = wsgi__buf_reserve(out, path.len);
    if (status < 0)
        return status;
    out->len += decode_into(out->data + out->len, path);
    return WSGI_OK;
}
