/* SPDX-License-Identifier: MIT */
#pragma once

#include "broker/config.h"
#include "pubsub/access.h"

/* The rules of a configuration as pubsub/access takes them; what they refer to belongs to the configuration and
 * to the list. */
struct config_access_list {
        struct access_rule *rules;
        unsigned n;
        struct access_range *ranges; /* of all rules */
        char **places;
};

void config_access_list_init(struct config_access_list *list, const struct config *config);
void config_access_list_deinit(struct config_access_list *list);
