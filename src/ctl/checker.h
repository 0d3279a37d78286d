/* SPDX-License-Identifier: MIT */
#pragma once

#include "ctl/args.h"
#include "util/buffer.h"

/*
 * `brokerd --check`, which is asked to check a file, since it alone reads YAML: no broker need run for that,
 * and no broker opens a file that somebody else names. It is the brokerd that lies beside this program, as in a
 * build tree, else the one that was installed with it.
 */

/* Becomes it. Return: only if that cannot be, CTL_FAILED (said on stderr). */
int checker_become(const char *file);

/* Runs it, and collects what it writes to stderr. Return: CTL_OK, the file is good; CTL_FAILED, it is not;
 * -1: it could not be asked (said on stderr). */
int checker_run(const char *file, struct buffer *errors);
