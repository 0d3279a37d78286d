/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "mesh/port.h"
#include "shard/message.h"

struct ev_loop;

/*
 * Accepts connections on the control thread and hands each one to the shard with the fewest clients. Nothing a
 * peer or the kernel does to one connection touches another one, and nothing ends accepting for good.
 */
struct acceptor;

#define ACCEPTOR_ADMINS_MAX 64 /* clients of the admin socket, which max_clients does not count */

/* A user is a uid. Clients of the admin socket are not counted for any of these. */
struct acceptor_limits {
        unsigned max_clients;
        unsigned max_user_clients; /* of one user; 0: no limit */
        uint64_t user_connects;    /* of one user per second, and as many at once; 0: no limit */
};

struct acceptor_options {
        struct ev_loop *loop;
        struct port *port; /* control's; the shards are its ports 0..n_shards-1 */
        unsigned n_shards;
        struct acceptor_limits limits;
        uint64_t (*now)(void); /* monotonic ns */
};

struct acceptor_stats {
        uint64_t accepted;
        uint64_t rejected_full, rejected_user_clients, rejected_user_connects; /* sent away, for which limit */
        uint64_t rejected_draining;
        uint64_t errors; /* failed calls, and connections that were lost before they could be handed out */
        bool paused;     /* out of descriptors or memory: the next try is up to a timer or a close */
};

/* Ends the process when memory is out. */
struct acceptor *acceptor_new(const struct acceptor_options *options);

/* Stops its watchers; closes no listening socket. Return: NULL. */
struct acceptor *acceptor_free(struct acceptor *acceptor);

/* Accepts from the listening, non-blocking socket fd; its clients get this path, which outlives them, and these
 * ADOPT_* flags. fd stays the caller's. */
void acceptor_add(struct acceptor *acceptor, int fd, const char *path, uint32_t flags);

/* Accepts those who wait at fd, which nobody finds any more, and forgets it. */
void acceptor_remove(struct acceptor *acceptor, int fd);

/* Other flags for those who come from here on. */
void acceptor_set_flags(struct acceptor *acceptor, int fd, uint32_t flags);

/* Stops accepting; counts go on. To be called before the listening sockets are closed. */
void acceptor_stop(struct acceptor *acceptor);

/* Changes the limits for those who come; nobody who is there is sent away. */
void acceptor_set_limits(struct acceptor *acceptor, const struct acceptor_limits *limits);
const struct acceptor_limits *acceptor_limits(const struct acceptor *acceptor);

/*
 * From here on only the admin socket lets somebody in, or everybody comes in again. Who connects is told so and
 * closed: in the queue it would wait for nobody knows what, without a word of why.
 * Return: false: there is no admin socket, by which it could be taken back, so nothing is done.
 */
bool acceptor_drain(struct acceptor *acceptor, bool on);
bool acceptor_is_draining(const struct acceptor *acceptor);

/* Clients handed out and not closed, without those of the admin socket. */
unsigned acceptor_clients_left(const struct acceptor *acceptor);

/* A shard has closed clients, whose message_closed_user follow: makes room for as many, and accepts again if
 * descriptors had run out. */
void acceptor_closed(struct acceptor *acceptor, unsigned shard, const struct message_closed *closed);

/* Clients handed out and not closed, those of the admin socket among them. */
unsigned acceptor_clients(const struct acceptor *acceptor);

const struct acceptor_stats *acceptor_stats(const struct acceptor *acceptor);
