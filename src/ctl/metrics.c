/* SPDX-License-Identifier: MIT */

#include "ctl/metrics.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "ctl/status.h"

enum metric_type {
        METRIC_COUNTER,
        METRIC_GAUGE,
};

enum metric_scope {
        METRIC_BROKER, /* a figure of the broker */
        METRIC_SUM,    /* of the shards, which add up */
        METRIC_SHARD,  /* of each shard, by a label */
};

struct metric {
        const char *field; /* in BROKER STATUS */
        enum metric_scope scope;
        enum metric_type type;
        const char *name;  /* behind "brokerd_" */
        const char *label; /* NULL: none; rows of one name stand one behind the other, each with its label */
        const char *help;  /* in the first row of a name; without backslash and newline */
};

static const struct metric metrics[] = {
        /* the broker */
        { "memory_bytes", METRIC_BROKER, METRIC_GAUGE, "resident_memory_bytes", NULL,
          "Memory of the process." },
        { "uptime_seconds", METRIC_BROKER, METRIC_GAUGE, "uptime_seconds", NULL,
          "Time since the broker's start in seconds." },
        { "shards", METRIC_BROKER, METRIC_GAUGE, "shards", NULL, "Shards, each a thread that serves clients." },
        { "clients", METRIC_BROKER, METRIC_GAUGE, "clients", NULL, "Clients that are connected." },
        { "max_clients", METRIC_BROKER, METRIC_GAUGE, "max_clients", NULL,
          "Clients that may be connected at a time." },
        { "accepted", METRIC_BROKER, METRIC_COUNTER, "connections_accepted_total", NULL,
          "Connections that were accepted." },
        { "rejected_full", METRIC_BROKER, METRIC_COUNTER, "connections_rejected_total", "limit=\"max_clients\"",
          "Connections that were turned away, by the limit that was reached." },
        { "rejected_user_clients", METRIC_BROKER, METRIC_COUNTER, "connections_rejected_total",
          "limit=\"user_clients\"", NULL },
        { "rejected_user_connects", METRIC_BROKER, METRIC_COUNTER, "connections_rejected_total",
          "limit=\"user_connects\"", NULL },
        { "rejected_draining", METRIC_BROKER, METRIC_COUNTER, "connections_rejected_total",
          "limit=\"draining\"", NULL },
        { "accept_errors", METRIC_BROKER, METRIC_COUNTER, "accept_errors_total", NULL,
          "Connections that could not be accepted, for want of descriptors or memory." },
        { "accept_paused", METRIC_BROKER, METRIC_GAUGE, "accept_paused", NULL,
          "Whether accepting is paused for want of descriptors (1) or goes on (0)." },
        { "draining", METRIC_BROKER, METRIC_GAUGE, "draining", NULL,
          "Whether only the admin socket lets clients in (1) or all do (0)." },
        { "drain_left", METRIC_BROKER, METRIC_GAUGE, "drain_clients_left", NULL,
          "While draining, the clients that are left." },
        { "auth_wrong", METRIC_BROKER, METRIC_COUNTER, "authentication_failures_total", NULL,
          "Wrong names or passwords." },
        { "reloads", METRIC_BROKER, METRIC_COUNTER, "config_reloads_total", "result=\"success\"",
          "Reloads of the configuration, by their result." },
        { "reloads_refused", METRIC_BROKER, METRIC_COUNTER, "config_reloads_total", "result=\"refused\"",
          NULL },
        { "reload_time", METRIC_BROKER, METRIC_GAUGE, "config_last_reload_success_timestamp_seconds", NULL,
          "When a reload last succeeded, in seconds since 1970; 0 for never." },

        /* what it does for its clients */
        { "subscriptions", METRIC_SUM, METRIC_GAUGE, "subscriptions", NULL,
          "Subscriptions to channels, patterns and shard channels." },
        { "commands", METRIC_SUM, METRIC_COUNTER, "commands_total", NULL, "Commands that were executed." },
        { "messages_in", METRIC_SUM, METRIC_COUNTER, "messages_published_total", NULL,
          "Messages that clients published." },
        { "messages_out", METRIC_SUM, METRIC_COUNTER, "messages_delivered_total", NULL,
          "Messages that were queued for subscribers, one for each subscription." },
        { "bytes_in", METRIC_SUM, METRIC_COUNTER, "received_bytes_total", NULL,
          "Bytes that were received from clients." },
        { "bytes_out", METRIC_SUM, METRIC_COUNTER, "sent_bytes_total", NULL, "Bytes that clients took." },
        { "output_bytes", METRIC_SUM, METRIC_GAUGE, "output_queued_bytes", NULL,
          "Bytes that wait for clients to read them." },
        { "taps", METRIC_SUM, METRIC_GAUGE, "taps", NULL, "Clients that watch by BROKER TAP or MONITOR." },
        { "tap_events", METRIC_SUM, METRIC_COUNTER, "tap_events_total", NULL, "What these were shown." },
        { "tap_skipped", METRIC_SUM, METRIC_COUNTER, "tap_skipped_total", NULL, "What these were not shown." },
        { "waiting_clients", METRIC_SUM, METRIC_GAUGE, "waiting_clients", NULL,
          "Clients for which output waits." },
        { "protocol_errors", METRIC_SUM, METRIC_COUNTER, "protocol_errors_total", NULL,
          "Clients that broke the protocol." },
        { "output_limit_closed", METRIC_SUM, METRIC_COUNTER, "clients_disconnected_total",
          "reason=\"output_limit\"",
          "Clients that the broker disconnected, by the limit or time that was over." },
        { "request_limit_closed", METRIC_SUM, METRIC_COUNTER, "clients_disconnected_total",
          "reason=\"request_limit\"", NULL },
        { "query_limit_closed", METRIC_SUM, METRIC_COUNTER, "clients_disconnected_total",
          "reason=\"query_limit\"", NULL },
        { "handshake_timeouts", METRIC_SUM, METRIC_COUNTER, "clients_disconnected_total",
          "reason=\"handshake_timeout\"", NULL },
        { "request_timeouts", METRIC_SUM, METRIC_COUNTER, "clients_disconnected_total",
          "reason=\"request_timeout\"", NULL },
        { "idle_timeouts", METRIC_SUM, METRIC_COUNTER, "clients_disconnected_total", "reason=\"idle_timeout\"",
          NULL },
        { "block_timeouts", METRIC_SUM, METRIC_COUNTER, "clients_disconnected_total",
          "reason=\"block_timeout\"", NULL },
        { "memory_closed", METRIC_SUM, METRIC_COUNTER, "clients_disconnected_total", "reason=\"memory\"",
          NULL },

        /* limits and rules */
        { "message_limit_refused", METRIC_SUM, METRIC_COUNTER, "requests_refused_total", "limit=\"message\"",
          "Requests that were refused, by the limit." },
        { "subscription_limit_refused", METRIC_SUM, METRIC_COUNTER, "requests_refused_total",
          "limit=\"subscriptions\"", NULL },
        { "pattern_limit_refused", METRIC_SUM, METRIC_COUNTER, "requests_refused_total", "limit=\"patterns\"",
          NULL },
        { "channel_limit_refused", METRIC_SUM, METRIC_COUNTER, "requests_refused_total", "limit=\"channel\"",
          NULL },
        { "memory_refused", METRIC_SUM, METRIC_COUNTER, "requests_refused_total", "limit=\"memory\"", NULL },
        { "rate_limit_paused", METRIC_SUM, METRIC_COUNTER, "rate_limit_pauses_total", NULL,
          "Times that a client had to wait because it was over its rate." },
        { "denied_publish", METRIC_SUM, METRIC_COUNTER, "access_denied_total", "action=\"publish\"",
          "What the rules of access denied, by what was tried." },
        { "denied_subscribe", METRIC_SUM, METRIC_COUNTER, "access_denied_total", "action=\"subscribe\"", NULL },
        { "denied_admin", METRIC_SUM, METRIC_COUNTER, "access_denied_total", "action=\"admin\"", NULL },
        { "denied_connections", METRIC_SUM, METRIC_COUNTER, "access_denied_total", "action=\"connect\"", NULL },
        { "subscriptions_ended", METRIC_SUM, METRIC_COUNTER, "subscriptions_ended_total", NULL,
          "Subscriptions that ended because the rules of access no longer allow them." },
        { "messages_withheld", METRIC_SUM, METRIC_COUNTER, "messages_withheld_total", NULL,
          "Messages that a pattern matched and the rules of access withheld." },

        /* limits that several clients share */
        { "quota_subscriptions_asked", METRIC_SUM, METRIC_COUNTER, "quota_leases_asked_total",
          "quota=\"subscriptions\"",
          "Shares of a limit for all clients of a user, or of all users, that a shard asked for." },
        { "quota_patterns_asked", METRIC_SUM, METRIC_COUNTER, "quota_leases_asked_total", "quota=\"patterns\"",
          NULL },
        { "quota_output_asked", METRIC_SUM, METRIC_COUNTER, "quota_leases_asked_total", "quota=\"output\"",
          NULL },
        { "quota_input_asked", METRIC_SUM, METRIC_COUNTER, "quota_leases_asked_total", "quota=\"input\"",
          NULL },
        { "quota_messages_asked", METRIC_SUM, METRIC_COUNTER, "quota_leases_asked_total", "quota=\"messages\"",
          NULL },
        { "quota_bytes_asked", METRIC_SUM, METRIC_COUNTER, "quota_leases_asked_total", "quota=\"bytes\"",
          NULL },
        { "quota_output_all_asked", METRIC_SUM, METRIC_COUNTER, "quota_leases_asked_total",
          "quota=\"output_all\"", NULL },
        { "quota_subscriptions_refused", METRIC_SUM, METRIC_COUNTER, "quota_leases_refused_total",
          "quota=\"subscriptions\"", "Of these shares, those that were refused, since the limit was reached." },
        { "quota_patterns_refused", METRIC_SUM, METRIC_COUNTER, "quota_leases_refused_total",
          "quota=\"patterns\"", NULL },
        { "quota_output_refused", METRIC_SUM, METRIC_COUNTER, "quota_leases_refused_total", "quota=\"output\"",
          NULL },
        { "quota_input_refused", METRIC_SUM, METRIC_COUNTER, "quota_leases_refused_total", "quota=\"input\"",
          NULL },
        { "quota_messages_refused", METRIC_SUM, METRIC_COUNTER, "quota_leases_refused_total",
          "quota=\"messages\"", NULL },
        { "quota_bytes_refused", METRIC_SUM, METRIC_COUNTER, "quota_leases_refused_total", "quota=\"bytes\"",
          NULL },
        { "quota_output_all_refused", METRIC_SUM, METRIC_COUNTER, "quota_leases_refused_total",
          "quota=\"output_all\"", NULL },
        { "quota_subscriptions_paused", METRIC_SUM, METRIC_COUNTER, "quota_pauses_total",
          "quota=\"subscriptions\"", "Times that a client came to wait for a share of such a limit." },
        { "quota_patterns_paused", METRIC_SUM, METRIC_COUNTER, "quota_pauses_total", "quota=\"patterns\"",
          NULL },
        { "quota_output_paused", METRIC_SUM, METRIC_COUNTER, "quota_pauses_total", "quota=\"output\"", NULL },
        { "quota_input_paused", METRIC_SUM, METRIC_COUNTER, "quota_pauses_total", "quota=\"input\"", NULL },
        { "quota_messages_paused", METRIC_SUM, METRIC_COUNTER, "quota_pauses_total", "quota=\"messages\"",
          NULL },
        { "quota_bytes_paused", METRIC_SUM, METRIC_COUNTER, "quota_pauses_total", "quota=\"bytes\"", NULL },
        { "quota_output_all_paused", METRIC_SUM, METRIC_COUNTER, "quota_pauses_total", "quota=\"output_all\"",
          NULL },

        /* slow consumers */
        { "lost_drop_oldest", METRIC_SUM, METRIC_COUNTER, "messages_dropped_total", "policy=\"drop_oldest\"",
          "Messages that slow consumers lost, by the policy that dropped them." },
        { "lost_drop_newest", METRIC_SUM, METRIC_COUNTER, "messages_dropped_total", "policy=\"drop_newest\"",
          NULL },
        { "lost_conflate", METRIC_SUM, METRIC_COUNTER, "messages_dropped_total", "policy=\"conflate\"", NULL },
        { "spooled_clients", METRIC_SUM, METRIC_GAUGE, "spooled_clients", NULL,
          "Slow consumers whose messages wait under a policy that may drop them." },
        { "spooled_bytes", METRIC_SUM, METRIC_GAUGE, "spooled_bytes", NULL,
          "Bytes that wait under a policy that may drop them." },
        { "block_holds", METRIC_SUM, METRIC_GAUGE, "block_holds", NULL,
          "Subscriptions of slow consumers that hold publishers back." },
        { "block_held", METRIC_SUM, METRIC_GAUGE, "block_held_publishers", NULL,
          "Publishers that wait for a slow consumer." },
        { "block_holds_ever", METRIC_SUM, METRIC_COUNTER, "block_holds_begun_total", NULL,
          "Times that a subscription began to hold publishers back." },
        { "block_waits", METRIC_SUM, METRIC_COUNTER, "block_waits_total", NULL,
          "Times that a publisher had to wait for a slow consumer." },
        { "block_messages", METRIC_SUM, METRIC_COUNTER, "block_overrun_messages_total", NULL,
          "Messages that were delivered to a subscription in spite of its hold." },

        /* each shard */
        { "clients", METRIC_SHARD, METRIC_GAUGE, "shard_clients", NULL, "Clients of the shard." },
        { "subscriptions", METRIC_SHARD, METRIC_GAUGE, "shard_subscriptions", NULL,
          "Subscriptions of the shard's clients." },
        { "channels", METRIC_SHARD, METRIC_GAUGE, "shard_channels", NULL,
          "Channels with a subscription on the shard; one may be counted on several." },
        { "patterns", METRIC_SHARD, METRIC_GAUGE, "shard_patterns", NULL,
          "Patterns with a subscription on the shard; one may be counted on several." },
        { "shard_channels", METRIC_SHARD, METRIC_GAUGE, "shard_shard_channels", NULL,
          "Shard channels (SSUBSCRIBE) with a subscription on the shard." },
        { "messages_in", METRIC_SHARD, METRIC_COUNTER, "shard_messages_published_total", NULL,
          "Messages that clients of the shard published." },
        { "messages_out", METRIC_SHARD, METRIC_COUNTER, "shard_messages_delivered_total", NULL,
          "Messages that were queued for subscribers of the shard." },
        { "turns", METRIC_SHARD, METRIC_COUNTER, "shard_turns_total", NULL, "Turns of the shard's loop." },
        { "parks", METRIC_SHARD, METRIC_COUNTER, "shard_parks_total", NULL,
          "Times that the shard went to sleep." },
        { "mesh_sent", METRIC_SHARD, METRIC_COUNTER, "shard_mesh_sent_messages_total", NULL,
          "Messages that the shard sent to others." },
        { "mesh_received", METRIC_SHARD, METRIC_COUNTER, "shard_mesh_received_messages_total", NULL,
          "Messages that the shard received from others." },
        { "mesh_spilled", METRIC_SHARD, METRIC_COUNTER, "shard_mesh_spilled_messages_total", NULL,
          "Messages that found the ring to another shard full and went to the backlog." },
        { "wakes_sent", METRIC_SHARD, METRIC_COUNTER, "shard_wakes_sent_total", NULL,
          "Other shards that the shard had to wake." },
        { "wakes_taken", METRIC_SHARD, METRIC_COUNTER, "shard_wakes_taken_total", NULL,
          "Sleeps of the shard that others ended." },
        { "cpu_ns", METRIC_SHARD, METRIC_COUNTER, "shard_cpu_seconds_total", NULL,
          "CPU time that the shard's thread took." },
        { "spin_ns", METRIC_SHARD, METRIC_COUNTER, "shard_spin_seconds_total", NULL,
          "Time in which the shard looked for work in vain." },
        { "park_ns", METRIC_SHARD, METRIC_COUNTER, "shard_sleep_seconds_total", NULL,
          "Time in which the shard slept." },
        { "ring_used", METRIC_SHARD, METRIC_GAUGE, "shard_ring_slots_used", NULL,
          "Places in use in the fullest ring to another shard." },
        { "ring_slots", METRIC_SHARD, METRIC_GAUGE, "shard_ring_slots", NULL,
          "Places of each ring to another shard." },
        { "ring_high", METRIC_SHARD, METRIC_GAUGE, "shard_ring_slots_high_water", NULL,
          "The most places that were seen in use in a ring to another shard." },
        { "backlog_high", METRIC_SHARD, METRIC_GAUGE, "shard_backlog_high_water_bytes", NULL,
          "The most bytes that were seen in a backlog to another shard." },
        { "backlog_bytes", METRIC_SHARD, METRIC_GAUGE, "shard_backlog_bytes", NULL,
          "Bytes that wait for other shards whose rings are full." },
        { "output_bytes", METRIC_SHARD, METRIC_GAUGE, "shard_output_queued_bytes", NULL,
          "Bytes that wait for clients of the shard to read them." },
};

