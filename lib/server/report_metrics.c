#include <inttypes.h>
#include <stdio.h>

#include "base/macros.h"
#include "server/report.h"

#define SAY WSGI__WRITE_TEXT

static void
head(wsgi__writer *to, const char *name, const char *type, const char *help)
{
    SAY(to, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* ---- Plain numbers ------------------------------------------------------ */

#define AT(member) offsetof(wsgi__score, member)

static const struct number {
    const char *name, *type, *help;
    size_t at;
} numbers[] = {
    { "wsgi_threads", "gauge", "Threads that can run the application",
      AT(threads) },
    { "wsgi_threads_busy", "gauge", "Threads that are in a call of it",
      AT(busy) },
    { "wsgi_connections", "gauge", "Connections that are open",
      AT(connections) },
    { "wsgi_requests_queued", "gauge", "Requests that wait for a thread",
      AT(queued) },
    { "wsgi_connections_accepted_total", "counter",
      "Connections that were accepted", AT(accepted) },
    { "wsgi_received_bytes_total", "counter", "Bytes read from connections",
      AT(bytes_in) },
    { "wsgi_sent_bytes_total", "counter", "Bytes written to connections",
      AT(bytes_out) },
    { "wsgi_request_timeouts_total", "counter",
      "Requests that ran past the timeout", AT(timeouts) },
    { "wsgi_requests_shed_total", "counter",
      "Requests refused with 503 because too many waited", AT(shed) },
    { "wsgi_loop_takeovers_total", "counter",
      "Calls so long that another thread took the event loop over",
      AT(takeovers) },
};

static void
put_numbers(wsgi__writer *to, const wsgi__report *report)
{
    for (size_t i = 0; i < WSGI__COUNT(numbers); i++) {
        const struct number *row = &numbers[i];
        head(to, row->name, row->type, row->help);
        SAY(to, "%s %" PRIu64 "\n", row->name,
            wsgi__report_sum(report, row->at));
    }
}

/* ---- By status ---------------------------------------------------------- */

static void
put_requests(wsgi__writer *to, const wsgi__report *report)
{
    const size_t size = sizeof(wsgi__count);
    const size_t n_codes = sizeof(((wsgi__score *)0)->responses) / size;

    head(to, "wsgi_requests_total", "counter",
         "Requests that were answered, by the status of the answer");
    for (size_t code = 0; code < n_codes; code++) {
        uint64_t n = wsgi__report_sum(report, AT(responses) + code * size);
        if (n > 0 && code == 0)
            SAY(to, "wsgi_requests_total{status=\"other\"} %" PRIu64 "\n", n);
        else if (n > 0)
            SAY(to, "wsgi_requests_total{status=\"%03zu\"} %" PRIu64 "\n",
                code, n);
    }
}

/* ---- Histograms --------------------------------------------------------- */

/* "0.001", "0.25", "60": Prometheus takes the text for the bucket's name. */
static void
put_bound(wsgi__writer *to, uint32_t ms)
{
    char digits[32];
    int len =
        snprintf(digits, sizeof(digits), "%u.%03u", ms / 1000, ms % 1000);
    while (digits[len - 1] == '0')
        len--;
    if (digits[len - 1] == '.')
        len--;
    SAY(to, "%.*s", len, digits);
}

static void
put_histogram(wsgi__writer *to, const wsgi__report *report, const char *name,
              const char *help, size_t at)
{
    static const uint32_t bounds[] = WSGI__SCORE_BOUNDS;
    uint64_t below = 0;

    head(to, name, "histogram", help);
    for (size_t i = 0; i < WSGI__SCORE_BUCKETS; i++) {
        below +=
            wsgi__report_sum(report, at + offsetof(wsgi__histogram, buckets) +
                                         i * sizeof(wsgi__count));
        SAY(to, "%s_bucket{le=\"", name);
        if (i < WSGI__COUNT(bounds))
            put_bound(to, bounds[i]);
        else
            SAY(to, "+Inf");
        SAY(to, "\"} %" PRIu64 "\n", below);
    }
    uint64_t us =
        wsgi__report_sum(report, at + offsetof(wsgi__histogram, sum_us));
    SAY(to, "%s_sum %" PRIu64 ".%06" PRIu64 "\n%s_count %" PRIu64 "\n", name,
        us / 1000000, us % 1000000, name, below);
}

/* ---- Processes ---------------------------------------------------------- */

static void
put_workers(wsgi__writer *to, const wsgi__report *report)
{
    unsigned n[WSGI__N_REPORT_STATES] = { 0 };

    for (size_t i = 0; i < report->n_workers; i++)
        n[report->workers[i].state]++;
    head(to, "wsgi_workers", "gauge", "Worker processes, by state");
    for (int state = 0; state < WSGI__N_REPORT_STATES; state++)
        SAY(to, "wsgi_workers{state=\"%s\"} %u\n",
            wsgi__report_state_name((wsgi__report_state)state), n[state]);
}

static const char *
cause_name(wsgi__restart cause)
{
    switch (cause) {
    case WSGI__RESTART_EXIT:
        return "exit";
    case WSGI__RESTART_SIGNAL:
        return "signal";
    case WSGI__RESTART_SILENT:
        return "no-heartbeat";
    case WSGI__RESTART_STUCK:
        return "stuck-request";
    case WSGI__RESTART_REQUESTS:
        return "max-requests";
    case WSGI__RESTART_LIFETIME:
        return "max-lifetime";
    case WSGI__RESTART_MEMORY:
        return "max-memory";
    case WSGI__RESTART_ASKED:
    case WSGI__N_RESTARTS:
        break;
    }
    return "asked";
}

static void
put_restarts(wsgi__writer *to, const wsgi__report *report)
{
    if (!report->restarts)
        return;
    head(to, "wsgi_worker_restarts_total", "counter",
         "Workers that were replaced, by cause");
    for (int cause = 0; cause < WSGI__N_RESTARTS; cause++)
        SAY(to, "wsgi_worker_restarts_total{cause=\"%s\"} %" PRIu64 "\n",
            cause_name((wsgi__restart)cause),
            wsgi__count_get(&report->restarts[cause]));
}

int
wsgi__report_metrics(const wsgi__report *report, wsgi__buf *out)
{
    wsgi__writer to = { .out = out, .status = WSGI_OK };

    head(&to, "wsgi_info", "gauge", "The version that runs");
    SAY(&to, "wsgi_info{version=\"%s\"} 1\n", WSGI_VERSION);
    put_requests(&to, report);
    put_histogram(&to, report, "wsgi_request_duration_seconds",
                  "From the first byte of a request to the end of its answer",
                  AT(latency));
    put_histogram(&to, report, "wsgi_request_queue_seconds",
                  "From the last byte of a request to the call of the "
                  "application",
                  AT(queue));
    put_numbers(&to, report);
    put_workers(&to, report);
    put_restarts(&to, report);
    return to.status;
}
