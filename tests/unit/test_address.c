#include <criterion/criterion.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include <wsgi/wsgi.h>

#include "base/mem.h"
#include "net/address.h"

#define N(table) (sizeof(table) / sizeof(*(table)))
#define A50 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define A100 A50 A50
#define A255 A100 A100 A50 "aaaaa"

static const struct {
    const char *text;
    wsgi__address_kind kind;
    const char *host, *port, *path;
    int fd;
} good[] = {
    { "127.0.0.1:8000", WSGI__ADDR_TCP, "127.0.0.1", "8000", "", -1 },
    { "localhost:80", WSGI__ADDR_TCP, "localhost", "80", "", -1 },
    { "my_host-1.example.org.:1", WSGI__ADDR_TCP, "my_host-1.example.org.",
      "1", "", -1 },
    { ":8000", WSGI__ADDR_TCP, "", "8000", "", -1 },
    { ":0", WSGI__ADDR_TCP, "", "0", "", -1 },
    { ":65535", WSGI__ADDR_TCP, "", "65535", "", -1 },
    { ":00080", WSGI__ADDR_TCP, "", "80", "", -1 },
    { "0:8000", WSGI__ADDR_TCP, "0", "8000", "", -1 },
    { "[::1]:8000", WSGI__ADDR_TCP, "::1", "8000", "", -1 },
    { "[::]:0", WSGI__ADDR_TCP, "::", "0", "", -1 },
    { "[::ffff:1.2.3.4]:9", WSGI__ADDR_TCP, "::ffff:1.2.3.4", "9", "", -1 },
    { "[fe80::1%eth0]:80", WSGI__ADDR_TCP, "fe80::1%eth0", "80", "", -1 },
    { A255 ":1", WSGI__ADDR_TCP, A255, "1", "", -1 },
    { "unix:/run/app.sock", WSGI__ADDR_UNIX, "", "", "/run/app.sock", -1 },
    { "unix:app.sock", WSGI__ADDR_UNIX, "", "", "app.sock", -1 },
    { "unix:/a:b@c", WSGI__ADDR_UNIX, "", "", "/a:b@c", -1 },
    { "unix:" A100 "1234567", WSGI__ADDR_UNIX, "", "", A100 "1234567", -1 },
    { "unix:@app", WSGI__ADDR_ABSTRACT, "", "", "app", -1 },
    { "unix:@@app", WSGI__ADDR_ABSTRACT, "", "", "@app", -1 },
    { "unix:@" A100 "1234567", WSGI__ADDR_ABSTRACT, "", "", A100 "1234567",
      -1 },
    { "fd://3", WSGI__ADDR_FD, "", "", "", 3 },
    { "fd:3", WSGI__ADDR_FD, "", "", "", 3 },
    { "fd://0", WSGI__ADDR_FD, "", "", "", 0 },
    { "fd://2147483647", WSGI__ADDR_FD, "", "", "", 2147483647 },
};

Test(address, reads_every_form)
{
    wsgi__buf error;

    wsgi__buf_init(&error, 4096);
    for (size_t i = 0; i < N(good); i++) {
        wsgi__address a;
        memset(&a, 'x', sizeof(a));
        int status = wsgi__address_parse(good[i].text, &a, &error);
        cr_expect_eq(status, WSGI_OK, "%s: %d %s", good[i].text, status,
                     wsgi__buf_str(&error));
        if (status < 0)
            continue;
        cr_expect_eq(a.kind, good[i].kind, "%s: kind", good[i].text);
        cr_expect_str_eq(a.host, good[i].host, "%s: host", good[i].text);
        cr_expect_str_eq(a.port, good[i].port, "%s: port", good[i].text);
        cr_expect_str_eq(a.path, good[i].path, "%s: path", good[i].text);
        cr_expect_eq(a.fd, good[i].fd, "%s: fd", good[i].text);
    }
    cr_expect_eq(error.len, 0, "a success writes no error");
    wsgi__buf_free(&error);
}

#define FORMS                                                                 \
    "expected host:port, :port, [ipv6]:port, unix:/path, unix:@name or "      \
    "fd://N"
#define NO_PORT                                                               \
    "this is no port; write a number from 0 to 65535 after the last colon"
#define MISSING                                                               \
    "the port after the colon is missing; write a number from 0 to 65535, "   \
    "such as :8000"
#define NO_HOST                                                               \
    "this is no host name; it has letters, digits, \".\", \"-\" and \"_\" "   \
    "only"
#define NO_FD                                                                 \
    "this is no descriptor number; write the number of an open socket, such " \
    "as fd://3"
#define NO_V6                                                                 \
    "what stands in brackets is no IPv6 address; write [::1]:8000, and "      \
    "other "                                                                  \
    "hosts without brackets"

