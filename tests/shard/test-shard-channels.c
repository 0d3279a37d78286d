/* SPDX-License-Identifier: MIT */
/*
 * Shard channels (SSUBSCRIBE, SUNSUBSCRIBE, SPUBLISH, PUBSUB SHARD...) on whole shards with fake reactors.
 * Every case runs on one shard and on three, with clients of both protocols.
 */

#include "shard/shard.h"

#include <errno.h>
#include <stdio.h>

#include "shard/state.h"
#include "support/cluster.h"
#include "support/suite.h"

static struct cluster cl;
static bool resp3;
static unsigned last; /* the last shard */

enum { VARIANTS = 4 };

static void start(int variant)
{
        struct cluster_options options = { .n_shards = variant & 1 ? 3 : 1,
                                           .capacity = 2,
                                           .backlog_bytes = 400,
                                           .output_max = 100000,
                                           .drain_budget = 3 };

        cluster_init(&cl, &options);
        resp3 = variant & 2;
        last = options.n_shards - 1;
}

/* Says something and lets everything happen. Return: what comes back; the caller frees it. */
static char *answer(unsigned shard, int fd, const char *say)
{
        cluster_say(&cl, shard, fd, say);
        cluster_settle(&cl);
        return cluster_hear(&cl, shard, fd);
}

static int connect_client(unsigned shard)
{
        int fd = cluster_connect(&cl, shard, 77);

        if (resp3)
                free(answer(shard, fd, "HELLO 3\r\n"));
        return fd;
}

/*
 * The bytes of a reply whose lines are written with a blank behind each: ">3 _ " is a push and a null, in RESP2
 * an array and the null of a bulk string.
 */
static char *bytes_expected(const char *lines)
{
        char *text = calloc(5, strlen(lines) + 1), *p = text;
        bool begins = true;

        for (const char *l = lines; *l; l++) {
                if (*l == ' ')
                        p = stpcpy(p, "\r\n");
                else if (begins && *l == '_' && !resp3)
                        p = stpcpy(p, "$-1");
                else
                        *p++ = begins && *l == '>' && !resp3 ? '*' : *l;
                begins = *l == ' ';
        }
        *p = 0;
        return text;
}

static void check(unsigned shard, int fd, const char *say, const char *lines)
{
        char *heard = answer(shard, fd, say), *expected = bytes_expected(lines);

        ck_assert_str_eq(heard, expected);
        free(expected);
        free(heard);
}

/* The same, with every byte of the answer as it is. */
static void check_exactly(unsigned shard, int fd, const char *say, const char *expected)
{
        char *heard = answer(shard, fd, say);

        ck_assert_str_eq(heard, expected);
        free(heard);
}

/* ------------------------------------------------------------------ subscriptions */

START_TEST(acknowledgements_count_shard_channels_by_themselves)
{
        int c;

        start(_i);
        c = connect_client(0);
        check(0, c, "SUNSUBSCRIBE\r\nSUNSUBSCRIBE a b\r\n",
              ">3 $12 sunsubscribe _ :0 >3 $12 sunsubscribe $1 a :0 >3 $12 sunsubscribe $1 b :0 ");
        check(0, c, "SSUBSCRIBE a b a\r\n",
              ">3 $10 ssubscribe $1 a :1 >3 $10 ssubscribe $1 b :2 >3 $10 ssubscribe $1 a :2 ");
        check(0, c, "SUBSCRIBE a\r\nPSUBSCRIBE p*\r\nSSUBSCRIBE d\r\nSUBSCRIBE e\r\n",
              ">3 $9 subscribe $1 a :1 >3 $10 psubscribe $2 p* :2 >3 $10 ssubscribe $1 d :3 "
              ">3 $9 subscribe $1 e :3 ");
        check(0, c, "SUNSUBSCRIBE nosuch e a\r\n",
              ">3 $12 sunsubscribe $6 nosuch :3 >3 $12 sunsubscribe $1 e :3 >3 $12 sunsubscribe $1 a :2 ");
        check(0, c, "UNSUBSCRIBE b\r\nUNSUBSCRIBE a\r\n",
              ">3 $11 unsubscribe $1 b :3 >3 $11 unsubscribe $1 a :2 ");
        check(0, c, "SUNSUBSCRIBE\r\n", ">3 $12 sunsubscribe $1 b :1 >3 $12 sunsubscribe $1 d :0 ");
        check(0, c, "SUNSUBSCRIBE\r\n", ">3 $12 sunsubscribe _ :0 ");
        check(0, c, "SSUBSCRIBE z\r\nUNSUBSCRIBE\r\nUNSUBSCRIBE\r\nPUNSUBSCRIBE\r\nPUNSUBSCRIBE\r\n",
              ">3 $10 ssubscribe $1 z :1 >3 $11 unsubscribe $1 e :1 >3 $11 unsubscribe _ :1 "
              ">3 $12 punsubscribe $2 p* :0 >3 $12 punsubscribe _ :0 ");
        check(0, c, "SUNSUBSCRIBE\r\n", ">3 $12 sunsubscribe $1 z :0 ");
        ck_assert_uint_eq(cl.shards[0]->status.subscriptions, 0);
        cluster_deinit(&cl);
}
END_TEST

