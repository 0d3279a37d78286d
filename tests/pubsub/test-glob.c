/* SPDX-License-Identifier: MIT */

#include "pubsub/glob.h"

#include "pubsub/reference.h"
#include "support/suite.h"
#include "util/prng.h"

/* What redis-server 7.0.15 answers to PUBSUB CHANNELS for one subscribed channel. */
static const struct {
        const char *pattern, *text;
        bool matches;
} cases[] = {
        /* the empty text */
        { "", "", true },
        { "", "a", false },
        { "*", "", false },
        { "**", "", false },
        { "a*", "", false },
        { "?", "", false },
        { "[^a]", "", false },
        /* stars and marks */
        { "*", "a", true },
        { "**", "a", true },
        { "a*", "a", true },
        { "a*", "ab", true },
        { "*a", "ba", true },
        { "*a", "ab", false },
        { "a**b", "ab", true },
        { "*a*b*", "xaybz", true },
        { "*a*b*", "xbyaz", false },
        { "a?c", "abc", true },
        { "a?c", "ac", false },
        { "?*", "a", true },
        { "*?", "a", true },
        { "?*?", "a", false },
        { "*ab", "aab", true },
        { "*aab*", "aaaab", true },
        { "news.*.x", "news.a.b.x", true },
        { "News", "news", false },
        /* escapes */
        { "\\*", "*", true },
        { "\\*", "a", false },
        { "\\a", "a", true },
        { "\\\\", "\\", true },
        { "a\\", "a\\", true },
        { "a\\", "a", false },
        { "*\\*", "a*", true },
        /* classes */
        { "[abc]", "b", true },
        { "[abc]", "d", false },
        { "[a-c]", "b", true },
        { "[c-a]", "b", true },
        { "[z-a]", "-", false },
        { "[^a]", "b", true },
        { "[^a]", "a", false },
        { "[^^]", "^", false },
        { "[a^]", "^", true },
        { "[^-z]", "-", false },
        { "[^-z]", "^", true },
        { "[-a]", "-", true },
        { "[a-c-e]", "-", true },
        { "[a-c-e]", "d", false },
        { "[--0]", ".", true },
        { "[--0]", "1", false },
        { "[[-]", "\\", true }, /* the range from '[' to ']', left open */
        { "[*]", "*", true },
        { "[*]", "a", false },
        { "x[*]*", "x*y", true },
        /* a class that ends at once */
        { "[]", "]", false },
        { "[]", "[]", false },
        { "[]a]", "a]", false },
        { "[^]", "a", true },
        { "[^]a", "xa", true },
        { "[^]a", "a", false },
        /* a range's end may be ']' or '\' */
        { "[a-]", "a", true },
        { "[a-]", "]", true },
        { "[a-]", "_", true },
        { "[a-]", "-", false },
        { "[a-]x", "x", true },
        { "[a-]x", "ax", false },
        { "[a-\\]]", "_]", true },
        { "[a-\\]]", "a", false },
        /* escapes in a class */
        { "[\\]]", "]", true },
        { "[\\]]", "\\", false },
        { "[\\a-z]", "a", true },
        { "[\\a-z]", "-", true },
        { "[\\a-z]", "m", false },
        /* classes left open */
        { "[", "[", false },
        { "[", "a", false },
        { "a[", "a", false },
        { "[^", "a", true },
        { "[^", "ab", false },
        { "[^a", "b", true },
        { "[^a", "a", false },
        { "[a-", "a", true },
        { "[a-", "-", true },
        { "[a-", "b", false },
        { "[a\\", "\\", true },
        { "[\\", "\\", true },
        { "[\\", "[", false },
        { "*[ab", "xxb", true },
        { "[ab*", "*", true },
};

#define N_CASES (sizeof(cases) / sizeof(cases[0]))

START_TEST(patterns_mean_what_they_mean_to_redis)
{
        for (size_t i = 0; i < N_CASES; i++)
                ck_assert_msg(glob_match(bytes_str(cases[i].pattern), bytes_str(cases[i].text)) ==
                                      cases[i].matches,
                              "%s against %s", cases[i].pattern, cases[i].text);
}
END_TEST

START_TEST(the_reference_means_the_same)
{
        for (size_t i = 0; i < N_CASES; i++)
                ck_assert_msg(reference_glob(bytes_str(cases[i].pattern), bytes_str(cases[i].text)) ==
                                      cases[i].matches,
                              "%s against %s", cases[i].pattern, cases[i].text);
}
END_TEST

START_TEST(bytes_of_any_value_are_matched_and_ordered_unsigned)
{
        ck_assert(glob_match(bytes_of("a\0*", 3), bytes_of("a\0b", 3)));
        ck_assert(!glob_match(bytes_of("a\0*", 3), bytes_of("a", 1)));
        ck_assert(glob_match(bytes_of("[\0-\2]", 5), bytes_of("\1", 1)));
        ck_assert(glob_match(bytes_str("\xc3[\xa4-\xbc]"), bytes_str("\xc3\xb6")));
        ck_assert(glob_match(bytes_str("[a-\xff]"), bytes_str("\x80")));
        ck_assert(!glob_match(bytes_str("[a-\xff]"), bytes_str("A")));
}
END_TEST

static struct bytes random_bytes(struct prng *prng, uint8_t *buffer, size_t max, const char *alphabet)
{
        size_t n = prng_below(prng, max + 1), n_alphabet = strlen(alphabet);

