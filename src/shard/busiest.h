/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

#include "util/buffer.h"

/*
 * BROKER TOP: the clients that stand out, by what waits for them and by what they publish. Each shard picks its
 * own, so that an answer is short however many there are.
 *
 * What a client publishes is what it published between the last two looks of its shard, which are one second
 * apart at least, and shared by all who ask: so nothing is kept for those who do.
 */

struct client;
struct gather;
struct shard;

#define BUSIEST_DEFAULT 10
#define BUSIEST_MAX     100
#define BUSIEST_PERIOD                                                                                         \
        (NSEC_PER_SEC * 9 / 10) /* between two looks; those who ask every second get fresh ones */

/* Appends the shard's n clients of each kind. */
void busiest_answer(struct shard *shard, uint32_t n, struct buffer *answer);

/* Appends the reply to shard.reply. */
void busiest_write(struct client *c, const struct gather *g);
