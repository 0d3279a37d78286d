/* SPDX-License-Identifier: MIT */

#include "pubsub/contain.h"

#include <stdio.h>
#include <stdlib.h>

#include "pubsub/glob.h"
#include "support/suite.h"
#include "util/prng.h"

#define OTHERS_MAX 4

/* others are separated by blanks; the empty string is no other. */
static enum contain ask(const char *pattern, const char *others, size_t *whichp)
{
        struct bytes list[OTHERS_MAX];
        size_t n = 0, steps = CONTAIN_STEPS, size;

        for (const char *p = others; *p; p += size + (p[size] == ' ')) {
                size = strcspn(p, " ");
                list[n++] = bytes_of(p, size);
        }
        return contain_check(bytes_str(pattern), list, n, &steps, whichp);
}

static const struct {
        const char *pattern, *others;
        enum contain result;
} cases[] = {
        /* literals: what they match is asked, not how they are written */
        { "news", "news", CONTAIN_YES },
        { "news", "new", CONTAIN_NO },
        { "news", "new?", CONTAIN_YES },
        { "news", "x *", CONTAIN_YES },
        { "news", "", CONTAIN_NO },
        { "a\\*b", "a*b", CONTAIN_YES },
        { "a*b", "a\\*b", CONTAIN_NO },
        /* the empty text is matched by the empty pattern only */
        { "", "*", CONTAIN_NO },
        { "", "a* ?", CONTAIN_NO },
        { "*", "?*", CONTAIN_YES },
        { "*", "*?", CONTAIN_YES },
        { "**", "*", CONTAIN_YES },
        { "*", "**", CONTAIN_YES },
        { "?*", "* x", CONTAIN_YES },
        { "*", "?", CONTAIN_NO },
        { "*", "? ??*", CONTAIN_YES },
        { "*", "? ???*", CONTAIN_NO },
        /* prefixes; a dot is a byte like any */
        { "a.*", "a*", CONTAIN_YES },
        { "a*", "a.*", CONTAIN_NO },
        { "a.b.*", "a.*", CONTAIN_YES },
        { "a.*.b", "a.*", CONTAIN_YES },
        { "a.*", "a.?", CONTAIN_NO },
        { "[a].*", "a.*", CONTAIN_YES },
        { "\\a.*", "a.*", CONTAIN_YES },
        { "[ab].*", "a.*", CONTAIN_NO },
        { "[ab].*", "a.* b.*", CONTAIN_YES },
        { "[a-c].*", "a.* b.*", CONTAIN_NO },
        { "*", "a.*", CONTAIN_NO },
        { "*.log", "*.lo[fg]", CONTAIN_YES },
        { "A.*", "a.*", CONTAIN_NO },
        /* classes */
        { "?", "[^a] a", CONTAIN_YES },
        { "?", "[^a] b", CONTAIN_NO },
        { "?", "[^]", CONTAIN_YES },
        { "?", "[a-m] [^a-m]", CONTAIN_YES },
        { "[a-z]", "[a-m] [n-z]", CONTAIN_YES },
        { "[z-a]", "[a-m] [n-z]", CONTAIN_YES },
        { "[a-z]", "[a-m] [o-z]", CONTAIN_NO },
        { "[ab", "[ab]", CONTAIN_YES },
        { "a\\", "a\\\\", CONTAIN_YES },
        { "[]", "x", CONTAIN_YES }, /* it matches nothing */
        { "[]", "", CONTAIN_NO },
        { "a[]*", "b", CONTAIN_YES },
        { "*", "a[]* *", CONTAIN_YES },
        { "a?", "a[] a[^]", CONTAIN_YES },
        { "a", "a[]", CONTAIN_NO },
        /* several stars, and unions that no single pattern covers */
        { "a*b*c", "a*c", CONTAIN_YES },
        { "a*c", "a*b*c", CONTAIN_NO },
        { "*a*", "a* *a [^a]*a*", CONTAIN_YES },
        { "*a*b*", "*b* x", CONTAIN_YES },
        { "*a*b*", "*ab* *a?b*", CONTAIN_NO },
        { "*a*b*", "*ab* *a?*b*", CONTAIN_YES },
        { "a*", "a a?*", CONTAIN_YES },
        { "a*", "a[b-z]* a[^b-z]* a", CONTAIN_YES },
        { "a*", "a[b-z]* a[^b-z]*", CONTAIN_NO },
        { "*ab*", "*a*b*", CONTAIN_YES },
        { "*a*b*", "*ab*", CONTAIN_NO },
};

