/* SPDX-License-Identifier: MIT */
/* Whole shards on fake reactors: what clients see, and what is left behind. */

#include "shard/shard.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "shard/client.h"
#include "shard/message.h"
#include "shard/state.h"
#include "support/cluster.h"
#include "support/suite.h"
#include "util/clock.h"
#include "util/prng.h"

static struct cluster cl;

static void start(unsigned n_shards)
{
        struct cluster_options options = { .n_shards = n_shards,
                                           .capacity = 2,
                                           .backlog_bytes = 400,
                                           .output_max = 100000,
                                           .drain_budget = 3 };

        cluster_init(&cl, &options);
}

/* Says something, lets everything happen, and checks what comes back. */
static void check(unsigned shard, int fd, const char *say, const char *expected)
{
        char *heard;

        cluster_say(&cl, shard, fd, say);
        cluster_settle(&cl);
        heard = cluster_hear(&cl, shard, fd);
        ck_assert_str_eq(heard, expected);
        free(heard);
}

static void check_heard(unsigned shard, int fd, const char *expected)
{
        check(shard, fd, "", expected);
}

static const unsigned shard_counts[] = { 1, 3 };

START_TEST(a_message_reaches_subscribers_on_every_shard)
{
        int sub[3], pub;

        start(shard_counts[_i]);
        for (unsigned i = 0; i < cl.n_shards; i++) {
                sub[i] = cluster_connect(&cl, i, 0);
                check(i, sub[i], "SUBSCRIBE news\r\n", "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n");
        }
        for (unsigned i = 0; i < cl.n_shards; i++) {
                pub = cluster_connect(&cl, i, 0);
                check(i, pub, "PUBLISH news hello\r\n", cl.n_shards == 3 ? ":3\r\n" : ":1\r\n");
                for (unsigned j = 0; j < cl.n_shards; j++)
                        check_heard(j, sub[j], "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$5\r\nhello\r\n");
        }
        cluster_deinit(&cl);
}
END_TEST

START_TEST(patterns_and_channels_give_one_copy_each_message_first)
{
        int sub, pub;
        unsigned other;

        start(shard_counts[_i]);
        other = cl.n_shards - 1;
        sub = cluster_connect(&cl, 0, 0);
        check(0, sub, "SUBSCRIBE news\r\nPSUBSCRIBE n*\r\n",
              "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n*3\r\n$10\r\npsubscribe\r\n$2\r\nn*\r\n:2\r\n");
        pub = cluster_connect(&cl, other, 0);
        check(other, pub, "PUBLISH news a\r\nPUBLISH news b\r\n", ":2\r\n:2\r\n");
        check_heard(0, sub,
                    "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\na\r\n"
                    "*4\r\n$8\r\npmessage\r\n$2\r\nn*\r\n$4\r\nnews\r\n$1\r\na\r\n"
                    "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\nb\r\n"
                    "*4\r\n$8\r\npmessage\r\n$2\r\nn*\r\n$4\r\nnews\r\n$1\r\nb\r\n");
        cluster_deinit(&cl);
}
END_TEST

START_TEST(resp3_pushes_and_a_publisher_hears_itself_after_its_reply)
{
        int c;

        start(shard_counts[_i]);
        c = cluster_connect(&cl, 0, 0);
        cluster_say(&cl, 0, c, "HELLO 3\r\n");
        cluster_settle(&cl);
        free(cluster_hear(&cl, 0, c));
        check(0, c, "SUBSCRIBE x\r\n", ">3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n");
        check(0, c, "PUBLISH x 1\r\nPUBLISH x 2\r\nPING\r\n",
              ":1\r\n>3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\n1\r\n"
              ":1\r\n>3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\n2\r\n+PONG\r\n");
        cluster_deinit(&cl);
}
END_TEST

START_TEST(resp2_and_resp3_subscribers_share_a_channel)
{
        int two, three, pub;

        start(shard_counts[_i]);
        two = cluster_connect(&cl, 0, 0);
        three = cluster_connect(&cl, 0, 0);
        pub = cluster_connect(&cl, 0, 0);
        check(0, two, "SUBSCRIBE x\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n");
        cluster_say(&cl, 0, three, "HELLO 3\r\nSUBSCRIBE x\r\n");
        cluster_settle(&cl);
        free(cluster_hear(&cl, 0, three));
        check(0, pub, "PUBLISH x 1\r\nPUBLISH x 2\r\n", ":2\r\n:2\r\n");
        check_heard(
                0, two,
                "*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\n1\r\n*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\n2\r\n");
        check_heard(
                0, three,
                ">3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\n1\r\n>3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\n2\r\n");
        cluster_deinit(&cl);
}
END_TEST

/* Known failure 22. One byte at a time in, one byte at a time out: nothing else may change. */
START_TEST(splitting_input_and_output_changes_nothing)
{
        static const char say[] =
                "*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nx\r\nUNSUBSCRIBE\r\nPING\r\n*3\r\n$7\r\nPUBLISH\r\n$1\r\nx\r\n"
                "$3\r\na\r\n\r\nCLIENT SETNAME me\r\nCLIENT GETNAME\r\nRESET\r\n";
        static const char expected[] =
                "*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n*3\r\n$11\r\nunsubscribe\r\n$1\r\nx\r\n:0\r\n"
                "+PONG\r\n:0\r\n+OK\r\n$2\r\nme\r\n+RESET\r\n";
        char *heard;
        int c;

        for (size_t split = 1; split < sizeof(say); split++) {
                start(shard_counts[_i]);
                c = cluster_connect(&cl, 0, 0);
                fake_split(cl.fakes[0], split);
                cluster_say(&cl, 0, c, say);
                for (int turn = 0; turn < 400; turn++) {
                        fake_accept(cl.fakes[0], c, split % 7 + 1);
                        for (unsigned i = 0; i < cl.n_shards; i++)
                                cluster_turn(&cl, i);
                }
                fake_accept(cl.fakes[0], c, SIZE_MAX);
                cluster_settle(&cl);
                heard = cluster_hear(&cl, 0, c);
                ck_assert_str_eq(heard, expected);
                free(heard);
                cluster_deinit(&cl);
        }
}
END_TEST

