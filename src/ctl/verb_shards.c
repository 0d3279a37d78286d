/* SPDX-License-Identifier: MIT */
/* Verbs about shards: what each of them does, and how long what takes. */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/json.h"
#include "ctl/reply.h"
#include "ctl/say.h"
#include "ctl/table.h"
#include "ctl/text.h"
#include "ctl/top.h"
#include "ctl/top_json.h"
#include "ctl/verbs.h"
#include "util/clock.h"

/* ---------------------------------------------------------------- questions */

static int shards_look(struct link *link, const struct ctl_request *request, struct top_look *look)
{
        struct bytes words[] = { BYTES_LITERAL("BROKER"), BYTES_LITERAL("STATUS") };
        redisReply *reply;
        int r = link_ask_on(link, request, words, 2, &reply);

        if (r)
                return r;
        r = top_look(look, reply, clock_now() / NSEC_PER_USEC) ? CTL_OK : verb_strange(link);
        freeReplyObject(reply);
        return r;
}

/* The broker may end while nothing is asked of it. */
static int shards_sleep(struct link *link, const struct ctl_request *request, uint64_t ns)
{
        uint64_t deadline = clock_now() + ns;
        int r = 0;

        while (!r)
                r = link_pump(link, deadline, -1);
        return r == LINK_E_TIMEOUT ? CTL_OK : link_explain(link, request, r);
}

/* ---------------------------------------------------------------- shards */

static const struct table_column columns[] = {
        { "shard", true },   { "clients", true }, { "cpu%", true },    { "spin%", true },  { "sleep%", true },
        { "turns/s", true }, { "in/s", true },    { "out/s", true },   { "sent/s", true }, { "taken/s", true },
        { "ring", true },    { "high", true },    { "backlog", true }, { "queued", true },
};

static void shards_put_count(struct table *table, double n)
{
        char text[TEXT_NUMBER_SIZE];

        text_count(text, (uint64_t)(n + 0.5));
        table_put(table, bytes_str(text));
}

static void shards_put_bytes(struct table *table, uint64_t n)
{
        char text[TEXT_NUMBER_SIZE];

        text_bytes(text, n);
        table_put(table, bytes_str(text));
}

static void shards_put(struct table *table, const struct top_shard *shard, const struct top_rates *r)
{
        shards_put_count(table, (double)shard->clients);
        table_printf(table, "%.1f", 100 * r->cpu);
        table_printf(table, "%.1f", 100 * r->spin);
        table_printf(table, "%.1f", 100 * r->park);
        shards_put_count(table, r->turns);
        shards_put_count(table, r->messages_in);
        shards_put_count(table, r->messages_out);
        shards_put_count(table, r->wakes_sent);
        shards_put_count(table, r->wakes_taken);
        table_printf(table, "%" PRIu64 "/%" PRIu64, shard->ring_used, shard->ring_slots);
        shards_put_count(table, (double)shard->ring_high);
        shards_put_bytes(table, shard->backlog_bytes);
        shards_put_bytes(table, shard->output_bytes);
}

/* Of figures that are now; those of rings are the largest. */
static void shards_add(struct top_shard *sum, const struct top_shard *shard)
{
        sum->clients += shard->clients;
        sum->backlog_bytes += shard->backlog_bytes;
        sum->output_bytes += shard->output_bytes;
        sum->ring_slots = shard->ring_slots;
        if (shard->ring_used > sum->ring_used)
                sum->ring_used = shard->ring_used;
        if (shard->ring_high > sum->ring_high)
                sum->ring_high = shard->ring_high;
}

static void shards_print(const struct top_look *look, const struct top_rates *rates)
{
        struct top_shard all = { 0 };
        struct top_rates sum = { 0 };
        struct table table;

        table_init(&table, columns, sizeof(columns) / sizeof(*columns));
        for (unsigned i = 0; i < look->n_shards; i++) {
                table_printf(&table, "%" PRIu64, look->shards[i].id);
                shards_put(&table, &look->shards[i], &rates[i]);
                shards_add(&all, &look->shards[i]);
                top_rates_add(&sum, &rates[i]);
        }
        table_put(&table, BYTES_LITERAL("total"));
        shards_put(&table, &all, &sum);
        table_print(&table, stdout);
        table_deinit(&table);
}

static void shards_json(const struct top_look *look, const struct top_rates *rates)
{
        struct json json;

        json_begin(&json, stdout, "brokerctl.shards/1");
        json_seconds(&json, "interval_seconds", look->n_shards ? rates[0].seconds : 0);
        json_list(&json, "shards");
        for (unsigned i = 0; i < look->n_shards; i++) {
                const struct top_shard *shard = &look->shards[i];

                json_object(&json, NULL);
                json_unsigned(&json, "id", shard->id);
                json_unsigned(&json, "clients", shard->clients);
                json_unsigned(&json, "ring_used", shard->ring_used);
                json_unsigned(&json, "ring_slots", shard->ring_slots);
                json_unsigned(&json, "ring_high", shard->ring_high);
                json_unsigned(&json, "backlog_bytes", shard->backlog_bytes);
                json_unsigned(&json, "backlog_high_bytes", shard->backlog_high);
                json_unsigned(&json, "output_bytes", shard->output_bytes);
                top_json_rates(&json, &rates[i]);
                json_close(&json);
        }
        json_close(&json);
        json_end(&json);
}