START_TEST(what_lies_within_what)
{
        for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
                ck_assert_msg(ask(cases[i].pattern, cases[i].others, NULL) == cases[i].result,
                              "\"%s\" within \"%s\": not %d", cases[i].pattern, cases[i].others,
                              cases[i].result);
}
END_TEST

START_TEST(one_that_suffices_is_named)
{
        size_t which;

        ck_assert_int_eq(ask("b.x*", "a.* b.* c.*", &which), CONTAIN_YES);
        ck_assert_uint_eq(which, 1);
        ck_assert_int_eq(ask("b", "a ? c", &which), CONTAIN_YES);
        ck_assert_uint_eq(which, 1);
        ck_assert_int_eq(ask("*b?c*", "*q*b* *b*c* *c*b*", &which), CONTAIN_YES);
        ck_assert_uint_eq(which, 1);
        ck_assert_int_eq(ask("*b?c*", "*q*b* *b*c*", &which), CONTAIN_YES);
        ck_assert_uint_eq(which, 1);
        ck_assert_int_eq(ask("?", "[^a] x a", &which), CONTAIN_YES);
        ck_assert_uint_eq(which, 3);
}
END_TEST

START_TEST(bytes_of_any_value_count)
{
        static const uint8_t all[] = { '[', 0, '-', 255, ']' }, upper[] = { '[', 128, '-', 255, ']' },
                             lower[] = { '[', 0, '-', 127, ']' }, less[] = { '[', 1, '-', 127, ']' };
        struct bytes halves[] = { bytes_of(lower, 5), bytes_of(upper, 5) },
                     holes[] = { bytes_of(less, 5), bytes_of(upper, 5) };
        size_t steps = CONTAIN_STEPS;

        ck_assert_int_eq(contain_check(BYTES_LITERAL("?"), &(struct bytes){ all, 5 }, 1, &steps, NULL),
                         CONTAIN_YES);
        ck_assert_int_eq(contain_check(BYTES_LITERAL("?"), halves, 2, &steps, NULL), CONTAIN_YES);
        ck_assert_int_eq(contain_check(BYTES_LITERAL("?"), holes, 2, &steps, NULL), CONTAIN_NO);
}
END_TEST

/* Its places do not fit into one word. */
START_TEST(long_patterns_are_patterns)
{
        char pattern[256], other[256];
        size_t steps;

        for (unsigned n = 60; n < 140; n++) {
                struct bytes others[] = { BYTES_LITERAL("*x*y"), { (const uint8_t *)other, n + 9 } };

                memset(pattern, '?', n);
                memset(other, '?', n);
                strcpy(pattern + n, "a*b");
                strcpy(other + n, "[ab]*[bc]");
                steps = CONTAIN_STEPS;
                ck_assert_int_eq(contain_check(bytes_str(pattern), others, 2, &steps, NULL), CONTAIN_YES);
                steps = CONTAIN_STEPS;
                ck_assert_int_eq(contain_check(others[1], &(struct bytes){ (const uint8_t *)pattern, n + 3 }, 1,
                                               &steps, NULL),
                                 CONTAIN_NO);
        }
}
END_TEST

/* -------------------------------------------------------------------------------------------- brute force */

/* None has a byte of its own but a, b and c. What is not closed may come last only, or it would take others in.
 */
static const char *const pieces[] = { "a", "b",  "c",   "*",    "*",   "*",     "?",     "[ab]",
                                      "?", "[]", "[^]", "[^a]", "\\a", "[b-c]", "[c-a]", "[^b-c]" };
static const char *const last_pieces[] = { "", "", "", "", "[ac", "[^b" };

/* A pattern of at most five pieces. */
static struct bytes random_pattern(struct prng *prng, char text[64])
{
        unsigned n = (unsigned)prng_below(prng, 5);

        *text = 0;
        for (unsigned i = 0; i < n; i++)
                strcat(text, pieces[prng_below(prng, sizeof(pieces) / sizeof(*pieces))]);
        strcat(text, last_pieces[prng_below(prng, sizeof(last_pieces) / sizeof(*last_pieces))]);
        return bytes_str(text);
}

/* The pattern that the others are about, varied in one place: unions of such often contain it. */
static struct bytes random_variant(struct prng *prng, const char *pattern, char text[64])
{
        static const char *const of_star[] = { "", "?", "?*", "*a", "[^a]*", "a*", "[ab]*", "[^ab]*" };
        static const char *const of_mark[] = { "a", "[^a]", "[ab]", "[^ab]", "[b-c]", "[^b-c]" };
        const char *at = strpbrk(pattern, "*?");

