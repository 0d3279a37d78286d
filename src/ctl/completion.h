/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdio.h>

#include "ctl/args.h"

/* Completion of the command line, for shells. */

/*
 * The script for bash. It knows every verb and option by the tables of both, and asks brokerctl for names that
 * the broker has.
 */
void completion_print_bash(FILE *out);

/*
 * One name on a line, of what the broker has now: "channels", "clients" (their ids) or "shards"; those only
 * that a shell takes as they are, and so many at most that a person may choose. A shell waits for it, so it
 * takes 200 ms at most. Return: CTL_OK, else enum ctl_exit.
 */
int completion_print_values(FILE *out, const struct ctl_request *request);
