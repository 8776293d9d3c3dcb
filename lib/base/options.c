#include "base/options.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/macros.h"
#include "base/mem.h"

/* Longer than any sentence that is made here. */
#define MESSAGE_MAX 384

/* ---- The table ---------------------------------------------------------- */

#define SIZE sizeof(wsgi_option_info)
#define DAY (INT64_C(24) * 60 * 60 * 1000)
#define KIB INT64_C(1024)
#define GIB (KIB * KIB * KIB)

/* The default of an option is the text of its row, which is parsed as a
 * user's would be: it stands here and nowhere else.  The names are gunicorn's
 * where gunicorn has the option, underscore and all. */
static const wsgi_option_info table[] = {
    { SIZE, WSGI_OPT_BACKLOG, WSGI_KIND_INT, "backlog", "", "listening",
      "NUMBER", "Connections the kernel queues before they are accepted",
      "2048", 1, 65535 },
    { SIZE, WSGI_OPT_SOCKET_MODE, WSGI_KIND_MODE, "socket-mode", "",
      "listening", "MODE", "Permissions of a Unix socket, in octal", "0666", 0,
      0777 },
    { SIZE, WSGI_OPT_REUSE_PORT, WSGI_KIND_BOOL, "reuse-port", "", "listening",
      "", "Set SO_REUSEPORT on TCP sockets", "no", 0, 1 },

    { SIZE, WSGI_OPT_THREADS, WSGI_KIND_INT, "threads", "", "running",
      "NUMBER", "Calls of the application at once", "4", 1, 1024 },
    { SIZE, WSGI_OPT_WORKER_CONNECTIONS, WSGI_KIND_INT, "worker-connections",
      "", "running", "NUMBER",
      "Connections open at once, past which accepting pauses", "1000", 0,
      1000000 },
    { SIZE, WSGI_OPT_MULTIPROCESS, WSGI_KIND_BOOL, "multiprocess", "",
      "running", "", "Tell the application that other processes serve it too",
      "no", 0, 1 },
    { SIZE, WSGI_OPT_MAX_REQUESTS, WSGI_KIND_INT, "max-requests", "",
      "running", "NUMBER",
      "Requests after which another worker takes the place of one; 0 is no "
      "limit",
      "0", 0, INT32_MAX },
    { SIZE, WSGI_OPT_MAX_REQUESTS_JITTER, WSGI_KIND_INT, "max-requests-jitter",
      "", "running", "NUMBER",
      "At most so many requests more, by chance, so that workers are not all "
      "replaced at once",
      "0", 0, INT32_MAX },
    { SIZE, WSGI_OPT_MAX_LIFETIME, WSGI_KIND_DURATION, "max-lifetime", "",
      "running", "SECONDS",
      "Age at which another worker takes the place of one; 0 is no limit", "0",
      0, 365 * DAY },
    { SIZE, WSGI_OPT_MAX_MEMORY, WSGI_KIND_SIZE, "max-memory", "", "running",
      "BYTES",
      "Resident memory at which another worker takes the place of one; 0 is "
      "no limit",
      "0", 0, KIB *GIB },
    { SIZE, WSGI_OPT_SENDFILE, WSGI_KIND_BOOL, "sendfile", "", "running", "",
      "Send the files of wsgi.file_wrapper from the kernel", "yes", 0, 1 },

    { SIZE, WSGI_OPT_QUEUE_SIZE, WSGI_KIND_INT, "queue-size", "", "running",
      "NUMBER", "Requests that wait for a thread; one more is answered 503",
      "0", 0, 1000000 },

    { SIZE, WSGI_OPT_TIMEOUT, WSGI_KIND_DURATION, "timeout", "", "time",
      "SECONDS",
      "Time for the application to give something; then 504, and the log has "
      "its stack",
      "30", 0, DAY },
    { SIZE, WSGI_OPT_SLOW_REQUEST, WSGI_KIND_DURATION, "slow-request", "",
      "time", "SECONDS", "Log the stack of a request that runs for so long",
      "0", 0, DAY },
    { SIZE, WSGI_OPT_QUEUE_TIMEOUT, WSGI_KIND_DURATION, "queue-timeout", "",
      "time", "SECONDS", "Time for a request to wait for a thread; then 503",
      "30", 0, DAY },
    { SIZE, WSGI_OPT_HEADER_TIMEOUT, WSGI_KIND_DURATION, "header-timeout", "",
      "time", "SECONDS", "Time to receive a whole request head", "15", 0,
      DAY },
    { SIZE, WSGI_OPT_BODY_TIMEOUT, WSGI_KIND_DURATION, "body-timeout", "",
      "time", "SECONDS", "Time between two reads of a request body", "30", 0,
      DAY },
    { SIZE, WSGI_OPT_MIN_BODY_RATE, WSGI_KIND_SIZE, "min-body-rate", "",
      "time", "BYTES",
      "Bytes a second that a request body brings on average, once it has "
      "taken "
      "the body timeout",
      "240", 0, GIB },
    { SIZE, WSGI_OPT_WRITE_TIMEOUT, WSGI_KIND_DURATION, "write-timeout", "",
      "time", "SECONDS", "Time in which a write must make progress", "60", 0,
      DAY },
    { SIZE, WSGI_OPT_KEEP_ALIVE, WSGI_KIND_DURATION, "keep-alive",
      "keepalive keepalive-timeout", "time", "SECONDS",
      "Idle time between two requests; 0 closes after each response", "75", 0,
      DAY },
    { SIZE, WSGI_OPT_GRACEFUL_TIMEOUT, WSGI_KIND_DURATION, "graceful-timeout",
      "", "time", "SECONDS",
      "Time for requests under way to finish when the server stops", "30", 0,
      DAY },

    { SIZE, WSGI_OPT_DRAIN_DELAY, WSGI_KIND_DURATION, "drain-delay", "",
      "time", "SECONDS",
      "Time to go on accepting connections when the server stops, for load "
      "balancers to notice",
      "0", 0, DAY },

    /* The ceilings of a head are the parser's. */
    { SIZE, WSGI_OPT_LIMIT_REQUEST_LINE, WSGI_KIND_SIZE, "limit-request-line",
      "", "limits", "BYTES", "Length of the request line", "8190", 0,
      256 * KIB },
    { SIZE, WSGI_OPT_LIMIT_REQUEST_FIELDS, WSGI_KIND_INT,
      "limit-request-fields", "", "limits", "NUMBER",
      "Number of header fields in a request", "100", 0, 2000 },
    { SIZE, WSGI_OPT_LIMIT_REQUEST_FIELD_SIZE, WSGI_KIND_SIZE,
      "limit-request-field-size", "limit-request-field_size", "limits",
      "BYTES", "Length of one header field", "8190", 0, 256 * KIB },
    { SIZE, WSGI_OPT_LIMIT_REQUEST_BODY, WSGI_KIND_SIZE, "limit-request-body",
      "", "limits", "BYTES", "Length of a request body", "1G", 0,
      KIB *KIB *GIB },
    { SIZE, WSGI_OPT_BODY_SPOOL_SIZE, WSGI_KIND_SIZE, "body-spool-size", "",
      "limits", "BYTES",
      "Request body kept in memory; a larger one goes to a temporary file",
      "512k", 0, GIB },
    { SIZE, WSGI_OPT_OUTPUT_HIGH_WATER, WSGI_KIND_SIZE, "output-high-water",
      "", "limits", "BYTES",
      "Unsent response bytes at which the application is paused", "256k", 1,
      GIB },

    { SIZE, WSGI_OPT_FACTORY, WSGI_KIND_BOOL, "factory", "", "application", "",
      "Call the callable to get the application", "no", 0, 1 },
    { SIZE, WSGI_OPT_ROOT_PATH, WSGI_KIND_STRING, "root-path", "script-name",
      "application", "PATH", "Path the application is mounted at", "", 0, 0 },

    { SIZE, WSGI_OPT_SERVER_HEADER, WSGI_KIND_STRING, "server-header", "",
      "operations", "TEXT",
      "Value of the Server field and of SERVER_SOFTWARE; empty sends none",
      "libwsgi", 0, 0 },
    { SIZE, WSGI_OPT_HEALTH_PATH, WSGI_KIND_STRING, "health-path", "",
      "operations", "PATH",
      "Path at which the server itself tells whether it is ready, and below "
      "it at /live whether it lives",
      "", 0, 0 },
};

