/* SPDX-License-Identifier: MIT */
/* What a configuration asks of the shards: limits, rules for slow consumers, rules of access. */

#include "broker/config_policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/config_access.h"
#include "support/suite.h"

static struct config *load(const char *yaml)
{
        struct config *config = NULL;

        ck_assert_int_eq(config_parse(&config, "b.yaml", yaml, strlen(yaml), stderr), 0);
        return config;
}

/* The policy of a configuration that is gone. */
static struct policy *make(const char *yaml)
{
        struct plan plan = { .n_shards = 2, .max_clients = 100 };
        struct config *config = load(yaml);
        struct policy *policy = config_policy_new(config, &plan);

        config_free(config);
        return policy;
}

#define LISTENERS "listeners: [{path: /run/x.sock}, {path: \"@y\"}]\n"

/* By members, since there are gaps between them. */
static void check_limits(const struct policy_limits *a, const struct policy_limits *b)
{
#define SAME(_member) ck_assert_uint_eq(a->_member, b->_member)
        SAME(request_bytes);
        SAME(message_bytes);
        SAME(query_bytes);
        SAME(output_hard);
        SAME(output_soft);
        SAME(output_soft_ns);
        SAME(output_user);
        SAME(output_all);
        SAME(input_user);
        SAME(subscriptions);
        SAME(subscriptions_user);
        SAME(patterns);
        SAME(patterns_user);
        SAME(channels);
        SAME(messages);
        SAME(messages_user);
        SAME(bytes);
        SAME(bytes_user);
        SAME(handshake_ns);
        SAME(request_ns);
        SAME(idle_ns);
#undef SAME
}

START_TEST(limits_are_off_or_generous_by_default)
{
        struct policy *policy = make(LISTENERS);
        struct policy_limits expected = {
                .request_bytes = 512 << 20,
                .query_bytes = 1 << 30,
                .output_hard = 32 << 20,
                .output_soft = 8 << 20,
                .output_soft_ns = UINT64_C(60000000000),
        };

        check_limits(&policy->limits, &expected);
        ck_assert_uint_eq(policy->n_slow, 0);
        config_policy_free(policy);
}
END_TEST

START_TEST(each_limit_has_its_key)
{
        struct policy *policy = make(LISTENERS "max_request_bytes: 1001\n"
                                               "max_message_bytes: 1000\n"
                                               "max_query_bytes: 1002\n"
                                               "max_output_bytes: 2002\n"
                                               "soft_output_bytes: 2001\n"
                                               "soft_output_time: 3001us\n"
                                               "max_output_per_user: 2003\n"
                                               "max_output_total: 2004\n"
                                               "max_input_per_user: 1003\n"
                                               "max_subscriptions: 7\n"
                                               "max_subscriptions_per_user: 8\n"
                                               "max_patterns: 5\n"
                                               "max_patterns_per_user: 6\n"
                                               "max_channels: 9\n"
                                               "publish_rate: 10\n"
                                               "publish_rate_per_user: 11\n"
                                               "publish_bytes: 12\n"
                                               "publish_bytes_per_user: 13\n"
                                               "handshake_timeout: 3002us\n"
                                               "request_timeout: 3003us\n"
                                               "idle_timeout: 3004us\n");
        struct policy_limits expected = {
                .request_bytes = 1001,
                .message_bytes = 1000,
                .query_bytes = 1002,
                .output_hard = 2002,
                .output_soft = 2001,
                .output_soft_ns = 3001000,
                .output_user = 2003,
                .output_all = 2004,
                .input_user = 1003,
                .subscriptions = 7,
                .subscriptions_user = 8,
                .patterns = 5,
                .patterns_user = 6,
                .channels = 9,
                .messages = 10,
                .messages_user = 11,
                .bytes = 12,
                .bytes_user = 13,
                .handshake_ns = 3002000,
                .request_ns = 3003000,
                .idle_ns = 3004000,
        };

        check_limits(&policy->limits, &expected);
        config_policy_free(policy);
}
END_TEST

