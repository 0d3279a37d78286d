/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "resp/reader.h"
#include "shard/message.h"
#include "util/buffer.h"
#include "util/bytes.h"
#include "util/list.h"

/*
 * Watching what clients do: BROKER TAP, which shows messages as they are published, and MONITOR, which shows
 * commands as Redis does.
 *
 * Each shard has a list of all taps of the broker, and what it executes itself it filters and encodes for those
 * that want it, into a batch for each. At the end of the turn a batch goes to the shard of the client that taps
 * (to itself, if that is the same), which queues it as output. A shard may have TAP_WINDOW bytes under way to
 * one tap; these come back (MESSAGE_TAP_TAKEN) once the client has read enough. Without room, or above the
 * tap's rate, what happens is counted and not encoded, and the number is told in its place. So nobody waits for
 * a tap, and one that is not read costs a count and bounded memory.
 */

struct client;
struct command;
struct gather;
struct shard;
struct topic;

#define TAP_WINDOW      (1024 * 1024) /* bytes that one shard may have under way to one tap */
#define TAP_OUTPUT_MAX  (1024 * 1024) /* bytes that may wait for the client */
#define TAP_PATTERN_MAX 1024          /* bytes of a pattern */
#define TAP_ARGS_MAX    (64 * 1024) /* bytes of a command's arguments that MONITOR shows; others are skipped */

/* Of a shard. */
struct taps {
        struct list all;     /* of struct tap: what it knows of all taps of the broker */
        struct list tappers; /* of struct tapper: those of its own clients that have begun */
        uint64_t serial;
        uint64_t dry_until; /* before that no message is shown by any tap: all take every channel, and none has
                               rate or room left */
        uint64_t dry_n;     /* messages since, which each of them skips */
};

/* Whether no tap shows a message that is published now; it is counted then. */
static inline bool tap_passes_over(struct taps *taps, uint64_t now)
{
        if (now >= taps->dry_until)
                return false;
        taps->dry_n++;
        return true;
}

void tap_init(struct shard *shard);
void tap_deinit(struct shard *shard);

/*
 * Begins a tap of the client, which has none: asks the other shards in a gather, whose end is tap_begin(). tap:
 * all of it but who taps, and the serial. pattern: for messages.
 */
void tap_ask(struct client *c, const struct message_tap *tap, struct bytes pattern);
void tap_begin(struct client *c);

/* Ends the client's tap, if it has one. */
void tap_end(struct client *c);

/* Whether the client, which taps and whose protocol cannot tell replies from what that shows, may not execute a
 * command. */
bool tap_forbids(const struct client *c, const struct command *command);

/* A client executed a PUBLISH or SPUBLISH. topic NULL: nobody wanted it. Only while shard.tapped, and for what
 * is not passed over. */
void tap_published(struct client *c, const struct request *request, const struct topic *topic);

/* A client executed another command, and is open still. Only while shard.monitored. */
void tap_executed(struct client *c, const struct command *command, const struct command *parent,
                  const struct request *request);

/* A client's EXEC was executed or refused, and it is open still. */
void tap_exec(struct client *c);

/* Messages of another shard. The first one is to be answered, and its body begins behind the ask. */
void tap_on_tap(struct shard *shard, unsigned source, struct bytes body);
void tap_on_end(struct shard *shard, const struct message_tap_id *m);
void tap_on_tapped(struct shard *shard, unsigned source, struct bytes body);
void tap_on_taken(struct shard *shard, const struct message_tap_taken *m);

/* Near the end of a turn, before the mesh is flushed: hands over what was gathered in it. */
void tap_flush(struct shard *shard);

/* Whether there is something to hand over for which the shard must not sleep. */
bool tap_is_behind(const struct shard *shard);

/* When tap_flush() has something to do even if nothing happens. Return: CLOCK_NEVER: never. */
uint64_t tap_next(const struct shard *shard);

/* Whether the client has a MONITOR. */
bool tap_is_monitor(const struct client *c);

/* Asserts what must hold of an open client between two turns. */
void tap_assert(const struct client *c);
