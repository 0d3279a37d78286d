/* SPDX-License-Identifier: MIT */
#pragma once

#include <check.h>
#include <stdlib.h>

/* As ck_assert_msg(), for what is asked a million times: Check writes down each of its own. */
#define suite_need(_condition, ...)                                                                            \
        do {                                                                                                   \
                if (!(_condition))                                                                             \
                        ck_abort_msg(__VA_ARGS__);                                                             \
        } while (0)

/* Runs a suite as the whole program. CK_FORK=no runs it in this process, as sanitizers want it. */
static inline int suite_finish(Suite *suite)
{
        SRunner *runner = srunner_create(suite);
        int failed;

        srunner_run_all(runner, CK_ENV);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* A suite of one group of cases. */
static inline int suite_run(const char *name, void (*add)(TCase *))
{
        Suite *suite = suite_create(name);
        TCase *cases = tcase_create(name);

        tcase_set_timeout(cases, 60);
        add(cases);
        suite_add_tcase(suite, cases);
        return suite_finish(suite);
}
