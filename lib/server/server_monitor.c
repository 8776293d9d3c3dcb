#include "server/server.h"

#include <time.h>
#include <unistd.h>

int
wsgi_server_bind_monitor(wsgi_server *server, wsgi_monitor what,
                         const char *address)
{
    int status = wsgi__server_enter_config(server);
    return status < 0 ? status
                      : wsgi__monitors_bind(&server->monitors, what, address,
                                            &server->error);
}

const char *
wsgi_server_monitor_address(const wsgi_server *server, wsgi_monitor what)
{
    return server ? wsgi__monitors_address(&server->monitors, what) : NULL;
}

static uint64_t
now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* A server without a supervisor is its own and only worker. */
static void
report_self(void *owner, wsgi__report *report)
{
    wsgi_server *server = owner;
    uint64_t now = now_ns(), began = server->began_ns;

    server->self = (wsgi__report_worker){
        .number = 1,
        .pid = getpid(),
        .state =
            server->health.ready ? WSGI__REPORT_READY : WSGI__REPORT_DRAINING,
        .age_ms = (now - began) / 1000000,
        .score = server->score,
    };
    report->now_ns = now;
    report->workers = &server->self;
    report->n_workers = 1;
}

int
wsgi__server_start_monitors(wsgi_server *server)
{
    server->began_ns = now_ns();
    return wsgi__monitors_start(&server->monitors, server->loop, &server->log,
                                report_self, server);
}
