#include "upgrade.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "boot.h"

#define VARIABLE "WSGID_FDS"
#define NO_EXEC 127 /* as the shell has it */

/* ---- The new one -------------------------------------------------------- */

bool
upgrade_is_successor(void)
{
    return getenv(VARIABLE) != NULL;
}

static int
refuse(program *self, const char *why)
{
    char message[PROGRAM_MESSAGE];

    snprintf(message, sizeof(message),
             VARIABLE " is \"%.200s\" in the environment: %s",
             getenv(VARIABLE), why);
    return program_fail(self, CANNOT_BOOT, message);
}

/* "5,6" */
int
upgrade_take_sockets(program *self)
{
    const char *at = getenv(VARIABLE);

    while (*at) {
        char *end;
        long fd = strtol(at, &end, 10);
        if (!isdigit((unsigned char)*at) || (*end && *end != ',') ||
            fd > 1000000)
            return refuse(self, "it is for wsgid itself; unset it");
        if (wsgi_server_bind_fd(self->server, (int)fd) < 0)
            return refuse(self, wsgi_server_error(self->server));
        at = *end ? end + 1 : end;
    }
    self->predecessor = getppid();
    /* Not for programs that the application starts. */
    unsetenv(VARIABLE);
    return DONE;
}

/* The command line is that of the old one, which has made what it names but for
 * what it was itself passed on. */
void
upgrade_own_sockets(program *self)
{
    const args_list *binds = &self->options.binds;

    if (!self->predecessor)
        return;
    for (size_t i = 0; i < binds->n; i++)
        if (strncmp(binds->items[i], "fd://", 5) != 0 &&
            wsgi_server_own_socket(self->server, i) < 0)
            errorlog_write(&self->errors, WSGI_LOG_WARNING,
                           wsgi_server_error(self->server));
}

/* ---- The old one -------------------------------------------------------- */

/* In the child: descriptors are inherited, and named. */
static bool
hand_over(program *self)
{
    char list[1024];
    int fd;
    text out;

    text_init(&out, list, sizeof(list));
    for (size_t i = 0; (fd = wsgi_server_socket(self->server, i)) >= 0; i++) {
        text_puts(&out, i ? "," : "");
        text_number(&out, (uint64_t)fd, 1);
        if (fcntl(fd, F_SETFD, 0) < 0)
            return false;
    }
    return !out.cut && setenv(VARIABLE, list, 1) == 0;
}

/* Relative names on the command line are meant from where that was given. */
static _Noreturn void
become_successor(program *self)
{
    if (hand_over(self) && notify_hand_over(&self->manager) &&
        (!self->folder || chdir(self->folder) == 0))
        execvp(self->argv[0], self->argv);
    errorlog_printf(&self->errors, WSGI_LOG_ERROR,
                    "SIGUSR2: cannot start %s: %s", self->argv[0],
                    strerror(errno));
    _exit(NO_EXEC);
}

bool
upgrade_has_successor(const program *self)
{
    return self->successor && kill((pid_t)self->successor, 0) == 0;
}

/* The older one is the parent for as long as it lives. */
bool
upgrade_is_paired(const program *self)
{
    return upgrade_has_successor(self) ||
           (self->predecessor && getppid() == self->predecessor);
}

/* What the successor was to have; failures are logged. */
static void
take_back(program *self)
{
    pidfile_rename(&self->pid, "");
    (void)boot_bind_monitors(self);
}

void
upgrade_start(program *self)
{
    if (upgrade_has_successor(self)) {
        errorlog_printf(&self->errors, WSGI_LOG_WARNING,
                        "SIGUSR2: a successor (pid %ld) is running already; "
                        "stop one of the two first",
                        self->successor);
        return;
    }
    pidfile_rename(&self->pid, ".oldbin");
    /* Whoever watches is to see the new one. */
    wsgi_supervisor_close_monitors(self->supervisor);
    pid_t child = fork();
    if (child == 0)
        become_successor(self);
    if (child < 0) {
        errorlog_printf(&self->errors, WSGI_LOG_ERROR,
                        "SIGUSR2: cannot fork: %s", strerror(errno));
        take_back(self);
        return;
    }
    self->successor = child;
    wsgi_supervisor_adopt(self->supervisor, child, "the successor");
    errorlog_printf(&self->errors, WSGI_LOG_INFO,
                    "SIGUSR2: starting %s anew (pid %ld); this one serves on "
                    "until it is stopped",
                    self->argv[0], self->successor);
}

void
upgrade_check(program *self)
{
    if (!self->successor || upgrade_has_successor(self))
        return;
    self->successor = 0;
    if (self->stopping)
        return;
    take_back(self);
    errorlog_write(&self->errors, WSGI_LOG_WARNING,
                   "the successor has ended; this one serves on");
    notify_ready(&self->manager);
}
