/*
 * Response heads and body framing.  Pure: facts in, bytes out.
 */
#ifndef WSGI_HTTP_RESPONSE_H
#define WSGI_HTTP_RESPONSE_H

#include "base/buf.h"
#include "http/date.h"
#include "http/request.h"

typedef enum wsgi__framing {
    WSGI__FRAME_NONE,   /* no body: HEAD, 1xx, 204, 304 */
    WSGI__FRAME_LENGTH, /* Content-Length bytes */
    WSGI__FRAME_CHUNKED,
    WSGI__FRAME_CLOSE /* until the connection closes */
} wsgi__framing;

/* What the application answered.  The bytes are its owner's and were checked
 * with the functions below. */
typedef struct wsgi__response {
    wsgi__span status; /* "200 OK" */
    int code;          /* 200 */
    const wsgi__header *headers;
    size_t n_headers;
    int64_t content_length; /* from the headers, -1: none */
    int64_t known_length;   /* of the whole body if known, -1: not */
    /* Those with the same number have the same status and headers, byte for
     * byte; 0: nothing is known about it. */
    uint64_t number;
} wsgi__response;

typedef struct wsgi__plan {
    wsgi__framing framing;
    int64_t length; /* the Content-Length to be sent, -1: none */
    bool keep_alive;
    bool add_length; /* the application gave none: ours */
} wsgi__plan;

/* A copy with all that it refers to, in one block of memory for
 * wsgi__mem_free(); NULL when out of memory. */
wsgi__response *wsgi__response_dup(const wsgi__response *res);

/* ---- What an application may say ---------------------------------------- */

/* These give NULL, or the broken rule with what to write instead, as a clause
 * of one line. */

/* "999 Reason": a code from 200 to 999 (1xx is not final), a space, a reason
 * without control characters that may be empty.  *code is set on success. */
const char *wsgi__response_check_status(wsgi__span status, int *code);

/* Refused: a name that is not a token, a control character other than tab in
 * the value, a hop-by-hop header (PEP 3333, "Other HTTP Features"),
 * Transfer-Encoding.  What passes can go on the wire as it is. */
const char *wsgi__response_check_header(wsgi__span name, wsgi__span value);

/* Content-Length from the headers into res->content_length, which is unchanged
 * when the rule is broken by several that differ or one that is no number. */
const char *wsgi__response_find_length(wsgi__response *res);

/* ---- What goes on the wire ---------------------------------------------- */

/* Decides framing and keep-alive (RFC 9112 6.3, 9.3).  may_keep_alive is what
 * the server allows; the request's own wish is looked at here.  known_length
 * is used where the application gave no Content-Length, but not for 304, nor
 * for HEAD when it is 0: the application may have left out what GET would have
 * (RFC 9110 8.6).  A 205 is announced as empty whatever comes. */
wsgi__plan wsgi__response_plan(const wsgi__request *req,
                               const wsgi__response *res, bool may_keep_alive);

/* Appends status line and headers, ending in the empty line, by one
 * reservation.  Date and Server are added where the application gave none;
 * empty spans add none.  Content-Length is the plan's, in place of the
 * application's.  req is looked at when the plan keeps the connection alive.
 * WSGI_ERR_NOMEM; out is then unchanged. */
int wsgi__response_head(const wsgi__request *req, const wsgi__response *res,
                        const wsgi__plan *plan, wsgi__span date,
                        wsgi__span server, wsgi__buf *out);

/* Appends a whole response made by the server itself, code 400 to 599, with
 * "Connection: close".  The body is text/plain, "413 Content Too Large:
 * reason\n" (reason may be NULL); head_only leaves it out, not its length.
 * WSGI_ERR_NOMEM; out is then unchanged. */
int wsgi__response_error(int code, const char *reason, bool head_only,
                         wsgi__span date, wsgi__span server, wsgi__buf *out);

/* The standard phrase of a status code (RFC 9110 15), or "Unknown". */
const char *wsgi__response_phrase(int code);

#define WSGI__CONTINUE WSGI__SPAN("HTTP/1.1 100 Continue\r\n\r\n")

#define WSGI__CHUNK_HEAD_MAX 18 /* 16 hex digits, CR, LF */
/* The line before len > 0 bytes of chunk data; returns its length. */
size_t wsgi__chunk_head(char out[WSGI__CHUNK_HEAD_MAX], size_t len);
#define WSGI__CHUNK_TAIL WSGI__SPAN("\r\n")
#define WSGI__LAST_CHUNK WSGI__SPAN("0\r\n\r\n")

#endif
