#include "http/parser.h"

#include <http_parser.h>
#include <string.h>

#include "base/macros.h"
#include "base/mem.h"
#include "http/chunked.h"
#include "http/head.h"

/* HEAD -> LENGTH, CHUNKED, OVER; LENGTH, CHUNKED -> OVER.  Each but OVER may
 * also -> FAILED. */
typedef enum state {
    IN_HEAD,
    IN_LENGTH, /* a body with a Content-Length */
    IN_CHUNKED,
    IS_OVER,
    IS_FAILED
} state;

struct wsgi__parser {
    wsgi__head_limits head_limits;
    int64_t max_body;
    wsgi__request req;
    state state;
    wsgi__head head;
    wsgi__model model;
    bool remembers;
    int64_t left; /* of a body with a Content-Length */
    wsgi__chunked chunked;
    wsgi__span body;
    wsgi__fault fault;
};

static void
fail(wsgi__parser *p, wsgi__fault fault)
{
    p->state = IS_FAILED;
    p->fault = fault;
}

/* ---- The second opinion ------------------------------------------------- */

/* What http-parser makes of a head, to be compared with ours: where the two
 * disagree, so would two servers behind one another. */
typedef struct opinion {
    size_t n_asked, n_fields;
    bool in_name, complete, chunked;
    uint64_t content_length;
} opinion;

static int
on_opinion_name(http_parser *hp, const char *at, size_t len)
{
    opinion *o = hp->data;
    (void)at, (void)len;
    o->n_fields += !o->in_name; /* a name may come in two pieces */
    o->in_name = true;
    return 0;
}

static int
on_opinion_value(http_parser *hp, const char *at, size_t len)
{
    opinion *o = hp->data;
    (void)at, (void)len;
    o->in_name = false;
    return 0;
}

static int
on_opinion_complete(http_parser *hp)
{
    opinion *o = hp->data;
    o->complete = true;
    o->chunked = (hp->flags & F_CHUNKED) != 0;
    o->content_length = hp->content_length;
    return 0;
}

/* http-parser refuses what is over a limit of its own, one number for the
 * whole process, which is not ours to change: it counts from zero again in
 * each piece. */
static void
ask_http_parser(http_parser *hp, wsgi__span text)
{
    static const http_parser_settings settings = {
        .on_header_field = on_opinion_name,
        .on_header_value = on_opinion_value,
        .on_headers_complete = on_opinion_complete,
    };
    const size_t max_piece = 32 * 1024;

    while (text.len > 0 && hp->http_errno == HPE_OK) {
        size_t len = text.len < max_piece ? text.len : max_piece;
        hp->nread = 0;
        http_parser_execute(hp, &settings, text.ptr, len);
        text = (wsgi__span){ text.ptr + len, text.len - len };
    }
}

/* Which fields to ask about, as a mask over headers[]: all of a head that is
 * new.  Of one that is like its model those that differ, and those that say how
 * long the body is: http-parser said yes to the others, and only those it
 * weighs against each other. */
typedef struct question {
    bool all;
    uint64_t fields; /* unless all */
} question;

static bool
is_asked(const question *q, size_t i)
{
    return q->all || (q->fields >> i & 1) != 0;
}

static uint64_t
framing_fields(const wsgi__request *req)
{
    static const wsgi__span names[] = { WSGI__SPAN_INIT("content-length"),
                                        WSGI__SPAN_INIT("transfer-encoding") };
    uint64_t found = 0;
    if (req->content_length < 0 && !req->chunked)
        return 0;
    for (size_t i = 0; i < req->n_headers; i++)
        for (size_t k = 0; k < WSGI__COUNT(names); k++)
            if (wsgi__span_is_nocase(req->headers[i].name, names[k]))
                found |= UINT64_C(1) << i;
    return found;
}

static question
question_of(const wsgi__head *h)
{
    const wsgi__request *req = h->req;
    if (!h->is_like)
        return (question){ .all = true };
    return (question){ .fields = req->like.changed | framing_fields(req) };
}

/* Where line i begins; the last one is the empty line. */
static const char *
line_at(const wsgi__request *req, size_t i)
{
    return i < req->n_headers ? req->headers[i].name.ptr
                              : req->head.data + req->head.len - 2;
}

static size_t
next_asked(const question *q, size_t i)
{
    uint64_t rest = q->all || i >= 64 ? 0 : q->fields >> i;
    if (q->all)
        return i;
    return rest ? i + (size_t)__builtin_ctzll(rest) : SIZE_MAX;
}

