/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "shard/message.h"
#include "util/buffer.h"
#include "util/bytes.h"

/* A question to all shards, each of which answers at once by some bytes, and these answers. */

struct client;
struct gather;
struct shard;

struct parts {
        enum query_kind kind; /* QUERY_LATENCY, QUERY_LATENCY_RESET, QUERY_TOP */
        uint32_t argument;    /* of the question */
        unsigned n;
        struct buffer part[]; /* of each shard */
};

/* Asks, on behalf of a client; write() appends the reply to shard.reply when all have answered. */
void parts_ask(struct client *c, enum query_kind kind, uint32_t argument,
               void (*write)(struct client *c, const struct gather *g));

/* Appends this shard's answer. */
void parts_answer(struct shard *shard, enum query_kind kind, struct bytes question, struct buffer *answer);

/* Enters the answer of a shard. */
void parts_take(struct parts *parts, unsigned source, struct bytes body);

/* Bytes of memory that it takes. */
size_t parts_bytes(const struct parts *parts);

/* Return: NULL. */
struct parts *parts_free(struct parts *parts);
