/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>

/*
 * The times that a client has: for its first request (handshake), for what is missing of a request, and between
 * two requests (idle). All are of the policy, and 0 is no limit.
 *
 * A client that waits for something of ours has all the time: the time of a request counts while the client
 * runs, and idle is only who neither waits nor has a subscription.
 *
 * Timers are not moved with every request: one that is due looks how much time is left by then, and is started
 * again for that.
 */

struct client;

/* It was adopted. */
void timeout_begin(struct client *c);

/* What it said was served; any: a request of it, at least, is complete. */
void timeout_served(struct client *c, bool any);

/* A timer of one of these kinds was due. */
void timeout_handshake(struct client *c);
void timeout_request(struct client *c);
void timeout_idle(struct client *c);

/* There is another policy. */
void timeout_adapt(struct client *c);
