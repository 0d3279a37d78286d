/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pubsub/topics.h"
#include "reactor/outq.h"
#include "resp/reader.h"
#include "shard/client.h"
#include "shard/command.h"
#include "util/buffer.h"
#include "util/list.h"

/*
 * MULTI .. EXEC: what a client queued, and how far its execution is. It hangs off the client, from MULTI to the
 * reply of EXEC.
 */

enum transaction_step {
        TRANSACTION_QUEUES,   /* between MULTI and EXEC */
        TRANSACTION_PROMISES, /* EXEC was said; nothing is executed: waits for other shards, a gate or a hold */
        TRANSACTION_RUNS,     /* executes, inside of one call: no other client sees this step */
        TRANSACTION_ENDS,     /* all is executed; waits for other shards; the reply is held back */
};

struct transaction {
        enum transaction_step step;
        bool silent;       /* the client wants no reply to EXEC; but what is not silenced in it, it gets */
        bool spoilt;       /* a command was refused, so EXEC will be */
        bool ends_client;  /* a command ended the client, which happens behind the reply */
        struct list queue; /* of struct queued: commands to execute */
        size_t bytes;      /* of memory that they take */
        size_t n;          /* how many they are, or were */
        uint64_t reserved, reserved_patterns; /* of its user's quotas, for what it may subscribe to */

        /*
         * Names that the other shards think this one subscribes to for this client, while the client itself
         * does not: what it is about to subscribe to, and what it just ended. All are pending.
         */
        struct subscriber promised;

        struct buffer done;   /* replies in order, up to the first open question */
        struct buffer reply;  /* and those behind the last one */
        struct list open;     /* of struct question, in order */
        size_t open_bytes;    /* of memory that these take */
        struct outq messages; /* to the client since it runs: they come behind the reply */
};

/* Whether a command is being executed by EXEC. */
static inline bool transaction_runs(const struct client *c)
{
        return c->transaction && c->transaction->step == TRANSACTION_RUNS;
}

/* Whether what the client is answered belongs into the reply of EXEC. */
static inline bool transaction_answers(const struct client *c)
{
        return c->transaction && c->transaction->step >= TRANSACTION_RUNS;
}

/* Takes shard.reply into the reply of EXEC. */
void transaction_hold_reply(struct client *c);

/* Bytes that wait for the client behind its output, as the limit of that counts them. */
size_t transaction_holds(const struct client *c);

/* Bytes of commands that wait for EXEC, or for its execution. */
size_t transaction_queue_bytes(const struct client *c);

/* A command was refused before it was queued; exec: it was EXEC. Nothing without a transaction. */
void transaction_spoil(struct client *c, bool exec);

/* Whether this is, in a transaction, a command that is queued and answered by an error in the end. */
bool transaction_denies(struct client *c, const struct request *request);

/* Keeps a command, which was checked, for EXEC, and answers that. */
void transaction_queue(struct client *c, const struct command *command, const struct command *parent,
                       const struct request *request);

/* Goes on with an EXEC that waited, if there is one, as far as it can. The client must not wait. Return:
 * whether it was executed now. */
bool transaction_resume(struct client *c);

/* A command of the transaction that runs made a subscription live, or is about to end one. Nothing outside. */
void transaction_subscribed(struct client *c, const struct subscription *subscription);
void transaction_unsubscribes(struct client *c, const struct subscription *subscription);

/* A subscription is about to end that no command ended. Return: whether the other shards need not be told,
 * since an EXEC that waits may make it again: it is promised now. */
bool transaction_keeps(struct client *c, const struct subscription *subscription);

/* For a command that ends its own client. Return: true: EXEC will do that, behind its reply. */
bool transaction_puts_off_end(struct client *c);

/*
 * Forgets the transaction, if there is one, in whatever step it is, and adds to batch what the other shards
 * have to know; NULL: nobody is told. The client's gather is not touched.
 */
void transaction_drop(struct client *c, struct buffer *batch);
