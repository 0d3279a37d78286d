/* SPDX-License-Identifier: MIT */

#include "util/cpu.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>

#include "support/suite.h"

#define CPUS_MAX 1024

START_TEST(allowed_cpus_are_those_of_the_affinity_mask_in_rising_order)
{
        uint16_t cpus[CPUS_MAX];
        unsigned n = 0;
        cpu_set_t mask;

        ck_assert_int_eq(cpu_allowed(cpus, CPUS_MAX, &n), 0);
        ck_assert_uint_gt(n, 0);
        ck_assert_int_eq(sched_getaffinity(0, sizeof(mask), &mask), 0);
        ck_assert_uint_eq(n, CPU_COUNT(&mask));
        for (unsigned i = 0; i < n; i++) {
                ck_assert(CPU_ISSET(cpus[i], &mask));
                ck_assert(i == 0 || cpus[i] > cpus[i - 1]);
        }
}
END_TEST

START_TEST(no_more_cpus_are_written_than_there_is_room_for)
{
        uint16_t cpus[2] = { 7, 0xbeef };
        unsigned n = 0;

        ck_assert_int_eq(cpu_allowed(cpus, 1, &n), 0);
        ck_assert_uint_eq(n, 1);
        ck_assert_uint_eq(cpus[1], 0xbeef);
}
END_TEST

/* On a thread of its own: the mask of the process is left as it is. */
static void *pinned(void *arg)
{
        uint16_t cpus[CPUS_MAX];
        unsigned *last = arg, n = 0;

        ck_assert_int_eq(cpu_allowed(cpus, CPUS_MAX, &n), 0);
        *last = cpus[n - 1];
        ck_assert_int_eq(cpu_pin(*last), 0);
        ck_assert_int_eq(cpu_allowed(cpus, CPUS_MAX, &n), 0);
        ck_assert_uint_eq(n, 1);
        ck_assert_uint_eq(cpus[0], *last);
        ck_assert_int_eq(sched_getcpu(), (int)*last);
        ck_assert_int_eq(cpu_pin(65535), -EINVAL);
        return NULL;
}

START_TEST(pinning_leaves_one_cpu_to_the_calling_thread_only)
{
        uint16_t cpus[CPUS_MAX];
        unsigned before = 0, after = 0, last = 0;
        pthread_t thread;

        ck_assert_int_eq(cpu_allowed(cpus, CPUS_MAX, &before), 0);
        ck_assert_int_eq(pthread_create(&thread, NULL, pinned, &last), 0);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        ck_assert_int_eq(cpu_allowed(cpus, CPUS_MAX, &after), 0);
        ck_assert_uint_eq(before, after);
}
END_TEST

static void add(TCase *cases)
{
        tcase_add_test(cases, allowed_cpus_are_those_of_the_affinity_mask_in_rising_order);
        tcase_add_test(cases, no_more_cpus_are_written_than_there_is_room_for);
        tcase_add_test(cases, pinning_leaves_one_cpu_to_the_calling_thread_only);
}

int main(void)
{
        return suite_run("cpu", add);
}
