/* Which of some names was probably meant.  Pure. */
#ifndef WSGID_NEAREST_H
#define WSGID_NEAREST_H

#include <stddef.h>

typedef struct nearest {
    const char *wanted;
    const char *name; /* the best so far, or NULL if none is near */
    size_t distance;
} nearest;

void nearest_begin(nearest *search, const char *wanted);

/* Names are not copied.  The first of equally near ones stays. */
void nearest_offer(nearest *search, const char *name);

#endif
