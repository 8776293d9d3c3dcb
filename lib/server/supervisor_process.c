/* Worker processes: forked, signalled, waited for. */
#include "server/supervisor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "server/worker.h"

/* ---- Ends ---------------------------------------------------------------- */

/* Each pass looks for what has ended; all that counts is that one is made. */
static void
on_exit_seen(wsgi__io *io, unsigned events)
{
    (void)io, (void)events;
}

/* Without it an end is found at the next pass. */
static void
watch_exit(wsgi_supervisor *self, wsgi__io *io, pid_t pid)
{
    *io = (wsgi__io){ .fd = pidfd_open(pid, 0), .ready = on_exit_seen };
    if (io->fd >= 0 && wsgi__loop_watch(self->loop, io, WSGI__READ) < 0) {
        close(io->fd);
        io->fd = -1;
    }
}

static void
unwatch_exit(wsgi_supervisor *self, wsgi__io *io)
{
    if (io->fd < 0)
        return;
    wsgi__loop_unwatch(self->loop, io);
    close(io->fd);
    io->fd = -1;
}

/* ---- The child ---------------------------------------------------------- */

/* What is the supervisor's: the worker has copies of it. */
static void
leave_supervisor(wsgi_supervisor *self)
{
    for (size_t i = 0; i < WSGI__MOST_PLACES; i++)
        if (self->places[i].state != WSGI__PLACE_FREE &&
            self->processes[i].exit.fd >= 0)
            close(self->processes[i].exit.fd);
    for (size_t i = 0; i < WSGI__MOST_ADOPTED; i++)
        if (self->adopted[i].pid && self->adopted[i].exit.fd >= 0)
            close(self->adopted[i].exit.fd);
    wsgi__watch_release(self, true);
    wsgi__monitors_abandon(&self->monitors);
    close(self->lifeline[1]);
    /* Not by unwatching: the epoll descriptor is shared with the parent. */
    wsgi__loop_free(self->loop);
    self->loop = NULL;
}

static _Noreturn void
become_worker(wsgi_supervisor *self, size_t place, unsigned generation)
{
    wsgi_worker worker = { .number = (unsigned)place + 1,
                           .generation = generation,
                           .board = self->board,
                           .score = &self->board->place[place],
                           .lifeline = self->lifeline[0],
                           .notice = self->notice.fd };

    leave_supervisor(self);
    if (wsgi__worker_begin(&worker) < 0) {
        wsgi__log_printf(&self->log, WSGI_LOG_ERROR,
                         "worker %u cannot start: %s", worker.number,
                         strerror(errno));
        _exit(EXIT_FAILURE);
    }
    pthread_sigmask(SIG_SETMASK, &self->mask, NULL);
    int status = self->work(&worker, self->work_user);
    fflush(NULL);
    _exit(status);
}

/* ---- The parent --------------------------------------------------------- */

static void
note_start(wsgi_supervisor *self, size_t place, unsigned generation, pid_t pid)
{
    uint64_t now = wsgi__loop_now(self->loop);
    wsgi__process *process = &self->processes[place];

    self->places[place] = (wsgi__place){ .state = WSGI__PLACE_STARTING,
                                         .generation = generation,
                                         .since_ms = now };
    *process = (wsgi__process){ .pid = pid, .started_ms = now };
    watch_exit(self, &process->exit, pid);
    wsgi__log_printf(&self->log, WSGI_LOG_DEBUG, "worker %zu (pid %ld) forked",
                     place + 1, (long)pid);
}

