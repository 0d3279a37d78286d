/* SPDX-License-Identifier: MIT */

/*
 * Invariants:
 *
 *  - A topic is held while it has a subscription, pending or live, or remote interest. One that is not held
 * exists only as a recent channel, for its match cache. A pattern is in the index exactly while its topic
 * exists.
 *  - match_generation changes when the set of patterns does, sums_generation then and whenever the
 * subscriptions of a pattern change. A channel whose sums_generation is the table's needs no look at any
 * pattern.
 *  - A match array whose generation is not the table's may hold topics that were freed; it is only overwritten.
 *  - A channel with a match array that takes memory, or a recent one, is in one of two lists, oldest match
 * first: recent, bounded by number, and matched. Their bytes together are bounded by TOPICS_CACHE_MAX.
 *  - members[s->index].subscription == s for each live subscription s, so one leaves in constant time.
 */

#include "pubsub/topics.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "pubsub/access.h"
#include "util/bits.h"
#include "util/mem.h"
#include "util/plant.h"

struct topics {
        struct hash_key key;
        struct table by_name[_TOPIC_KIND_N];
        struct table subscriptions; /* by subscriber and topic */
        struct walk_list all[_TOPIC_KIND_N];
        size_t n_counted[_TOPIC_KIND_N];
        uint64_t tally; /* the number of the last one */
        struct patterns patterns;
        struct holds holds;
        uint64_t match_generation, sums_generation; /* from 1; a topic starts with 0, which is stale */

        struct topic *last;       /* the channel routed last: bursts on one channel are common */
        struct topic *last_shard; /* the shard channel routed last */
        struct list recent, matched;
        size_t n_recent, recent_max;
        size_t cache_size; /* bytes */
        struct topic **found;
        size_t n_found, cap_found;
};

/* -------------------------------------------------------------------------------------------- match caches */

static size_t cache_cost(const struct topic *topic)
{
        return topic->n_matches * sizeof(struct topic *) +
               (topic->recent ? sizeof(struct topic) + topic->name_size : 0);
}

static void cache_add(struct topics *topics, struct topic *topic)
{
        if (!topic->recent && topic->n_matches == 0)
                return;
        list_add_tail(topic->recent ? &topics->recent : &topics->matched, &topic->cache);
        topics->n_recent += topic->recent;
        topics->cache_size += cache_cost(topic);
}

static void cache_remove(struct topics *topics, struct topic *topic)
{
        if (list_empty(&topic->cache))
                return;
        list_del(&topic->cache);
        topics->n_recent -= topic->recent;
        topics->cache_size -= cache_cost(topic);
}

static void topic_free(struct topics *topics, struct topic *topic);

static void cache_drop(struct topics *topics, struct topic *topic)
{
        if (topic->recent) {
                topic_free(topics, topic);
                return;
        }
        cache_remove(topics, topic);
        free(topic->matches);
        topic->matches = NULL;
        topic->n_matches = 0;
        topic->match_generation = topic->sums_generation = 0;
}

static void cache_drop_recent(struct topics *topics)
{
        while (!list_empty(&topics->recent))
                topic_free(topics, list_first(&topics->recent, struct topic, cache));
}

/* Keeps the bounds by dropping the oldest, but never the one given, which is the newest. */
static void cache_trim(struct topics *topics, const struct topic *keep)
{
        while (topics->n_recent > topics->recent_max || topics->cache_size > TOPICS_CACHE_MAX) {
                struct list *first = topics->recent.next;

                if (first == &topics->recent || first == &keep->cache)
                        first = topics->matched.next;
                if (first == &topics->matched || first == &keep->cache)
                        break;
                cache_drop(topics, container_of(first, struct topic, cache));
        }
}

/* -------------------------------------------------------------------------------------------- topics by name
 */

static bool topic_named(const void *item, const void *key)
{
        return bytes_equal(topic_name(item), *(const struct bytes *)key);
}

static struct topic *topic_lookup(const struct topics *topics, enum topic_kind kind, uint64_t hash,
                                  struct bytes name)
{
        return table_find(&topics->by_name[kind], hash, topic_named, &name);
}

static void patterns_changed(struct topics *topics)
{
        topics->match_generation++;
        topics->sums_generation++;
}

