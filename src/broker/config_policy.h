/* SPDX-License-Identifier: MIT */
#pragma once

#include "broker/config.h"
#include "broker/plan.h"
#include "shard/policy.h"

/*
 * What a configuration asks of the shards. It is complete in itself: the config may be freed before it.
 * Return: the policy; it ends the process when memory is out.
 */
struct policy *config_policy_new(const struct config *config, const struct plan *plan);

/* Return: NULL. */
struct policy *config_policy_free(struct policy *policy);
