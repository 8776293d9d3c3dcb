/*
 * A strict reader of responses: what a server may send, and not a byte else.
 *
 * Reads what the library wrote, so it is stricter than RFC 9112 where the
 * library always writes one form.  Ends the process at what is malformed.
 */
#ifndef FUZZ_WIRE_H
#define FUZZ_WIRE_H

#include "http/request.h"

#define WIRE_MOST_FIELDS 256

typedef struct wire_head {
    int code;
    wsgi__span status; /* "200 OK" */
    wsgi__header fields[WIRE_MOST_FIELDS];
    size_t n_fields;
    int64_t length; /* Content-Length, -1: none */
    bool chunked, closes, keeps;
} wire_head;

/* Returns how many bytes the head has, or 0 when it is cut short. */
size_t wire_read_head(wsgi__span text, wire_head *head);

/* The value of the only field of that name, in lower case; ptr NULL: none. */
wsgi__span wire_field(const wire_head *head, wsgi__span lower);

typedef enum wire_end {
    WIRE_COMPLETE,
    WIRE_CUT,        /* by the end of the text */
    WIRE_UNTIL_CLOSE /* the end of the text is the end of the body */
} wire_end;

typedef struct wire_body {
    wire_end end;
    size_t used;   /* of the text */
    uint64_t size; /* without framing */
} wire_body;

/* Takes pieces of the content, in order. */
typedef void (*wire_piece_cb)(void *user, wsgi__span piece);

/* The body behind a head; to_head: the answer to a HEAD request. */
wire_body wire_read_body(const wire_head *head, bool to_head, wsgi__span text,
                         wire_piece_cb piece, void *user);

#endif
