/* Numbers as decimal text, without stdio and its locale.  Pure. */
#ifndef WSGI_HTTP_DECIMAL_H
#define WSGI_HTTP_DECIMAL_H

#include <stdint.h>

#include "base/span.h"

#define WSGI__DECIMAL_MAX 20 /* digits of UINT64_MAX */

/* The digits of n; the span lies at the end of out. */
static inline wsgi__span
wsgi__decimal(char out[WSGI__DECIMAL_MAX], uint64_t n)
{
    char *first = out + WSGI__DECIMAL_MAX;
    do
        *--first = (char)('0' + n % 10);
    while ((n /= 10) > 0);
    return (wsgi__span){ first, (size_t)(out + WSGI__DECIMAL_MAX - first) };
}

/* The number that text, 1*DIGIT, says; else one of these. */
#define WSGI__NO_DECIMAL (-1)
#define WSGI__LARGE_DECIMAL (-2) /* past INT64_MAX */

static inline int64_t
wsgi__decimal_read(wsgi__span text)
{
    int64_t n = 0;
    bool fits = true;

    for (size_t i = 0; i < text.len; i++) {
        if (!wsgi__is_digit(text.ptr[i]))
            return WSGI__NO_DECIMAL;
        int digit = text.ptr[i] - '0';
        fits = fits && n <= (INT64_MAX - digit) / 10;
        if (fits)
            n = n * 10 + digit;
    }
    if (text.len == 0)
        return WSGI__NO_DECIMAL;
    return fits ? n : WSGI__LARGE_DECIMAL;
}

#endif
