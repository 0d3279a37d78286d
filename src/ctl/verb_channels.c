/* SPDX-License-Identifier: MIT */
/* brokerctl channels and patterns: who subscribes to what, and how much is published there. A rate comes from
 * two looks, a second apart by the broker's clock. */

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/clients.h"
#include "ctl/json.h"
#include "ctl/reply.h"
#include "ctl/say.h"
#include "ctl/table.h"
#include "ctl/text.h"
#include "ctl/verbs.h"
#include "util/mem.h"
#include "util/suggest.h"

#define NAMES_SHOWN 4 /* subscribers, or patterns, in a cell */

/* One channel, or pattern. */
struct channel {
        const redisReply *map;
        struct bytes name, kind;
        uint64_t subscribers, messages, bytes;
        uint64_t last_ms, count; /* UINT64_MAX: there was none; it is not known */
        double rate, byte_rate;  /* < 0: not known */
};

struct channels {
        redisReply *looks[2]; /* the second is what is shown; NULL: there was one look only */
        struct channel *v;
        size_t n;
        uint64_t total;
        double seconds; /* between the looks */
};

/* ---------------------------------------------------------------- in what order */

struct sort_key {
        const char *name;
        int (*compare)(const void *a, const void *b);
};

static int by_name(const void *a, const void *b)
{
        const struct channel *left = a, *right = b;
        int r = bytes_compare(left->name, right->name);

        return r ? r : bytes_compare(left->kind, right->kind);
}

#define BY(_member, _larger_first)                                                                             \
        static int by_##_member(const void *a, const void *b)                                                  \
        {                                                                                                      \
                const struct channel *left = a, *right = b;                                                    \
                                                                                                               \
                if (left->_member == right->_member)                                                           \
                        return by_name(a, b);                                                                  \
                return (left->_member > right->_member) == (_larger_first) ? -1 : 1;                           \
        }
BY(subscribers, true)
BY(messages, true)
BY(bytes, true)
BY(rate, true)
BY(last_ms, false)
BY(count, true)

static const struct sort_key channel_keys[] = {
        { "name", by_name },   { "subs", by_subscribers }, { "messages", by_messages },
        { "bytes", by_bytes }, { "rate", by_rate },        { "last", by_last_ms },
};
static const struct sort_key pattern_keys[] = {
        { "name", by_name },
        { "subs", by_subscribers },
        { "channels", by_count },
};

/* Return: NULL after saying that there is no such key. */
static const struct sort_key *sort_find(const struct ctl_request *request, const struct sort_key *keys,
                                        size_t n)
{
        const char *names[sizeof(channel_keys) / sizeof(*channel_keys)] = { 0 };
        char all[128] = "";
        size_t best;

        for (size_t i = 0; i < n; i++) {
                if (!strcmp(keys[i].name, request->sort ? request->sort : "name"))
                        return &keys[i];
                names[i] = keys[i].name;
                snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", i ? ", " : "", names[i]);
        }
        best = suggest_best(bytes_str(request->sort), names, n);
        if (best < n)
                say_usage("they cannot be sorted by \"%s\"; did you mean \"%s\"?", request->sort, names[best]);
        else
                say_usage("they cannot be sorted by \"%s\", but by %s", request->sort, all);
        return NULL;
}

/* ---------------------------------------------------------------- looks */

static struct channel channel_of(const redisReply *map)
{
        struct channel c = {
                .map = map, .last_ms = UINT64_MAX, .count = UINT64_MAX, .rate = -1, .byte_rate = -1
        };

        c.name = reply_text(map, "name");
        c.kind = reply_text(map, "kind");
        c.subscribers = reply_count(map, "subscribers");
        c.messages = reply_count(map, "messages");
        c.bytes = reply_count(map, "bytes");
        reply_number(&c.last_ms, map, "last_ms");
        reply_number(&c.count, map, "channels");
        return c;
}

/* Messages since the first look. A count that fell began anew, and one that is new begins with 0. */
static double rate_between(const struct channel *before, uint64_t was, uint64_t is, double seconds)
{
        return (double)(before && was <= is ? is - was : is) / seconds;
}