START_TEST(names_of_any_bytes)
{
        int c;

        start(_i);
        c = connect_client(0);
        check(0, c, "*3\r\n$10\r\nSSUBSCRIBE\r\n$0\r\n\r\n$4\r\n\xff*\r\t\r\n",
              ">3 $10 ssubscribe $0  :1 >3 $10 ssubscribe $4 \xff*\r\t :2 ");
        check(last, connect_client(last),
              "SPUBLISH '' ''\r\n*3\r\n$8\r\nSPUBLISH\r\n$4\r\n\xff*\r\t\r\n$0\r\n\r\n", ":1 :1 ");
        check(0, c, "", ">3 $8 smessage $0  $0  >3 $8 smessage $4 \xff*\r\t $0  ");
        cluster_deinit(&cl);
}
END_TEST

/* In RESP2 a shard channel alone makes the client a subscriber, who may say little. */
START_TEST(a_shard_channel_makes_a_subscriber)
{
        static const char allowed[] =
                ": only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed "
                "in this context\r\n";
        char refused[512];
        int c;

        start(_i);
        c = connect_client(0);
        check(0, c, "SSUBSCRIBE a\r\n", ">3 $10 ssubscribe $1 a :1 ");
        snprintf(
                refused, sizeof(refused),
                "-ERR Can't execute 'echo'%s-ERR Can't execute 'spublish'%s-ERR Can't execute 'pubsub|numpat'%s"
                "*2\r\n$4\r\npong\r\n$2\r\nhi\r\n",
                allowed, allowed, allowed);
        check_exactly(0, c, "ECHO x\r\nSPUBLISH b x\r\nPUBSUB NUMPAT\r\nPING hi\r\n",
                      resp3 ? "$1\r\nx\r\n:0\r\n:0\r\n$2\r\nhi\r\n" : refused);
        check(0, c, "SUBSCRIBE c\r\nUNSUBSCRIBE\r\n", ">3 $9 subscribe $1 c :1 >3 $11 unsubscribe $1 c :0 ");
        check_exactly(0, c, "PING hi\r\n", resp3 ? "$2\r\nhi\r\n" : "*2\r\n$4\r\npong\r\n$2\r\nhi\r\n");
        check(0, c, "SUNSUBSCRIBE a\r\n", ">3 $12 sunsubscribe $1 a :0 ");
        check(0, c, "ECHO x\r\nSPUBLISH a x\r\n", "$1 x :0 ");
        cluster_deinit(&cl);
}
END_TEST

START_TEST(what_is_refused_is_answered_in_its_place)
{
        int c;

        start(_i);
        c = connect_client(0);
        check_exactly(0, c, "SPUBLISH\r\nSPUBLISH a\r\nSPUBLISH a b c\r\n",
                      "-ERR wrong number of arguments for 'spublish' command\r\n"
                      "-ERR wrong number of arguments for 'spublish' command\r\n"
                      "-ERR wrong number of arguments for 'spublish' command\r\n");
        check_exactly(0, c, "SSUBSCRIBE a\r\nSSUBSCRIBE\r\nSUNSUBSCRIBE\r\n",
                      resp3 ? ">3\r\n$10\r\nssubscribe\r\n$1\r\na\r\n:1\r\n"
                              "-ERR wrong number of arguments for 'ssubscribe' command\r\n"
                              ">3\r\n$12\r\nsunsubscribe\r\n$1\r\na\r\n:0\r\n"
                            : "*3\r\n$10\r\nssubscribe\r\n$1\r\na\r\n:1\r\n"
                              "-ERR wrong number of arguments for 'ssubscribe' command\r\n"
                              "*3\r\n$12\r\nsunsubscribe\r\n$1\r\na\r\n:0\r\n");
        cluster_deinit(&cl);
}
END_TEST

