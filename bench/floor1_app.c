#include "floor1.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <time.h>

#include "floor.h"

#define MAX_HEAD (64 * 1024)
#define MAX_NAME 128
#define N_KEYS 256

/* HTTP_* keys by the bytes that clients write; one place for each hash, so
 * that names which meet there take turns. */
typedef struct key {
    char name[MAX_NAME];
    size_t len;
    PyObject *object;
} key;

struct app {
    PyObject *callable, *start_response, *write;
    PyObject *template; /* of environs: what no request changes */
    PyObject *file_wrapper, *bytes_io, *close;
    PyObject *method_key, *path_key, *query_key, *protocol_key, *input_key;
    PyObject *post, *http_1_0;
    key keys[N_KEYS];

    /* The answer under way. */
    PyObject *status, *headers;
    char head[MAX_HEAD];
    size_t n_head; /* 0 when it has been sent */
    bool more;     /* another pipelined request is at hand */
    int fd;
    bool keep_alive, chunked, has_head;

    time_t date_of;
    char date[64];
};

_Noreturn void
app_die(void)
{
    PyErr_Print();
    exit(1);
}

/* Ends the program where there is no object. */
static PyObject *
sure(PyObject *object)
{
    if (!object)
        app_die();
    return object;
}

/* New reference. */
static PyObject *
ref(PyObject *object)
{
    Py_INCREF(object);
    return object;
}

static void
set(PyObject *dict, PyObject *name, PyObject *value)
{
    if (PyDict_SetItem(dict, name, value) < 0)
        app_die();
}

/* ---- Environ ------------------------------------------------------------ */

static PyObject *
latin1(text t)
{
    return sure(PyUnicode_DecodeLatin1(t.ptr, (Py_ssize_t)t.len, NULL));
}

/* New reference: "HTTP_ACCEPT" of "Accept". */
static PyObject *
make_key(text name)
{
    char upper[MAX_NAME + 6] = "HTTP_";
    const char *from = upper;

    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool lower = c >= 'a' && c <= 'z';
        upper[5 + i] = c == '-' ? '_' : (char)(lower ? c - 32 : c);
    }
    if (strcmp(upper, "HTTP_CONTENT_TYPE") == 0 ||
        strcmp(upper, "HTTP_CONTENT_LENGTH") == 0)
        from += 5;
    PyObject *made = latin1((text){ from, strlen(from) });
    PyUnicode_InternInPlace(&made);
    return made;
}

/* Borrowed from the cache; what is longer than any real name is cut. */
static PyObject *
key_of(app *a, text name)
{
    size_t len = name.len < MAX_NAME ? name.len : MAX_NAME;
    unsigned hash = (unsigned char)name.ptr[0] * 31u +
                    (unsigned char)name.ptr[len - 1] * 7u +
                    (unsigned)len * 61u;
    key *k = &a->keys[hash % N_KEYS];

    if (k->len == len && memcmp(k->name, name.ptr, len) == 0)
        return k->object;
    Py_XDECREF(k->object);
    name.len = len;
    k->object = make_key(name);
    k->len = len;
    memcpy(k->name, name.ptr, len);
    return k->object;
}

/* A name that comes twice. */
static void
join(PyObject *env, PyObject *name, PyObject *first, PyObject *second)
{
    PyObject *both = sure(PyUnicode_FromFormat("%U,%U", first, second));
    set(env, name, both);
    Py_DECREF(both);
}

static void
set_field(app *a, PyObject *env, text name, text value)
{
    PyObject *object = latin1(value);
    PyObject *name_object = key_of(a, name);
    PyObject *is = sure(PyDict_SetDefault(env, name_object, object));

    if (is != object)
        join(env, name_object, is, object);
    Py_DECREF(object);
}

static int
hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* New reference. */
static PyObject *
decode_path(text path)
{
    if (!memchr(path.ptr, '%', path.len))
        return latin1(path);
    char *plain = malloc(path.len);
    size_t n = 0;
    if (!plain)
        floor_die("malloc");
    for (size_t i = 0; i < path.len; i++) {
        bool coded = path.ptr[i] == '%' && i + 2 < path.len &&
                     hex(path.ptr[i + 1]) >= 0 && hex(path.ptr[i + 2]) >= 0;
        plain[n++] =
            coded ? (char)(hex(path.ptr[i + 1]) * 16 + hex(path.ptr[i + 2]))
                  : path.ptr[i];
        i += coded ? 2 : 0;
    }
    PyObject *decoded = latin1((text){ plain, n });
    free(plain);
    return decoded;
}

