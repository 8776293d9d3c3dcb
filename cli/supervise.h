/*
 * wsgid as the supervisor of its workers.
 */
#ifndef WSGID_SUPERVISE_H
#define WSGID_SUPERVISE_H

#include "program.h"

/* Runs workers until it is stopped.  The sockets are bound.  DONE or an exit
 * code. */
int supervise(program *self);

#endif