static struct topic *topic_new(struct topics *topics, enum topic_kind kind, uint64_t hash, struct bytes name)
{
        struct topic *topic = mem_zalloc(sizeof(*topic) + name.n);

        assert(name.n <= UINT32_MAX);
        topic->kind = kind;
        topic->hash = hash;
        topic->name_size = (uint32_t)name.n;
        topic->verdicts = &access_nothing_known;
        topic->reserved = kind != TOPIC_PATTERN && topics_is_reserved(name);
        if (name.n > 0)
                memcpy(topic->name, name.p, name.n);
        list_init(&topic->holds);
        table_add(&topics->by_name[kind], hash, topic);
        walk_list_add(&topics->all[kind], &topic->all);
        if (kind == TOPIC_CHANNEL) {
                list_init(&topic->cache);
        } else if (kind == TOPIC_PATTERN) {
                patterns_add(&topics->patterns, &topic->pattern, topic_name(topic));
                patterns_changed(topics);
        }
        return topic;
}

/* All but what points to it from the table. */
static void topic_destroy(struct topics *topics, struct topic *topic)
{
        if (topic->kind == TOPIC_CHANNEL)
                free(topic->matches);
        else if (topic->kind == TOPIC_PATTERN)
                patterns_remove(&topics->patterns, &topic->pattern);
        holds_drop(topic);
        free(topic->members);
        if (topic->verdicts != &access_nothing_known)
                free((void *)(uintptr_t)topic->verdicts);
        free(topic);
}

static void topic_free(struct topics *topics, struct topic *topic)
{
        enum topic_kind kind = topic->kind;

        assert(list_empty(&topic->holds));
        if (kind == TOPIC_CHANNEL)
                cache_remove(topics, topic);
        if (topics->last == topic)
                topics->last = NULL;
        if (topics->last_shard == topic)
                topics->last_shard = NULL;
        table_remove(&topics->by_name[kind], topic->hash, topic);
        walk_list_del(&topics->all[kind], &topic->all);
        topic_destroy(topics, topic);
        if (kind == TOPIC_PATTERN) {
                patterns_changed(topics);
                if (topics->patterns.n == 0)
                        cache_drop_recent(topics);
        }
}

/* The topic for somebody who is about to hold it. */
static struct topic *topic_obtain(struct topics *topics, enum topic_kind kind, struct bytes name)
{
        uint64_t hash = hash_bytes(&topics->key, name);
        struct topic *topic = topic_lookup(topics, kind, hash, name);

        if (!topic)
                return topic_new(topics, kind, hash, name);
        if (kind == TOPIC_CHANNEL && topic->recent) {
                cache_remove(topics, topic);
                topic->recent = false;
                cache_add(topics, topic);
        }
        return topic;
}

static void topic_release(struct topics *topics, struct topic *topic)
{
        if (topic->n_members == 0 && topic->n_pending == 0 && topic->remote_total == 0)
                topic_free(topics, topic);
}

/* To be called after topic_subscriptions() changed from what it was. */
static void topic_changed(struct topics *topics, const struct topic *topic, uint64_t was)
{
        bool is = topic_subscriptions(topic) > 0;

        topics->n_counted[topic->kind] += (size_t)is - (size_t)(was > 0);
        if (topic->kind == TOPIC_PATTERN)
                topics->sums_generation++;
}

struct topics *topics_new(const struct hash_key *key, unsigned recent_max)
{
        struct topics *topics = mem_zalloc(sizeof(*topics));

        topics->key = *key;
        topics->match_generation = topics->sums_generation = 1;
        topics->recent_max = recent_max > 0 ? recent_max : 1;
        patterns_init(&topics->patterns, key);
        holds_init(&topics->holds);
        list_init(&topics->recent);
        list_init(&topics->matched);
        for (unsigned kind = 0; kind < _TOPIC_KIND_N; kind++)
                walk_list_init(&topics->all[kind]);
        return topics;
}

struct topics *topics_free(struct topics *topics)
{
        if (!topics)
                return NULL;
        assert(topics->subscriptions.n == 0 && list_empty(&topics->holds.released));
        for (unsigned kind = 0; kind < _TOPIC_KIND_N; kind++) {
                struct topic *topic;
                size_t pos = 0;

                while ((topic = table_next(&topics->by_name[kind], &pos)))
                        topic_destroy(topics, topic);
                table_deinit(&topics->by_name[kind]);
        }
        table_deinit(&topics->subscriptions);
        patterns_deinit(&topics->patterns);
        free(topics->found);
        free(topics);
        return NULL;
}

