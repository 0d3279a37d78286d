/* SPDX-License-Identifier: MIT */
/* Quotas of users, with the real ledger in the place of control. */

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shard/client.h"
#include "shard/policy.h"
#include "shard/state.h"
#include "support/accounts.h"
#include "support/suite.h"
#include "util/clock.h"

static struct cluster cl;
static struct accounts accounts;
static const unsigned shard_counts[] = { 1, 3 };
static struct policy policies[4];
static unsigned n_policies;

#define ALICE 7
#define BOB   8

static struct policy *policy_of(const struct policy_limits *limits)
{
        struct policy *policy = &policies[n_policies++ % 4];

        *policy = (struct policy){ .limits = *limits };
        policy->limits.request_bytes = 1 << 20;
        policy->limits.output_hard = 1 << 20;
        return policy;
}

static void start_capacity(unsigned n_shards, const struct policy_limits *limits, unsigned capacity,
                           size_t backlog_bytes)
{
        const struct policy *policy = policy_of(limits);

        cluster_init(&cl, &(struct cluster_options){ .n_shards = n_shards,
                                                     .capacity = capacity,
                                                     .backlog_bytes = backlog_bytes,
                                                     .drain_budget = 10,
                                                     .policy = policy,
                                                     .control_fn = accounts_on_message,
                                                     .control_arg = &accounts });
        accounts_init(&accounts, &cl, &policy->limits);
}

static void start(unsigned n_shards, const struct policy_limits *limits)
{
        start_capacity(n_shards, limits, 16, 1 << 20);
}

static void settle(void)
{
        accounts_settle(&accounts);
}

static void pass(uint64_t ns)
{
        cluster_advance(ns);
        settle();
}

/* All is closed, given back, and forgotten. */
static void finish(void)
{
        for (unsigned shard = 0; shard < cl.n_shards; shard++)
                for (int fd = 1; fd < (int)cl.next_id; fd++)
                        fake_fail(cl.fakes[shard], fd, ECONNRESET);
        settle();
        for (int i = 0; i < 4; i++)
                pass(NSEC_PER_SEC);
        ck_assert_uint_eq(ledger_accounts(accounts.ledger), 0);
        cluster_deinit(&cl);
        accounts_deinit(&accounts);
}

static void limit(const struct policy_limits *limits)
{
        accounts_set_policy(&accounts, policy_of(limits));
        settle();
}

/* What it said is what it gets, as far as text is a part of it. */
static void hears(unsigned shard, int fd, const char *text)
{
        char *got = cluster_hear(&cl, shard, fd);

        if (text)
                ck_assert_msg(strstr(got, text), "'%s' is not in '%s'", text, got);
        else
                ck_assert_str_eq(got, "");
        free(got);
}

static void say(unsigned shard, int fd, const char *text)
{
        cluster_say(&cl, shard, fd, text);
        settle();
}

static unsigned last(void)
{
        return cl.n_shards - 1;
}

static enum client_wait waits(unsigned shard, int fd)
{
        return client_of_stream(fake_stream(cl.fakes[shard], fd)->stream)->wait;
}

static uint64_t paused(enum quota q)
{
        uint64_t n = 0;

        for (unsigned i = 0; i < cl.n_shards; i++)
                n += cl.shards[i]->status.quota_paused[q];
        return n;
}

/* ------------------------------------------------------------------ subscriptions */

#define REFUSED_SUBSCRIPTIONS                                                                                  \
        "-ERR the limit of 4 for all clients of your user is reached: max_subscriptions_per_user\r\n"

START_TEST(subscriptions_of_a_user_count_over_clients_and_shards)
{
        int a, b, bob;

        start(shard_counts[_i], &(struct policy_limits){ .subscriptions_user = 4 });
        a = cluster_connect(&cl, 0, ALICE);
        b = cluster_connect(&cl, last(), ALICE);
        bob = cluster_connect(&cl, 0, BOB);
        say(0, a, "SUBSCRIBE x y\r\n");
        hears(0, a, "$1\r\ny\r\n:2\r\n");
        say(last(), b, "SSUBSCRIBE s\r\n");
        hears(last(), b, ":1\r\n");
        say(last(), b, "PSUBSCRIBE x* y*\r\n"); /* all or nothing */
        hears(last(), b, REFUSED_SUBSCRIPTIONS);
        ck_assert_uint_eq(accounts_used(&accounts, ALICE, QUOTA_SUBSCRIPTIONS), 3);
        say(last(), b, "PSUBSCRIBE x*\r\n"); /* up to the bound */
        hears(last(), b, "$2\r\nx*\r\n");
        say(0, a, "SUBSCRIBE z\r\n");
        hears(0, a, REFUSED_SUBSCRIPTIONS);
        say(0, a, "SUBSCRIBE y x x\r\n"); /* what it has */
        hears(0, a, "$1\r\nx\r\n:2\r\n");
        say(0, bob, "SUBSCRIBE a b c d\r\n"); /* another user's are his */
        hears(0, bob, "$1\r\nd\r\n:4\r\n");
        say(0, a, "UNSUBSCRIBE x\r\nSUBSCRIBE z z\r\n");
        hears(0, a, "$1\r\nz\r\n:2\r\n");
        say(0, bob, "UNSUBSCRIBE\r\nPUBLISH y hello\r\n"); /* those that were there are unharmed */
        hears(0, bob, ":1\r\n");
        hears(0, a, "hello");
        ck_assert_uint_eq(accounts_used(&accounts, ALICE, QUOTA_SUBSCRIPTIONS), 4);
        finish();
}
END_TEST

