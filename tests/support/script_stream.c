#include "support/script_stream.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static const script_step no_steps[] = { SCRIPT_DONE };

/* An eventfd is readable while its count is not 0, and writable below 2^64. */
static void
show_readiness(const script_stream *s)
{
    uint64_t count = 1;
    ssize_t ignored;

    if (s->stream.fd < 0)
        return;
    if (s->reads->kind != SCRIPT_KIND_DONE)
        ignored = write(s->stream.fd, &count, sizeof(count));
    else
        ignored = read(s->stream.fd, &count, sizeof(count));
    (void)ignored;
}

static size_t
at_most(size_t len, size_t limit)
{
    return limit && limit < len ? limit : len;
}

static void
next_read(script_stream *s)
{
    s->reads++;
    s->read_from_step = 0;
    show_readiness(s);
}

static ssize_t
read_data(script_stream *s, void *into, size_t len)
{
    const script_step *step = s->reads;
    size_t n = at_most(step->len - s->read_from_step, len);

    memcpy(into, step->data + s->read_from_step, n);
    s->read_from_step += n;
    if (s->read_from_step == step->len)
        next_read(s);
    return (ssize_t)n;
}

static ssize_t
script_read(wsgi__stream *stream, void *into, size_t len)
{
    script_stream *s = (script_stream *)stream;
    const script_step *step = s->reads;

    s->n_reads++;
    s->used_after_close |= s->n_closes > 0;
    switch (step->kind) {
    case SCRIPT_KIND_DATA:
        return read_data(s, into, at_most(len, s->max_read));
    case SCRIPT_KIND_EOF:
        return 0;
    case SCRIPT_KIND_ERROR:
        errno = step->number;
        return WSGI__FAILED;
    case SCRIPT_KIND_RESULT:
        next_read(s);
        return step->number ? step->number : WSGI__WANT_READ;
    case SCRIPT_KIND_DONE:
    case SCRIPT_KIND_BLOCKED:
        return WSGI__WANT_READ;
    case SCRIPT_KIND_TAKE:
        break;
    }
    abort(); /* a step of writes among the reads */
}

static void
record(script_stream *s, const void *data, size_t len)
{
    char *more = realloc(s->written, s->n_written + len + 1);

    if (!more)
        abort();
    s->written = more;
    if (len)
        memcpy(s->written + s->n_written, data, len);
    s->n_written += len;
    s->written[s->n_written] = '\0';
}

/* How many of len bytes the next call takes, or its negative result. */
static ssize_t
next_write(script_stream *s, size_t len)
{
    const script_step *step = s->writes;

    s->used_after_close |= s->n_closes > 0;
    if (len > s->most_bytes)
        s->most_bytes = len;
    switch (step->kind) {
    case SCRIPT_KIND_DONE:
        return (ssize_t)at_most(len, s->max_write);
    case SCRIPT_KIND_TAKE:
        s->writes++;
        return (ssize_t)at_most(step->len < len ? step->len : len,
                                s->max_write);
    case SCRIPT_KIND_RESULT:
        s->writes++;
        return step->number ? step->number : WSGI__WANT_WRITE;
    case SCRIPT_KIND_ERROR:
        errno = step->number;
        return WSGI__FAILED;
    case SCRIPT_KIND_BLOCKED:
        return WSGI__WANT_WRITE;
    case SCRIPT_KIND_DATA:
    case SCRIPT_KIND_EOF:
        break;
    }
    abort(); /* a step of reads among the writes */
}

static ssize_t
script_writev(wsgi__stream *stream, const struct iovec *iov, int n)
{
    script_stream *s = (script_stream *)stream;
    size_t len = 0;

    s->n_writevs++;
    if (n > s->most_iov)
        s->most_iov = n;
    for (int i = 0; i < n; i++)
        len += iov[i].iov_len;
    ssize_t taken = next_write(s, len);
    for (size_t left = taken > 0 ? (size_t)taken : 0; left; iov++) {
        size_t part = iov->iov_len < left ? iov->iov_len : left;
        record(s, iov->iov_base, part);
        left -= part;
    }
    return taken;
}

/* Really reads the file, so that a short one is found as the kernel does. */
static ssize_t
script_sendfile(wsgi__stream *stream, int file, off_t at, size_t len)
{
    script_stream *s = (script_stream *)stream;

    s->n_sendfiles++;
    ssize_t taken = next_write(s, len);
    if (taken <= 0)
        return taken;
    char *bytes = malloc((size_t)taken);
    if (!bytes)
        abort();
    ssize_t n = pread(file, bytes, (size_t)taken, at);
    if (n > 0)
        record(s, bytes, (size_t)n);
    free(bytes);
    return n > 0 ? n : WSGI__BAD_FILE;
}

static int
script_shutdown(wsgi__stream *stream)
{
    script_stream *s = (script_stream *)stream;

    s->used_after_close |= s->n_closes > 0;
    if (s->n_shutdowns++ == 0)
        s->n_at_shutdown = s->n_written;
    return 0;
}

static void
script_close(wsgi__stream *stream)
{
    script_stream *s = (script_stream *)stream;

    if (s->n_closes++ == 0)
        close(stream->fd);
    stream->fd = -1;
}

static const wsgi__stream_ops with_sendfile = {
    .read = script_read,
    .writev = script_writev,
    .sendfile = script_sendfile,
    .shutdown = script_shutdown,
    .close = script_close,
};

static const wsgi__stream_ops without_sendfile = {
    .read = script_read,
    .writev = script_writev,
    .shutdown = script_shutdown,
    .close = script_close,
};

void
script_stream_init(script_stream *s, const script_step *reads,
                   const script_step *writes)
{
    *s = (script_stream){
        .stream = { .ops = &with_sendfile,
                    .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) },
        .reads = no_steps,
        .writes = no_steps,
    };
    if (s->stream.fd < 0)
        abort();
    script_stream_reads(s, reads);
    script_stream_writes(s, writes);
}

void
script_stream_free(script_stream *s)
{
    if (s->stream.fd >= 0)
        close(s->stream.fd);
    free(s->written);
    *s = (script_stream){ .stream = { .fd = -1 } };
}

void
script_stream_without_sendfile(script_stream *s)
{
    s->stream.ops = &without_sendfile;
}

void
script_stream_reads(script_stream *s, const script_step *reads)
{
    s->reads = reads ? reads : no_steps;
    s->read_from_step = 0;
    show_readiness(s);
}

void
script_stream_writes(script_stream *s, const script_step *writes)
{
    s->writes = writes ? writes : no_steps;
}

const char *
script_stream_text(const script_stream *s)
{
    return s->written ? s->written : "";
}

bool
script_stream_wrote(const script_stream *s, const void *data, size_t len)
{
    return s->n_written == len &&
           (len == 0 || memcmp(s->written, data, len) == 0);
}

void
script_stream_forget(script_stream *s)
{
    s->n_written = 0;
    if (s->written)
        s->written[0] = '\0';
}
