/* SPDX-License-Identifier: MIT */

#include "pubsub/interest.h"

#include "support/suite.h"

static const struct hash_key key = { 5, 6 };

START_TEST(a_batch_is_applied_whole_and_in_order)
{
        struct topics *topics = topics_new(&key, 4);
        struct buffer batch = { 0 };

        interest_put(&batch, TOPIC_CHANNEL, bytes_str("news"), 3, false);
        interest_put(&batch, TOPIC_PATTERN, bytes_str("n*"), 1, false);
        interest_put(&batch, TOPIC_SHARD, bytes_str("news"), 7, false);
        interest_put(&batch, TOPIC_SHARD, bytes_str("gone"), 1, false);
        interest_put(&batch, TOPIC_SHARD, bytes_str("gone"), -1, true);
        interest_put(&batch, TOPIC_CHANNEL, bytes_str("gone"), 2, false);
        interest_put(&batch, TOPIC_CHANNEL, bytes_str("gone"), -1, false);
        interest_put(&batch, TOPIC_CHANNEL, bytes_str("gone"), -1, true);
        interest_put(&batch, TOPIC_CHANNEL, bytes_str("news"), -1, false);
        interest_apply(topics, 5, buffer_view(&batch));

        ck_assert_uint_eq(topics_find(topics, TOPIC_CHANNEL, bytes_str("news"))->remote_total, 2);
        ck_assert_uint_eq(topics_find(topics, TOPIC_CHANNEL, bytes_str("news"))->remote_mask, 1u << 5);
        ck_assert_uint_eq(topics_find(topics, TOPIC_PATTERN, bytes_str("n*"))->remote_total, 1);
        ck_assert_uint_eq(topics_find(topics, TOPIC_SHARD, bytes_str("news"))->remote_total, 7);
        ck_assert_ptr_null(topics_find(topics, TOPIC_SHARD, bytes_str("gone")));
        ck_assert_ptr_null(topics_find(topics, TOPIC_CHANNEL, bytes_str("n*")));
        ck_assert_ptr_null(topics_find(topics, TOPIC_CHANNEL, bytes_str("gone")));
        ck_assert_uint_eq(topic_receivers(topics_route(topics, bytes_str("news"))), 3);
        buffer_deinit(&batch);
        topics_free(topics);
}
END_TEST

START_TEST(an_empty_batch_changes_nothing)
{
        struct topics *topics = topics_new(&key, 4);

        interest_apply(topics, 0, bytes_of(NULL, 0));
        ck_assert_uint_eq(topics_count(topics, TOPIC_CHANNEL), 0);
        topics_free(topics);
}
END_TEST

START_TEST(counts_and_names_of_every_size_come_through)
{
        static const int32_t counts[] = { 1, 127, 128, 16383, 16384, 2097151, 2097152, INT32_MAX };
        static const size_t sizes[] = { 0, 1, 127, 128, 16383, 16384, 3000000 };
        uint8_t *name = malloc(3000000);

        for (size_t i = 0; i < 3000000; i++)
                name[i] = (uint8_t)(i * 7);
        for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
                for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
                        struct topics *topics = topics_new(&key, 4);
                        struct bytes b = bytes_of(name, sizes[s]);
                        struct buffer batch = { 0 };

                        interest_put(&batch, TOPIC_CHANNEL, b, counts[c], false);
                        interest_put(&batch, TOPIC_CHANNEL, bytes_str("other"), 1, false);
                        interest_apply(topics, 63, buffer_view(&batch));
                        ck_assert_uint_eq(topics_find(topics, TOPIC_CHANNEL, b)->remote_total,
                                          (uint32_t)counts[c]);
                        ck_assert_uint_eq(topics_find(topics, TOPIC_CHANNEL, b)->remote_mask, UINT64_C(1)
                                                                                                      << 63);
                        batch.start = batch.end = 0;
                        interest_put(&batch, TOPIC_CHANNEL, b, -counts[c], true);
                        interest_put(&batch, TOPIC_CHANNEL, bytes_str("other"), 1, false);
                        interest_apply(topics, 63, buffer_view(&batch));
                        ck_assert_ptr_null(topics_find(topics, TOPIC_CHANNEL, b));
                        ck_assert_uint_eq(topics_find(topics, TOPIC_CHANNEL, bytes_str("other"))->remote_total,
                                          2);
                        buffer_deinit(&batch);
                        topics_free(topics);
                }
        }
        free(name);
}
END_TEST

START_TEST(a_small_change_takes_three_bytes_and_its_name)
{
        struct buffer batch = { 0 };

        interest_put(&batch, TOPIC_PATTERN, bytes_str("n*"), -1, true);
        ck_assert_uint_eq(buffer_size(&batch), 5);
        buffer_deinit(&batch);
}
END_TEST

/* Holds are of topics that the batch, or an earlier one, made known, and end before these do. */
START_TEST(holds_travel_in_order_with_interest)
{
        struct topics *topics = topics_new(&key, 4);
        struct buffer batch = { 0 };

        interest_put(&batch, TOPIC_CHANNEL, bytes_str("news"), 1, false);
        interest_put_hold(&batch, TOPIC_CHANNEL, bytes_str("news"), true);
        interest_put(&batch, TOPIC_PATTERN, bytes_str("n*"), 2, false);
        interest_put_hold(&batch, TOPIC_PATTERN, bytes_str("n*"), true);
        interest_put(&batch, TOPIC_PATTERN, bytes_str("n*"), -1, false);
        interest_apply(topics, 5, buffer_view(&batch));
        ck_assert_uint_eq(topics_n_holds(topics), 2);
        ck_assert(topic_mask(topics_route(topics, bytes_str("news"))) == (TOPIC_HELD | 1u << 5));
        ck_assert(topic_mask(topics_route(topics, bytes_str("nobody"))) == (TOPIC_HELD | 1u << 5));
        ck_assert_uint_eq(topic_remote_mask(topics_route(topics, bytes_str("nobody"))), 1u << 5);

        buffer_consume(&batch, buffer_size(&batch));
        interest_put_hold(&batch, TOPIC_PATTERN, bytes_str("n*"), false);
        interest_put(&batch, TOPIC_PATTERN, bytes_str("n*"), -1, true);
        interest_put_hold(&batch, TOPIC_CHANNEL, bytes_str("news"), false);
        interest_apply(topics, 5, buffer_view(&batch));
        ck_assert_uint_eq(topics_n_holds(topics), 0);
        ck_assert_uint_eq(topic_mask(topics_route(topics, bytes_str("news"))), 1u << 5);
        ck_assert_ptr_null(topics_route(topics, bytes_str("nobody")));
        buffer_deinit(&batch);
        topics_free(topics);
}
END_TEST

static void add(TCase *tests)
{
        tcase_add_test(tests, holds_travel_in_order_with_interest);
        tcase_add_test(tests, a_batch_is_applied_whole_and_in_order);
        tcase_add_test(tests, an_empty_batch_changes_nothing);
        tcase_add_test(tests, counts_and_names_of_every_size_come_through);
        tcase_add_test(tests, a_small_change_takes_three_bytes_and_its_name);
}

int main(void)
{
        return suite_run("interest", add);
}
