/* Reads addresses to listen on and writes those of sockets. */
#include "net/address.h"

#include <arpa/inet.h>
#include <limits.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include <wsgi/wsgi.h>

#define SHOWN_MAX 80
#define PORT_LARGEST 65535
#define FORMS                                                                 \
    "expected host:port, :port, [ipv6]:port, unix:/path, unix:@name or "      \
    "fd://N"

/* The text may come from anywhere: escaped, so that a sentence stays a line,
 * and cut. */
static void
put_text(wsgi__buf *out, const char *text)
{
    size_t len = strnlen(text, SHOWN_MAX + 1);

    wsgi__buf_escape(out,
                     (wsgi__span){ text, len < SHOWN_MAX ? len : SHOWN_MAX });
    if (len > SHOWN_MAX)
        wsgi__buf_puts(out, "...");
}

static int
refuse(wsgi__buf *error, const char *text, const char *fault,
       const char *remedy)
{
    wsgi__buf_reset(error);
    wsgi__buf_puts(error, "\"");
    put_text(error, text);
    wsgi__buf_puts(error, "\": ");
    wsgi__buf_puts(error, fault);
    wsgi__buf_puts(error, "; ");
    wsgi__buf_puts(error, remedy);
    return WSGI_ERR_ADDRESS;
}

/* The remedy is the text itself with something before and behind it. */
static int
refuse_and_complete(wsgi__buf *error, const char *text, const char *fault,
                    const char *before, const char *behind)
{
    refuse(error, text, fault, "write ");
    wsgi__buf_puts(error, before);
    put_text(error, text);
    wsgi__buf_puts(error, behind);
    return WSGI_ERR_ADDRESS;
}

/* Digits alone, at most `largest`: -1 for anything else. */
static int
read_number(const char *text, int largest)
{
    int value = 0;

    if (!*text)
        return -1;
    for (; *text; text++) {
        if (!wsgi__is_digit(*text))
            return -1;
        int digit = *text - '0';
        if (value > (largest - digit) / 10)
            return -1;
        value = value * 10 + digit;
    }
    return value;
}

/* Writes at most five digits and returns where they end. */
static char *
put_decimal(char *out, unsigned value)
{
    char digits[5];
    size_t n = 0;

    do
        digits[n++] = (char)('0' + value % 10);
    while ((value /= 10) && n < sizeof(digits));
    while (n)
        *out++ = digits[--n];
    return out;
}

static void
put_port(char *out, unsigned port)
{
    *put_decimal(out, port) = '\0';
}

static int
parse_fd(const char *text, const char *number, wsgi__address *address,
         wsgi__buf *error)
{
    if (strncmp(number, "//", 2) == 0)
        number += 2;
    address->kind = WSGI__ADDR_FD;
    address->fd = read_number(number, INT_MAX);
    if (address->fd < 0)
        return refuse(error, text, "this is no descriptor number",
                      "write the number of an open socket, such as fd://3");
    return WSGI_OK;
}

static int
parse_unix(const char *text, const char *path, wsgi__address *address,
           wsgi__buf *error)
{
    bool abstract = *path == '@';
    size_t len;

    address->kind = abstract ? WSGI__ADDR_ABSTRACT : WSGI__ADDR_UNIX;
    path += abstract;
    len = strlen(path);
    if (len == 0)
        return refuse(error, text, "the path of the socket is missing",
                      "write unix:/run/app.sock, or unix:@name for an "
                      "abstract name");
    if (len >= sizeof(address->path))
        return refuse(error, text, "the path of the socket is too long",
                      "write one of at most 107 bytes");
    memcpy(address->path, path, len + 1);
    return WSGI_OK;
}

static int
set_port(const char *text, const char *port, wsgi__address *address,
         wsgi__buf *error)
{
    int number = read_number(port, PORT_LARGEST);

    if (!*port)
        return refuse(error, text, "the port after the colon is missing",
                      "write a number from 0 to 65535, such as :8000");
    if (number < 0)
        return refuse(error, text, "this is no port",
                      "write a number from 0 to 65535 after the last colon");
    put_port(address->port, (unsigned)number);
    return WSGI_OK;
}

/* inet_pton knows no zones; getaddrinfo, which will read the host, does. */
static bool
is_ipv6(const char *host)
{
    char plain[INET6_ADDRSTRLEN];
    struct in6_addr ignored;
    size_t len = strcspn(host, "%");

    if (len >= sizeof(plain) || (host[len] == '%' && !host[len + 1]))
        return false;
    memcpy(plain, host, len);
    plain[len] = '\0';
    return inet_pton(AF_INET6, plain, &ignored) == 1;
}

