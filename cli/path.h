/* Paths that stay right when the application changes the current directory. */
#ifndef WSGID_PATH_H
#define WSGID_PATH_H

/* path below the current directory, unless it is absolute already; symbolic
 * links stay as they are.  The caller frees it; NULL when out of memory or when
 * there is no current directory, with errno. */
char *path_absolute(const char *path);

/* The same with symbolic links followed, where the file is there. */
char *path_resolved(const char *path);

/* What to do about an errno of a file, as the end of a message that begins with
 * "; "; "" when there is nothing to advise. */
const char *path_remedy(int error);

#endif
