#include "server/accept.h"

#include <errno.h>
#include <unistd.h>

#include "base/macros.h"

/* Connections accepted per event: with more waiting, the loop comes back. */
#define ACCEPTS_PER_EVENT 64

/* Connections taken from one listener when the server stops: as many as a
 * backlog can hold. */
#define LAST_ACCEPTS 65535

/* How long accepting rests when the machine has no descriptor or memory for a
 * connection.  Trying on at once would spin: the listener stays readable. */
#define ACCEPT_PAUSE_MS 100u

static void rest(wsgi_server *server);

static void
watch_all(wsgi_server *server, bool accepting)
{
    bool failed = false;

    if (server->accepting == accepting)
        return;
    server->accepting = accepting;
    for (size_t i = 0; i < server->n_listeners; i++) {
        wsgi__io *io = &server->listeners[i]->io;
        if (wsgi__loop_watch(server->loop, io, accepting ? WSGI__READ : 0) ==
            WSGI_OK)
            continue;
        failed = true;
        wsgi__log_printf(&server->log, WSGI_LOG_ERROR,
                         "cannot watch %s: %s; trying again in %u ms",
                         server->listeners[i]->text, strerror(errno),
                         ACCEPT_PAUSE_MS);
    }
    /* No connection would ever come to make another try. */
    if (failed)
        rest(server);
}

static void
rest(wsgi_server *server)
{
    watch_all(server, false);
    wsgi__loop_arm(server->loop, &server->accept_pause, ACCEPT_PAUSE_MS);
}

static void
pause_accepting(wsgi_server *server)
{
    wsgi__log_printf(&server->log, WSGI_LOG_ERROR,
                     "cannot accept a connection: %s; trying again in %u ms",
                     strerror(errno), ACCEPT_PAUSE_MS);
    rest(server);
}

/* Returns whether there may be more. */
static bool
accept_one(wsgi_server *server, wsgi__listener *listener)
{
    wsgi__endpoint peer;
    int fd = wsgi__listener_accept(listener, &peer);
    if (fd < 0) {
        if (errno != EAGAIN && errno != EWOULDBLOCK)
            pause_accepting(server);
        return false;
    }
    if (wsgi__conns_add(&server->conns, fd, listener, &peer) < 0) {
        pause_accepting(server);
        return false;
    }
    return !wsgi__conns_full(&server->conns);
}

static void
on_connection(wsgi__io *io, unsigned events)
{
    wsgi__listener *listener = WSGI__OWNER(io, wsgi__listener, io);
    (void)events;
    for (int i = 0; i < ACCEPTS_PER_EVENT; i++)
        if (!accept_one(listener->owner, listener))
            return;
}

void
wsgi__accept_regulate(wsgi_server *server)
{
    if (server->phase == WSGI__SERVER_SERVING &&
        !wsgi__timer_armed(&server->accept_pause))
        watch_all(server, !wsgi__conns_full(&server->conns));
}

static void
on_pause_over(wsgi__timer *timer)
{
    wsgi__accept_regulate(WSGI__OWNER(timer, wsgi_server, accept_pause));
}

void
wsgi__accept_remaining(wsgi_server *server)
{
    for (size_t i = 0; i < server->n_listeners; i++)
        for (int n = 0; n < LAST_ACCEPTS; n++)
            if (!accept_one(server, server->listeners[i]))
                break;
}

void
wsgi__accept_end(wsgi_server *server)
{
    bool ours = server->bound_by == getpid();
    watch_all(server, false);
    wsgi__loop_disarm(server->loop, &server->accept_pause);
    for (size_t i = 0; i < server->n_listeners; i++)
        wsgi__listener_close(server->listeners[i], ours);
}

void
wsgi__accept_init(wsgi_server *server)
{
    for (size_t i = 0; i < server->n_listeners; i++) {
        server->listeners[i]->owner = server;
        server->listeners[i]->io.ready = on_connection;
    }
    server->accept_pause.expired = on_pause_over;
}
