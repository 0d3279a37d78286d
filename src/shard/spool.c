/* SPDX-License-Identifier: MIT */
/*
 * Invariants: spool.bytes is the sum of the entries'; an entry of messages that a rule may drop is in that
 * rule's list, in the same order; under SLOW_CONFLATE it is one frame, and the only one of its key; no two gaps
 * for the same wishes are neighbours; between two turns nothing is offered, and the intake is empty.
 */

#include "shard/spool.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "resp/writer.h"
#include "shard/client.h"
#include "shard/slow.h"
#include "shard/state.h"
#include "shard/transaction.h"
#include "util/mem.h"
#include "util/plant.h"
#include "util/probe.h"

#define SPOOL_OFFER_MAX (64 * 1024) /* bytes of entries in one flush */
#define SPOOL_STALL_MIN                                                                                        \
        (16 * DELIVER_STAGE_BYTES) /* bytes of the rules and limits of a client that may be stalled */

#define SPOOL_COPY_MAX 4096 /* bytes of an entry of more than one frame, if its frames were copied */

/* Of memory, besides what an entry holds; blocks are up to 16 bytes larger than what was asked for, and have a
 * head of 8. */
#define SPOOL_BLOCK      16
#define SPOOL_ENTRY_COST (sizeof(struct spool_entry) + sizeof(struct stage) + 2 * SPOOL_BLOCK)

static struct spool_entry *entry_of(struct list *link)
{
        return container_of(link, struct spool_entry, link);
}

size_t spool_bytes(const struct spool *spool)
{
        return sizeof(*spool) + spool->n_rules * sizeof(*spool->rules) + spool->bytes +
               spool->newest.cap * sizeof(*spool->newest.slots) + spool->intake.bytes;
}

/* ------------------------------------------------------------------ entries */

static const struct slow_rule *entry_rule(const struct client *c, const struct spool_entry *e)
{
        return &c->shard->policy->slow[e->rule];
}

static const uint8_t *entry_data(const struct spool_entry *e)
{
        return e->stage->data + e->off;
}

static struct piece entry_piece(const struct spool_entry *e)
{
        return (struct piece){ e->stage, e->off, e->len, e->n, e->frame, e->rule };
}

/* What frames of one key have in common, whatever the protocol. */
static struct bytes frame_key(const uint8_t *frame)
{
        return bytes_of(frame + 1, writer_frame(frame).head - 1);
}

static bool entry_has_key(const void *item, const void *key)
{
        return bytes_equal(frame_key(entry_data(item)), *(const struct bytes *)key);
}

/* A stage that others refer to as well is referred to only nearly whole, so that all of them count for it. */
static size_t entry_cost(const struct spool_entry *e)
{
        if (e->kind == SPOOL_GAP)
                return SPOOL_ENTRY_COST + e->loss->bytes;
        return SPOOL_ENTRY_COST + (e->stage->shared ? e->len : e->stage->cap - e->off);
}

/* Counts the entry anew. */
static void entry_weigh(struct spool *sp, struct spool_entry *e)
{
        size_t bytes = entry_cost(e);

        sp->bytes += bytes - e->bytes;
        if (!list_empty(&e->peers))
                sp->rules[e->rule].bytes += bytes - e->bytes;
        e->bytes = bytes;
}

/* Links a new entry in front of another link. */
static void entry_add(struct spool *sp, struct spool_entry *e, struct list *before)
{
        list_init(&e->peers);
        list_add_tail(before, &e->link);
        sp->n_entries++;
        entry_weigh(sp, e);
}

static struct spool_entry *entry_new(enum spool_kind kind, unsigned wishes, uint32_t rule)
{
        struct spool_entry *e = mem_zalloc(sizeof(*e));

        e->kind = kind;
        e->wishes = wishes;
        e->rule = rule;
        return e;
}

/* Lets the rule find it. The newest of its rule, or every entry is ruled anew in order. */
static void entry_rule_in(struct client *c, struct spool_entry *e)
{
        struct spool *sp = c->spool;
        struct bytes key;

        if (!slow_drops(c->shard->policy, e->rule))
                return;
        list_add_tail(&sp->rules[e->rule].entries, &e->peers);
        sp->rules[e->rule].bytes += e->bytes;
        if (entry_rule(c, e)->action != SLOW_CONFLATE)
                return;
        assert(e->n == 1);
        key = frame_key(entry_data(e));
        e->hash = hash_bytes(&c->shard->options.hash_key, key);
        table_add(&sp->newest, e->hash, e);
}

