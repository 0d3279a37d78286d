/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

#include "ctl/args.h"
#include "util/histogram.h"

/*
 * Load for a running broker, by one thread: clients that publish to a channel of their own, and clients that
 * subscribe to it. Each message holds the time at which it was due and its number, so a subscriber knows how
 * late it is and what is missing.
 *
 * With a rate, messages are due at even intervals, whatever became of those before: what waits because the
 * broker or this program is late counts from the time at which it was due. Without one, each client has a
 * number of messages under way and sends the next as one is answered; subscribers are not left behind further
 * than the broker keeps for them.
 */

struct bench_plan {
        unsigned n_publishers, n_subscribers;
        size_t size;               /* of a message, from BENCH_SIZE_MIN */
        uint64_t rate;             /* messages/s of all publishers; 0: as fast as they are answered */
        unsigned pipeline;         /* of each publisher, without a rate */
        uint64_t warm_up, measure; /* ns */
};

#define BENCH_SIZE_MIN 16

struct bench_result {
        uint64_t duration;             /* ns that were measured */
        uint64_t published, delivered; /* answers and messages that came in that time */
        uint64_t unsent;               /* due in that time, and not sent by the end of the run */
        uint64_t unanswered;           /* of all that were sent */
        uint64_t lost;                 /* answered and not delivered, summed over the subscribers */
        uint64_t disordered;           /* delivered behind a later one of the same publisher */
        double cpu;                    /* of this program, in that time; 1 is a whole CPU */
        struct histogram latency;      /* ns, of messages due in that time: to each delivery, or the answer */
};

/* Return: CTL_OK; else enum ctl_exit after saying why. */
int bench_run(struct bench_result *result, const struct bench_plan *plan, const struct ctl_request *request);
