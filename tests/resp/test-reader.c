/* SPDX-License-Identifier: MIT */

#include "resp/reader.h"

#include <stdio.h>

#include "resp/reference.h"
#include "support/suite.h"

#define ROW(_s)                                                                                                \
        {                                                                                                      \
                (const uint8_t *)(_s), sizeof(_s) - 1                                                          \
        }

static const struct reader_limits wide = { .bulk_max = UINT64_C(512) << 20, .request_max = UINT64_C(1) << 30 };
static const struct reader_limits narrow = { .bulk_max = 20, .request_max = 48 };

/* Requests good and bad; each ends where a PING may follow, or at its error, or in the middle. */
static const struct bytes streams[] = {
        ROW("*1\r\n$4\r\nPING\r\n"),
        ROW("*3\r\n$7\r\nPUBLISH\r\n$4\r\nnews\r\n$5\r\nhello\r\n"),
        ROW("*3\r\n$7\r\nPUBLISH\r\n$2\r\n\r\n\r\n$10\r\n*1\r\n$1\r\nx\r\r\n"),
        ROW("*2\r\n$0\r\n\r\n$0\r\n\r\n"),
        ROW("*1\r\n$1\r\nx\r\n*1\r\n$1\r\ny\r\n*1\r\n$1\r\nz\r\n"),
        ROW("*0\r\n*-1\r\n\r\n \r\n\n*1\r\n$1\r\nx\r\n*0\r\n"),
        ROW("*10\r\n$1\r\n0\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n$1\r\n4\r\n$1\r\n5\r\n$1\r\n6\r\n$1\r\n7\r\n$"
            "1\r\n8\r\n"
            "$1\r\n9\r\n"),
        ROW("*1\rx$2\ryabcd*1\r\n$1\r\nx\r\n"),
        ROW("*-9223372036854775808\r\nPING\r\n"),
        ROW("PING\r\n"),
        ROW("PING\nPING\r\r\n\r\r\nPING\n"),
        ROW("set  a\tb\v\fc\vd \"e f\" 'g h' i\"j k\" l'm' \"\" ''\r\n"),
        ROW("ECHO \"\\x41\\xfF\\n\\r\\t\\b\\a\\q\\\"\\\\\\x4\\xg0\" 'a\\'b\\n'\r\n"),
        ROW("ECHO \"a\"\v'b' a\\x41\r\n"),
        ROW("\xff\xfe $4\r\n$4\r\n"),
        ROW("ECHO \"a\"b\r\n"),
        ROW("ECHO \"a\r\n"),
        ROW("ECHO 'a\r\n"),
        ROW("ECHO 'a'b\r\n"),
        ROW("ECHO \"a\\\r\n"),
        ROW("ECHO \"\\x4\r\n"),
        ROW("ECHO a\0b\r\n"),
        ROW("\0\r\n"),
        ROW("*\r\n"),
        ROW("*-\r\n"),
        ROW("*-0\r\n"),
        ROW("*+1\r\n"),
        ROW("*01\r\n"),
        ROW("* 1\r\n"),
        ROW("*1 \r\n"),
        ROW("*1\n$4\nPING\n"),
        ROW("*1\n$4\r\nPING\r\n"),
        ROW("*1\0\r\n"),
        ROW("*00\r\n"),
        ROW("*9223372036854775808\r\n"),
        ROW("*1\r\nX\r\n"),
        ROW("*1\r\n\r\n"),
        ROW("*1\r\n\n\r\n"),
        ROW("*1\r\n\0\r\n"),
        ROW("*1\r\n\xff\r\n"),
        ROW("*1\r\n*1\r\n"),
        ROW("*2\r\n$1\r\na\r\n:1\r\n"),
        ROW("*1\r\n$\r\n"),
        ROW("*1\r\n$-1\r\n"),
        ROW("*1\r\n$-0\r\n"),
        ROW("*1\r\n$00\r\n"),
        ROW("*1\r\n$04\r\nPING\r\n"),
        ROW("*1\r\n$+4\r\nPING\r\n"),
        ROW("*1\r\n$4x\r\n"),
        ROW("*1\r\n$21\r\n"),
        ROW("*1\r\n$21\r\n012345678901234567890\r\n"),
        ROW("*2\r\n$20\r\n01234567890123456789\r\n$11\r\n0123456789a\r\n"),
        ROW("*3\r\n$20\r\n01234567890123456789\r\n$3\r\n012\r\n$1\r\n0\r\nPING\r\n"),
        ROW("*1\r\n$20\r\n01234567890123456789\r\n"),
        ROW("*2\r\n$20\r\n01234567890123456789\r\n$10\r\n0123456789\r\n"),
        ROW("*2\r\n$20\r\n01234567890123456789\r\n$9\r\n012345678\r\n"),
        ROW("*7\r\n$1\r\n"),
        ROW("*8\r\n$1\r\n"),
        ROW("0123456789012345678901234567890123456789012345\r\n"),
        ROW("01234567890123456789012345678901234567890123456\r\n"),
        ROW("*1234567890\r\n$1\r\nx\r\n"),
        ROW("*1\r\n$1234567890\r\n"),
        ROW("*1\r\n$123456789\r\n"),
};

