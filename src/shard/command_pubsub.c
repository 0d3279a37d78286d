/* SPDX-License-Identifier: MIT */
/*
 * PUBLISH and SPUBLISH, the subscriptions, and PUBSUB. A channel, a pattern and a shard channel differ by their
 * kind of topic only.
 *
 * A subscription is told to the other shards before it is acknowledged, its end before that is acknowledged;
 * the acknowledgements are encoded at once and wait in the gather. With no other shard there is nothing to wait
 * for.
 */

#include "pubsub/contain.h"
#include "pubsub/glob.h"
#include "resp/writer.h"
#include "shard/block.h"
#include "shard/client.h"
#include "shard/command.h"
#include "shard/gather.h"
#include "shard/limits.h"
#include "shard/permit.h"
#include "shard/state.h"
#include "shard/tap.h"
#include "shard/transaction.h"
#include "util/bits.h"
#include "util/plant.h"
#include "util/probe.h"

/* ------------------------------------------------------------------ PUBLISH, SPUBLISH */

__attribute__((noinline)) static void publish_remote(struct client *c, uint64_t targets, enum message_type type,
                                                     struct bytes channel, struct bytes payload)
{
        struct shard *s = c->shard;
        uint32_t size = (uint32_t)(sizeof(struct message_publish) + channel.n + payload.n);

        bits_for_each (dst, targets) {
                uint8_t *p = port_send(s->port, (unsigned)dst, type, size, PORT_COUNTED);

                *(struct message_publish *)(void *)p = (struct message_publish){ (uint32_t)channel.n };
                p += sizeof(struct message_publish);
                memcpy(p, channel.p, channel.n);
                memcpy(p + channel.n, payload.p, payload.n);
                if (port_spilled(s->port))
                        user_charge(c, (unsigned)dst);
        }
}

enum command_result command_wait_gate(struct client *c, uint64_t gates)
{
        c->wait = CLIENT_GATED;
        list_add_tail(&c->shard->gated[bits_first(gates)], &c->waiting);
        return COMMAND_WAIT;
}

uint64_t command_publish_gates(struct client *c, struct bytes channel, bool shard)
{
        struct shard *s = c->shard;
        const struct topic *topic =
                shard ? topics_route_shard(s->topics, channel) : topics_route(s->topics, channel);

        return topic ? topic_remote_mask(topic) & port_gated(s->port) : 0;
}

bool command_publish_waits(struct client *c, struct bytes channel, bool shard)
{
        struct shard *s = c->shard;
        const struct topic *topic =
                shard ? topics_route_shard(s->topics, channel) : topics_route(s->topics, channel);

        return topic && topic_mask(topic) & TOPIC_HELD && block_waits(c, topic);
}

/* A target's mesh is full, or somebody holds the topic back: whether that makes the client wait. */
__attribute__((noinline)) static bool publish_waits(struct client *c, const struct topic *topic)
{
        uint64_t gates = topic_remote_mask(topic) & port_gated(c->shard->port);

        if (topic_mask(topic) & TOPIC_HELD && block_waits(c, topic))
                return true;
        if (gates && !PLANTED(13))
                command_wait_gate(c, gates);
        return c->wait != CLIENT_RUNS;
}

/* Compiled into each of the two commands, so that neither asks at run time which it is. */
__attribute__((always_inline)) static inline enum command_result
publish(struct client *c, const struct request *request, enum message_type type)
{
        struct shard *s = c->shard;
        struct bytes channel = request->argv[1], payload = request->argv[2];
        struct topic *topic = type == MESSAGE_PUBLISH ? topics_route(s->topics, channel)
                                                      : topics_route_shard(s->topics, channel);
        uint64_t remote = topic ? topic_mask(topic) : 0;

        if (!permit_is_plain(c, topic, channel) && !permit_publish(c, topic, channel)) {
                c->held_since = 0;
                return COMMAND_REFUSED;
        }
        if (remote & (port_gated(s->port) | TOPIC_HELD)) {
                if (!transaction_runs(c) && publish_waits(c, topic))
                        return COMMAND_WAIT;
                remote &= ~TOPIC_HELD;
        }
        if (s->users.meters && !user_publishes(c, c->account, payload.n))
                return COMMAND_WAIT;
        if ((s->publish_limited || payload.n > LIMITS_PAYLOAD_SMALL) && limits_publish(c, payload)) {
                user_unspend(c, 1, payload.n); /* it comes back to this, or it is refused */
                if (c->wait != CLIENT_RUNS)
                        return COMMAND_WAIT;
                c->held_since = 0;
                return COMMAND_REFUSED;
        }
        c->held_since = 0;
        s->status.messages_in++;
        c->published++;
        c->published_bytes += payload.n;
        PROBE4(publish, c->id, channel.p, channel.n, payload.n);
        writer_integer(&s->reply, topic ? (int64_t)topic_receivers(topic) : 0);
        if (s->tapped && !tap_passes_over(&s->taps, s->now))
                tap_published(c, request, topic);
        if (!topic)
                return COMMAND_DONE;
        topic_published(topic, payload.n, s->now);
        if (client_subscriptions(c)) {
                if (!PLANTED(9))
                        client_reply_flush(c); /* its own copy never precedes its reply */
                deliver_local(s, topic, payload);
                deliver_settle(s);
        } else {
                deliver_local(s, topic, payload);
        }
        if (remote)
                publish_remote(c, remote, type, channel, payload);
        return COMMAND_DONE;
}

