#include "signals.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

/* Handlers have no argument of their own. */
static errorlog *_Atomic error_log;
static logfile *_Atomic access_file;
static wsgi_server *_Atomic stopping;
static atomic_int stopped_by;
static pid_t serving; /* the process that the handlers are for */
/* 0: none yet; 1: draining; 2: at once. */
static atomic_int stage;

static const struct {
    int number;
    const char *name, *drain, *now;
} stops[] = {
    { SIGTERM, "SIGTERM",
      "SIGTERM: finishing the requests under way; again to stop at once",
      "SIGTERM: stopping at once" },
    { SIGINT, "SIGINT",
      "SIGINT: finishing the requests under way; again to stop at once",
      "SIGINT: stopping at once" },
    { SIGQUIT, "SIGQUIT", NULL, "SIGQUIT: stopping at once" },
};
#define N_STOPS (sizeof(stops) / sizeof(*stops))

/* Taken up when the handler returns. */
static void
end_by(int number)
{
    signal(number, SIG_DFL);
    raise(number);
}

static void
on_stop(int number)
{
    int saved = errno;
    size_t i = 0;

    if (getpid() != serving) {
        /* A child of the application, such as one of multiprocessing, which
         * ends its children by SIGTERM. */
        end_by(number);
        return;
    }
    while (i + 1 < N_STOPS && stops[i].number != number)
        i++;
    if (atomic_load(&stage) == 2) {
        end_by(number);
        return;
    }
    bool now = !stops[i].drain || atomic_exchange(&stage, 1) == 1;
    if (now)
        atomic_store(&stage, 2);
    atomic_store(&stopped_by, number);
    errorlog_write_safe(error_log, WSGI_LOG_INFO,
                        now ? stops[i].now : stops[i].drain);
    wsgi_server_stop(stopping, now ? WSGI_STOP_NOW : WSGI_STOP_DRAIN);
    errno = saved;
}

static void
on_reopen(int number)
{
    bool done = logfile_reopen(&error_log->file);

    if (access_file)
        done = logfile_reopen(access_file) && done;
    if (!done)
        return; /* The log says which cannot, and why. */
    errorlog_write_safe(error_log, WSGI_LOG_INFO,
                        number == SIGHUP
                            ? "SIGHUP: log files reopened; to load new code, "
                              "restart wsgid"
                            : "SIGUSR1: log files reopened");
}

static void
on_upgrade(int number)
{
    (void)number;
    errorlog_write_safe(error_log, WSGI_LOG_WARNING,
                        "SIGUSR2: there is no supervisor that serves, and so "
                        "nothing to upgrade; to load new code, restart wsgid");
}

static void
handle(int number, void (*handler)(int))
{
    struct sigaction action = { .sa_handler = handler,
                                .sa_flags = SA_RESTART };

    /* One handler at a time, so that their lines and stages stay in order. */
    sigfillset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

void
signals_unblock(void)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

void
signals_watch_logs_of_worker(errorlog *errors, logfile *access)
{
    error_log = errors;
    access_file = access;
    handle(SIGUSR1, on_reopen);
    handle(SIGPIPE, SIG_IGN);
}

void
signals_watch_logs(errorlog *errors, logfile *access)
{
    signals_watch_logs_of_worker(errors, access);
    handle(SIGHUP, on_reopen);
    handle(SIGUSR2, on_upgrade);
}

void
signals_watch_stop(wsgi_server *server)
{
    stopping = server;
    serving = getpid();
    for (size_t i = 0; i < N_STOPS; i++)
        handle(stops[i].number, on_stop);
}

int
signals_forget_stop(void)
{
    for (size_t i = 0; i < N_STOPS; i++)
        handle(stops[i].number, SIG_DFL);
    return atomic_load(&stopped_by);
}

void
signals_forget_logs(void)
{
    handle(SIGUSR1, SIG_IGN);
    handle(SIGHUP, SIG_IGN);
    handle(SIGUSR2, SIG_IGN);
}

const char *
signals_name(int number)
{
    for (size_t i = 0; i < N_STOPS; i++)
        if (stops[i].number == number)
            return stops[i].name;
    return "a signal";
}
