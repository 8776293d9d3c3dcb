/*
 * The command line as data.
 *
 * Two tables make it up: the library's options, which wsgi_option_next() tells,
 * and wsgid's own, which args_own.c has.  The library's are checked and collected
 * here: wsgi_server_set_text() takes their values.  No side effects.
 */
#ifndef WSGID_ARGS_H
#define WSGID_ARGS_H

#include <stdbool.h>

#include <wsgi/wsgi.h>

#include "text.h"

typedef enum args_action {
    ARGS_SERVE = 0,
    ARGS_CHECK_APP,
    ARGS_HELP,
    ARGS_VERSION,
    ARGS_STATUS
} args_action;

typedef struct args_list {
    const char **items;
    size_t n;
} args_list;

/* Strings point into argv; NULL where an option was not given. */
typedef struct args {
    args_action action;
    const char *app;
    args_list binds;
    args_list env; /* NAME=VALUE, checked */
    args_list reload_files;
    args_list names;  /* options of the library, and ... */
    args_list values; /* ... their values, in the order given */
    const char *chdir, *pythonpath, *venv;
    const char *access_logfile, *access_logformat, *error_logfile;
    const char *pid, *user, *group, *name;
    const char *metrics_bind, *control_socket;
    const char *workers;       /* args_read_workers() reads it */
    int64_t heartbeat_timeout; /* milliseconds; -1: by the other limits */
    int64_t umask;             /* -1: as it is */
    wsgi_log_level log_level;
    bool trace, preload, daemon, reload;
} args;

typedef struct args_option args_option;

/* Takes the value; false with a sentence in `error`. */
typedef bool (*args_take)(args *into, const args_option *option,
                          const char *value, text *error);

/* A row of wsgid's own table. */
struct args_option {
    wsgi_option_info info;
    char letter; /* "-b", or 0 */
    args_take take;
    size_t field; /* of struct args, where `take` puts it */
};

/* wsgid's own options in the order of the manual; NULL after the last. */
const args_option *args_option_next(const args_option *previous);

/* For args_own.c: appends; there is room for as many items as there are
 * arguments. */
void args_list_add(args_list *list, const char *item);

/* For args_own.c: reads a value as wsgi_option_parse() does; `number` may be NULL.
 * False with a sentence about "--name" in `error`. */
bool args_read_value(const wsgi_option_info *info, const char *value,
                     int64_t *number, text *error);

/* "4", or "auto", which is as many as there are CPUs to use.  false: neither. */
bool args_read_workers(const char *value, unsigned *workers);

/* What a number of the library's options is, by the last value given, or its
 * default.  The values have been checked. */
int64_t args_number(const args *from, const char *name);

/* 0, or 2 (the exit code of a wrong command line) with a sentence in `error`.
 * --help and --version end the reading: what follows them is not looked at.
 * Release with args_free() in either case. */
int args_parse(args *into, int argc, char *const *argv, text *error);
void args_free(args *into);

#endif
