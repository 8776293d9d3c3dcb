#include "server/monitor.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/macros.h"
#include "base/mem.h"
#include "net/listener.h"
#include "server/conn.h"

/* Of one monitor at once: somebody scrapes it, and somebody looks. */
#define MOST_CONNECTIONS 32

/* Requests are short and answers are written at once. */
#define PATIENCE_MS 2000u

/* Who takes longer than this makes room where there is none: slow clients must
 * not keep others from asking whether the server is well. */
#define HURRY_MS 500u

/* How long accepting rests where it fails or there are too many. */
#define REST_MS 100u

/* As large as the table of 512 workers with their threads can be. */
#define LONGEST_TEXT ((size_t)16 * 1024 * 1024)

typedef struct wsgi__monitor {
    wsgi__pages pages;
    wsgi__conns conns;
    wsgi__listener *listener;
    wsgi__loop *loop; /* NULL: not started */
    wsgi__timer rest;
    wsgi__monitor_report report;
    void *owner;
    wsgi__buf text; /* of the page */
    pid_t bound_by;
    bool shows_status;
} monitor;

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
text_page(monitor *self, const wsgi__report *report, render write,
          wsgi__page *page)
{
    wsgi__buf_reset(&self->text);
    if (write(report, &self->text) < 0) {
        *page =
            WSGI__PAGE_TEXT(503, "503 Service Unavailable", "out of memory\n");
        return;
    }
    *page = WSGI__PAGE_TEXT(200, "200 OK", "");
    page->body = wsgi__buf_span(&self->text);
}

