/* SPDX-License-Identifier: MIT */
/* The limits of what a client says, publishes and subscribes to: each is reached, and something stays just
 * under. */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shard/client.h"
#include "shard/policy.h"
#include "shard/state.h"
#include "support/cluster.h"
#include "support/suite.h"
#include "util/clock.h"

static struct cluster cl;
static const unsigned shard_counts[] = { 1, 3 };

#define BASE .request_bytes = 1 << 20, .output_hard = 1 << 20

static void start(unsigned n_shards, const struct policy *policy)
{
        cluster_init(&cl, &(struct cluster_options){ .n_shards = n_shards,
                                                     .capacity = 2,
                                                     .backlog_bytes = 400,
                                                     .drain_budget = 3,
                                                     .policy = policy });
}

static void say(unsigned shard, int fd, const char *text)
{
        cluster_say(&cl, shard, fd, text);
        cluster_settle(&cl);
}

#define expect(_shard, _fd, _text)                                                                             \
        do {                                                                                                   \
                char *_got = cluster_hear(&cl, _shard, _fd);                                                   \
                ck_assert_str_eq(_got, _text);                                                                 \
                free(_got);                                                                                    \
        } while (0)

static struct shard_status *status(unsigned shard)
{
        return &cl.shards[shard]->status;
}

static struct client *client_of(unsigned shard, int fd)
{
        return client_of_stream(fake_stream(cl.fakes[shard], fd)->stream);
}

static void pass(uint64_t ns)
{
        cluster_advance(ns);
        cluster_settle(&cl);
}

/* Its end takes more than the budget of one turn. */
static int crowded_client(void)
{
        int fd = cluster_connect(&cl, 0, 7);
        char text[32];

        for (int i = 0; i < 1100; i++) {
                snprintf(text, sizeof(text), "SUBSCRIBE c%d\r\n", i);
                cluster_say(&cl, 0, fd, text);
        }
        cluster_settle(&cl);
        return fd;
}

/* ------------------------------------------------------------------ subscriptions */

#define SUBS_FULL     "-ERR max number of subscriptions per client reached\r\n"
#define PATS_FULL     "-ERR max number of patterns per client reached\r\n"
#define CHANS_FULL    "-ERR max number of channels reached\r\n"
#define SUB(_c, _n)   "*3\r\n$9\r\nsubscribe\r\n$1\r\n" _c "\r\n:" #_n "\r\n"
#define PSUB(_c, _n)  "*3\r\n$10\r\npsubscribe\r\n$1\r\n" _c "\r\n:" #_n "\r\n"
#define SSUB(_c, _n)  "*3\r\n$10\r\nssubscribe\r\n$1\r\n" _c "\r\n:" #_n "\r\n"
#define UNSUB(_c, _n) "*3\r\n$11\r\nunsubscribe\r\n$1\r\n" _c "\r\n:" #_n "\r\n"

static const struct policy few_subscriptions = { .limits = { BASE, .subscriptions = 3 } };

START_TEST(subscriptions_over_the_limit_are_refused_all_or_none)
{
        int c, other;

        start(shard_counts[_i], &few_subscriptions);
        c = cluster_connect(&cl, 0, 7);
        other = cluster_connect(&cl, cl.n_shards - 1, 7);
        say(0, c, "SUBSCRIBE a b\r\n");
        expect(0, c, SUB("a", 1) SUB("b", 2));
        say(0, c, "SUBSCRIBE c d\r\n");
        expect(0, c, SUBS_FULL);
        say(0, c, "PSUBSCRIBE a b c d\r\n");
        expect(0, c, SUBS_FULL);
        say(cl.n_shards - 1, other, "PUBSUB CHANNELS\r\nPUBSUB NUMPAT\r\nPUBLISH a 1\r\n");
        free(cluster_hear(&cl, cl.n_shards - 1, other));
        expect(0, c, "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\n1\r\n"); /* what it has goes on */
        say(0, c, "SUBSCRIBE a b a c c\r\n");                          /* one of them is new */
        expect(0, c, SUB("a", 2) SUB("b", 2) SUB("a", 2) SUB("c", 3) SUB("c", 3));
        say(0, c, "SSUBSCRIBE x\r\n");
        expect(0, c, SUBS_FULL);
        say(0, c, "UNSUBSCRIBE a\r\nSSUBSCRIBE x\r\n");
        expect(0, c, UNSUB("a", 2) SSUB("x", 1));
        ck_assert_uint_eq(status(0)->subscription_limit_refused, 3);
        ck_assert_uint_eq(topics_count(cl.shards[cl.n_shards - 1]->topics, TOPIC_CHANNEL), 2);
        cluster_deinit(&cl);
}
END_TEST

