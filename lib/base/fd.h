/* Descriptors. */
#ifndef WSGI_BASE_FD_H
#define WSGI_BASE_FD_H

#include <errno.h>
#include <unistd.h>

/* After a failure whose errno is still to be looked at. */
static inline void
wsgi__close_keeping_errno(int fd)
{
    int error = errno;
    close(fd);
    errno = error;
}

#endif
