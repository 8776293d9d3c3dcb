/*
 * The user and group that a server runs as, once it has opened what only root
 * can open (--user, --group).
 */
#ifndef WSGID_IDENTITY_H
#define WSGID_IDENTITY_H

#include <stdbool.h>
#include <sys/types.h>

#include "text.h"

typedef struct identity {
    bool wanted; /* false: nothing is to change */
    bool drops;  /* to a user other than root */
    uid_t uid;
    gid_t gid;
    char *name; /* whose supplementary groups; NULL: it has none */
} identity;

/* Names or numbers, NULL for what was not given.  Without --group it is the
 * user's own.  false, with a sentence in `error`, when there is no such one, or
 * when this process may not become it. */
bool identity_find(identity *who, const char *user, const char *group,
                   text *error);
void identity_free(identity *who);

/* For good: groups, group, user, in this order, and then a look whether there is
 * a way back.  false, with a sentence in `error`: this process must not go
 * on. */
bool identity_take(const identity *who, text *error);

/* Gives it a file; false with errno. */
bool identity_give(const identity *who, const char *path);

/* The same if it is a regular one: a device or a terminal stays whose it is. */
bool identity_give_open(const identity *who, int fd);

#endif
