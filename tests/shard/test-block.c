/* SPDX-License-Identifier: MIT */
/* Slow subscribers that make publishers wait: rules of the action SLOW_BLOCK, on whole shards. */

#include "shard/block.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pubsub/access.h"
#include "shard/client.h"
#include "shard/policy.h"
#include "shard/state.h"
#include "support/cluster.h"
#include "support/suite.h"
#include "util/clock.h"

static struct cluster cl;

/* Each case runs for one and for three shards, and for both protocols of the slow subscriber. */
#define CASES    4
#define N_SHARDS (_i < 2 ? 1 : 3)
#define RESP3    (_i % 2)
#define LAST     (cl.n_shards - 1) /* the shard of slow subscribers; publishers are on the first */

#define MARK     (4 * FRAME)
#define FRAME    73 /* bytes of a message, as below, to a channel of three bytes */
#define PUBLISH  "PUBLISH x.a 0123456789012345678901234567890123456789\r\n"
#define BLOCK_NS NSEC_PER_SEC

static const struct bytes channels_x[] = { BYTES_LITERAL("x.*") };
static const struct slow_rule rules_x[] = {
        { .action = SLOW_BLOCK, .channels = channels_x, .n_channels = 1, .bytes = MARK, .block_ns = BLOCK_NS },
};
#define LIMITS                                                                                                 \
        {                                                                                                      \
                .request_bytes = 1 << 20, .output_hard = 100000                                                \
        }
static const struct policy block_x = { .limits = LIMITS, .slow = rules_x, .n_slow = 1 };
static const struct policy block_nothing = { .limits = LIMITS };

static void start(unsigned n_shards, const struct policy *policy)
{
        cluster_init(&cl, &(struct cluster_options){ .n_shards = n_shards,
                                                     .capacity = 2,
                                                     .backlog_bytes = 4000,
                                                     .drain_budget = 3,
                                                     .policy = policy });
}

static void say(unsigned shard, int fd, const char *text)
{
        cluster_say(&cl, shard, fd, text);
        cluster_settle(&cl);
}

static void check_heard(unsigned shard, int fd, const char *expected)
{
        char *heard = cluster_hear(&cl, shard, fd);

        ck_assert_str_eq(heard, expected);
        free(heard);
}

static void check(unsigned shard, int fd, const char *text, const char *expected)
{
        say(shard, fd, text);
        check_heard(shard, fd, expected);
}

static struct client *client_of(unsigned shard, int fd)
{
        return client_find(cl.shards[shard], (uint64_t)fd);
}

static bool is_held(unsigned shard, int fd)
{
        return client_of(shard, fd)->wait == CLIENT_HELD;
}

/* What waits for a client. */
static size_t waiting(unsigned shard, int fd)
{
        return fake_stream(cl.fakes[shard], fd)->stream->out.bytes;
}

static uint64_t holds(void)
{
        uint64_t n = 0;

        for (unsigned i = 0; i < cl.n_shards; i++)
                n += cl.shards[i]->status.block_holds;
        return n;
}

static int connect_as(unsigned shard, bool resp3)
{
        int fd = cluster_connect(&cl, shard, 0);

        if (resp3)
                say(shard, fd, "HELLO 3\r\n");
        free(cluster_hear(&cl, shard, fd));
        return fd;
}

/* A subscriber that takes nothing from now on. */
static int slow_subscriber(unsigned shard, bool resp3, const char *subscribe)
{
        int fd = connect_as(shard, resp3);

        say(shard, fd, subscribe);
        free(cluster_hear(&cl, shard, fd));
        fake_accept(cl.fakes[shard], fd, 0);
        return fd;
}

/* Publishes until the publisher is held. Return: how many were executed. */
static unsigned publish_until_held(unsigned shard, int fd, const char *publish)
{
        unsigned n = 0;

        for (; !is_held(shard, fd); n++) {
                ck_assert_uint_lt(n, 100);
                say(shard, fd, publish);
        }
        return n - 1;
}

/* The publisher goes on: what was held is executed, and what it says next is answered. */
static void check_goes_on(unsigned shard, int fd, const char *reply)
{
        cluster_settle(&cl);
        ck_assert(!is_held(shard, fd));
        check_heard(shard, fd, reply);
        check(shard, fd, "PING\r\n", "+PONG\r\n");
}

/* ------------------------------------------------------------------ marks */

START_TEST(publishers_wait_above_the_mark_until_half_of_it_is_left)
{
        int pub, sub;

        start(N_SHARDS, &block_x);
        pub = cluster_connect(&cl, 0, 0);
        sub = slow_subscriber(LAST, RESP3, "SUBSCRIBE x.a\r\n");
        for (unsigned n = 1; n <= 4; n++) {
                check(0, pub, PUBLISH, ":1\r\n");
                ck_assert_uint_eq(waiting(LAST, sub), n * FRAME);
        }
        ck_assert_uint_eq(holds(), 0);
        check(0, pub, PUBLISH, ":1\r\n"); /* this one passes it */
        ck_assert_uint_eq(holds(), 1);
        check(0, pub, PUBLISH PUBLISH "PING\r\n", "");
        ck_assert(is_held(0, pub));
        ck_assert_uint_eq(waiting(LAST, sub), 5 * FRAME);
        fake_accept(cl.fakes[LAST], sub, 5 * FRAME - MARK / 2 - 1);
        cluster_settle(&cl);
        ck_assert(is_held(0, pub));
        fake_accept(cl.fakes[LAST], sub, 1);
        cluster_settle(&cl);
        check_heard(0, pub, ":1\r\n:1\r\n+PONG\r\n");
        ck_assert_uint_eq(holds(), 0);
        fake_accept(cl.fakes[LAST], sub, SIZE_MAX);
        cluster_settle(&cl);
        ck_assert_uint_eq(fake_stream(cl.fakes[LAST], sub)->out.end, 7 * FRAME);
        ck_assert_uint_eq(cl.shards[LAST]->status.block_holds_ever, 1);
        ck_assert_uint_eq(cl.shards[0]->status.block_waits, 1);
        ck_assert_uint_eq(cl.shards[LAST]->status.block_messages, 0);
        cluster_deinit(&cl);
}
END_TEST

