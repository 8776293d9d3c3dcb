#include "accesslog.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "stamp.h"

/* What one line is about. */
typedef struct facts {
    const wsgi_access *access;
    time_t now;
    int offset;
} facts;

typedef void (*put_fn)(text *out, const accesslog_part *part,
                       const facts *about);

struct accesslog_part {
    put_fn put;
    const char *name; /* the literal, or the name of a header field */
    size_t len;       /* of the literal */
    size_t member;    /* of wsgi_access, for put_member() */
};

static void
put_value(text *out, const char *value, size_t len)
{
    if (len == 0)
        text_put(out, "-", 1);
    else
        text_escape(out, value, len);
}

static void
put_string(text *out, const char *value)
{
    put_value(out, value, strlen(value));
}

/* Bytes in `value`, which is of `size`; 0 when the field is not there. */
static size_t
get_field(const facts *about, wsgi_header_of of, const char *name, char *value,
          size_t size)
{
    int64_t len = wsgi_access_header(about->access, of, name, value, size);

    if (len < 0)
        return 0;
    return (uint64_t)len < size ? (size_t)len : size - 1;
}

static void
put_field(text *out, const facts *about, wsgi_header_of of, const char *name)
{
    char value[8192];

    put_value(out, value, get_field(about, of, name, value, sizeof(value)));
}

/* "192.0.2.7:51000" or "[::1]:51000": without the brackets, and where the port
 * begins.  A peer on a Unix socket has neither address nor port. */
static size_t
split_remote(const char *remote, const char **address, const char **port)
{
    const char *colon = strrchr(remote, ':');

    *address = remote;
    *port = "";
    if (!colon || strncmp(remote, "unix:", 5) == 0)
        return colon ? 0 : strlen(remote);
    *port = colon + 1;
    if (remote[0] == '[' && colon[-1] == ']') {
        (*address)++;
        colon--;
    }
    return (size_t)(colon - *address);
}

static void
put_literal(text *out, const accesslog_part *part, const facts *about)
{
    (void)about;
    text_put(out, part->name, part->len);
}

static void
put_address(text *out, const accesslog_part *part, const facts *about)
{
    const char *address, *port;
    size_t len = split_remote(about->access->remote, &address, &port);

    (void)part;
    put_value(out, address, len);
}

static void
put_port(text *out, const accesslog_part *part, const facts *about)
{
    const char *address, *port;

    (void)part;
    split_remote(about->access->remote, &address, &port);
    put_string(out, port);
}

static void
put_dash(text *out, const accesslog_part *part, const facts *about)
{
    (void)part, (void)about;
    text_put(out, "-", 1);
}

/* Decodes in place up to the first byte that is no base64 digit. */
static size_t
decode_base64(char *data, size_t len)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned bits = 0, n_bits = 0;
    size_t out = 0;

    for (size_t i = 0; i < len; i++) {
        const char *digit = data[i] ? strchr(digits, data[i]) : NULL;
        if (!digit)
            break;
        bits = (bits << 6 | (unsigned)(digit - digits)) & 0xffff;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            data[out++] = (char)(bits >> n_bits & 0xff);
        }
    }
    return out;
}

/* The user of "Basic user:password" (RFC 7617); without a colon it is none. */
static void
put_user(text *out, const accesslog_part *part, const facts *about)
{
    char value[1024];
    size_t len = get_field(about, WSGI_HEADER_REQUEST, "authorization", value,
                           sizeof(value));
    size_t at = 5;

    (void)part;
    if (len < at || strncasecmp(value, "basic", at) != 0 || value[at] != ' ') {
        text_put(out, "-", 1);
        return;
    }
    while (at < len && value[at] == ' ')
        at++;
    len = decode_base64(value + at, len - at);
    const char *colon = memchr(value + at, ':', len);
    put_value(out, value + at, colon ? (size_t)(colon - value) - at : 0);
}

static void
put_time(text *out, const accesslog_part *part, const facts *about)
{
    (void)part;
    stamp_put_clf(out, about->now, about->offset);
}

/* As received; "-" when not even a request line was understood. */
static void
put_request(text *out, const accesslog_part *part, const facts *about)
{
    const wsgi_access *access = about->access;
    const char *words[] = { access->method, access->target, access->protocol };

    (void)part;
    if (!*access->method && !*access->target) {
        text_put(out, "-", 1);
        return;
    }
    for (size_t i = 0; i < 3; i++) {
        if (i > 0 && *words[i])
            text_put(out, " ", 1);
        text_escape(out, words[i], strlen(words[i]));
    }
}