#define STREAMS (sizeof(streams) / sizeof(streams[0]))

START_TEST(every_request_cut_at_any_place_or_two_gives_the_same)
{
        struct bytes s = streams[_i];

        for (size_t a = 0; a <= s.n; a++) {
                for (size_t b = a; b <= s.n; b++) {
                        reference_cut(s, &wide, (size_t[]){ a, b }, 2);
                        reference_cut(s, &narrow, (size_t[]){ a, b }, 2);
                }
        }
}
END_TEST

START_TEST(every_request_byte_by_byte_gives_the_same)
{
        struct bytes s = streams[_i];
        size_t cuts[256];

        ck_assert_uint_lt(s.n, 256);
        for (size_t i = 0; i < s.n; i++)
                cuts[i] = i + 1;
        reference_cut(s, &wide, cuts, s.n);
        reference_cut(s, &narrow, cuts, s.n);
}
END_TEST

/* Rows of the table one behind the other, and garbage between them, cut and held back at random. */
START_TEST(random_streams_cut_unread_and_held_at_random_give_the_same)
{
        struct prng prng = { 7 };
        size_t requests = 0;

        for (int turn = 0; turn < 3000; turn++) {
                struct choices choices = { .prng = { prng_next(&prng) } };
                struct buffer b = { 0 };

                for (uint64_t n = prng_below(&prng, 30) + 1; n; n--) {
                        struct bytes row = streams[prng_below(&prng, prng_below(&prng, 8) ? 15 : STREAMS)];

                        buffer_put(&b, row.p, row.n);
                        if (prng_below(&prng, 64) == 0)
                                b.data[prng_below(&prng, b.end)] = (uint8_t)prng_next(&prng);
                }
                requests += reference_drive(buffer_view(&b), turn % 4 ? &wide : &narrow, &choices);
                buffer_deinit(&b);
        }
        ck_assert_uint_gt(requests, 10000);
}
END_TEST

/* ---------------------------------------------------------------- errors and limits, by their text */

/* The error that a stream ends in, whole and byte by byte; NULL: none. */
static const char *error_of(struct bytes s, const struct reader_limits *limits)
{
        static char text[64];
        struct reader r = { 0 };
        struct reader_scratch scratch = { 0 };
        struct request request;
        const char *error = NULL;
        int k = READER_E_MORE;

        for (size_t i = 0; i < s.n && k != READER_E_PROTOCOL; i++) {
                struct bytes input = bytes_of(s.p + i, 1);

                do
                        k = reader_next(&r, &scratch, limits, &input, &request, &error);
                while (!k);
        }
        snprintf(text, sizeof(text), "%s", k == READER_E_PROTOCOL ? error : "");
        reader_deinit(&r);
        do
                k = reader_next(&r, &scratch, limits, &s, &request, &error);
        while (!k);
        ck_assert_str_eq(text, k == READER_E_PROTOCOL ? error : "");
        reader_deinit(&r);
        reader_scratch_deinit(&scratch);
        return *text ? text : NULL;
}

