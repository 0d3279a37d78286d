/* SPDX-License-Identifier: MIT */
/*
 * Output queues and the stages they refer to.
 *
 * Invariants: bytes is the sum of the slices' lengths; every slice is non-empty and holds a reference; a
 * stage's bytes below `used` never change while someone refers to them; an empty queue holds no memory.
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

struct stage *stage_new(struct stage_pool *pool, uint32_t min)
{
        uint32_t cap = min > pool->size ? min : pool->size;
        struct stage *stage;

        if (cap == pool->size && pool->n_idle)
                stage = pool->idle[--pool->n_idle];
        else
                stage = mem_alloc(sizeof(*stage) + cap);
        pool->n_live++;
        stage->refs = 1;
        stage->cap = cap;
        stage->used = 0;
        stage->shared = false;
        stage->pool = pool;
        return stage;
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

static struct slice *outq_at(const struct outq *q, uint32_t i)
{
        return &q->v[(q->head + i) & (q->cap - 1)];
}

/* The queue ran empty: nothing may keep memory for it. What it sent stays known. */
static void outq_idle(struct outq *q)
{
        q->own = stage_unref(q->own);
        if (q->v != q->few)
                free(q->v);
        q->v = q->few;
        q->head = q->n = q->n_private = 0;
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
        last = outq_at(q, q->n - 1);
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
        *outq_at(q, q->n++) = (struct slice){ stage_ref(stage), off, len };
        q->bytes += len;
}

void outq_slice(struct outq *q, struct stage_pool *pool, struct stage *stage, uint32_t off, uint32_t len)
{
        assert(len && off + len <= stage->used);
        if (outq_extend(q, stage, off, len))
                return;
        if (len <= OUTQ_COPY_MAX && q->n)
                outq_copy(q, pool, bytes_of(stage->data + off, len));
        else
                outq_refer(q, stage, off, len);
}

void outq_copy(struct outq *q, struct stage_pool *pool, struct bytes b)
{
        uint32_t part;

        while (b.n) {
                if (q->own && q->own->used == q->own->cap)
                        q->own = stage_unref(q->own);
                if (!q->own)
                        q->own = stage_new(pool, b.n < UINT32_MAX / 2 ? (uint32_t)b.n : UINT32_MAX / 2);
                part = q->own->cap - q->own->used;
                if (b.n < part)
                        part = (uint32_t)b.n;
                memcpy(q->own->data + q->own->used, b.p, part);
                q->own->used += part;
                outq_refer(q, q->own, q->own->used - part, part);
                b = bytes_of(b.p + part, b.n - part);
        }
}

void outq_join(struct outq *q, struct outq *behind)
{
        for (uint32_t i = 0; i < behind->n; i++) {
                const struct slice *s = outq_at(behind, i);

                outq_refer(q, s->stage, s->off, s->len);
        }
        outq_clear(behind);
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
        assert(n <= q->bytes);
        q->bytes -= n;
        q->sent += n;
        while (n) {
                struct slice *s = outq_at(q, 0);

                if (n < s->len) {
                        s->off += PLANTED(15) ? 0 : (uint32_t)n;
                        s->len -= (uint32_t)n;
                        return;
                }
                n -= s->len;
                stage_unref(s->stage);
                q->head = (q->head + 1) & (q->cap - 1);
                q->n--;
                if (q->n_private)
                        q->n_private--;
        }
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
                        outq_copy(q, pool, bytes_of(tail[i].stage->data + tail[i].off, tail[i].len));
                else
                        outq_refer(q, tail[i].stage, tail[i].off, tail[i].len);
                stage_unref(tail[i].stage);
        }
        q->n_private = q->n;
        free(tail);
}
