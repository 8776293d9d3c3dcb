/* What malloc() keeps of memory that is free again. */
#include <criterion/criterion.h>

#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
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

static pthread_barrier_t barrier;

static void *
use_malloc(void *unused)
{
    void *volatile piece = malloc(1000); /* not to be optimised away */

    free(piece);
    pthread_barrier_wait(&barrier); /* all at once: none has another's arena */
    return unused;
}

static int
count_arenas(void)
{
    char *text;
    size_t len;
    int n = 0;
    FILE *file = open_memstream(&text, &len);

    cr_assert_eq(malloc_info(0, file), 0);
    fclose(file);
    for (const char *at = text; (at = strstr(at, "<heap ")); at++)
        n++;
    free(text);
    return n;
}

#define N_THREADS 6

static int
arenas_of_threads(void)
{
    pthread_t threads[N_THREADS];

    pthread_barrier_init(&barrier, NULL, N_THREADS);
    for (size_t i = 0; i < N_THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, use_malloc, NULL), 0);
    for (size_t i = 0; i < N_THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&barrier);
    return count_arenas();
}

Test(heap, arenas_by_default)
{
    cr_expect_gt(arenas_of_threads(), 2, "%d", count_arenas());
}

Test(heap, threads_share_arenas)
{
    heap_keep_free_memory();
    cr_expect_leq(arenas_of_threads(), 2, "%d", count_arenas());
}

/* Nothing but what the environment says. */
Test(heap, who_tunes_malloc_is_not_disturbed)
{
    static const char *const variables[] = {
        "MALLOC_ARENA_MAX",       "MALLOC_ARENA_TEST", "MALLOC_MMAP_MAX_",
        "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_",   "MALLOC_TRIM_THRESHOLD_"
    };
    setenv("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=131072", 1);
    heap_keep_free_memory();
    cr_expect_lt(kept_of_bodies(), 1024 * KIB);
    unsetenv("GLIBC_TUNABLES");
    for (size_t i = 0; i < sizeof(variables) / sizeof(*variables); i++) {
        setenv(variables[i], "131072", 1);
        heap_keep_free_memory();
        cr_expect_lt(kept_of_bodies(), 1024 * KIB, "%s", variables[i]);
        unsetenv(variables[i]);
    }
}
