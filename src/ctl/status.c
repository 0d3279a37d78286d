/* SPDX-License-Identifier: MIT */

#include "ctl/status.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "ctl/colour.h"
#include "ctl/json.h"
#include "ctl/text.h"

/* ---------------------------------------------------------------- looking up */

static bool status_is_list(const redisReply *reply)
{
        return reply && reply->type == REDIS_REPLY_ARRAY;
}

bool status_is_text(const redisReply *reply)
{
        return reply && (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS);
}

const redisReply *status_get(const redisReply *map, const char *name)
{
        if (!status_is_list(map))
                return NULL;
        for (size_t i = 0; i + 1 < map->elements; i += 2) {
                const redisReply *key = map->element[i];

                if (status_is_text(key) && bytes_equal(bytes_of(key->str, key->len), bytes_str(name)))
                        return map->element[i + 1];
        }
        return NULL;
}

bool status_number(uint64_t *np, const redisReply *map, const char *name)
{
        const redisReply *value = status_get(map, name);

        if (!value || value->type != REDIS_REPLY_INTEGER || value->integer < 0)
                return false;
        *np = (uint64_t)value->integer;
        return true;
}

/* The number of a name, or 0. */
static uint64_t status_count(const redisReply *map, const char *name)
{
        uint64_t n = 0;

        status_number(&n, map, name);
        return n;
}

bool status_valid(const redisReply *status)
{
        return status_is_list(status_get(status, "broker")) && status_is_list(status_get(status, "shards"));
}

/* ---------------------------------------------------------------- the head */

static void status_print_text(FILE *out, const redisReply *map, const char *name)
{
        const redisReply *value = status_get(map, name);

        if (status_is_text(value))
                text_escape(out, bytes_of(value->str, value->len));
        else
                putc('-', out);
}

static void status_print_number(FILE *out, const redisReply *map, const char *name)
{
        uint64_t n;

        if (status_number(&n, map, name))
                fprintf(out, "%" PRIu64, n);
        else
                putc('-', out);
}

static void status_print_uptime(FILE *out, const redisReply *broker, int64_t now)
{
        char duration[TEXT_DURATION_SIZE], date[32];
        uint64_t seconds;
        time_t start;
        struct tm tm;

        if (!status_number(&seconds, broker, "uptime_seconds")) {
                fputs("up -", out);
                return;
        }
        text_duration(duration, seconds);
        fprintf(out, "up %s", duration);
        start = (time_t)(now - (int64_t)seconds);
        if (localtime_r(&start, &tm) && strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &tm) > 0)
                fprintf(out, " since %s", date);
}

static void status_print_head(FILE *out, const redisReply *broker, int64_t now)
{
        fputs("brokerd ", out);
        status_print_text(out, broker, "version");
        fputs(", pid ", out);
        status_print_number(out, broker, "pid");
        fputs(", ", out);
        status_print_uptime(out, broker, now);
        fputs(", reactor ", out);
        status_print_text(out, broker, "reactor");
        fputs("\nclients ", out);
        status_print_number(out, broker, "clients");
        fputs(" of ", out);
        status_print_number(out, broker, "max_clients");
        fputs("; accepted ", out);
        status_print_number(out, broker, "accepted");
        fputs(", rejected ", out);
        status_print_number(out, broker, "rejected_full");
        fputs(", accept errors ", out);
        status_print_number(out, broker, "accept_errors");
        fputs("\n\n", out);
}

/* ---------------------------------------------------------------- the table */

enum status_total {
        TOTAL_NONE,
        TOTAL_SUM,
        TOTAL_MAX,
};

struct status_column {
        const char *group; /* of this column and the next ones without one; NULL: as before */
        const char *head;
        const char *name; /* of the value */
        unsigned width;
        enum status_total total;
        void (*format)(char *to, uint64_t n);
};

/*
 * With the shard's number 95 columns. One channel may be subscribed on several shards, so the numbers of
 * channels and patterns do not add up.
 */
