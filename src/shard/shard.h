/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "mesh/port.h"
#include "reactor/reactor.h"
#include "util/hash.h"

/*
 * A shard: one thread that owns its connections, its subscription index, its reactor and its port of the mesh,
 * and the one loop that ties them together. Nothing in here is touched by another thread.
 */

struct shard;

/* Sizes of frames and of messages of the mesh have 32 bits, and a frame holds parts of two requests: a message
 * and the pattern that it matched. */
#define SHARD_REQUEST_MAX (UINT64_C(1) << 30)

#define SHARD_SETTINGS_MAX 128

/* A setting of the broker, as CONFIG GET shows it. */
struct shard_setting {
        const char *name; /* without capitals */
        const char *value;
};

struct shard_options {
        unsigned id;       /* its port of the mesh, below n_shards */
        unsigned n_shards; /* port n_shards is control */
        struct port *port;
        const struct reactor_ops *reactor_ops;
        struct reactor_options reactor; /* wake_fd: the eventfd behind the port's waker */
        uint64_t (*now)(void);          /* monotonic ns */
        uint64_t spin_ns;               /* look for work at most this long before parking; 0: never spin */
        unsigned drain_budget;          /* messages of one source in one turn */
        uint64_t request_max; /* bytes of one request, and of one argument; at most SHARD_REQUEST_MAX */
        uint64_t output_max;  /* bytes that may wait for one client */
        uint64_t linger_ns;   /* a closing client's time to take more of its output */
        struct hash_key hash_key;
        uid_t owner;                /* the broker's own uid: with uid 0 the one that may administer */
        int cpu;                    /* pinned to, for the status; -1: not pinned */
        const char *version;        /* of the broker; outlives the shard */
        const char *reactor_reason; /* in words, why this reactor runs; NULL: not said; outlives the shard */
        const struct shard_setting *settings; /* with different names; outlive the shard */
        unsigned n_settings;                  /* at most SHARD_SETTINGS_MAX */
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