START_TEST(a_pipeline_behind_a_subscription_waits_for_its_acknowledgement)
{
        int c, other;

        start(3);
        c = cluster_connect(&cl, 0, 0);
        other = cluster_connect(&cl, 1, 0);
        cluster_say(&cl, 0, c, "SUBSCRIBE a\r\nSUBSCRIBE b\r\nPING\r\nUNSUBSCRIBE a b\r\nPING\r\n");
        cluster_turn(&cl, 0);
        ck_assert_uint_eq(buffer_size(&fake_stream(cl.fakes[0], c)->out), 0);
        check(0, c, "",
              "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n"
              "*2\r\n$4\r\npong\r\n$0\r\n\r\n"
              "*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$11\r\nunsubscribe\r\n$1\r\nb\r\n:0\r\n+"
              "PONG\r\n");
        check(1, other, "PUBLISH a x\r\n", ":0\r\n");
        cluster_deinit(&cl);
}
END_TEST

/* The error that ends a stream comes behind the acknowledgements that are still under way. */
START_TEST(a_protocol_error_behind_a_subscription_comes_after_its_acknowledgement)
{
        int c, other;

        start(3);
        c = cluster_connect(&cl, 0, 0);
        other = cluster_connect(&cl, 0, 0);
        cluster_say(&cl, 0, c, "SUBSCRIBE a\r\n*1\r\n!PING\r\nPING\r\n");
        cluster_turn(&cl, 0);
        cluster_say(&cl, 0, other, "ECHO 'something else in the shared memory'\r\n*1\r\nxx\r\n");
        cluster_turn(&cl, 0);
        check(0, c, "",
              "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n-ERR Protocol error: expected '$', got '!'\r\n");
        ck_assert(!cluster_is_open(&cl, 0, c));
        cluster_deinit(&cl);
}
END_TEST

START_TEST(an_unsubscribe_against_a_pending_subscription_keeps_the_interest)
{
        int a, b, pub;

        start(2);
        a = cluster_connect(&cl, 0, 0);
        b = cluster_connect(&cl, 0, 0);
        pub = cluster_connect(&cl, 1, 0);
        check(0, a, "SUBSCRIBE x\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n");
        cluster_say(&cl, 0, b, "SUBSCRIBE x\r\n");
        cluster_say(&cl, 0, a, "UNSUBSCRIBE x\r\n");
        cluster_settle(&cl);
        free(cluster_hear(&cl, 0, b));
        check(1, pub, "PUBLISH x 1\r\n", ":1\r\n");
        check_heard(0, b, "*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\n1\r\n");
        cluster_deinit(&cl);
}
END_TEST

START_TEST(a_client_that_dies_while_it_waits_leaves_no_interest)
{
        int a, pub;

        start(3);
        a = cluster_connect(&cl, 0, 0);
        pub = cluster_connect(&cl, 1, 0);
        cluster_say(&cl, 0, a, "SUBSCRIBE x y z\r\nPSUBSCRIBE p*\r\nPING\r\n");
        cluster_turn(&cl, 0);
        fake_fail(cl.fakes[0], a, ECONNRESET);
        cluster_settle(&cl);
        ck_assert(!cluster_is_open(&cl, 0, a));
        check(1, pub, "PUBLISH x 1\r\nPUBLISH p1 1\r\nPUBSUB NUMPAT\r\n", ":0\r\n:0\r\n:0\r\n");
        ck_assert_uint_eq(cl.n_closed, 1);
        cluster_deinit(&cl);
}
END_TEST

/* What was received is executed and answered, then the connection ends. */
START_TEST(end_of_file_comes_after_every_reply)
{
        int a, sub;
        char *heard;
        size_t n = 0;

        start(shard_counts[_i]);
        sub = cluster_connect(&cl, cl.n_shards - 1, 0);
        a = cluster_connect(&cl, 0, 0);
        cluster_say(&cl, cl.n_shards - 1, sub, "SUBSCRIBE x\r\n");
        cluster_settle(&cl);
        free(cluster_hear(&cl, cl.n_shards - 1, sub));
        cluster_say(&cl, 0, a, "SUBSCRIBE q\r\nUNSUBSCRIBE q\r\n");
        for (int i = 0; i < 500; i++)
                cluster_say(&cl, 0, a, "PUBLISH x 0123456789\r\n");
        fake_end(cl.fakes[0], a);
        cluster_settle(&cl);
        ck_assert(!cluster_is_open(&cl, 0, a));
        heard = cluster_hear(&cl, 0, a);
        for (char *p = heard; (p = strstr(p, ":1\r\n")); p++)
                n++;
        ck_assert_uint_eq(n, 501);
        free(heard);
        heard = cluster_hear(&cl, cl.n_shards - 1, sub);
        ck_assert_uint_eq(strlen(heard),
                          500 * strlen("*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$10\r\n0123456789\r\n"));
        free(heard);
        cluster_deinit(&cl);
}
END_TEST

