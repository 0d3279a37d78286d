/* SPDX-License-Identifier: MIT */
#pragma once

#include "broker/config.h"

enum {
        _BROKER_E_SUCCESS,
        BROKER_E_START, /* it did not come to serving; why was logged */
};

/*
 * A broker's whole life, on the main thread of a process that has no other yet: starts, serves, and returns
 * when it was asked to stop and has.
 *
 * The order of the start: the names of the sockets are taken first, so that a second broker fails before it
 * disturbs anything, and listen() comes last, when every shard is ready: a connect that succeeds is served.
 *
 * The configuration is taken over. Its file is read again at SIGHUP, as broker/reload.h says.
 * Return: 0, BROKER_E_START.
 */
int broker_run(struct config *config);
