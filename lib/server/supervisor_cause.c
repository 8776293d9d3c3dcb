#include "server/supervisor_cause.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

/* "SIGSEGV", "signal 40" */
static void
name_signal(int number, char *name, size_t size)
{
    const char *known = sigabbrev_np(number);

    if (known)
        snprintf(name, size, "SIG%s", known);
    else
        snprintf(name, size, "signal %d", number);
}

/* "30 s", "1.5 s" */
static void
put_seconds(uint64_t ms, char *text, size_t size)
{
    if (ms % 1000 == 0)
        snprintf(text, size, "%" PRIu64 " s", ms / 1000);
    else
        snprintf(text, size, "%.1f s", (double)ms / 1000);
}

static void
put_signal(const wsgi__death *death, char *text, size_t size)
{
    int number = WTERMSIG(death->status);
    char name[32];

    if (number == SIGKILL && death->out_of_memory) {
        snprintf(text, size,
                 "was killed by the kernel: its control group is out of "
                 "memory (oom_kill in memory.events)");
        return;
    }
    if (number == SIGKILL) {
        snprintf(
            text, size,
            "was killed by SIGKILL, not by the supervisor: by hand, or by "
            "the kernel for want of memory (dmesg tells)");
        return;
    }
    name_signal(number, name, sizeof(name));
    snprintf(text, size, "was killed by %s%s", name,
             WCOREDUMP(death->status) ? " (core dumped)" : "");
}

static void
put_end(const wsgi__death *death, char *text, size_t size)
{
    char seconds[32];

    put_seconds(death->limit_ms, seconds, sizeof(seconds));
    switch (death->told) {
    case WSGI__TOLD_NOTHING:
    case WSGI__TOLD_DRAIN:
    case WSGI__TOLD_END:
        break;
    case WSGI__KILLED_SILENT:
        snprintf(text, size,
                 "was killed by the supervisor: its loop gave no sign for %s",
                 seconds);
        return;
    case WSGI__KILLED_LATE:
        snprintf(text, size,
                 "was killed by the supervisor: it was still draining after "
                 "%s",
                 seconds);
        return;
    case WSGI__KILLED_SLOW:
        snprintf(text, size,
                 "was killed by the supervisor: it did not end when it was "
                 "told to");
        return;
    case WSGI__KILLED_ASKED:
        snprintf(text, size, "was killed by the supervisor, as it was asked");
        return;
    }
    if (WIFSIGNALED(death->status))
        put_signal(death, text, size);
    else
        snprintf(text, size, "ended with exit code %d",
                 WEXITSTATUS(death->status));
}

void
wsgi__cause_text(const wsgi__death *death, char *text, size_t size)
{
    char end[256];

    put_end(death, end, sizeof(end));
    snprintf(text, size, "%s (pid %" PRId64 ") %s", death->who, death->pid,
             end);
}

bool
wsgi__cause_is_expected(const wsgi__death *death)
{
    bool by_order =
        WIFSIGNALED(death->status) && (WTERMSIG(death->status) == SIGTERM ||
                                       WTERMSIG(death->status) == SIGQUIT);
    bool well = WIFEXITED(death->status) && WEXITSTATUS(death->status) == 0;

    switch (death->told) {
    case WSGI__TOLD_NOTHING:
        return death->drained && well;
    case WSGI__KILLED_SILENT:
    case WSGI__KILLED_LATE:
    case WSGI__KILLED_SLOW:
        break;
    case WSGI__TOLD_DRAIN:
    case WSGI__TOLD_END:
        return by_order || well;
    case WSGI__KILLED_ASKED:
        return true;
    }
    return false;
}
