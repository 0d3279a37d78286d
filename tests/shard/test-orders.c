/* SPDX-License-Identifier: MIT */
/* What clients order of control, which is the test here (tests/support/cluster.c), and what the rules say of
 * somebody. */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pubsub/access.h"
#include "shard/policy.h"
#include "support/cluster.h"
#include "support/suite.h"
#include "util/log.h"

#define OWNER 1000 /* of the broker, in a cluster */
#define USER  7

static struct cluster cl;
static const unsigned shard_counts[] = { 1, 3 };

static void start(const struct policy *policy)
{
        cluster_init(&cl, &(struct cluster_options){ .n_shards = 3,
                                                     .capacity = 2,
                                                     .backlog_bytes = 400,
                                                     .output_max = 1 << 20,
                                                     .drain_budget = 3,
                                                     .policy = policy });
}

static void check_reply(unsigned shard, int fd, const char *request, const char *reply)
{
        char *heard;

        cluster_say(&cl, shard, fd, request);
        cluster_settle(&cl);
        heard = cluster_hear(&cl, shard, fd);
        ck_assert_str_eq(heard, reply);
        free(heard);
}

static void check_has(int fd, const char *request, const char *one, const char *two)
{
        char *heard;

        cluster_say(&cl, 0, fd, request);
        cluster_settle(&cl);
        heard = cluster_hear(&cl, 0, fd);
        ck_assert_msg(strstr(heard, one) && strstr(heard, two), "%s: %s", request, heard);
        free(heard);
}

/* ------------------------------------------------------------------ orders */

START_TEST(each_order_is_given_to_control_and_its_outcome_answered)
{
        unsigned last;
        int fd;

        cluster_init(&cl, &(struct cluster_options){ .n_shards = shard_counts[_i],
                                                     .capacity = 2,
                                                     .backlog_bytes = 400,
                                                     .output_max = 1 << 20,
                                                     .drain_budget = 3 });
        last = cl.n_shards - 1;
        fd = cluster_connect(&cl, last, OWNER);
        check_reply(last, fd, "BROKER CONFIG RELOAD\r\n",
                    "*8\r\n$2\r\nok\r\n:1\r\n$4\r\nfile\r\n$1\r\nf\r\n$7\r\nchanges\r\n*1\r\n*8\r\n$"
                    "3\r\nkey\r\n$6\r\n"
                    "shards\r\n$7\r\nrunning\r\n$1\r\n2\r\n$3\r\nnew\r\n$1\r\n3\r\n$7\r\napplies\r\n$"
                    "7\r\nrestart\r\n"
                    "$6\r\nerrors\r\n*0\r\n");
        ck_assert_uint_eq(cl.order.kind, ORDER_RELOAD);
        check_reply(
                last, fd, "BROKER CONFIG DIFF\r\n",
                "*8\r\n$2\r\nok\r\n:0\r\n$4\r\nfile\r\n$1\r\nf\r\n$7\r\nchanges\r\n*0\r\n$6\r\nerrors\r\n*2\r\n"
                "$8\r\nf:1: bad\r\n$10\r\nf:2: worse\r\n");
        ck_assert_uint_eq(cl.order.kind, ORDER_DIFF);
        check_reply(last, fd, "broker config show\r\n", "$10\r\na: 1\nb: 2\n\r\n");
        ck_assert_uint_eq(cl.order.value, 0);
        check_reply(last, fd, "BROKER CONFIG SHOW CHANGED\r\n", "$10\r\na: 1\nb: 2\n\r\n");
        ck_assert_uint_eq(cl.order.kind, ORDER_SHOW);
        ck_assert_uint_eq(cl.order.value, 1);
        check_reply(last, fd, "BROKER LOG Debug\r\n", "+OK\r\n");
        ck_assert_uint_eq(cl.order.kind, ORDER_LOG);
        ck_assert_uint_eq(cl.order.value, LOG_LEVEL_DEBUG);
        ck_assert_uint_eq(cl.n_orders, 5);
        cluster_deinit(&cl);
}
END_TEST

/* Of the clients that are left the one that asks is none, unless it came by the admin socket and was not
 * counted. */
START_TEST(who_drains_does_not_count_itself)
{
        int fd, admin;

        start(NULL);
        fd = cluster_connect(&cl, 0, 0);
        admin = cluster_connect_by(&cl, 1, 0, ADOPT_ADMIN);
        check_reply(0, fd, "BROKER DRAIN\r\n", "*4\r\n$8\r\ndraining\r\n:1\r\n$7\r\nclients\r\n:2\r\n");
        check_reply(1, admin, "BROKER DRAIN ON\r\n", "*4\r\n$8\r\ndraining\r\n:1\r\n$7\r\nclients\r\n:3\r\n");
        check_reply(1, admin, "BROKER DRAIN off\r\n", "*4\r\n$8\r\ndraining\r\n:0\r\n$7\r\nclients\r\n:3\r\n");
        cluster_deinit(&cl);
}
END_TEST

