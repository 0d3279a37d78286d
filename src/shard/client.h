/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "pubsub/topics.h"
#include "reactor/reactor.h"
#include "resp/reader.h"
#include "shard/message.h"
#include "util/bucket.h"
#include "shard/quota.h"
#include "util/list.h"
#include "util/timers.h"

/*
 * A connection as its shard sees it: what it said so far, what it subscribed to, what it waits for, and the one
 * state machine of its end.
 */

struct access_class;
struct block;
struct command;
struct shard;
struct gather;
struct spool;
struct tapper;
struct transaction;
struct user;

#define CLIENT_TEXT_MAX 1024 /* bytes of a name, so that nobody's own makes the list of all too long */

/* Why a client's bytes stay unparsed. */
enum client_wait {
        CLIENT_RUNS,
        CLIENT_GATHERS,  /* other shards have not answered yet: client.gather */
        CLIENT_GATED,    /* the mesh towards a target of its PUBLISH is full: in shard.gated[target] */
        CLIENT_RATED,    /* it published more than its rate: until CLIENT_TIMER_RATE */
        CLIENT_HELD,     /* a slow subscriber holds a channel of its PUBLISH back: see shard/block.h */
        CLIENT_YIELDS,   /* it had its part of this turn: in shard.yielded, served on in the next one */
        CLIENT_VERIFIES, /* the password of its next request, or of its EXEC, is being verified: shard/auth.h */
        CLIENT_LEASES,   /* its user has none left of client.lease: in user.waiting[] */
};

enum client_end {
        CLIENT_OPEN,
        CLIENT_FINISHING, /* nothing is read any more; closes when its output is sent, or lingered too long */
        CLIENT_CLOSING,   /* the reactor closes it; on_closed() frees it */
};

/* Which replies it gets: CLIENT REPLY. What its subscriptions push, acknowledgements too, is no reply. */
enum client_replies {
        CLIENT_REPLIES_ON,
        CLIENT_REPLIES_OFF,
        CLIENT_REPLIES_SKIP_NEXT, /* that to the next command is left out */
        CLIENT_REPLIES_SKIP,      /* that to this command is */
};

/* What a client's time can be up for. */
enum client_timer {
        CLIENT_TIMER_SOFT,      /* its output is above the soft limit, and was not drained since */
        CLIENT_TIMER_RATE,      /* it published more than its rate */
        CLIENT_TIMER_HANDSHAKE, /* it made no request yet: shard/timeout.h */
        CLIENT_TIMER_REQUEST,   /* a request of it may have begun and not ended */
        CLIENT_TIMER_IDLE,      /* it may be idle */
        CLIENT_TIMER_BLOCK,     /* publishers wait for it, and it did not come down to half of a rule's mark */
        _CLIENT_TIMER_N,
};

/* Messages, and bytes of their payload. */
struct published {
        uint64_t messages, bytes;
};

struct client {
        struct stream stream;
        struct list dirty;   /* in shard.dirty: has output that was not flushed. Only shard_touch*() link it */
        uint64_t active;     /* monotonic ns of the turn in which it last said something or took its output */
        size_t output;       /* bytes that wait for it, as of its last flush; client_output_changed() */
        struct spool *spool; /* its output, while it is slow and messages for it may be dropped; else NULL */
        struct outq *intake; /* of the spool */
        struct subscriber subscriber;
        struct outq *messages; /* where they are queued: client_queue(), or behind what an EXEC will answer */
        uint64_t delivered;    /* messages that were queued for it; some of them may be lost later */
        struct shard *shard;
        enum client_wait wait;
        enum client_end end;
        enum client_replies replies;
        bool eof;    /* the peer sends no more */
        bool killed; /* as good as closed: in shard.ended, or finishing with its time over */
        bool admin;
        bool barred;  /* it has to authenticate before it may do anything else: see shard/auth.h */
        bool tapping; /* it has a tapper */
        const struct access_class *class; /* NULL: it may do everything but administer */
        bool loss_push;          /* CLIENT LOSS ON. client_wishes() changes behind a spool_mark() only */
        bool loss_channel;       /* it subscribed to LOSS_TOPIC */
        bool heard;              /* it made a request */
        bool rate_noticed;       /* the log has been told that it is over its rate */
        bool no_evict, no_touch; /* as the client said; nothing comes of it, there are no keys */
        uint32_t adopt_flags;
        uint64_t held_since; /* while its PUBLISH or EXEC waits: the newest hold when it began to wait
                                for one; 0: it did not */
        struct transaction *transaction; /* from MULTI to the reply of EXEC; NULL: none */
        struct reader reader;
        struct tapper *tapper; /* of BROKER TAP or MONITOR: shard/tap.h; NULL: it does neither */
        struct gather *gather; /* while it waits for other shards, or collects what to ask them */
        char *protocol_error;  /* to answer once the gather is done; NULL: none */
        struct list waiting;   /* in shard.gated[], hold.waiting or shard.released, shard.yielded, or once it
                                  hung up in shard.ended */
        struct list linger;    /* in shard.lingering, while finishing with output left */
        uint64_t linger_deadline;
        struct timer timers[_CLIENT_TIMER_N]; /* of shard.timers; only an open client's are started */
        uint64_t request_since; /* when the request began of which something is missing; 0: there is none, or
                                   the client waits for something of ours */
        struct bucket rate_messages, rate_bytes; /* what it may publish */
        size_t linger_left;         /* bytes of output at its last flush, or when the deadline was moved last */
        struct list all;            /* in shard.clients */
        struct block *blocks;       /* the rules for which it makes publishers wait; NULL: none */
        uint64_t block_above;       /* while no more bytes wait for it no other subscription begins to hold */
        uint32_t block_seen;        /* subscriber.n_activated when that was found */
        const struct hold *held_by; /* while it is held; NULL: that ended, it is in shard.released */
        const struct command *command; /* the last one; NULL: none, or an unknown one */
        uint64_t published;            /* messages, and bytes of their payload */
        uint64_t published_bytes;      /* */
        uint64_t denied;               /* commands that the rules of access refused */
        struct published looked_at;    /* up to the last look of shard/busiest */
        struct published lately;       /* between that and the look before */
        uint64_t lost;                 /* messages that were dropped because it was slow */
        struct user *account;          /* NULL once it is closing */
        struct list of_user;           /* in user.clients */
        struct list slow;              /* in users.slow, while output is not 0 */
        size_t input;                  /* bytes kept that are not executed, as its user has them counted */
        enum quota lease;              /* what it waits for, or was refused */
        struct {
                uint64_t subscriptions, patterns; /* set aside */
                uint64_t messages;                /* spent */
        } held;                                   /* of what its request needs, while it waits for the rest */
        bool lease_refused;                       /* to be told to its next request */
        uint64_t id;
        uint64_t born;                       /* monotonic ns */
        const char *path;                    /* of the listener that it came by */
        char *name, *lib_name, *lib_version; /* NULL: not set */
        char *user;                          /* whom it authenticated as; NULL: nobody */
        struct list unchecked;               /* in shard.unchecked */
        const uint32_t *groups;              /* supplementary ones, of its process as it connected */
        uint32_t n_groups;
        uint64_t mark;                    /* of the secret that it did so with */
        struct message_verified verified; /* the answer to its question about a password; verdict 0: none */
        pid_t pid;
        uid_t uid;
        gid_t gid;
};

