#include "python/start_response.h"

#include <stdatomic.h>
#include <structmember.h>

#include "base/mem.h"
#include "python/object.h"

/* As many bytes of a response head as an application may make; the ceiling of
 * what is kept for it. */
#define MAX_HEAD (1024 * 1024)
/* Memory that a renewed object keeps for its next response. */
#define MOST_KEPT 4096
/* Text of the application in messages, in characters. */
#define SHOWN "%.200R"

/* Numbers are never used twice in a process. */
static _Atomic(uint64_t) n_responses;

typedef enum state { OPEN, STARTED, FINAL, ENDED } state;

typedef struct start_response {
    PyObject_HEAD vectorcallfunc vectorcall;
    wsgi__call_sink *sink;
    wsgi__response response;
    wsgi__response before; /* the last that was kept, in the block still */
    char *block;           /* the response's headers and bytes */
    size_t block_size;
    PyObject *write; /* the last that was returned, if nobody else has it */
    state state;
    bool wrote;
} start_response;

/* ---- Checks, with a message that says what to write instead ------------- */

/* The characters of a str of latin-1 as bytes, which is how PEP 3333 has bytes
 * in str.  False for characters above U+00FF. */
static inline bool
latin1(PyObject *str, wsgi__span *out)
{
    if (wsgi__str_ready(str) < 0) {
        PyErr_Clear();
        return false;
    }
    if (PyUnicode_KIND(str) != PyUnicode_1BYTE_KIND)
        return false;
    *out = (wsgi__span){ (const char *)PyUnicode_1BYTE_DATA(str),
                         (size_t)PyUnicode_GET_LENGTH(str) };
    return true;
}

static int
check_status(PyObject *status, wsgi__response *out)
{
    if (!PyUnicode_Check(status)) {
        PyErr_Format(PyExc_TypeError,
                     "start_response() status must be str such as \"200 OK\", "
                     "not %.200s",
                     Py_TYPE(status)->tp_name);
        return -1;
    }
    const char *rule = "a status has no characters outside latin-1: write "
                       "\"200 OK\"";
    if (latin1(status, &out->status))
        rule = wsgi__response_check_status(out->status, &out->code);
    if (!rule)
        return 0;
    PyErr_Format(PyExc_ValueError, "start_response() status " SHOWN ": %s",
                 status, rule);
    return -1;
}

/* How to write it instead, for types that are met. */
static void
refuse_type(const char *what, PyObject *name, PyObject *value)
{
    const char *shown = what[0] == 'n' ? "a name" : "the value";
    if (PyBytes_Check(value))
        PyErr_Format(PyExc_TypeError,
                     "header " SHOWN " has %s " SHOWN
                     " of type bytes; WSGI needs str: .decode(\"latin-1\")",
                     name, shown, value);
    else if (value == Py_None)
        PyErr_Format(PyExc_TypeError,
                     "header " SHOWN " has %s None; WSGI needs str: leave the "
                     "header out",
                     name, shown);
    else
        PyErr_Format(PyExc_TypeError,
                     "header " SHOWN " has %s " SHOWN
                     " of type %.200s; WSGI needs str: str(" SHOWN ")",
                     name, shown, value, Py_TYPE(value)->tp_name, value);
}

static int
check_header(PyObject *name, PyObject *value, wsgi__header *out)
{
    if (!PyUnicode_Check(name)) {
        refuse_type("name", name, name);
        return -1;
    }
    if (!PyUnicode_Check(value)) {
        refuse_type("value", name, value);
        return -1;
    }
    if (!latin1(name, &out->name)) {
        PyErr_Format(PyExc_ValueError,
                     "header " SHOWN ": a name is ASCII letters, digits and "
                     "!#$%%&'*+-.^_`|~",
                     name);
        return -1;
    }
    if (!latin1(value, &out->value)) {
        PyErr_Format(PyExc_ValueError,
                     "header " SHOWN " has the value " SHOWN
                     " with characters outside latin-1: encode as RFC 8187 "
                     "or percent-encode (urllib.parse.quote)",
                     name, value);
        return -1;
    }
    const char *rule = wsgi__response_check_header(out->name, out->value);
    if (!rule)
        return 0;
    PyErr_Format(PyExc_ValueError,
                 "header " SHOWN " with the value " SHOWN ": %s", name, value,
                 rule);
    return -1;
}

