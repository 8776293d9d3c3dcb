#include "server/worker.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macros.h"

/* Handlers have no argument of their own. */
static wsgi_worker *_Atomic current;

/* What a supervisor sends or a terminal sends to all processes. */
static const int handled[] = { SIGTERM, SIGQUIT, SIGINT,  SIGHUP,  SIGUSR1,
                               SIGUSR2, SIGTTIN, SIGTTOU, SIGWINCH };

/* ---- Orders ------------------------------------------------------------- */

static void
write_one(int fd)
{
    uint64_t one = 1;
    ssize_t ignored = write(fd, &one, sizeof(one));
    (void)ignored; /* a full counter wakes as well */
}

/* END overtakes DRAIN, never the other way. */
static void
give_order(wsgi_worker *worker, wsgi_worker_order order)
{
    int before = atomic_load(&worker->order);

    while (before < (int)order &&
           !atomic_compare_exchange_weak(&worker->order, &before, (int)order))
        continue;
    write_one(worker->told);
}

/* Taken up when the handler returns. */
static void
end_by(int number)
{
    signal(number, SIG_DFL);
    raise(number);
}

static void
on_order(wsgi_worker *worker, int number)
{
    /* Nothing is under way yet that could be finished.  A quick end is no
     * reason for a core file. */
    if (atomic_load(&worker->score->state) == WSGI__WORKER_STARTING)
        end_by(SIGTERM);
    else if (number == SIGTERM)
        give_order(worker, WSGI_WORKER_DRAIN);
    else if (atomic_load(&worker->order) == WSGI_WORKER_END)
        end_by(SIGTERM);
    else
        give_order(worker, WSGI_WORKER_END);
}

static void
on_signal(int number)
{
    int saved = errno;
    wsgi_worker *worker = atomic_load(&current);

    /* A child of the application, such as one of multiprocessing, which ends
     * its children by SIGTERM. */
    if (!worker || worker->pid != getpid())
        end_by(number);
    else if (number == SIGTERM || number == SIGQUIT)
        on_order(worker, number);
    errno = saved;
}

/* Not ignored: what is ignored stays so in programs that the application
 * starts. */
static void
take_signals(const int *numbers, size_t n)
{
    struct sigaction action = { .sa_handler = on_signal,
                                .sa_flags = SA_RESTART };

    sigfillset(&action.sa_mask);
    for (size_t i = 0; i < n; i++)
        sigaction(numbers[i], &action, NULL);
}

/* ---- The beginning ------------------------------------------------------ */

static int
watch(wsgi_worker *worker, int fd)
{
    struct epoll_event event = { .events = EPOLLIN, .data = { .fd = fd } };

    return epoll_ctl(worker->fd, EPOLL_CTL_ADD, fd, &event);
}

int
wsgi__worker_begin(wsgi_worker *worker)
{
    worker->pid = getpid();
    worker->told = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    worker->fd = epoll_create1(EPOLL_CLOEXEC);
    if (worker->told < 0 || worker->fd < 0 ||
        watch(worker, worker->told) < 0 || watch(worker, worker->lifeline) < 0)
        return WSGI_ERR_SYSTEM;
    signal(SIGCHLD, SIG_DFL);
    atomic_store(&current, worker);
    take_signals(handled, WSGI__COUNT(handled));
    /* Faster than the lifeline for a worker that does not look at it; lost when
     * the worker changes its user. */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    return WSGI_OK;
}

/* ---- What a worker calls ------------------------------------------------ */

unsigned
wsgi_worker_number(const wsgi_worker *worker)
{
    return worker->number;
}

unsigned
wsgi_worker_generation(const wsgi_worker *worker)
{
    return worker->generation;
}

void
wsgi__worker_notify(wsgi_worker *worker)
{
    write_one(worker->notice);
}

void
wsgi_worker_beat(wsgi_worker *worker)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    wsgi__count_set(&worker->score->heartbeat_ns,
                    (uint64_t)now.tv_sec * UINT64_C(1000000000) +
                        (uint64_t)now.tv_nsec);
}

void
wsgi_worker_ready(wsgi_worker *worker)
{
    int starting = WSGI__WORKER_STARTING;

    wsgi_worker_beat(worker);
    /* Code that was loaded meanwhile may have taken these for itself, and the
     * worker would never hear that it is to drain. */
    take_signals(handled, 2);
    if (atomic_compare_exchange_strong(&worker->score->state, &starting,
                                       WSGI__WORKER_READY))
        wsgi__worker_notify(worker);
}

void
wsgi__worker_replace(wsgi_worker *worker, wsgi__replace why)
{
    int no = WSGI__REPLACE_NO;

    if (atomic_compare_exchange_strong(&worker->score->replace, &no, (int)why))
        wsgi__worker_notify(worker);
}

void
wsgi_worker_replace(wsgi_worker *worker)
{
    wsgi__worker_replace(worker, WSGI__REPLACE_ASKED);
}

/* It stays readable: to be looked at once. */
static void
check_lifeline(wsgi_worker *worker)
{
    struct pollfd lifeline = { .fd = worker->lifeline, .events = POLLIN };

    if (worker->lifeline < 0 || poll(&lifeline, 1, 0) <= 0)
        return;
    epoll_ctl(worker->fd, EPOLL_CTL_DEL, worker->lifeline, NULL);
    close(worker->lifeline);
    worker->lifeline = -1;
    give_order(worker, WSGI_WORKER_DRAIN);
}

wsgi_worker_order
wsgi_worker_order_now(wsgi_worker *worker)
{
    uint64_t told;

    check_lifeline(worker);
    ssize_t ignored = read(worker->told, &told, sizeof(told));
    (void)ignored;
    int order = atomic_load(&worker->order);
    return order == WSGI_WORKER_END     ? WSGI_WORKER_END
           : order == WSGI_WORKER_DRAIN ? WSGI_WORKER_DRAIN
                                        : WSGI_WORKER_GO_ON;
}

int
wsgi_worker_fd(const wsgi_worker *worker)
{
    return worker->fd;
}
