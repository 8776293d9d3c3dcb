#include "server/monitor.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/macros.h"
#include "server/conn.h"

/* Of one monitor at once: somebody scrapes it, and somebody looks. */
#define MOST_CONNECTIONS 32

/* Requests are short and answers are written at once. */
#define PATIENCE_MS 2000u

/* How long accepting rests where it fails or there are too many. */
#define REST_MS 100u

/* As large as the table of 512 workers with their threads can be. */
#define LONGEST_TEXT ((size_t)16 * 1024 * 1024)

/* ---- Pages -------------------------------------------------------------- */

static void
health_page(const wsgi__report *report, wsgi__page *page)
{
    if (wsgi__report_is_ready(report))
        *page = WSGI__PAGE_TEXT(200, "200 OK", "ready\n");
    else
        *page = WSGI__PAGE_TEXT(503, "503 Service Unavailable",
                                "no worker is ready\n");
}

typedef int (*render)(const wsgi__report *report, wsgi__buf *out);

static void
text_page(wsgi__monitor *monitor, const wsgi__report *report, render write,
          wsgi__page *page)
{
    wsgi__buf_reset(&monitor->text);
    if (write(report, &monitor->text) < 0) {
        *page =
            WSGI__PAGE_TEXT(503, "503 Service Unavailable", "out of memory\n");
        return;
    }
    *page = WSGI__PAGE_TEXT(200, "200 OK", "");
    page->body = wsgi__buf_span(&monitor->text);
}

static void
find_page(wsgi__monitor *monitor, wsgi__span path, wsgi__page *page)
{
    wsgi__report report = { .pid = getpid() };

    monitor->report(monitor->owner, &report);
    if (wsgi__span_eq(path, WSGI__SPAN("/metrics"))) {
        text_page(monitor, &report, wsgi__report_metrics, page);
        page->type = page->code == 200 ? WSGI__METRICS_TYPE : page->type;
    } else if (wsgi__span_eq(path, WSGI__SPAN("/health"))) {
        health_page(&report, page);
    } else if (wsgi__span_eq(path, WSGI__SPAN("/health/live"))) {
        *page = WSGI__PAGE_TEXT(200, "200 OK", "live\n");
    } else if (monitor->shows_status &&
               wsgi__span_eq(path, WSGI__SPAN("/status"))) {
        text_page(monitor, &report, wsgi__report_status, page);
    } else {
        *page = WSGI__PAGE_TEXT(404, "404 Not Found",
                                "404 Not Found: there is /metrics, /health "
                                "and /health/live\n");
    }
}

/* Every request is answered here. */
static bool
find(wsgi__pages *pages, const wsgi__request *req, wsgi__page *page)
{
    if (wsgi__page_allows(req, page))
        find_page(WSGI__OWNER(pages, wsgi__monitor, pages), req->parts.path,
                  page);
    return true;
}

/* ---- Accepting ---------------------------------------------------------- */

static void
rest(wsgi__monitor *monitor)
{
    (void)wsgi__loop_watch(monitor->loop, &monitor->listener->io, 0);
    (void)wsgi__loop_arm(monitor->loop, &monitor->rest, REST_MS);
}

/* Returns whether there may be more. */
static bool
accept_one(wsgi__monitor *monitor)
{
    wsgi__endpoint peer;

    if (!wsgi__conns_make_room(&monitor->conns)) {
        rest(monitor);
        return false;
    }
    int fd = wsgi__listener_accept(monitor->listener, &peer);
    if (fd < 0) {
        if (errno != EAGAIN && errno != EWOULDBLOCK)
            rest(monitor);
        return false;
    }
    return wsgi__conns_add(&monitor->conns, fd, monitor->listener, &peer) ==
           WSGI_OK;
}

static void
on_connection(wsgi__io *io, unsigned events)
{
    wsgi__monitor *monitor = WSGI__OWNER(io, wsgi__listener, io)->owner;

    (void)events;
    while (accept_one(monitor))
        ;
}

