/*
 * Durations counted in buckets, for percentiles at a small constant cost.
 *
 * A power of two has 64 buckets, so that a percentile is right to 1.6 %; the
 * largest duration is kept as it is.  Pure.
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_BITS 6
#define HISTOGRAM_PARTS (1u << HISTOGRAM_BITS)
#define HISTOGRAM_SIZE ((64 - HISTOGRAM_BITS + 1) * HISTOGRAM_PARTS)

typedef struct histogram {
    uint64_t buckets[HISTOGRAM_SIZE];
    uint64_t count, max;
} histogram;

static inline size_t
histogram_bucket(uint64_t ns)
{
    if (ns < HISTOGRAM_PARTS)
        return (size_t)ns;
    unsigned shift = 63u - (unsigned)__builtin_clzll(ns) - HISTOGRAM_BITS;
    return (shift + 1) * HISTOGRAM_PARTS +
           (size_t)(ns >> shift) % HISTOGRAM_PARTS;
}

static inline void
histogram_add(histogram *h, uint64_t ns)
{
    h->buckets[histogram_bucket(ns)]++;
    h->count++;
    if (ns > h->max)
        h->max = ns;
}

/* The smallest duration that falls into a bucket. */
static inline uint64_t
histogram_floor(size_t bucket)
{
    if (bucket < HISTOGRAM_PARTS)
        return bucket;
    size_t shift = bucket / HISTOGRAM_PARTS - 1;
    return (uint64_t)(HISTOGRAM_PARTS + bucket % HISTOGRAM_PARTS) << shift;
}

/* The duration that `percent` of all do not exceed; 0 if there are none. */
static inline uint64_t
histogram_percentile(const histogram *h, double percent)
{
    double wanted = (double)h->count * percent / 100;
    uint64_t seen = 0;

    for (size_t i = 0; i < HISTOGRAM_SIZE; i++) {
        seen += h->buckets[i];
        if (seen > 0 && (double)seen >= wanted)
            return histogram_floor(i);
    }
    return h->max;
}

#endif
