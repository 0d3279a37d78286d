/* SPDX-License-Identifier: MIT */

#include "shard/limits.h"

#include "shard/client.h"
#include "shard/command.h"
#include "shard/state.h"
#include "shard/transaction.h"
#include "util/bucket.h"
#include "util/clock.h"
#include "util/mem.h"

/* A client that is over its rate waits at least this long: who publishes small messages at a high rate is not
 * woken for each. It gets no less for that, since a bucket holds a second's worth. */
#define LIMITS_PAUSE_MIN NSEC_PER_MSEC

/* ------------------------------------------------------------------ memory */

#define LIMITS_MEMORY_SMALL   (256 * 1024) /* bytes: a part of the reserve */
#define LIMITS_PER_SUBSCRIBER 640 /* bytes of a subscription with a topic of its own, on a shard, about */

bool limits_no_memory(struct client *c, size_t bytes)
{
        struct shard *s = c->shard;

        if (!(s->memory_low && mem_is_low()) && (bytes <= LIMITS_MEMORY_SMALL || mem_fits(bytes)))
                return false;
        command_error_coded(c, "OOM command not allowed when the broker is short of memory");
        s->status.memory_refused++;
        shard_notice(s, c, "a command is refused, since memory is short");
        return true;
}

size_t limits_subscription_memory(const struct shard *s, const struct bytes *names, uint32_t n)
{
        size_t bytes = 0;

        for (uint32_t i = 0; i < n; i++)
                bytes += LIMITS_PER_SUBSCRIBER + 4 * names[i].n; /* batch, messages, topic, acknowledgement */
        return bytes * s->options.n_shards;
}

void limits_look_at_memory(struct shard *s)
{
        if (!s->memory_low && !mem_is_short())
                return;
        s->memory_low = mem_is_low();
        s->publish_limited = s->memory_low || limits_on_publish(&s->policy->limits);
}

bool limits_keep(struct client *c, size_t bytes)
{
        struct shard *s = c->shard;

        if (!mem_is_short() && (bytes <= LIMITS_MEMORY_SMALL || mem_fits(bytes)))
                return true;
        s->status.memory_closed++;
        shard_notice(s, c, "disconnected, there is no memory for what it does not take");
        client_close(c);
        return false;
}

/* ------------------------------------------------------------------ what is published */

bool limits_on_publish(const struct policy_limits *limits)
{
        return limits->message_bytes || limits->messages || limits->bytes;
}

bool limits_message_fits(const struct shard *s, size_t bytes)
{
        return !s->policy->limits.message_bytes || bytes <= s->policy->limits.message_bytes;
}

bool limits_charge(struct client *c, uint64_t n, uint64_t bytes)
{
        struct shard *s = c->shard;
        const struct policy_limits *limits = &s->policy->limits;
        uint64_t wait, wait_bytes;

        if (!n)
                return true;
        wait = bucket_wait(&c->rate_messages, limits->messages, n, s->now);
        wait_bytes = bucket_wait(&c->rate_bytes, limits->bytes, bytes, s->now);
        wait = wait > wait_bytes ? wait : wait_bytes;
        if (!wait) {
                bucket_take(&c->rate_messages, limits->messages, n, s->now);
                bucket_take(&c->rate_bytes, limits->bytes, bytes, s->now);
                return true;
        }
        c->wait = CLIENT_RATED;
        timers_start(&s->timers, &c->timers[CLIENT_TIMER_RATE],
                     s->now + (wait < LIMITS_PAUSE_MIN ? LIMITS_PAUSE_MIN : wait));
        s->status.rate_limit_paused++;
        if (!c->rate_noticed)
                shard_notice(s, c, "publishes more than publish_rate or publish_bytes allows, and has to wait");
        c->rate_noticed = true;
        return false;
}

void limits_rate_over(struct client *c)
{
        if (c->wait != CLIENT_RATED || !list_empty(&c->waiting))
                return; /* in shard.ended: it waits for nothing any more */
        timers_stop(&c->shard->timers, &c->timers[CLIENT_TIMER_RATE]);
        c->wait = CLIENT_YIELDS;
        list_add_tail(&c->shard->yielded, &c->waiting);
}

bool limits_publish(struct client *c, struct bytes payload)
{
        struct shard *s = c->shard;

        if (limits_no_memory(c, payload.n * (SUBSCRIBER_PROTOCOLS + s->options.n_shards)))
                return true;
        if (!limits_message_fits(s, payload.n)) {
                command_error(c, "the message is larger than the limit of %llu bytes",
                              (unsigned long long)s->policy->limits.message_bytes);
                s->status.message_limit_refused++;
                shard_notice(s, c, "a message is larger than max_message_bytes");
                return true;
        }
        return !transaction_runs(c) && !limits_charge(c, 1, payload.n);
}

/* ------------------------------------------------------------------ subscriptions */

static const char limits_too_many_subscriptions[] = "max number of subscriptions per client reached";
static const char limits_too_many_patterns[] = "max number of patterns per client reached";
static const char limits_too_many_channels[] = "max number of channels reached";

