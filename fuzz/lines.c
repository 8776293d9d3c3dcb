/* Inputs made of lines, so that seeds can be read and written by hand; and
 * what the bytes in them are. */
#include "fuzz.h"

static bool
is_in(char c, const char *set)
{
    return c != '\0' && strchr(set, c);
}

bool
fuzz_is(char c, fuzz_kind kind)
{
    unsigned char byte = (unsigned char)c;

    switch (kind) {
    case FUZZ_TOKEN: /* RFC 9110 5.6.2 */
        return is_in(c, "!#$%&'*+-.^_`|~0123456789"
                        "abcdefghijklmnopqrstuvwxyz"
                        "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    case FUZZ_VISIBLE:
        return byte > 0x20 && byte < 0x7f;
    case FUZZ_VALUE: /* RFC 9110 5.5 */
        return c == '\t' || (byte >= 0x20 && byte != 0x7f);
    case FUZZ_HEX:
        return is_in(c, "0123456789abcdefABCDEF");
    }
    return false;
}

int
fuzz_hex_value(char digit)
{
    if (digit <= '9')
        return digit - '0';
    return digit - (digit >= 'a' ? 'a' : 'A') + 10;
}

bool
fuzz_line(wsgi__span *rest, wsgi__span *line)
{
    if (rest->len == 0)
        return false;
    const char *end = memchr(rest->ptr, '\n', rest->len);
    line->ptr = rest->ptr;
    line->len = end ? (size_t)(end - rest->ptr) : rest->len;
    size_t used = line->len + (end != NULL);
    *rest = (wsgi__span){ rest->ptr + used, rest->len - used };
    return true;
}

static void
skip(wsgi__span *line)
{
    line->ptr++;
    line->len--;
}

static void
skip_blanks(wsgi__span *line)
{
    while (line->len && *line->ptr == ' ')
        skip(line);
}

int64_t
fuzz_number(wsgi__span *line, int64_t initial, int64_t most)
{
    int64_t sum = 0;

    skip_blanks(line);
    if (!line->len || *line->ptr < '0' || *line->ptr > '9')
        return initial;
    for (; line->len && *line->ptr >= '0' && *line->ptr <= '9'; skip(line))
        if (sum <= most)
            sum = sum > (INT64_MAX - 9) / 10 ? most
                                             : sum * 10 + (*line->ptr - '0');
    return sum < most ? sum : most;
}

char
fuzz_letter(wsgi__span *line, char initial)
{
    skip_blanks(line);
    if (!line->len)
        return initial;
    char letter = *line->ptr;
    skip(line);
    return letter;
}

static bool
is_hex(wsgi__span text, size_t at)
{
    return at < text.len && fuzz_is(text.ptr[at], FUZZ_HEX);
}

static int
hex_of(wsgi__span text, size_t at)
{
    return fuzz_hex_value(text.ptr[at]);
}

/* The byte of the escape at `at`; *len is what it took. */
static char
escaped(wsgi__span text, size_t at, size_t *len)
{
    static const char letters[] = "rnt0\\", bytes[] = "\r\n\t\0\\";
    const char *letter = NULL;

    *len = 1;
    if (text.ptr[at] != '\\' || at + 1 >= text.len)
        return text.ptr[at];
    if (text.ptr[at + 1] == 'x' && is_hex(text, at + 2) &&
        is_hex(text, at + 3)) {
        *len = 4;
        return (char)(hex_of(text, at + 2) << 4 | hex_of(text, at + 3));
    }
    if (text.ptr[at + 1])
        letter = strchr(letters, text.ptr[at + 1]);
    if (!letter)
        return text.ptr[at];
    *len = 2;
    return bytes[letter - letters];
}

void
fuzz_unescape(wsgi__span text, wsgi__buf *out)
{
    size_t len;

    for (size_t at = 0; at < text.len; at += len) {
        char byte = escaped(text, at, &len);
        wsgi__buf_append(out, &byte, 1);
    }
}

void
fuzz_check_sentence(wsgi__span text)
{
    FUZZ_CHECK(text.len > 0, "an empty message");
    for (size_t i = 0; i < text.len; i++)
        FUZZ_CHECK((unsigned char)text.ptr[i] >= 0x20 && text.ptr[i] != 0x7f,
                   "control byte in a message: %.*s", FUZZ_SPAN(text));
}
