/* The signals of a supervisor, which are requests to it. */
#include "server/supervisor.h"

#include <unistd.h>

#include "base/macros.h"

static const struct {
    int number;
    wsgi_supervisor_request request;
} table[] = {
    { SIGTERM, WSGI_ASK_STOP },     { SIGINT, WSGI_ASK_STOP },
    { SIGQUIT, WSGI_ASK_STOP_NOW }, { SIGHUP, WSGI_ASK_RELOAD },
    { SIGUSR1, WSGI_ASK_REOPEN },   { SIGUSR2, WSGI_ASK_UPGRADE },
    { SIGTTIN, WSGI_ASK_MORE },     { SIGTTOU, WSGI_ASK_FEWER },
    { SIGWINCH, WSGI_ASK_PAUSE },
};
#define N_SIGNALS WSGI__COUNT(table)

/* Handlers have no argument of their own; one process has one supervisor. */
static wsgi_supervisor *_Atomic current;
static pid_t supervising;
static struct sigaction before[N_SIGNALS], before_child;

/* A child that has not come as far as to be a worker, or that the program has
 * forked: the signal is taken up when the handler returns. */
static void
end_by(int number)
{
    signal(number, SIG_DFL);
    raise(number);
}

static void
on_signal(int number, siginfo_t *info, void *context)
{
    wsgi_supervisor *self = atomic_load(&current);
    size_t i = 0;
    (void)context;

    if (!self || getpid() != supervising) {
        end_by(number);
        return;
    }
    /* A terminal sends it to everybody in front of it whenever its window
     * changes; meant is what a process has sent. */
    if (number == SIGWINCH && info->si_code > 0)
        return;
    while (i + 1 < N_SIGNALS && table[i].number != number)
        i++;
    if (table[i].request == WSGI_ASK_STOP ||
        table[i].request == WSGI_ASK_STOP_NOW)
        atomic_store(&self->stopped_by, number);
    wsgi_supervisor_ask(self, table[i].request);
}

int
wsgi__signals_take(wsgi_supervisor *self)
{
    struct sigaction action = { .sa_sigaction = on_signal,
                                .sa_flags = SA_RESTART | SA_SIGINFO };
    struct sigaction waited = { .sa_handler = SIG_DFL };
    wsgi_supervisor *none = NULL;

    if (!atomic_compare_exchange_strong(&current, &none, self))
        return WSGI_ERR_STATE;
    supervising = getpid();
    /* Where it is ignored, nobody learns how a child has ended. */
    sigaction(SIGCHLD, &waited, &before_child);
    if (!self->options[WSGI_SUPERVISOR_SIGNALS])
        return WSGI_OK;
    sigfillset(&action.sa_mask);
    for (size_t i = 0; i < N_SIGNALS; i++)
        sigaction(table[i].number, &action, &before[i]);
    return WSGI_OK;
}

void
wsgi__signals_give_back(wsgi_supervisor *self)
{
    if (self->options[WSGI_SUPERVISOR_SIGNALS])
        for (size_t i = 0; i < N_SIGNALS; i++)
            sigaction(table[i].number, &before[i], NULL);
    sigaction(SIGCHLD, &before_child, NULL);
    atomic_store(&current, NULL);
}

const char *
wsgi__signals_name(int number)
{
    static const struct {
        int number;
        const char *name;
    } names[] = { { SIGTERM, "SIGTERM" },
                  { SIGINT, "SIGINT" },
                  { SIGQUIT, "SIGQUIT" } };

    for (size_t i = 0; i < WSGI__COUNT(names); i++)
        if (names[i].number == number)
            return names[i].name;
    return "asked to stop";
}
