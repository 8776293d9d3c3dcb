/*
 * Reads responses as a client under time does: status and length, at little
 * cost.  Whether the bytes are the right ones is checked before anything is
 * timed, by ./run.  Pure: no sockets, no clock, no allocation.
 *
 *     answer_begin(&a);
 *     while (a.state < ANSWER_OVER)
 *         data += answer_feed(&a, &cache, data, len);
 *
 * What is not used by answer_feed() is a piece of a line: the caller offers it
 * again with what follows it.
 */
#ifndef BENCH_ANSWER_H
#define BENCH_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* HEAD -> LENGTH, CHUNK_SIZE, UNTIL_CLOSE, OVER; LENGTH -> OVER; CHUNK_SIZE
 * -> CHUNK, TRAILER; CHUNK -> CHUNK_SIZE; TRAILER -> OVER; UNTIL_CLOSE ->
 * OVER by answer_closed().  HEAD, CHUNK_SIZE and UNTIL_CLOSE may also ->
 * FAILED. */
typedef enum answer_state {
    ANSWER_HEAD,
    ANSWER_LENGTH, /* a body with a Content-Length */
    ANSWER_CHUNK_SIZE,
    ANSWER_CHUNK,
    ANSWER_TRAILER,
    ANSWER_UNTIL_CLOSE,
    ANSWER_OVER,
    ANSWER_FAILED
} answer_state;

typedef struct answer {
    answer_state state;
    int status;
    bool close;     /* the server will close the connection behind it */
    int64_t left;   /* of the body or of the chunk */
    int64_t length; /* of the body as far as it has come */
} answer;

/* The last head that was read: the next is nearly always the same to the byte,
 * and then is compared only. */
#define ANSWER_CACHED 1024
typedef struct answer_cache {
    char head[ANSWER_CACHED];
    size_t len;
    answer framing;
} answer_cache;

void answer_begin(answer *a);

/* Returns how many bytes were used; 0 when it takes more to go on. */
size_t answer_feed(answer *a, answer_cache *cache, const char *data,
                   size_t len);

/* The connection has ended: ANSWER_OVER if that is how the body ends. */
void answer_closed(answer *a);

#endif