START_TEST(patterns_have_a_bound_of_their_own)
{
        int a, b;

        start(shard_counts[_i], &(struct policy_limits){ .subscriptions_user = 4, .patterns_user = 1 });
        a = cluster_connect(&cl, 0, ALICE);
        b = cluster_connect(&cl, last(), ALICE);
        say(0, a, "PSUBSCRIBE a*\r\n");
        hears(0, a, ":1\r\n");
        say(last(), b, "PSUBSCRIBE b*\r\n");
        hears(last(), b,
              "-ERR the limit of 1 for all clients of your user is reached: max_patterns_per_user\r\n");
        say(last(), b, "SUBSCRIBE b\r\n");
        hears(last(), b, ":1\r\n");
        say(0, a, "RESET\r\n");
        say(last(), b, "PSUBSCRIBE b*\r\n");
        hears(last(), b, ":2\r\n");
        finish();
}
END_TEST

/* In the order asked, also behind subscriptions that other shards have not heard of yet. */
START_TEST(who_is_refused_is_refused_in_its_turn)
{
        int a;

        start(shard_counts[_i], &(struct policy_limits){ .subscriptions_user = 4 });
        a = cluster_connect(&cl, 0, ALICE);
        say(0, a, "SUBSCRIBE w\r\nSUBSCRIBE x y\r\nSUBSCRIBE z zz\r\nPING\r\nSUBSCRIBE z\r\nPING\r\n");
        hears(0, a,
              "$1\r\ny\r\n:3\r\n" REFUSED_SUBSCRIPTIONS "*2\r\n$4\r\npong\r\n$0\r\n\r\n"
              "*3\r\n$9\r\nsubscribe\r\n$1\r\nz\r\n:4\r\n*2\r\n$4\r\npong\r\n");
        finish();
}
END_TEST

START_TEST(one_who_wants_no_replies_gets_no_refusal)
{
        int a;

        start(shard_counts[_i], &(struct policy_limits){ .subscriptions_user = 4 });
        a = cluster_connect(&cl, 0, ALICE);
        say(0, a, "CLIENT REPLY OFF\r\nSUBSCRIBE a b c d e\r\n");
        hears(0, a, NULL);
        say(0, a, "SUBSCRIBE a b c d\r\n");
        hears(0, a, ":4\r\n");
        finish();
}
END_TEST

START_TEST(a_transaction_asks_for_all_before_it_runs)
{
        int a, b;

        start(shard_counts[_i], &(struct policy_limits){ .subscriptions_user = 4, .messages_user = 10 });
        a = cluster_connect(&cl, 0, ALICE);
        b = cluster_connect(&cl, last(), ALICE);
        say(last(), b, "SUBSCRIBE w\r\n");
        hears(last(), b, ":1\r\n");
        say(0, a, "MULTI\r\nPUBLISH w no\r\nSUBSCRIBE a b\r\nPSUBSCRIBE a b\r\nEXEC\r\nPING\r\n");
        hears(0, a,
              "-EXECABORT Transaction discarded because of: the limit of 4 for all clients of your user is "
              "reached: max_subscriptions_per_user\r\n+PONG\r\n");
        hears(last(), b, NULL);
        ck_assert_uint_eq(accounts_used(&accounts, ALICE, QUOTA_SUBSCRIPTIONS), 1);
        say(0, a, "MULTI\r\nPUBLISH w yes\r\nSUBSCRIBE a b a\r\nPSUBSCRIBE a\r\nUNSUBSCRIBE a\r\nEXEC\r\n");
        hears(0, a, "*4\r\n:1\r\n");
        hears(last(), b, "yes");
        ck_assert_uint_eq(accounts_used(&accounts, ALICE, QUOTA_SUBSCRIPTIONS), 3);
        finish();
}
END_TEST