struct topic *topics_find(const struct topics *topics, enum topic_kind kind, struct bytes name)
{
        return topic_lookup(topics, kind, hash_bytes(&topics->key, name), name);
}

struct topic *topics_next(const struct topics *topics, enum topic_kind kind, size_t *pos)
{
        struct topic *topic;

        while ((topic = table_next(&topics->by_name[kind], pos)))
                if (topic_subscriptions(topic) > 0)
                        return topic;
        return NULL;
}

size_t topics_count(const struct topics *topics, enum topic_kind kind)
{
        return topics->n_counted[kind];
}

bool topics_held(const struct topics *topics, enum topic_kind kind, struct bytes name)
{
        const struct topic *topic = topics_find(topics, kind, name);

        return topic && !(kind == TOPIC_CHANNEL && topic->recent);
}

size_t topics_n_held(const struct topics *topics, enum topic_kind kind)
{
        return topics->by_name[kind].n - (kind == TOPIC_CHANNEL ? topics->n_recent : 0);
}

/* -------------------------------------------------------------------------------------------- looking at all
 */

void topics_walk_begin(struct topics *topics, enum topic_kind kind, struct walk *walk)
{
        walk_begin(walk, &topics->all[kind]);
}

struct topic *topics_walk_next(struct walk *walk)
{
        struct list *item = walk_next(walk);

        return item ? container_of(item, struct topic, all) : NULL;
}

struct topics_match {
        void (*found)(const struct topic *pattern, void *context);
        void *context;
};

static void topics_match_found(struct pattern *pattern, void *context)
{
        struct topics_match *match = context;

        match->found(container_of(pattern, struct topic, pattern), match->context);
}

size_t topics_matches(const struct topics *topics, struct bytes channel,
                      void (*found)(const struct topic *pattern, void *context), void *context)
{
        struct topics_match match = { found, context };

        return patterns_match(&topics->patterns, channel, topics_match_found, &match);
}

void topics_tally_begin(struct topics *topics)
{
        topics->tally++;
}

static void topics_tally_found(struct pattern *pattern, void *context)
{
        const struct topics *topics = context;
        struct topic *topic = container_of(pattern, struct topic, pattern);

        if (topic->tally != topics->tally)
                topic->n_tallied = 0;
        topic->tally = topics->tally;
        topic->n_tallied++;
}

size_t topics_tally(struct topics *topics, struct bytes channel)
{
        return patterns_match(&topics->patterns, channel, topics_tally_found, topics);
}

uint64_t topics_tallied(const struct topics *topics, const struct topic *pattern)
{
        return pattern->tally == topics->tally ? pattern->n_tallied : 0;
}

/* -------------------------------------------------------------------------------------------- local
 * subscriptions */

static bool subscription_equal(const void *item, const void *key)
{
        const struct subscription *a = item, *b = key;

        return a->subscriber == b->subscriber && a->topic == b->topic;
}

static uint64_t subscription_hash(const struct subscriber *subscriber, const struct topic *topic)
{
        return hash_word((uintptr_t)subscriber ^ hash_word((uintptr_t)topic));
}

static struct subscription *subscription_find(const struct topics *topics, const struct subscriber *subscriber,
                                              const struct topic *topic)
{
        struct subscription key = { .subscriber = (struct subscriber *)(uintptr_t)subscriber,
                                    .topic = (struct topic *)(uintptr_t)topic };

        return table_find(&topics->subscriptions, subscription_hash(subscriber, topic), subscription_equal,
                          &key);
}

void subscriber_init(struct subscriber *subscriber, unsigned protocol)
{
        assert(protocol < SUBSCRIBER_PROTOCOLS);
        *subscriber = (struct subscriber){ .protocol = (uint8_t)protocol };
        list_init(&subscriber->subscriptions);
}