/* Lines that lie side by side go in one piece. */
static void
ask_lines(http_parser *hp, opinion *o, const wsgi__request *req,
          const question *q)
{
    size_t end;
    for (size_t i = next_asked(q, 0); i < req->n_headers;
         i = next_asked(q, end)) {
        for (end = i + 1; end < req->n_headers && is_asked(q, end); end++)
            ;
        const char *from = line_at(req, i);
        ask_http_parser(
            hp, (wsgi__span){ from, (size_t)(line_at(req, end) - from) });
        o->n_asked += end - i;
    }
}

/* The blanks around values are left out: behind a length or a coding
 * http-parser takes spaces, but no tab (RFC 9112 5.1 allows both). */
static void
ask_without_blanks(http_parser *hp, opinion *o, const wsgi__request *req,
                   const question *q)
{
    for (size_t i = 0; i < req->n_headers; i++) {
        if (!is_asked(q, i))
            continue;
        ask_http_parser(hp, req->headers[i].name);
        ask_http_parser(hp, WSGI__SPAN(": "));
        ask_http_parser(hp, req->headers[i].value);
        ask_http_parser(hp, WSGI__SPAN("\r\n"));
        o->n_asked++;
    }
}

static bool
agrees(const wsgi__request *req, const http_parser *hp, const opinion *o)
{
    /* http-parser's mark of "none" is the largest number. */
    uint64_t length =
        req->content_length < 0 ? UINT64_MAX : (uint64_t)req->content_length;
    return o->complete && o->n_fields == o->n_asked &&
           o->chunked == req->chunked && o->content_length == length &&
           hp->http_major == 1 && (hp->http_minor != 0) == req->minor;
}

/* NULL, or why http-parser refuses the head.  It knows a list of methods only;
 * any token is one (RFC 9110 9.1), and the framing of a request does not depend
 * on it: GET stands for all of them. */
static const char *
second_opinion(const wsgi__request *req, size_t line_len, const question *q)
{
    http_parser hp;
    opinion o = { 0 };
    size_t method = req->method.len;

    http_parser_init(&hp, HTTP_REQUEST);
    hp.data = &o;
    ask_http_parser(&hp, WSGI__SPAN("GET"));
    ask_http_parser(
        &hp, (wsgi__span){ req->head.data + method, line_len - method });
    if (req->n_headers && memchr(req->head.data, '\t', req->head.len))
        ask_without_blanks(&hp, &o, req, q);
    else
        ask_lines(&hp, &o, req, q);
    ask_http_parser(&hp, WSGI__SPAN("\r\n"));
    if (hp.http_errno != HPE_OK)
        return http_errno_description(HTTP_PARSER_ERRNO(&hp));
    return agrees(req, &hp, &o) ? NULL : "ambiguous head";
}

/* Whether the head is the model, byte for byte: it was asked about. */
static bool
is_model(const wsgi__head *h)
{
    wsgi__span line = { h->req->head.data, h->line_len };
    return h->is_like && h->req->like.changed == 0 &&
           h->req->head.len == h->model->text.len &&
           wsgi__span_eq(line, wsgi__model_line_text(h->model));
}

static const char *
check_head(const wsgi__head *h)
{
    if (is_model(h))
        return NULL;
    question q = question_of(h);
    return second_opinion(h->req, h->line_len, &q);
}

/* ---- Head --------------------------------------------------------------- */

static void
begin_body(wsgi__parser *p)
{
    if (!wsgi__request_has_body(&p->req)) {
        p->state = IS_OVER;
        return;
    }
    p->state = p->req.chunked ? IN_CHUNKED : IN_LENGTH;
    p->left = p->req.content_length;
    wsgi__chunked_init(&p->chunked, p->max_body, WSGI__PARSER_MAX_CHUNK_META);
}

/* Faults of the syntax come before what is refused of a sound head. */
static void
end_head(wsgi__parser *p)
{
    wsgi__head *h = &p->head;
    wsgi__fault fault = wsgi__bad_request(check_head(h));
    if (!fault.status)
        fault = wsgi__fields_end(&h->fields, &p->req, p->max_body);
    if (fault.status) {
        fail(p, fault);
        return;
    }
    if (p->remembers)
        wsgi__model_note(&p->model, &p->req, h->line_len, &h->fields,
                         h->is_like);
    begin_body(p);
}

static wsgi__event
feed_head(wsgi__parser *p, const char *data, size_t len, size_t *used)
{
    *used = wsgi__head_feed(&p->head, data, len);
    if (p->head.state == WSGI__HEAD_FAILED)
        fail(p, p->head.fault);
    if (p->head.state != WSGI__HEAD_ENDED)
        return WSGI__EV_MORE;
    end_head(p);
    return WSGI__EV_HEAD;
}

