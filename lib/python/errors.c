#include "python/errors.h"

#include <wsgi/wsgi.h>

#include "base/buf.h"
#include "base/mem.h"
#include "python/object.h"
#include "python/text.h"

/* A line that becomes longer is written in pieces. */
#define LONGEST_LINE (64 * 1024)
/* More threads than this in the middle of a line: the line is ended. */
#define MOST_BEGUN 64

/* The beginning of a line that a thread has written. */
typedef struct begun {
    struct begun *next;
    unsigned long thread;
    wsgi__buf text;
} begun;

typedef struct errors {
    PyObject_HEAD const wsgi__log *log;
    wsgi__lock lock;
    begun *first;
    size_t n_begun;
} errors;

static const wsgi__log to_stderr = { .level = WSGI_LOG_DEBUG };

/* ---- Lines to the log --------------------------------------------------- */

static void
log_line(const wsgi__log *log, wsgi__span line)
{
    if (line.len > 0 && line.ptr[line.len - 1] == '\r')
        line.len--;
    wsgi__buf text;
    wsgi__buf_init(&text, 4 * LONGEST_LINE + 1);
    if (wsgi__text_put(&text, line) < 0)
        wsgi__log_write(log, WSGI_LOG_ERROR,
                        "wsgi.errors: a line was lost, out of memory");
    else
        wsgi__log_write(log, WSGI_LOG_ERROR, wsgi__buf_str(&text));
    wsgi__buf_free(&text);
}

/* Where to cut a line that is too long: not within a character of UTF-8. */
static size_t
cut_at(const char *text, size_t len)
{
    size_t cut = len;
    while (cut > 0 && len - cut < 4 &&
           ((unsigned char)text[cut] & 0xC0) == 0x80)
        cut--;
    return cut > 0 ? cut : len;
}

/* Logs a line of any length, but what is left to come at its end. */
static wsgi__span
log_full_pieces(const wsgi__log *log, wsgi__span text)
{
    while (text.len > LONGEST_LINE) {
        size_t cut = cut_at(text.ptr, LONGEST_LINE);
        log_line(log, (wsgi__span){ text.ptr, cut });
        text.ptr += cut;
        text.len -= cut;
    }
    return text;
}

/* ---- Begun lines -------------------------------------------------------- */

/* Taken out of the list before anything is logged: a log callback may let
 * other threads run, or write to this object. */
static begun *
take_begun(errors *self, unsigned long thread)
{
    WSGI__LOCK(&self->lock);
    begun **link = &self->first;
    while (*link && (*link)->thread != thread)
        link = &(*link)->next;
    begun *line = *link;
    if (line) {
        *link = line->next;
        self->n_begun--;
    }
    WSGI__UNLOCK(&self->lock);
    return line;
}

static void
free_begun(begun *line)
{
    if (line)
        wsgi__buf_free(&line->text);
    wsgi__mem_free(line);
}

static void
end_begun(errors *self, begun *line)
{
    if (line)
        log_line(self->log, wsgi__buf_span(&line->text));
    free_begun(line);
}

/* False when there is one already, or too many. */
static bool
put_begun(errors *self, begun *line)
{
    WSGI__LOCK(&self->lock);
    bool fits = self->n_begun < MOST_BEGUN;
    for (const begun *other = self->first; other; other = other->next)
        fits = fits && other->thread != line->thread;
    if (fits) {
        line->next = self->first;
        self->first = line;
        self->n_begun++;
    }
    WSGI__UNLOCK(&self->lock);
    return fits;
}

static begun *
new_begun(unsigned long thread)
{
    begun *line = wsgi__mem_zero(1, sizeof(*line));
    if (line) {
        line->thread = thread;
        wsgi__buf_init(&line->text, 2 * LONGEST_LINE);
    }
    return line;
}

/* Keeps text without a line end for later, behind what `line` has. */
static void
keep(errors *self, begun *line, wsgi__span text)
{
    text = log_full_pieces(self->log, text);
    if (!line)
        line = new_begun(PyThread_get_thread_ident());
    if (!line || wsgi__buf_append(&line->text, text.ptr, text.len) < 0) {
        end_begun(self, line);
        log_line(self->log, text);
        return;
    }
    wsgi__span whole = wsgi__buf_span(&line->text);
    wsgi__buf_consume(&line->text,
                      whole.len - log_full_pieces(self->log, whole).len);
    if (!put_begun(self, line))
        end_begun(self, line);
}

