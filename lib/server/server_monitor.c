#include "server/server.h"

#include <time.h>
#include <unistd.h>

static const char *
name_of(wsgi_monitor what)
{
    switch (what) {
    case WSGI_MONITOR_METRICS:
        return "metrics";
    case WSGI_MONITOR_CONTROL:
        return "control socket";
    }
    return NULL;
}

int
wsgi_server_bind_monitor(wsgi_server *server, wsgi_monitor what,
                         const char *address)
{
    int status = wsgi__server_enter_config(server);
    if (status < 0)
        return status;
    if (!name_of(what))
        return wsgi__server_fail(server, WSGI_ERR_INVALID,
                                 "there is no monitor number %d", (int)what);
    return wsgi__monitor_bind(&server->monitors[what], address ? address : "",
                              what == WSGI_MONITOR_CONTROL, &server->error);
}

const char *
wsgi_server_monitor_address(const wsgi_server *server, wsgi_monitor what)
{
    if (!server || !name_of(what) || !server->monitors[what].listener)
        return NULL;
    return server->monitors[what].listener->text;
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
    for (int i = 0; i < WSGI__N_MONITORS; i++) {
        wsgi__monitor *monitor = &server->monitors[i];
        int status = wsgi__monitor_start(monitor, server->loop, &server->log,
                                         report_self, server);
        if (status < 0)
            return status;
    }
    return WSGI_OK;
}

void
wsgi__server_turn_monitors(wsgi_server *server)
{
    for (int i = 0; i < WSGI__N_MONITORS; i++)
        wsgi__monitor_turn(&server->monitors[i]);
}

void
wsgi__server_close_monitors(wsgi_server *server)
{
    for (int i = 0; i < WSGI__N_MONITORS; i++)
        wsgi__monitor_close(&server->monitors[i]);
}
