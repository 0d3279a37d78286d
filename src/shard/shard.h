/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "mesh/port.h"
#include "reactor/reactor.h"
#include "shard/policy.h"
#include "util/hash.h"

/*
 * A shard: one thread that owns its connections, its subscription index, its reactor and its port of the mesh,
 * and the one loop that ties them together. Nothing in here is touched by another thread.
 */

struct shard;

struct shard_options {
        unsigned id;       /* its port of the mesh, below n_shards */
        unsigned n_shards; /* port n_shards is control */
        struct port *port;
        const struct reactor_ops *reactor_ops;
        struct reactor_options reactor; /* wake_fd: the eventfd behind the port's waker */
        uint64_t (*now)(void);          /* monotonic ns */
        uint64_t spin_ns;               /* look for work at most this long before parking; 0: never spin */
        unsigned drain_budget;          /* messages of one source in one turn */
        const struct policy *policy;    /* until a newer one comes by message */
        uint64_t linger_ns;             /* a closing client's time to take more of its output */
        struct hash_key hash_key;
        uid_t owner;                /* the broker's own uid: with uid 0 the one that may administer */
        int cpu;                    /* pinned to, for the status; -1: not pinned */
        const char *version;        /* of the broker; outlives the shard */
        const char *reactor_reason; /* in words, why this reactor runs; NULL: not said; outlives the shard */
};

enum {
        _SHARD_E_SUCCESS,
        SHARD_E_STOPPED,     /* MESSAGE_STOP was carried out; the shard has nothing left to do */
        SHARD_E_UNSUPPORTED, /* the reactor cannot run here */
};

/* On the shard's own thread. Return: 0, SHARD_E_UNSUPPORTED, -errno. */
int shard_new(struct shard **shardp, const struct shard_options *options);

/* Closes what is left; asserts that every buffer came back. Return: NULL. */
struct shard *shard_free(struct shard *shard);

/* One iteration. Return: 0, SHARD_E_STOPPED, -errno. */
int shard_turn(struct shard *shard);
