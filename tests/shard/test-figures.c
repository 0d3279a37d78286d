/* SPDX-License-Identifier: MIT */
/* How long turns take, where a shard's time goes, and which clients stand out. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shard/busiest.h"
#include "shard/client.h"
#include "shard/pace.h"
#include "shard/state.h"
#include "support/cluster.h"
#include "support/suite.h"
#include "util/clock.h"

static struct cluster cl;
static const unsigned shard_counts[] = { 1, 3 };

static void start(unsigned n_shards)
{
        cluster_init(&cl, &(struct cluster_options){ .n_shards = n_shards,
                                                     .capacity = 2,
                                                     .backlog_bytes = 400,
                                                     .output_max = 1 << 20,
                                                     .drain_budget = 3 });
}

/* Says something and lets everything happen. Return: what comes back; the caller frees it. */
static char *answer(unsigned shard, int fd, const char *say)
{
        cluster_say(&cl, shard, fd, say);
        cluster_settle(&cl);
        return cluster_hear(&cl, shard, fd);
}

static void say(unsigned shard, int fd, const char *text)
{
        free(answer(shard, fd, text));
}

/* The number behind the i-th occurrence of a name in an answer; -1: there is none. */
static long long number(const char *text, const char *name, unsigned i)
{
        char key[64];

        snprintf(key, sizeof(key), "\r\n%s\r\n:", name);
        for (;; i--, text++) {
                text = strstr(text, key);
                if (!text)
                        return -1;
                if (!i)
                        return strtoll(text + strlen(key), NULL, 10);
        }
}

static unsigned count(const char *text, const char *word)
{
        unsigned n = 0;

        for (; (text = strstr(text, word)); text++)
                n++;
        return n;
}

/* ------------------------------------------------------------------ the pace */

START_TEST(time_is_sleep_or_search_or_turn)
{
        static struct pace p;

        p = (struct pace){ .at = 1000 };
        pace_idled(&p, 1500);
        ck_assert_uint_eq(p.spun, 500);
        pace_worked(&p, 1900, true); /* the look that found something is part of the turn */
        ck_assert_uint_eq(p.turns.max, 400);
        ck_assert_uint_eq(p.answers.max, 400);
        pace_woke(&p, 5000);
        pace_worked(&p, 6000, true);
        ck_assert_uint_eq(p.parked, 5000 - 1900);
        ck_assert_uint_eq(p.turns.max, 1000);
        pace_woke(&p, 7000);
        pace_worked(&p, 7700, false); /* woken by another shard: nobody said anything */
        ck_assert_uint_eq(p.turns.sum, 400 + 1000 + 700);
        ck_assert_uint_eq(p.answers.sum, 400 + 1000);
        pace_woke(&p, 9000);
        pace_idled(&p, 9000); /* for nothing */
        ck_assert_uint_eq(p.spun, 500);
        ck_assert_uint_eq(p.spun + p.parked + p.turns.sum, 9000 - 1000);
}
END_TEST

/* ------------------------------------------------------------------ BROKER LATENCY */

START_TEST(turns_are_counted_and_set_back)
{
        unsigned n = shard_counts[_i], last = n - 1;
        char *before, *after, *reset;
        int fd, other;

        start(n);
        fd = cluster_connect(&cl, 0, 0);
        other = cluster_connect(&cl, last, 7);
        say(last, other, "SUBSCRIBE a\r\n");
        before = answer(0, fd, "BROKER LATENCY\r\n");
        ck_assert_uint_eq(count(before, "receive_to_write"), n + 1); /* of each, and of all */
        cluster_advance(7 * NSEC_PER_MSEC);
        for (int i = 0; i < 5; i++)
                say(0, fd, "PUBLISH a x\r\n");
        after = answer(0, fd, "BROKER LATENCY RESET\r\n");
        ck_assert_int_eq(number(after, "since_ms", 0), number(before, "since_ms", 0) + 7);
        /* five, and that in which the first question was put */
        ck_assert_int_eq(number(after, "count", 1), number(before, "count", 1) + 6);
        if (n > 1) {
                /* the subscriber's shard had turns for each message, in which none of its clients spoke */
                ck_assert_int_ge(number(after, "count", 2 * last), number(before, "count", 2 * last) + 5);
                ck_assert_int_eq(number(after, "count", 2 * last + 1), number(before, "count", 2 * last + 1));
        }
        reset = answer(0, fd, "BROKER LATENCY\r\n");
        ck_assert_int_eq(number(reset, "count", 1), 1); /* the one that set it back */
        ck_assert_int_lt(number(reset, "count", 0), number(after, "count", 0));
        ck_assert_int_eq(number(reset, "since_ms", n), 0);
        free(before);
        free(after);
        free(reset);
        cluster_deinit(&cl);
}
END_TEST

