/* SPDX-License-Identifier: MIT */
/* What clients may do, on whole shards with fake reactors: each command, and what a new policy ends. */

#include "shard/permit.h"

#include <stdio.h>

#include "shard/command.h"
#include "shard/message.h"
#include "shard/policy.h"
#include "shard/state.h"
#include "shard/transaction.h"
#include "support/cluster.h"
#include "support/suite.h"
#include "util/clock.h"
#include "util/prng.h"

static struct cluster cl;

static const unsigned shard_counts[] = { 1, 3 };

#define NOPERM "-NOPERM No permissions to access a channel\r\n"
#define CHANGED                                                                                                \
        "-NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. "    \
        "This "                                                                                                \
        "command is no longer allowed for the following reason: "
static const char aborted[] = "-EXECABORT Transaction discarded because of previous errors.\r\n";
#define NOCOMMAND(_name) "-NOPERM User default has no permissions to run the '" _name "' command\r\n"

#define P (1u << ACCESS_PUBLISH)
#define S (1u << ACCESS_SUBSCRIBE)
#define Q (1u << ACCESS_PSUBSCRIBE)
#define A (1u << ACCESS_ADMIN)

#define ALLOW(_actions) .deny = false, .actions = (_actions)
#define DENY(_actions)  .deny = true, .actions = (_actions)
#define USER(_uid)      .users = &(const struct access_range){ _uid, _uid }, .n_users = 1
#define CHANNEL(_text)                                                                                         \
        .channels = &(const struct bytes){ (const uint8_t *)(_text), sizeof(_text) - 1 }, .n_channels = 1

/* ------------------------------------------------------------------ policies */

#define LIMITS                                                                                                 \
        {                                                                                                      \
                .request_bytes = 1 << 20, .output_hard = 1 << 20                                               \
        }
/* Whoever authenticated in a test still has the secret under the next policy. */
static const struct policy_secret secrets[] = { { .name = "ann" }, { .name = "joe" } };
static const struct policy no_rules = { .limits = LIMITS, .secrets = secrets, .n_secrets = 2 };

static struct policy policies[8];
static unsigned n_policies;

/* Lives until stop(). */
static const struct policy *policy_of(bool allow_by_default, const struct access_rule *rules, unsigned n)
{
        struct policy *policy = &policies[n_policies++];

        ck_assert_uint_le(n_policies, sizeof(policies) / sizeof(*policies));
        *policy = no_rules;
        policy->access = access_new(rules, n, allow_by_default);
        return policy;
}

#define POLICY(_default, ...)                                                                                  \
        policy_of(_default, (const struct access_rule[]){ __VA_ARGS__ },                                       \
                  sizeof((const struct access_rule[]){ __VA_ARGS__ }) / sizeof(struct access_rule))

static void start(unsigned n_shards, const struct policy *policy)
{
        cluster_init(&cl, &(struct cluster_options){ .n_shards = n_shards,
                                                     .capacity = 4,
                                                     .backlog_bytes = 100000,
                                                     .drain_budget = 3,
                                                     .policy = policy });
}

static void stop(void)
{
        cluster_deinit(&cl);
        while (n_policies > 0)
                access_free((struct access *)(uintptr_t)policies[--n_policies].access);
}

/* A policy is under way to all shards; nobody took it yet. */
static void send_policy(const struct policy *policy)
{
        for (unsigned i = 0; i < cl.n_shards; i++) {
                struct message_policy *m = port_send(cl.control, i, MESSAGE_POLICY, sizeof(*m), PORT_UNCOUNTED);

                m->policy = policy;
        }
        port_flush(cl.control);
}

/* ------------------------------------------------------------------ clients */

static void check_heard(unsigned shard, int fd, const char *expected)
{
        char *heard = cluster_hear(&cl, shard, fd);

        ck_assert_str_eq(heard, expected);
        free(heard);
}

static void check(unsigned shard, int fd, const char *say, const char *expected)
{
        cluster_say(&cl, shard, fd, say);
        cluster_settle(&cl);
        check_heard(shard, fd, expected);
}

static int connect_resp3(unsigned shard, uid_t uid)
{
        int fd = cluster_connect(&cl, shard, uid);

        cluster_say(&cl, shard, fd, "HELLO 3\r\n");
        cluster_settle(&cl);
        free(cluster_hear(&cl, shard, fd));
        return fd;
}

static struct client *client_at(unsigned shard, int fd)
{
        struct client *c = client_find(cl.shards[shard], (uint64_t)fd); /* the cluster numbers both alike */

        ck_assert_ptr_nonnull(c);
        return c;
}

/* It authenticated, or did so anew. */
static void set_identity(struct client *c, const char *user)
{
        client_set_text(&c->user, user ? bytes_str(user) : (struct bytes){ 0 });
        permit_classify(c);
}

#define SUM(_counter)                                                                                          \
        ({                                                                                                     \
                uint64_t _sum = 0;                                                                             \
                for (unsigned _k = 0; _k < cl.n_shards; _k++)                                                  \
                        _sum += cl.shards[_k]->status._counter;                                                \
                _sum;                                                                                          \
        })

/* ------------------------------------------------------------------ commands */

