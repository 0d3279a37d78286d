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
 */

struct stage {
        uint32_t refs;
        uint32_t cap, used; /* bytes */
        struct stage_pool *pool; /* where it came from; NULL: malloc */
        uint8_t data[];
};

/* Stages of one usual size, kept for reuse. One per shard. */
struct stage_pool {
        struct stage *idle[16];
        unsigned n_idle;
        uint32_t size; /* bytes of data of a pooled stage */
        uint64_t n_live; /* stages handed out and not back: must be 0 at the end */
};

void stage_pool_init(struct stage_pool *pool, uint32_t size);

/* Asserts that no stage is out. */
void stage_pool_deinit(struct stage_pool *pool);

/* A stage with one reference and room for at least min bytes. Ends the process when memory is out. */
struct stage *stage_new(struct stage_pool *pool, uint32_t min);

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
        uint32_t n_private; /* slices from the head on that are known to lie in memory of this queue's own */
        size_t bytes;    /* queued in all */
        struct stage *own; /* where small pieces are appended; NULL: none yet; also held by its slices */
        struct slice few[OUTQ_INLINE];
};

#define OUTQ_COPY_MAX 256 /* a slice up to this size that does not extend the last one is copied */

void outq_init(struct outq *q);

/* Drops everything. */
void outq_clear(struct outq *q);

/* Queues a range of a stage: extends the last slice, or is copied when small, or refers to the stage. */
void outq_slice(struct outq *q, struct stage_pool *pool, struct stage *stage, uint32_t off, uint32_t len);

/* Queues a copy. */
void outq_copy(struct outq *q, struct stage_pool *pool, struct bytes b);

/* The first up to max slices as an I/O vector. Return: their number; 0 when the queue is empty. */
unsigned outq_iov(const struct outq *q, struct iovec *iov, unsigned max);

/* Takes n sent bytes off the front. */
void outq_consume(struct outq *q, size_t n);

/*
 * Moves what refers to shared stages into memory of the queue's own, so that a slow reader pins nothing but
 * what it is charged for.
 */
void outq_detach(struct outq *q);