START_TEST(sleep_is_told)
{
        char *status;
        int fd;

        start(1);
        fd = cluster_connect(&cl, 0, 0);
        cluster_settle(&cl);
        cluster_turn(&cl, 0);
        cluster_advance(5 * NSEC_PER_SEC);
        status = answer(0, fd, "BROKER STATUS\r\n");
        ck_assert_int_ge(number(status, "park_ns", 0), (long long)(5 * NSEC_PER_SEC));
        ck_assert_int_eq(number(status, "time_us", 0), (long long)(cluster_now() / NSEC_PER_USEC));
        ck_assert_int_gt(number(status, "cpu_ns", 0), 0);
        ck_assert_int_eq(number(status, "ring_slots", 0), 2);
        free(status);
        cluster_deinit(&cl);
}
END_TEST

/* ------------------------------------------------------------------ BROKER TOP */

static void publish(unsigned shard, int fd, unsigned n)
{
        while (n--)
                say(shard, fd, "PUBLISH quiet 12345\r\n");
}

START_TEST(publishers_are_told_by_what_they_published_lately)
{
        unsigned n = shard_counts[_i];
        int asker, fds[3];
        char *top;

        start(n);
        asker = cluster_connect(&cl, 0, 0);
        for (unsigned i = 0; i < 3; i++)
                fds[i] = cluster_connect(&cl, i % n, 7);
        say(1 % n, fds[1], "CLIENT SETNAME busy\r\n");
        publish(0, fds[0], 100); /* before the look that begins the interval */
        cluster_advance(NSEC_PER_SEC);
        say(0, asker, "BROKER TOP\r\n");
        publish(0, fds[0], 1);
        publish(1 % n, fds[1], 7);
        publish(2 % n, fds[2], 3);
        cluster_advance(2 * NSEC_PER_SEC);
        top = answer(0, asker, "BROKER TOP 2\r\n");
        ck_assert_uint_eq(count(top, "\r\nid\r\n"), 2); /* nobody waits, and two of three publish most */
        ck_assert_int_eq(number(top, "messages", 0), 7);
        ck_assert_int_eq(number(top, "bytes", 0), 35);
        ck_assert_int_eq(number(top, "interval_us", 0), 2000000);
        ck_assert_int_eq(number(top, "messages", 1), 3);
        ck_assert_ptr_nonnull(strstr(top, "\r\nname\r\n$4\r\nbusy\r\n"));
        free(top);
        publish(1 % n, fds[1], 7);
        cluster_advance(BUSIEST_PERIOD - 1);
        top = answer(0, asker, "BROKER TOP\r\n"); /* it looked just now */
        ck_assert_int_eq(number(top, "messages", 0), 7);
        ck_assert_int_eq(number(top, "messages", 2), 1);
        ck_assert_int_eq(number(top, "interval_us", 0), 2000000);
        free(top);
        cluster_advance(1);
        top = answer(0, asker, "BROKER TOP\r\n");
        ck_assert_int_eq(number(top, "messages", 0), 7);
        ck_assert_int_eq(number(top, "messages", 1), -1);
        ck_assert_int_eq(number(top, "interval_us", 0), (long long)(BUSIEST_PERIOD / NSEC_PER_USEC));
        free(top);
        cluster_deinit(&cl);
}
END_TEST

