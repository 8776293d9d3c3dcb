#include "python/environ.h"

#include <stdio.h>

#include <wsgi/wsgi.h>

#include "base/buf.h"
#include "base/macros.h"
#include "base/mem.h"
#include "python/object.h"

/* ---- Remembered text ---------------------------------------------------- */

/* Keys are found by a hash of their bytes in one of SETS sets of WAYS.  With
 * each key go its latest values, as those of one header recur among
 * themselves: User-Agent, Host, Accept.  Longer values are not worth it. */
#define SETS 64
#define WAYS 4
#define VALUES 4
#define LONGEST_KEY 64
#define LONGEST_VALUE 256

typedef struct entry {
    PyObject *key; /* NULL: free */
    PyObject *values[VALUES];
    PyObject **recent;  /* the latest of them, or NULL */
    struct entry *next; /* what came after it last time: tried first */
    bool known;         /* from the start, and stays */
    bool forgets;       /* never remember values of this key */
} entry;

/* From what most clients send.  Interned, so that an application's own
 * environ["HTTP_HOST"] is found by identity.  Others are not: an interned str
 * may live for ever (CPython 3.12). */
static const char *const known_keys[] = {
    "REQUEST_METHOD",
    "SCRIPT_NAME",
    "PATH_INFO",
    "QUERY_STRING",
    "REQUEST_URI",
    "RAW_URI",
    "SERVER_NAME",
    "SERVER_PORT",
    "SERVER_PROTOCOL",
    "REMOTE_ADDR",
    "REMOTE_PORT",
    "HTTPS",
    "CONTENT_TYPE",
    "CONTENT_LENGTH",
    "HTTP_HOST",
    "HTTP_CONNECTION",
    "HTTP_CACHE_CONTROL",
    "HTTP_SEC_CH_UA",
    "HTTP_SEC_CH_UA_MOBILE",
    "HTTP_SEC_CH_UA_PLATFORM",
    "HTTP_DNT",
    "HTTP_UPGRADE_INSECURE_REQUESTS",
    "HTTP_USER_AGENT",
    "HTTP_ACCEPT",
    "HTTP_SEC_FETCH_SITE",
    "HTTP_SEC_FETCH_MODE",
    "HTTP_SEC_FETCH_USER",
    "HTTP_SEC_FETCH_DEST",
    "HTTP_ACCEPT_ENCODING",
    "HTTP_ACCEPT_LANGUAGE",
    "HTTP_ACCEPT_CHARSET",
    "HTTP_IF_NONE_MATCH",
    "HTTP_IF_MODIFIED_SINCE",
    "HTTP_IF_MATCH",
    "HTTP_RANGE",
    "HTTP_REFERER",
    "HTTP_ORIGIN",
    "HTTP_PRIORITY",
    "HTTP_PRAGMA",
    "HTTP_TE",
    "HTTP_VIA",
    "HTTP_FORWARDED",
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PORT",
    "HTTP_X_FORWARDED_PREFIX",
    "HTTP_X_REAL_IP",
    "HTTP_X_REQUEST_ID",
    "HTTP_X_REQUESTED_WITH",
    "HTTP_TRACEPARENT",
    "HTTP_KEEP_ALIVE",
};

/* Their values are secrets, which should not outlive the request. */
static const struct {
    const char *key;
    wsgi__span name; /* of the header */
} secrets[] = {
    { "HTTP_COOKIE", WSGI__SPAN_INIT("cookie") },
    { "HTTP_AUTHORIZATION", WSGI__SPAN_INIT("authorization") },
    { "HTTP_X_CSRFTOKEN", WSGI__SPAN_INIT("x-csrftoken") },
    { "HTTP_X_API_KEY", WSGI__SPAN_INIT("x-api-key") },
};

/* Set for each request, so that the copy of the template has room for them:
 * measured, growing the dict twice costs more than copying a larger one. */
static const char *const always_set[] = {
    "REQUEST_METHOD",  "SCRIPT_NAME", "PATH_INFO",   "QUERY_STRING",
    "REQUEST_URI",     "RAW_URI",     "SERVER_NAME", "SERVER_PORT",
    "SERVER_PROTOCOL", "REMOTE_ADDR", "REMOTE_PORT", "wsgi.url_scheme",
    "wsgi.input",
};

#define HEADROOM 2 /* as few as make the template of python/app grow once */

/* What requests that are like a model have in common, up to wsgi.input.  As many
 * as there are exchanges in the pool of server/conns; who comes later takes the
 * place of who was there. */
#define LIKENESSES 512

typedef struct likeness {
    uint64_t model; /* 0: free */
    PyObject *dict;
    uint64_t secret; /* fields that are not in dict */
} likeness;