/* Pipelined ones share a gather, whose acknowledgements come before the error. */
START_TEST(a_refusal_keeps_its_place_among_acknowledgements)
{
        int c;

        start(shard_counts[_i], &few_subscriptions);
        c = cluster_connect(&cl, 0, 7);
        say(0, c, "SUBSCRIBE a b\r\nSUBSCRIBE c d\r\nSUBSCRIBE e\r\nSUBSCRIBE f\r\nUNSUBSCRIBE a\r\n");
        expect(0, c, SUB("a", 1) SUB("b", 2) SUBS_FULL SUB("e", 3) SUBS_FULL UNSUB("a", 2));
        cluster_deinit(&cl);
}
END_TEST

START_TEST(a_refusal_is_no_acknowledgement_for_one_who_is_silent)
{
        int c;

        start(shard_counts[_i], &few_subscriptions);
        c = cluster_connect(&cl, 0, 7);
        say(0, c,
            "CLIENT REPLY OFF\r\nSUBSCRIBE a b c\r\nSUBSCRIBE d\r\nUNSUBSCRIBE a b c\r\nCLIENT REPLY ON\r\n");
        expect(0, c, SUB("a", 1) SUB("b", 2) SUB("c", 3) UNSUB("a", 2) UNSUB("b", 1) UNSUB("c", 0) "+OK\r\n");
        cluster_deinit(&cl);
}
END_TEST

START_TEST(inside_exec_it_is_the_command_that_is_refused)
{
        int c;

        start(shard_counts[_i], &few_subscriptions);
        c = cluster_connect(&cl, 0, 7);
        say(0, c, "SUBSCRIBE a b c\r\n");
        free(cluster_hear(&cl, 0, c));
        say(0, c, "UNSUBSCRIBE\r\n");
        free(cluster_hear(&cl, 0, c));
        say(0, c, "MULTI\r\nSUBSCRIBE a b\r\nSUBSCRIBE c d\r\nUNSUBSCRIBE a\r\nSUBSCRIBE e f\r\nEXEC\r\n");
        expect(0, c,
               "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*4\r\n" SUB("a", 1) SUB("b", 2)
                       SUBS_FULL UNSUB("a", 1) SUB("e", 2) SUB("f", 3));
        for (unsigned i = 0; i < cl.n_shards; i++) {
                ck_assert_uint_eq(topics_n_held(cl.shards[i]->topics, TOPIC_CHANNEL), 3);
                ck_assert_uint_eq(topics_count(cl.shards[i]->topics, TOPIC_CHANNEL), 3);
        }
        cluster_deinit(&cl);
}
END_TEST

static const struct policy few_patterns = { .limits = { BASE, .subscriptions = 10, .patterns = 2 } };

START_TEST(patterns_have_a_limit_of_their_own)
{
        int c;

        start(shard_counts[_i], &few_patterns);
        c = cluster_connect(&cl, 0, 7);
        say(0, c, "PSUBSCRIBE a b\r\n");
        expect(0, c, PSUB("a", 1) PSUB("b", 2));
        say(0, c, "PSUBSCRIBE b c\r\nSUBSCRIBE c d\r\nPSUBSCRIBE a\r\n");
        expect(0, c, PATS_FULL SUB("c", 3) SUB("d", 4) PSUB("a", 4));
        ck_assert_uint_eq(status(0)->pattern_limit_refused, 1);
        cluster_deinit(&cl);
}
END_TEST