/* In one piece, so that nothing was looked at below the mark. */
START_TEST(the_mark_itself_may_wait)
{
        char line[400];
        int pub, sub;

        start(N_SHARDS, &block_x);
        pub = cluster_connect(&cl, 0, 0);
        for (int more = 0; more < 2; more++) {
                sub = slow_subscriber(LAST, RESP3, "SUBSCRIBE x.a\r\n");
                snprintf(line, sizeof(line), "PUBLISH x.a %0*d\r\n", MARK - 34 + more, 0);
                check(0, pub, line, ":1\r\n");
                ck_assert_uint_eq(waiting(LAST, sub), MARK + (size_t)more);
                ck_assert_uint_eq(holds(), more);
                say(LAST, sub, "QUIT\r\n");
        }
        cluster_deinit(&cl);
}
END_TEST

START_TEST(others_and_other_channels_go_on)
{
        int pub, other, sub, fast;

        start(N_SHARDS, &block_x);
        pub = cluster_connect(&cl, 0, 0);
        other = cluster_connect(&cl, 0, 0);
        sub = slow_subscriber(LAST, RESP3, "SUBSCRIBE x.a\r\n");
        fast = connect_as(LAST, RESP3);
        say(LAST, fast, "SUBSCRIBE x.b\r\n");
        publish_until_held(0, pub, PUBLISH);
        free(cluster_hear(&cl, LAST, fast));
        check(0, other, "PUBLISH x.b 1\r\nPUBLISH y 1\r\nSPUBLISH x.a 1\r\nPING\r\n",
              ":1\r\n:0\r\n:0\r\n+PONG\r\n");
        check_heard(LAST, fast,
                    RESP3 ? ">3\r\n$7\r\nmessage\r\n$3\r\nx.b\r\n$1\r\n1\r\n"
                          : "*3\r\n$7\r\nmessage\r\n$3\r\nx.b\r\n$1\r\n1\r\n");
        ck_assert(is_held(0, pub));
        check(0, other, PUBLISH, "");
        fake_accept(cl.fakes[LAST], sub, SIZE_MAX);
        check_goes_on(0, other, ":1\r\n");
        cluster_deinit(&cl);
}
END_TEST

/* What was executed before the hold arrived is delivered, and counted. */
START_TEST(what_is_under_way_is_delivered_and_counted)
{
        char line[64 * 60] = "";
        unsigned passed;
        int pub, sub;

        start(N_SHARDS, &block_x);
        pub = cluster_connect(&cl, 0, 0);
        sub = slow_subscriber(LAST, RESP3, "SUBSCRIBE x.a\r\n");
        for (int i = 0; i < 20; i++)
                strcat(line, PUBLISH);
        say(0, pub, line);
        ck_assert_uint_eq(waiting(LAST, sub), 20 * FRAME);
        passed = (unsigned)cl.shards[LAST]->status.block_messages;
        if (N_SHARDS == 1)
                ck_assert_uint_eq(passed, 0); /* it is one turn */
        else
                ck_assert(passed > 0 && passed <= 15);
        cluster_deinit(&cl);
}
END_TEST

/* ------------------------------------------------------------------ what ends a hold */

static void ends_by_reading(int sub)
{
        fake_accept(cl.fakes[LAST], sub, SIZE_MAX);
}

static void ends_by_unsubscribing(int sub)
{
        cluster_say(&cl, LAST, sub, "UNSUBSCRIBE x.a\r\n");
}

static void ends_by_unsubscribing_all(int sub)
{
        cluster_say(&cl, LAST, sub, "UNSUBSCRIBE\r\n");
}

static void ends_by_reset(int sub)
{
        cluster_say(&cl, LAST, sub, "RESET\r\n");
}

static void ends_by_quit(int sub)
{
        cluster_say(&cl, LAST, sub, "QUIT\r\n");
}

static void ends_by_transaction(int sub)
{
        if (client_of(LAST, sub)->subscriber.protocol == 0)
                ends_by_reset(sub); /* in RESP2 a subscriber has no MULTI */
        else
                cluster_say(&cl, LAST, sub,
                            "MULTI\r\nUNSUBSCRIBE x.a\r\nSUBSCRIBE x.a\r\nUNSUBSCRIBE\r\nEXEC\r\n");
}

static void ends_by_failure(int sub)
{
        fake_fail(cl.fakes[LAST], sub, ECONNRESET);
}

static void ends_by_end_of_file(int sub)
{
        fake_end(cl.fakes[LAST], sub);
}

static void ends_by_kill(int sub)
{
        int killer = cluster_connect(&cl, 0, 0);
        char line[64];

        snprintf(line, sizeof(line), "CLIENT KILL ID %d\r\n", sub);
        check(0, killer, line, ":1\r\n");
}

static void ends_by_policy(int sub)
{
        (void)sub;
        cluster_set_policy(&cl, &block_nothing);
}

static void ends_by_time_out(int sub)
{
        (void)sub;
        cluster_advance(BLOCK_NS);
}

static const struct {
        void (*end)(int sub);
        bool stays; /* subscribed */
} ends[] = {
        { ends_by_reading, true },  { ends_by_unsubscribing, false }, { ends_by_unsubscribing_all, false },
        { ends_by_reset, false },   { ends_by_quit, false },          { ends_by_transaction, false },
        { ends_by_failure, false }, { ends_by_end_of_file, false },   { ends_by_kill, false },
        { ends_by_policy, true },   { ends_by_time_out, false },
};

#define ENDS (int)(sizeof(ends) / sizeof(*ends))