static void entry_rule_out(struct client *c, struct spool_entry *e)
{
        struct spool *sp = c->spool;

        if (list_empty(&e->peers))
                return;
        if (entry_rule(c, e)->action == SLOW_CONFLATE)
                table_remove(&sp->newest, e->hash, e);
        sp->rules[e->rule].bytes -= e->bytes;
        list_del(&e->peers);
}

static void entry_free(struct client *c, struct spool_entry *e)
{
        entry_rule_out(c, e);
        list_del(&e->link);
        c->spool->n_entries--;
        c->spool->bytes -= e->bytes;
        stage_unref(e->stage);
        if (e->kind == SPOOL_GAP)
                loss_free(e->loss);
        free(e);
}

/* ------------------------------------------------------------------ gaps */

static struct spool_entry *gap_at(struct spool *sp, struct list *link, unsigned wishes)
{
        struct spool_entry *e = link == &sp->entries ? NULL : entry_of(link);

        return e && e->kind == SPOOL_GAP && e->wishes == wishes ? e : NULL;
}

/* Joins the gap with the next entry, if that is one as well. */
static void gap_join_next(struct client *c, struct spool_entry *gap)
{
        struct spool_entry *next = gap_at(c->spool, gap->link.next, gap->wishes);

        if (!next)
                return;
        loss_join(gap->loss, next->loss);
        entry_free(c, next);
        entry_weigh(c->spool, gap);
}

static uint64_t *spool_lost(struct shard_status *status, enum slow_action reason)
{
        if (reason == SLOW_DROP_OLDEST)
                return &status->lost_drop_oldest;
        return reason == SLOW_DROP_NEWEST ? &status->lost_drop_newest : &status->lost_conflate;
}

static void spool_count_loss(struct client *c, enum slow_action reason, uint64_t n)
{
        static const char *const notice[_SLOW_ACTION_N] = {
                [SLOW_DROP_OLDEST] = "it reads too slowly, and messages for it are dropped (drop-oldest)",
                [SLOW_DROP_NEWEST] = "it reads too slowly, and messages for it are dropped (drop-newest)",
                [SLOW_CONFLATE] = "it reads too slowly, and messages for it are dropped (conflate)",
        };

        PROBE3(drop, c->id, n, (unsigned)reason);
        c->lost += n;
        *spool_lost(&c->shard->status, reason) += n;
        if (!c->spool->lost)
                shard_notice(c->shard, c, notice[reason]);
        c->spool->lost = true;
}

/* n messages of the channel of a frame are dropped, whose place is in front of an entry. */
static void spool_lose(struct client *c, const uint8_t *frame, uint64_t n, enum slow_action reason,
                       unsigned wishes, struct list *before)
{
        struct spool *sp = c->spool;
        struct spool_entry *gap;

        if (!n)
                return;
        spool_count_loss(c, reason, n);
        if (!wishes)
                return; /* nobody asked */
        if (PLANTED(24))
                before = &sp->entries;
        gap = gap_at(sp, before->prev, wishes);
        if (!gap) {
                gap = entry_new(SPOOL_GAP, wishes, SLOW_NO_RULE);
                gap->loss = loss_new();
                entry_add(sp, gap, before);
        }
        loss_add(gap->loss, writer_frame(frame).channel, reason, n);
        entry_weigh(sp, gap);
}

/* Drops the first k messages of an entry, and the entry with its last one. */
static void spool_drop(struct client *c, struct spool_entry *e, uint32_t k)
{
        struct piece piece = entry_piece(e);
        struct list *prev;

        spool_lose(c, entry_data(e), k, entry_rule(c, e)->action, e->wishes, &e->link);
        if (k < e->n) {
                piece_skip(&piece, k);
                e->off = piece.off;
                e->len = piece.len;
                e->n = piece.n;
                entry_weigh(c->spool, e);
                return;
        }
        prev = e->link.prev;
        entry_free(c, e);
        if (prev != &c->spool->entries && entry_of(prev)->kind == SPOOL_GAP)
                gap_join_next(c, entry_of(prev));
}

/* ------------------------------------------------------------------ what is kept */

static struct stage *spool_stage(struct client *c, const uint8_t *p, uint32_t n, bool frames)
{
        struct stage *stage = stage_new_exact(&c->shard->chunks, n);