        if (!at || prng_below(prng, 4) == 0)
                return random_pattern(prng, text);
        snprintf(text, 64, "%.*s%s%s", (int)(at - pattern), pattern,
                 *at == '*' ? of_star[prng_below(prng, sizeof(of_star) / sizeof(*of_star))]
                            : of_mark[prng_below(prng, sizeof(of_mark) / sizeof(*of_mark))],
                 at + 1);
        return bytes_str(text);
}

static bool any_matches(const struct bytes *others, size_t n, struct bytes text)
{
        for (size_t i = 0; i < n; i++)
                if (glob_match(others[i], text))
                        return true;
        return false;
}

/* Looks for a text of up to `size` bytes of a, b, c and one more that only the pattern matches. */
static bool find_witness(struct bytes pattern, const struct bytes *others, size_t n, size_t size)
{
        uint8_t text[16];

        for (size_t length = 0; length <= size; length++)
                for (unsigned number = 0; number < 1u << 2 * length; number++) {
                        for (size_t i = 0; i < length; i++)
                                text[i] = (uint8_t) "abcx"[number >> 2 * i & 3];
                        if (glob_match(pattern, bytes_of(text, length)) &&
                            !any_matches(others, n, bytes_of(text, length)))
                                return true;
                }
        return false;
}

START_TEST(random_patterns_contain_what_they_contain_by_trying)
{
        struct prng prng = { 1 };
        unsigned yes = 0, unions = 0;
        char text[1 + OTHERS_MAX][64];
        struct bytes pattern, others[OTHERS_MAX];

        for (unsigned round = 0; round < 6000; round++) {
                size_t n = prng_below(&prng, OTHERS_MAX + 1), steps = CONTAIN_STEPS, which = 0;
                enum contain result;
                bool witness;

                pattern = random_pattern(&prng, text[0]);
                for (size_t i = 0; i < n; i++)
                        others[i] = random_variant(&prng, text[0], text[1 + i]);
                result = contain_check(pattern, others, n, &steps, &which);
                witness = n == 0 || find_witness(pattern, others, n, result == CONTAIN_NO ? 8 : 6);
                ck_assert_msg(result == (witness ? CONTAIN_NO : CONTAIN_YES),
                              "round %u: \"%s\" within %zu: \"%s\" \"%s\" \"%s\" \"%s\": %d", round, text[0], n,
                              n > 0 ? text[1] : "", n > 1 ? text[2] : "", n > 2 ? text[3] : "",
                              n > 3 ? text[4] : "", result);
                yes += result == CONTAIN_YES;
                unions += result == CONTAIN_YES && which == n;
                if (result == CONTAIN_YES && which < n)
                        ck_assert(!find_witness(pattern, &others[which], 1, 5));
        }
        ck_assert_uint_gt(yes, 1000);
        ck_assert_uint_gt(unions, 20);
}
END_TEST

/* A random text that the pattern matches, as far as its tokens allow one. */
static size_t random_text(struct prng *prng, struct bytes pattern, uint8_t *text)
{
        size_t n = 0, i = 0;

        while (i < pattern.n) {
                struct glob_set set;
                uint8_t c = (uint8_t)prng_below(prng, 256);

                i += glob_token(bytes_of(pattern.p + i, pattern.n - i), &set);
                if (pattern.p[i - 1] == '*' && !set.words[0] && !set.words[1] && !set.words[2] &&
                    !set.words[3]) {
                        for (uint64_t k = prng_below(prng, 4); k > 0; k--)
                                text[n++] = (uint8_t) "abcx"[prng_below(prng, 4)];
                        continue;
                }
                for (unsigned tries = 0; tries < 256 && !glob_set_has(&set, c); tries++)
                        c++;
                text[n++] = c;
        }
        return n;
}

START_TEST(what_contains_a_pattern_matches_its_texts)
{
        struct prng prng = { 2 };
        char text[1 + OTHERS_MAX][64];
        struct bytes pattern, others[OTHERS_MAX];
        uint8_t channel[64];
        unsigned n_tried = 0;

        for (unsigned round = 0; round < 20000; round++) {
                size_t n = 1 + prng_below(&prng, OTHERS_MAX), steps = CONTAIN_STEPS;

                pattern = random_pattern(&prng, text[0]);
                for (size_t i = 0; i < n; i++)
                        others[i] = random_variant(&prng, text[0], text[1 + i]);
                if (contain_check(pattern, others, n, &steps, NULL) != CONTAIN_YES)
                        continue;
                for (unsigned i = 0; i < 50; i++) {
                        struct bytes one = bytes_of(channel, random_text(&prng, pattern, channel));

                        if (!glob_match(pattern, one))
                                continue;
                        n_tried++;
                        ck_assert_msg(any_matches(others, n, one), "\"%s\"", text[0]);
                }
        }
        ck_assert_uint_gt(n_tried, 10000);
}
END_TEST