/* Subscriptions of all kinds that come at once are one question to the other shards; their ends are, too. */
START_TEST(a_pipeline_of_all_kinds_shares_a_gather)
{
        uint64_t sent;
        int c;

        start(_i);
        c = connect_client(0);
        sent = port_stats(cl.shards[0]->port)->sent;
        check(0, c, "SSUBSCRIBE a\r\nSUBSCRIBE a\r\nPSUBSCRIBE a\r\nSSUBSCRIBE b\r\n",
              ">3 $10 ssubscribe $1 a :1 >3 $9 subscribe $1 a :1 >3 $10 psubscribe $1 a :2 "
              ">3 $10 ssubscribe $1 b :2 ");
        ck_assert_uint_eq(port_stats(cl.shards[0]->port)->sent - sent, last);
        check(last, connect_client(last), "PUBLISH a 1\r\nSPUBLISH a 2\r\nSPUBLISH b 3\r\n", ":2 :1 :1 ");
        check(0, c, "",
              ">3 $7 message $1 a $1 1 >4 $8 pmessage $1 a $1 a $1 1 >3 $8 smessage $1 a $1 2 "
              ">3 $8 smessage $1 b $1 3 ");
        sent = port_stats(cl.shards[0]->port)->sent;
        check(0, c, "UNSUBSCRIBE a\r\nSUNSUBSCRIBE a\r\nPUNSUBSCRIBE\r\nSUNSUBSCRIBE\r\n",
              ">3 $11 unsubscribe $1 a :1 >3 $12 sunsubscribe $1 a :1 >3 $12 punsubscribe $1 a :0 "
              ">3 $12 sunsubscribe $1 b :0 ");
        ck_assert_uint_eq(port_stats(cl.shards[0]->port)->sent - sent, last);
        cluster_deinit(&cl);
}
END_TEST

/* ------------------------------------------------------------------ messages */

START_TEST(a_message_stays_in_its_namespace)
{
        int shard[3], channel[3], pattern[3], pub;

        start(_i);
        for (unsigned i = 0; i <= last; i++) {
                shard[i] = connect_client(i);
                channel[i] = connect_client(i);
                pattern[i] = connect_client(i);
                check(i, shard[i], "SSUBSCRIBE news\r\n", ">3 $10 ssubscribe $4 news :1 ");
                check(i, channel[i], "SUBSCRIBE news\r\n", ">3 $9 subscribe $4 news :1 ");
                check(i, pattern[i], "PSUBSCRIBE * news\r\n",
                      ">3 $10 psubscribe $1 * :1 >3 $10 psubscribe $4 news :2 ");
        }
        for (unsigned i = 0; i <= last; i++) {
                pub = connect_client(i);
                check(i, pub, "SPUBLISH news hello\r\nSPUBLISH other x\r\n", last ? ":3 :0 " : ":1 :0 ");
                for (unsigned j = 0; j <= last; j++) {
                        check(j, shard[j], "", ">3 $8 smessage $4 news $5 hello ");
                        check(j, channel[j], "", "");
                        check(j, pattern[j], "", "");
                }
                check(i, pub, "PUBLISH news hello\r\n", last ? ":9 " : ":3 ");
                for (unsigned j = 0; j <= last; j++) {
                        check(j, shard[j], "", "");
                        check(j, channel[j], "", ">3 $7 message $4 news $5 hello ");
                        free(answer(j, pattern[j], ""));
                }
        }
        cluster_deinit(&cl);
}
END_TEST

