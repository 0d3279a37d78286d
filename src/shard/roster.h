/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shard/command.h"
#include "shard/message.h"
#include "util/buffer.h"
#include "util/bytes.h"

/*
 * Who is connected: the lines of CLIENT LIST, and whom CLIENT KILL ends. Every shard is asked, by a gather, for
 * its clients that fit a filter; the filter is a part of the message (struct message_roster).
 *
 * Without the right to administer a client reaches those of its own uid only: roster_filter() sees to that, so
 * there is no filter without it.
 */

struct client;
struct gather;
struct shard;

enum roster_type {
        ROSTER_ANY,
        ROSTER_NORMAL,
        ROSTER_PUBSUB, /* has a subscription */
        ROSTER_NOBODY, /* what there never is, as masters and replicas */
};

#define ROSTER_IDS_MAX 16384 /* ids in one filter */

/* What a gather collects. */
struct roster {
        enum query_kind kind;   /* QUERY_LIST, QUERY_KILL */
        struct buffer question; /* the message behind struct message_query */
        unsigned n_parts;
        struct buffer *parts; /* QUERY_LIST: what each shard answered */
        bool too_long;        /* of these, one does not hold all of its lines */
        uint64_t killed;      /* QUERY_KILL: in all */
        bool ends_asker;      /* the client that asks is among them */
};

/* A filter that every client fits that c may reach. */
struct message_roster roster_filter(const struct client *c);

/* Asks; the filter's n_ids, address_size and user_size are those of ids, address and user. Return:
 * COMMAND_DONE, or COMMAND_YIELD after long work. */
enum command_result roster_ask(struct client *c, enum query_kind kind, const struct message_roster *filter,
                               const uint64_t *ids, struct bytes address, struct bytes user);

/* Answers another shard's question: body is the message behind struct message_query. */
void roster_answer(struct shard *shard, enum query_kind kind, struct bytes body, struct buffer *answer);

/* Enters what a shard answered. */
void roster_take(struct roster *roster, unsigned source, struct bytes body);

/* Appends the reply to shard.reply. */
void roster_write(struct client *c, const struct gather *g);

/* Bytes of memory that it takes. */
size_t roster_bytes(const struct roster *roster);

/* Return: NULL. */
struct roster *roster_free(struct roster *roster);

/* The client's line, as CLIENT LIST and CLIENT INFO show it. */
void roster_line(struct buffer *b, const struct client *c);