static void
set_target(app *a, PyObject *env, text target)
{
    const char *mark = memchr(target.ptr, '?', target.len);
    size_t n_path = mark ? (size_t)(mark - target.ptr) : target.len;
    PyObject *path = decode_path((text){ target.ptr, n_path });

    set(env, a->path_key, path);
    Py_DECREF(path);
    if (!mark)
        return;
    PyObject *query = latin1((text){ mark + 1, target.len - n_path - 1 });
    set(env, a->query_key, query);
    Py_DECREF(query);
}

static void
set_method(app *a, PyObject *env, text method)
{
    if (method.len == 3 && memcmp(method.ptr, "GET", 3) == 0)
        return; /* as in the template */
    if (method.len == 4 && memcmp(method.ptr, "POST", 4) == 0) {
        set(env, a->method_key, a->post);
        return;
    }
    PyObject *name = latin1(method);
    set(env, a->method_key, name);
    Py_DECREF(name);
}

PyObject *
app_environ(app *a, const head *asked)
{
    PyObject *env = sure(PyDict_Copy(a->template));

    set_method(a, env, asked->method);
    set_target(a, env, asked->target);
    if (asked->minor == 0)
        set(env, a->protocol_key, a->http_1_0);
    for (size_t i = 0; i < asked->n_fields; i++)
        set_field(a, env, asked->names[i], asked->values[i]);
    return env;
}

/* ---- Head of the answer ------------------------------------------------- */

static void
put(app *a, const char *data, size_t len)
{
    if (len > sizeof(a->head) - a->n_head) {
        fprintf(stderr, "floor1: the head of an answer is too long\n");
        exit(1);
    }
    memcpy(a->head + a->n_head, data, len);
    a->n_head += len;
}

#define PUT(a, literal) put(a, literal, sizeof(literal) - 1)

static void
put_text(app *a, PyObject *object)
{
    if (!PyUnicode_Check(object) ||
        PyUnicode_KIND(object) != PyUnicode_1BYTE_KIND) {
        fprintf(stderr, "floor1: status and headers are latin-1 texts\n");
        exit(1);
    }
    put(a, PyUnicode_DATA(object), (size_t)PyUnicode_GET_LENGTH(object));
}

static void
put_date(app *a)
{
    time_t t = time(NULL);
    struct tm tm;

    if (t != a->date_of) {
        strftime(a->date, sizeof(a->date),
                 "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", gmtime_r(&t, &tm));
        a->date_of = t;
    }
    put(a, a->date, strlen(a->date));
}

static bool
is_content_length(PyObject *name)
{
    return PyUnicode_GET_LENGTH(name) == 14 &&
           strncasecmp(PyUnicode_DATA(name), "content-length", 14) == 0;
}

/* True if Content-Length is among them. */
static bool
put_headers(app *a)
{
    bool has_length = false;

    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(a->headers); i++) {
        PyObject *pair = PyList_GET_ITEM(a->headers, i);
        if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
            fprintf(stderr, "floor1: headers are tuples of two\n");
            exit(1);
        }
        put_text(a, PyTuple_GET_ITEM(pair, 0));
        PUT(a, ": ");
        put_text(a, PyTuple_GET_ITEM(pair, 1));
        PUT(a, "\r\n");
        has_length |= is_content_length(PyTuple_GET_ITEM(pair, 0));
    }
    return has_length;
}

/* length: of the body, -1 if it is not known yet. */
static void
put_head(app *a, int64_t length)
{
    if (!a->status) {
        fprintf(stderr, "floor1: start_response() was not called\n");
        exit(1);
    }
    a->has_head = true;
    PUT(a, "HTTP/1.1 ");
    put_text(a, a->status);
    PUT(a, "\r\n");
    put_date(a);
    bool has_length = put_headers(a);
    if (!has_length && length >= 0) {
        char line[64];
        int len = sprintf(line, "Content-Length: %lld\r\n", (long long)length);
        put(a, line, (size_t)len);
    } else if (!has_length && a->keep_alive) {
        a->chunked = true;
        PUT(a, "Transfer-Encoding: chunked\r\n");
    }
    if (!a->keep_alive)
        PUT(a, "Connection: close\r\n");
    PUT(a, "\r\n");
}

/* start_response(status, headers, exc_info=None) */
static PyObject *
start_response(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    app *a = PyCapsule_GetPointer(self, NULL);

    if (n < 2 || n > 3 || !PyUnicode_Check(args[0]) ||
        !PyList_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError, "start_response(text, list)");
        return NULL;
    }
    Py_XSETREF(a->status, ref(args[0]));
    Py_XSETREF(a->headers, ref(args[1]));
    return ref(a->write);
}