static const struct policy few_channels = { .limits = { BASE, .channels = 3 } };

START_TEST(channels_in_all_are_limited_and_those_that_exist_are_for_everybody)
{
        unsigned last = shard_counts[_i] - 1;
        int c, d, publisher;

        start(shard_counts[_i], &few_channels);
        c = cluster_connect(&cl, 0, 7);
        d = cluster_connect(&cl, last, 8);
        say(0, c, "SUBSCRIBE a b\r\nSSUBSCRIBE a\r\nPSUBSCRIBE p\r\n");
        expect(0, c, SUB("a", 1) SUB("b", 2) SSUB("a", 1) PSUB("p", 3));
        say(last, d, "SUBSCRIBE a c\r\n");
        expect(last, d, CHANS_FULL);
        say(last, d, "SUBSCRIBE b a\r\nSSUBSCRIBE b\r\n");
        expect(last, d, SUB("b", 1) SUB("a", 2) CHANS_FULL);
        ck_assert_uint_eq(status(last)->channel_limit_refused, 2);
        say(0, c, "SUNSUBSCRIBE\r\n");
        publisher = cluster_connect(&cl, last, 8);
        say(last, publisher, "PUBLISH x 1\r\nPUBLISH y 1\r\n"); /* are remembered, but have no subscriber */
        say(last, d, "SUBSCRIBE c\r\nSUBSCRIBE x\r\n");
        expect(last, d, SUB("c", 3) CHANS_FULL);
        cluster_deinit(&cl);
}
END_TEST

/* What is pending counts, or a pipeline would pass them. */
START_TEST(pipelined_channels_are_counted_before_they_are_acknowledged)
{
        int c;

        start(shard_counts[_i], &few_channels);
        c = cluster_connect(&cl, 0, 7);
        say(0, c, "SUBSCRIBE a\r\nSUBSCRIBE b\r\nSUBSCRIBE c\r\nSUBSCRIBE d\r\nSUBSCRIBE a\r\n");
        expect(0, c, SUB("a", 1) SUB("b", 2) SUB("c", 3) CHANS_FULL SUB("a", 3));
        cluster_deinit(&cl);
}
END_TEST

START_TEST(channels_are_looked_at_before_an_exec)
{
        int c;

        start(shard_counts[_i], &few_channels);
        c = cluster_connect(&cl, 0, 7);
        say(0, c, "MULTI\r\nSUBSCRIBE a b\r\nSUBSCRIBE c d\r\nSUBSCRIBE a e\r\nSUBSCRIBE c\r\nEXEC\r\n");
        expect(0, c,
               "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*4\r\n" SUB("a", 1) SUB("b", 2)
                       CHANS_FULL SUB("a", 2) SUB("e", 3) CHANS_FULL);
        ck_assert_uint_eq(topics_n_held(cl.shards[cl.n_shards - 1]->topics, TOPIC_CHANNEL), 3);
        ck_assert_uint_eq(status(0)->channel_limit_refused, 2);
        cluster_deinit(&cl);
}
END_TEST

START_TEST(a_lowered_limit_ends_nothing_that_is)
{
        static const struct policy many = { .limits = { BASE, .subscriptions = 100 } };
        int c;

        start(shard_counts[_i], &many);
        c = cluster_connect(&cl, 0, 7);
        say(0, c, "SUBSCRIBE a b c d\r\n");
        free(cluster_hear(&cl, 0, c));
        cluster_set_policy(&cl, &few_subscriptions);
        say(0, c, "SUBSCRIBE a\r\nSUBSCRIBE e\r\n");
        expect(0, c, SUB("a", 4) SUBS_FULL);
        cluster_deinit(&cl);
}
END_TEST

/* ------------------------------------------------------------------ sizes */

static const struct policy small = { .limits = { BASE, .message_bytes = 8 } };

