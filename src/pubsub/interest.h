/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pubsub/topics.h"
#include "util/buffer.h"

/*
 * What a shard tells the others about its subscriptions, as bytes of a message: a batch of changes, each "n
 * more" or "n fewer (and that was the last)" of one topic, or that it holds a topic back, or no longer does. A
 * batch is applied whole and in order.
 */

/* Appends one change to a batch. n > 0: more; n < 0: fewer, last says that none is left on this shard. */
void interest_put(struct buffer *batch, enum topic_kind kind, struct bytes name, int32_t n, bool last);

/* Appends that the shard, which has a live subscription to the topic, holds it back from now on, or no longer.
 */
void interest_put_hold(struct buffer *batch, enum topic_kind kind, struct bytes name, bool holds);

/* Applies a batch that the given shard sent. */
void interest_apply(struct topics *topics, unsigned shard, struct bytes batch);