        stage->frames = frames;
        stage->used = n;
        memcpy(stage->data, p, n);
        return stage;
}

/* Adds frames to the last entry, if they are of its kind and that takes no more memory than one of their own.
 */
static bool entry_extend(struct client *c, const struct piece *piece)
{
        struct spool *sp = c->spool;
        struct spool_entry *e = list_empty(&sp->entries) ? NULL : entry_of(sp->entries.prev);
        struct stage *stage;
        struct bytes key;

        if (!e || e->kind != SPOOL_MESSAGES || e->rule != piece->rule || e->wishes != client_wishes(c) ||
            e->stage->shared || e->len + piece->len > SPOOL_COPY_MAX)
                return false;
        key = frame_key(piece->stage->data + piece->off);
        if (!entry_has_key(e, &key) || *entry_data(e) != piece->stage->data[piece->off])
                return false;
        stage = e->stage;
        if (stage->cap - stage->used < piece->len) {
                stage = stage_new_exact(&c->shard->chunks, e->len + piece->len + SPOOL_ENTRY_COST);
                stage->frames = true;
                memcpy(stage->data, entry_data(e), e->len);
                stage->used = e->len;
                stage_unref(e->stage);
                e->stage = stage;
                e->off = 0;
        }
        memcpy(stage->data + stage->used, piece->stage->data + piece->off, piece->len);
        stage->used += piece->len;
        e->len += piece->len;
        e->n += piece->n;
        e->frame = e->frame == piece->frame ? e->frame : 0;
        entry_weigh(sp, e);
        return true;
}

static enum slow_action piece_action(const struct client *c, const struct piece *piece)
{
        return piece->rule == SLOW_NO_RULE ? SLOW_DISCONNECT : c->shard->policy->slow[piece->rule].action;
}

/* Whether an entry may refer to the frames where they are: they are nearly all that their stage holds, and as
 * their rule takes them off in order, they hold it hardly longer than they count for it. */
static bool piece_fills_stage(const struct piece *piece)
{
        return piece->stage->shared && piece->len >= piece->stage->cap / 16 * 15;
}

/* Appends the frames; a copy of them, unless they fill their stage. */
static void spool_append(struct client *c, const struct piece *piece)
{
        struct spool *sp = c->spool;
        struct spool_entry *e;
        bool refers = piece_fills_stage(piece);

        if (!piece->n || (!refers && piece_action(c, piece) != SLOW_CONFLATE && entry_extend(c, piece)))
                return;
        e = entry_new(SPOOL_MESSAGES, client_wishes(c), piece->rule);
        e->stage = refers ? stage_ref(piece->stage)
                          : spool_stage(c, piece->stage->data + piece->off, piece->len, true);
        e->off = refers ? piece->off : 0;
        e->len = piece->len;
        e->n = piece->n;
        e->frame = piece->frame;
        entry_add(sp, e, &sp->entries);
        entry_rule_in(c, e);
}

/* n messages of a piece, from its front, are not kept. */
static void spool_refuse(struct client *c, struct piece *piece, uint32_t n)
{
        const uint8_t *frame = piece->stage->data + piece->off;
        enum slow_action reason = c->shard->policy->slow[piece->rule].action;

        spool_lose(c, frame, n, reason, client_wishes(c), &c->spool->entries);
        piece_skip(piece, n);
}

/* Bytes of frames that a new entry may have, so that all is at most so many. */
static uint64_t spool_room(uint64_t bytes, uint64_t all)
{
        return bytes > all + SPOOL_ENTRY_COST ? bytes - all - SPOOL_ENTRY_COST : 0;
}

/* What fits is kept; what comes behind that is not. */
static void spool_drop_newest(struct client *c, struct piece *piece)
{
        struct piece rest = *piece;
        uint32_t k = piece_fits(piece, spool_room(c->shard->policy->slow[piece->rule].bytes, client_output(c)));

        piece->len = piece_bytes(piece, k);
        piece->n = k;
        spool_append(c, piece);
        piece_skip(&rest, k);
        spool_refuse(c, &rest, rest.n);
}

/* Of the rule's messages the oldest go, until the new ones fit; a new one that does not fit even without them
 * goes itself. */
