/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "mesh/mesh.h"
#include "shard/shard.h"

/*
 * The shard threads. Each one pins itself, builds its shard, reports, and waits for the word; it is given when
 * all of them are well and nothing is left that could fail. So a start that fails has only memory to unwind.
 *
 * A shard that fails later ends the process: what it held is gone, and its peers would wait for it for ever.
 */
struct crew;

#define CREW_EXIT_FAILED 70 /* the process' exit status when a shard fails while it serves */

struct crew_options {
        unsigned n_shards;
        struct mesh *mesh;
        const int *cpus; /* of each shard; -1: not pinned */
        bool must_pin;   /* a thread that cannot be pinned fails the start; otherwise it runs unpinned */
        struct shard_options shard; /* id, port, cpu and the reactor's wake_fd are filled in for each */
};

enum {
        _CREW_E_SUCCESS,
        CREW_E_FAILED, /* a thread or a shard could not be made; why was logged, and all threads are gone */
        CREW_E_LATE,   /* a thread still runs */
};

/*
 * Starts the threads and waits until every shard is ready to take turns. Signals are blocked in them.
 * Return: 0, CREW_E_FAILED.
 */
int crew_new(struct crew **crewp, const struct crew_options *options);

/* Gives the word: the shards take turns, until a MESSAGE_STOP. */
void crew_go(struct crew *crew);

/* Waits for the threads to end, until the deadline (monotonic ns). Return: 0, CREW_E_LATE. */
int crew_join(struct crew *crew, uint64_t deadline);

/* Either the threads have been joined, or the word was never given; then they end here. Return: NULL. */
struct crew *crew_free(struct crew *crew);
