/*
 * The request-target and Host: what is accepted has its parts where they
 * belong, both ways of giving a host accept the same ones, and decoding agrees
 * with a decoder that is written without haste.
 *
 * Input: the method in a first line, then the target (or host, or path).
 */
#include <arpa/inet.h>

#include "fuzz.h"
#include "http/target.h"

static bool
lies_in(wsgi__span part, wsgi__span whole)
{
    return part.len == 0 || (part.ptr >= whole.ptr &&
                             part.ptr + part.len <= whole.ptr + whole.len);
}

/* A text in memory that ends where it ends. */
static wsgi__span
exact(wsgi__span text)
{
    char *copy = malloc(text.len ? text.len : 1);
    if (!copy)
        abort();
    if (text.len)
        memcpy(copy, text.ptr, text.len);
    return (wsgi__span){ copy, text.len };
}

static void
check_clean(wsgi__span text)
{
    for (size_t i = 0; i < text.len; i++)
        FUZZ_CHECK(fuzz_is(text.ptr[i], FUZZ_VISIBLE) && text.ptr[i] != '#',
                   "%.*s", FUZZ_SPAN(text));
}

static void
check_parts(wsgi__span method, wsgi__span target, const wsgi__target *parts)
{
    bool absolute = parts->authority.len > 0;
    wsgi__buf joined;

    check_clean(target);
    FUZZ_CHECK(lies_in(parts->query, target) &&
                   lies_in(parts->authority, target),
               "a part lies elsewhere");
    FUZZ_CHECK(parts->path.len > 0, "no path");
    FUZZ_CHECK(!memchr(parts->path.ptr, '?', parts->path.len), "%.*s",
               FUZZ_SPAN(parts->path));
    if (*parts->path.ptr != '/')
        FUZZ_CHECK(wsgi__span_eq(target, WSGI__SPAN("*")) &&
                       wsgi__span_eq(method, WSGI__SPAN("OPTIONS")),
                   "%.*s", FUZZ_SPAN(target));
    if (absolute)
        FUZZ_CHECK(!wsgi__target_check_host(parts->authority),
                   "an authority that is no host: %.*s",
                   FUZZ_SPAN(parts->authority));
    /* Origin-form is its parts. */
    wsgi__buf_init(&joined, target.len + 1);
    wsgi__buf_append(&joined, parts->path.ptr, parts->path.len);
    if (memchr(target.ptr, '?', target.len))
        wsgi__buf_puts(&joined, "?");
    wsgi__buf_append(&joined, parts->query.ptr, parts->query.len);
    FUZZ_CHECK(absolute || wsgi__span_eq(wsgi__buf_span(&joined), target),
               "%.*s", FUZZ_SPAN(target));
    wsgi__buf_free(&joined);
}

static void
fuzz_parse(wsgi__span method, wsgi__span target)
{
    wsgi__target parts;
    const char *fault = wsgi__target_parse(method, target, &parts);

    if (fault)
        fuzz_check_sentence(wsgi__span_of(fault));
    else
        check_parts(method, target, &parts);
}

static bool
is_coded(wsgi__span text, size_t at)
{
    return text.ptr[at] == '%' && at + 2 < text.len &&
           fuzz_is(text.ptr[at + 1], FUZZ_HEX) &&
           fuzz_is(text.ptr[at + 2], FUZZ_HEX);
}

/* RFC 3986 3.2.2 and 3.2.3, less what no server is reached by: zones, versions
 * to come, a port without a host. */
