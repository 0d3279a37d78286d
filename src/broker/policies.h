/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>

#include "mesh/port.h"
#include "shard/policy.h"

/*
 * The policies that some shard may still look at. Each new one is given to every shard by message; messages of
 * one source come in order, so a shard that says it has taken one looks at no older one any more, and a policy
 * goes once every shard has taken a newer one.
 */
struct policies;

/* With the policy of the start, which the shards know already. Policies are taken over here and below. */
struct policies *policies_new(struct port *port, unsigned n_shards, struct policy *first);

/* No shard may be left. Return: NULL. */
struct policies *policies_free(struct policies *policies);

/* Gives all shards a new one; the messages leave with the next port_flush(). */
void policies_give(struct policies *policies, struct policy *policy);

/* A shard has taken the oldest one that it had not taken yet. */
void policies_taken(struct policies *policies, unsigned shard);

/* Return: the newest. */
const struct policy *policies_newest(const struct policies *policies);

/* How many are kept. */
unsigned policies_count(const struct policies *policies);
