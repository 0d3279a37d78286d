/* SPDX-License-Identifier: MIT */
/*
 * What must hold of every client between two turns: it is armed, waits by name for something that will come, or
 * is on its way out with something that moves it on. A client in no such state hangs for ever. Tests check it
 * after each turn, and so does each shard of a build with sanitizers.
 */

#include <assert.h>

#include "pubsub/access.h"
#include "shard/block.h"
#include "shard/client.h"
#include "shard/gather.h"
#include "shard/inspect.h"
#include "shard/spool.h"
#include "shard/state.h"
#include "shard/tap.h"
#include "shard/transaction.h"
#include "shard/user.h"
#include "util/bits.h"

static bool invariant_output_moves(const struct client *c)
{
        const struct stream *stream = &c->stream;

        return !list_empty(&c->dirty) || stream->writing || stream->failed;
}

/* Between two turns an EXEC waits; nothing is held back but by one that was executed. */
static void invariant_transaction(const struct client *c)
{
        const struct transaction *t = c->transaction;

        switch (t->step) {
        case TRANSACTION_QUEUES:
                assert(!c->gather && list_empty(&t->promised.subscriptions) && !transaction_holds(c));
                assert(!t->spoilt || list_empty(&t->queue));
                break;
        case TRANSACTION_PROMISES:
                assert(c->wait == CLIENT_GATHERS || c->wait == CLIENT_GATED || c->wait == CLIENT_HELD ||
                       c->wait == CLIENT_RATED || c->wait == CLIENT_YIELDS || c->wait == CLIENT_VERIFIES);
                assert(!list_empty(&t->queue) && !transaction_holds(c));
                break;
        case TRANSACTION_RUNS:
                assert(!"a transaction that was left while it runs");
                break;
        case TRANSACTION_ENDS:
                assert(c->wait == CLIENT_GATHERS);
                assert(list_empty(&t->queue) && list_empty(&t->promised.subscriptions));
                break;
        }
}

/* Control has been asked for what the client waits for, or for what somebody in front of it does. */
static void invariant_asks(const struct client *c)
{
        const struct lease *leases = c->account->leases;

        if (c->lease == QUOTA_INPUT)
                assert(leases[QUOTA_INPUT].serial);
        else if (quota_is_flow(c->lease))
                assert(leases[QUOTA_MESSAGES].serial || leases[QUOTA_BYTES].serial);
        else
                assert(leases[QUOTA_SUBSCRIPTIONS].serial || leases[QUOTA_PATTERNS].serial);
}

/* What a user has counted is what his clients have. */
static void invariant_user(const struct shard *s, const struct user *u, uint64_t *outputp)
{
        uint64_t subscriptions = 0, patterns = 0, output = 0, input = u->backlog_seen, stuck = 0, n = 0;

        list_for_each (i, &u->clients) {
                const struct client *c = container_of(i, struct client, of_user);
                const struct transaction *t = c->transaction;

                assert(c->account == u && c->uid == u->uid);
                subscriptions += client_subscriptions(c) + (t ? t->reserved : 0) + c->held.subscriptions;
                patterns += c->subscriber.n[TOPIC_PATTERN] + (t ? t->reserved_patterns : 0) + c->held.patterns;
                output += c->output;
                input += c->input;
                stuck += c->wait == CLIENT_LEASES && c->lease == QUOTA_INPUT ? c->input : 0;
                n++;
        }
        assert(n == u->n_clients && stuck == u->stuck_input);
        assert(u->leases[QUOTA_SUBSCRIPTIONS].used == subscriptions &&
               u->leases[QUOTA_PATTERNS].used == patterns);
        assert(u->leases[QUOTA_OUTPUT].used == output && u->leases[QUOTA_INPUT].used == input);
        assert(list_empty(&u->dirty) || s->stop != SHARD_RUNS);
        if (s->stop == SHARD_RUNS &&
            (u->full || !list_empty(&u->waiting[USER_READS]))) /* and control knows how it is */
                assert(u->leases[QUOTA_INPUT].serial && u->stuck == (input == stuck));
        assert(n || u->backlog || s->stop != SHARD_RUNS);
        *outputp += output;
}

/* All that is in use is leased, but for subscriptions of before there was a limit, on their way to control. */
static void invariant_leases(const struct shard *s, const struct user *u)
{
        for (enum quota q = 0; q < _QUOTA_N; q++) {
                const struct lease *lease = &u->leases[q];
                uint64_t bound = quota_bound(&s->policy->limits, q);

                assert(s->stop != SHARD_RUNS || !bound || lease->used <= lease->leased);
                assert(bound || (!lease->serial && (quota_is_flow(q) || !lease->leased)));
        }
}

