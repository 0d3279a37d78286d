/* SPDX-License-Identifier: MIT */

#include "ctl/top_json.h"

void top_json_rates(struct json *json, const struct top_rates *r)
{
        json_seconds(json, "cpu_share", r->cpu);
        json_seconds(json, "spin_share", r->spin);
        json_seconds(json, "sleep_share", r->park);
        json_seconds(json, "turns_per_second", r->turns);
        json_seconds(json, "sleeps_per_second", r->parks);
        json_seconds(json, "messages_in_per_second", r->messages_in);
        json_seconds(json, "messages_out_per_second", r->messages_out);
        json_seconds(json, "bytes_in_per_second", r->bytes_in);
        json_seconds(json, "bytes_out_per_second", r->bytes_out);
        json_seconds(json, "mesh_sent_per_second", r->mesh_sent);
        json_seconds(json, "mesh_received_per_second", r->mesh_received);
        json_seconds(json, "wakes_sent_per_second", r->wakes_sent);
        json_seconds(json, "wakes_taken_per_second", r->wakes_taken);
        json_seconds(json, "drops_per_second", r->drops);
}

void top_json_clients(struct json *json, const char *name, const struct top_clients *clients)
{
        json_list(json, name);
        for (size_t i = 0; i < clients->n; i++) {
                const struct top_client *c = &clients->row[i];

                json_object(json, NULL);
                json_unsigned(json, "id", c->id);
                json_unsigned(json, "shard", c->shard);
                json_unsigned(json, "pid", c->pid);
                json_unsigned(json, "uid", c->uid);
                json_bytes(json, "name", c->raw);
                json_seconds(json, "messages_per_second", c->rate);
                json_seconds(json, "bytes_per_second", c->byte_rate);
                json_unsigned(json, "output_bytes", c->output);
                if (c->unread < 0)
                        json_null(json, "unread_bytes");
                else
                        json_unsigned(json, "unread_bytes", (uint64_t)c->unread);
                json_unsigned(json, "lost", c->lost);
                json_seconds(json, "idle_seconds", (double)c->idle_ms / 1000);
                json_close(json);
        }
        json_close(json);
}

static void json_rate(struct json *json, const char *name, double rate)
{
        if (rate < 0)
                json_null(json, name);
        else
                json_seconds(json, name, rate);
}

void top_json_channels(struct json *json, const char *name, const struct top_channels *channels, size_t max)
{
        json_list(json, name);
        for (size_t i = 0; i < channels->n && i < max; i++) {
                const struct top_channel *c = &channels->row[i];

                json_object(json, NULL);
                json_bytes(json, "name", c->raw);
                json_string(json, "kind", c->shard ? "shard" : "channel");
                json_unsigned(json, "subscribers", c->subscribers);
                json_rate(json, "messages_per_second", c->rate);
                json_rate(json, "bytes_per_second", c->byte_rate);
                json_unsigned(json, "messages", c->messages);
                json_close(json);
        }
        json_close(json);
}