START_TEST(publish_is_refused_where_no_rule_allows_it)
{
        int fd, subscriber;

        start(shard_counts[_i], POLICY(false, { ALLOW(P), CHANNEL("a.*") }, { ALLOW(S), USER(8) }));
        fd = cluster_connect(&cl, 0, 7);
        subscriber = cluster_connect(&cl, cl.n_shards - 1, 8);
        for (int round = 0; round < 3; round++) { /* nobody wants them; then a topic knows the verdict */
                check(0, fd, "PUBLISH x 1\r\n", NOPERM);
                check(0, fd, "SPUBLISH x 1\r\n", NOPERM);
                check(0, fd, "PUBLISH a. 1\r\n", round ? ":1\r\n" : ":0\r\n");
                check(0, fd, "SPUBLISH a. 1\r\n", ":0\r\n");
                if (!round)
                        check(cl.n_shards - 1, subscriber, "SUBSCRIBE x a.\r\n",
                              "*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$2\r\na.\r\n:"
                              "2\r\n");
        }
        check_heard(
                cl.n_shards - 1, subscriber,
                "*3\r\n$7\r\nmessage\r\n$2\r\na.\r\n$1\r\n1\r\n*3\r\n$7\r\nmessage\r\n$2\r\na.\r\n$1\r\n1\r\n");
        ck_assert_uint_eq(SUM(denied_publish), 6);
        check(0, fd, "PING\r\n", "+PONG\r\n");
        ck_assert_uint_eq(SUM(messages_in), 6);
        ck_assert_uint_eq(*cl.shards[0]->publish_calls, 3);
        ck_assert_uint_eq(cl.shards[0]->counts.commands[command_number(cl.shards[0]->publish, NULL)].rejected,
                          3);
        stop();
}
END_TEST

START_TEST(a_subscribed_client_is_asked_as_well)
{
        int fd;

        start(shard_counts[_i], POLICY(true, { DENY(P), CHANNEL("x") }));
        fd = connect_resp3(0, 7);
        check(0, fd, "SUBSCRIBE x\r\n", ">3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n");
        check(0, fd, "PUBLISH x 1\r\n", NOPERM);
        ck_assert_uint_eq(cl.shards[0]->counts.commands[command_number(cl.shards[0]->publish, NULL)].rejected,
                          1);
        stop();
}
END_TEST

START_TEST(a_subscription_is_made_whole_or_not_at_all)
{
        static const char *const commands[] = { "SUBSCRIBE a.1 x a.2\r\n", "SSUBSCRIBE a.1 x\r\n",
                                                "PSUBSCRIBE a.1* a*\r\n", "PSUBSCRIBE *\r\n" };
        int fd;

        start(shard_counts[_i / 2], POLICY(false, { ALLOW(S | Q), CHANNEL("a.*") }));
        fd = _i % 2 ? connect_resp3(0, 7) : cluster_connect(&cl, 0, 7);
        for (unsigned i = 0; i < 4; i++)
                check(0, fd, commands[i], NOPERM);
        ck_assert_uint_eq(SUM(subscriptions), 0);
        ck_assert_uint_eq(SUM(denied_subscribe), 4);
        check(0, fd, "PSUBSCRIBE a.?*\r\n",
              _i % 2 ? ">3\r\n$10\r\npsubscribe\r\n$4\r\na.?*\r\n:1\r\n"
                     : "*3\r\n$10\r\npsubscribe\r\n$4\r\na.?*\r\n:1\r\n");
        check(0, fd, "SUBSCRIBE a.1\r\n",
              _i % 2 ? ">3\r\n$9\r\nsubscribe\r\n$3\r\na.1\r\n:2\r\n"
                     : "*3\r\n$9\r\nsubscribe\r\n$3\r\na.1\r\n:2\r\n");
        stop();
}
END_TEST

