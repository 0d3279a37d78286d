/* SPDX-License-Identifier: MIT */
#pragma once

#include "ctl/json.h"
#include "ctl/top.h"

/* What the answers that top knows look like as JSON. */

void top_json_rates(struct json *json, const struct top_rates *rates);
void top_json_clients(struct json *json, const char *name, const struct top_clients *clients);

/* The first max of them. */
void top_json_channels(struct json *json, const char *name, const struct top_channels *channels, size_t max);
