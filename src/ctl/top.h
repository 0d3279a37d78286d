/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <hiredis.h>

#include "util/bytes.h"

/*
 * The figures behind `brokerctl top` and `shards`: what the broker answered at one moment, and what two such
 * moments come to for a second. Only arithmetic: nothing here asks, waits or shows.
 */

/* What is taken from a shard's part of BROKER STATUS, by its names there. What it does not tell is 0. */
#define TOP_FIGURES(_)                                                                                         \
        _(id)                                                                                                  \
        _(time_us)                                                                                             \
        _(clients)                                                                                             \
        _(waiting_clients)                                                                                     \
        _(cpu_ns)                                                                                              \
        _(spin_ns)                                                                                             \
        _(park_ns)                                                                                             \
        _(turns)                                                                                               \
        _(parks)                                                                                               \
        _(wakes_sent)                                                                                          \
        _(wakes_taken)                                                                                         \
        _(ring_used)                                                                                           \
        _(ring_slots)                                                                                          \
        _(ring_high)                                                                                           \
        _(backlog_bytes)                                                                                       \
        _(backlog_high)                                                                                        \
        _(output_bytes)                                                                                        \
        _(messages_in)                                                                                         \
        _(messages_out)                                                                                        \
        _(bytes_in)                                                                                            \
        _(bytes_out)                                                                                           \
        _(mesh_sent)                                                                                           \
        _(mesh_received)                                                                                       \
        _(lost_drop_oldest)                                                                                    \
        _(lost_drop_newest)                                                                                    \
        _(lost_conflate)                                                                                       \
        _(output_limit_closed)

struct top_shard {
#define TOP_FIGURE(_name) uint64_t _name;
        TOP_FIGURES(TOP_FIGURE)
#undef TOP_FIGURE
};

#define TOP_SHARDS_MAX 64

/* One moment. */
struct top_look {
        uint64_t pid, uptime, clients, max_clients;
        char version[32];
        unsigned n_shards;
        struct top_shard shards[TOP_SHARDS_MAX];
};

/* For one second; shares are of the time of one CPU. */
struct top_rates {
        double seconds; /* between the looks; 0: there are no two, and the rest is 0 as well */
        double cpu, spin, park;
        double turns, parks, wakes_sent, wakes_taken;
        double messages_in, messages_out, bytes_in, bytes_out;
        double mesh_sent, mesh_received;
        double drops;
};

/* now_us: for a broker that does not tell the time. Return: false: it is no answer to BROKER STATUS. */
bool top_look(struct top_look *look, const redisReply *status, uint64_t now_us);

/* Whether the two are of one broker, so that what lies between them is something. */
bool top_look_follows(const struct top_look *after, const struct top_look *before);

void top_rates(struct top_rates *rates, const struct top_shard *before, const struct top_shard *after);

/* Since the start of a broker that is so many seconds old. */
void top_rates_since_start(struct top_rates *rates, const struct top_shard *shard, uint64_t uptime);

/* Shares and rates add up; the time is that of the first. */
void top_rates_add(struct top_rates *sum, const struct top_rates *rates);

/* ---------------------------------------------------------------- channels */

struct top_channel {
        char *name;       /* escaped; owned, as raw is */
        struct bytes raw; /* as it is */
        bool shard;       /* a shard channel */
        uint64_t subscribers, messages, bytes;
        uint64_t last_ms;       /* since the last message; UINT64_MAX: there was none */
        double rate, byte_rate; /* of what is published; negative: not known */
};

struct top_channels {
        uint64_t time_us, total;
        size_t n;
        struct top_channel *row; /* by name and kind, as the broker sorts them */
};

/* Return: false: it is no answer to BROKER CHANNELS; then there are none. */
bool top_channels(struct top_channels *channels, const redisReply *reply);
void top_channels_deinit(struct top_channels *channels);

/* Sets the rates of those that were there before. A channel that was not is as old as the look before. */
void top_channels_rates(struct top_channels *after, const struct top_channels *before);

/* ---------------------------------------------------------------- clients */

struct top_client {
        char *name; /* escaped; owned, as raw is; "" */
        struct bytes raw;
        uint64_t id, shard, pid, uid;
        uint64_t output, spooled, lost, idle_ms;
        int64_t unread; /* -1: not known */
        double rate, byte_rate;
};

struct top_clients {
        size_t n;
        struct top_client *row;
};

/* The list "waiting" or "publishers" of an answer to BROKER TOP. Return: false: there is none such. */
bool top_clients(struct top_clients *clients, const redisReply *reply, const char *list);
void top_clients_deinit(struct top_clients *clients);

/* ---------------------------------------------------------------- what is shown of it, in what order */

enum top_sort {
        TOP_BY_RATE,
        TOP_BY_BYTES, /* a second */
        TOP_BY_QUEUED,
        TOP_BY_SUBSCRIBERS,
        TOP_BY_NAME,
        _TOP_SORT_N,
};

void top_channels_sort(struct top_channels *channels, enum top_sort sort);
void top_clients_sort(struct top_clients *clients, enum top_sort sort);

/* Whether the text is in the name, in letters of any case; "" is in all. */
bool top_fits(const char *name, const char *text);
