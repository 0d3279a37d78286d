/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pubsub/access.h"
#include "pubsub/topics.h"
#include "shard/client.h"
#include "shard/state.h"
#include "util/bytes.h"

/*
 * What clients may do, by the policy's rules (pubsub/access): refusals in the words of Redis, with the reason
 * in the log, and the end of what a new policy, or another name, forbids.
 *
 * All clients are of their new class as soon as the policy is in use. Their subscriptions are looked at in that
 * and the next turns, by a budget. A client that was not come to yet hears nothing all the same that it must
 * not: while there is one, each delivery looks (permit_hears()).
 */

struct command;
struct request;

/* For all clients: the shard has another policy. */
void permit_use_policy(struct shard *shard);
void permit_deinit(struct shard *shard);

/* Finds out what the client may do, which depends on its process, its listener and its name. */
void permit_classify(struct client *c);

/* Turns away a client that just came, if it may do nothing at all. */
void permit_enter(struct client *c);

/* At the end of a turn: ends what clients have and must not have any more. */
void permit_check(struct shard *shard);

/* Whether there is more of that to do, for which the shard must not sleep. */
bool permit_is_behind(const struct shard *shard);

/* Whether the client may execute the command, as far as its arguments do not matter; answers the error if not.
 */
bool permit_command(struct client *c, const struct command *command, const struct command *parent);

/* Whether the client may queue that in a transaction, as far as its channels matter; answers the error if not.
 */
bool permit_queued(struct client *c, const struct command *command, const struct request *request);

/*
 * Whether nothing speaks against a PUBLISH at first sight. topic: of the channel; NULL: nobody wants it. Of a
 * channel of the broker nothing is ever kept.
 */
static inline bool permit_is_plain(const struct client *c, const struct topic *topic, struct bytes channel)
{
        if (!topic)
                return !c->class && !(channel.n && channel.p[0] == TOPICS_RESERVED[0]);
        return c->class ? access_known_allowed(topic->verdicts, c->class, ACCESS_MAY_PUBLISH)
                        : !topic->reserved;
}

/* Whether the client may publish there; answers the error if not. */
bool permit_publish(struct client *c, struct topic *topic, struct bytes channel);

/* Return: the first argument that the client may not subscribe to; 0: it may subscribe to all. steps: as in
 * pubsub/contain.h. */
uint32_t permit_find_denied(struct client *c, enum topic_kind kind, const struct request *request,
                            size_t *steps);

/* Answers the error. */
void permit_deny_subscribe(struct client *c, enum topic_kind kind, struct bytes name);

/* Whether all members of a topic get all that comes. */
static inline bool permit_all_hear(const struct shard *shard, const struct topic *topic)
{
        return !topic->n_hear_less && list_empty(&shard->unchecked);
}

/* Whether a member of a topic gets a message to a channel, which may be the topic. */
bool permit_hears(struct client *c, struct topic *topic, struct topic *channel);
