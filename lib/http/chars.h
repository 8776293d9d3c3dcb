/*
 * Which bytes the grammar of HTTP allows where: one table for all of http/.
 * Pure.
 */
#ifndef WSGI_HTTP_CHARS_H
#define WSGI_HTTP_CHARS_H

#include <stdbool.h>

#include "base/span.h"

enum {
    WSGI__CH_TOKEN = 1,   /* tchar (RFC 9110 5.6.2) */
    WSGI__CH_VISIBLE = 2, /* 0x21 to 0x7E: a request-target */
    WSGI__CH_VALUE = 4,   /* HTAB, SP, visible and obs-text: a field value */
    WSGI__CH_HOST = 8,    /* unreserved, sub-delims: a reg-name (RFC 3986) */
    WSGI__CH_HEX = 16
};

extern const unsigned char wsgi__chars[256];

static inline bool
wsgi__char_is(unsigned char c, unsigned kind)
{
    return (wsgi__chars[c] & kind) != 0;
}

/* Whether every byte is of that kind; true of the empty text. */
static inline bool
wsgi__chars_are(wsgi__span text, unsigned kind)
{
    for (size_t i = 0; i < text.len; i++)
        if (!wsgi__char_is((unsigned char)text.ptr[i], kind))
            return false;
    return true;
}

/* The value of a digit that is WSGI__CH_HEX. */
static inline unsigned
wsgi__hex_value(unsigned char c)
{
    return c <= '9' ? c - (unsigned)'0' : (c | 0x20u) - 'a' + 10u;
}

#endif
