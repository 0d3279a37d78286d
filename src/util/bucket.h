/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * A token bucket: `rate` tokens flow in per second, and it holds those of one second. Pure arithmetic without
 * rounding, so over any time exactly as much is let through as the rate allows. Zeroed is full.
 *
 * More tokens than it holds are to be had all the same, from a full bucket; it then lacks more than it holds,
 * and nothing is to be had until that has flowed in. So nothing waits for ever, and the mean is kept.
 *
 * The rate is the caller's, and may change between two calls. At 0 there is no limit.
 */
struct bucket {
        uint64_t lacking; /* to be full, in 10^-9 tokens, at the time `at` */
        uint64_t at;      /* monotonic ns */
};

#define BUCKET_MAX (UINT64_C(8) << 30) /* tokens; a higher rate, and more tokens at once, count as these */

/* ns from now until n tokens are to be had; 0: they are. */
uint64_t bucket_wait(const struct bucket *bucket, uint64_t rate, uint64_t n, uint64_t now);

/* Takes n tokens, whether or not they are to be had. */
void bucket_take(struct bucket *bucket, uint64_t rate, uint64_t n, uint64_t now);

/* Gives back what was taken and not used; it holds no more than full all the same. */
void bucket_give(struct bucket *bucket, uint64_t rate, uint64_t n, uint64_t now);

/* Tokens that are to be had now; of an endless rate BUCKET_MAX. */
uint64_t bucket_left(const struct bucket *bucket, uint64_t rate, uint64_t now);

/* Tokens that it lacks now to be full, a part of one as one. */
uint64_t bucket_used(const struct bucket *bucket, uint64_t rate, uint64_t now);

bool bucket_is_full(const struct bucket *bucket, uint64_t rate, uint64_t now);
