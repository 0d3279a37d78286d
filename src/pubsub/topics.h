/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "pubsub/holds.h"
#include "pubsub/patterns.h"
#include "util/bytes.h"
#include "util/hash.h"
#include "util/list.h"
#include "util/walk.h"

/*
 * Who wants what, as one shard knows it: its own subscribers by name, and of every other shard whether and how
 * many (interest). One table entry per channel and one per pattern hold both, so a PUBLISH costs one look-up.
 *
 * Shard channels are a namespace of their own, with nothing else special about them: a channel of the same name
 * is another topic, and patterns match none of them. (They are called so by Redis, whose clusters keep each on
 * one shard. Here every shard knows all of them, like any topic.)
 *
 * A local subscription is first pending (counted, receives nothing) and then live (a member of the topic).
 * topics_subscribe() makes it pending, topics_activate() live. A live one, and another shard that has any, may
 * hold the topic back. A topic exists while it has a subscription, pending or live, or remote interest;
 * besides, a fixed number of recently published channels is kept for their match cache.
 *
 * One thread. No clients and no I/O in here: the owner embeds struct subscriber.
 */

enum topic_kind {
        TOPIC_CHANNEL,
        TOPIC_PATTERN,
        TOPIC_SHARD, /* a shard channel */
        _TOPIC_KIND_N,
};

#define TOPICS_CACHE_MAX (16u << 20) /* bytes of all match caches of a table, but one is always kept */

/* What begins with this is a channel, or shard channel, to which the broker alone publishes. */
#define TOPICS_RESERVED "__brokerd__:"

/* In a mask of shards: somebody holds the topic back. No shard has this bit, since control's is above all. */
#define TOPIC_HELD (UINT64_C(1) << 63)

#define SUBSCRIBER_PROTOCOLS 2 /* subscribers are counted by what they are encoded for: 0 RESP2, 1 RESP3 */

struct subscriber {
        struct list subscriptions; /* of struct subscription, in the order made */
        uint32_t n[_TOPIC_KIND_N]; /* subscriptions by kind, pending ones included */
        uint32_t n_all;            /* the sum */
        uint32_t n_activated;      /* subscriptions that became live so far, modulo 2^32 */
        struct list *cursor;       /* of subscriber_check_next(), in subscriptions; NULL: none */
        bool hears_less;           /* not all that its patterns match is for it */
        uint8_t protocol;          /* below SUBSCRIBER_PROTOCOLS; change it by subscriber_set_protocol() */
};

struct subscription {
        struct list link; /* in subscriber.subscriptions */
        struct subscriber *subscriber;
        struct topic *topic;
        struct hold *hold; /* NULL: it does not hold the topic back */
        uint32_t index;    /* in topic.members when live; while it is pending, the owner's */
        bool live;
};

struct member {
        struct subscriber *subscriber;
        struct subscription *subscription;
};

/* What a PUBLISH to the channel reads is the first 64 bytes; what a match needs besides is the next 64. */
struct topic {
        struct member *members; /* live local subscriptions, in no order */
        uint32_t n_members, cap_members;
        uint32_t n_protocol[SUBSCRIBER_PROTOCOLS]; /* of the members */
        uint64_t remote_mask;                      /* shards with a subscription, as they told; TOPIC_HELD */
        uint64_t remote_total;                     /* their number of subscriptions */

        union {
                /* of a channel; of a shard channel, which nothing matches, all zero */
                struct {
                        uint64_t
                                sums_generation; /* match_mask and match_receivers are right when the table's */
                        uint64_t match_mask;     /* over the matches: their remote_mask */
                        uint64_t match_receivers; /* over the matches: local live plus remote subscriptions */
                        uint64_t
                                match_generation; /* the matches are right when the table's; else they dangle */
                        struct topic **matches;   /* the patterns that match, in no order */
                        struct list cache;        /* in one of the table's lists of match caches, or in none */
                        uint32_t n_matches;
                        bool recent; /* exists for its match cache only */
                };
                /* of a pattern */
                struct {
                        struct pattern pattern;
                        uint64_t tally; /* of topics_tally(): the number of the last one that it was in */
                        uint64_t n_tallied;
                };
        };

