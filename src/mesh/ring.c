/* SPDX-License-Identifier: MIT */
/* The part of the ring that is not worth inlining: set-up, and blocks. */

#include "mesh/ring.h"

#include <stdlib.h>

#include "util/mem.h"

void ring_writer_init(struct ring_writer *w, struct ring *ring, struct ring_slot *slots, uint64_t capacity,
                      uint64_t outside_max)
{
        assert(capacity && (capacity & (capacity - 1)) == 0);
        *w = (struct ring_writer){
                .ring = ring, .slots = slots, .mask = capacity - 1, .outside_max = outside_max
        };
}

void ring_reader_init(struct ring_reader *r, struct ring *ring, struct ring_slot *slots, uint64_t capacity)
{
        assert(capacity && (capacity & (capacity - 1)) == 0);
        *r = (struct ring_reader){ .ring = ring, .slots = slots, .mask = capacity - 1 };
}

struct ring_block *ring_block_new(uint16_t type, uint32_t size)
{
        struct ring_block *block = mem_alloc(sizeof(*block) + size);

        block->next = NULL;
        block->charge = NULL;
        block->size = size;
        block->type = type;
        block->counted = 0;
        return block;
}

struct ring_block *ring_block_free(struct ring_block *block)
{
        free(block);
        return NULL;
}