static inline struct client *client_of_stream(struct stream *s)
{
        return container_of(s, struct client, stream);
}

static inline struct client *client_of_subscriber(struct subscriber *s)
{
        return container_of(s, struct client, subscriber);
}

static inline struct client *client_of_timer(struct timer *t)
{
        return container_of(t - t->kind, struct client, timers[0]);
}

/* How it wants to hear of messages that it lost: bits of LOSS_*. */
unsigned client_wishes(const struct client *c);

/* It subscribed to a topic, which is live now, or is about to unsubscribe from it. */
void client_topic_changes(struct client *c, const struct topic *topic, bool subscribed);

/* Where what is sent to it is queued, but for what an EXEC holds back. */
static inline struct outq *client_queue(struct client *c)
{
        return c->spool ? c->intake : &c->stream.out;
}

/* Makes client.messages right after its spool or its transaction came or went. */
void client_set_queue(struct client *c);

/* Whether what is answered now is dropped. */
static inline bool client_is_silent(const struct client *c)
{
        return c->replies == CLIENT_REPLIES_OFF || c->replies == CLIENT_REPLIES_SKIP;
}

static inline unsigned client_subscriptions(const struct client *c)
{
        return c->subscriber.n_all;
}

/* What an acknowledgement tells: shard channels are counted by themselves, channels and patterns together. */
static inline unsigned client_subscriptions_as(const struct client *c, enum topic_kind kind)
{
        unsigned n_shard = c->subscriber.n[TOPIC_SHARD];

        return kind == TOPIC_SHARD ? n_shard : c->subscriber.n_all - n_shard;
}

/* Takes over an accepted connection. */
void client_adopt(struct shard *shard, const struct message_adopt *adopt);

/* The client of this shard with that id; it may be closing. Return: NULL: there is none. */
struct client *client_find(const struct shard *shard, uint64_t id);

/* Called by the reactor's sink. */
void client_on_data(struct client *c, struct bytes bytes);
void client_on_hangup(struct client *c, int error);
void client_on_drained(struct client *c);
void client_free(struct client *c);

/* Runs what the client said and was kept, now that nothing holds it back. */
void client_resume(struct client *c);

/*
 * Queues what is in shard.reply; it must be this client's. Replies, errors among them, go the first way, which
 * drops them when the client wants none; what its subscriptions push goes the second.
 *
 * While the client is silent shard.reply is empty between two commands, so the two never mix there.
 */
void client_reply_flush(struct client *c);
void client_push_flush(struct client *c);

/* Ends all its subscriptions, and adds to batch what the other shards have to know; NULL: nobody is told. */
void client_drop_subscriptions(struct client *c, struct buffer *batch);

/* Ends it: no more input, no more deliveries; what is queued is still sent, as long as the peer takes some of
 * it in every linger time. */
void client_finish(struct client *c);

/* The linger time of a finishing client is over: ends it, or grants another if it took something. */
void client_linger(struct client *c);

/*
 * Ends it as a CLIENT KILL does: nothing that it says is heard from here on, and what is queued is dropped. Its
 * subscriptions end with it, as soon as the turns' budgets allow.
 */
void client_kill(struct client *c);

/* Ends it at once; what is queued is dropped. */
void client_close(struct client *c);

/* Bytes that wait for it now, of every kind. */
size_t client_output_all(const struct client *c);
static inline size_t client_output(const struct client *c)
{
        return c->spool || c->transaction ? client_output_all(c) : c->stream.out.bytes;
}

/* What waits for it is another number of bytes than at its last flush: the one place where sums of it change.
 */
void client_output_changed(struct client *c, size_t bytes);

/* Ends it because more waits for it than its limit allows. */
void client_close_at_limit(struct client *c);

/* One of an open client's timers was due, and is stopped. */
void client_on_timer(struct client *c, enum client_timer kind);

/* Keeps a copy of a name; an empty value clears it. */
void client_set_text(char **field, struct bytes value);