        uint64_t hash;
        struct list holds; /* of struct hold, oldest first */
        uint32_t n_holds;  /* of local subscriptions, among these */
        uint32_t n_pending;
        uint32_t name_size;
        enum topic_kind kind;
        uint32_t n_hear_less;                   /* of the members, those that hear less */
        bool reserved;                          /* by TOPICS_RESERVED */
        const struct access_verdicts *verdicts; /* what was found out about the name */
        uint64_t messages;                      /* published here: topic_published() */
        uint64_t bytes;                         /* of their payload */
        uint64_t last;                          /* time of the last one; 0: none */
        struct list all;                        /* in the table's list of its kind */
        uint8_t name[];
};

struct topics;
struct access_verdicts; /* pubsub/access.h */

static inline bool topics_is_reserved(struct bytes name)
{
        return name.n >= sizeof(TOPICS_RESERVED) - 1 &&
               !memcmp(name.p, TOPICS_RESERVED, sizeof(TOPICS_RESERVED) - 1);
}

/*
 * key: of the table. recent_max: channels without subscribers to keep for their match cache; at least the last
 * one is kept. Memory of all match caches together is bounded as well, by TOPICS_CACHE_MAX.
 */
struct topics *topics_new(const struct hash_key *key, unsigned recent_max);

/* Every subscriber must be gone. Return: NULL. */
struct topics *topics_free(struct topics *topics);

static inline struct bytes topic_name(const struct topic *topic)
{
        return bytes_of(topic->name, topic->name_size);
}

void subscriber_init(struct subscriber *subscriber, unsigned protocol);

/* Moves the counts of all topics that it is a member of. */
void subscriber_set_protocol(struct subscriber *subscriber, unsigned protocol);

/* Likewise: counts it among those that hear less, or no more. */
void subscriber_set_hears_less(struct subscriber *subscriber, bool hears_less);

/*
 * A walk over its subscriptions in order, during which they may be made and ended: from the first one, and what
 * is made meanwhile comes at its end. Return: NULL: there are no more.
 */
void subscriber_check_begin(struct subscriber *subscriber);
struct subscription *subscriber_check_next(struct subscriber *subscriber);

/* Where verdicts on the topic's name are kept. */
struct access_verdicts *topic_verdicts(struct topic *topic);

/* Return: the subscription (pending or live) of this subscriber, NULL when there is none. */
struct subscription *topics_subscription(const struct topics *topics, const struct subscriber *subscriber,
                                         enum topic_kind kind, struct bytes name);

/* Makes a pending subscription; there must be none yet. */
struct subscription *topics_subscribe(struct topics *topics, struct subscriber *subscriber,
                                      enum topic_kind kind, struct bytes name);

/* Pending becomes live: from here on it is a member of its topic. */
void topics_activate(struct topics *topics, struct subscription *subscription);

/* Whether no other subscription of this shard, live or pending, is left on its topic. */
bool topics_is_last(const struct subscription *subscription);

/* Ends and frees a subscription, pending or live, and its topic when nothing else keeps that. It must not hold
 * the topic back. */
void topics_unsubscribe(struct topics *topics, struct subscription *subscription);

/* What another shard told: n more subscriptions of name; or n fewer, and with last none left there. */
void topics_remote_add(struct topics *topics, unsigned shard, enum topic_kind kind, struct bytes name,
                       uint32_t n);
void topics_remote_remove(struct topics *topics, unsigned shard, enum topic_kind kind, struct bytes name,
                          uint32_t n, bool last);

/*
 * A live subscription begins to hold its topic back; for what reason is the owner's affair. Or it ends that,
 * and whoever waited is in topics_released(). Return: whether it is the first of this shard, or was the last
 * one.
 */
bool topics_hold(struct topics *topics, struct subscription *subscription, void *why);
bool topics_release(struct topics *topics, struct subscription *subscription);

