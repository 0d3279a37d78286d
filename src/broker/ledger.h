/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

#include "shard/message.h"
#include "shard/policy.h"

/*
 * Control's ledger: what each user may use, and which shard has how much of it leased. It decides; who carries
 * the messages and keeps the time is the caller's.
 *
 * A stock (subscriptions, bytes that wait) is a sum over shards that stays below its bound, but for what a
 * shard claims: that is in use already, so it is entered whatever the bound is. A flow (messages per second) is
 * a bucket of one second's worth, from which leases are taken and to which they come back unused.
 *
 * An ask that cannot be granted is answered only when every other shard with a lease was asked to return what
 * it does not use, and has answered: so nobody is refused what others only hold. A flow is not refused but
 * granted later, in the order asked, and so is the input of who waits to read more. While he waits, no other
 * shard with some of it goes on reading: when none of it can be executed, one is refused, and a client of his
 * ends.
 *
 * An account exists while something of it is leased or asked for, or a bucket is not full.
 */
struct ledger;

struct ledger_options {
        unsigned n_shards;
        const struct policy_limits *limits; /* a copy is kept */
        /* A message of these types to a shard: GRANT, REFUSE, RECALL. */
        void (*send)(void *arg, unsigned shard, enum message_type type, const struct message_lease *message);
        void *arg;
};

struct ledger *ledger_new(const struct ledger_options *options);

/* Return: NULL. */
struct ledger *ledger_free(struct ledger *ledger);

/* Takes a shard's message: ASK, RETURN, DROP. */
void ledger_ask(struct ledger *ledger, unsigned shard, const struct message_lease_ask *ask, uint64_t now);
void ledger_return(struct ledger *ledger, unsigned shard, const struct message_lease *message, bool drops,
                   uint64_t now);

/*
 * Other limits hold from here on; the policy with them is being sent to every shard. What is in use without a
 * lease is claimed by each shard before it says that it has taken the policy, and until all have, asks for
 * stocks wait.
 */
void ledger_set_limits(struct ledger *ledger, const struct policy_limits *limits, uint64_t now);
void ledger_taken(struct ledger *ledger, unsigned shard, uint64_t now);

/* When ledger_tick() has something to do next: monotonic ns; CLOCK_NEVER: a message comes first. */
uint64_t ledger_next(const struct ledger *ledger);
void ledger_tick(struct ledger *ledger, uint64_t now);

/* For tests: accounts, and what is leased of one quota, by one shard or (n_shards) by all. */
size_t ledger_accounts(const struct ledger *ledger);
uint64_t ledger_leased(const struct ledger *ledger, uid_t uid, enum quota quota, unsigned shard);
