/*
 * Bytes that end where memory ends: a read behind them crashes the test.
 */
#ifndef TEST_SUPPORT_GUARD_H
#define TEST_SUPPORT_GUARD_H

#include <stddef.h>

typedef struct guard {
    char *map;
    size_t room;   /* bytes before the inaccessible page */
    size_t mapped; /* with that page */
} guard;

/* Room for up to max bytes.  Ends the test where the system has no memory. */
guard guard_new(size_t max);
void guard_free(guard *g);

/* A copy of data that ends at the inaccessible page, valid until the next
 * copy.  What lies before it is poison of an earlier copy. */
const char *guard_copy(guard *g, const void *data, size_t len);

#endif
