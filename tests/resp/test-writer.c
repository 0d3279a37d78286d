/* SPDX-License-Identifier: MIT */

#include "resp/writer.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "support/suite.h"
#include "util/prng.h"

/* Takes what was written as a string. */
static const char *taken(struct buffer *b)
{
        static char text[256];
        size_t n = buffer_size(b);

        ck_assert_uint_lt(n, sizeof(text));
        memcpy(text, b->data + b->start, n);
        text[n] = '\0';
        buffer_deinit(b);
        return text;
}

#define ck_assert_writes(_call, _text)                                                                         \
        do {                                                                                                   \
                struct buffer b = { 0 };                                                                       \
                                                                                                               \
                _call;                                                                                         \
                ck_assert_str_eq(taken(&b), _text);                                                            \
        } while (0)

START_TEST(types_of_both_protocols)
{
        ck_assert_writes(writer_simple(&b, "OK"), "+OK\r\n");
        ck_assert_writes(writer_simple(&b, ""), "+\r\n");
        ck_assert_writes(writer_error(&b, "ERR a\r\nb"), "-ERR a  b\r\n");
        ck_assert_writes(writer_integer(&b, 0), ":0\r\n");
        ck_assert_writes(writer_integer(&b, -1), ":-1\r\n");
        ck_assert_writes(writer_integer(&b, INT64_MAX), ":9223372036854775807\r\n");
        ck_assert_writes(writer_integer(&b, INT64_MIN), ":-9223372036854775808\r\n");
        ck_assert_writes(writer_bulk(&b, bytes_of(NULL, 0)), "$0\r\n\r\n");
        ck_assert_writes(writer_bulk_str(&b, "a\r\nb"), "$4\r\na\r\nb\r\n");
        ck_assert_writes(writer_array(&b, 0), "*0\r\n");
        ck_assert_writes(writer_array(&b, 1234567), "*1234567\r\n");
}
END_TEST

START_TEST(types_that_resp2_lacks)
{
        ck_assert_writes(writer_null(&b, WRITER_RESP2), "$-1\r\n");
        ck_assert_writes(writer_null(&b, WRITER_RESP3), "_\r\n");
        ck_assert_writes(writer_null_array(&b, WRITER_RESP2), "*-1\r\n");
        ck_assert_writes(writer_null_array(&b, WRITER_RESP3), "_\r\n");
        ck_assert_writes(writer_map(&b, WRITER_RESP2, 7), "*14\r\n");
        ck_assert_writes(writer_map(&b, WRITER_RESP3, 7), "%7\r\n");
        ck_assert_writes(writer_set(&b, WRITER_RESP2, 3), "*3\r\n");
        ck_assert_writes(writer_set(&b, WRITER_RESP3, 3), "~3\r\n");
        ck_assert_writes(writer_push(&b, WRITER_RESP2, 3), "*3\r\n");
        ck_assert_writes(writer_push(&b, WRITER_RESP3, 3), ">3\r\n");
        ck_assert_writes(writer_bool(&b, WRITER_RESP2, true), ":1\r\n");
        ck_assert_writes(writer_bool(&b, WRITER_RESP2, false), ":0\r\n");
        ck_assert_writes(writer_bool(&b, WRITER_RESP3, true), "#t\r\n");
        ck_assert_writes(writer_bool(&b, WRITER_RESP3, false), "#f\r\n");
        ck_assert_writes(writer_verbatim(&b, WRITER_RESP2, "txt", BYTES_LITERAL("hi")), "$2\r\nhi\r\n");
        ck_assert_writes(writer_verbatim(&b, WRITER_RESP3, "txt", BYTES_LITERAL("hi")), "=6\r\ntxt:hi\r\n");
        ck_assert_writes(writer_verbatim(&b, WRITER_RESP3, "mkd", bytes_of(NULL, 0)), "=4\r\nmkd:\r\n");
}
END_TEST