/* Completes a begun line; the line end is not part of text. */
static void
complete(errors *self, begun *line, wsgi__span text)
{
    if (line && wsgi__buf_append(&line->text, text.ptr, text.len) == WSGI_OK)
        text = wsgi__buf_span(&line->text);
    else if (line)
        log_line(self->log, wsgi__buf_span(&line->text));
    log_line(self->log, log_full_pieces(self->log, text));
    free_begun(line);
}

static void
write_text(errors *self, wsgi__span text)
{
    begun *line =
        self->first ? take_begun(self, PyThread_get_thread_ident()) : NULL;
    const char *end;
    while (text.len > 0 && (end = memchr(text.ptr, '\n', text.len))) {
        size_t len = (size_t)(end - text.ptr);
        complete(self, line, (wsgi__span){ text.ptr, len });
        line = NULL;
        text.ptr += len + 1;
        text.len -= len + 1;
    }
    if (line || text.len > 0)
        keep(self, line, text);
}

/* ---- Methods ------------------------------------------------------------ */

static PyObject *
errors_write(PyObject *object, PyObject *text)
{
    if (!PyUnicode_Check(text))
        return PyErr_Format(
            PyExc_TypeError,
            "wsgi.errors.write() needs str, not %.200s: use repr() or "
            ".decode()",
            Py_TYPE(text)->tp_name);
    PyObject *utf8 = wsgi__text_utf8(text);
    if (!utf8)
        return NULL;
    write_text((errors *)object,
               (wsgi__span){ PyBytes_AS_STRING(utf8),
                             (size_t)PyBytes_GET_SIZE(utf8) });
    Py_DECREF(utf8);
    return PyLong_FromSsize_t(PyUnicode_GetLength(text));
}

static PyObject *
errors_writelines(PyObject *object, PyObject *lines)
{
    PyObject *iterator = PyObject_GetIter(lines);
    if (!iterator)
        return NULL;
    PyObject *line;
    while ((line = PyIter_Next(iterator))) {
        PyObject *written = errors_write(object, line);
        Py_DECREF(line);
        if (!written)
            break;
        Py_DECREF(written);
    }
    Py_DECREF(iterator);
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *
errors_flush(PyObject *object, PyObject *unused)
{
    (void)unused;
    wsgi__errors_flush(object);
    Py_RETURN_NONE;
}

/* The stream is the server's: an application that closes it ends its line. */
static PyMethodDef methods[] = {
    { "write", errors_write, METH_O, NULL },
    { "writelines", errors_writelines, METH_O, NULL },
    { "flush", errors_flush, METH_NOARGS, NULL },
    { "close", errors_flush, METH_NOARGS, NULL },
    { NULL, NULL, 0, NULL },
};

/* ---- The type ----------------------------------------------------------- */

/* Those that are there now: a log callback may begin another. */
static void
end_every_line(errors *self)
{
    WSGI__LOCK(&self->lock);
    begun *line = self->first;
    self->first = NULL;
    self->n_begun = 0;
    WSGI__UNLOCK(&self->lock);
    while (line) {
        begun *next = line->next;
        end_begun(self, line);
        line = next;
    }
}

static void
errors_dealloc(PyObject *object)
{
    end_every_line((errors *)object);
    wsgi__object_free(object);
}

static PyType_Slot slots[] = {
    WSGI__SLOT(Py_tp_dealloc, errors_dealloc),
    { Py_tp_methods, methods },
    { 0, NULL },
};

static PyType_Spec spec = {
    .name = "libwsgi.Errors",
    .basicsize = (int)sizeof(errors),
    .flags = WSGI__FINAL_TYPE,
    .slots = slots,
};

PyTypeObject *
wsgi__errors_type(void)
{
    return wsgi__type_new(&spec);
}

PyObject *
wsgi__errors_new(PyTypeObject *type, const wsgi__log *log)
{
    errors *self = PyObject_New(errors, type);
    if (!self)
        return NULL;
    self->log = log ? log : &to_stderr;
    self->lock = (wsgi__lock){ 0 };
    self->first = NULL;
    self->n_begun = 0;
    return (PyObject *)self;
}

void
wsgi__errors_flush(PyObject *object)
{
    errors *self = (errors *)object;
    if (self->first)
        end_begun(self, take_begun(self, PyThread_get_thread_ident()));
}

void
wsgi__errors_detach(PyObject *object)
{
    errors *self = (errors *)object;
    end_every_line(self);
    self->log = &to_stderr;
}