START_TEST(rules_for_slow_consumers_keep_their_order_and_their_bytes)
{
        struct policy *policy = make(LISTENERS "slow_consumers:\n"
                                               "  - {policy: conflate, channels: [\"a\\0b\", \"\", \"c*\"]}\n"
                                               "  - {policy: drop-oldest, listener: //run/x.sock, bytes: 77}\n"
                                               "  - {policy: block, channels: d, bytes: 78, timeout: 9ms}\n"
                                               "  - {policy: drop-newest, listener: \"@y\", bytes: 79}\n"
                                               "  - {policy: disconnect}\n");
        const struct slow_rule *rule = policy->slow;

        ck_assert_uint_eq(policy->n_slow, 5);
        ck_assert_int_eq(rule[0].action, SLOW_CONFLATE);
        ck_assert_ptr_null(rule[0].listener);
        ck_assert_uint_eq(rule[0].n_channels, 3);
        ck_assert(bytes_equal(rule[0].channels[0], BYTES_LITERAL("a\0b")));
        ck_assert(bytes_equal(rule[0].channels[1], BYTES_LITERAL("")));
        ck_assert(bytes_equal(rule[0].channels[2], BYTES_LITERAL("c*")));
        ck_assert_uint_eq(rule[0].bytes, 0);
        ck_assert_int_eq(rule[1].action, SLOW_DROP_OLDEST);
        ck_assert_str_eq(rule[1].listener, "/run/x.sock");
        ck_assert_uint_eq(rule[1].n_channels, 0);
        ck_assert_uint_eq(rule[1].bytes, 77);
        ck_assert_uint_eq(rule[1].block_ns, 0);
        ck_assert_int_eq(rule[2].action, SLOW_BLOCK);
        ck_assert_uint_eq(rule[2].n_channels, 1);
        ck_assert(bytes_equal(rule[2].channels[0], BYTES_LITERAL("d")));
        ck_assert_uint_eq(rule[2].bytes, 78);
        ck_assert_uint_eq(rule[2].block_ns, 9000000);
        ck_assert_int_eq(rule[3].action, SLOW_DROP_NEWEST);
        ck_assert_str_eq(rule[3].listener, "@y");
        ck_assert_uint_eq(rule[3].bytes, 79);
        ck_assert_int_eq(rule[4].action, SLOW_DISCONNECT);
        ck_assert_uint_eq(rule[4].bytes, 0);
        config_policy_free(policy);
}
END_TEST

#define PUBLISH    (1u << ACCESS_PUBLISH)
#define SUBSCRIBE  (1u << ACCESS_SUBSCRIBE)
#define PSUBSCRIBE (1u << ACCESS_PSUBSCRIBE)
#define ADMIN      (1u << ACCESS_ADMIN)

START_TEST(rules_of_access_say_what_the_file_says)
{
        struct config *config = load(LISTENERS "secrets: /s\n"
                                               "access:\n"
                                               "  - allow: publish\n"
                                               "    channels: [sensor.*, \"\\0\"]\n"
                                               "    user: [0, 1000-1999]\n"
                                               "  - deny: [subscribe, psubscribe]\n"
                                               "    group: [4, 5]\n"
                                               "    listener: //run/./x.sock\n"
                                               "\n"
                                               "  - name: [ui, sensor]\n"
                                               "    allow: admin\n"
                                               "    user: 7\n");
        struct config_access_list list;
        const struct access_rule *rule;

        config_access_list_init(&list, config);
        ck_assert_uint_eq(list.n, 3);
        rule = list.rules;
        ck_assert(!rule->deny);
        ck_assert_uint_eq(rule->actions, PUBLISH);
        ck_assert_uint_eq(rule->n_users, 2);
        ck_assert_uint_eq(rule->users[0].least, 0);
        ck_assert_uint_eq(rule->users[0].greatest, 0);
        ck_assert_uint_eq(rule->users[1].least, 1000);
        ck_assert_uint_eq(rule->users[1].greatest, 1999);
        ck_assert_uint_eq(rule->n_groups + rule->n_names, 0);
        ck_assert_ptr_null(rule->listener);
        ck_assert_uint_eq(rule->n_channels, 2);
        ck_assert(bytes_equal(rule->channels[0], BYTES_LITERAL("sensor.*")));
        ck_assert(bytes_equal(rule->channels[1], BYTES_LITERAL("\0")));
        ck_assert_str_eq(rule->place, "b.yaml:4: access[0]");
        rule++;
        ck_assert(rule->deny);
        ck_assert_uint_eq(rule->actions, SUBSCRIBE | PSUBSCRIBE);
        ck_assert_uint_eq(rule->n_users + rule->n_names + rule->n_channels, 0);
        ck_assert_uint_eq(rule->n_groups, 2);
        ck_assert_uint_eq(rule->groups[0], 4);
        ck_assert_uint_eq(rule->groups[1], 5);
        ck_assert_str_eq(rule->listener, "/run/x.sock");
        ck_assert_str_eq(rule->place, "b.yaml:7: access[1]");
        rule++;
        ck_assert(!rule->deny);
        ck_assert_uint_eq(rule->actions, ADMIN);
        ck_assert_uint_eq(rule->n_names, 2);
        ck_assert_str_eq(rule->names[0], "ui");
        ck_assert_str_eq(rule->names[1], "sensor");
        ck_assert_uint_eq(rule->n_users, 1);
        ck_assert_uint_eq(rule->users[0].least, 7);
        ck_assert_uint_eq(rule->users[0].greatest, 7);
        ck_assert_str_eq(rule->place, "b.yaml:11: access[2]");
        config_access_list_deinit(&list);
        config_free(config);
}
END_TEST

