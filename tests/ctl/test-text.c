/* SPDX-License-Identifier: MIT */

#include "ctl/text.h"

#include "support/suite.h"

static void expect_escape(struct bytes b, const char *expected)
{
        char *text;
        size_t n;
        FILE *out = open_memstream(&text, &n);

        text_escape(out, b);
        fclose(out);
        ck_assert_str_eq(text, expected);
        free(text);
}

#define ESCAPES(_bytes, _expected) expect_escape(BYTES_LITERAL(_bytes), _expected)

START_TEST(escape_keeps_text_and_hides_control)
{
        ESCAPES("", "");
        ESCAPES("plain ~ text", "plain ~ text");
        ESCAPES("a\tb\nc\rd\\", "a\\tb\\nc\\rd\\\\");
        ESCAPES("\0\x1b\x7f", "\\x00\\x1b\\x7f");
}
END_TEST

START_TEST(escape_keeps_utf8_of_printable_characters_only)
{
        ESCAPES("\xc2\xa0\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf",
                "\xc2\xa0\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf");
        ESCAPES("\xc2\x80\xc2\x9f", "\\xc2\\x80\\xc2\\x9f"); /* control characters in UTF-8 */
}
END_TEST

START_TEST(escape_hides_what_is_no_utf8)
{
        ESCAPES("\x80", "\\x80");
        ESCAPES("\xff", "\\xff");
        ESCAPES("\xc0\xaf", "\\xc0\\xaf");                   /* overlong */
        ESCAPES("\xe0\x82\xa0", "\\xe0\\x82\\xa0");          /* overlong */
        ESCAPES("\xf0\x80\x82\xa0", "\\xf0\\x80\\x82\\xa0"); /* overlong */
        ESCAPES("\xed\xa0\x80", "\\xed\\xa0\\x80");          /* surrogate */
        ESCAPES("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"); /* above U+10FFFF */
        ESCAPES("\xe2\x82", "\\xe2\\x82");                   /* cut short */
        ESCAPES("\xe2\x82x\xc3\xa9", "\\xe2\\x82x\xc3\xa9"); /* goes on after it */
}
END_TEST

START_TEST(escape_reads_no_byte_beyond_the_end)
{
        for (unsigned c = 0xc2; c <= 0xf4; c++) {
                uint8_t *p = malloc(1); /* a sanitizer sees a read of p[1] */

                *p = (uint8_t)c;
                expect_escape(bytes_of(p, 1), ((char[]){ '\\', 'x', "0123456789abcdef"[c >> 4],
                                                         "0123456789abcdef"[c & 15], 0 }));
                free(p);
        }
}
END_TEST

static void expect_number(void (*format)(char *, uint64_t), uint64_t n, const char *expected)
{
        char text[TEXT_NUMBER_SIZE];

        format(text, n);
        ck_assert_str_eq(text, expected);
}

START_TEST(counts_fit_five_characters_and_never_claim_more)
{
        expect_number(text_count, 0, "0");
        expect_number(text_count, 99999, "99999");
        expect_number(text_count, 100000, "100K");
        expect_number(text_count, 999999, "999K");
        expect_number(text_count, 1000000, "1.00M");
        expect_number(text_count, 1239999, "1.23M");
        expect_number(text_count, 98765432100, "98.7G");
        expect_number(text_count, UINT64_MAX, "18.4E");
}
END_TEST

START_TEST(sizes_fit_five_characters_in_binary_units)
{
        expect_number(text_bytes, 9999, "9999");
        expect_number(text_bytes, 10000, "9.76K");
        expect_number(text_bytes, 16384, "16.0K");
        expect_number(text_bytes, 1024 * 1024 - 1, "1023K");
        expect_number(text_bytes, 32 << 20, "32.0M");
        expect_number(text_bytes, UINT64_MAX, "15.9E");
}
END_TEST

START_TEST(durations_count_days_only_when_there_are_any)
{
        char text[TEXT_DURATION_SIZE];

        text_duration(text, 0);
        ck_assert_str_eq(text, "00:00:00");
        text_duration(text, 86399);
        ck_assert_str_eq(text, "23:59:59");
        text_duration(text, 86400);
        ck_assert_str_eq(text, "1 d 00:00:00");
        text_duration(text, UINT64_MAX);
        ck_assert_str_eq(text, "213503982334601 d 07:00:15");
}
END_TEST

static void add(TCase *cases)
{
        tcase_add_test(cases, escape_keeps_text_and_hides_control);
        tcase_add_test(cases, escape_keeps_utf8_of_printable_characters_only);
        tcase_add_test(cases, escape_hides_what_is_no_utf8);
        tcase_add_test(cases, escape_reads_no_byte_beyond_the_end);
        tcase_add_test(cases, counts_fit_five_characters_and_never_claim_more);
        tcase_add_test(cases, sizes_fit_five_characters_in_binary_units);
        tcase_add_test(cases, durations_count_days_only_when_there_are_any);
}

int main(void)
{
        return suite_run("text", add);
}
