/*
 * Allocation for the whole library, with a switch that makes it fail.
 *
 * Every allocation of lib/ goes through here, so that a test can let the n-th
 * one fail and look at what remains.  Thread-safe.
 */
#ifndef WSGI_BASE_MEM_H
#define WSGI_BASE_MEM_H

#include <stddef.h>

/* As malloc, calloc, realloc, strdup and free of the C library: NULL when out
 * of memory, and only then: of size 0 too there is a pointer to be freed.
 * wsgi__mem_dup copies len bytes, adds a NUL, and takes NULL with len 0. */
void *wsgi__mem_alloc(size_t size);
void *wsgi__mem_zero(size_t n, size_t size);
void *wsgi__mem_resize(void *ptr, size_t size);
char *wsgi__mem_dup(const char *data, size_t len);
char *wsgi__mem_strdup(const char *text);
void wsgi__mem_free(void *ptr);

/* For tests: the n-th allocation from now (1 is the next) fails, once; 0 turns
 * it off.  Not while other threads allocate. */
void wsgi__mem_fail_nth(long n);

/* For tests: allocations asked for since the last wsgi__mem_fail_nth() other
 * than 0; with LONG_MAX they are counted and none fails. */
long wsgi__mem_count(void);

#endif
