/* SPDX-License-Identifier: MIT */

#include "ctl/top.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ctl/reply.h"
#include "ctl/text.h"
#include "util/mem.h"

/* ---------------------------------------------------------------- the broker and its shards */

static void top_shard(struct top_shard *shard, const redisReply *map, uint64_t now_us)
{
#define TOP_TAKE(_name) shard->_name = reply_count(map, #_name);
        TOP_FIGURES(TOP_TAKE)
#undef TOP_TAKE
        if (!shard->time_us)
                shard->time_us = now_us;
}

bool top_look(struct top_look *look, const redisReply *status, uint64_t now_us)
{
        const redisReply *broker = reply_get(status, "broker"), *shards = reply_get(status, "shards"), *shard;
        struct bytes version = reply_text(broker, "version");

        if (!reply_is_list(broker) || !reply_is_list(shards))
                return false;
        *look = (struct top_look){ .pid = reply_count(broker, "pid"),
                                   .uptime = reply_count(broker, "uptime_seconds"),
                                   .clients = reply_count(broker, "clients"),
                                   .max_clients = reply_count(broker, "max_clients") };
        snprintf(look->version, sizeof(look->version), "%.*s", (int)version.n,
                 version.n ? (const char *)version.p : "");
        while (look->n_shards < TOP_SHARDS_MAX && (shard = reply_item(shards, look->n_shards)))
                top_shard(&look->shards[look->n_shards++], shard, now_us);
        return true;
}

bool top_look_follows(const struct top_look *after, const struct top_look *before)
{
        if (after->pid != before->pid || after->n_shards != before->n_shards)
                return false;
        for (unsigned i = 0; i < after->n_shards; i++)
                if (after->shards[i].time_us <= before->shards[i].time_us ||
                    after->shards[i].turns < before->shards[i].turns)
                        return false;
        return true;
}

static uint64_t top_drops(const struct top_shard *shard)
{
        return shard->lost_drop_oldest + shard->lost_drop_newest + shard->lost_conflate;
}

/* What clients take with them when they go is not lost for sums, but a counter that falls is not believed. */
static double top_rate(uint64_t before, uint64_t after, double seconds)
{
        return after > before ? (double)(after - before) / seconds : 0;
}

static void top_rates_over(struct top_rates *rates, const struct top_shard *before,
                           const struct top_shard *after, double seconds)
{
        *rates = (struct top_rates){ .seconds = seconds };
        rates->cpu = top_rate(before->cpu_ns, after->cpu_ns, seconds * 1e9);
        rates->spin = top_rate(before->spin_ns, after->spin_ns, seconds * 1e9);
        rates->park = top_rate(before->park_ns, after->park_ns, seconds * 1e9);
        rates->drops = top_rate(top_drops(before), top_drops(after), seconds);
#define TOP_RATE(_name) rates->_name = top_rate(before->_name, after->_name, seconds);
        TOP_RATE(turns)
        TOP_RATE(parks)
        TOP_RATE(wakes_sent)
        TOP_RATE(wakes_taken)
        TOP_RATE(messages_in)
        TOP_RATE(messages_out)
        TOP_RATE(bytes_in)
        TOP_RATE(bytes_out)
        TOP_RATE(mesh_sent)
        TOP_RATE(mesh_received)
#undef TOP_RATE
}

void top_rates(struct top_rates *rates, const struct top_shard *before, const struct top_shard *after)
{
        *rates = (struct top_rates){ 0 };
        if (after->time_us > before->time_us)
                top_rates_over(rates, before, after, (double)(after->time_us - before->time_us) / 1e6);
}

void top_rates_since_start(struct top_rates *rates, const struct top_shard *shard, uint64_t uptime)
{
        struct top_shard start = { 0 };

        top_rates_over(rates, &start, shard, uptime ? (double)uptime : 1);
}

void top_rates_add(struct top_rates *sum, const struct top_rates *rates)
{
        double *to = &sum->cpu;
        const double *from = &rates->cpu;
        size_t n = (sizeof(*sum) - offsetof(struct top_rates, cpu)) / sizeof(double);

        if (!sum->seconds)
                sum->seconds = rates->seconds;
        for (size_t i = 0; i < n; i++)
                to[i] += from[i];
}

/* ---------------------------------------------------------------- channels */

static char *top_escaped(struct bytes name)
{
        char *text = NULL;
        size_t size;
        FILE *out = open_memstream(&text, &size);

        if (out)
                text_escape(out, name);
        if (!out || fclose(out) != 0)
                mem_fail();
        return text;
}

/* Return: an own copy, of a byte at least. */
static struct bytes top_copy(struct bytes b)
{
        uint8_t *p = mem_zalloc(b.n + 1);

        if (b.n)
                memcpy(p, b.p, b.n);
        return bytes_of(p, b.n);
}

static void top_name_free(char *name, struct bytes raw)
{
        union {
                const uint8_t *p;
                void *mine;
        } u = { raw.p };

        free(name);
        free(u.mine);
}

static void top_channel(struct top_channel *channel, const redisReply *map)
{
        *channel = (struct top_channel){ .name = top_escaped(reply_text(map, "name")),
                                         .raw = top_copy(reply_text(map, "name")),
                                         .shard = bytes_is(reply_text(map, "kind"), "shard"),
                                         .subscribers = reply_count(map, "subscribers"),
                                         .messages = reply_count(map, "messages"),
                                         .bytes = reply_count(map, "bytes"),
                                         .rate = -1,
                                         .byte_rate = -1 };
        if (!reply_number(&channel->last_ms, map, "last_ms"))
                channel->last_ms = UINT64_MAX;
}