#define ck_assert_error(_stream, _text) ck_assert_pstr_eq(error_of(BYTES_LITERAL(_stream), &wide), _text)

START_TEST(errors_have_the_texts_of_redis)
{
        ck_assert_error("*1\r\nX\r\n", "Protocol error: expected '$', got 'X'");
        ck_assert_error("*1\r\n\r\n", "Protocol error: expected '$', got ' '");
        ck_assert_error("*1\r\n\xff\r\n", "Protocol error: expected '$', got '\xff'");
        ck_assert_error("*x\r\n", "Protocol error: invalid multibulk length");
        ck_assert_error("*1\r\n$-1\r\n", "Protocol error: invalid bulk length");
        ck_assert_error("a \"b\r\n", "Protocol error: unbalanced quotes in request");
        ck_assert_error("a \"b", NULL);
        ck_assert_error("*1\r\nX\r", NULL);
        ck_assert_error("*x\r", NULL);
        ck_assert_error("a\0b\r\n", "Protocol error: NUL in inline request");
}
END_TEST

/* known failure 33 */
START_TEST(declared_lengths_beyond_the_limits_are_errors_and_never_wrap)
{
        static const char count[] = "Protocol error: invalid multibulk length";
        static const char length[] = "Protocol error: invalid bulk length";
        static const char size[] = "Protocol error: request is larger than the limit";
        static const struct reader_limits endless = { .bulk_max = UINT64_MAX, .request_max = UINT64_MAX };

        ck_assert_error("*2147483648\r\n", count);
        ck_assert_error("*4294967296\r\n", count);
        ck_assert_error("*4294967297\r\n$1\r\na\r\n", count);
        ck_assert_error("*9223372036854775807\r\n", count);
        ck_assert_error("*9223372036854775808\r\n", count);
        ck_assert_error("*18446744073709551617\r\n", count);
        ck_assert_error("*-9223372036854775809\r\n", count);
        ck_assert_error("*2147483647\r\n", size);
        ck_assert_error("*1\r\n$536870912\r\n", NULL);
        ck_assert_error("*1\r\n$536870913\r\n", length);
        ck_assert_error("*1\r\n$2147483647\r\n", length);
        ck_assert_error("*1\r\n$4294967296\r\n", length);
        ck_assert_error("*1\r\n$4294967297\r\na\r\n", length);
        ck_assert_error("*1\r\n$9223372036854775807\r\n", length);
        ck_assert_error("*1\r\n$18446744073709551617\r\na\r\n", length);
        ck_assert_ptr_null(error_of(BYTES_LITERAL("*2147483647\r\n$9223372036854775807\r\nabc"), &endless));
        ck_assert_pstr_eq(error_of(BYTES_LITERAL("*1\r\n$9223372036854775808\r\n"), &endless), length);
        ck_assert_pstr_eq(error_of(BYTES_LITERAL("*1\r\n$-1\r\n"), &endless), length);
}
END_TEST