static bool limits_same_name(const void *item, const void *key)
{
        return bytes_equal(*(const struct bytes *)item, *(const struct bytes *)key);
}

static bool limits_has_subscription(const struct client *c, enum topic_kind kind, struct bytes name)
{
        return topics_subscription(c->shard->topics, &c->subscriber, kind, name);
}

static bool limits_has_topic(const struct client *c, enum topic_kind kind, struct bytes name)
{
        return topics_held(c->shard->topics, kind, name);
}

/*
 * Adds the names that there is nothing of yet to a set, each once. Return: false: with these the set would have
 * more than max; it has at most one more than that on the way, and is then as it was.
 */
static bool limits_add(const struct client *c, struct table *set, uint64_t max, enum topic_kind kind,
                       const struct bytes *names, uint32_t n,
                       bool (*has)(const struct client *c, enum topic_kind kind, struct bytes name))
{
        const struct hash_key *key = &c->shard->options.hash_key;

        for (uint32_t i = 0; i < n; i++) {
                uint64_t hash = hash_bytes(key, names[i]);

                if (table_find(set, hash, limits_same_name, &names[i]) || has(c, kind, names[i]))
                        continue;
                table_add(set, hash, (void *)(uintptr_t)&names[i]);
                if (set->n <= max)
                        continue;
                for (uint32_t k = 0; k <= i; k++) {
                        hash = hash_bytes(key, names[k]);
                        if (table_find(set, hash, limits_same_name, &names[k]) == &names[k])
                                table_remove(set, hash, &names[k]);
                }
                return false;
        }
        return true;
}

/* Whether `has` is missing for at most as many names as max leaves above n_now. */
static bool limits_fit(const struct client *c, uint64_t max, uint64_t n_now, enum topic_kind kind,
                       const struct bytes *names, uint32_t n,
                       bool (*has)(const struct client *c, enum topic_kind kind, struct bytes name))
{
        struct table set = { 0 };
        bool fit;

        if (!max || n_now + n <= max)
                return true;
        fit = limits_add(c, &set, max > n_now ? max - n_now : 0, kind, names, n, has);
        table_deinit(&set);
        return fit;
}

static uint64_t limits_n_channels(const struct shard *s)
{
        return topics_n_held(s->topics, TOPIC_CHANNEL) + topics_n_held(s->topics, TOPIC_SHARD);
}

const char *limits_subscribe(const struct client *c, enum topic_kind kind, const struct bytes *names,
                             uint32_t n)
{
        const struct policy_limits *limits = &c->shard->policy->limits;

        if (!limits_fit(c, limits->subscriptions, client_subscriptions(c), kind, names, n,
                        limits_has_subscription))
                return limits_too_many_subscriptions;
        if (kind == TOPIC_PATTERN)
                return limits_fit(c, limits->patterns, c->subscriber.n[TOPIC_PATTERN], kind, names, n,
                                  limits_has_subscription)
                               ? NULL
                               : limits_too_many_patterns;
        if (limits->channels && !transaction_runs(c) &&
            !limits_fit(c, limits->channels, limits_n_channels(c->shard), kind, names, n, limits_has_topic))
                return limits_too_many_channels;
        return NULL;
}

const char *limits_channels(const struct client *c, struct table *fresh, const struct bytes *names, uint32_t n)
{
        uint64_t max = c->shard->policy->limits.channels, n_now = limits_n_channels(c->shard);

        if (!max ||
            limits_add(c, fresh, max > n_now ? max - n_now : 0, TOPIC_CHANNEL, names, n, limits_has_topic))
                return NULL;
        return limits_too_many_channels;
}

void limits_refused(struct client *c, const char *error)
{
        struct shard *s = c->shard;

        if (error == limits_too_many_subscriptions) {
                s->status.subscription_limit_refused++;
                shard_notice(s, c, "more subscriptions than max_subscriptions are refused");
        } else if (error == limits_too_many_patterns) {
                s->status.pattern_limit_refused++;
                shard_notice(s, c, "more patterns than max_patterns are refused");
        } else {
                s->status.channel_limit_refused++;
                shard_notice(s, c, "a new channel is refused, there are max_channels");
        }
}

/* ------------------------------------------------------------------ input */

void limits_input(struct client *c)
{
        struct shard *s = c->shard;
        uint64_t max = s->policy->limits.query_bytes;

        /* who yields waits for nothing, and what it has said is what was read at once */
        if (!max || c->wait == CLIENT_YIELDS || reader_size(&c->reader) + transaction_queue_bytes(c) <= max)
                return;
        s->status.query_limit_closed++;
        shard_notice(s, c, "disconnected, its waiting requests passed max_query_bytes");
        client_close(c);
}

void limits_request(struct client *c)
{
        c->shard->status.request_limit_closed++;
        shard_notice(c->shard, c, "disconnected, its request is larger than max_request_bytes");
}
