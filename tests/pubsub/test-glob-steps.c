/* SPDX-License-Identifier: MIT */

/* The bounds of the matcher, by its own count of the bytes it looks at: built from its source with the counter.
 */

#include <stdint.h>

static uint64_t steps;

#define GLOB_STEPS(_n) (steps += (uint64_t)(_n))
#include "pubsub/glob.c"

#include "support/suite.h"
#include "util/prng.h"

#define TEXT_SIZE (1u << 20)
#define LINEAR    4 /* steps per byte of pattern and text */

/* A pattern put together from pieces. */
struct built {
        uint8_t bytes[200000];
        size_t n;
};

static void put(struct built *b, size_t times, const char *piece)
{
        for (; times > 0; times--, b->n += strlen(piece)) {
                ck_assert_uint_le(b->n + strlen(piece), sizeof(b->bytes));
                memcpy(b->bytes + b->n, piece, strlen(piece));
        }
}

static struct built *begin(void)
{
        return calloc(1, sizeof(struct built));
}

static uint8_t *text_of(uint8_t c)
{
        return memset(malloc(TEXT_SIZE), c, TEXT_SIZE);
}

/* Matches against a text of 1 MiB of one byte. multiple: how often the text may count. */
static void check(struct built *b, uint8_t c, bool matches, uint64_t multiple, uint64_t extra)
{
        uint8_t *text = text_of(c);

        steps = 0;
        ck_assert_int_eq(glob_match(bytes_of(b->bytes, b->n), bytes_of(text, TEXT_SIZE)), matches);
        ck_assert_msg(steps <= LINEAR * b->n + multiple * TEXT_SIZE + extra, "%llu steps",
                      (unsigned long long)steps);
        free(text);
        free(b);
}

/* Known failure 35. */
START_TEST(many_stars_do_not_multiply)
{
        struct built *b = begin();

        put(b, 64, "a*");
        check(b, 'a', true, 1, 0);
        b = begin();
        put(b, 64, "a*");
        put(b, 1, "b");
        check(b, 'a', false, 1, 0);
        b = begin();
        put(b, 64, "a*");
        put(b, 1, "b*");
        check(b, 'a', false, 1, 0);
        b = begin();
        put(b, 1000, "*a?");
        put(b, 1, "*b*");
        check(b, 'a', false, 1, 1000 * 257);
}
END_TEST

/* Known failure 35. */
START_TEST(a_class_of_any_length_is_read_once_not_at_every_place)
{
        struct built *b = begin();

        put(b, 1, "*[");
        put(b, 40000, "z");
        put(b, 1, "]");
        check(b, 'y', false, 1, 0);
        b = begin();
        put(b, 1, "*[");
        put(b, 40000, "z");
        put(b, 1, "]*");
        check(b, 'y', false, 1, 256);
        b = begin();
        put(b, 1, "*");
        for (int i = 0; i < 64; i++) {
                put(b, 1, "[");
                put(b, 1000, "z-z");
                put(b, 1, i < 63 ? "y]" : "]");
        }
        put(b, 1, "*");
        ck_assert_uint_gt(b->n, 190000);
        check(b, 'y', false, 1, 64 * 256);
}
END_TEST

START_TEST(up_to_64_tokens_cost_the_text_once)
{
        struct built *b = begin();

        put(b, 1, "*?");
        put(b, 62, "a");
        put(b, 1, "b*");
        check(b, 'a', false, 1, 256);
        b = begin();
        put(b, 1, "*");
        put(b, 63, "?");
        put(b, 1, "[");
        put(b, 40000, "z");
        put(b, 1, "]*");
        check(b, 'y', false, 1, 64 * 256);
}
END_TEST

START_TEST(more_tokens_cost_the_text_once_for_each_64)
{
        struct built *b = begin();

        put(b, 1, "*");
        put(b, 64, "?");
        put(b, 1, "[");
        put(b, 40000, "z");
        put(b, 1, "]*");
        check(b, 'y', false, 2, 65 * 256);
        b = begin();
        put(b, 1, "*?");
        put(b, 1000, "a");
        put(b, 1, "b*");
        check(b, 'a', false, 16, 256);
}
END_TEST

/* memmem() is taken at its word: linear. */
START_TEST(long_literals_cost_the_text_once)
{
        struct built *b = begin();

        put(b, 1, "*");
        put(b, 5000, "a");
        put(b, 1, "b*");
        check(b, 'a', false, 1, 0);
}
END_TEST

START_TEST(random_patterns_stay_within_the_bound)
{
        static const char alphabet[] = "aaaab??[[]]^-\\**";
        struct prng prng = { 35 };
        uint8_t p[200], t[3000];

        for (unsigned turn = 0; turn < 20000; turn++) {
                size_t n = prng_below(&prng, sizeof(p) + 1), n_text = prng_below(&prng, sizeof(t) + 1);
                uint64_t segments = 1;

                for (size_t i = 0; i < n; i++) {
                        p[i] = (uint8_t)alphabet[prng_below(&prng, sizeof(alphabet) - 1)];
                        segments += p[i] == '*';
                }
                memset(t, 'a', n_text);
                if (n_text > 0)
                        t[prng_below(&prng, n_text)] = 'b';
                steps = 0;
                glob_match(bytes_of(p, n), bytes_of(t, n_text));
                ck_assert_uint_le(steps, (LINEAR + 256) * n + (1 + n / 64) * n_text + 4 * TRY_MAX * segments);
        }
}
END_TEST

static void add(TCase *tests)
{
        tcase_add_test(tests, many_stars_do_not_multiply);
        tcase_add_test(tests, a_class_of_any_length_is_read_once_not_at_every_place);
        tcase_add_test(tests, up_to_64_tokens_cost_the_text_once);
        tcase_add_test(tests, more_tokens_cost_the_text_once_for_each_64);
        tcase_add_test(tests, long_literals_cost_the_text_once);
        tcase_add_test(tests, random_patterns_stay_within_the_bound);
}

int main(void)
{
        return suite_run("glob-steps", add);
}