static void
put_member(text *out, const accesslog_part *part, const facts *about)
{
    const char *access = (const char *)about->access;

    put_string(out,
               *(const char *const *)(const void *)(access + part->member));
}

static void
put_status(text *out, const accesslog_part *part, const facts *about)
{
    (void)part;
    text_number(out, (uint64_t)about->access->status, 3);
}

static void
put_bytes(text *out, const accesslog_part *part, const facts *about)
{
    (void)part;
    text_number(out, about->access->body_bytes, 1);
}

/* The Common Log Format writes "-" for no bytes. */
static void
put_bytes_clf(text *out, const accesslog_part *part, const facts *about)
{
    if (about->access->body_bytes == 0)
        text_put(out, "-", 1);
    else
        put_bytes(out, part, about);
}

static void
put_seconds(text *out, const accesslog_part *part, const facts *about)
{
    (void)part;
    text_number(out, about->access->duration_us / 1000000, 1);
}

static void
put_fraction(text *out, const accesslog_part *part, const facts *about)
{
    put_seconds(out, part, about);
    text_put(out, ".", 1);
    text_number(out, about->access->duration_us % 1000000, 6);
}

static void
put_ms(text *out, const accesslog_part *part, const facts *about)
{
    (void)part;
    text_number(out, about->access->duration_us / 1000, 1);
}

static void
put_us(text *out, const accesslog_part *part, const facts *about)
{
    (void)part;
    text_number(out, about->access->duration_us, 1);
}

static void
put_pid(text *out, const accesslog_part *part, const facts *about)
{
    (void)part, (void)about;
    text_put(out, "<", 1);
    text_number(out, (uint64_t)getpid(), 1);
    text_put(out, ">", 1);
}

static void
put_request_field(text *out, const accesslog_part *part, const facts *about)
{
    put_field(out, about, WSGI_HEADER_REQUEST, part->name);
}

static void
put_response_field(text *out, const accesslog_part *part, const facts *about)
{
    put_field(out, about, WSGI_HEADER_RESPONSE, part->name);
}

typedef struct atom {
    const char *name;
    put_fn put;
    size_t member;
} atom;

#define MEMBER(member) put_member, offsetof(wsgi_access, member)

static const atom atoms[] = {
    { "h", put_address, 0 },   { "l", put_dash, 0 },
    { "u", put_user, 0 },      { "t", put_time, 0 },
    { "r", put_request, 0 },   { "m", MEMBER(method) },
    { "U", MEMBER(path) },     { "q", MEMBER(query) },
    { "H", MEMBER(protocol) }, { "s", put_status, 0 },
    { "B", put_bytes, 0 },     { "b", put_bytes_clf, 0 },
    { "f", MEMBER(referer) },  { "a", MEMBER(user_agent) },
    { "T", put_seconds, 0 },   { "L", put_fraction, 0 },
    { "M", put_ms, 0 },        { "D", put_us, 0 },
    { "p", put_pid, 0 },       { NULL, NULL, 0 },
};

static const atom variables[] = {
    { "REQUEST_METHOD", MEMBER(method) },
    { "PATH_INFO", MEMBER(path) },
    { "QUERY_STRING", MEMBER(query) },
    { "SERVER_PROTOCOL", MEMBER(protocol) },
    { "REQUEST_URI", MEMBER(target) },
    { "RAW_URI", MEMBER(target) },
    { "REMOTE_ADDR", put_address, 0 },
    { "REMOTE_PORT", put_port, 0 },
    { NULL, NULL, 0 },
};

#define UNKNOWN_ATOM                                                          \
    "is unknown; there are h l u t r m U q H s B b f a T L M D p, {name}i, "  \
    "{name}o and {NAME}e"
#define UNKNOWN_FIELD                                                         \
    "is unknown; {name}i and {name}o are header fields, and for {NAME}e "     \
    "there are HTTP_*, CONTENT_TYPE, CONTENT_LENGTH, REQUEST_METHOD, "        \
    "PATH_INFO, QUERY_STRING, SERVER_PROTOCOL, REMOTE_ADDR, REMOTE_PORT, "    \
    "REQUEST_URI and RAW_URI"

static bool
use_atom(accesslog_part *part, const atom *table, const char *name)
{
    for (; table->name; table++) {
        if (strcmp(table->name, name) == 0) {
            part->put = table->put;
            part->member = table->member;
            return true;
        }
    }
    return false;
}