START_TEST(a_line_of_64_kib_is_taken_and_a_longer_one_is_an_error)
{
        static const struct {
                const char *head, *error, *found;
        } rows[] = {
                { "", "Protocol error: too big inline request", NULL },
                { "*", "Protocol error: too big mbulk count string",
                  "Protocol error: invalid multibulk length" },
                { "*1\r\n$", "Protocol error: too big bulk count string",
                  "Protocol error: invalid bulk length" },
                { "*1\r\nx", "Protocol error: too big bulk count string",
                  "Protocol error: expected '$', got 'x'" },
        };
        static char s[65536 + 8];

        for (size_t i = 0; i < 4; i++) {
                size_t head = strlen(rows[i].head), n = (head > 1 ? 4 : 0) + 65536;

                memset(s, '1', sizeof(s));
                memcpy(s, rows[i].head, head);
                memcpy(s + n, "\r\n", 2);
                ck_assert_pstr_eq(error_of(bytes_of(s, n), &wide), NULL);
                if (i) /* header lines end with '\r' */
                        ck_assert_pstr_eq(error_of(bytes_of(s, n + 2), &wide), rows[i].found);
                s[n] = i ? '1' : '\n';
                if (!i)
                        ck_assert_pstr_eq(error_of(bytes_of(s, n + 1), &wide), NULL);
                s[n] = '1';
                s[n + 1] = i ? '\r' : '\n';
                ck_assert_pstr_eq(error_of(bytes_of(s, n + 1), &wide), rows[i].error);
                ck_assert_pstr_eq(error_of(bytes_of(s, n + 3), &wide), rows[i].error);
        }
}
END_TEST

START_TEST(a_request_is_taken_up_to_the_limit_and_refused_as_soon_as_it_must_exceed_it)
{
        static const char size[] = "Protocol error: request is larger than the limit";
        struct reader_limits limits = { .bulk_max = 100, .request_max = 4 + 4 + 3 + 2 };

        ck_assert_pstr_eq(error_of(BYTES_LITERAL("*1\r\n$3\r\nabc\r\n"), &limits), NULL);
        ck_assert_pstr_eq(error_of(BYTES_LITERAL("*1\r\n$4\r\n"), &limits), size);
        ck_assert_pstr_eq(error_of(BYTES_LITERAL("*2\r\n"), &limits), size);
        ck_assert_pstr_eq(error_of(BYTES_LITERAL("PING 0123456\n"), &limits), NULL);
        ck_assert_pstr_eq(error_of(BYTES_LITERAL("PING 0123456\r\n"), &limits), size);
        limits.request_max = 0;
        ck_assert_pstr_eq(error_of(BYTES_LITERAL("*1\r\n"), &limits), size);
        ck_assert_pstr_eq(error_of(BYTES_LITERAL("*0\r\n"), &limits), NULL);
        ck_assert_pstr_eq(error_of(BYTES_LITERAL("\n"), &limits), size);
}
END_TEST

/* ---------------------------------------------------------------- memory */

static size_t memory_of(const struct reader *r, const struct reader_scratch *scratch)
{
        return r->in.cap + scratch->words.cap + scratch->cap * sizeof(struct bytes);
}

/* known failure 32 */
START_TEST(memory_follows_bytes_received_and_not_lengths_declared)
{
        static const char *const heads[] = { "*1048576\r\n", "*1\r\n$536870912\r\n",
                                             "*2\r\n$1\r\nx\r\n$500000000\r\n",
                                             "*100000000\r\n$100000000\r\n" };

        for (size_t i = 0; i < 4; i++) {
                struct reader r = { 0 };
                struct reader_scratch scratch = { 0 };
                struct request request;
                const char *error;

                for (size_t n = 0; n < 100000; n++) {
                        uint8_t byte =
                                n < strlen(heads[i]) ? (uint8_t)heads[i][n] : (uint8_t) "$1\r\nx\r\n"[n % 7];
                        struct bytes input = bytes_of(&byte, 1);
                        int k = reader_next(&r, &scratch, &wide, &input, &request, &error);

                        if (k == READER_E_PROTOCOL) /* the bytes behind "*1048576" do not begin with '$' */
                                break;
                        must(k == READER_E_MORE);
                        must(memory_of(&r, &scratch) <= 2 * (n + 1) + 2048);
                }
                reader_deinit(&r);
                reader_scratch_deinit(&scratch);
        }
}
END_TEST

