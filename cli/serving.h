/*
 * The application is imported, and served: by this process alone, or by one of
 * several workers.
 */
#ifndef WSGID_SERVING_H
#define WSGID_SERVING_H

#include "program.h"

/* Starts Python and imports the application.  DONE or an exit code. */
int serving_load(program *self);

/* Serves what has been loaded, until it is stopped.  DONE or an exit code. */
int serving_alone(program *self);

/* A wsgi_worker_main: user is the program, bound, and loaded if it is to be
 * shared. */
int serving_as_worker(wsgi_worker *worker, void *user);

#endif
