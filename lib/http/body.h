/*
 * Bytes of unknown number: in memory up to a mark, then in a temporary file.
 *
 * For request bodies, and for response bytes that cannot wait in memory.  No
 * sockets, no Python; the file is made in $TMPDIR or /tmp, unlinked at once.
 */
#ifndef WSGI_HTTP_BODY_H
#define WSGI_HTTP_BODY_H

#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/span.h"

typedef struct wsgi__body {
    wsgi__buf mem; /* the content while there is no file */
    int fd;        /* -1: in memory */
    int64_t len;
    int64_t expected; /* -1: unknown */
    size_t in_memory; /* above it a file is made */
} wsgi__body;

/* Allocates nothing. */
void wsgi__body_init(wsgi__body *body, size_t in_memory);
void wsgi__body_free(wsgi__body *body);

/* Empties.  Small memory is kept, but not that of an expected length. */
void wsgi__body_reset(wsgi__body *body);

/* How long it will be, if somebody said so.  Memory is taken when bytes come, at
 * most 64 KiB at first and then at most four times what has come: a client that
 * promises much and sends little costs little. */
void wsgi__body_expect(wsgi__body *body, int64_t len);

/* All or nothing: WSGI_ERR_NOMEM, or WSGI_ERR_SYSTEM with errno set when the
 * file cannot be made or written (ENOSPC).  Short writes and EINTR are dealt
 * with inside. */
int wsgi__body_append(wsgi__body *body, const void *data, size_t len);

/* Copies up to len bytes from offset `at`; 0 at the end; -1 with errno. */
ssize_t wsgi__body_read(const wsgi__body *body, int64_t at, void *into,
                        size_t len);

static inline bool
wsgi__body_in_file(const wsgi__body *body)
{
    return body->fd >= 0;
}

/* Everything, while it is in memory. */
static inline wsgi__span
wsgi__body_span(const wsgi__body *body)
{
    return wsgi__buf_span(&body->mem);
}

#endif
