/*
 * The head of a request: bytes to request line and fields, in one strict pass.
 *
 * Pure: no I/O, no clock, no Python.  Copies what it takes to req->head and
 * looks at each byte once, however the input is cut; what is not allowed is
 * refused at the byte where that shows.  Lines that a model has, too, are
 * compared with it instead.
 */
#ifndef WSGI_HTTP_HEAD_H
#define WSGI_HTTP_HEAD_H

#include "http/fault.h"
#include "http/fields.h"
#include "http/model.h"
#include "http/request.h"

/* What the next byte belongs to.  EMPTY_LINE -> EMPTY_LF -> EMPTY_LINE;
 * EMPTY_LINE -> METHOD -> TARGET -> VERSION -> LINE_LF -> FIELD; FIELD -> NAME
 * -> BLANK -> VALUE -> FIELD_LF -> FIELD; FIELD -> LAST_LF -> ENDED.  Each but
 * ENDED may also -> FAILED. */
typedef enum wsgi__head_state {
    WSGI__HEAD_EMPTY_LINE, /* or the request line */
    WSGI__HEAD_EMPTY_LF,
    WSGI__HEAD_METHOD,
    WSGI__HEAD_TARGET,
    WSGI__HEAD_VERSION,
    WSGI__HEAD_LINE_LF,
    WSGI__HEAD_FIELD, /* its first byte, or the line that ends the head */
    WSGI__HEAD_NAME,
    WSGI__HEAD_BLANK, /* before a value */
    WSGI__HEAD_VALUE,
    WSGI__HEAD_FIELD_LF,
    WSGI__HEAD_LAST_LF,
    WSGI__HEAD_ENDED,
    WSGI__HEAD_FAILED
} wsgi__head_state;

typedef struct wsgi__head_limits {
    size_t max_line;       /* 414 */
    size_t max_fields;     /* 431 */
    size_t max_field_size; /* 431 */
} wsgi__head_limits;

typedef struct wsgi__head {
    wsgi__head_limits limits;
    wsgi__request *req; /* to fill; its owner's */
    wsgi__head_state state;
    unsigned empty_lines;
    size_t line;     /* in req->head: where the current line began */
    size_t limit;    /* in req->head: where it must end */
    size_t mark;     /* in req->head: where target, version, value began */
    size_t name_len; /* of the current field */
    wsgi__fields fields;
    wsgi__fault fault; /* where FAILED */

    const wsgi__model *model; /* its owner's */
    bool is_like;             /* up to here it has the model's names */
    size_t model_at;          /* in the text of the model: its next line */
    size_t line_len;          /* of the request line with its CRLF */
} wsgi__head;

/* req is reset, and its head.max is the ceiling of a head (431).  model was
 * made under the same limits. */
void wsgi__head_init(wsgi__head *h, const wsgi__head_limits *limits,
                     wsgi__request *req, const wsgi__model *model);

/* Takes up to len bytes and returns how many: none behind the head, nor behind
 * the byte that is refused.  At ENDED req is filled, but for what
 * wsgi__fields_end() does, and is_like says whether the head has the names of
 * the model, in that order; req->like.changed is then meant. */
size_t wsgi__head_feed(wsgi__head *h, const char *data, size_t len);

#endif