void subscriber_set_protocol(struct subscriber *subscriber, unsigned protocol)
{
        assert(protocol < SUBSCRIBER_PROTOCOLS);
        list_for_each (i, &subscriber->subscriptions) {
                struct subscription *s = container_of(i, struct subscription, link);

                if (!s->live)
                        continue;
                s->topic->n_protocol[subscriber->protocol]--;
                s->topic->n_protocol[protocol]++;
        }
        subscriber->protocol = (uint8_t)protocol;
}

void subscriber_set_hears_less(struct subscriber *subscriber, bool hears_less)
{
        if (subscriber->hears_less == hears_less)
                return;
        list_for_each (i, &subscriber->subscriptions) {
                struct subscription *s = container_of(i, struct subscription, link);

                if (s->live && s->topic->kind == TOPIC_PATTERN)
                        s->topic->n_hear_less += hears_less ? 1 : UINT32_MAX;
        }
        subscriber->hears_less = hears_less;
}

void subscriber_check_begin(struct subscriber *subscriber)
{
        subscriber->cursor = list_empty(&subscriber->subscriptions) ? NULL : subscriber->subscriptions.next;
}

/* The cursor moves on behind what it stood at. */
static void cursor_move(struct subscriber *subscriber)
{
        struct list *next = subscriber->cursor->next;

        subscriber->cursor = next == &subscriber->subscriptions ? NULL : next;
}

struct subscription *subscriber_check_next(struct subscriber *subscriber)
{
        struct subscription *s;

        if (!subscriber->cursor)
                return NULL;
        s = container_of(subscriber->cursor, struct subscription, link);
        cursor_move(subscriber);
        return s;
}

struct access_verdicts *topic_verdicts(struct topic *topic)
{
        if (topic->verdicts == &access_nothing_known)
                topic->verdicts = mem_zalloc(sizeof(*topic->verdicts));
        return (struct access_verdicts *)(uintptr_t)topic->verdicts;
}

struct subscription *topics_subscription(const struct topics *topics, const struct subscriber *subscriber,
                                         enum topic_kind kind, struct bytes name)
{
        struct topic *topic = topics_find(topics, kind, name);

        return topic ? subscription_find(topics, subscriber, topic) : NULL;
}

struct subscription *topics_subscribe(struct topics *topics, struct subscriber *subscriber,
                                      enum topic_kind kind, struct bytes name)
{
        struct topic *topic = topic_obtain(topics, kind, name);
        struct subscription *s = mem_alloc(sizeof(*s));

        assert(!subscription_find(topics, subscriber, topic));
        *s = (struct subscription){ .subscriber = subscriber, .topic = topic };
        list_add_tail(&subscriber->subscriptions, &s->link);
        table_add(&topics->subscriptions, subscription_hash(subscriber, topic), s);
        subscriber->n[kind]++;
        subscriber->n_all++;
        topic->n_pending++;
        return s;
}

/* Only what patterns match can be too much. */
static bool hears_less(const struct topic *topic, const struct subscriber *subscriber)
{
        return subscriber->hears_less && topic->kind == TOPIC_PATTERN;
}

static void member_add(struct topic *topic, struct subscription *s)
{
        if (topic->n_members == topic->cap_members) {
                topic->cap_members = topic->cap_members > 0 ? topic->cap_members * 2 : 1;
                topic->members = mem_realloc(topic->members, topic->cap_members * sizeof(*topic->members));
        }
        s->index = topic->n_members++;
        topic->members[s->index] = (struct member){ s->subscriber, s };
        topic->n_protocol[s->subscriber->protocol]++;
        topic->n_hear_less += hears_less(topic, s->subscriber);
}

/* The last member takes the place; what is far too large shrinks, so memory follows the number of members. */
static void member_remove(struct topic *topic, struct subscription *s)
{
        struct member last = topic->members[--topic->n_members];

        topic->members[s->index] = last;
        last.subscription->index = s->index;
        topic->n_protocol[s->subscriber->protocol]--;
        topic->n_hear_less -= hears_less(topic, s->subscriber);
        if (topic->n_members == 0) {
                free(topic->members);
                topic->members = NULL;
                topic->cap_members = 0;
        } else if (topic->n_members <= topic->cap_members / 4) {
                topic->cap_members /= 2;
                topic->members = mem_realloc(topic->members, topic->cap_members * sizeof(*topic->members));
        }
}

