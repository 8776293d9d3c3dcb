/*
 * Files that are watched for change, by their folders: an editor may replace a
 * file by another one, and one may be missing for now.  Linux's inotify.
 */
#ifndef WSGID_WATCHER_H
#define WSGID_WATCHER_H

#include <stdbool.h>
#include <stddef.h>

typedef struct watched_folder {
    int wd;
    char *path;
} watched_folder;

typedef struct watched_file {
    int wd;
    char *name; /* in the folder */
} watched_file;

typedef struct watcher {
    int fd; /* readable when something has changed; -1: closed */
    watched_folder *folders;
    watched_file *files;
    size_t n_folders, n_files;
} watcher;

/* false with errno. */
bool watcher_open(watcher *self);
void watcher_close(watcher *self);

/* An absolute path; one that is watched already is nothing new.  false with
 * errno: its folder cannot be watched. */
bool watcher_add(watcher *self, const char *path);

/* The folder itself, for any_python below. */
bool watcher_add_folder(watcher *self, const char *path);

/* Reads what has happened.  Whether one of the files has changed, or with
 * any_python a *.py file in one of the folders: its path in `path` of that
 * size. */
bool watcher_take(watcher *self, bool any_python, char *path, size_t size);

#endif
