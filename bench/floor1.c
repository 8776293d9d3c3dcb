/*
 * The limit of a WSGI server that sends once a response: one recv(), one call
 * with an honest environ, one sendmsg(); a streamed block is a sendmsg() of
 * its own.
 *
 *     floor1 PORT module:callable
 *
 * One thread, which runs the application too.  The syntax is left to
 * http-parser: there is nothing here of what makes a server safe.
 */
#include "floor1.h"

#include <http_parser.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "floor.h"

#define EVENTS 512
#define MAX_FD 65536
#define MAX_BODY (1024 * 1024 * 1024)

/* Of a connection between two reads; an idle one has none. */
typedef struct conn {
    http_parser parser;
    PyObject *environ; /* NULL until the head is complete */
    PyObject *body;    /* bytes */
    size_t n_body;     /* of them received */
    bool chunked, keep_alive;
    char *rest; /* an incomplete head */
    size_t n_rest;
} conn;

static conn *conns[MAX_FD];

/* What is being parsed: the head of the connection whose turn it is. */
static struct {
    app *app;
    conn *conn;
    head head;
} now;

/* ---- Head --------------------------------------------------------------- */

static int
on_target(http_parser *parser, const char *at, size_t len)
{
    (void)parser;
    now.head.target = (text){ at, len };
    return 0;
}

static int
on_name(http_parser *parser, const char *at, size_t len)
{
    (void)parser;
    if (now.head.n_fields == FLOOR1_MAX_FIELDS)
        return 1;
    now.head.names[now.head.n_fields] = (text){ at, len };
    return 0;
}

static int
on_value(http_parser *parser, const char *at, size_t len)
{
    (void)parser;
    now.head.values[now.head.n_fields++] = (text){ at, len };
    return 0;
}

/* A body whose length is known is no business of the parser's: it is read
 * straight to where it belongs. */
static int
on_head(http_parser *parser)
{
    const char *method = http_method_str((enum http_method)parser->method);
    conn *c = now.conn;

    c->chunked = (parser->flags & F_CHUNKED) != 0;
    c->keep_alive = http_should_keep_alive(parser) != 0;
    now.head.method = (text){ method, strlen(method) };
    now.head.minor = parser->http_minor;
    c->environ = app_environ(now.app, &now.head);
    if (parser->flags & F_CONTENTLENGTH && parser->content_length > 0) {
        if (parser->content_length > MAX_BODY)
            return -1;
        c->body = PyBytes_FromStringAndSize(
            NULL, (Py_ssize_t)parser->content_length);
        if (!c->body)
            app_die();
    }
    return c->chunked ? 0 : 1;
}

/* ---- Body --------------------------------------------------------------- */

/* Room for a chunk: doubled, so that the whole is copied a few times only. */
static void
grow(conn *c, size_t len)
{
    size_t room = c->body ? (size_t)PyBytes_GET_SIZE(c->body) : 0;
    size_t wanted = c->n_body + len;

    if (wanted <= room)
        return;
    if (wanted < 2 * room)
        wanted = 2 * room;
    if (!c->body)
        c->body = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)wanted);
    else
        _PyBytes_Resize(&c->body, (Py_ssize_t)wanted);
    if (!c->body)
        app_die();
}

static int
on_chunk_data(http_parser *parser, const char *at, size_t len)
{
    conn *c = now.conn;

    (void)parser;
    if (c->n_body + len > MAX_BODY)
        return 1;
    grow(c, len);
    memcpy(PyBytes_AS_STRING(c->body) + c->n_body, at, len);
    c->n_body += len;
    return 0;
}

/* The parser stops behind one request. */
static int
on_end(http_parser *parser)
{
    conn *c = now.conn;

    http_parser_pause(parser, 1);
    if (c->chunked && c->body &&
        _PyBytes_Resize(&c->body, (Py_ssize_t)c->n_body) < 0)
        app_die();
    return 0;
}

static size_t
missing_of(const conn *c)
{
    return c->body ? (size_t)PyBytes_GET_SIZE(c->body) - c->n_body : 0;
}

static size_t
take_body(conn *c, const char *data, size_t len)
{
    size_t n = missing_of(c);

    if (n == 0)
        return 0;
    if (n > len)
        n = len;
    memcpy(PyBytes_AS_STRING(c->body) + c->n_body, data, n);
    c->n_body += n;
    return n;
}

/* ---- Requests ----------------------------------------------------------- */

static void
begin_request(conn *c)
{
    Py_CLEAR(c->environ);
    Py_CLEAR(c->body);
    c->n_body = 0;
    http_parser_init(&c->parser, HTTP_REQUEST);
}

