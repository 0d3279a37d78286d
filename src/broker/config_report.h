/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>
#include <stdio.h>

#include "util/bytes.h"

/*
 * What is wrong with one configuration file: errors are collected while it is read and checked, then printed
 * sorted by position, each with its source line and a caret. Places are byte offsets into the text until they
 * are printed as line:column, both from 1, columns in characters.
 */

#define CONFIG_REPORT_NOWHERE SIZE_MAX /* as an offset: the file as a whole */

struct config_report_error {
        size_t offset, n; /* the bytes that are wrong; n may pass the end of the line; 0: no line is shown */
        size_t other;     /* a second place that the text ends with, or CONFIG_REPORT_NOWHERE */
        size_t order;     /* errors of one place stay in the order found */
        char *text;
};

struct config_report {
        const char *file;
        struct bytes text;
        struct config_report_error *errors;
        size_t n, cap;
};

/* Both name and text are borrowed. */
void config_report_init(struct config_report *report, const char *file, struct bytes text);
void config_report_deinit(struct config_report *report);

void config_report_add(struct config_report *report, size_t offset, size_t n, const char *format, ...)
        __attribute__((format(printf, 4, 5)));

/* As config_report_add(); " at file:line:column" of the second place is appended to the text. */
void config_report_add_pair(struct config_report *report, size_t offset, size_t n, size_t other,
                            const char *format, ...) __attribute__((format(printf, 5, 6)));

/* The line (from 1) that a byte lies in. */
unsigned config_report_line(const struct config_report *report, size_t offset);

/* The text of the line that a byte lies in, without its end (LF or CRLF). */
struct bytes config_report_line_text(const struct config_report *report, size_t offset);

/* Prints the first CONFIG_ERRORS_MAX errors and the line that counts all of them; nothing when there are none.
 */
void config_report_print(struct config_report *report, FILE *out);
