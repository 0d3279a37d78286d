/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "pubsub/topics.h"
#include "shard/message.h"
#include "util/buffer.h"
#include "util/bytes.h"

/*
 * A question that a client's command put to other ports, and what is to be done when all have answered. While a
 * gather is under way the client's further bytes stay unparsed, so replies keep their order without a queue.
 *
 * Changes of subscriptions that are pipelined, all of one direction, share a gather: one message per shard.
 */

struct client;
struct counts;
struct inspect;
struct parts;
struct roster;
struct shard;

enum gather_kind {
        GATHER_SUBSCRIBE,   /* tells the shards first, then activates the subscriptions and acknowledges */
        GATHER_UNSUBSCRIBE, /* subscriptions are gone already; tells the shards, then acknowledges */
        GATHER_STATUS,      /* collects counters, and answers what gather.write makes of them */
        GATHER_PARTS,       /* collects what each shard answers: gather.parts; gather.write likewise */
        GATHER_TAP,         /* begins a tap: shard/tap.h; batch is the message */
        GATHER_ROSTER,      /* collects clients, or ends them: gather.roster; gather.write likewise */
        GATHER_INSPECT,     /* collects what is known of a client, or of topics: gather.inspect; likewise */
        GATHER_ORDER,       /* asks control for something, and answers what gather.write makes of its answer */
};

struct gather {
        enum gather_kind kind;
        uint8_t protocol;              /* of the client as it asked, and so of the answer */
        bool asked;                    /* the messages are sent */
        bool silent;                   /* the client wants no reply to this; acknowledgements are none */
        uint64_t awaiting;             /* ports that have not answered */
        struct buffer batch;           /* changes of interest, for the message */
        struct buffer reply;           /* what to answer in the end */
        struct subscription **pending; /* to activate in the end; NULL: no more */
        unsigned n_pending, cap_pending;
        /* GATHER_STATUS */
        uint32_t query; /* enum query_kind */
        struct shard_status *shards;
        struct counts *counts; /* over all shards */
        struct control_status control;
        struct parts *parts;                                     /* GATHER_PARTS */
        struct roster *roster;                                   /* GATHER_ROSTER */
        struct inspect *inspect;                                 /* GATHER_INSPECT */
        struct message_order order;                              /* GATHER_ORDER */
        struct buffer ordered;                                   /* struct message_ordered and its texts */
        void (*write)(struct client *c, const struct gather *g); /* appends the reply to shard.reply; NULL:
                                                                    reply is all of it */
        unsigned sections;                                       /* for INFO: bits of info_sections() */
};

/* The client's gather of this kind that still collects, or a new one. The client must not wait for another. */
struct gather *gather_collect(struct client *c, enum gather_kind kind);
void gather_add_pending(struct gather *g, struct subscription *subscription);

/* That one will not become live. */
void gather_drop_pending(struct gather *g, const struct subscription *subscription);

/* Sends the question; the client waits from here on, or is served at once when there is nobody to ask. Nothing
 * while a transaction runs. */
void gather_ask(struct client *c);

/* An answer came for some client of this shard, which may be gone. */
void gather_on_answer(struct shard *shard, unsigned source, const struct message_ask *ask, struct bytes body);

/* Forgets the gather without its consequences. */
void gather_cancel(struct client *c);

/* Frees a gather that no client refers to. Return: NULL. */
struct gather *gather_free(struct gather *gather);

/*
 * Adds a change to a batch: n more subscriptions of a name, or fewer. What a client has can be more than one
 * message holds: a batch that grew too long is told first.
 */
void gather_add_change(struct shard *shard, struct buffer *batch, enum topic_kind kind, struct bytes name,
                       int32_t n, bool last);

/* Adds to a batch that this shard holds a topic back, or no longer does; in the same way. */
void gather_add_hold(struct shard *shard, struct buffer *batch, enum topic_kind kind, struct bytes name,
                     bool holds);

/* Tells all other shards a batch of changes, unanswered. */
void gather_tell(struct shard *shard, const struct buffer *batch);