START_TEST(a_message_over_its_size_is_an_error_and_nothing_else)
{
        unsigned last = shard_counts[_i] - 1;
        int c, s;

        start(shard_counts[_i], &small);
        s = cluster_connect(&cl, last, 7);
        c = cluster_connect(&cl, 0, 7);
        say(last, s, "SUBSCRIBE n\r\n");
        free(cluster_hear(&cl, last, s));
        say(0, c, "PUBLISH n 12345678\r\nPUBLISH n 123456789\r\nSPUBLISH n 123456789\r\nPUBLISH n x\r\n");
        expect(0, c,
               ":1\r\n-ERR the message is larger than the limit of 8 bytes\r\n"
               "-ERR the message is larger than the limit of 8 bytes\r\n:1\r\n");
        expect(last, s,
               "*3\r\n$7\r\nmessage\r\n$1\r\nn\r\n$8\r\n12345678\r\n*3\r\n$7\r\nmessage\r\n$1\r\nn\r\n$"
               "1\r\nx\r\n");
        ck_assert_uint_eq(status(0)->message_limit_refused, 2);
        say(0, c, "MULTI\r\nPUBLISH n 1\r\nPUBLISH n 123456789\r\nEXEC\r\n");
        expect(0, c,
               "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:1\r\n-ERR the message is larger than the limit of 8 "
               "bytes\r\n");
        say(0, c, "INFO commandstats\r\n");
        {
                char *text = cluster_hear(&cl, 0, c);

                ck_assert_ptr_nonnull(strstr(text, "cmdstat_publish:calls=3,usec=0,usec_per_call=0.00,"
                                                   "rejected_calls=2,failed_calls=0"));
                ck_assert_ptr_nonnull(strstr(text, "cmdstat_spublish:calls=0,usec=0,usec_per_call=0.00,"
                                                   "rejected_calls=1,failed_calls=0"));
                free(text);
        }
        cluster_deinit(&cl);
}
END_TEST

static const struct policy little_input = {
        .limits = { .request_bytes = 4000, .output_hard = 1 << 20, .query_bytes = 1000, .messages = 1 }
};

static void feed_n(int fd, size_t n)
{
        char text[2000];

        ck_assert_uint_lt(n, sizeof(text));
        memset(text, 'x', n);
        text[n] = 0;
        cluster_say(&cl, 0, fd, text);
}

static void say_n(int fd, size_t n)
{
        feed_n(fd, n);
        cluster_settle(&cl);
}

/* A request that is not whole yet: its line never ends. */
START_TEST(an_unfinished_request_counts_as_waiting_input)
{
        int c;

        start(shard_counts[_i], &little_input);
        c = cluster_connect(&cl, 0, 7);
        say_n(c, 600);
        say_n(c, 400);
        ck_assert(cluster_is_open(&cl, 0, c));
        say_n(c, 1);
        ck_assert(!cluster_is_open(&cl, 0, c));
        ck_assert_uint_eq(status(0)->query_limit_closed, 1);
        cluster_deinit(&cl);
}
END_TEST

/* Pipelined behind a PUBLISH that has to wait; what comes later is not read before. */
START_TEST(waiting_requests_are_bounded)
{
        int c[2];

        start(shard_counts[_i], &little_input);
        for (unsigned i = 0; i < 2; i++) {
                c[i] = cluster_connect(&cl, 0, 7);
                say(0, c[i], "PUBLISH n 1\r\n");
                cluster_say(&cl, 0, c[i], "PUBLISH n 2\r\nECHO "); /* 18 bytes, which wait */
                feed_n(c[i], 980 + i);
                cluster_say(&cl, 0, c[i], "\r\n");
                cluster_settle(&cl);
                ck_assert(cluster_is_open(&cl, 0, c[i]) == !i);
        }
        ck_assert_uint_eq(status(0)->query_limit_closed, 1);
        expect(0, c[0], ":0\r\n");
        pass(NSEC_PER_SEC);
        ck_assert_uint_eq(fake_stream(cl.fakes[0], c[0])->out.end, 4 + 1 + 3 + 2 + 980 + 2);
        cluster_deinit(&cl);
}
END_TEST

