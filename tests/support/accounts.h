/* SPDX-License-Identifier: MIT */
#pragma once

#include "broker/ledger.h"
#include "support/cluster.h"

/*
 * A cluster whose stand-in for control keeps the real ledger. Who gives a cluster another policy does it here.
 */

struct accounts {
        struct cluster *cl;
        struct ledger *ledger;
        struct policy_limits limits;
        unsigned untaken[CLUSTER_SHARDS_MAX];
        uint64_t asks, refusals, recalls; /* messages seen */
};

/* Of a cluster whose options had accounts_on_message() and this for control. */
void accounts_init(struct accounts *accounts, struct cluster *cl, const struct policy_limits *limits);

/* For cluster_options. */
void accounts_on_message(void *accounts, const struct port_message *message);

/* Lets the time of the ledger go on. Return: whether it had something to do. */
bool accounts_tick(struct accounts *accounts);

/* Gives all shards another policy; it has to outlive them, or its successor. Nothing is settled. */
void accounts_set_policy(struct accounts *accounts, const struct policy *policy);

/* Everything that can happen now, over shards and control. */
void accounts_settle(struct accounts *accounts);

/* Before the cluster's end. */
void accounts_deinit(struct accounts *accounts);

/* What all shards' clients of a user use of a stock now. */
uint64_t accounts_used(const struct accounts *accounts, uid_t uid, enum quota quota);