static void spool_drop_oldest(struct client *c, struct piece *piece)
{
        struct spool_rule *rule = &c->spool->rules[piece->rule];
        uint64_t bytes = c->shard->policy->slow[piece->rule].bytes;
        uint32_t excess = piece_excess(piece, spool_room(bytes, client_output(c) - rule->bytes));

        if (excess == piece->n) {
                spool_refuse(c, piece, piece->n);
                return;
        }
        while (!list_empty(&rule->entries) && (excess || piece->len > spool_room(bytes, client_output(c)))) {
                struct spool_entry *e = list_first(&rule->entries, struct spool_entry, peers);
                struct piece old = entry_piece(e);
                uint64_t over = client_output(c) + SPOOL_ENTRY_COST + piece->len - bytes;

                if (excess || over >= e->bytes)
                        spool_drop(c, e, e->n);
                else
                        spool_drop(c, e, piece_excess(&old, over < old.len ? old.len - over : 0));
        }
        /* the gaps that this has left take memory as well */
        spool_refuse(c, piece, piece_excess(piece, spool_room(bytes, client_output(c))));
        spool_append(c, piece);
}

/* Of each key only the newest is kept. */
static void spool_conflate(struct client *c, struct piece *piece)
{
        struct spool_entry *old;
        struct bytes key;

        spool_refuse(c, piece, piece->n - 1);
        key = frame_key(piece->stage->data + piece->off);
        old = table_find(&c->spool->newest, hash_bytes(&c->shard->options.hash_key, key), entry_has_key, &key);
        if (old)
                spool_drop(c, old, 1);
        spool_append(c, piece);
}

/* Frames that become one entry at most. acts: the rules that drop at a number of bytes do. */
static void spool_take_part(struct client *c, struct piece part, bool acts)
{
        enum slow_action action = piece_action(c, &part);

        if (action == SLOW_CONFLATE)
                spool_conflate(c, &part);
        else if (action == SLOW_DROP_OLDEST && acts)
                spool_drop_oldest(c, &part);
        else if (action == SLOW_DROP_NEWEST && acts)
                spool_drop_newest(c, &part);
        else
                spool_append(c, &part);
}

/* Whether a rule has room for no message of a piece, so that all go at once. */
static bool spool_is_full(struct client *c, const struct piece *piece)
{
        return piece_action(c, piece) == SLOW_DROP_NEWEST && piece->frame &&
               piece->frame > spool_room(c->shard->policy->slow[piece->rule].bytes, client_output(c));
}

static void spool_take_piece(struct client *c, struct piece piece, bool acts)
{
        if (acts && spool_is_full(c, &piece)) {
                spool_refuse(c, &piece, piece.n);
                return;
        }
        if (piece_fills_stage(&piece) || piece_action(c, &piece) == SLOW_CONFLATE) {
                spool_take_part(c, piece, acts);
                return;
        }
        while (piece.n) {
                struct piece part = piece;
                uint32_t k = piece_fits(&piece, SPOOL_COPY_MAX);

                part.n = k ? k : 1;
                part.len = piece_bytes(&piece, part.n);
                spool_take_part(c, part, acts);
                piece_skip(&piece, part.n);
        }
}

static void spool_take_other(struct client *c, const struct slice *slice)
{
        struct spool_entry *e = entry_new(SPOOL_OTHER, 0, SLOW_NO_RULE);

        e->stage = spool_stage(c, slice->stage->data + slice->off, slice->len, false);
        e->len = slice->len;
        entry_add(c->spool, e, &c->spool->entries);
}

/* A stage more is nothing to what its rules and limits let wait, so it may be late. */
static bool spool_may_stall(const struct client *c)
{
        const struct policy_limits *limits = &c->shard->policy->limits;

        if (limits->output_hard < SPOOL_STALL_MIN ||
            (limits->output_soft && limits->output_soft < SPOOL_STALL_MIN))
                return false;
        return c->end == CLIENT_OPEN && !c->transaction && list_empty(&c->dirty) &&
               slow_bytes(c->shard->policy, c->path) >= SPOOL_STALL_MIN;
}

/* Whether a slice is in the stage that is being filled. */
static bool slice_is_fresh(const struct client *c, const struct slice *slice)
{
        return slice->stage == c->shard->deliver.stage[c->subscriber.protocol];
}