START_TEST(a_hold_ends_with)
{
        int pub, sub;

        unsigned row = (unsigned)_i / CASES;

        _i %= CASES;
        start(N_SHARDS, &block_x);
        pub = cluster_connect(&cl, 0, 0);
        sub = slow_subscriber(LAST, RESP3, "SUBSCRIBE x.a\r\n");
        publish_until_held(0, pub, PUBLISH);
        free(cluster_hear(&cl, 0, pub));
        ck_assert_uint_eq(holds(), 1);
        ends[row].end(sub);
        cluster_settle(&cl);
        check_goes_on(0, pub, ends[row].stays ? ":1\r\n" : ":0\r\n");
        ck_assert_uint_eq(holds(), 0);
        for (unsigned i = 0; i < cl.n_shards; i++)
                ck_assert_uint_eq(topics_n_holds(cl.shards[i]->topics), 0);
        cluster_deinit(&cl);
}
END_TEST

/* The rules are the same, so it holds anew until the right is looked at. */
START_TEST(a_lost_right_ends_a_hold_with_its_subscription)
{
        static const struct access_rule rule = {
                .deny = true, .actions = 1u << ACCESS_SUBSCRIBE, .channels = channels_x, .n_channels = 1
        };
        struct access *access = access_new(&rule, 1, true);
        struct policy policy = { .limits = LIMITS, .slow = rules_x, .n_slow = 1, .access = access };
        int pub, sub;

        start(N_SHARDS, &block_x);
        pub = cluster_connect(&cl, 0, 0);
        sub = slow_subscriber(LAST, RESP3, "SUBSCRIBE x.a\r\n");
        publish_until_held(0, pub, PUBLISH PUBLISH);
        cluster_set_policy(&cl, &policy);
        ck_assert_uint_eq(holds(), 0);
        ck_assert(!is_held(0, pub));
        ck_assert(cluster_is_open(&cl, LAST, sub));
        free(cluster_hear(&cl, 0, pub));
        check(0, pub, PUBLISH, ":0\r\n");
        cluster_deinit(&cl);
        access_free(access);
}
END_TEST

/* What waits because it may be dropped counts like all else, and is gone before publishers go on. */
START_TEST(what_may_be_dropped_counts)
{
        static const struct bytes dropped[] = { BYTES_LITERAL("d*") };
        static const struct slow_rule rules[] = {
                { .action = SLOW_DROP_OLDEST, .channels = dropped, .n_channels = 1, .bytes = 4 * MARK },
                { .action = SLOW_BLOCK,
                  .channels = channels_x,
                  .n_channels = 1,
                  .bytes = MARK,
                  .block_ns = BLOCK_NS },
        };
        static const struct policy policy = { .limits = LIMITS, .slow = rules, .n_slow = 2 };
        int pub, sub;

        start(N_SHARDS, &policy);
        pub = cluster_connect(&cl, 0, 0);
        sub = slow_subscriber(LAST, RESP3, "SUBSCRIBE x.a dull\r\n");
        for (int i = 0; i < 100; i++)
                check(0, pub, "PUBLISH dull 0123456789012345678901234567890123456789\r\n", ":1\r\n");
        ck_assert_uint_eq(holds(), 1);
        ck_assert_ptr_nonnull(client_of(LAST, sub)->spool);
        check(0, pub, PUBLISH, "");
        fake_accept(cl.fakes[LAST], sub, FRAME);
        cluster_settle(&cl);
        ck_assert(is_held(0, pub));
        fake_accept(cl.fakes[LAST], sub, SIZE_MAX);
        check_goes_on(0, pub, ":1\r\n");
        ck_assert_uint_eq(holds(), 0);
        cluster_deinit(&cl);
}
END_TEST

/* Whatever it holds back: replies, too, are output that is bounded. */
START_TEST(the_hard_limit_ends_who_holds)
{
        static const struct policy tight = { .limits = { .request_bytes = 1 << 20, .output_hard = 2 * MARK },
                                             .slow = rules_x,
                                             .n_slow = 1 };
        int pub, sub;

        start(N_SHARDS, &tight);
        pub = cluster_connect(&cl, 0, 0);
        sub = slow_subscriber(LAST, RESP3, "SUBSCRIBE x.a\r\n");
        publish_until_held(0, pub, PUBLISH);
        free(cluster_hear(&cl, 0, pub));
        while (cluster_is_open(&cl, LAST, sub)) {
                ck_assert_uint_le(waiting(LAST, sub), 2 * MARK);
                ck_assert(is_held(0, pub));
                say(LAST, sub, "PING\r\n");
        }
        check_goes_on(0, pub, ":0\r\n");
        cluster_deinit(&cl);
}
END_TEST

/* ------------------------------------------------------------------ who holds */

START_TEST(everyone_who_holds_has_to_come_down)
{
        int pub, subs[3];

        start(N_SHARDS, &block_x);
        pub = cluster_connect(&cl, 0, 0);
        for (unsigned i = 0; i < 3; i++)
                subs[i] = slow_subscriber(i % cl.n_shards, RESP3,
                                          i == 1 ? "PSUBSCRIBE x.*\r\n" : "SUBSCRIBE x.a\r\n");
        say(0, pub, PUBLISH PUBLISH PUBLISH PUBLISH PUBLISH);
        free(cluster_hear(&cl, 0, pub));
        ck_assert_uint_eq(holds(), 3);
        say(0, pub, PUBLISH);
        for (unsigned i = 0; i < 3; i++) {
                ck_assert(is_held(0, pub));
                fake_accept(cl.fakes[i % cl.n_shards], subs[i], SIZE_MAX);
                cluster_settle(&cl);
        }
        check_goes_on(0, pub, ":3\r\n");
        cluster_deinit(&cl);
}
END_TEST

