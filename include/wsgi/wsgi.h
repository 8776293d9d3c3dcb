/*
 * libwsgi - serve Python WSGI applications from C.
 *
 *     #include <wsgi/wsgi.h>
 *
 *     wsgi_server *server = wsgi_server_new();
 *     if (wsgi_server_set_app(server, "wsgiapp:app") < 0 ||
 *         wsgi_server_bind(server, "127.0.0.1:8000") < 0 ||
 *         wsgi_server_serve(server) < 0)
 *         fprintf(stderr, "%s\n", wsgi_server_error(server));
 *     wsgi_server_free(server);
 *
 * Life of a server: new -> set_*, bind -> serve (or start + dispatch) ->
 * stop -> free.
 *
 * Return values.  Functions returning int give WSGI_OK (0) or a positive
 * status on success and a negative WSGI_ERR_* on failure; wsgi_server_error()
 * then says what exactly went wrong.  Nothing is changed by a call that fails.
 * A NULL server is answered WSGI_ERR_NOMEM, "out of memory": the result of
 * wsgi_server_new() needs no check of its own.
 *
 * Ownership.  Every string passed in is copied.  Every `const char *` returned
 * belongs to the server: it is valid until the next call on that server and is
 * never freed by the caller.
 *
 * Threads.  A server belongs to one thread at a time.  wsgi_server_stop() is
 * the exception: any thread or signal handler may call it.  Two servers are
 * independent of each other, but share the process's one Python interpreter.
 *
 * Processes.  Bind before fork(), start after it: a started server cannot be
 * used in a child process.  A process that the application forks and that comes
 * back from it is ended, with the status of its sys.exit() or with 1.
 *
 * Python.  Nothing in this header needs Python.h or the GIL, and every
 * function may be called with or without the GIL held.  To pass a Python
 * object, or to set up the interpreter yourself, see <wsgi/python.h>.
 */
#ifndef WSGI_WSGI_H
#define WSGI_WSGI_H

#include <stddef.h>
#include <stdint.h>

#include <wsgi/version.h>

#if defined(__GNUC__)
#define WSGI_API __attribute__((visibility("default")))
#define WSGI_NODISCARD __attribute__((warn_unused_result))
#else
#define WSGI_API
#define WSGI_NODISCARD
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wsgi_server wsgi_server;

/* ---- Status codes ------------------------------------------------------- */

/* Numbers are part of the ABI: they are never reused or renumbered. */
typedef enum wsgi_status {
    WSGI_OK = 0,
    /* From wsgi_server_dispatch(): stopped and drained. */
    WSGI_STOPPED = 1,

    /* Out of memory. */
    WSGI_ERR_NOMEM = -1,
    /* An argument is out of range or malformed. */
    WSGI_ERR_INVALID = -2,
    /* Not allowed now, for instance set_app while serving. */
    WSGI_ERR_STATE = -3,
    /* An option unknown to this version or build of the library. */
    WSGI_ERR_OPTION = -4,
    /* A system call failed. */
    WSGI_ERR_SYSTEM = -5,
    /* The address cannot be parsed or resolved. */
    WSGI_ERR_ADDRESS = -6,
    /* The address cannot be bound. */
    WSGI_ERR_BIND = -7,
    /* The Python interpreter could not be initialised. */
    WSGI_ERR_PYTHON = -8,
    /* Importing the application's module raised an exception. */
    WSGI_ERR_APP_IMPORT = -9,
    /* The module has no such attribute. */
    WSGI_ERR_APP_MISSING = -10,
    /* The attribute is not callable. */
    WSGI_ERR_APP_TYPE = -11,
    /* No worker process could start: <wsgi/supervisor.h>. */
    WSGI_ERR_WORKER = -12
} wsgi_status;

/* A short constant description of a status; never NULL, never freed. */
WSGI_API const char *wsgi_strerror(int status);

/* ---- Lifecycle ---------------------------------------------------------- */

/* Returns a server with every option at its default, or NULL when out of
 * memory.  Free it with wsgi_server_free(). */
WSGI_API WSGI_NODISCARD wsgi_server *wsgi_server_new(void);

/* Closes listeners and connections, drops the application and frees the
 * server.  Not while it is being served: stop it and let wsgi_server_serve()
 * return first.  NULL is ignored.  Leaves the Python interpreter running.  With
 * calls of the application that do not end within two seconds of an exception
 * being raised in them, what they use stays allocated. */
WSGI_API void wsgi_server_free(wsgi_server *server);

/* What went wrong in the last failing call on this server, in one or more
 * lines without a final newline; "" if nothing has.  A failed import carries
 * the Python traceback. */
