#include "floor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

_Noreturn void
floor_die(const char *what)
{
    perror(what);
    exit(1);
}

static void
watch(int poll, int fd)
{
    struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };
    if (epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event) < 0)
        floor_die("epoll_ctl");
}

int
floor_listen(const char *port, int *poll)
{
    const int on = 1;
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)atoi(port)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        floor_die("socket");
    signal(SIGPIPE, SIG_IGN); /* sendfile() has no flag for it */
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    /* Connections inherit it. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        floor_die("bind");
    if (listen(fd, 2048) < 0)
        floor_die("listen");
    *poll = epoll_create1(EPOLL_CLOEXEC);
    if (*poll < 0)
        floor_die("epoll_create1");
    watch(*poll, fd);
    return fd;
}

void
floor_accept(int poll, int listener)
{
    int fd;

    while ((fd = accept4(listener, NULL, NULL,
                         SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
        watch(poll, fd);
    if (errno != EAGAIN && errno != ECONNABORTED)
        floor_die("accept4");
}

ssize_t
floor_read(int fd, void *data, size_t len)
{
    ssize_t n = recv(fd, data, len, 0);

    if (n < 0 && errno != EAGAIN && errno != EINTR)
        return 0;
    return n;
}

static void
skip(struct iovec **iov, size_t *n, size_t written)
{
    while (*n > 0 && written >= (*iov)->iov_len) {
        written -= (*iov)->iov_len;
        (*iov)++;
        (*n)--;
    }
    if (*n > 0) {
        (*iov)->iov_base = (char *)(*iov)->iov_base + written;
        (*iov)->iov_len -= written;
    }
}

void
floor_write(int fd, struct iovec *iov, size_t n)
{
    while (n > 0) {
        struct msghdr message = { .msg_iov = iov, .msg_iovlen = n };
        ssize_t written = sendmsg(fd, &message, MSG_NOSIGNAL);
        if (written >= 0) {
            skip(&iov, &n, (size_t)written);
            continue;
        }
        struct pollfd room = { .fd = fd, .events = POLLOUT };
        if (errno != EAGAIN || poll(&room, 1, -1) < 0)
            return;
    }
}
