/* SPDX-License-Identifier: MIT */
/* The arithmetic of `brokerctl top`, on answers as the broker writes them. */

#include "ctl/top.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/suite.h"

/* Return: the answer that these bytes are; freeReplyObject() releases it. */
static redisReply *parse(const char *bytes)
{
        redisReader *reader = redisReaderCreate();
        void *reply = NULL;

        ck_assert_int_eq(redisReaderFeed(reader, bytes, strlen(bytes)), REDIS_OK);
        ck_assert_int_eq(redisReaderGetReply(reader, &reply), REDIS_OK);
        ck_assert_ptr_nonnull(reply);
        redisReaderFree(reader);
        return reply;
}

/* Appends a name and a number. */
static void put(char *text, size_t size, const char *name, unsigned long long n)
{
        size_t at = strlen(text);

        snprintf(text + at, size - at, "$%zu\r\n%s\r\n:%llu\r\n", strlen(name), name, n);
}

/* A status with one shard. */
static void look(struct top_look *to, unsigned pid, unsigned long long time_us, unsigned long long n)
{
        char text[1000] = "*4\r\n$6\r\nbroker\r\n*4\r\n";
        redisReply *reply;

        put(text, sizeof(text), "pid", pid);
        put(text, sizeof(text), "uptime_seconds", 7);
        strcat(text, "$6\r\nshards\r\n*1\r\n*14\r\n");
        put(text, sizeof(text), "id", 0);
        put(text, sizeof(text), "time_us", time_us);
        put(text, sizeof(text), "turns", n);
        put(text, sizeof(text), "messages_in", 3 * n);
        put(text, sizeof(text), "cpu_ns", n * 1000);
        put(text, sizeof(text), "lost_drop_oldest", n);
        put(text, sizeof(text), "lost_conflate", 2 * n);
        reply = parse(text);
        ck_assert(top_look(to, reply, 12345));
        freeReplyObject(reply);
}

static void near(double got, double want)
{
        ck_assert_msg(got > want - 1e-9 && got < want + 1e-9, "%f is not %f", got, want);
}

START_TEST(rates_are_by_the_broker_s_clock)
{
        struct top_look a, b;
        struct top_rates rates;

        look(&a, 1, 1000000, 1000);
        look(&b, 1, 3500000, 6000);
        ck_assert(top_look_follows(&b, &a));
        ck_assert_uint_eq(b.uptime, 7);
        top_rates(&rates, &a.shards[0], &b.shards[0]);
        near(rates.seconds, 2.5);
        near(rates.turns, 2000);
        near(rates.messages_in, 6000);
        near(rates.drops, 6000);
        near(rates.cpu, 0.002);
        near(rates.messages_out, 0);
        top_rates_since_start(&rates, &b.shards[0], b.uptime);
        near(rates.messages_in, 18000 / 7.0);
}
END_TEST

START_TEST(another_broker_is_not_compared_with_this_one)
{
        struct top_look a, b;
        struct top_rates rates;

        look(&a, 1, 1000000, 1000);
        look(&b, 2, 2000000, 6000);
        ck_assert(!top_look_follows(&b, &a)); /* another process */
        look(&b, 1, 2000000, 999);
        ck_assert(!top_look_follows(&b, &a)); /* with the same pid */
        look(&b, 1, 1000000, 1000);
        ck_assert(!top_look_follows(&b, &a)); /* the same moment */
        top_rates(&rates, &a.shards[0], &b.shards[0]);
        near(rates.seconds, 0);
        look(&b, 1, 0, 1000);
        ck_assert_uint_eq(b.shards[0].time_us, 12345); /* one that does not tell the time */
}
END_TEST

START_TEST(what_is_no_status_is_none)
{
        static const char *const wrong[] = { "+OK\r\n", "*0\r\n", "*2\r\n$6\r\nbroker\r\n*0\r\n", ":1\r\n",
                                             "*4\r\n$6\r\nbroker\r\n:1\r\n$6\r\nshards\r\n*0\r\n" };

        for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
                redisReply *reply = parse(wrong[i]);
                struct top_channels channels;
                struct top_clients clients;
                struct top_look l;

                ck_assert_msg(!top_look(&l, reply, 1), "%s", wrong[i]);
                ck_assert(!top_channels(&channels, reply));
                ck_assert(!top_clients(&clients, reply, "waiting"));
                top_channels_deinit(&channels);
                top_clients_deinit(&clients);
                freeReplyObject(reply);
        }
}
END_TEST

START_TEST(sums_are_of_all_but_the_time)
{
        struct top_rates sum = { 0 }, one = { .seconds = 2, .cpu = 0.25, .messages_in = 10, .drops = 1 };

        top_rates_add(&sum, &one);
        top_rates_add(&sum, &one);
        near(sum.seconds, 2);
        near(sum.cpu, 0.5);
        near(sum.messages_in, 20);
        near(sum.drops, 2);
}
END_TEST

