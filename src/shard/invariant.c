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
#include "shard/spool.h"
#include "shard/state.h"
#include "shard/transaction.h"
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
        }
        assert(!c->verified.verdict);
        assert(!c->barred || (!c->user && !client_subscriptions(c)));
}

static void invariant_client(const struct shard *s, const struct client *c)
{
        assert(c->shard == s);
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
        assert(pthread_equal(s->owner, pthread_self())); /* known failure 39 */
        assert(n == s->status.clients);
        assert(output == s->output);
        assert(!s->deliver.run && !buffer_size(&s->reply));
        assert(list_empty(&s->unchecked) || s->busy || s->stop != SHARD_RUNS);
        assert(list_empty(&s->dirty) || s->busy || s->stop == SHARD_STOPPED);
        for (unsigned i = 0; i < sizeof(s->gated) / sizeof(*s->gated); i++)
                /* a gate opens in port_flush() only, and who waits there is resumed in the same turn */
                assert(list_empty(&s->gated[i]) || port_gated(s->port) & bit(i) || s->stop != SHARD_RUNS);
}
