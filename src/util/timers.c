/* SPDX-License-Identifier: MIT */
/* heap[0..n) is a heap by deadline, and heap[t->place - 1] == t for each started timer t. */

#include "util/timers.h"

#include <assert.h>
#include <stdlib.h>

#include "util/clock.h"
#include "util/mem.h"

static void timers_put(struct timers *timers, uint32_t i, struct timer *timer)
{
        timers->heap[i] = timer;
        timer->place = i + 1;
}

static void timers_up(struct timers *timers, uint32_t i, struct timer *timer)
{
        while (i > 0 && timers->heap[(i - 1) / 2]->deadline > timer->deadline) {
                timers_put(timers, i, timers->heap[(i - 1) / 2]);
                i = (i - 1) / 2;
        }
        timers_put(timers, i, timer);
}

static void timers_down(struct timers *timers, uint32_t i, struct timer *timer)
{
        uint32_t child;

        while ((child = 2 * i + 1) < timers->n) {
                if (child + 1 < timers->n && timers->heap[child + 1]->deadline < timers->heap[child]->deadline)
                        child++;
                if (timers->heap[child]->deadline >= timer->deadline)
                        break;
                timers_put(timers, i, timers->heap[child]);
                i = child;
        }
        timers_put(timers, i, timer);
}

void timers_deinit(struct timers *timers)
{
        assert(timers->n == 0);
        free(timers->heap);
        *timers = (struct timers){ 0 };
}

void timers_stop(struct timers *timers, struct timer *timer)
{
        uint32_t i = timer->place;
        struct timer *last;

        if (!i--)
                return;
        assert(timers->heap[i] == timer);
        timer->place = 0;
        last = timers->heap[--timers->n];
        if (last == timer)
                return;
        if (i > 0 && timers->heap[(i - 1) / 2]->deadline > last->deadline)
                timers_up(timers, i, last);
        else
                timers_down(timers, i, last);
}

void timers_start(struct timers *timers, struct timer *timer, uint64_t deadline)
{
        timers_stop(timers, timer);
        if (timers->n == timers->cap) {
                timers->cap = timers->cap ? 2 * timers->cap : 16;
                timers->heap = mem_realloc(timers->heap, timers->cap * sizeof(*timers->heap));
        }
        timer->deadline = deadline;
        timers_up(timers, timers->n++, timer);
}

struct timer *timers_due(struct timers *timers, uint64_t now)
{
        struct timer *first = timers->n ? timers->heap[0] : NULL;

        if (!first || first->deadline > now)
                return NULL;
        timers_stop(timers, first);
        return first;
}

uint64_t timers_next(const struct timers *timers)
{
        return timers->n ? timers->heap[0]->deadline : CLOCK_NEVER;
}