struct wsgi__environ {
    PyObject *template;
    PyObject *url_scheme, *input; /* keys */
    PyObject *http, *https, *empty;
    wsgi__buf scratch;
    bool warned; /* of a name with '_' */
    wsgi__lock lock;
    entry *previous; /* of the variable before */
    entry start;     /* of the first variable: has a next only */
    entry entries[SETS * WAYS];
    likeness likenesses[LIKENESSES];
};

/* Lengths, first and last bytes tell keys and values apart well enough; that
 * clients can make them collide costs a str each, no more. */
static size_t
hash(wsgi__span text)
{
    uint64_t head = 0, tail = 0;
    if (text.len >= 8) {
        memcpy(&head, text.ptr, 8);
        memcpy(&tail, text.ptr + text.len - 8, 8);
    } else if (text.len > 0) {
        memcpy(&head, text.ptr, text.len);
    }
    uint64_t mixed = (head ^ text.len) * 0x9E3779B97F4A7C15u;
    mixed = (mixed ^ (mixed >> 32) ^ tail) * 0xC2B2AE3D27D4EB4Fu;
    return (size_t)(mixed >> 40);
}

/* Everything remembered is latin-1: one byte a character. */
static bool
str_is(PyObject *str, wsgi__span text)
{
    return (size_t)PyUnicode_GET_LENGTH(str) == text.len &&
           memcmp(PyUnicode_1BYTE_DATA(str), text.ptr, text.len) == 0;
}

static PyObject *
new_str(wsgi__span text)
{
    return PyUnicode_DecodeLatin1(text.ptr, (Py_ssize_t)text.len, NULL);
}

static void
entry_clear(entry *slot)
{
    Py_CLEAR(slot->key);
    for (size_t i = 0; i < VALUES; i++)
        Py_CLEAR(slot->values[i]);
    slot->recent = NULL;
    slot->next = NULL;
    slot->known = slot->forgets = false;
}

/* The entry of a key, or the one that it may take unless that is known: a free
 * one, else the last of its set. */
static entry *
entry_find(wsgi__environ *maker, wsgi__span key)
{
    entry *set = &maker->entries[hash(key) % SETS * WAYS];
    size_t i = 0;
    while (i < WAYS - 1 && set[i].key && !str_is(set[i].key, key))
        i++;
    return &set[i];
}

/* The entry that has the key, or NULL: with an exception set, or without one for
 * a key that is not remembered. */
static entry *
entry_look_up(wsgi__environ *maker, wsgi__span key)
{
    if (key.len > LONGEST_KEY)
        return NULL;
    entry *slot = entry_find(maker, key);
    if (slot->key && str_is(slot->key, key))
        return slot;
    PyObject *str = slot->known ? NULL : new_str(key);
    if (!str)
        return NULL;
    entry_clear(slot);
    slot->key = str;
    return slot;
}

/* As above.  Requests resemble each other, so what followed the previous
 * variable last time is a good guess: measured, 1,900 instructions less for a
 * browser's request. */
static entry *
entry_of(wsgi__environ *maker, wsgi__span key)
{
    entry *slot = maker->previous->next;
    if (!slot || !slot->key || !str_is(slot->key, key)) {
        slot = entry_look_up(maker, key);
        if (!slot)
            return NULL;
        maker->previous->next = slot;
    }
    maker->previous = slot;
    return slot;
}

/* New reference. */
static PyObject *
value_of(entry *slot, wsgi__span value)
{
    if (!slot || slot->forgets || value.len > LONGEST_VALUE)
        return new_str(value);
    if (slot->recent && str_is(*slot->recent, value))
        return Py_NewRef(*slot->recent);
    PyObject **known = &slot->values[hash(value) % VALUES];
    if (!*known || !str_is(*known, value)) {
        PyObject *str = new_str(value);
        if (!str)
            return NULL;
        Py_XDECREF(*known);
        *known = str;
    }
    slot->recent = known;
    return Py_NewRef(*known);
}

static int
know_key(wsgi__environ *maker, const char *key, bool forgets)
{
    entry *slot = entry_find(maker, wsgi__span_of(key));
    if (slot->known)
        return 0; /* a full set: never remembered */
    slot->key = PyUnicode_InternFromString(key);
    slot->known = true;
    slot->forgets = forgets;
    return slot->key ? 0 : -1;
}

static int
know_keys(wsgi__environ *maker)
{
    for (size_t i = 0; i < WSGI__COUNT(known_keys); i++)
        if (know_key(maker, known_keys[i], false) < 0)
            return -1;
    for (size_t i = 0; i < WSGI__COUNT(secrets); i++)
        if (know_key(maker, secrets[i].key, true) < 0)
            return -1;
    return 0;
}

/* ---- The maker ---------------------------------------------------------- */