/* Messages of one size on both channels of a name: each run ends before the other begins. */
START_TEST(a_channel_and_a_shard_channel_of_one_name_keep_the_order)
{
        int sub, pub;

        start(_i);
        sub = connect_client(0);
        pub = connect_client(last);
        check(0, sub, "SSUBSCRIBE x\r\nSUBSCRIBE x\r\n", ">3 $10 ssubscribe $1 x :1 >3 $9 subscribe $1 x :1 ");
        check(last, pub,
              "PUBLISH x 1\r\nSPUBLISH x 2\r\nSPUBLISH x 3\r\nPUBLISH x 4\r\nPUBLISH x 5\r\nSPUBLISH x 6\r\n",
              ":1 :1 :1 :1 :1 :1 ");
        check(0, sub, "",
              ">3 $7 message $1 x $1 1 >3 $8 smessage $1 x $1 2 >3 $8 smessage $1 x $1 3 "
              ">3 $7 message $1 x $1 4 >3 $7 message $1 x $1 5 >3 $8 smessage $1 x $1 6 ");
        cluster_deinit(&cl);
}
END_TEST

/* Bursts are runs, also of a publisher on the subscribers' own shard. */
START_TEST(a_burst_on_a_shard_channel_is_one_run)
{
        int sub, pub;

        start(0);
        sub = connect_client(0);
        pub = connect_client(0);
        check(0, sub, "SSUBSCRIBE x\r\n", ">3 $10 ssubscribe $1 x :1 ");
        check(0, pub, "SPUBLISH x 1\r\nspublish x 2\r\nSPUBLISH x 300\r\nSPUBLISH x 4\r\n", ":1 :1 :1 :1 ");
        check(0, sub, "",
              ">3 $8 smessage $1 x $1 1 >3 $8 smessage $1 x $1 2 >3 $8 smessage $1 x $3 300 "
              ">3 $8 smessage $1 x $1 4 ");
        ck_assert_uint_eq(cl.shards[0]->status.messages_in, 4);
        ck_assert_uint_eq(cl.shards[0]->status.messages_out, 4);
        ck_assert_uint_eq(cl.shards[0]->deliver.run_messages, 4);
        cluster_deinit(&cl);
}
END_TEST

/* In RESP2 it may not publish. */
START_TEST(a_publisher_hears_itself_after_its_reply)
{
        int c;

        start(_i | 2);
        c = connect_client(0);
        check(0, c, "SSUBSCRIBE x\r\n", ">3 $10 ssubscribe $1 x :1 ");
        check(0, c, "SPUBLISH x 1\r\nSPUBLISH x 2\r\nPUBLISH x 3\r\nPING\r\n",
              ":1 >3 $8 smessage $1 x $1 1 :1 >3 $8 smessage $1 x $1 2 :0 +PONG ");
        cluster_deinit(&cl);
}
END_TEST

START_TEST(subscribers_of_both_protocols_share_a_shard_channel)
{
        int two, three, pub;

        start(_i);
        resp3 = false;
        two = connect_client(0);
        check(0, two, "SSUBSCRIBE x\r\n", ">3 $10 ssubscribe $1 x :1 ");
        resp3 = true;
        three = connect_client(0);
        check(0, three, "SSUBSCRIBE x\r\n", ">3 $10 ssubscribe $1 x :1 ");
        pub = connect_client(last);
        check(last, pub, "SPUBLISH x 1\r\nSPUBLISH x 2\r\n", ":2 :2 ");
        check_exactly(
                0, two, "",
                "*3\r\n$8\r\nsmessage\r\n$1\r\nx\r\n$1\r\n1\r\n*3\r\n$8\r\nsmessage\r\n$1\r\nx\r\n$1\r\n2\r\n");
        check_exactly(
                0, three, "",
                ">3\r\n$8\r\nsmessage\r\n$1\r\nx\r\n$1\r\n1\r\n>3\r\n$8\r\nsmessage\r\n$1\r\nx\r\n$1\r\n2\r\n");

        free(answer(0, three, "HELLO 2\r\n")); /* down in mid-stream */
        check(last, pub, "SPUBLISH x 3\r\n", ":2 ");
        check_exactly(0, three, "", "*3\r\n$8\r\nsmessage\r\n$1\r\nx\r\n$1\r\n3\r\n");
        cluster_deinit(&cl);
}
END_TEST

