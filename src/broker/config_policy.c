/* SPDX-License-Identifier: MIT */

#include "broker/config_policy.h"

#include <stdlib.h>

#include "broker/config_view.h"
#include "util/list.h"
#include "util/mem.h"

/* A policy and what it refers to. */
struct whole {
        struct policy policy;
        struct config_view view;
};

struct policy *config_policy_new(const struct config *config, const struct plan *plan)
{
        struct whole *w = mem_zalloc(sizeof(*w));

        w->policy.limits = (struct policy_limits){
                .request_bytes = config->max_request_bytes,
                .output_hard = CONFIG_OUTPUT_HARD,
        };
        config_view_init(&w->view, config, plan, w->policy.limits.output_hard);
        w->policy.settings = w->view.settings;
        w->policy.n_settings = w->view.n;
        return &w->policy;
}

struct policy *config_policy_free(struct policy *policy)
{
        struct whole *w;

        if (!policy)
                return NULL;
        w = container_of(policy, struct whole, policy);
        config_view_deinit(&w->view);
        free(w);
        return NULL;
}