/* A key of the template that each request sets anew. */
static int
reserve_key(PyObject *template, const char *key, PyObject *empty)
{
    PyObject *str = PyUnicode_InternFromString(key);
    int failed = str ? PyDict_SetItem(template, str, empty) : -1;
    Py_XDECREF(str);
    return failed;
}

/* A dict keeps the size that it has grown to, and a copy of it has it too: with
 * room for the headers of a browser no copy has to grow. */
static int
grow(PyObject *template, PyObject *empty)
{
    char key[32];
    int failed = 0;
    for (int i = 0; i < HEADROOM && !failed; i++) {
        snprintf(key, sizeof(key), "%d", i);
        failed = PyDict_SetItemString(template, key, empty);
    }
    for (int i = 0; i < HEADROOM && !failed; i++) {
        snprintf(key, sizeof(key), "%d", i);
        failed = PyDict_DelItemString(template, key);
    }
    return failed;
}

static PyObject *
new_template(PyObject *base)
{
    PyObject *template = PyDict_Copy(base);
    PyObject *empty = PyUnicode_FromStringAndSize(NULL, 0);
    int failed = template && empty ? 0 : -1;
    for (size_t i = 0; i < WSGI__COUNT(always_set) && !failed; i++)
        failed = reserve_key(template, always_set[i], empty);
    if (!failed)
        failed = grow(template, empty);
    Py_XDECREF(empty);
    if (failed)
        Py_CLEAR(template);
    return template;
}

wsgi__environ *
wsgi__environ_new(PyObject *base)
{
    wsgi__environ *maker = wsgi__mem_zero(1, sizeof(*maker));
    if (!maker) {
        PyErr_NoMemory();
        return NULL;
    }
    wsgi__buf_init(&maker->scratch, WSGI__VARS_MAX_SCRATCH);
    if (!(maker->template = new_template(base)) ||
        !(maker->url_scheme = PyUnicode_InternFromString("wsgi.url_scheme")) ||
        !(maker->input = PyUnicode_InternFromString("wsgi.input")) ||
        !(maker->http = PyUnicode_InternFromString("http")) ||
        !(maker->https = PyUnicode_InternFromString("https")) ||
        !(maker->empty = PyUnicode_FromStringAndSize(NULL, 0)) ||
        know_keys(maker) < 0) {
        wsgi__environ_free(maker);
        return NULL;
    }
    return maker;
}

void
wsgi__environ_free(wsgi__environ *maker)
{
    if (!maker)
        return;
    for (size_t i = 0; i < WSGI__COUNT(maker->entries); i++)
        entry_clear(&maker->entries[i]);
    for (size_t i = 0; i < LIKENESSES; i++)
        Py_CLEAR(maker->likenesses[i].dict);
    Py_CLEAR(maker->template);
    Py_CLEAR(maker->url_scheme);
    Py_CLEAR(maker->input);
    Py_CLEAR(maker->http);
    Py_CLEAR(maker->https);
    Py_CLEAR(maker->empty);
    wsgi__buf_free(&maker->scratch);
    wsgi__mem_free(maker);
}

/* ---- One environ -------------------------------------------------------- */

typedef struct making {
    wsgi__environ *maker;
    PyObject *dict;
    /* The variable before: REQUEST_URI and RAW_URI are one text. */
    wsgi__span value;
    PyObject *text; /* Borrowed from dict. */
} making;

static bool
is_again(const making *to, wsgi__span value)
{
    return to->text && value.ptr == to->value.ptr &&
           value.len == to->value.len;
}

/* For wsgi__vars_each(): nonzero with an exception set. */
static int
set_variable(void *user, wsgi__span key, wsgi__span value)
{
    making *to = user;
    PyObject *name = NULL, *text = NULL;
    int failed = -1;

    entry *slot = entry_of(to->maker, key);
    if (!slot && PyErr_Occurred())
        goto done;
    name = slot ? Py_NewRef(slot->key) : new_str(key);
    text = is_again(to, value) ? Py_NewRef(to->text) : value_of(slot, value);
    if (name && text)
        failed = PyDict_SetItem(to->dict, name, text);
    to->value = value;
    to->text = text;
done:
    Py_XDECREF(name);
    Py_XDECREF(text);
    return failed;
}

/* 0, or -1 with an exception set for the status of wsgi__vars_each(). */
static int
raise_status(int status)
{
    if (status == 0)
        return 0;
    if (!PyErr_Occurred()) {
        if (status == WSGI_ERR_INVALID)
            PyErr_SetString(PyExc_ValueError,
                            "the path of the request has a NUL");
        else
            PyErr_NoMemory();
    }
    return -1;
}

/* ---- Likenesses --------------------------------------------------------- */