WSGI_API const char *wsgi_server_error(const wsgi_server *server);

/* ---- Configuration: before the server is started ------------------------ */

/* The application as "package.module:callable", where callable may be dotted
 * ("site:config.app"), may be called ("site:make_app()"), and is `application`
 * or else `app` if left out ("site"); or as "path/to/file.py:callable".  Only
 * recorded here; wsgi_server_load() imports it. */
WSGI_API int wsgi_server_set_app(wsgi_server *server, const char *spec);

/* Adds an address to listen on and binds it: "host:port", "[v6]:port", ":port"
 * (all interfaces), "unix:/path", "unix:@name" (abstract), or "fd://N" for an
 * inherited listening socket.  Port 0 takes a free port: see
 * wsgi_server_address().  Options that shape a socket (WSGI_OPT_BACKLOG,
 * WSGI_OPT_SOCKET_MODE, WSGI_OPT_REUSE_PORT) are set before.
 * WSGI_ERR_ADDRESS, WSGI_ERR_BIND. */
WSGI_API int wsgi_server_bind(wsgi_server *server, const char *address);

/* Adds a listening socket the caller made.  On success the server owns fd and
 * closes it in wsgi_server_free(); on failure it stays the caller's. */
WSGI_API int wsgi_server_bind_fd(wsgi_server *server, int fd);

/* The index-th bound address, "127.0.0.1:40213"; NULL past the last. */
WSGI_API const char *wsgi_server_address(const wsgi_server *server,
                                         size_t index);

/* Its socket, to be passed on to another process; the server's own, and -1 past
 * the last. */
WSGI_API int wsgi_server_socket(const wsgi_server *server, size_t index);

/* Stops listening here, where processes that were forked go on.  The files of
 * Unix sockets stay until wsgi_server_free().  Not once it has been started. */
WSGI_API void wsgi_server_close_sockets(wsgi_server *server);

/* Another process goes on with the sockets: the files of Unix sockets stay when
 * this server closes. */
WSGI_API void wsgi_server_leave_sockets(wsgi_server *server);

/* The other end of it: this server removes the file of that Unix socket, which
 * another process has made and left, as if it had made it.  WSGI_ERR_INVALID past
 * the last. */
WSGI_API int wsgi_server_own_socket(wsgi_server *server, size_t index);

/* Numbers are part of the ABI: never reused or renumbered.  Durations are
 * milliseconds and sizes bytes; 0 means no limit unless said otherwise.  The
 * default is in [brackets]; wsgi_option_next() tells the same to programs. */