static int
check_pair(PyObject *pair, Py_ssize_t number, wsgi__header *out)
{
    if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
        PyErr_Format(PyExc_TypeError,
                     "start_response() headers must be a list of "
                     "(name, value) tuples, item %zd is " SHOWN
                     " of type %.200s: write (name, value)",
                     number, pair, Py_TYPE(pair)->tp_name);
        return -1;
    }
    return check_header(PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1),
                        out);
}

static int
check_list(PyObject *headers)
{
    if (PyList_Check(headers))
        return 0;
    const char *instead = "list(headers)";
    if (PyMapping_Check(headers) && PyObject_HasAttrString(headers, "items"))
        instead = "list(headers.items())";
    PyErr_Format(PyExc_TypeError,
                 "start_response() headers must be a list of (name, value) "
                 "tuples, not %.200s: use %s",
                 Py_TYPE(headers)->tp_name, instead);
    return -1;
}

/* ---- Copying ------------------------------------------------------------ */

typedef struct block {
    wsgi__header *headers;
    size_t n_headers;
    size_t bytes; /* of text behind the headers */
} block;

/* Adds to the text of a block; false past the ceiling. */
static bool
count(block *counted, size_t len)
{
    if (len > MAX_HEAD - counted->bytes)
        return false;
    counted->bytes += len;
    return true;
}

/* What was there stays as it is on failure: it is the response still. */
static int
block_reserve(start_response *self, size_t size)
{
    if (size <= self->block_size)
        return 0;
    char *larger = wsgi__mem_alloc(size);
    if (!larger) {
        PyErr_NoMemory();
        return -1;
    }
    wsgi__mem_free(self->block);
    self->block = larger;
    self->block_size = size;
    return 0;
}

static wsgi__span
copy_span(char **to, wsgi__span from)
{
    wsgi__span copy = { *to, from.len };
    if (from.len)
        memcpy(*to, from.ptr, from.len);
    *to += from.len;
    return copy;
}

/* Moves the checked response, whose spans are still Python's, into one block:
 * headers first, then every byte. */
static int
keep_response(start_response *self, const wsgi__response *response,
              const block *counted)
{
    size_t of_headers = counted->n_headers * sizeof(wsgi__header);
    if (block_reserve(self, of_headers + counted->bytes) < 0)
        return -1;
    wsgi__header *headers = (wsgi__header *)(void *)self->block;
    char *to = self->block + of_headers;
    self->response = *response;
    self->response.status = copy_span(&to, response->status);
    for (size_t i = 0; i < counted->n_headers; i++) {
        headers[i].name = copy_span(&to, response->headers[i].name);
        headers[i].value = copy_span(&to, response->headers[i].value);
    }
    self->response.headers = headers;
    self->response.number =
        atomic_fetch_add_explicit(&n_responses, 1, memory_order_relaxed) + 1;
    self->before = self->response;
    return 0;
}

static bool
is_text(PyObject *object, wsgi__span text)
{
    wsgi__span own;
    return PyUnicode_Check(object) && latin1(object, &own) &&
           wsgi__span_eq(own, text);
}

/* Whether an application says what was said before, with this object: then it
 * is checked, and in the block.  450 of 8,000 instructions for one header. */
static bool
repeats(const start_response *self, PyObject *status, PyObject *headers)
{
    const wsgi__response *before = &self->before;
    if (!before->status.ptr ||
        (size_t)PySequence_Fast_GET_SIZE(headers) != before->n_headers ||
        !is_text(status, before->status))
        return false;
    for (size_t i = 0; i < before->n_headers; i++) {
        PyObject *pair = PySequence_Fast_GET_ITEM(headers, (Py_ssize_t)i);
        const wsgi__header *header = &before->headers[i];
        if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2 ||
            !is_text(PyTuple_GET_ITEM(pair, 0), header->name) ||
            !is_text(PyTuple_GET_ITEM(pair, 1), header->value))
            return false;
    }
    return true;
}