START_TEST(what_control_does_not_understand_never_reaches_it)
{
        static const char *const bad[] = { "BROKER CONFIG NOW\r\n",      "BROKER CONFIG RELOAD CHANGED\r\n",
                                           "BROKER CONFIG SHOW ALL\r\n", "BROKER CONFIG\r\n",
                                           "BROKER LOG loud\r\n",        "BROKER LOG\r\n",
                                           "BROKER DRAIN PERHAPS\r\n",   "BROKER DRAIN ON OFF\r\n",
                                           "BROKER EXPLAIN publish\r\n", "BROKER EXPLAIN a b UID 1\r\n" };
        int fd;

        start(NULL);
        fd = cluster_connect(&cl, 0, 0);
        for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
                check_has(fd, bad[i], "-ERR ", "\r\n");
        ck_assert_uint_eq(cl.n_orders, 0);
        cluster_deinit(&cl);
}
END_TEST

START_TEST(others_may_not_give_orders)
{
        static const char *const orders[] = { "BROKER CONFIG RELOAD\r\n", "BROKER CONFIG DIFF\r\n",
                                              "BROKER CONFIG SHOW\r\n",   "BROKER LOG debug\r\n",
                                              "BROKER DRAIN\r\n",         "BROKER EXPLAIN admin UID 7\r\n" };
        int fd;

        start(NULL);
        fd = cluster_connect(&cl, 0, USER);
        for (size_t i = 0; i < sizeof(orders) / sizeof(*orders); i++)
                check_has(fd, orders[i], "-NOPERM ", "'broker|");
        ck_assert_uint_eq(cl.n_orders, 0);
        cluster_deinit(&cl);
}
END_TEST

/* Requests behind an order wait for its answer; in a transaction its answer is in its place. */
START_TEST(an_answer_comes_in_its_place)
{
        int fd;

        start(NULL);
        fd = cluster_connect(&cl, 2, 0);
        check_reply(2, fd, "ECHO 1\r\nBROKER LOG info\r\nECHO 2\r\n", "$1\r\n1\r\n+OK\r\n$1\r\n2\r\n");
        check_reply(2, fd, "MULTI\r\nECHO 1\r\nBROKER LOG info\r\nECHO 2\r\nEXEC\r\nPING\r\n",
                    "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n$1\r\n1\r\n+OK\r\n$1\r\n2\r\n+PONG\r\n");
        check_reply(2, fd, "CLIENT REPLY SKIP\r\nBROKER LOG info\r\nECHO 3\r\n", "$1\r\n3\r\n");
        ck_assert_uint_eq(cl.n_orders, 3);
        cluster_deinit(&cl);
}
END_TEST

/* The order is under way when its client goes; the answer finds nobody, and what was asked for is done. */
START_TEST(who_is_gone_is_forgotten)
{
        int fd, other;

        start(NULL);
        other = cluster_connect(&cl, 1, 0);
        fd = cluster_connect(&cl, 1, 0);
        cluster_say(&cl, 1, fd, "BROKER CONFIG RELOAD\r\n");
        cluster_turn(&cl, 1);
        ck_assert_uint_eq(cl.n_orders, 0);
        fake_fail(cl.fakes[1], fd, 104);
        for (int i = 0; i < 5; i++)
                cluster_turn(&cl, 1);
        ck_assert(!cluster_is_open(&cl, 1, fd));
        cluster_settle(&cl);
        ck_assert_uint_eq(cl.n_orders, 1);
        check_reply(1, other, "PING\r\n", "+PONG\r\n");
        cluster_deinit(&cl);
}
END_TEST

/* ------------------------------------------------------------------ explanations */

static const struct access_range user_7 = { USER, USER };
static const uint32_t group_9 = 9;
static const struct bytes open_channels[] = { BYTES_LITERAL("open.*") };
static const struct bytes secret_channels[] = { BYTES_LITERAL("open.secret") };
static const char *const names[] = { "maria" };
static const struct access_rule rules[] = {
        { .actions = 1 << ACCESS_PUBLISH | 1 << ACCESS_PSUBSCRIBE,
          .users = &user_7,
          .n_users = 1,
          .channels = open_channels,
          .n_channels = 1,
          .place = "f:1" },
        { .deny = true,
          .actions = 1 << ACCESS_PUBLISH,
          .channels = secret_channels,
          .n_channels = 1,
          .place = "f:2" },
        { .actions = 1 << ACCESS_ADMIN, .groups = &group_9, .n_groups = 1, .place = "f:3" },
        { .actions = 1 << ACCESS_SUBSCRIBE, .listener = "/run/other", .place = "f:4" },
        { .actions = 1 << ACCESS_SUBSCRIBE, .names = names, .n_names = 1, .place = "f:5" },
};

static struct access *access;
static struct policy policy;

static void start_with_rules(bool allow_by_default)
{
        static const struct policy_setting settings[] = { { "unixsocket", "/run/first" } };

        access = access_new(rules, sizeof(rules) / sizeof(*rules), allow_by_default);
        policy = (struct policy){ .limits = { .request_bytes = 1 << 20, .output_hard = 1 << 20 },
                                  .access = access,
                                  .settings = settings,
                                  .n_settings = 1 };
        start(&policy);
}

