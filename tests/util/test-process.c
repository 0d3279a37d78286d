/* SPDX-License-Identifier: MIT */

#include "util/process.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "support/suite.h"

#define BLOCK ((size_t)64 << 20)

/* With an allocator that is not libc's, which libc knows nothing of. */
static bool is_instrumented(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
        return true;
#elif defined(__has_feature)
        return __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
        return false;
#endif
}

START_TEST(memory_grows_with_what_is_allocated_and_touched)
{
        struct process_memory before = process_memory(), after, freed;
        char *block = malloc(BLOCK);
        volatile char *touched = block; /* or the compiler would leave all of it out */

        ck_assert_ptr_nonnull(block);
        for (size_t i = 0; i < BLOCK; i += 512)
                touched[i] = 1;
        after = process_memory();
        ck_assert_uint_ge(after.resident, before.resident + BLOCK);
        free(block);
        freed = process_memory();
        ck_assert_uint_ge(before.total, after.resident);
        if (!is_instrumented()) {
                ck_assert_uint_ge(after.allocated, before.allocated + BLOCK);
                ck_assert_uint_lt(freed.allocated, before.allocated + BLOCK / 2);
        }
        ck_assert_uint_gt(freed.resident, 0);
}
END_TEST

/* The kernel's own figure, in a file of another form. */
START_TEST(resident_memory_is_what_the_kernel_shows_elsewhere)
{
        FILE *f = fopen("/proc/self/status", "re");
        char line[256];
        unsigned long kib = 0;

        ck_assert_ptr_nonnull(f);
        while (fgets(line, sizeof(line), f))
                if (sscanf(line, "VmRSS: %lu", &kib) == 1)
                        break;
        fclose(f);
        ck_assert_uint_gt(kib, 0);
        ck_assert_uint_lt(process_memory().resident, (kib + 8192) * 1024);
        ck_assert_uint_gt(process_memory().resident + (8 << 20), kib * 1024);
}
END_TEST

START_TEST(cpu_time_is_that_of_this_process)
{
        struct process_cpu before = process_cpu(), after;
        struct timespec cpu;

        do
                clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
        while (cpu.tv_sec == 0 && cpu.tv_nsec < 50000000);
        after = process_cpu();
        ck_assert_uint_gt(after.user_us + after.system_us, before.user_us + before.system_us);
        ck_assert_uint_ge(after.user_us + after.system_us, 40000);
        ck_assert_uint_lt(after.user_us + after.system_us, 60 * UINT64_C(1000000));
}
END_TEST

static void add(TCase *cases)
{
        tcase_add_test(cases, memory_grows_with_what_is_allocated_and_touched);
        tcase_add_test(cases, resident_memory_is_what_the_kernel_shows_elsewhere);
        tcase_add_test(cases, cpu_time_is_that_of_this_process);
}

int main(void)
{
        return suite_run("process", add);
}
