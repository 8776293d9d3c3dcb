/* Makes and adopts listening sockets, and says in words why it could not. */
#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include <wsgi/wsgi.h>

#include "base/fd.h"
#include "base/macros.h"
#include "base/mem.h"

#define PASS_OVER_MAX 16
/* "unix:" or "unix:@", a path and a NUL; longer than "[host]:port". */
#define TEXT_MAX (sizeof("unix:@") + WSGI__ADDR_PATH_MAX)

typedef struct any_address {
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    } u;
    socklen_t len;
} any_address;

typedef struct reason {
    int error;
    const char *sentence;
} reason;

static const reason tcp_reasons[] = {
    { EADDRINUSE, "the port is already in use; stop the other server or "
                  "choose another port" },
    { EACCES, "this port is reserved for privileged programs; choose one from "
              "1024 up, grant CAP_NET_BIND_SERVICE, or put a proxy in front" },
    { EADDRNOTAVAIL, "this machine has no such address; use one of its own, "
                     "or :port for all" },
    { EAFNOSUPPORT, "this machine does not support this kind of address; use "
                    "the other of IPv4 and IPv6" },
};

static const reason unix_reasons[] = {
    { EADDRINUSE, "the path is in use; stop the other server or choose "
                  "another path" },
    { EEXIST, "there is a file that is no socket; remove it or choose another "
              "path" },
    { ENOENT, "the folder does not exist; create it first" },
    { ENOTDIR, "a part of the path is no folder; correct the path" },
    { EACCES, "no permission; make the folder writable for this user or "
              "choose another" },
    { EPERM, "not permitted; choose a folder on a file system with sockets" },
    { EROFS, "the file system is read-only; choose another folder" },
};

static const char *
sentence_for(const reason *reasons, size_t n, int error)
{
    for (size_t i = 0; i < n; i++)
        if (reasons[i].error == error)
            return reasons[i].sentence;
    return NULL;
}

/* One line: "<where>: <why>". */
static int
cannot_bind(wsgi__buf *message, bool is_unix, const char *where, int error)
{
    const char *why =
        is_unix ? sentence_for(unix_reasons, WSGI__COUNT(unix_reasons), error)
                : sentence_for(tcp_reasons, WSGI__COUNT(tcp_reasons), error);

    wsgi__buf_reset(message);
    wsgi__buf_escape(message, wsgi__span_of(where));
    wsgi__buf_printf(message, ": %s", why ? why : strerror(error));
    return error == ENOMEM ? WSGI_ERR_NOMEM : WSGI_ERR_BIND;
}

/* ERR_INVALID of an adopted descriptor. */
static int
unfit(wsgi__buf *message, int fd, const char *why)
{
    wsgi__buf_reset(message);
    wsgi__buf_printf(message, "fd://%d: %s", fd, why);
    return WSGI_ERR_INVALID;
}

static int
out_of_memory(wsgi__buf *message)
{
    wsgi__buf_reset(message);
    wsgi__buf_puts(message, wsgi_strerror(WSGI_ERR_NOMEM));
    return WSGI_ERR_NOMEM;
}

static bool
is_wildcard(const any_address *at)
{
    if (at->u.sa.sa_family == AF_INET)
        return at->u.in.sin_addr.s_addr == htonl(INADDR_ANY);
    return at->u.sa.sa_family == AF_INET6 &&
           IN6_IS_ADDR_UNSPECIFIED(&at->u.in6.sin6_addr);
}

static void
put_piece(char **at, const char *piece)
{
    size_t len = strlen(piece);
    memcpy(*at, piece, len + 1);
    *at += len;
}

/* at->len of a Unix socket counts the path: one that fills sun_path has no NUL,
 * an abstract name begins with one. */
static void
put_unix_text(char *out, const any_address *at)
{
    size_t fixed = offsetof(struct sockaddr_un, sun_path);
    size_t len = at->len > fixed ? at->len - fixed : 0;
    const char *path = at->u.un.sun_path;

    put_piece(&out, "unix:");
    if (len && !*path) {
        put_piece(&out, "@");
        path++, len--;
    }
    len = strnlen(path, len);
    memcpy(out, path, len);
    out[len] = '\0';
}

