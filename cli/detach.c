#include "detach.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "program.h"

/* In the process that the user has started. */
static _Noreturn void
wait_for(int from)
{
    unsigned char code = CANNOT_BOOT;
    ssize_t n;

    do
        n = read(from, &code, 1);
    while (n < 0 && errno == EINTR);
    if (n != 1)
        fputs("wsgid: the server was ended before it was ready\n", stderr);
    fflush(NULL);
    _exit(code);
}

bool
detach_begin(detach *self)
{
    int ends[2];

    fflush(NULL); /* or each process would write it once more */
    if (pipe2(ends, O_CLOEXEC) < 0)
        return false;
    pid_t child = fork();
    if (child > 0) {
        close(ends[1]);
        wait_for(ends[0]);
    }
    close(ends[0]);
    if (child < 0) {
        close(ends[1]);
        return false;
    }
    *self = (detach){ .waited_for = true, .to = ends[1] };
    setsid(); /* cannot fail: a child leads no group */
    child = fork();
    if (child > 0)
        _exit(DONE);
    return child == 0;
}

static void
leave_terminal(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null < 0)
        return;
    fflush(NULL);
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        dup2(null, fd);
    if (null > STDERR_FILENO)
        close(null);
}

void
detach_worker(detach *self)
{
    if (!self->waited_for)
        return;
    leave_terminal();
    close(self->to);
    self->waited_for = false;
}

void
detach_end(detach *self, int code)
{
    unsigned char byte = (unsigned char)code;

    if (!self->waited_for)
        return;
    self->waited_for = false;
    ssize_t ignored = write(self->to, &byte, 1);
    (void)ignored; /* nobody waits any more */
    close(self->to);
}

void
detach_ready(detach *self)
{
    if (!self->waited_for)
        return;
    leave_terminal();
    detach_end(self, DONE);
}
