/* SPDX-License-Identifier: MIT */

#include "shard/status.h"

#include <assert.h>
#include <stdio.h>
#include <time.h>

#include "resp/writer.h"
#include "shard/client.h"
#include "shard/spool.h"
#include "shard/state.h"
#include "util/clock.h"
#include "util/mem.h"
#include "util/process.h"

/* The counters that BROKER STATUS shows per shard, in this order. */
#define STATUS_COUNTERS(_)                                                                                     \
        _(clients)                                                                                             \
        _(subscriptions)                                                                                       \
        _(channels)                                                                                            \
        _(patterns)                                                                                            \
        _(shard_channels)                                                                                      \
        _(commands)                                                                                            \
        _(messages_in)                                                                                         \
        _(messages_out)                                                                                        \
        _(bytes_in)                                                                                            \
        _(bytes_out)                                                                                           \
        _(turns)                                                                                               \
        _(parks)                                                                                               \
        _(mesh_sent)                                                                                           \
        _(mesh_received)                                                                                       \
        _(mesh_spilled)                                                                                        \
        _(wakes_sent)                                                                                          \
        _(wakes_taken)                                                                                         \
        _(cpu_ns)                                                                                              \
        _(spin_ns)                                                                                             \
        _(park_ns)                                                                                             \
        _(time_us)                                                                                             \
        _(ring_used)                                                                                           \
        _(ring_slots)                                                                                          \
        _(ring_high)                                                                                           \
        _(backlog_high)                                                                                        \
        _(backlog_bytes)                                                                                       \
        _(output_bytes)                                                                                        \
        _(waiting_clients)                                                                                     \
        _(output_limit_closed)                                                                                 \
        _(protocol_errors)                                                                                     \
        SHARD_LEVELS(_)                                                                                        \
        SHARD_EVENTS(_)

/* Those that count anew from a reset, for INFO. BROKER STATUS counts from the start. */
#define STATUS_RESETS(_)                                                                                       \
        _(commands)                                                                                            \
        _(messages_in)                                                                                         \
        _(messages_out)                                                                                        \
        _(bytes_in)                                                                                            \
        _(bytes_out)                                                                                           \
        _(mesh_sent)                                                                                           \
        _(mesh_received)                                                                                       \
        _(mesh_spilled)                                                                                        \
        _(wakes_sent)                                                                                          \
        _(output_limit_closed)                                                                                 \
        _(protocol_errors)                                                                                     \
        SHARD_EVENTS(_)

/* What its thread took, of the system call that only those who ask pay. */
static uint64_t status_cpu(void)
{
        struct timespec ts;

        if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts))
                return 0;
        return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* This shard's, now. */
static struct shard_status status_of(struct shard *s)
{
        const struct port_stats *mesh = port_stats(s->port);
        struct shard_status status = s->status;

        status.commands += counts_calls(&s->counts);
        status.channels = topics_count(s->topics, TOPIC_CHANNEL);
        status.patterns = topics_count(s->topics, TOPIC_PATTERN);
        status.shard_channels = topics_count(s->topics, TOPIC_SHARD);
        status.mesh_sent = mesh->sent;
        status.mesh_received = mesh->received;
        status.mesh_spilled = mesh->spilled;
        status.wakes_sent = mesh->wakes_sent;
        status.wakes_taken = mesh->wakes_taken;
        status.ring_used = port_ring_used(s->port);
        status.ring_slots = port_ring_slots(s->port);
        status.cpu_ns = status_cpu();
        status.spin_ns = s->pace.spun;
        status.park_ns = s->pace.parked;
        status.time_us = s->options.now() / NSEC_PER_USEC;
        status.ring_high = mesh->ring_high;
        status.backlog_high = mesh->backlog_high;
        status.backlog_bytes = mesh->backlog_bytes;
        list_for_each (i, &s->clients) {
                const struct client *c = container_of(i, struct client, all);

                status.output_bytes += c->output;
                status.waiting_clients += c->output > 0;
                status.bytes_out += c->stream.out.sent;
                status.block_held += c->wait == CLIENT_HELD;
                if (!c->spool)
                        continue;
                status.spooled_clients++;
                status.spooled_bytes += spool_bytes(c->spool);
        }
        status.cpu = s->options.cpu;
        snprintf(status.reactor, sizeof(status.reactor), "%s", s->ops->name);
        return status;
}

static void status_reset(struct shard *s)
{
        s->reset = status_of(s);
        s->status.commands = s->reset.commands;
        s->counts = (struct counts){ 0 };
}

void status_answer(struct shard *s, enum query_kind kind, struct buffer *out)
{
        struct shard_status status;

        if (kind == QUERY_RESET)
                status_reset(s);
        status = status_of(s);
#define STATUS_SINCE(_name) status._name -= s->reset._name;
        if (kind == QUERY_COUNTS) {
                STATUS_RESETS(STATUS_SINCE)
        }
#undef STATUS_SINCE
        buffer_put(out, &status, sizeof(status));
        if (kind == QUERY_COUNTS)
                buffer_put(out, &s->counts, sizeof(s->counts));
}

