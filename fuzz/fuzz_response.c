/*
 * What an application says: all that passes the checks goes on the wire as
 * exactly one well-formed head, with the application's fields unchanged, one
 * framing, and one that suits the request.
 *
 * Input: a first line "METHOD MINOR KEEP KNOWN": a letter (H is HEAD), 0 or 1,
 * k when the server may keep the connection, the length of the body if it is
 * known; then the status; then a header in each line.  Status and headers may
 * have escapes.
 */
#include <inttypes.h>

#include "fuzz.h"
#include "http/response.h"
#include "wire.h"

#define MOST_HEADERS 64

typedef struct given {
    wsgi__buf text; /* never moves */
    wsgi__request req;
    wsgi__response res;
    wsgi__header headers[MOST_HEADERS];
    bool may_keep;
} given;

static wsgi__span
unescape(wsgi__buf *text, wsgi__span line)
{
    size_t at = text->len;
    fuzz_unescape(line, text);
    return (wsgi__span){ text->data + at, text->len - at };
}

static void
read_request(given *g, wsgi__span line)
{
    char method = fuzz_letter(&line, 'G');

    g->req =
        (wsgi__request){ .method = WSGI__SPAN("GET"), .content_length = -1 };
    if (method == 'H')
        g->req.method = WSGI__SPAN("HEAD");
    g->req.minor = fuzz_number(&line, 1, 1) != 0;
    g->may_keep = fuzz_letter(&line, 'k') == 'k';
    g->req.keep_alive = fuzz_letter(&line, 'k') == 'k';
    g->res.known_length = fuzz_number(&line, -1, INT64_MAX);
}

static void
read_header(given *g, wsgi__span line)
{
    wsgi__span text = unescape(&g->text, line);
    const char *colon = text.len ? memchr(text.ptr, ':', text.len) : NULL;
    size_t len = colon ? (size_t)(colon - text.ptr) : text.len;

    if (g->res.n_headers == MOST_HEADERS)
        return;
    wsgi__header *h = &g->headers[g->res.n_headers];
    h->name = (wsgi__span){ text.ptr, len };
    h->value =
        colon ? (wsgi__span){ colon + 1, text.len - len - 1 } : WSGI__SPAN("");
    const char *rule = wsgi__response_check_header(h->name, h->value);
    if (rule)
        fuzz_check_sentence(wsgi__span_of(rule));
    else
        g->res.n_headers++;
}

/* Returns whether start_response() would accept it. */
static bool
read_response(given *g, wsgi__span input)
{
    wsgi__span line = WSGI__SPAN("");

    fuzz_line(&input, &line);
    g->res.status = unescape(&g->text, line);
    const char *rule =
        wsgi__response_check_status(g->res.status, &g->res.code);
    if (rule) {
        fuzz_check_sentence(wsgi__span_of(rule));
        return false;
    }
    while (fuzz_line(&input, &line))
        read_header(g, line);
    g->res.headers = g->headers;
    rule = wsgi__response_find_length(&g->res);
    if (rule)
        fuzz_check_sentence(wsgi__span_of(rule));
    return !rule;
}

static bool
is_length(wsgi__span name)
{
    return wsgi__span_is_nocase(name, WSGI__SPAN("content-length"));
}

/* The application's fields are on the wire, in their order and unchanged. */
static void
check_fields(const given *g, const wire_head *head)
{
    size_t at = 0;

    for (size_t i = 0; i < g->res.n_headers; i++) {
        const wsgi__header *h = &g->res.headers[i];
        if (is_length(h->name))
            continue;
        while (at < head->n_fields &&
               !(wsgi__span_eq(head->fields[at].name, h->name) &&
                 wsgi__span_eq(head->fields[at].value, h->value)))
            at++;
        FUZZ_CHECK(at++ < head->n_fields, "lost: %.*s", FUZZ_SPAN(h->name));
    }
}

static size_t
count(const wire_head *head, wsgi__span lower)
{
    size_t n = 0;
    for (size_t i = 0; i < head->n_fields; i++)
        n += wsgi__span_is_nocase(head->fields[i].name, lower);
    return n;
}

