/*
 * The names of options: finding one, and which was meant when there is none.
 * Pure.
 */
#include "base/options.h"

#define LONGEST_NAME 64

/* The next word of a list that is separated by single blanks. */
static bool
next_word(const char **list, wsgi__span *word)
{
    if (**list == '\0')
        return false;
    *word = (wsgi__span){ *list, strcspn(*list, " ") };
    *list += word->len;
    if (**list == ' ')
        ++*list;
    return true;
}

static bool
list_has(const char *list, wsgi__span name)
{
    wsgi__span word;
    while (next_word(&list, &word))
        if (wsgi__span_eq(word, name))
            return true;
    return false;
}

const wsgi_option_info *
wsgi_option_find(const char *name)
{
    wsgi__span wanted = wsgi__span_of(name);
    const wsgi_option_info *option = NULL;

    while ((option = wsgi_option_next(option)))
        if (list_has(option->name, wanted) ||
            list_has(option->aliases, wanted))
            break;
    return option;
}

/* ---- What was meant ----------------------------------------------------- */

static size_t
least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Letters to add, drop, change or swap with their neighbour until a is b, with
 * three rows of the matrix kept. */
static size_t
edits(wsgi__span a, wsgi__span b)
{
    size_t rows[3][LONGEST_NAME + 1];
    size_t *before = rows[0], *last = rows[1], *row = rows[2];

    for (size_t j = 0; j <= b.len; j++)
        last[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            row[j] = least(last[j - 1] + (a.ptr[i - 1] != b.ptr[j - 1]),
                           least(last[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a.ptr[i - 1] == b.ptr[j - 2] &&
                a.ptr[i - 2] == b.ptr[j - 1])
                row[j] = least(row[j], before[j - 2] + 1);
        }
        size_t *spare = before;
        before = last;
        last = row;
        row = spare;
    }
    return last[b.len];
}

static int
distance(wsgi__span typed, wsgi__span name)
{
    size_t most = typed.len < 4 ? 1 : typed.len / 3;

    if (typed.len > LONGEST_NAME || name.len > LONGEST_NAME)
        return -1;
    if (wsgi__span_eq(typed, name))
        return 0;
    if (typed.len >= 3 && name.len > typed.len &&
        memcmp(name.ptr, typed.ptr, typed.len) == 0)
        return 1;
    size_t n = edits(typed, name);
    return n <= most ? (int)n : -1;
}

int
wsgi_option_distance(const char *typed, const char *name)
{
    return distance(wsgi__span_of(typed), wsgi__span_of(name));
}

wsgi__span
wsgi__option_meant(const char *typed)
{
    wsgi__span nearest = { "", 0 };
    const wsgi_option_info *option = NULL;
    int best = -1;

    while ((option = wsgi_option_next(option))) {
        const char *lists[] = { option->name, option->aliases };
        for (size_t i = 0; i < 2; i++) {
            wsgi__span word;
            while (next_word(&lists[i], &word)) {
                int n = distance(wsgi__span_of(typed), word);
                if (n >= 0 && (best < 0 || n < best)) {
                    best = n;
                    nearest = word;
                }
            }
        }
    }
    return nearest;
}
