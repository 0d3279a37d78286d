/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "reactor/outq.h"
#include "shard/policy.h"
#include "util/bytes.h"

/*
 * The rules for slow subscribers, and frames as the rules see them.
 *
 * A piece is a sequence of frames of one kind, pattern and channel in one stage. Subscribers of one channel get
 * the same slices of the same stages, so a slice is taken to pieces once in a turn and not for each of them.
 */

struct client;

#define SLOW_NO_RULE    UINT32_MAX
#define SLOW_REMEMBERED 16 /* slices of one turn */

struct piece {
        struct stage *stage;
        uint32_t off, len;
        uint32_t n;     /* frames */
        uint32_t frame; /* bytes of each of them; 0: they differ */
        uint32_t rule;  /* index of the one that fits; SLOW_NO_RULE: none does */
};

/* A slice, and what it was taken to. */
struct slow_slice {
        struct slice slice; /* stage NULL: none; else a reference is held */
        const char *path;   /* of the listener, for which the rules are */
        struct piece *pieces;
        unsigned n, cap;
};

struct slow {
        bool holds; /* one of the slices */
        struct slow_slice slices[SLOW_REMEMBERED];
        struct slow_slice own; /* one that only one client has */
};

/* The rule for a listener's clients and a channel. Return: its index; SLOW_NO_RULE: none fits. */
uint32_t slow_rule_for(const struct policy *policy, const char *path, struct bytes channel);

/* Likewise the first rule that fits every channel which the pattern matches, as far as the steps, of
 * pubsub/contain, tell that; they are used up. */
uint32_t slow_rule_for_pattern(const struct policy *policy, const char *path, struct bytes pattern,
                               size_t *steps);

/* Whether messages under the rule may be dropped. */
static inline bool slow_drops(const struct policy *policy, uint32_t rule)
{
        return rule != SLOW_NO_RULE && policy->slow[rule].action != SLOW_DISCONNECT &&
               policy->slow[rule].action != SLOW_BLOCK;
}

/* Bytes of waiting output from which a listener's clients are looked at for messages to drop; UINT64_MAX: there
 * is no rule for that. It is so low that nothing need be dropped there yet. */
uint64_t slow_from(const struct policy *policy, const char *path);

/* The fewest bytes at which a rule acts for a listener's clients; UINT64_MAX: there is no such rule. */
uint64_t slow_bytes(const struct policy *policy, const char *path);

/* Takes a slice of frames to pieces. Return: their number; they are valid until the next call. */
unsigned slow_pieces(struct slow *slow, const struct policy *policy, const char *path,
                     const struct slice *slice, const struct piece **piecesp);

/* At the end of a turn, and before the policy changes: no stage is held any more. */
void slow_forget(struct slow *slow);
void slow_deinit(struct slow *slow);

/* Bytes of the first k frames of a piece. */
uint32_t piece_bytes(const struct piece *piece, uint32_t k);

/* Takes the first k frames off. */
void piece_skip(struct piece *piece, uint32_t k);

/* Frames from the front that fit into so many bytes. */
uint32_t piece_fits(const struct piece *piece, uint64_t bytes);

/* Frames from the front that have to go so that the rest fits. */
uint32_t piece_excess(const struct piece *piece, uint64_t bytes);