const wsgi_option_info *
wsgi_option_next(const wsgi_option_info *previous)
{
    if (!previous)
        return table;
    return previous + 1 < table + WSGI__COUNT(table) ? previous + 1 : NULL;
}

static const wsgi_option_info *
by_number(int number)
{
    for (size_t i = 0; i < WSGI__COUNT(table); i++)
        if (table[i].number == number)
            return &table[i];
    return NULL;
}

/* ---- Values ------------------------------------------------------------- */

void
wsgi__options_init(wsgi__options *options)
{
    *options = (wsgi__options){ .ints = { 0 } };
    for (size_t i = 0; i < WSGI__COUNT(table); i++) {
        if (table[i].kind == WSGI_KIND_STRING)
            continue;
        int status =
            wsgi_option_parse(&table[i], table[i].initial,
                              &options->ints[table[i].number], NULL, 0);
        assert(status == WSGI_OK);
        (void)status;
    }
}

void
wsgi__options_free(wsgi__options *options)
{
    for (size_t i = 0; i < WSGI__N_STRINGS; i++) {
        wsgi__mem_free(options->strings[i]);
        options->strings[i] = NULL;
    }
}

/* The message is the best we can do: without memory for it there is none. */
static int
fail(wsgi__buf *error, int status, const char *message)
{
    wsgi__buf_reset(error);
    (void)wsgi__buf_puts(error, message);
    return status;
}