/* -------------------------------------------------------------------------------------------- bounds */

/* Repeats a piece. Return: allocated. */
static char *repeat(const char *before, const char *piece, size_t n, const char *behind)
{
        char *text = malloc(strlen(before) + n * strlen(piece) + strlen(behind) + 1), *p = text;

        p = stpcpy(p, before);
        while (n-- > 0)
                p = stpcpy(p, piece);
        strcpy(p, behind);
        return text;
}

static const struct {
        const char *before, *piece;
        size_t n;
        const char *behind;
        const char *pattern;
        enum contain result;
} nasty[] = {
        /* 2^40 sets of places, each of them different */
        { "*a", "?", 40, "", "*[ab]*[ab]", CONTAIN_NO },
        { "*a", "?", 40, "", "*a*b*c*d*e*f*[gh]*????????????????????????????????????????????a?",
          CONTAIN_UNKNOWN },
        { "*a", "[^z]", 60, "*b*", "*[ab]*[ab]*[ab]*a*b*a*b*a*b*a*b*a*b*[ab]", CONTAIN_UNKNOWN },
        { "", "*a", 5000, "", "*b*b*b*", CONTAIN_NO },
        { "", "*a", 20000, "", "*b*b*b*", CONTAIN_UNKNOWN },
        { "", "[^a]", 200000, "*", "b*b*c*", CONTAIN_UNKNOWN },
};

START_TEST(the_work_is_bounded)
{
        for (size_t i = 0; i < sizeof(nasty) / sizeof(*nasty); i++) {
                char *other = repeat(nasty[i].before, nasty[i].piece, nasty[i].n, nasty[i].behind);
                struct bytes others[] = { bytes_str(other), BYTES_LITERAL("*q*w*") };
                struct bytes pattern = bytes_str(nasty[i].pattern);
                size_t steps = CONTAIN_STEPS;
                enum contain result;

                result = contain_check(pattern, others, 2, &steps, NULL);
                ck_assert_msg(result == nasty[i].result, "case %zu: %d, %zu steps left", i, result, steps);
                ck_assert_uint_lt(steps, CONTAIN_STEPS);
                ck_assert(result != CONTAIN_UNKNOWN || steps < CONTAIN_STEPS / 2);
                /* the other way round it ends as well */
                steps = CONTAIN_STEPS;
                contain_check(others[0], &pattern, 1, &steps, NULL);
                ck_assert_uint_le(steps, CONTAIN_STEPS);
                free(other);
        }
}
END_TEST

START_TEST(without_steps_plain_answers_are_left)
{
        struct bytes others[] = { BYTES_LITERAL("*x*"), BYTES_LITERAL("a.*"), BYTES_LITERAL("b?") };
        size_t steps = 0;

        ck_assert_int_eq(contain_check(BYTES_LITERAL("a.*b"), others, 3, &steps, NULL), CONTAIN_YES);
        ck_assert_int_eq(contain_check(BYTES_LITERAL("bc"), others, 3, &steps, NULL), CONTAIN_YES);
        ck_assert_int_eq(contain_check(BYTES_LITERAL("c"), others, 3, &steps, NULL), CONTAIN_NO);
        ck_assert_int_eq(contain_check(BYTES_LITERAL("b[cd]"), others, 3, &steps, NULL), CONTAIN_UNKNOWN);
        ck_assert_int_eq(contain_check(BYTES_LITERAL("b[cd]"), others, 0, &steps, NULL), CONTAIN_NO);
}
END_TEST

static void add(TCase *tests)
{
        tcase_add_test(tests, what_lies_within_what);
        tcase_add_test(tests, one_that_suffices_is_named);
        tcase_add_test(tests, bytes_of_any_value_count);
        tcase_add_test(tests, long_patterns_are_patterns);
        tcase_add_test(tests, random_patterns_contain_what_they_contain_by_trying);
        tcase_add_test(tests, what_contains_a_pattern_matches_its_texts);
        tcase_add_test(tests, the_work_is_bounded);
        tcase_add_test(tests, without_steps_plain_answers_are_left);
}

int main(void)
{
        return suite_run("contain", add);
}