/* Who yields to others waits for nothing. */
START_TEST(input_behind_a_long_request_is_no_waiting_input)
{
        static const struct policy off = { .limits = { BASE } };
        int c;

        start(shard_counts[_i], &off);
        crowded_client();
        c = cluster_connect(&cl, 0, 7);
        cluster_set_policy(&cl, &little_input);
        cluster_say(&cl, 0, c, "PUBSUB CHANNELS x\r\nECHO ");
        feed_n(c, 1500);
        say(0, c, "\r\n");
        ck_assert(cluster_is_open(&cl, 0, c));
        ck_assert_uint_eq(buffer_size(&fake_stream(cl.fakes[0], c)->out), 4 + 5 + 2 + 1500 + 2);
        cluster_deinit(&cl);
}
END_TEST

START_TEST(the_commands_of_a_transaction_are_waiting_input)
{
        int c;

        start(shard_counts[_i], &little_input);
        c = cluster_connect(&cl, 0, 7);
        say(0, c, "MULTI\r\n");
        for (int i = 0; i < 8; i++)
                say(0, c, "ECHO 1234\r\n");
        ck_assert(cluster_is_open(&cl, 0, c));
        say(0, c, "EXEC\r\nMULTI\r\n");
        for (int i = 0; i < 8; i++)
                say(0, c, "ECHO 1234\r\n");
        ck_assert(cluster_is_open(&cl, 0, c));
        for (int i = 0; i < 5; i++)
                say(0, c, "ECHO 1234\r\n");
        ck_assert(!cluster_is_open(&cl, 0, c));
        cluster_deinit(&cl);
}
END_TEST

START_TEST(a_request_over_its_size_is_counted)
{
        static const char *const large[] = { "*2\r\n$4\r\nECHO\r\n$4001\r\n", "*1000\r\n", "*2\r\n$x\r\n" };

        start(shard_counts[_i], &little_input);
        for (unsigned i = 0; i < 3; i++) {
                int c = cluster_connect(&cl, 0, 7);

                say(0, c, large[i]);
                ck_assert(!cluster_is_open(&cl, 0, c));
                ck_assert_uint_eq(status(0)->request_limit_closed, i < 2 ? i + 1 : 2);
        }
        cluster_deinit(&cl);
}
END_TEST

/* ------------------------------------------------------------------ rates */

static const struct policy ten = { .limits = { BASE, .messages = 10 } };

static void say_publishes(unsigned shard, int fd, unsigned from, unsigned n)
{
        char text[40];

        for (unsigned i = from; i < from + n; i++) {
                snprintf(text, sizeof(text), "%sPUBLISH n %u\r\n", i % 3 ? "" : "S", i);
                cluster_say(&cl, shard, fd, text);
        }
        cluster_settle(&cl);
}

static unsigned count(unsigned shard, int fd, const char *what)
{
        char *text = cluster_hear(&cl, shard, fd);
        unsigned n = 0;

        for (char *p = text; (p = strstr(p, what)); p++)
                n++;
        free(text);
        return n;
}

