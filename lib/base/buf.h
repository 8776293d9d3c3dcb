/*
 * A growable byte buffer with a ceiling.
 *
 * Appending never leaves a buffer half written: on failure it is unchanged.
 * Owner: whoever called wsgi__buf_init(); release with wsgi__buf_free(), which
 * a zero-filled buffer also stands.
 */
#ifndef WSGI_BASE_BUF_H
#define WSGI_BASE_BUF_H

#include <stddef.h>

#include "base/span.h"

typedef struct wsgi__buf {
    char *data;
    size_t len, cap;
    size_t max; /* ceiling of len: an append past it fails */
} wsgi__buf;

void wsgi__buf_init(wsgi__buf *buf, size_t max);
void wsgi__buf_free(wsgi__buf *buf);

/* Room for `more` bytes behind data + len, for a caller that writes there and
 * then adds to len.  WSGI_ERR_NOMEM when out of memory or past the ceiling. */
int wsgi__buf_reserve(wsgi__buf *buf, size_t more);

/* Append.  WSGI_ERR_NOMEM when out of memory or past the ceiling.  The bytes
 * must not be the buffer's own. */
int wsgi__buf_append(wsgi__buf *buf, const void *data, size_t len);
int wsgi__buf_puts(wsgi__buf *buf, const char *text);
int wsgi__buf_printf(wsgi__buf *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Appends the bytes with everything but printable ASCII, and the backslash
 * itself, as \n, \r, \t, \\ or \xHH: what came from outside cannot forge a
 * line of a log. */
int wsgi__buf_escape(wsgi__buf *buf, wsgi__span bytes);

/* The same for one byte; returns how many of `out` it took. */
#define WSGI__ESCAPED_MAX 4
size_t wsgi__escape_byte(char out[WSGI__ESCAPED_MAX], unsigned char byte);

/* The same for a text, in double quotes: "..." takes the place of what does
 * not fit in size bytes, which are at least 16.  For messages, where memory
 * may be what has run out. */
void wsgi__quote(char *out, size_t size, const char *text);

/* Drops the first len <= buf->len bytes. */
void wsgi__buf_consume(wsgi__buf *buf, size_t len);

/* Empties it and keeps the memory. */
static inline void
wsgi__buf_reset(wsgi__buf *buf)
{
    buf->len = 0;
}

static inline wsgi__span
wsgi__buf_span(const wsgi__buf *buf)
{
    return (wsgi__span){ buf->data, buf->len };
}

/* The content as a C string, valid until the next change.  Cannot fail: there
 * is always room for the NUL behind a content, past the ceiling too. */
const char *wsgi__buf_str(wsgi__buf *buf);

#endif
