/* SPDX-License-Identifier: MIT */

#include <check.h>

#include "support/suite.h"
#include "util/bucket.h"
#include "util/clock.h"
#include "util/prng.h"

#define START (7 * NSEC_PER_SEC) /* any time */

START_TEST(a_second_s_worth_is_there_at_once_and_the_next_when_it_has_flowed_in)
{
        struct bucket b = { 0 };

        for (int i = 0; i < 10; i++) {
                ck_assert_uint_eq(bucket_wait(&b, 10, 1, START), 0);
                bucket_take(&b, 10, 1, START);
        }
        ck_assert_uint_eq(bucket_wait(&b, 10, 1, START), NSEC_PER_SEC / 10);
        ck_assert_uint_eq(bucket_wait(&b, 10, 3, START), 3 * NSEC_PER_SEC / 10);
        ck_assert_uint_eq(bucket_wait(&b, 10, 1, START + NSEC_PER_SEC / 10 - 1), 1);
        ck_assert_uint_eq(bucket_wait(&b, 10, 1, START + NSEC_PER_SEC / 10), 0);
        ck_assert(!bucket_is_full(&b, 10, START + NSEC_PER_SEC - 1));
        ck_assert(bucket_is_full(&b, 10, START + NSEC_PER_SEC));
        ck_assert_uint_eq(bucket_wait(&b, 10, 11, START + 1000 * NSEC_PER_SEC), 0); /* no more than full */
        bucket_take(&b, 10, 10, START + 1000 * NSEC_PER_SEC);
        ck_assert_uint_gt(bucket_wait(&b, 10, 1, START + 1000 * NSEC_PER_SEC), 0);
}
END_TEST

START_TEST(more_than_it_holds_passes_a_full_one_and_is_a_debt)
{
        struct bucket b = { 0 };

        bucket_take(&b, 10, 1, START);
        ck_assert_uint_eq(bucket_wait(&b, 10, 25, START), NSEC_PER_SEC / 10);
        bucket_take(&b, 10, 25, START + NSEC_PER_SEC / 10);
        ck_assert_uint_eq(bucket_wait(&b, 10, 1, START + NSEC_PER_SEC / 10), 16 * NSEC_PER_SEC / 10);
        ck_assert_uint_eq(bucket_wait(&b, 10, 25, START + NSEC_PER_SEC / 10), 25 * NSEC_PER_SEC / 10);
}
END_TEST

START_TEST(without_a_rate_there_is_no_limit)
{
        struct bucket b = { 0 };

        bucket_take(&b, 0, UINT64_MAX, START);
        ck_assert_uint_eq(bucket_wait(&b, 0, UINT64_MAX, START), 0);
        ck_assert(bucket_is_full(&b, 0, START));
        ck_assert_uint_eq(bucket_wait(&b, 1, 1, START), 0);
}
END_TEST

START_TEST(another_rate_counts_from_now_on)
{
        struct bucket b = { 0 };

        bucket_take(&b, 10, 10, START);
        ck_assert_uint_eq(bucket_wait(&b, 100, 1, START), 0); /* lacks 10 of 100 */
        ck_assert_uint_eq(bucket_wait(&b, 100, 100, START), NSEC_PER_SEC / 10);
        ck_assert_uint_eq(bucket_wait(&b, 1, 1, START), 10 * NSEC_PER_SEC); /* and here more than it holds */
}
END_TEST

START_TEST(the_largest_numbers_do_not_overflow)
{
        struct bucket b = { 0 };
        uint64_t wait;

        for (int i = 0; i < 100; i++)
                bucket_take(&b, UINT64_MAX, UINT64_MAX, START);
        wait = bucket_wait(&b, UINT64_MAX, 1, START);
        ck_assert_uint_gt(wait, NSEC_PER_SEC);
        ck_assert_uint_eq(bucket_wait(&b, UINT64_MAX, 1, START + wait), 0);
        ck_assert(bucket_is_full(&b, 2, UINT64_MAX));
        ck_assert(!bucket_is_full(&b, 1, START + NSEC_PER_SEC));
}
END_TEST

