#include "base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <wsgi/wsgi.h>

#include "base/mem.h"

#define FIRST_CAPACITY 256

void
wsgi__buf_init(wsgi__buf *buf, size_t max)
{
    *buf = (wsgi__buf){ .max = max };
}

void
wsgi__buf_free(wsgi__buf *buf)
{
    wsgi__mem_free(buf->data);
    buf->data = NULL;
    buf->len = buf->cap = 0;
}

/* Doubles, so that many small appends cost what one large one does. */
static size_t
grown_capacity(const wsgi__buf *buf, size_t need)
{
    size_t cap = buf->cap > SIZE_MAX / 2 ? need : buf->cap * 2;
    if (cap < FIRST_CAPACITY)
        cap = FIRST_CAPACITY;
    if (cap < need)
        cap = need;
    return cap < buf->max ? cap : buf->max;
}

int
wsgi__buf_reserve(wsgi__buf *buf, size_t more)
{
    if (more <= buf->cap - buf->len)
        return WSGI_OK;
    if (buf->len > buf->max || more > buf->max - buf->len)
        return WSGI_ERR_NOMEM;
    size_t cap = grown_capacity(buf, buf->len + more);
    if (cap == SIZE_MAX)
        return WSGI_ERR_NOMEM;
    /* One byte more, for the NUL of wsgi__buf_str() and of vsnprintf(). */
    char *data = wsgi__mem_resize(buf->data, cap + 1);
    if (!data)
        return WSGI_ERR_NOMEM;
    buf->data = data;
    buf->cap = cap;
    return WSGI_OK;
}

int
wsgi__buf_append(wsgi__buf *buf, const void *data, size_t len)
{
    if (len == 0)
        return WSGI_OK;
    int status = wsgi__buf_reserve(buf, len);
    if (status < 0)
        return status;
    memcpy(buf->data + buf->len, data, len);
    buf->len += len;
    return WSGI_OK;
}

int
wsgi__buf_puts(wsgi__buf *buf, const char *text)
{
    return wsgi__buf_append(buf, text, strlen(text));
}

int
wsgi__buf_printf(wsgi__buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len <= 0)
        return len < 0 ? WSGI_ERR_INVALID : WSGI_OK;
    int status = wsgi__buf_reserve(buf, (size_t)len);
    if (status < 0)
        return status;
    va_start(args, format);
    vsnprintf(buf->data + buf->len, (size_t)len + 1, format, args);
    va_end(args);
    buf->len += (size_t)len;
    return WSGI_OK;
}

size_t
wsgi__escape_byte(char out[WSGI__ESCAPED_MAX], unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    static const char *const short_forms = "\nn\rr\tt\\\\";

    if (c >= 0x20 && c < 0x7f && c != '\\') {
        out[0] = (char)c;
        return 1;
    }
    out[0] = '\\';
    for (const char *form = short_forms; *form; form += 2)
        if ((char)c == form[0]) {
            out[1] = form[1];
            return 2;
        }
    out[1] = 'x';
    out[2] = hex[c >> 4];
    out[3] = hex[c & 15];
    return 4;
}

int
wsgi__buf_escape(wsgi__buf *buf, wsgi__span bytes)
{
    size_t before = buf->len;
    for (size_t i = 0; i < bytes.len; i++) {
        char out[WSGI__ESCAPED_MAX];
        size_t len = wsgi__escape_byte(out, (unsigned char)bytes.ptr[i]);
        if (wsgi__buf_append(buf, out, len) < 0) {
            buf->len = before;
            return WSGI_ERR_NOMEM;
        }
    }
    return WSGI_OK;
}

void
wsgi__quote(char *out, size_t size, const char *text)
{
    static const char cut[] = "...\"";
    size_t len = 1, safe = 1; /* up to safe there is room for the cut */

    assert(size >= 16);
    out[0] = '"';
    for (; *text; text++) {
        char escaped[WSGI__ESCAPED_MAX];
        size_t n = wsgi__escape_byte(escaped, (unsigned char)*text);
        if (len + n + sizeof("\"") > size) {
            memcpy(out + safe, cut, sizeof(cut));
            return;
        }
        memcpy(out + len, escaped, n);
        len += n;
        if (len + sizeof(cut) <= size)
            safe = len;
    }
    out[len++] = '"';
    out[len] = '\0';
}

void
wsgi__buf_consume(wsgi__buf *buf, size_t len)
{
    assert(len <= buf->len);
    buf->len -= len;
    if (buf->len)
        memmove(buf->data, buf->data + len, buf->len);
}

const char *
wsgi__buf_str(wsgi__buf *buf)
{
    if (!buf->data)
        return "";
    buf->data[buf->len] = '\0';
    return buf->data;
}
