/*
 * What a load consists of: requests from a file, each with the answer that it
 * is to get.
 *
 * The file has for each request a line "SIZE STATUS LENGTH KIND" and behind it
 * SIZE bytes as they go over the wire.  LENGTH is that of the answer's body.
 * Answers of KIND 0 are timed, those of KIND 1 are only checked.
 *
 * "##########" in a head stands for a number that is another one in every
 * request.
 */
#ifndef BENCH_SCRIPT_H
#define BENCH_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCRIPT_MAX_MARKS 16

typedef struct request {
    const char *text;
    size_t len;
    int status;
    int64_t length;
    bool timed;
    size_t n_marks;
    size_t marks[SCRIPT_MAX_MARKS]; /* where numbers go */
} request;

typedef struct script {
    char *file; /* owns the text of all */
    request *requests;
    size_t count, longest;
} script;

/* False when the file cannot be used; says why on stderr.  Free the script in
 * any case. */
bool script_read(script *s, const char *path);
void script_free(script *s);

/* Copies a request of that number to `to`, which has room for it. */
void request_write(const request *req, uint64_t number, char *to);

#endif
