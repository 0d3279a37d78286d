/* SPDX-License-Identifier: MIT */

#include "shard/slow.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "pubsub/contain.h"
#include "pubsub/glob.h"
#include "resp/writer.h"
#include "util/hash.h"
#include "util/mem.h"

#define SLOW_PIECES_KEPT 64 /* room for pieces that a slice keeps from turn to turn */

/* ------------------------------------------------------------------ rules */

static bool rule_is_for(const struct slow_rule *rule, const char *path)
{
        return !rule->listener || !strcmp(rule->listener, path);
}

static bool rule_fits(const struct slow_rule *rule, struct bytes channel)
{
        for (unsigned i = 0; i < rule->n_channels; i++)
                if (glob_match(rule->channels[i], channel))
                        return true;
        return !rule->n_channels;
}

uint32_t slow_rule_for(const struct policy *policy, const char *path, struct bytes channel)
{
        for (unsigned i = 0; i < policy->n_slow; i++)
                if (rule_is_for(&policy->slow[i], path) && rule_fits(&policy->slow[i], channel))
                        return i;
        return SLOW_NO_RULE;
}

uint32_t slow_rule_for_pattern(const struct policy *policy, const char *path, struct bytes pattern,
                               size_t *steps)
{
        for (unsigned i = 0; i < policy->n_slow; i++) {
                const struct slow_rule *rule = &policy->slow[i];

                if (!rule_is_for(rule, path))
                        continue;
                if (!rule->n_channels ||
                    contain_check(pattern, rule->channels, rule->n_channels, steps, NULL) == CONTAIN_YES)
                        return i;
        }
        return SLOW_NO_RULE;
}

/* What is taken apart takes up to seven times its bytes: a frame has at least 30, and its entry some 150 more.
 */
uint64_t slow_from(const struct policy *policy, const char *path)
{
        uint64_t from = UINT64_MAX;

        for (unsigned i = 0; i < policy->n_slow; i++) {
                const struct slow_rule *rule = &policy->slow[i];
                uint64_t bytes = rule->action == SLOW_CONFLATE ? 0 : rule->bytes / 8;

                if (slow_drops(policy, i) && rule_is_for(rule, path) && bytes < from)
                        from = bytes;
        }
        return from;
}

uint64_t slow_bytes(const struct policy *policy, const char *path)
{
        uint64_t least = UINT64_MAX;

        for (unsigned i = 0; i < policy->n_slow; i++) {
                const struct slow_rule *rule = &policy->slow[i];

                if (rule->action != SLOW_DISCONNECT && rule->action != SLOW_CONFLATE &&
                    rule_is_for(rule, path) && rule->bytes < least)
                        least = rule->bytes;
        }
        return least;
}

/* ------------------------------------------------------------------ pieces */

uint32_t piece_bytes(const struct piece *piece, uint32_t k)
{
        const uint8_t *p = piece->stage->data + piece->off;
        uint32_t bytes = 0;

        assert(k <= piece->n);
        if (piece->frame)
                return k * piece->frame;
        if (k == piece->n)
                return piece->len;
        while (k--)
                bytes += (uint32_t)writer_frame(p + bytes).size;
        return bytes;
}

void piece_skip(struct piece *piece, uint32_t k)
{
        uint32_t bytes = piece_bytes(piece, k);

        piece->off += bytes;
        piece->len -= bytes;
        piece->n -= k;
}

uint32_t piece_fits(const struct piece *piece, uint64_t bytes)
{
        const uint8_t *p = piece->stage->data + piece->off;
        uint32_t k = 0, at = 0;

        if (piece->len <= bytes)
                return piece->n;
        if (piece->frame)
                return (uint32_t)(bytes / piece->frame);
        while (at + (uint32_t)writer_frame(p + at).size <= bytes) {
                at += (uint32_t)writer_frame(p + at).size;
                k++;
        }
        return k;
}

uint32_t piece_excess(const struct piece *piece, uint64_t bytes)
{
        const uint8_t *p = piece->stage->data + piece->off;
        uint32_t k = 0, at = 0;

        if (piece->frame && piece->len > bytes)
                return piece->n - (uint32_t)(bytes / piece->frame);
        for (; piece->len - at > bytes; k++)
                at += (uint32_t)writer_frame(p + at).size;
        return k;
}

static struct piece *slow_add(struct slow_slice *s)
{
        if (s->n == s->cap) {
                s->cap = s->cap ? 2 * s->cap : 4;
                s->pieces = mem_realloc(s->pieces, s->cap * sizeof(*s->pieces));
        }
        return &s->pieces[s->n++];
}

static bool same_head(const uint8_t *a, const uint8_t *b, size_t head)
{
        return !memcmp(a + 1, b + 1, head - 1);
}

/* The frames of a slice, one by one: each continues the last piece or begins one. */
static void slow_take(struct slow_slice *s, const struct policy *policy)
{
        const uint8_t *data = s->slice.stage->data;
        uint32_t at = s->slice.off, end = at + s->slice.len;
        struct piece *last = NULL;
        size_t last_head = 0;

        s->n = 0;
        while (at < end) {
                struct writer_frame f = writer_frame(data + at);
                uint32_t size = (uint32_t)f.size;
                bool same = last && f.head == last_head && same_head(data + at, data + last->off, f.head);

                if (same) {
                        last->frame = last->frame == size ? size : 0;
                        last->len += size;
                        last->n++;
                } else {
                        uint32_t rule = slow_rule_for(policy, s->path, f.channel);

                        last = slow_add(s);
                        *last = (struct piece){ s->slice.stage, at, size, 1, size, rule };
                        last_head = f.head;
                }
                at += size;
        }
        assert(at == end);
}

static void slow_drop(struct slow_slice *s)
{
        s->slice.stage = stage_unref(s->slice.stage);
        if (s->cap <= SLOW_PIECES_KEPT)
                return;
        free(s->pieces);
        s->pieces = NULL;
        s->cap = 0;
}

static struct slow_slice *slow_place(struct slow *slow, const struct slice *slice)
{
        return &slow->slices[hash_word((uintptr_t)slice->stage + slice->off) % SLOW_REMEMBERED];
}

unsigned slow_pieces(struct slow *slow, const struct policy *policy, const char *path,
                     const struct slice *slice, const struct piece **piecesp)
{
        struct slow_slice *s = slice->stage->shared ? slow_place(slow, slice) : &slow->own;

        if (!slice->stage->shared || s->slice.stage != slice->stage || s->slice.off != slice->off ||
            s->slice.len != slice->len || s->path != path) {
                slow_drop(s);
                slow->holds = true;
                s->slice = *slice;
                stage_ref(slice->stage);
                s->path = path;
                slow_take(s, policy);
        }
        *piecesp = s->pieces;
        return s->n;
}

void slow_forget(struct slow *slow)
{
        if (!slow->holds)
                return;
        slow->holds = false;
        for (unsigned i = 0; i < SLOW_REMEMBERED; i++)
                slow_drop(&slow->slices[i]);
        slow_drop(&slow->own);
}

void slow_deinit(struct slow *slow)
{
        slow_forget(slow);
        for (unsigned i = 0; i < SLOW_REMEMBERED; i++)
                free(slow->slices[i].pieces);
        free(slow->own.pieces);
}
