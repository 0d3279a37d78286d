/* SPDX-License-Identifier: MIT */
/* The configuration as CONFIG GET shows it. */

#include "broker/config_view.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/config_option.h"
#include "support/suite.h"

static struct config *config;
static struct config_view view;

static void start(const char *yaml)
{
        struct plan plan = { .n_shards = 2, .max_clients = 4321 };

        ck_assert_int_eq(config_parse(&config, "test", yaml, strlen(yaml), stderr), 0);
        config_view_init(&view, config, &plan);
}

static void stop(void)
{
        config_view_deinit(&view);
        ck_assert_uint_eq(view.n, 0);
        config = config_free(config);
}

static void check(const char *name, const char *value)
{
        for (unsigned i = 0; i < view.n; i++) {
                if (strcmp(view.settings[i].name, name))
                        continue;
                ck_assert_str_eq(view.settings[i].value, value);
                return;
        }
        ck_abort_msg("no setting %s", name);
}

START_TEST(settings_have_the_names_of_redis)
{
        start("listeners:\n  - path: /run/a.sock\n    mode: 0664\n    backlog: 77\n  - path: /run/b.sock\n"
              "max_request_bytes: 1MiB\n");
        check("maxclients", "4321"); /* what fits, not what was asked for */
        check("proto-max-bulk-len", "1048576");
        check("client-query-buffer-limit", "1073741824");
        check("client-output-buffer-limit",
              "normal 33554432 8388608 60 slave 0 0 0 pubsub 33554432 8388608 60");
        check("acl-pubsub-default", "allchannels");
        check("unixsocket", "/run/a.sock");
        check("unixsocketperm", "664");
        check("tcp-backlog", "77");
        check("timeout", "0");
        check("databases", "1");
        check("save", "");
        check("appendonly", "no");
        check("maxmemory", "0");
        stop();
}
END_TEST

START_TEST(limits_are_the_true_ones)
{
        start("listeners:\n  - path: /run/a.sock\nmax_output_bytes: 16MiB\nsoft_output_bytes: 1000\n"
              "soft_output_time: 2500ms\nmax_query_bytes: 64MiB\nmax_request_bytes: 1MiB\nidle_timeout: 1ms\n"
              "access_default: deny\n");
        check("client-output-buffer-limit", "normal 16777216 1000 3 slave 0 0 0 pubsub 16777216 1000 3");
        check("client-query-buffer-limit", "67108864");
        check("proto-max-bulk-len", "1048576");
        check("timeout", "1"); /* 0 would mean none */
        check("acl-pubsub-default", "resetchannels");
        stop();
        start("listeners:\n  - path: /run/a.sock\nsoft_output_bytes: none\nmax_query_bytes: none\n"
              "idle_timeout: 5min\n");
        check("client-output-buffer-limit", "normal 33554432 0 0 slave 0 0 0 pubsub 33554432 0 0");
        check("client-query-buffer-limit", "0");
        check("timeout", "300");
        stop();
}
END_TEST

START_TEST(rules_are_one_line_of_yaml)
{
        start("listeners:\n  - path: /run/a.sock\nsecrets: /s\n"
              "slow_consumers:\n  - channels: [a*, \"b\\n\"]\n    policy: drop-oldest\n"
              "  - {policy: block, bytes: 1K, timeout: 2s}\n"
              "access:\n  - deny: [all, publish]\n    user: [0, 5-7]\n    group: 9\n    name: x\n"
              "    listener: /run/a.sock\n");
        check("slow_consumers", "[{policy: drop-oldest, channels: [\"a*\", \"b\\n\"], bytes: 8MiB}, "
                                "{policy: block, bytes: 1KiB, timeout: 2s}]");
        check("access",
              "[{deny: [publish, all], user: [0, 5-7], group: 9, name: \"x\", listener: /run/a.sock}]");
        stop();
        start("listeners:\n  - path: /run/a.sock\n");
        check("slow_consumers", "[]");
        check("access", "[]");
        check("secrets", "none");
        check("user", "none");
        check("publish_rate", "none");
        check("soft_output_time", "1min");
        stop();
}
END_TEST

START_TEST(options_have_their_names_in_the_file)
{
        start("listeners:\n  - path: /run/a.sock\n  - path: \"@b\"\nmax_request_bytes: 1MiB\nadmin: "
              "/run/c.sock\n"
              "max_clients: 5000\nspin: 3us\ncpus: [1, 0]\nreactor: libev\n");
        check("max_clients", "5000");
        check("max_request_bytes", "1MiB");
        check("listeners", "/run/a.sock @b");
        check("admin", "/run/c.sock");
        check("shards", "auto");
        check("spin", "3us");
        check("cpus", "[1, 0]");
        check("reactor", "libev");
        for (size_t i = 0; i < config_n_options; i++) {
                unsigned n = 0;

                for (unsigned j = 0; j < view.n; j++)
                        n += !strcmp(view.settings[j].name, config_options[i].name);
                ck_assert_msg(n == 1, "%s: %u times", config_options[i].name, n);
        }
        stop();
}
END_TEST

START_TEST(an_abstract_socket_has_no_mode)
{
        start("listeners:\n  - path: \"@a\"\n");
        check("unixsocket", "@a");
        check("unixsocketperm", "0");
        check("admin", "none");
        stop();
}
END_TEST

/* What the shard relies on. */
START_TEST(names_are_small_and_different)
{
        start("listeners:\n  - path: /run/a.sock\n");
        ck_assert_uint_le(view.n, POLICY_SETTINGS_MAX);
        for (unsigned i = 0; i < view.n; i++) {
                for (const char *p = view.settings[i].name; *p; p++)
                        ck_assert_int_eq(*p, tolower(*p));
                for (unsigned j = 0; j < i; j++)
                        ck_assert_str_ne(view.settings[i].name, view.settings[j].name);
        }
        stop();
}
END_TEST

static void add(TCase *cases)
{
        tcase_add_test(cases, settings_have_the_names_of_redis);
        tcase_add_test(cases, limits_are_the_true_ones);
        tcase_add_test(cases, rules_are_one_line_of_yaml);
        tcase_add_test(cases, options_have_their_names_in_the_file);
        tcase_add_test(cases, an_abstract_socket_has_no_mode);
        tcase_add_test(cases, names_are_small_and_different);
}

int main(void)
{
        return suite_run("view", add);
}
