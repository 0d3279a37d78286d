/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "util/bytes.h"

/* Who may do what: rules over users, groups, names and listeners, for actions on channels. */

enum access_action { ACCESS_PUBLISH, ACCESS_SUBSCRIBE, ACCESS_PSUBSCRIBE, ACCESS_ADMIN, _ACCESS_ACTION_N };

struct access_range {
        uint32_t least, greatest; /* of uids, both included */
};

struct access_rule {
        bool deny;
        unsigned actions; /* bits 1 << enum access_action */
        const struct access_range *users;
        unsigned n_users; /* 0: any */
        const uint32_t *groups;
        unsigned n_groups; /* 0: any; of the client, one is enough */
        const char *const *names;
        unsigned n_names;     /* authenticated names; 0: any */
        const char *listener; /* path; NULL: any */
        const struct bytes *channels;
        unsigned n_channels; /* patterns; 0: any channel */
        const char *place;   /* "broker.yaml:17: access[2]", for logs */
};
