/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "util/histogram.h"

/*
 * What a shard does with its time. A turn with work begins when the shard learns of it: at the end of the turn
 * before if there was no sleep in between, else as the first is heard after it; it ends when all that came of
 * it has been handed to the kernel. That end is the one reading of the clock that is made for this; turns
 * without work make none.
 */
struct pace {
        uint64_t at;              /* up to here it is accounted for: there this turn began */
        uint64_t spun, parked;    /* ns */
        uint64_t since;           /* from when on the rest is counted */
        struct histogram turns;   /* ns of each turn with work */
        struct histogram answers; /* of those in which clients said something */
};

/* The first was heard of after a sleep, or the sleep is over. */
static inline void pace_woke(struct pace *p, uint64_t now)
{
        p->parked += now - p->at;
        p->at = now;
}

/* The turn, which had no work, is over; now is the end of its wait. */
static inline void pace_idled(struct pace *p, uint64_t now)
{
        p->spun += now - p->at;
        p->at = now;
}

/* The turn is over, and had work. */
static inline void pace_worked(struct pace *p, uint64_t now, bool heard)
{
        histogram_add(&p->turns, now - p->at);
        if (heard)
                histogram_add(&p->answers, now - p->at);
        p->at = now;
}
