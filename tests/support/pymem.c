#include "support/pymem.h"

#define PY_SSIZE_T_CLEAN
#include <Python.h>

enum { N_DOMAINS = 2 };
static const PyMemAllocatorDomain domains[N_DOMAINS] = { PYMEM_DOMAIN_MEM,
                                                         PYMEM_DOMAIN_OBJ };
static PyMemAllocatorEx originals[N_DOMAINS];
static long countdown; /* 0: off, or over */

static bool
fails_now(void)
{
    return countdown > 0 && --countdown == 0;
}

static void *
fail_malloc(void *original, size_t size)
{
    PyMemAllocatorEx *a = original;
    return fails_now() ? NULL : a->malloc(a->ctx, size);
}

static void *
fail_calloc(void *original, size_t n, size_t size)
{
    PyMemAllocatorEx *a = original;
    return fails_now() ? NULL : a->calloc(a->ctx, n, size);
}

static void *
fail_realloc(void *original, void *memory, size_t size)
{
    PyMemAllocatorEx *a = original;
    return fails_now() ? NULL : a->realloc(a->ctx, memory, size);
}

static void
pass_free(void *original, void *memory)
{
    PyMemAllocatorEx *a = original;
    a->free(a->ctx, memory);
}

void
pymem_fail_nth(long n)
{
    for (int i = 0; i < N_DOMAINS; i++) {
        PyMemAllocatorEx failing = { &originals[i], fail_malloc, fail_calloc,
                                     fail_realloc, pass_free };
        PyMem_GetAllocator(domains[i], &originals[i]);
        PyMem_SetAllocator(domains[i], &failing);
    }
    countdown = n;
}

bool
pymem_stop(void)
{
    bool reached = countdown == 0;
    countdown = 0;
    for (int i = 0; i < N_DOMAINS; i++)
        PyMem_SetAllocator(domains[i], &originals[i]);
    return reached;
}
