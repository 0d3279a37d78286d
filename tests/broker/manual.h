/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/suite.h"

/* The examples that users read, for the tests that load them. */

#define MANUAL_SENSOR 400001 /* what stands for the users of the examples */
#define MANUAL_UI     42

/* Return: the text of a file; to be freed. */
static inline char *manual_read(const char *name)
{
        const size_t most = 256 * 1024;
        char *text = malloc(most + 1);
        FILE *f = fopen(name, "r");
        size_t n;

        ck_assert(text && f);
        n = fread(text, 1, most, f);
        ck_assert_uint_lt(n, most);
        fclose(f);
        text[n] = 0;
        return text;
}

/* Users and groups of examples need not be on this machine; numbers of the same length stand for them. Return:
 * how many there were. */
static inline unsigned manual_number_names(char *text)
{
        static const char *const names[][2] = { { "user: sensor", "user: 400001" },
                                                { "user: ui", "user: 42" },
                                                { "user: brokerd", "user: 4000003" },
                                                { "group: adm", "group: 444" },
                                                { "group: apps", "group: 4444" } };
        unsigned n = 0;

        for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
                for (char *at = text; (at = strstr(at, names[i][0])); n++)
                        memcpy(at, names[i][1], strlen(names[i][1]));
        return n;
}

/* The next display that is a whole file, cut out of the manual; *restp starts at its text. Return: NULL: no
 * more. */
static inline char *manual_next_example(char **restp)
{
        static const char begin[] = ".Bd -literal -offset indent\n";
        char *text = strstr(*restp, begin), *end;

        if (!text)
                return NULL;
        text += strlen(begin);
        end = strstr(text, ".Ed\n");
        ck_assert_ptr_nonnull(end);
        *end = 0;
        *restp = end + 1;
        return text;
}
