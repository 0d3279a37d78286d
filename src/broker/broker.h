/* SPDX-License-Identifier: MIT */
#pragma once

#include "broker/config.h"

enum {
        _BROKER_E_SUCCESS,
        BROKER_E_START,  /* it did not come to serving; why was logged */
        BROKER_E_CONFIG, /* because of its configuration: the secrets; what is wrong was said on stderr */
};

/*
 * A broker's whole life, on the main thread of a process that has no other yet: starts, serves, and returns
 * when it was asked to stop and has.
 *
 * The order of the start: the names of the sockets are taken first, so that a second broker fails before it
 * disturbs anything, and listen() comes last, when every shard is ready: a connect that succeeds is served.
 * In between, once what only root may read was read and what only root may make is made, the process becomes
 * the user of the configuration; rings and threads come after that.
 *
 * The configuration is taken over. Its file is read again at SIGHUP, as broker/reload.h says.
 * Return: 0, BROKER_E_START, BROKER_E_CONFIG.
 */
int broker_run(struct config *config);

/* Checks what a configuration refers to, the file of secrets. Return: 0, BROKER_E_CONFIG (said to errors). */
int broker_check(const struct config *config, FILE *errors);