static void
serve_request(int fd, conn *c, bool more)
{
    app_serve(now.app, fd, c->environ, c->body, c->keep_alive, more);
    begin_request(c);
}

static void
close_conn(int fd)
{
    conn *c = conns[fd];

    if (c) {
        begin_request(c);
        free(c->rest);
        free(c);
    }
    conns[fd] = NULL;
    close(fd);
}

/* A head is parsed as a whole, so what there is of it waits for the rest. */
static void
keep_rest(conn *c, const char *data, size_t len)
{
    c->rest = malloc(len);
    if (!c->rest)
        floor_die("malloc");
    memcpy(c->rest, data, len);
    c->n_rest = len;
    begin_request(c);
}

/* How far a request reached into the data; it may have been the whole of it.
 * False if the connection is no use any more. */
static bool
parse(conn *c, const char *data, size_t len, size_t *used, bool *complete)
{
    static const http_parser_settings settings = {
        .on_url = on_target,
        .on_header_field = on_name,
        .on_header_value = on_value,
        .on_headers_complete = on_head,
        .on_body = on_chunk_data,
        .on_message_complete = on_end,
    };

    now.conn = c;
    now.head.n_fields = 0;
    *used = http_parser_execute(&c->parser, &settings, data, len);
    *complete = HTTP_PARSER_ERRNO(&c->parser) == HPE_PAUSED;
    if (!*complete)
        return HTTP_PARSER_ERRNO(&c->parser) == HPE_OK;
    *used += take_body(c, data + *used, len - *used);
    *complete = missing_of(c) == 0;
    return true;
}

/* False if the connection is no use any more. */
static bool
feed(int fd, conn *c, const char *data, size_t len)
{
    while (len > 0) {
        size_t used;
        bool complete;
        if (!parse(c, data, len, &used, &complete))
            return false;
        if (!c->environ) {
            keep_rest(c, data, len);
            return true;
        }
        if (complete) {
            bool keep_alive = c->keep_alive;
            serve_request(fd, c, keep_alive && len > used);
            if (!keep_alive)
                return false;
        }
        data += used;
        len -= used;
    }
    return true;
}

/* ---- Reading ------------------------------------------------------------ */

static conn *
conn_of(int fd)
{
    if (!conns[fd]) {
        conns[fd] = calloc(1, sizeof(conn));
        if (!conns[fd])
            floor_die("calloc");
        begin_request(conns[fd]);
    }
    return conns[fd];
}

static void
read_body(int fd, conn *c)
{
    while (missing_of(c) > 0) {
        ssize_t n = floor_read(fd, PyBytes_AS_STRING(c->body) + c->n_body,
                               missing_of(c));
        if (n == 0)
            close_conn(fd);
        if (n <= 0)
            return;
        c->n_body += (size_t)n;
    }
    bool keep_alive = c->keep_alive;
    serve_request(fd, c, false);
    if (!keep_alive)
        close_conn(fd);
}

static void
read_conn(int fd)
{
    static char data[2 * FLOOR_READ];
    conn *c = conn_of(fd);

    if (!c->chunked && missing_of(c) > 0) {
        read_body(fd, c);
        return;
    }
    size_t have = c->n_rest;
    ssize_t n =
        have > FLOOR_READ ? 0 : floor_read(fd, data + have, FLOOR_READ);
    if (n == 0)
        close_conn(fd);
    if (n <= 0)
        return;
    if (have > 0)
        memcpy(data, c->rest, have);
    free(c->rest);
    c->rest = NULL;
    c->n_rest = 0;
    bool sound = feed(fd, c, data, have + (size_t)n);
    app_flush(now.app);
    if (!sound)
        close_conn(fd);
}

int
main(int argc, char **argv)
{
    struct epoll_event events[EVENTS];
    int poll;

    if (argc != 3) {
        fprintf(stderr, "usage: floor1 PORT module:callable\n");
        return 2;
    }
    /* Memory of bodies stays: giving it back costs more than the copy. */
    mallopt(M_TRIM_THRESHOLD, 256 * 1024 * 1024);
    mallopt(M_MMAP_THRESHOLD, 32 * 1024 * 1024);
    now.app = app_new(argv[2], argv[1]);
    int listener = floor_listen(argv[1], &poll);
    for (;;) {
        PyThreadState *thread = PyEval_SaveThread();
        int n = epoll_wait(poll, events, EVENTS, -1);
        PyEval_RestoreThread(thread);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == listener)
                floor_accept(poll, listener);
            else
                read_conn(events[i].data.fd);
        }
    }
}