static void stop_with_rules(void)
{
        cluster_deinit(&cl);
        access_free(access);
}

START_TEST(a_verdict_names_the_rule_that_decides)
{
        static const struct {
                const char *question;
                bool allowed;
                const char *has;
        } cases[] = {
                { "publish open.x UID 7", true, "f:1 allows it" },
                { "publish open.secret UID 7", false, "f:2 denies it" },
                { "publish open.x UID 8", false, "access_default is deny" },
                { "publish __brokerd__:x UID 0", false, "only it publishes there" },
                { "subscribe __brokerd__:loss UID 8", true, "everybody may hear" },
                { "psubscribe open.* UID 7", true, "f:1 allows it" },
                { "psubscribe o* UID 7", false, "access_default is deny" },
                { "admin UID 7", false, "by default only uid 0" },
                { "admin UID 7 GID 9", true, "f:3 allows it" },
                { "admin UID 7 GID 1 GROUP 8 GROUP 9", true, "f:3 allows it" },
                { "admin UID 1000", true, "broker's own user" },
                { "subscribe x UID 7", false, "/run/first" },
                { "subscribe x UID 7 LISTENER /run/other", true, "f:4 allows it" },
                { "subscribe x UID 7 NAME maria", true, "f:5 allows it" },
                { "subscribe x UID 8 LISTENER @abstract NAME nobody", false, "which by an abstract socket" },
        };
        char text[200];
        int fd;

        start_with_rules(false);
        fd = cluster_connect(&cl, 0, 0);
        for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
                snprintf(text, sizeof(text), "BROKER EXPLAIN %s\r\n", cases[i].question);
                check_has(fd, text, cases[i].allowed ? "allowed\r\n:1\r\n" : "allowed\r\n:0\r\n", cases[i].has);
        }
        stop_with_rules();
}
END_TEST

/* What is told is what a client with these ids gets. */
START_TEST(an_explanation_and_a_client_agree)
{
        static const char *const channels[] = { "open.x", "open.secret", "other" };
        static const uint32_t uids[] = { USER, 8, 1000, 0 };
        char question[100], request[100];
        int asks;

        start_with_rules(_i);
        asks = cluster_connect(&cl, 0, 0);
        for (size_t u = 0; u < sizeof(uids) / sizeof(*uids); u++)
                for (size_t i = 0; i < sizeof(channels) / sizeof(*channels); i++) {
                        int fd = cluster_connect(&cl, 0, uids[u]);
                        bool allowed;
                        char *heard;

                        snprintf(request, sizeof(request), "PUBLISH %s x\r\n", channels[i]);
                        cluster_say(&cl, 0, fd, request);
                        cluster_settle(&cl);
                        heard = cluster_hear(&cl, 0, fd);
                        allowed = *heard == ':';
                        free(heard);
                        snprintf(question, sizeof(question), "BROKER EXPLAIN publish %s UID %u GID 5\r\n",
                                 channels[i], uids[u]);
                        check_has(asks, question, allowed ? "allowed\r\n:1" : "allowed\r\n:0", "reason");
                }
        stop_with_rules();
}
END_TEST

START_TEST(a_question_that_is_not_whole_is_refused)
{
        static const char *const bad[] = { "publish x UID",
                                           "publish x UID 1 GID",
                                           "publish x GID 1",
                                           "publish x UID -1",
                                           "publish x UID 4294967295",
                                           "publish x UID 1 COLOUR 3",
                                           "admin x UID 1 GID",
                                           "admin UID 1 2" };
        char text[200];
        int fd;

        start(NULL);
        fd = cluster_connect(&cl, 0, 0);
        for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
                snprintf(text, sizeof(text), "BROKER EXPLAIN %s\r\n", bad[i]);
                check_has(fd, text, "-ERR ", "\r\n");
        }
        check_has(fd, "BROKER EXPLAIN publish x UID 1\r\n", "allowed\r\n:1", "there are no rules");
        cluster_deinit(&cl);
}
END_TEST

static void add(TCase *cases)
{
        tcase_add_loop_test(cases, each_order_is_given_to_control_and_its_outcome_answered, 0, 2);
        tcase_add_test(cases, who_drains_does_not_count_itself);
        tcase_add_test(cases, what_control_does_not_understand_never_reaches_it);
        tcase_add_test(cases, others_may_not_give_orders);
        tcase_add_test(cases, an_answer_comes_in_its_place);
        tcase_add_test(cases, who_is_gone_is_forgotten);
        tcase_add_test(cases, a_verdict_names_the_rule_that_decides);
        tcase_add_loop_test(cases, an_explanation_and_a_client_agree, 0, 2);
        tcase_add_test(cases, a_question_that_is_not_whole_is_refused);
}

int main(void)
{
        return suite_run("orders", add);
}