/* ---- start_response() --------------------------------------------------- */

#define ON_STACK 24

/* Checks every pair of the list, or of a snapshot of it, into counted. */
static int
check_pairs(PyObject *headers, block *counted)
{
    for (size_t i = 0; i < counted->n_headers; i++) {
        PyObject *pair = PySequence_Fast_GET_ITEM(headers, (Py_ssize_t)i);
        wsgi__header *header = &counted->headers[i];
        /* The repr() of an object in a message may empty the list. */
        Py_INCREF(pair);
        int failed = check_pair(pair, (Py_ssize_t)i, header);
        Py_DECREF(pair);
        if (failed)
            return -1;
        if (!count(counted, header->name.len) ||
            !count(counted, header->value.len)) {
            PyErr_Format(PyExc_ValueError,
                         "start_response() headers are longer than %d bytes",
                         MAX_HEAD);
            return -1;
        }
    }
    return 0;
}

static int
check_length(wsgi__response *response)
{
    const char *rule = wsgi__response_find_length(response);
    if (!rule)
        return 0;
    PyErr_Format(PyExc_ValueError, "start_response() headers: %s", rule);
    return -1;
}

static int
check_all(PyObject *status, PyObject *headers, wsgi__response *response,
          block *counted)
{
    if (check_status(status, response) < 0)
        return -1;
    counted->bytes = response->status.len;
    if (check_pairs(headers, counted) < 0)
        return -1;
    response->headers = counted->headers;
    response->n_headers = counted->n_headers;
    return check_length(response);
}

/* Where n headers can be looked at: on the stack if they fit. */
static wsgi__header *
header_array(size_t n, wsgi__header *on_stack)
{
    if (n <= ON_STACK)
        return on_stack;
    if (n > MAX_HEAD / sizeof(wsgi__header)) {
        PyErr_Format(PyExc_ValueError, "start_response() got %zu headers", n);
        return NULL;
    }
    wsgi__header *headers = wsgi__mem_alloc(n * sizeof(*headers));
    if (!headers)
        PyErr_NoMemory();
    return headers;
}

/* From the objects to C memory; none of this runs code of the application, so
 * the list stays as it is meanwhile. */
static int
take_response(start_response *self, PyObject *status, PyObject *headers)
{
    wsgi__header on_stack[ON_STACK];
    wsgi__response response = { .content_length = -1, .known_length = -1 };
    block counted = { .n_headers = (size_t)PySequence_Fast_GET_SIZE(headers) };

    if (repeats(self, status, headers)) {
        self->response = self->before;
        return 0;
    }
    counted.headers = header_array(counted.n_headers, on_stack);
    if (!counted.headers)
        return -1;
    int result = check_all(status, headers, &response, &counted);
    if (result == 0)
        result = keep_response(self, &response, &counted);
    if (counted.headers != on_stack)
        wsgi__mem_free(counted.headers);
    return result;
}

static int
take_arguments(start_response *self, PyObject *status, PyObject *headers)
{
    if (check_list(headers) < 0)
        return -1;
#ifdef Py_GIL_DISABLED
    headers = PyList_AsTuple(headers); /* another thread may change a list */
    if (!headers)
        return -1;
#else
    Py_INCREF(headers);
#endif
    int result = take_response(self, status, headers);
    Py_DECREF(headers);
    return result;
}

static int
check_exc_info(PyObject *exc_info)
{
    if (PyTuple_Check(exc_info) && PyTuple_GET_SIZE(exc_info) == 3)
        return 0;
    PyErr_Format(PyExc_TypeError,
                 "start_response() exc_info must be the tuple of "
                 "sys.exc_info(), not %.200s",
                 Py_TYPE(exc_info)->tp_name);
    return -1;
}

