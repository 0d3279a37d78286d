/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "util/bytes.h"

/*
 * Keyed hashing of bytes that clients choose, and the open-addressing table that goes with it.
 *
 * The hash is SipHash (Aumasson, Bernstein: "SipHash: a fast short-input PRF", INDOCRYPT 2012) with 1
 * compression and 3 finalisation rounds; the 2-4 variant exists to check the code against the paper's vectors.
 */

struct hash_key {
        uint64_t k0, k1;
};

/* A random key from the kernel. */
struct hash_key hash_key_random(void);

uint64_t hash_bytes(const struct hash_key *key, struct bytes b);
uint64_t hash_siphash24(const struct hash_key *key, struct bytes b);

/* Mixes a word that clients do not choose (a pointer, an id). */
static inline uint64_t hash_word(uint64_t x)
{
        x = (x ^ (x >> 32)) * UINT64_C(0xd6e8feb86659fd93);
        x = (x ^ (x >> 32)) * UINT64_C(0xd6e8feb86659fd93);
        return x ^ (x >> 32);
}

/*
 * Table of pointers: linear probing, hashes kept beside the items, deletion by shifting back (no tombstones).
 * One thread. An item is equal to a key when the whole hash is and equal(item, key) says so.
 */
struct table {
        struct table_slot {
                uint64_t hash;
                void *item; /* NULL: free */
        } * slots;
        size_t cap; /* 0 or a power of two */
        size_t n;
};

typedef bool (*table_equal_fn)(const void *item, const void *key);

void table_deinit(struct table *t);
void *table_find(const struct table *t, uint64_t hash, table_equal_fn equal, const void *key);

/* The item must not be in the table. Ends the process when memory is out. */
void table_add(struct table *t, uint64_t hash, void *item);

/* The item must be in the table under this hash. */
void table_remove(struct table *t, uint64_t hash, const void *item);

/*
 * Walks the items: pos starts at 0. Return: the next item, NULL at the end. The table must not change while it
 * is walked.
 */
void *table_next(const struct table *t, size_t *pos);