/* What another shard told: it holds a topic back, or does so no longer. */
void topics_remote_hold(struct topics *topics, unsigned shard, enum topic_kind kind, struct bytes name);
void topics_remote_release(struct topics *topics, unsigned shard, enum topic_kind kind, struct bytes name);

/* The nodes of those who waited for holds that have ended, for the owner to take out. */
struct list *topics_released(struct topics *topics);

/* How many holds there are, and the number of the newest one ever. */
size_t topics_n_holds(const struct topics *topics);
uint64_t topics_last_hold(const struct topics *topics);

/*
 * What holds the topic, or a pattern that matches it, back from a publisher: the oldest hold of one of them
 * that is not the publisher's own and whose number is at most until. The topic must come from topics_route() or
 * topics_route_shard(). Return: NULL: nothing does.
 */
struct hold *topic_hold(const struct topic *topic, const struct subscriber *publisher, uint64_t until);

/*
 * The channel's topic with a valid match cache, for a PUBLISH. Valid until the next call that subscribes,
 * activates, unsubscribes, changes remote interest or routes another channel; one with a live subscription
 * stays where it is, without its matches, while it has that.
 *
 * Return: NULL when nobody at all wants it: no live subscription here and none elsewhere.
 */
struct topic *topics_route(struct topics *topics, struct bytes channel);

/* The same for a shard channel, which no pattern matches. */
struct topic *topics_route_shard(struct topics *topics, struct bytes channel);

/* Over the channel and all matching patterns; the topic must come from topics_route() or topics_route_shard().
 */
static inline uint64_t topic_mask(const struct topic *topic) /* remote_mask of all */
{
        return topic->remote_mask | topic->match_mask;
}

static inline uint64_t topic_remote_mask(const struct topic *topic) /* shards only */
{
        return topic_mask(topic) & ~TOPIC_HELD;
}

static inline uint64_t topic_receivers(const struct topic *topic) /* local live plus remote */
{
        return topic->n_members + topic->remote_total + topic->match_receivers;
}

/* The entry itself, without touching any cache. Return: NULL when there is none. */
struct topic *topics_find(const struct topics *topics, enum topic_kind kind, struct bytes name);

/* Subscriptions that count for PUBSUB NUMSUB: local live plus remote. */
static inline uint64_t topic_subscriptions(const struct topic *topic)
{
        return topic->n_members + topic->remote_total;
}

/* One more message was published to it by a client of this shard. */
static inline void topic_published(struct topic *topic, size_t payload, uint64_t now)
{
        topic->messages++;
        topic->bytes += payload;
        topic->last = now;
}

/* Topics of a kind with at least one such subscription; the walk starts at *pos = 0, and nothing may change. */
struct topic *topics_next(const struct topics *topics, enum topic_kind kind, size_t *pos);
size_t topics_count(const struct topics *topics, enum topic_kind kind);

/* Whether there is a subscription, pending or live, or remote interest; and how many topics have that. */
bool topics_held(const struct topics *topics, enum topic_kind kind, struct bytes name);
size_t topics_n_held(const struct topics *topics, enum topic_kind kind);

/*
 * A walk over all topics of a kind, those of no subscription included, during which anything may change: see
 * util/walk.h. topics_walk_next() ends it with NULL; before that it is ended by walk_end().
 */
void topics_walk_begin(struct topics *topics, enum topic_kind kind, struct walk *walk);
struct topic *topics_walk_next(struct walk *walk);

/* Calls found() for each pattern that matches the name of a channel. Return: how many patterns were tried. */
size_t topics_matches(const struct topics *topics, struct bytes channel,
                      void (*found)(const struct topic *pattern, void *context), void *context);

/*
 * Counting, for each pattern, the channels that it matches: topics_tally_begin() sets all to 0, topics_tally()
 * counts a channel for those that match, and topics_tallied() tells. There is one such count at a time.
 */
void topics_tally_begin(struct topics *topics);
size_t topics_tally(struct topics *topics, struct bytes channel); /* Return: how many patterns were tried */
uint64_t topics_tallied(const struct topics *topics, const struct topic *pattern);
