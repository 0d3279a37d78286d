/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shard/command.h"
#include "shard/message.h"
#include "util/buffer.h"
#include "util/bytes.h"
#include "util/list.h"

/*
 * BROKER CLIENT, CHANNELS and PATTERNS: every shard is asked, the one that asks included, and none is held up
 * by its answer. A question becomes a job of the shard (shard/inspect_job.c), of which each turn does a part,
 * and the gather that waits for all makes one answer of them.
 *
 * A list has the first names in order, up to a limit, so that the parts agree on which these are.
 */

struct client;
struct gather;
struct shard;

#define INSPECT_LIMIT     1000  /* names in a list, if the question does not say */
#define INSPECT_LIMIT_MAX 10000 /* its gather ends in one step, which takes some 5 ms then */
#define INSPECT_LISTED    16    /* clients of a shard, or patterns, that are listed with a name */
#define INSPECT_SUBJECTS  100   /* subscriptions of a kind that are listed with a client */

/* What a gather collects. */
struct inspect {
        enum query_kind kind;   /* QUERY_CLIENT, QUERY_CHANNELS, QUERY_PATTERNS */
        struct buffer question; /* struct message_inspect, and the pattern behind it */
        unsigned n_parts;
        struct buffer *parts; /* what each shard answered */
};

/* A shard's part of a list begins with this; then come its rows. */
struct inspect_part {
        uint64_t total;    /* names that fit, whether or not there is a row */
        uint64_t too_long; /* there are no rows: they do not fit into the output of a client */
};

#define INSPECT_UNKNOWN UINT64_MAX

/* Behind it: the name, then values of the protocol as they are answered: clients, then patterns. */
struct inspect_row {
        uint32_t kind; /* enum topic_kind */
        uint32_t name_size, clients_size, patterns_size;
        uint32_t subscribers; /* of this shard */
        uint32_t n_clients;   /* listed; as the next one */
        uint32_t n_patterns;
        uint64_t patterns;        /* of a channel: that match it */
        uint64_t messages, bytes; /* of a channel: published by this shard's clients */
        uint64_t age;             /* ns since the last of these; INSPECT_UNKNOWN: there was none */
        uint64_t channels;        /* of a pattern: that it matches; INSPECT_UNKNOWN: not counted */
};

/* Asks. The question's size of the pattern is that of pattern. Return: COMMAND_DONE. */
enum command_result inspect_ask(struct client *c, enum query_kind kind, struct message_inspect question,
                                struct bytes pattern);

/* Enters what a shard answered. */
void inspect_take(struct inspect *inspect, unsigned source, struct bytes body);

/* Appends the reply to shard.reply. */
void inspect_write(struct client *c, const struct gather *g);

/* Bytes of memory that it takes. */
size_t inspect_bytes(const struct inspect *inspect);

/* Return: NULL. */
struct inspect *inspect_free(struct inspect *inspect);

/* ------------------------------------------------------------------ a shard's part */

/* Somebody asks, perhaps this shard itself: body is the message behind struct message_query. */
void inspect_asked(struct shard *shard, unsigned source, const struct message_ask *ask, enum query_kind kind,
                   struct bytes body);

/* Once a turn: does a part of the jobs. Clients may be served by that. */
void inspect_work(struct shard *shard);

/* Whether there is more to do, for which the shard must not sleep. */
bool inspect_is_behind(const struct shard *shard);

void inspect_deinit(struct shard *shard);

/* Appends all that is known of a client, as it is answered. */
void inspect_client(struct buffer *b, unsigned protocol, struct client *c);
