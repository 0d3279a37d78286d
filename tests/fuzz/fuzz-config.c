/* SPDX-License-Identifier: MIT */
/*
 * Any bytes are a configuration or an error: a configuration's dump loads to the same dump, and makes a policy
 * that outlives it; errors are printed, at most so many, closed by the line that counts them, and free of bytes
 * that would disturb a terminal.
 */

#include <stdlib.h>
#include <string.h>

#include "broker/config_access.h"
#include "broker/config_policy.h"
#include "broker/config_text.h"
#include "pubsub/glob.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
        if (!truth)
                abort();
}

static struct config *parse(const void *data, size_t size, char **errorsp, size_t *n_errorsp)
{
        struct config *config = NULL;
        FILE *errors = open_memstream(errorsp, n_errorsp);
        int r = config_parse(&config, "f", data, size, errors);

        fclose(errors);
        require(r == (config ? 0 : CONFIG_E_INVALID));
        return config;
}

static char *dump(const struct config *config, size_t *sizep)
{
        char *text;
        FILE *out = open_memstream(&text, sizep);

        config_dump(config, out);
        fclose(out);
        return text;
}

static void check_errors(const char *errors, size_t n)
{
        static const char end[] = "; configuration not loaded\n";
        struct bytes text = bytes_of(errors, n);
        unsigned lines = 0;
        uint32_t c;

        require(n > sizeof(end) && memcmp(errors + n - sizeof(end) + 1, end, sizeof(end) - 1) == 0);
        while (text.n) {
                require(config_text_next(&text, &c));
                require(config_text_printable(c) || c == '\n' || c == '\t');
                lines += c == '\n';
        }
        require(lines >= 2 && lines <= CONFIG_ERRORS_MAX * 3 + 1);
}

static void check_dump(const struct config *config)
{
        size_t n, m, n_errors;
        char *first = dump(config, &n), *second, *errors;
        struct config *again = parse(first, n, &errors, &n_errors);

        require(again && n_errors == 0);
        second = dump(again, &m);
        require(n == m && memcmp(first, second, n) == 0);
        config_free(again);
        free(errors);
        free(second);
        free(first);
}

static void check_access(const struct config *config)
{
        struct config_access_list list;

        config_access_list_init(&list, config);
        require(list.n == config->n_access);
        for (unsigned i = 0; i < list.n; i++)
                require(list.rules[i].actions && list.rules[i].place &&
                        list.rules[i].deny == !config->access[i].allow);
        config_access_list_deinit(&list);
}

static struct policy *make_policy(const struct config *config)
{
        struct plan plan = { .n_shards = 1, .max_clients = config->max_clients };

        return config_policy_new(config, &plan);
}

static void check_policy(const struct policy *policy)
{
        const struct policy_limits *limits = &policy->limits;

        require(limits->request_bytes && limits->request_bytes <= POLICY_REQUEST_MAX && limits->output_hard);
        require(limits->output_soft < limits->output_hard);
        require(!limits->query_bytes || limits->request_bytes <= limits->query_bytes);
        require(policy->n_settings <= POLICY_SETTINGS_MAX);
        for (unsigned i = 0; i < policy->n_settings; i++)
                require(*policy->settings[i].name && strlen(policy->settings[i].value) < 1 << 20);
        for (unsigned i = 0; i < policy->n_slow; i++) {
                const struct slow_rule *rule = &policy->slow[i];

                require(rule->bytes <= limits->output_hard);
                require((rule->action == SLOW_BLOCK) == (rule->block_ns > 0));
                require(!rule->listener || *rule->listener);
                for (unsigned j = 0; j < rule->n_channels; j++)
                        require(glob_literal_prefix(rule->channels[j]).n <= rule->channels[j].n);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct policy *policy = NULL;
        struct config *config;
        size_t n_errors;
        char *errors;

        config = parse(data, size, &errors, &n_errors);
        if (config) {
                require(n_errors == 0);
                check_dump(config);
                check_access(config);
                policy = make_policy(config);
        } else {
                check_errors(errors, n_errors);
        }
        config_free(config);
        if (policy)
                check_policy(policy);
        config_policy_free(policy);
        free(errors);
        return 0;
}
