#include "answer.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

void
answer_begin(answer *a)
{
    *a = (answer){ .state = ANSWER_HEAD };
}

/* ---- Head --------------------------------------------------------------- */

/* Behind the next LF; NULL if there is none. */
static const char *
line_end(const char *data, const char *end)
{
    const char *lf = memchr(data, '\n', (size_t)(end - data));
    return lf ? lf + 1 : NULL;
}

static bool
is_blank(const char *line, const char *end)
{
    return end - line == 1 || (end - line == 2 && *line == '\r');
}

/* The value, or NULL if the line is no such field.  Lower-case prefix with its
 * colon. */
static const char *
value_of(const char *line, const char *end, const char *prefix)
{
    size_t len = strlen(prefix);

    if ((size_t)(end - line) < len || strncasecmp(line, prefix, len) != 0)
        return NULL;
    line += len;
    while (*line == ' ' || *line == '\t')
        line++;
    return line;
}

/* Only what tells where the answer ends. */
static void
read_field(answer *a, const char *line, const char *end)
{
    const char *value;

    if ((*line | 0x20) != 'c' && (*line | 0x20) != 't')
        return;
    if ((value = value_of(line, end, "content-length:"))) {
        a->left = strtoll(value, NULL, 10);
        a->state = ANSWER_LENGTH;
    } else if ((value = value_of(line, end, "transfer-encoding:"))) {
        if (strncasecmp(value, "chunked", 7) == 0)
            a->state = ANSWER_CHUNK_SIZE;
    } else if ((value = value_of(line, end, "connection:"))) {
        if (strncasecmp(value, "close", 5) == 0)
            a->close = true;
        else if (strncasecmp(value, "keep-alive", 10) == 0)
            a->close = false;
    }
}

/* "HTTP/1.1 200 OK": a server of 1.0 closes unless it says otherwise. */
static bool
read_status(answer *a, const char *line, const char *end)
{
    if (end - line < 14 || memcmp(line, "HTTP/1.", 7) != 0 || line[8] != ' ')
        return false;
    a->close = line[7] == '0';
    a->status = atoi(line + 9);
    return a->status >= 100;
}

/* RFC 9112 6.3: what comes without a length ends with the connection. */
static void
begin_body(answer *a)
{
    bool bodiless = a->status < 200 || a->status == 204 || a->status == 304;

    if (bodiless || (a->state == ANSWER_LENGTH && a->left == 0))
        a->state = ANSWER_OVER;
    if (a->state != ANSWER_HEAD)
        return;
    a->state = ANSWER_UNTIL_CLOSE;
    a->close = true;
}

/* Bytes of the head; 0 if its end has not come. */
static size_t
read_head(answer *a, const char *data, size_t len)
{
    const char *end = data + len;
    const char *line = data;
    const char *next = line_end(line, end);

    if (!next)
        return 0;
    answer_begin(a);
    if (!read_status(a, line, next)) {
        a->state = ANSWER_FAILED;
        return len;
    }
    for (line = next; (next = line_end(line, end)); line = next) {
        if (is_blank(line, next)) {
            begin_body(a);
            return (size_t)(next - data);
        }
        read_field(a, line, next);
    }
    answer_begin(a);
    return 0;
}

static void
remember(answer_cache *cache, const answer *a, const char *data, size_t len)
{
    if (len > sizeof(cache->head))
        return;
    memcpy(cache->head, data, len);
    cache->len = len;
    cache->framing = *a;
}

static size_t
feed_head(answer *a, answer_cache *cache, const char *data, size_t len)
{
    if (cache->len > 0 && len >= cache->len &&
        memcmp(data, cache->head, cache->len) == 0) {
        *a = cache->framing;
        return cache->len;
    }
    size_t used = read_head(a, data, len);
    if (used > 0 && a->state != ANSWER_FAILED)
        remember(cache, a, data, used);
    return used;
}

/* ---- Body --------------------------------------------------------------- */

static size_t
feed_length(answer *a, size_t len)
{
    if ((uint64_t)a->left < len)
        len = (size_t)a->left;
    a->left -= (int64_t)len;
    a->length += (int64_t)len;
    if (a->left == 0)
        a->state = ANSWER_OVER;
    return len;
}

static size_t
feed_chunk_size(answer *a, const char *data, size_t len)
{
    const char *next = line_end(data, data + len);
    char *digits_end;

    if (!next)
        return 0;
    a->left = strtoll(data, &digits_end, 16);
    if (digits_end == data || a->left < 0) {
        a->state = ANSWER_FAILED;
        return len;
    }
    a->length += a->left;
    a->state = a->left > 0 ? ANSWER_CHUNK : ANSWER_TRAILER;
    a->left += 2; /* the line end behind the data */
    return (size_t)(next - data);
}

static size_t
feed_chunk(answer *a, size_t len)
{
    if ((uint64_t)a->left < len)
        len = (size_t)a->left;
    a->left -= (int64_t)len;
    if (a->left == 0)
        a->state = ANSWER_CHUNK_SIZE;
    return len;
}

static size_t
feed_trailer(answer *a, const char *data, size_t len)
{
    const char *next = line_end(data, data + len);

    if (!next)
        return 0;
    if (is_blank(data, next))
        a->state = ANSWER_OVER;
    return (size_t)(next - data);
}

static size_t
feed_rest(answer *a, size_t len)
{
    a->length += (int64_t)len;
    return len;
}

/* ---- The interface ------------------------------------------------------ */

size_t
answer_feed(answer *a, answer_cache *cache, const char *data, size_t len)
{
    if (len == 0)
        return 0;
    switch (a->state) {
    case ANSWER_HEAD:
        return feed_head(a, cache, data, len);
    case ANSWER_LENGTH:
        return feed_length(a, len);
    case ANSWER_CHUNK_SIZE:
        return feed_chunk_size(a, data, len);
    case ANSWER_CHUNK:
        return feed_chunk(a, len);
    case ANSWER_TRAILER:
        return feed_trailer(a, data, len);
    case ANSWER_UNTIL_CLOSE:
        return feed_rest(a, len);
    case ANSWER_OVER:
    case ANSWER_FAILED:
        break;
    }
    return 0;
}

void
answer_closed(answer *a)
{
    a->state = a->state == ANSWER_UNTIL_CLOSE ? ANSWER_OVER : ANSWER_FAILED;
}
