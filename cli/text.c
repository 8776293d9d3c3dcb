#include "text.h"

#include <string.h>

void
text_init(text *out, char *memory, size_t size)
{
    *out = (text){ .at = memory, .size = size };
    memory[0] = '\0';
}

void
text_put(text *out, const char *data, size_t len)
{
    /* One byte is the NUL's. */
    if (out->cut || len >= out->size - out->len) {
        out->cut = true;
        return;
    }
    memcpy(out->at + out->len, data, len);
    out->len += len;
    out->at[out->len] = '\0';
}

void
text_puts(text *out, const char *string)
{
    text_put(out, string, strlen(string));
}

void
text_number(text *out, uint64_t number, size_t width)
{
    char digits[32];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    while (sizeof(digits) - at < width && at > 0)
        digits[--at] = '0';
    text_put(out, digits + at, sizeof(digits) - at);
}

/* The escape of one byte in `out` of five, or 0 when it stands for itself. */
static size_t
escape_of(unsigned char c, char *out)
{
    static const char hex[] = "0123456789abcdef";
    static const char plain[] = "\n\r\t\\\"";
    static const char names[] = "nrt\\\"";
    const char *named = c ? strchr(plain, c) : NULL;

    out[0] = '\\';
    if (named) {
        out[1] = names[named - plain];
        return 2;
    }
    if (c >= 0x20 && c < 0x7f)
        return 0;
    out[1] = 'x';
    out[2] = hex[c >> 4];
    out[3] = hex[c & 15];
    return 4;
}

void
text_escape(text *out, const char *data, size_t len)
{
    char escape[5];
    size_t from = 0;

    for (size_t i = 0; i < len && !out->cut; i++) {
        size_t n = escape_of((unsigned char)data[i], escape);
        if (n == 0)
            continue;
        text_put(out, data + from, i - from);
        text_put(out, escape, n);
        from = i + 1;
    }
    text_put(out, data + from, len - from);
}
