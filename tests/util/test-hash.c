/* SPDX-License-Identifier: MIT */

#include "util/hash.h"

#include "support/suite.h"
#include "util/prng.h"

/* The first vectors of the SipHash paper's reference: key 00..0f, message 00..n-1. */
START_TEST(siphash24_gives_the_vectors_of_the_paper)
{
        static const uint64_t expected[] = { UINT64_C(0x726fdb47dd0e0e31), UINT64_C(0x74f839c593dc67fd),
                                             UINT64_C(0x0d6c8009d9a94f5a), UINT64_C(0x85676696d7fb7e2d) };
        struct hash_key key = { UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908) };
        uint8_t message[15];

        for (unsigned i = 0; i < sizeof(message); i++)
                message[i] = (uint8_t)i;
        for (unsigned n = 0; n < 4; n++)
                ck_assert_uint_eq(hash_siphash24(&key, bytes_of(message, n)), expected[n]);
        ck_assert_uint_eq(hash_siphash24(&key, bytes_of(message, 15)), UINT64_C(0xa129ca6149be45e5));
}
END_TEST

static bool same(const void *item, const void *key)
{
        return item == key;
}

START_TEST(table_keeps_what_was_added_and_not_removed)
{
        static int items[2000];
        static bool in[2000];
        struct table t = { 0 };
        struct prng prng = { 1 };
        size_t n = 0, pos = 0, seen = 0;

        for (int turn = 0; turn < 200000; turn++) {
                unsigned i = (unsigned)prng_below(&prng, 2000);
                uint64_t hash = i % 37; /* long probe sequences */

                if (in[i]) {
                        ck_assert_ptr_eq(table_find(&t, hash, same, &items[i]), &items[i]);
                        table_remove(&t, hash, &items[i]);
                        n--;
                } else {
                        ck_assert_ptr_null(table_find(&t, hash, same, &items[i]));
                        if (prng_below(&prng, 10) > 2 && n > 400)
                                continue;
                        table_add(&t, hash, &items[i]);
                        n++;
                }
                in[i] = !in[i];
                ck_assert_uint_eq(t.n, n);
        }
        while (table_next(&t, &pos))
                seen++;
        ck_assert_uint_eq(seen, n);
        table_deinit(&t);
}
END_TEST

static void add(TCase *cases)
{
        tcase_add_test(cases, siphash24_gives_the_vectors_of_the_paper);
        tcase_add_test(cases, table_keeps_what_was_added_and_not_removed);
}

int main(void)
{
        return suite_run("hash", add);
}