/* A limit that begins counts what is there, one that ends lets all go on, and in between it may move. */
START_TEST(limits_of_subscriptions_come_and_go)
{
        int a, b;

        start(shard_counts[_i], &(struct policy_limits){ 0 });
        a = cluster_connect(&cl, 0, ALICE);
        b = cluster_connect(&cl, last(), ALICE);
        say(0, a, "SUBSCRIBE 1 2 3\r\n");
        say(last(), b, "SUBSCRIBE 1 2 3\r\n");
        ck_assert_uint_eq(accounts.asks, 0);
        limit(&(struct policy_limits){ .subscriptions_user = 7 });
        ck_assert_uint_eq(ledger_leased(accounts.ledger, ALICE, QUOTA_SUBSCRIPTIONS, cl.n_shards), 6);
        say(0, a, "SUBSCRIBE 4\r\n");
        hears(0, a, "$1\r\n4\r\n:4\r\n");
        say(last(), b, "SUBSCRIBE 4\r\n");
        hears(last(), b, "-ERR the limit of 7 ");
        limit(&(struct policy_limits){ .subscriptions_user = 2 });
        say(0, a, "UNSUBSCRIBE 1\r\nSUBSCRIBE 1\r\n");
        hears(0, a, "-ERR the limit of 2 ");
        limit(&(struct policy_limits){ .subscriptions_user = 8 });
        say(last(), b, "SUBSCRIBE 4\r\nSUBSCRIBE 5\r\n");
        hears(last(), b, "$1\r\n5\r\n:5\r\n");
        say(last(), b, "SUBSCRIBE 6\r\n");
        hears(last(), b, "-ERR the limit of 8 ");
        limit(&(struct policy_limits){ 0 });
        say(last(), b, "SUBSCRIBE 6 7 8 9\r\n");
        hears(last(), b, "$1\r\n9\r\n:9\r\n");
        pass(NSEC_PER_SEC);
        ck_assert_uint_eq(ledger_accounts(accounts.ledger), 0);
        finish();
}
END_TEST

START_TEST(who_asked_may_be_gone_when_the_answer_comes)
{
        int a, b;

        start(3, &(struct policy_limits){ .subscriptions_user = 4 });
        a = cluster_connect(&cl, 0, ALICE);
        b = cluster_connect(&cl, 1, ALICE);
        cluster_say(&cl, 0, a, "SUBSCRIBE a b c\r\n");
        cluster_turn(&cl, 0);
        ck_assert_int_eq(waits(0, a), CLIENT_LEASES);
        fake_fail(cl.fakes[0], a, ECONNRESET);
        cluster_turn(&cl, 0); /* gone before control has heard of it */
        settle();
        ck_assert_uint_eq(ledger_leased(accounts.ledger, ALICE, QUOTA_SUBSCRIPTIONS, cl.n_shards), 0);
        say(1, b, "SUBSCRIBE a b c d\r\n");
        hears(1, b, ":4\r\n");
        finish();
}
END_TEST

/* One that waits ends; the next in the row had its own, smaller wish. */
START_TEST(a_refusal_is_for_who_asked)
{
        int a, b, c;

        start(1, &(struct policy_limits){ .subscriptions_user = 4 });
        a = cluster_connect(&cl, 0, ALICE);
        b = cluster_connect(&cl, 0, ALICE);
        c = cluster_connect(&cl, 0, ALICE);
        cluster_say(&cl, 0, a, "SUBSCRIBE a b c d e\r\n");
        cluster_turn(&cl, 0);
        cluster_say(&cl, 0, b, "SUBSCRIBE a\r\n");
        cluster_say(&cl, 0, c, "SUBSCRIBE a b\r\n");
        cluster_turn(&cl, 0);
        ck_assert_int_eq(waits(0, c), CLIENT_LEASES);
        fake_fail(cl.fakes[0], a, ECONNRESET);
        cluster_turn(&cl, 0);
        settle();
        hears(0, b, ":1\r\n");
        hears(0, c, ":2\r\n");
        finish();
}
END_TEST

/* ------------------------------------------------------------------ rates */

START_TEST(messages_of_a_user_come_later_over_the_rate)
{
        int a, b, sub, bob;
        unsigned got;
        char *text;

        start(shard_counts[_i], &(struct policy_limits){ .messages_user = 10 });
        a = cluster_connect(&cl, 0, ALICE);
        b = cluster_connect(&cl, last(), ALICE);
        bob = cluster_connect(&cl, 0, BOB);
        sub = cluster_connect(&cl, 0, BOB);
        say(0, sub, "SUBSCRIBE news\r\n");
        hears(0, sub, ":1\r\n");
        for (int i = 0; i < 6; i++) {
                say(0, a, "PUBLISH news 1\r\n");
                say(last(), b, "PUBLISH news 1\r\n");
        }
        ck_assert_uint_gt(paused(QUOTA_MESSAGES), 0);
        text = cluster_hear(&cl, 0, sub);
        got = 0;
        for (const char *p = text; (p = strstr(p, "message")); p++)
                got++;
        ck_assert_uint_eq(got, 10);
        free(text);
        say(0, bob, "PUBLISH news bob\r\n"); /* he has his own */
        hears(0, sub, "bob");
        pass(99 * NSEC_PER_MSEC);
        hears(0, sub, NULL);
        pass(NSEC_PER_MSEC);
        hears(0, sub, "message");
        hears(0, sub, NULL);
        pass(100 * NSEC_PER_MSEC); /* nothing is lost */
        hears(0, sub, "message");
        ck_assert_int_eq(waits(0, a), CLIENT_RUNS);
        ck_assert_int_eq(waits(last(), b), CLIENT_RUNS);
        finish();
}
END_TEST

