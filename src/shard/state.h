/* SPDX-License-Identifier: MIT */
#pragma once

#include <pthread.h>

#include "mesh/port.h"
#include "pubsub/topics.h"
#include "reactor/reactor.h"
#include "resp/reader.h"
#include "resp/writer.h"
#include "shard/counts.h"
#include "shard/deliver.h"
#include "shard/message.h"
#include "shard/pace.h"
#include "shard/shard.h"
#include "shard/slow.h"
#include "shard/tap.h"
#include "shard/user.h"
#include "util/buffer.h"
#include "util/hash.h"
#include "util/list.h"
#include "util/timers.h"

/* The inside of a shard, for the files of this room only. */

struct client;
struct command;

enum shard_stop {
        SHARD_RUNS,
        SHARD_STOPPING, /* executes nothing more; delivers what other shards still send */
        SHARD_DRAINING, /* every other shard said its last; clients leave as their output is taken */
        SHARD_STOPPED,  /* no client is left, control was told */
};

/* How another shard is woken by this one's reactor. */
struct shard_wake {
        struct shard *shard; /* this one */
        struct reactor_address address;
};

struct shard {
        pthread_t owner; /* the one thread that may touch any of this */
        struct shard_options options;
        const struct policy *policy;
        struct port *port;
        const struct reactor_ops *ops;
        struct reactor *reactor;
        struct topics *topics;
        uint64_t peers; /* ports of the other shards */
        struct shard_wake wakes[64];

        struct list dirty;   /* clients with unflushed output, by client.dirty */
        struct list stalled; /* those whose flush has to wait for the kernel, and their intake for a new stage:
                                by client.dirty as well, so that nothing touches them */
        struct deliver deliver;
        struct slow slow;
        struct stage_pool stages; /* of deliver */
        struct stage_pool chunks; /* of the clients' own output */
        struct buffer reply;      /* of the client that is being served */
        struct reader_scratch scratch;
        struct reader_limits limits; /* of the policy */
        bool memory_low;             /* at the end of the last turn: limits_look_at_memory() */
        bool publish_limited;        /* by the policy: limits_on_publish(); or memory is low */
        bool tapped, monitored;      /* there is a tap somewhere; one of MONITOR */
        uint64_t output;             /* the sum of client.output */
        struct timers timers;        /* of clients; shard_tick() takes those that are due */

        struct shard_users users;
        const struct command *publish, *spublish; /* the rows of what is executed without a look-up */

        struct access_classes *classes; /* of clients, under the policy */
        struct access *no_rules;        /* what these are of where the policy has none */
        uint64_t generation;            /* of the classes */
        struct list unchecked;          /* clients whose subscriptions a new policy or name may forbid, by
                                           client.unchecked */

        struct list
                inspects; /* questions about clients and topics that are not answered yet: shard/inspect.h */

        struct list clients; /* all, by client.all */
        struct table clients_by_id;
        struct list gated[64]; /* clients that wait for a target of the mesh, by client.waiting */
        struct taps taps;
        struct list blocks;    /* of struct block: who makes publishers wait */
        struct list released;  /* clients whose hold ended, to be served; by client.waiting */
        struct list yielded;   /* clients that were served enough for one turn, by client.waiting */
        struct list ended;     /* clients that hung up, by client.waiting */
        struct list lingering; /* by client.linger, earliest deadline first */

        enum shard_stop stop;
        uint64_t stop_deadline;
        uint64_t last_seen; /* peers that said their last */

        uint64_t now;                 /* of this turn */
        bool slept;                   /* now is that of the turn before: nothing was heard since */
        uint64_t last_work;           /* time of the last turn that had work */
        bool busy;                    /* there is work left: do not park */
        bool spins;                   /* the last wait was short enough to spin for the next one */
        struct message_closed closed; /* to tell control in this turn */
        struct buffer closed_users;   /* of message_closed_user, likewise */
        uint64_t notice_at;           /* when the last notice about a client's fault was logged */
        uint64_t notices_dropped;
        struct shard_status status;
        struct shard_status reset; /* the status when the counters that INFO shows were set to 0 last */
        struct counts counts;      /* since then */
        uint64_t *publish_calls;   /* of counts, where PUBLISH is counted */
        uint64_t *spublish_calls;  /* likewise SPUBLISH */
        uint64_t looked_at;        /* when shard/busiest looked at all clients last */
        uint64_t look_interval;    /* how long after the look before */
        struct pace pace;
};

static inline uint64_t shard_control_bit(const struct shard *s)
{
        return UINT64_C(1) << s->options.n_shards;
}

/* The only places that mark a client dirty. Who got an answer goes first: a busy publisher's next requests are
 * then under way while its messages are written, and the turn after this one need not be waited for. */
void shard_touch(struct shard *s, struct client *c);
void shard_touch_first(struct shard *s, struct client *c);

/* Answers a question of the port dst, if it wants that. */
void shard_answer(struct shard *s, unsigned dst, const struct message_ask *ask, const void *body, size_t n);

/* Logs a client's fault, at most once a second. */
void shard_notice(struct shard *s, const struct client *c, const char *what);

/* Whether a notice would be logged now: one that costs something to write need not be otherwise. */
bool shard_would_notice(const struct shard *s);

/* Asserts that no client is in a state that nothing will end. Between two turns. */
void shard_assert_invariants(const struct shard *s);
