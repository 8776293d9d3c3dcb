/*
 * Mutations that know of lines: half of the time a line is dropped, doubled,
 * moved or cut short, else libFuzzer does what it does to bytes.  HTTP and the
 * scripts of the targets are made of lines, and most of what goes wrong does so
 * between whole ones.
 */
#include "fuzz.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
                               unsigned seed);

/* xorshift: the seed alone decides, so that a run can be repeated. */
static unsigned
draw(unsigned *state, size_t below)
{
    unsigned x = *state ? *state : 1;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    *state = x;
    return below ? x % (unsigned)below : 0;
}

/* [start, end) of some line, its LF included. */
typedef struct range {
    size_t start, end;
} range;

static range
some_line(const uint8_t *data, size_t size, unsigned *state)
{
    size_t start = draw(state, size), end = start;

    while (start > 0 && data[start - 1] != '\n')
        start--;
    while (end < size && data[end] != '\n')
        end++;
    return (range){ start, end < size ? end + 1 : end };
}

static size_t
drop(uint8_t *data, size_t size, range r)
{
    memmove(data + r.start, data + r.end, size - r.end);
    return size - (r.end - r.start);
}

/* Puts a copy of the line before another one. */
static size_t
copy_to(uint8_t *data, size_t size, size_t max_size, range r, size_t at)
{
    size_t len = r.end - r.start;

    if (len > max_size - size)
        return size;
    uint8_t *line = malloc(len + 1);
    if (!line)
        return size;
    memcpy(line, data + r.start, len);
    memmove(data + at + len, data + at, size - at);
    memcpy(data + at, line, len);
    free(line);
    return size + len;
}

size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
                        unsigned seed)
{
    unsigned state = seed ^ 0x9e3779b9u;

    if (size < 2 || size > max_size || draw(&state, 2) == 0)
        return LLVMFuzzerMutate(data, size, max_size);
    range line = some_line(data, size, &state);
    range other = some_line(data, size, &state);
    switch (draw(&state, 4)) {
    case 0:
        return drop(data, size, line);
    case 1:
        return copy_to(data, size, max_size, line, line.start);
    case 2:
        return copy_to(data, size, max_size, line, other.start);
    default:
        line.start += draw(&state, line.end - line.start);
        return drop(data, size, line);
    }
}
