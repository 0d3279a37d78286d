/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shard/message.h"
#include "shard/policy.h"
#include "util/buffer.h"
#include "util/bytes.h"
#include "util/list.h"

/*
 * Slow consumers that make publishers wait: SLOW_BLOCK.
 *
 * When more than the mark of such a rule waits for a client, its live subscriptions that the rule governs hold
 * their topics back, until half of the mark is left. Each shard has the holds of every topic (pubsub/holds): a
 * shard's first and last one are told to the others like changes of interest, and in order with these, so that
 * a hold never is of a topic that the other side does not have.
 *
 * A publisher looks for holds before its request is executed. If there is one that is not its own it waits,
 * its request unparsed (CLIENT_HELD), in the list of the oldest; when that ends it looks at all again, but at
 * none that began after it did (client.held_since). So nobody waits for ever for a moment without any, and a
 * waiting request is what a hold lets pass at most, of each publisher.
 *
 * What was under way when a hold arrived is delivered, and counted (block_messages); the drain is never gated.
 */

struct client;
struct shard;
struct subscription;
struct topic;

/* A client above the mark of a rule, and since when. It exists while a subscription holds for it. */
struct block {
        struct list link;   /* in shard.blocks */
        struct block *next; /* of the same client */
        struct client *client;
        const struct slow_rule *rule;
        uint64_t deadline; /* when it is the client that goes */
        uint32_t n;        /* subscriptions that hold */
};

/* After a flush that left so many bytes of an open client's output behind: begins the holds that it is due. */
void block_flushed(struct shard *shard, struct client *c, size_t bytes);

/* Once per turn, after the flush: ends the holds of clients that came down. */
void block_tick(struct shard *shard);

/* Ends a subscription's hold, if it has one, and adds to batch what the other shards have to know; NULL: nobody
 * is told. */
void block_end(struct client *c, struct subscription *subscription, struct buffer *batch);

/* The same, and tells them at once. */
void block_end_now(struct client *c, struct subscription *subscription);

/* The policy is another one: all holds begin anew. */
void block_policy(struct shard *shard);

/* A client's time is up: it goes. */
void block_time_out(struct client *c);

/* A batch of interest of another shard was applied; timed_out: which client it is about, NULL: about nobody. */
void block_applied(struct shard *shard, const struct message_timed_out *timed_out);

/* Makes the client wait if something holds the topic of its PUBLISH back; the topic comes from topics_route()
 * or topics_route_shard(). Return: whether it waits. */
bool block_waits(struct client *c, const struct topic *topic);

/* For tests: asserts what must hold of a shard's blocks, and of a client that waits, between two turns. */
void block_assert_invariants(const struct shard *shard);
void block_assert_waits(const struct client *c);
