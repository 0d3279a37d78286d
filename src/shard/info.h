/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

#include "util/bytes.h"

/*
 * INFO: counters of the broker as lines of text, in sections. The format, and the names of what Redis counts as
 * well, are those of Redis 7; redis_version is not among them, since this is not Redis. Counts run from the
 * start or from the last CONFIG RESETSTAT.
 */

struct client;
struct gather;

/*
 * The sections that the arguments of INFO name, in letters of any case; no argument is "default".
 * Return: a bit for each, in the order in which they are written; 0: there are none of these names.
 */
unsigned info_sections(const struct bytes *names, size_t n);

/* Appends the reply to shard.reply: the sections of a gather of the counters. */
void info_write(struct client *c, const struct gather *g);
