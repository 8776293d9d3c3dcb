#include "http/model.h"

#include <stdatomic.h>

#include <wsgi/wsgi.h>

#include "base/mem.h"

void
wsgi__model_init(wsgi__model *model)
{
    *model = (wsgi__model){ .state = WSGI__MODEL_NONE };
    wsgi__buf_init(&model->text, WSGI__MODEL_MAX_HEAD);
}

void
wsgi__model_free(wsgi__model *model)
{
    wsgi__buf_free(&model->text);
    wsgi__mem_free(model->lines);
    wsgi__model_init(model);
}

/* A span of the text `from` in the same text `to`.  What lies elsewhere, such as
 * an empty one, stays where it is. */
static wsgi__span
moved(wsgi__span span, const wsgi__buf *from, const wsgi__buf *to)
{
    uintptr_t offset = (uintptr_t)span.ptr - (uintptr_t)from->data;
    if (offset < from->len)
        span.ptr = to->data + offset;
    return span;
}

static void
move_line(wsgi__span *method, wsgi__span *target, wsgi__target *parts,
          const wsgi__buf *from, const wsgi__buf *to)
{
    *method = moved(*method, from, to);
    *target = moved(*target, from, to);
    parts->path = moved(parts->path, from, to);
    parts->query = moved(parts->query, from, to);
}

void
wsgi__model_take_line(const wsgi__model *model, wsgi__request *req)
{
    req->method = model->method;
    req->target = model->target;
    req->parts = model->parts;
    req->minor = model->minor;
    move_line(&req->method, &req->target, &req->parts, &model->text,
              &req->head);
}

int
wsgi__model_take_fields(const wsgi__model *model, wsgi__request *req,
                        size_t at, wsgi__fields *fields)
{
    const char *line = req->head.data + at;

    for (size_t i = 0; i < model->n_lines; i++) {
        const wsgi__model_line *of = &model->lines[i];
        wsgi__span name = { line, of->name_len };
        wsgi__span value = { line + of->value_at, of->value_len };
        if (wsgi__request_add(req, name, value) < 0)
            return WSGI_ERR_NOMEM;
        line += of->len;
    }
    *fields = model->fields;
    req->content_length = model->content_length;
    req->chunked = model->chunked;
    req->expect_continue = model->expect_continue;
    if (model->host_at)
        req->host = (wsgi__span){ req->head.data + at + model->host_at -
                                      model->line_len,
                                  model->host_len };
    return WSGI_OK;
}

/* ---- Remembering -------------------------------------------------------- */

static uint64_t
next_number(void)
{
    static atomic_uint_fast64_t last;
    return atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
}

static int
keep_lines(wsgi__model *model, const wsgi__request *req)
{
    size_t size = req->n_headers * sizeof(*model->lines);
    wsgi__model_line *lines = wsgi__mem_resize(model->lines, size);
    if (!lines)
        return WSGI_ERR_NOMEM;
    model->lines = lines;
    model->n_lines = req->n_headers;

    const char *end = req->head.data + req->head.len - 2; /* the empty line */
    for (size_t i = 0; i < req->n_headers; i++) {
        const wsgi__header *h = &req->headers[i];
        const char *next = i + 1 < req->n_headers ? h[1].name.ptr : end;
        lines[i] = (wsgi__model_line){
            .len = (uint16_t)(next - h->name.ptr),
            .name_len = (uint16_t)h->name.len,
            .value_at = (uint16_t)(h->value.ptr - h->name.ptr),
            .value_len = (uint16_t)h->value.len,
            .acted_on = wsgi__fields_know(h->name),
        };
    }
    return WSGI_OK;
}

static int
keep_text(wsgi__model *model, const wsgi__request *req)
{
    wsgi__buf_reset(&model->text);
    return wsgi__buf_append(&model->text, req->head.data, req->head.len);
}

static int
keep(wsgi__model *model, const wsgi__request *req, size_t line_len,
     const wsgi__fields *fields)
{
    if (keep_text(model, req) < 0 || keep_lines(model, req) < 0)
        return WSGI_ERR_NOMEM;
    model->line_len = line_len;
    model->method = req->method;
    model->target = req->target;
    model->parts = req->parts;
    model->minor = req->minor;
    move_line(&model->method, &model->target, &model->parts, &req->head,
              &model->text);
    model->fields = *fields;
    model->content_length = req->content_length;
    model->chunked = req->chunked;
    model->expect_continue = req->expect_continue;
    model->host_at = 0;
    if (fields->has_host)
        model->host_at = (size_t)(req->host.ptr - req->head.data);
    model->host_len = req->host.len;
    return WSGI_OK;
}

/* With the target's authority the host is not that of the fields. */
static bool
is_fit(const wsgi__request *req)
{
    return req->parts.authority.len == 0 && req->n_headers > 0 &&
           req->n_headers <= WSGI__LIKENESS_FIELDS &&
           req->head.len <= WSGI__MODEL_MAX_HEAD;
}

static bool
has_line_of(const wsgi__request *req, const wsgi__model *model,
            size_t line_len)
{
    return wsgi__span_eq((wsgi__span){ req->head.data, line_len },
                         wsgi__model_line_text(model));
}

void
wsgi__model_note(wsgi__model *model, wsgi__request *req, size_t line_len,
                 const wsgi__fields *fields, bool is_like)
{
    if (!is_fit(req))
        return;
    if (is_like && model->state == WSGI__MODEL_NUMBERED) {
        req->like.model = model->number;
        req->like.same_line = has_line_of(req, model, line_len);
        return;
    }
    bool again = is_like && model->state == WSGI__MODEL_SEEN;
    if (keep(model, req, line_len, fields) < 0) {
        wsgi__model_free(model);
        return;
    }
    model->state = WSGI__MODEL_SEEN;
    if (!again)
        return;
    model->state = WSGI__MODEL_NUMBERED;
    model->number = next_number();
    req->like = (wsgi__likeness){ .model = model->number,
                                  .is_model = true,
                                  .same_line = true };
}