/* A million short arguments, trickled: views are made when they are complete, and do not stay. */
START_TEST(many_arguments_are_taken_and_their_views_do_not_stay)
{
        enum { ARGS = 200000 };
        struct reader r = { 0 };
        struct reader_scratch scratch = { 0 };
        struct request request;
        struct buffer b = { 0 };
        const char *error;
        struct bytes input;
        size_t got = 0;
        int k = READER_E_MORE;

        buffer_printf(&b, "*%d\r\n", ARGS);
        for (int i = 0; i < ARGS; i++)
                buffer_put(&b, "$1\r\nx\r\n", 7);
        while (got < b.end) {
                must(k == READER_E_MORE);
                input = bytes_of(b.data + got, b.end - got < 5 ? b.end - got : 5);
                got += input.n;
                k = reader_next(&r, &scratch, &wide, &input, &request, &error);
                if (got < b.end)
                        must(memory_of(&r, &scratch) <= 2 * got + 2048);
        }
        ck_assert_int_eq(k, 0);
        ck_assert_uint_eq(request.argc, ARGS);
        ck_assert_uint_eq(request.size, b.end);
        ck_assert(bytes_is(request.argv[ARGS - 1], "x"));
        input = BYTES_LITERAL("PING\r\n");
        ck_assert_int_eq(reader_next(&r, &scratch, &wide, &input, &request, &error), 0);
        reader_trim(&r);
        ck_assert_uint_le(memory_of(&r, &scratch), 16384);
        reader_deinit(&r);
        reader_scratch_deinit(&scratch);
        buffer_deinit(&b);
}
END_TEST

START_TEST(requests_whole_in_the_input_are_views_of_it_and_keep_no_memory)
{
        static const char s[] = "*2\r\n$4\r\nECHO\r\n$1\r\nx\r\n*1\r\n$4\r\nPING\r\n";
        struct bytes input = BYTES_LITERAL(s);
        struct reader r = { 0 };
        struct reader_scratch scratch = { 0 };
        struct request request;
        const char *error;

        ck_assert_int_eq(reader_next(&r, &scratch, &wide, &input, &request, &error), 0);
        ck_assert_ptr_eq(request.argv[1].p, (const uint8_t *)s + 18);
        ck_assert_int_eq(reader_next(&r, &scratch, &wide, &input, &request, &error), 0);
        ck_assert_ptr_eq(request.argv[0].p, (const uint8_t *)s + 29);
        ck_assert_int_eq(reader_next(&r, &scratch, &wide, &input, &request, &error), READER_E_MORE);
        ck_assert_ptr_null(r.in.data);
        ck_assert(!reader_holds(&r));
        reader_scratch_deinit(&scratch);
}
END_TEST

START_TEST(a_cut_request_takes_only_its_own_rest_from_the_input)
{
        static const char s[] = "PE\r\n$1\r\nx\r\n*1\r\n$4\r\nPING\r\n";
        struct bytes cut = BYTES_LITERAL("*2\r\n$4\r\nTY"), input = BYTES_LITERAL(s);
        struct reader r = { 0 };
        struct reader_scratch scratch = { 0 };
        struct request request;
        const char *error;

        ck_assert_int_eq(reader_next(&r, &scratch, &wide, &cut, &request, &error), READER_E_MORE);
        ck_assert_uint_eq(cut.n, 0);
        ck_assert_int_eq(reader_next(&r, &scratch, &wide, &input, &request, &error), 0);
        ck_assert_ptr_eq(input.p, (const uint8_t *)s + 11);
        ck_assert_uint_eq(request.size, 21);
        ck_assert(bytes_is(request.argv[0], "TYPE"));
        ck_assert(!reader_holds(&r));
        ck_assert_int_eq(reader_next(&r, &scratch, &wide, &input, &request, &error), 0);
        ck_assert_ptr_eq(request.argv[0].p, (const uint8_t *)s + 19);
        reader_deinit(&r);
        reader_scratch_deinit(&scratch);
}
END_TEST

