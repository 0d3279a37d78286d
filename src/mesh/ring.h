/* SPDX-License-Identifier: MIT */
#pragma once

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A single-producer single-consumer ring of message slots.
 *
 * The bounded queue of Lamport ("Specifying concurrent program modules", TOPLAS 1983) with the opposite index
 * cached on each side (Giacomoni, Moseley, Vachharajani: "FastForward", PPoPP 2008, discusses why). What the
 * two threads share is struct ring: two indices and a flag, on a line per writing side. What belongs to one of
 * them is in its own end, struct ring_writer or struct ring_reader, which the other never touches. Indices are
 * 64-bit counters that only grow; a slot is index & mask.
 *
 * A slot belongs to the writer from head + capacity on, to the reader once tail has passed it:
 *
 *      writer: fill slots, store tail (release)        reader: load tail (acquire), read slots,
 *      load head (acquire), reuse slots                store head (release)
 *
 * The tail is stored by ring_writer_publish(), not per message.
 *
 * A ring is full when its slots are used up, and also for a block that would bring the bytes in blocks above
 * their bound. The writer keeps count of them by itself: a slot that the reader gave back still says how large
 * its block was, until the writer fills it anew.
 *
 * A message lies in its slot when it is small, else in one block that the slot points to. The block is
 * allocated by the writer's thread and freed by the reader's.
 */

#define RING_LINE        128 /* two cache lines: the adjacent-line prefetcher pairs them */
#define RING_INLINE_SIZE 120 /* bytes of a message that lies in its slot */

/* A message outside of the ring: too large for a slot, or waiting in a backlog. */
struct ring_block {
        struct ring_block *next; /* in a backlog */
        uint64_t *charge;        /* where its bytes are counted while it is in a backlog; NULL: nowhere */
        uint32_t size;           /* bytes of data */
        uint16_t type;
        uint16_t counted; /* against a backlog's bound */
        uint8_t data[];
};

static_assert(offsetof(struct ring_block, data) % 8 == 0, "messages are aligned to 8");

struct ring_slot {
        uint32_t size; /* bytes of data */
        uint16_t type;
        uint16_t outside; /* the data is in block */
        union {
                struct ring_block *block;
                uint8_t data[RING_INLINE_SIZE];
        };
};

static_assert(sizeof(struct ring_slot) == RING_LINE, "a slot is two cache lines");
static_assert(offsetof(struct ring_slot, data) % 8 == 0, "messages are aligned to 8");

/* What both sides see. Zeroed is an empty ring. */
struct ring {
        alignas(RING_LINE) _Atomic uint64_t tail; /* slots ever published; stored by the writer */
        _Atomic uint32_t spilled; /* the writer waits for space; set by it, taken by the reader */
        alignas(RING_LINE) _Atomic uint64_t head; /* slots ever given back; stored by the reader */
};

static_assert(sizeof(struct ring) == 2 * RING_LINE, "a line for each writing side");

struct ring_writer {
        struct ring *ring;
        struct ring_slot *slots;
        uint64_t mask;      /* capacity - 1 */
        uint64_t tail;      /* slots ever reserved */
        uint64_t published; /* the value of ring->tail */
        uint64_t head_seen; /* of ring->head: at most its value */
        uint64_t counted;   /* slots below are no longer in `outside`; at most head_seen */
        uint64_t outside;   /* bytes in blocks of the slots from counted to tail */
        uint64_t outside_max;
};

struct ring_reader {
        struct ring *ring;
        struct ring_slot *slots;
        uint64_t mask;      /* capacity - 1 */
        uint64_t head;      /* slots ever read */
        uint64_t tail_seen; /* of ring->tail: at most its value */
};

/*
 * The two ends of an empty ring; slots are capacity slots (a power of two), whose content does not matter.
 * outside_max: bytes in blocks that may be in the ring; a single block may be larger.
 */
void ring_writer_init(struct ring_writer *w, struct ring *ring, struct ring_slot *slots, uint64_t capacity,
                      uint64_t outside_max);
void ring_reader_init(struct ring_reader *r, struct ring *ring, struct ring_slot *slots, uint64_t capacity);

/* A block for size bytes, not linked. Ends the process when memory is out. */
struct ring_block *ring_block_new(uint16_t type, uint32_t size);

/* Return: NULL. */
struct ring_block *ring_block_free(struct ring_block *block);

/* Slots in use, as far as the writer knows: never too few. */
static inline uint64_t ring_writer_used(const struct ring_writer *w)
{
        return w->tail - w->head_seen;
}

/* Looks how far the reader has come. */
static inline void ring_writer_refresh(struct ring_writer *w)
{
        /* pairs with ring_reader_release(): the reader is done with the slots below head */
        w->head_seen = atomic_load_explicit(&w->ring->head, memory_order_acquire);
}

