/*
 * The one table of options, and values that follow it.
 *
 * Everything that is to be known about an option stands in one row of
 * options.c: defaults, ranges, help and the manual come from there.  How text
 * is read is said in option_text.c, what names go for in option_name.c.  No I/O;
 * what an option means is the business of whoever asks for its value.
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

/* A value in a message, escaped, in quotes and cut to this. */
#define WSGI__OPTION_QUOTED 96

typedef struct wsgi__options {
    int64_t ints[WSGI__N_INTS];
    char *strings[WSGI__N_STRINGS]; /* NULL: the default */
} wsgi__options;

/* Every option at its default; allocates nothing. */
void wsgi__options_init(wsgi__options *options);
void wsgi__options_free(wsgi__options *options); /* twice is harmless */

/* WSGI_ERR_OPTION (none of that name or number, or of the other kind),
 * WSGI_ERR_INVALID, WSGI_ERR_NOMEM: the value is then as before, and the
 * content of `error` is replaced by a sentence for the user.  On success
 * `error` is not touched. */
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

/* Never NULL; valid until the option is set again. */
const char *wsgi__options_str(const wsgi__options *options,
                              wsgi_option number);

/* The name or alias that was probably meant by one that there is not, or the
 * empty span; see wsgi_option_distance(). */
wsgi__span wsgi__option_meant(const char *typed);

#endif