/* Both looks are in the order of their names. */
static void channels_rates(struct channels *all, const redisReply *first)
{
        struct channel before;
        size_t k = 0;

        if (all->seconds <= 0)
                return;
        for (size_t i = 0; i < all->n; i++) {
                struct channel *c = &all->v[i], *same = NULL;

                for (; k < first->elements; k++) {
                        int order;

                        before = channel_of(first->element[k]);
                        order = by_name(&before, c);
                        same = order ? NULL : &before;
                        if (order >= 0)
                                break;
                }
                c->rate = rate_between(same, same ? same->messages : 0, c->messages, all->seconds);
                c->byte_rate = rate_between(same, same ? same->bytes : 0, c->bytes, all->seconds);
        }
}

/* Return: CTL_OK, else enum ctl_exit. */
static int channels_read(struct channels *all, const struct link *link, const char *what)
{
        const redisReply *first = reply_get(all->looks[0], what), *list = reply_get(all->looks[1], what);
        uint64_t then, now;

        list = all->looks[1] ? list : first;
        if (!reply_is_list(first) || !reply_is_list(list) || !reply_number(&then, all->looks[0], "time_us"))
                return verb_strange(link);
        all->n = list->elements;
        all->v = mem_zalloc((all->n + 1) * sizeof(*all->v));
        for (size_t i = 0; i < all->n; i++)
                all->v[i] = channel_of(list->element[i]);
        all->total = reply_count(all->looks[all->looks[1] ? 1 : 0], "total");
        if (reply_number(&now, all->looks[1], "time_us"))
                all->seconds = (double)(now - then) / 1e6;
        channels_rates(all, first);
        return CTL_OK;
}

static int channels_look(struct link *link, const struct ctl_request *request, const char *what,
                         redisReply **replyp)
{
        char limit[24];
        struct bytes words[5] = { BYTES_LITERAL("BROKER"), bytes_str(what) };
        size_t n = 2;

        if (request->n_operands)
                words[n++] = bytes_str(request->operands[0]);
        snprintf(limit, sizeof(limit), "%" PRIu64, request->limit ? request->limit : 1000);
        words[n++] = BYTES_LITERAL("LIMIT");
        words[n++] = bytes_str(limit);
        return link_ask_on(link, request, words, n, replyp);
}

static void channels_deinit(struct channels *all)
{
        for (unsigned i = 0; i < 2; i++)
                if (all->looks[i])
                        freeReplyObject(all->looks[i]);
        free(all->v);
}

/* ---------------------------------------------------------------- names in a cell */

/* A client is called by its name, else by its program. */
static void put_client(FILE *out, const redisReply *client)
{
        struct bytes name = reply_text(client, "name");
        char text[64];

        if (name.n) {
                text_escape(out, name);
                return;
        }
        text_escape(out, bytes_str(client_program_of(reply_count(client, "pid"), text, sizeof(text))));
        fprintf(out, "[%" PRIu64 "]", reply_count(client, "id"));
}

static void put_pattern(FILE *out, const redisReply *pattern)
{
        text_escape(out, reply_text(pattern, "name"));
        fprintf(out, " (%" PRIu64 ")", reply_count(pattern, "subscribers"));
}

/* The first items of a list, and how many more there are. What is put is escaped already. */
static void put_names(struct table *table, const redisReply *list, uint64_t total,
                      void (*put)(FILE *out, const redisReply *item))
{
        const redisReply *one;
        char *text = NULL;
        size_t size, i;
        FILE *out = open_memstream(&text, &size);

        if (!out)
                mem_fail();
        for (i = 0; i < NAMES_SHOWN && (one = reply_item(list, i)); i++) {
                if (i)
                        fputs(", ", out);
                put(out, one);
        }
        if (total > i)
                fprintf(out, "%s%" PRIu64 " more", i ? " and " : "", total - i);
        if (!total)
                putc('-', out);
        if (fclose(out))
                mem_fail();
        table_put_escaped(table, text);
}

