/* What malloc() keeps of memory that is free again. */
#include <criterion/criterion.h>

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "heap.h"

#define KIB ((size_t)1024)
#define N_BODIES 64

/* As many bodies as a turn may have; how much of them stays. */
static size_t
kept_of_bodies(void)
{
    void *bodies[N_BODIES];

    for (size_t i = 0; i < N_BODIES; i++) {
        bodies[i] = malloc(64 * KIB);
        cr_assert_not_null(bodies[i]);
        memset(bodies[i], 'x', 64 * KIB);
    }
    for (size_t i = 0; i < N_BODIES; i++)
        free(bodies[i]);
    return mallinfo2().keepcost;
}

/* Sanitizers bring a malloc() of their own.  As clang has it: */
#ifdef __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)

Test(heap, bodies_of_a_turn_are_not_given_back)
{
    cr_expect_lt(kept_of_bodies(), 1024 * KIB, "malloc() by itself");
    heap_keep_free_memory();
    cr_expect_geq(kept_of_bodies(), N_BODIES * 64 * KIB);
}

Test(heap, a_burst_is_given_back)
{
    heap_keep_free_memory();
    for (size_t i = 0; i < 20; i++)
        kept_of_bodies();
    void *burst[40];
    for (size_t i = 0; i < 40; i++)
        burst[i] = malloc(1024 * KIB);
    for (size_t i = 0; i < 40; i++)
        free(burst[i]);
    cr_expect_leq(mallinfo2().keepcost, 17 * 1024 * KIB);
}

/* Nothing but what the environment says. */
Test(heap, who_tunes_malloc_is_not_disturbed)
{
    setenv("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=131072", 1);
    heap_keep_free_memory();
    cr_expect_lt(kept_of_bodies(), 1024 * KIB);
    unsetenv("GLIBC_TUNABLES");
    setenv("MALLOC_TRIM_THRESHOLD_", "131072", 1);
    heap_keep_free_memory();
    cr_expect_lt(kept_of_bodies(), 1024 * KIB);
}

#else

/* Another malloc() is in place; that nothing comes of it is all there is. */
Test(heap, does_no_harm)
{
    heap_keep_free_memory();
    kept_of_bodies();
}

#endif