/* HTTP_X_REQUEST_ID is the field X-Request-Id: turned in place. */
static bool
variable_to_field(accesslog_part *part, char *name)
{
    if (strncmp(name, "HTTP_", 5) == 0 && name[5])
        name += 5;
    else if (strcmp(name, "CONTENT_TYPE") && strcmp(name, "CONTENT_LENGTH"))
        return false;
    for (char *c = name; *c; c++)
        if (*c == '_')
            *c = '-';
    part->name = name;
    part->put = put_request_field;
    return true;
}

/* inside: "h", "{name}i" without the parentheses; changed in place. */
static bool
compile_atom(accesslog_part *part, char *inside)
{
    size_t len = strlen(inside);

    if (len < 4 || inside[0] != '{' || inside[len - 2] != '}')
        return use_atom(part, atoms, inside);
    char kind = inside[len - 1];
    inside[len - 2] = '\0';
    part->name = inside + 1;
    if (kind == 'i')
        part->put = put_request_field;
    else if (kind == 'o')
        part->put = put_response_field;
    else
        return kind == 'e' && (use_atom(part, variables, part->name) ||
                               variable_to_field(part, inside + 1));
    return true;
}

/* false, with a sentence about the piece of the format at `at`. */
static bool
refuse(text *error, const char *at, size_t len, const char *why)
{
    text_puts(error, "\"");
    text_put(error, at, len);
    text_puts(error, "\" ");
    text_puts(error, why);
    return false;
}

/* The directive at *at, "%(h)s"; *inside moves on over the copy of its name,
 * *at behind it. */
static bool
compile_directive(accesslog_part *part, const char **at, char **inside,
                  text *error)
{
    const char *start = *at;
    const char *end = start[1] == '(' ? strchr(start, ')') : NULL;

    if (!end)
        return refuse(error, start, strcspn(start + 1, " %") + 1,
                      "is no atom: they are written %(h)s, and a percent "
                      "sign %%");
    /* Python's conversions: "d" is as good for numbers. */
    if (end[1] != 's' && end[1] != 'd')
        return refuse(error, start, (size_t)(end + 1 - start),
                      "lacks the s of %(h)s");

    size_t len = (size_t)(end - start) - 2;
    memcpy(*inside, start + 2, len);
    (*inside)[len] = '\0';
    if (!compile_atom(part, *inside))
        return refuse(error, start, (size_t)(end + 2 - start),
                      start[2] == '{' ? UNKNOWN_FIELD : UNKNOWN_ATOM);
    *inside += len + 1;
    *at = end + 2;
    return true;
}

/* Literal text up to the next directive, in which "%%" is one percent sign. */
static void
compile_literal(accesslog_part *part, const char **at)
{
    size_t len = 1;

    part->put = put_literal;
    part->name = *at;
    if (**at == '%')
        *at += 1;
    else
        len = strcspn(*at, "%");
    part->len = len;
    *at += len;
}

bool
accesslog_compile(accesslog *log, const char *format, text *error)
{
    /* Each part takes at least one byte of the format, each name too. */
    size_t size = strlen(format) + 1;
    accesslog_part *parts = calloc(size, sizeof(*parts));
    char *names = malloc(size * 2);
    size_t n = 0;

    if (!parts || !names) {
        text_puts(error, "out of memory");
        goto fail;
    }
    memcpy(names, format, size);
    const char *at = names;
    char *inside = names + size;
    for (; *at; n++) {
        if (at[0] == '%' && at[1] != '%') {
            if (!compile_directive(&parts[n], &at, &inside, error))
                goto fail;
        } else {
            compile_literal(&parts[n], &at);
        }
    }
    *log = (accesslog){ .parts = parts, .n_parts = n, .names = names };
    log->file.fd = -1;
    return true;
fail:
    free(parts);
    free(names);
    return false;
}

void
accesslog_free(accesslog *log)
{
    logfile_close(&log->file);
    free(log->parts);
    free(log->names);
    *log = (accesslog){ 0 };
}

void
accesslog_render(const accesslog *log, const wsgi_access *access, time_t now,
                 int offset, text *out)
{
    const facts about = { access, now, offset };

    for (size_t i = 0; i < log->n_parts; i++)
        log->parts[i].put(out, &log->parts[i], &about);
    if (out->cut && out->len >= 3)
        memcpy(out->at + out->len - 3, "...", 3);
}

void
accesslog_write(void *user, const wsgi_access *access)
{
    accesslog *log = user;
    char memory[ACCESSLOG_LINE];
    time_t now = time(NULL);
    text line;

    text_init(&line, memory, sizeof(memory));
    accesslog_render(log, access, now, stamp_offset(now), &line);

    struct iovec parts[] = { { line.at, line.len }, { (char[]){ '\n' }, 1 } };
    logfile_write(&log->file, parts, 2);
}