START_TEST(payload_has_a_rate_too_and_one_message_may_be_a_debt)
{
        int a, b;

        start(shard_counts[_i], &(struct policy_limits){ .bytes_user = 10 });
        a = cluster_connect(&cl, 0, ALICE);
        b = cluster_connect(&cl, last(), ALICE);
        say(0, a, "PUBLISH c 0123456789012345678901234\r\n"); /* 25 */
        hears(0, a, ":0\r\n");
        say(last(), b, "PUBLISH c 1\r\n");
        pass(1599 * NSEC_PER_MSEC);
        hears(last(), b, NULL);
        pass(NSEC_PER_MSEC);
        hears(last(), b, ":0\r\n");
        finish();
}
END_TEST

/* Ten who have much to say and one who has little: none of them starves, and they are served in order. */
START_TEST(the_clients_of_a_user_take_turns)
{
        int fds[11];

        start(1, &(struct policy_limits){ .messages_user = 10 });
        for (unsigned i = 0; i < 11; i++)
                fds[i] = cluster_connect(&cl, 0, ALICE);
        for (unsigned i = 0; i < 10; i++)
                for (int k = 0; k < 10; k++)
                        cluster_say(&cl, 0, fds[i], "PUBLISH c 1\r\n");
        settle();
        say(0, fds[10], "PUBLISH c 1\r\n");
        for (int i = 0; i < 11; i++)
                pass(100 * NSEC_PER_MSEC);
        hears(0, fds[10], ":0\r\n");
        for (unsigned i = 0; i < 10; i++)
                hears(0, fds[i], ":0\r\n");
        finish();
}
END_TEST

START_TEST(what_another_shard_has_over_does_not_have_to_flow_in_again)
{
        int a, b;

        start(2, &(struct policy_limits){ .messages_user = 100 });
        a = cluster_connect(&cl, 0, ALICE);
        b = cluster_connect(&cl, 1, ALICE);
        say(0, a, "PUBLISH c 1\r\n"); /* leases some more */
        for (int i = 0; i < 99; i++)
                cluster_say(&cl, 1, b, "PUBLISH c 1\r\n");
        settle();
        ck_assert_uint_eq(cl.shards[1]->status.messages_in, 99);
        ck_assert_int_eq(waits(1, b), CLIENT_RUNS);
        finish();
}
END_TEST

START_TEST(a_transaction_pays_for_all_its_messages_at_once)
{
        int a, sub;

        start(shard_counts[_i], &(struct policy_limits){ .messages_user = 10 });
        a = cluster_connect(&cl, 0, ALICE);
        sub = cluster_connect(&cl, last(), BOB);
        say(last(), sub, "SUBSCRIBE c\r\n");
        hears(last(), sub, ":1\r\n");
        for (int i = 0; i < 8; i++)
                say(0, a, "PUBLISH c 1\r\n");
        hears(last(), sub, "message");
        say(0, a, "MULTI\r\nPUBLISH c x\r\nPUBLISH c y\r\nPUBLISH c z\r\nEXEC\r\n");
        hears(last(), sub, NULL);
        pass(100 * NSEC_PER_MSEC);
        hears(last(), sub, "$1\r\nz\r\n");
        hears(0, a, "*3\r\n:1\r\n:1\r\n:1\r\n");
        finish();
}
END_TEST

START_TEST(rates_come_and_go)
{
        int a;

        start(shard_counts[_i], &(struct policy_limits){ .messages_user = 1 });
        a = cluster_connect(&cl, 0, ALICE);
        say(0, a, "PUBLISH c 1\r\nPUBLISH c 1\r\nPUBLISH c 1\r\n");
        ck_assert_int_eq(waits(0, a), CLIENT_LEASES);
        limit(&(struct policy_limits){ .bytes_user = 2 });
        hears(0, a, ":0\r\n:0\r\n:0\r\n");
        say(0, a, "PUBLISH c 1\r\n");
        ck_assert_int_eq(waits(0, a), CLIENT_LEASES);
        limit(&(struct policy_limits){ .bytes_user = 1000 });
        hears(0, a, ":0\r\n");
        limit(&(struct policy_limits){ 0 });
        for (int i = 0; i < 100; i++)
                cluster_say(&cl, 0, a, "PUBLISH c 1\r\n");
        settle();
        ck_assert_int_eq(waits(0, a), CLIENT_RUNS);
        finish();
}
END_TEST

/* ------------------------------------------------------------------ output */

static const char message40[] = "PUBLISH news 0123456789012345678901234567890123456789\r\n"; /* 74 bytes out */

