/* SPDX-License-Identifier: MIT */
#pragma once

#include "ctl/args.h"
#include "ctl/link.h"

/* What brokerctl can do: the functions behind the table in verbs.c, which says what each takes. */

int verb_ping(const struct ctl_request *request);
int verb_status(const struct ctl_request *request);
int verb_pub(const struct ctl_request *request);
int verb_sub(const struct ctl_request *request);
int verb_tap(const struct ctl_request *request);
int verb_clients(const struct ctl_request *request);
int verb_client(const struct ctl_request *request);
int verb_channels(const struct ctl_request *request);
int verb_patterns(const struct ctl_request *request);
int verb_shards(const struct ctl_request *request);
int verb_latency(const struct ctl_request *request);
int verb_top(const struct ctl_request *request);
int verb_kill(const struct ctl_request *request);
int verb_metrics(const struct ctl_request *request);
int verb_bench(const struct ctl_request *request);
int verb_config_check(const struct ctl_request *request);
int verb_config_show(const struct ctl_request *request);
int verb_config_diff(const struct ctl_request *request);
int verb_config_reload(const struct ctl_request *request);
int verb_log(const struct ctl_request *request);
int verb_drain(const struct ctl_request *request);
int verb_explain(const struct ctl_request *request);
int verb_doctor(const struct ctl_request *request);
int verb_shutdown(const struct ctl_request *request);
int verb_help(const struct ctl_request *request);

/* An answer of a shape that the verb cannot take. Return: CTL_FAILED. */
int verb_strange(const struct link *link);