/* With its own traceback; nothing of it is kept here, so no cycle forms. */
static void
raise_again(PyObject *exc_info)
{
    PyObject *type = PyTuple_GET_ITEM(exc_info, 0);
    PyObject *value = PyTuple_GET_ITEM(exc_info, 1);
    PyObject *traceback = PyTuple_GET_ITEM(exc_info, 2);

    if (PyExceptionInstance_Check(value))
        type = PyExceptionInstance_Class(value);
    if (!PyExceptionClass_Check(type)) {
        PyErr_SetString(PyExc_TypeError,
                        "start_response() exc_info has no exception in it");
        return;
    }
    Py_INCREF(type);
    Py_XINCREF(value == Py_None ? NULL : value);
    Py_XINCREF(PyTraceBack_Check(traceback) ? traceback : NULL);
    PyErr_Restore(type, value == Py_None ? NULL : value,
                  PyTraceBack_Check(traceback) ? traceback : NULL);
}

/* sys.exc_info() where nothing is being handled is (None, None, None). */
static bool
is_given(PyObject *exc_info)
{
    return exc_info && exc_info != Py_None &&
           !(PyTuple_Check(exc_info) && PyTuple_GET_SIZE(exc_info) == 3 &&
             PyTuple_GET_ITEM(exc_info, 0) == Py_None);
}

/* Whether it may be called now, in this way. */
static int
check_order(start_response *self, PyObject *exc_info)
{
    if (is_given(exc_info) && check_exc_info(exc_info) < 0)
        return -1;
    switch (self->state) {
    case OPEN:
        return 0;
    case STARTED:
        if (is_given(exc_info))
            return 0;
        break;
    case FINAL:
        if (is_given(exc_info)) {
            raise_again(exc_info);
            return -1;
        }
        break;
    case ENDED:
        PyErr_SetString(PyExc_RuntimeError,
                        "start_response() was called after its request had "
                        "ended: call it while the application runs");
        return -1;
    }
    PyErr_SetString(PyExc_AssertionError,
                    "start_response() was called before; a second call needs "
                    "exc_info: start_response(status, headers, "
                    "sys.exc_info())");
    return -1;
}

static PyObject *write_bytes(PyObject *object, PyObject *bytes);

static PyMethodDef write_method = { "write", write_bytes, METH_O, NULL };

/* PEP 3333 passes all three by position; exc_info= is met often enough. */
static int
check_names(Py_ssize_t n_args, PyObject *names)
{
    Py_ssize_t n_names = names ? PyTuple_GET_SIZE(names) : 0;
    if (n_names == 0 && (n_args == 2 || n_args == 3))
        return 0;
    if (n_names == 1 && n_args == 2 &&
        PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0),
                                         "exc_info") == 0)
        return 0;
    PyErr_Format(PyExc_TypeError,
                 "start_response() takes status, headers and optionally "
                 "exc_info, all by position; %zd by position and %zd by name "
                 "given",
                 n_args, n_names);
    return -1;
}

/* A write() that nobody kept serves the next response: making one takes as long
 * as the rest of start_response() (200 of 7,700 instructions of a hello).
 * Between two calls it is without its object, so that they do not refer to each
 * other in a circle.  New reference. */
static PyObject *
write_of(start_response *self)
{
    PyObject *object = (PyObject *)self;
    if (self->write && !((PyCFunctionObject *)self->write)->m_self)
        ((PyCFunctionObject *)self->write)->m_self = Py_NewRef(object);
    else
        Py_XSETREF(self->write, PyCFunction_New(&write_method, object));
    Py_XINCREF(self->write);
    return self->write;
}

/* The call is over, and whoever called refers to self. */
static void
detach_write(start_response *self)
{
    PyCFunctionObject *function = (PyCFunctionObject *)self->write;
#ifndef Py_GIL_DISABLED /* a count of 1 is certain under the GIL only */
    if (function && Py_REFCNT(function) == 1) {
        Py_CLEAR(function->m_self);
        return;
    }
#endif
    (void)function;
    Py_CLEAR(self->write);
}

static PyObject *
start(PyObject *object, PyObject *const *args, size_t n_args_flag,
      PyObject *names)
{
    start_response *self = (start_response *)object;
    Py_ssize_t n_args = PyVectorcall_NARGS(n_args_flag);

    if (check_names(n_args, names) < 0)
        return NULL;
    PyObject *exc_info = n_args == 3 || names ? args[2] : NULL;
    if (check_order(self, exc_info) < 0 ||
        take_arguments(self, args[0], args[1]) < 0)
        return NULL;
    self->state = STARTED;
    return write_of(self);
}

