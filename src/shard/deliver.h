/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "pubsub/topics.h"
#include "reactor/outq.h"
#include "util/bytes.h"

/*
 * Local delivery: frames are encoded once into a stage for each protocol that has a subscriber, and handed to
 * the subscribers as slices.
 *
 * A burst on one channel is one run: later messages only extend it, and it is settled (slices handed out)
 * before anything happens that could tell the difference: another channel (the shard channel of the same name
 * is another), a change of subscriptions, a command other than PUBLISH and SPUBLISH, a publisher that is itself
 * a subscriber, the end of the turn. A channel that patterns with local subscribers match as well has no runs,
 * since a subscriber's frames of both kinds must alternate.
 */

struct shard;

struct deliver {
        struct stage *stage[SUBSCRIBER_PROTOCOLS]; /* where frames are encoded now; NULL: none yet */
        struct topic *run;                         /* the open run; NULL: none */
        uint32_t run_start[SUBSCRIBER_PROTOCOLS];  /* offset of its frames in the stages */
        uint32_t run_messages;
        uint32_t run_frame; /* bytes of its last frame, the same in every stage */
        size_t run_payload; /* of which are payload */
        bool replaced;      /* a stage was, since the last flush */
};

/* The stages that frames go to; slices of one are at most this long. */
#define DELIVER_STAGE_BYTES (64 * 1024)

void deliver_deinit(struct deliver *d);

/* Queues the payload for every local subscriber of the topic, which comes from topics_route() or
 * topics_route_shard(). */
void deliver_local(struct shard *shard, struct topic *topic, struct bytes payload);

/* Hands the open run out. */
void deliver_settle(struct shard *shard);

/* At the end of a turn, after the flush: lets stages be filled anew. */
void deliver_recycle(struct deliver *d);
