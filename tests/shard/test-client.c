/* SPDX-License-Identifier: MIT */
/* CLIENT, on whole shards with fake reactors: what a connection says about itself and about the others. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "shard/client.h"
#include "shard/state.h"
#include "support/cluster.h"
#include "support/suite.h"
#include "util/clock.h"
#include "util/mem.h"

static struct cluster cl;

static const unsigned shard_counts[] = { 1, 3 };

static void start(unsigned n_shards)
{
        struct cluster_options options = { .n_shards = n_shards,
                                           .capacity = 2,
                                           .backlog_bytes = 400,
                                           .output_max = 100000,
                                           .drain_budget = 3 };

        cluster_init(&cl, &options);
}

/* Says something and lets everything happen. Return: what comes back; the caller frees it. */
static char *answer(unsigned shard, int fd, const char *say)
{
        cluster_say(&cl, shard, fd, say);
        cluster_settle(&cl);
        return cluster_hear(&cl, shard, fd);
}

static void check(unsigned shard, int fd, const char *say, const char *expected)
{
        char *heard = answer(shard, fd, say);

        ck_assert_str_eq(heard, expected);
        free(heard);
}

/* ------------------------------------------------------------------ CLIENT REPLY */

#define SUBSCRIBED_A "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"

/* What redis-server 7.0.15 answers to the same bytes, except to INFO. */
static const struct {
        const char *say, *expected;
} replies[] = {
        { "PING\r\nCLIENT REPLY OFF\r\nPING\r\nFOO\r\nPUBLISH x y\r\nCLIENT REPLY foo\r\nSUBSCRIBE\r\n"
          "CLIENT REPLY ON\r\nECHO x\r\n",
          "+PONG\r\n+OK\r\n$1\r\nx\r\n" },
        { "PING\r\nCLIENT REPLY SKIP\r\nPING\r\nECHO x\r\n", "+PONG\r\n$1\r\nx\r\n" },
        { "CLIENT REPLY SKIP\r\nCLIENT REPLY SKIP\r\nPING\r\nECHO x\r\n", "$1\r\nx\r\n" },
        { "CLIENT REPLY SKIP\r\nCLIENT REPLY ON\r\nPING\r\n", "+OK\r\n+PONG\r\n" },
        { "CLIENT REPLY SKIP\r\nCLIENT REPLY OFF\r\nPING\r\nECHO x\r\n", "" },
        { "CLIENT REPLY SKIP\r\nCLIENT REPLY foo\r\nCLIENT REPLY foo\r\n", "-ERR syntax error\r\n" },
        { "CLIENT REPLY SKIP\r\nFOO\r\nECHO x\r\n", "$1\r\nx\r\n" },
        { "CLIENT REPLY SKIP\r\nPUBLISH x y\r\nPUBLISH x y\r\n", ":0\r\n" },
        { "CLIENT REPLY SKIP\r\nINFO\r\nECHO x\r\n", "$1\r\nx\r\n" },
        { "CLIENT REPLY OFF\r\nINFO\r\nCLIENT REPLY ON\r\n", "+OK\r\n" },
        { "CLIENT REPLY OFF\r\nCLIENT REPLY SKIP\r\nECHO x\r\nECHO y\r\nCLIENT REPLY ON\r\n", "+OK\r\n" },
        { "CLIENT REPLY SKIP\r\nSUBSCRIBE a\r\nPING\r\n", SUBSCRIBED_A "*2\r\n$4\r\npong\r\n$0\r\n\r\n" },
        { "CLIENT REPLY SKIP\r\nRESET\r\nECHO x\r\n", "$1\r\nx\r\n" },
        { "CLIENT REPLY OFF\r\nSUBSCRIBE a\r\nRESET\r\nECHO x\r\n", SUBSCRIBED_A "+RESET\r\n$1\r\nx\r\n" },
        { "CLIENT REPLY OFF\r\nHELLO 3\r\nCLIENT REPLY ON\r\nCLIENT GETNAME\r\n", "+OK\r\n_\r\n" },
        { "CLIENT REPLY OFF\r\n*1\r\n!\r\n", "" },
        { "CLIENT REPLY OFF\r\nQUIT\r\n", "" },
        { "CLIENT REPLY OFF\r\nPING\r\nSUBSCRIBE a\r\nSUBSCRIBE a\r\nPING\r\nSUBSCRIBE\r\nPSUBSCRIBE a*\r\n"
          "UNSUBSCRIBE\r\nPING\r\nPUNSUBSCRIBE\r\nPUNSUBSCRIBE\r\nCLIENT REPLY ON\r\n",
          SUBSCRIBED_A SUBSCRIBED_A "*3\r\n$10\r\npsubscribe\r\n$2\r\na*\r\n:2\r\n"
                                    "*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:1\r\n"
                                    "*3\r\n$12\r\npunsubscribe\r\n$2\r\na*\r\n:0\r\n"
                                    "*3\r\n$12\r\npunsubscribe\r\n$-1\r\n:0\r\n+OK\r\n" },
};

#define REPLIES_N (int)(sizeof(replies) / sizeof(*replies))

/* On 1 and 3 shards, and with the words in one piece and byte by byte. */
START_TEST(replies_fall_silent_and_pushes_do_not)
{
        int c;

        for (unsigned split = 0; split < 2; split++) {
                start(shard_counts[_i / REPLIES_N]);
                fake_split(cl.fakes[0], split);
                c = cluster_connect(&cl, 0, 77);
                check(0, c, replies[_i % REPLIES_N].say, replies[_i % REPLIES_N].expected);
                cluster_deinit(&cl);
        }
}
END_TEST

START_TEST(a_client_that_ends_in_silence_is_closed)
{
        static const char *const end[] = { "CLIENT REPLY OFF\r\nQUIT\r\n", "CLIENT REPLY SKIP\r\nQUIT\r\n",
                                           "CLIENT REPLY OFF\r\n*1\r\n!\r\n" };
        int c;

        start(1);
        c = cluster_connect(&cl, 0, 77);
        check(0, c, end[_i], "");
        ck_assert(!cluster_is_open(&cl, 0, c));
        cluster_deinit(&cl);
}
END_TEST

START_TEST(a_silent_subscriber_hears_messages_and_its_own_too)
{
        int c, pub;

        start(shard_counts[_i]);
        c = cluster_connect(&cl, 0, 77);
        pub = cluster_connect(&cl, cl.n_shards - 1, 77);
        free(answer(0, c, "HELLO 3\r\nCLIENT REPLY OFF\r\n"));
        check(0, c, "SUBSCRIBE x\r\nPUBLISH x 1\r\nPUBLISH x 2\r\nPING\r\n",
              ">3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n>3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\n1\r\n"
              ">3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\n2\r\n");
        check(cl.n_shards - 1, pub, "PUBLISH x 3\r\n", ":1\r\n");
        check(0, c, "", ">3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\n3\r\n");
        cluster_deinit(&cl);
}
END_TEST

static void add(TCase *cases)
{
        tcase_add_loop_test(cases, replies_fall_silent_and_pushes_do_not, 0, 2 * REPLIES_N);
        tcase_add_loop_test(cases, a_client_that_ends_in_silence_is_closed, 0, 3);
        tcase_add_loop_test(cases, a_silent_subscriber_hears_messages_and_its_own_too, 0, 2);
}

int main(void)
{
        return suite_run("client", add);
}