/* Nobody waits for itself: what it may have waiting ends it. */
START_TEST(a_publisher_does_not_wait_for_itself)
{
        int self, other, sub;

        start(N_SHARDS, &block_x);
        self = slow_subscriber(0, true, "SUBSCRIBE x.a\r\nPSUBSCRIBE x.*\r\n");
        other = cluster_connect(&cl, 0, 0);
        for (int i = 0; i < 10; i++)
                say(0, self, PUBLISH);
        ck_assert_uint_eq(holds(), 2);
        ck_assert(!is_held(0, self));
        ck_assert_uint_ge(waiting(0, self), 20 * FRAME);
        ck_assert_uint_gt(cl.shards[0]->status.block_messages, 0);
        check(0, other, PUBLISH, "");
        ck_assert(is_held(0, other));

        sub = slow_subscriber(LAST, RESP3, "SUBSCRIBE x.a\r\n");
        for (int i = 0; i < 10; i++)
                say(0, self, PUBLISH);
        ck_assert(is_held(0, self)); /* for the other one, not for its own */
        fake_accept(cl.fakes[LAST], sub, SIZE_MAX);
        cluster_settle(&cl);
        ck_assert(!is_held(0, self));
        ck_assert(is_held(0, other));
        cluster_deinit(&cl);
}
END_TEST

/* A hold of a waiting publisher's own does not hold it either, once the others are gone. */
START_TEST(a_waiting_publisher_begins_to_hold_itself)
{
        int self, sub, other;

        start(N_SHARDS, &block_x);
        self = connect_as(0, true);
        say(0, self, "SUBSCRIBE x.a\r\n");
        free(cluster_hear(&cl, 0, self));
        sub = slow_subscriber(LAST, RESP3, "SUBSCRIBE x.a\r\n");
        other = cluster_connect(&cl, 0, 0);
        publish_until_held(0, other, PUBLISH);
        fake_accept(cl.fakes[0], self, 0);
        say(0, self, PUBLISH);
        ck_assert(is_held(0, self));
        /* what it does not take comes by a pattern that holds nothing */
        fake_accept(cl.fakes[LAST], sub, 5 * FRAME);
        cluster_settle(&cl); /* one release: both say their messages */
        ck_assert(!is_held(0, self) && !is_held(0, other));
        ck_assert_uint_eq(waiting(0, self), 2 * FRAME + 4);
        cluster_deinit(&cl);
}
END_TEST

static const struct bytes channels_order[] = { BYTES_LITERAL("x.free"), BYTES_LITERAL("[x") };
static const struct bytes channels_list[] = { BYTES_LITERAL("q?"), BYTES_LITERAL("x.?"), BYTES_LITERAL("x.*") };
static const struct slow_rule rules_order[] = {
        { .action = SLOW_BLOCK, .listener = "/elsewhere", .bytes = 1, .block_ns = BLOCK_NS },
        { .action = SLOW_DISCONNECT, .channels = channels_order, .n_channels = 2 },
        { .action = SLOW_BLOCK,
          .listener = CLUSTER_PATH,
          .channels = channels_list,
          .n_channels = 3,
          .bytes = MARK,
          .block_ns = BLOCK_NS },
        { .action = SLOW_DISCONNECT, .channels = channels_x, .n_channels = 1 },
        { .action = SLOW_BLOCK, .bytes = 10 * MARK, .block_ns = BLOCK_NS },
};
static const struct policy block_order = { .limits = LIMITS, .slow = rules_order, .n_slow = 5 };

/* Which rule governs a subscription; what is said to it, and after how many messages publishers wait. */
static const struct {
        const char *subscribe, *publish;
        unsigned mark; /* 0: never */
} governed[] = {
        { "SUBSCRIBE x.a", "PUBLISH x.a", MARK },
        { "SUBSCRIBE x.free", "PUBLISH x.free", 0 },
        { "SUBSCRIBE other", "PUBLISH other", 10 * MARK },
        { "SSUBSCRIBE x.a", "SPUBLISH x.a", MARK },
        { "SSUBSCRIBE x.free", "SPUBLISH x.free", 0 },
        { "PSUBSCRIBE x.*", "PUBLISH x.a", MARK },
        { "PSUBSCRIBE x.?", "PUBLISH x.a", MARK },
        { "PSUBSCRIBE x.a*", "PUBLISH x.a", MARK },
        { "PSUBSCRIBE x.[ab]", "PUBLISH x.a", MARK },
        { "PSUBSCRIBE x.free", "PUBLISH x.free", 0 },
        { "PSUBSCRIBE x*", "PUBLISH x.a", 10 * MARK },
        { "PSUBSCRIBE *", "PUBLISH x.a", 10 * MARK },
        { "PSUBSCRIBE q[ab]", "PUBLISH qa", MARK },
        { "PSUBSCRIBE q*", "PUBLISH qa", 10 * MARK },
        { "PSUBSCRIBE [x", "PUBLISH x", 0 },
};

#define GOVERNED (int)(sizeof(governed) / sizeof(*governed))

START_TEST(the_first_rule_that_fits_governs_a_subscription)
{
        unsigned row = (unsigned)_i / CASES, n = 0;
        char line[100];
        int pub, sub;

        _i %= CASES;
        start(N_SHARDS, &block_order);
        pub = cluster_connect(&cl, 0, 0);
        snprintf(line, sizeof(line), "%s\r\n", governed[row].subscribe);
        sub = slow_subscriber(LAST, RESP3, line);
        snprintf(line, sizeof(line), "%s 0123456789012345678901234567890123456789\r\n", governed[row].publish);
        while (n++ < 100 && !is_held(0, pub)) {
                bool above = governed[row].mark && waiting(LAST, sub) > governed[row].mark;

                say(0, pub, line);
                ck_assert_msg(is_held(0, pub) == above, "message %u of %s", n, governed[row].subscribe);
        }
        ck_assert(is_held(0, pub) == !!governed[row].mark);
        cluster_deinit(&cl);
}
END_TEST

/* Rules with marks of their own, of one client. */
static const struct bytes channels_near[] = { BYTES_LITERAL("n*") };
static const struct bytes channels_far[] = { BYTES_LITERAL("f*") };
static const struct slow_rule rules_two[] = {
        { .action = SLOW_BLOCK,
          .channels = channels_near,
          .n_channels = 1,
          .bytes = 200,
          .block_ns = 5 * BLOCK_NS },
        { .action = SLOW_BLOCK,
          .channels = channels_far,
          .n_channels = 1,
          .bytes = 1000,
          .block_ns = BLOCK_NS },
};
static const struct policy block_two = { .limits = LIMITS, .slow = rules_two, .n_slow = 2 };