static const struct status_column columns[] = {
        { "", "cpu", "cpu", 3, TOTAL_NONE, text_count },
        { NULL, "clients", "clients", 7, TOTAL_SUM, text_count },
        { NULL, "subs", "subscriptions", 5, TOTAL_SUM, text_count },
        { NULL, "chans", "channels", 5, TOTAL_NONE, text_count },
        { NULL, "pats", "patterns", 5, TOTAL_NONE, text_count },
        { "messages", "in", "messages_in", 5, TOTAL_SUM, text_count },
        { NULL, "out", "messages_out", 5, TOTAL_SUM, text_count },
        { "mesh", "sent", "mesh_sent", 5, TOTAL_SUM, text_count },
        { NULL, "recv", "mesh_received", 5, TOTAL_SUM, text_count },
        { NULL, "spill", "mesh_spilled", 5, TOTAL_SUM, text_count },
        { NULL, "wakes", "wakes_sent", 5, TOTAL_SUM, text_count },
        { NULL, "parks", "parks", 5, TOTAL_SUM, text_count },
        { "high-water", "ring", "ring_high", 5, TOTAL_MAX, text_count },
        { NULL, "back", "backlog_high", 5, TOTAL_MAX, text_bytes },
        { "now", "waits", "output_bytes", 5, TOTAL_SUM, text_bytes },
};

#define N_COLUMNS (sizeof(columns) / sizeof(columns[0]))

/* The group's name over its columns, drawn out to their width. */
static void status_print_group(FILE *out, size_t first)
{
        const char *name = columns[first].group;
        unsigned width = columns[first].width;

        for (size_t i = first + 1; i < N_COLUMNS && !columns[i].group; i++)
                width += 1 + columns[i].width;
        fprintf(out, " %s", name);
        for (unsigned i = (unsigned)strlen(name); i < width; i++)
                putc(*name ? '-' : ' ', out);
}

static void status_print_cell(FILE *out, const struct status_column *column, bool known, uint64_t n)
{
        char cell[TEXT_NUMBER_SIZE] = "-";

        if (known)
                column->format(cell, n);
        fprintf(out, " %*s", (int)column->width, cell);
}

/* The id that the shard gives, else its place. */
static uint64_t status_shard_id(const redisReply *shard, size_t place)
{
        uint64_t id = place;

        status_number(&id, shard, "id");
        return id;
}

static void status_print_total(FILE *out, const redisReply *shards, const struct status_column *column)
{
        uint64_t total = 0, n;
        bool known = false;

        for (size_t i = 0; i < shards->elements; i++) {
                if (!status_number(&n, shards->element[i], column->name))
                        continue;
                known = column->total != TOTAL_NONE;
                total = column->total == TOTAL_SUM ? total + n : n > total ? n : total;
        }
        status_print_cell(out, column, known, total);
}

static void status_print_table(FILE *out, const redisReply *shards)
{
        fputs("     ", out);
        for (size_t c = 0; c < N_COLUMNS; c++)
                if (columns[c].group)
                        status_print_group(out, c);
        fputs("\nshard", out);
        for (size_t c = 0; c < N_COLUMNS; c++)
                fprintf(out, " %*s", (int)columns[c].width, columns[c].head);
        putc('\n', out);
        for (size_t i = 0; i < shards->elements; i++) {
                fprintf(out, "%5" PRIu64, status_shard_id(shards->element[i], i));
                for (size_t c = 0; c < N_COLUMNS; c++) {
                        uint64_t n = 0;
                        bool known = status_number(&n, shards->element[i], columns[c].name);

                        status_print_cell(out, &columns[c], known, n);
                }
                putc('\n', out);
        }
        fputs("total", out);
        for (size_t c = 0; c < N_COLUMNS; c++)
                status_print_total(out, shards, &columns[c]);
        putc('\n', out);
}

/* ---------------------------------------------------------------- warnings */

#define STATUS_FULL_PERCENT 90 /* of max_clients */

/* A line that begins with "warning: ", the only word that is coloured. */
static void __attribute__((format(printf, 3, 4))) status_warn(FILE *out, bool colours, const char *format, ...)
{
        va_list ap;

        colour_put(out, colours, COLOUR_WARNING, "warning:");
        putc(' ', out);
        va_start(ap, format);
        vfprintf(out, format, ap);
        va_end(ap);
        putc('\n', out);
}