/* The mesh's bound holds for SPUBLISH as well: the publisher waits, and nothing is lost. */
START_TEST(a_publisher_waits_at_the_bound_and_loses_nothing)
{
        int sub, pub;
        char *heard;
        size_t n = 0;

        start(_i | 1);
        sub = connect_client(1);
        pub = connect_client(0);
        free(answer(1, sub, "SSUBSCRIBE x\r\n"));
        for (int i = 0; i < 1000; i++)
                cluster_say(&cl, 0, pub, "SPUBLISH x 0123456789\r\n");
        for (int i = 0; i < 5; i++)
                cluster_turn(&cl, 0); /* shard 1 does nothing */
        ck_assert_uint_lt(buffer_size(&fake_stream(cl.fakes[0], pub)->out), 1000 * 4);
        ck_assert_uint_lt(port_stats(mesh_port(cl.mesh, 0))->backlog_high, 600);
        heard = answer(0, pub, "");
        ck_assert_uint_eq(strlen(heard), 4000);
        free(heard);
        heard = answer(1, sub, "");
        for (char *p = heard; (p = strstr(p, "$10\r\n0123456789\r\n")); p++)
                n++;
        ck_assert_uint_eq(n, 1000);
        free(heard);
        cluster_deinit(&cl);
}
END_TEST

/* ------------------------------------------------------------------ PUBSUB */

START_TEST(pubsub_shows_each_namespace_by_itself)
{
        int sub, c;
        char *heard;

        start(_i);
        sub = connect_client(0);
        c = connect_client(last);
        check(last, c, "PUBSUB SHARDCHANNELS\r\nPUBSUB SHARDNUMSUB\r\n", "*0 *0 ");
        free(answer(0, sub, "SSUBSCRIBE news nix\r\nSUBSCRIBE chan\r\nPSUBSCRIBE *\r\n"));
        free(answer(0, connect_client(0), "SSUBSCRIBE news\r\n"));
        check(last, c, "PUBSUB CHANNELS\r\nPUBSUB NUMSUB news chan\r\nPUBSUB NUMPAT\r\n",
              "*1 $4 chan *4 $4 news :0 $4 chan :1 :1 ");
        heard = answer(last, c, "PUBSUB SHARDCHANNELS\r\n");
        ck_assert(!strcmp(heard, "*2\r\n$4\r\nnews\r\n$3\r\nnix\r\n") ||
                  !strcmp(heard, "*2\r\n$3\r\nnix\r\n$4\r\nnews\r\n"));
        free(heard);
        check(last, c, "PUBSUB SHARDCHANNELS n?x\r\nPUBSUB shardchannels c*\r\n", "*1 $3 nix *0 ");
        check(last, c, "PUBSUB SHARDNUMSUB\r\nPUBSUB SHARDNUMSUB news nix chan no\r\n",
              "*0 *8 $4 news :2 $3 nix :1 $4 chan :0 $2 no :0 ");
        check_exactly(last, c, "PUBSUB SHARDCHANNELS a b\r\n",
                      "-ERR unknown subcommand or wrong number of arguments for 'SHARDCHANNELS'. Try PUBSUB "
                      "HELP.\r\n");
        heard = answer(last, c, "PUBSUB HELP\r\n");
        ck_assert_ptr_nonnull(strstr(heard, "\r\n+SHARDCHANNELS [<pattern>]\r\n+    "));
        ck_assert_ptr_nonnull(strstr(heard, "\r\n+SHARDNUMSUB [<shardchannel> ...]\r\n+    "));
        free(heard);
        free(answer(0, sub, "SUNSUBSCRIBE news\r\n"));
        check(last, c, "PUBSUB SHARDNUMSUB news nix\r\n", "*4 $4 news :1 $3 nix :1 ");
        cluster_deinit(&cl);
}
END_TEST

/* As every shard knows them, which is once each. */
START_TEST(status_and_info_count_shard_channels)
{
        char *heard;
        int c;

        start(_i);
        for (unsigned i = 0; i <= last; i++)
                free(answer(i, connect_client(i), "SSUBSCRIBE news nix\r\nSUBSCRIBE chan\r\n"));
        c = cluster_connect(&cl, last, 0);
        heard = answer(last, c, "INFO stats\r\n");
        ck_assert_ptr_nonnull(
                strstr(heard, "\r\npubsub_channels:1\r\npubsub_patterns:0\r\npubsubshard_channels:2\r\n"));
        free(heard);
        heard = answer(last, c, "BROKER STATUS\r\n");
        ck_assert_ptr_nonnull(strstr(heard, "\r\n$14\r\nshard_channels\r\n:2\r\n"));
        free(heard);
        cluster_deinit(&cl);
}
END_TEST