START_TEST(over_its_rate_a_publisher_waits_and_loses_nothing)
{
        unsigned last = shard_counts[_i] - 1;
        int c, s, other;
        char *text, *p, want[8];

        start(shard_counts[_i], &ten);
        s = cluster_connect(&cl, last, 7);
        c = cluster_connect(&cl, 0, 7);
        other = cluster_connect(&cl, 0, 7);
        say(last, s, "SUBSCRIBE n\r\nSSUBSCRIBE n\r\n");
        free(cluster_hear(&cl, last, s));
        say_publishes(0, c, 0, 10);
        ck_assert_uint_eq(count(0, c, ":1\r\n"), 10);
        ck_assert_uint_eq(status(0)->rate_limit_paused, 0);
        say_publishes(0, c, 10, 4);
        cluster_say(&cl, 0, c, "PING\r\n");
        cluster_settle(&cl);
        expect(0, c, "");
        ck_assert_int_eq(client_of(0, c)->wait, CLIENT_RATED);
        say(0, other, "PUBLISH n other\r\n");
        expect(0, other, ":1\r\n");
        pass(NSEC_PER_SEC / 10 - 1);
        expect(0, c, "");
        pass(1);
        expect(0, c, ":1\r\n");
        pass(NSEC_PER_SEC / 10);
        expect(0, c, ":1\r\n");
        pass(2 * NSEC_PER_SEC / 10);
        expect(0, c, ":1\r\n:1\r\n+PONG\r\n");
        ck_assert(!fake_stream(cl.fakes[0], c)->stream->paused);
        p = text = cluster_hear(&cl, last, s);
        for (unsigned i = 0; i < 14; i++) { /* in order */
                snprintf(want, sizeof(want), "\r\n%u\r\n", i);
                p = strstr(p, want);
                ck_assert_msg(p != NULL, "%u", i);
        }
        free(text);
        ck_assert_uint_ge(status(0)->rate_limit_paused, 1);
        cluster_deinit(&cl);
}
END_TEST

static const struct policy hundred_bytes = { .limits = { BASE, .bytes = 100 } };

START_TEST(bytes_have_a_rate_and_one_larger_than_it_passes_in_its_time)
{
        char text[400] = "PUBLISH n ";
        int c;

        start(shard_counts[_i], &hundred_bytes);
        c = cluster_connect(&cl, 0, 7);
        say(0, c, "PUBLISH n 1234567890\r\n");
        expect(0, c, ":0\r\n");
        memset(text + 10, 'x', 300);
        strcpy(text + 310, "\r\n");
        say(0, c, text); /* the bucket is not full */
        expect(0, c, "");
        pass(NSEC_PER_SEC / 10);
        expect(0, c, ":0\r\n");
        say(0, c, "PUBLISH n x\r\nPING\r\n"); /* 200 bytes of debt, and one byte */
        pass(2 * NSEC_PER_SEC);
        expect(0, c, "");
        pass(NSEC_PER_SEC / 100);
        expect(0, c, ":0\r\n+PONG\r\n");
        cluster_deinit(&cl);
}
END_TEST

START_TEST(exec_is_charged_whole_before_it_runs)
{
        unsigned last = shard_counts[_i] - 1;
        int c, s;

        start(shard_counts[_i], &ten);
        s = cluster_connect(&cl, last, 7);
        c = cluster_connect(&cl, 0, 7);
        say(last, s, "SUBSCRIBE n\r\n");
        free(cluster_hear(&cl, last, s));
        say_publishes(0, c, 1, 2);
        say(last, s, "PING\r\n");
        free(cluster_hear(&cl, last, s));
        free(cluster_hear(&cl, 0, c));
        cluster_say(&cl, 0, c, "MULTI\r\n");
        for (int i = 0; i < 9; i++)
                cluster_say(&cl, 0, c, "PUBLISH n x\r\n");
        say(0, c, "EXEC\r\nPING\r\n");
        ck_assert_uint_eq(count(0, c, "+QUEUED"), 9);
        expect(last, s, "");
        pass(NSEC_PER_SEC / 10 - 1);
        expect(0, c, "");
        expect(last, s, "");
        pass(1);
        ck_assert_uint_eq(count(0, c, ":1\r\n"), 9);
        ck_assert_uint_eq(count(last, s, "message"), 9);
        say(0, c, "PUBLISH n x\r\n");
        expect(0, c, "");
        pass(NSEC_PER_SEC / 10);
        expect(0, c, ":1\r\n");
        pass(NSEC_PER_SEC);
        cluster_say(&cl, 0, c, "MULTI\r\n");
        for (int i = 0; i < 25; i++)
                cluster_say(&cl, 0, c, "PUBLISH n x\r\n");
        say(0, c, "EXEC\r\n"); /* more than a second's worth */
        ck_assert_uint_eq(count(0, c, ":1\r\n"), 25);
        say(0, c, "MULTI\r\nPING\r\nEXEC\r\n"); /* one without PUBLISH does not wait */
        expect(0, c, "+OK\r\n+QUEUED\r\n*1\r\n+PONG\r\n");
        say(0, c, "PUBLISH n x\r\n");
        pass(16 * NSEC_PER_SEC / 10 - 1);
        expect(0, c, "");
        pass(1);
        expect(0, c, ":1\r\n");
        cluster_deinit(&cl);
}
END_TEST