/* ---- Body of the answer ------------------------------------------------- */

/* One block with what must stand around it, in one call of the kernel. */
static void
send_block(app *a, const char *data, size_t len)
{
    struct iovec iov[4];
    size_t n = 0;
    char size[32];

    if (a->n_head > 0)
        iov[n++] = (struct iovec){ a->head, a->n_head };
    if (a->chunked && len > 0) {
        int n_size = sprintf(size, "%zx\r\n", len);
        iov[n++] = (struct iovec){ size, (size_t)n_size };
    }
    if (len > 0)
        iov[n++] = (struct iovec){ (void *)(size_t)data, len };
    if (a->chunked && len > 0)
        iov[n++] = (struct iovec){ (void *)(size_t) "\r\n", 2 };
    floor_write(a->fd, iov, n);
    a->n_head = 0;
}

static void
send_object(app *a, PyObject *block)
{
    if (!PyBytes_Check(block)) {
        fprintf(stderr, "floor1: blocks are bytes\n");
        exit(1);
    }
    send_block(a, PyBytes_AS_STRING(block), (size_t)PyBytes_GET_SIZE(block));
}

/* write(data) of start_response(). */
static PyObject *
write_data(PyObject *self, PyObject *data)
{
    app *a = PyCapsule_GetPointer(self, NULL);

    if (!a->has_head)
        put_head(a, -1);
    send_object(a, data);
    return ref(Py_None);
}

static void
send_blocks(app *a, PyObject *result)
{
    PyObject *iterator = sure(PyObject_GetIter(result));
    PyObject *block;

    while ((block = PyIter_Next(iterator))) {
        if (!a->has_head)
            put_head(a, -1);
        send_object(a, block);
        Py_DECREF(block);
    }
    if (PyErr_Occurred())
        app_die();
    Py_DECREF(iterator);
    if (!a->has_head)
        put_head(a, 0);
    if (a->n_head > 0)
        send_block(a, NULL, 0);
    if (a->chunked) {
        struct iovec end = { (void *)(size_t) "0\r\n\r\n", 5 };
        floor_write(a->fd, &end, 1);
    }
}

static void
send_bytes_of_file(app *a, int file, off_t left)
{
    while (left > 0) {
        ssize_t n = sendfile(a->fd, file, NULL, (size_t)left);
        struct pollfd room = { .fd = a->fd, .events = POLLOUT };
        if (n == 0 || (n < 0 && (errno != EAGAIN || poll(&room, 1, -1) < 0)))
            return;
        left -= n > 0 ? n : 0;
    }
}

static void
send_file(app *a, PyObject *wrapper)
{
    PyObject *file = sure(PyObject_GetAttrString(wrapper, "file"));
    int fd = PyObject_AsFileDescriptor(file);
    struct stat st;

    if (fd < 0)
        app_die();
    if (fstat(fd, &st) < 0)
        floor_die("fstat");
    off_t left = st.st_size - lseek(fd, 0, SEEK_CUR);
    put_head(a, left);
    send_block(a, NULL, 0);
    send_bytes_of_file(a, fd, left);
    Py_DECREF(file);
}

/* Pipelined requests that came in one read are answered in one write. */
static bool
may_wait(const app *a, PyObject *block)
{
    return a->more && !a->chunked && PyBytes_Check(block) &&
           a->n_head + (size_t)PyBytes_GET_SIZE(block) < MAX_HEAD / 2;
}

static void
send_result(app *a, PyObject *result)
{
    if (PyList_CheckExact(result) && PyList_GET_SIZE(result) == 1) {
        PyObject *only = PyList_GET_ITEM(result, 0);
        put_head(a, PyBytes_Check(only) ? PyBytes_GET_SIZE(only) : -1);
        if (may_wait(a, only))
            put(a, PyBytes_AS_STRING(only), (size_t)PyBytes_GET_SIZE(only));
        else
            send_object(a, only);
    } else if ((PyObject *)Py_TYPE(result) == a->file_wrapper) {
        send_file(a, result);
    } else {
        send_blocks(a, result);
    }
}

static void
close_result(app *a, PyObject *result)
{
    if (PyList_CheckExact(result))
        return;
    PyObject *method = PyObject_GetAttr(result, a->close);
    if (method)
        Py_DECREF(sure(PyObject_CallNoArgs(method)));
    else
        PyErr_Clear();
    Py_XDECREF(method);
}

