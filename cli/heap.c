#include "heap.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#ifdef __GLIBC__
#include <malloc.h>

#define MIB (1024 * 1024)

static const struct {
    int parameter, value;
} settings[] = {
    { M_TRIM_THRESHOLD, 16 * MIB },
    { M_MMAP_THRESHOLD, 4 * MIB },
    { M_TOP_PAD, MIB / 4 }, /* taken at once when more is needed */
    { M_ARENA_MAX, 2 },     /* the threshold is of each */
};

static bool
is_tuned_by_user(void)
{
    static const char *const names[] = {
        "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_ARENA_MAX",
        "MALLOC_ARENA_TEST",      "MALLOC_MMAP_MAX_",       "MALLOC_TOP_PAD_"
    };
    const char *tunables = getenv("GLIBC_TUNABLES");

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (getenv(names[i]))
            return true;
    return tunables && strstr(tunables, "glibc.malloc.");
}

void
heap_keep_free_memory(void)
{
    if (is_tuned_by_user())
        return;
    for (size_t i = 0; i < sizeof(settings) / sizeof(*settings); i++)
        mallopt(settings[i].parameter, settings[i].value);
}

#else

void
heap_keep_free_memory(void)
{
}

#endif
