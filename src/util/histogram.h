/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

/*
 * Counts of values of any size, in places that are at most 1/64 of their values wide: exact below 128, and
 * within 1.6 % above. Fixed memory; an addition is a few instructions.
 */

#define HISTOGRAM_BITS   6
#define HISTOGRAM_PLACES ((64 - HISTOGRAM_BITS + 1) << HISTOGRAM_BITS)

struct histogram {
        uint64_t n, max, sum;
        uint64_t counts[HISTOGRAM_PLACES];
};

void histogram_add(struct histogram *h, uint64_t value);

/* Adds what another one counted. */
void histogram_merge(struct histogram *h, const struct histogram *other);

/*
 * Return: a value that so many of the values in a million do not exceed, and none smaller by more than the
 * width of a place has that property; 0 when there are none.
 */
uint64_t histogram_at(const struct histogram *h, unsigned per_million);
