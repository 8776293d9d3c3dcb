/* What is told of a program that serves: texts, exactly. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "server/report.h"

#define S UINT64_C(1000000000) /* in nanoseconds */

typedef struct world {
    wsgi__score *one, *two, *ended;
    wsgi__count restarts[WSGI__N_RESTARTS];
    wsgi__report_worker workers[2];
    wsgi__report report;
    wsgi__buf out;
} world;

static wsgi__score *
new_score(void)
{
    wsgi__score *score = calloc(1, sizeof(*score));
    cr_assert(score);
    return score;
}

static void
setup(world *w)
{
    *w = (world){ .one = new_score(),
                  .two = new_score(),
                  .ended = new_score() };
    w->workers[0] =
        (wsgi__report_worker){ 1, 4712, WSGI__REPORT_READY, 7384000, w->one };
    w->workers[1] =
        (wsgi__report_worker){ 2, 14713, WSGI__REPORT_DRAINING, 850, w->two };
    w->report = (wsgi__report){ .pid = 4711,
                                .now_ns = 1000 * S,
                                .workers = w->workers,
                                .n_workers = 2,
                                .ended = w->ended };
    wsgi__buf_init(&w->out, 1 << 20);
}

static void
teardown(world *w)
{
    wsgi__buf_free(&w->out);
    free(w->one);
    free(w->two);
    free(w->ended);
}

static const char *
metrics(world *w)
{
    wsgi__buf_reset(&w->out);
    cr_assert_eq(wsgi__report_metrics(&w->report, &w->out), WSGI_OK);
    return wsgi__buf_str(&w->out);
}

static const char *
status(world *w)
{
    wsgi__buf_reset(&w->out);
    cr_assert_eq(wsgi__report_status(&w->report, &w->out), WSGI_OK);
    return wsgi__buf_str(&w->out);
}

static void
in_thread(wsgi__score *score, size_t i, wsgi__thread_phase phase,
          uint64_t since_ns, const char *what)
{
    wsgi__score_thread_set(&score->thread[i], phase, since_ns, what,
                           strlen(what));
}

static void
expect_lines(const char *text, const char *lines)
{
    cr_expect(strstr(text, lines), "%s\nis not in\n%s", lines, text);
}

/* ---- Metrics ------------------------------------------------------------ */

Test(report, metrics_are_summed_over_the_living_and_the_dead)
{
    world w;
    setup(&w);
    wsgi__count_set(&w.one->responses[200], 7);
    wsgi__count_set(&w.two->responses[200], 4);
    wsgi__count_set(&w.ended->responses[200], 1000);
    wsgi__count_set(&w.two->responses[404], 3);
    wsgi__count_set(&w.one->responses[0], 2);
    wsgi__count_set(&w.one->connections, 5);
    wsgi__count_set(&w.two->connections, 6);
    wsgi__count_set(&w.one->bytes_in, UINT64_C(9000000000));
    wsgi__count_set(&w.ended->bytes_in, 1);
    wsgi__count_set(&w.one->accepted, 12);
    const char *text = metrics(&w);
    expect_lines(text,
                 "# HELP wsgi_requests_total Requests that were answered, by "
                 "the status of the answer\n"
                 "# TYPE wsgi_requests_total counter\n"
                 "wsgi_requests_total{status=\"other\"} 2\n"
                 "wsgi_requests_total{status=\"200\"} 1011\n"
                 "wsgi_requests_total{status=\"404\"} 3\n"
                 "# HELP wsgi_request_duration_seconds ");
    expect_lines(text, "# TYPE wsgi_connections gauge\n"
                       "wsgi_connections 11\n");
    expect_lines(text, "# TYPE wsgi_received_bytes_total counter\n"
                       "wsgi_received_bytes_total 9000000001\n");
    expect_lines(text, "wsgi_connections_accepted_total 12\n");
    expect_lines(text, "# TYPE wsgi_workers gauge\n"
                       "wsgi_workers{state=\"starting\"} 0\n"
                       "wsgi_workers{state=\"ready\"} 1\n"
                       "wsgi_workers{state=\"draining\"} 1\n"
                       "wsgi_workers{state=\"ending\"} 0\n");
    cr_expect_null(strstr(text, "restarts"), "nobody restarts");
    teardown(&w);
}

