/*
 * A new wsgid in place of a running one, without closing a socket (USR2).
 *
 * The running one starts its own command line anew, as a child that inherits the
 * listening sockets; WSGID_FDS in the environment names them.  Both serve until
 * the old one is told to stop.  The pid file of the old one gets the suffix
 * ".oldbin" meanwhile.
 */
#ifndef WSGID_UPGRADE_H
#define WSGID_UPGRADE_H

#include "program.h"

/* Whether this process is the new one. */
bool upgrade_is_successor(void);

/* Whether there is a newer one, which speaks for the service now. */
bool upgrade_has_successor(const program *self);

/* Whether the other one runs too, older or newer: the service goes on when this
 * process ends. */
bool upgrade_is_paired(const program *self);

/* Instead of binding: listens on what was inherited.  DONE or an exit code. */
int upgrade_take_sockets(program *self);

/* In the new one, once it serves: removes the files of Unix sockets at the end,
 * as the old one would have. */
void upgrade_own_sockets(program *self);

/* Starts the new one; when that fails, it is said and all stays as it was. */
void upgrade_start(program *self);

/* To be called now and then: notices that the new one has ended early. */
void upgrade_check(program *self);

#endif