static int slow_subscriber(unsigned shard, uid_t uid)
{
        int fd = cluster_connect(&cl, shard, uid);

        say(shard, fd, "SUBSCRIBE news\r\n");
        hears(shard, fd, ":1\r\n");
        fake_accept(cl.fakes[shard], fd, 0);
        return fd;
}

START_TEST(output_of_a_user_is_bounded_over_clients_and_shards)
{
        int a, b, bob, publisher;

        start(shard_counts[_i], &(struct policy_limits){ .output_user = 1000 });
        publisher = cluster_connect(&cl, 0, 5);
        a = slow_subscriber(0, ALICE);
        bob = slow_subscriber(0, BOB);
        for (int i = 0; i < 5; i++)
                say(0, publisher, message40);
        b = slow_subscriber(last(), ALICE);
        for (int i = 0; i < 4; i++)
                say(0, publisher, message40);
        ck_assert_uint_eq(accounts_used(&accounts, ALICE, QUOTA_OUTPUT), 13 * 74); /* just under */
        ck_assert(cluster_is_open(&cl, 0, a) && cluster_is_open(&cl, last(), b));
        say(0, publisher, message40);
        ck_assert_uint_le(accounts_used(&accounts, ALICE, QUOTA_OUTPUT), 1000);
        ck_assert_uint_ne(cluster_is_open(&cl, 0, a), cluster_is_open(&cl, last(), b));
        ck_assert(cl.n_shards > 1 || cluster_is_open(&cl, last(), b)); /* the one with more went */
        ck_assert(cluster_is_open(&cl, 0, bob));
        finish();
}
END_TEST

START_TEST(what_a_client_has_taken_meanwhile_does_not_count)
{
        int a, b, publisher;

        start(shard_counts[_i], &(struct policy_limits){ .output_user = 1000 });
        publisher = cluster_connect(&cl, 0, 5);
        a = slow_subscriber(last(), ALICE);
        for (int i = 0; i < 10; i++)
                say(0, publisher, message40);
        fake_accept(cl.fakes[last()], a, 600); /* without a word to anybody */
        settle();
        b = slow_subscriber(0, ALICE);
        for (int i = 0; i < 5; i++)
                say(0, publisher, message40);
        ck_assert(cluster_is_open(&cl, last(), a) && cluster_is_open(&cl, 0, b));
        finish();
}
END_TEST

START_TEST(the_output_of_all_users_has_a_bound)
{
        int fds[4], publisher;
        unsigned open = 0;

        start(shard_counts[_i], &(struct policy_limits){ .output_all = 1000, .output_user = 900 });
        publisher = cluster_connect(&cl, 0, 5);
        for (unsigned i = 0; i < 4; i++)
                fds[i] = slow_subscriber(i % cl.n_shards, 10 + i);
        for (int i = 0; i < 3; i++)
                say(0, publisher, message40);
        for (unsigned i = 0; i < 4; i++)
                ck_assert(cluster_is_open(&cl, i % cl.n_shards, fds[i])); /* 888 */
        say(0, publisher, message40);                                     /* 1184 */
        for (unsigned i = 0; i < 4; i++)
                open += cluster_is_open(&cl, i % cl.n_shards, fds[i]);
        ck_assert_uint_eq(open, 3);
        ck_assert_uint_eq(accounts_used(&accounts, QUOTA_EVERYBODY, QUOTA_OUTPUT_ALL), 3 * 4 * 74);
        finish();
}
END_TEST

/* One turn alone brings more than the bound: nobody need be asked. */
START_TEST(a_shard_alone_never_leaves_more_than_the_bound)
{
        int a, publisher;

        start(1, &(struct policy_limits){ .output_user = 1000 });
        publisher = cluster_connect(&cl, 0, 5);
        a = slow_subscriber(0, ALICE);
        for (int i = 0; i < 20; i++)
                cluster_say(&cl, 0, publisher, message40);
        cluster_turn(&cl, 0);
        ck_assert_uint_eq(accounts_used(&accounts, ALICE, QUOTA_OUTPUT), 0);
        settle();
        ck_assert(!cluster_is_open(&cl, 0, a));
        finish();
}
END_TEST

/* Where messages may be dropped, they go instead of the client. */
START_TEST(a_bound_of_output_drops_by_the_rules)
{
        static const struct slow_rule rules[] = { { .action = SLOW_DROP_OLDEST, .bytes = 2000 },
                                                  { .action = SLOW_DROP_NEWEST, .bytes = 2000 } };
        struct policy policy = {
                .limits = { .request_bytes = 1 << 20, .output_hard = 1 << 20, .output_user = 1500 },
                .slow = &rules[_i % 2],
                .n_slow = 1
        };
        int a, publisher;
        uint64_t used;

        start(_i < 2 ? 1 : 3, &(struct policy_limits){ .output_user = 1500 });
        accounts_set_policy(&accounts, &policy);
        settle();
        publisher = cluster_connect(&cl, 0, 5);
        a = slow_subscriber(last(), ALICE);
        for (int i = 0; i < 60; i++)
                say(0, publisher, message40);
        ck_assert(cluster_is_open(&cl, last(), a));
        used = accounts_used(&accounts, ALICE, QUOTA_OUTPUT);
        ck_assert_uint_le(used, 1500);
        ck_assert_uint_gt(used, _i % 2 ? 300 : 1000);
        ck_assert_uint_gt(
                cl.shards[last()]->status.lost_drop_oldest + cl.shards[last()]->status.lost_drop_newest, 30);
        fake_accept(cl.fakes[last()], a, SIZE_MAX);
        settle();
        hears(last(), a, "message");
        finish();
}
END_TEST

