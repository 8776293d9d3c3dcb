#include "support/guard.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

guard
guard_new(size_t max)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t room = (max / page + 1) * page;
    char *map = mmap(NULL, room + page, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED || mprotect(map + room, page, PROT_NONE) < 0)
        abort();
    return (guard){ map, room, room + page };
}

void
guard_free(guard *g)
{
    munmap(g->map, g->mapped);
    g->map = NULL;
}

const char *
guard_copy(guard *g, const void *data, size_t len)
{
    if (len > g->room)
        abort();
    char *copy = g->map + g->room - len;
    if (len)
        memcpy(copy, data, len);
    return copy;
}
