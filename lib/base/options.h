/*
 * The one table of options, and values that follow it.
 *
 * Everything that is to be known about an option stands in one row of
 * options.c: defaults, ranges, help and the manual come from there.
 */
#ifndef WSGI_BASE_OPTIONS_H
#define WSGI_BASE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include <wsgi/wsgi.h>

#include "base/buf.h"

#define WSGI__N_INTS 32   /* numbers 0 to 31 are integers */
#define WSGI__N_STRINGS 8 /* numbers 100 to 107 are strings */
#define WSGI__FIRST_STRING 100

typedef struct wsgi__options {
    int64_t ints[WSGI__N_INTS];
    char *strings[WSGI__N_STRINGS]; /* NULL: the default */
} wsgi__options;

/* Every option at its default. */
void wsgi__options_init(wsgi__options *options);
void wsgi__options_free(wsgi__options *options);

/* WSGI_ERR_OPTION, WSGI_ERR_INVALID, WSGI_ERR_NOMEM; `error` then has a
 * sentence for the user. */
int wsgi__options_set_int(wsgi__options *options, int number, int64_t value,
                          wsgi__buf *error);
int wsgi__options_set_str(wsgi__options *options, int number,
                          const char *value, wsgi__buf *error);
int wsgi__options_set_text(wsgi__options *options, const char *name,
                           const char *value, wsgi__buf *error);

static inline int64_t
wsgi__options_int(const wsgi__options *options, wsgi_option number)
{
    return options->ints[number];
}

/* Never NULL. */
const char *wsgi__options_str(const wsgi__options *options,
                              wsgi_option number);

#endif