static const struct {
    const char *text, *error;
} bad[] = {
    { "", "\"\": the address is empty; " FORMS },
    { "8000", "\"8000\": this is a port without its colon; write :8000" },
    { "localhost",
      "\"localhost\": the port is missing; write localhost:8000" },
    { "10.0.0.1", "\"10.0.0.1\": the port is missing; write 10.0.0.1:8000" },
    { "80000", "\"80000\": the port is missing; write 80000:8000" },
    { "/run/app.sock",
      "\"/run/app.sock\": this is a path without its \"unix:\"; "
      "write unix:/run/app.sock" },
    { "./app\n.sock",
      "\"./app\\n.sock\": this is a path without its \"unix:\"; "
      "write unix:./app\\n.sock" },
    { "app.sock", "\"app.sock\": this is a path without its \"unix:\"; "
                  "write unix:app.sock" },
    { "@app",
      "\"@app\": this is a path without its \"unix:\"; write unix:@app" },
    { "a b", "\"a b\": this is no address; " FORMS },
    { "http://localhost:80",
      "\"http://localhost:80\": this is a URL; write its host "
      "and port, such as localhost:8000" },
    { "http://localhost",
      "\"http://localhost\": this is a URL; write its host "
      "and port, such as localhost:8000" },
    { ":", "\":\": " MISSING },
    { "localhost:", "\"localhost:\": " MISSING },
    { "[::1]:", "\"[::1]:\": " MISSING },
    { ":65536", "\":65536\": " NO_PORT },
    { ":99999999999999999999", "\":99999999999999999999\": " NO_PORT },
    { ":-1", "\":-1\": " NO_PORT },
    { ":+1", "\":+1\": " NO_PORT },
    { ": 80", "\": 80\": " NO_PORT },
    { ":80 ", "\":80 \": " NO_PORT },
    { ":80\n", "\":80\\n\": " NO_PORT },
    { ":0x50", "\":0x50\": " NO_PORT },
    { "localhost:http", "\"localhost:http\": " NO_PORT },
    { "[::1]:65536", "\"[::1]:65536\": " NO_PORT },
    { "::1:80", "\"::1:80\": there is more than one colon; write an IPv6 "
                "address in brackets, [::1]:8000" },
    { "*:80", "\"*:80\": \"*\" is no host; leave the host out for all "
              "interfaces, :8000" },
    { "a b:80", "\"a b:80\": " NO_HOST },
    { "a/b:80", "\"a/b:80\": " NO_HOST },
    { "\xc3\xa4:80", "\"\\xc3\\xa4:80\": " NO_HOST },
    { A255 "a:1", "\"" A50 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                  "...\": the host is "
                  "too long; a host name has at most 255 bytes" },
    { "[::1", "\"[::1\": the closing bracket is missing; write [::1]:8000" },
    { "[::1]", "\"[::1]\": the port is missing; write it behind the bracket, "
               "[::1]:8000" },
    { "[::1]80", "\"[::1]80\": the port is missing; write it behind the "
                 "bracket, [::1]:8000" },
    { "[127.0.0.1]:80", "\"[127.0.0.1]:80\": " NO_V6 },
    { "[localhost]:80", "\"[localhost]:80\": " NO_V6 },
    { "[]:80", "\"[]:80\": " NO_V6 },
    { "[::1%]:80", "\"[::1%]:80\": " NO_V6 },
    { "[:::1]:80", "\"[:::1]:80\": " NO_V6 },
    { "[" A255 "a]:1", "\"[" A50 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                       "...\": the "
                       "host is too long; write an IPv6 address in the "
                       "brackets, [::1]:8000" },
    { "unix:", "\"unix:\": the path of the socket is missing; write "
               "unix:/run/app.sock, or unix:@name for an abstract name" },
    { "unix:@", "\"unix:@\": the path of the socket is missing; write "
                "unix:/run/app.sock, or unix:@name for an abstract name" },
    { "unix:" A100 "12345678", "\"unix:" A50 "aaaaaaaaaaaaaaaaaaaaaaaaa"
                               "...\": the path of the socket "
                               "is too long; write one of at most 107 bytes" },
    { "fd://", "\"fd://\": " NO_FD },
    { "fd:", "\"fd:\": " NO_FD },
    { "fd://-1", "\"fd://-1\": " NO_FD },
    { "fd://3x", "\"fd://3x\": " NO_FD },
    { "fd:///3", "\"fd:///3\": " NO_FD },
    { "fd://2147483648", "\"fd://2147483648\": " NO_FD },
};