static void status_warn_broker(FILE *out, bool colours, const redisReply *broker)
{
        uint64_t clients = status_count(broker, "clients"), max = status_count(broker, "max_clients"), n;

        if (status_count(broker, "draining"))
                status_warn(out, colours, "draining: no new clients are let in, %" PRIu64 " are left",
                            status_count(broker, "drain_left"));
        if (status_count(broker, "accept_paused"))
                status_warn(out, colours,
                            "accepting is paused, the broker is out of descriptors: raise its limit, or lower "
                            "max_clients");
        if (max > 0 && clients >= max / 100 * STATUS_FULL_PERCENT + max % 100 * STATUS_FULL_PERCENT / 100)
                status_warn(out, colours, "%" PRIu64 " of %" PRIu64 " clients: max_clients is %s", clients, max,
                            clients >= max ? "reached" : "near");
        n = status_count(broker, "rejected_full");
        if (n > 0)
                status_warn(out, colours,
                            "%" PRIu64 " connections were turned away because max_clients was reached", n);
        n = status_count(broker, "accept_errors");
        if (n > 0)
                status_warn(out, colours, "%" PRIu64 " connections could not be accepted: see the broker's log",
                            n);
}

static uint64_t status_sum(const redisReply *shards, const char *name)
{
        uint64_t sum = 0;

        for (size_t i = 0; i < shards->elements; i++)
                sum += status_count(shards->element[i], name);
        return sum;
}

static void status_warn_shards(FILE *out, bool colours, const redisReply *shards)
{
        char size[TEXT_NUMBER_SIZE];
        uint64_t n = status_sum(shards, "output_limit_closed");

        if (n > 0)
                status_warn(out, colours,
                            "%" PRIu64
                            " clients were disconnected, they read too slowly and their waiting output was too "
                            "large",
                            n);
        n = status_sum(shards, "protocol_errors");
        if (n > 0)
                status_warn(out, colours, "%" PRIu64 " protocol errors by clients", n);
        n = status_sum(shards, "backlog_bytes");
        if (n > 0) {
                text_bytes(size, n);
                status_warn(out, colours, "messages of %s bytes wait for shards whose rings are full", size);
        }
}

/* What is lost or refused, by the limits and rules. */
static void status_warn_limits(FILE *out, bool colours, const redisReply *shards)
{
        static const struct {
                const char *text, *names[7];
        } rows[] = {
                { "messages were dropped for slow subscribers",
                  { "lost_drop_oldest", "lost_drop_newest", "lost_conflate" } },
                { "clients were disconnected by a time-out or a limit of what they send",
                  { "request_limit_closed", "query_limit_closed", "handshake_timeouts", "request_timeouts",
                    "idle_timeouts", "block_timeouts" } },
                { "requests were refused by a limit",
                  { "message_limit_refused", "subscription_limit_refused", "pattern_limit_refused",
                    "channel_limit_refused" } },
                { "requests were denied by the rules of access",
                  { "denied_publish", "denied_subscribe", "denied_admin", "denied_connections" } },
                { "requests or clients were turned away since memory was short",
                  { "memory_refused", "memory_closed" } },
        };

        for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
                uint64_t n = 0;

                for (size_t k = 0; rows[i].names[k]; k++)
                        n += status_sum(shards, rows[i].names[k]);
                if (n > 0)
                        status_warn(out, colours, "%" PRIu64 " %s", n, rows[i].text);
        }
}

/* ---------------------------------------------------------------- the rest in words */

/* The largest: every shard knows all topics. */
static uint64_t status_most(const redisReply *shards, const char *name)
{
        uint64_t most = 0;

        for (size_t i = 0; i < shards->elements; i++) {
                uint64_t n = status_count(shards->element[i], name);

                most = n > most ? n : most;
        }
        return most;
}

static void status_print_average(FILE *out, const redisReply *broker, const redisReply *shards,
                                 const char *name)
{
        char text[TEXT_NUMBER_SIZE];
        uint64_t uptime = status_count(broker, "uptime_seconds");

        text_count(text, status_sum(shards, name) / (uptime ? uptime : 1));
        fprintf(out, "%s/s", text);
}

