/* SPDX-License-Identifier: MIT */
/*
 * Output queues and the stages they refer to.
 *
 * Invariants: bytes is the sum of the slices' lengths; every slice is non-empty and holds a reference; a
 * stage's bytes below `used` never change while someone refers to them; an empty queue holds no memory; what
 * stands right in front of the first slice is `cut` bytes of the same frames, unless it is no frames.
 */

#include "reactor/outq.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "util/mem.h"
#include "util/plant.h"

void stage_pool_init(struct stage_pool *pool, uint32_t size, unsigned max_idle)
{
        assert(max_idle <= STAGE_POOL_IDLE);
        *pool = (struct stage_pool){ .size = size, .max_idle = max_idle };
}

void stage_pool_deinit(struct stage_pool *pool)
{
        assert(pool->n_live == 0);
        while (pool->n_idle)
                free(pool->idle[--pool->n_idle]);
}

static struct stage *stage_hand_out(struct stage_pool *pool, struct stage *stage, uint32_t cap)
{
        pool->n_live++;
        stage->refs = 1;
        stage->cap = cap;
        stage->used = 0;
        stage->shared = stage->frames = false;
        stage->pool = pool;
        return stage;
}

struct stage *stage_new_exact(struct stage_pool *pool, uint32_t n)
{
        return stage_hand_out(pool, mem_alloc(sizeof(struct stage) + n), n);
}

struct stage *stage_new(struct stage_pool *pool, uint32_t min)
{
        if (min <= pool->size && pool->n_idle)
                return stage_hand_out(pool, pool->idle[--pool->n_idle], pool->size);
        return stage_new_exact(pool, min > pool->size ? min : pool->size);
}

void stage_release(struct stage *stage)
{
        struct stage_pool *pool = stage->pool;

        assert(pool->n_live);
        pool->n_live--;
        if (stage->cap == pool->size && pool->n_idle < pool->max_idle)
                pool->idle[pool->n_idle++] = stage;
        else
                free(stage);
}

void outq_init(struct outq *q)
{
        *q = (struct outq){ .cap = OUTQ_INLINE };
        q->v = q->few;
}

static struct slice *outq_place(struct outq *q, uint32_t i)
{
        return &q->v[(q->head + i) & (q->cap - 1)];
}

static void outq_drop_own(struct outq *q)
{
        q->own[false] = stage_unref(q->own[false]);
        q->own[true] = stage_unref(q->own[true]);
}

/* The queue ran empty: nothing may keep memory for it. What it sent stays known. */
static inline void outq_idle(struct outq *q)
{
        if (q->own[false] || q->own[true])
                outq_drop_own(q);
        if (q->v != q->few)
                free(q->v);
        q->v = q->few;
        q->head = q->n = q->n_private = q->cut = 0;
        q->cap = OUTQ_INLINE;
        q->bytes = 0;
}

void outq_clear(struct outq *q)
{
        for (uint32_t i = 0; i < q->n; i++)
                stage_unref(outq_at(q, i)->stage);
        outq_idle(q);
}

static void outq_grow(struct outq *q)
{
        struct slice *v = mem_alloc(2 * q->cap * sizeof(*v));

        for (uint32_t i = 0; i < q->n; i++)
                v[i] = *outq_at(q, i);
        if (q->v != q->few)
                free(q->v);
        q->v = v;
        q->cap *= 2;
        q->head = 0;
}

/* Extends the last slice if the range stands right behind it. */
static bool outq_extend(struct outq *q, const struct stage *stage, uint32_t off, uint32_t len)
{
        struct slice *last;

        if (!q->n)
                return false;
        last = outq_place(q, q->n - 1);
        if (last->stage != stage || (last->off + last->len != off && !PLANTED(8)))
                return false;
        last->len += len;
        q->bytes += len;
        return true;
}

static void outq_refer(struct outq *q, struct stage *stage, uint32_t off, uint32_t len)
{
        if (outq_extend(q, stage, off, len))
                return;
        if (q->n == q->cap)
                outq_grow(q);
        *outq_place(q, q->n++) = (struct slice){ stage_ref(stage), off, len };
        q->bytes += len;
}

/* A stage of the queue's own with room for n bytes. A large piece, which would leave much of the last one
 * unused, gets one for itself. */
static struct stage *outq_own(struct outq *q, struct stage_pool *pool, bool frames, uint32_t n)
{
        struct stage **own = &q->own[frames];

        if (*own && (*own)->cap - (*own)->used >= n)
                return stage_ref(*own);
        if (n > pool->size / 8) {
                struct stage *stage = stage_new_exact(pool, n);

                stage->frames = frames;
                return stage;
        }
        stage_unref(*own);
        *own = stage_new(pool, n);
        (*own)->frames = frames;
        return stage_ref(*own);
}

