/*
 * What the fuzz targets share.  A target is one file with one function, built
 * twice: with libFuzzer, and with replay.c, which runs it over files.
 *
 * A target ends the process where what it asserts does not hold.
 */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <wsgi/wsgi.h>

#include "base/buf.h"
#include "base/span.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Not assert(): stays in every build, and says the values. */
#define FUZZ_CHECK(holds, ...)                                                \
    do {                                                                      \
        if (!(holds)) {                                                       \
            fprintf(stderr, "%s:%d: not true: %s: ", __FILE__, __LINE__,      \
                    #holds);                                                  \
            fprintf(stderr, __VA_ARGS__);                                     \
            fputc('\n', stderr);                                              \
            abort();                                                          \
        }                                                                     \
    } while (0)

/* For "%.*s" */
#define FUZZ_SPAN(span) (int)(span).len, (span).ptr ? (span).ptr : ""

/* ---- Bytes of HTTP -------------------------------------------------------- */

/* The kinds of http/chars.h, written down once more: a target that looked them
 * up in the library's table would believe its mistakes. */
typedef enum fuzz_kind {
    FUZZ_TOKEN,
    FUZZ_VISIBLE,
    FUZZ_VALUE,
    FUZZ_HEX
} fuzz_kind;

bool fuzz_is(char c, fuzz_kind kind);
int fuzz_hex_value(char digit);

/* ---- Inputs made of lines ------------------------------------------------ */

static inline wsgi__span
fuzz_input(const uint8_t *data, size_t size)
{
    return (wsgi__span){ size ? (const char *)data : "", size };
}

/* The content, of which pointers may be made though it be empty. */
static inline wsgi__span
fuzz_buf(const wsgi__buf *buf)
{
    return (wsgi__span){ buf->len ? buf->data : "", buf->len };
}

/* Cuts the next line off, which ends at LF or at the end of the input; false
 * when nothing is left. */
bool fuzz_line(wsgi__span *rest, wsgi__span *line);

/* Cuts a decimal number and the blanks before it off; `initial` where there is
 * none, at most `most`. */
int64_t fuzz_number(wsgi__span *line, int64_t initial, int64_t most);

/* Cuts a letter and the blanks before it off, or gives `initial`. */
char fuzz_letter(wsgi__span *line, char initial);

/* Appends text with \r, \n, \t, \0, \\ and \xHH replaced by their byte; any
 * other backslash stays. */
void fuzz_unescape(wsgi__span text, wsgi__buf *out);

/* A sentence for a user or a log: not empty, one line, no control bytes. */
void fuzz_check_sentence(wsgi__span text);

#endif
