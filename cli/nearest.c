#include "nearest.h"

#include <string.h>

#define LONGEST 64

static size_t
least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Letters to add, drop, change or swap with their neighbour until a is b. */
static size_t
distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t rows[3][LONGEST + 1];
    size_t *before = rows[0], *last = rows[1], *row = rows[2];

    for (size_t j = 0; j <= b_len; j++)
        last[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            row[j] = least(last[j - 1] + (a[i - 1] != b[j - 1]),
                           least(last[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], before[j - 2] + 1);
        }
        size_t *spare = before;
        before = last;
        last = row;
        row = spare;
    }
    return last[b_len];
}

void
nearest_begin(nearest *search, const char *wanted)
{
    size_t len = strlen(wanted);

    /* One letter in three may be wrong: more would be guessing. */
    *search =
        (nearest){ .wanted = wanted, .distance = (len < 4 ? 1 : len / 3) + 1 };
}

void
nearest_offer(nearest *search, const char *name)
{
    size_t wanted_len = strlen(search->wanted);
    size_t len = strlen(name);
    size_t far;

    if (wanted_len > LONGEST || len > LONGEST)
        return;
    /* The beginning of a name counts as one mistake. */
    if (wanted_len >= 3 && strncmp(search->wanted, name, wanted_len) == 0)
        far = 1;
    else
        far = distance(search->wanted, wanted_len, name, len);
    if (far < search->distance) {
        search->distance = far;
        search->name = name;
    }
}