int
wsgi__process_spawn(wsgi_supervisor *self, size_t place, unsigned generation)
{
    sigset_t all;

    wsgi__board_use(self->board, place);
    fflush(NULL); /* or the child would write it once more */
    wsgi__supervisor_tell(self, WSGI_SUPERVISOR_BEFORE_FORK);
    /* The supervisor's handlers must not run in the child. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    pid_t pid = fork();
    if (pid == 0)
        become_worker(self, place, generation);
    int error = errno;
    pthread_sigmask(SIG_SETMASK, &self->mask, NULL);
    wsgi__supervisor_tell(self, WSGI_SUPERVISOR_AFTER_FORK);
    errno = error;
    if (pid < 0)
        return WSGI_ERR_SYSTEM;
    note_start(self, place, generation, pid);
    return WSGI_OK;
}

void
wsgi__process_signal(wsgi_supervisor *self, size_t place, int number,
                     wsgi__place_state state, wsgi__told told)
{
    kill(self->processes[place].pid, number);
    self->processes[place].told = told;
    self->places[place].state = state;
    self->places[place].since_ms = wsgi__loop_now(self->loop);
}

void
wsgi__process_signal_all(wsgi_supervisor *self, int number)
{
    for (size_t i = 0; i < WSGI__MOST_PLACES; i++)
        if (self->places[i].state != WSGI__PLACE_FREE)
            kill(self->processes[i].pid, number);
}

/* ---- Reaping ------------------------------------------------------------ */

static void
lose_adopted(wsgi_supervisor *self, wsgi__adopted *adopted, int status)
{
    wsgi__death death = { .who = adopted->name,
                          .pid = adopted->pid,
                          .status = status };
    char text[512];

    wsgi__cause_text(&death, text, sizeof(text));
    wsgi__log_write(&self->log, WSGI_LOG_WARNING, text);
    unwatch_exit(self, &adopted->exit);
    wsgi__mem_free(adopted->name);
    *adopted = (wsgi__adopted){ .pid = 0 };
}

static void
lose(wsgi_supervisor *self, pid_t pid, int status)
{
    for (size_t i = 0; i < WSGI__MOST_PLACES; i++)
        if (self->places[i].state != WSGI__PLACE_FREE &&
            self->processes[i].pid == pid) {
            unwatch_exit(self, &self->processes[i].exit);
            wsgi__supervisor_lost(self, i, status);
            return;
        }
    for (size_t i = 0; i < WSGI__MOST_ADOPTED; i++)
        if (self->adopted[i].pid == pid) {
            lose_adopted(self, &self->adopted[i], status);
            return;
        }
    /* An orphan that this process has as the first of its machine. */
}

static void
reap_one(wsgi_supervisor *self, pid_t pid)
{
    int status = 0;
    pid_t found = waitpid(pid, &status, WNOHANG);

    /* Somebody else has waited for it: how it ended is lost. */
    if (found == pid || (found < 0 && errno == ECHILD))
        lose(self, pid, status);
}

/* Children of the program's own are left to the program. */
static void
reap_ours(wsgi_supervisor *self)
{
    for (size_t i = 0; i < WSGI__MOST_PLACES; i++)
        if (self->places[i].state != WSGI__PLACE_FREE)
            reap_one(self, self->processes[i].pid);
    for (size_t i = 0; i < WSGI__MOST_ADOPTED; i++)
        if (self->adopted[i].pid)
            reap_one(self, self->adopted[i].pid);
}

static void
reap_all(wsgi_supervisor *self)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        lose(self, pid, status);
}

/* The first process of a machine or container is given every orphan there. */
void
wsgi__process_reap(wsgi_supervisor *self)
{
    if (getpid() == 1)
        reap_all(self);
    else
        reap_ours(self);
}

int
wsgi__process_adopt(wsgi_supervisor *self, pid_t pid, const char *name)
{
    wsgi__adopted *adopted = self->adopted;

    while (adopted < self->adopted + WSGI__MOST_ADOPTED && adopted->pid)
        adopted++;
    if (adopted == self->adopted + WSGI__MOST_ADOPTED)
        return wsgi__supervisor_fail(self, WSGI_ERR_INVALID,
                                     "a supervisor waits for at most %d other "
                                     "children",
                                     WSGI__MOST_ADOPTED);
    char *copy = wsgi__mem_strdup(name);
    if (!copy)
        return wsgi__supervisor_fail(self, WSGI_ERR_NOMEM, "out of memory");
    *adopted = (wsgi__adopted){ .pid = pid, .name = copy };
    watch_exit(self, &adopted->exit, pid);
    return WSGI_OK;
}

void
wsgi__process_release(wsgi_supervisor *self)
{
    for (size_t i = 0; i < WSGI__MOST_ADOPTED; i++) {
        if (!self->adopted[i].pid)
            continue;
        unwatch_exit(self, &self->adopted[i].exit);
        wsgi__mem_free(self->adopted[i].name);
        self->adopted[i] = (wsgi__adopted){ .pid = 0 };
    }
}