/* ---------------------------------------------------------------- tables */

static const struct table_column channel_columns[] = {
        { "channel", false }, { "kind", false },        { "subs", true },
        { "rate", true },     { "messages", true },     { "bytes", true },
        { "last", true },     { "subscribers", false }, { "patterns", false },
};

static const struct table_column pattern_columns[] = {
        { "pattern", false },
        { "subs", true },
        { "channels", true },
        { "subscribers", false },
};

static void put_count(struct table *table, uint64_t n, void (*format)(char *to, uint64_t n))
{
        char text[TEXT_NUMBER_SIZE];

        format(text, n);
        table_put(table, bytes_str(text));
}

static void put_rate(struct table *table, double rate)
{
        if (rate < 0)
                table_printf(table, "-");
        else if (rate < 100)
                table_printf(table, "%.1f/s", rate);
        else
                table_printf(table, "%.0f/s", rate);
}

static void put_last(struct table *table, uint64_t ms)
{
        char text[TEXT_DURATION_SIZE];

        if (ms == UINT64_MAX) {
                table_printf(table, "-");
        } else if (ms < 60 * 1000) {
                table_printf(table, "%.1f s", (double)ms / 1000);
        } else {
                text_duration(text, ms / 1000);
                table_printf(table, "%s", text);
        }
}

static void channel_put(struct table *table, const struct channel *c)
{
        table_put(table, c->name);
        table_put(table, c->kind);
        table_printf(table, "%" PRIu64, c->subscribers);
        put_rate(table, c->rate);
        put_count(table, c->messages, text_count);
        put_count(table, c->bytes, text_bytes);
        put_last(table, c->last_ms);
        put_names(table, reply_get(c->map, "clients"), c->subscribers, put_client);
        put_names(table, reply_get(c->map, "patterns"), reply_count(c->map, "matching"), put_pattern);
}

static void pattern_put(struct table *table, const struct channel *c)
{
        table_put(table, c->name);
        table_printf(table, "%" PRIu64, c->subscribers);
        if (c->count == UINT64_MAX)
                table_printf(table, "-");
        else
                table_printf(table, "%" PRIu64, c->count);
        put_names(table, reply_get(c->map, "clients"), c->subscribers, put_client);
}

/* ---------------------------------------------------------------- JSON */

static void json_counts(struct json *json, const char *name, const redisReply *list)
{
        const redisReply *one;

        json_list(json, name);
        for (size_t i = 0; (one = reply_item(list, i)); i++)
                json_number(json, NULL, one->integer);
        json_close(json);
}

static void json_clients(struct json *json, const redisReply *list)
{
        const redisReply *one;

        json_list(json, "clients");
        for (size_t i = 0; (one = reply_item(list, i)); i++) {
                json_object(json, NULL);
                json_unsigned(json, "id", reply_count(one, "id"));
                json_unsigned(json, "pid", reply_count(one, "pid"));
                json_unsigned(json, "uid", reply_count(one, "uid"));
                json_bytes(json, "name", reply_text(one, "name"));
                json_close(json);
        }
        json_close(json);
}

static void json_patterns(struct json *json, const redisReply *list)
{
        const redisReply *one;

        json_list(json, "patterns");
        for (size_t i = 0; (one = reply_item(list, i)); i++) {
                json_object(json, NULL);
                json_bytes(json, "name", reply_text(one, "name"));
                json_unsigned(json, "subscribers", reply_count(one, "subscribers"));
                json_close(json);
        }
        json_close(json);
}

static void json_known(struct json *json, const char *name, uint64_t n)
{
        if (n == UINT64_MAX)
                json_null(json, name);
        else
                json_unsigned(json, name, n);
}

static void json_rate(struct json *json, const char *name, double rate)
{
        if (rate < 0)
                json_null(json, name);
        else
                json_seconds(json, name, rate);
}