/* ---- Body --------------------------------------------------------------- */

static size_t
feed_length(wsgi__parser *p, const char *data, size_t len)
{
    if ((uint64_t)p->left < len)
        len = (size_t)p->left;
    p->body = (wsgi__span){ data, len };
    p->left -= (int64_t)len;
    if (p->left == 0)
        p->state = IS_OVER;
    return len;
}

static size_t
feed_chunked(wsgi__parser *p, const char *data, size_t len)
{
    size_t used = wsgi__chunked_feed(&p->chunked, data, len, &p->body);
    if (p->chunked.fault.status)
        fail(p, p->chunked.fault);
    else if (wsgi__chunked_ended(&p->chunked))
        p->state = IS_OVER;
    return used;
}

/* What the bytes just fed amount to, once the head is behind us. */
static wsgi__event
body_event(const wsgi__parser *p)
{
    if (p->body.len > 0)
        return WSGI__EV_BODY;
    return p->state == IS_OVER ? WSGI__EV_END : WSGI__EV_MORE;
}

/* ---- The interface ------------------------------------------------------ */

static size_t
limit_or(size_t limit, size_t ceiling)
{
    return limit > 0 && limit < ceiling ? limit : ceiling;
}

wsgi__parser *
wsgi__parser_new(const wsgi__parser_limits *limits)
{
    wsgi__parser *p = wsgi__mem_zero(1, sizeof(*p));
    if (!p)
        return NULL;
    p->head_limits = (wsgi__head_limits){
        .max_line = limit_or(limits->max_line, WSGI__PARSER_MAX_HEAD),
        .max_fields = limit_or(limits->max_fields, WSGI__PARSER_MAX_FIELDS),
        .max_field_size =
            limit_or(limits->max_field_size, WSGI__PARSER_MAX_HEAD),
    };
    p->max_body = limits->max_body;
    wsgi__request_init(&p->req, WSGI__PARSER_MAX_HEAD);
    wsgi__model_init(&p->model);
    wsgi__head_init(&p->head, &p->head_limits, &p->req, &p->model);
    return p;
}

void
wsgi__parser_free(wsgi__parser *p)
{
    if (!p)
        return;
    wsgi__request_free(&p->req);
    wsgi__model_free(&p->model);
    wsgi__mem_free(p);
}

void
wsgi__parser_reset(wsgi__parser *p)
{
    wsgi__request_reset(&p->req);
    wsgi__head_init(&p->head, &p->head_limits, &p->req, &p->model);
    p->state = IN_HEAD;
    p->body = WSGI__SPAN("");
    p->fault = WSGI__NO_FAULT;
}

void
wsgi__parser_remember(wsgi__parser *p)
{
    p->remembers = true;
}

void
wsgi__parser_forget(wsgi__parser *p)
{
    p->remembers = false;
    wsgi__model_free(&p->model);
}

bool
wsgi__parser_remembers(const wsgi__parser *p)
{
    return p->model.state != WSGI__MODEL_NONE;
}

wsgi__event
wsgi__parser_feed(wsgi__parser *p, const char *data, size_t len, size_t *used)
{
    wsgi__event event = WSGI__EV_ERROR;

    if (len == 0)
        data = ""; /* NULL is allowed then, but not in arithmetic */
    *used = 0;
    p->body = WSGI__SPAN("");
    switch (p->state) {
    case IN_HEAD:
        event = feed_head(p, data, len, used);
        break;
    case IN_LENGTH:
        *used = feed_length(p, data, len);
        event = body_event(p);
        break;
    case IN_CHUNKED:
        *used = feed_chunked(p, data, len);
        event = body_event(p);
        break;
    case IS_OVER:
        return WSGI__EV_END;
    case IS_FAILED:
        break;
    }
    return p->state == IS_FAILED ? WSGI__EV_ERROR : event;
}

const wsgi__request *
wsgi__parser_request(const wsgi__parser *p)
{
    return &p->req;
}

wsgi__span
wsgi__parser_body(const wsgi__parser *p)
{
    return p->body;
}

bool
wsgi__parser_started(const wsgi__parser *p)
{
    return p->head.state >= WSGI__HEAD_METHOD;
}

int
wsgi__parser_status(const wsgi__parser *p)
{
    return p->fault.status;
}

const char *
wsgi__parser_reason(const wsgi__parser *p)
{
    return p->fault.reason;
}
