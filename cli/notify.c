#include "notify.h"

#include <ctype.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MOST_SOCKETS 64

/* -1: there is none, or it is not a number. */
static int64_t
number_of(const char *variable)
{
    const char *value = getenv(variable);
    char *end;

    if (!value || !isdigit((unsigned char)*value))
        return -1;
    long long number = strtoll(value, &end, 10);
    return *end ? -1 : number;
}

/* ---- Messages ----------------------------------------------------------- */

/* "/run/x" or "@abstract". */
static bool
find_socket(notify *self, const char *name)
{
    size_t len = strlen(name);

    if ((name[0] != '/' && name[0] != '@') || len < 2 ||
        len >= sizeof(self->to.sun_path))
        return false;
    self->to.sun_family = AF_UNIX;
    memcpy(self->to.sun_path, name, len);
    if (name[0] == '@')
        self->to.sun_path[0] = '\0';
    self->to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    return true;
}

static bool
is_watched(void)
{
    int64_t pid = number_of("WATCHDOG_PID");
    return !getenv("WATCHDOG_PID") || pid == getpid();
}

void
notify_open(notify *self)
{
    const char *name = getenv("NOTIFY_SOCKET");
    int64_t watchdog = number_of("WATCHDOG_USEC");

    *self = (notify){ .fd = -1 };
    if (!name || !find_socket(self, name))
        return;
    self->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (watchdog > 0 && is_watched())
        self->watchdog_us = watchdog;
}

/* Lost when nobody takes it: the manager is told again or finds out. */
static void
say(const notify *self, const text *message)
{
    if (self->fd >= 0)
        sendto(self->fd, message->at, message->len,
               MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *)&self->to,
               self->to_len);
}

static void
say_words(const notify *self, const char *words)
{
    char memory[64];
    text message;

    text_init(&message, memory, sizeof(memory));
    text_puts(&message, words);
    say(self, &message);
}

/* A successor is not the process that the manager has started. */
void
notify_ready(const notify *self)
{
    char memory[64];
    text message;

    text_init(&message, memory, sizeof(memory));
    text_puts(&message, "READY=1\nMAINPID=");
    text_number(&message, (uint64_t)getpid(), 1);
    say(self, &message);
}

/* The time tells this reload from an earlier one: Type=notify-reload. */
void
notify_reloading(const notify *self)
{
    char memory[64];
    struct timespec now;
    text message;

    clock_gettime(CLOCK_MONOTONIC, &now);
    text_init(&message, memory, sizeof(memory));
    text_puts(&message, "RELOADING=1\nMONOTONIC_USEC=");
    text_number(&message,
                (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000,
                1);
    say(self, &message);
}

void
notify_stopping(const notify *self)
{
    say_words(self, "STOPPING=1");
}

void
notify_status(const notify *self, const char *line)
{
    char memory[256];
    text message;

    text_init(&message, memory, sizeof(memory));
    text_puts(&message, "STATUS=");
    text_puts(&message, line);
    say(self, &message);
}

void
notify_alive(const notify *self)
{
    if (self->watchdog_us > 0)
        say_words(self, "WATCHDOG=1");
}

bool
notify_hand_over(const notify *self)
{
    char memory[32];
    text number;

    if (self->watchdog_us == 0 || !getenv("WATCHDOG_PID"))
        return true;
    text_init(&number, memory, sizeof(memory));
    text_number(&number, (uint64_t)getpid(), 1);
    return setenv("WATCHDOG_PID", number.at, 1) == 0;
}

void
notify_forget(void)
{
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

/* ---- Sockets ------------------------------------------------------------ */

static int
refuse(text *error)
{
    text_puts(error, "LISTEN_FDS is \"");
    text_escape(error, getenv("LISTEN_FDS"), strlen(getenv("LISTEN_FDS")));
    text_puts(error, "\" in the environment: set it to a number from 1 to 64, "
                     "or unset it");
    return -1;
}

static int
count_sockets(text *error)
{
    int64_t n = number_of("LISTEN_FDS");

    /* Meant for another process, such as the shell that started this one. */
    if (!getenv("LISTEN_FDS") || number_of("LISTEN_PID") != getpid())
        return 0;
    return n < 1 || n > MOST_SOCKETS ? refuse(error) : (int)n;
}

int
notify_sockets(text *error)
{
    int n = count_sockets(error);

    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDNAMES");
    for (int i = 0; i < n; i++)
        (void)fcntl(NOTIFY_FIRST_FD + i, F_SETFD, FD_CLOEXEC);
    return n;
}
