/* SPDX-License-Identifier: MIT */

#include "broker/config_view.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/config_option.h"
#include "util/buffer.h"
#include "util/clock.h"
#include "util/mem.h"

/* What is the same in every broker: what it has none of, or does without choice. */
static const struct policy_setting view_fixed[] = {
        { "aclfile", "" },
        { "appendonly", "no" },
        { "bind", "" },
        { "cluster-enabled", "no" },
        { "daemonize", "no" },
        { "databases", "1" },
        { "latency-monitor-threshold", "0" },
        { "logfile", "" },
        { "maxmemory", "0" },
        { "maxmemory-clients", "0" },
        { "maxmemory-policy", "noeviction" },
        { "notify-keyspace-events", "" },
        { "pidfile", "" },
        { "port", "0" },
        { "protected-mode", "no" },
        { "replicaof", "" },
        { "requirepass", "" },
        { "save", "" },
        { "slowlog-log-slower-than", "-1" },
        { "slowlog-max-len", "0" },
        { "tcp-keepalive", "0" },
};

#define VIEW_FIXED_N (sizeof(view_fixed) / sizeof(*view_fixed))

/* Takes the text over; name outlives the view. */
static void view_take(struct config_view *view, const char *name, struct buffer *text)
{
        buffer_put(text, "", 1);
        view->settings = mem_realloc(view->settings, (view->n + 1) * sizeof(*view->settings));
        view->values = mem_realloc(view->values, (view->n + 1) * sizeof(*view->values));
        view->values[view->n] = (char *)text->data;
        view->settings[view->n] = (struct policy_setting){ name, view->values[view->n] };
        view->n++;
}

static void view_text(struct config_view *view, const char *name, const char *value)
{
        struct buffer text = { 0 };

        buffer_put(&text, value, strlen(value));
        view_take(view, name, &text);
}

static void view_number(struct config_view *view, const char *name, uint64_t value)
{
        struct buffer text = { 0 };

        buffer_printf(&text, "%" PRIu64, value);
        view_take(view, name, &text);
}

/* Redis knows one socket: the first. */
static void view_socket(struct config_view *view, const struct config_listener *listener)
{
        struct buffer mode = { 0 };

        view_number(view, "tcp-backlog", listener->backlog);
        view_text(view, "unixsocket", listener->path);
        buffer_printf(&mode, "%o", *listener->path == '@' ? 0 : (unsigned)listener->mode);
        view_take(view, "unixsocketperm", &mode);
}

/* Redis counts seconds, and 0 means none. */
static uint64_t view_seconds(uint64_t ns)
{
        return (ns + NSEC_PER_SEC - 1) / NSEC_PER_SEC;
}

/* Each class of clients that there is has the same limits. */
static void view_output_limit(struct config_view *view, const struct config *config)
{
        uint64_t seconds = config->soft_output_bytes ? view_seconds(config->soft_output_time_ns) : 0;
        struct buffer text = { 0 };

        for (int pubsub = 0; pubsub < 2; pubsub++)
                buffer_printf(&text, "%s %" PRIu64 " %" PRIu64 " %" PRIu64,
                              pubsub ? " slave 0 0 0 pubsub" : "normal", config->max_output_bytes,
                              config->soft_output_bytes, seconds);
        view_take(view, "client-output-buffer-limit", &text);
}

/* Paths of the listeners, with blanks between them. */
static void view_listeners(struct config_view *view, const struct config *config, const char *name)
{
        struct buffer text = { 0 };

        for (unsigned i = 0; i < config->n_listeners; i++)
                buffer_printf(&text, "%s%s", i ? " " : "", config->listeners[i].path);
        view_take(view, name, &text);
}

static void view_option(struct config_view *view, const struct config *config, const struct config_option *o)
{
        struct buffer text = { 0 };

        if (o->type == CONFIG_TYPE_LISTENERS) {
                view_listeners(view, config, o->name);
                return;
        }
        config_option_write(o, config, &text);
        view_take(view, o->name, &text);
}

void config_view_init(struct config_view *view, const struct config *config, const struct plan *plan)
{
        *view = (struct config_view){ 0 };
        for (size_t i = 0; i < VIEW_FIXED_N; i++)
                view_text(view, view_fixed[i].name, view_fixed[i].value);
        view_text(view, "acl-pubsub-default", config->access_default ? "allchannels" : "resetchannels");
        view_output_limit(view, config);
        view_number(view, "client-query-buffer-limit", config->max_query_bytes);
        view_number(view, "maxclients", plan->max_clients);
        view_number(view, "proto-max-bulk-len", config->max_request_bytes);
        view_number(view, "timeout", view_seconds(config->idle_timeout_ns));
        if (config->n_listeners)
                view_socket(view, &config->listeners[0]);
        for (size_t i = 0; i < config_n_options; i++)
                view_option(view, config, &config_options[i]);
}

void config_view_deinit(struct config_view *view)
{
        for (unsigned i = 0; i < view->n; i++)
                free(view->values[i]);
        free(view->values);
        free(view->settings);
        *view = (struct config_view){ 0 };
}
