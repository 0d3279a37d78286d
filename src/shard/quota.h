/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "shard/policy.h"

/*
 * What is limited over all clients of a user, wherever they are. Of a stock a user has some at any time, up to
 * a bound; of a flow some per second.
 *
 * Shards count what their clients use, control's ledger what each shard may use: its lease. Shards ask for
 * leases and return them by message: see shard/user.h and broker/ledger.h.
 */
enum quota {
        QUOTA_SUBSCRIPTIONS, /* of every kind */
        QUOTA_PATTERNS,      /* of these, patterns */
        QUOTA_OUTPUT,        /* bytes that wait for clients behind a flush */
        QUOTA_INPUT,      /* bytes of requests that are not executed, and of messages in backlogs of the mesh */
        QUOTA_MESSAGES,   /* flow: published */
        QUOTA_BYTES,      /* flow: payload published */
        QUOTA_OUTPUT_ALL, /* as QUOTA_OUTPUT, of all users: an account of QUOTA_EVERYBODY's */
        _QUOTA_N,
};

#define QUOTA_EVERYBODY ((uid_t)-1) /* no user has this uid */

static inline bool quota_is_flow(enum quota quota)
{
        return quota == QUOTA_MESSAGES || quota == QUOTA_BYTES;
}

/* Of what a client has already when it is counted: it can only be asked to have less, or to have no more. */
static inline bool quota_is_counted_after(enum quota quota)
{
        return quota == QUOTA_OUTPUT || quota == QUOTA_INPUT || quota == QUOTA_OUTPUT_ALL;
}

static inline uint64_t quota_bound(const struct policy_limits *limits, enum quota quota) /* 0: no limit */
{
        switch (quota) {
        case QUOTA_SUBSCRIPTIONS:
                return limits->subscriptions_user;
        case QUOTA_PATTERNS:
                return limits->patterns_user;
        case QUOTA_OUTPUT:
                return limits->output_user;
        case QUOTA_INPUT:
                return limits->input_user;
        case QUOTA_MESSAGES:
                return limits->messages_user;
        case QUOTA_BYTES:
                return limits->bytes_user;
        case QUOTA_OUTPUT_ALL:
                return limits->output_all;
        default:
                return 0;
        }
}

/* As the configuration calls it. */
static inline const char *quota_name(enum quota quota)
{
        static const char *const names[_QUOTA_N] = {
                [QUOTA_SUBSCRIPTIONS] = "max_subscriptions_per_user",
                [QUOTA_PATTERNS] = "max_patterns_per_user",
                [QUOTA_OUTPUT] = "max_output_per_user",
                [QUOTA_INPUT] = "max_input_per_user",
                [QUOTA_MESSAGES] = "publish_rate_per_user",
                [QUOTA_BYTES] = "publish_bytes_per_user",
                [QUOTA_OUTPUT_ALL] = "max_output_total",
        };

        return names[quota];
}
