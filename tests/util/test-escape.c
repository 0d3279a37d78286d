/* SPDX-License-Identifier: MIT */
/* Nothing that somebody else chose ends a line of the log, hides in it, or looks like something else. */

#include "util/escape.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "support/suite.h"

static struct buffer b;

static const char *escaped(struct bytes text, size_t max)
{
        buffer_consume(&b, buffer_size(&b));
        escape_put(&b, text, max);
        buffer_put(&b, "", 1);
        return (const char *)buffer_view(&b).p;
}

START_TEST(what_is_plain_stays_as_it_is)
{
        ck_assert_str_eq(escaped((struct bytes){ 0 }, 100), "\"\"");
        ck_assert_str_eq(escaped(BYTES_LITERAL("news.sport 1"), 100), "\"news.sport 1\"");
        ck_assert_str_eq(escaped(BYTES_LITERAL("%s%n"), 100), "\"%s%n\"");
}
END_TEST

START_TEST(what_is_not_is_escaped)
{
        ck_assert_str_eq(escaped(BYTES_LITERAL("a\nb\r\tc"), 100), "\"a\\x0ab\\x0d\\x09c\"");
        ck_assert_str_eq(escaped(BYTES_LITERAL("\033[2J\033]0;x\007"), 100), "\"\\x1b[2J\\x1b]0;x\\x07\"");
        ck_assert_str_eq(escaped(BYTES_LITERAL("nul\0nul"), 100), "\"nul\\x00nul\"");
        ck_assert_str_eq(escaped(BYTES_LITERAL("\x7f\x9b\xff"), 100), "\"\\x7f\\x9b\\xff\"");
        ck_assert_str_eq(escaped(BYTES_LITERAL("\xc3\xa4\xe2\x80\xae"), 100), "\"\\xc3\\xa4\\xe2\\x80\\xae\"");
        ck_assert_str_eq(escaped(BYTES_LITERAL("say \"hi\" \\ x0a"), 100), "\"say \\\"hi\\\" \\\\ x0a\"");
}
END_TEST

START_TEST(every_byte_is_told_from_every_other)
{
        char seen[256][16];

        for (int i = 0; i < 256; i++) {
                uint8_t byte = (uint8_t)i;

                strcpy(seen[i], escaped(bytes_of(&byte, 1), 100));
                for (const char *p = seen[i]; *p; p++)
                        ck_assert(*p >= ' ' && *p <= '~');
                for (int k = 0; k < i; k++)
                        ck_assert_str_ne(seen[k], seen[i]);
        }
}
END_TEST

START_TEST(what_is_long_is_cut_and_says_so)
{
        static uint8_t large[65536];

        ck_assert_str_eq(escaped(BYTES_LITERAL("abcde"), 5), "\"abcde\"");
        ck_assert_str_eq(escaped(BYTES_LITERAL("abcdef"), 5), "\"abcde\"...");
        ck_assert_str_eq(escaped(bytes_of(large, sizeof(large)), 2), "\"\\x00\\x00\"...");
        ck_assert_uint_eq(strlen(escaped(bytes_of(large, sizeof(large)), 100)), 4 * 100 + strlen("\"\"..."));
        buffer_deinit(&b);
}
END_TEST

static void add(TCase *cases)
{
        tcase_add_test(cases, what_is_plain_stays_as_it_is);
        tcase_add_test(cases, what_is_not_is_escaped);
        tcase_add_test(cases, every_byte_is_told_from_every_other);
        tcase_add_test(cases, what_is_long_is_cut_and_says_so);
}

int main(void)
{
        return suite_run("escape", add);
}
