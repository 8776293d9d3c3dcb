/*
 * Addresses: one that is accepted can be written down again and is then the
 * same, one that is not gets a sentence, and a socket's address of any bytes
 * becomes text that fits.
 *
 * Input: an address as text; or '=' and the bytes of a sockaddr.
 */
#include <arpa/inet.h>
#include <netinet/in.h>

#include "fuzz.h"
#include "net/address.h"

static bool
is_digits(const char *text)
{
    return strspn(text, "0123456789") == strlen(text);
}

static void
check_terminated(const wsgi__address *a)
{
    FUZZ_CHECK(memchr(a->host, '\0', sizeof(a->host)) &&
                   memchr(a->port, '\0', sizeof(a->port)) &&
                   memchr(a->path, '\0', sizeof(a->path)),
               "no end");
}

/* The text of an address; at most 3 bytes more than the longest field. */
static void
write_address(const wsgi__address *a, wsgi__buf *out)
{
    switch (a->kind) {
    case WSGI__ADDR_TCP:
        FUZZ_CHECK(*a->port && is_digits(a->port) && atoi(a->port) <= 65535,
                   "port %s", a->port);
        wsgi__buf_printf(out, strchr(a->host, ':') ? "[%s]:%s" : "%s:%s",
                         a->host, a->port);
        break;
    case WSGI__ADDR_UNIX:
        wsgi__buf_printf(out, "unix:%s", a->path);
        break;
    case WSGI__ADDR_ABSTRACT:
        wsgi__buf_printf(out, "unix:@%s", a->path);
        break;
    case WSGI__ADDR_FD:
        FUZZ_CHECK(a->fd >= 0, "%d", a->fd);
        wsgi__buf_printf(out, "fd://%d", a->fd);
        break;
    }
}

static bool
is_same(const wsgi__address *a, const wsgi__address *b)
{
    return a->kind == b->kind && a->fd == b->fd &&
           strcmp(a->host, b->host) == 0 && strcmp(a->port, b->port) == 0 &&
           strcmp(a->path, b->path) == 0;
}

static void
fuzz_text(const char *text)
{
    wsgi__address address, again;
    wsgi__buf error, written;

    wsgi__buf_init(&error, 4096);
    wsgi__buf_init(&written, 4096);
    int status = wsgi__address_parse(text, &address, &error);
    if (status == WSGI_OK) {
        check_terminated(&address);
        write_address(&address, &written);
        status = wsgi__address_parse(wsgi__buf_str(&written), &again, &error);
        FUZZ_CHECK(status == WSGI_OK, "%s became %s: %s", text,
                   wsgi__buf_str(&written), wsgi__buf_str(&error));
        FUZZ_CHECK(is_same(&address, &again), "%s became %s", text,
                   wsgi__buf_str(&written));
    } else {
        FUZZ_CHECK(status == WSGI_ERR_ADDRESS, "%d", status);
        fuzz_check_sentence(wsgi__buf_span(&error));
    }
    wsgi__buf_free(&error);
    wsgi__buf_free(&written);
}

static void
fuzz_socket(const uint8_t *data, size_t size)
{
    wsgi__endpoint endpoint;
    unsigned char ignored[16];
    void *exact = malloc(size ? size : 1);

    if (!exact)
        abort();
    if (size)
        memcpy(exact, data, size);
    memset(&endpoint, 'x', sizeof(endpoint));
    wsgi__endpoint_of(exact, (socklen_t)size, &endpoint);
    free(exact);
    FUZZ_CHECK(memchr(endpoint.host, '\0', sizeof(endpoint.host)) &&
                   memchr(endpoint.port, '\0', sizeof(endpoint.port)),
               "no end");
    FUZZ_CHECK(!*endpoint.host == !*endpoint.port, "%s and %s", endpoint.host,
               endpoint.port);
    FUZZ_CHECK(!*endpoint.host ||
                   inet_pton(AF_INET, endpoint.host, ignored) == 1 ||
                   inet_pton(AF_INET6, endpoint.host, ignored) == 1,
               "%s", endpoint.host);
    FUZZ_CHECK(is_digits(endpoint.port) && atoi(endpoint.port) <= 65535, "%s",
               endpoint.port);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size && *data == '=') {
        fuzz_socket(data + 1, size - 1);
        return 0;
    }
    char *text = malloc(size + 1);
    if (!text)
        abort();
    if (size)
        memcpy(text, data, size);
    text[size] = '\0';
    fuzz_text(text);
    free(text);
    return 0;
}