/* Takes the intake apart; fresh: also what comes with and behind the stage that is being filled. */
static void spool_take_in(struct client *c, bool acts, bool fresh)
{
        struct shard *s = c->shard;
        struct spool *sp = c->spool;
        size_t taken = 0;
        uint32_t i = 0;
        struct outq in;

        outq_init(&in);
        outq_join(&in, &sp->intake);
        while (i < in.n && (fresh || !slice_is_fresh(c, outq_at(&in, i)))) {
                const struct slice *slice = outq_at(&in, i++);
                const struct piece *pieces;
                unsigned n;

                taken += slice->len;
                if (!slice->stage->frames) {
                        spool_take_other(c, slice);
                        continue;
                }
                n = slow_pieces(&s->slow, s->policy, c->path, slice, &pieces);
                for (unsigned k = 0; k < n; k++)
                        spool_take_piece(c, pieces[k], acts);
        }
        outq_split(&in, taken, &sp->intake);
        outq_clear(&in);
}

/* ------------------------------------------------------------------ beginning and end */

static void spool_new_rules(struct client *c)
{
        struct spool *sp = c->spool;

        free(sp->rules);
        sp->n_rules = c->shard->policy->n_slow;
        sp->rules = mem_zalloc(sp->n_rules * sizeof(*sp->rules));
        for (unsigned i = 0; i < sp->n_rules; i++)
                list_init(&sp->rules[i].entries);
}

static void spool_begin(struct client *c)
{
        c->spool = mem_zalloc(sizeof(*c->spool));
        list_init(&c->spool->entries);
        outq_init(&c->spool->intake);
        c->intake = &c->spool->intake;
        spool_new_rules(c);
        client_set_queue(c);
}

void spool_free(struct client *c)
{
        struct spool *sp = c->spool;

        if (!sp)
                return;
        outq_clear(&sp->intake);
        while (!list_empty(&sp->entries))
                entry_free(c, entry_of(sp->entries.next));
        table_deinit(&sp->newest);
        free(sp->rules);
        free(sp);
        c->spool = NULL;
        c->intake = NULL;
        client_set_queue(c);
}

/* Bytes of the first frame, of which a part was sent, that are left. */
static uint32_t cut_rest(const struct outq *out)
{
        const struct slice *first = outq_at(out, 0);
        uint32_t at = first->off - out->cut;

        if (!out->n || !out->cut || !first->stage->frames || PLANTED(23))
                return 0;
        while (at < first->off)
                at += (uint32_t)writer_frame(first->stage->data + at).size;
        return at - first->off;
}

void spool_trim_cut(struct outq *out)
{
        const struct slice *first = outq_at(out, 0);
        uint32_t at, next;

        if (!out->n || !out->cut || !first->stage->frames || !first->stage->shared)
                return;
        at = first->off - out->cut;
        while ((next = at + (uint32_t)writer_frame(first->stage->data + at).size) <= first->off)
                at = next;
        out->cut = first->off - at;
}

bool spool_is_needed(const struct client *c)
{
        const struct policy *policy = c->shard->policy;

        return policy->n_slow && c->stream.out.bytes > slow_from(policy, c->path);
}

/* ------------------------------------------------------------------ flushes */

/* The notice of a gap, which stays a gap until a part of it was sent. */
static struct bytes gap_notice(struct spool_entry *gap, struct buffer *b)
{
        loss_write(gap->loss, gap->wishes, b);
        gap->len = (uint32_t)buffer_size(b);
        return buffer_view(b);
}

static void spool_offer_entry(struct client *c, struct spool_entry *e)
{
        struct outq *out = &c->stream.out;
        struct buffer b = { 0 };

        if (e->kind == SPOOL_GAP)
                outq_copy(out, &c->shard->chunks, gap_notice(e, &b));
        else
                outq_slice(out, &c->shard->chunks, e->stage, e->off, e->len);
        c->spool->offered += e->len;
        buffer_deinit(&b);
}

void spool_offer(struct client *c)
{
        struct spool *sp = c->spool;
        struct list *link = sp->entries.next;

        sp->offered = sp->joined = 0;
        if (c->stream.writing || c->stream.failed)
                return;
        assert(!c->stream.out.bytes);
        for (; link != &sp->entries && sp->offered < SPOOL_OFFER_MAX; link = link->next)
                spool_offer_entry(c, entry_of(link));
        if (link != &sp->entries)
                return;
        sp->joined = sp->intake.bytes;
        outq_join(&c->stream.out, &sp->intake);
}