/* The row of an option whose kind fits, or NULL with the message set. */
static const wsgi_option_info *
row_for(int number, bool is_string, wsgi__buf *error)
{
    char message[MESSAGE_MAX];
    const wsgi_option_info *row = by_number(number);

    if (row && (row->kind == WSGI_KIND_STRING) == is_string)
        return row;
    if (row)
        snprintf(message, sizeof(message), "%s takes %s", row->name,
                 is_string ? "a number, not text" : "text, not a number");
    else
        snprintf(message, sizeof(message),
                 "there is no option number %d in libwsgi " WSGI_VERSION,
                 number);
    fail(error, WSGI_ERR_OPTION, message);
    return NULL;
}

/* The range in the unit of a caller who wrote a number, not text. */
static int
refuse_int(const wsgi_option_info *row, int64_t value, wsgi__buf *error)
{
    char message[MESSAGE_MAX];
    const char *unit = row->kind == WSGI_KIND_DURATION ? " milliseconds"
                       : row->kind == WSGI_KIND_SIZE   ? " bytes"
                                                       : "";

    if (row->kind == WSGI_KIND_MODE)
        snprintf(message, sizeof(message),
                 "%s cannot be %" PRId64 ": expected 0 to %#" PRIo64,
                 row->name, value, (uint64_t)row->max);
    else
        snprintf(message, sizeof(message),
                 "%s cannot be %" PRId64 ": expected %" PRId64 " to %" PRId64
                 "%s",
                 row->name, value, row->min, row->max, unit);
    return fail(error, WSGI_ERR_INVALID, message);
}

int
wsgi__options_set_int(wsgi__options *options, int number, int64_t value,
                      wsgi__buf *error)
{
    const wsgi_option_info *row = row_for(number, false, error);

    if (!row)
        return WSGI_ERR_OPTION;
    if (value < row->min || value > row->max)
        return refuse_int(row, value, error);
    options->ints[number] = value;
    return WSGI_OK;
}

int
wsgi__options_set_str(wsgi__options *options, int number, const char *value,
                      wsgi__buf *error)
{
    char message[MESSAGE_MAX];
    const wsgi_option_info *row = row_for(number, true, error);

    if (!row)
        return WSGI_ERR_OPTION;
    if (!value)
        return fail(error, WSGI_ERR_INVALID, "the value of an option is NULL");
    if (wsgi_option_parse(row, value, NULL, message, sizeof(message)) < 0)
        return fail(error, WSGI_ERR_INVALID, message);
    char *copy = wsgi__mem_strdup(value);
    if (!copy)
        return fail(error, WSGI_ERR_NOMEM, wsgi_strerror(WSGI_ERR_NOMEM));
    wsgi__mem_free(options->strings[number - WSGI__FIRST_STRING]);
    options->strings[number - WSGI__FIRST_STRING] = copy;
    return WSGI_OK;
}

static int
refuse_name(const char *name, wsgi__buf *error)
{
    char message[MESSAGE_MAX], quoted[WSGI__OPTION_QUOTED];
    wsgi__span meant = wsgi__option_meant(name);

    wsgi__quote(quoted, sizeof(quoted), name);
    if (meant.len)
        snprintf(message, sizeof(message),
                 "there is no option %s: did you mean %.*s?", quoted,
                 (int)meant.len, meant.ptr);
    else
        snprintf(message, sizeof(message), "there is no option %s", quoted);
    return fail(error, WSGI_ERR_OPTION, message);
}

int
wsgi__options_set_text(wsgi__options *options, const char *name,
                       const char *value, wsgi__buf *error)
{
    char message[MESSAGE_MAX];

    if (!name || !value)
        return fail(error, WSGI_ERR_INVALID,
                    "the name or value of an option is NULL");
    const wsgi_option_info *row = wsgi_option_find(name);
    if (!row)
        return refuse_name(name, error);
    if (row->kind == WSGI_KIND_STRING)
        return wsgi__options_set_str(options, row->number, value, error);
    if (wsgi_option_parse(row, value, &options->ints[row->number], message,
                          sizeof(message)) < 0)
        return fail(error, WSGI_ERR_INVALID, message);
    return WSGI_OK;
}

const char *
wsgi__options_str(const wsgi__options *options, wsgi_option number)
{
    const char *value = options->strings[number - WSGI__FIRST_STRING];
    if (value)
        return value;
    const wsgi_option_info *row = by_number((int)number);
    return row ? row->initial : "";
}
