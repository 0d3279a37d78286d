/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

/* Sets of small numbers (ports of the mesh) in one 64-bit word. */

static inline uint64_t bit(unsigned n)
{
        return UINT64_C(1) << n;
}

static inline unsigned bits_first(uint64_t set)
{
        return (unsigned)__builtin_ctzll(set);
}

/* Walks a copy of the set in rising order. */
#define bits_for_each(_i, _set)                                                                                \
        for (uint64_t _i##_left = (_set), _i = 0; _i##_left && (_i = bits_first(_i##_left), 1);                \
             _i##_left &= _i##_left - 1)