static void invariant_users(const struct shard *s)
{
        const struct shard_users *users = &s->users;
        const struct user *u;
        uint64_t output = 0;

        for (size_t pos = 0; (u = table_next(&users->by_uid, &pos));) {
                invariant_user(s, u, &output);
                invariant_leases(s, u);
        }
        invariant_leases(s, &users->everybody);
        assert(users->everybody.leases[QUOTA_OUTPUT_ALL].used == output);
}

static void invariant_open(const struct shard *s, const struct client *c)
{
        bool waits = !list_empty(&c->waiting);

        assert(!c->stream.removed && list_empty(&c->linger));
        assert(!(c->stream.out.bytes || c->spool) || invariant_output_moves(c));
        assert(c->messages == (transaction_answers(c) ? &c->transaction->messages
                               : c->spool             ? &c->spool->intake
                                                      : &c->stream.out));
        assert(!c->spool || !c->spool->intake.n || c->spool->stalled || c->stream.failed || c->killed);
        assert(!c->spool || !c->spool->stalled || c->stream.writing || c->stream.failed);
        if (s->stop != SHARD_RUNS)
                return; /* the end of the stop ends them all */
        if (c->stream.failed)
                return; /* the next wait reports it, or it is in shard.ended */
        if (c->killed) {
                assert(c->stream.paused && waits && s->busy); /* in shard.ended */
                return;
        }
        if (c->transaction)
                invariant_transaction(c);
        switch (c->wait) {
        case CLIENT_RUNS:
                assert(!c->gather && !c->protocol_error && !c->stream.paused);
                assert(waits == c->eof); /* in shard.ended */
                assert(!waits || s->busy);
                break;
        case CLIENT_GATHERS:
                assert(c->gather && c->gather->asked && c->gather->awaiting && !waits);
                break;
        case CLIENT_GATED:
                assert(!c->gather && waits);
                break;
        case CLIENT_RATED:
                assert(!c->gather && !waits && timer_is_started(&c->timers[CLIENT_TIMER_RATE]));
                break;
        case CLIENT_HELD:
                assert(!c->gather);
                block_assert_waits(c);
                break;
        case CLIENT_YIELDS:
                assert(!c->gather && waits && s->busy);
                break;
        case CLIENT_VERIFIES:
                /* control answers every question; the one about EXEC keeps no request */
                assert(!c->gather && !waits && !c->verified.verdict);
                assert(reader_holds(&c->reader) || c->transaction);
                break;
        case CLIENT_LEASES:
                assert(!c->gather && waits);
                invariant_asks(c);
                break;
        }
        assert(!c->verified.verdict);
        assert(!c->barred || (!c->user && !client_subscriptions(c)));
}

static void invariant_client(const struct shard *s, const struct client *c)
{
        assert(c->shard == s);
        tap_assert(c);
        for (unsigned i = 0; i < _CLIENT_TIMER_N; i++)
                assert(!timer_is_started(&c->timers[i]) || c->end == CLIENT_OPEN);
        assert(list_empty(&c->unchecked) || c->end == CLIENT_OPEN);
        assert(!c->class || c->class->generation == s->generation || c->end != CLIENT_OPEN);
        switch (c->end) {
        case CLIENT_OPEN:
                invariant_open(s, c);
                break;
        case CLIENT_FINISHING:
                assert(c->stream.paused && !c->gather && !c->transaction && !client_subscriptions(c));
                assert(list_empty(&c->waiting) && !list_empty(&c->linger));
                assert(invariant_output_moves(c));
                break;
        case CLIENT_CLOSING:
                assert(c->stream.removed && !c->stream.out.bytes && !c->output && !c->spool &&
                       !client_subscriptions(c));
                assert(!c->gather && !c->transaction);
                assert(list_empty(&c->waiting) && list_empty(&c->linger) && list_empty(&c->dirty));
                break;
        }
}

void shard_assert_invariants(const struct shard *s)
{
        uint64_t n = 0, output = 0;

        list_for_each (i, &s->clients) {
                const struct client *c = container_of(i, struct client, all);

                invariant_client(s, c);
                output += c->output;
                n++;
        }
        block_assert_invariants(s);
        invariant_users(s);
        assert(pthread_equal(s->owner, pthread_self())); /* known failure 39 */
        assert(n == s->status.clients);
        assert(output == s->output);
        assert(!s->deliver.run && !buffer_size(&s->reply));
        assert(list_empty(&s->unchecked) || s->busy || s->stop != SHARD_RUNS);
        assert(!inspect_is_behind(s) || s->busy || s->stop != SHARD_RUNS);
        assert(list_empty(&s->dirty) || s->busy || s->stop == SHARD_STOPPED);
        for (unsigned i = 0; i < sizeof(s->gated) / sizeof(*s->gated); i++)
                /* a gate opens in port_flush() only, and who waits there is resumed in the same turn */
                assert(list_empty(&s->gated[i]) || port_gated(s->port) & bit(i) || s->stop != SHARD_RUNS);
}