/* Takes the oldest slot that is counted, which the reader gave back, out of the count. */
static inline void ring_writer_uncount(struct ring_writer *w)
{
        const struct ring_slot *slot = &w->slots[w->counted++ & w->mask];

        if (slot->outside)
                w->outside -= slot->size;
}

/* Whether a block of size bytes has to wait until the reader has freed others. */
static inline bool ring_writer_crowded(struct ring_writer *w, uint32_t size)
{
        if (!w->outside || w->outside + size <= w->outside_max)
                return false;
        ring_writer_refresh(w);
        while (w->counted < w->head_seen)
                ring_writer_uncount(w);
        return w->outside && w->outside + size > w->outside_max;
}

/*
 * The next slot, for a message of size bytes that lies in the slot, or outside of it in a block; to be filled
 * before ring_writer_publish(). The shared head is looked at only when the ring seems full. Return: NULL when
 * it is.
 */
static inline struct ring_slot *ring_writer_reserve(struct ring_writer *w, uint32_t size, bool outside)
{
        if (ring_writer_used(w) > w->mask) {
                ring_writer_refresh(w);
                if (ring_writer_used(w) > w->mask)
                        return NULL;
        }
        if (outside && ring_writer_crowded(w, size))
                return NULL;
        if (w->tail - w->counted > w->mask)
                ring_writer_uncount(w); /* the slot is about to forget */
        if (outside)
                w->outside += size;
        return &w->slots[w->tail++ & w->mask];
}

/* Hands all filled slots to the reader. It is not told: see park_announce(). */
static inline void ring_writer_publish(struct ring_writer *w)
{
        if (w->published == w->tail)
                return;
        w->published = w->tail;
        /* pairs with ring_reader_available() */
        atomic_store_explicit(&w->ring->tail, w->tail, memory_order_release);
}

/*
 * Asks the reader to announce itself back once it has looked at the ring. Relaxed: the announce that must
 * follow publishes it, and the reader looks only after it took an announcement.
 */
static inline void ring_writer_ask_space(struct ring_writer *w)
{
        /* pairs with ring_reader_take_ask() */
        atomic_store_explicit(&w->ring->spilled, 1, memory_order_relaxed);
}

/* Slots that can be read now. The shared tail is looked at only when the slots known of are read. */
static inline uint64_t ring_reader_available(struct ring_reader *r)
{
        if (r->head == r->tail_seen)
                /* pairs with ring_writer_publish(): the slots below tail are filled */
                r->tail_seen = atomic_load_explicit(&r->ring->tail, memory_order_acquire);
        return r->tail_seen - r->head;
}

/* The next slot; ring_reader_available() said that there is one. It stays valid until ring_reader_release(). */
static inline struct ring_slot *ring_reader_next(struct ring_reader *r)
{
        return &r->slots[r->head++ & r->mask];
}

/* Gives all slots that were read back to the writer. */
static inline void ring_reader_release(struct ring_reader *r)
{
        /* pairs with ring_writer_refresh() */
        atomic_store_explicit(&r->ring->head, r->head, memory_order_release);
}

/*
 * Whether the writer asked for space since the last call. Coherence of the one word suffices: the ask precedes
 * the announcement that brought the reader here, so that a 0 means that an earlier call took this ask already.
 */
static inline bool ring_reader_take_ask(struct ring_reader *r)
{
        /* both pair with ring_writer_ask_space(); the load keeps the usual case from writing the writer's line
         */
        if (!atomic_load_explicit(&r->ring->spilled, memory_order_relaxed))
                return false;
        return atomic_exchange_explicit(&r->ring->spilled, 0, memory_order_relaxed) != 0;
}

/* Where the data of a slot is. */
static inline void *ring_slot_data(struct ring_slot *slot)
{
        return slot->outside ? slot->block->data : slot->data;
}

/* Makes a slot hold a new message. Return: where to write its data, size bytes. */
static inline void *ring_slot_fill(struct ring_slot *slot, uint16_t type, uint32_t size)
{
        slot->size = size;
        slot->type = type;
        slot->outside = size > RING_INLINE_SIZE;
        if (slot->outside)
                slot->block = ring_block_new(type, size);
        return ring_slot_data(slot);
}

/* Makes a slot hold a message that has its block already; the slot owns it from here on. */
static inline void ring_slot_adopt(struct ring_slot *slot, struct ring_block *block)
{
        slot->size = block->size;
        slot->type = block->type;
        slot->outside = true;
        slot->block = block;
}

/* Frees what a slot owns, after its message was read. */
static inline void ring_slot_done(struct ring_slot *slot)
{
        if (slot->outside)
                ring_block_free(slot->block);
}