static bool
is_host_slowly(wsgi__span text)
{
    char name[64];
    unsigned char address[16];
    size_t end = text.len, port = 0, n_digits = 0;

    while (end > 0 && text.ptr[end - 1] >= '0' && text.ptr[end - 1] <= '9')
        end--;
    bool has_port = end > 0 && text.ptr[end - 1] == ':';
    for (size_t i = end; has_port && i < text.len && ++n_digits <= 5; i++)
        port = port * 10 + (size_t)(text.ptr[i] - '0');
    if (n_digits > 5 || port > 65535)
        return false;
    size_t len = has_port ? end - 1 : text.len;
    if (len > 2 && *text.ptr == '[' && text.ptr[len - 1] == ']' && len < 64) {
        memcpy(name, text.ptr + 1, len - 2);
        name[len - 2] = '\0';
        return strlen(name) == len - 2 &&
               inet_pton(AF_INET6, name, address) == 1;
    }
    for (size_t i = 0; i < len; i++) {
        char c = text.ptr[i];
        bool coded = is_coded((wsgi__span){ text.ptr, len }, i);
        bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                     (c >= 'A' && c <= 'Z') ||
                     (c && strchr("-._~!$&'()*+,;=", c));
        if (!coded && !plain)
            return false;
    }
    return len > 0 || text.len == 0;
}

/* A Host and the authority of an absolute-form target are one rule. */
static void
fuzz_host(wsgi__span host)
{
    const char *fault = wsgi__target_check_host(host);
    wsgi__target parts;
    wsgi__buf uri;

    if (fault)
        fuzz_check_sentence(wsgi__span_of(fault));
    FUZZ_CHECK(!fault == is_host_slowly(host), "%.*s: %s", FUZZ_SPAN(host),
               fault ? fault : "accepted");
    if (fault || host.len == 0)
        return;
    wsgi__buf_init(&uri, host.len + 16);
    wsgi__buf_puts(&uri, "http://");
    wsgi__buf_append(&uri, host.ptr, host.len);
    wsgi__buf_puts(&uri, "/x?y");
    fault =
        wsgi__target_parse(WSGI__SPAN("GET"), wsgi__buf_span(&uri), &parts);
    FUZZ_CHECK(!fault, "%.*s: %s", FUZZ_SPAN(host), fault);
    FUZZ_CHECK(wsgi__span_eq(parts.authority, host) &&
                   wsgi__span_eq(parts.path, WSGI__SPAN("/x")) &&
                   wsgi__span_eq(parts.query, WSGI__SPAN("y")),
               "%.*s", FUZZ_SPAN(host));
    wsgi__buf_free(&uri);
}

/* Byte by byte.  False for a NUL. */
static bool
decode_slowly(wsgi__span path, wsgi__buf *out)
{
    for (size_t i = 0; i < path.len; i++) {
        char c = path.ptr[i];
        if (is_coded(path, i)) {
            c = (char)(fuzz_hex_value(path.ptr[i + 1]) * 16 +
                       fuzz_hex_value(path.ptr[i + 2]));
            i += 2;
        }
        if (c == '\0')
            return false;
        wsgi__buf_append(out, &c, 1);
    }
    return true;
}

static void
fuzz_decode(wsgi__span path)
{
    wsgi__buf fast, slow;

    wsgi__buf_init(&fast, path.len + 1);
    wsgi__buf_init(&slow, path.len + 1);
    wsgi__buf_puts(&fast, "=");
    bool sound = decode_slowly(path, &slow);
    int status = wsgi__target_decode(path, &fast);
    FUZZ_CHECK(status == (sound ? WSGI_OK : WSGI_ERR_INVALID), "%d", status);
    wsgi__span added = { fast.data + 1, fast.len - 1 };
    FUZZ_CHECK(sound ? wsgi__span_eq(added, wsgi__buf_span(&slow))
                     : added.len == 0,
               "%.*s", FUZZ_SPAN(path));
    wsgi__buf_free(&fast);
    wsgi__buf_free(&slow);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    wsgi__span input = fuzz_input(data, size), method;

    if (!fuzz_line(&input, &method))
        return -1;
    wsgi__span text = exact(input);
    fuzz_parse(method, text);
    fuzz_host(text);
    fuzz_decode(text);
    free((char *)text.ptr);
    return 0;
}