START_TEST(what_exec_will_refuse_is_not_charged)
{
        static const struct policy both = { .limits = { BASE, .message_bytes = 8, .bytes = 10 } };
        int c;

        start(shard_counts[_i], &both);
        c = cluster_connect(&cl, 0, 7);
        say(0, c, "MULTI\r\nPUBLISH n 123456789\r\nPUBLISH n 12345678\r\nEXEC\r\n");
        free(cluster_hear(&cl, 0, c));
        say(0, c, "PUBLISH n 12\r\n");
        expect(0, c, ":0\r\n");
        say(0, c, "PUBLISH n 1\r\n");
        expect(0, c, "");
        cluster_deinit(&cl);
}
END_TEST

/* However it ends while it waits. */
START_TEST(a_client_that_is_over_its_rate_can_end)
{
        for (int how = 0; how < 4; how++) {

                int c, other, crowded;

                start(shard_counts[_i], &ten);
                crowded = crowded_client();
                c = cluster_connect(&cl, 0, 7);
                other = cluster_connect(&cl, 0, 7);
                say_publishes(0, c, 1, 12);
                free(cluster_hear(&cl, 0, c));
                if (how == 0) {
                        fake_end(cl.fakes[0], c);
                        pass(NSEC_PER_SEC);
                        expect(0, c, ":0\r\n:0\r\n"); /* what it said before its end is executed */
                } else if (how == 1) {
                        fake_fail(cl.fakes[0], c, 104);
                        pass(NSEC_PER_SEC);
                } else if (how == 2) {
                        say(0, other, "CLIENT KILL TYPE normal\r\n");
                        pass(NSEC_PER_SEC);
                } else {
                        fake_fail(cl.fakes[0], crowded, 104); /* first, so c ends in a later turn ... */
                        fake_fail(cl.fakes[0], c, 104);
                        pass(NSEC_PER_SEC); /* ... than that in which its time comes */
                }
                ck_assert(!cluster_is_open(&cl, 0, c));
                cluster_deinit(&cl);
        }
}
END_TEST

START_TEST(another_rate_acts_on_one_that_waits)
{
        static const struct policy fast = { .limits = { BASE, .messages = 100 } };
        static const struct policy off = { .limits = { BASE } };
        int c;

        start(shard_counts[_i], &ten);
        c = cluster_connect(&cl, 0, 7);
        say_publishes(0, c, 1, 20);
        ck_assert_uint_eq(count(0, c, ":0\r\n"), 10);
        cluster_set_policy(&cl, &fast);
        ck_assert_uint_eq(count(0, c, ":0\r\n"), 10);
        cluster_set_policy(&cl, &ten);
        say_publishes(0, c, 1, 20);
        expect(0, c, "");
        cluster_set_policy(&cl, &off);
        ck_assert_uint_eq(count(0, c, ":0\r\n"), 20);
        cluster_deinit(&cl);
}
END_TEST

