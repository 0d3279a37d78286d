/* SPDX-License-Identifier: MIT */

#include "broker/config_policy.h"

#include <stdlib.h>
#include <string.h>

#include "broker/config_access.h"
#include "broker/config_view.h"
#include "util/list.h"
#include "util/mem.h"

/* A policy and what it refers to. */
struct whole {
        struct policy policy;
        struct config_view view;
        struct access *access;
        struct slow_rule *slow;
        struct bytes *patterns; /* of all slow rules */
        uint8_t *bytes;         /* of the patterns */
        char **listeners;       /* of each slow rule; NULL: any */
        struct policy_secret *secrets;
};

static struct policy_limits policy_limits(const struct config *c)
{
        return (struct policy_limits){
                .request_bytes = c->max_request_bytes,
                .message_bytes = c->max_message_bytes,
                .query_bytes = c->max_query_bytes,
                .output_hard = c->max_output_bytes,
                .output_soft = c->soft_output_bytes,
                .output_soft_ns = c->soft_output_time_ns,
                .output_user = c->max_output_per_user,
                .output_all = c->max_output_total,
                .input_user = c->max_input_per_user,
                .subscriptions = c->max_subscriptions,
                .subscriptions_user = c->max_subscriptions_per_user,
                .patterns = c->max_patterns,
                .patterns_user = c->max_patterns_per_user,
                .channels = c->max_channels,
                .messages = c->publish_rate,
                .messages_user = c->publish_rate_per_user,
                .bytes = c->publish_bytes,
                .bytes_user = c->publish_bytes_per_user,
                .handshake_ns = c->handshake_timeout_ns,
                .request_ns = c->request_timeout_ns,
                .idle_ns = c->idle_timeout_ns,
        };
}

/* Room for all patterns at once, and a byte more each, so that none is of no size. */
static void slow_alloc(struct whole *w, const struct config *config)
{
        size_t n_patterns = 0, n_bytes = 0;

        for (unsigned i = 0; i < config->n_slow_consumers; i++)
                for (unsigned j = 0; j < config->slow_consumers[i].n_channels; j++, n_patterns++)
                        n_bytes += config->slow_consumers[i].channels[j].n + 1;
        w->slow = mem_zalloc(config->n_slow_consumers * sizeof(*w->slow));
        w->listeners = mem_zalloc(config->n_slow_consumers * sizeof(*w->listeners));
        if (!n_patterns)
                return;
        w->patterns = mem_zalloc(n_patterns * sizeof(*w->patterns));
        w->bytes = mem_alloc(n_bytes);
}

static char *text_copy(const char *text)
{
        return text ? strcpy(mem_alloc(strlen(text) + 1), text) : NULL;
}

static void slow_fill(struct whole *w, const struct config *config)
{
        struct bytes *pattern = w->patterns;
        uint8_t *byte = w->bytes;

        for (unsigned i = 0; i < config->n_slow_consumers; i++) {
                const struct config_slow *rule = &config->slow_consumers[i];

                w->listeners[i] = text_copy(rule->listener);
                w->slow[i] = (struct slow_rule){
                        .action = (enum slow_action)rule->policy,
                        .listener = w->listeners[i],
                        .channels = rule->n_channels ? pattern : NULL,
                        .n_channels = rule->n_channels,
                        .bytes = rule->bytes,
                        .block_ns = rule->timeout_ns,
                };
                for (unsigned j = 0; j < rule->n_channels; j++) {
                        memcpy(byte, rule->channels[j].p, rule->channels[j].n);
                        *pattern++ = bytes_of(byte, rule->channels[j].n);
                        byte += rule->channels[j].n + 1;
                }
        }
}

/* Return: NULL where everybody may do everything but administer. */
static struct access *policy_access(const struct config *config)
{
        struct config_access_list list;
        struct access *access;

        if (!config->n_access && config->access_default)
                return NULL;
        config_access_list_init(&list, config);
        access = access_new(list.rules, list.n, config->access_default);
        config_access_list_deinit(&list);
        return access;
}

struct policy *config_policy_new(const struct config *config, const struct plan *plan)
{
        struct whole *w = mem_zalloc(sizeof(*w));

        w->policy.limits = policy_limits(config);
        config_view_init(&w->view, config, plan);
        w->access = policy_access(config);
        w->policy.access = w->access;
        w->policy.settings = w->view.settings;
        w->policy.n_settings = w->view.n;
        if (config->n_slow_consumers) {
                slow_alloc(w, config);
                slow_fill(w, config);
                w->policy.slow = w->slow;
                w->policy.n_slow = config->n_slow_consumers;
        }
        return &w->policy;
}

void config_policy_set_secrets(struct policy *policy, const struct secrets *secrets)
{
        struct whole *w = container_of(policy, struct whole, policy);
        const struct secret *list;
        size_t n;

        if (!secrets)
                return;
        list = secrets_list(secrets, &n);
        w->secrets = mem_zalloc(n * sizeof(*w->secrets));
        for (size_t i = 0; i < n; i++)
                w->secrets[i] = (struct policy_secret){ .name = text_copy(list[i].name), .mark = list[i].mark };
        policy->secrets = w->secrets;
        policy->n_secrets = (unsigned)n;
}

bool config_policy_secrets_differ(const struct policy *policy, const struct secrets *secrets)
{
        const struct secret *list = NULL;
        size_t n = 0;

        if (secrets)
                list = secrets_list(secrets, &n);
        if (policy->n_secrets != n)
                return true;
        for (size_t i = 0; i < n; i++)
                if (policy->secrets[i].mark != list[i].mark ||
                    strcmp(policy->secrets[i].name, list[i].name) != 0)
                        return true;
        return false;
}

struct acceptor_limits config_acceptor_limits(const struct config *config, const struct plan *plan)
{
        return (struct acceptor_limits){ .max_clients = plan->max_clients,
                                         .max_user_clients = config->max_clients_per_user,
                                         .user_connects = config->max_connects_per_user };
}

struct policy *config_policy_free(struct policy *policy)
{
        struct whole *w;

        if (!policy)
                return NULL;
        w = container_of(policy, struct whole, policy);
        for (unsigned i = 0; i < policy->n_slow; i++)
                free(w->listeners[i]);
        access_free(w->access);
        for (unsigned i = 0; i < policy->n_secrets; i++)
                free((char *)(uintptr_t)w->secrets[i].name);
        free(w->secrets);
        free(w->listeners);
        free(w->slow);
        free(w->patterns);
        free(w->bytes);
        config_view_deinit(&w->view);
        free(w);
        return NULL;
}