enum command_result command_publish(struct client *c, const struct request *request)
{
        return publish(c, request, MESSAGE_PUBLISH);
}

enum command_result command_spublish(struct client *c, const struct request *request)
{
        return publish(c, request, MESSAGE_SPUBLISH);
}

/* ------------------------------------------------------------------ subscribe */

static const char *const subscribe_word[_TOPIC_KIND_N] = { "subscribe", "psubscribe", "ssubscribe" };
static const char *const unsubscribe_word[_TOPIC_KIND_N] = { "unsubscribe", "punsubscribe", "sunsubscribe" };

/* name NULL: there was nothing to end. count: client_subscriptions_as() from now on. */
static void acknowledge(struct buffer *b, const struct client *c, const char *word, const struct bytes *name,
                        unsigned count)
{
        writer_push(b, c->subscriber.protocol, 3);
        writer_bulk_str(b, word);
        if (name)
                writer_bulk(b, *name);
        else
                writer_null(b, c->subscriber.protocol);
        writer_integer(b, count);
}

/* The gather to collect in; NULL without other shards, and in a transaction, which tells them by itself. A
 * gather of the other direction is sent first, and then *waitp says that the client waits. */
static struct gather *subscribe_gather(struct client *c, enum gather_kind kind, bool *waitp)
{
        *waitp = false;
        if (c->gather && c->gather->kind != kind) {
                gather_ask(c);
                *waitp = c->wait != CLIENT_RUNS;
        }
        return c->shard->peers && !*waitp && !transaction_runs(c) ? gather_collect(c, kind) : NULL;
}

static void subscribe_one(struct client *c, struct gather *g, enum topic_kind kind, struct bytes name)
{
        struct shard *s = c->shard;
        struct subscription *sub = topics_subscription(s->topics, &c->subscriber, kind, name);

        if (!sub) {
                sub = topics_subscribe(s->topics, &c->subscriber, kind, name);
                s->status.subscriptions++;
                user_subscribed(c, kind);
                if (g) {
                        gather_add_change(s, &g->batch, kind, name, 1, false);
                        if (PLANTED(16))
                                topics_activate(s->topics, sub);
                        else
                                gather_add_pending(g, sub);
                } else {
                        topics_activate(s->topics, sub);
                        client_topic_changes(c, sub->topic, true);
                        transaction_subscribed(c, sub);
                }
        }
        acknowledge(g ? &g->reply : &s->reply, c, subscribe_word[kind], &name,
                    client_subscriptions_as(c, kind));
}

/* An error comes behind what a gather will acknowledge: that is asked first. Return: whether the client waits.
 */
static bool subscribe_waits(struct client *c)
{
        if (c->gather && !transaction_runs(c))
                gather_ask(c);
        return c->wait != CLIENT_RUNS;
}

static enum command_result subscribe_denied(struct client *c, enum topic_kind kind, struct bytes name)
{
        if (subscribe_waits(c))
                return COMMAND_WAIT;
        permit_deny_subscribe(c, kind, name);
        return COMMAND_REFUSED;
}

static enum command_result subscribe_over_limit(struct client *c, const char *error)
{
        if (subscribe_waits(c))
                return COMMAND_WAIT;
        limits_refused(c, error);
        command_error(c, "%s", error);
        return COMMAND_REFUSED;
}

/* Whether its user may have that many; one that may not subscribes to nothing of it. */
static bool subscribe_is_leased(struct client *c, const struct request *request, enum topic_kind kind,
                                enum command_result *resultp)
{
        enum quota quota;
        char text[128];

