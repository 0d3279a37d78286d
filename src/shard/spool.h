/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "reactor/outq.h"
#include "shard/loss.h"
#include "util/hash.h"
#include "util/list.h"

/*
 * The output of a client that is too slow, where messages may be dropped: taken apart into entries.
 *
 * A client is spooled from a flush that left too much behind to the one that leaves nothing. In between
 * stream.out holds, between two turns, nothing but the rest of a frame of which a part was sent. Behind that
 * come the entries; behind them the intake, where the client's messages and replies are queued during a turn. A
 * flush is offered the front of the entries, and what the kernel does not take stays an entry; then the intake
 * is taken apart, and the rules for slow subscribers act.
 *
 * A client that takes nothing at all is left alone meanwhile: its intake only refers to the stage that is
 * filled for others anyway, and is taken apart when that stage is full, or when the client is woken.
 *
 * All of it counts as the client's output, by the memory that it takes.
 */

struct client;
struct policy;
struct shard;

enum spool_kind {
        SPOOL_MESSAGES, /* frames of one kind, pattern and channel, under one rule */
        SPOOL_OTHER,    /* anything else: never dropped */
        SPOOL_GAP,      /* messages were dropped here */
};

struct spool_entry {
        struct list link;  /* in spool.entries */
        struct list peers; /* in spool.rules[].entries, if a rule that drops fits */
        enum spool_kind kind;
        uint32_t rule;     /* index; SLOW_NO_RULE: none. As long as the policy is the same */
        uint32_t off, len; /* what is left of it, in the stage; of a gap, bytes of the notice that is offered */
        uint32_t n;        /* frames */
        uint32_t frame;    /* bytes of each; 0: they differ */
        unsigned wishes;   /* how the client wanted to hear of losses when it was queued: LOSS_* */
        struct stage *stage; /* NULL: of a gap */
        size_t bytes;        /* what it counts for */
        union {
                struct loss *loss; /* of a gap */
                uint64_t hash;     /* under SLOW_CONFLATE: in spool.newest */
        };
};

struct spool_rule {
        struct list entries; /* by spool_entry.peers, oldest first */
        size_t bytes;        /* that these count for */
};

struct spool {
        struct list entries;
        size_t n_entries;
        struct spool_rule *rules; /* of the policy's */
        unsigned n_rules;
        struct table newest; /* under SLOW_CONFLATE: the one entry of each kind, pattern and channel */
        struct outq intake;
        size_t bytes;   /* that the entries count for */
        size_t offered; /* during a flush: bytes of entries in stream.out */
        size_t joined;  /* bytes of the intake behind them */
        bool stalled;   /* in shard.stalled */
        bool lost;      /* it was logged that messages are dropped */
};

/* Bytes that it counts for. */
size_t spool_bytes(const struct spool *spool);

/* Before a flush: offers what the kernel may take now. */
void spool_offer(struct client *c);

/*
 * After a flush, of a spooled client or of one that spool_is_needed() for: keeps what is left, by the rules.
 * There is nothing left when the client is not spooled any more.
 */
void spool_keep(struct client *c);

/* Drops messages, of those that the rules let go, until no more bytes wait for the client, or none is left. Not
 * during a flush. */
void spool_cut(struct client *c, size_t bytes);

/* Whether what a flush has left behind of a client that is not spooled is to be. */
bool spool_is_needed(const struct client *c);

/* A stalled client has to be flushed again. Nothing for others. */
void spool_wake(struct client *c);
void spool_wake_all(struct shard *shard);

/* Before client_wishes() changes: what is queued was queued before. */
void spool_mark(struct client *c);

/* Before stream.out of a client that is not spooled is detached: the frame that was sent in part stays whole.
 */
void spool_trim_cut(struct outq *out);

/* The policy of the client's shard was replaced. */
void spool_use_policy(struct client *c);

/* Drops everything. */
void spool_free(struct client *c);

/* Asserts what must hold between two turns. For tests: it looks at every entry. */
void spool_assert(const struct client *c);