START_TEST(those_for_whom_most_waits_come_first)
{
        unsigned n = shard_counts[_i];
        int asker, fds[3];
        char *top;

        start(n);
        asker = cluster_connect(&cl, 0, 0);
        for (unsigned i = 0; i < 3; i++) {
                fds[i] = cluster_connect(&cl, i % n, 7);
                say(i % n, fds[i], i == 1 ? "SUBSCRIBE a b\r\n" : i == 2 ? "SUBSCRIBE b\r\n" : "PING\r\n");
                fake_accept(cl.fakes[i % n], fds[i], 0);
        }
        for (int i = 0; i < 3; i++)
                say(0, asker, "PUBLISH a 1\r\nPUBLISH b 22\r\n");
        cluster_advance(3 * NSEC_PER_SEC);
        top = answer(0, asker, "BROKER TOP\r\n");
        ck_assert_int_gt(number(top, "output_bytes", 0), number(top, "output_bytes", 1));
        ck_assert_int_gt(number(top, "output_bytes", 1), 0);
        ck_assert_int_eq(number(top, "output_bytes", 2), 0); /* the asker, who published */
        ck_assert_uint_eq(count(top, "\r\nid\r\n"), 3);
        ck_assert_int_eq(number(top, "id", 2), number(top, "id", 0) - 2);
        ck_assert_int_eq(number(top, "shard", 0), 1 % n);
        ck_assert_int_eq(number(top, "idle_ms", 0), 3000);
        ck_assert_int_eq(number(top, "uid", 0), 7);
        free(top);
        cluster_deinit(&cl);
}
END_TEST

START_TEST(only_as_many_as_are_asked_for)
{
        static const char *const wrong[] = { "BROKER TOP 0\r\n", "BROKER TOP 101\r\n", "BROKER TOP x\r\n",
                                             "BROKER TOP 1 2\r\n", "BROKER LATENCY x\r\n" };
        char *top;
        int asker;

        start(3);
        asker = cluster_connect(&cl, 0, 0);
        for (unsigned i = 0; i < 4 * BUSIEST_MAX; i++)
                publish(i % 3, cluster_connect(&cl, i % 3, 7), 1 + i % 7);
        cluster_advance(NSEC_PER_SEC);
        top = answer(0, asker, "BROKER TOP 100\r\n");
        ck_assert_uint_eq(count(top, "\r\nid\r\n"), 100);
        for (unsigned i = 1; i < 100; i++)
                ck_assert_int_ge(number(top, "messages", i - 1), number(top, "messages", i));
        ck_assert_int_eq(number(top, "messages", 56), 7);
        ck_assert_int_eq(number(top, "messages", 57), 6);
        free(top);
        for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
                top = answer(0, asker, wrong[i]);
                ck_assert_msg(!strncmp(top, "-ERR ", 5), "%s", top);
                free(top);
        }
        cluster_deinit(&cl);
}
END_TEST

START_TEST(in_a_transaction_they_are_asked_after_it)
{
        int asker;
        char *heard;

        start(3);
        asker = cluster_connect(&cl, 0, 0);
        heard = answer(0, asker, "MULTI\r\nBROKER TOP\r\nPING\r\nBROKER LATENCY\r\nEXEC\r\n");
        ck_assert_ptr_nonnull(strstr(heard, "+QUEUED\r\n*3\r\n*4\r\n$7\r\nwaiting\r\n"));
        ck_assert_uint_eq(count(heard, "receive_to_write"), 4);
        free(heard);
        cluster_say(&cl, 0, asker, "BROKER LATENCY\r\n");
        fake_fail(cl.fakes[0], asker, 104); /* who asked is gone when the answers come */
        cluster_settle(&cl);
        cluster_deinit(&cl);
}
END_TEST

static void add(TCase *cases)
{
        int n = sizeof(shard_counts) / sizeof(*shard_counts);

        tcase_add_test(cases, time_is_sleep_or_search_or_turn);
        tcase_add_loop_test(cases, turns_are_counted_and_set_back, 0, n);
        tcase_add_test(cases, sleep_is_told);
        tcase_add_loop_test(cases, publishers_are_told_by_what_they_published_lately, 0, n);
        tcase_add_loop_test(cases, those_for_whom_most_waits_come_first, 0, n);
        tcase_add_test(cases, only_as_many_as_are_asked_for);
        tcase_add_test(cases, in_a_transaction_they_are_asked_after_it);
}

int main(void)
{
        return suite_run("figures", add);
}
