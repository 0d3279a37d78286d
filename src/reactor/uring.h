/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

/* What the io_uring reactor counts and promises itself, for tests. */

struct reactor;
struct stream;

struct uring_stats {
        uint64_t stale;        /* completions of a stream that was gone */
        uint64_t starved;      /* receives that found no buffer */
        uint64_t full;         /* enters for the sake of room in the queue of requests */
        uint64_t wakes_failed; /* messages to another ring that became a write to its eventfd */
};

/* Of a reactor_uring. */
const struct uring_stats *uring_stats(const struct reactor *reactor);

/* Asserts what holds of an open stream of it between two calls. */
void uring_assert_stream(struct stream *stream);