typedef enum wsgi_option {
    /* -- Integers, for wsgi_server_set_int() -- */

    /* Calls of the application at once.  With 1 there are never two, and it is
     * always the same thread that calls; wsgi.multithread says so.  Neither
     * keeps other clients waiting for anything but a call of their own. [4] */
    WSGI_OPT_THREADS = 1,
    /* Connections the kernel queues before they are accepted. [2048] */
    WSGI_OPT_BACKLOG = 2,
    /* Connections open at once; past it accepting pauses.  Bounded by
     * RLIMIT_NOFILE. [1000] */
    WSGI_OPT_WORKER_CONNECTIONS = 3,
    /* To receive a whole request head; then 408. [15000] */
    WSGI_OPT_HEADER_TIMEOUT = 4,
    /* Between two reads of a request body; then 408. [30000] */
    WSGI_OPT_BODY_TIMEOUT = 5,
    /* Between two writes that make progress. [60000] */
    WSGI_OPT_WRITE_TIMEOUT = 6,
    /* Idle between two requests; 0 closes after each response. [75000] */
    WSGI_OPT_KEEP_ALIVE = 7,
    /* For requests under way after WSGI_STOP_DRAIN. [30000] */
    WSGI_OPT_GRACEFUL_TIMEOUT = 8,
    /* Request line in bytes; more is answered 414.  At most, and with 0,
     * 256 KiB. [8190] */
    WSGI_OPT_LIMIT_REQUEST_LINE = 9,
    /* Number of header fields; more is answered 431.  At most, and with 0,
     * 2000. [100] */
    WSGI_OPT_LIMIT_REQUEST_FIELDS = 10,
    /* One header field in bytes; more is answered 431.  At most, and with 0,
     * 256 KiB. [8190] */
    WSGI_OPT_LIMIT_REQUEST_FIELD_SIZE = 11,
    /* Request body in bytes; more is answered 413. [1073741824] */
    WSGI_OPT_LIMIT_REQUEST_BODY = 12,
    /* Request body kept in memory; a larger one goes to a temporary file, with
     * 0 every one. [524288] */
    WSGI_OPT_BODY_SPOOL_SIZE = 13,
    /* Unsent response bytes at which the application is paused. [262144] */
    WSGI_OPT_OUTPUT_HIGH_WATER = 14,
    /* The value of wsgi.multiprocess, 0 or 1. [0] */
    WSGI_OPT_MULTIPROCESS = 15,
    /* Whether files of wsgi.file_wrapper go out by sendfile, 0 or 1. [1] */
    WSGI_OPT_SENDFILE = 16,
    /* Permissions of a Unix socket, such as 0660. [0666] */
    WSGI_OPT_SOCKET_MODE = 17,
    /* SO_REUSEPORT on TCP sockets, 0 or 1. [0] */
    WSGI_OPT_REUSE_PORT = 18,
    /* The callable of the specification is a factory that returns the
     * application, 0 or 1. [0] */
    WSGI_OPT_FACTORY = 19,
    /* Bytes a second that a request body has to bring on average, counted from
     * when it has taken the body timeout; then 408. [240] */
    WSGI_OPT_MIN_BODY_RATE = 20,
    /* For a call of the application to give something, and then again for each
     * block: past it the client gets 504, or the end of the connection where
     * something was sent; the log the stack of the call, in which an exception
     * is raised. [30000] */
    WSGI_OPT_TIMEOUT = 21,
    /* When the stack of a call that lasts is logged, once, without disturbing
     * it. [0] */
    WSGI_OPT_SLOW_REQUEST = 22,
    /* Requests that wait for a thread of the application; one more is answered
     * 503. [0] */
    WSGI_OPT_QUEUE_SIZE = 23,
    /* For a request to wait for a thread; then 503. [30000] */
    WSGI_OPT_QUEUE_TIMEOUT = 24,
    /* Requests that a supervised worker answers before another takes its place;
     * 0: no limit.  This and the next three do nothing without a supervisor. [0]
     */
    WSGI_OPT_MAX_REQUESTS = 25,
    /* At most so many requests more, by chance, so that workers are not all
     * replaced at once. [0] */
    WSGI_OPT_MAX_REQUESTS_JITTER = 26,
    /* Age at which another worker takes its place. [0] */
    WSGI_OPT_MAX_LIFETIME = 27,
    /* Resident memory at which another worker takes its place. [0] */
    WSGI_OPT_MAX_MEMORY = 28,
    /* How long to go on accepting after WSGI_STOP_DRAIN, for load balancers that
     * notice a stop only after a while. [0] */
    WSGI_OPT_DRAIN_DELAY = 29,

    /* -- Strings, for wsgi_server_set_str() -- */

    /* Path the application is mounted at, "" or "/path". [""] */
    WSGI_OPT_ROOT_PATH = 100,
    /* Value of the Server field and of SERVER_SOFTWARE; "" sends no field.
     * ["libwsgi"] */
    WSGI_OPT_SERVER_HEADER = 101,
    /* Path at which the server itself says whether it is ready: 200, or 503
     * while it stops; below it "/live" is 200 as long as the loop runs.  Neither
     * waits for the application.  "" for none. [""] */
    WSGI_OPT_HEALTH_PATH = 102
} wsgi_option;

/* Sets an option.  WSGI_ERR_OPTION: not an option of this kind and version.
 * WSGI_ERR_INVALID: out of range, and wsgi_server_error() names the range. */
WSGI_API int wsgi_server_set_int(wsgi_server *server, wsgi_option option,
                                 int64_t value);
WSGI_API int wsgi_server_set_str(wsgi_server *server, wsgi_option option,
                                 const char *value);

/* Sets any option from text, as command lines and configuration files have it:
 * set_text(s, "keep-alive", "5s"), set_text(s, "limit-request-body", "8M").
 * Durations are written "30" (seconds), "30s", "500ms", "2m", "1h"; sizes "512",
 * "8k", "16M", "1G"; booleans "yes", "no", "on", "off", "true", "false", "1",
 * "0"; modes in octal. */
WSGI_API int wsgi_server_set_text(wsgi_server *server, const char *name,
                                  const char *value);

typedef enum wsgi_option_kind {
    WSGI_KIND_INT = 0,
    WSGI_KIND_BOOL = 1,
    WSGI_KIND_DURATION = 2, /* milliseconds */
    WSGI_KIND_SIZE = 3,     /* bytes */
    WSGI_KIND_MODE = 4,     /* permissions, octal as text */
    WSGI_KIND_STRING = 5
} wsgi_option_kind;

