#include <criterion/criterion.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <wsgi/wsgi.h>

#include "base/mem.h"
#include "net/listener.h"

#define N(table) (sizeof(table) / sizeof(*(table)))

/* Ours is called in place of the C library's: it fails with these first. */
static int inject[64];
static size_t n_inject;

int
accept4(int fd, __SOCKADDR_ARG sa, socklen_t *restrict len, int flags)
{
    if (n_inject) {
        errno = inject[--n_inject];
        return -1;
    }
    return (int)syscall(SYS_accept4, fd, sa.__sockaddr__, len, flags);
}

static const wsgi__listener_options usual = { .backlog = 16,
                                              .socket_mode = 0666 };
static char folder[] = P_tmpdir "/wsgi-listener-XXXXXX";
static wsgi__buf error;

static void
setup(void)
{
    wsgi__buf_init(&error, 4096);
    cr_assert(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0);
}

static void
teardown(void)
{
    wsgi__buf_free(&error);
    cr_expect_eq(rmdir(folder), 0, "a file was left behind");
}

TestSuite(listener, .init = setup, .fini = teardown);

static int
open_text(const char *text, const wsgi__listener_options *options,
          wsgi__listener **listener)
{
    wsgi__address address;

    *listener = NULL;
    cr_assert_eq(wsgi__address_parse(text, &address, &error), WSGI_OK, "%s",
                 text);
    wsgi__buf_reset(&error);
    return wsgi__listener_open(&address, options, listener, &error);
}

static wsgi__listener *
must_open(const char *text)
{
    wsgi__listener *listener;
    int status = open_text(text, &usual, &listener);
    cr_assert_eq(status, WSGI_OK, "%s: %s", text, wsgi__buf_str(&error));
    return listener;
}

static int
int_option(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof(value);
    cr_assert_eq(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

static int
connect_to(const char *host, const char *port)
{
    struct sockaddr_in in = { .sin_family = AF_INET };
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
    bool v6 = strchr(host, ':') != NULL;
    int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);

    in.sin_port = in6.sin6_port = htons((uint16_t)atoi(port));
    inet_pton(AF_INET, host, &in.sin_addr);
    inet_pton(AF_INET6, host, &in6.sin6_addr);
    int result = v6 ? connect(fd, (struct sockaddr *)&in6, sizeof(in6))
                    : connect(fd, (struct sockaddr *)&in, sizeof(in));
    if (result == 0)
        return fd;
    close(fd);
    return -1;
}

static int
connect_unix(const char *path)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    strcpy(un.sun_path, path);
    if (connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0)
        return fd;
    close(fd);
    return -1;
}

static bool
have_ipv6(void)
{
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6,
                                .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    bool have = fd >= 0 && bind(fd, (struct sockaddr *)&in6, sizeof(in6)) == 0;
    if (fd >= 0)
        close(fd);
    return have;
}