static void
find_page(monitor *self, wsgi__span path, wsgi__page *page)
{
    wsgi__report report = { .pid = getpid() };

    self->report(self->owner, &report);
    if (wsgi__span_eq(path, WSGI__SPAN("/metrics"))) {
        text_page(self, &report, wsgi__report_metrics, page);
        page->type = page->code == 200 ? WSGI__METRICS_TYPE : page->type;
    } else if (wsgi__span_eq(path, WSGI__SPAN("/health"))) {
        health_page(&report, page);
    } else if (wsgi__span_eq(path, WSGI__SPAN("/health/live"))) {
        *page = WSGI__PAGE_TEXT(200, "200 OK", "live\n");
    } else if (self->shows_status &&
               wsgi__span_eq(path, WSGI__SPAN("/status"))) {
        text_page(self, &report, wsgi__report_status, page);
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
        find_page(WSGI__OWNER(pages, monitor, pages), req->parts.path, page);
    return true;
}

/* ---- Accepting ---------------------------------------------------------- */

static void
rest(monitor *self)
{
    (void)wsgi__loop_watch(self->loop, &self->listener->io, 0);
    (void)wsgi__loop_arm(self->loop, &self->rest, REST_MS);
}

static bool
make_room(monitor *self)
{
    return wsgi__conns_make_room(&self->conns) ||
           wsgi__conns_close_older(&self->conns, HURRY_MS);
}

/* Returns whether there may be more. */
static bool
accept_one(monitor *self)
{
    wsgi__endpoint peer;

    if (!make_room(self)) {
        rest(self);
        return false;
    }
    int fd = wsgi__listener_accept(self->listener, &peer);
    if (fd < 0) {
        if (errno != EAGAIN && errno != EWOULDBLOCK)
            rest(self);
        return false;
    }
    return wsgi__conns_add(&self->conns, fd, self->listener, &peer) == WSGI_OK;
}

static void
on_connection(wsgi__io *io, unsigned events)
{
    monitor *self = WSGI__OWNER(io, wsgi__listener, io)->owner;

    (void)events;
    while (accept_one(self))
        ;
}

static int
listen_on(monitor *self)
{
    int status = wsgi__loop_watch(self->loop, &self->listener->io, WSGI__READ);
    if (status < 0)
        (void)wsgi__loop_arm(self->loop, &self->rest, REST_MS);
    return status;
}

static void
on_rested(wsgi__timer *timer)
{
    (void)listen_on(WSGI__OWNER(timer, monitor, rest));
}

/* ---- Life --------------------------------------------------------------- */

static int
listen_at(monitor *self, const char *text, wsgi__buf *error)
{
    const wsgi__listener_options options = {
        .backlog = 128,
        .socket_mode = self->shows_status ? 0600 : 0666,
    };
    wsgi__address address;

    int status = wsgi__address_parse(text, &address, error);
    if (status < 0)
        return status;
    return wsgi__listener_open(&address, &options, &self->listener, error);
}

static void
configure(monitor *self)
{
    wsgi__conns *set = &self->conns;

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
    self->pages.find = find;
    set->pages = &self->pages;
}

static int
start(monitor *self, wsgi__loop *loop, const wsgi__log *log)
{
    if (wsgi__conns_init(&self->conns, loop, NULL, log) < 0)
        return WSGI_ERR_NOMEM;
    self->loop = loop;
    self->rest.expired = on_rested;
    self->listener->owner = self;
    self->listener->io.ready = on_connection;
    wsgi__buf_init(&self->text, LONGEST_TEXT);
    configure(self);
    return listen_on(self);
}

static void
end(monitor *self)
{
    if (self->loop) {
        wsgi__loop_disarm(self->loop, &self->rest);
        wsgi__loop_unwatch(self->loop, &self->listener->io);
        wsgi__conns_free(&self->conns);
        wsgi__buf_free(&self->text);
    }
    wsgi__listener_free(self->listener, self->bound_by == getpid());
    wsgi__mem_free(self);
}

static void
abandon(monitor *self)
{
    for (wsgi__conn *conn = self->conns.first; conn; conn = conn->next)
        close(conn->stream.fd);
    wsgi__listener_close(self->listener, false);
}

/* ---- Both kinds --------------------------------------------------------- */

static bool
is_kind(wsgi_monitor what)
{
    switch (what) {
    case WSGI_MONITOR_METRICS:
    case WSGI_MONITOR_CONTROL:
        return true;
    }
    return false;
}

static int
refuse(wsgi__buf *error, int status, const char *why)
{
    wsgi__buf_reset(error);
    wsgi__buf_puts(error, why);
    return status;
}

int
wsgi__monitors_bind(wsgi__monitors *monitors, wsgi_monitor what,
                    const char *address, wsgi__buf *error)
{
    if (!is_kind(what))
        return refuse(error, WSGI_ERR_INVALID, "there is no such monitor");
    if (monitors->of[what])
        return refuse(error, WSGI_ERR_STATE,
                      "a monitor has one address, and this one has it");
    monitor *self = wsgi__mem_zero(1, sizeof(*self));
    if (!self)
        return refuse(error, WSGI_ERR_NOMEM, "out of memory");
    self->shows_status = what == WSGI_MONITOR_CONTROL;
    self->bound_by = getpid();
    int status = listen_at(self, address ? address : "", error);
    if (status < 0)
        wsgi__mem_free(self);
    else
        monitors->of[what] = self;
    return status;
}

const char *
wsgi__monitors_address(const wsgi__monitors *monitors, wsgi_monitor what)
{
    const monitor *self = is_kind(what) ? monitors->of[what] : NULL;
    return self ? self->listener->text : NULL;
}

int
wsgi__monitors_start(wsgi__monitors *monitors, wsgi__loop *loop,
                     const wsgi__log *log, wsgi__monitor_report report,
                     void *owner)
{
    int status = WSGI_OK;

    for (int i = 0; i < WSGI__N_MONITORS && status == WSGI_OK; i++) {
        monitor *self = monitors->of[i];
        if (!self || self->loop)
            continue;
        self->report = report;
        self->owner = owner;
        status = start(self, loop, log);
    }
    return status;
}

void
wsgi__monitors_turn(wsgi__monitors *monitors)
{
    for (int i = 0; i < WSGI__N_MONITORS; i++) {
        monitor *self = monitors->of[i];
        if (!self || !self->loop)
            continue;
        wsgi__conns_flush(&self->conns);
        wsgi__conns_reap(&self->conns);
    }
}

bool
wsgi__monitors_pending(const wsgi__monitors *monitors)
{
    for (int i = 0; i < WSGI__N_MONITORS; i++)
        if (monitors->of[i] && monitors->of[i]->conns.unflushed)
            return true;
    return false;
}

void
wsgi__monitors_close(wsgi__monitors *monitors)
{
    for (int i = 0; i < WSGI__N_MONITORS; i++)
        if (monitors->of[i])
            end(monitors->of[i]);
    *monitors = (wsgi__monitors){ 0 };
}

void
wsgi__monitors_abandon(wsgi__monitors *monitors)
{
    for (int i = 0; i < WSGI__N_MONITORS; i++)
        if (monitors->of[i])
            abandon(monitors->of[i]);
}
