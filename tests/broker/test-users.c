/* SPDX-License-Identifier: MIT */

#include "broker/users.h"

#include <check.h>

#include "support/suite.h"
#include "util/clock.h"
#include "util/prng.h"

#define START (5 * NSEC_PER_SEC)

START_TEST(each_user_has_as_many_clients_as_one_may_have)
{
        struct users u;

        users_init(&u);
        for (int i = 0; i < 3; i++)
                ck_assert_int_eq(users_enter(&u, 1, 3, 0, START), 0);
        ck_assert_int_eq(users_enter(&u, 1, 3, 0, START), USERS_E_CLIENTS);
        ck_assert_int_eq(users_enter(&u, 2, 3, 0, START), 0);
        ck_assert_int_eq(users_enter(&u, 1, 0, 0, START), 0); /* 0: no limit; they are counted all the same */
        ck_assert_uint_eq(users_clients(&u, 1), 4);
        users_leave(&u, 1, 2, 0, START);
        ck_assert_int_eq(users_enter(&u, 1, 3, 0, START), 0);
        ck_assert_int_eq(users_enter(&u, 1, 3, 0, START), USERS_E_CLIENTS);
        users_deinit(&u);
}
END_TEST

START_TEST(each_user_connects_as_often_as_one_may)
{
        struct users u;

        users_init(&u);
        for (int i = 0; i < 10; i++) {
                ck_assert_int_eq(users_enter(&u, 1, 0, 10, START), 0);
                users_leave(&u, 1, 1, 10, START); /* who goes at once is not forgotten */
        }
        ck_assert_int_eq(users_enter(&u, 1, 0, 10, START), USERS_E_CONNECTS);
        ck_assert_int_eq(users_enter(&u, 2, 0, 10, START), 0);
        ck_assert_int_eq(users_enter(&u, 1, 0, 10, START + NSEC_PER_SEC / 10 - 1), USERS_E_CONNECTS);
        ck_assert_int_eq(users_enter(&u, 1, 0, 10, START + NSEC_PER_SEC / 10), 0); /* refusals cost nothing */
        ck_assert_int_eq(users_enter(&u, 1, 0, 10, START + NSEC_PER_SEC / 10), USERS_E_CONNECTS);
        ck_assert_int_eq(users_enter(&u, 1, 0, 0, START), 0);
        users_deinit(&u);
}
END_TEST

START_TEST(who_has_left_is_forgotten)
{
        struct users u;
        uint64_t now = START;

        users_init(&u);
        ck_assert_int_eq(users_enter(&u, 1, 0, 0, now), 0);
        users_leave(&u, 1, 1, 0, now);
        ck_assert_uint_eq(u.by_uid.n, 0); /* at once, where there is no rate */
        for (uid_t uid = 0; uid < 100000; uid++, now += NSEC_PER_SEC / 1000) {
                ck_assert_int_eq(users_enter(&u, uid, 1, 1, now), 0);
                users_leave(&u, uid, 1, 1, now);
                suite_need(u.by_uid.n <= 1001, "uid %u: %zu users", (unsigned)uid, u.by_uid.n);
        }
        for (uid_t uid = 0; uid < 1000; uid++) /* and a crowd of a moment is, too */
                ck_assert_int_eq(users_enter(&u, 1000000 + uid, 1, 1, now), 0);
        for (uid_t uid = 0; uid < 1000; uid++)
                users_leave(&u, 1000000 + uid, 1, 1, now);
        for (int i = 0; i < 2000; i++, now += NSEC_PER_SEC)
                users_enter(&u, 7, 1, 1, now);
        ck_assert_uint_eq(u.by_uid.n, 1);
        users_deinit(&u);
}
END_TEST

#define USERS 20

/* Against counters, one for each user. */
START_TEST(they_are_counted)
{
        struct prng prng = { .state = (uint64_t)_i + 1 };
        unsigned n[USERS] = { 0 };
        uint64_t now = START;
        struct users u;

        users_init(&u);
        for (int i = 0; i < 50000; i++) {
                uid_t uid = (uid_t)prng_below(&prng, USERS);
                uint64_t rate = prng_below(&prng, 100) ? 5 : 0; /* as reloads change it */

                now += prng_below(&prng, NSEC_PER_SEC / 50);
                if (prng_below(&prng, 2) && n[uid]) {
                        unsigned some = 1 + (unsigned)prng_below(&prng, n[uid]);

                        users_leave(&u, uid, some, rate, now);
                        n[uid] -= some;
                } else {
                        switch (users_enter(&u, uid, 4, rate, now)) {
                        case 0:
                                suite_need(n[uid] < 4, "step %d: one too many", i);
                                n[uid]++;
                                break;
                        case USERS_E_CLIENTS:
                                suite_need(n[uid] == 4, "step %d: refused below the limit", i);
                        }
                }
                suite_need(users_clients(&u, uid) == n[uid], "step %d: not as many", i);
        }
        users_deinit(&u);
}
END_TEST

static void add(TCase *cases)
{
        tcase_add_test(cases, each_user_has_as_many_clients_as_one_may_have);
        tcase_add_test(cases, each_user_connects_as_often_as_one_may);
        tcase_add_test(cases, who_has_left_is_forgotten);
        tcase_add_loop_test(cases, they_are_counted, 0, 5);
}

int main(void)
{
        return suite_run("users", add);
}
