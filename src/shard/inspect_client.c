/* SPDX-License-Identifier: MIT */
/*
 * All that is known of one client, as a map. Members are only ever appended. What is limited is in "limits", by
 * the name that the option has in broker.yaml: what there is now, and the limit, null where there is none.
 */

#include "resp/writer.h"
#include "shard/auth.h"
#include "shard/client.h"
#include "shard/command.h"
#include "shard/inspect.h"
#include "shard/spool.h"
#include "shard/state.h"
#include "shard/quota.h"
#include "shard/transaction.h"
#include "shard/user.h"
#include "util/bucket.h"
#include "util/clock.h"

#define SUBSCRIPTIONS_LOOKED_AT 5000 /* when those to be listed are looked for; some 0.5 ms */

/* A map whose size is known once its members are written. */
struct map {
        struct buffer b;
        size_t n;
        enum writer_proto proto;
};

static struct buffer *put(struct map *m, const char *name)
{
        writer_bulk_str(&m->b, name);
        m->n++;
        return &m->b;
}

static void put_integer(struct map *m, const char *name, uint64_t n)
{
        writer_integer(put(m, name), (int64_t)n);
}

static void put_text(struct map *m, const char *name, const char *text)
{
        writer_bulk_str(put(m, name), text ? text : "");
}

static void put_bool(struct map *m, const char *name, bool b)
{
        writer_bool(put(m, name), m->proto, b);
}

/* Moves a map to where it belongs. */
static void map_finish(struct map *m, struct buffer *to)
{
        writer_map(to, m->proto, m->n);
        buffer_put(to, buffer_view(&m->b).p, buffer_size(&m->b));
        buffer_deinit(&m->b);
}

/* ------------------------------------------------------------------ who it is */

static void put_groups(struct map *m, const struct client *c)
{
        struct buffer *b = put(m, "groups");

        writer_array(b, c->n_groups);
        for (uint32_t i = 0; i < c->n_groups; i++)
                writer_integer(b, c->groups[i]);
}

static void put_identity(struct map *m, const struct client *c)
{
        put_integer(m, "id", c->id);
        put_integer(m, "shard", c->shard->options.id);
        put_text(m, "listener", c->path);
        put_bool(m, "by_admin_socket", c->adopt_flags & ADOPT_ADMIN);
        put_integer(m, "pid", (uint64_t)c->pid);
        put_integer(m, "uid", c->uid);
        put_integer(m, "gid", c->gid);
        put_groups(m, c);
        put_text(m, "user", auth_user(c));
        put_bool(m, "authenticated", c->user);
        put_bool(m, "admin", c->admin);
        put_text(m, "name", c->name);
        put_text(m, "lib_name", c->lib_name);
        put_text(m, "lib_ver", c->lib_version);
        put_integer(m, "resp", c->subscriber.protocol == WRITER_RESP3 ? 3 : 2);
}

/* ------------------------------------------------------------------ what it does */

static const char *state_name(const struct client *c)
{
        return c->end == CLIENT_FINISHING ? "finishing" : c->barred ? "barred" : "open";
}

static const char *wait_name(enum client_wait wait)
{
        switch (wait) {
        case CLIENT_RUNS:
                return "nothing";
        case CLIENT_GATHERS:
                return "other shards";
        case CLIENT_GATED:
                return "the mesh";
        case CLIENT_RATED:
                return "its rate";
        case CLIENT_HELD:
                return "a slow subscriber";
        case CLIENT_YIELDS:
                return "the next turn";
        case CLIENT_VERIFIES:
                return "its password";
        case CLIENT_LEASES:
                return "its user's limit";
        }
        return "nothing";
}

static const char *replies_name(enum client_replies replies)
{
        return replies == CLIENT_REPLIES_OFF ? "off" : replies == CLIENT_REPLIES_ON ? "on" : "skip";
}

static void put_state(struct map *m, const struct client *c)
{
        uint64_t now = c->shard->now;
        char name[64];

        put_integer(m, "age_ms", (now - c->born) / NSEC_PER_MSEC);
        put_integer(m, "idle_ms", (now - c->active) / NSEC_PER_MSEC);
        put_text(m, "state", state_name(c));
        put_text(m, "waits_for", wait_name(c->wait));
        put_text(m, "command", command_full_name(c->command, name, sizeof(name)));
        put_text(m, "replies", replies_name(c->replies));
        put_bool(m, "loss_push", c->loss_push);
        put_bool(m, "transaction", c->transaction);
        put_integer(m, "queued_commands", c->transaction ? c->transaction->n : 0);
}

/* ------------------------------------------------------------------ its subscriptions */

