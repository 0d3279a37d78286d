/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

/*
 * What the two floors share: a server that does the least a broker can do. It knows one channel, whatever its
 * name; a connection is a publisher until it subscribes. Each turn of epoll reads what the publishers wrote,
 * builds the turn's frames once, sends them to all subscribers, and answers each publisher once.
 *
 * It trusts its clients: they send PUBLISH and SUBSCRIBE as arrays of bulk strings, in capitals. Anything else
 * ends the program.
 */

struct floor {
        int listener, epoll;
        int *subscribers; /* blocking sockets */
        unsigned n_subscribers, cap_subscribers;
        char *frames; /* of this turn */
        size_t n_frames, cap_frames;
        void *arg; /* of the sender's */
};

/* Sends the frames of the turn to all subscribers; when it returns, the frames are no longer needed. */
typedef void floor_send_fn(struct floor *floor);

/* A subscriber was added. */
typedef void floor_added_fn(struct floor *floor);

/* Serves on a socket until it is killed. added may be NULL. */
_Noreturn void floor_run(const char *path, floor_send_fn *send_all, floor_added_fn *added, void *arg);

/* Prints what failed, with errno, and exits. */
_Noreturn void floor_fail(const char *what);
