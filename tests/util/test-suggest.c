/* SPDX-License-Identifier: MIT */

#include "util/suggest.h"

#include "support/suite.h"
#include "util/prng.h"

static unsigned distance(const char *a, const char *b)
{
        return suggest_distance(bytes_str(a), bytes_str(b), 1000);
}

START_TEST(an_edit_is_an_insertion_deletion_replacement_or_swap_of_neighbours)
{
        ck_assert_uint_eq(distance("", ""), 0);
        ck_assert_uint_eq(distance("", "abc"), 3);
        ck_assert_uint_eq(distance("abc", ""), 3);
        ck_assert_uint_eq(distance("spin", "spin"), 0);
        ck_assert_uint_eq(distance("spin", "SPIN"), 0);
        ck_assert_uint_eq(distance("spin", "spi"), 1);
        ck_assert_uint_eq(distance("spin", "sping"), 1);
        ck_assert_uint_eq(distance("spin", "spun"), 1);
        ck_assert_uint_eq(distance("spin", "sipn"), 1);
        ck_assert_uint_eq(distance("kitten", "sitting"), 3);
        ck_assert_uint_eq(distance("ca", "abc"), 3); /* restricted: no part is edited twice */
        ck_assert_uint_eq(suggest_distance(bytes_str("kitten"), bytes_str("sitting"), 2), 3);
}
END_TEST

/* The definition, word for word. */
static unsigned slow_distance(struct bytes a, struct bytes b)
{
        struct bytes x = bytes_of(a.p, a.n - 1), y = bytes_of(b.p, b.n - 1);
        unsigned best, other;

        if (!a.n || !b.n)
                return (unsigned)(a.n + b.n);
        best = slow_distance(x, y) + (a.p[x.n] != b.p[y.n]);
        other = slow_distance(x, b) + 1;
        best = other < best ? other : best;
        other = slow_distance(a, y) + 1;
        best = other < best ? other : best;
        if (x.n && y.n && a.p[x.n] == b.p[y.n - 1] && a.p[x.n - 1] == b.p[y.n]) {
                other = slow_distance(bytes_of(a.p, x.n - 1), bytes_of(b.p, y.n - 1)) + 1;
                best = other < best ? other : best;
        }
        return best;
}

START_TEST(the_distance_is_what_its_definition_says)
{
        struct prng prng = { 7 };
        uint8_t a[5], b[5];

        for (int i = 0; i < 3000; i++) {
                struct bytes x = bytes_of(a, prng_below(&prng, 6)), y = bytes_of(b, prng_below(&prng, 6));

                for (size_t j = 0; j < 5; j++) {
                        a[j] = (uint8_t)('a' + prng_below(&prng, 3));
                        b[j] = (uint8_t)('a' + prng_below(&prng, 3));
                }
                ck_assert_uint_eq(suggest_distance(x, y, 100), slow_distance(x, y));
        }
}
END_TEST

START_TEST(the_nearest_name_is_suggested_and_none_that_is_too_far)
{
        static const char *const names[] = { "status", "subscribe", "shutdown", "sub" };
        static const char nul[] = "sub\0";
        char longest[200] = { 0 };

        ck_assert_uint_eq(suggest_best(bytes_str("statsu"), names, 4), 0);
        ck_assert_uint_eq(suggest_best(bytes_str("subcsribe"), names, 4), 1);
        ck_assert_uint_eq(suggest_best(bytes_str("subs"), names, 4), 3);
        ck_assert_uint_eq(suggest_best(bytes_str("shut"), names, 4), 2);
        ck_assert_uint_eq(suggest_best(bytes_str("sh"), names, 4), 4);
        ck_assert_uint_eq(suggest_best(bytes_str("su"), names, 4), 4);
        ck_assert_uint_eq(suggest_best(bytes_str("sxx"), names, 4), 4);
        ck_assert_uint_eq(suggest_best(bytes_str(""), names, 4), 4);
        ck_assert_uint_eq(suggest_best(bytes_of(nul, 4), names, 4), 3);
        ck_assert_uint_eq(suggest_best(bytes_str("sub"), names, 0), 0);
        memset(longest, 's', sizeof(longest) - 1);
        ck_assert_uint_eq(suggest_best(bytes_str(longest), names, 4), 4);
}
END_TEST

START_TEST(a_beginning_that_two_names_share_suggests_neither)
{
        static const char *const names[] = { "max_clients", "max_request_bytes" };

        ck_assert_uint_eq(suggest_best(bytes_str("max"), names, 2), 2);
        ck_assert_uint_eq(suggest_best(bytes_str("max_r"), names, 2), 1);
}
END_TEST

START_TEST(of_two_names_equally_near_neither_is_suggested)
{
        static const char *const names[] = { "ping", "status", "pub", "sub", "shutdown" };

        ck_assert_uint_eq(suggest_best(bytes_str("pign"), names, 5), 0);
        ck_assert_uint_eq(suggest_best(bytes_str("uub"), names, 5), 5);
        ck_assert_uint_eq(suggest_best(bytes_str("uub"), names, 3), 2);
        ck_assert_uint_eq(suggest_best(bytes_str("frobnicate"), names, 5), 5);
}
END_TEST

START_TEST(a_word_that_goes_on_after_one_name_suggests_it)
{
        static const char *const names[] = { "ping", "pub", "sub", "pin" };
        char longest[200];

        ck_assert_uint_eq(suggest_best(bytes_str("PUBLISHER"), names, 4), 1);
        ck_assert_uint_eq(suggest_best(bytes_str("pingpong"), names, 4), 4);
        ck_assert_uint_eq(suggest_best(bytes_str("pingpong"), names, 3), 0);
        memset(longest, 's', sizeof(longest));
        memcpy(longest, "sub", 3);
        ck_assert_uint_eq(suggest_best(bytes_of(longest, sizeof(longest)), names, 4), 2);
}
END_TEST

static void add(TCase *cases)
{
        tcase_add_test(cases, an_edit_is_an_insertion_deletion_replacement_or_swap_of_neighbours);
        tcase_add_test(cases, the_distance_is_what_its_definition_says);
        tcase_add_test(cases, the_nearest_name_is_suggested_and_none_that_is_too_far);
        tcase_add_test(cases, a_beginning_that_two_names_share_suggests_neither);
        tcase_add_test(cases, of_two_names_equally_near_neither_is_suggested);
        tcase_add_test(cases, a_word_that_goes_on_after_one_name_suggests_it);
}

int main(void)
{
        return suite_run("suggest", add);
}