struct channel {
        const char *name;
        unsigned messages, bytes, subscribers;
};

static void channels(struct top_channels *to, unsigned long long time_us, const struct channel *row, size_t n)
{
        char text[4000] = "*4\r\n";
        redisReply *reply;

        put(text, sizeof(text), "time_us", time_us);
        sprintf(text + strlen(text), "$8\r\nchannels\r\n*%zu\r\n", n);
        for (size_t i = 0; i < n; i++) {
                sprintf(text + strlen(text), "*8\r\n$4\r\nname\r\n$%zu\r\n%s\r\n", strlen(row[i].name),
                        row[i].name);
                put(text, sizeof(text), "messages", row[i].messages);
                put(text, sizeof(text), "bytes", row[i].bytes);
                put(text, sizeof(text), "subscribers", row[i].subscribers);
        }
        reply = parse(text);
        ck_assert(top_channels(to, reply));
        freeReplyObject(reply);
}

START_TEST(channels_come_and_go_between_two_looks)
{
        static const struct channel first[] = { { "a", 100, 1000, 1 }, { "gone", 5, 5, 1 }, { "z", 7, 70, 3 } };
        static const struct channel then[] = { { "a", 300, 3000, 1 },
                                               { "new\n", 50, 9000, 2 },
                                               { "z", 7, 70, 3 } };
        struct top_channels before, after;

        channels(&before, 1000000, first, 3);
        ck_assert(before.row[0].rate < 0);
        channels(&after, 3000000, then, 3);
        top_channels_sort(&before, TOP_BY_SUBSCRIBERS); /* the screen may have sorted it */
        ck_assert_str_eq(before.row[0].name, "z");
        top_channels_rates(&after, &before);
        top_channels_sort(&after, TOP_BY_RATE);
        ck_assert_str_eq(after.row[0].name, "a");
        near(after.row[0].rate, 100);
        near(after.row[0].byte_rate, 1000);
        ck_assert_str_eq(after.row[1].name, "new\\n");
        near(after.row[1].rate, 25);
        near(after.row[2].rate, 0);
        top_channels_sort(&after, TOP_BY_BYTES);
        ck_assert_str_eq(after.row[0].name, "new\\n");
        top_channels_sort(&after, TOP_BY_NAME);
        ck_assert_str_eq(after.row[2].name, "z");
        ck_assert_uint_eq(after.row[2].last_ms, UINT64_MAX);
        top_channels_deinit(&before);
        top_channels_deinit(&after);
}
END_TEST

START_TEST(clients_have_the_rate_of_their_interval)
{
        char text[1000] = "*2\r\n$10\r\npublishers\r\n*2\r\n";
        struct top_clients clients;
        redisReply *reply;

        for (unsigned i = 1; i <= 2; i++) {
                strcat(text, "*10\r\n");
                put(text, sizeof(text), "id", i);
                put(text, sizeof(text), "messages", 300 * i);
                put(text, sizeof(text), "bytes", 50);
                put(text, sizeof(text), "output_bytes", 10 - i);
                put(text, sizeof(text), "interval_us", 1500000);
        }
        reply = parse(text);
        ck_assert(top_clients(&clients, reply, "publishers"));
        ck_assert_uint_eq(clients.n, 2);
        near(clients.row[0].rate, 200);
        ck_assert_int_eq(clients.row[0].unread, -1);
        top_clients_sort(&clients, TOP_BY_RATE);
        ck_assert_uint_eq(clients.row[0].id, 2);
        top_clients_sort(&clients, TOP_BY_QUEUED);
        ck_assert_uint_eq(clients.row[0].id, 1);
        top_clients_deinit(&clients);
        freeReplyObject(reply);
}
END_TEST

START_TEST(a_filter_is_part_of_the_name)
{
        ck_assert(top_fits("Sensors.Hall", "hall"));
        ck_assert(top_fits("", ""));
        ck_assert(!top_fits("sensors", "sensors."));
}
END_TEST

static void add(TCase *cases)
{
        tcase_add_test(cases, rates_are_by_the_broker_s_clock);
        tcase_add_test(cases, another_broker_is_not_compared_with_this_one);
        tcase_add_test(cases, what_is_no_status_is_none);
        tcase_add_test(cases, sums_are_of_all_but_the_time);
        tcase_add_test(cases, channels_come_and_go_between_two_looks);
        tcase_add_test(cases, clients_have_the_rate_of_their_interval);
        tcase_add_test(cases, a_filter_is_part_of_the_name);
}

int main(void)
{
        return suite_run("top", add);
}
