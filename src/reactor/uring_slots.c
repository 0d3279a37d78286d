/* SPDX-License-Identifier: MIT */

#include "reactor/uring_slots.h"

#include <assert.h>
#include <stdlib.h>

#include "util/mem.h"

#define URING_NO_SLOT UINT32_MAX

void uring_slots_init(struct uring_slots *slots)
{
        *slots = (struct uring_slots){ .first_free = URING_NO_SLOT };
}

void uring_slots_deinit(struct uring_slots *slots)
{
        free(slots->v);
}

static void uring_slots_grow(struct uring_slots *slots)
{
        uint32_t n = slots->n ? 2 * slots->n : 64;

        assert(n <= URING_SLOTS_MAX);
        slots->v = mem_realloc(slots->v, n * sizeof(*slots->v));
        for (uint32_t i = slots->n; i < n; i++)
                slots->v[i] = (struct uring_slot){ .next_free = i + 1 < n ? i + 1 : URING_NO_SLOT };
        slots->first_free = slots->n;
        slots->n = n;
}

uint32_t uring_slots_take(struct uring_slots *slots, struct stream *stream)
{
        uint32_t slot;

        if (slots->first_free == URING_NO_SLOT)
                uring_slots_grow(slots);
        slot = slots->first_free;
        slots->first_free = slots->v[slot].next_free;
        slots->v[slot].stream = stream;
        return slot;
}

void uring_slots_release(struct uring_slots *slots, uint32_t slot)
{
        slots->v[slot].stream = NULL;
        slots->v[slot].generation++;
        slots->v[slot].next_free = slots->first_free;
        slots->first_free = slot;
}