struct gather *status_begin(struct client *c, enum query_kind kind,
                            void (*write)(struct client *c, const struct gather *g))
{
        struct shard *s = c->shard;
        struct gather *g = gather_collect(c, GATHER_STATUS);
        struct buffer own = { 0 };

        g->write = write;
        g->query = kind;
        g->shards = mem_zalloc(s->options.n_shards * sizeof(*g->shards));
        if (kind == QUERY_COUNTS)
                g->counts = mem_zalloc(sizeof(*g->counts));
        status_answer(s, kind, &own);
        status_take(s, g, s->options.id, buffer_view(&own));
        buffer_deinit(&own);
        return g;
}

static void status_take_counts(struct gather *g, struct bytes body)
{
        struct counts one;

        memcpy(&one, body.p, sizeof(one));
        counts_add(g->counts, &one);
}

void status_take(struct shard *s, struct gather *g, unsigned source, struct bytes body)
{
        if (source == s->options.n_shards) {
                assert(body.n == sizeof(g->control));
                memcpy(&g->control, body.p, sizeof(g->control));
        } else {
                assert(body.n == sizeof(*g->shards) + (g->counts ? sizeof(*g->counts) : 0));
                memcpy(&g->shards[source], body.p, sizeof(*g->shards));
                if (g->counts)
                        status_take_counts(g, bytes_of(body.p + sizeof(*g->shards), sizeof(*g->counts)));
        }
}

uint64_t status_uptime(const struct control_status *control)
{
        uint64_t now = (uint64_t)time(NULL);

        return now > control->start_time ? now - control->start_time : 0;
}

static void status_integer(struct buffer *b, const char *name, uint64_t value)
{
        writer_bulk_str(b, name);
        writer_integer(b, (int64_t)value);
}

static void status_write_broker(struct buffer *b, enum writer_proto proto, const struct shard *s,
                                const struct gather *g)
{
        uint64_t clients = 0;

        for (unsigned i = 0; i < s->options.n_shards; i++)
                clients += g->shards[i].clients;
        writer_map(b, proto, 21);
        writer_bulk_str(b, "version");
        writer_bulk_str(b, s->options.version);
        status_integer(b, "pid", (uint64_t)g->control.pid);
        status_integer(b, "uptime_seconds", status_uptime(&g->control));
        writer_bulk_str(b, "reactor");
        writer_bulk_str(b, s->ops->name);
        writer_bulk_str(b, "reactor_reason");
        writer_bulk_str(b, s->options.reactor_reason ? s->options.reactor_reason : "");
        status_integer(b, "memory_bytes", process_memory().resident);
        status_integer(b, "shards", s->options.n_shards);
        status_integer(b, "clients", clients);
        status_integer(b, "max_clients", g->control.max_clients);
        status_integer(b, "accepted", g->control.accepted);
        status_integer(b, "rejected_full", g->control.rejected_full);
        status_integer(b, "rejected_user_clients", g->control.rejected_user_clients);
        status_integer(b, "rejected_user_connects", g->control.rejected_user_connects);
        status_integer(b, "accept_errors", g->control.accept_errors);
        status_integer(b, "accept_paused", g->control.accept_paused);
        status_integer(b, "draining", g->control.draining);
        status_integer(b, "drain_left", g->control.n_drained);
        status_integer(b, "rejected_draining", g->control.rejected_draining);
        status_integer(b, "reloads", g->control.reloads);
        status_integer(b, "reloads_refused", g->control.reloads_refused);
        status_integer(b, "reload_time", g->control.reload_time);
}

static void status_write_shard(struct buffer *b, enum writer_proto proto, unsigned id,
                               const struct shard_status *t)
{
#define STATUS_ONE(_name) +1
        writer_map(b, proto, 3 STATUS_COUNTERS(STATUS_ONE));
#undef STATUS_ONE
        status_integer(b, "id", id);
        writer_bulk_str(b, "reactor");
        writer_bulk_str(b, t->reactor);
        status_integer(b, "cpu", (uint64_t)(int64_t)t->cpu);
#define STATUS_WRITE(_name) status_integer(b, #_name, t->_name);
        STATUS_COUNTERS(STATUS_WRITE)
#undef STATUS_WRITE
}

void status_write(struct client *c, const struct gather *g)
{
        struct shard *s = c->shard;
        struct buffer *b = &s->reply;
        enum writer_proto proto = c->subscriber.protocol;

        writer_map(b, proto, 2);
        writer_bulk_str(b, "broker");
        status_write_broker(b, proto, s, g);
        writer_bulk_str(b, "shards");
        writer_array(b, s->options.n_shards);
        for (unsigned i = 0; i < s->options.n_shards; i++)
                status_write_shard(b, proto, i, &g->shards[i]);
}
