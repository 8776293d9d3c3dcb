/* A server that is what a worker does: it obeys the supervisor and gives signs of
 * life. */
#include "server/worker_server.h"

#include <wsgi/supervisor.h>

#include "base/macros.h"
#include "server/accept.h"
#include "server/recycle.h"
#include "server/worker.h"

/* How often the loop turns at least, as a sign of life. */
#define BEAT_MS 1000u

int
wsgi_server_set_worker(wsgi_server *server, wsgi_worker *worker)
{
    if (!server)
        return WSGI_ERR_NOMEM;
    if (server->phase != WSGI__SERVER_NEW)
        return wsgi__server_fail(server, WSGI_ERR_STATE,
                                 "the server has been started: name its "
                                 "worker before");
    if (worker->has_server && server->worker != worker)
        return wsgi__server_fail(server, WSGI_ERR_STATE,
                                 "the worker has a server already: give this "
                                 "one more addresses instead");
    worker->has_server = true;
    server->worker = worker;
    server->score = worker->score;
    return WSGI_OK;
}

static void
on_order(wsgi__io *io, unsigned events)
{
    wsgi_server *server = WSGI__OWNER(io, wsgi_server, orders);
    (void)events;
    switch (wsgi_worker_order_now(server->worker)) {
    case WSGI_WORKER_GO_ON:
        break;
    case WSGI_WORKER_DRAIN:
        wsgi_server_stop(server, WSGI_STOP_DRAIN);
        break;
    case WSGI_WORKER_END:
        wsgi_server_stop(server, WSGI_STOP_NOW);
        break;
    }
}

static void
on_beat(wsgi__timer *timer)
{
    wsgi_server *server = WSGI__OWNER(timer, wsgi_server, beat);
    wsgi__loop_arm(server->loop, timer, BEAT_MS);
    wsgi__accept_look(server);
    wsgi__recycle_by_age_and_size(server);
}

int
wsgi__worker_server_begin(wsgi_server *server)
{
    if (!server->worker)
        return WSGI_OK;
    server->orders =
        (wsgi__io){ .fd = wsgi_worker_fd(server->worker), .ready = on_order };
    server->beat.expired = on_beat;
    wsgi__recycle_begin(server);
    int status = wsgi__loop_watch(server->loop, &server->orders, WSGI__READ);
    if (status == WSGI_OK)
        status = wsgi__loop_arm(server->loop, &server->beat, BEAT_MS);
    return status;
}

void
wsgi__worker_server_ready(wsgi_server *server)
{
    if (server->worker)
        wsgi_worker_ready(server->worker);
}

void
wsgi__worker_server_end(wsgi_server *server)
{
    if (!server->worker || !server->loop)
        return;
    wsgi__loop_unwatch(server->loop, &server->orders);
    wsgi__loop_disarm(server->loop, &server->beat);
}

bool
wsgi__worker_server_has_siblings(const wsgi_server *server)
{
    return server->worker && !wsgi__worker_is_last(server->worker);
}

bool
wsgi__worker_server_has_free_sibling(const wsgi_server *server)
{
    return server->worker &&
           wsgi__board_has_free(server->worker->board, server->score);
}