void
app_serve(app *a, int fd, PyObject *env, PyObject *body, bool keep_alive,
          bool more)
{
    a->fd = fd;
    a->more = more;
    a->keep_alive = keep_alive;
    a->chunked = a->has_head = false;
    if (body) {
        PyObject *input = sure(PyObject_CallOneArg(a->bytes_io, body));
        set(env, a->input_key, input);
        Py_DECREF(input);
    }
    PyObject *args[] = { env, a->start_response };
    PyObject *result = sure(PyObject_Vectorcall(a->callable, args, 2, NULL));
    send_result(a, result);
    close_result(a, result);
    Py_DECREF(result);
    Py_CLEAR(a->status);
    Py_CLEAR(a->headers);
}

void
app_flush(app *a)
{
    if (a->n_head > 0) {
        a->chunked = false;
        send_block(a, NULL, 0);
    }
}

/* ---- Start -------------------------------------------------------------- */

static const char prelude[] =
    "import io, sys\n"
    "sys.path.insert(0, '')\n"
    "class FileWrapper:\n"
    "    def __init__(self, file, block_size=65536):\n"
    "        self.file, self.block_size = file, block_size\n"
    "    def __iter__(self):\n"
    "        return iter(lambda: self.file.read(self.block_size), b'')\n"
    "    def close(self):\n"
    "        self.file.close()\n"
    "def load(spec):\n"
    "    module, _, name = spec.partition(':')\n"
    "    return getattr(__import__(module), name)\n"
    "template = {\n"
    "    'REQUEST_METHOD': 'GET', 'SCRIPT_NAME': '', 'PATH_INFO': '',\n"
    "    'QUERY_STRING': '', 'SERVER_NAME': '127.0.0.1',\n"
    "    'SERVER_PROTOCOL': 'HTTP/1.1', 'REMOTE_ADDR': '127.0.0.1',\n"
    "    'wsgi.version': (1, 0), 'wsgi.url_scheme': 'http',\n"
    "    'wsgi.input': io.BytesIO(), 'wsgi.errors': sys.stderr,\n"
    "    'wsgi.multithread': False, 'wsgi.multiprocess': False,\n"
    "    'wsgi.run_once': False, 'wsgi.input_terminated': True,\n"
    "    'wsgi.file_wrapper': FileWrapper,\n"
    "}\n";

static PyObject *
intern(const char *name)
{
    return sure(PyUnicode_InternFromString(name));
}

static void
make_texts(app *a)
{
    a->method_key = intern("REQUEST_METHOD");
    a->path_key = intern("PATH_INFO");
    a->query_key = intern("QUERY_STRING");
    a->protocol_key = intern("SERVER_PROTOCOL");
    a->input_key = intern("wsgi.input");
    a->post = intern("POST");
    a->http_1_0 = intern("HTTP/1.0");
    a->close = intern("close");
}

static void
make_functions(app *a)
{
    static PyMethodDef start = { "start_response",
                                 (PyCFunction)(void (*)(void))start_response,
                                 METH_FASTCALL, NULL };
    static PyMethodDef write = { "write", write_data, METH_O, NULL };
    PyObject *self = sure(PyCapsule_New(a, NULL, NULL));

    a->start_response = sure(PyCFunction_New(&start, self));
    a->write = sure(PyCFunction_New(&write, self));
    Py_DECREF(self);
}

/* New reference. */
static PyObject *
item(PyObject *dict, const char *name)
{
    return ref(sure(PyDict_GetItemString(dict, name)));
}

static void
load(app *a, const char *spec, const char *port)
{
    PyObject *names = sure(PyDict_New());

    PyDict_SetItemString(names, "__builtins__", PyEval_GetBuiltins());
    Py_DECREF(sure(PyRun_String(prelude, Py_file_input, names, names)));
    a->file_wrapper = item(names, "FileWrapper");
    a->template = item(names, "template");
    a->bytes_io = sure(PyObject_GetAttrString(item(names, "io"), "BytesIO"));
    PyObject *number = sure(PyUnicode_FromString(port));
    set(a->template, intern("SERVER_PORT"), number);
    Py_DECREF(number);
    PyObject *loader = item(names, "load");
    a->callable = sure(PyObject_CallFunction(loader, "s", spec));
    Py_DECREF(loader);
    Py_DECREF(names);
}

app *
app_new(const char *spec, const char *port)
{
    app *a = calloc(1, sizeof(*a));

    if (!a)
        floor_die("calloc");
    Py_InitializeEx(0);
    make_texts(a);
    make_functions(a);
    load(a, spec, port);
    return a;
}
