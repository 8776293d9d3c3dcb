/*
 * The limit that the kernel sets: answers every request with the same body.
 *
 *     floor0 PORT FILE
 *
 * No Python, no parsing: an empty line ends a request, so bodies of requests
 * are not understood.  A request costs a share of an epoll_wait(), one recv()
 * and one sendmsg(), pipelined ones less.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "floor.h"

#define EVENTS 512
#define MAX_FD 65536
#define MAX_AT_ONCE 64
#define MAX_BODY (16 * 1024 * 1024)

/* Bytes since the last LF, of every connection: one byte between two of them
 * is the CR of an empty line. */
static size_t since_line_end[MAX_FD];

static size_t
requests_in(int fd, const char *data, size_t len)
{
    const char *end = data + len;
    const char *lf;
    size_t n = 0;

    while ((lf = memchr(data, '\n', (size_t)(end - data)))) {
        since_line_end[fd] += (size_t)(lf - data);
        n += since_line_end[fd] == 1;
        since_line_end[fd] = 0;
        data = lf + 1;
    }
    since_line_end[fd] += (size_t)(end - data);
    return n;
}

static void
answer(int fd, const char *text, size_t len, size_t n)
{
    struct iovec iov[MAX_AT_ONCE];

    while (n > 0) {
        size_t now = n < MAX_AT_ONCE ? n : MAX_AT_ONCE;
        for (size_t i = 0; i < now; i++)
            iov[i] = (struct iovec){ .iov_base = (void *)(size_t)text,
                                     .iov_len = len };
        floor_write(fd, iov, now);
        n -= now;
    }
}

static void
serve(int fd, const char *text, size_t len)
{
    static char data[FLOOR_READ];
    ssize_t n = floor_read(fd, data, sizeof(data));

    if (n > 0)
        answer(fd, text, len, requests_in(fd, data, (size_t)n));
    else if (n == 0) {
        since_line_end[fd] = 0;
        close(fd);
    }
}

/* The whole answer, with the file as its body. */
static char *
read_answer(const char *path, size_t *len)
{
    FILE *file = fopen(path, "rb");
    char *body = malloc(MAX_BODY);
    char *text = malloc(MAX_BODY + 256);

    if (!file || !body || !text)
        floor_die(path);
    size_t n_body = fread(body, 1, MAX_BODY, file);
    int n_head = sprintf(text,
                         "HTTP/1.1 200 OK\r\n"
                         "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
                         "Content-Type: text/plain\r\n"
                         "Content-Length: %zu\r\n\r\n",
                         n_body);
    memcpy(text + n_head, body, n_body);
    *len = (size_t)n_head + n_body;
    fclose(file);
    free(body);
    return text;
}

int
main(int argc, char **argv)
{
    struct epoll_event events[EVENTS];
    size_t len;
    int poll;

    if (argc != 3) {
        fprintf(stderr, "usage: floor0 PORT FILE\n");
        return 2;
    }
    char *text = read_answer(argv[2], &len);
    int listener = floor_listen(argv[1], &poll);
    for (;;) {
        int n = epoll_wait(poll, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == listener)
                floor_accept(poll, listener);
            else
                serve(events[i].data.fd, text, len);
        }
    }
}