static void status_print_rest(FILE *out, const redisReply *broker, const redisReply *shards)
{
        char memory[TEXT_NUMBER_SIZE], waits[TEXT_NUMBER_SIZE];

        fprintf(out, "\n%" PRIu64 " channels, %" PRIu64 " patterns and %" PRIu64 " shard channels; ",
                status_most(shards, "channels"), status_most(shards, "patterns"),
                status_most(shards, "shard_channels"));
        fputs("on average in ", out);
        status_print_average(out, broker, shards, "messages_in");
        fputs(", out ", out);
        status_print_average(out, broker, shards, "messages_out");
        text_bytes(memory, status_count(broker, "memory_bytes"));
        text_bytes(waits, status_sum(shards, "output_bytes"));
        fprintf(out, "\nmemory %s, of it for clients to take %s\n", memory, waits);
        if (!status_is_text(status_get(broker, "reactor_reason")))
                return;
        fputs("reactor ", out);
        status_print_text(out, broker, "reactor");
        fputs(": ", out);
        status_print_text(out, broker, "reactor_reason");
        putc('\n', out);
}

void status_print(FILE *out, const redisReply *status, int64_t now, bool colours)
{
        const redisReply *broker = status_get(status, "broker"), *shards = status_get(status, "shards");

        status_print_head(out, broker, now);
        status_print_table(out, shards);
        status_print_rest(out, broker, shards);
        status_warn_broker(out, colours, broker);
        status_warn_shards(out, colours, shards);
        status_warn_limits(out, colours, shards);
}

/* ---------------------------------------------------------------- names and values */

/* Values that are lists themselves are passed over. */
static void status_print_map(FILE *out, const char *prefix, const redisReply *map)
{
        if (!status_is_list(map))
                return;
        for (size_t i = 0; i + 1 < map->elements; i += 2) {
                const redisReply *key = map->element[i], *value = map->element[i + 1];

                if (!status_is_text(key) || status_is_list(value))
                        continue;
                fprintf(out, "%s.", prefix);
                text_escape(out, bytes_of(key->str, key->len));
                putc(' ', out);
                if (status_is_text(value))
                        text_escape(out, bytes_of(value->str, value->len));
                else if (value->type == REDIS_REPLY_INTEGER)
                        fprintf(out, "%lld", value->integer);
                else
                        putc('-', out);
                putc('\n', out);
        }
}

void status_print_raw(FILE *out, const redisReply *status)
{
        const redisReply *shards = status_get(status, "shards");

        status_print_map(out, "broker", status_get(status, "broker"));
        for (size_t i = 0; i < shards->elements; i++) {
                char prefix[32];

                snprintf(prefix, sizeof(prefix), "shard.%" PRIu64, status_shard_id(shards->element[i], i));
                status_print_map(out, prefix, shards->element[i]);
        }
}

/* ---------------------------------------------------------------- JSON */

/* Values that are lists themselves are passed over, as are names that could not be told from others. */
static void status_json_map(struct json *json, const char *name, const redisReply *map)
{
        json_object(json, name);
        for (size_t i = 0; status_is_list(map) && i + 1 < map->elements; i += 2) {
                const redisReply *key = map->element[i], *value = map->element[i + 1];

                if (!status_is_text(key) || strlen(key->str) != key->len)
                        continue;
                if (status_is_text(value))
                        json_bytes(json, key->str, bytes_of(value->str, value->len));
                else if (value->type == REDIS_REPLY_INTEGER)
                        json_number(json, key->str, value->integer);
                else if (value->type == REDIS_REPLY_NIL)
                        json_null(json, key->str);
        }
        json_close(json);
}

void status_print_json(FILE *out, const redisReply *status)
{
        const redisReply *shards = status_get(status, "shards");
        struct json json;

        json_begin(&json, out, "brokerctl.status/1");
        status_json_map(&json, "broker", status_get(status, "broker"));
        json_list(&json, "shards");
        for (size_t i = 0; i < shards->elements; i++)
                status_json_map(&json, NULL, shards->element[i]);
        json_close(&json);
        json_end(&json);
}