/* Queues a copy that is one range of one stage. What stands behind `cut` bytes is not queued but copied. */
__attribute__((noinline)) static void outq_copy_whole(struct outq *q, struct stage_pool *pool,
                                                      const struct slice *s, uint32_t cut)
{
        struct stage *stage = outq_own(q, pool, s->stage->frames, cut + s->len);

        memcpy(stage->data + stage->used, s->stage->data + s->off - cut, cut + s->len);
        stage->used += cut + s->len;
        outq_refer(q, stage, stage->used - s->len, s->len);
        stage_unref(stage);
}

void outq_slice(struct outq *q, struct stage_pool *pool, struct stage *stage, uint32_t off, uint32_t len)
{
        assert(len && off + len <= stage->used);
        if (outq_extend(q, stage, off, len))
                return;
        if (len <= OUTQ_COPY_MAX && q->n)
                outq_copy_whole(q, pool, &(struct slice){ stage, off, len }, 0);
        else
                outq_refer(q, stage, off, len);
}

void outq_copy(struct outq *q, struct stage_pool *pool, struct bytes b)
{
        struct stage **own = &q->own[false];
        uint32_t part;

        while (b.n) {
                if (*own && (*own)->used == (*own)->cap)
                        *own = stage_unref(*own);
                if (!*own)
                        *own = stage_new(pool, b.n < UINT32_MAX / 2 ? (uint32_t)b.n : UINT32_MAX / 2);
                part = (*own)->cap - (*own)->used;
                if (b.n < part)
                        part = (uint32_t)b.n;
                memcpy((*own)->data + (*own)->used, b.p, part);
                (*own)->used += part;
                outq_refer(q, *own, (*own)->used - part, part);
                b = bytes_of(b.p + part, b.n - part);
        }
}

void outq_join(struct outq *q, struct outq *behind)
{
        assert(!behind->cut);
        for (uint32_t i = 0; i < behind->n; i++) {
                const struct slice *s = outq_at(behind, i);

                outq_refer(q, s->stage, s->off, s->len);
        }
        outq_clear(behind);
}

void outq_split(struct outq *q, size_t keep, struct outq *rest)
{
        uint32_t n = 0;

        assert(keep <= q->bytes);
        for (uint32_t i = 0; i < q->n; i++) {
                struct slice *s = outq_place(q, i);
                uint32_t part = keep < s->len ? (uint32_t)keep : s->len;

                keep -= part;
                if (part < s->len)
                        outq_refer(rest, s->stage, s->off + part, s->len - part);
                q->bytes -= s->len - part;
                s->len = part;
                if (part)
                        n++;
                else
                        stage_unref(s->stage);
        }
        q->n = n;
        if (q->n_private > n)
                q->n_private = n;
        if (!n)
                outq_idle(q);
}

unsigned outq_iov(const struct outq *q, struct iovec *iov, unsigned max)
{
        unsigned n = q->n < max ? q->n : max;

        for (unsigned i = 0; i < n; i++) {
                const struct slice *s = outq_at(q, i);

                iov[i] = (struct iovec){ s->stage->data + s->off, s->len };
        }
        return n;
}

void outq_consume(struct outq *q, size_t n)
{
        uint32_t cut = q->cut;

        assert(n <= q->bytes);
        q->bytes -= n;
        q->sent += n;
        while (n) {
                struct slice *s = outq_place(q, 0);

                if (n < s->len) {
                        s->off += PLANTED(15) ? 0 : (uint32_t)n;
                        s->len -= (uint32_t)n;
                        q->cut = cut + (uint32_t)n;
                        return;
                }
                n -= s->len;
                cut = 0;
                stage_unref(s->stage);
                q->head = (q->head + 1) & (q->cap - 1);
                q->n--;
                if (q->n_private)
                        q->n_private--;
        }
        q->cut = cut;
        if (!q->n)
                outq_idle(q);
}

void outq_detach(struct outq *q, struct stage_pool *pool)
{
        uint32_t n = q->n - q->n_private;
        struct slice *tail;

        if (!n)
                return;
        tail = mem_alloc(n * sizeof(*tail));
        for (uint32_t i = 0; i < n; i++) {
                tail[i] = *outq_at(q, q->n_private + i);
                q->bytes -= tail[i].len;
        }
        q->n = q->n_private;
        for (uint32_t i = 0; i < n; i++) {
                if (tail[i].stage->shared)
                        outq_copy_whole(q, pool, &tail[i], q->n || !tail[i].stage->frames ? 0 : q->cut);
                else
                        outq_refer(q, tail[i].stage, tail[i].off, tail[i].len);
                stage_unref(tail[i].stage);
        }
        q->n_private = q->n;
        free(tail);
}
