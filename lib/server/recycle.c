#include "server/recycle.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "server/worker.h"

/* 0 to most; workers are forked from one process, and a seed would be too. */
static uint64_t
chance(uint64_t most)
{
    uint64_t number = 0;

    if (getrandom(&number, sizeof(number), GRND_NONBLOCK) < 0)
        number = (uint64_t)getpid();
    return number % (most + 1);
}

/* In bytes; 0: the kernel does not tell. */
static uint64_t
resident(void)
{
    char text[128];
    char *at;
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return 0;
    ssize_t len = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (len <= 0)
        return 0;
    text[len] = '\0';
    strtoull(text, &at, 10); /* its address space, then what is in memory */
    return strtoull(at, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Replacing it brings nothing. */
static void
warn_of_size(const wsgi_server *server)
{
    uint64_t largest =
        (uint64_t)wsgi__options_int(&server->options, WSGI_OPT_MAX_MEMORY);
    uint64_t now = largest ? resident() : 0;

    if (server->worker && largest && now >= largest)
        wsgi__log_printf(&server->log, WSGI_LOG_WARNING,
                         "the application takes %llu MiB of memory before its "
                         "first request, and max-memory is %llu MiB: each "
                         "worker is replaced as soon as it is ready; raise "
                         "max-memory",
                         (unsigned long long)(now >> 20),
                         (unsigned long long)(largest >> 20));
}

void
wsgi__recycle_begin(wsgi_server *server)
{
    const wsgi__options *options = &server->options;
    uint64_t most =
        (uint64_t)wsgi__options_int(options, WSGI_OPT_MAX_REQUESTS);
    uint64_t jitter =
        (uint64_t)wsgi__options_int(options, WSGI_OPT_MAX_REQUESTS_JITTER);

    server->last_request = most ? most + chance(jitter) : 0;
    server->ready_ms = wsgi__loop_now(server->loop);
    warn_of_size(server);
}

void
wsgi__recycle_by_requests(wsgi_server *server)
{
    if (server->worker && server->last_request &&
        server->conns.n_requests >= server->last_request)
        wsgi__worker_replace(server->worker, WSGI__REPLACE_REQUESTS);
}

void
wsgi__recycle_by_age_and_size(wsgi_server *server)
{
    const wsgi__options *options = &server->options;
    uint64_t age = wsgi__loop_now(server->loop) - server->ready_ms;
    uint64_t oldest =
        (uint64_t)wsgi__options_int(options, WSGI_OPT_MAX_LIFETIME);
    uint64_t largest =
        (uint64_t)wsgi__options_int(options, WSGI_OPT_MAX_MEMORY);

    if (oldest && age >= oldest)
        wsgi__worker_replace(server->worker, WSGI__REPLACE_LIFETIME);
    if (largest && resident() >= largest)
        wsgi__worker_replace(server->worker, WSGI__REPLACE_MEMORY);
}