START_TEST(doubles_as_redis_7_writes_them)
{
        ck_assert_writes(writer_double(&b, WRITER_RESP2, 3.25), "$4\r\n3.25\r\n");
        ck_assert_writes(writer_double(&b, WRITER_RESP3, 3.25), ",3.25\r\n");
        ck_assert_writes(writer_double(&b, WRITER_RESP3, 3.141), ",3.141\r\n");
        ck_assert_writes(writer_double(&b, WRITER_RESP3, 0.1), ",0.10000000000000001\r\n");
        ck_assert_writes(writer_double(&b, WRITER_RESP3, -1e300), ",-1.0000000000000001e+300\r\n");
        ck_assert_writes(writer_double(&b, WRITER_RESP3, 10), ",10\r\n");
        ck_assert_writes(writer_double(&b, WRITER_RESP2, INFINITY), "$3\r\ninf\r\n");
        ck_assert_writes(writer_double(&b, WRITER_RESP3, INFINITY), ",inf\r\n");
        ck_assert_writes(writer_double(&b, WRITER_RESP3, -INFINITY), ",-inf\r\n");
        ck_assert_writes(writer_double(&b, WRITER_RESP3, -NAN), ",nan\r\n");
}
END_TEST

static void check_digits(uint64_t n)
{
        uint8_t p[20];
        char expected[24];
        int size = snprintf(expected, sizeof(expected), "%" PRIu64, n);

        ck_assert_uint_eq(writer_digits(p, n), (size_t)size);
        ck_assert_mem_eq(p, expected, (size_t)size);
}

START_TEST(digits_are_those_of_printf)
{
        struct prng prng = { 3 };

        for (uint64_t n = 0; n < 20000; n++)
                check_digits(n);
        for (uint64_t n = 1; n <= UINT64_MAX / 10; n *= 10)
                for (int i = -2; i <= 2; i++)
                        check_digits(n * 10 + (uint64_t)i);
        for (int i = 0; i < 20000; i++)
                check_digits(prng_next(&prng) >> prng_below(&prng, 64));
        check_digits(UINT64_MAX);
}
END_TEST

/* The frame and nothing behind it is written, and its size is what was foretold. */
START_TEST(messages_have_the_size_foretold_and_differ_in_one_byte)
{
        static const size_t sizes[] = { 0, 1, 9, 10, 99, 100, 999, 1000, 9999, 10000, 99999, 100000 };
        static char text[100001];

        memset(text, 'x', sizeof(text));
        for (size_t i = 0; i < 12; i++) {
                for (size_t j = 0; j < 12; j++) {
                        struct bytes channel = bytes_of(text, sizes[i]), payload = bytes_of(text, sizes[j]);
                        size_t n = writer_message_size(channel.n, payload.n);
                        uint8_t *two = malloc(n + 1), *three = malloc(n + 1);
                        char *expected = malloc(n + 1);
                        int size;

                        two[n] = three[n] = 0x5a;
                        ck_assert_ptr_eq(writer_message(two, WRITER_RESP2, channel, payload), two + n);
                        ck_assert_ptr_eq(writer_message(three, WRITER_RESP3, channel, payload), three + n);
                        ck_assert_int_eq(two[n] + three[n], 2 * 0x5a);
                        size = snprintf(expected, n + 1,
                                        "*3\r\n$7\r\nmessage\r\n$%zu\r\n%.*s\r\n$%zu\r\n%.*s\r\n", channel.n,
                                        (int)channel.n, text, payload.n, (int)payload.n, text);
                        ck_assert_uint_eq((size_t)size, n);
                        ck_assert_mem_eq(two, expected, n);
                        ck_assert_int_eq(three[0], '>');
                        ck_assert_mem_eq(two + 1, three + 1, n - 1);
                        free(two);
                        free(three);
                        free(expected);
                }
        }
}
END_TEST

START_TEST(shard_messages_have_the_size_foretold_and_differ_in_one_byte)
{
        static const char expected[] = "*3\r\n$8\r\nsmessage\r\n$4\r\nnews\r\n$12\r\nhello, world\r\n";
        size_t n = writer_smessage_size(4, 12);
        uint8_t *p = malloc(n);

        ck_assert_uint_eq(n, sizeof(expected) - 1);
        ck_assert_ptr_eq(writer_smessage(p, WRITER_RESP2, BYTES_LITERAL("news"), BYTES_LITERAL("hello, world")),
                         p + n);
        ck_assert_mem_eq(p, expected, n);
        writer_smessage(p, WRITER_RESP3, BYTES_LITERAL("news"), BYTES_LITERAL("hello, world"));
        ck_assert_int_eq(p[0], '>');
        ck_assert_mem_eq(p + 1, expected + 1, n - 1);
        free(p);
}
END_TEST