START_TEST(an_end_of_file_right_behind_a_subscription_is_acknowledged)
{
        int c;
        char *heard;

        start(3);
        c = cluster_connect(&cl, 0, 0);
        cluster_say(&cl, 0, c, "SUBSCRIBE a\r\n");
        cluster_turn(&cl, 0);
        fake_end(cl.fakes[0], c);
        cluster_settle(&cl);
        heard = cluster_hear(&cl, 0, c);
        ck_assert_str_eq(heard, "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
        free(heard);
        ck_assert(!cluster_is_open(&cl, 0, c));
        cluster_deinit(&cl);
}
END_TEST

/* What a slow client has not taken is its own: the stages that all share are filled anew every turn. */
START_TEST(a_subscriber_that_does_not_read_pins_no_shared_stage)
{
        int sub, pub;

        start(1);
        sub = cluster_connect(&cl, 0, 0);
        pub = cluster_connect(&cl, 0, 0);
        cluster_say(&cl, 0, sub, "SUBSCRIBE x\r\n");
        cluster_settle(&cl);
        fake_accept(cl.fakes[0], sub, 0);
        for (int i = 0; i < 150; i++) {
                for (int k = 0; k < 10; k++)
                        cluster_say(&cl, 0, pub, "PUBLISH x 01234567890123456789\r\n");
                cluster_settle(&cl);
                ck_assert_uint_eq(cl.shards[0]->stages.n_live, 1);
                ck_assert_uint_eq(cl.shards[0]->deliver.stage[0]->used, 0);
        }
        ck_assert(cluster_is_open(&cl, 0, sub));
        cluster_deinit(&cl);
}
END_TEST

/* Known failure 31: replies count as well. */
START_TEST(a_client_that_never_reads_is_disconnected_at_the_bound)
{
        int bad, good;

        start(1);
        bad = cluster_connect(&cl, 0, 0);
        good = cluster_connect(&cl, 0, 0);
        fake_accept(cl.fakes[0], bad, 10);
        for (int i = 0; i < 100000 / 7 - 100; i++)
                cluster_say(&cl, 0, bad, "PING\r\n");
        cluster_settle(&cl);
        ck_assert(cluster_is_open(&cl, 0, bad));
        for (int i = 0; i < 300; i++)
                cluster_say(&cl, 0, bad, "ECHO xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n");
        cluster_settle(&cl);
        ck_assert(!cluster_is_open(&cl, 0, bad));
        check(0, good, "PING\r\n", "+PONG\r\n");
        cluster_deinit(&cl);
}
END_TEST

static void end_by_quit(int fd)
{
        cluster_say(&cl, 0, fd, "QUIT\r\n");
}

static void end_by_reset(int fd)
{
        cluster_say(&cl, 0, fd, "RESET\r\n");
        cluster_settle(&cl);
        fake_end(cl.fakes[0], fd);
}

static void end_by_hanging_up(int fd)
{
        fake_end(cl.fakes[0], fd);
}

static void end_by_error(int fd)
{
        fake_fail(cl.fakes[0], fd, EPIPE);
}

static void end_by_protocol_error(int fd)
{
        cluster_say(&cl, 0, fd, "*1\r\n!\r\n");
}

static void end_by_the_bound(int fd)
{
        fake_accept(cl.fakes[0], fd, 0);
        for (int i = 0; i < 30000; i++)
                cluster_say(&cl, 0, fd, "PING\r\n");
}

static void end_unacknowledged(int fd)
{
        cluster_say(&cl, 0, fd, "SUBSCRIBE more and more\r\nPUNSUBSCRIBE\r\n");
        cluster_turn(&cl, 0);
        fake_fail(cl.fakes[0], fd, ECONNRESET);
}

static void (*const ends[])(int) = { end_by_quit,           end_by_reset,     end_by_hanging_up, end_by_error,
                                     end_by_protocol_error, end_by_the_bound, end_unacknowledged };

/* Known failure 25: whatever way a client ends, it takes everything along, here and on the other shards. */
START_TEST(every_end_of_a_client_takes_its_subscriptions_along)
{
        int c, other;

        start(3);
        other = cluster_connect(&cl, 2, 0);
        for (int round = 0; round < 3; round++) {
                c = cluster_connect(&cl, 0, 0);
                cluster_say(&cl, 0, c, "SUBSCRIBE a b c\r\nPSUBSCRIBE a* *b\r\n");
                cluster_settle(&cl);
                check(2, other, "PUBLISH a x\r\n", ":2\r\n");
                ends[_i](c);
                cluster_settle(&cl);
                ck_assert(!cluster_is_open(&cl, 0, c));
                check(2, other, "PUBLISH a x\r\nPUBSUB NUMPAT\r\nPUBSUB CHANNELS\r\n", ":0\r\n:0\r\n*0\r\n");
                ck_assert_uint_eq(cl.shards[0]->status.subscriptions, 0);
                ck_assert_uint_eq(cl.shards[0]->status.clients, 0);
        }
        cluster_deinit(&cl);
}
END_TEST

/* Known failure 37: the last subscriber leaves by its own delivery. */
START_TEST(a_subscriber_that_fails_in_its_delivery_leaves_cleanly)
{
        int sub, pub;

        start(shard_counts[_i]);
        sub = cluster_connect(&cl, 0, 0);
        pub = cluster_connect(&cl, cl.n_shards - 1, 0);
        cluster_say(&cl, 0, sub, "SUBSCRIBE x\r\nPSUBSCRIBE x*\r\n");
        cluster_settle(&cl);
        fake_stream(cl.fakes[0], sub)->accept = 0;
        for (int i = 0; i < 3000; i++)
                cluster_say(&cl, cl.n_shards - 1, pub,
                            "PUBLISH x 0123456789012345678901234567890123456789\r\n");
        cluster_settle(&cl);
        ck_assert(!cluster_is_open(&cl, 0, sub));
        free(cluster_hear(&cl, cl.n_shards - 1, pub));
        check(cl.n_shards - 1, pub, "PUBLISH x 1\r\n", ":0\r\n");
        cluster_deinit(&cl);
}
END_TEST

START_TEST(a_finishing_client_that_does_not_read_is_closed_after_the_linger_time)
{
        int c;

        start(1);
        c = cluster_connect(&cl, 0, 0);
        fake_accept(cl.fakes[0], c, 2);
        cluster_say(&cl, 0, c, "PING\r\nQUIT\r\n");
        cluster_settle(&cl);
        ck_assert(cluster_is_open(&cl, 0, c));
        cluster_advance(NSEC_PER_SEC + 1);
        cluster_settle(&cl);
        ck_assert(!cluster_is_open(&cl, 0, c));
        cluster_deinit(&cl);
}
END_TEST

/* The time begins when it says its last, however long the shard slept before. */
START_TEST(a_client_that_finishes_after_a_long_sleep_has_its_linger_time)
{
        int c;

        start(1);
        c = cluster_connect(&cl, 0, 0);
        fake_accept(cl.fakes[0], c, 2);
        cluster_advance(10 * NSEC_PER_SEC);
        cluster_say(&cl, 0, c, "PING\r\nQUIT\r\n");
        cluster_settle(&cl);
        ck_assert(cluster_is_open(&cl, 0, c));
        fake_accept(cl.fakes[0], c, SIZE_MAX);
        check_heard(0, c, "+PONG\r\n+OK\r\n");
        cluster_deinit(&cl);
}
END_TEST

/* The mesh's bound: the publisher waits, nobody else does, nothing is lost. */
START_TEST(a_publisher_waits_at_the_bound_and_loses_nothing)
{
        int sub, pub, other;
        char *heard;
        size_t n = 0;

        start(2);
        sub = cluster_connect(&cl, 1, 0);
        pub = cluster_connect(&cl, 0, 0);
        other = cluster_connect(&cl, 0, 0);
        cluster_say(&cl, 1, sub, "SUBSCRIBE x\r\n");
        cluster_settle(&cl);
        free(cluster_hear(&cl, 1, sub));
        for (int i = 0; i < 1000; i++)
                cluster_say(&cl, 0, pub, "PUBLISH x 0123456789\r\n");
        for (int i = 0; i < 5; i++)
                cluster_turn(&cl, 0); /* shard 1 does nothing */
        ck_assert_uint_lt(buffer_size(&fake_stream(cl.fakes[0], pub)->out), 1000 * 4);
        cluster_say(&cl, 0, other, "PING\r\n");
        cluster_turn(&cl, 0);
        heard = cluster_hear(&cl, 0, other);
        ck_assert_str_eq(heard, "+PONG\r\n");
        free(heard);
        ck_assert_uint_lt(port_stats(mesh_port(cl.mesh, 0))->backlog_high, 600);
        cluster_settle(&cl);
        heard = cluster_hear(&cl, 0, pub);
        ck_assert_uint_eq(strlen(heard), 4000);
        free(heard);
        heard = cluster_hear(&cl, 1, sub);
        for (char *p = heard; (p = strstr(p, "$10\r\n")); p++)
                n++;
        ck_assert_uint_eq(n, 1000);
        free(heard);
        cluster_deinit(&cl);
}
END_TEST

START_TEST(only_administrators_may_administer)
{
        int user, root, owner;

        start(2);
        user = cluster_connect(&cl, 0, 77);
        root = cluster_connect(&cl, 0, 0);
        owner = cluster_connect(&cl, 1, 1000);
        check(0, user, "SHUTDOWN\r\nBROKER STATUS\r\n",
              "-NOPERM User default has no permissions to run the 'shutdown' command\r\n"
              "-NOPERM User default has no permissions to run the 'broker|status' command\r\n");
        cluster_say(&cl, 0, root, "BROKER STATUS\r\nPING\r\n");
        cluster_settle(&cl);
        char *heard = cluster_hear(&cl, 0, root);
        ck_assert_ptr_nonnull(strstr(heard, "$3\r\npid\r\n:4711\r\n"));
        ck_assert_ptr_nonnull(strstr(heard, "$2\r\nid\r\n:1\r\n"));
        ck_assert_str_eq(heard + strlen(heard) - 7, "+PONG\r\n");
        free(heard);
        cluster_say(&cl, 1, owner, "SHUTDOWN\r\n");
        cluster_settle(&cl);
        ck_assert_uint_eq(cl.n_shutdowns, 1);
        cluster_deinit(&cl);
}
END_TEST

/* What was acknowledged before the stop is delivered, and clients that do not read cannot hold it up. */
START_TEST(a_stop_delivers_what_was_acknowledged)
{
        int sub, stuck, pub;
        char *acks, *heard;

        start(3);
        sub = cluster_connect(&cl, 1, 0);
        stuck = cluster_connect(&cl, 2, 0);
        pub = cluster_connect(&cl, 0, 0);
        cluster_say(&cl, 1, sub, "SUBSCRIBE x\r\n");
        cluster_say(&cl, 2, stuck, "SUBSCRIBE x\r\n");
        cluster_settle(&cl);
        free(cluster_hear(&cl, 1, sub));
        fake_accept(cl.fakes[2], stuck, 100);
        for (int i = 0; i < 300; i++)
                cluster_say(&cl, 0, pub, "PUBLISH x 0123456789\r\n");
        cluster_turn(&cl, 0);
        for (unsigned i = 0; i < cl.n_shards; i++) {
                struct message_stop *stop =
                        port_send(cl.control, i, MESSAGE_STOP, sizeof(*stop), PORT_UNCOUNTED);

                stop->deadline = UINT64_MAX / 2;
        }
        port_flush(cl.control);
        cluster_settle(&cl);
        acks = cluster_hear(&cl, 0, pub);
        heard = cluster_hear(&cl, 1, sub);
        ck_assert_uint_gt(strlen(acks), 0);
        ck_assert_uint_eq(strlen(heard) / strlen("*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$10\r\n0123456789\r\n"),
                          strlen(acks) / 4);
        ck_assert(cl.stopped[0] && cl.stopped[1] && !cl.stopped[2]);
        free(acks);
        free(heard);
        fake_accept(cl.fakes[2], stuck, SIZE_MAX);
        cluster_settle(&cl);
        ck_assert(cl.stopped[2]);
        cluster_deinit(&cl);
}
END_TEST

/* An error does not overtake the acknowledgements that still wait for the other shards. */
START_TEST(a_refused_subscribe_is_answered_behind_the_acknowledgements_before_it)
{
        static const char *const refused[] = { "SUBSCRIBE\r\n", "PSUBSCRIBE\r\n" };
        static const char *const error[] = { "-ERR wrong number of arguments for 'subscribe' command\r\n",
                                             "-ERR wrong number of arguments for 'psubscribe' command\r\n" };
        char say[64], expected[256];
        int c;

        for (unsigned i = 0; i < 2; i++) {
                start(shard_counts[_i]);
                c = cluster_connect(&cl, 0, 0);
                snprintf(say, sizeof(say), "SUBSCRIBE a\r\n%sPING\r\n", refused[i]);
                snprintf(expected, sizeof(expected),
                         "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n%s*2\r\n$4\r\npong\r\n$0\r\n\r\n",
                         error[i]);
                check(0, c, say, expected);
                cluster_deinit(&cl);
        }
}
END_TEST

/* Known failures 3 and 31: what a client asks for in one breath neither piles up nor holds up the others. */
START_TEST(a_pipeline_of_long_replies_is_served_in_parts)
{
        int c;
        size_t n = 0, parts = 0, part;

        start(shard_counts[_i]);
        c = cluster_connect(&cl, 0, 0);
        for (int i = 0; i < 1000; i++)
                cluster_say(&cl, 0, c, "COMMAND DOCS\r\n");
        cluster_say(&cl, 0, c, "QUIT\r\n");
        fake_end(cl.fakes[0], c);
        do {
                cluster_turn(&cl, 0);
                part = buffer_size(&fake_stream(cl.fakes[0], c)->out);
                ck_assert_uint_lt(part, 512 * 1024);
                parts += part > 0;
                n += part;
                if (part)
                        ck_assert_int_eq(buffer_view(&fake_stream(cl.fakes[0], c)->out).p[part - 1], '\n');
                buffer_consume(&fake_stream(cl.fakes[0], c)->out, part);
        } while (cluster_is_open(&cl, 0, c));
        ck_assert_uint_gt(parts, 4);
        ck_assert_uint_eq((n - strlen("+OK\r\n")) % 1000, 0);
        cluster_deinit(&cl);
}
END_TEST

START_TEST(a_pipeline_of_long_searches_is_served_one_by_one)
{
        char say[64];
        int sub, c;

        start(shard_counts[_i]);
        sub = cluster_connect(&cl, 0, 0);
        c = cluster_connect(&cl, 0, 0);
        for (int i = 0; i < 2000; i++) {
                snprintf(say, sizeof(say), "SUBSCRIBE c%d\r\n", i);
                cluster_say(&cl, 0, sub, say);
        }
        cluster_settle(&cl);
        cluster_say(&cl, 0, c, "PUBSUB CHANNELS x\r\nPUBSUB CHANNELS x\r\nPING\r\n");
        cluster_turn(&cl, 0);
        ck_assert_uint_eq(buffer_size(&fake_stream(cl.fakes[0], c)->out), strlen("*0\r\n"));
        check_heard(0, c, "*0\r\n*0\r\n+PONG\r\n");
        cluster_deinit(&cl);
}
END_TEST

/* A slow reader that half-closed gets every reply, however long it takes, as long as it reads. */
START_TEST(a_finishing_client_that_reads_slowly_gets_everything)
{
        int c;

        start(1);
        c = cluster_connect(&cl, 0, 0);
        fake_accept(cl.fakes[0], c, 1);
        for (int i = 0; i < 10; i++)
                cluster_say(&cl, 0, c, "PING\r\n");
        fake_end(cl.fakes[0], c);
        cluster_settle(&cl);
        for (int i = 0; i < 69; i++) {
                ck_assert(cluster_is_open(&cl, 0, c));
                cluster_advance(NSEC_PER_SEC * 3 / 4);
                fake_accept(cl.fakes[0], c, 1);
                cluster_settle(&cl);
        }
        ck_assert(!cluster_is_open(&cl, 0, c));
        ck_assert_uint_eq(buffer_size(&fake_stream(cl.fakes[0], c)->out), 70);
        cluster_deinit(&cl);
}
END_TEST

/* What the other shards must be told does not fit into one message. */
START_TEST(names_of_many_bytes_are_told_in_several_messages)
{
        static char say[100000];
        static const char *const leave[] = { "UNSUBSCRIBE\r\n", "RESET\r\n", "QUIT\r\n" };
        int c;

        start(2);
        c = cluster_connect(&cl, 0, 0);
        for (int i = 0; i < 40; i++) {
                snprintf(say, sizeof(say), "SUBSCRIBE %d-%060000d\r\n", i, 0);
                cluster_say(&cl, 0, c, say);
                cluster_settle(&cl);
        }
        ck_assert_uint_eq(topics_count(cl.shards[1]->topics, TOPIC_CHANNEL), 40);
        cluster_say(&cl, 0, c, leave[_i]);
        cluster_settle(&cl);
        ck_assert_uint_eq(topics_count(cl.shards[1]->topics, TOPIC_CHANNEL), 0);
        ck_assert(cluster_is_open(&cl, 0, c) == (_i < 2));
        cluster_deinit(&cl);
}
END_TEST

/* What was announced before the end of file is delivered before the end, also of a client that waited. */
START_TEST(an_end_of_file_behind_a_pending_subscription_loses_no_message)
{
        int c, pub;

        start(2);
        c = cluster_connect(&cl, 0, 0);
        pub = cluster_connect(&cl, 1, 0);
        check(0, c, "SUBSCRIBE x\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n");
        cluster_say(&cl, 0, c, "SUBSCRIBE y\r\n");
        cluster_turn(&cl, 0);
        cluster_turn(&cl, 1);
        cluster_say(&cl, 1, pub, "PUBLISH x 1\r\n");
        cluster_turn(&cl, 1);
        ck_assert_uint_gt(buffer_size(&fake_stream(cl.fakes[1], pub)->out), 0);
        fake_end(cl.fakes[0], c);
        check_heard(0, c,
                    "*3\r\n$9\r\nsubscribe\r\n$1\r\ny\r\n:2\r\n*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\n1\r\n");
        ck_assert(!cluster_is_open(&cl, 0, c));
        cluster_deinit(&cl);
}
END_TEST

START_TEST(publishers_that_wait_for_the_same_target_take_turns)
{
        int pub[2], sub;
        size_t n[2];

        start(2);
        sub = cluster_connect(&cl, 1, 0);
        cluster_say(&cl, 1, sub, "SUBSCRIBE x\r\n");
        for (int k = 0; k < 2; k++)
                pub[k] = cluster_connect(&cl, 0, 0);
        for (int i = 0; i < 1000; i++)
                for (int k = 0; k < 2; k++)
                        cluster_say(&cl, 0, pub[k], "PUBLISH x 0123456789\r\n");
        for (int i = 0; i < 300; i++) {
                cluster_turn(&cl, 0);
                cluster_turn(&cl, 1);
        }
        for (int k = 0; k < 2; k++)
                n[k] = buffer_size(&fake_stream(cl.fakes[0], pub[k])->out) / strlen(":1\r\n");
        ck_assert_uint_gt(n[0], 50);
        ck_assert_uint_lt(n[0], 900);
        ck_assert_uint_gt(n[1], n[0] / 2);
        ck_assert_uint_lt(n[1], n[0] * 2);
        cluster_deinit(&cl);
}
END_TEST

/* ------------------------------------------------------------------ INFO */

/* Says something and lets everything happen. Return: what comes back; the caller frees it. */
static char *answer(unsigned shard, int fd, const char *say)
{
        cluster_say(&cl, shard, fd, say);
        cluster_settle(&cl);
        return cluster_hear(&cl, shard, fd);
}

/* The lines come as a verbatim string in RESP3, as a bulk string in RESP2. */
static void check_text(int fd, const char *say, bool resp3, const char *lines)
{
        char expected[2048];

        snprintf(expected, sizeof(expected), "%c%zu\r\n%s%s\r\n", resp3 ? '=' : '$',
                 strlen(lines) + (resp3 ? 4 : 0), resp3 ? "txt:" : "", lines);
        check(0, fd, say, expected);
}

/* The titles in the order in which they come, each with a blank behind it. */
static void check_titles(int fd, const char *say, const char *expected)
{
        char *heard = answer(0, fd, say), titles[128] = "";
        size_t n = 0;

        for (const char *p = heard; (p = strstr(p, "# ")); p++)
                n += (size_t)snprintf(titles + n, sizeof(titles) - n, "%.*s ", (int)strcspn(p + 2, "\r"),
                                      p + 2);
        ck_assert_str_eq(titles, expected);
        free(heard);
}

START_TEST(info_gives_the_sections_that_are_asked_for)
{
        static const char some[] = "Server Clients Memory Stats CPU Errorstats Broker ";
        static const char all[] = "Server Clients Memory Stats CPU Commandstats Errorstats Broker ";
        int c;

        start(shard_counts[_i]);
        c = cluster_connect(&cl, 0, 77);
        check_titles(c, "INFO\r\n", some);
        check_titles(c, "info Default\r\n", some);
        check_titles(c, "info EveryThing\r\n", all);
        check_titles(c, "INFO nosuch all\r\n", all);
        check_titles(c, "INFO stats default stats\r\n", some);
        check_titles(c, "INFO commandstats default\r\n", all);
        check_titles(c, "INFO cpu errorstats commandstats MEMORY\r\n", "Memory CPU Commandstats Errorstats ");
        check_titles(c, "INFO server\r\n", "Server ");
        check_titles(c, "INFO CLIENTS\r\n", "Clients ");
        check_titles(c, "INFO Stats\r\n", "Stats ");
        check_titles(c, "INFO broker\r\n", "Broker ");
        check_titles(c, "INFO broker nosuch CLIENTS Broker clients\r\n", "Clients Broker ");
        check(0, c, "INFO nosuch brok brokers\r\n", "$0\r\n\r\n");
        check(0, c, "*2\r\n$4\r\nINFO\r\n$0\r\n\r\n", "$0\r\n\r\n");
        check_text(c, "INFO clients\r\n", false, "# Clients\r\nconnected_clients:1\r\nmaxclients:100\r\n");
        free(answer(0, c, "HELLO 3\r\n"));
        check(0, c, "INFO nosuch server2\r\n", "=4\r\ntxt:\r\n");
        check_text(c, "INFO clients\r\n", true, "# Clients\r\nconnected_clients:1\r\nmaxclients:100\r\n");
        cluster_deinit(&cl);
}
END_TEST

START_TEST(info_tells_about_the_server)
{
        unsigned long long now, seconds, days;
        unsigned bits;
        char *heard;
        int c, n = 0;

        start(shard_counts[_i]);
        c = cluster_connect(&cl, 0, 77);
        heard = answer(0, c, "INFO server\r\n");
        sscanf(heard,
               "$%*d # Server brokerd_version:test redis_mode:standalone os:Linux %*s %*s arch_bits:%u "
               "process_id:4711 tcp_port:0 server_time_usec:%llu uptime_in_seconds:%llu uptime_in_days:%llu "
               "multiplexing_api:fake %n",
               &bits, &now, &seconds, &days, &n);
        ck_assert_msg(n > 0 && !heard[n], "%s", heard);
        ck_assert_uint_eq(bits, 8 * sizeof(void *));
        ck_assert_uint_le(now / 1000000, (unsigned long long)time(NULL));
        ck_assert_uint_gt(now / 1000000 + 60, (unsigned long long)time(NULL));
        ck_assert_uint_eq(days, seconds / 86400);
        free(heard);
        cluster_deinit(&cl);
}
END_TEST

/* What the test below has to get on n shards from these words, which are not executed yet. */
static void expect_counters(char *text, size_t size, unsigned n, const char *say)
{
        unsigned long long bytes_in = strlen(say), bytes_out = 0, sent = 0, wakes = 0;

        for (unsigned i = 0; i < n; i++) {
                bytes_in += cl.shards[i]->status.bytes_in;
                bytes_out += cl.shards[i]->status.bytes_out;
                list_for_each (j, &cl.shards[i]->clients)
                        bytes_out += container_of(j, struct client, all)->stream.out.sent;
                sent += port_stats(cl.shards[i]->port)->sent;
                wakes += port_stats(cl.shards[i]->port)->wakes_sent;
        }
        snprintf(
                text, size,
                "# Clients\r\nconnected_clients:%u\r\nmaxclients:100\r\n"
                "\r\n"
                "# Stats\r\ntotal_connections_received:55\r\ntotal_commands_processed:%u\r\n"
                "total_net_input_bytes:%llu\r\ntotal_net_output_bytes:%llu\r\nrejected_connections:66\r\n"
                "pubsub_channels:1\r\npubsub_patterns:2\r\npubsubshard_channels:0\r\ntotal_error_replies:1\r\n"
                "client_query_buffer_limit_disconnections:0\r\nclient_output_buffer_limit_disconnections:0\r\n"
                "acl_access_denied_auth:0\r\n"
                "\r\n"
                "# "
                "Broker\r\nshards:%u\r\nreactor:fake\r\nreactor_reason:\r\nmessages_in:2\r\nmessages_out:%u\r\n"
                "mesh_sent:%llu\r\nwakes_sent:%llu\r\noutput_bytes:76\r\noutput_limit_closed:0\r\n"
                "protocol_errors:1\r\nreloads:7\r\nreloads_refused:8\r\nreload_time:9\r\nrejected_full:66\r\n"
                "taps:0\r\nspooled_clients:0\r\nblock_held:0\r\ndenied_publish:0\r\nlost_drop_oldest:0\r\n"
                "block_timeouts:0\r\nrequest_limit_closed:0\r\nidle_timeouts:0\r\nquota_bytes_paused:0\r\n",
                n + 2, 2 * n + 3, bytes_in, bytes_out, n, 2 * n, sent, wakes);
}

/* All of these lines are there, in this order; others may stand between them. */
static void expect_lines(const char *heard, char *lines)
{
        char *state = NULL;

        for (char *line = strtok_r(lines, "\r\n", &state); line; line = strtok_r(NULL, "\r\n", &state)) {
                const char *found = strstr(heard, line);

                ck_assert_msg(found && found[strlen(line)] == '\r', "%s is not in %s", line, heard);
                heard = found + strlen(line);
        }
}

START_TEST(info_sums_the_shards_up)
{
        static const char say[] = "INFO clients stats broker\r\n";
        char expected[2048], *heard;
        int sub[3], pub, asker, bad;
        unsigned last;

        start(shard_counts[_i]);
        last = cl.n_shards - 1;
        for (unsigned i = 0; i < cl.n_shards; i++) {
                sub[i] = cluster_connect(&cl, i, 77);
                free(answer(i, sub[i], "SUBSCRIBE news\r\nPSUBSCRIBE x* y*\r\n"));
        }
        pub = cluster_connect(&cl, last, 77);
        asker = cluster_connect(&cl, 0, 77);
        bad = cluster_connect(&cl, last, 77);
        heard = answer(last, bad, "*1\r\n:\r\n");
        ck_assert_ptr_nonnull(strstr(heard, "Protocol error"));
        free(heard);
        fake_accept(cl.fakes[last], sub[last], 0);
        free(answer(last, pub, "PUBLISH news hello\r\nPUBLISH news hello\r\n"));
        free(answer(0, asker, "INFO\r\n"));
        expect_counters(expected, sizeof(expected), cl.n_shards, say);
        heard = answer(0, asker, say);
        expect_lines(heard, expected);
        free(heard);
        cluster_deinit(&cl);
}
END_TEST

START_TEST(info_says_why_its_reactor_runs)
{
        struct cluster_options options = { .n_shards = 1,
                                           .capacity = 2,
                                           .backlog_bytes = 400,
                                           .output_max = 100000,
                                           .drain_budget = 3,
                                           .reactor_reason = "the others: not built" };
        char *heard;
        int c;

        cluster_init(&cl, &options);
        c = cluster_connect(&cl, 0, 77);
        heard = answer(0, c, "INFO broker\r\n");
        ck_assert_ptr_nonnull(strstr(heard, "\r\nreactor_reason:the others: not built\r\n"));
        free(heard);
        cluster_deinit(&cl);
}
END_TEST

/* It waits for the acknowledgement before it, and what follows waits for it. */
START_TEST(info_keeps_its_place_in_a_pipeline)
{
        char *heard;
        int c, n = 0;

        start(shard_counts[_i]);
        c = cluster_connect(&cl, 0, 77);
        free(answer(0, c, "HELLO 3\r\n"));
        heard = answer(0, c, "SUBSCRIBE x\r\nINFO stats\r\nINFO nosuch\r\nINFO clients\r\nPUBLISH x 1\r\n");
        sscanf(heard,
               ">3 $9 subscribe $1 x :1 =%*d txt:# Stats total_connections_received:55 "
               "total_commands_processed:2 "
               "total_net_input_bytes:%*d total_net_output_bytes:%*d rejected_connections:66 pubsub_channels:1 "
               "pubsub_patterns:0 pubsubshard_channels:0 total_error_replies:0 "
               "client_query_buffer_limit_disconnections:0 client_output_buffer_limit_disconnections:0 "
               "acl_access_denied_auth:0 =4 txt: "
               "=%*d txt:# Clients connected_clients:1 maxclients:100 :1 >3 $7 message $1 x $1 1 %n",
               &n);
        ck_assert_msg(n > 0 && !heard[n], "%s", heard);
        free(heard);
        cluster_deinit(&cl);
}
END_TEST

static void add(TCase *cases)
{
        tcase_add_loop_test(cases, info_gives_the_sections_that_are_asked_for, 0, 2);
        tcase_add_loop_test(cases, info_tells_about_the_server, 0, 2);
        tcase_add_loop_test(cases, info_sums_the_shards_up, 0, 2);
        tcase_add_test(cases, info_says_why_its_reactor_runs);
        tcase_add_loop_test(cases, info_keeps_its_place_in_a_pipeline, 0, 2);
        tcase_add_test(cases, publishers_that_wait_for_the_same_target_take_turns);
        tcase_add_test(cases, an_end_of_file_behind_a_pending_subscription_loses_no_message);
        tcase_add_loop_test(cases, names_of_many_bytes_are_told_in_several_messages, 0, 3);
        tcase_add_test(cases, a_finishing_client_that_reads_slowly_gets_everything);
        tcase_add_loop_test(cases, a_pipeline_of_long_replies_is_served_in_parts, 0, 2);
        tcase_add_loop_test(cases, a_pipeline_of_long_searches_is_served_one_by_one, 0, 2);
        tcase_add_loop_test(cases, a_refused_subscribe_is_answered_behind_the_acknowledgements_before_it, 0, 2);
        tcase_add_loop_test(cases, a_message_reaches_subscribers_on_every_shard, 0, 2);
        tcase_add_loop_test(cases, patterns_and_channels_give_one_copy_each_message_first, 0, 2);
        tcase_add_loop_test(cases, resp3_pushes_and_a_publisher_hears_itself_after_its_reply, 0, 2);
        tcase_add_loop_test(cases, resp2_and_resp3_subscribers_share_a_channel, 0, 2);
        tcase_add_loop_test(cases, splitting_input_and_output_changes_nothing, 0, 2);
        tcase_add_test(cases, a_pipeline_behind_a_subscription_waits_for_its_acknowledgement);
        tcase_add_test(cases, a_protocol_error_behind_a_subscription_comes_after_its_acknowledgement);
        tcase_add_test(cases, an_unsubscribe_against_a_pending_subscription_keeps_the_interest);
        tcase_add_test(cases, a_client_that_dies_while_it_waits_leaves_no_interest);
        tcase_add_loop_test(cases, end_of_file_comes_after_every_reply, 0, 2);
        tcase_add_test(cases, an_end_of_file_right_behind_a_subscription_is_acknowledged);
        tcase_add_test(cases, a_subscriber_that_does_not_read_pins_no_shared_stage);
        tcase_add_test(cases, a_client_that_never_reads_is_disconnected_at_the_bound);
        tcase_add_loop_test(cases, every_end_of_a_client_takes_its_subscriptions_along, 0,
                            sizeof(ends) / sizeof(*ends));
        tcase_add_loop_test(cases, a_subscriber_that_fails_in_its_delivery_leaves_cleanly, 0, 2);
        tcase_add_test(cases, a_finishing_client_that_does_not_read_is_closed_after_the_linger_time);
        tcase_add_test(cases, a_client_that_finishes_after_a_long_sleep_has_its_linger_time);
        tcase_add_test(cases, a_publisher_waits_at_the_bound_and_loses_nothing);
        tcase_add_test(cases, only_administrators_may_administer);
        tcase_add_test(cases, a_stop_delivers_what_was_acknowledged);
}

int main(void)
{
        return suite_run("shard", add);
}