        *resultp = COMMAND_WAIT;
        if (transaction_runs(c))
                return true; /* EXEC asked for all of it */
        switch (user_ask_subscribe(c, kind, request->argv + 1, request->argc - 1, &quota)) {
        case USER_GOES_ON:
                return true;
        case USER_WAITS:
                return false;
        case USER_REFUSED:
                break;
        }
        user_refuse_text(c, quota, text, sizeof(text));
        command_error(c, "%s", text);
        *resultp = COMMAND_REFUSED;
        return false;
}

static enum command_result subscribe(struct client *c, const struct request *request, enum topic_kind kind)
{
        enum command_result result;
        size_t steps = CONTAIN_STEPS;
        uint32_t denied = c->class ? permit_find_denied(c, kind, request, &steps) : 0;
        const char *error;
        struct gather *g;
        bool wait;

        if (denied)
                return subscribe_denied(c, kind, request->argv[denied]);
        if (limits_no_memory(c, limits_subscription_memory(c->shard, request->argv + 1, request->argc - 1)))
                return COMMAND_REFUSED;
        error = limits_subscribe(c, kind, request->argv + 1, request->argc - 1);
        if (error)
                return subscribe_over_limit(c, error);
        if (!subscribe_is_leased(c, request, kind, &result))
                return result;
        g = subscribe_gather(c, GATHER_SUBSCRIBE, &wait);
        if (wait)
                return COMMAND_WAIT;
        for (uint32_t i = 1; i < request->argc; i++)
                subscribe_one(c, g, kind, request->argv[i]);
        return steps < CONTAIN_STEPS / 2 ? COMMAND_YIELD : COMMAND_DONE;
}

enum command_result command_subscribe(struct client *c, const struct request *request)
{
        return subscribe(c, request, TOPIC_CHANNEL);
}

enum command_result command_psubscribe(struct client *c, const struct request *request)
{
        return subscribe(c, request, TOPIC_PATTERN);
}

enum command_result command_ssubscribe(struct client *c, const struct request *request)
{
        return subscribe(c, request, TOPIC_SHARD);
}

/* ------------------------------------------------------------------ unsubscribe */

/* Ends a subscription, which may be NULL, and acknowledges it under the name. */
static void unsubscribe_one(struct client *c, struct gather *g, enum topic_kind kind, struct subscription *sub,
                            struct bytes name)
{
        struct shard *s = c->shard;
        struct buffer *b = g ? &g->reply : &s->reply;

        if (!sub) {
                acknowledge(b, c, unsubscribe_word[kind], &name, client_subscriptions_as(c, kind));
                return;
        }
        if (g)
                block_end(c, sub, &g->batch);
        else
                block_end_now(c, sub); /* a transaction's other changes are told later */
        if (g)
                gather_add_change(s, &g->batch, kind, name, -1, topics_is_last(sub));
        transaction_unsubscribes(c, sub);
        client_topic_changes(c, sub->topic, false);
        /* first the answer: the name may be the topic's own, which goes with its last subscription */
        acknowledge(b, c, unsubscribe_word[kind], &name, client_subscriptions_as(c, kind) - 1);
        user_unsubscribed(c, kind);
        topics_unsubscribe(s->topics, sub);
        s->status.subscriptions--;
}

void command_end_subscription(struct client *c, struct buffer *batch, struct subscription *sub)
{
        struct shard *s = c->shard;
        enum topic_kind kind = sub->topic->kind;
        struct bytes name = topic_name(sub->topic);

        block_end(c, sub, batch);
        if (!transaction_keeps(c, sub) && batch)
                gather_add_change(s, batch, kind, name, -1, topics_is_last(sub));
        client_topic_changes(c, sub->topic, false);
        acknowledge(&s->reply, c, unsubscribe_word[kind], &name, client_subscriptions_as(c, kind) - 1);
        user_unsubscribed(c, kind);
        topics_unsubscribe(s->topics, sub);
        s->status.subscriptions--;
}

/* All of a kind. */
static void unsubscribe_kind(struct client *c, struct gather *g, enum topic_kind kind)
{
        if (!c->subscriber.n[kind]) {
                acknowledge(g ? &g->reply : &c->shard->reply, c, unsubscribe_word[kind], NULL,
                            client_subscriptions_as(c, kind));
                return;
        }
        list_for_each_safe (i, next, &c->subscriber.subscriptions) {
                struct subscription *sub = container_of(i, struct subscription, link);

                if (sub->topic->kind == kind)
                        unsubscribe_one(c, g, kind, sub, topic_name(sub->topic));
        }
}

static enum command_result unsubscribe(struct client *c, const struct request *request, enum topic_kind kind)
{
        struct shard *s = c->shard;
        bool wait;
        struct gather *g = subscribe_gather(c, GATHER_UNSUBSCRIBE, &wait);

