/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>

#include "broker/config.h"

/* The option log, and the log (util/log). Main thread only. */

/* Whether the log goes elsewhere, or in another form, by the one than by the other. */
bool logging_differs(const struct config_log *a, const struct config_log *b);

bool logging_is_stderr(const struct config_log *log);

/*
 * From here on the log goes where the option says. Return: 0; LOGGING_E_REFUSED, why was logged where it went
 * before, and it goes on there.
 */
int logging_open(const struct config_log *log);

/* Opens the file anew, if it is one. Where that fails, it is logged, and the old file goes on. */
void logging_reopen(void);

enum {
        _LOGGING_E_SUCCESS,
        LOGGING_E_REFUSED,
};
