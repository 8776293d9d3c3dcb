/*
 * What both floors share: a listening socket on 127.0.0.1, connections and
 * complete writes.  A floor is no server: it ends at the first surprise, and
 * waits for the one client that does not read.
 */
#ifndef BENCH_FLOOR_H
#define BENCH_FLOOR_H

#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

/* Bytes that are read at once. */
#define FLOOR_READ (64 * 1024)

/* Prints what failed, with errno, and ends the program. */
_Noreturn void floor_die(const char *what);

/* Non-blocking, watched by the returned epoll descriptor under its own
 * number, as the connections are. */
int floor_listen(const char *port, int *poll);

/* Accepts what waits and watches it for good: interest never changes. */
void floor_accept(int poll, int listener);

/* As recv(), -1 where nothing is there yet, 0 when the connection is no use
 * any more. */
ssize_t floor_read(int fd, void *data, size_t len);

/* Writes everything; changes iov.  A client that is gone is found by the next
 * floor_read(). */
void floor_write(int fd, struct iovec *iov, size_t n);

#endif