        if (wait)
                return COMMAND_WAIT;
        if (request->argc == 1)
                unsubscribe_kind(c, g, kind);
        for (uint32_t i = 1; i < request->argc; i++)
                unsubscribe_one(c, g, kind,
                                topics_subscription(s->topics, &c->subscriber, kind, request->argv[i]),
                                request->argv[i]);
        return COMMAND_DONE;
}

enum command_result command_unsubscribe(struct client *c, const struct request *request)
{
        return unsubscribe(c, request, TOPIC_CHANNEL);
}

enum command_result command_punsubscribe(struct client *c, const struct request *request)
{
        return unsubscribe(c, request, TOPIC_PATTERN);
}

enum command_result command_sunsubscribe(struct client *c, const struct request *request)
{
        return unsubscribe(c, request, TOPIC_SHARD);
}

void command_unsubscribe_all(struct client *c)
{
        struct gather *g = c->shard->peers ? gather_collect(c, GATHER_UNSUBSCRIBE) : NULL;

        client_drop_subscriptions(c, g ? &g->batch : NULL);
}

/* ------------------------------------------------------------------ PUBSUB */

#define PUBSUB_LONG 1000 /* channels to look at in a search that others shall not wait for twice */

/* The names of a kind with subscribers, that match the pattern if one is given. */
static enum command_result pubsub_names(struct client *c, const struct request *request, enum topic_kind kind)
{
        struct shard *s = c->shard;
        struct buffer names = { 0 };
        struct topic *topic;
        size_t pos = 0, n = 0, seen = 0;

        if (request->argc > 3) {
                command_error(c, "unknown subcommand or wrong number of arguments for '%.*s'. Try PUBSUB HELP.",
                              (int)request->argv[1].n, (const char *)request->argv[1].p);
                return COMMAND_DONE;
        }
        while ((topic = topics_next(s->topics, kind, &pos))) {
                seen++;
                if (request->argc == 3 && !glob_match(request->argv[2], topic_name(topic)))
                        continue;
                writer_bulk(&names, topic_name(topic));
                n++;
        }
        writer_array(&s->reply, n);
        buffer_put(&s->reply, buffer_view(&names).p, buffer_size(&names));
        buffer_deinit(&names);
        return seen > PUBSUB_LONG ? COMMAND_YIELD : COMMAND_DONE;
}

static enum command_result pubsub_channels(struct client *c, const struct request *request)
{
        return pubsub_names(c, request, TOPIC_CHANNEL);
}

static enum command_result pubsub_shardchannels(struct client *c, const struct request *request)
{
        return pubsub_names(c, request, TOPIC_SHARD);
}

static enum command_result pubsub_counts(struct client *c, const struct request *request, enum topic_kind kind)
{
        struct shard *s = c->shard;

        writer_array(&s->reply, 2 * (request->argc - 2));
        for (uint32_t i = 2; i < request->argc; i++) {
                const struct topic *topic = topics_find(s->topics, kind, request->argv[i]);

                writer_bulk(&s->reply, request->argv[i]);
                writer_integer(&s->reply, topic ? (int64_t)topic_subscriptions(topic) : 0);
        }
        return COMMAND_DONE;
}

static enum command_result pubsub_numsub(struct client *c, const struct request *request)
{
        return pubsub_counts(c, request, TOPIC_CHANNEL);
}

static enum command_result pubsub_shardnumsub(struct client *c, const struct request *request)
{
        return pubsub_counts(c, request, TOPIC_SHARD);
}

static enum command_result pubsub_numpat(struct client *c, const struct request *request)
{
        (void)request;
        writer_integer(&c->shard->reply, (int64_t)topics_count(c->shard->topics, TOPIC_PATTERN));
        return COMMAND_DONE;
}

const struct command command_pubsub_rows[] = {
        { "channels", -2, 0, pubsub_channels, NULL, "pubsub", "[<pattern>]",
          "The channels with subscribers, those that match the pattern if one is given." },
        { "numpat", 2, 0, pubsub_numpat, NULL, "pubsub", NULL,
          "The number of different patterns subscribed to." },
        { "numsub", -2, 0, pubsub_numsub, NULL, "pubsub", "[<channel> ...]",
          "The number of subscribers of each channel." },
        { "shardchannels", -2, 0, pubsub_shardchannels, NULL, "pubsub", "[<pattern>]",
          "The shard channels with subscribers, those that match the pattern if one is given." },
        { "shardnumsub", -2, 0, pubsub_shardnumsub, NULL, "pubsub", "[<shardchannel> ...]",
          "The number of subscribers of each shard channel." },
        COMMAND_HELP("pubsub"),
        { 0 },
};
