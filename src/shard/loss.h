/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "shard/policy.h"
#include "util/buffer.h"
#include "util/bytes.h"

/*
 * What a subscriber lost in one place of its output, and the notice of it. Losses of one channel and for one
 * reason are one number. Where there are more than LOSS_CHANNELS_MAX of these, or their names are long, only
 * the sums by reason are kept.
 */

#define LOSS_CHANNELS_MAX 64
#define LOSS_NAMES_MAX    (16 * 1024) /* bytes of names in one place */
#define LOSS_TOPIC        "__brokerd__:loss"

/* How a client wants to hear of its losses. Fixed for each message when it is queued, so that a notice comes
 * where the client, which reads in order, expects it. */
enum {
        LOSS_PUSH = 1 << 0,    /* CLIENT LOSS ON */
        LOSS_CHANNEL = 1 << 1, /* it subscribed to LOSS_TOPIC */
        LOSS_RESP3 = 1 << 2,   /* its messages are encoded so; only with LOSS_CHANNEL */
};

struct loss_item;

struct loss {
        struct loss_item *items; /* in the order of their first loss */
        unsigned n, cap;
        size_t names;                  /* bytes of their names */
        uint64_t sums[_SLOW_ACTION_N]; /* instead of items, by reason */
        size_t bytes;                  /* of memory, and at least those of its notice */
};

struct loss *loss_new(void);

/* Return: NULL. */
struct loss *loss_free(struct loss *loss);

/* n messages of a channel more. */
void loss_add(struct loss *loss, struct bytes channel, enum slow_action reason, uint64_t n);

/* Adds what was lost in the next place, with nothing in between any more. */
void loss_join(struct loss *loss, const struct loss *next);

/* Appends the notice. wishes: bits of LOSS_*. */
void loss_write(const struct loss *loss, unsigned wishes, struct buffer *out);

/* The word of a policy that drops. */
const char *loss_reason(enum slow_action reason);