#define BIG_NEAR "PUBLISH n1 " ZEROS "\r\n"
#define BIG_FAR  "PUBLISH f1 " ZEROS ZEROS "\r\n"
#define ZEROS    ZEROS_100 ZEROS_100 ZEROS_100
#define ZEROS_100                                                                                              \
        "0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"

START_TEST(each_rule_has_its_mark)
{
        int near, far, sub;

        start(N_SHARDS, &block_two);
        near = cluster_connect(&cl, 0, 0);
        far = cluster_connect(&cl, 0, 0);
        sub = slow_subscriber(LAST, RESP3, "SUBSCRIBE n1 f1\r\nPSUBSCRIBE n* f*\r\n");
        check(0, near, BIG_NEAR, ":2\r\n");
        ck_assert_uint_eq(holds(), 2);
        check(0, far, BIG_FAR, ":2\r\n");
        ck_assert_uint_eq(holds(), 4);
        check(0, near, "PUBLISH n1 x\r\n", "");
        check(0, far, "PUBLISH f1 x\r\n", "");
        fake_accept(cl.fakes[LAST], sub, waiting(LAST, sub) - 500);
        cluster_settle(&cl);
        check_heard(0, far, ":2\r\n");
        ck_assert_uint_eq(holds(), 2);
        ck_assert(is_held(0, near));
        fake_accept(cl.fakes[LAST], sub, waiting(LAST, sub) - 100);
        cluster_settle(&cl);
        check_heard(0, near, ":2\r\n");
        ck_assert_uint_eq(holds(), 0);
        cluster_deinit(&cl);
}
END_TEST

/* The first one whose time is up ends the client, whichever began first. */
START_TEST(each_rule_has_its_time)
{
        int pub, both, near;

        start(N_SHARDS, &block_two);
        pub = cluster_connect(&cl, 0, 0);
        both = slow_subscriber(LAST, RESP3, "SUBSCRIBE n1 f1\r\n");
        near = slow_subscriber(LAST, RESP3, "SUBSCRIBE n1\r\n");
        check(0, pub, BIG_NEAR, ":2\r\n");
        ck_assert_uint_eq(holds(), 2);
        cluster_advance(BLOCK_NS);
        check(0, pub, BIG_FAR BIG_FAR, ":1\r\n:1\r\n");
        ck_assert_uint_eq(holds(), 3);
        cluster_advance(BLOCK_NS - 1);
        cluster_settle(&cl);
        ck_assert(cluster_is_open(&cl, LAST, both));
        cluster_advance(1);
        cluster_settle(&cl);
        ck_assert(!cluster_is_open(&cl, LAST, both));
        cluster_advance(3 * BLOCK_NS - 1);
        cluster_settle(&cl);
        ck_assert(cluster_is_open(&cl, LAST, near));
        cluster_advance(1);
        cluster_settle(&cl);
        ck_assert(!cluster_is_open(&cl, LAST, near));
        cluster_deinit(&cl);
}
END_TEST

/* Before its acknowledgement a subscription does not hold: the other shards may not know of it. */
START_TEST(a_pending_subscription_does_not_hold)
{
        int pub, sub;

        start(3, &block_x);
        pub = cluster_connect(&cl, 0, 0);
        sub = slow_subscriber(2, true, "SUBSCRIBE x.a\r\n");
        publish_until_held(0, pub, PUBLISH);
        ck_assert_uint_eq(holds(), 1);
        cluster_say(&cl, 2, sub, "SUBSCRIBE x.b\r\n");
        for (int i = 0; i < 5; i++)
                cluster_turn(&cl, 2);
        ck_assert_uint_eq(holds(), 1);
        cluster_settle(&cl);
        ck_assert_uint_eq(holds(), 2);
        ck_assert_uint_eq(topics_n_holds(cl.shards[0]->topics), 2);
        cluster_say(&cl, 2, sub, "UNSUBSCRIBE\r\n");
        cluster_settle(&cl);
        ck_assert_uint_eq(topics_n_holds(cl.shards[0]->topics), 0);
        cluster_deinit(&cl);
}
END_TEST

/* ------------------------------------------------------------------ EXEC */

START_TEST(an_exec_waits_whole)
{
        int pub, sub, free_sub;

        start(N_SHARDS, &block_x);
        pub = cluster_connect(&cl, 0, 0);
        sub = slow_subscriber(LAST, RESP3, "SUBSCRIBE x.a\r\n");
        free_sub = connect_as(LAST, true);
        say(LAST, free_sub, "SUBSCRIBE open\r\n");
        free(cluster_hear(&cl, LAST, free_sub));
        for (int i = 0; i < 5; i++)
                check(0, pub, PUBLISH, ":1\r\n");
        ck_assert_uint_eq(holds(), 1);
        check(0, pub, "MULTI\r\nPUBLISH open 1\r\n" PUBLISH "SPUBLISH open 1\r\nEXEC\r\nPING\r\n",
              "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n");
        ck_assert(is_held(0, pub));
        check_heard(LAST, free_sub, "");
        fake_accept(cl.fakes[LAST], sub, SIZE_MAX);
        cluster_settle(&cl);
        check_heard(0, pub, "*3\r\n:1\r\n:1\r\n:0\r\n+PONG\r\n");
        check_heard(LAST, free_sub, ">3\r\n$7\r\nmessage\r\n$4\r\nopen\r\n$1\r\n1\r\n");
        cluster_deinit(&cl);
}
END_TEST

/* Several messages of one transaction that together pass the mark, and one that waits behind them. */
START_TEST(an_exec_that_passes_the_mark_runs_whole)
{
        int pub, sub;

        start(N_SHARDS, &block_x);
        pub = cluster_connect(&cl, 0, 0);
        sub = slow_subscriber(LAST, RESP3, "SUBSCRIBE x.a\r\n");
        say(0, pub, "MULTI\r\n" PUBLISH PUBLISH PUBLISH PUBLISH PUBLISH PUBLISH);
        free(cluster_hear(&cl, 0, pub));
        check(0, pub, "EXEC\r\n", "*6\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n");
        check(0, pub, "MULTI\r\nPING\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n*1\r\n+PONG\r\n");
        check(0, pub, PUBLISH, "");
        fake_accept(cl.fakes[LAST], sub, SIZE_MAX);
        check_goes_on(0, pub, ":1\r\n");
        cluster_deinit(&cl);
}
END_TEST

