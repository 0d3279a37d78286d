/* SPDX-License-Identifier: MIT */
#pragma once

#include "mesh/mesh.h"
#include "shard/message.h"
#include "shard/shard.h"
#include "support/reactor_fake.h"

/*
 * Several whole shards on one thread: real mesh and shard code, fake reactors, a fake clock. The test plays
 * control's port and decides which shard turns next.
 */

#define CLUSTER_SHARDS_MAX 8
#define CLUSTER_UIDS       32          /* of these it is counted how many clients were closed */
#define CLUSTER_PATH       "/run/test" /* of the listener that clients came by */

struct cluster {
        unsigned n_shards;
        struct mesh *mesh;
        struct port *control;
        struct shard *shards[CLUSTER_SHARDS_MAX];
        struct fake *fakes[CLUSTER_SHARDS_MAX];
        bool stopped[CLUSTER_SHARDS_MAX];
        unsigned wakes[CLUSTER_SHARDS_MAX + 1];
        uint64_t next_id;
        unsigned n_closed, n_shutdowns;
        unsigned n_closed_of[CLUSTER_UIDS]; /* by uid */
        unsigned n_policies;                /* taken by shards */
        unsigned n_orders;                  /* of clients */
        struct message_order order;         /* the last one */
        struct policy policy;               /* of the start, unless another was given */
        const struct policy *current;
        bool holds_verify; /* questions about passwords wait for cluster_verify() */
        unsigned n_verify;
        struct cluster_verify {
                unsigned shard;
                struct message_verify question;
        } verify[16];
        port_message_fn control_fn;
        void *control_arg;
};

struct cluster_options {
        unsigned n_shards;
        unsigned capacity;
        size_t backlog_bytes;
        uint64_t output_max;
        unsigned drain_budget;
        const char *reactor_reason; /* NULL: not said */
        const struct policy_setting *settings;
        unsigned n_settings;
        const struct policy *policy; /* NULL: one with output_max and the settings; else these do not count */
        port_message_fn control_fn;  /* gets what control receives about policies and leases; NULL: nobody */
        void *control_arg;
};

void cluster_init(struct cluster *cl, const struct cluster_options *options);

/* Stops and frees everything; asserts that nothing is left. */
void cluster_deinit(struct cluster *cl);

/* Connects a client to a shard. Return: its descriptor, a plain number. */
int cluster_connect(struct cluster *cl, unsigned shard, uid_t uid);

/* The same for a peer with a listener, a user and groups; its id, descriptor and pid are set here. */
int cluster_connect_as(struct cluster *cl, unsigned shard, const struct message_adopt *peer,
                       const uint32_t *groups);

/* The same with flags of its adoption. */
int cluster_connect_by(struct cluster *cl, unsigned shard, uid_t uid, uint32_t flags);

/*
 * Answers the oldest question about a password that waits. Without holds_verify all are answered at once, and
 * the password of each user of the policy is "pw-" and the name. Return: whether there was one.
 */
bool cluster_verify(struct cluster *cl, enum verify_verdict verdict);

/* Turns every shard until nothing is left to do. Return: the number of rounds. */
unsigned cluster_settle(struct cluster *cl);
void cluster_turn(struct cluster *cl, unsigned shard);

/* Gives all shards another policy, which has to outlive them or its successor. */
void cluster_set_policy(struct cluster *cl, const struct policy *policy);

/* Lets control take its messages. Return: whether it had something to do. */
bool cluster_control(struct cluster *cl);

/* The clock that all shards see, in ns. */
uint64_t cluster_now(void);
void cluster_advance(uint64_t ns);

void cluster_say(struct cluster *cl, unsigned shard, int fd, const char *text);

/* What the client got since the last call, as a string; the caller frees it. */
char *cluster_hear(struct cluster *cl, unsigned shard, int fd);
bool cluster_is_open(struct cluster *cl, unsigned shard, int fd);
