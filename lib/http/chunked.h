/*
 * The chunked transfer coding (RFC 9112 7.1), taken off.
 *
 * Pure, and allocates nothing: pieces of data point into the input.  Strict:
 * the size is 1*HEXDIG and nothing else, CRLF is the only line end.  Extensions
 * and trailers are checked, bounded together and dropped: a trailer never
 * becomes a header.
 *
 *     while (len > 0 && !wsgi__chunked_ended(&c)) {
 *         size_t used = wsgi__chunked_feed(&c, data, len, &piece);
 *         data += used, len -= used;
 *         if (c.fault.status) ... refuse
 *         if (piece.len) ... that much of the body
 *     }
 */
#ifndef WSGI_HTTP_CHUNKED_H
#define WSGI_HTTP_CHUNKED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "http/fault.h"

/* The lines of the coding, in their order.  SIZE -> SIZE_END, BLANK,
 * EXTENSION; BLANK -> EXTENSION; EXTENSION -> SIZE_END; SIZE_END -> DATA, or
 * TRAILER after the last chunk; DATA -> DATA_CR -> DATA_LF -> SIZE; TRAILER ->
 * TRAILER_NAME, LAST_LF; TRAILER_NAME -> TRAILER_VALUE -> TRAILER_LF ->
 * TRAILER; LAST_LF -> ENDED.  Each but ENDED may also -> FAILED. */
typedef enum wsgi__chunked_state {
    WSGI__CHUNKED_SIZE,
    WSGI__CHUNKED_BLANK, /* between size and extension */
    WSGI__CHUNKED_EXTENSION,
    WSGI__CHUNKED_SIZE_END,
    WSGI__CHUNKED_DATA,
    WSGI__CHUNKED_DATA_CR,
    WSGI__CHUNKED_DATA_LF,
    WSGI__CHUNKED_TRAILER,
    WSGI__CHUNKED_TRAILER_NAME,
    WSGI__CHUNKED_TRAILER_VALUE,
    WSGI__CHUNKED_TRAILER_LF,
    WSGI__CHUNKED_LAST_LF,
    WSGI__CHUNKED_ENDED,
    WSGI__CHUNKED_FAILED
} wsgi__chunked_state;

typedef struct wsgi__chunked {
    wsgi__chunked_state state;
    unsigned digits;   /* of the size seen so far */
    int64_t left;      /* size, then what remains, of this chunk */
    int64_t total;     /* bytes in all chunks announced so far */
    int64_t max_body;  /* 413; 0: no limit */
    size_t meta;       /* bytes of extensions and trailers */
    size_t max_meta;   /* 400 */
    wsgi__fault fault; /* where FAILED: 400 or 413 */
} wsgi__chunked;

void wsgi__chunked_init(wsgi__chunked *c, int64_t max_body, size_t max_meta);

/* Uses up to len bytes and returns how many.  Stops behind a piece of data,
 * at the end, and behind the byte that is refused; *piece is empty where no
 * data came. */
size_t wsgi__chunked_feed(wsgi__chunked *c, const char *data, size_t len,
                          wsgi__span *piece);

static inline bool
wsgi__chunked_ended(const wsgi__chunked *c)
{
    return c->state == WSGI__CHUNKED_ENDED;
}

#endif
