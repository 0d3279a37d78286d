/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "pubsub/topics.h"
#include "shard/message.h"
#include "shard/quota.h"
#include "util/bytes.h"
#include "util/hash.h"
#include "util/list.h"

/*
 * A user as a shard sees it: what all its clients here use of each quota, and what control's ledger leased this
 * shard of it (broker/ledger.h).
 *
 * Stocks are counted whether or not they are limited, so that a limit can begin at any time. What a client asks
 * for first (subscriptions, patterns, the flows) fits into the lease or the client waits (CLIENT_LEASES) until
 * control grants more, or refuses. What is counted after it came to be (bytes that wait) is claimed: it is
 * leased in any case, and control says when it is too much. Then the output of the client that has most is cut,
 * or nothing more is read from the user's clients until some of what they said was executed.
 *
 * An ask returns what is left of its lease, so that nobody holds what he cannot use. A lease returns when a
 * client closes, on recall, and when it was not used for a second.
 */

struct client;
struct shard;

/* Who waits, in order. */
enum user_queue {
        USER_SUBSCRIBES,
        USER_PUBLISHES,
        USER_READS, /* waits for room for its input */
        _USER_QUEUE_N,
};

struct lease {
        uint64_t leased; /* of a stock without a limit 0 */
        uint64_t used;   /* of a flow: spent since control was told last */
        uint64_t serial; /* of the ask that is under way; 0: none */
        uint64_t asker;  /* the client that asked; 0: none waits */
        uint64_t back;   /* returned since that ask */
        uint64_t rested; /* what was not used when shard_users_tick() looked last */
        bool short_of;   /* it was recalled, or the bound is new or lower: until control has granted again, what
                            becomes   free returns at once, and nothing is taken without asking */
};

struct user {
        int64_t messages_left, bytes_left; /* of the flows, if nobody waits: see user_flow_out() in user.c */
        uid_t uid;
        bool flows; /* the two above are set */
        unsigned n_clients;
        struct list clients; /* by client.of_user */
        struct lease leases[_QUOTA_N];
        struct list waiting[_USER_QUEUE_N]; /* clients, by client.waiting */
        bool full;                          /* of input: its clients are not read from */
        bool stuck;                         /* and control knows that only reading can change that */
        uint64_t stuck_input;               /* bytes kept of clients that wait to be read from */
        uint64_t backlog;                   /* bytes of its messages in backlogs of the mesh */
        uint64_t backlog_seen;              /* as they are in leases[QUOTA_INPUT].used */
        uint64_t served;                    /* times that a client found what it needed */
        bool tells;                         /* a client closed: what is left over returns */
        struct list dirty;                  /* in users.dirty: to be settled in this turn */
        struct list resting;                /* in users.resting: has a lease that may not be needed */
        struct list spilling;               /* in users.spilling: has a backlog */
        uint64_t rests_until;
};

/* Of a shard. */
struct shard_users {
        bool meters; /* a flow is limited */
        bool reads;  /* and input is */
        struct table by_uid;
        struct user everybody; /* QUOTA_OUTPUT_ALL; it has no clients of its own */
        struct list dirty, resting, spilling;
        struct list slow; /* clients with output that waits, by client.slow */
        uint64_t serial;  /* of the last ask */
};

void shard_users_init(struct shard *shard);
void shard_users_deinit(struct shard *shard);

/* Between a client's adoption and its close it belongs to its user. */
void user_join(struct client *c);
void user_leave(struct client *c);

/* ------------------------------------------------------------------ what clients have */

/* One more subscription, or one less. */
void user_subscribed(struct client *c, enum topic_kind kind);
void user_unsubscribed(struct client *c, enum topic_kind kind);

/* What waits for it is about to be counted as that much. */
void user_output_changed(struct client *c, size_t bytes);

/* Counts what is kept of its input, as it is now; the client may come to wait, or end. */
void user_count_input(struct client *c);

/* Nothing is kept any more. */
void user_drop_input(struct client *c);

/* The message that was just sent to another shard may be in a backlog. */
void user_charge(struct client *c, unsigned dst);

/* The mesh was flushed. */
void shard_users_flushed(struct shard *shard);

/* ------------------------------------------------------------------ what clients ask for */

enum user_answer {
        USER_GOES_ON,
        USER_WAITS,   /* client.wait says so: its request stays unparsed */
        USER_REFUSED, /* above the bound */
};

/* What a request needs, by quota. */
struct user_need {
        uint64_t n[_QUOTA_N];
};

/* Whether the client may go on: all that it needs is leased, and stays so until the request was executed.
 * *quotap: what it waits for, or was refused. */
enum user_answer user_ask(struct client *c, const struct user_need *need, enum quota *quotap);

/* The same for a SUBSCRIBE, PSUBSCRIBE or SSUBSCRIBE of these names. */
enum user_answer user_ask_subscribe(struct client *c, enum topic_kind kind, const struct bytes *names, size_t n,
                                    enum quota *quotap);

/* Whether the client does not subscribe to the name yet; each is counted once in seen (zeroed at first). */
bool user_is_new_name(struct client *c, enum topic_kind kind, const struct bytes *name, struct table *seen);

/* Takes back what user_publishes() has spent, and asks. */
bool user_publishes_slow(struct client *c, size_t bytes);

/* Whether a message of that payload may be published now, which is spent then, unless EXEC spent it; else the
 * client waits. Only with users.meters. */
static inline bool user_publishes(struct client *c, struct user *u, size_t bytes)
{
        if (--u->messages_left >= 0 && (u->bytes_left -= (int64_t)bytes) >= 0)
                return true;
        return user_publishes_slow(c, bytes);
}

/* What is published next asks, or belongs to a transaction that has asked. */
void user_flow_back(struct user *u);

/* Takes it out of the flows, as user_ask() found it to be there. */
void user_spend(struct client *c, uint64_t messages, uint64_t bytes);

/* What user_publishes() spent just now is not published after all. */
void user_unspend(struct client *c, uint64_t messages, uint64_t bytes);

/* Sets subscriptions aside that a transaction will make, or gives them up. */
void user_reserve(struct client *c, uint64_t subscriptions, uint64_t patterns);
void user_unreserve(struct client *c, uint64_t subscriptions, uint64_t patterns);

/* In words, which limit was met. */
void user_refuse_text(const struct client *c, enum quota quota, char *text, size_t size);

/* It waits for nothing any more, if it did for a lease. */
void user_stops_waiting(struct client *c);

/* ------------------------------------------------------------------ the shard's turn */

void user_on_grant(struct shard *shard, const struct message_lease *message);
void user_on_refuse(struct shard *shard, const struct message_lease *message);
void user_on_recall(struct shard *shard, const struct message_lease *message);

/* The policy is another one than with these limits. */
void shard_users_on_policy(struct shard *shard, const struct policy_limits *before);

/* Claims and returns what came up in this turn. */
void shard_users_settle(struct shard *shard);

/* Returns what nobody used. */
void shard_users_tick(struct shard *shard);
uint64_t shard_users_next(const struct shard *shard);