static void
put_text(char *out, const any_address *at, const wsgi__endpoint *self)
{
    bool v6 = strchr(self->host, ':') != NULL;

    if (at->u.sa.sa_family == AF_UNIX) {
        put_unix_text(out, at);
        return;
    }
    put_piece(&out, v6 ? "[" : "");
    put_piece(&out, self->host);
    put_piece(&out, v6 ? "]:" : ":");
    put_piece(&out, self->port);
}

/* Takes a socket that listens; NULL when out of memory. */
static wsgi__listener *
new_listener(int fd, const any_address *at)
{
    char text[TEXT_MAX];
    wsgi__listener *listener = wsgi__mem_zero(1, sizeof(*listener));

    if (!listener)
        return NULL;
    listener->io.fd = fd;
    listener->is_unix = at->u.sa.sa_family == AF_UNIX;
    listener->wildcard = is_wildcard(at);
    wsgi__endpoint_of(&at->u.sa, at->len, &listener->self);
    put_text(text, at, &listener->self);
    listener->text = wsgi__mem_strdup(text);
    if (!listener->text) {
        wsgi__mem_free(listener);
        return NULL;
    }
    return listener;
}

static int
own_address(int fd, any_address *at)
{
    *at = (any_address){ .len = sizeof(at->u) };
    return getsockname(fd, &at->u.sa, &at->len);
}

static int
set_flag(int fd, int level, int name)
{
    int on = 1;
    return setsockopt(fd, level, name, &on, sizeof(on));
}

/* A socket bound to the address, or -1 with errno. */
static int
bind_tcp(const struct sockaddr *sa, socklen_t len, bool both_families,
         bool reuse_port)
{
    int v6only = !both_families;
    int fd =
        socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    /* Without SO_REUSEADDR a restart waits for TIME_WAIT.  TCP_NODELAY is
     * inherited by what is accepted: no system call per connection. */
    if (set_flag(fd, SOL_SOCKET, SO_REUSEADDR) < 0 ||
        set_flag(fd, IPPROTO_TCP, TCP_NODELAY) < 0 ||
        (reuse_port && set_flag(fd, SOL_SOCKET, SO_REUSEPORT) < 0) ||
        (sa->sa_family == AF_INET6 &&
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only)) <
             0) ||
        bind(fd, sa, len) < 0) {
        wsgi__close_keeping_errno(fd);
        return -1;
    }
    return fd;
}

static bool
lacks_ipv6(int error)
{
    return error == EAFNOSUPPORT || error == EADDRNOTAVAIL;
}

static int
bind_everywhere(const wsgi__address *address, bool reuse_port)
{
    unsigned port = 0;
    for (const char *digit = address->port; *digit; digit++)
        port = port * 10 + (unsigned)(*digit - '0');
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6,
                                .sin6_port = htons((uint16_t)port),
                                .sin6_addr = IN6ADDR_ANY_INIT };
    struct sockaddr_in in = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)port),
                              .sin_addr = { htonl(INADDR_ANY) } };

    int fd = bind_tcp((struct sockaddr *)&in6, sizeof(in6), true, reuse_port);
    if (fd >= 0 || !lacks_ipv6(errno))
        return fd;
    return bind_tcp((struct sockaddr *)&in, sizeof(in), false, reuse_port);
}

/* A listening socket, or -1 with errno.  listen() too can find the port in use,
 * by a socket that was bound at the same time. */
static int
listen_on_first(const struct addrinfo *found,
                const wsgi__listener_options *options)
{
    for (; found; found = found->ai_next) {
        int fd = bind_tcp(found->ai_addr, found->ai_addrlen, false,
                          options->reuse_port);
        if (fd < 0)
            continue;
        if (listen(fd, options->backlog) == 0)
            return fd;
        wsgi__close_keeping_errno(fd);
    }
    return -1;
}

static int
unresolved(wsgi__buf *message, const char *where, int code)
{
    if (code == EAI_MEMORY)
        return out_of_memory(message);
    wsgi__buf_reset(message);
    wsgi__buf_printf(
        message,
        "%s: the host cannot be resolved (%s); check its name or "
        "give its IP address",
        where, code == EAI_SYSTEM ? strerror(errno) : gai_strerror(code));
    return WSGI_ERR_ADDRESS;
}

