/*
 * What a service manager is told and has passed on: the protocol of systemd,
 * sd_notify(3) and sd_listen_fds(3), spoken without its library.
 *
 * Where nobody listens, nothing is said.
 */
#ifndef WSGID_NOTIFY_H
#define WSGID_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "text.h"

typedef struct notify {
    int fd; /* -1: nobody listens */
    struct sockaddr_un to;
    socklen_t to_len;
    int64_t watchdog_us; /* 0: nobody waits for a sign of life */
} notify;

/* Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID.  They stay in the
 * environment, for a successor. */
void notify_open(notify *self);

/* Serving, or serving again; this is the process to watch. */
void notify_ready(const notify *self);
void notify_reloading(const notify *self);
void notify_stopping(const notify *self);

/* One line for people, in `systemctl status`. */
void notify_status(const notify *self, const char *line);

/* A sign of life, to be given more often than half of watchdog_us. */
void notify_alive(const notify *self);

/* In a child that is to be the main process: it is the one to give signs of
 * life.  false when out of memory. */
bool notify_hand_over(const notify *self);

/* Takes the variables out of the environment: what the application starts is no
 * service. */
void notify_forget(void);

/* How many sockets were passed to this process, as descriptors from
 * NOTIFY_FIRST_FD on; their variables are taken out of the environment.  -1,
 * with a sentence in `error`, where LISTEN_FDS is none. */
#define NOTIFY_FIRST_FD 3
int notify_sockets(text *error);

#endif
