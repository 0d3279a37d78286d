/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/plant.h"

/*
 * The pair that decides whether a sleeper is woken: announce on one side, park on the other. This is the only
 * place that touches the two words, and what the litmus program runs.
 *
 *      announcer                               owner
 *      A1  inbound |= bit                      P1  parked = 1
 *      A2  load parked                         P2  load inbound
 *      if set: exchange parked with 0,         if zero: sleep without end
 *      whoever gets the 1 fires the waker
 *
 * Each side stores its own word and then looks at the other's (the store buffering shape). A sleeper is lost
 * only if A2 misses P1 and P2 misses A1. All four are sequentially consistent operations, hence lie in one
 * total order: A2 missing P1 puts A1, A2 before P1, P2, and then P2 sees A1's bit, or 0 only because the owner
 * itself took that bit by park_take(). Weaker orders allow both to miss: release and acquire do not order a
 * store before a later load of another word, nor does one sequentially consistent load. No fence stands in
 * for the operations, since the thread sanitizer does not model fences.
 *
 * A wake may be spurious (the owner took the announcement between A2 and the exchange), never missing. The
 * bits of one announcer also publish what it wrote before: A1 releases, park_take() acquires, and another
 * announcer's read-modify-write in between keeps the chain.
 */

#define PARK_LINE 128 /* two cache lines: the adjacent-line prefetcher pairs them */

struct park {
        alignas(PARK_LINE) _Atomic uint64_t
                inbound;         /* who has announced; set by announcers, taken by the owner */
        _Atomic uint32_t parked; /* 1: the owner sleeps or is about to; beside inbound since A2 follows A1 */
};

/* By an announcer. Return: whether the caller has to fire the owner's waker. */
static inline bool park_announce(struct park *park, uint64_t source)
{
        /* A1; pairs with P2 in park_begin(), and as a release with park_take() */
        atomic_fetch_or_explicit(&park->inbound, source, memory_order_seq_cst);
        /* A2; pairs with P1 in park_begin() */
        if (!atomic_load_explicit(&park->parked, memory_order_seq_cst))
                return false;
        /* pairs with the same exchange of other announcers: one of them gets the 1 */
        return atomic_exchange_explicit(&park->parked, 0, memory_order_seq_cst) != 0;
}

/*
 * By the owner, awake again or not going to sleep. Relaxed: an announcer that still reads 1 fires a spurious
 * wake, one that reads 0 has announced to an owner that will look at P2 before its next sleep.
 */
static inline void park_end(struct park *park)
{
        /* pairs with A2 and the exchange in park_announce() */
        atomic_store_explicit(&park->parked, 0, memory_order_relaxed);
}

/* By the owner, before park_end(): whether an announcer has taken it on itself to fire the waker. A glance, for
 * statistics: the next moment may make it true. */
static inline bool park_woken(const struct park *park)
{
        /* pairs with the exchange in park_announce() */
        return !atomic_load_explicit(&park->parked, memory_order_relaxed);
}

/* By the owner. Return: true, it may sleep until its waker fires; false, it is not parked, go and take. */
static inline bool park_begin(struct park *park)
{
        /* P1; pairs with A2 in park_announce() */
        atomic_store_explicit(&park->parked, 1, memory_order_seq_cst);
        /* P2; pairs with A1 in park_announce() */
        if (PLANTED(4) || !atomic_load_explicit(&park->inbound, memory_order_seq_cst))
                return true;
        park_end(park);
        return false;
}

/* By the owner. Return: everybody who announced since the last call. */
static inline uint64_t park_take(struct park *park)
{
        /* pairs with A1 in park_announce(): what the announcers wrote before is visible from here on */
        return atomic_exchange_explicit(&park->inbound, 0, memory_order_acquire);
}

/* By the owner: a glance. A bit that it misses is seen by P2 at the latest. */
static inline bool park_peek(const struct park *park)
{
        /* pairs with A1 in park_announce(); only a hint, park_take() acquires */
        return atomic_load_explicit(&park->inbound, memory_order_relaxed) != 0;
}
