/* SPDX-License-Identifier: MIT */

#include <check.h>
#include <stdlib.h>

#include "support/suite.h"
#include "util/clock.h"
#include "util/prng.h"
#include "util/timers.h"

START_TEST(they_come_in_the_order_of_their_deadlines)
{
        struct timers timers = { 0 };
        struct timer a = { 0 }, b = { 0 }, c = { 0 };

        ck_assert(timers_next(&timers) == CLOCK_NEVER);
        timers_start(&timers, &a, 30);
        timers_start(&timers, &b, 10);
        timers_start(&timers, &c, 20);
        ck_assert_uint_eq(timers_next(&timers), 10);
        ck_assert_ptr_null(timers_due(&timers, 9));
        ck_assert_ptr_eq(timers_due(&timers, 25), &b);
        ck_assert(!timer_is_started(&b));
        timers_start(&timers, &c, 40);
        ck_assert_ptr_null(timers_due(&timers, 29));
        timers_stop(&timers, &a);
        timers_stop(&timers, &a);
        ck_assert_ptr_eq(timers_due(&timers, 40), &c);
        ck_assert_ptr_null(timers_due(&timers, 1000));
        timers_deinit(&timers);
}
END_TEST

#define MANY 300

static uint64_t earliest(const struct timer *all)
{
        uint64_t first = CLOCK_NEVER;

        for (unsigned i = 0; i < MANY; i++)
                if (timer_is_started(&all[i]) && all[i].deadline < first)
                        first = all[i].deadline;
        return first;
}

START_TEST(they_agree_with_a_search_through_all)
{
        struct timers timers = { 0 };
        struct timer all[MANY] = { 0 }, *due;
        struct prng prng = { .state = (uint64_t)_i + 1 };
        uint64_t now = 0, first;

        for (unsigned step = 0; step < 20000; step++) {
                struct timer *t = &all[prng_below(&prng, MANY)];

                switch (prng_below(&prng, 3)) {
                case 0:
                        timers_start(&timers, t, now + prng_below(&prng, 50));
                        break;
                case 1:
                        timers_stop(&timers, t);
                        suite_need(!timer_is_started(t), "stopped, and started");
                        break;
                default:
                        now += prng_below(&prng, 3);
                        first = earliest(all);
                        suite_need(timers_next(&timers) == first, "step %u: not the earliest", step);
                        due = timers_due(&timers, now);
                        suite_need((due != NULL) == (first <= now), "step %u: due or not", step);
                        suite_need(!due || due->deadline == first, "step %u: another is due", step);
                }
        }
        for (unsigned i = 0; i < MANY; i++)
                timers_stop(&timers, &all[i]);
        timers_deinit(&timers);
}
END_TEST

static void add(TCase *cases)
{
        tcase_add_test(cases, they_come_in_the_order_of_their_deadlines);
        tcase_add_loop_test(cases, they_agree_with_a_search_through_all, 0, 10);
}

int main(void)
{
        return suite_run("timers", add);
}
