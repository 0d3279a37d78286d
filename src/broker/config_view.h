/* SPDX-License-Identifier: MIT */
#pragma once

#include "broker/config.h"
#include "broker/plan.h"
#include "shard/policy.h"

/*
 * The configuration as CONFIG GET shows it: what the broker does, under the names that Redis has for it, then
 * the options under their names in the file, with values as --dump-config prints them.
 */
struct config_view {
        struct policy_setting *settings;
        char **values; /* of the settings, owned */
        unsigned n;
};

void config_view_init(struct config_view *view, const struct config *config, const struct plan *plan);
void config_view_deinit(struct config_view *view);