/* One large request, then a small start of another: the large buffer goes. */
START_TEST(trim_gives_back_what_a_large_request_needed)
{
        enum { N = 1 << 20 };
        static char s[N + 64];
        int head = snprintf(s, sizeof(s), "*1\r\n$%d\r\n", N);
        size_t n = (size_t)head + N + 2;
        struct bytes first = bytes_of(s, 100), rest = bytes_of(s + 100, n - 100);
        struct reader r = { 0 };
        struct reader_scratch scratch = { 0 };
        struct request request;
        const char *error;

        ck_assert_int_eq(reader_next(&r, &scratch, &wide, &first, &request, &error), READER_E_MORE);
        ck_assert_int_eq(reader_next(&r, &scratch, &wide, &rest, &request, &error), 0);
        ck_assert_uint_eq(request.argv[0].n, N);
        ck_assert_int_eq(reader_hold(&r, BYTES_LITERAL("PI")), 0);
        reader_trim(&r);
        ck_assert_uint_le(r.in.cap, 4096);
        rest = BYTES_LITERAL("NG\r\n");
        ck_assert_int_eq(reader_next(&r, &scratch, &wide, &rest, &request, &error), 0);
        ck_assert(bytes_is(request.argv[0], "PING"));
        reader_trim(&r);
        ck_assert_ptr_null(r.in.data);
        reader_deinit(&r);
        reader_scratch_deinit(&scratch);
}
END_TEST

/* ---------------------------------------------------------------- unread, hold */

START_TEST(an_unread_request_comes_again_from_the_input_or_from_what_was_kept)
{
        struct bytes input = BYTES_LITERAL("ECHO \"a b\"\r\n*1\r\n$1\r\n"),
                     rest = BYTES_LITERAL("x\r\nPING\r\n");
        struct reader r = { 0 };
        struct reader_scratch scratch = { 0 };
        struct request request;
        const char *error;

        for (int i = 0; i < 3; i++) {
                ck_assert_int_eq(reader_next(&r, &scratch, &wide, &input, &request, &error), 0);
                ck_assert_uint_eq(request.argc, 2);
                ck_assert(bytes_is(request.argv[1], "a b"));
                if (i < 2)
                        reader_unread(&r, &input, &request);
        }
        ck_assert_int_eq(reader_next(&r, &scratch, &wide, &input, &request, &error), READER_E_MORE);
        for (int i = 0; i < 3; i++) {
                ck_assert_int_eq(reader_next(&r, &scratch, &wide, &rest, &request, &error), 0);
                ck_assert(bytes_is(request.argv[0], "x"));
                reader_unread(&r, &rest, &request);
        }
        ck_assert_int_eq(reader_hold(&r, rest), 0);
        rest = bytes_of(NULL, 0);
        ck_assert_int_eq(reader_next(&r, &scratch, &wide, &rest, &request, &error), 0);
        ck_assert(bytes_is(request.argv[0], "x"));
        ck_assert(reader_holds(&r));
        ck_assert_int_eq(reader_next(&r, &scratch, &wide, &rest, &request, &error), 0);
        ck_assert(bytes_is(request.argv[0], "PING"));
        ck_assert(!reader_holds(&r));
        ck_assert_int_eq(reader_next(&r, &scratch, &wide, &rest, &request, &error), READER_E_MORE);
        reader_deinit(&r);
        reader_scratch_deinit(&scratch);
}
END_TEST

/* A line of 64 KiB byte by byte: while its end was not seen, the reader knows that there is nothing to look at.
 */