/* Two looks, or one. Return: CTL_OK, else enum ctl_exit. */
static int shards_measure(struct link *link, const struct ctl_request *request, struct top_look *look,
                          struct top_rates *rates)
{
        struct top_look before;
        int r = shards_look(link, request, look);

        for (unsigned i = 0; !r && request->once && i < look->n_shards; i++)
                top_rates_since_start(&rates[i], &look->shards[i], look->uptime);
        if (r || request->once)
                return r;
        before = *look;
        r = shards_sleep(link, request, request->interval ? request->interval : NSEC_PER_SEC);
        if (!r)
                r = shards_look(link, request, look);
        for (unsigned i = 0; !r && i < look->n_shards; i++)
                top_rates(&rates[i], &before.shards[i], &look->shards[i]);
        return r;
}

int verb_shards(const struct ctl_request *request)
{
        struct top_rates rates[TOP_SHARDS_MAX];
        struct top_look look;
        struct link link;
        int r = link_open(&link, request);

        if (!r)
                r = shards_measure(&link, request, &look, rates);
        if (!r) {
                if (request->json)
                        shards_json(&look, rates);
                else
                        shards_print(&look, rates);
                r = say_flush();
        }
        link_close(&link);
        return r;
}

/* ---------------------------------------------------------------- latency */

static const struct table_column latency_columns[] = {
        { "shard", true }, { "what", false }, { "turns", true }, { "p50", true },
        { "p90", true },   { "p99", true },   { "p99.9", true }, { "max", true },
};

static const char *const latency_kinds[] = { "turn", "receive_to_write" };
static const char *const latency_words[] = { "turn", "receive-to-write" };
static const char *const latency_names[] = { "p50_ns", "p90_ns", "p99_ns", "p999_ns", "max_ns" };

#define N_LATENCY_NAMES (sizeof(latency_names) / sizeof(*latency_names))

/* "1.23 ms", three digits. */
static void latency_text(char *to, size_t size, uint64_t ns)
{
        static const char *const units[] = { "ns", "us", "ms", "s" };
        double n = (double)ns;
        size_t i = 0;

        for (; n >= 1000 && i < 3; i++)
                n /= 1000;
        snprintf(to, size, !i || n >= 100 ? "%.0f %s" : n >= 10 ? "%.1f %s" : "%.2f %s", n, units[i]);
}

static void latency_put(struct table *table, const char *shard, const redisReply *of)
{
        for (int k = 0; k < 2; k++) {
                const redisReply *map = reply_get(of, latency_kinds[k]);
                uint64_t count = reply_count(map, "count"), ns;

                table_printf(table, "%s", shard);
                table_printf(table, "%s", latency_words[k]);
                shards_put_count(table, (double)count);
                for (size_t i = 0; i < N_LATENCY_NAMES; i++) {
                        char text[32] = "-";

                        if (count && reply_number(&ns, map, latency_names[i]))
                                latency_text(text, sizeof(text), ns);
                        table_printf(table, "%s", text);
                }
        }
}

static void latency_print_turns(const redisReply *latency)
{
        const redisReply *shards = reply_get(latency, "shards"), *all = reply_get(latency, "all"), *shard;
        char since[TEXT_DURATION_SIZE];
        struct table table;

        table_init(&table, latency_columns, sizeof(latency_columns) / sizeof(*latency_columns));
        for (size_t i = 0; (shard = reply_item(shards, i)); i++) {
                char id[24];

                snprintf(id, sizeof(id), "%" PRIu64, reply_count(shard, "id"));
                latency_put(&table, id, shard);
        }
        latency_put(&table, "all", all);
        table_print(&table, stdout);
        table_deinit(&table);
        text_duration(since, reply_count(all, "since_ms") / 1000);
        printf("\ncounted for %s\n", since);
}

static const struct table_column wait_columns[] = {
        { "client", true }, { "pid", true },   { "queued", true }, { "kernel", true },
        { "idle", true },   { "name", false }, { "whose", false },
};

/* Who is waited for. A reader that takes what there is leaves nothing in its socket. */
static const char *latency_fault(const struct top_client *c)
{
        if (c->unread > 0)
                return "the reader's: it has not read what its socket holds";
        return c->unread == 0 ? "the broker's: its socket is empty" : "not known";
}

