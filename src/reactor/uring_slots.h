/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * Numbers for streams, which fit into the tag of a request. A number is used again, with another generation, so
 * that what comes late for a stream that is gone cannot meet the next one.
 */

#define URING_SLOTS_MAX (UINT32_C(1) << 24)

struct stream;

struct uring_slot {
        struct stream *stream; /* NULL: free */
        uint32_t generation;
        uint32_t next_free;
};

struct uring_slots {
        struct uring_slot *v;
        uint32_t n, first_free;
};

void uring_slots_init(struct uring_slots *slots);
void uring_slots_deinit(struct uring_slots *slots);

/* Return: the stream's number, below URING_SLOTS_MAX. Ends the process when memory is out. */
uint32_t uring_slots_take(struct uring_slots *slots, struct stream *stream);
void uring_slots_release(struct uring_slots *slots, uint32_t slot);

/* Return: NULL: the stream that had that number in that generation is gone. */
static inline struct stream *uring_slots_find(const struct uring_slots *slots, uint32_t slot,
                                              uint32_t generation)
{
        return slot < slots->n && slots->v[slot].generation == generation ? slots->v[slot].stream : NULL;
}