void topics_activate(struct topics *topics, struct subscription *subscription)
{
        struct topic *topic = subscription->topic;
        uint64_t was = topic_subscriptions(topic);

        assert(!subscription->live);
        subscription->live = true;
        subscription->subscriber->n_activated++;
        topic->n_pending--;
        member_add(topic, subscription);
        topic_changed(topics, topic, was);
}

bool topics_is_last(const struct subscription *subscription)
{
        return subscription->topic->n_members + (PLANTED(10) ? 0 : subscription->topic->n_pending) == 1;
}

void topics_unsubscribe(struct topics *topics, struct subscription *subscription)
{
        struct topic *topic = subscription->topic;
        uint64_t was = topic_subscriptions(topic);

        assert(!subscription->hold);
        table_remove(&topics->subscriptions, subscription_hash(subscription->subscriber, topic), subscription);
        if (subscription->subscriber->cursor == &subscription->link)
                cursor_move(subscription->subscriber);
        list_del(&subscription->link);
        subscription->subscriber->n[topic->kind]--;
        subscription->subscriber->n_all--;
        if (subscription->live)
                member_remove(topic, subscription);
        else
                topic->n_pending--;
        free(subscription);
        topic_changed(topics, topic, was);
        topic_release(topics, topic);
}

/* -------------------------------------------------------------------------------------------- other shards */

void topics_remote_add(struct topics *topics, unsigned shard, enum topic_kind kind, struct bytes name,
                       uint32_t n)
{
        struct topic *topic = topic_obtain(topics, kind, name);
        uint64_t was = topic_subscriptions(topic);

        assert(n > 0);
        topic->remote_mask |= bit(shard);
        topic->remote_total += n;
        topic_changed(topics, topic, was);
}

void topics_remote_remove(struct topics *topics, unsigned shard, enum topic_kind kind, struct bytes name,
                          uint32_t n, bool last)
{
        struct topic *topic = topics_find(topics, kind, name);
        uint64_t was;

        assert(topic && (topic->remote_mask & bit(shard)) && topic->remote_total >= n);
        was = topic_subscriptions(topic);
        topic->remote_total -= n;
        if (last)
                topic->remote_mask &= ~bit(shard);
        assert(!last || !holds_of_shard(topic, shard));
        assert(((topic->remote_mask & ~TOPIC_HELD) == 0) == (topic->remote_total == 0));
        topic_changed(topics, topic, was);
        topic_release(topics, topic);
}

/* -------------------------------------------------------------------------------------------- holds */

static struct hold *topic_hold_begin(struct topics *topics, struct topic *topic, const struct subscriber *by,
                                     unsigned shard)
{
        if (topic->kind == TOPIC_PATTERN)
                topics->sums_generation++;
        return holds_add(&topics->holds, topic, by, shard);
}

static void topic_hold_end(struct topics *topics, struct topic *topic, struct hold *hold)
{
        if (topic->kind == TOPIC_PATTERN)
                topics->sums_generation++;
        holds_end(&topics->holds, topic, hold);
}

bool topics_hold(struct topics *topics, struct subscription *subscription, void *why)
{
        assert(subscription->live && !subscription->hold);
        subscription->hold = topic_hold_begin(topics, subscription->topic, subscription->subscriber, 0);
        subscription->hold->why = why;
        return subscription->topic->n_holds == 1;
}

bool topics_release(struct topics *topics, struct subscription *subscription)
{
        topic_hold_end(topics, subscription->topic, subscription->hold);
        subscription->hold = NULL;
        return subscription->topic->n_holds == 0;
}

void topics_remote_hold(struct topics *topics, unsigned shard, enum topic_kind kind, struct bytes name)
{
        struct topic *topic = topics_find(topics, kind, name);

        assert(topic && topic->remote_mask & bit(shard) && !holds_of_shard(topic, shard));
        topic_hold_begin(topics, topic, NULL, shard);
}

void topics_remote_release(struct topics *topics, unsigned shard, enum topic_kind kind, struct bytes name)
{
        struct topic *topic = topics_find(topics, kind, name);
        struct hold *hold = topic ? holds_of_shard(topic, shard) : NULL;

        assert(hold);
        topic_hold_end(topics, topic, hold);
}