START_TEST(a_clock_that_went_back_adds_nothing)
{
        struct bucket b = { 0 };

        bucket_take(&b, 1, 1, START);
        ck_assert_uint_eq(bucket_wait(&b, 1, 1, START - 5), NSEC_PER_SEC);
}
END_TEST

/* What was let through by a moment is at most one second's worth and what flowed in since the start, and
 * whoever takes each time as soon as he may is not let through less. */
START_TEST(over_a_long_time_it_is_exact)
{
        static const uint64_t rates[] = { 2, 3, 7, 1000, 999983, 123456789 };
        struct prng prng = { .state = (uint64_t)_i + 1 };
        uint64_t rate = rates[_i], now = START, n, wait;
        struct bucket b = { 0 };
        unsigned __int128 taken = 0, flowed;

        for (int i = 0; i < 200000; i++) {
                n = 1 +
                    prng_below(&prng, rate < 1000 ? rate - 1 : 1000); /* to be full is to lose what flows in */
                wait = bucket_wait(&b, rate, n, now);
                if (wait) {
                        suite_need(bucket_wait(&b, rate, n, now + wait - 1) == 1, "step %d: late", i);
                        now += wait;
                }
                suite_need(bucket_wait(&b, rate, n, now) == 0, "step %d: not to be had", i);
                bucket_take(&b, rate, n, now);
                taken += n;
                flowed = (unsigned __int128)(now - START) * rate;
                suite_need(taken * NSEC_PER_SEC <= flowed + (unsigned __int128)rate * NSEC_PER_SEC,
                           "step %d: too many", i);
                suite_need(!wait || taken * NSEC_PER_SEC + rate >
                                            flowed + (unsigned __int128)rate * NSEC_PER_SEC,
                           "step %d: too few", i);
        }
}
END_TEST

START_TEST(what_is_given_back_is_there_again_and_never_more_than_full)
{
        struct bucket b = { 0 };

        ck_assert_uint_eq(bucket_left(&b, 10, START), 10);
        bucket_take(&b, 10, 7, START);
        ck_assert_uint_eq(bucket_left(&b, 10, START), 3);
        bucket_give(&b, 10, 2, START);
        ck_assert_uint_eq(bucket_left(&b, 10, START), 5);
        ck_assert_uint_eq(bucket_left(&b, 10, START + NSEC_PER_SEC / 10 - 1), 5);
        ck_assert_uint_eq(bucket_left(&b, 10, START + NSEC_PER_SEC / 10), 6);
        bucket_give(&b, 10, 7, START);
        ck_assert(bucket_is_full(&b, 10, START));
        bucket_take(&b, 10, 25, START); /* a debt */
        ck_assert_uint_eq(bucket_left(&b, 10, START), 0);
        bucket_give(&b, 10, 16, START);
        ck_assert_uint_eq(bucket_left(&b, 10, START), 1);
        bucket_give(&b, 0, 16, START);
        ck_assert_uint_eq(bucket_left(&b, 10, START), 1);
        ck_assert_uint_eq(bucket_left(&b, 0, START), BUCKET_MAX);
}
END_TEST

static void add(TCase *cases)
{
        tcase_add_test(cases, what_is_given_back_is_there_again_and_never_more_than_full);
        tcase_add_test(cases, a_second_s_worth_is_there_at_once_and_the_next_when_it_has_flowed_in);
        tcase_add_test(cases, more_than_it_holds_passes_a_full_one_and_is_a_debt);
        tcase_add_test(cases, without_a_rate_there_is_no_limit);
        tcase_add_test(cases, another_rate_counts_from_now_on);
        tcase_add_test(cases, the_largest_numbers_do_not_overflow);
        tcase_add_test(cases, a_clock_that_went_back_adds_nothing);
        tcase_add_loop_test(cases, over_a_long_time_it_is_exact, 0, 6);
}

int main(void)
{
        return suite_run("bucket", add);
}
