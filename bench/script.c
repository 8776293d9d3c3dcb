#include "script.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MARK "##########"
#define MARK_LEN (sizeof(MARK) - 1)

/* ---- Reading ------------------------------------------------------------ */

/* The whole file with a NUL behind it; NULL with errno. */
static char *
read_all(FILE *file, size_t *len)
{
    if (fseek(file, 0, SEEK_END) < 0)
        return NULL;
    long size = ftell(file);
    if (size < 0)
        return NULL;
    char *text = malloc((size_t)size + 1);
    if (!text)
        return NULL;
    rewind(file);
    *len = fread(text, 1, (size_t)size, file);
    text[*len] = '\0';
    return text;
}

static bool
find_marks(request *req)
{
    const char *end = memmem(req->text, req->len, "\r\n\r\n", 4);
    const char *at = req->text;

    while (end && (at = memmem(at, (size_t)(end - at), MARK, MARK_LEN))) {
        if (req->n_marks == SCRIPT_MAX_MARKS)
            return false;
        req->marks[req->n_marks++] = (size_t)(at - req->text);
        at += MARK_LEN;
    }
    return end != NULL;
}

/* Bytes of the record at `text`; 0 if there is none. */
static size_t
read_record(request *req, const char *text, size_t len)
{
    const char *lf = memchr(text, '\n', len);
    long long length;
    int kind;

    if (!lf || sscanf(text, "%zu %d %lld %d", &req->len, &req->status, &length,
                      &kind) != 4)
        return 0;
    req->text = lf + 1;
    req->length = length;
    req->timed = kind == 0;
    if (req->len > len - (size_t)(req->text - text) || !find_marks(req))
        return 0;
    return (size_t)(req->text - text) + req->len;
}

static bool
add_record(script *s, const request *req)
{
    /* Doubled whenever the count is a power of two. */
    if ((s->count & (s->count - 1)) == 0) {
        size_t room = s->count ? 2 * s->count : 1;
        request *more = realloc(s->requests, room * sizeof(*more));
        if (!more)
            return false;
        s->requests = more;
    }
    s->requests[s->count++] = *req;
    if (req->len > s->longest)
        s->longest = req->len;
    return true;
}

static bool
split(script *s, size_t len)
{
    size_t at = 0;

    while (at < len) {
        request req = { 0 };
        size_t used = read_record(&req, s->file + at, len - at);
        if (used == 0) {
            fprintf(stderr, "load: request %zu of the file is malformed\n",
                    s->count);
            return false;
        }
        if (!add_record(s, &req)) {
            fprintf(stderr, "load: out of memory\n");
            return false;
        }
        at += used;
    }
    if (s->count == 0)
        fprintf(stderr, "load: the file has no requests\n");
    return s->count > 0;
}

bool
script_read(script *s, const char *path)
{
    size_t len = 0;
    FILE *file = fopen(path, "rb");

    *s = (script){ 0 };
    if (file)
        s->file = read_all(file, &len);
    if (!s->file)
        fprintf(stderr, "load: %s: %s\n", path, strerror(errno));
    if (file)
        fclose(file);
    return s->file && split(s, len);
}

void
script_free(script *s)
{
    free(s->requests);
    free(s->file);
}

/* ---- Writing ------------------------------------------------------------ */

/* Neighbours differ in every digit, as the identifiers of real clients do. */
static void
write_number(uint64_t number, char *to)
{
    uint64_t mixed = number * 0x9E3779B97F4A7C15u % 10000000000u;

    for (size_t i = MARK_LEN; i-- > 0; mixed /= 10)
        to[i] = (char)('0' + mixed % 10);
}

void
request_write(const request *req, uint64_t number, char *to)
{
    memcpy(to, req->text, req->len);
    if (req->n_marks == 0)
        return;
    char digits[MARK_LEN];
    write_number(number, digits);
    for (size_t i = 0; i < req->n_marks; i++)
        memcpy(to + req->marks[i], digits, MARK_LEN);
}
