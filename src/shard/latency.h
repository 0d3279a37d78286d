/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>

#include "util/buffer.h"

/* BROKER LATENCY: how long turns took, of each shard and of all. */

struct client;
struct gather;
struct shard;

/* Appends the shard's figures; reset: they count anew from then on. */
void latency_answer(struct shard *shard, bool reset, struct buffer *answer);

/* Appends the reply to shard.reply. */
void latency_write(struct client *c, const struct gather *g);
