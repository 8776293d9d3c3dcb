/*
 * What is remembered of a connection's heads, because the next one is mostly
 * the same: clients repeat their fields in each request (performance: a
 * browser's head costs a tenth when it is repeated).
 *
 * The model is the text of one accepted head, and where its fields lie in it.
 * A line that equals the model's, byte for byte, needs no second look.  Pure:
 * no I/O, no clock, no Python.
 *
 * A connection has a model of its own: what one client sent is never compared
 * with what another sends, so that the time a comparison takes tells nobody
 * about the cookies of others.
 */
#ifndef WSGI_HTTP_MODEL_H
#define WSGI_HTTP_MODEL_H

#include "http/fields.h"
#include "http/request.h"

/* Longer heads are not remembered. */
#define WSGI__MODEL_MAX_HEAD 4096

/* One line of the model, in bytes. */
typedef struct wsgi__model_line {
    uint16_t len; /* with its CRLF */
    uint16_t name_len;
    uint16_t value_at; /* behind the start of the line */
    uint16_t value_len;
    bool acted_on; /* wsgi__fields_know() its name */
} wsgi__model_line;

/* NONE -> SEEN, by a head; SEEN -> NUMBERED, by one that is like it; any ->
 * SEEN, by one that is not. */
typedef enum wsgi__model_state {
    WSGI__MODEL_NONE,
    WSGI__MODEL_SEEN,
    WSGI__MODEL_NUMBERED
} wsgi__model_state;

typedef struct wsgi__model {
    wsgi__model_state state;
    uint64_t number; /* where NUMBERED */
    wsgi__buf text;  /* of the head, from the request line to the last CRLF */
    size_t line_len; /* of the request line with its CRLF */
    wsgi__span method, target; /* in text, as the parts */
    wsgi__target parts;
    wsgi__model_line *lines;
    size_t n_lines;
    int minor;
    /* What came of its fields. */
    wsgi__fields fields;
    int64_t content_length;
    bool chunked, expect_continue;
    size_t host_at; /* of the value of Host, in text; 0: none */
    size_t host_len;
} wsgi__model;

/* Allocates nothing. */
void wsgi__model_init(wsgi__model *model);
void wsgi__model_free(wsgi__model *model); /* state is NONE again */

/* The text of the fields, with the empty line behind them. */
static inline wsgi__span
wsgi__model_fields(const wsgi__model *model)
{
    return (wsgi__span){ model->text.data + model->line_len,
                         model->text.len - model->line_len };
}

static inline wsgi__span
wsgi__model_line_text(const wsgi__model *model)
{
    return (wsgi__span){ model->text.data, model->line_len };
}

/* Gives req, whose head begins with the same text, the model's request line. */
void wsgi__model_take_line(const wsgi__model *model, wsgi__request *req);

/* Adds all fields of the model to req, whose head has the same text from `at`
 * on, and what came of them.  WSGI_ERR_NOMEM. */
int wsgi__model_take_fields(const wsgi__model *model, wsgi__request *req,
                            size_t at, wsgi__fields *fields);

/* After an accepted head: what the next one is compared with.  line_len is
 * that of its request line with the CRLF.  is_like: the head has its names, in
 * that order.  Sets req->like; its `changed` was collected before.  Out of
 * memory there is no model. */
void wsgi__model_note(wsgi__model *model, wsgi__request *req, size_t line_len,
                      const wsgi__fields *fields, bool is_like);

#endif