/* What there is to know about an option: the source of defaults, range checks,
 * --help and manuals.  Constant; grows at the end only. */
typedef struct wsgi_option_info {
    size_t size; /* sizeof(wsgi_option_info) of the library */
    int number;  /* wsgi_option; 0 for an option of a program of its own */
    wsgi_option_kind kind;
    const char *name;     /* "keep-alive" */
    const char *aliases;  /* "keepalive-timeout keepalive", or "" */
    const char *group;    /* "time": one word, for headings */
    const char *argument; /* "SECONDS", or "" for a boolean */
    const char *help;     /* one sentence, no full stop */
    const char *initial;  /* the default as text, "" for none */
    int64_t min, max;     /* of a number, in the unit of its kind */
} wsgi_option_info;

/* The options in the order of the manual: NULL gives the first, the last gives
 * NULL. */
WSGI_API const wsgi_option_info *
wsgi_option_next(const wsgi_option_info *previous);

/* The option of that name or alias, or NULL. */
WSGI_API const wsgi_option_info *wsgi_option_find(const char *name);

/* How far a name as it was typed is from one that there is, for "did you
 * mean": letters to add, drop, change or swap with their neighbour, where the
 * beginning of a name is 1 away from it.  -1 when more than one letter in three
 * is wrong: past that a suggestion only misleads. */
WSGI_API int wsgi_option_distance(const char *typed, const char *name);

/* Reads a value as wsgi_server_set_text() does, for programs whose own options
 * are wsgi_option_info too.  `value`, which may be NULL, is not touched by a
 * string: that is only checked.  WSGI_ERR_INVALID: `error` (of error_size
 * bytes, 0 for none) then says what was expected, with the range. */
WSGI_API int wsgi_option_parse(const wsgi_option_info *option,
                               const char *text, int64_t *value, char *error,
                               size_t error_size);

/* ---- Watching ----------------------------------------------------------- */

typedef enum wsgi_monitor {
    /* /metrics in Prometheus' text format; /health, 200 or 503; and
     * /health/live. */
    WSGI_MONITOR_METRICS = 0,
    /* The same, and /status: a table with what each thread is doing, request
     * lines included.  A Unix socket then has mode 0600. */
    WSGI_MONITOR_CONTROL = 1
} wsgi_monitor;

/* Adds an address, written as for wsgi_server_bind(), at which the server tells
 * over HTTP how it is: from its loop, while the application is busy.  One of
 * each kind.  WSGI_ERR_ADDRESS, WSGI_ERR_BIND; WSGI_ERR_STATE for a second
 * one. */
WSGI_API int wsgi_server_bind_monitor(wsgi_server *server, wsgi_monitor what,
                                      const char *address);

/* The address that was bound, or NULL. */
WSGI_API const char *wsgi_server_monitor_address(const wsgi_server *server,
                                                 wsgi_monitor what);

/* ---- Logging ------------------------------------------------------------ */

typedef enum wsgi_log_level {
    WSGI_LOG_ERROR = 0,
    WSGI_LOG_WARNING = 1,
    WSGI_LOG_INFO = 2,
    WSGI_LOG_DEBUG = 3
} wsgi_log_level;

/* One entry without its final newline; an entry with a traceback has several
 * lines.  Bytes that came from a client are escaped.  Log callbacks run on any
 * thread of the server, with or without the GIL, and must not call back into
 * the server other than wsgi_server_stop(). */
typedef void (*wsgi_log_cb)(void *user, wsgi_log_level level,
                            const char *entry);

/* Messages up to `level` go to `cb`; NULL restores the default, stderr.  At any
 * time but while the server is being served. */
WSGI_API void wsgi_server_set_log(wsgi_server *server, wsgi_log_level level,
                                  wsgi_log_cb cb, void *user);

/* One answered request.  Grows at the end only: a field is there when
 * offsetof(wsgi_access, field) < access->size.  Pointers are valid during the
 * callback; missing values are "".  Bytes are as received: escape them. */
typedef struct wsgi_access {
    size_t size;
    const char *remote; /* "192.0.2.7:51000", "unix:" */
    const char *method;
    const char *target;   /* as received */
    const char *path;     /* of the target, without query */
    const char *query;    /* without the question mark */
    const char *protocol; /* "HTTP/1.1" */
    const char *referer;
    const char *user_agent;
    int status;           /* 499: the client left before the answer */
    uint64_t body_bytes;  /* sent after the response head */
    uint64_t duration_us; /* first byte received to last byte sent */
    const void *internal; /* for wsgi_access_header() */
} wsgi_access;

