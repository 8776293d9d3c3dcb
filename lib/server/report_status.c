#include <inttypes.h>
#include <stdio.h>

#include "base/macros.h"
#include "server/report.h"

#define SAY WSGI__WRITE_TEXT

#define MS_PER_S UINT64_C(1000)
#define S_PER_MIN 60u
#define S_PER_HOUR 3600u
#define S_PER_DAY 86400u

#define DURATION_MAX 32

/* Two units at most: "850 ms", "12.3 s", "4 min 5 s", "2 h 3 min", "5 d 2 h". */
static void
write_duration(char out[DURATION_MAX], uint64_t ms)
{
    uint64_t s = ms / MS_PER_S;

    if (ms < MS_PER_S)
        snprintf(out, DURATION_MAX, "%" PRIu64 " ms", ms);
    else if (s < S_PER_MIN)
        snprintf(out, DURATION_MAX, "%" PRIu64 ".%" PRIu64 " s", s,
                 ms % MS_PER_S / 100);
    else if (s < S_PER_HOUR)
        snprintf(out, DURATION_MAX, "%" PRIu64 " min %" PRIu64 " s",
                 s / S_PER_MIN, s % S_PER_MIN);
    else if (s < S_PER_DAY)
        snprintf(out, DURATION_MAX, "%" PRIu64 " h %" PRIu64 " min",
                 s / S_PER_HOUR, s % S_PER_HOUR / S_PER_MIN);
    else
        snprintf(out, DURATION_MAX, "%" PRIu64 " d %" PRIu64 " h",
                 s / S_PER_DAY, s % S_PER_DAY / S_PER_HOUR);
}

/* ---- Threads ------------------------------------------------------------ */

static const char *
phase_name(wsgi__thread_phase phase)
{
    switch (phase) {
    case WSGI__THREAD_LOOP:
        return "event loop";
    case WSGI__THREAD_CALL:
        return "application";
    case WSGI__THREAD_BLOCK:
        return "next()";
    case WSGI__THREAD_CLOSE:
        return "close()";
    case WSGI__THREAD_IDLE:
    case WSGI__THREAD_NONE:
        break;
    }
    return "idle";
}

static void
put_thread(wsgi__writer *to, size_t number, const wsgi__score_thread *thread,
           uint64_t now_ns)
{
    wsgi__thread_phase phase = (wsgi__thread_phase)atomic_load(&thread->phase);
    uint64_t since = wsgi__count_get(&thread->since_ns);
    char duration[DURATION_MAX], what[WSGI__SCORE_TEXT];

    if (phase == WSGI__THREAD_NONE)
        return;
    /* The worker's clock may be read a little after ours. */
    write_duration(duration, now_ns > since ? (now_ns - since) / 1000000 : 0);
    SAY(to, "  thread %-3zu %-11s  %9s", number, phase_name(phase), duration);
    wsgi__score_thread_what(thread, what);
    SAY(to, *what && phase != WSGI__THREAD_IDLE ? "  %s\n" : "\n", what);
}

/* ---- Workers ------------------------------------------------------------ */

static uint64_t
answered(const wsgi__score *score)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < WSGI__COUNT(score->responses); i++)
        sum += wsgi__count_get(&score->responses[i]);
    return sum;
}

static void
put_worker(wsgi__writer *to, const wsgi__report_worker *worker,
           uint64_t now_ns)
{
    const wsgi__score *score = worker->score;
    char age[DURATION_MAX];

    write_duration(age, worker->age_ms);
    SAY(to, "%6u %8" PRId64 "  %-9s %10s %11" PRIu64 " %10" PRIu64 "\n",
        worker->number, worker->pid, wsgi__report_state_name(worker->state),
        age, wsgi__count_get(&score->connections), answered(score));
    for (size_t i = 0; i < WSGI__SCORE_THREADS; i++)
        put_thread(to, i + 1, &score->thread[i], now_ns);
}

int
wsgi__report_status(const wsgi__report *report, wsgi__buf *out)
{
    wsgi__writer to = { .out = out, .status = WSGI_OK };

    SAY(&to,
        "libwsgi " WSGI_VERSION " (pid %" PRId64
        "): workers %zu, connections %" PRIu64 ", requests running %" PRIu64
        ", queued %" PRIu64 "\n\n",
        report->pid, report->n_workers, WSGI__REPORT_SUM(report, connections),
        WSGI__REPORT_SUM(report, busy), WSGI__REPORT_SUM(report, queued));
    SAY(&to, "WORKER      PID  STATE            AGE CONNECTIONS   REQUESTS\n");
    for (size_t i = 0; i < report->n_workers; i++)
        put_worker(&to, &report->workers[i], report->now_ns);
    return to.status;
}