static int
listen_on(wsgi__monitor *monitor)
{
    int status =
        wsgi__loop_watch(monitor->loop, &monitor->listener->io, WSGI__READ);
    if (status < 0)
        (void)wsgi__loop_arm(monitor->loop, &monitor->rest, REST_MS);
    return status;
}

static void
on_rested(wsgi__timer *timer)
{
    (void)listen_on(WSGI__OWNER(timer, wsgi__monitor, rest));
}

/* ---- Life --------------------------------------------------------------- */

int
wsgi__monitor_bind(wsgi__monitor *monitor, const char *text, bool shows_status,
                   wsgi__buf *error)
{
    const wsgi__listener_options options = { .backlog = 128,
                                             .socket_mode =
                                                 shows_status ? 0600 : 0666 };
    wsgi__address address;

    if (monitor->listener) {
        wsgi__buf_reset(error);
        wsgi__buf_printf(error, "there is one such address already: %s",
                         monitor->listener->text);
        return WSGI_ERR_STATE;
    }
    int status = wsgi__address_parse(text, &address, error);
    if (status == WSGI_OK)
        status =
            wsgi__listener_open(&address, &options, &monitor->listener, error);
    if (status < 0)
        return status;
    monitor->shows_status = shows_status;
    monitor->bound_by = getpid();
    return WSGI_OK;
}

static void
configure(wsgi__monitor *monitor)
{
    wsgi__conns *set = &monitor->conns;

    set->limits = (wsgi__parser_limits){ .max_line = 8190,
                                         .max_fields = 100,
                                         .max_field_size = 8190,
                                         .max_body = 65536 };
    set->timeouts =
        (wsgi__timeouts){ PATIENCE_MS, PATIENCE_MS, PATIENCE_MS, 0 };
    set->body_in_memory = 65536;
    set->most = MOST_CONNECTIONS;
    set->style.high_water = LONGEST_TEXT;
    set->style.keep_alive = false;
    monitor->pages.find = find;
    set->pages = &monitor->pages;
}

int
wsgi__monitor_start(wsgi__monitor *monitor, wsgi__loop *loop,
                    const wsgi__log *log, wsgi__monitor_report report,
                    void *owner)
{
    if (!monitor->listener)
        return WSGI_OK;
    if (wsgi__conns_init(&monitor->conns, loop, NULL, log) < 0)
        return WSGI_ERR_NOMEM;
    monitor->loop = loop;
    monitor->log = log;
    monitor->report = report;
    monitor->owner = owner;
    monitor->rest.expired = on_rested;
    monitor->listener->owner = monitor;
    monitor->listener->io.ready = on_connection;
    wsgi__buf_init(&monitor->text, LONGEST_TEXT);
    configure(monitor);
    return listen_on(monitor);
}

void
wsgi__monitor_turn(wsgi__monitor *monitor)
{
    if (!monitor->loop)
        return;
    wsgi__conns_flush(&monitor->conns);
    wsgi__conns_reap(&monitor->conns);
}

void
wsgi__monitor_close(wsgi__monitor *monitor)
{
    if (monitor->loop) {
        wsgi__loop_disarm(monitor->loop, &monitor->rest);
        wsgi__loop_unwatch(monitor->loop, &monitor->listener->io);
        wsgi__conns_free(&monitor->conns);
        wsgi__buf_free(&monitor->text);
    }
    if (monitor->listener)
        wsgi__listener_free(monitor->listener, monitor->bound_by == getpid());
    *monitor = (wsgi__monitor){ 0 };
}

void
wsgi__monitor_abandon(wsgi__monitor *monitor)
{
    if (!monitor->listener)
        return;
    for (wsgi__conn *conn = monitor->conns.first; conn; conn = conn->next)
        close(conn->stream.fd);
    wsgi__listener_close(monitor->listener, false);
}