bool top_channels(struct top_channels *channels, const redisReply *reply)
{
        const redisReply *list = reply_get(reply, "channels");

        *channels = (struct top_channels){ 0 };
        if (!reply_is_list(list))
                return false;
        channels->time_us = reply_count(reply, "time_us");
        channels->total = reply_count(reply, "total");
        channels->row = mem_zalloc((list->elements + 1) * sizeof(*channels->row));
        for (; channels->n < list->elements; channels->n++)
                top_channel(&channels->row[channels->n], list->element[channels->n]);
        return true;
}

void top_channels_deinit(struct top_channels *channels)
{
        for (size_t i = 0; i < channels->n; i++)
                top_name_free(channels->row[i].name, channels->row[i].raw);
        free(channels->row);
        *channels = (struct top_channels){ 0 };
}

static int top_compare_names(const void *a, const void *b)
{
        const struct top_channel *x = a, *y = b;
        int r = strcmp(x->name, y->name);

        return r ? r : x->shard - y->shard;
}

void top_channels_rates(struct top_channels *after, const struct top_channels *before)
{
        double seconds = (double)(after->time_us - before->time_us) / 1e6;
        size_t k = 0;

        if (!before->row || after->time_us <= before->time_us)
                return;
        qsort(after->row, after->n, sizeof(*after->row), top_compare_names);
        qsort(before->row, before->n, sizeof(*before->row), top_compare_names);
        for (size_t i = 0; i < after->n; i++) {
                struct top_channel *to = &after->row[i];
                const struct top_channel none = { 0 }, *from = &none;

                while (k < before->n && top_compare_names(&before->row[k], to) < 0)
                        k++;
                if (k < before->n && !top_compare_names(&before->row[k], to))
                        from = &before->row[k];
                to->rate = top_rate(from->messages, to->messages, seconds);
                to->byte_rate = top_rate(from->bytes, to->bytes, seconds);
        }
}

/* ---------------------------------------------------------------- clients */

static void top_client(struct top_client *client, const redisReply *map)
{
        double seconds = (double)reply_count(map, "interval_us") / 1e6;
        uint64_t unread = 0;
        bool known = reply_number(&unread, map, "unread_bytes");

        *client = (struct top_client){ .name = top_escaped(reply_text(map, "name")),
                                       .raw = top_copy(reply_text(map, "name")),
                                       .id = reply_count(map, "id"),
                                       .shard = reply_count(map, "shard"),
                                       .pid = reply_count(map, "pid"),
                                       .uid = reply_count(map, "uid"),
                                       .output = reply_count(map, "output_bytes"),
                                       .spooled = reply_count(map, "spooled_bytes"),
                                       .lost = reply_count(map, "lost"),
                                       .idle_ms = reply_count(map, "idle_ms"),
                                       .unread = known ? (int64_t)unread : -1 };
        if (seconds > 0) {
                client->rate = (double)reply_count(map, "messages") / seconds;
                client->byte_rate = (double)reply_count(map, "bytes") / seconds;
        }
}

bool top_clients(struct top_clients *clients, const redisReply *reply, const char *name)
{
        const redisReply *list = reply_get(reply, name);

        *clients = (struct top_clients){ 0 };
        if (!reply_is_list(list))
                return false;
        clients->row = mem_zalloc((list->elements + 1) * sizeof(*clients->row));
        for (; clients->n < list->elements; clients->n++)
                top_client(&clients->row[clients->n], list->element[clients->n]);
        return true;
}

void top_clients_deinit(struct top_clients *clients)
{
        for (size_t i = 0; i < clients->n; i++)
                top_name_free(clients->row[i].name, clients->row[i].raw);
        free(clients->row);
        *clients = (struct top_clients){ 0 };
}

/* ---------------------------------------------------------------- order */

/* The larger first. */
static int top_falling(double x, double y)
{
        return (x < y) - (x > y);
}

static int top_channel_order(const void *a, const void *b, void *arg)
{
        const struct top_channel *x = a, *y = b;
        int r = 0;

        switch (*(enum top_sort *)arg) {
        case TOP_BY_RATE:
                r = top_falling(x->rate, y->rate);
                break;
        case TOP_BY_BYTES:
                r = top_falling(x->byte_rate, y->byte_rate);
                break;
        case TOP_BY_SUBSCRIBERS:
                r = top_falling((double)x->subscribers, (double)y->subscribers);
                break;
        default:
                break;
        }
        return r ? r : top_compare_names(a, b);
}

void top_channels_sort(struct top_channels *channels, enum top_sort sort)
{
        if (channels->n)
                qsort_r(channels->row, channels->n, sizeof(*channels->row), top_channel_order, &sort);
}

static int top_client_order(const void *a, const void *b, void *arg)
{
        const struct top_client *x = a, *y = b;
        int r = 0;

        switch (*(enum top_sort *)arg) {
        case TOP_BY_RATE:
                r = top_falling(x->rate, y->rate);
                break;
        case TOP_BY_BYTES:
                r = top_falling(x->byte_rate, y->byte_rate);
                break;
        case TOP_BY_QUEUED:
                r = top_falling((double)x->output, (double)y->output);
                break;
        case TOP_BY_NAME:
                r = strcmp(x->name, y->name);
                break;
        default:
                break;
        }
        return r ? r : (x->id > y->id) - (x->id < y->id);
}

void top_clients_sort(struct top_clients *clients, enum top_sort sort)
{
        if (clients->n)
                qsort_r(clients->row, clients->n, sizeof(*clients->row), top_client_order, &sort);
}

bool top_fits(const char *name, const char *text)
{
        return strcasestr(name, text);
}
