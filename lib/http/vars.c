#include "http/vars.h"

#include <assert.h>
#include <stdalign.h>

#include <wsgi/wsgi.h>

#include "base/macros.h"
#include "http/decimal.h"

/* A header on its way to a variable. */
typedef struct field {
    wsgi__span key; /* "HTTP_ACCEPT" */
    wsgi__span value;
    struct field *again; /* the next header with that key, as received */
    bool repeated;       /* reached through `again` of another */
} field;

/* All of it lies in scratch, which is reserved once: nothing moves. */
typedef struct work {
    field *fields;
    field **order, **spare; /* to sort with */
    size_t n;
    char *text; /* the next free byte for keys and joined values */
} work;

typedef struct variable {
    wsgi__span key, value;
} variable;

#define PREFIX "HTTP_"
#define PREFIX_LEN (sizeof(PREFIX) - 1)
#define SEPARATOR_LEN 2 /* ", " or "; " */

static const wsgi__span content_type = WSGI__SPAN_INIT("content-type");

/* Headers that never become an HTTP_ variable. */
static const wsgi__span left_out[] = {
    WSGI__SPAN_INIT(
        "content-length"),    /* CONTENT_LENGTH, of the body that came */
    WSGI__SPAN_INIT("host"),  /* req->host: the target may replace it */
    WSGI__SPAN_INIT("proxy"), /* HTTP_PROXY is read by HTTP clients: httpoxy */
    WSGI__SPAN_INIT("transfer-encoding"), /* undone when the body was read */
};

static bool
is_left_out(wsgi__span name)
{
    for (size_t i = 0; i < WSGI__COUNT(left_out); i++)
        if (wsgi__span_is_nocase(name, left_out[i]))
            return true;
    return false;
}

static inline char
key_char(char c)
{
    if (c >= 'a' && c <= 'z')
        return (char)(c - 'a' + 'A');
    return c == '-' ? '_' : c;
}

/* Content-Type is the one header whose variable has no prefix (RFC 3875
 * 4.1.3). */
static wsgi__span
make_key(work *w, wsgi__span name)
{
    char *key = w->text, *at = key;
    if (!wsgi__span_is_nocase(name, content_type)) {
        memcpy(at, PREFIX, PREFIX_LEN);
        at += PREFIX_LEN;
    }
    for (size_t i = 0; i < name.len; i++)
        at[i] = key_char(name.ptr[i]);
    w->text = at + name.len;
    return (wsgi__span){ key, (size_t)(w->text - key) };
}

/* Room for the fields, two arrays to sort them in, their keys and, at most,
 * all their values joined.  The spans lie side by side in a head of bounded
 * size, so the sum cannot overflow. */
static int
make_room(const wsgi__request *req, wsgi__buf *scratch, work *w)
{
    size_t text = 0;
    for (size_t i = 0; i < req->n_headers; i++)
        text += req->headers[i].name.len + req->headers[i].value.len +
                PREFIX_LEN + SEPARATOR_LEN;
    size_t each = sizeof(field) + 2 * sizeof(field *);
    size_t pad =
        (alignof(field) - scratch->len % alignof(field)) % alignof(field);
    size_t need = pad + req->n_headers * each + text;
    /* One byte more, so that there is memory even for nothing. */
    int status = wsgi__buf_reserve(scratch, need + 1);
    if (status < 0)
        return status;
    void *start = scratch->data + scratch->len + pad;
    w->n = 0;
    w->fields = start;
    w->order = (field **)(void *)(w->fields + req->n_headers);
    w->spare = w->order + req->n_headers;
    w->text = (char *)(w->spare + req->n_headers);
    return WSGI_OK;
}

static void
collect(const wsgi__request *req, work *w, const wsgi__header **dropped)
{
    for (size_t i = 0; i < req->n_headers; i++) {
        const wsgi__header *header = &req->headers[i];
        wsgi__span name = header->name;
        /* X_Real_Ip would be taken for a proxy's X-Real-Ip. */
        if (name.len && memchr(name.ptr, '_', name.len)) {
            if (!*dropped)
                *dropped = header;
            continue;
        }
        if (is_left_out(name))
            continue;
        w->fields[w->n] =
            (field){ make_key(w, name), header->value, NULL, false };
        w->order[w->n] = &w->fields[w->n];
        w->n++;
    }
}

/* Any order does that puts equal keys side by side; the length tells most
 * apart. */
static int
compare(const field *a, const field *b)
{
    if (a->key.len != b->key.len)
        return a->key.len < b->key.len ? -1 : 1;
    return memcmp(a->key.ptr, b->key.ptr, a->key.len);
}

/* Merges the sorted runs [at, middle) and [middle, end); of equal ones the
 * earlier stays the earlier. */
static void
merge(field *const *from, field **to, size_t at, size_t middle, size_t end)
{
    size_t left = at, right = middle;
    for (size_t i = at; i < end; i++) {
        bool take_left =
            left < middle &&
            (right >= end || compare(from[left], from[right]) <= 0);
        to[i] = take_left ? from[left++] : from[right++];
    }
}

