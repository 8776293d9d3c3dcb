/*
 * What happens before anybody serves: values are checked, logs and sockets
 * opened.  Each step returns DONE, or an exit code with the reason said.
 */
#ifndef WSGID_BOOT_H
#define WSGID_BOOT_H

#include "program.h"

/* The words of the command line and of the environment; nothing is opened or
 * changed. */
int boot_check_values(program *self);

/* --daemon, but for a successor, which has no terminal any more. */
int boot_detach(program *self);

/* --env, --chdir, --umask and --name. */
int boot_enter_surroundings(program *self);

int boot_open_logs(program *self);

/* Before the import, which may take long: a taken port is said at once. */
int boot_bind(program *self);

/* --metrics-bind and --control-socket: of the supervisor, if there is one. */
int boot_bind_monitors(program *self);

/* Unless it has been taken. */
int boot_take_pidfile(program *self);

/* --user and --group, for good: what only root can open is open now. */
int boot_change_identity(program *self);

#endif
