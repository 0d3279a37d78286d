/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>

#include "broker/control.h"
#include "shard/message.h"

/*
 * What clients order of the configuration (BROKER CONFIG, BROKER LOG), and SIGHUP does: on control's thread, by
 * struct reload.
 */

/* arg: the struct reload. Return: whether it was done; if not, the answer says why. */
bool orders_obey(void *arg, const struct message_order *order, struct control_answer *answer);