static int
listen_tcp(const wsgi__address *address, const wsgi__listener_options *options,
           const char *where, int *fd, wsgi__buf *message)
{
    const struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
                                    .ai_socktype = SOCK_STREAM };
    struct addrinfo *found;

    if (!address->host[0]) {
        *fd = bind_everywhere(address, options->reuse_port);
        if (*fd >= 0 && listen(*fd, options->backlog) < 0) {
            wsgi__close_keeping_errno(*fd);
            *fd = -1;
        }
    } else {
        int code = getaddrinfo(address->host, address->port, &hints, &found);
        if (code != 0)
            return unresolved(message, where, code);
        *fd = listen_on_first(found, options);
        int error = errno;
        freeaddrinfo(found);
        errno = error;
    }
    return *fd < 0 ? cannot_bind(message, false, where, errno) : WSGI_OK;
}

static int
open_tcp(const wsgi__address *address, const wsgi__listener_options *options,
         wsgi__listener **listener, wsgi__buf *message)
{
    bool v6 = strchr(address->host, ':') != NULL;
    char where[WSGI__ADDR_HOST_MAX + WSGI__ADDR_PORT_MAX + sizeof("[]:")];
    char *end = where;
    any_address at;
    int fd = -1;

    put_piece(&end, v6 ? "[" : "");
    put_piece(&end, address->host);
    put_piece(&end, v6 ? "]:" : ":");
    put_piece(&end, address->port);
    int status = listen_tcp(address, options, where, &fd, message);
    if (status < 0)
        return status;
    if (own_address(fd, &at) < 0) {
        wsgi__close_keeping_errno(fd);
        return cannot_bind(message, false, where, errno);
    }
    *listener = new_listener(fd, &at);
    if (*listener)
        return WSGI_OK;
    close(fd);
    return out_of_memory(message);
}

static any_address
unix_address(const wsgi__address *address)
{
    any_address at = { .u.un = { .sun_family = AF_UNIX } };
    size_t abstract = address->kind == WSGI__ADDR_ABSTRACT;
    size_t len = strlen(address->path);

    /* The path with its NUL; or a NUL and the name, whose end the length
     * alone tells. */
    memcpy(at.u.un.sun_path + abstract, address->path, len);
    at.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
    return at;
}

static int
open_unix(const wsgi__address *address, const wsgi__listener_options *options,
          wsgi__listener **listener, wsgi__buf *message)
{
    bool is_file = address->kind == WSGI__ADDR_UNIX;
    char where[TEXT_MAX], *end = where;
    any_address at = unix_address(address);

    put_piece(&end, is_file ? "unix:" : "unix:@");
    put_piece(&end, address->path);
    int fd = wsgi__unix_listen(&at.u.un, at.len, options->backlog,
                               options->socket_mode);
    if (fd < 0)
        return cannot_bind(message, true, where, errno);
    wsgi__listener *made = new_listener(fd, &at);
    if (made && is_file &&
        wsgi__unix_file_remember(&made->file, address->path) < 0) {
        wsgi__listener_free(made, false);
        unlink(address->path);
        return out_of_memory(message);
    }
    if (!made) {
        close(fd);
        if (is_file)
            unlink(address->path);
        return out_of_memory(message);
    }
    *listener = made;
    return WSGI_OK;
}

int
wsgi__listener_open(const wsgi__address *address,
                    const wsgi__listener_options *options,
                    wsgi__listener **listener, wsgi__buf *error)
{
    int status = WSGI_ERR_INVALID;

    switch (address->kind) {
    case WSGI__ADDR_TCP:
        return open_tcp(address, options, listener, error);
    case WSGI__ADDR_UNIX:
    case WSGI__ADDR_ABSTRACT:
        return open_unix(address, options, listener, error);
    case WSGI__ADDR_FD:
        status = wsgi__listener_adopt(address->fd, options, listener, error);
        /* As an address it is one that cannot be had. */
        return status < 0 && status != WSGI_ERR_NOMEM ? WSGI_ERR_BIND : status;
    }
    return status;
}

