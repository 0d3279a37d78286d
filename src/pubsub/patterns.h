/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "util/bytes.h"
#include "util/hash.h"
#include "util/list.h"

/*
 * The index of patterns: which of them match a channel, without trying them all. A pattern is filed under its
 * literal prefix or its literal suffix, cut down to one of a few lengths; a look-up hashes the channel's first
 * and last bytes at the lengths in use and tries what is filed there. Patterns with neither (such as "*x*") are
 * tried always.
 *
 * One thread. The owner embeds struct pattern and keeps its text.
 */

enum pattern_edge {
        PATTERN_PREFIX,
        PATTERN_SUFFIX,
        _PATTERN_EDGE_N,
};

#define PATTERN_LENGTHS 20 /* of prefixes and suffixes: 1..16, 24, 32, 48, 64 */

struct pattern_bucket {
        struct list patterns;
        size_t n;
        uint64_t hash;
        enum pattern_edge edge;
        uint16_t length; /* index of its length */
        uint16_t size;   /* bytes at the edge, that all its patterns' texts have */
        uint8_t bytes[];
};

/* One pattern, embedded by its owner. Nothing in it is for the owner to change. */
struct pattern {
        struct bytes text;
        struct list link;              /* in bucket->patterns, or patterns.scanned */
        struct pattern_bucket *bucket; /* NULL: scanned */
};

struct patterns {
        struct hash_key key;
        struct table buckets[_PATTERN_EDGE_N];
        uint32_t n_buckets[_PATTERN_EDGE_N]
                          [PATTERN_LENGTHS]; /* by length: a length without one is not hashed */
        struct list scanned;                 /* patterns with no edge to file them under */
        size_t n;
};

void patterns_init(struct patterns *patterns, const struct hash_key *key);

/* It must be empty. */
void patterns_deinit(struct patterns *patterns);

/* text must live, and stay where it is, until patterns_remove(). The same text may be added twice. */
void patterns_add(struct patterns *patterns, struct pattern *pattern, struct bytes text);
void patterns_remove(struct patterns *patterns, struct pattern *pattern);

/*
 * Calls found for each pattern that matches, once, in no order; it must not add or remove any.
 * Return: how many patterns were tried.
 */
size_t patterns_match(const struct patterns *patterns, struct bytes text,
                      void (*found)(struct pattern *pattern, void *context), void *context);