/* ------------------------------------------------------------------ ends */

static void end_by_reset(int fd)
{
        check_exactly(0, fd, "RESET\r\n", "+RESET\r\n");
        check_exactly(0, fd, "PING\r\n", "+PONG\r\n");
}

static void end_by_quit(int fd)
{
        cluster_say(&cl, 0, fd, "QUIT\r\n");
}

static void end_by_hanging_up(int fd)
{
        fake_end(cl.fakes[0], fd);
}

static void end_by_error(int fd)
{
        fake_fail(cl.fakes[0], fd, EPIPE);
}

static void end_unacknowledged(int fd)
{
        cluster_say(&cl, 0, fd, "SSUBSCRIBE more and more\r\nSUNSUBSCRIBE b\r\n");
        cluster_turn(&cl, 0);
        fake_fail(cl.fakes[0], fd, ECONNRESET);
}

static void (*const ends[])(int) = { end_by_reset, end_by_quit, end_by_hanging_up, end_by_error,
                                     end_unacknowledged };

START_TEST(every_end_takes_the_shard_channels_along)
{
        int other;

        for (unsigned i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
                start(_i);
                other = connect_client(last);
                for (int round = 0; round < 2; round++) {
                        int c = connect_client(0);

                        free(answer(0, c, "SSUBSCRIBE a b\r\nSUBSCRIBE a\r\n"));
                        check(last, other, "SPUBLISH a x\r\nSPUBLISH b x\r\n", ":1 :1 ");
                        free(answer(0, c, ""));
                        ends[i](c);
                        cluster_settle(&cl);
                        check(last, other, "SPUBLISH a x\r\nPUBSUB SHARDCHANNELS\r\nPUBSUB CHANNELS\r\n",
                              ":0 *0 *0 ");
                        ck_assert_uint_eq(cl.shards[0]->status.subscriptions, 0);
                        for (unsigned s = 0; s <= last; s++)
                                ck_assert_ptr_null(
                                        topics_find(cl.shards[s]->topics, TOPIC_SHARD, bytes_str("a")));
                }
                cluster_deinit(&cl);
        }
}
END_TEST

static void add(TCase *cases)
{
        tcase_add_loop_test(cases, acknowledgements_count_shard_channels_by_themselves, 0, VARIANTS);
        tcase_add_loop_test(cases, names_of_any_bytes, 0, VARIANTS);
        tcase_add_loop_test(cases, a_shard_channel_makes_a_subscriber, 0, VARIANTS);
        tcase_add_loop_test(cases, what_is_refused_is_answered_in_its_place, 0, VARIANTS);
        tcase_add_loop_test(cases, a_pipeline_of_all_kinds_shares_a_gather, 0, VARIANTS);
        tcase_add_loop_test(cases, a_message_stays_in_its_namespace, 0, VARIANTS);
        tcase_add_loop_test(cases, a_channel_and_a_shard_channel_of_one_name_keep_the_order, 0, VARIANTS);
        tcase_add_test(cases, a_burst_on_a_shard_channel_is_one_run);
        tcase_add_loop_test(cases, a_publisher_hears_itself_after_its_reply, 0, 2);
        tcase_add_loop_test(cases, subscribers_of_both_protocols_share_a_shard_channel, 0, VARIANTS);
        tcase_add_loop_test(cases, a_publisher_waits_at_the_bound_and_loses_nothing, 0, VARIANTS);
        tcase_add_loop_test(cases, pubsub_shows_each_namespace_by_itself, 0, VARIANTS);
        tcase_add_loop_test(cases, status_and_info_count_shard_channels, 0, VARIANTS);
        tcase_add_loop_test(cases, every_end_takes_the_shard_channels_along, 0, VARIANTS);
}

int main(void)
{
        return suite_run("shard-channels", add);
}