START_TEST(a_trickled_request_is_not_scanned_again_for_each_byte)
{
        enum { ROUNDS = 8, N = 65536 };
        struct reader r = { 0 };
        struct reader_scratch scratch = { 0 };
        struct request request;
        const char *error;

        for (int round = 0; round < ROUNDS; round++) {
                for (int i = 0; i <= N; i++) {
                        struct bytes input = bytes_of(i < N ? "x" : "\n", 1);
                        int k = reader_next(&r, &scratch, &wide, &input, &request, &error);

                        must(k == (i < N ? READER_E_MORE : 0));
                        must(k == 0 || !r.unseen);
                }
                ck_assert_uint_eq(request.argv[0].n, N);
        }
        reader_deinit(&r);
        reader_scratch_deinit(&scratch);
}
END_TEST

static bool all_zero(const uint8_t *p, size_t n)
{
        while (n && !p[n - 1])
                n--;
        return n == 0;
}

/* From what was kept and in the input; of a line the words are elsewhere, and the line itself goes too. */
START_TEST(a_wiped_request_is_nowhere)
{
        static const char *const requests[] = { "AUTH a secret\r\n", "*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n" };
        struct reader_scratch scratch = { 0 };
        struct request request;
        const char *error;

        for (int i = 0; i < 4; i++) {
                struct reader r = { 0 };
                char text[64];
                size_t n = (size_t)snprintf(text, sizeof(text), "%sPING\r\n", requests[i % 2]) - 6;
                struct bytes rest = bytes_str(text);

                if (i < 2) {
                        ck_assert_int_eq(reader_hold(&r, rest), 0);
                        rest = bytes_of(NULL, 0);
                }
                ck_assert_int_eq(reader_next(&r, &scratch, &wide, &rest, &request, &error), 0);
                reader_wipe(&r, &request);
                for (uint32_t k = 0; k < request.argc; k++)
                        ck_assert(all_zero(request.argv[k].p, request.argv[k].n));
                if (i < 2)
                        ck_assert(all_zero(r.in.data + r.in.start, n));
                if (i == 3)
                        ck_assert_ptr_null(memmem(text, n, "secret", 6));
                ck_assert_int_eq(reader_next(&r, &scratch, &wide, &rest, &request, &error), 0);
                ck_assert(bytes_is(request.argv[0], "PING"));
                reader_deinit(&r);
        }
        reader_scratch_deinit(&scratch);
}
END_TEST

static void add(TCase *cases)
{
        tcase_add_loop_test(cases, every_request_cut_at_any_place_or_two_gives_the_same, 0, STREAMS);
        tcase_add_loop_test(cases, every_request_byte_by_byte_gives_the_same, 0, STREAMS);
        tcase_add_test(cases, random_streams_cut_unread_and_held_at_random_give_the_same);
        tcase_add_test(cases, errors_have_the_texts_of_redis);
        tcase_add_test(cases, declared_lengths_beyond_the_limits_are_errors_and_never_wrap);
        tcase_add_test(cases, a_line_of_64_kib_is_taken_and_a_longer_one_is_an_error);
        tcase_add_test(cases, a_request_is_taken_up_to_the_limit_and_refused_as_soon_as_it_must_exceed_it);
        tcase_add_test(cases, memory_follows_bytes_received_and_not_lengths_declared);
        tcase_add_test(cases, many_arguments_are_taken_and_their_views_do_not_stay);
        tcase_add_test(cases, requests_whole_in_the_input_are_views_of_it_and_keep_no_memory);
        tcase_add_test(cases, a_cut_request_takes_only_its_own_rest_from_the_input);
        tcase_add_test(cases, trim_gives_back_what_a_large_request_needed);
        tcase_add_test(cases, an_unread_request_comes_again_from_the_input_or_from_what_was_kept);
        tcase_add_test(cases, a_trickled_request_is_not_scanned_again_for_each_byte);
        tcase_add_test(cases, a_wiped_request_is_nowhere);
}

int main(void)
{
        return suite_run("reader", add);
}
