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

struct acceptor_options {
        struct ev_loop *loop;
        struct port *port; /* control's; the shards are its ports 0..n_shards-1 */
        unsigned n_shards;
        unsigned max_clients;
};

struct acceptor_stats {
        uint64_t accepted;
        uint64_t rejected_full; /* sent away because of max_clients */
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

/* From here on; who is connected stays. */
void acceptor_set_max_clients(struct acceptor *acceptor, unsigned max_clients);

/* Stops accepting; counts go on. To be called before the listening sockets are closed. */
void acceptor_stop(struct acceptor *acceptor);

/* A shard has closed clients: makes room for as many, and accepts again if descriptors had run out. */
void acceptor_closed(struct acceptor *acceptor, unsigned shard, const struct message_closed *closed);

/* Clients handed out and not closed, those of the admin socket among them. */
unsigned acceptor_clients(const struct acceptor *acceptor);

const struct acceptor_stats *acceptor_stats(const struct acceptor *acceptor);
