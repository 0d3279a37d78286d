/* SPDX-License-Identifier: MIT */
#pragma once

#include "pubsub/access.h"

/* Rules as access.c keeps them, for access_class.c. */

struct access_channel {
        struct bytes pattern;
        size_t prefix; /* bytes that it begins with and that match themselves */
};

struct rule {
        bool deny;
        unsigned actions;
        struct access_range *users;
        unsigned n_users;
        uint32_t *groups;
        unsigned n_groups;
        char **names;
        unsigned n_names;
        char *listener;
        struct access_channel *channels;
        unsigned n_channels;
        char *place;
};

struct access {
        struct rule *rules;
        unsigned n;
        bool allow_by_default;
};

/* Whether a rule is about the subject; any_name: or would be, if that had the right name. */
bool rule_fits(const struct rule *rule, const struct access_subject *subject, bool any_name);

bool rule_covers(const struct rule *rule, struct bytes channel);