/* Sorting finds repeated names in n log n, whatever names a client thinks up;
 * a hash without a secret, or comparing each with each, would be quadratic. */
static void
sort(work *w)
{
    for (size_t width = 1; width < w->n; width *= 2) {
        for (size_t at = 0; at < w->n; at += 2 * width) {
            size_t middle = at + width < w->n ? at + width : w->n;
            size_t end = middle + width < w->n ? middle + width : w->n;
            merge(w->order, w->spare, at, middle, end);
        }
        field **sorted = w->spare;
        w->spare = w->order;
        w->order = sorted;
    }
}

static void
link_repeated(work *w)
{
    sort(w);
    for (size_t i = 1; i < w->n; i++)
        if (compare(w->order[i - 1], w->order[i]) == 0) {
            w->order[i - 1]->again = w->order[i];
            w->order[i]->repeated = true;
        }
}

/* Cookie pairs are joined as RFC 6265 5.4 writes them, everything else as a
 * list (RFC 9110 5.3). */
static wsgi__span
join(work *w, const field *first)
{
    static const wsgi__span cookie = WSGI__SPAN_INIT("HTTP_COOKIE");
    const char *separator = wsgi__span_eq(first->key, cookie) ? "; " : ", ";
    char *start = w->text, *at = start;
    for (const field *f = first; f; f = f->again) {
        if (f != first) {
            memcpy(at, separator, SEPARATOR_LEN);
            at += SEPARATOR_LEN;
        }
        if (f->value.len)
            memcpy(at, f->value.ptr, f->value.len);
        at += f->value.len;
    }
    w->text = at;
    return (wsgi__span){ start, (size_t)(at - start) };
}

static int
emit_fields(work *w, wsgi__var_cb emit, void *user)
{
    link_repeated(w);
    for (const field *f = w->fields; f < w->fields + w->n; f++) {
        if (f->repeated)
            continue;
        int status = emit(user, f->key, f->again ? join(w, f) : f->value);
        if (status != 0)
            return status;
    }
    return 0;
}

static wsgi__span
cut_prefix(wsgi__span path, wsgi__span prefix)
{
    if (prefix.len == 0 || path.len < prefix.len ||
        memcmp(path.ptr, prefix.ptr, prefix.len) != 0 ||
        (path.len > prefix.len && path.ptr[prefix.len] != '/'))
        return path;
    return (wsgi__span){ path.ptr + prefix.len, path.len - prefix.len };
}

static bool
has_host(const wsgi__request *req)
{
    return req->parts.authority.len > 0 ||
           wsgi__request_header(req, WSGI__SPAN("host"));
}

static int
emit_all(const variable *variables, size_t n, wsgi__var_cb emit, void *user)
{
    for (size_t i = 0; i < n; i++) {
        int status = emit(user, variables[i].key, variables[i].value);
        if (status != 0)
            return status;
    }
    return 0;
}

/* What the request line says. */
static int
emit_line(const wsgi__request *req, const wsgi__conn_info *conn,
          wsgi__span path, wsgi__var_cb emit, void *user)
{
    const variable variables[] = {
        { WSGI__SPAN_INIT("REQUEST_METHOD"), req->method },
        { WSGI__SPAN_INIT("PATH_INFO"), cut_prefix(path, conn->script_name) },
        { WSGI__SPAN_INIT("QUERY_STRING"), req->parts.query },
        { WSGI__SPAN_INIT("REQUEST_URI"), req->target },
        { WSGI__SPAN_INIT("RAW_URI"), req->target },
        { WSGI__SPAN_INIT("SERVER_PROTOCOL"),
          req->minor == 0 ? WSGI__SPAN("HTTP/1.0") : WSGI__SPAN("HTTP/1.1") },
    };
    return emit_all(variables, WSGI__COUNT(variables), emit, user);
}

static int
emit_connection(const wsgi__conn_info *conn, wsgi__var_cb emit, void *user)
{
    const variable variables[] = {
        { WSGI__SPAN_INIT("SCRIPT_NAME"), conn->script_name },
        { WSGI__SPAN_INIT("SERVER_NAME"), conn->server_name },
        { WSGI__SPAN_INIT("SERVER_PORT"), conn->server_port },
        { WSGI__SPAN_INIT("REMOTE_ADDR"), conn->remote_addr },
        { WSGI__SPAN_INIT("REMOTE_PORT"), conn->remote_port },
    };
    return emit_all(variables, WSGI__COUNT(variables), emit, user);
}

static int
emit_length(const wsgi__request *req, int64_t body_length, wsgi__var_cb emit,
            void *user)
{
    char digits[WSGI__DECIMAL_MAX];
    if (!req->chunked && req->content_length < 0)
        return 0;
    assert(body_length >= 0);
    return emit(user, WSGI__SPAN("CONTENT_LENGTH"),
                wsgi__decimal(digits, (uint64_t)body_length));
}

