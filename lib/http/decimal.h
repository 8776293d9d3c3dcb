/* Numbers as decimal text, without printf and its locale.  Pure. */
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

#endif