static void put_subscriptions(struct map *m, const struct client *c)
{
        static const char *const names[_TOPIC_KIND_N] = { "channels", "patterns", "shard_channels" };
        struct map kinds = { .proto = m->proto };
        struct buffer listed[_TOPIC_KIND_N] = { 0 };
        size_t n[_TOPIC_KIND_N] = { 0 }, looked = 0, bytes = 0;

        list_for_each (i, &c->subscriber.subscriptions) {
                const struct topic *topic = container_of(i, struct subscription, link)->topic;

                if (++looked > SUBSCRIPTIONS_LOOKED_AT || bytes > c->shard->policy->limits.output_hard / 2)
                        break;
                if (n[topic->kind] == INSPECT_SUBJECTS)
                        continue;
                n[topic->kind]++;
                writer_bulk(&listed[topic->kind], topic_name(topic));
                bytes += topic->name_size;
        }
        for (unsigned kind = 0; kind < _TOPIC_KIND_N; kind++) {
                struct map one = { .proto = m->proto };

                put_integer(&one, "total", c->subscriber.n[kind]);
                writer_array(put(&one, "names"), n[kind]);
                buffer_put(&one.b, buffer_view(&listed[kind]).p, buffer_size(&listed[kind]));
                buffer_deinit(&listed[kind]);
                map_finish(&one, put(&kinds, names[kind]));
        }
        map_finish(&kinds, put(m, "subscriptions"));
}

/* ------------------------------------------------------------------ its bytes and messages */

static size_t input_bytes(const struct client *c)
{
        return reader_size(&c->reader) + transaction_queue_bytes(c);
}

static void put_traffic(struct map *m, const struct client *c)
{
        put_integer(m, "input_bytes", input_bytes(c));
        put_integer(m, "output_bytes", client_output(c));
        put_integer(m, "output_spooled_bytes", c->spool ? spool_bytes(c->spool) : 0);
        put_integer(m, "output_entries", c->stream.out.n + (c->spool ? c->spool->n_entries : 0));
        put_bool(m, "spooled", c->spool);
        put_bool(m, "blocks_publishers", c->blocks);
        put_integer(m, "published", c->published);
        put_integer(m, "published_bytes", c->published_bytes);
        put_integer(m, "delivered", c->delivered);
        put_integer(m, "lost", c->lost);
        put_integer(m, "denied", c->denied);
        put_integer(m, "sent_bytes", c->stream.out.sent);
}

/* ------------------------------------------------------------------ its limits */

static void put_limit(struct map *m, const char *name, uint64_t now, uint64_t limit)
{
        struct map one = { .proto = m->proto };

        put_integer(&one, "now", now);
        if (limit)
                put_integer(&one, "limit", limit);
        else
                writer_null(put(&one, "limit"), m->proto);
        map_finish(&one, put(m, name));
}

/* Of the time that a timer grants, what has passed. */
static uint64_t time_gone(const struct client *c, enum client_timer kind, uint64_t limit)
{
        const struct timer *timer = &c->timers[kind];
        uint64_t now = c->shard->now, left;

        if (!timer_is_started(timer))
                return 0;
        left = timer->deadline > now ? timer->deadline - now : 0;
        return left < limit ? limit - left : 0;
}

static void put_limits(struct map *m, const struct client *c)
{
        const struct policy_limits *l = &c->shard->policy->limits;
        uint64_t now = c->shard->now;
        struct map all = { .proto = m->proto };

        put_limit(&all, "max_request_bytes", reader_size(&c->reader), l->request_bytes);
        put_limit(&all, "max_query_bytes", input_bytes(c), l->query_bytes);
        put_limit(&all, "max_output_bytes", client_output(c), l->output_hard);
        put_limit(&all, "soft_output_bytes", client_output(c), l->output_soft);
        put_limit(&all, "soft_output_time_ms",
                  time_gone(c, CLIENT_TIMER_SOFT, l->output_soft_ns) / NSEC_PER_MSEC,
                  l->output_soft ? l->output_soft_ns / NSEC_PER_MSEC : 0);
        put_limit(&all, "max_subscriptions", client_subscriptions(c), l->subscriptions);
        put_limit(&all, "max_patterns", c->subscriber.n[TOPIC_PATTERN], l->patterns);
        put_limit(&all, "publish_rate", bucket_used(&c->rate_messages, l->messages, now), l->messages);
        put_limit(&all, "publish_bytes", bucket_used(&c->rate_bytes, l->bytes, now), l->bytes);
        put_limit(&all, "idle_timeout_ms", client_subscriptions(c) ? 0 : (now - c->active) / NSEC_PER_MSEC,
                  client_subscriptions(c) ? 0 : l->idle_ns / NSEC_PER_MSEC);
        map_finish(&all, put(m, "limits"));
}

/* What the user's clients on this shard have of what all of them may have. */
static void put_user_limits(struct map *m, const struct client *c)
{
        struct map all = { .proto = m->proto };

        for (enum quota q = 0; c->account && q < QUOTA_OUTPUT_ALL; q++) {
                struct map one = { .proto = m->proto };
                uint64_t limit = quota_bound(&c->shard->policy->limits, q);

                if (!quota_is_flow(q))
                        put_integer(&one, "here", c->account->leases[q].used);
                if (limit)
                        put_integer(&one, "limit", limit);
                else
                        writer_null(put(&one, "limit"), m->proto);
                map_finish(&one, put(&all, quota_name(q)));
        }
        map_finish(&all, put(m, "user_limits"));
}

void inspect_client(struct buffer *b, unsigned protocol, struct client *c)
{
        struct map m = { .proto = protocol };

        put_identity(&m, c);
        put_state(&m, c);
        put_subscriptions(&m, c);
        put_traffic(&m, c);
        put_limits(&m, c);
        put_user_limits(&m, c);
        map_finish(&m, b);
}