Test(report, histograms_are_cumulative)
{
    static const uint64_t us[] = { 1,      1000,   1001,     250000,
                                   250001, 999999, 60000000, 60000001 };
    world w;
    setup(&w);
    for (size_t i = 0; i < sizeof(us) / sizeof(*us); i++)
        wsgi__histogram_add(i % 2 ? &w.one->latency : &w.ended->latency,
                            us[i]);
    expect_lines(metrics(&w),
                 "# TYPE wsgi_request_duration_seconds histogram\n"
                 "wsgi_request_duration_seconds_bucket{le=\"0.001\"} 2\n"
                 "wsgi_request_duration_seconds_bucket{le=\"0.002\"} 3\n"
                 "wsgi_request_duration_seconds_bucket{le=\"0.005\"} 3\n"
                 "wsgi_request_duration_seconds_bucket{le=\"0.01\"} 3\n"
                 "wsgi_request_duration_seconds_bucket{le=\"0.025\"} 3\n"
                 "wsgi_request_duration_seconds_bucket{le=\"0.05\"} 3\n"
                 "wsgi_request_duration_seconds_bucket{le=\"0.1\"} 3\n"
                 "wsgi_request_duration_seconds_bucket{le=\"0.25\"} 4\n"
                 "wsgi_request_duration_seconds_bucket{le=\"0.5\"} 5\n"
                 "wsgi_request_duration_seconds_bucket{le=\"1\"} 6\n"
                 "wsgi_request_duration_seconds_bucket{le=\"2.5\"} 6\n"
                 "wsgi_request_duration_seconds_bucket{le=\"5\"} 6\n"
                 "wsgi_request_duration_seconds_bucket{le=\"10\"} 6\n"
                 "wsgi_request_duration_seconds_bucket{le=\"30\"} 6\n"
                 "wsgi_request_duration_seconds_bucket{le=\"60\"} 7\n"
                 "wsgi_request_duration_seconds_bucket{le=\"+Inf\"} 8\n"
                 "wsgi_request_duration_seconds_sum 121.502003\n"
                 "wsgi_request_duration_seconds_count 8\n");
    expect_lines(metrics(&w), "wsgi_request_queue_seconds_count 0\n");
    teardown(&w);
}

Test(report, restarts_are_told_by_cause)
{
    world w;
    setup(&w);
    w.report.restarts = w.restarts;
    wsgi__count_set(&w.restarts[WSGI__RESTART_SIGNAL], 2);
    wsgi__count_set(&w.restarts[WSGI__RESTART_MEMORY], 1);
    expect_lines(metrics(&w),
                 "# TYPE wsgi_worker_restarts_total counter\n"
                 "wsgi_worker_restarts_total{cause=\"exit\"} 0\n"
                 "wsgi_worker_restarts_total{cause=\"signal\"} 2\n"
                 "wsgi_worker_restarts_total{cause=\"no-heartbeat\"} 0\n"
                 "wsgi_worker_restarts_total{cause=\"stuck-request\"} 0\n"
                 "wsgi_worker_restarts_total{cause=\"max-requests\"} 0\n"
                 "wsgi_worker_restarts_total{cause=\"max-lifetime\"} 0\n"
                 "wsgi_worker_restarts_total{cause=\"max-memory\"} 1\n"
                 "wsgi_worker_restarts_total{cause=\"asked\"} 0\n");
    teardown(&w);
}

/* ---- Status ------------------------------------------------------------- */

Test(report, status_shows_workers_and_what_their_threads_do)
{
    world w;
    setup(&w);
    wsgi__count_set(&w.one->connections, 12);
    wsgi__count_set(&w.one->busy, 2);
    wsgi__count_set(&w.one->queued, 3);
    wsgi__count_set(&w.one->responses[200], 9310);
    wsgi__count_set(&w.one->responses[500], 1);
    in_thread(w.one, 0, WSGI__THREAD_LOOP, 1000 * S - 1000000, "");
    in_thread(w.one, 1, WSGI__THREAD_CALL, 988 * S - S / 2,
              "GET /slow HTTP/1.1");
    in_thread(w.one, 3, WSGI__THREAD_BLOCK, 755 * S, "GET /rows HTTP/1.1");
    in_thread(w.two, 0, WSGI__THREAD_IDLE, 1001 * S, "GET /over HTTP/1.1");
    cr_expect_str_eq(
        status(&w),
        "libwsgi " WSGI_VERSION " (pid 4711): workers 2, connections 12, "
        "requests running 2, queued 3\n"
        "\n"
        "WORKER      PID  STATE            AGE CONNECTIONS   REQUESTS\n"
        "     1     4712  ready      2 h 3 min          12       9311\n"
        "  thread 1   event loop        1 ms\n"
        "  thread 2   application     12.5 s  GET /slow HTTP/1.1\n"
        "  thread 4   next()       4 min 5 s  GET /rows HTTP/1.1\n"
        "     2    14713  draining      850 ms           0          0\n"
        "  thread 1   idle              0 ms\n");
    teardown(&w);
}

Test(report, somebody_is_ready_or_nobody)
{
    world w;
    setup(&w);
    cr_expect(wsgi__report_is_ready(&w.report));
    w.workers[0].state = WSGI__REPORT_STARTING;
    cr_expect_not(wsgi__report_is_ready(&w.report));
    w.report.n_workers = 0;
    cr_expect_not(wsgi__report_is_ready(&w.report));
    teardown(&w);
}

Test(report, fails_whole_without_memory)
{
    world w;
    setup(&w);
    wsgi__buf_init(&w.out, 1000);
    cr_expect_eq(wsgi__report_metrics(&w.report, &w.out), WSGI_ERR_NOMEM);
    wsgi__buf_free(&w.out);
    wsgi__buf_init(&w.out, 100);
    cr_expect_eq(wsgi__report_status(&w.report, &w.out), WSGI_ERR_NOMEM);
    teardown(&w);
}
