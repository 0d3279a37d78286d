/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

#include "shard/gather.h"
#include "shard/message.h"
#include "util/bytes.h"

/* The counters of the shards and of control, as asked for by message. */

struct client;
struct shard;

/* Appends what this shard answers to a query of QUERY_*, and does what that asks for. */
void status_answer(struct shard *shard, enum query_kind kind, struct buffer *out);

/* Opens a gather of the client and enters this shard's own; in the end write() makes the reply of it. */
struct gather *status_begin(struct client *c, enum query_kind kind,
                            void (*write)(struct client *c, const struct gather *g));

/* Enters what a port answered. */
void status_take(struct shard *shard, struct gather *g, unsigned source, struct bytes body);

/* Seconds since the broker's start; 0 while the clock shows an earlier time. */
uint64_t status_uptime(const struct control_status *control);

/* Appends the reply of BROKER STATUS to shard.reply. */
void status_write(struct client *c, const struct gather *g);
