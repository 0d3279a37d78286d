/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdio.h>
#include <hiredis.h>

/*
 * The answer to BROKER STATUS as Prometheus's text format 0.0.4. One table says for each figure what it is
 * called, of which type it is and what it means; figures that the table does not know are passed over, and
 * those that the broker does not give are not there. No label has a value that clients choose.
 */

/* A metric after the other, with HELP and TYPE. The answer must be status_valid(). */
void metrics_print(FILE *out, const redisReply *status);