START_TEST(pattern_messages_have_the_size_foretold_and_differ_in_one_byte)
{
        static const char expected[] =
                "*4\r\n$8\r\npmessage\r\n$2\r\nn*\r\n$4\r\nnews\r\n$12\r\nhello, world\r\n";
        size_t n = writer_pmessage_size(2, 4, 12);
        uint8_t *p = malloc(n);

        ck_assert_uint_eq(n, sizeof(expected) - 1);
        ck_assert_ptr_eq(writer_pmessage(p, WRITER_RESP2, BYTES_LITERAL("n*"), BYTES_LITERAL("news"),
                                         BYTES_LITERAL("hello, world")),
                         p + n);
        ck_assert_mem_eq(p, expected, n);
        writer_pmessage(p, WRITER_RESP3, BYTES_LITERAL("n*"), BYTES_LITERAL("news"),
                        BYTES_LITERAL("hello, world"));
        ck_assert_int_eq(p[0], '>');
        ck_assert_mem_eq(p + 1, expected + 1, n - 1);
        free(p);
}
END_TEST

/* Whatever a frame holds, also what looks like a part of one. */
START_TEST(frames_are_read_back)
{
        static const struct bytes texts[] = { BYTES_LITERAL(""), BYTES_LITERAL("a"),
                                              BYTES_LITERAL("$7\r\nmessage"), BYTES_LITERAL("0123456789\r\n"),
                                              BYTES_LITERAL("\r\n*3\r\n$1\r\n") };
        uint8_t frame[300];

        for (unsigned i = 0; i < 5 * 5 * 5 * 2; i++) {
                struct bytes pattern = texts[i % 5], channel = texts[i / 5 % 5], payload = texts[i / 25 % 5];
                enum writer_proto proto = i / 125;
                struct writer_frame f;
                uint8_t *end;

                end = writer_message(frame, proto, channel, payload);
                f = writer_frame(frame);
                ck_assert_ptr_eq(frame + f.size, end);
                ck_assert(bytes_equal(f.channel, channel));
                ck_assert_int_eq(frame[f.head], '$');
                end = writer_smessage(frame, proto, channel, payload);
                f = writer_frame(frame);
                ck_assert_ptr_eq(frame + f.size, end);
                ck_assert(bytes_equal(f.channel, channel));
                end = writer_pmessage(frame, proto, pattern, channel, payload);
                f = writer_frame(frame);
                ck_assert_ptr_eq(frame + f.size, end);
                ck_assert(bytes_equal(f.channel, channel));
                ck_assert_uint_eq(f.size - f.head,
                                  writer_message_size(0, payload.n) - writer_message_size(0, 0) + 6);
        }
}
END_TEST

START_TEST(replies_follow_each_other_in_one_buffer)
{
        struct buffer b = { 0 };

        for (int i = 0; i < 1000; i++) {
                writer_push(&b, WRITER_RESP3, 2);
                writer_bulk_str(&b, "x");
                writer_integer(&b, i % 10);
        }
        ck_assert_uint_eq(buffer_size(&b), 1000 * (4 + 7 + 4));
        for (int i = 0; i < 1000; i++) {
                char expected[40];

                snprintf(expected, sizeof(expected), ">2\r\n$1\r\nx\r\n:%d\r\n", i % 10);
                ck_assert_mem_eq(b.data + i * 15, expected, 15);
        }
        buffer_deinit(&b);
}
END_TEST

static void add(TCase *cases)
{
        tcase_add_test(cases, types_of_both_protocols);
        tcase_add_test(cases, types_that_resp2_lacks);
        tcase_add_test(cases, doubles_as_redis_7_writes_them);
        tcase_add_test(cases, digits_are_those_of_printf);
        tcase_add_test(cases, messages_have_the_size_foretold_and_differ_in_one_byte);
        tcase_add_test(cases, shard_messages_have_the_size_foretold_and_differ_in_one_byte);
        tcase_add_test(cases, pattern_messages_have_the_size_foretold_and_differ_in_one_byte);
        tcase_add_test(cases, frames_are_read_back);
        tcase_add_test(cases, replies_follow_each_other_in_one_buffer);
}

int main(void)
{
        return suite_run("writer", add);
}
