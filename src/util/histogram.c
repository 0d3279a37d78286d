/* SPDX-License-Identifier: MIT */

#include "util/histogram.h"

#include <stddef.h>

/* From 64 on, the place is that of the highest bit, and within it that of the six bits below. */
static size_t histogram_place(uint64_t value)
{
        unsigned shift;

        if (value < UINT64_C(1) << HISTOGRAM_BITS)
                return value;
        shift = 63 - (unsigned)__builtin_clzll(value) - HISTOGRAM_BITS;
        return ((size_t)shift << HISTOGRAM_BITS) + (size_t)(value >> shift);
}

/* The greatest value of the place. */
static uint64_t histogram_top(size_t place)
{
        size_t shift;

        if (place < 1 << HISTOGRAM_BITS)
                return place;
        shift = (place >> HISTOGRAM_BITS) - 1;
        return ((((place & ((1 << HISTOGRAM_BITS) - 1)) + (1 << HISTOGRAM_BITS) + 1)) << shift) - 1;
}

void histogram_add(struct histogram *h, uint64_t value)
{
        h->counts[histogram_place(value)]++;
        h->n++;
        h->sum += value;
        if (value > h->max)
                h->max = value;
}

uint64_t histogram_at(const struct histogram *h, unsigned per_million)
{
        uint64_t whole = h->n / 1000000, rest = h->n % 1000000, seen = 0;
        uint64_t wanted = whole * per_million + (rest * per_million + 999999) / 1000000;

        for (size_t i = 0; i < HISTOGRAM_PLACES; i++) {
                seen += h->counts[i];
                if (seen >= wanted && seen > 0)
                        return histogram_top(i) < h->max ? histogram_top(i) : h->max;
        }
        return 0;
}

void histogram_merge(struct histogram *h, const struct histogram *other)
{
        h->n += other->n;
        h->sum += other->sum;
        if (other->max > h->max)
                h->max = other->max;
        for (size_t i = 0; i < HISTOGRAM_PLACES; i++)
                h->counts[i] += other->counts[i];
}
