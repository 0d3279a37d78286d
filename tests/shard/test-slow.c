/* SPDX-License-Identifier: MIT */
/* Clients that do not take their output, and what it costs them. */

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "shard/policy.h"
#include "support/cluster.h"
#include "support/suite.h"
#include "util/clock.h"

static struct cluster cl;
static const unsigned shard_counts[] = { 1, 3 };

#define SOFT_NS (60 * NSEC_PER_SEC)

static const struct policy soft = { .limits = { .request_bytes = 1 << 20,
                                                .output_hard = 2000,
                                                .output_soft = 500,
                                                .output_soft_ns = SOFT_NS } };

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

static void drop_heard(unsigned shard, int fd)
{
        free(cluster_hear(&cl, shard, fd));
}

/* A subscriber on the last shard that takes nothing, and has more than the soft limit waiting. */
static int slow_subscriber(int publisher)
{
        unsigned shard = cl.n_shards - 1;
        int fd = cluster_connect(&cl, shard, 7);

        say(shard, fd, "SUBSCRIBE news\r\n");
        drop_heard(shard, fd);
        fake_accept(cl.fakes[shard], fd, 0);
        for (int i = 0; i < 10; i++)
                say(0, publisher, "PUBLISH news 0123456789012345678901234567890123456789\r\n");
        return fd;
}

START_TEST(above_the_soft_limit_a_client_has_some_time)
{
        int publisher, fd;
        unsigned shard;

        start(shard_counts[_i], &soft);
        shard = cl.n_shards - 1;
        publisher = cluster_connect(&cl, 0, 7);
        fd = slow_subscriber(publisher);
        cluster_advance(SOFT_NS - 1);
        cluster_settle(&cl);
        ck_assert(cluster_is_open(&cl, shard, fd));
        cluster_advance(1);
        cluster_settle(&cl);
        ck_assert(!cluster_is_open(&cl, shard, fd));
        cluster_deinit(&cl);
}
END_TEST

/* Redis goes on counting from the first time. */
START_TEST(the_time_counts_anew_once_the_output_was_taken)
{
        int publisher, fd;
        unsigned shard;

        start(shard_counts[_i], &soft);
        shard = cl.n_shards - 1;
        publisher = cluster_connect(&cl, 0, 7);
        fd = slow_subscriber(publisher);
        cluster_advance(SOFT_NS - 1);
        fake_accept(cl.fakes[shard], fd, SIZE_MAX);
        cluster_settle(&cl);
        fake_accept(cl.fakes[shard], fd, 0);
        for (int i = 0; i < 10; i++)
                say(0, publisher, "PUBLISH news 0123456789012345678901234567890123456789\r\n");
        cluster_advance(SOFT_NS - 1);
        cluster_settle(&cl);
        ck_assert(cluster_is_open(&cl, shard, fd));
        cluster_advance(1);
        cluster_settle(&cl);
        ck_assert(!cluster_is_open(&cl, shard, fd));
        cluster_deinit(&cl);
}
END_TEST

START_TEST(at_the_hard_limit_it_has_none)
{
        int publisher, fd;
        unsigned shard;

        start(shard_counts[_i], &soft);
        shard = cl.n_shards - 1;
        publisher = cluster_connect(&cl, 0, 7);
        fd = slow_subscriber(publisher);
        for (int i = 0; i < 30 && cluster_is_open(&cl, shard, fd); i++) {
                ck_assert_uint_le(fake_stream(cl.fakes[shard], fd)->stream->out.bytes, 2000);
                say(0, publisher, "PUBLISH news 0123456789012345678901234567890123456789\r\n");
        }
        ck_assert(!cluster_is_open(&cl, shard, fd));
        cluster_deinit(&cl);
}
END_TEST

static void add(TCase *cases)
{
        tcase_add_loop_test(cases, above_the_soft_limit_a_client_has_some_time, 0, 2);
        tcase_add_loop_test(cases, the_time_counts_anew_once_the_output_was_taken, 0, 2);
        tcase_add_loop_test(cases, at_the_hard_limit_it_has_none, 0, 2);
}

int main(void)
{
        return suite_run("slow", add);
}
