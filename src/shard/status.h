/* SPDX-License-Identifier: MIT */
#pragma once

#include "shard/gather.h"
#include "shard/message.h"
#include "util/bytes.h"

/* The counters of the shards and of control, as asked for by message. */

struct client;
struct shard;

/* This shard's, now. */
struct shard_status status_of(const struct shard *shard);

/* Makes room in a gather and enters this shard's own. */
void status_begin(struct shard *shard, struct gather *g);

/* Enters what a port answered. */
void status_take(struct shard *shard, struct gather *g, unsigned source, struct bytes body);

/* Appends the reply of BROKER STATUS to shard.reply. */
void status_write(struct client *c, const struct gather *g);