#define N_METRICS (sizeof(metrics) / sizeof(*metrics))

static void metrics_head(FILE *out, const char *name, enum metric_type type, const char *help)
{
        fprintf(out, "# HELP brokerd_%s %s\n# TYPE brokerd_%s %s\n", name, help, name,
                type == METRIC_COUNTER ? "counter" : "gauge");
}

/* A value of a label, as the format escapes it; bytes that are no printable ASCII become "?". */
static void metrics_quote(FILE *out, const redisReply *text)
{
        putc('"', out);
        for (size_t i = 0; status_is_text(text) && i < text->len; i++) {
                char c = text->str[i];

                if (c == '"' || c == '\\')
                        putc('\\', out);
                putc(c >= 0x20 && c < 0x7f ? c : '?', out);
        }
        putc('"', out);
}

static void metrics_build(FILE *out, const redisReply *broker)
{
        metrics_head(out, "build_info", METRIC_GAUGE, "The broker's version and the reactor that it chose.");
        fputs("brokerd_build_info{version=", out);
        metrics_quote(out, status_get(broker, "version"));
        fputs(",reactor=", out);
        metrics_quote(out, status_get(broker, "reactor"));
        fputs("} 1\n", out);
}

/* What is told in nanoseconds becomes seconds, Prometheus's unit of time. */
static void metrics_value(FILE *out, const struct metric *metric, uint64_t n)
{
        size_t size = strlen(metric->field);

        if (size > 3 && !strcmp(metric->field + size - 3, "_ns"))
                fprintf(out, " %" PRIu64 ".%09" PRIu64 "\n", n / 1000000000, n % 1000000000);
        else
                fprintf(out, " %" PRIu64 "\n", n);
}

