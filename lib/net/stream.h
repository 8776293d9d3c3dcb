/*
 * A non-blocking byte stream: a socket, or a script in tests.  Knows neither
 * the loop nor HTTP; TLS would be another set of operations.
 */
#ifndef WSGI_NET_STREAM_H
#define WSGI_NET_STREAM_H

#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

typedef struct wsgi__stream wsgi__stream;

/* Operations return the bytes moved, 0 from read at the end of the stream, or
 * one of these.  TLS may want to read in order to write and the other way. */
#define WSGI__WANT_READ (-1)
#define WSGI__WANT_WRITE (-2)
#define WSGI__FAILED (-3) /* errno says why */
/* sendfile: the file's fault, not the stream's: it ends before at + len, or the
 * kernel cannot send it this way. */
#define WSGI__BAD_FILE (-4)

typedef struct wsgi__stream_ops {
    /* len > 0 */
    ssize_t (*read)(wsgi__stream *stream, void *into, size_t len);
    ssize_t (*writev)(wsgi__stream *stream, const struct iovec *iov, int n);
    /* NULL where the kernel cannot: the caller reads and writes instead. */
    ssize_t (*sendfile)(wsgi__stream *stream, int file, off_t at, size_t len);
    /* No more will be written; reading goes on. */
    int (*shutdown)(wsgi__stream *stream);
    /* Closes what it owns. */
    void (*close)(wsgi__stream *stream);
} wsgi__stream_ops;

struct wsgi__stream { /* embedded in its owner */
    const wsgi__stream_ops *ops;
    int fd;
};

/* A plain socket, already non-blocking; the stream closes it.  Raises no
 * SIGPIPE, whatever the program's disposition. */
void wsgi__stream_plain(wsgi__stream *stream, int fd);

#endif