/* `sent` bytes of the entry left. Return: bytes of it that have to follow. */
static size_t spool_sent_part(struct client *c, struct spool_entry *e, size_t sent)
{
        struct piece piece = entry_piece(e);
        size_t rest = e->len - sent;

        if (e->kind == SPOOL_MESSAGES) {
                uint32_t k = piece_fits(&piece, sent), bytes = piece_bytes(&piece, k);

                if (bytes < sent)
                        bytes = piece_bytes(&piece, ++k);
                rest = bytes - sent;
                if (k < piece.n) {
                        piece_skip(&piece, k);
                        e->off = piece.off;
                        e->len = piece.len;
                        e->n = piece.n;
                        entry_weigh(c->spool, e);
                        return rest;
                }
        }
        entry_free(c, e);
        return rest;
}

/* Takes what was sent off the entries. Return: bytes at the front of stream.out that have to follow. */
static size_t spool_sent(struct client *c, size_t sent)
{
        struct spool *sp = c->spool;

        while (sent) {
                struct spool_entry *e = entry_of(sp->entries.next);

                assert(&e->link != &sp->entries);
                if (sent < e->len)
                        return spool_sent_part(c, e, sent);
                sent -= e->len;
                entry_free(c, e);
        }
        return 0;
}

/* The rest of a frame in stream.out is not to pin more memory than it counts for. */
static void spool_own_rest(struct client *c)
{
        struct outq *out = &c->stream.out, rest;
        size_t pinned = 0;
        bool shared = false;

        for (uint32_t i = 0; i < out->n; i++) {
                shared |= outq_at(out, i)->stage->shared;
                pinned += outq_at(out, i)->stage->cap;
        }
        if (!shared && pinned <= out->bytes + SPOOL_COPY_MAX)
                return;
        outq_init(&rest);
        outq_split(out, 0, &rest);
        for (uint32_t i = 0; i < rest.n; i++) {
                const struct slice *s = outq_at(&rest, i);

                outq_copy(out, &c->shard->chunks, bytes_of(s->stage->data + s->off, s->len));
        }
        outq_clear(&rest);
}

/* What of the offer the kernel did not take goes back to where it came from. */
static void spool_take_back(struct client *c)
{
        struct spool *sp = c->spool;
        struct outq *out = &c->stream.out, rest;
        size_t left = out->bytes, keep;

        outq_init(&rest);
        if (left > sp->joined) {
                outq_split(out, left - sp->joined, &sp->intake);
                keep = spool_sent(c, sp->offered - (left - sp->joined));
                outq_split(out, keep, &rest);
                outq_clear(&rest);
        } else {
                spool_sent(c, sp->offered);
                outq_split(out, cut_rest(out), &sp->intake);
        }
        sp->offered = sp->joined = 0;
        spool_own_rest(c);
}

static void spool_stall(struct client *c)
{
        list_add_tail(&c->shard->stalled, &c->dirty);
        c->spool->stalled = true;
}

void spool_wake(struct client *c)
{
        if (!c->spool || (!c->spool->stalled && !list_empty(&c->dirty)))
                return;
        c->spool->stalled = false;
        list_del(&c->dirty);
        shard_touch(c->shard, c);
}

void spool_wake_all(struct shard *s)
{
        while (!list_empty(&s->stalled))
                spool_wake(list_first(&s->stalled, struct client, dirty));
        s->deliver.replaced = false;
}

void spool_keep(struct client *c)
{
        struct spool *sp = c->spool;

        if (!sp) {
                spool_begin(c);
                sp = c->spool;
                sp->joined = c->stream.out.bytes;
                spool_take_back(c);
        } else if (sp->offered || sp->joined) {
                spool_take_back(c);
        }
        spool_take_in(c, true, !c->stream.writing || !spool_may_stall(c));
        if (c->messages != &sp->intake)
                outq_detach(c->messages, &c->shard->chunks); /* of a transaction */
        if (list_empty(&sp->entries) && !c->stream.out.bytes && !sp->intake.bytes)
                spool_free(c);
        else if (!c->stream.writing)
                shard_touch(c->shard, c);
        else if (spool_may_stall(c))
                spool_stall(c);
}

void spool_cut(struct client *c, size_t bytes)
{
        struct spool *sp = c->spool;

        for (unsigned i = 0; i < sp->n_rules; i++) {
                struct list *entries = &sp->rules[i].entries;
                bool newest = c->shard->policy->slow[i].action == SLOW_DROP_NEWEST;

                while (!list_empty(entries) && client_output(c) > bytes) {
                        struct spool_entry *e =
                                container_of(newest ? entries->prev : entries->next, struct spool_entry, peers);

                        struct piece piece = entry_piece(e);
                        size_t over = client_output(c) - bytes;
                        uint32_t excess = piece_excess(&piece, over < piece.len ? piece.len - over : 0);

                        spool_drop(c, e, newest || over >= e->bytes ? e->n : excess);
                }
        }
}

