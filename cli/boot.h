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

/* --env and --chdir. */
int boot_enter_surroundings(program *self);

int boot_open_logs(program *self);

/* Before the import, which may take long: a taken port is said at once. */
int boot_bind(program *self);

int boot_take_pidfile(program *self);

#endif
