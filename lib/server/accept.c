#include "server/accept.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/macros.h"
#include "server/worker_server.h"

/* Connections accepted per event: with more waiting, the loop comes back.  Of
 * several workers each takes few, so that a burst is not all for the one that
 * was woken first. */
#define ACCEPTS_PER_EVENT 64
#define ACCEPTS_AMONG_SIBLINGS 8

/* Connections taken from one listener when the server stops: as many as a
 * backlog can hold; what others go on with, only if it woke nobody else. */
#define LAST_ACCEPTS 65535
#define LAST_AMONG_SIBLINGS 64

/* How long accepting rests when the machine has no descriptor or memory for a
 * connection.  Trying on at once would spin: the listener stays readable. */
#define ACCEPT_PAUSE_MS 100u

/* Without a failure for so long, a shortage is over.  A single success is not
 * enough: each client that leaves makes one, and would be two log entries. */
#define SHORTAGE_OVER_MS 1000u

static void rest(wsgi_server *server);

static void
watch_all(wsgi_server *server, bool accepting)
{
    unsigned want = WSGI__READ | (server->worker ? WSGI__SHARED : 0);
    bool failed = false;
    if (server->accepting == accepting)
        return;
    server->accepting = accepting;
    for (size_t i = 0; i < server->n_listeners; i++) {
        wsgi__io *io = &server->listeners[i]->io;
        if (wsgi__loop_watch(server->loop, io, accepting ? want : 0) < 0)
            failed = true;
    }
    /* No connection would ever come to make another try. */
    if (failed)
        rest(server);
}

/* ---- When the machine is short ------------------------------------------ */

static void
note_failure(wsgi_server *server)
{
    if (!server->accept_failing)
        wsgi__log_printf(&server->log, WSGI_LOG_ERROR,
                         "cannot accept connections: %s; trying again every "
                         "%u ms",
                         strerror(errno), ACCEPT_PAUSE_MS);
    server->accept_failing = true;
    server->accept_failed_at = wsgi__loop_now(server->loop);
}

static void
note_success(wsgi_server *server)
{
    if (!server->accept_failing ||
        wsgi__loop_now(server->loop) - server->accept_failed_at <
            SHORTAGE_OVER_MS)
        return;
    wsgi__log_printf(&server->log, WSGI_LOG_INFO,
                     "accepting connections again");
    server->accept_failing = false;
}

static void
take_reserve(wsgi_server *server)
{
    if (server->reserve_fd < 0)
        server->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Without a descriptor a client cannot even be told so: one is kept for that,
 * and whoever waits longest is turned away with it. */
static void
turn_away(wsgi_server *server, wsgi__listener *listener)
{
    static const char sorry[] = "HTTP/1.1 503 Service Unavailable\r\n"
                                "Retry-After: 1\r\n"
                                "Content-Length: 0\r\n"
                                "Connection: close\r\n\r\n";
    wsgi__endpoint peer;

    if (server->reserve_fd < 0)
        return;
    close(server->reserve_fd);
    server->reserve_fd = -1;
    int fd = wsgi__listener_accept(listener, &peer);
    if (fd >= 0) {
        send(fd, sorry, sizeof(sorry) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        close(fd);
    }
    take_reserve(server);
}

static void
rest(wsgi_server *server)
{
    if (!wsgi__server_accepts(server))
        return; /* these are the last ones, and listening ends */
    note_failure(server);
    watch_all(server, false);
    wsgi__loop_arm(server->loop, &server->accept_pause, ACCEPT_PAUSE_MS);
}

static bool
is_shortage_of_files(int error)
{
    return error == EMFILE || error == ENFILE;
}

/* After a failed accept: whether it is worth another attempt now. */
static bool
recover(wsgi_server *server, wsgi__listener *listener)
{
    int error = errno;
    if (error == EAGAIN || error == EWOULDBLOCK)
        return false;
    if (is_shortage_of_files(error) && wsgi__conns_close_idle(&server->conns))
        return true;
    errno = error;
    rest(server);
    if (is_shortage_of_files(error))
        turn_away(server, listener);
    return false;
}

/* ---- Accepting ---------------------------------------------------------- */

/* Returns whether there may be more. */
static bool
accept_one(wsgi_server *server, wsgi__listener *listener)
{
    wsgi__endpoint peer;
    if (!wsgi__conns_make_room(&server->conns))
        return false;
    int fd = wsgi__listener_accept(listener, &peer);
    if (fd < 0)
        return recover(server, listener);
    int status = wsgi__conns_add(&server->conns, fd, listener, &peer);
    if (status < 0) {
        if (status == WSGI_ERR_NOMEM)
            errno = ENOMEM;
        rest(server);
        return false;
    }
    note_success(server);
    return true;
}

static void
on_connection(wsgi__io *io, unsigned events)
{
    wsgi__listener *listener = WSGI__OWNER(io, wsgi__listener, io);
    wsgi_server *server = listener->owner;
    int most = server->worker ? ACCEPTS_AMONG_SIBLINGS : ACCEPTS_PER_EVENT;
    (void)events;
    for (int i = 0; i < most; i++)
        if (!accept_one(server, listener))
            return;
}

/* A connection may have woken a sibling that was just about to pause. */
void
wsgi__accept_look(wsgi_server *server)
{
    for (size_t i = 0; server->accepting && i < server->n_listeners; i++)
        on_connection(&server->listeners[i]->io, WSGI__READ);
}

/* A connection is left to a sibling that could serve it at once. */
static bool
is_wanted(const wsgi_server *server)
{
    return wsgi__conns_have_room(&server->conns) &&
           !(wsgi__executor_is_saturated(server->executor) &&
             wsgi__worker_server_has_free_sibling(server));
}

void
wsgi__accept_regulate(wsgi_server *server)
{
    if (wsgi__server_accepts(server) &&
        !wsgi__timer_armed(&server->accept_pause))
        watch_all(server, is_wanted(server));
}

static void
on_pause_over(wsgi__timer *timer)
{
    wsgi__accept_regulate(WSGI__OWNER(timer, wsgi_server, accept_pause));
}

void
wsgi__accept_remaining(wsgi_server *server)
{
    int most = wsgi__worker_server_has_siblings(server) ? LAST_AMONG_SIBLINGS
                                                        : LAST_ACCEPTS;

    bool ours = server->bound_by == getpid();

    watch_all(server, false); /* or more could wake this one in vain */
    for (size_t i = 0; i < server->n_listeners; i++) {
        for (int n = 0; n < most; n++)
            if (!accept_one(server, server->listeners[i]))
                break;
        /* At once: whoever comes in between is reset. */
        wsgi__listener_close(server->listeners[i], ours);
    }
    wsgi__accept_end(server);
}

void
wsgi__accept_end(wsgi_server *server)
{
    bool ours = server->bound_by == getpid();
    watch_all(server, false);
    if (server->reserve_fd >= 0)
        close(server->reserve_fd);
    server->reserve_fd = -1;
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
    take_reserve(server);
}