static size_t
count_fds(void)
{
    size_t n = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

static void
expect_accepts(wsgi__listener *l, const char *client_host)
{
    wsgi__endpoint peer;
    int client = connect_to(client_host, l->self.port);

    cr_assert_geq(client, 0, "%s from %s", l->text, client_host);
    int fd = wsgi__listener_accept(l, &peer);
    cr_assert_geq(fd, 0, "%s", l->text);
    cr_expect_str_eq(peer.host, client_host, "%s: %s", l->text, peer.host);
    cr_expect_neq(atoi(peer.port), 0);
    cr_expect(fcntl(fd, F_GETFL) & O_NONBLOCK);
    cr_expect(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    cr_expect_neq(int_option(fd, IPPROTO_TCP, TCP_NODELAY), 0,
                  "inherited from the listening socket");
    close(fd);
    close(client);
}

Test(listener, accepts_on_ipv4)
{
    wsgi__endpoint peer;
    wsgi__listener *l = must_open("127.0.0.1:0");
    char text[64];

    snprintf(text, sizeof(text), "127.0.0.1:%s", l->self.port);
    cr_expect_str_eq(l->text, text);
    cr_expect_str_eq(l->self.host, "127.0.0.1");
    cr_expect_neq(atoi(l->self.port), 0, "the port that was chosen");
    cr_expect_not(l->is_unix);
    cr_expect_not(l->wildcard);
    cr_expect_null(l->file.path);
    cr_expect(fcntl(l->io.fd, F_GETFL) & O_NONBLOCK);
    cr_expect(fcntl(l->io.fd, F_GETFD) & FD_CLOEXEC);
    cr_expect_neq(int_option(l->io.fd, SOL_SOCKET, SO_REUSEADDR), 0);
    cr_expect_eq(int_option(l->io.fd, SOL_SOCKET, SO_REUSEPORT), 0);
    expect_accepts(l, "127.0.0.1");
    cr_expect_eq(wsgi__listener_accept(l, &peer), -1);
    cr_expect_eq(errno, EAGAIN);
    wsgi__listener_free(l, true);
}

Test(listener, accepts_on_ipv6)
{
    char text[64];

    if (!have_ipv6())
        cr_skip_test("this machine has no ::1");
    wsgi__listener *l = must_open("[::1]:0");
    snprintf(text, sizeof(text), "[::1]:%s", l->self.port);
    cr_expect_str_eq(l->text, text);
    expect_accepts(l, "::1");
    wsgi__listener_free(l, true);
}

Test(listener, a_port_alone_is_every_interface_and_family)
{
    wsgi__listener *l = must_open(":0");

    cr_expect(l->wildcard);
    expect_accepts(l, "127.0.0.1");
    if (have_ipv6())
        expect_accepts(l, "::1");
    wsgi__listener_free(l, true);
}

Test(listener, an_ipv6_wildcard_leaves_ipv4_to_another)
{
    char text[64];

    if (!have_ipv6())
        cr_skip_test("this machine has no ::1");
    wsgi__listener *six = must_open("[::]:0");
    cr_expect(six->wildcard);
    cr_expect_eq(connect_to("127.0.0.1", six->self.port), -1);
    snprintf(text, sizeof(text), "0.0.0.0:%s", six->self.port);
    wsgi__listener *four = must_open(text);
    cr_expect(four->wildcard);
    cr_expect_str_eq(four->text, text);
    expect_accepts(four, "127.0.0.1");
    expect_accepts(six, "::1");
    wsgi__listener_free(six, true);
    wsgi__listener_free(four, true);
}

/* A container may come without /etc/hosts. */
static bool
have_localhost(void)
{
    struct addrinfo *found = NULL;

    if (getaddrinfo("localhost", NULL, NULL, &found) != 0)
        return false;
    freeaddrinfo(found);
    return true;
}

Test(listener, a_host_name_is_resolved)
{
    if (!have_localhost())
        cr_skip_test("this machine has no localhost");
    wsgi__listener *l = must_open("localhost:0");

    cr_expect(strcmp(l->self.host, "127.0.0.1") == 0 ||
                  strcmp(l->self.host, "::1") == 0,
              "%s", l->text);
    expect_accepts(l, l->self.host);
    wsgi__listener_free(l, true);
}

Test(listener, reuse_port_lets_two_listen)
{
    const wsgi__listener_options options = { .backlog = 16,
                                             .reuse_port = true };
    wsgi__listener *a, *b;

    cr_assert_eq(open_text("127.0.0.1:0", &options, &a), WSGI_OK);
    cr_expect_eq(open_text(a->text, &options, &b), WSGI_OK, "%s",
                 wsgi__buf_str(&error));
    wsgi__listener_free(b, true);
    cr_expect_eq(open_text(a->text, &usual, &b), WSGI_ERR_BIND);
    wsgi__listener_free(a, true);
}

static void
expect_refused(const char *text, int status, const char *sentence)
{
    wsgi__listener *l = NULL;
    size_t before = count_fds();
    int got = open_text(text, &usual, &l);

    cr_expect_eq(got, status, "%s: %d", text, got);
    cr_expect_null(l, "%s", text);
    cr_expect_str_eq(wsgi__buf_str(&error), sentence, "got: %s",
                     wsgi__buf_str(&error));
    cr_expect_eq(count_fds(), before, "%s: descriptors", text);
}

Test(listener, says_why_a_tcp_address_cannot_be_had)
{
    char sentence[256];
    wsgi__listener *l = must_open("127.0.0.1:0");

    snprintf(sentence, sizeof(sentence),
             "%s: the port is already in use; stop the other server or "
             "choose another port",
             l->text);
    expect_refused(l->text, WSGI_ERR_BIND, sentence);
    wsgi__listener_free(l, true);
    expect_refused("192.0.2.1:0", WSGI_ERR_BIND,
                   "192.0.2.1:0: this machine has no such address; use one "
                   "of its own, or :port for all");
    if (have_ipv6())
        expect_refused("[2001:db8::1]:0", WSGI_ERR_BIND,
                       "[2001:db8::1]:0: this machine has no such address; "
                       "use one of its own, or :port for all");
    cr_expect_eq(open_text("no-such-host.invalid:80", &usual, &l),
                 WSGI_ERR_ADDRESS);
    cr_expect(strstr(wsgi__buf_str(&error),
                     "no-such-host.invalid:80: the host cannot be resolved "
                     "("),
              "%s", wsgi__buf_str(&error));
    cr_expect(strstr(wsgi__buf_str(&error),
                     "); check its name or give its IP address"),
              "%s", wsgi__buf_str(&error));
}

Test(listener, says_what_to_do_about_a_privileged_port)
{
    if (geteuid() == 0)
        cr_assert_eq(seteuid(65534), 0);
    wsgi__listener *l;
    int status = open_text("127.0.0.1:1", &usual, &l);
    bool may = status == WSGI_OK; /* ip_unprivileged_port_start is 0 */
    wsgi__listener_free(l, true);
    if (!may)
        expect_refused("127.0.0.1:1", WSGI_ERR_BIND,
                       "127.0.0.1:1: this port is reserved for privileged "
                       "programs; choose one from 1024 up, grant "
                       "CAP_NET_BIND_SERVICE, or put a proxy in front");
    if (getuid() == 0)
        cr_assert_eq(seteuid(0), 0);
    if (may)
        cr_skip_test("every port may be bound here");
}

Test(listener, makes_a_unix_socket_with_its_mode)
{
    static const mode_t modes[] = { 0666, 0660, 0600, 0777 };
    static const mode_t umasks[] = { 0, 022, 0777 };

    for (size_t i = 0; i < N(modes) * N(umasks); i++) {
        const wsgi__listener_options options = { .backlog = 16,
                                                 .socket_mode =
                                                     modes[i / N(umasks)] };
        wsgi__listener *l;
        wsgi__endpoint peer;
        struct stat st;

        umask(umasks[i % N(umasks)]);
        cr_assert_eq(open_text("unix:s.sock", &options, &l), WSGI_OK, "%s",
                     wsgi__buf_str(&error));
        umask(022);
        cr_expect_str_eq(l->text, "unix:s.sock");
        cr_expect(l->is_unix);
        cr_expect_eq(lstat("s.sock", &st), 0);
        cr_expect_eq(st.st_mode & 07777, options.socket_mode, "%o",
                     (unsigned)st.st_mode);
        int client = connect_unix("s.sock");
        cr_expect_geq(client, 0);
        int fd = wsgi__listener_accept(l, &peer);
        cr_expect_geq(fd, 0);
        cr_expect_str_eq(peer.host, "");
        cr_expect_str_eq(peer.port, "");
        close(fd);
        close(client);
        wsgi__listener_free(l, true);
        cr_expect_eq(lstat("s.sock", &st), -1, "it is removed");
    }
}

Test(listener, removes_its_file_after_a_change_of_folder)
{
    struct stat st;
    wsgi__listener *l = must_open("unix:s.sock");

    cr_assert_eq(chdir("/"), 0);
    wsgi__listener_free(l, true);
    cr_assert_eq(chdir(folder), 0);
    cr_expect_eq(lstat("s.sock", &st), -1);
}

Test(listener, leaves_a_file_it_did_not_make)
{
    struct stat st;
    wsgi__listener *old = must_open("unix:s.sock");

    wsgi__listener_free(must_open("unix:other.sock"), true);
    cr_assert_eq(unlink("s.sock"), 0);
    wsgi__listener *new = must_open("unix:s.sock");
    wsgi__listener_free(old, true);
    cr_expect_eq(lstat("s.sock", &st), 0, "it is the successor's");
    wsgi__listener_free(new, false);
    cr_expect_eq(lstat("s.sock", &st), 0, "forked processes go on with it");
    unlink("s.sock");
}

Test(listener, removes_its_file_once_and_later_if_it_has_to)
{
    struct stat st;
    wsgi__listener *l = must_open("unix:s.sock");

    wsgi__listener_close(l, false);
    cr_expect_eq(lstat("s.sock", &st), 0, "forked processes go on with it");
    cr_expect_lt(connect_unix("s.sock"), 0);
    wsgi__listener_close(l, true);
    cr_expect_eq(lstat("s.sock", &st), -1, "they have ended");
    cr_expect_null(l->file.path);
    wsgi__listener_free(l, true);
}

Test(listener, replaces_a_stale_socket_only)
{
    wsgi__listener *l = must_open("unix:s.sock");

    expect_refused("unix:s.sock", WSGI_ERR_BIND,
                   "unix:s.sock: the path is in use; stop the other server "
                   "or choose another path");
    wsgi__listener_free(l, false);
    l = must_open("unix:s.sock");
    int client = connect_unix("s.sock");
    cr_expect_geq(client, 0);
    close(client);
    wsgi__listener_free(l, true);
}

Test(listener, a_full_queue_is_in_use)
{
    const wsgi__listener_options options = { .backlog = 0,
                                             .socket_mode = 0600 };
    wsgi__listener *l, *other;

    cr_assert_eq(open_text("unix:s.sock", &options, &l), WSGI_OK);
    int client = connect_unix("s.sock");
    cr_expect_eq(open_text("unix:s.sock", &usual, &other), WSGI_ERR_BIND);
    close(client);
    wsgi__listener_free(l, true);
}

Test(listener, says_why_a_unix_path_cannot_be_had)
{
    int file = open("file", O_CREAT | O_WRONLY, 0600);
    struct stat st;

    close(file);
    expect_refused("unix:file", WSGI_ERR_BIND,
                   "unix:file: there is a file that is no socket; remove it "
                   "or choose another path");
    cr_expect_eq(lstat("file", &st), 0, "it is left alone");
    expect_refused("unix:missing/s.sock", WSGI_ERR_BIND,
                   "unix:missing/s.sock: the folder does not exist; create "
                   "it first");
    expect_refused("unix:file/s.sock", WSGI_ERR_BIND,
                   "unix:file/s.sock: a part of the path is no folder; "
                   "correct the path");
    cr_expect_eq(symlink("file", "link"), 0);
    expect_refused("unix:link", WSGI_ERR_BIND,
                   "unix:link: there is a file that is no socket; remove it "
                   "or choose another path");
    unlink("link");
    unlink("file");

    int other = socket(AF_UNIX, SOCK_DGRAM, 0);
    struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = "dgram" };
    cr_assert_eq(bind(other, (struct sockaddr *)&un, sizeof(un)), 0);
    expect_refused("unix:dgram", WSGI_ERR_BIND,
                   "unix:dgram: the path is in use; stop the other server or "
                   "choose another path");
    close(other);
    unlink("dgram");
}

Test(listener, says_that_a_folder_is_not_writable)
{
    if (geteuid() == 0)
        cr_assert_eq(seteuid(65534), 0);
    expect_refused("unix:/s.sock", WSGI_ERR_BIND,
                   "unix:/s.sock: no permission; make the folder writable "
                   "for this user or choose another");
    if (getuid() == 0)
        cr_assert_eq(seteuid(0), 0);
}

Test(listener, takes_the_longest_path)
{
    char text[128] = "unix:";
    struct stat st;

    memset(text + 5, 'p', 107);
    wsgi__listener *l = must_open(text);
    cr_expect_str_eq(l->text, text);
    cr_expect_eq(lstat(text + 5, &st), 0);
    wsgi__listener_free(l, true);

    snprintf(text, sizeof(text), "unix:@%ld-", (long)getpid());
    size_t len = strlen(text);
    memset(text + len, 'n', 6 + 107 - len);
    l = must_open(text);
    cr_expect_str_eq(l->text, text);
    cr_expect_null(l->file.path);
    wsgi__listener *other;
    cr_expect_eq(open_text(text, &usual, &other), WSGI_ERR_BIND);
    wsgi__listener_free(l, true);
}

/* A descriptor to adopt, of the kind that the table names. */
typedef enum fd_kind {
    BOUND_TCP,
    LISTENING_TCP,
    BOUND_UNIX,
    ABSTRACT_UNIX,
    UNBOUND_TCP,
    UNBOUND_UNIX,
    CONNECTED,
    DATAGRAM,
    NOT_A_SOCKET,
    CLOSED
} fd_kind;

static int
make_fd(fd_kind kind)
{
    struct sockaddr_in in = { .sin_family = AF_INET,
                              .sin_addr = { htonl(INADDR_LOOPBACK) } };
    struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = "a.sock" };
    char name[32];
    int fds[2] = { -1, -1 }, fd = -1;

    switch (kind) {
    case BOUND_TCP:
    case LISTENING_TCP:
        fd = socket(AF_INET, SOCK_STREAM, 0);
        cr_assert_eq(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
        if (kind == LISTENING_TCP)
            cr_assert_eq(listen(fd, 1), 0);
        return fd;
    case BOUND_UNIX:
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        cr_assert_eq(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
        return fd;
    case ABSTRACT_UNIX:
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        snprintf(name, sizeof(name), "adopt-%ld", (long)getpid());
        memcpy(un.sun_path, "", 1);
        strcpy(un.sun_path + 1, name);
        cr_assert_eq(bind(fd, (struct sockaddr *)&un,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
                                      1 + strlen(name))),
                     0);
        return fd;
    case UNBOUND_TCP:
        return socket(AF_INET, SOCK_STREAM, 0);
    case UNBOUND_UNIX:
        return socket(AF_UNIX, SOCK_STREAM, 0);
    case CONNECTED:
        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        close(fds[1]);
        return fds[0];
    case DATAGRAM:
        return socket(AF_INET, SOCK_DGRAM, 0);
    case NOT_A_SOCKET:
        return open("/dev/null", O_RDONLY);
    case CLOSED:
        fd = open("/dev/null", O_RDONLY);
        close(fd);
        return fd;
    }
    return -1;
}

static const struct {
    fd_kind kind;
    const char *text; /* how it begins, or the fault */
    int status;
} adoptions[] = {
    { BOUND_TCP, "127.0.0.1:", WSGI_OK },
    { LISTENING_TCP, "127.0.0.1:", WSGI_OK },
    { BOUND_UNIX, "unix:a.sock", WSGI_OK },
    { ABSTRACT_UNIX, "unix:@adopt-", WSGI_OK },
    { UNBOUND_TCP, "this socket is not bound; bind it first",
      WSGI_ERR_INVALID },
    { UNBOUND_UNIX, "this socket is not bound; bind it first",
      WSGI_ERR_INVALID },
    { CONNECTED, "this socket is connected; pass on a listening one",
      WSGI_ERR_INVALID },
    { DATAGRAM, "this is no stream socket; pass on one of SOCK_STREAM",
      WSGI_ERR_INVALID },
    { NOT_A_SOCKET, "this is no socket; pass on a listening one",
      WSGI_ERR_INVALID },
    { CLOSED,
      "this descriptor is not open; let the program that starts the "
      "server open it and pass it on",
      WSGI_ERR_INVALID },
};

Test(listener, adopts_what_can_listen)
{
    for (size_t i = 0; i < N(adoptions); i++) {
        int fd = make_fd(adoptions[i].kind);
        wsgi__listener *l = NULL;
        struct stat st;
        char sentence[256];

        wsgi__buf_reset(&error);
        int flags = fcntl(fd, F_GETFL);
        int status = wsgi__listener_adopt(fd, &usual, &l, &error);
        cr_expect_eq(status, adoptions[i].status, "row %zu: %d %s", i, status,
                     wsgi__buf_str(&error));
        if (status < 0) {
            snprintf(sentence, sizeof(sentence), "fd://%d: %s", fd,
                     adoptions[i].text);
            cr_expect_str_eq(wsgi__buf_str(&error), sentence, "row %zu: %s", i,
                             wsgi__buf_str(&error));
            cr_expect_null(l);
            cr_expect_eq(fcntl(fd, F_GETFL), flags, "row %zu: untouched", i);
            close(fd);
            continue;
        }
        cr_expect_eq(
            strncmp(l->text, adoptions[i].text, strlen(adoptions[i].text)), 0,
            "row %zu: %s", i, l->text);
        cr_expect_eq(int_option(fd, SOL_SOCKET, SO_ACCEPTCONN), 1);
        cr_expect(fcntl(fd, F_GETFL) & O_NONBLOCK);
        cr_expect(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        cr_expect_eq(l->is_unix, l->text[0] == 'u');
        if (!l->is_unix)
            expect_accepts(l, "127.0.0.1");
        wsgi__listener_free(l, true);
        if (adoptions[i].kind == BOUND_UNIX) {
            cr_expect_eq(lstat("a.sock", &st), 0, "who made it removes it");
            unlink("a.sock");
        }
    }
}

Test(listener, removes_what_it_took_over)
{
    struct stat st;
    wsgi__listener *old = must_open("unix:s.sock"), *new = NULL;
    wsgi__listener *tcp = must_open("127.0.0.1:0");

    cr_assert_eq(wsgi__listener_adopt(dup(old->io.fd), &usual, &new, &error),
                 WSGI_OK);
    cr_expect_eq(wsgi__listener_own(new), WSGI_OK);
    cr_expect_eq(wsgi__listener_own(tcp), WSGI_OK);
    cr_expect_null(tcp->file.path);
    wsgi__listener_free(tcp, true);
    wsgi__listener_free(old, false);
    cr_expect_eq(lstat("s.sock", &st), 0);
    wsgi__listener_free(new, true);
    cr_expect_eq(lstat("s.sock", &st), -1);
}

Test(listener, opens_descriptors_by_address)
{
    char text[32];
    int fd = make_fd(BOUND_TCP);

    snprintf(text, sizeof(text), "fd://%d", fd);
    wsgi__listener *l = must_open(text);
    cr_expect_eq(l->io.fd, fd);
    wsgi__listener_free(l, true);
    cr_expect_eq(fcntl(fd, F_GETFD), -1, "it was the listener's");
    cr_expect_eq(open_text(text, &usual, &l), WSGI_ERR_BIND);
}

static const struct {
    const char *name;
    int error, after;
} accept_errors[] = {
    { "aborted", ECONNABORTED, 0 },
    { "protocol", EPROTO, 0 },
    { "interrupted", EINTR, 0 },
    { "net down", ENETDOWN, 0 },
    { "no protocol", ENOPROTOOPT, 0 },
    { "host down", EHOSTDOWN, 0 },
    { "no network", ENONET, 0 },
    { "unreachable", EHOSTUNREACH, 0 },
    { "not supported", EOPNOTSUPP, 0 },
    { "no route", ENETUNREACH, 0 },
    { "firewall", EPERM, 0 },
    { "none", EAGAIN, EAGAIN },
    { "process full", EMFILE, EMFILE },
    { "system full", ENFILE, ENFILE },
    { "no buffers", ENOBUFS, ENOBUFS },
    { "no memory", ENOMEM, ENOMEM },
    { "not listening", EINVAL, EINVAL },
};

Test(listener, passes_over_connections_that_failed)
{
    wsgi__listener *l = must_open("127.0.0.1:0");
    wsgi__endpoint peer;

    for (size_t i = 0; i < N(accept_errors); i++) {
        int client = connect_to("127.0.0.1", l->self.port);
        inject[0] = accept_errors[i].error;
        n_inject = 1;
        int fd = wsgi__listener_accept(l, &peer);
        int got = errno;
        if (accept_errors[i].after) {
            cr_expect_eq(fd, -1, "%s", accept_errors[i].name);
            cr_expect_eq(got, accept_errors[i].after, "%s: %d",
                         accept_errors[i].name, got);
            fd = wsgi__listener_accept(l, &peer);
        }
        cr_expect_geq(fd, 0, "%s", accept_errors[i].name);
        close(fd);
        close(client);
    }
    for (n_inject = 0; n_inject < N(inject); n_inject++)
        inject[n_inject] = ECONNABORTED;
    cr_expect_eq(wsgi__listener_accept(l, &peer), -1);
    cr_expect_eq(errno, EAGAIN, "not for ever");
    cr_expect_gt(n_inject, 0);
    n_inject = 0;
    wsgi__listener_free(l, true);
}

Test(listener, survives_every_failing_allocation)
{
    static const char *const texts[] = { "127.0.0.1:0", ":0", "unix:s.sock",
                                         "unix:@listener-nomem" };
    struct stat st;

    for (size_t i = 0; i < N(texts); i++) {
        size_t before = count_fds();
        int status = WSGI_ERR_NOMEM;
        long n = 0;
        while (status == WSGI_ERR_NOMEM && n < 20) {
            wsgi__address address;
            wsgi__listener *l = NULL;
            cr_assert_eq(wsgi__address_parse(texts[i], &address, &error), 0);
            wsgi__mem_fail_nth(++n);
            status = wsgi__listener_open(&address, &usual, &l, &error);
            wsgi__mem_fail_nth(0);
            cr_expect_eq(l == NULL, status < 0, "%s, %ld", texts[i], n);
            if (status < 0)
                cr_expect_eq(lstat("s.sock", &st), -1, "%s, %ld", texts[i], n);
            wsgi__listener_free(l, true);
            cr_expect_eq(count_fds(), before, "%s, %ld: descriptors", texts[i],
                         n);
        }
        cr_expect_eq(status, WSGI_OK, "%s: %d", texts[i], status);
        cr_expect_eq(n, i == 2 ? 4 : 3, "%s: %ld", texts[i], n);
    }
    int fd = make_fd(BOUND_TCP);
    for (long n = 1; n <= 2; n++) {
        wsgi__listener *l = NULL;
        wsgi__mem_fail_nth(n);
        cr_expect_eq(wsgi__listener_adopt(fd, &usual, &l, &error),
                     WSGI_ERR_NOMEM);
        wsgi__mem_fail_nth(0);
        cr_expect_null(l);
        cr_expect_neq(fcntl(fd, F_GETFD), -1, "it stays the caller's");
    }
    close(fd);
}
