/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "broker/config.h"
#include "util/buffer.h"
#include "util/bytes.h"

/*
 * Users and groups, by number or by name. Names are looked up when they are read, and stand for their numbers
 * from then on. Reading returns whether the text is one; a reason is appended to why, and the result is then
 * unchanged.
 */

enum config_id {
        CONFIG_ID_USER,
        CONFIG_ID_GROUP,
};

bool config_id_read(enum config_id kind, struct bytes text, uint32_t *idp, struct buffer *why);

/* A user, or "1000-1999": all uids from the one to the other. */
bool config_id_range_read(struct bytes text, struct config_range *rangep, struct buffer *why);
void config_id_range_write(struct config_range range, struct buffer *out);