/* ------------------------------------------------------------------ publishers that end */

START_TEST(what_a_held_publisher_said_before_its_end_is_executed)
{
        int pub, sub;

        start(N_SHARDS, &block_x);
        pub = cluster_connect(&cl, 0, 0);
        sub = slow_subscriber(LAST, RESP3, "SUBSCRIBE x.a\r\n");
        publish_until_held(0, pub, PUBLISH);
        free(cluster_hear(&cl, 0, pub));
        cluster_say(&cl, 0, pub, PUBLISH "ECHO 1\r\nPUBLISH y 1\r\n" PUBLISH);
        fake_end(cl.fakes[0], pub);
        cluster_settle(&cl);
        check_heard(0, pub, "");
        ck_assert(is_held(0, pub));
        fake_accept(cl.fakes[LAST], sub, SIZE_MAX);
        cluster_settle(&cl);
        check_heard(0, pub, ":1\r\n:1\r\n$1\r\n1\r\n:0\r\n:1\r\n");
        ck_assert(!cluster_is_open(&cl, 0, pub));
        cluster_deinit(&cl);
}
END_TEST

START_TEST(a_held_publisher_that_is_lost_or_killed_says_nothing)
{
        int pubs[3], sub, killer;
        char line[64];

        start(N_SHARDS, &block_x);
        sub = slow_subscriber(LAST, RESP3, "SUBSCRIBE x.a\r\n");
        killer = cluster_connect(&cl, 0, 0);
        for (int i = 0; i < 3; i++)
                pubs[i] = cluster_connect(&cl, 0, 0);
        publish_until_held(0, pubs[0], PUBLISH);
        say(0, pubs[1], PUBLISH);
        say(0, pubs[2], PUBLISH);
        ck_assert(is_held(0, pubs[1]) && is_held(0, pubs[2]));
        fake_fail(cl.fakes[0], pubs[0], ECONNRESET);
        snprintf(line, sizeof(line), "CLIENT KILL ID %d\r\n", pubs[1]);
        check(0, killer, line, ":1\r\n");
        ck_assert(!cluster_is_open(&cl, 0, pubs[0]) && !cluster_is_open(&cl, 0, pubs[1]));
        ck_assert_uint_eq(waiting(LAST, sub), 5 * FRAME);
        fake_accept(cl.fakes[LAST], sub, SIZE_MAX);
        check_goes_on(0, pubs[2], ":1\r\n");
        fake_accept(cl.fakes[LAST], sub, SIZE_MAX);
        cluster_settle(&cl);
        ck_assert_uint_eq(fake_stream(cl.fakes[LAST], sub)->out.end, 6 * FRAME);
        cluster_deinit(&cl);
}
END_TEST

START_TEST(a_stop_ends_those_that_wait)
{
        int pub, exec;

        start(N_SHARDS, &block_x);
        slow_subscriber(LAST, RESP3, "SUBSCRIBE x.a\r\n");
        pub = cluster_connect(&cl, 0, 0);
        exec = cluster_connect(&cl, 0, 0);
        publish_until_held(0, pub, PUBLISH PUBLISH "PING\r\n");
        say(0, exec, "MULTI\r\n" PUBLISH "EXEC\r\n");
        ck_assert(is_held(0, exec));
        cluster_deinit(&cl); /* asserts that nothing is left */
}
END_TEST

/* ------------------------------------------------------------------ fairness */

static void in_order(unsigned shard)
{
        int pubs[4], sub = slow_subscriber(LAST, true, "SUBSCRIBE x.a\r\n");
        char *heard, *at;

        for (int i = 0; i < 4; i++)
                pubs[i] = cluster_connect(&cl, shard, 0);
        publish_until_held(shard, pubs[0], PUBLISH);
        say(shard, pubs[2], "PUBLISH x.a second\r\n");
        say(shard, pubs[1], "PUBLISH x.a third\r\n");
        say(shard, pubs[3], "PUBLISH x.a fourth\r\n");
        fake_accept(cl.fakes[LAST], sub, SIZE_MAX);
        cluster_settle(&cl);
        heard = cluster_hear(&cl, LAST, sub);
        at = strstr(heard, "second");
        ck_assert(at && strstr(at, "third") && strstr(strstr(at, "third"), "fourth"));
        free(heard);
}

START_TEST(those_who_wait_go_on_in_order)
{
        start(N_SHARDS, &block_x);
        in_order(0);
        cluster_deinit(&cl);
}
END_TEST

/*
 * A publisher beside the slow subscriber fills its output again in the very turn that it came down in, so that
 * another shard sees the end of the hold and the next one at once. What waited there is said all the same, and
 * no more than that.
 */
START_TEST(a_hold_that_comes_back_lets_those_who_waited_go_first)
{
        int near, far, sub;

        start(3, &block_x);
        far = cluster_connect(&cl, 0, 0);
        near = cluster_connect(&cl, 2, 0);
        sub = slow_subscriber(2, true, "SUBSCRIBE x.a\r\n");
        publish_until_held(0, far, PUBLISH);
        cluster_say(&cl, 0, far, PUBLISH PUBLISH "PING\r\n");
        cluster_settle(&cl);
        free(cluster_hear(&cl, 0, far));
        for (int round = 0; round < 3; round++) {
                fake_accept(cl.fakes[2], sub, waiting(2, sub));
                cluster_turn(&cl, 2);
                fake_accept(cl.fakes[2], sub, 0);
                cluster_say(&cl, 2, near, PUBLISH PUBLISH PUBLISH PUBLISH PUBLISH);
                for (int i = 0; i < 5; i++)
                        cluster_turn(&cl, 2);
                ck_assert_uint_eq(holds(), 1);
                ck_assert_uint_eq(waiting(2, sub), 5 * FRAME);
                cluster_settle(&cl);
                ck_assert_uint_eq(waiting(2, sub), 6 * FRAME);
                check_heard(0, far, round < 2 ? ":1\r\n" : ":1\r\n+PONG\r\n");
                free(cluster_hear(&cl, 2, near));
        }
        ck_assert(!is_held(0, far));
        cluster_deinit(&cl);
}
END_TEST

