#include "server/report.h"

static uint64_t
count_at(const wsgi__score *score, size_t offset)
{
    const char *at = (const char *)score + offset;
    return wsgi__count_get((const wsgi__count *)(const void *)at);
}

uint64_t
wsgi__report_sum(const wsgi__report *report, size_t offset)
{
    uint64_t sum = report->ended ? count_at(report->ended, offset) : 0;
    for (size_t i = 0; i < report->n_workers; i++)
        sum += count_at(report->workers[i].score, offset);
    return sum;
}

const char *
wsgi__report_state_name(wsgi__report_state state)
{
    switch (state) {
    case WSGI__REPORT_STARTING:
        return "starting";
    case WSGI__REPORT_READY:
        return "ready";
    case WSGI__REPORT_DRAINING:
        return "draining";
    case WSGI__REPORT_ENDING:
    case WSGI__N_REPORT_STATES:
        break;
    }
    return "ending";
}

bool
wsgi__report_is_ready(const wsgi__report *report)
{
    for (size_t i = 0; i < report->n_workers; i++)
        if (report->workers[i].state == WSGI__REPORT_READY)
            return true;
    return false;
}
