#include "server/answer.h"

#include <stdio.h>

/* ---- Into the queue ----------------------------------------------------- */

/* write() cannot wait for the client: past the mark its bytes go to a file. */
static int
spill(wsgi__exchange *x, const void *data, size_t len, wsgi__outq *out)
{
    int64_t at = x->spill.len;
    int status = wsgi__body_append(&x->spill, data, len);
    if (status < 0)
        return status;
    return wsgi__outq_file(out, x->spill.fd, (off_t)at, len, NULL, NULL);
}

static int
put(wsgi__exchange *x, wsgi__span bytes, bool spills, wsgi__outq *out)
{
    return spills ? spill(x, bytes.ptr, bytes.len, out)
                  : wsgi__outq_copy(out, bytes.ptr, bytes.len);
}

static int
put_block(wsgi__exchange *x, wsgi__chunk *chunk, size_t len, bool spills,
          wsgi__outq *out)
{
    if (spills || len < WSGI__LEND_FROM || !chunk->release)
        return put(x, (wsgi__span){ chunk->data, len }, spills, out);
    int status =
        wsgi__outq_lend(out, chunk->data, len, chunk->release, chunk->owner);
    chunk->taken = status == WSGI_OK;
    return status;
}

static int
put_chunked(wsgi__exchange *x, wsgi__chunk *chunk, bool spills,
            wsgi__outq *out)
{
    char line[WSGI__CHUNK_HEAD_MAX];
    wsgi__span head = { line, wsgi__chunk_head(line, chunk->len) };
    int status = put(x, head, spills, out);
    if (status == WSGI_OK)
        status = put_block(x, chunk, chunk->len, spills, out);
    if (status == WSGI_OK)
        status = put(x, WSGI__CHUNK_TAIL, spills, out);
    return status;
}

/* What is in the scratch: a head, or a page of the server's own. */
static int
put_head(wsgi__exchange *x, const wsgi__answer_style *style, wsgi__outq *out)
{
    wsgi__span head = wsgi__buf_span(style->scratch);
    /* A log record without fields is no reason to fail. */
    if (style->keep_head)
        wsgi__buf_append(&x->head, head.ptr, head.len);
    return wsgi__outq_copy(out, head.ptr, head.len);
}

/* ---- Heads -------------------------------------------------------------- */

static bool
is_same_plan(const wsgi__plan *a, const wsgi__plan *b)
{
    return a->framing == b->framing && a->length == b->length &&
           a->keep_alive == b->keep_alive && a->add_length == b->add_length;
}

static bool
is_made(const wsgi__head_made *made, const wsgi__head_made *wanted)
{
    return wanted->number != 0 && made->number == wanted->number &&
           made->when == wanted->when && made->minor == wanted->minor &&
           is_same_plan(&made->plan, &wanted->plan);
}

static void
empty_scratch(const wsgi__answer_style *style)
{
    style->made->number = 0;
    wsgi__buf_reset(style->scratch);
}

/* Into the scratch, where it is already if the answer before had the same:
 * 700 of 8,000 instructions for hello world. */
static int
make_head(const wsgi__exchange *x, const wsgi__response *res,
          const wsgi__answer_style *style)
{
    const wsgi__request *req = wsgi__parser_request(x->parser);
    wsgi__head_made wanted = { .number = res->number,
                               .when = time(NULL),
                               .plan = x->plan,
                               .minor = req->minor };

    if (is_made(style->made, &wanted))
        return WSGI_OK;
    empty_scratch(style);
    int status = wsgi__response_head(req, res, &x->plan,
                                     wsgi__date_at(style->date, wanted.when),
                                     style->server, style->scratch);
    if (status == WSGI_OK)
        *style->made = wanted;
    return status;
}

/* ---- The steps of an answer --------------------------------------------- */

int
wsgi__answer_head(wsgi__exchange *x, const wsgi__response *res,
                  const wsgi__answer_style *style, wsgi__outq *out)
{
    x->plan = wsgi__response_plan(wsgi__parser_request(x->parser), res,
                                  style->keep_alive);
    x->left = x->plan.framing == WSGI__FRAME_LENGTH ? x->plan.length : -1;
    int status = make_head(x, res, style);
    if (status < 0)
        return status;
    x->code = res->code;
    return put_head(x, style, out);
}

static void
log_length(const wsgi__exchange *x, const wsgi__log *log, const char *gave,
           const char *outcome)
{
    const wsgi__request *req = wsgi__parser_request(x->parser);
    wsgi__buf target;

    wsgi__buf_init(&target, (size_t)8 * 1024);
    wsgi__buf_escape(&target, req->target);
    wsgi__log_printf(log, WSGI_LOG_ERROR,
                     "Error handling request %.*s %s: the application gave "
                     "%s its Content-Length of %lld, %s: count bytes, not "
                     "characters, or leave the header out",
                     (int)req->method.len, req->method.ptr,
                     wsgi__buf_str(&target), gave, (long long)x->plan.length,
                     outcome);
    wsgi__buf_free(&target);
}

/* How much of len bytes is wanted still (RFC 9110 8.6: never more than was
 * promised). */
static uint64_t
wanted(wsgi__exchange *x, uint64_t len, const wsgi__log *log)
{
    if (x->left < 0)
        return len;
    if (len <= (uint64_t)x->left)
        return len;
    x->abandoned = true;
    log_length(x, log, "more bytes than", "the rest is cut off");
    return (uint64_t)x->left;
}

static void
count(wsgi__exchange *x, uint64_t len)
{
    x->body_bytes += len;
    if (x->left >= 0)
        x->left -= (int64_t)len;
}

