#include "http/chunked.h"

#include "http/chars.h"

#define MAX_DIGITS 16 /* leading zeros count: they must not go on for ever */

static void
fail(wsgi__chunked *c, int status, const char *reason)
{
    c->state = WSGI__CHUNKED_FAILED;
    c->fault = (wsgi__fault){ status, reason };
}

/* The byte must be `expected`. */
static void
expect(wsgi__chunked *c, unsigned char byte, char expected,
       wsgi__chunked_state next, const char *reason)
{
    if (byte == (unsigned char)expected)
        c->state = next;
    else
        fail(c, 400, reason);
}

/* Whether one more byte of extensions and trailers is allowed. */
static bool
charge(wsgi__chunked *c)
{
    if (c->meta < c->max_meta) {
        c->meta++;
        return true;
    }
    fail(c, 400, "chunk extensions and trailers too long");
    return false;
}

/* ---- Size line ---------------------------------------------------------- */

static void
add_digit(wsgi__chunked *c, unsigned char byte)
{
    if (++c->digits > MAX_DIGITS || c->left > INT64_MAX >> 4)
        fail(c, 400, "chunk size too large");
    else
        c->left = c->left << 4 | (int64_t)wsgi__hex_value(byte);
}

static void
begin_extension(wsgi__chunked *c)
{
    c->state = WSGI__CHUNKED_EXTENSION;
    charge(c);
}

static void
begin_blank(wsgi__chunked *c)
{
    c->state = WSGI__CHUNKED_BLANK;
    charge(c);
}

static void
on_size(wsgi__chunked *c, unsigned char byte)
{
    if (wsgi__char_is(byte, WSGI__CH_HEX))
        add_digit(c, byte);
    else if (c->digits && byte == '\r')
        c->state = WSGI__CHUNKED_SIZE_END;
    else if (c->digits && byte == ';')
        begin_extension(c);
    else if (c->digits && (byte == ' ' || byte == '\t'))
        begin_blank(c);
    else if (byte == '\n')
        fail(c, 400, "bare LF after a chunk size");
    else
        fail(c, 400, "chunk size not a hexadecimal number");
}

/* RFC 9112 7.1.1 wants blanks taken before the semicolon of an extension, and
 * nowhere else. */
static void
on_blank(wsgi__chunked *c, unsigned char byte)
{
    if (byte == ';')
        begin_extension(c);
    else if (byte == ' ' || byte == '\t')
        charge(c);
    else
        fail(c, 400, "blank behind a chunk size");
}

static void
on_extension(wsgi__chunked *c, unsigned char byte)
{
    if (byte == '\r')
        c->state = WSGI__CHUNKED_SIZE_END;
    else if (byte == '\n')
        fail(c, 400, "bare LF in a chunk extension");
    else if (!wsgi__char_is(byte, WSGI__CH_VALUE))
        fail(c, 400, "control byte in a chunk extension");
    else
        charge(c);
}

/* Refuses a body over the limit by what it announces, before it is read. */
static void
begin_data(wsgi__chunked *c)
{
    c->state = WSGI__CHUNKED_DATA;
    if (c->left > INT64_MAX - c->total)
        fail(c, 400, "chunk sizes too large");
    else if (c->max_body && c->left > c->max_body - c->total)
        fail(c, 413, "request body over the limit");
    else
        c->total += c->left;
}

static void
on_size_end(wsgi__chunked *c, unsigned char byte)
{
    if (byte != '\n')
        fail(c, 400, "bare CR after a chunk size");
    else if (c->left)
        begin_data(c);
    else
        c->state = WSGI__CHUNKED_TRAILER;
}

/* ---- Data --------------------------------------------------------------- */

static size_t
take_data(wsgi__chunked *c, const char *data, size_t len, wsgi__span *piece)
{
    if ((uint64_t)c->left < len)
        len = (size_t)c->left;
    *piece = (wsgi__span){ data, len };
    c->left -= (int64_t)len;
    if (c->left == 0)
        c->state = WSGI__CHUNKED_DATA_CR;
    return len;
}

