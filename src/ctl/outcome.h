/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdio.h>
#include <hiredis.h>

#include "ctl/json.h"

/* The answer to BROKER CONFIG RELOAD and DIFF: what differs between file and broker, or why the file is
 * refused. */

/* Whether the answer has this shape. */
bool outcome_valid(const redisReply *reply);

/* Whether the file is good. */
bool outcome_ok(const redisReply *reply);

/* Return: how many values differ. */
size_t outcome_changes(const redisReply *reply);

/* The changes as a table: key, running, new, applies. */
void outcome_print(FILE *out, const redisReply *reply);

/* Members of an open object: ok, file, changes, errors. */
void outcome_json(struct json *json, const redisReply *reply);

/* Says on stderr that the file is refused, and each of its errors on a line of its own. */
void outcome_explain(const redisReply *reply);
