/*
 * What waits to be written to one stream: bytes copied, bytes referenced and
 * ranges of files, in order; as much as possible in one writev.
 *
 * Knows no HTTP and no Python: who lent bytes says how to give them back.
 */
#ifndef WSGI_NET_OUTQ_H
#define WSGI_NET_OUTQ_H

#include <stdint.h>

#include "base/span.h"
#include "net/stream.h"

/* Returns what was lent.  Called exactly once, on success of the push only, on
 * the thread that writes. */
typedef void (*wsgi__release_fn)(void *owner);

typedef struct wsgi__outq {
    struct wsgi__segment *first, *last;
    uint64_t pending; /* bytes not yet written */
} wsgi__outq;

/* Zero-filled is empty.  An empty queue owns no memory. */
void wsgi__outq_free(wsgi__outq *q); /* releases everything; q is empty */

/* Append.  WSGI_ERR_NOMEM leaves the queue unchanged and what was lent with
 * the caller.  copy coalesces with bytes copied before.  What has no bytes is
 * released at once. */
int wsgi__outq_copy(wsgi__outq *q, const void *data, size_t len);
int wsgi__outq_lend(wsgi__outq *q, const void *data, size_t len,
                    wsgi__release_fn release, void *owner);
/* len bytes of a regular file from offset `at`.  release may be NULL: such
 * ranges that continue each other become one.  By sendfile where stream and
 * file can, else through memory, 64 KiB at a time.
 * WSGI_ERR_INVALID when at + len is past what a file can have. */
int wsgi__outq_file(wsgi__outq *q, int fd, off_t at, uint64_t len,
                    wsgi__release_fn release, void *owner);

/* Writes until all is written or the stream would block.  0: the queue is
 * empty; else WSGI__WANT_READ, WSGI__WANT_WRITE, WSGI__FAILED (errno), or
 * WSGI__BAD_FILE: a file is shorter than it was said to be, or cannot be read.
 * *written is set to the bytes moved by this call, whatever it returns.  One
 * call moves at most 4 MiB, so that one fast reader does not hold the others
 * up: it then gives WSGI__WANT_WRITE. */
int wsgi__outq_write(wsgi__outq *q, wsgi__stream *stream, uint64_t *written);

static inline uint64_t
wsgi__outq_pending(const wsgi__outq *q)
{
    return q->pending;
}

#endif
