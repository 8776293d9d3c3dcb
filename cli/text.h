/*
 * Text put together in memory of a fixed size.
 *
 * What does not fit is left out whole, and everything after it too: `cut` then
 * says so.  Always ends with a NUL.  Pure and async-signal-safe: it allocates
 * nothing and calls nothing, so log lines can be built in a signal handler.
 */
#ifndef WSGID_TEXT_H
#define WSGID_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct text {
    char *at;
    size_t len, size;
    bool cut;
} text;

/* size is at least 1. */
void text_init(text *out, char *memory, size_t size);

void text_put(text *out, const char *data, size_t len);
void text_puts(text *out, const char *string);

/* In decimal, with zeros in front up to `width` digits. */
void text_number(text *out, uint64_t number, size_t width);

/* The bytes with everything that could end or forge a line, or reach a
 * terminal, as \n, \r, \t, \\, \" or \xhh. */
void text_escape(text *out, const char *data, size_t len);

#endif