        for (size_t i = 0; i < n; i++)
                buffer[i] = (uint8_t)alphabet[prng_below(prng, n_alphabet)];
        return bytes_of(buffer, n);
}

static void check_random(struct prng *prng, size_t pattern_max, const char *pattern_bytes, size_t text_max,
                         const char *text_bytes, unsigned turns, bool inner)
{
        uint8_t *p = malloc(pattern_max + 2), *t = malloc(text_max);
        unsigned matched = 0;

        while (turns-- > 0) { /* without ck_assert() for each success, which costs more than the match */
                struct bytes pattern = random_bytes(prng, p + 1, pattern_max, pattern_bytes);
                struct bytes text = random_bytes(prng, t, text_max, text_bytes);

                if (inner) { /* a search from somewhere to somewhere */
                        p[0] = p[pattern.n + 1] = '*';
                        pattern = bytes_of(p, pattern.n + 2);
                }
                matched += glob_match(pattern, text);
                if (glob_match(pattern, text) != reference_glob(pattern, text))
                        ck_abort_msg("%.*s against %.*s", (int)pattern.n, pattern.p, (int)text.n, text.p);
                if (text.n > 0 && reference_glob(pattern, text)) {
                        struct bytes prefix = glob_literal_prefix(pattern),
                                     suffix = glob_literal_suffix(pattern);

                        ck_assert(prefix.n <= text.n && suffix.n <= text.n);
                        ck_assert(bytes_equal(prefix, bytes_of(text.p, prefix.n)));
                        ck_assert(bytes_equal(suffix, bytes_of(text.p + (text.n - suffix.n), suffix.n)));
                }
        }
        ck_assert_uint_gt(matched, 0);
        free(p);
        free(t);
}

START_TEST(random_patterns_match_what_the_reference_matches)
{
        struct prng prng = { 1 };

        check_random(&prng, 10, "ab]-^\\[*?", 6, "ab]-^\\[*", 150000, false);
        check_random(&prng, 8, "ab?*", 20, "ab", 100000, false);
        check_random(&prng, 6, "aab", 12, "ab", 20000, true);
}
END_TEST

START_TEST(long_texts_are_searched_as_short_ones_are)
{
        struct prng prng = { 2 };

        check_random(&prng, 12, "ab?[]^*", 900, "aaab", 2000, true);
        check_random(&prng, 90, "aa?", 1500, "aaaaaaaaaaaaaaaaaaaaaaaaaaab", 500, true);
        check_random(&prng, 200, "aaaaaaa????[]ab", 900, "aaaaaab", 500, true);
        check_random(&prng, 300, "?", 900, "ab", 100, true);
}
END_TEST

START_TEST(segments_around_the_word_size_are_found_at_every_place)
{
        uint8_t pattern[202], text[2048];

        for (size_t n = 60; n <= 200; n += n == 70 ? 55 : n == 130 ? 60 : 1) {
                memset(pattern, '?', sizeof(pattern));
                pattern[0] = pattern[n + 1] = '*';
                pattern[1] = pattern[n] = 'x';
                for (size_t at = 0; at + n <= sizeof(text); at += 61) {
                        memset(text, 'a', sizeof(text));
                        text[at] = 'x';
                        ck_assert(!glob_match(bytes_of(pattern, n + 2), bytes_of(text, sizeof(text))));
                        text[at + n - 1] = 'x';
                        ck_assert(glob_match(bytes_of(pattern, n + 2), bytes_of(text, sizeof(text))));
                        ck_assert(!glob_match(bytes_of(pattern, n + 2), bytes_of(text, at + n - 1)));
                }
        }
}
END_TEST

static void check_edges(const char *pattern, const char *prefix, const char *suffix)
{
        ck_assert_msg(bytes_equal(glob_literal_prefix(bytes_str(pattern)), bytes_str(prefix)), "%s", pattern);
        ck_assert_msg(bytes_equal(glob_literal_suffix(bytes_str(pattern)), bytes_str(suffix)), "%s", pattern);
}

START_TEST(literal_edges_stop_at_what_is_not_literal)
{
        check_edges("", "", "");
        check_edges("news", "news", "news");
        check_edges("news.*", "news.", "");
        check_edges("*.log", "", ".log");
        check_edges("a.*.b", "a.", ".b");
        check_edges("a?b", "a", "b");
        check_edges("a\\bc", "a", "c");
        check_edges("ab\\", "ab", "");
        check_edges("a[bc]d", "a", "d");
        check_edges("a[bcd", "a", "");
        check_edges("a[b-]d", "a", ""); /* the range takes the ']' */
        check_edges("[]ab]", "", "ab]");
        check_edges("*[*", "", "");
}
END_TEST

static void add(TCase *tests)
{
        tcase_add_test(tests, patterns_mean_what_they_mean_to_redis);
        tcase_add_test(tests, the_reference_means_the_same);
        tcase_add_test(tests, bytes_of_any_value_are_matched_and_ordered_unsigned);
        tcase_add_test(tests, random_patterns_match_what_the_reference_matches);
        tcase_add_test(tests, long_texts_are_searched_as_short_ones_are);
        tcase_add_test(tests, segments_around_the_word_size_are_found_at_every_place);
        tcase_add_test(tests, literal_edges_stop_at_what_is_not_literal);
}

int main(void)
{
        return suite_run("glob", add);
}
