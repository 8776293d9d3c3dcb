#include "base/mem.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* 0 is off, which costs the normal path one load. */
static atomic_long fail_nth;
static atomic_long count;

static bool
fails_now(void)
{
    long nth = atomic_load_explicit(&fail_nth, memory_order_relaxed);
    if (nth == 0)
        return false;
    return atomic_fetch_add(&count, 1) + 1 == nth;
}

void *
wsgi__mem_alloc(size_t size)
{
    return fails_now() ? NULL : malloc(size ? size : 1);
}

/* Up to this size memory is cleared here: calloc() of glibc before 2.41 does
 * not use what free() has put aside for the thread, which costs 400
 * instructions a request. */
#define MOST_CLEARED 1024

void *
wsgi__mem_zero(size_t n, size_t size)
{
    if (fails_now() || (n > 0 && size > SIZE_MAX / n))
        return NULL;
    size_t len = n * size;
    if (len > MOST_CLEARED)
        return calloc(n, size);
    void *ptr = malloc(len ? len : 1);
    if (ptr)
        memset(ptr, 0, len);
    return ptr;
}

/* realloc(ptr, 0) may free and return NULL, which looks like a failure. */
void *
wsgi__mem_resize(void *ptr, size_t size)
{
    return fails_now() ? NULL : realloc(ptr, size ? size : 1);
}

char *
wsgi__mem_dup(const char *data, size_t len)
{
    char *copy = len < SIZE_MAX ? wsgi__mem_alloc(len + 1) : NULL;
    if (!copy)
        return NULL;
    if (len)
        memcpy(copy, data, len);
    copy[len] = '\0';
    return copy;
}

char *
wsgi__mem_strdup(const char *text)
{
    return wsgi__mem_dup(text, strlen(text));
}

void
wsgi__mem_free(void *ptr)
{
    free(ptr);
}

void
wsgi__mem_fail_nth(long n)
{
    atomic_store(&count, 0);
    atomic_store(&fail_nth, n);
}

long
wsgi__mem_count(void)
{
    return atomic_load(&count);
}
