/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <hiredis.h>

/*
 * The answer to BROKER STATUS, as one screen or as names and values.
 *
 * The answer is a map, which RESP2 writes as a flat array of names and values: "broker" holds a map, "shards"
 * an array of maps, one per shard. Everything is looked up by name: names that are new are passed over, names
 * that are missing show as "-", so brokerctl and brokerd need not be of one version.
 */

/* Whether the answer has this shape. */
bool status_valid(const redisReply *status);

/* Return: the value of a name in a map, NULL when it has none or there is no map. */
const redisReply *status_get(const redisReply *map, const char *name);

/* Return: whether there is a value, and it is text. */
bool status_is_text(const redisReply *value);

/* Return: whether the name has an integer value that is not negative. */
bool status_number(uint64_t *np, const redisReply *map, const char *name);

/* One screen of at most 100 columns; now in seconds of CLOCK_REALTIME. */
void status_print(FILE *out, const redisReply *status, int64_t now, bool colours);

/* One line of JSON with every name that the broker sent. */
void status_print_json(FILE *out, const redisReply *status);

/* Lines "broker.NAME VALUE" and "shard.ID.NAME VALUE", exact, with every name that the broker sent. */
void status_print_raw(FILE *out, const redisReply *status);