/* The same policy again: the holds end and begin anew. */
START_TEST(a_new_policy_makes_holds_begin_anew)
{
        static const struct slow_rule higher[] = {
                { .action = SLOW_BLOCK, .bytes = 2 * MARK, .block_ns = BLOCK_NS },
        };
        static const struct policy same = { .limits = LIMITS, .slow = rules_x, .n_slow = 1 };
        static const struct policy other = { .limits = LIMITS, .slow = higher, .n_slow = 1 };
        int pub, sub;

        start(N_SHARDS, &block_x);
        pub = cluster_connect(&cl, 0, 0);
        sub = slow_subscriber(LAST, RESP3, "SUBSCRIBE x.a\r\n");
        publish_until_held(0, pub, PUBLISH);
        free(cluster_hear(&cl, 0, pub));
        cluster_advance(BLOCK_NS - 1);
        cluster_set_policy(&cl, &same);
        ck_assert_uint_eq(holds(), 1);
        check_heard(0, pub, ":1\r\n"); /* it had waited longer than the new hold */
        check(0, pub, PUBLISH, "");
        cluster_advance(BLOCK_NS - 1);
        cluster_settle(&cl);
        ck_assert(cluster_is_open(&cl, LAST, sub));
        cluster_set_policy(&cl, &other);
        ck_assert_uint_eq(holds(), 0);
        check_goes_on(0, pub, ":1\r\n");
        ck_assert_uint_eq(waiting(LAST, sub), 7 * FRAME);
        cluster_set_policy(&cl, &block_x); /* a lower mark holds at once */
        ck_assert_uint_eq(holds(), 1);
        cluster_set_policy(&cl, &other);
        ck_assert_uint_eq(publish_until_held(0, pub, PUBLISH), 2);
        cluster_deinit(&cl);
}
END_TEST

/* ------------------------------------------------------------------ the time-out */

/* What is logged from here on. */
static int log_catch(void)
{
        int fd = memfd_create("log", 0);

        ck_assert_int_ge(fd, 0);
        dup2(fd, STDERR_FILENO);
        return fd;
}

static void check_logged(int fd, const char *text)
{
        static char buffer[4096];
        ssize_t n = pread(fd, buffer, sizeof(buffer) - 1, 0);

        ck_assert_int_ge(n, 0);
        buffer[n] = 0;
        ck_assert_msg(strstr(buffer, text) != NULL, "not in the log: %s\n%s", text, buffer);
}

/* Two applications that publish to each other and wait for the reply before they read. */
START_TEST(a_mutual_wait_ends_with_the_time_out)
{
        int a, b, log;
        char text[256];

        start(N_SHARDS, &block_x);
        a = slow_subscriber(0, true, "SUBSCRIBE x.1\r\n");
        b = slow_subscriber(LAST, true, "SUBSCRIBE x.2\r\n");
        for (int i = 0; i < 3; i++)
                say(0, a, "PUBLISH x.2 0123456789012345678901234567890123456789\r\n");
        for (int i = 0; i < 4; i++)
                say(LAST, b, "PUBLISH x.1 0123456789012345678901234567890123456789\r\n");
        ck_assert_uint_eq(holds(), 1); /* a does: its replies count, too */
        cluster_advance(1000);
        say(0, a, "PUBLISH x.2 0123456789012345678901234567890123456789\r\n");
        ck_assert_uint_eq(holds(), 2);
        say(0, a, "PUBLISH x.2 0\r\n");
        say(LAST, b, "PUBLISH x.1 0\r\n");
        ck_assert(is_held(0, a) && is_held(LAST, b));
        log = log_catch();
        cluster_advance(BLOCK_NS - 1001);
        cluster_settle(&cl);
        ck_assert(cluster_is_open(&cl, 0, a));
        cluster_advance(1);
        cluster_settle(&cl);
        ck_assert(!cluster_is_open(&cl, 0, a));
        ck_assert(cluster_is_open(&cl, LAST, b) && !is_held(LAST, b));
        ck_assert_uint_eq(cl.shards[0]->status.block_timeouts, 1);
        if (N_SHARDS == 1)
                snprintf(
                        text, sizeof(text),
                        "client %d (pid 1, uid 0): disconnected, it held publishers back and did not come down "
                        "to "
                        "146 bytes of waiting output in 1000 ms; on its shard 1 waited, the first is client %d "
                        "(pid 1, uid 0)",
                        a, b);
        else
                snprintf(text, sizeof(text),
                         "client %d (pid 1, uid 0): waited to publish until client %d (pid 1, uid 0) was "
                         "disconnected",
                         b, a);
        check_logged(log, text);
        cluster_advance(2 * BLOCK_NS);
        cluster_settle(&cl);
        ck_assert(!cluster_is_open(&cl, LAST, b)); /* nobody waits for it, but it did not come down */
        cluster_deinit(&cl);
}
END_TEST

