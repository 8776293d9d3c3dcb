/*
 * wsgid status: what a server that runs tells of itself, over its control
 * socket.
 */
#ifndef WSGID_STATUS_H
#define WSGID_STATUS_H

#include <stdio.h>

/* Asks the server at that Unix socket and prints its answer.  0, or 1 after a
 * sentence on `errors`. */
int status_print(const char *path, FILE *out, FILE *errors);

#endif
