#include "trace.h"

#include <string.h>

#include "text.h"

#define PREVIEW 256 /* bytes of a body that are shown */
#define LINE 2048   /* of a head, escaped; longer ones are shortened */

static void
put_line(FILE *out, uint64_t connection, char mark, const char *data,
         size_t len)
{
    char memory[LINE];
    text line;

    text_init(&line, memory, sizeof(memory));
    /* An escape takes at most four bytes. */
    size_t shown = len < (LINE - 1) / 4 ? len : (LINE - 1) / 4;
    text_escape(&line, data, shown);
    fprintf(out, "[%llu] %c %s%s\n", (unsigned long long)connection, mark,
            line.at, shown < len ? "..." : "");
}

/* One line for each of the head, the empty one at its end included. */
static void
put_lines(FILE *out, uint64_t connection, char mark, const char *data,
          size_t len)
{
    while (len > 0) {
        const char *lf = memchr(data, '\n', len);
        size_t whole = lf ? (size_t)(lf - data) + 1 : len;
        size_t shown = lf ? whole - 1 : whole;
        if (shown > 0 && data[shown - 1] == '\r')
            shown--;
        put_line(out, connection, mark, data, shown);
        data += whole;
        len -= whole;
    }
}

static void
put_body(FILE *out, uint64_t connection, char mark, const char *data,
         size_t len)
{
    char memory[PREVIEW * 4 + 1];
    text preview;

    text_init(&preview, memory, sizeof(memory));
    text_escape(&preview, data, len < PREVIEW ? len : PREVIEW);
    fprintf(out, "[%llu] %c [%zu bytes data] %s%s\n",
            (unsigned long long)connection, mark, len, preview.at,
            len > PREVIEW ? "..." : "");
}

void
trace_write(void *user, wsgi_trace_kind kind, uint64_t connection,
            const char *data, size_t len)
{
    FILE *out = user;

    flockfile(out);
    switch (kind) {
    case WSGI_TRACE_TEXT:
        put_lines(out, connection, '*', data, len);
        break;
    case WSGI_TRACE_REQUEST_HEAD:
        put_lines(out, connection, '>', data, len);
        break;
    case WSGI_TRACE_REQUEST_BODY:
        put_body(out, connection, '}', data, len);
        break;
    case WSGI_TRACE_RESPONSE_HEAD:
        put_lines(out, connection, '<', data, len);
        break;
    case WSGI_TRACE_RESPONSE_BODY:
        put_body(out, connection, '{', data, len);
        break;
    }
    fflush(out);
    funlockfile(out);
}
