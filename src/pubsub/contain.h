/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

#include "util/bytes.h"

/*
 * Whether every text that one pattern matches is matched by at least one of some others, for the patterns of
 * pubsub/glob.h with all their corners. This is about what they match, not how they are written: "a[bc]" lies
 * within "a?", and "?" within "[a-m]" and "[^a-m]" together.
 *
 * The answer is exact, or unknown: the question is hard in general, and work is bounded.
 */

enum contain {
        CONTAIN_NO,
        CONTAIN_YES,
        CONTAIN_UNKNOWN, /* the steps did not suffice */
};

/* Steps for one question; each is a few operations on a word of 64 bits. Memory is bounded by them, too. */
#define CONTAIN_STEPS ((size_t)1 << 18)

/*
 * Nothing is within no patterns, but a pattern that matches nothing is within any. steps: what may be done, and
 * in the end what is left of it; not counted is what grows with the patterns' lengths only, in proportion.
 * whichp, unless NULL: on CONTAIN_YES the index of one that suffices alone, or n if it took several.
 */
enum contain contain_check(struct bytes pattern, const struct bytes *others, size_t n, size_t *steps,
                           size_t *whichp);
