/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "pubsub/topics.h"
#include "resp/reader.h"
#include "util/hash.h"

/*
 * The limits of the policy that a client meets by what it says: how much of it may wait, how large and how
 * frequent its messages are, what it subscribes to. Its time is up to shard/timeout.h, its output to shard.c.
 *
 * What is over a limit is counted in shard.status, and told in the log by shard_notice().
 */

struct client;
struct policy_limits;
struct shard;

/* Whether a PUBLISH has to be looked at by limits_publish(). */
bool limits_on_publish(const struct policy_limits *limits);

/*
 * A PUBLISH or SPUBLISH is about to be executed, with nothing else in its way. Takes it from the client's rate,
 * unless EXEC did that, and answers an error if the payload is too large.
 * Return: whether it must not be executed: an error was answered, or the client waits now.
 */
bool limits_publish(struct client *c, struct bytes payload);

/*
 * Whether there is no memory for a command that needs so many bytes; answers the error if so. One that needs
 * little is let through as long as the reserve of the thread is there, since that covers it.
 */
bool limits_no_memory(struct client *c, size_t bytes);

/* What a subscription to these names takes on all shards. */
size_t limits_subscription_memory(const struct shard *s, const struct bytes *names, uint32_t n);

/* At a turn's end: whether commands are refused from here on, or no more. */
void limits_look_at_memory(struct shard *s);

/* Whether what a slow client has waiting may be moved to memory of its own; closes it if not. */
bool limits_keep(struct client *c, size_t bytes);

/* Payloads up to this have memory in the reserve, whatever the number of shards. */
#define LIMITS_PAYLOAD_SMALL 8192

/* Takes n messages with these payloads from the client's rate. Return: false: they are over it, nothing is
 * taken, and the client waits (CLIENT_RATED). */
bool limits_charge(struct client *c, uint64_t n, uint64_t bytes);

/* The time of a client that is over its rate has come, or another rate. Nothing if it does not wait for that.
 */
void limits_rate_over(struct client *c);

/* Whether a payload may be as large as this. */
bool limits_message_fits(const struct shard *s, size_t bytes);

/*
 * Whether the client may make all these subscriptions; those that it has do not count. Inside EXEC the channels
 * in all were looked at before.
 * Return: NULL: it may; otherwise the error, which limits_refused() is to be told of once it is answered.
 */
const char *limits_subscribe(const struct client *c, enum topic_kind kind, const struct bytes *names,
                             uint32_t n);

/*
 * Likewise for channels in all, over several requests: fresh (zeroed at first) is the set of channels that they
 * make, of pointers to their names, and stays as it is when these are too many.
 */
const char *limits_channels(const struct client *c, struct table *fresh, const struct bytes *names, uint32_t n);

void limits_refused(struct client *c, const char *error);

/* Closes the client if too much of its input waits. */
void limits_input(struct client *c);

/* Counts a request that was too large; the client is disconnected for that. */
void limits_request(struct client *c);
