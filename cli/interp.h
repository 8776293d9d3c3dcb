/*
 * The Python interpreter: the one file of wsgid that includes Python.h.
 *
 * wsgi_server_load() would start an interpreter by itself; a virtual
 * environment, sys.path and sys.argv can be told to wsgi_python_init() only.
 */
#ifndef WSGID_INTERP_H
#define WSGID_INTERP_H

#include <stdbool.h>
#include <stdio.h>

#include "args.h"

/* "3.11.2", of the libpython in use.  Needs no interpreter. */
const char *interp_version(void);

/* sys.path begins with --pythonpath and the current directory, sys.argv is
 * argv.  false: `error` says why not. */
bool interp_start(const args *options, char *const *argv, text *error);
void interp_stop(void);

/* What wsgi_server_load() imported for `spec`: its file, and which Python. */
void interp_describe(FILE *out, const char *spec);

#endif
