/* SPDX-License-Identifier: MIT */

/*
 * Invariants: a bucket exists while a pattern is in it, and n_buckets counts the buckets of each length. Where
 * a pattern is filed is decided when it is added, and a look-up is right for any choice: a text that a pattern
 * matches has the pattern's prefix and its suffix at every length up to theirs.
 *
 * The key of the hash keeps clients, who choose patterns and channels, from making buckets collide.
 */

#include "pubsub/patterns.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "pubsub/glob.h"
#include "util/mem.h"

#define CROWDED 4 /* patterns under one prefix above which a suffix with fewer is preferred */

static const uint16_t lengths[PATTERN_LENGTHS] = { 1,  2,  3,  4,  5,  6,  7,  8,  9,  10,
                                                   11, 12, 13, 14, 15, 16, 24, 32, 48, 64 };

/* What buckets are found by. */
struct edge {
        struct bytes bytes;
        uint64_t hash;
        enum pattern_edge edge;
        unsigned length; /* index */
};

void patterns_init(struct patterns *patterns, const struct hash_key *key)
{
        *patterns = (struct patterns){ .key = *key };
        list_init(&patterns->scanned);
}

void patterns_deinit(struct patterns *patterns)
{
        assert(patterns->n == 0);
        for (unsigned e = 0; e < _PATTERN_EDGE_N; e++)
                table_deinit(&patterns->buckets[e]);
}

/* That edge of text, of one of the lengths, which text has. */
static struct edge edge_of(const struct patterns *patterns, struct bytes text, enum pattern_edge edge,
                           unsigned length)
{
        size_t n = lengths[length];
        struct bytes bytes = bytes_of(edge == PATTERN_PREFIX ? text.p : text.p + text.n - n, n);

        return (struct edge){ bytes, hash_bytes(&patterns->key, bytes), edge, length };
}

static bool bucket_equal(const void *item, const void *key)
{
        const struct pattern_bucket *bucket = item;
        const struct edge *edge = key;

        return bytes_equal(bytes_of(bucket->bytes, bucket->size), edge->bytes);
}

static struct pattern_bucket *bucket_find(const struct patterns *patterns, const struct edge *edge)
{
        return table_find(&patterns->buckets[edge->edge], edge->hash, bucket_equal, edge);
}

static struct pattern_bucket *bucket_new(struct patterns *patterns, const struct edge *edge)
{
        struct pattern_bucket *bucket = mem_alloc(sizeof(*bucket) + edge->bytes.n);

        *bucket = (struct pattern_bucket){ .hash = edge->hash,
                                           .edge = edge->edge,
                                           .length = (uint16_t)edge->length };
        list_init(&bucket->patterns);
        bucket->size = (uint16_t)edge->bytes.n;
        memcpy(bucket->bytes, edge->bytes.p, edge->bytes.n);
        table_add(&patterns->buckets[edge->edge], edge->hash, bucket);
        patterns->n_buckets[edge->edge][edge->length]++;
        return bucket;
}

static void bucket_free(struct patterns *patterns, struct pattern_bucket *bucket)
{
        table_remove(&patterns->buckets[bucket->edge], bucket->hash, bucket);
        patterns->n_buckets[bucket->edge][bucket->length]--;
        free(bucket);
}

/* The longest usable edge of a literal. Return: false when it is empty. */
static bool edge_longest(const struct patterns *patterns, struct bytes literal, enum pattern_edge edge,
                         struct edge *p)
{
        unsigned length = PATTERN_LENGTHS;

        if (literal.n == 0)
                return false;
        while (lengths[length - 1] > literal.n)
                length--;
        *p = edge_of(patterns, literal, edge, length - 1);
        return true;
}

/* Return: the bucket to file it under, NULL: scanned. */
static struct pattern_bucket *bucket_for(struct patterns *patterns, struct bytes text)
{
        struct edge prefix, suffix;
        bool has_prefix = edge_longest(patterns, glob_literal_prefix(text), PATTERN_PREFIX, &prefix);
        bool has_suffix = edge_longest(patterns, glob_literal_suffix(text), PATTERN_SUFFIX, &suffix);
        struct pattern_bucket *by_prefix = has_prefix ? bucket_find(patterns, &prefix) : NULL;
        struct pattern_bucket *by_suffix = has_suffix ? bucket_find(patterns, &suffix) : NULL;

        if (has_prefix && has_suffix && by_prefix && by_prefix->n >= CROWDED)
                has_prefix = by_suffix && by_suffix->n >= by_prefix->n;
        if (has_prefix)
                return by_prefix ? by_prefix : bucket_new(patterns, &prefix);
        if (has_suffix)
                return by_suffix ? by_suffix : bucket_new(patterns, &suffix);
        return NULL;
}

void patterns_add(struct patterns *patterns, struct pattern *pattern, struct bytes text)
{
        struct pattern_bucket *bucket = bucket_for(patterns, text);

        pattern->text = text;
        pattern->bucket = bucket;
        list_add_tail(bucket ? &bucket->patterns : &patterns->scanned, &pattern->link);
        if (bucket)
                bucket->n++;
        patterns->n++;
}

void patterns_remove(struct patterns *patterns, struct pattern *pattern)
{
        struct pattern_bucket *bucket = pattern->bucket;

        list_del(&pattern->link);
        patterns->n--;
        if (bucket && --bucket->n == 0)
                bucket_free(patterns, bucket);
}

struct search {
        struct bytes text;
        void (*found)(struct pattern *pattern, void *context);
        void *context;
        size_t n_tried;
};

static void search_list(struct search *search, const struct list *list)
{
        list_for_each (i, list) {
                struct pattern *pattern = container_of(i, struct pattern, link);

                search->n_tried++;
                if (glob_match(pattern->text, search->text))
                        search->found(pattern, search->context);
        }
}

size_t patterns_match(const struct patterns *patterns, struct bytes text,
                      void (*found)(struct pattern *pattern, void *context), void *context)
{
        struct search search = { .text = text, .found = found, .context = context };

        for (unsigned e = 0; e < _PATTERN_EDGE_N; e++) {
                for (unsigned i = 0; i < PATTERN_LENGTHS && lengths[i] <= text.n; i++) {
                        struct pattern_bucket *bucket = NULL;

                        if (patterns->n_buckets[e][i] > 0) {
                                struct edge edge = edge_of(patterns, text, e, i);

                                bucket = bucket_find(patterns, &edge);
                        }
                        if (bucket)
                                search_list(&search, &bucket->patterns);
                }
        }
        search_list(&search, &patterns->scanned);
        return search.n_tried;
}
