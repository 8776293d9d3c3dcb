/*
 * The file with the number of the serving process.
 *
 * It is written whole or not at all.  A file of a process that lives is left
 * alone, and so is a file that holds no number: it is somebody's data.
 */
#ifndef WSGID_PIDFILE_H
#define WSGID_PIDFILE_H

#include <stdbool.h>

#include "text.h"

typedef struct pidfile {
    char *path; /* NULL: none */
} pidfile;

/* false: `error` has a sentence. */
bool pidfile_take(pidfile *file, const char *path, text *error);

/* Removes it if it still holds our number.  Also of a zero-filled one. */
void pidfile_release(pidfile *file);

#endif