static uint64_t
secret_fields(const wsgi__request *req)
{
    uint64_t found = 0;
    for (size_t i = 0; i < req->n_headers; i++)
        for (size_t k = 0; k < WSGI__COUNT(secrets); k++)
            if (wsgi__span_is_nocase(req->headers[i].name, secrets[k].name))
                found |= UINT64_C(1) << i;
    return found;
}

/* What is this request's alone is left empty: each request like it sets it
 * anew. */
static int
blank_own(wsgi__environ *maker, PyObject *dict)
{
    for (size_t i = 0; i < WSGI__COUNT(secrets); i++) {
        PyObject *key = PyUnicode_FromString(secrets[i].key);
        int found = key ? PyDict_Contains(dict, key) : -1;
        if (found > 0)
            found = PyDict_SetItem(dict, key, maker->empty);
        Py_XDECREF(key);
        if (found < 0)
            return -1;
    }
    return PyDict_SetItem(dict, maker->input, maker->empty);
}

/* dict is that of the model, and about to become the application's. */
static int
remember_likeness(wsgi__environ *maker, const wsgi__request *req,
                  PyObject *dict)
{
    likeness *place = &maker->likenesses[req->like.model % LIKENESSES];
    PyObject *copy = PyDict_Copy(dict);
    if (!copy || blank_own(maker, copy) < 0) {
        Py_XDECREF(copy);
        return -1;
    }
    Py_XSETREF(place->dict, copy);
    place->model = req->like.model;
    place->secret = secret_fields(req);
    return 0;
}

/* NULL: none is remembered. */
static const likeness *
find_likeness(const wsgi__environ *maker, const wsgi__request *req)
{
    uint64_t model = req->like.model;
    const likeness *place = &maker->likenesses[model % LIKENESSES];
    if (model == 0 || place->model != model || !wsgi__vars_are_alike(req))
        return NULL;
    return place;
}

static PyObject *
make_alike(wsgi__environ *maker, const likeness *like,
           const wsgi__request *req, const wsgi__conn_info *conn,
           int64_t body_length)
{
    PyObject *dict = PyDict_Copy(like->dict);
    making target = { .maker = maker, .dict = dict };
    if (!dict)
        return NULL;
    maker->previous = &maker->start;
    int status = wsgi__vars_some(req, conn, body_length,
                                 req->like.changed | like->secret,
                                 &maker->scratch, set_variable, &target);
    if (raise_status(status) < 0)
        Py_CLEAR(dict);
    return dict;
}

static PyObject *
make_anew(wsgi__environ *maker, const wsgi__request *req,
          const wsgi__conn_info *conn, int64_t body_length,
          const wsgi__header **dropped)
{
    PyObject *dict = PyDict_Copy(maker->template);
    making target = { .maker = maker, .dict = dict };
    if (!dict)
        return NULL;
    maker->previous = &maker->start;
    int status = wsgi__vars_each(req, conn, body_length, &maker->scratch,
                                 dropped, set_variable, &target);
    if (raise_status(status) < 0 ||
        PyDict_SetItem(dict, maker->url_scheme,
                       conn->https ? maker->https : maker->http) < 0 ||
        (req->like.is_model && wsgi__vars_are_alike(req) &&
         remember_likeness(maker, req, dict) < 0))
        Py_CLEAR(dict);
    return dict;
}

static void
warn_dropped(wsgi__environ *maker, const wsgi__header *header,
             const wsgi__log *log)
{
    if (maker->warned)
        return;
    maker->warned = true;
    wsgi__buf name;
    wsgi__buf_init(&name, 64 * 1024);
    if (wsgi__buf_escape(&name, header->name) < 0)
        wsgi__buf_puts(&name, "?");
    wsgi__log_printf(log, WSGI_LOG_WARNING,
                     "request header %s was dropped for the \"_\" in its "
                     "name, which cannot be told from \"-\" in environ: the "
                     "client must send \"-\"; said once",
                     wsgi__buf_str(&name));
    wsgi__buf_free(&name);
}

PyObject *
wsgi__environ_make(wsgi__environ *maker, const wsgi__request *req,
                   const wsgi__conn_info *conn, int64_t body_length,
                   PyObject *input, const wsgi__log *log)
{
    const wsgi__header *dropped = NULL;
    /* Nothing of Python runs between the first variable and the last: scratch
     * and entries are this request's alone. */
    WSGI__LOCK(&maker->lock);
    const likeness *like = find_likeness(maker, req);
    PyObject *dict = like ? make_alike(maker, like, req, conn, body_length)
                          : make_anew(maker, req, conn, body_length, &dropped);
    WSGI__UNLOCK(&maker->lock);
    if (dict && PyDict_SetItem(dict, maker->input, input) < 0)
        Py_CLEAR(dict);
    if (dropped)
        warn_dropped(maker, dropped, log);
    return dict;
}
