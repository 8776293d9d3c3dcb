/* What C has no operator for.  Pure. */
#ifndef WSGI_BASE_MACROS_H
#define WSGI_BASE_MACROS_H

#include <stddef.h>

/* How many elements an array has; not for pointers. */
#define WSGI__COUNT(array) (sizeof(array) / sizeof(*(array)))

/* The object of that type whose member `member` points to. */
#define WSGI__OWNER(member_ptr, type, member)                                 \
    ((type *)(void *)((char *)(member_ptr)-offsetof(type, member)))

#endif
