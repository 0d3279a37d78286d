/* SPDX-License-Identifier: MIT */

#include "pubsub/patterns.h"

#include <stdio.h>

#include "pubsub/reference.h"
#include "support/suite.h"
#include "util/prng.h"

static const struct hash_key key = { 3, 4 };

/* A pattern with its text and how often the last look-up found it. */
struct entry {
        struct pattern pattern;
        unsigned n_found;
        bool in;
        char text[112];
};

static void found(struct pattern *pattern, void *context)
{
        struct entry *entry = container_of(pattern, struct entry, pattern);

        (void)context;
        ck_assert(entry->in);
        entry->n_found++;
}

static void entry_add(struct patterns *patterns, struct entry *entry)
{
        patterns_add(patterns, &entry->pattern, bytes_str(entry->text));
        entry->in = true;
}

static void entry_remove(struct patterns *patterns, struct entry *entry)
{
        patterns_remove(patterns, &entry->pattern);
        entry->in = false;
}

/* The look-up finds just what matches. Return: how many it tried. */
static size_t check_match(const struct patterns *patterns, struct entry *entries, size_t n, struct bytes text)
{
        size_t tried;

        for (size_t i = 0; i < n; i++)
                entries[i].n_found = 0;
        tried = patterns_match(patterns, text, found, NULL);
        for (size_t i = 0; i < n; i++) /* without ck_assert() for each success, which is slow */
                if (entries[i].n_found != (entries[i].in && reference_glob(bytes_str(entries[i].text), text)))
                        ck_abort_msg("%s", entries[i].text);
        return tried;
}

static void check_empty(struct patterns *patterns)
{
        ck_assert_uint_eq(patterns->n, 0);
        ck_assert(list_empty(&patterns->scanned));
        for (unsigned e = 0; e < _PATTERN_EDGE_N; e++) {
                ck_assert_uint_eq(patterns->buckets[e].n, 0);
                for (unsigned i = 0; i < PATTERN_LENGTHS; i++)
                        ck_assert_uint_eq(patterns->n_buckets[e][i], 0);
        }
        patterns_deinit(patterns);
}

/* Adds n patterns printed from a format, looks a text up, and removes them. Return: how many were tried. */
static size_t tried_of(size_t n, const char *format, const char *text, bool check)
{
        struct entry *entries = calloc(n, sizeof(*entries));
        struct patterns patterns;
        size_t tried;

        patterns_init(&patterns, &key);
        for (size_t i = 0; i < n; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
                snprintf(entries[i].text, sizeof(entries[i].text), format, (int)i);
#pragma GCC diagnostic pop
                entry_add(&patterns, &entries[i]);
        }
        tried = check ? check_match(&patterns, entries, n, bytes_str(text))
                      : patterns_match(&patterns, bytes_str(text), found, NULL);
        for (size_t i = 0; i < n; i++)
                entry_remove(&patterns, &entries[i]);
        check_empty(&patterns);
        free(entries);
        return tried;
}

START_TEST(ten_thousand_patterns_that_do_not_match_are_not_tried)
{
        ck_assert_uint_eq(tried_of(10000, "user:%d:*", "news.sport.football", false), 0);
        ck_assert_uint_eq(tried_of(10000, "*:%d", "news.sport.football", false), 0);
        ck_assert_uint_eq(tried_of(10000, "[un]ews.%d.x", "news.sport.football", false), 0);
        ck_assert_uint_eq(tried_of(10000, "room%d", "room7", true), 1);
        ck_assert_uint_eq(tried_of(10000, "user:%05d:*", "user:00077:x", true), 1);
}
END_TEST

START_TEST(a_crowded_prefix_leaves_the_others_to_their_suffixes)
{
        ck_assert_uint_le(tried_of(10000, "news.*.%d", "news.sport.no", false), 4);
        ck_assert_uint_le(tried_of(10000, "news.*.%05d", "news.sport.07777", true), 5);
}
END_TEST

START_TEST(patterns_without_an_edge_are_always_tried)
{
        ck_assert_uint_eq(tried_of(100, "*%d*", "x77y", true), 100);
        ck_assert_uint_eq(tried_of(100, "[ab]%d*", "a7", true), 100);
        ck_assert_uint_eq(tried_of(1, "", "a", true), 1);
        ck_assert_uint_eq(tried_of(1, "", "", true), 1);
        ck_assert_uint_eq(tried_of(3, "*", "", true), 3);
}
END_TEST

START_TEST(edges_of_every_length_are_found)
{
        static struct entry entries[4 * 101];
        struct patterns patterns;
        char text[104];

        patterns_init(&patterns, &key);
        memset(text, 'x', sizeof(text));
        for (size_t n = 0; n <= 100; n++) {
                struct entry *e = entries + 4 * n;

                memset(e[0].text, 'x', n);
                strcpy(e[0].text + n, "*");
                strcpy(e[1].text, "*");
                memset(e[1].text + 1, 'x', n);
                memset(e[2].text, 'x', n);
                strcpy(e[3].text, "?");
                memset(e[3].text + 1, 'x', n);
                strcpy(e[3].text + 1 + n, "?");
                for (unsigned i = 0; i < 4; i++)
                        entry_add(&patterns, &e[i]);
        }
        for (size_t n = 0; n <= sizeof(text); n++)
                check_match(&patterns, entries, 4 * 101, bytes_of(text, n));
        for (size_t i = 0; i < 4 * 101; i++)
                entry_remove(&patterns, &entries[i]);
        check_empty(&patterns);
}
END_TEST

static void random_text(struct prng *prng, char *text, size_t max, const char *alphabet)
{
        size_t n = prng_below(prng, max + 1), n_alphabet = strlen(alphabet);

        if (prng_below(prng, 16) == 0)
                n = n * 6;
        for (size_t i = 0; i < n; i++)
                text[i] = alphabet[prng_below(prng, n_alphabet)];
        text[n] = '\0';
}

START_TEST(random_sets_give_what_trying_all_gives)
{
        static struct entry entries[60];
        struct prng prng = { 7 };
        struct patterns patterns;
        size_t tried = 0, all = 0;
        char text[112];

        patterns_init(&patterns, &key);
        for (unsigned turn = 0; turn < 4000; turn++) {
                struct entry *entry = &entries[prng_below(&prng, 60)];

                if (entry->in) {
                        entry_remove(&patterns, entry);
                } else {
                        random_text(&prng, entry->text, 9, "aaabbbc*?[\\]");
                        entry_add(&patterns, entry);
                }
                random_text(&prng, text, 9, "aaabbbc");
                tried += check_match(&patterns, entries, 60, bytes_str(text));
                all += patterns.n;
        }
        ck_assert_uint_lt(tried, all / 2);
        for (unsigned i = 0; i < 60; i++)
                if (entries[i].in)
                        entry_remove(&patterns, &entries[i]);
        check_empty(&patterns);
}
END_TEST

static void add(TCase *tests)
{
        tcase_add_test(tests, ten_thousand_patterns_that_do_not_match_are_not_tried);
        tcase_add_test(tests, a_crowded_prefix_leaves_the_others_to_their_suffixes);
        tcase_add_test(tests, patterns_without_an_edge_are_always_tried);
        tcase_add_test(tests, edges_of_every_length_are_found);
        tcase_add_test(tests, random_sets_give_what_trying_all_gives);
}

int main(void)
{
        return suite_run("patterns", add);
}