static void
on_data_end(wsgi__chunked *c, unsigned char byte)
{
    static const char reason[] = "chunk data without CRLF behind it";

    if (c->state == WSGI__CHUNKED_DATA_CR) {
        expect(c, byte, '\r', WSGI__CHUNKED_DATA_LF, reason);
        return;
    }
    expect(c, byte, '\n', WSGI__CHUNKED_SIZE, reason);
    c->digits = 0;
}

/* ---- Trailers ----------------------------------------------------------- */

static void
on_trailer(wsgi__chunked *c, unsigned char byte)
{
    if (byte == '\r')
        c->state = WSGI__CHUNKED_LAST_LF;
    else if (byte == '\n')
        fail(c, 400, "bare LF in the trailers");
    else if (!wsgi__char_is(byte, WSGI__CH_TOKEN))
        fail(c, 400, "malformed trailer field");
    else if (charge(c))
        c->state = WSGI__CHUNKED_TRAILER_NAME;
}

static void
on_trailer_name(wsgi__chunked *c, unsigned char byte)
{
    if (byte == ':')
        c->state = WSGI__CHUNKED_TRAILER_VALUE;
    else if (byte == '\n')
        fail(c, 400, "bare LF in the trailers");
    else if (!wsgi__char_is(byte, WSGI__CH_TOKEN))
        fail(c, 400, "malformed trailer field");
    if (c->state != WSGI__CHUNKED_FAILED)
        charge(c);
}

static void
on_trailer_value(wsgi__chunked *c, unsigned char byte)
{
    if (byte == '\r')
        c->state = WSGI__CHUNKED_TRAILER_LF;
    else if (byte == '\n')
        fail(c, 400, "bare LF in the trailers");
    else if (!wsgi__char_is(byte, WSGI__CH_VALUE))
        fail(c, 400, "control byte in a trailer field");
    else
        charge(c);
}

/* ---- All of it ---------------------------------------------------------- */

static void
on_framing(wsgi__chunked *c, unsigned char byte)
{
    switch (c->state) {
    case WSGI__CHUNKED_SIZE:
        on_size(c, byte);
        break;
    case WSGI__CHUNKED_BLANK:
        on_blank(c, byte);
        break;
    case WSGI__CHUNKED_EXTENSION:
        on_extension(c, byte);
        break;
    case WSGI__CHUNKED_SIZE_END:
        on_size_end(c, byte);
        break;
    case WSGI__CHUNKED_DATA_CR:
    case WSGI__CHUNKED_DATA_LF:
        on_data_end(c, byte);
        break;
    case WSGI__CHUNKED_TRAILER:
        on_trailer(c, byte);
        break;
    case WSGI__CHUNKED_TRAILER_NAME:
        on_trailer_name(c, byte);
        break;
    case WSGI__CHUNKED_TRAILER_VALUE:
        on_trailer_value(c, byte);
        break;
    case WSGI__CHUNKED_TRAILER_LF:
        expect(c, byte, '\n', WSGI__CHUNKED_TRAILER,
               "bare CR in the trailers");
        break;
    case WSGI__CHUNKED_LAST_LF:
        expect(c, byte, '\n', WSGI__CHUNKED_ENDED, "bare CR in the trailers");
        break;
    case WSGI__CHUNKED_DATA:
    case WSGI__CHUNKED_ENDED:
    case WSGI__CHUNKED_FAILED:
        break;
    }
}

void
wsgi__chunked_init(wsgi__chunked *c, int64_t max_body, size_t max_meta)
{
    *c = (wsgi__chunked){ .max_body = max_body, .max_meta = max_meta };
}

size_t
wsgi__chunked_feed(wsgi__chunked *c, const char *data, size_t len,
                   wsgi__span *piece)
{
    size_t at = 0;
    *piece = (wsgi__span){ data, 0 };
    while (at < len && c->state < WSGI__CHUNKED_ENDED) {
        if (c->state == WSGI__CHUNKED_DATA)
            return at + take_data(c, data + at, len - at, piece);
        on_framing(c, (unsigned char)data[at++]);
    }
    return at;
}