START_TEST(limits_of_output_come_and_go)
{
        int a, b, publisher;

        start(shard_counts[_i], &(struct policy_limits){ 0 });
        publisher = cluster_connect(&cl, 0, 5);
        a = slow_subscriber(0, ALICE);
        say(0, publisher, message40);
        b = slow_subscriber(last(), ALICE);
        say(0, publisher, message40);
        limit(&(struct policy_limits){ .output_user = 222, .output_all = 5000 });
        ck_assert(cluster_is_open(&cl, 0, a) && cluster_is_open(&cl, last(), b));
        ck_assert_uint_eq(ledger_leased(accounts.ledger, ALICE, QUOTA_OUTPUT, cl.n_shards), 222);
        limit(&(struct policy_limits){ .output_user = 221, .output_all = 5000 });
        ck_assert(!cluster_is_open(&cl, 0, a) && cluster_is_open(&cl, last(), b));
        limit(&(struct policy_limits){ 0 });
        for (int i = 0; i < 100; i++)
                say(0, publisher, message40);
        ck_assert(cluster_is_open(&cl, last(), b));
        finish();
}
END_TEST

/* ------------------------------------------------------------------ input */

/* The start of a request, with n bytes in all. */
static void say_part(unsigned shard, int fd, size_t n)
{
        char text[4096];
        int k = snprintf(text, sizeof(text), "*3\r\n$7\r\nPUBLISH\r\n$1\r\nc\r\n$1000\r\n");

        memset(text + k, 'x', n - (size_t)k);
        fake_feed(cl.fakes[shard], fd, text, n);
        settle();
}

START_TEST(a_request_that_never_fits_is_told_so)
{
        int a, b;

        start(shard_counts[_i], &(struct policy_limits){ .input_user = 500 });
        a = cluster_connect(&cl, 0, ALICE);
        b = cluster_connect(&cl, last(), BOB);
        say_part(0, a, 500);
        say_part(last(), b, 400);
        hears(0, a, NULL);
        ck_assert(cluster_is_open(&cl, 0, a));
        say(0, a, "x");
        hears(0, a, "-ERR the limit of 500 for all clients of your user is reached: max_input_per_user\r\n");
        ck_assert(!cluster_is_open(&cl, 0, a));
        ck_assert(cluster_is_open(&cl, last(), b));
        finish();
}
END_TEST

/* What waits to be executed makes others of the user wait, and they go on when it was. */
START_TEST(over_the_bound_reading_pauses_until_input_was_executed)
{
        int a, b, c, bob;

        start(shard_counts[_i], &(struct policy_limits){ .input_user = 200, .messages_user = 1 });
        a = cluster_connect(&cl, 0, ALICE);
        b = cluster_connect(&cl, last(), ALICE);
        c = cluster_connect(&cl, last(), ALICE);
        bob = cluster_connect(&cl, last(), BOB);
        cluster_say(&cl, 0, a, "PUBLISH c 1\r\n");
        for (int i = 0; i < 14; i++)
                cluster_say(&cl, 0, a, "PUBLISH c 1\r\n"); /* 182 bytes wait for the rate */
        settle();
        ck_assert_uint_eq(accounts_used(&accounts, ALICE, QUOTA_INPUT), 182);
        say(last(), b, "PING 012345678901234567890"); /* the bound is passed */
        say(last(), c, "PING\r\n");
        ck_assert_int_eq(waits(last(), b), CLIENT_LEASES);
        say(last(), b, "\r\n");
        hears(last(), b, NULL);
        say(last(), bob, "PING\r\n");
        hears(last(), bob, "+PONG");
        for (int i = 0; i < 5; i++)
                pass(NSEC_PER_SEC);
        hears(last(), b, "$21\r\n012345678901234567890\r\n");
        hears(last(), c, "+PONG");
        ck_assert(cluster_is_open(&cl, 0, a));
        finish();
}
END_TEST

