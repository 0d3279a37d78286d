/* SPDX-License-Identifier: MIT */
/* config_shards_auto() is a stand-in here: half of the CPUs, so that the plan is seen to ask for it. */

#include "broker/plan.h"

#include "support/suite.h"

unsigned config_shards_auto(unsigned n_cpus)
{
        return n_cpus > 1 ? n_cpus / 2 : 1;
}

static const uint16_t eight[] = { 2, 3, 4, 5, 10, 11, 12, 13 };
static const struct plan_machine machine = { .cpus = eight, .n_cpus = 8, .n_files = 1000000 };

static struct config config_of(unsigned shards, enum config_cpus cpus)
{
        return (struct config){ .shards = shards, .cpus = cpus, .spin_ns = 20000, .max_clients = 10000 };
}

START_TEST(auto_pins_to_the_last_cpus_and_leaves_the_first)
{
        struct config config = config_of(3, CONFIG_CPUS_AUTO);
        struct plan plan;
        unsigned cpu;

        ck_assert_int_eq(plan_make(&plan, &config, &machine, &cpu), 0);
        ck_assert_uint_eq(plan.n_shards, 3);
        ck_assert_int_eq(plan.pinning, PLAN_PINNED);
        ck_assert(!plan.must_pin);
        ck_assert_int_eq(plan.cpu[0], 11);
        ck_assert_int_eq(plan.cpu[1], 12);
        ck_assert_int_eq(plan.cpu[2], 13);
        ck_assert_uint_eq(plan.spin_ns, 20000);
}
END_TEST

START_TEST(auto_does_not_pin_when_no_cpu_is_to_spare)
{
        struct config config = config_of(8, CONFIG_CPUS_AUTO);
        struct plan plan;
        unsigned cpu;

        ck_assert_int_eq(plan_make(&plan, &config, &machine, &cpu), 0);
        ck_assert_int_eq(plan.pinning, PLAN_UNPINNED_NO_SPARE);
        for (unsigned i = 0; i < 8; i++)
                ck_assert_int_eq(plan.cpu[i], -1);
        ck_assert_uint_eq(plan.spin_ns, 20000);
        config.shards = 7;
        ck_assert_int_eq(plan_make(&plan, &config, &machine, &cpu), 0);
        ck_assert_int_eq(plan.pinning, PLAN_PINNED);
        ck_assert_int_eq(plan.cpu[0], 3);
}
END_TEST

START_TEST(more_shards_than_cpus_never_spin)
{
        struct config config = config_of(9, CONFIG_CPUS_NONE);
        uint16_t list[] = { 2, 3, 3 };
        struct plan plan;
        unsigned cpu;

        ck_assert_int_eq(plan_make(&plan, &config, &machine, &cpu), 0);
        ck_assert_int_eq(plan.pinning, PLAN_UNPINNED_BY_CONFIG);
        ck_assert_uint_eq(plan.spin_ns, 0);
        config = config_of(3, CONFIG_CPUS_LIST);
        config.cpu_list = list;
        config.n_cpu_list = 3;
        ck_assert_int_eq(plan_make(&plan, &config, &machine, &cpu), 0);
        ck_assert_uint_eq(plan.spin_ns, 0); /* a CPU that is listed twice is one */
        list[2] = 4;
        ck_assert_int_eq(plan_make(&plan, &config, &machine, &cpu), 0);
        ck_assert_uint_eq(plan.spin_ns, 20000);
}
END_TEST

START_TEST(a_list_is_taken_as_it_is_given)
{
        struct config config = config_of(3, CONFIG_CPUS_LIST);
        uint16_t list[] = { 13, 2 };
        struct plan plan;
        unsigned cpu = 0;

        config.cpu_list = list;
        config.n_cpu_list = 2;
        ck_assert_int_eq(plan_make(&plan, &config, &machine, &cpu), 0);
        ck_assert(plan.must_pin);
        ck_assert_int_eq(plan.cpu[0], 13);
        ck_assert_int_eq(plan.cpu[1], 2);
        ck_assert_int_eq(plan.cpu[2], 13);
        config.shards = 0;
        ck_assert_int_eq(plan_make(&plan, &config, &machine, &cpu), 0);
        ck_assert_uint_eq(plan.n_shards, 2);
        list[1] = 6;
        ck_assert_int_eq(plan_make(&plan, &config, &machine, &cpu), PLAN_E_CPU);
        ck_assert_uint_eq(cpu, 6);
}
END_TEST

START_TEST(auto_shards_come_from_the_cpus_of_the_mask)
{
        struct config config = config_of(0, CONFIG_CPUS_AUTO);
        struct plan plan;
        unsigned cpu;

        ck_assert_int_eq(plan_make(&plan, &config, &machine, &cpu), 0);
        ck_assert_uint_eq(plan.n_shards, 4);
        ck_assert_int_eq(plan.cpu[0], 10);
}
END_TEST

/* Known failure 16: what the broker itself needs is not lent to clients. */
START_TEST(clients_get_what_the_limit_leaves)
{
        struct config config = config_of(1, CONFIG_CPUS_NONE);
        uint64_t reserved = plan_files_reserved(&config, 1);
        struct plan_machine small = machine;
        struct plan plan;
        unsigned cpu;

        small.n_files = reserved + 10000;
        ck_assert_int_eq(plan_make(&plan, &config, &small, &cpu), 0);
        ck_assert_uint_eq(plan.max_clients, 10000);
        small.n_files--;
        ck_assert_int_eq(plan_make(&plan, &config, &small, &cpu), 0);
        ck_assert_uint_eq(plan.max_clients, 9999);
        small.n_files = reserved + 1;
        ck_assert_int_eq(plan_make(&plan, &config, &small, &cpu), 0);
        ck_assert_uint_eq(plan.max_clients, 1);
        small.n_files = reserved;
        ck_assert_int_eq(plan_make(&plan, &config, &small, &cpu), PLAN_E_FILES);
        config.admin = (char *)(uintptr_t) "/run/admin.sock";
        ck_assert_uint_gt(plan_files_reserved(&config, 1), reserved + 64);
}
END_TEST

static void add(TCase *cases)
{
        tcase_add_test(cases, auto_pins_to_the_last_cpus_and_leaves_the_first);
        tcase_add_test(cases, auto_does_not_pin_when_no_cpu_is_to_spare);
        tcase_add_test(cases, more_shards_than_cpus_never_spin);
        tcase_add_test(cases, a_list_is_taken_as_it_is_given);
        tcase_add_test(cases, auto_shards_come_from_the_cpus_of_the_mask);
        tcase_add_test(cases, clients_get_what_the_limit_leaves);
}

int main(void)
{
        return suite_run("plan", add);
}
