/* A run of bytes that somebody else owns.  Not NUL-terminated.  Pure. */
#ifndef WSGI_BASE_SPAN_H
#define WSGI_BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef struct wsgi__span {
    const char *ptr;
    size_t len;
} wsgi__span;

/* The span of a string literal; the second form for static initialisers. */
#define WSGI__SPAN(literal) ((wsgi__span)WSGI__SPAN_INIT(literal))
#define WSGI__SPAN_INIT(literal)                                              \
    {                                                                         \
        (literal), sizeof(literal) - 1                                        \
    }

/* text may be NULL, which gives the empty span. */
static inline wsgi__span
wsgi__span_of(const char *text)
{
    return text ? (wsgi__span){ text, strlen(text) } : (wsgi__span){ "", 0 };
}

static inline bool
wsgi__span_eq(wsgi__span a, wsgi__span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* A to Z only, whatever the locale says. */
static inline char
wsgi__ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* 0 to 9, whatever the locale says. */
static inline bool
wsgi__is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* lower is in lower case: field names and tokens compare without case
 * (RFC 9110 5.1). */
static inline bool
wsgi__span_is_nocase(wsgi__span span, wsgi__span lower)
{
    if (span.len != lower.len)
        return false;
    for (size_t i = 0; i < span.len; i++)
        if (wsgi__ascii_lower(span.ptr[i]) != lower.ptr[i])
            return false;
    return true;
}

/* Without the blanks and tabs (OWS of RFC 9110 5.6.3) at both ends. */
static inline wsgi__span
wsgi__span_trim(wsgi__span span)
{
    while (span.len > 0 && (*span.ptr == ' ' || *span.ptr == '\t'))
        span.ptr++, span.len--;
    while (span.len > 0 &&
           (span.ptr[span.len - 1] == ' ' || span.ptr[span.len - 1] == '\t'))
        span.len--;
    return span;
}

#endif