/* Nobody can go on before he has read more, and nobody may: the one with most ends, the other goes on. */
START_TEST(two_halves_of_requests_do_not_wait_for_each_other)
{
        int a, b;

        start(shard_counts[_i], &(struct policy_limits){ .input_user = 500 });
        a = cluster_connect(&cl, 0, ALICE);
        b = cluster_connect(&cl, last(), ALICE);
        say_part(0, a, 300);
        say_part(last(), b, 150);
        ck_assert(cluster_is_open(&cl, 0, a) && cluster_is_open(&cl, last(), b));
        say(last(), b, "12345678901234567890123456789012345678901234567890123456789");
        say(0, a, "x");
        ck_assert_uint_eq(cluster_is_open(&cl, 0, a) + cluster_is_open(&cl, last(), b), 1);
        finish();
}
END_TEST

/* Nor does one wait for another that is still read from, and says no more. */
START_TEST(a_half_that_says_no_more_makes_nobody_wait)
{
        int a, b, bob;

        start(shard_counts[_i], &(struct policy_limits){ .input_user = 500 });
        a = cluster_connect(&cl, 0, ALICE);
        b = cluster_connect(&cl, last(), ALICE);
        bob = cluster_connect(&cl, last(), BOB);
        say_part(last(), bob, 400);
        say_part(0, a, 300);
        say_part(last(), b, 260); /* all that is heard */
        hears(0, a, "-ERR the limit of 500 for all clients of your user is reached: max_input_per_user\r\n");
        ck_assert(!cluster_is_open(&cl, 0, a));
        ck_assert_int_eq(waits(last(), b), CLIENT_RUNS);
        hears(last(), b, NULL);
        ck_assert_int_eq(waits(last(), bob), CLIENT_RUNS);
        finish();
}
END_TEST

/* Commands between MULTI and EXEC are not executed either. */
START_TEST(a_transaction_that_waits_counts_as_input)
{
        int a;

        start(shard_counts[_i], &(struct policy_limits){ .input_user = 1000 });
        a = cluster_connect(&cl, 0, ALICE);
        say(0, a, "MULTI\r\n");
        for (int i = 0; i < 6; i++)
                say(0, a, "PING 1\r\n");
        ck_assert_uint_gt(accounts_used(&accounts, ALICE, QUOTA_INPUT), 300);
        say(0, a, "DISCARD\r\nMULTI\r\n");
        ck_assert_uint_eq(accounts_used(&accounts, ALICE, QUOTA_INPUT), 0);
        for (int i = 0; i < 30 && cluster_is_open(&cl, 0, a); i++)
                say(0, a, "PING 1\r\n");
        hears(0, a, "max_input_per_user");
        ck_assert(!cluster_is_open(&cl, 0, a));
        finish();
}
END_TEST

/* Messages that wait for another shard are their publisher's, not their subscriber's. */
START_TEST(backlogs_of_the_mesh_are_charged_to_who_published)
{
        int a, a2, bob;

        start_capacity(2, &(struct policy_limits){ .input_user = 500 }, 2, 100000);
        a = cluster_connect(&cl, 0, ALICE);
        a2 = cluster_connect(&cl, 0, ALICE);
        bob = cluster_connect(&cl, 1, BOB);
        say(1, bob, "SUBSCRIBE news\r\n");
        hears(1, bob, ":1\r\n");
        for (int i = 0; i < 12; i++)
                cluster_say(&cl, 0, a, message40);
        cluster_turn(&cl, 0);
        cluster_turn(&cl, 0);
        ck_assert_uint_gt(accounts_used(&accounts, ALICE, QUOTA_INPUT), 500);
        ck_assert_uint_eq(accounts_used(&accounts, BOB, QUOTA_INPUT), 0);
        cluster_control(&cl); /* says: no more */
        cluster_turn(&cl, 0);
        cluster_control(&cl);
        cluster_turn(&cl, 0);
        ck_assert_int_eq(waits(0, a), CLIENT_LEASES);
        ck_assert_int_eq(waits(0, a2), CLIENT_LEASES);
        settle(); /* the other shard drains */
        ck_assert_int_eq(waits(0, a), CLIENT_RUNS);
        ck_assert_int_eq(waits(0, a2), CLIENT_RUNS);
        ck_assert_uint_eq(accounts_used(&accounts, ALICE, QUOTA_INPUT), 0);
        finish();
}
END_TEST

START_TEST(limits_of_input_come_and_go)
{
        int a, b;

        start(shard_counts[_i], &(struct policy_limits){ 0 });
        a = cluster_connect(&cl, 0, ALICE);
        b = cluster_connect(&cl, last(), ALICE);
        say_part(0, a, 300);
        say_part(last(), b, 100);
        limit(&(struct policy_limits){ .input_user = 400 });
        ck_assert_uint_eq(ledger_leased(accounts.ledger, ALICE, QUOTA_INPUT, cl.n_shards), 400);
        limit(&(struct policy_limits){ 0 });
        say_part(0, a, 900);
        ck_assert(cluster_is_open(&cl, 0, a) && cluster_is_open(&cl, last(), b));
        ck_assert_int_eq(waits(0, a), CLIENT_RUNS);
        finish();
}
END_TEST

/* ------------------------------------------------------------------ leases */