Test(address, refuses_with_a_sentence)
{
    wsgi__buf error;

    wsgi__buf_init(&error, 4096);
    for (size_t i = 0; i < N(bad); i++) {
        wsgi__address a;
        int status = wsgi__address_parse(bad[i].text, &a, &error);
        cr_expect_eq(status, WSGI_ERR_ADDRESS, "%s: %d", bad[i].text, status);
        cr_expect_str_eq(wsgi__buf_str(&error), bad[i].error, "%s: got %s",
                         bad[i].text, wsgi__buf_str(&error));
    }
    wsgi__buf_free(&error);
}

Test(address, says_the_status_when_there_is_no_memory_for_words)
{
    wsgi__address a;

    for (long n = 1; n <= 3; n++) {
        wsgi__buf error;
        wsgi__buf_init(&error, 4096);
        wsgi__mem_fail_nth(n);
        cr_expect_eq(wsgi__address_parse("8000", &a, &error),
                     WSGI_ERR_ADDRESS);
        wsgi__mem_fail_nth(0);
        wsgi__buf_free(&error);
    }
}

static const struct {
    const char *name;
    int family;
    const char *address;
    uint16_t port;
    const char *host, *port_text;
} endpoints[] = {
    { "v4", AF_INET, "192.0.2.7", 51000, "192.0.2.7", "51000" },
    { "v4 extremes", AF_INET, "255.100.9.0", 65535, "255.100.9.0", "65535" },
    { "v4 zero", AF_INET, "0.0.0.0", 0, "0.0.0.0", "0" },
    { "v6", AF_INET6, "2001:db8::1", 80, "2001:db8::1", "80" },
    { "v6 longest", AF_INET6, "2001:1db8:aaaa:bbbb:cccc:dddd:eeee:ffff", 443,
      "2001:1db8:aaaa:bbbb:cccc:dddd:eeee:ffff", "443" },
    { "v6 any", AF_INET6, "::", 8, "::", "8" },
    { "v4-mapped", AF_INET6, "::ffff:192.0.2.7", 9999, "192.0.2.7", "9999" },
    { "v4-compatible", AF_INET6, "::192.0.2.7", 1, "::192.0.2.7", "1" },
};

static socklen_t
make_sockaddr(size_t i, struct sockaddr_storage *to)
{
    memset(to, 0, sizeof(*to));
    to->ss_family = (sa_family_t)endpoints[i].family;
    if (endpoints[i].family == AF_INET) {
        struct sockaddr_in *in = (struct sockaddr_in *)to;
        in->sin_port = htons(endpoints[i].port);
        inet_pton(AF_INET, endpoints[i].address, &in->sin_addr);
        return sizeof(*in);
    }
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)to;
    in6->sin6_port = htons(endpoints[i].port);
    inet_pton(AF_INET6, endpoints[i].address, &in6->sin6_addr);
    return sizeof(*in6);
}

Test(address, writes_endpoints)
{
    for (size_t i = 0; i < N(endpoints); i++) {
        struct sockaddr_storage sa;
        wsgi__endpoint e;
        socklen_t len = make_sockaddr(i, &sa);

        memset(&e, 'x', sizeof(e));
        wsgi__endpoint_of((struct sockaddr *)&sa, len, &e);
        cr_expect_str_eq(e.host, endpoints[i].host, "%s: %s",
                         endpoints[i].name, e.host);
        cr_expect_str_eq(e.port, endpoints[i].port_text, "%s: %s",
                         endpoints[i].name, e.port);

        wsgi__endpoint_of((struct sockaddr *)&sa, len - 1, &e);
        cr_expect_str_eq(e.host, "", "%s cut short", endpoints[i].name);
        cr_expect_str_eq(e.port, "", "%s cut short", endpoints[i].name);
    }
}

Test(address, other_families_have_no_numbers)
{
    struct sockaddr_storage sa = { .ss_family = AF_UNIX };
    wsgi__endpoint e;

    strcpy(((struct sockaddr_un *)&sa)->sun_path, "/run/x");
    static const sa_family_t families[] = { AF_UNIX, AF_UNSPEC, 77 };
    for (size_t i = 0; i < N(families); i++) {
        sa.ss_family = families[i];
        memset(&e, 'x', sizeof(e));
        wsgi__endpoint_of((struct sockaddr *)&sa, sizeof(sa), &e);
        cr_expect_str_eq(e.host, "", "family %d", families[i]);
        cr_expect_str_eq(e.port, "", "family %d", families[i]);
    }
    /* What accept() gives for an unnamed Unix peer, and for nothing. */
    wsgi__endpoint_of((struct sockaddr *)&sa, sizeof(sa_family_t), &e);
    cr_expect_str_eq(e.host, "");
    wsgi__endpoint_of((struct sockaddr *)&sa, 0, &e);
    cr_expect_str_eq(e.host, "");
}