/* ------------------------------------------------------------------ changes */

void spool_mark(struct client *c)
{
        struct outq *out = &c->stream.out;
        bool frames = false;

        if (PLANTED(25))
                return;
        if (!c->spool) {
                for (uint32_t i = 0; i < out->n; i++)
                        frames |= outq_at(out, i)->stage->frames;
                if (!frames)
                        return;
                spool_begin(c);
                outq_split(out, cut_rest(out), &c->spool->intake);
        }
        spool_take_in(c, false, true);
        client_set_queue(c);
}

/* Copies the frames of an entry, if it refers to them elsewhere. */
static void entry_own(struct client *c, struct spool_entry *e)
{
        struct stage *shared = e->stage;

        if (!shared->shared)
                return;
        e->stage = spool_stage(c, entry_data(e), e->len, true);
        e->off = 0;
        stage_unref(shared);
        entry_weigh(c->spool, e);
}

/* Rules an entry anew, and those before it by that. */
static void spool_rule_anew(struct client *c, struct spool_entry *e)
{
        const struct policy *policy = c->shard->policy;
        struct piece piece = entry_piece(e);
        struct spool_entry *old;
        struct bytes key;

        e->rule = slow_rule_for(policy, c->path, writer_frame(entry_data(e)).channel);
        if (e->rule != SLOW_NO_RULE && policy->slow[e->rule].action == SLOW_CONFLATE) {
                key = frame_key(entry_data(e));
                old = table_find(&c->spool->newest, hash_bytes(&c->shard->options.hash_key, key), entry_has_key,
                                 &key);
                if (old)
                        spool_drop(c, old, 1);
                if (piece.n > 1)
                        spool_drop(c, e, piece.n - 1);
                entry_own(c, e);
        }
        entry_rule_in(c, e);
}

/* The entries come again in their order. What is above the new bounds stays, until more comes. */
void spool_use_policy(struct client *c)
{
        struct spool *sp = c->spool;
        struct list old;

        if (!sp)
                return;
        list_swap(&old, &sp->entries);
        list_for_each (link, &old)
                list_init(&entry_of(link)->peers);
        table_deinit(&sp->newest);
        spool_new_rules(c);
        while (!list_empty(&old)) {
                struct spool_entry *e = entry_of(old.next);

                list_del(&e->link);
                list_add_tail(&sp->entries, &e->link);
                if (e->kind == SPOOL_MESSAGES)
                        spool_rule_anew(c, e);
        }
}

/* ------------------------------------------------------------------ for tests */

static void assert_entry(const struct client *c, const struct spool_entry *e)
{
        const struct spool *sp = c->spool;

        if (e->kind == SPOOL_GAP) {
                assert(e->wishes && e->bytes == entry_cost(e));
                assert(e->link.next == &sp->entries || !gap_at(c->spool, e->link.next, e->wishes));
                return;
        }
        assert(e->len && (e->stage->shared || e->off + e->len == e->stage->used));
        assert(e->bytes == entry_cost(e));
        assert(slow_drops(c->shard->policy, e->rule) == !list_empty(&e->peers));
        assert(e->kind == SPOOL_MESSAGES || e->rule == SLOW_NO_RULE);
        if (!list_empty(&e->peers) && entry_rule(c, e)->action == SLOW_CONFLATE) {
                struct bytes key = frame_key(entry_data(e));

                assert(e->n == 1 && table_find(&sp->newest, e->hash, entry_has_key, &key) == e);
        }
}

void spool_assert(const struct client *c)
{
        const struct spool *sp = c->spool;
        size_t bytes = 0, ruled = 0;

        assert(!sp->offered && !sp->joined && (!sp->intake.n || sp->stalled) &&
               sp->n_rules == c->shard->policy->n_slow);
        list_for_each (link, &sp->entries) {
                assert_entry(c, entry_of(link));
                bytes += entry_of(link)->bytes;
                ruled += list_empty(&entry_of(link)->peers) ? 0 : entry_of(link)->bytes;
        }
        assert(bytes == sp->bytes);
        for (unsigned i = 0; i < sp->n_rules; i++)
                ruled -= sp->rules[i].bytes;
        assert(!ruled);
}