START_TEST(a_lease_that_nobody_uses_returns)
{
        int a;

        start(shard_counts[_i], &(struct policy_limits){ .subscriptions_user = 1000, .messages_user = 1000 });
        a = cluster_connect(&cl, 0, ALICE);
        say(0, a, "PUBLISH x 1\r\nSUBSCRIBE x\r\n");
        ck_assert_uint_gt(ledger_leased(accounts.ledger, ALICE, QUOTA_SUBSCRIPTIONS, 0), 1);
        ck_assert_uint_gt(ledger_leased(accounts.ledger, ALICE, QUOTA_MESSAGES, 0), 1);
        for (int i = 0; i < 3; i++)
                pass(NSEC_PER_SEC);
        ck_assert_uint_eq(ledger_leased(accounts.ledger, ALICE, QUOTA_SUBSCRIPTIONS, 0), 1);
        ck_assert_uint_eq(ledger_leased(accounts.ledger, ALICE, QUOTA_MESSAGES, 0), 0);
        say(0, a, "RESET\r\n");
        for (int i = 0; i < 3; i++)
                pass(NSEC_PER_SEC);
        ck_assert_uint_eq(ledger_accounts(accounts.ledger), 0); /* although the client is there */
        finish();
}
END_TEST

START_TEST(a_stop_is_no_matter_of_leases)
{
        int a;

        start(shard_counts[_i], &(struct policy_limits){ .subscriptions_user = 4, .messages_user = 1 });
        a = cluster_connect(&cl, 0, ALICE);
        say(0, a, "PUBLISH x 1\r\nPUBLISH x 1\r\n");
        ck_assert_int_eq(waits(0, a), CLIENT_LEASES);
        cluster_say(&cl, 0, cluster_connect(&cl, 0, ALICE), "SUBSCRIBE a\r\n");
        cluster_turn(&cl, 0);
        cluster_deinit(&cl);
        accounts_deinit(&accounts);
}
END_TEST

static void add(TCase *cases)
{
        tcase_add_loop_test(cases, subscriptions_of_a_user_count_over_clients_and_shards, 0, 2);
        tcase_add_loop_test(cases, patterns_have_a_bound_of_their_own, 0, 2);
        tcase_add_loop_test(cases, who_is_refused_is_refused_in_its_turn, 0, 2);
        tcase_add_loop_test(cases, one_who_wants_no_replies_gets_no_refusal, 0, 2);
        tcase_add_loop_test(cases, a_transaction_asks_for_all_before_it_runs, 0, 2);
        tcase_add_loop_test(cases, limits_of_subscriptions_come_and_go, 0, 2);
        tcase_add_test(cases, who_asked_may_be_gone_when_the_answer_comes);
        tcase_add_test(cases, a_refusal_is_for_who_asked);
        tcase_add_loop_test(cases, messages_of_a_user_come_later_over_the_rate, 0, 2);
        tcase_add_loop_test(cases, payload_has_a_rate_too_and_one_message_may_be_a_debt, 0, 2);
        tcase_add_test(cases, the_clients_of_a_user_take_turns);
        tcase_add_test(cases, what_another_shard_has_over_does_not_have_to_flow_in_again);
        tcase_add_loop_test(cases, a_transaction_pays_for_all_its_messages_at_once, 0, 2);
        tcase_add_loop_test(cases, rates_come_and_go, 0, 2);
        tcase_add_loop_test(cases, output_of_a_user_is_bounded_over_clients_and_shards, 0, 2);
        tcase_add_loop_test(cases, what_a_client_has_taken_meanwhile_does_not_count, 0, 2);
        tcase_add_loop_test(cases, the_output_of_all_users_has_a_bound, 0, 2);
        tcase_add_test(cases, a_shard_alone_never_leaves_more_than_the_bound);
        tcase_add_loop_test(cases, a_bound_of_output_drops_by_the_rules, 0, 4);
        tcase_add_loop_test(cases, limits_of_output_come_and_go, 0, 2);
        tcase_add_loop_test(cases, a_request_that_never_fits_is_told_so, 0, 2);
        tcase_add_loop_test(cases, over_the_bound_reading_pauses_until_input_was_executed, 0, 2);
        tcase_add_loop_test(cases, two_halves_of_requests_do_not_wait_for_each_other, 0, 2);
        tcase_add_loop_test(cases, a_half_that_says_no_more_makes_nobody_wait, 0, 2);
        tcase_add_loop_test(cases, a_transaction_that_waits_counts_as_input, 0, 2);
        tcase_add_test(cases, backlogs_of_the_mesh_are_charged_to_who_published);
        tcase_add_loop_test(cases, limits_of_input_come_and_go, 0, 2);
        tcase_add_loop_test(cases, a_lease_that_nobody_uses_returns, 0, 2);
        tcase_add_loop_test(cases, a_stop_is_no_matter_of_leases, 0, 2);
}

int main(void)
{
        return suite_run("user", add);
}