/* ---- write() ------------------------------------------------------------ */

/* The sink may let other threads run, or end this call. */
static int
give_to_sink(start_response *self, PyObject *bytes)
{
    if (self->state == ENDED || !self->sink) {
        PyErr_SetString(PyExc_RuntimeError,
                        "write() was called after its request had ended: "
                        "call it while the application runs");
        return -1;
    }
    if (PyBytes_GET_SIZE(bytes) == 0)
        return 0;
    self->state = FINAL;
    self->wrote = true;
    if (self->sink->write(self->sink, bytes) == 0)
        return 0;
    if (!PyErr_Occurred())
        PyErr_SetString(PyExc_RuntimeError,
                        "write() failed: the response cannot be sent");
    return -1;
}

static PyObject *
write_bytes(PyObject *object, PyObject *bytes)
{
    if (!PyBytes_Check(bytes)) {
        PyErr_Format(PyExc_TypeError, "write() needs bytes, not %.200s: %s",
                     Py_TYPE(bytes)->tp_name,
                     PyUnicode_Check(bytes) ? "b\"...\" or .encode()"
                                            : "use bytes(...)");
        return NULL;
    }
    if (give_to_sink((start_response *)object, bytes) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* ---- The type ----------------------------------------------------------- */

static void
start_dealloc(PyObject *object)
{
    Py_CLEAR(((start_response *)object)->write);
    wsgi__mem_free(((start_response *)object)->block);
    wsgi__object_free(object);
}

static PyMemberDef members[] = {
    { "__vectorcalloffset__", T_PYSSIZET, offsetof(start_response, vectorcall),
      READONLY, NULL },
    { NULL, 0, 0, 0, NULL },
};

static PyType_Slot slots[] = {
    WSGI__SLOT(Py_tp_dealloc, start_dealloc),
    WSGI__SLOT(Py_tp_call, PyVectorcall_Call),
    { Py_tp_members, members },
    { 0, NULL },
};

static PyType_Spec spec = {
    .name = "libwsgi.start_response",
    .basicsize = (int)sizeof(start_response),
    .flags = WSGI__FINAL_TYPE | Py_TPFLAGS_HAVE_VECTORCALL,
    .slots = slots,
};

PyTypeObject *
wsgi__start_response_type(void)
{
    return wsgi__type_new(&spec);
}

PyObject *
wsgi__start_response_new(PyTypeObject *type, wsgi__call_sink *sink)
{
    start_response *self = PyObject_New(start_response, type);
    if (!self)
        return NULL;
    self->vectorcall = start;
    self->block = NULL;
    self->block_size = 0;
    self->write = NULL;
    self->before = (wsgi__response){ .status = { NULL, 0 } };
    wsgi__start_response_renew((PyObject *)self, sink);
    return (PyObject *)self;
}

void
wsgi__start_response_renew(PyObject *object, wsgi__call_sink *sink)
{
    start_response *self = (start_response *)object;
    if (self->block_size > MOST_KEPT) {
        wsgi__mem_free(self->block);
        self->block = NULL;
        self->block_size = 0;
        self->before.status.ptr = NULL;
    }
    self->sink = sink;
    self->response = (wsgi__response){ .status = { NULL, 0 } };
    self->state = OPEN;
    self->wrote = false;
}

int
wsgi__start_response_final(PyObject *object)
{
    start_response *self = (start_response *)object;
    if (self->state == OPEN) {
        PyErr_SetString(PyExc_RuntimeError,
                        "the application did not call start_response() before "
                        "its body: start_response(\"200 OK\", headers)");
        return -1;
    }
    if (self->state == STARTED)
        self->state = FINAL;
    return 0;
}

wsgi__response *
wsgi__start_response_get(PyObject *object)
{
    start_response *self = (start_response *)object;
    return self->response.status.ptr ? &self->response : NULL;
}

bool
wsgi__start_response_wrote(PyObject *object)
{
    return ((start_response *)object)->wrote;
}

void
wsgi__start_response_end(PyObject *object)
{
    start_response *self = (start_response *)object;
    self->state = ENDED;
    self->sink = NULL;
    detach_write(self);
}