static void latency_print_clients(const struct top_clients *clients)
{
        struct table table;

        table_init(&table, wait_columns, sizeof(wait_columns) / sizeof(*wait_columns));
        for (size_t i = 0; i < clients->n; i++) {
                const struct top_client *c = &clients->row[i];

                table_printf(&table, "%" PRIu64, c->id);
                table_printf(&table, "%" PRIu64, c->pid);
                shards_put_bytes(&table, c->output);
                if (c->unread < 0)
                        table_put(&table, BYTES_LITERAL("-"));
                else
                        shards_put_bytes(&table, (uint64_t)c->unread);
                table_printf(&table, "%.1f s", (double)c->idle_ms / 1000);
                table_put(&table, c->raw);
                table_printf(&table, "%s", latency_fault(c));
        }
        table_print(&table, stdout);
        table_deinit(&table);
}

static void latency_print_waits(const struct top_look *look, const struct top_clients *clients)
{
        uint64_t backlog = 0, output = 0, n = 0;
        char text[TEXT_NUMBER_SIZE];

        for (unsigned i = 0; i < look->n_shards; i++) {
                backlog += look->shards[i].backlog_bytes;
                output += look->shards[i].output_bytes;
                n += look->shards[i].waiting_clients;
        }
        text_bytes(text, backlog);
        printf("waiting between shards: %s bytes%s\n", text,
               backlog ? ": a shard does not keep up; see brokerctl shards" : "");
        text_bytes(text, output);
        printf("waiting for clients: %s bytes, for %" PRIu64 " client%s\n", text, n, n == 1 ? "" : "s");
        if (!clients->n)
                return;
        putchar('\n');
        latency_print_clients(clients);
}

static void latency_json_kind(struct json *json, const char *name, const redisReply *map)
{
        json_object(json, name);
        json_unsigned(json, "count", reply_count(map, "count"));
        json_seconds(json, "sum_seconds", (double)reply_count(map, "sum_ns") / 1e9);
        for (size_t i = 0; i < N_LATENCY_NAMES; i++)
                json_unsigned(json, latency_names[i], reply_count(map, latency_names[i]));
        json_close(json);
}

static void latency_json_shard(struct json *json, const redisReply *of)
{
        json_seconds(json, "since_seconds", (double)reply_count(of, "since_ms") / 1000);
        for (int k = 0; k < 2; k++)
                latency_json_kind(json, latency_kinds[k], reply_get(of, latency_kinds[k]));
}

static void latency_json(const redisReply *latency, const struct top_look *look,
                         const struct top_clients *clients)
{
        const redisReply *shards = reply_get(latency, "shards"), *shard;
        uint64_t backlog = 0;
        struct json json;

        json_begin(&json, stdout, "brokerctl.latency/1");
        json_list(&json, "shards");
        for (size_t i = 0; (shard = reply_item(shards, i)); i++) {
                json_object(&json, NULL);
                json_unsigned(&json, "id", reply_count(shard, "id"));
                latency_json_shard(&json, shard);
                json_close(&json);
        }
        json_close(&json);
        json_object(&json, "all");
        latency_json_shard(&json, reply_get(latency, "all"));
        json_close(&json);
        for (unsigned i = 0; i < look->n_shards; i++)
                backlog += look->shards[i].backlog_bytes;
        json_unsigned(&json, "backlog_bytes", backlog);
        top_json_clients(&json, "waiting", clients);
        json_end(&json);
}

static int latency_show(const struct ctl_request *request, const struct link *link, const redisReply *latency,
                        const struct top_look *look, const redisReply *top)
{
        struct top_clients clients;
        int r = CTL_OK;

        if (!reply_is_list(reply_get(latency, "all")) || !top_clients(&clients, top, "waiting"))
                return verb_strange(link);
        if (request->json) {
                latency_json(latency, look, &clients);
        } else {
                latency_print_turns(latency);
                latency_print_waits(look, &clients);
        }
        r = say_flush();
        top_clients_deinit(&clients);
        return r;
}

int verb_latency(const struct ctl_request *request)
{
        struct bytes ask[] = { BYTES_LITERAL("BROKER"), BYTES_LITERAL("LATENCY"), BYTES_LITERAL("RESET") };
        struct bytes whom[] = { BYTES_LITERAL("BROKER"), BYTES_LITERAL("TOP") };
        redisReply *latency = NULL, *top = NULL;
        struct top_look look;
        struct link link;
        int r = link_open(&link, request);

        if (!r)
                r = link_ask_on(&link, request, ask, request->reset ? 3 : 2, &latency);
        if (!r)
                r = link_ask_on(&link, request, whom, 2, &top);
        if (!r)
                r = shards_look(&link, request, &look);
        if (!r)
                r = latency_show(request, &link, latency, &look, top);
        if (latency)
                freeReplyObject(latency);
        if (top)
                freeReplyObject(top);
        link_close(&link);
        return r;
}