static size_t
count_given(const given *g, wsgi__span lower)
{
    size_t n = 0;
    for (size_t i = 0; i < g->res.n_headers; i++)
        n += wsgi__span_is_nocase(g->res.headers[i].name, lower);
    return n;
}

/* Date and Server are there once, or as often as the application gave them;
 * beside them are Connection and the framing only. */
static void
check_own(const given *g, const wire_head *head)
{
    static const wsgi__span once[] = { { "date", 4 }, { "server", 6 } };
    size_t ours = (head->length >= 0) + (size_t)head->chunked +
                  (size_t)(head->closes || head->keeps);
    size_t theirs =
        g->res.n_headers - count_given(g, WSGI__SPAN("content-length"));

    for (size_t i = 0; i < 2; i++) {
        size_t n = count_given(g, once[i]);
        FUZZ_CHECK(count(head, once[i]) == (n ? n : 1), "%zu %.*s",
                   count(head, once[i]), FUZZ_SPAN(once[i]));
        ours += n == 0;
    }
    FUZZ_CHECK(head->n_fields == ours + theirs, "%zu fields of %zu + %zu",
               head->n_fields, ours, theirs);
}

static void
check_framing(const given *g, const wire_head *head, const wsgi__plan *plan)
{
    bool none = wsgi__request_is_head(&g->req) || head->code == 204 ||
                head->code == 304;

    FUZZ_CHECK(head->code == g->res.code, "%d", head->code);
    FUZZ_CHECK((plan->framing == WSGI__FRAME_NONE) == none, "%d for %d",
               (int)plan->framing, head->code);
    FUZZ_CHECK(head->length == plan->length, "%" PRId64 ", not %" PRId64,
               head->length, plan->length);
    FUZZ_CHECK(!head->chunked || g->req.minor == 1, "chunked for 1.0");
    FUZZ_CHECK(head->chunked == (plan->framing == WSGI__FRAME_CHUNKED),
               "chunked: %d", head->chunked);
    FUZZ_CHECK(g->res.content_length < 0 || head->code == 204 ||
                   head->code == 205 || head->length == g->res.content_length,
               "another length: %" PRId64, head->length);
    FUZZ_CHECK(head->closes == !plan->keep_alive, "closes: %d", head->closes);
    FUZZ_CHECK(!plan->keep_alive || (g->may_keep && g->req.keep_alive),
               "keeps what is to be closed");
    /* The client can tell where the body ends. */
    FUZZ_CHECK(none || head->chunked || head->length >= 0 || head->closes,
               "no end to be seen");
}

static void
check_wire(const given *g)
{
    static wire_head head;
    wsgi__plan plan = wsgi__response_plan(&g->req, &g->res, g->may_keep);
    wsgi__buf out;

    wsgi__buf_init(&out, (size_t)1024 * 1024);
    wsgi__buf_puts(&out, "before");
    int status =
        wsgi__response_head(&g->req, &g->res, &plan, WSGI__SPAN("a date"),
                            WSGI__SPAN("a server"), &out);
    FUZZ_CHECK(status == WSGI_OK, "%d", status);
    wsgi__span text = { out.data + 6, out.len - 6 };
    FUZZ_CHECK(wire_read_head(text, &head) == text.len,
               "not exactly one head: %.*s", FUZZ_SPAN(text));
    check_fields(g, &head);
    check_own(g, &head);
    check_framing(g, &head, &plan);
    wsgi__buf_free(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    wsgi__span input = fuzz_input(data, size), line;
    static given g;

    if (!fuzz_line(&input, &line))
        return -1;
    g = (given){ .res = { .content_length = -1 } };
    wsgi__buf_init(&g.text, size + 1);
    if (wsgi__buf_reserve(&g.text, size + 1) < 0)
        abort();
    read_request(&g, line);
    if (read_response(&g, input))
        check_wire(&g);
    wsgi__buf_free(&g.text);
    return 0;
}
