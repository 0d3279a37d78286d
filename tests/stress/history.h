/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stress/load.h"

/*
 * The plan of a run, made from its seed, and the check of what arrives against it.
 *
 * Every publisher numbers its messages, in all and on each channel; every payload carries both numbers, the
 * time of sending and content that follows from them. A subscriber has some channels and some patterns. For
 * each publish on a channel that matches k of them it must get k copies: the `message` first, then one
 * `pmessage` for each pattern, and all of them before any copy of the same publisher's next publish. On each
 * channel the numbers of a publisher have no gap. So nothing is lost, duplicated or reordered, across channels
 * and patterns.
 */

#define HISTORY_CHANNELS     40
#define HISTORY_SUB_CHANNELS 6
#define HISTORY_SUB_PATTERNS 3
#define HISTORY_LATE_NS      (5 * UINT64_C(1000000000))

/* What a payload begins with. `size` counts the whole payload. */
struct payload {
        uint32_t magic;
        uint16_t publisher;
        uint16_t channel;
        uint64_t seq;    /* of the publisher: 1, 2, ... */
        uint32_t number; /* of the publisher on this channel: 1, 2, ... */
        uint32_t size;
        uint64_t stamp; /* monotonic ns */
};

#define PAYLOAD_MAX (sizeof(struct payload) + 32 * 1024)

struct sub_plan {
        uint16_t channels[HISTORY_SUB_CHANNELS];
        uint16_t patterns[HISTORY_SUB_PATTERNS];
        uint8_t n_channels, n_patterns;
        uint8_t want[HISTORY_CHANNELS]; /* bit 0: subscribed; bit 1 + i: patterns[i] matches */
        unsigned protocol;
};

/* What one subscriber saw of one publisher. */
struct seen {
        uint64_t seq;                       /* the newest publish of which a copy came */
        uint16_t channel;                   /* of that */
        uint8_t copies;                     /* of that, as bits of want[] */
        uint32_t numbers[HISTORY_CHANNELS]; /* the newest on each channel */
};

struct history {
        unsigned n_publishers, n_subscribers;
        struct sub_plan *plans;
        struct seen *seen;                            /* [subscriber][publisher] */
        uint32_t (*sent)[HISTORY_CHANNELS];           /* [publisher]: numbers given out */
        uint32_t (*sent_before)[8][HISTORY_CHANNELS]; /* [publisher][second % 8] */
        uint64_t *seqs;                               /* [publisher] */
        unsigned copies[HISTORY_CHANNELS];            /* deliveries of one publish */
        uint64_t expected, delivered, noise;
        uint64_t second;
        struct histogram delay;
};

extern const char *const history_channels[HISTORY_CHANNELS];
extern const char *const history_patterns[];
extern const unsigned history_n_patterns;

void history_init(struct history *h, unsigned n_publishers, unsigned n_subscribers, uint64_t seed);
void history_deinit(struct history *h);

/* Fills the next payload of a publisher, of payload->size bytes; counts the deliveries it must cause. */
void history_publish(struct history *h, unsigned publisher, unsigned channel, struct payload *payload,
                     size_t size);

/* Fills a payload of which nobody expects a copy. */
void history_noise(struct payload *payload, unsigned channel, size_t size);

/* Checks one `message` or `pmessage` that a subscriber got. */
void history_deliver(struct history *h, unsigned subscriber, const struct reply *reply, uint64_t now);

/* To be called once a second: what was sent 5 s ago must be there. */
void history_sweep(struct history *h);

/* Says who waits for what. */
void history_explain(const struct history *h);

/* The end: all copies of all publishes have come. */
void history_finish(const struct history *h);