/* The error does not overtake the acknowledgement of what was said before. */
START_TEST(a_refusal_comes_in_its_place)
{
        int fd;

        start(shard_counts[_i], POLICY(false, { ALLOW(S), CHANNEL("a*") }));
        fd = cluster_connect(&cl, 0, 7);
        check(0, fd, "SUBSCRIBE a\r\nSUBSCRIBE x\r\nSUBSCRIBE ab\r\nUNSUBSCRIBE ab\r\nSUBSCRIBE y\r\nPING\r\n",
              "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n" NOPERM "*3\r\n$9\r\nsubscribe\r\n$2\r\nab\r\n:2\r\n"
              "*3\r\n$11\r\nunsubscribe\r\n$2\r\nab\r\n:1\r\n" NOPERM "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
        stop();
}
END_TEST

START_TEST(a_silent_client_is_not_told)
{
        int fd;

        start(shard_counts[_i], POLICY(false, { ALLOW(S), CHANNEL("a*") }));
        fd = cluster_connect(&cl, 0, 7);
        check(0, fd, "CLIENT REPLY OFF\r\nSUBSCRIBE x\r\nPUBLISH x 1\r\nSUBSCRIBE a\r\n",
              "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
        ck_assert_uint_eq(SUM(denied_subscribe), 1);
        stop();
}
END_TEST

START_TEST(names_that_look_like_patterns_are_names)
{
        static const char say[] = "*3\r\n$7\r\nPUBLISH\r\n$1\r\n*\r\n$1\r\nx\r\n"
                                  "*3\r\n$7\r\nPUBLISH\r\n$1\r\n#\r\n$1\r\nx\r\n"
                                  "*3\r\n$7\r\nPUBLISH\r\n$1\r\n[\r\n$1\r\nx\r\n"
                                  "*3\r\n$7\r\nPUBLISH\r\n$1\r\n\\\r\n$1\r\nx\r\n"
                                  "*3\r\n$7\r\nPUBLISH\r\n$1\r\n\0\r\n$1\r\nx\r\n"
                                  "*3\r\n$7\r\nPUBLISH\r\n$3\r\na.*\r\n$1\r\nx\r\n"
                                  "*3\r\n$7\r\nPUBLISH\r\n$3\r\na.\0\r\n$1\r\nx\r\n"
                                  "*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\n*\r\n";
        int fd;

        start(shard_counts[_i], POLICY(false, { ALLOW(P | S), CHANNEL("a.*") }));
        fd = cluster_connect(&cl, 0, 7);
        fake_feed(cl.fakes[0], fd, say, sizeof(say) - 1);
        cluster_settle(&cl);
        check_heard(0, fd, NOPERM NOPERM NOPERM NOPERM NOPERM ":0\r\n:0\r\n" NOPERM);
        stop();
}
END_TEST

START_TEST(a_name_of_64_kib_is_a_name)
{
        size_t size = 65536;
        char *say = malloc(size + 100), *p = say;
        int fd;

        start(shard_counts[_i], POLICY(false, { ALLOW(P), CHANNEL("a*") }));
        fd = cluster_connect(&cl, 0, 7);
        for (unsigned i = 0; i < 2; i++) {
                p = say + sprintf(say, "*3\r\n$7\r\nPUBLISH\r\n$%zu\r\n", size);
                memset(p, '*', size);
                *p = i ? 'a' : '*';
                strcpy(p + size, "\r\n$1\r\nx\r\n");
                check(0, fd, say, i ? ":0\r\n" : NOPERM);
        }
        free(say);
        stop();
}
END_TEST

/* For everybody, whatever the rules, and whether or not somebody listens. */
START_TEST(channels_of_the_broker_are_nobodys)
{
        static const char refused[] =
                "-NOPERM channels that begin with '__brokerd__:' are the broker's: only it publishes there\r\n";
        char expected[256];
        int root, fd;

        start(shard_counts[_i / 2], _i % 2 ? POLICY(true, { ALLOW(P) }) : &no_rules);
        root = connect_resp3(0, 0);
        fd = cluster_connect(&cl, 0, 7);
        for (unsigned round = 0; round < 2; round++) {
                check(0, root, "PUBLISH __brokerd__:loss x\r\n", refused);
                check(0, root, "SPUBLISH __brokerd__: x\r\n", refused);
                check(0, fd, "PUBLISH __brokerd__:loss x\r\n", refused);
                check(0, fd, "PUBLISH __brokerd__ x\r\n", ":0\r\n");
                check(0, fd, "PUBLISH __Brokerd__:loss x\r\n", ":0\r\n");
                check(0, fd, "PUBLISH __brokerd__;loss x\r\n", ":0\r\n");
                if (!round)
                        check(0, root, "SUBSCRIBE __brokerd__:loss\r\nSSUBSCRIBE __brokerd__:\r\n",
                              ">3\r\n$9\r\nsubscribe\r\n$16\r\n__brokerd__:loss\r\n:1\r\n"
                              ">3\r\n$10\r\nssubscribe\r\n$12\r\n__brokerd__:\r\n:1\r\n");
        }
        snprintf(expected, sizeof(expected), "+OK\r\n%s%s", refused, aborted);
        check(0, fd, "MULTI\r\nPUBLISH __brokerd__:x 1\r\nEXEC\r\n", expected);
        stop();
}
END_TEST

START_TEST(rules_give_and_take_the_right_to_administer)
{
        int root, user, other;

        start(shard_counts[_i], POLICY(true, { ALLOW(A), USER(7) }, { DENY(A), USER(0) }));
        root = cluster_connect(&cl, 0, 0);
        user = cluster_connect(&cl, 0, 7);
        other = cluster_connect(&cl, 0, 8);
        check(0, root, "CONFIG GET x\r\nBROKER STATUS\r\nSHUTDOWN\r\n",
              NOCOMMAND("config|get") NOCOMMAND("broker|status") NOCOMMAND("shutdown"));
        check(0, other, "CONFIG GET x\r\n", NOCOMMAND("config|get"));
        check(0, other, "CONFIG HELP x\r\n", "-ERR wrong number of arguments for 'config|help' command\r\n");
        check(0, user, "CONFIG GET x\r\n", "*0\r\n");
        ck_assert_uint_eq(SUM(denied_admin), 4);
        cluster_set_policy(&cl, &no_rules);
        check(0, root, "CONFIG GET x\r\n", "*0\r\n");
        check(0, user, "CONFIG GET x\r\n", NOCOMMAND("config|get"));
        stop();
}
END_TEST

START_TEST(supplementary_groups_count)
{
        static const uint32_t groups[] = { 70, 71, 72 };
        struct message_adopt peer = { .path = CLUSTER_PATH, .uid = 7, .gid = 5, .n_groups = 3 };
        int member, primary, other;

        start(shard_counts[_i], POLICY(false, { ALLOW(P), .groups = &groups[2], .n_groups = 1 }));
        member = cluster_connect_as(&cl, 0, &peer, groups);
        peer.n_groups = 0;
        other = cluster_connect_as(&cl, 0, &peer, NULL);
        peer.gid = 72;
        primary = cluster_connect_as(&cl, 0, &peer, NULL);
        check(0, member, "PUBLISH x 1\r\n", ":0\r\n");
        check(0, primary, "PUBLISH x 1\r\n", ":0\r\n");
        check(0, other, "PUBLISH x 1\r\n", NOPERM);
        stop();
}
END_TEST

/* ------------------------------------------------------------------ transactions */

START_TEST(a_transaction_is_spoilt_by_what_is_forbidden)
{
        static const char *const commands[] = { "PUBLISH x 1\r\n", "SPUBLISH x 1\r\n", "SUBSCRIBE a x\r\n",
                                                "PSUBSCRIBE *\r\n" };
        char expected[256];
        int fd;

        start(shard_counts[_i / 2], POLICY(false, { ALLOW(P | S | Q), CHANNEL("a*") }));
        fd = _i % 2 ? connect_resp3(0, 7) : cluster_connect(&cl, 0, 7);
        for (unsigned i = 0; i < 4; i++) {
                check(0, fd, "MULTI\r\nPUBLISH a 1\r\n", "+OK\r\n+QUEUED\r\n");
                check(0, fd, commands[i], NOPERM);
                check(0, fd, "EXEC\r\n", aborted);
        }
        snprintf(expected, sizeof(expected),
                 "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:0\r\n%s\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n",
                 _i % 2 ? ">3" : "*3");
        check(0, fd, "MULTI\r\nPUBLISH a 1\r\nSUBSCRIBE a\r\nEXEC\r\n", expected);
        ck_assert_uint_eq(SUM(messages_in), 1);
        stop();
}
END_TEST

START_TEST(what_was_allowed_is_asked_again_when_it_is_executed)
{
        static const char channel[] =
                CHANGED "no permission to access one of the channels used as arguments\r\n",
                          command[] = CHANGED "no permission to execute the command or subcommand\r\n";
        char expected[2048];
        int fd;

        start(shard_counts[_i / 2], POLICY(true, { ALLOW(A) }));
        fd = _i % 2 ? connect_resp3(0, 7) : cluster_connect(&cl, 0, 7);
        check(0, fd,
              "MULTI\r\nPUBLISH x 1\r\nSUBSCRIBE a x\r\nPSUBSCRIBE x*\r\nCONFIG GET x\r\nPUBLISH a 1\r\n",
              "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n");
        cluster_set_policy(&cl, POLICY(false, { ALLOW(P | S | Q), CHANNEL("a*") }));
        snprintf(expected, sizeof(expected), "*5\r\n%s%s%s%s:0\r\n", channel, channel, channel, command);
        check(0, fd, "EXEC\r\n", expected);
        ck_assert_uint_eq(SUM(subscriptions), 0);
        check(0, fd, "PUBSUB NUMPAT\r\n", ":0\r\n");
        stop();
}
END_TEST

/* ------------------------------------------------------------------ patterns */

START_TEST(what_deny_rules_cover_is_kept_from_patterns)
{
        unsigned last = shard_counts[_i] - 1;
        int publisher, less, all;

        start(shard_counts[_i], POLICY(true, { DENY(S), CHANNEL("secret.*"), USER(7) }));
        publisher = cluster_connect(&cl, 0, 1);
        less = cluster_connect(&cl, last, 7);
        all = connect_resp3(last, 8);
        check(last, less, "PSUBSCRIBE *\r\n", "*3\r\n$10\r\npsubscribe\r\n$1\r\n*\r\n:1\r\n");
        check(last, less, "PSUBSCRIBE secret.a*\r\n", NOPERM);
        check(last, all, "PSUBSCRIBE *\r\n", ">3\r\n$10\r\npsubscribe\r\n$1\r\n*\r\n:1\r\n");
        /* the count is that of those who match: only their shards know what is kept from them */
        check(0, publisher, "PUBLISH secret.a 1\r\nPUBLISH secret.a 2\r\nPUBLISH b 3\r\nPUBLISH secret. 4\r\n",
              ":2\r\n:2\r\n:2\r\n:2\r\n");
        check_heard(last, less, "*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\nb\r\n$1\r\n3\r\n");
        check_heard(last, all,
                    ">4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$8\r\nsecret.a\r\n$1\r\n1\r\n"
                    ">4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$8\r\nsecret.a\r\n$1\r\n2\r\n"
                    ">4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\nb\r\n$1\r\n3\r\n"
                    ">4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$7\r\nsecret.\r\n$1\r\n4\r\n");
        ck_assert_uint_eq(SUM(messages_out), 5);
        ck_assert_uint_eq(SUM(messages_withheld), 3);
        check(last, less, "PUNSUBSCRIBE\r\n", "*3\r\n$12\r\npunsubscribe\r\n$1\r\n*\r\n:0\r\n");
        check(0, publisher, "PUBLISH secret.a 1\r\n", ":1\r\n");
        ck_assert_uint_eq(SUM(messages_withheld), 3);
        stop();
}
END_TEST

/* A right to hear a part less may come and go while the pattern stays. */
START_TEST(a_new_policy_changes_what_a_pattern_hears)
{
        unsigned last = shard_counts[_i] - 1;
        int publisher, fd;

        start(shard_counts[_i], &no_rules);
        publisher = cluster_connect(&cl, 0, 1);
        fd = cluster_connect(&cl, last, 7);
        check(last, fd, "PSUBSCRIBE *\r\n", "*3\r\n$10\r\npsubscribe\r\n$1\r\n*\r\n:1\r\n");
        cluster_set_policy(&cl, POLICY(true, { DENY(Q), CHANNEL("a") }));
        check(0, publisher, "PUBLISH a 1\r\nPUBLISH b 1\r\n", ":1\r\n:1\r\n");
        check_heard(last, fd, "*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\nb\r\n$1\r\n1\r\n");
        cluster_set_policy(&cl, POLICY(true, { DENY(Q), CHANNEL("b") }));
        check(0, publisher, "PUBLISH a 1\r\nPUBLISH b 1\r\n", ":1\r\n:1\r\n");
        check_heard(last, fd, "*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\na\r\n$1\r\n1\r\n");
        cluster_set_policy(&cl, &no_rules);
        check(0, publisher, "PUBLISH a 2\r\n", ":1\r\n");
        check_heard(last, fd, "*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\na\r\n$1\r\n2\r\n");
        ck_assert_uint_eq(SUM(subscriptions), 1);
        stop();
}
END_TEST

/* ------------------------------------------------------------------ rights that end */

/* Known failure 41. */
START_TEST(a_subscription_ends_with_the_right_to_it)
{
        unsigned n = shard_counts[_i / 2], last = n - 1;
        const char *push = _i % 2 ? ">3" : "*3";
        char expected[512];
        int publisher, fd;

        start(n, &no_rules);
        publisher = cluster_connect(&cl, 0, 1);
        fd = _i % 2 ? connect_resp3(last, 7) : cluster_connect(&cl, last, 7);
        cluster_say(&cl, last, fd, "SUBSCRIBE a x\r\nPSUBSCRIBE a* x*\r\nSSUBSCRIBE a x\r\n");
        cluster_settle(&cl);
        free(cluster_hear(&cl, last, fd));
        cluster_set_policy(&cl, POLICY(true, { DENY(S | Q), CHANNEL("x*"), USER(7) }));
        snprintf(expected, sizeof(expected),
                 "%s\r\n$11\r\nunsubscribe\r\n$1\r\nx\r\n:3\r\n%s\r\n$12\r\npunsubscribe\r\n$2\r\nx*\r\n:2\r\n"
                 "%s\r\n$12\r\nsunsubscribe\r\n$1\r\nx\r\n:1\r\n",
                 push, push, push);
        check_heard(last, fd, expected);
        check(0, publisher, "PUBLISH x 1\r\nSPUBLISH x 1\r\nPUBLISH a 1\r\nSPUBLISH a 1\r\n",
              ":0\r\n:0\r\n:2\r\n:1\r\n");
        free(cluster_hear(&cl, last, fd));
        ck_assert_uint_eq(SUM(subscriptions), 3);
        ck_assert_uint_eq(SUM(subscriptions_ended), 3);
        for (unsigned i = 0; i < n; i++)
                ck_assert(list_empty(&cl.shards[i]->unchecked));
        /* and with the right it may come back */
        check(last, fd, "SUBSCRIBE x\r\n", NOPERM);
        cluster_set_policy(&cl, &no_rules);
        snprintf(expected, sizeof(expected), "%s\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:3\r\n", push);
        check(last, fd, "SUBSCRIBE x\r\n", expected);
        stop();
}
END_TEST

/* What a topic knows of one policy is nothing under the next. */
START_TEST(a_verdict_does_not_outlive_its_policy)
{
        unsigned last = shard_counts[_i] - 1;
        int fd, subscriber;

        start(shard_counts[_i], POLICY(false, { ALLOW(P | S) }));
        fd = cluster_connect(&cl, 0, 7);
        subscriber =
                cluster_connect(&cl, last, 8); /* elsewhere, so that nobody but PUBLISH looks at the topic */
        check(last, subscriber, "SUBSCRIBE x\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n");
        check(0, fd, "PUBLISH x 1\r\nPUBLISH x 1\r\n", ":1\r\n:1\r\n");
        cluster_set_policy(&cl, POLICY(false, { ALLOW(S) }));
        check(0, fd, "PUBLISH x 1\r\nPUBLISH x 1\r\n", NOPERM NOPERM);
        cluster_set_policy(&cl, POLICY(true, { ALLOW(S) }));
        check(0, fd, "PUBLISH x 1\r\n", ":1\r\n");
        stop();
}
END_TEST

START_TEST(a_silent_client_is_told_the_end)
{
        unsigned last = shard_counts[_i] - 1;
        int fd;

        start(shard_counts[_i], &no_rules);
        fd = cluster_connect(&cl, last, 7);
        check(last, fd, "CLIENT REPLY OFF\r\nSUBSCRIBE x\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n");
        cluster_set_policy(&cl, POLICY(false, { DENY(S) }));
        check_heard(last, fd, "*3\r\n$11\r\nunsubscribe\r\n$1\r\nx\r\n:0\r\n");
        stop();
}
END_TEST

/* A subscription that the other shards have not confirmed is acknowledged, and ends in the same breath. */
START_TEST(a_pending_subscription_ends_behind_its_acknowledgement)
{
        int fd, publisher;

        start(3, &no_rules);
        fd = cluster_connect(&cl, 0, 7);
        publisher = cluster_connect(&cl, 1, 1);
        check(0, fd, "SUBSCRIBE b\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:1\r\n");
        cluster_say(&cl, 0, fd, "SUBSCRIBE x a\r\n");
        cluster_turn(&cl, 0);
        ck_assert_int_eq(client_at(0, fd)->wait, CLIENT_GATHERS);
        send_policy(POLICY(true, { DENY(S), CHANNEL("x") }, { DENY(S), CHANNEL("b") }));
        cluster_turn(&cl, 0);
        ck_assert_int_eq(client_at(0, fd)->wait, CLIENT_GATHERS);
        check_heard(0, fd, "");
        cluster_settle(&cl);
        check_heard(
                0, fd,
                "*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:2\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:3\r\n"
                "*3\r\n$11\r\nunsubscribe\r\n$1\r\nb\r\n:2\r\n*3\r\n$11\r\nunsubscribe\r\n$1\r\nx\r\n:1\r\n");
        check(1, publisher, "PUBLISH x 1\r\nPUBLISH b 1\r\nPUBLISH a 1\r\n", ":0\r\n:0\r\n:1\r\n");
        check_heard(0, fd, "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\n1\r\n");
        stop();
}
END_TEST

/* An EXEC waits for the others with what it subscribes to, and with what it has and may subscribe to again. */
START_TEST(an_exec_that_waits_makes_only_what_is_allowed_then)
{
        static const char channel[] =
                CHANGED "no permission to access one of the channels used as arguments\r\n";
        char expected[1024];
        int fd, publisher;

        start(3, &no_rules);
        fd = connect_resp3(0, 7);
        publisher = cluster_connect(&cl, 1, 1);
        check(0, fd, "SUBSCRIBE x\r\nMULTI\r\nSUBSCRIBE x\r\nSUBSCRIBE y\r\nSUBSCRIBE a\r\n",
              ">3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n");
        cluster_say(&cl, 0, fd, "EXEC\r\n");
        cluster_turn(&cl, 0);
        ck_assert_int_eq(client_at(0, fd)->wait, CLIENT_GATHERS);
        send_policy(POLICY(true, { DENY(S), CHANNEL("[xy]") }));
        cluster_turn(&cl, 0);
        ck_assert_uint_eq(SUM(subscriptions), 0);
        if (_i)
                send_policy(&no_rules); /* the right is back before it runs */
        cluster_settle(&cl);
        snprintf(expected, sizeof(expected),
                 ">3\r\n$11\r\nunsubscribe\r\n$1\r\nx\r\n:0\r\n*3\r\n%s%s>3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:%"
                 "d\r\n",
                 _i ? ">3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n" : channel,
                 _i ? ">3\r\n$9\r\nsubscribe\r\n$1\r\ny\r\n:2\r\n" : channel, _i ? 3 : 1);
        check_heard(0, fd, expected);
        check(1, publisher, "PUBLISH x 1\r\nPUBLISH y 1\r\nPUBLISH a 1\r\n",
              _i ? ":1\r\n:1\r\n:1\r\n" : ":0\r\n:0\r\n:1\r\n");
        stop();
}
END_TEST

/* EXEC has run and waits for what it asked; what it subscribed to ends behind its reply, not inside of it. */
START_TEST(an_end_stands_behind_the_reply_of_an_exec)
{
        char *heard, *end;
        int fd;

        start(3, &no_rules);
        fd = connect_resp3(0, 0);
        check(0, fd, "MULTI\r\nSUBSCRIBE x\r\nCLIENT LIST\r\nCLIENT ID\r\n",
              "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n");
        cluster_say(&cl, 0, fd, "EXEC\r\n");
        for (unsigned i = 0; i < 100 && !transaction_answers(client_at(0, fd)); i++) {
                cluster_turn(&cl, 0);
                if (!transaction_answers(client_at(0, fd))) {
                        cluster_turn(&cl, 1);
                        cluster_turn(&cl, 2);
                }
        }
        ck_assert_int_eq(client_at(0, fd)->wait, CLIENT_GATHERS);
        send_policy(POLICY(true, { DENY(S), CHANNEL("x") }));
        cluster_settle(&cl);
        heard = cluster_hear(&cl, 0, fd);
        ck_assert(!strncmp(heard, "*3\r\n>3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n=", 35));
        end = strstr(heard, ":1\r\n>3\r\n$11\r\nunsubscribe\r\n$1\r\nx\r\n:0\r\n");
        ck_assert_ptr_nonnull(end);
        ck_assert_uint_eq(strlen(end), 37);
        free(heard);
        stop();
}
END_TEST

#define CROWD 5000

/* 5000 subscribers are looked at over some turns, but none of them hears anything forbidden after the first. */
START_TEST(a_crowd_is_spread_over_turns_and_hears_nothing_meanwhile)
{
        unsigned n = shard_counts[_i], last = n - 1, turns = 0, left = 0, told = 0;
        int publisher, *fds = malloc(CROWD * sizeof(*fds));
        uint64_t began;

        start(n, &no_rules);
        publisher = cluster_connect(&cl, 0, 1);
        for (unsigned i = 0; i < CROWD; i++) {
                fds[i] = (int)cl.next_id;
                memcpy(port_send(cl.control, last, MESSAGE_ADOPT, sizeof(struct message_adopt), PORT_UNCOUNTED),
                       &(struct message_adopt){
                               .id = cl.next_id++, .fd = fds[i], .path = CLUSTER_PATH, .uid = 7 },
                       sizeof(struct message_adopt));
        }
        port_flush(cl.control);
        cluster_settle(&cl);
        for (unsigned i = 0; i < CROWD; i++)
                cluster_say(&cl, last, fds[i], i % 2 ? "SUBSCRIBE x\r\n" : "PSUBSCRIBE x*\r\n");
        cluster_settle(&cl);
        for (unsigned i = 0; i < CROWD; i++)
                free(cluster_hear(&cl, last, fds[i]));
        send_policy(POLICY(true, { DENY(S), CHANNEL("x*"), USER(7) }));
        began = cluster_now();
        while (!permit_is_behind(cl.shards[last]))
                cluster_turn(&cl, last);
        ck_assert(cl.shards[last]->busy); /* it does not sleep over it */
        cluster_say(&cl, 0, publisher, "PUBLISH x 1\r\n");
        cluster_turn(&cl, 0);
        for (; permit_is_behind(cl.shards[last]); turns++)
                cluster_turn(&cl, last);
        ck_assert_uint_ge(turns, 5);
        ck_assert_uint_le(turns, 50);
        ck_assert_uint_eq(cluster_now(), began); /* no time has to pass */
        cluster_settle(&cl);
        for (unsigned i = 0; i < CROWD; i++) {
                char *heard = cluster_hear(&cl, last, fds[i]);

                left += strstr(heard, "message") != NULL;
                told += strstr(heard, "unsubscribe\r\n") != NULL;
                free(heard);
        }
        ck_assert_uint_eq(left, 0);
        ck_assert_uint_eq(told, CROWD);
        ck_assert_uint_gt(SUM(messages_withheld), 0);
        ck_assert_uint_eq(SUM(subscriptions), 0);
        free(fds);
        stop();
}
END_TEST

/* One client with many subscriptions is spread likewise, and what it does meanwhile counts. */
START_TEST(many_subscriptions_are_spread_over_turns)
{
        char say[64];
        int fd;

        start(1, &no_rules);
        fd = connect_resp3(0, 7);
        for (unsigned i = 0; i < 5000; i++) {
                snprintf(say, sizeof(say), "SUBSCRIBE %c%u\r\n", i % 2 ? 'x' : 'a', i);
                cluster_say(&cl, 0, fd, say);
        }
        cluster_settle(&cl);
        free(cluster_hear(&cl, 0, fd));
        send_policy(POLICY(true, { DENY(S), CHANNEL("x*") }));
        cluster_turn(&cl, 0);
        ck_assert(permit_is_behind(cl.shards[0]));
        ck_assert_uint_gt(SUM(subscriptions), 3000);
        cluster_say(&cl, 0, fd,
                    "UNSUBSCRIBE a998 x999 a1000 x1001 a1002 x4999\r\nSUBSCRIBE a1000 b\r\nSUBSCRIBE x1\r\n");
        cluster_settle(&cl);
        free(cluster_hear(&cl, 0, fd));
        ck_assert_uint_eq(SUM(subscriptions), 2500 - 2 + 1);
        check(0, fd, "PUBLISH x4999 1\r\nPUBLISH x3 1\r\n", ":0\r\n:0\r\n");
        stop();
}
END_TEST

START_TEST(a_name_gives_rights_and_takes_them)
{
        const char *joe = "joe";
        int fd;

        start(shard_counts[_i], POLICY(false, { ALLOW(P | S | A), CHANNEL("a"), .names = &joe, .n_names = 1 }));
        fd = connect_resp3(0, 7);
        check(0, fd, "PUBLISH a 1\r\nCONFIG GET x\r\n", NOPERM NOCOMMAND("config|get"));
        set_identity(client_at(0, fd), "joe");
        check(0, fd, "PUBLISH a 1\r\nCONFIG GET x\r\nSUBSCRIBE a\r\n",
              ":0\r\n%0\r\n>3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
        set_identity(client_at(0, fd), NULL);
        cluster_settle(&cl);
        check(0, fd, "PUBLISH a 1\r\n", ">3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n" NOPERM);
        set_identity(client_at(0, fd), "ann");
        check(0, fd, "CONFIG GET x\r\n",
              "-NOPERM User ann has no permissions to run the 'config|get' command\r\n");
        stop();
}
END_TEST

/* ------------------------------------------------------------------ abstract sockets */

static const char stranger[] = "-NOPERM no access rule lets your user in by an abstract socket\r\n";

START_TEST(strangers_are_let_in_by_rules_only)
{
        struct message_adopt peer = { .path = "@b", .uid = 7, .gid = 5 };
        int fd, owner;

        start(shard_counts[_i], &no_rules);
        fd = cluster_connect_as(&cl, 0, &peer, NULL);
        check_heard(0, fd, stranger);
        ck_assert(!cluster_is_open(&cl, 0, fd));
        ck_assert_uint_eq(SUM(denied_connections), 1);
        peer.uid = 1000;
        owner = cluster_connect_as(&cl, 0, &peer, NULL);
        check(0, owner, "PUBLISH x 1\r\n", ":0\r\n");
        cluster_set_policy(&cl, POLICY(true, { ALLOW(P), CHANNEL("a"), USER(7) }));
        peer.uid = 7;
        fd = cluster_connect_as(&cl, 0, &peer, NULL);
        check(0, fd, "PING\r\nPUBLISH a 1\r\nPUBLISH b 1\r\nSUBSCRIBE a\r\n", "+PONG\r\n:0\r\n" NOPERM NOPERM);
        check(0, owner, "PUBLISH b 1\r\n", ":0\r\n");
        cluster_set_policy(&cl, &no_rules);
        check_heard(0, fd, stranger);
        ck_assert(!cluster_is_open(&cl, 0, fd));
        ck_assert(cluster_is_open(&cl, 0, owner));
        stop();
}
END_TEST

/* ------------------------------------------------------------------ a walk */

#define WALK_CLIENTS 6

static const char *const walk_words[] = {
        "SUBSCRIBE a b x\r\n",
        "SUBSCRIBE x\r\n",
        "SUBSCRIBE a xy\r\n",
        "PSUBSCRIBE *\r\n",
        "PSUBSCRIBE x* a?\r\n",
        "SSUBSCRIBE a x\r\n",
        "UNSUBSCRIBE\r\n",
        "UNSUBSCRIBE x\r\n",
        "PUNSUBSCRIBE\r\n",
        "SUNSUBSCRIBE x\r\n",
        "PUBLISH a 1\r\n",
        "PUBLISH x 1\r\n",
        "SPUBLISH x 1\r\n",
        "MULTI\r\n",
        "EXEC\r\n",
        "MULTI\r\nSUBSCRIBE x a\r\nUNSUBSCRIBE a\r\nPSUBSCRIBE x*\r\nPUBLISH x 1\r\nEXEC\r\n",
        "DISCARD\r\n",
        "RESET\r\n",
        "HELLO 3\r\n",
        "CLIENT LIST\r\n",
        "BROKER STATUS\r\n",
        "MULTI\r\nSUBSCRIBE x\r\nCLIENT LIST\r\nUNSUBSCRIBE x\r\nEXEC\r\n",
};

static const struct policy *walk_policy(struct prng *prng)
{
        return prng_below(prng, 4) ? &policies[prng_below(prng, n_policies)] : &no_rules;
}

/* Every subscription that is left is allowed, and all shards agree on their numbers. */
static void walk_check(const struct policy *policy)
{
        static const char *const names[_TOPIC_KIND_N][3] = { { "a", "x", "xy" },
                                                             { "*", "x*", "a?" },
                                                             { "a", "x", "b" } };

        for (unsigned i = 0; i < cl.n_shards; i++) {
                ck_assert(list_empty(&cl.shards[i]->unchecked));
                ck_assert_ptr_eq(cl.shards[i]->policy, policy);
                list_for_each (k, &cl.shards[i]->clients) {
                        struct client *c = container_of(k, struct client, all);
                        size_t steps = 100000;

                        list_for_each (l, &c->subscriber.subscriptions) {
                                const struct topic *t = container_of(l, struct subscription, link)->topic;

                                if (c->class && t->kind == TOPIC_PATTERN)
                                        ck_assert(
                                                access_decide_pattern(c->class, topic_name(t), &steps).allowed);
                                else if (c->class)
                                        ck_assert(access_decide(c->class, ACCESS_SUBSCRIBE, topic_name(t))
                                                          .allowed);
                        }
                }
        }
        for (unsigned kind = 0; kind < _TOPIC_KIND_N; kind++)
                for (unsigned n = 0; n < 3; n++) {
                        uint64_t members = 0, seen[CLUSTER_SHARDS_MAX];

                        for (unsigned i = 0; i < cl.n_shards; i++) {
                                const struct topic *t =
                                        topics_find(cl.shards[i]->topics, kind, bytes_str(names[kind][n]));

                                seen[i] = t ? topic_subscriptions(t) : 0;
                                members += t ? t->n_members : 0;
                        }
                        for (unsigned i = 0; i < cl.n_shards; i++)
                                ck_assert_uint_eq(seen[i], members);
                }
}

static void walk_step(struct prng *prng, int fds[WALK_CLIENTS], const struct policy **policyp)
{
        unsigned i = (unsigned)prng_below(prng, WALK_CLIENTS), shard = i % cl.n_shards;

        switch (prng_below(prng, 8)) {
        case 0:
                *policyp = walk_policy(prng);
                send_policy(*policyp);
                break;
        case 1:
                if (prng_below(prng, 4) == 0 && cluster_is_open(&cl, shard, fds[i])) {
                        set_identity(client_at(shard, fds[i]), prng_below(prng, 2) ? "joe" : NULL);
                } else if (prng_below(prng, 8) == 0) {
                        fake_fail(cl.fakes[shard], fds[i], 104);
                        cluster_settle(&cl);
                        fds[i] = cluster_connect(&cl, shard, prng_below(prng, 2) ? 7 : 0);
                }
                break;
        case 2:
        case 3:
                cluster_say(&cl, shard, fds[i],
                            walk_words[prng_below(prng, sizeof(walk_words) / sizeof(*walk_words))]);
                break;
        default:
                cluster_turn(&cl, (unsigned)prng_below(prng, cl.n_shards));
        }
        cluster_control(&cl);
}

/* Policies and names change at any moment, in any state of a client. */
START_TEST(rights_that_come_and_go_leave_nothing_forbidden)
{
        const char *joe = "joe";
        struct prng prng = { (uint64_t)_i + 1 };

        for (unsigned round = 0; round < 40; round++) {
                const struct policy *policy = &no_rules;
                int fds[WALK_CLIENTS];

                start(1 + (unsigned)prng_below(&prng, 3), policy);
                POLICY(true, { DENY(S), CHANNEL("x*"), USER(7) });
                POLICY(true, { DENY(Q | P), CHANNEL("x") });
                POLICY(false, { ALLOW(S | Q), CHANNEL("*a*") }, { ALLOW(P) });
                POLICY(false, { ALLOW(P | S | Q), .names = &joe, .n_names = 1 });
                POLICY(true, { DENY(P), CHANNEL("nothing") });
                for (unsigned i = 0; i < WALK_CLIENTS; i++)
                        fds[i] = cluster_connect(&cl, i % cl.n_shards, i < 4 ? 7 : 0);
                for (unsigned step = 0; step < 300; step++)
                        walk_step(&prng, fds, &policy);
                cluster_settle(&cl);
                walk_check(policy);
                stop();
        }
}
END_TEST

static void add(TCase *cases)
{
        tcase_add_loop_test(cases, publish_is_refused_where_no_rule_allows_it, 0, 2);
        tcase_add_loop_test(cases, a_subscribed_client_is_asked_as_well, 0, 2);
        tcase_add_loop_test(cases, a_subscription_is_made_whole_or_not_at_all, 0, 4);
        tcase_add_loop_test(cases, a_refusal_comes_in_its_place, 0, 2);
        tcase_add_loop_test(cases, a_silent_client_is_not_told, 0, 2);
        tcase_add_loop_test(cases, names_that_look_like_patterns_are_names, 0, 2);
        tcase_add_loop_test(cases, a_name_of_64_kib_is_a_name, 0, 2);
        tcase_add_loop_test(cases, channels_of_the_broker_are_nobodys, 0, 4);
        tcase_add_loop_test(cases, rules_give_and_take_the_right_to_administer, 0, 2);
        tcase_add_loop_test(cases, supplementary_groups_count, 0, 2);
        tcase_add_loop_test(cases, a_transaction_is_spoilt_by_what_is_forbidden, 0, 4);
        tcase_add_loop_test(cases, what_was_allowed_is_asked_again_when_it_is_executed, 0, 4);
        tcase_add_loop_test(cases, what_deny_rules_cover_is_kept_from_patterns, 0, 2);
        tcase_add_loop_test(cases, a_new_policy_changes_what_a_pattern_hears, 0, 2);
        tcase_add_loop_test(cases, a_subscription_ends_with_the_right_to_it, 0, 4);
        tcase_add_loop_test(cases, a_verdict_does_not_outlive_its_policy, 0, 2);
        tcase_add_loop_test(cases, a_silent_client_is_told_the_end, 0, 2);
        tcase_add_test(cases, a_pending_subscription_ends_behind_its_acknowledgement);
        tcase_add_loop_test(cases, an_exec_that_waits_makes_only_what_is_allowed_then, 0, 2);
        tcase_add_test(cases, an_end_stands_behind_the_reply_of_an_exec);
        tcase_add_loop_test(cases, a_crowd_is_spread_over_turns_and_hears_nothing_meanwhile, 0, 2);
        tcase_add_test(cases, many_subscriptions_are_spread_over_turns);
        tcase_add_loop_test(cases, a_name_gives_rights_and_takes_them, 0, 2);
        tcase_add_loop_test(cases, strangers_are_let_in_by_rules_only, 0, 2);
        tcase_add_loop_test(cases, rights_that_come_and_go_leave_nothing_forbidden, 0, 10);
}

int main(void)
{
        return suite_run("permit", add);
}
