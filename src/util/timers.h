/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * Deadlines of many things, each embedded in what it belongs to: a binary heap, whose first is the earliest.
 * Starting, moving and stopping one costs log2 of their number. One thread.
 *
 * J. W. J. Williams, Algorithm 232: Heapsort, CACM 7 (1964).
 */

struct timer {
        uint64_t deadline; /* monotonic ns */
        uint32_t place;    /* in the heap, from 1; 0: not started */
        uint32_t kind;     /* the owner's: which one of its timers it is */
};

struct timers {
        struct timer **heap; /* from 0 */
        uint32_t n, cap;
};

/* No timer may be started. */
void timers_deinit(struct timers *timers);

/* Starts a timer (zeroed at first), or moves it if it is started. */
void timers_start(struct timers *timers, struct timer *timer, uint64_t deadline);

/* Stops a timer, which need not be started. */
void timers_stop(struct timers *timers, struct timer *timer);

/* Stops the earliest timer if its deadline has come. Return: that timer; NULL: none is due. */
struct timer *timers_due(struct timers *timers, uint64_t now);

/* Return: the earliest deadline; CLOCK_NEVER: no timer is started. */
uint64_t timers_next(const struct timers *timers);

static inline bool timer_is_started(const struct timer *timer)
{
        return timer->place != 0;
}
