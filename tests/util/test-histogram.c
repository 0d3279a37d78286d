/* SPDX-License-Identifier: MIT */
/* The histogram against the sorted values themselves. */

#include "util/histogram.h"

#include <stdlib.h>

#include "support/suite.h"
#include "util/prng.h"

#define N_VALUES 20000

static const unsigned places[] = { 1, 500000, 900000, 990000, 999000, 999999, 1000000 };

static int ascending(const void *a, const void *b)
{
        uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

        return x < y ? -1 : x > y;
}

/* The least value that so many in a million do not exceed. */
static uint64_t exact(const uint64_t *sorted, size_t n, unsigned per_million)
{
        size_t rank = (n * per_million + 999999) / 1000000;

        return sorted[rank ? rank - 1 : 0];
}

/* Values of up to so many bits, each number of bits as often as another. */
static void compare(unsigned bits)
{
        static struct histogram h;
        static uint64_t values[N_VALUES];
        struct prng prng = { .state = bits };

        h = (struct histogram){ 0 };
        for (size_t i = 0; i < N_VALUES; i++) {
                values[i] = prng_next(&prng) >> (64 - 1 - prng_next(&prng) % bits);
                histogram_add(&h, values[i]);
        }
        qsort(values, N_VALUES, sizeof(*values), ascending);
        for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
                uint64_t want = exact(values, N_VALUES, places[i]), got = histogram_at(&h, places[i]);

                ck_assert_uint_ge(got, want);
                ck_assert_uint_le(got - want, want < 128 ? 0 : want / 64);
        }
        ck_assert_uint_eq(histogram_at(&h, 1000000), values[N_VALUES - 1]);
}

START_TEST(percentiles_are_within_a_place)
{
        for (unsigned bits = 1; bits <= 64; bits++)
                compare(bits);
}
END_TEST

START_TEST(the_ends_of_the_range_have_places)
{
        static struct histogram h;

        ck_assert_uint_eq(histogram_at(&h, 500000), 0);
        histogram_add(&h, 0);
        ck_assert_uint_eq(histogram_at(&h, 1000000), 0);
        histogram_add(&h, UINT64_MAX);
        ck_assert_uint_eq(histogram_at(&h, 500000), 0);
        ck_assert_uint_eq(histogram_at(&h, 1000000), UINT64_MAX);
        ck_assert_uint_eq(h.n, 2);
}
END_TEST

START_TEST(merged_ones_are_as_one_that_counted_all)
{
        static struct histogram a, b, whole;
        struct prng prng = { .state = 3 };

        for (unsigned i = 0; i < N_VALUES; i++) {
                uint64_t value = prng_next(&prng) >> (prng_next(&prng) % 64);

                histogram_add(i % 3 ? &a : &b, value);
                histogram_add(&whole, value);
        }
        histogram_merge(&a, &b);
        ck_assert_mem_eq(&a, &whole, sizeof(a));
}
END_TEST

START_TEST(the_sum_is_exact)
{
        static struct histogram h;

        histogram_add(&h, 1000000007);
        histogram_add(&h, 5);
        ck_assert_uint_eq(h.sum, 1000000012);
        ck_assert_uint_eq(h.max, 1000000007);
}
END_TEST

static void add(TCase *cases)
{
        tcase_add_test(cases, percentiles_are_within_a_place);
        tcase_add_test(cases, the_ends_of_the_range_have_places);
        tcase_add_test(cases, merged_ones_are_as_one_that_counted_all);
        tcase_add_test(cases, the_sum_is_exact);
}

int main(void)
{
        return suite_run("histogram", add);
}
