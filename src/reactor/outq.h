/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "util/bytes.h"

/*
 * Output of one connection: a queue of slices, each a range of a stage.
 *
 * A stage is memory that frames are encoded into once, counted by plain references (one thread). Many
 * connections queue slices of one stage. Its bytes never move while a slice refers to them, so a send in
 * flight may point at them. Small pieces are copied instead, into a stage of the connection's own (`own`), and
 * extend the last slice when they stand right behind it.
 *
 * What is queued is of two kinds: whole frames, which may later be taken apart and left out, and bytes, which
 * may not. Each stage holds one kind, so slices are of one kind and begin and end with a frame. Only of the
 * first in the queue a part may have been sent; the stage still has that part in front (`cut`).
 */

struct stage {
        uint32_t refs;
        uint32_t cap, used;      /* bytes */
        bool shared;             /* slices of several queues may refer to it */
        bool frames;             /* its slices are whole frames */
        struct stage_pool *pool; /* what it came from, and goes back to if it is of the usual size */
        uint8_t data[];
};

#define STAGE_POOL_IDLE 64

/* Stages of one usual size, kept for reuse. Of a shard. */
struct stage_pool {
        struct stage *idle[STAGE_POOL_IDLE];
        unsigned n_idle, max_idle;
        uint32_t size;   /* bytes of data of a usual stage */
        uint64_t n_live; /* stages handed out and not back */
};

/* size: bytes of a usual stage; max_idle: how many to keep when nobody needs them, up to STAGE_POOL_IDLE. */
void stage_pool_init(struct stage_pool *pool, uint32_t size, unsigned max_idle);

/* Asserts that no stage is out. */
void stage_pool_deinit(struct stage_pool *pool);

/* A stage with one reference and room for at least min bytes. Ends the process when memory is out. */
struct stage *stage_new(struct stage_pool *pool, uint32_t min);

/* A stage for just n bytes, n > 0, which is not kept for reuse. */
struct stage *stage_new_exact(struct stage_pool *pool, uint32_t n);

static inline struct stage *stage_ref(struct stage *stage)
{
        stage->refs++;
        return stage;
}

void stage_release(struct stage *stage);

/* Return: NULL. */
static inline struct stage *stage_unref(struct stage *stage)
{
        if (stage && !--stage->refs)
                stage_release(stage);
        return NULL;
}

struct slice {
        struct stage *stage; /* a reference is held */
        uint32_t off, len;
};

#define OUTQ_INLINE 2

struct outq {
        struct slice *v; /* ring of cap slices (a power of two), `few` or allocated */
        uint32_t head, n, cap;
        uint32_t n_private; /* slices from the head on that are known to refer to no shared stage */
        uint32_t cut;       /* bytes of the first slice that were sent: they stand in front of it */
        size_t bytes;       /* queued in all */
        uint64_t sent;      /* bytes taken off the front, ever */
        struct stage
                *own[2]; /* where pieces are copied to, by stage.frames; a reference is held; NULL: none yet */
        struct slice few[OUTQ_INLINE];
};

#define OUTQ_COPY_MAX 256 /* bytes; up to here a copy is cheaper than one more I/O vector */

void outq_init(struct outq *q);

/* Drops everything. */
void outq_clear(struct outq *q);

/*
 * Queues a range of a stage. It extends the last slice when it stands right behind that; otherwise it is copied
 * when it is small and not alone, else the stage is referred to.
 */
void outq_slice(struct outq *q, struct stage_pool *pool, struct stage *stage, uint32_t off, uint32_t len);

/* Queues a copy of bytes that are no frames, in a stage of the pool that only this queue refers to. */
void outq_copy(struct outq *q, struct stage_pool *pool, struct bytes b);

/* Moves everything of another queue, of which nothing was sent, behind it; that one is empty then. */
void outq_join(struct outq *q, struct outq *behind);

/* Moves all but the first `keep` bytes behind another queue. The cut must be between two frames where it goes
 * through frames, unless what is cut off will not be sent. */
void outq_split(struct outq *q, size_t keep, struct outq *rest);

/* Slice i, counted from the front. */
static inline const struct slice *outq_at(const struct outq *q, uint32_t i)
{
        return &q->v[(q->head + i) & (q->cap - 1)];
}

/* The first up to max slices as an I/O vector. Return: their number; 0 when the queue is empty. */
unsigned outq_iov(const struct outq *q, struct iovec *iov, unsigned max);

/* Takes n sent bytes off the front. */
void outq_consume(struct outq *q, size_t n);

/*
 * Moves what refers to shared stages into memory of the queue's own, so that a slow reader pins nothing but
 * what it is charged for. Of frames, what is in front of the first slice is moved as well: make `cut` small
 * before.
 */
void outq_detach(struct outq *q, struct stage_pool *pool);