START_TEST(the_time_counts_anew_after_half_of_the_mark)
{
        int pub, sub;

        start(N_SHARDS, &block_x);
        pub = cluster_connect(&cl, 0, 0);
        sub = slow_subscriber(LAST, RESP3, "SUBSCRIBE x.a\r\n");
        publish_until_held(0, pub, PUBLISH);
        cluster_advance(BLOCK_NS - 1);
        fake_accept(cl.fakes[LAST], sub, 5 * FRAME - MARK / 2 - 1); /* that is not enough */
        cluster_settle(&cl);
        ck_assert(is_held(0, pub));
        fake_accept(cl.fakes[LAST], sub, 1);
        cluster_settle(&cl);
        ck_assert(!is_held(0, pub));
        publish_until_held(0, pub, PUBLISH);
        cluster_advance(BLOCK_NS - 1);
        cluster_settle(&cl);
        ck_assert(cluster_is_open(&cl, LAST, sub));
        cluster_advance(1);
        cluster_settle(&cl);
        ck_assert(!cluster_is_open(&cl, LAST, sub));
        ck_assert(!is_held(0, pub));
        cluster_deinit(&cl);
}
END_TEST

/* Three in a row: who does not read is at its end, and the one in the middle is spared. */
START_TEST(a_chain_ends_with_who_does_not_read)
{
        int head, middle, tail;

        start(N_SHARDS, &block_x);
        head = cluster_connect(&cl, 0, 0);
        middle = slow_subscriber(cl.n_shards / 2, true, "SUBSCRIBE x.m\r\n");
        tail = slow_subscriber(LAST, RESP3, "SUBSCRIBE x.t\r\n");
        publish_until_held(cl.n_shards / 2, middle, "PUBLISH x.t 0123456789012345678901234567890123456789\r\n");
        cluster_advance(BLOCK_NS / 2);
        publish_until_held(0, head, "PUBLISH x.m 0123456789012345678901234567890123456789\r\n");
        cluster_advance(BLOCK_NS / 2);
        cluster_settle(&cl);
        ck_assert(!cluster_is_open(&cl, LAST, tail));
        ck_assert(!is_held(cl.n_shards / 2, middle) && is_held(0, head));
        fake_accept(cl.fakes[cl.n_shards / 2], middle, SIZE_MAX);
        cluster_settle(&cl);
        ck_assert(!is_held(0, head));
        ck_assert(cluster_is_open(&cl, cl.n_shards / 2, middle));
        cluster_deinit(&cl);
}
END_TEST

/* ------------------------------------------------------------------ counters */

START_TEST(info_and_status_show_it)
{
        static const char *const shown[] = { "block_holds:1\r\n",      "block_held:1\r\n",
                                             "block_holds_ever:1\r\n", "block_waits:1\r\n",
                                             "block_messages:0\r\n",   "block_timeouts:0\r\n" };
        int pub, asker;
        char *heard;

        start(N_SHARDS, &block_x);
        pub = cluster_connect(&cl, 0, 0);
        asker = cluster_connect(&cl, 0, 0);
        slow_subscriber(LAST, RESP3, "SUBSCRIBE x.a\r\n");
        publish_until_held(0, pub, PUBLISH);
        say(0, asker, "INFO broker\r\n");
        heard = cluster_hear(&cl, 0, asker);
        for (unsigned i = 0; i < sizeof(shown) / sizeof(*shown); i++)
                ck_assert_msg(strstr(heard, shown[i]) != NULL, "%s in %s", shown[i], heard);
        free(heard);
        say(0, asker, "BROKER STATUS\r\n");
        heard = cluster_hear(&cl, 0, asker);
        ck_assert_ptr_nonnull(strstr(heard, "block_held\r\n:1\r\n"));
        free(heard);
        cluster_deinit(&cl);
}
END_TEST

static void add(TCase *cases)
{
        tcase_add_loop_test(cases, publishers_wait_above_the_mark_until_half_of_it_is_left, 0, CASES);
        tcase_add_loop_test(cases, the_mark_itself_may_wait, 0, CASES);
        tcase_add_loop_test(cases, others_and_other_channels_go_on, 0, CASES);
        tcase_add_loop_test(cases, what_is_under_way_is_delivered_and_counted, 0, CASES);
        tcase_add_loop_test(cases, a_hold_ends_with, 0, ENDS * CASES);
        tcase_add_loop_test(cases, a_lost_right_ends_a_hold_with_its_subscription, 0, CASES);
        tcase_add_loop_test(cases, what_may_be_dropped_counts, 0, CASES);
        tcase_add_loop_test(cases, the_hard_limit_ends_who_holds, 0, CASES);
        tcase_add_loop_test(cases, everyone_who_holds_has_to_come_down, 0, CASES);
        tcase_add_loop_test(cases, a_publisher_does_not_wait_for_itself, 0, CASES);
        tcase_add_loop_test(cases, a_waiting_publisher_begins_to_hold_itself, 0, CASES);
        tcase_add_loop_test(cases, the_first_rule_that_fits_governs_a_subscription, 0, GOVERNED * CASES);
        tcase_add_loop_test(cases, each_rule_has_its_mark, 0, CASES);
        tcase_add_loop_test(cases, each_rule_has_its_time, 0, CASES);
        tcase_add_test(cases, a_pending_subscription_does_not_hold);
        tcase_add_loop_test(cases, an_exec_waits_whole, 0, CASES);
        tcase_add_loop_test(cases, an_exec_that_passes_the_mark_runs_whole, 0, CASES);
        tcase_add_loop_test(cases, what_a_held_publisher_said_before_its_end_is_executed, 0, CASES);
        tcase_add_loop_test(cases, a_held_publisher_that_is_lost_or_killed_says_nothing, 0, CASES);
        tcase_add_loop_test(cases, a_stop_ends_those_that_wait, 0, CASES);
        tcase_add_loop_test(cases, those_who_wait_go_on_in_order, 0, CASES);
        tcase_add_test(cases, a_hold_that_comes_back_lets_those_who_waited_go_first);
        tcase_add_loop_test(cases, a_new_policy_makes_holds_begin_anew, 0, CASES);
        tcase_add_loop_test(cases, a_mutual_wait_ends_with_the_time_out, 0, CASES);
        tcase_add_loop_test(cases, the_time_counts_anew_after_half_of_the_mark, 0, CASES);
        tcase_add_loop_test(cases, a_chain_ends_with_who_does_not_read, 0, CASES);
        tcase_add_loop_test(cases, info_and_status_show_it, 0, CASES);
}

int main(void)
{
        return suite_run("block", add);
}