static int
parse_bracketed(const char *text, wsgi__address *address, wsgi__buf *error)
{
    const char *host = text + 1;
    const char *end = strchr(host, ']');
    size_t len = end ? (size_t)(end - host) : 0;

    if (!end)
        return refuse(error, text, "the closing bracket is missing",
                      "write [::1]:8000");
    if (len >= sizeof(address->host))
        return refuse(error, text, "the host is too long",
                      "write an IPv6 address in the brackets, [::1]:8000");
    memcpy(address->host, host, len);
    if (!is_ipv6(address->host))
        return refuse(error, text,
                      "what stands in brackets is no IPv6 address",
                      "write [::1]:8000, and other hosts without brackets");
    if (end[1] != ':')
        return refuse(error, text, "the port is missing",
                      "write it behind the bracket, [::1]:8000");
    return set_port(text, end + 2, address, error);
}

static bool
is_host(const char *host)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789.-_";
    return host[strspn(host, allowed)] == '\0';
}

static int
parse_host_port(const char *text, const char *colon, wsgi__address *address,
                wsgi__buf *error)
{
    size_t len = (size_t)(colon - text);

    if (len >= sizeof(address->host))
        return refuse(error, text, "the host is too long",
                      "a host name has at most 255 bytes");
    memcpy(address->host, text, len);
    if (memchr(text, ':', len))
        return refuse(error, text, "there is more than one colon",
                      "write an IPv6 address in brackets, [::1]:8000");
    if (strcmp(address->host, "*") == 0)
        return refuse(error, text, "\"*\" is no host",
                      "leave the host out for all interfaces, :8000");
    if (!is_host(address->host))
        return refuse(error, text, "this is no host name",
                      "it has letters, digits, \".\", \"-\" and \"_\" only");
    return set_port(text, colon + 1, address, error);
}

static bool
ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);
    return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

/* There is no colon: what was meant can mostly be told. */
static int
refuse_without_colon(const char *text, wsgi__buf *error)
{
    if (read_number(text, PORT_LARGEST) >= 0)
        return refuse_and_complete(
            error, text, "this is a port without its colon", ":", "");
    if (strchr(text, '/') || *text == '@' || ends_with(text, ".sock"))
        return refuse_and_complete(
            error, text, "this is a path without its \"unix:\"", "unix:", "");
    if (is_host(text))
        return refuse_and_complete(error, text, "the port is missing", "",
                                   ":8000");
    return refuse(error, text, "this is no address", FORMS);
}

int
wsgi__address_parse(const char *text, wsgi__address *address, wsgi__buf *error)
{
    const char *colon = strrchr(text, ':');

    *address = (wsgi__address){ .kind = WSGI__ADDR_TCP, .fd = -1 };
    if (!*text)
        return refuse(error, text, "the address is empty", FORMS);
    if (strncmp(text, "unix:", 5) == 0)
        return parse_unix(text, text + 5, address, error);
    if (strncmp(text, "fd:", 3) == 0)
        return parse_fd(text, text + 3, address, error);
    if (*text == '[')
        return parse_bracketed(text, address, error);
    if (strstr(text, "://"))
        return refuse(error, text, "this is a URL",
                      "write its host and port, such as localhost:8000");
    if (!colon)
        return refuse_without_colon(text, error);
    return parse_host_port(text, colon, address, error);
}

static void
put_ipv4(char *out, const unsigned char octets[4])
{
    /* By hand, as inet_ntop goes through sprintf and this runs once per
     * connection. */
    for (int i = 0; i < 4; i++) {
        out = put_decimal(out, octets[i]);
        *out++ = '.';
    }
    out[-1] = '\0';
}

static void
endpoint_of_ipv6(const struct sockaddr_in6 *in6, wsgi__endpoint *endpoint)
{
    if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
        put_ipv4(endpoint->host, in6->sin6_addr.s6_addr + 12);
    else
        inet_ntop(AF_INET6, &in6->sin6_addr, endpoint->host,
                  sizeof(endpoint->host));
    put_port(endpoint->port, ntohs(in6->sin6_port));
}

void
wsgi__endpoint_of(const struct sockaddr *sa, socklen_t len,
                  wsgi__endpoint *endpoint)
{
    endpoint->host[0] = endpoint->port[0] = '\0';
    if (len < sizeof(sa->sa_family))
        return;
    if (sa->sa_family == AF_INET && len >= sizeof(struct sockaddr_in)) {
        struct sockaddr_in in;
        memcpy(&in, sa, sizeof(in));
        put_ipv4(endpoint->host, (const unsigned char *)&in.sin_addr);
        put_port(endpoint->port, ntohs(in.sin_port));
    }
    if (sa->sa_family == AF_INET6 && len >= sizeof(struct sockaddr_in6)) {
        struct sockaddr_in6 in6;
        memcpy(&in6, sa, sizeof(in6));
        endpoint_of_ipv6(&in6, endpoint);
    }
}