START_TEST(what_was_reached_is_shown)
{
        static const char *const names[] = { "request_limit_closed",  "query_limit_closed",
                                             "message_limit_refused", "subscription_limit_refused",
                                             "pattern_limit_refused", "channel_limit_refused",
                                             "rate_limit_paused",     "handshake_timeouts",
                                             "request_timeouts",      "idle_timeouts" };
        int c, admin;
        char *text, line[64];

        start(shard_counts[_i], &few_subscriptions);
        c = cluster_connect(&cl, cl.n_shards - 1, 7);
        admin = cluster_connect(&cl, 0, 0);
        say(cl.n_shards - 1, c, "SUBSCRIBE a b c d\r\n");
        say(0, admin, "INFO\r\n");
        text = cluster_hear(&cl, 0, admin);
        for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) {
                snprintf(line, sizeof(line), "\r\n%s:%d\r\n", names[i], i == 3);
                ck_assert_msg(strstr(text, line) != NULL, "%s", names[i]);
        }
        ck_assert_ptr_nonnull(strstr(text, "\r\nclient_query_buffer_limit_disconnections:0\r\n"));
        free(text);
        say(0, admin, "CONFIG RESETSTAT\r\nINFO broker\r\n");
        text = cluster_hear(&cl, 0, admin);
        ck_assert_ptr_nonnull(strstr(text, "\r\nsubscription_limit_refused:0\r\n"));
        free(text);
        say(0, admin, "BROKER STATUS\r\n");
        text = cluster_hear(&cl, 0, admin);
        for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) {
                snprintf(line, sizeof(line), "\r\n%s\r\n:%d\r\n", names[i], i == 3);
                ck_assert_msg(strstr(text, line) != NULL || i == 3, "%s", names[i]);
        }
        ck_assert_ptr_nonnull(strstr(text, "\r\nsubscription_limit_refused\r\n:1\r\n"));
        free(text);
        cluster_deinit(&cl);
}
END_TEST

static void add(TCase *cases)
{
        tcase_add_loop_test(cases, subscriptions_over_the_limit_are_refused_all_or_none, 0, 2);
        tcase_add_loop_test(cases, a_refusal_keeps_its_place_among_acknowledgements, 0, 2);
        tcase_add_loop_test(cases, a_refusal_is_no_acknowledgement_for_one_who_is_silent, 0, 2);
        tcase_add_loop_test(cases, inside_exec_it_is_the_command_that_is_refused, 0, 2);
        tcase_add_loop_test(cases, patterns_have_a_limit_of_their_own, 0, 2);
        tcase_add_loop_test(cases, channels_in_all_are_limited_and_those_that_exist_are_for_everybody, 0, 2);
        tcase_add_loop_test(cases, pipelined_channels_are_counted_before_they_are_acknowledged, 0, 2);
        tcase_add_loop_test(cases, channels_are_looked_at_before_an_exec, 0, 2);
        tcase_add_loop_test(cases, a_lowered_limit_ends_nothing_that_is, 0, 2);
        tcase_add_loop_test(cases, a_message_over_its_size_is_an_error_and_nothing_else, 0, 2);
        tcase_add_loop_test(cases, an_unfinished_request_counts_as_waiting_input, 0, 2);
        tcase_add_loop_test(cases, waiting_requests_are_bounded, 0, 2);
        tcase_add_loop_test(cases, input_behind_a_long_request_is_no_waiting_input, 0, 2);
        tcase_add_loop_test(cases, the_commands_of_a_transaction_are_waiting_input, 0, 2);
        tcase_add_loop_test(cases, a_request_over_its_size_is_counted, 0, 2);
        tcase_add_loop_test(cases, over_its_rate_a_publisher_waits_and_loses_nothing, 0, 2);
        tcase_add_loop_test(cases, bytes_have_a_rate_and_one_larger_than_it_passes_in_its_time, 0, 2);
        tcase_add_loop_test(cases, exec_is_charged_whole_before_it_runs, 0, 2);
        tcase_add_loop_test(cases, what_exec_will_refuse_is_not_charged, 0, 2);
        tcase_add_loop_test(cases, a_client_that_is_over_its_rate_can_end, 0, 2);
        tcase_add_loop_test(cases, another_rate_acts_on_one_that_waits, 0, 2);
        tcase_add_loop_test(cases, what_was_reached_is_shown, 0, 2);
}

int main(void)
{
        return suite_run("limits", add);
}