/* A rule about channels makes nobody an administrator. */
START_TEST(all_with_channels_is_what_goes_to_channels)
{
        static const struct {
                const char *rule;
                unsigned actions;
        } cases[] = {
                { "allow: all", PUBLISH | SUBSCRIBE | PSUBSCRIBE | ADMIN },
                { "deny: all", PUBLISH | SUBSCRIBE | PSUBSCRIBE | ADMIN },
                { "allow: [all, admin]", PUBLISH | SUBSCRIBE | PSUBSCRIBE | ADMIN },
                { "allow: all, channels: x", PUBLISH | SUBSCRIBE | PSUBSCRIBE },
                { "deny: all, channels: x", PUBLISH | SUBSCRIBE | PSUBSCRIBE },
                { "allow: [all, publish], channels: x", PUBLISH | SUBSCRIBE | PSUBSCRIBE },
                { "allow: [admin, psubscribe]", ADMIN | PSUBSCRIBE },
                { "allow: [subscribe], channels: [x, y]", SUBSCRIBE },
        };

        for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
                struct config_access_list list;
                struct config *config;
                char text[256];

                snprintf(text, sizeof(text), LISTENERS "access: [{%s}]\n", cases[i].rule);
                config = load(text);
                config_access_list_init(&list, config);
                ck_assert_msg(list.rules[0].actions == cases[i].actions, "%s: %x", cases[i].rule,
                              list.rules[0].actions);
                config_access_list_deinit(&list);
                config_free(config);
        }
}
END_TEST

/* As many rules as fit into a file. */
START_TEST(a_file_of_64_KiB_with_hundreds_of_rules_makes_a_policy)
{
        static char text[65536 + 1];
        size_t n = (size_t)sprintf(text, LISTENERS "access_default: deny\nslow_consumers:\n");
        unsigned n_slow = 0, n_access = 0;
        struct config_access_list list;
        struct config *config;
        struct policy *policy;

        for (; n_slow < 250; n_slow++)
                n += (size_t)sprintf(text + n, "- {policy: drop-oldest, channels: [a%u.*, b%u]}\n", n_slow,
                                     n_slow);
        n += (size_t)sprintf(text + n, "access:\n");
        for (; n < 65536 - 100; n_access++)
                n += (size_t)sprintf(text + n,
                                     "- {allow: [publish, subscribe], user: %u-%u, channels: [c%u.*, d]}\n",
                                     n_access, n_access + 1, n_access);
        memset(text + n, '#', 65536 - n);
        config = load(text);
        config_access_list_init(&list, config);
        ck_assert_uint_gt(n_access, 700);
        ck_assert_uint_eq(list.n, n_access);
        ck_assert_uint_eq(list.rules[n_access - 1].users[0].greatest, n_access);
        config_access_list_deinit(&list);
        config_free(config);
        policy = make(text);
        ck_assert_uint_eq(policy->n_slow, n_slow);
        ck_assert(bytes_equal(policy->slow[249].channels[1], BYTES_LITERAL("b249")));
        config_policy_free(policy);
}
END_TEST

static bool may_publish(const struct policy *policy, uint32_t uid, const char *listener, const char *channel)
{
        struct access_classes *classes = access_classes_new(policy->access, 500, 1);
        struct access_subject subject = { .uid = uid, .gid = uid, .listener = listener };
        bool allowed =
                access_decide(access_classify(classes, &subject), ACCESS_PUBLISH, bytes_str(channel)).allowed;

        access_classes_free(classes);
        return allowed;
}

/* They outlive the configuration that they are from. */
START_TEST(rules_of_access_reach_the_shards)
{
        struct policy *policy = make(LISTENERS "access: [{allow: publish, channels: 'a*', user: 7}]\n"
                                               "access_default: deny\n");

        ck_assert(may_publish(policy, 7, "/run/x.sock", "ab"));
        ck_assert(!may_publish(policy, 7, "/run/x.sock", "b"));
        ck_assert(!may_publish(policy, 8, "/run/x.sock", "ab"));
        config_policy_free(policy);
        policy = make(LISTENERS "access: [{deny: publish, listener: '@y'}]\n");
        ck_assert(may_publish(policy, 7, "/run/x.sock", "b"));
        ck_assert(!may_publish(policy, 500, "@y", "b"));
        config_policy_free(policy);
        policy = make(LISTENERS "access_default: deny\n");
        ck_assert(!may_publish(policy, 0, "/run/x.sock", "b"));
        config_policy_free(policy);
        policy = make(LISTENERS);
        ck_assert_ptr_null(policy->access);
        config_policy_free(policy);
}
END_TEST

static void add(TCase *cases)
{
        tcase_add_test(cases, limits_are_off_or_generous_by_default);
        tcase_add_test(cases, each_limit_has_its_key);
        tcase_add_test(cases, rules_for_slow_consumers_keep_their_order_and_their_bytes);
        tcase_add_test(cases, rules_of_access_say_what_the_file_says);
        tcase_add_test(cases, all_with_channels_is_what_goes_to_channels);
        tcase_add_test(cases, a_file_of_64_KiB_with_hundreds_of_rules_makes_a_policy);
        tcase_add_test(cases, rules_of_access_reach_the_shards);
}

int main(void)
{
        return suite_run("policy", add);
}