typedef void (*wsgi_access_cb)(void *user, const wsgi_access *access);

/* Called once per answered request; NULL (the default) logs none.  To be set
 * before the server is started. */
WSGI_API void wsgi_server_set_access_log(wsgi_server *server,
                                         wsgi_access_cb cb, void *user);

typedef enum wsgi_header_of {
    WSGI_HEADER_REQUEST = 0,
    WSGI_HEADER_RESPONSE = 1
} wsgi_header_of;

/* Within the access callback: copies the value of a header field, the name in
 * any case, to `value` and ends it with a NUL.  Returns its full length, which
 * may be past size - 1, or -1 if there is no such field. */
WSGI_API int64_t wsgi_access_header(const wsgi_access *access,
                                    wsgi_header_of of, const char *name,
                                    char *value, size_t size);

typedef enum wsgi_trace_kind {
    WSGI_TRACE_TEXT = 0, /* what happens to the connection, readable text */
    WSGI_TRACE_REQUEST_HEAD = 1,
    WSGI_TRACE_REQUEST_BODY = 2,
    WSGI_TRACE_RESPONSE_HEAD = 3,
    WSGI_TRACE_RESPONSE_BODY = 4
} wsgi_trace_kind;

/* Everything that passes over connections, numbered from 1; body bytes without
 * their framing, files of sendfile not at all (a TEXT tells their length).  For
 * debugging: the bytes are as on the wire.  To be set before the server is
 * started; NULL (the default) traces nothing. */
typedef void (*wsgi_trace_cb)(void *user, wsgi_trace_kind kind,
                              uint64_t connection, const char *data,
                              size_t len);
WSGI_API void wsgi_server_set_trace(wsgi_server *server, wsgi_trace_cb cb,
                                    void *user);

/* ---- Serving: libwsgi runs the event loop ------------------------------- */

/* Initialises Python if nobody has and imports the application.  Optional:
 * serve and start do it too.  Call it to see import errors early. */
WSGI_API int wsgi_server_load(wsgi_server *server);

/* Loads, listens and serves until wsgi_server_stop(); returns WSGI_OK once
 * drained.  If the calling thread holds the GIL it is released meanwhile. */
WSGI_API int wsgi_server_serve(wsgi_server *server);

typedef enum wsgi_stop {
    WSGI_STOP_DRAIN = 0, /* accept no more, finish requests under way */
    WSGI_STOP_NOW = 1    /* close every connection */
} wsgi_stop;

/* Asks the server to stop and returns at once.  Async-signal-safe and
 * thread-safe; repeating it is harmless, and NOW overtakes DRAIN. */
WSGI_API void wsgi_server_stop(wsgi_server *server, wsgi_stop how);

/* Called on a thread of the server's when it has stopped, but for a call of the
 * application that does not end and keeps wsgi_server_serve() from returning,
 * because it runs on the same thread.  An exception was raised in it two seconds
 * ago.  There is nothing left to do but to end the process, which a program may
 * do from here; if it does not, wsgi_server_serve() returns with the call.  To
 * be set before the server is started; NULL (the default) for nothing. */
typedef void (*wsgi_stuck_cb)(void *user);
WSGI_API void wsgi_server_set_stuck(wsgi_server *server, wsgi_stuck_cb cb,
                                    void *user);

/* ---- Serving: your own event loop --------------------------------------- */

/* Loads and listens without serving: what wsgi_server_serve() does first. */
WSGI_API int wsgi_server_start(wsgi_server *server);

/* The one descriptor to watch for readability, level-triggered, once started.
 * It covers sockets, timers, finished calls of the application and
 * wsgi_server_stop(), so no timeout needs to be asked for.  -1 before start, and with the poll back end.  Do not read from it
 * or close it. */
WSGI_API int wsgi_server_fd(const wsgi_server *server);

/* Does what is due, waiting for it at most timeout_ms (0: not at all, -1: for
 * ever).  Returns WSGI_OK to be called again, WSGI_STOPPED when the server has
 * stopped and drained.  Never waits for the application, which runs on threads
 * of the server: a host that holds the GIL has to give it back while it waits
 * for the descriptor. */
WSGI_API int wsgi_server_dispatch(wsgi_server *server, int timeout_ms);

/* ---- Version ------------------------------------------------------------ */

/* The library in use, which may be newer than the header compiled against. */
WSGI_API const char *wsgi_version(void);  /* like WSGI_VERSION */
WSGI_API uint32_t wsgi_version_num(void); /* like WSGI_VERSION_NUM */

#ifdef __cplusplus
}
#endif

#endif /* WSGI_WSGI_H */
