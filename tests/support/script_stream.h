/*
 * A wsgi__stream that follows a script and remembers what was done to it.
 *
 *     static const script_step reads[] = {
 *         SCRIPT_DATA("GET / HT"), SCRIPT_AGAIN,
 *         SCRIPT_DATA("TP/1.1\r\n\r\n"), SCRIPT_EOF, SCRIPT_DONE
 *     };
 *     static const script_step writes[] = {
 *         SCRIPT_TAKE(10), SCRIPT_AGAIN, SCRIPT_ERROR(EPIPE), SCRIPT_DONE
 *     };
 *     script_stream s;
 *     script_stream_init(&s, reads, writes);
 *     ... use &s.stream ...
 *     cr_assert_str_eq(script_stream_text(&s), "HTTP/1.1 200 OK\r\n...");
 *     script_stream_free(&s);
 *
 * Reads and writes have a script each; NULL is the empty one.  After its last
 * step a stream has nothing more to read (WANT_READ) and takes everything that
 * is written; SCRIPT_EOF, SCRIPT_ERROR and SCRIPT_BLOCKED stay for ever.
 *
 * stream.fd is a real descriptor that a loop can watch: always writable, and
 * readable as long as the read script has steps left.  It is closed with the
 * stream.  Memory comes from malloc, not base/mem: a test that lets the n-th
 * allocation fail does not count these.  Aborts when out of memory.
 */
#ifndef TESTS_SUPPORT_SCRIPT_STREAM_H
#define TESTS_SUPPORT_SCRIPT_STREAM_H

#include <stdbool.h>
#include <stddef.h>

#include "net/stream.h"

typedef enum script_kind {
    SCRIPT_KIND_DONE, /* the end of the script */
    SCRIPT_KIND_DATA,
    SCRIPT_KIND_TAKE,
    SCRIPT_KIND_RESULT,
    SCRIPT_KIND_EOF,
    SCRIPT_KIND_ERROR,
    SCRIPT_KIND_BLOCKED
} script_kind;

typedef struct script_step {
    script_kind kind;
    const char *data;
    size_t len;
    int number; /* the result, or errno */
} script_step;

#define SCRIPT_DONE                                                           \
    {                                                                         \
        .kind = SCRIPT_KIND_DONE                                              \
    }
/* Reads: these bytes, over several reads if they ask for less.  Never joined
 * with the next step's. */
#define SCRIPT_BYTES(bytes, n)                                                \
    {                                                                         \
        .kind = SCRIPT_KIND_DATA, .data = (bytes), .len = (n)                 \
    }
#define SCRIPT_DATA(literal) SCRIPT_BYTES(literal, sizeof(literal) - 1)
/* Reads: the peer sends no more.  Stays. */
#define SCRIPT_EOF                                                            \
    {                                                                         \
        .kind = SCRIPT_KIND_EOF                                               \
    }
/* Writes: at most n bytes, in this call. */
#define SCRIPT_TAKE(n)                                                        \
    {                                                                         \
        .kind = SCRIPT_KIND_TAKE, .len = (n)                                  \
    }
/* Once: WANT_READ for a read, WANT_WRITE for a write. */
#define SCRIPT_AGAIN                                                          \
    {                                                                         \
        .kind = SCRIPT_KIND_RESULT, .number = 0                               \
    }
/* Once: WSGI__WANT_READ from a write or the other way, as TLS has it, or
 * WSGI__BAD_FILE. */
#define SCRIPT_RESULT(result)                                                 \
    {                                                                         \
        .kind = SCRIPT_KIND_RESULT, .number = (result)                        \
    }
/* WSGI__FAILED with this errno.  Stays. */
#define SCRIPT_ERROR(error)                                                   \
    {                                                                         \
        .kind = SCRIPT_KIND_ERROR, .number = (error)                          \
    }
/* SCRIPT_AGAIN that stays: a client that reads no more. */
#define SCRIPT_BLOCKED                                                        \
    {                                                                         \
        .kind = SCRIPT_KIND_BLOCKED                                           \
    }

typedef struct script_stream {
    wsgi__stream stream; /* first: the operations find the script by it */
    const script_step *reads, *writes; /* the next step of each */
    size_t read_from_step;             /* bytes of the DATA step given out */

    /* Set by the test at any time: each call moves at most this many bytes; 0
     * is no limit. */
    size_t max_read, max_write;

    /* What happened. */
    char *written; /* with a NUL behind it that is not counted */
    size_t n_written;
    size_t n_reads, n_writevs, n_sendfiles, n_shutdowns, n_closes; /* calls */
    int most_iov;          /* the largest n of a writev */
    size_t most_bytes;     /* the most bytes offered to one call */
    size_t n_at_shutdown;  /* n_written when it was shut down first */
    bool used_after_close; /* a call came after close */
} script_stream;

void script_stream_init(script_stream *s, const script_step *reads,
                        const script_step *writes);
void script_stream_free(script_stream *s);

/* As a transport through which the kernel sends no files: ops->sendfile is
 * NULL. */
void script_stream_without_sendfile(script_stream *s);

/* Goes on with another script, in place of what is left of the old one. */
void script_stream_reads(script_stream *s, const script_step *reads);
void script_stream_writes(script_stream *s, const script_step *writes);

/* Everything written, as a string; "" when nothing was. */
const char *script_stream_text(const script_stream *s);

/* Whether exactly these bytes were written. */
bool script_stream_wrote(const script_stream *s, const void *data, size_t len);

/* Forgets what was written; the counts stay. */
void script_stream_forget(script_stream *s);

#endif