/* The ones that are there or not. */
static int
emit_optional(const wsgi__request *req, const wsgi__conn_info *conn,
              int64_t body_length, wsgi__var_cb emit, void *user)
{
    variable variables[2];
    size_t n = 0;

    if (conn->https)
        variables[n++] =
            (variable){ WSGI__SPAN_INIT("HTTPS"), WSGI__SPAN("on") };
    if (has_host(req))
        variables[n++] = (variable){ WSGI__SPAN_INIT("HTTP_HOST"), req->host };
    int status = emit_length(req, body_length, emit, user);
    return status == 0 ? emit_all(variables, n, emit, user) : status;
}

int
wsgi__vars_each(const wsgi__request *req, const wsgi__conn_info *conn,
                int64_t body_length, wsgi__buf *scratch,
                const wsgi__header **dropped, wsgi__var_cb emit, void *user)
{
    const wsgi__header *ignored;
    work w;

    if (!dropped)
        dropped = &ignored;
    *dropped = NULL;
    wsgi__buf_reset(scratch);
    int status = wsgi__target_decode(req->parts.path, scratch);
    if (status < 0)
        return status;
    if ((status = make_room(req, scratch, &w)) < 0)
        return status;
    collect(req, &w, dropped);
    status = emit_line(req, conn, wsgi__buf_span(scratch), emit, user);
    if (status == 0)
        status = emit_connection(conn, emit, user);
    if (status == 0)
        status = emit_optional(req, conn, body_length, emit, user);
    if (status == 0)
        status = emit_fields(&w, emit, user);
    return status;
}

/* ---- Only what is new --------------------------------------------------- */

/* Of a mask that is not 0. */
static const wsgi__header *
first_field(const wsgi__request *req, uint64_t fields)
{
    return &req->headers[__builtin_ctzll(fields)];
}

static bool
is_field(wsgi__span name)
{
    return !memchr(name.ptr, '_', name.len) && !is_left_out(name);
}

static bool
same_name(wsgi__span a, wsgi__span b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (wsgi__ascii_lower(a.ptr[i]) != wsgi__ascii_lower(b.ptr[i]))
            return false;
    return true;
}

/* Each with each: there are WSGI__LIKENESS_FIELDS at most. */
static bool
has_repeated(const wsgi__request *req)
{
    for (size_t i = 1; i < req->n_headers; i++)
        for (size_t k = 0; k < i; k++)
            if (same_name(req->headers[i].name, req->headers[k].name))
                return true;
    return false;
}

/* Repeated fields become one variable.  From the host, the connection's name is
 * taken too. */
bool
wsgi__vars_are_alike(const wsgi__request *req)
{
    const wsgi__likeness *like = &req->like;
    if (like->model == 0)
        return false;
    if (like->is_model)
        return !has_repeated(req);
    for (uint64_t rest = like->changed; rest; rest &= rest - 1)
        if (wsgi__span_is_nocase(first_field(req, rest)->name,
                                 WSGI__SPAN("host")))
            return false;
    return true;
}

static int
emit_some_fields(const wsgi__request *req, uint64_t fields, work *w,
                 wsgi__var_cb emit, void *user)
{
    for (; fields; fields &= fields - 1) {
        const wsgi__header *header = first_field(req, fields);
        if (!is_field(header->name))
            continue;
        int status = emit(user, make_key(w, header->name), header->value);
        if (status != 0)
            return status;
    }
    return 0;
}

/* For the keys of some fields. */
static int
make_some_room(const wsgi__request *req, uint64_t fields, wsgi__buf *scratch,
               work *w)
{
    size_t need = 0;
    for (; fields; fields &= fields - 1)
        need += first_field(req, fields)->name.len + PREFIX_LEN;
    int status = wsgi__buf_reserve(scratch, need + 1);
    if (status < 0)
        return status;
    w->text = scratch->data + scratch->len;
    return WSGI_OK;
}

int
wsgi__vars_some(const wsgi__request *req, const wsgi__conn_info *conn,
                int64_t body_length, uint64_t fields, wsgi__buf *scratch,
                wsgi__var_cb emit, void *user)
{
    work w;
    int status = WSGI_OK;

    if (fields == 0 && req->like.same_line)
        return emit_length(req, body_length, emit, user);
    wsgi__buf_reset(scratch);
    if (!req->like.same_line)
        status = wsgi__target_decode(req->parts.path, scratch);
    if (status < 0 || (status = make_some_room(req, fields, scratch, &w)) < 0)
        return status;
    if (!req->like.same_line)
        status = emit_line(req, conn, wsgi__buf_span(scratch), emit, user);
    if (status == 0)
        status = emit_length(req, body_length, emit, user);
    if (status == 0)
        status = emit_some_fields(req, fields, &w, emit, user);
    return status;
}
