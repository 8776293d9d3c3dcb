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

/* Before the interpreter starts: each Python file that is compiled or executed
 * from then on is written to that pipe, as an absolute path with a NUL.  A file
 * that cannot be compiled is one of them. */
void interp_name_files(int pipe);

/* On a signal that ends the process, such as SIGSEGV or the SIGABRT of a
 * supervisor, the Python stacks of all threads go to that descriptor. */
void interp_watch_crashes(int fd);

/* Before the application is shared with forked processes: what there is by now
 * is left out of garbage collection, which would write to all of it, and what was
 * printed is written, once.  `threads` gets the names of threads that the
 * application has started, which a fork does not copy; empty if there are none. */
void interp_freeze(text *threads);

/* Around fork(); nothing without an interpreter. */
void interp_before_fork(void);
void interp_after_fork(bool in_child);

/* What wsgi_server_load() imported for `spec`: its file, and which Python. */
void interp_describe(FILE *out, const char *spec);

#endif
