/* SPDX-License-Identifier: MIT */
#pragma once

#include "broker/acceptor.h"
#include "broker/config.h"
#include "broker/plan.h"
#include "broker/secrets.h"
#include "shard/policy.h"

/*
 * What a configuration asks of the shards. It is complete in itself: the config may be freed before it.
 * Return: the policy; it ends the process when memory is out.
 */
struct policy *config_policy_new(const struct config *config, const struct plan *plan);

/* Tells a policy that is not in use yet who has a secret; NULL: nobody. */
void config_policy_set_secrets(struct policy *policy, const struct secrets *secrets);

/* Whether a policy names other secrets than these. */
bool config_policy_secrets_differ(const struct policy *policy, const struct secrets *secrets);

/* What it asks of the acceptor. */
struct acceptor_limits config_acceptor_limits(const struct config *config, const struct plan *plan);

/* Return: NULL. */
struct policy *config_policy_free(struct policy *policy);
