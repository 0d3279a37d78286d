/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

/* SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014). For tests
 * and schedules, not for keys. */
struct prng {
        uint64_t state;
};

static inline uint64_t prng_next(struct prng *p)
{
        uint64_t z = (p->state += UINT64_C(0x9e3779b97f4a7c15));

        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        return z ^ (z >> 31);
}

/* A number in 0..n-1; n > 0. */
static inline uint64_t prng_below(struct prng *p, uint64_t n)
{
        return prng_next(p) % n;
}