/* Whether fd can be listened on, with its own address in *at. */
static int
examine(int fd, any_address *at, wsgi__buf *message)
{
    int type;
    socklen_t len = sizeof(type);
    any_address peer = { .len = sizeof(peer.u) };

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
        return unfit(message, fd,
                     errno == ENOTSOCK
                         ? "this is no socket; pass on a listening one"
                         : "this descriptor is not open; let the program that "
                           "starts the server open it and pass it on");
    if (type != SOCK_STREAM || own_address(fd, at) < 0)
        return unfit(message, fd,
                     "this is no stream socket; pass on one of SOCK_STREAM");
    int family = at->u.sa.sa_family;
    if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
        return unfit(message, fd,
                     "this is neither an IP nor a Unix socket; use one");
    if (getpeername(fd, &peer.u.sa, &peer.len) == 0)
        return unfit(message, fd,
                     "this socket is connected; pass on a listening one");
    /* sin_port and sin6_port stand at the same place. */
    if (family == AF_UNIX ? at->len <= offsetof(struct sockaddr_un, sun_path)
                          : at->u.in.sin_port == 0)
        return unfit(message, fd, "this socket is not bound; bind it first");
    return WSGI_OK;
}

static int
make_listen(int fd, const any_address *at,
            const wsgi__listener_options *options)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return -1;
    if (at->u.sa.sa_family != AF_UNIX &&
        set_flag(fd, IPPROTO_TCP, TCP_NODELAY) < 0)
        return -1;
    return listen(fd, options->backlog);
}

int
wsgi__listener_adopt(int fd, const wsgi__listener_options *options,
                     wsgi__listener **listener, wsgi__buf *error)
{
    any_address at;
    int status = examine(fd, &at, error);

    if (status < 0)
        return status;
    wsgi__listener *made = new_listener(fd, &at);
    if (!made)
        return out_of_memory(error);
    if (make_listen(fd, &at, options) < 0) {
        cannot_bind(error, made->is_unix, made->text, errno);
        made->io.fd = -1;
        wsgi__listener_free(made, false);
        return WSGI_ERR_SYSTEM;
    }
    *listener = made;
    return WSGI_OK;
}

int
wsgi__listener_own(wsgi__listener *listener)
{
    const char *path = listener->text + sizeof("unix:") - 1;

    if (!listener->is_unix || *path == '@' || listener->file.path)
        return WSGI_OK;
    return wsgi__unix_file_remember(&listener->file, path);
}

void
wsgi__listener_close(wsgi__listener *listener, bool unlink_file)
{
    /* Once: its number may be another file's afterwards. */
    if (unlink_file) {
        wsgi__unix_file_remove(&listener->file);
        wsgi__unix_file_forget(&listener->file);
    }
    if (listener->io.fd < 0)
        return;
    close(listener->io.fd);
    listener->io.fd = -1;
}

void
wsgi__listener_free(wsgi__listener *listener, bool unlink_file)
{
    if (!listener)
        return;
    wsgi__listener_close(listener, unlink_file);
    wsgi__unix_file_forget(&listener->file);
    wsgi__mem_free(listener->text);
    wsgi__mem_free(listener);
}

/* accept(2): errors already pending on the new connection come out here, and
 * say nothing about the next one. */
static bool
is_of_the_connection(int error)
{
    static const int passing[] = { EINTR,       ECONNABORTED, ECONNRESET,
                                   EPROTO,      ENETDOWN,     ENONET,
                                   ENOPROTOOPT, EHOSTDOWN,    EHOSTUNREACH,
                                   ENETUNREACH, ETIMEDOUT,    EOPNOTSUPP,
                                   EPERM };

    for (size_t i = 0; i < WSGI__COUNT(passing); i++)
        if (error == passing[i])
            return true;
    return false;
}

int
wsgi__listener_accept(wsgi__listener *listener, wsgi__endpoint *peer)
{
    for (int i = 0; i < PASS_OVER_MAX; i++) {
        any_address from = { .len = sizeof(from.u) };
        int fd = accept4(listener->io.fd, &from.u.sa, &from.len,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            wsgi__endpoint_of(&from.u.sa, from.len, peer);
            return fd;
        }
        if (!is_of_the_connection(errno))
            return -1;
    }
    errno = EAGAIN;
    return -1;
}