static void metrics_sample(FILE *out, const struct metric *metric, uint64_t n)
{
        fprintf(out, "brokerd_%s%s%s%s", metric->name, metric->label ? "{" : "",
                metric->label ? metric->label : "", metric->label ? "}" : "");
        metrics_value(out, metric, n);
}

/* Return: whether at least one shard gives it. */
static bool metrics_sum(uint64_t *np, const redisReply *shards, const char *field)
{
        bool known = false;
        uint64_t one;

        *np = 0;
        for (size_t i = 0; i < shards->elements; i++) {
                if (!status_number(&one, shards->element[i], field))
                        continue;
                known = true;
                *np += one;
        }
        return known;
}

static void metrics_shards(FILE *out, const struct metric *metric, const redisReply *shards)
{
        for (size_t i = 0; i < shards->elements; i++) {
                uint64_t n, id = i;

                if (!status_number(&n, shards->element[i], metric->field))
                        continue;
                status_number(&id, shards->element[i], "id");
                fprintf(out, "brokerd_%s{shard=\"%" PRIu64 "\"}", metric->name, id);
                metrics_value(out, metric, n);
        }
}

/* The name whose HELP and TYPE were written last is *saidp. */
static void metrics_one(FILE *out, const struct metric *metric, const redisReply *status, const char **saidp)
{
        const redisReply *broker = status_get(status, "broker"), *shards = status_get(status, "shards");
        const struct metric *first = metric;
        uint64_t n;
        bool known;

        known = metric->scope == METRIC_BROKER ? status_number(&n, broker, metric->field)
                                               : metrics_sum(&n, shards, metric->field);
        if (!known)
                return;
        if (!*saidp || strcmp(*saidp, metric->name) != 0) {
                while (!first->help)
                        first--;
                metrics_head(out, metric->name, metric->type, first->help);
                *saidp = metric->name;
        }
        if (metric->scope == METRIC_SHARD)
                metrics_shards(out, metric, shards);
        else
                metrics_sample(out, metric, n);
}

void metrics_print(FILE *out, const redisReply *status)
{
        const char *said = NULL;

        metrics_build(out, status_get(status, "broker"));
        for (size_t i = 0; i < N_METRICS; i++)
                metrics_one(out, &metrics[i], status, &said);
}