static void channel_json(struct json *json, const struct channel *c)
{
        json_bytes(json, "kind", c->kind);
        json_unsigned(json, "messages", c->messages);
        json_unsigned(json, "bytes", c->bytes);
        json_rate(json, "messages_per_second", c->rate);
        json_rate(json, "bytes_per_second", c->byte_rate);
        json_known(json, "last_ms", c->last_ms);
        json_unsigned(json, "matching", reply_count(c->map, "matching"));
        json_patterns(json, reply_get(c->map, "patterns"));
}

static void pattern_json(struct json *json, const struct channel *c)
{
        json_known(json, "channels", c->count);
}

/* ---------------------------------------------------------------- the verbs */

/* What differs between the two. */
struct listing {
        const char *what, *schema;
        const struct sort_key *keys;
        size_t n_keys;
        const struct table_column *columns;
        size_t n_columns;
        void (*put)(struct table *table, const struct channel *c);
        void (*json)(struct json *json, const struct channel *c);
        bool rates;
};

#define N(_array) (sizeof(_array) / sizeof(*(_array)))

static const struct listing channels_listing = { "channels",      "brokerctl.channels/1", channel_keys,
                                                 N(channel_keys), channel_columns,        N(channel_columns),
                                                 channel_put,     channel_json,           true };
static const struct listing patterns_listing = { "patterns",      "brokerctl.patterns/1", pattern_keys,
                                                 N(pattern_keys), pattern_columns,        N(pattern_columns),
                                                 pattern_put,     pattern_json,           false };

static void listing_print(const struct listing *l, const struct channels *all)
{
        struct table table;

        table_init(&table, l->columns, l->n_columns);
        for (size_t i = 0; i < all->n; i++)
                l->put(&table, &all->v[i]);
        table_print(&table, stdout);
        table_deinit(&table);
}

static void listing_print_json(const struct listing *l, const struct channels *all)
{
        struct json json;

        json_begin(&json, stdout, l->schema);
        json_unsigned(&json, "total", all->total);
        if (l->rates)
                json_rate(&json, "seconds", all->looks[1] ? all->seconds : -1);
        json_list(&json, l->what);
        for (size_t i = 0; i < all->n; i++) {
                const struct channel *c = &all->v[i];

                json_object(&json, NULL);
                json_bytes(&json, "name", c->name);
                json_unsigned(&json, "subscribers", c->subscribers);
                json_counts(&json, "by_shard", reply_get(c->map, "by_shard"));
                json_clients(&json, reply_get(c->map, "clients"));
                l->json(&json, c);
                json_close(&json);
        }
        json_close(&json);
        json_end(&json);
}

/* Both looks, or one. Return: CTL_OK, else enum ctl_exit. */
static int listing_ask(const struct listing *l, struct link *link, const struct ctl_request *request,
                       struct channels *all)
{
        int r = link_open(link, request);

        if (!r)
                r = channels_look(link, request, l->what, &all->looks[0]);
        if (!r && l->rates && !request->once) {
                poll(NULL, 0, 1000);
                r = channels_look(link, request, l->what, &all->looks[1]);
        }
        return r ? r : channels_read(all, link, l->what);
}

static int listing_run(const struct listing *l, const struct ctl_request *request)
{
        const struct sort_key *key = sort_find(request, l->keys, l->n_keys);
        struct link link = { .fd = -1 };
        struct channels all = { 0 };
        int r;

        if (!key)
                return CTL_USAGE;
        r = listing_ask(l, &link, request, &all);
        if (!r) {
                qsort(all.v, all.n, sizeof(*all.v), key->compare);
                if (request->json)
                        listing_print_json(l, &all);
                else
                        listing_print(l, &all);
                r = say_flush();
                if (all.total > all.n && !request->json)
                        say_note(request, "%" PRIu64 " more %s; --limit shows up to 10000, a pattern others",
                                 all.total - all.n, l->what);
        }
        channels_deinit(&all);
        link_close(&link);
        return r;
}

int verb_channels(const struct ctl_request *request)
{
        return listing_run(&channels_listing, request);
}

int verb_patterns(const struct ctl_request *request)
{
        return listing_run(&patterns_listing, request);
}
