/* A list of segments and the calls that empty it. */
#include "net/outq.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include <wsgi/wsgi.h>

#include "base/mem.h"

#define IOV_N 64
/* As much as Linux lets a socket's buffer become (tcp_wmem).  A full buffer is
 * sent on as its acknowledgements come: 8 connections that get 10 MiB each by
 * sendfile() take 4.5 ms of the processor for one with 1 MiB here, 2.0 with 4,
 * 3.1 with 16. */
#define TURN_MAX (4 * 1024 * 1024)
#define PIECE_MAX (64 * 1024)

/* Sizes of blocks with their header.  A whole small response fits the first
 * one, which malloc takes from its per-thread cache; who copies more goes on
 * with large ones. */
#define FIRST_BLOCK 1024
#define NEXT_BLOCK (16 * 1024)

typedef enum segment_kind { COPIED, LENT, FILE_RANGE } segment_kind;

typedef struct wsgi__segment segment;
struct wsgi__segment {
    segment *next;
    uint64_t len; /* not yet written */
    wsgi__release_fn release;
    void *owner;
    segment_kind kind;
    int fd;              /* of a file */
    bool read_and_write; /* the kernel would not send this file */
    off_t at;            /* of a file */
    const char *data;    /* of memory: first byte not yet written */
    size_t room;         /* of a copy: free bytes behind data + len */
    char bytes[];        /* of a copy */
};

static void
append(wsgi__outq *q, segment *new)
{
    if (q->last)
        q->last->next = new;
    else
        q->first = new;
    q->last = new;
    q->pending += new->len;
}

static void
release_owner(wsgi__release_fn release, void *owner)
{
    if (release)
        release(owner);
}

static void
drop_first(wsgi__outq *q)
{
    segment *first = q->first;

    q->first = first->next;
    if (!q->first)
        q->last = NULL;
    q->pending -= first->len;
    wsgi__release_fn release = first->release;
    void *owner = first->owner;
    wsgi__mem_free(first);
    release_owner(release, owner);
}

void
wsgi__outq_free(wsgi__outq *q)
{
    while (q->first)
        drop_first(q);
}

/* A block with room for at least len bytes; NULL when out of memory. */
static segment *
new_block(size_t len, size_t size)
{
    if (len > SIZE_MAX - sizeof(segment))
        return NULL;
    if (size < sizeof(segment) + len)
        size = sizeof(segment) + len;
    segment *block = wsgi__mem_alloc(size);
    if (!block)
        return NULL;
    *block = (segment){ .kind = COPIED, .room = size - sizeof(segment) };
    block->data = block->bytes;
    return block;
}

static void
fill(wsgi__outq *q, segment *block, const char *data, size_t len)
{
    memcpy((char *)block->data + block->len, data, len);
    block->len += len;
    block->room -= len;
    q->pending += len;
}

int
wsgi__outq_copy(wsgi__outq *q, const void *data, size_t len)
{
    segment *last = q->last && q->last->kind == COPIED ? q->last : NULL;
    size_t fits = last && last->room < len ? last->room : last ? len : 0;

    if (len == 0)
        return WSGI_OK;
    segment *block = NULL;
    if (fits < len) {
        block = new_block(len - fits, last ? NEXT_BLOCK : FIRST_BLOCK);
        if (!block)
            return WSGI_ERR_NOMEM;
    }
    if (fits)
        fill(q, last, data, fits);
    if (block) {
        append(q, block);
        fill(q, block, (const char *)data + fits, len - fits);
    }
    return WSGI_OK;
}

/* What is empty needs no place in the queue. */
static int
push(wsgi__outq *q, const segment *what)
{
    if (what->len == 0) {
        release_owner(what->release, what->owner);
        return WSGI_OK;
    }
    if (what->len > UINT64_MAX - q->pending)
        return WSGI_ERR_INVALID;
    segment *new = wsgi__mem_alloc(sizeof(*new));
    if (!new)
        return WSGI_ERR_NOMEM;
    *new = *what;
    append(q, new);
    return WSGI_OK;
}

int
wsgi__outq_lend(wsgi__outq *q, const void *data, size_t len,
                wsgi__release_fn release, void *owner)
{
    return push(q, &(segment){ .kind = LENT,
                               .data = data,
                               .len = len,
                               .release = release,
                               .owner = owner });
}

