/*
 * The file with the number of the serving process.
 *
 * It is written whole or not at all.  A file of a process that lives is left
 * alone, and so is a file that holds no number: it is somebody's data.  What is
 * no regular file is refused; of a symbolic link it is the file it leads to.
 */
#ifndef WSGID_PIDFILE_H
#define WSGID_PIDFILE_H

#include <stdbool.h>

#include "text.h"

typedef struct pidfile {
    char *path;         /* NULL: none */
    const char *suffix; /* of its name as it is now; NULL is "" */
} pidfile;

/* false: `error` has a sentence. */
bool pidfile_take(pidfile *file, const char *path, text *error);

/* Renames it to `path` with the suffix, for a successor that takes the name, and
 * back with "".  Does nothing where there is no file. */
void pidfile_rename(pidfile *file, const char *suffix);

/* Removes it if it still holds our number.  Also of a zero-filled one. */
void pidfile_release(pidfile *file);

#endif
