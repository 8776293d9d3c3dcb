/*
 * HTTP/1.x request parser: bytes in, one event out at a time.
 *
 * Pure: no I/O, no clock, no Python.  Reads the bytes itself, strictly (RFC
 * 9112 with every "MAY accept" declined: http/head, http/fields, http/chunked),
 * and then asks http-parser, which nothing else in the library includes: a
 * head that it refuses or understands otherwise is refused too.
 *
 *     for (;;) {
 *         size_t used;
 *         wsgi__event event = wsgi__parser_feed(p, data, len, &used);
 *         data += used, len -= used;
 *         switch (event) ...
 *     }
 *
 * How the input is cut into calls never changes the events, only how BODY
 * bytes are grouped.  What is wrong is refused at the byte that shows it.  END
 * follows HEAD without a BODY where no body comes, and is given without further
 * input: feed with len 0 is allowed.
 */
#ifndef WSGI_HTTP_PARSER_H
#define WSGI_HTTP_PARSER_H

#include "http/request.h"

typedef enum wsgi__event {
    WSGI__EV_MORE, /* all input used, nothing new */
    WSGI__EV_HEAD, /* the request is complete from here on */
    WSGI__EV_BODY, /* wsgi__parser_body() is the next piece, in the input */
    WSGI__EV_END,  /* the request is over; reset before feeding more */
    WSGI__EV_ERROR /* answer wsgi__parser_status() and close */
} wsgi__event;

typedef struct wsgi__parser_limits {
    size_t max_line;       /* request line in bytes: 414; 0: the ceiling */
    size_t max_fields;     /* 431; 0: the ceiling */
    size_t max_field_size; /* the line of one field in bytes, blanks included:
                            * 431; 0: the ceiling */
    int64_t max_body;      /* 413; 0: no limit */
} wsgi__parser_limits;

/* Whatever the limits say: bytes of a head (431), and of the extensions and
 * trailers of a chunked body (400). */
#define WSGI__PARSER_MAX_HEAD (256 * 1024)
#define WSGI__PARSER_MAX_FIELDS 2000
#define WSGI__PARSER_MAX_CHUNK_META (8 * 1024)

typedef struct wsgi__parser wsgi__parser;

/* NULL when out of memory.  limits are copied. */
wsgi__parser *wsgi__parser_new(const wsgi__parser_limits *limits);
void wsgi__parser_free(wsgi__parser *parser);
/* For the next request.  Keeps the memory, up to 16 KiB of a kind. */
void wsgi__parser_reset(wsgi__parser *parser);

/* To remember heads of the requests to come, from this connection, and to
 * forget them for one of another: http/model.h.  Nothing is remembered at
 * first. */
void wsgi__parser_remember(wsgi__parser *parser);
void wsgi__parser_forget(wsgi__parser *parser);
bool wsgi__parser_remembers(const wsgi__parser *parser);

/* Takes *used <= len bytes of data: of a refused request, up to and with the
 * byte that was refused.  After ERROR every call gives ERROR. */
wsgi__event wsgi__parser_feed(wsgi__parser *parser, const char *data,
                              size_t len, size_t *used);

/* Valid from HEAD until reset.  Before HEAD, for a log line about an ERROR: as
 * far as it was understood, method and target may be empty. */
const wsgi__request *wsgi__parser_request(const wsgi__parser *parser);
wsgi__span wsgi__parser_body(const wsgi__parser *parser);

/* Whether a byte of this request has arrived (empty lines before the request
 * line do not count): tells an idle connection from a slow one. */
bool wsgi__parser_started(const wsgi__parser *parser);

/* After ERROR: 400, 413, 414, 417, 431, 501 or 505, or 503 when out of memory;
 * and why, as an impersonal clause for log and error page ("bare LF in the
 * head").  0 and NULL before. */
int wsgi__parser_status(const wsgi__parser *parser);
const char *wsgi__parser_reason(const wsgi__parser *parser);

#endif
