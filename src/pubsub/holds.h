/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "util/list.h"

/*
 * Who holds back what is published to a topic: local subscriptions each by themselves, another shard as a
 * whole. Holds of a table have an order, by which an owner can let those who wait for older ones go on although
 * newer ones came: with a hold that ends and comes back all the time nobody waits for ever.
 *
 * Only topics has use for the functions; the struct is for its owner to look at.
 */

struct subscriber;
struct topic;

struct hold {
        struct list link;            /* in topic.holds, oldest first */
        uint64_t since;              /* its number, from 1 on; a later one has a higher number */
        const struct subscriber *by; /* NULL: another shard */
        unsigned shard;              /* that one */
        void *why;                   /* the owner's, of a local one */
        struct list waiting;         /* the owner's: who waits for its end */
};

/* The holds of a table of topics. */
struct holds {
        uint64_t last;        /* number of the newest one so far */
        size_t n;             /* how many there are */
        struct list released; /* who waited for those that ended, in order */
};

void holds_init(struct holds *holds);

/* Both keep what topic says of its holds right; a pattern's sums are for the caller. */
struct hold *holds_add(struct holds *holds, struct topic *topic, const struct subscriber *by, unsigned shard);
void holds_end(struct holds *holds, struct topic *topic, struct hold *hold);

/* That shard's hold of the topic. Return: NULL: it has none. */
struct hold *holds_of_shard(const struct topic *topic, unsigned shard);

/* Frees the holds of a topic that goes with its table. */
void holds_drop(struct topic *topic);
