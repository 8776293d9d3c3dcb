/*
 * What the loop asks of the kernel: which descriptors are ready.
 *
 * Between net/loop.c and its back ends only.  A back end knows neither timers
 * nor posts; it never calls io->ready.
 */
#ifndef WSGI_NET_LOOP_BACKEND_H
#define WSGI_NET_LOOP_BACKEND_H

#include "net/loop.h"

/* Ready descriptors of one wait. */
#define WSGI__FETCH_MAX 256

#define WSGI__NS_PER_S UINT64_C(1000000000)

typedef struct wsgi__fired {
    wsgi__io *io; /* NULL: unwatched since it was fetched */
    unsigned events;
} wsgi__fired;

typedef struct wsgi__backend wsgi__backend;

typedef struct wsgi__backend_ops {
    void (*close)(wsgi__backend *backend);
    /* Watches for want, not 0; io->want still says what is watched now. */
    int (*watch)(wsgi__backend *backend, wsgi__io *io, unsigned want);
    /* io is watched. */
    void (*unwatch)(wsgi__backend *backend, wsgi__io *io);
    /* Fills up to WSGI__FETCH_MAX and returns their number, or -1 with errno.
     * Who is ready and finds no room comes first another time. */
    int (*wait)(wsgi__backend *backend, wsgi__fired *fired, int timeout_ms);
    /* NULL, both, where there is no descriptor to hand out. */
    int (*fd)(const wsgi__backend *backend);
    /* The fd is to be readable once the monotonic clock is past at_ns; earlier
     * does no harm.  0: there is no deadline. */
    int (*publish)(wsgi__backend *backend, uint64_t at_ns);
} wsgi__backend_ops;

struct wsgi__backend { /* first member of the back end's own struct */
    const wsgi__backend_ops *ops;
};

/* NULL with errno. */
wsgi__backend *wsgi__backend_epoll(void);
wsgi__backend *wsgi__backend_poll(void);

#endif
