/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <hiredis.h>

#include "util/bytes.h"

/*
 * Looking into answers. A map is a flat array of names and values, as RESP2 writes it; values are looked up by
 * name, so that names that are new, or missing, do no harm. Every function takes NULL for an answer.
 */

bool reply_is_list(const redisReply *reply);
bool reply_is_text(const redisReply *reply);

/* Return: the value of a name in a map, NULL when it has none. */
const redisReply *reply_get(const redisReply *map, const char *name);

/* Return: whether the name has an integer value that is not negative. */
bool reply_number(uint64_t *np, const redisReply *map, const char *name);

/* The number of a name, or 0. */
uint64_t reply_count(const redisReply *map, const char *name);

/* The text of a name, or nothing. */
struct bytes reply_text(const redisReply *map, const char *name);

/* Item i of a list; NULL behind the last. */
const redisReply *reply_item(const redisReply *list, size_t i);