static int
answer_file(wsgi__exchange *x, const wsgi__chunk *chunk, wsgi__outq *out)
{
    bool chunked = x->plan.framing == WSGI__FRAME_CHUNKED;
    char line[WSGI__CHUNK_HEAD_MAX];
    int status = WSGI_OK;

    /* A file behind a shorter Content-Length is what a range is made of. */
    uint64_t len = (uint64_t)chunk->file_len;
    if (x->left >= 0 && len > (uint64_t)x->left)
        len = (uint64_t)x->left;
    if (len == 0)
        return WSGI_OK;
    if (chunked)
        status = wsgi__outq_copy(out, line, wsgi__chunk_head(line, len));
    if (status == WSGI_OK)
        status = wsgi__outq_file(out, chunk->fd, chunk->at, len, NULL, NULL);
    if (status == WSGI_OK && chunked)
        status = put(x, WSGI__CHUNK_TAIL, false, out);
    if (status == WSGI_OK)
        count(x, len);
    return status;
}

static int
answer_bytes(wsgi__exchange *x, wsgi__chunk *chunk,
             const wsgi__answer_style *style, wsgi__outq *out)
{
    bool spills =
        chunk->pushed && wsgi__outq_pending(out) >= style->high_water;
    size_t len = (size_t)wanted(x, chunk->len, style->log);
    if (len == 0)
        return WSGI_OK;
    int status = x->plan.framing == WSGI__FRAME_CHUNKED
                     ? put_chunked(x, chunk, spills, out)
                     : put_block(x, chunk, len, spills, out);
    if (status == WSGI_OK)
        count(x, len);
    return status;
}

int
wsgi__answer_data(wsgi__exchange *x, wsgi__chunk *chunk,
                  const wsgi__answer_style *style, wsgi__outq *out)
{
    if (x->abandoned)
        return WSGI_OK;
    if (x->plan.framing == WSGI__FRAME_NONE) {
        x->abandoned = true;
        return WSGI_OK;
    }
    return chunk->data ? answer_bytes(x, chunk, style, out)
                       : answer_file(x, chunk, out);
}

/* What the client is told of an answer that there is not. */
static int
code_of(wsgi__end how)
{
    switch (how) {
    case WSGI__END_TIMEOUT:
        return 504;
    case WSGI__END_SHED:
        return 503;
    case WSGI__END_OK:
    case WSGI__END_FAILED:
    case WSGI__END_CANCELLED:
        break;
    }
    return 500;
}

static const char *
reason_of(wsgi__end how)
{
    if (how == WSGI__END_TIMEOUT)
        return "the application took too long";
    return how == WSGI__END_SHED ? "the server is busy" : NULL;
}

int
wsgi__answer_end(wsgi__exchange *x, wsgi__end how,
                 const wsgi__answer_style *style, wsgi__outq *out)
{
    bool whole = how == WSGI__END_OK || x->abandoned;
    if (!whole && x->code == 0)
        return wsgi__answer_error(x, code_of(how), reason_of(how), style, out);

    x->complete = true;
    if (!whole) {
        x->plan.keep_alive = false; /* without a last chunk: it is cut */
        return WSGI_OK;
    }
    if (x->left > 0) {
        x->plan.keep_alive = false;
        char fewer[64];
        snprintf(fewer, sizeof(fewer), "%lld bytes fewer than",
                 (long long)x->left);
        log_length(x, style->log, fewer, "the connection is closed");
    }
    if (x->plan.framing == WSGI__FRAME_CHUNKED)
        return put(x, WSGI__LAST_CHUNK, false, out);
    return WSGI_OK;
}

int
wsgi__answer_page(wsgi__exchange *x, const wsgi__page *page,
                  const wsgi__answer_style *style, wsgi__outq *out)
{
    const wsgi__header headers[] = {
        { WSGI__SPAN("Content-Type"), page->type },
        /* It says what is true now. */
        { WSGI__SPAN("Cache-Control"), WSGI__SPAN("no-store") },
        { WSGI__SPAN("Allow"), page->allow },
    };
    const wsgi__response res = {
        .status = page->status,
        .code = page->code,
        .headers = headers,
        .n_headers = page->allow.len ? 3 : 2,
        .content_length = -1,
        .known_length = (int64_t)page->body.len,
    };
    wsgi__chunk chunk = { .data = page->body.ptr,
                          .len = page->body.len,
                          .fd = -1 };
    int status = wsgi__answer_head(x, &res, style, out);
    if (status == WSGI_OK)
        status = wsgi__answer_data(x, &chunk, style, out);
    if (status == WSGI_OK)
        status = wsgi__answer_end(x, WSGI__END_OK, style, out);
    return status;
}

/* Behind the empty line of a page. */
static size_t
body_of(wsgi__span page)
{
    const char *head_end = memmem(page.ptr, page.len, "\r\n\r\n", 4);
    return head_end ? (size_t)(page.ptr + page.len - head_end) - 4 : 0;
}

int
wsgi__answer_error(wsgi__exchange *x, int code, const char *reason,
                   const wsgi__answer_style *style, wsgi__outq *out)
{
    const wsgi__request *req = wsgi__parser_request(x->parser);
    wsgi__span date = wsgi__date_at(style->date, time(NULL));

    x->complete = true;
    x->code = code;
    x->plan = (wsgi__plan){ .framing = WSGI__FRAME_CLOSE, .length = -1 };
    empty_scratch(style);
    int status = wsgi__response_error(code, reason, wsgi__request_is_head(req),
                                      date, style->server, style->scratch);
    if (status < 0)
        return status;
    x->body_bytes += body_of(wsgi__buf_span(style->scratch));
    return put_head(x, style, out);
}