struct list *topics_released(struct topics *topics)
{
        return &topics->holds.released;
}

size_t topics_n_holds(const struct topics *topics)
{
        return topics->holds.n;
}

uint64_t topics_last_hold(const struct topics *topics)
{
        return topics->holds.last;
}

/* Of one topic. A publisher has one hold of it at most, so this looks at two. */
static struct hold *topic_oldest_hold(const struct topic *topic, const struct subscriber *publisher,
                                      uint64_t until)
{
        list_for_each (i, &topic->holds) {
                struct hold *hold = container_of(i, struct hold, link);

                if (hold->since > until)
                        break;
                if (hold->by != publisher || PLANTED(30))
                        return hold;
        }
        return NULL;
}

struct hold *topic_hold(const struct topic *topic, const struct subscriber *publisher, uint64_t until)
{
        struct hold *hold = topic_oldest_hold(topic, publisher, until);

        if (!(topic->match_mask & TOPIC_HELD))
                return hold;
        for (uint32_t i = 0; i < topic->n_matches && !hold; i++)
                hold = topic_oldest_hold(topic->matches[i], publisher, until);
        return hold;
}

/* -------------------------------------------------------------------------------------------- routing */

static void match_found(struct pattern *pattern, void *context)
{
        struct topics *topics = context;

        if (topics->n_found == topics->cap_found) {
                topics->cap_found = topics->cap_found > 0 ? topics->cap_found * 2 : 16;
                topics->found = mem_realloc(topics->found, topics->cap_found * sizeof(*topics->found));
        }
        topics->found[topics->n_found++] = container_of(pattern, struct topic, pattern);
}

static void topic_match(struct topics *topics, struct topic *topic)
{
        cache_remove(topics, topic);
        topics->n_found = 0;
        patterns_match(&topics->patterns, topic_name(topic), match_found, topics);
        if (topics->n_found == 0) {
                free(topic->matches);
                topic->matches = NULL;
        } else {
                size_t size = topics->n_found * sizeof(*topic->matches);

                if (topics->n_found != topic->n_matches)
                        topic->matches = mem_realloc(topic->matches, size);
                memcpy(topic->matches, topics->found, size);
        }
        topic->n_matches = (uint32_t)topics->n_found;
        topic->match_generation = topics->match_generation;
        cache_add(topics, topic);
        cache_trim(topics, topic);
}

static void topic_sum(struct topics *topics, struct topic *topic)
{
        if (topic->match_generation != topics->match_generation)
                topic_match(topics, topic);
        topic->match_mask = topic->match_receivers = 0;
        for (uint32_t i = 0; i < topic->n_matches; i++) {
                topic->match_mask |= topic->matches[i]->remote_mask;
                topic->match_receivers += topic_subscriptions(topic->matches[i]);
        }
        topic->sums_generation = topics->sums_generation;
}

/* The entry of a channel, made when only patterns can want it. Return: NULL when there are none either. */
static struct topic *route_find(struct topics *topics, struct bytes channel)
{
        uint64_t hash = hash_bytes(&topics->key, channel);
        struct topic *topic = topic_lookup(topics, TOPIC_CHANNEL, hash, channel);

        if (!topic && topics->patterns.n > 0) {
                topic = topic_new(topics, TOPIC_CHANNEL, hash, channel);
                topic->recent = true; /* enters the list with its matches, which are stale */
        }
        return topic;
}

struct topic *topics_route(struct topics *topics, struct bytes channel)
{
        struct topic *topic = topics->last;

        if (!topic || !bytes_equal(topic_name(topic), channel)) {
                topic = route_find(topics, channel);
                if (!topic)
                        return NULL;
                topics->last = topic;
        }
        if (topic->sums_generation != topics->sums_generation)
                topic_sum(topics, topic);
        return topic_receivers(topic) > 0 ? topic : NULL;
}

struct topic *topics_route_shard(struct topics *topics, struct bytes channel)
{
        struct topic *topic = topics->last_shard;

        if (!topic || !bytes_equal(topic_name(topic), channel)) {
                topic = topics_find(topics, TOPIC_SHARD, channel);
                if (!topic)
                        return NULL;
                topics->last_shard = topic;
        }
        return topic_receivers(topic) > 0 ? topic : NULL;
}
