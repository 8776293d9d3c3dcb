/*
 * --reload: new workers when a file changes that the application is made of.
 *
 * Workers name each Python file that they execute or try to, now or later, over
 * a pipe; the supervisor watches the folders of these files.  What cannot be
 * imported does not end the server: it waits for the next change.
 */
#ifndef WSGID_RELOAD_H
#define WSGID_RELOAD_H

#include "program.h"

/* Before the workers, with --reload: watches the current folder and the files of
 * --reload-extra-file.  DONE or an exit code; nothing without --reload. */
int reload_begin(program *self);

/* In a worker, before Python starts: its files are named from now on. */
void reload_name_files(program *self);

/* In a worker whose application cannot be imported: waits until another takes
 * its place. */
void reload_await_change(program *self, wsgi_worker *worker);

void reload_end(program *self);

#endif