/* Many small pieces of one file, as write() spills them, are one range. */
static bool
continues(const segment *s, int fd, off_t at)
{
    return s->kind == FILE_RANGE && s->fd == fd && !s->release &&
           s->at + (off_t)s->len == at;
}

int
wsgi__outq_file(wsgi__outq *q, int fd, off_t at, uint64_t len,
                wsgi__release_fn release, void *owner)
{
    if (at < 0 || len > (uint64_t)(INT64_MAX - at))
        return WSGI_ERR_INVALID;
    if (!release && q->last && continues(q->last, fd, at)) {
        q->last->len += len;
        q->pending += len;
        return WSGI_OK;
    }
    return push(q, &(segment){ .kind = FILE_RANGE,
                               .fd = fd,
                               .at = at,
                               .len = len,
                               .release = release,
                               .owner = owner });
}

/* Memory from the front, up to the first file, at most `most` bytes. */
static int
gather(const wsgi__outq *q, struct iovec *iov, uint64_t most)
{
    int n = 0;

    for (const segment *s = q->first; s && n < IOV_N && most; s = s->next) {
        if (s->kind == FILE_RANGE)
            break;
        size_t len = s->len < most ? (size_t)s->len : (size_t)most;
        iov[n++] = (struct iovec){ (void *)s->data, len };
        most -= len;
    }
    return n;
}

static void
consume(wsgi__outq *q, uint64_t n)
{
    while (n && n >= q->first->len) {
        n -= q->first->len;
        drop_first(q);
    }
    if (!n)
        return;
    q->first->len -= n;
    q->pending -= n;
    if (q->first->kind == FILE_RANGE)
        q->first->at += (off_t)n;
    else
        q->first->data += n;
}

static ssize_t
write_memory(wsgi__outq *q, wsgi__stream *stream, uint64_t most)
{
    struct iovec iov[IOV_N];
    int n = gather(q, iov, most);

    return stream->ops->writev(stream, iov, n);
}

/* Puts the next piece of the file in front of it as a copy, so that a short
 * write keeps what was read: TLS has to be given the same bytes again. */
static int
read_piece(wsgi__outq *q)
{
    segment *file = q->first;
    size_t len = file->len < PIECE_MAX ? (size_t)file->len : PIECE_MAX;
    segment *piece = new_block(len, 0);
    ssize_t n;

    if (!piece) {
        errno = ENOMEM;
        return WSGI__FAILED;
    }
    do
        n = pread(file->fd, piece->bytes, len, file->at);
    while (n < 0 && errno == EINTR);
    if (n <= 0) {
        wsgi__mem_free(piece);
        return WSGI__BAD_FILE;
    }
    piece->len = (uint64_t)n;
    piece->room = 0;
    q->pending += piece->len; /* the file's part of it goes with consume */
    consume(q, piece->len);
    piece->next = q->first;
    q->first = piece;
    if (!q->last)
        q->last = piece;
    return 0;
}

/* The bytes moved, or why none were; 0 after a piece was only made ready. */
static ssize_t
write_file(wsgi__outq *q, wsgi__stream *stream, uint64_t most)
{
    segment *file = q->first;
    size_t len = file->len < most ? (size_t)file->len : (size_t)most;

    if (!stream->ops->sendfile || file->read_and_write)
        return read_piece(q);
    ssize_t n = stream->ops->sendfile(stream, file->fd, file->at, len);
    if (n != WSGI__BAD_FILE && n != 0)
        return n;
    /* Some file systems cannot splice; one that is too short shows itself when
     * it is read, too. */
    file->read_and_write = true;
    return 0;
}

int
wsgi__outq_write(wsgi__outq *q, wsgi__stream *stream, uint64_t *written)
{
    *written = 0;
    while (q->first) {
        uint64_t most = TURN_MAX - *written;
        bool is_file = q->first->kind == FILE_RANGE;

        if (most == 0)
            return WSGI__WANT_WRITE;
        ssize_t n = is_file ? write_file(q, stream, most)
                            : write_memory(q, stream, most);
        if (n < 0)
            return (int)n;
        if (n == 0 && !is_file) /* no stream does; it must not spin */
            return WSGI__WANT_WRITE;
        consume(q, (uint64_t)n);
        *written += (uint64_t)n;
    }
    return 0;
}
