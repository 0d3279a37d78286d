/* SPDX-License-Identifier: MIT */
/*
 * Gathers. One is owned by its client; the other ports know it by the client's id only, which is never used
 * again, so an answer to a client that is gone is recognised and dropped. A client has one gather at a time,
 * and it ends when all have answered, so an answer is never to an earlier question.
 */

#include "shard/gather.h"

#include <assert.h>
#include <stdlib.h>

#include "pubsub/interest.h"
#include "shard/client.h"
#include "shard/inspect.h"
#include "shard/parts.h"
#include "shard/roster.h"
#include "shard/state.h"
#include "shard/status.h"
#include "shard/tap.h"
#include "shard/transaction.h"
#include "util/bits.h"
#include "util/mem.h"
#include "util/plant.h"

#define GATHER_BATCH_MAX ((size_t)1 << 20) /* bytes of a batch that takes no further change */

struct gather *gather_collect(struct client *c, enum gather_kind kind)
{
        struct gather *g = c->gather;

        assert(c->wait == CLIENT_RUNS);
        if (g) {
                assert(!g->asked && g->kind == kind);
                return g;
        }
        g = mem_zalloc(sizeof(*g));
        g->kind = kind;
        g->silent = client_is_silent(c);
        g->protocol = c->subscriber.protocol;
        c->gather = g;
        return g;
}

void gather_add_pending(struct gather *g, struct subscription *subscription)
{
        if (g->n_pending == g->cap_pending) {
                g->cap_pending = g->cap_pending ? 2 * g->cap_pending : 4;
                g->pending = mem_realloc(g->pending, g->cap_pending * sizeof(struct subscription *));
        }
        subscription->index = g->n_pending;
        g->pending[g->n_pending++] = subscription;
}

void gather_drop_pending(struct gather *g, const struct subscription *subscription)
{
        assert(g->pending[subscription->index] == subscription);
        g->pending[subscription->index] = NULL;
}

struct gather *gather_free(struct gather *g)
{
        buffer_deinit(&g->batch);
        buffer_deinit(&g->reply);
        free(g->pending);
        free(g->shards);
        free(g->counts);
        roster_free(g->roster);
        inspect_free(g->inspect);
        buffer_deinit(&g->ordered);
        parts_free(g->parts);
        free(g);
        return NULL;
}

void gather_cancel(struct client *c)
{
        if (c->gather)
                gather_free(c->gather);
        c->gather = NULL;
        if (c->wait == CLIENT_GATHERS)
                c->wait = CLIENT_RUNS;
}

/* In the protocol of its question: a transaction may have changed it since. */
static void gather_write(struct client *c, const struct gather *g)
{
        uint8_t now = c->subscriber.protocol;

        c->subscriber.protocol = g->protocol;
        g->write(c, g);
        c->subscriber.protocol = now;
}

/* All have answered: its consequences, then the reply. No message overtakes the acknowledgement, since the
 * subscriptions become live in the same step. */
static void gather_finish(struct client *c)
{
        struct shard *s = c->shard;
        struct gather *g = c->gather;
        bool ends = g->roster && g->roster->ends_asker;

        deliver_settle(s);
        c->gather = NULL;
        c->wait = CLIENT_RUNS;
        client_reply_flush(c);
        for (unsigned i = 0; i < g->n_pending; i++) {
                if (!g->pending[i])
                        continue;
                topics_activate(s->topics, g->pending[i]);
                client_topic_changes(c, g->pending[i]->topic, true);
        }
        if (g->kind == GATHER_TAP)
                tap_begin(c);
        if (g->write && !g->silent)
                gather_write(c, g);
        buffer_put(&s->reply, buffer_view(&g->reply).p, buffer_size(&g->reply));
        client_push_flush(c);
        gather_free(g);
        if (ends && !transaction_puts_off_end(c))
                client_finish(c);
}

static void gather_send_batch(struct shard *s, uint64_t targets, enum message_type type,
                              const struct message_ask *ask, const struct buffer *batch)
{
        struct bytes b = buffer_view(batch);

        bits_for_each (dst, targets) {
                uint8_t *p = port_send(s->port, (unsigned)dst, (uint16_t)type, (uint32_t)(sizeof(*ask) + b.n),
                                       PORT_UNCOUNTED);

                memcpy(p, ask, sizeof(*ask));
                memcpy(p + sizeof(*ask), b.p, b.n);
        }
}

void gather_tell(struct shard *s, const struct buffer *batch)
{
        struct message_ask nobody = { 0 };

        if (buffer_size(batch))
                gather_send_batch(s, s->peers, MESSAGE_INTEREST, &nobody, batch);
}

static void gather_limit_batch(struct shard *s, struct buffer *batch)
{
        if (buffer_size(batch) > GATHER_BATCH_MAX) {
                gather_tell(s, batch);
                buffer_deinit(batch);
        }
}

void gather_add_change(struct shard *s, struct buffer *batch, enum topic_kind kind, struct bytes name,
                       int32_t n, bool last)
{
        gather_limit_batch(s, batch);
        interest_put(batch, kind, name, n, last);
}

void gather_add_hold(struct shard *s, struct buffer *batch, enum topic_kind kind, struct bytes name, bool holds)
{
        gather_limit_batch(s, batch);
        interest_put_hold(batch, kind, name, holds);
}

static void gather_send_query(struct shard *s, uint64_t targets, const struct message_ask *ask, uint32_t kind,
                              struct bytes body)
{
        struct message_query query = { .ask = *ask, .kind = kind };

        bits_for_each (dst, targets) {
                uint8_t *p = port_send(s->port, (unsigned)dst, MESSAGE_QUERY,
                                       (uint32_t)(sizeof(query) + body.n), PORT_UNCOUNTED);

                memcpy(p, &query, sizeof(query));
                if (body.n)
                        memcpy(p + sizeof(query), body.p, body.n);
        }
}

void gather_ask(struct client *c)
{
        struct shard *s = c->shard;
        struct gather *g = c->gather;
        struct message_ask ask;

        assert(g && !g->asked);
        if (transaction_runs(c))
                return; /* EXEC asks when all is executed */
        ask = (struct message_ask){ .client = c->id };
        g->asked = true;
        if (g->kind == GATHER_STATUS) {
                g->awaiting = s->peers | shard_control_bit(s);
                gather_send_query(s, g->awaiting, &ask, g->query, (struct bytes){ 0 });
        } else if (g->kind == GATHER_PARTS) {
                g->awaiting = s->peers;
                gather_send_query(s, g->awaiting, &ask, g->parts->kind,
                                  bytes_of(&g->parts->argument, sizeof(g->parts->argument)));
        } else if (g->kind == GATHER_ROSTER) {
                g->awaiting = s->peers;
                gather_send_query(s, g->awaiting, &ask, g->roster->kind, buffer_view(&g->roster->question));
        } else if (g->kind == GATHER_INSPECT) {
                g->awaiting = s->peers | bit(s->options.id); /* this one is in no hurry, either */
                inspect_asked(s, s->options.id, &ask, g->inspect->kind, buffer_view(&g->inspect->question));
                gather_send_query(s, s->peers, &ask, g->inspect->kind, buffer_view(&g->inspect->question));
        } else if (g->kind == GATHER_ORDER) {
                g->awaiting = shard_control_bit(s);
                gather_send_query(s, g->awaiting, &ask, QUERY_ORDER, bytes_of(&g->order, sizeof(g->order)));
        } else if (buffer_size(&g->batch)) {
                g->awaiting = PLANTED(6) ? 0 : s->peers;
                gather_send_batch(s, g->awaiting, g->kind == GATHER_TAP ? MESSAGE_TAP : MESSAGE_INTEREST, &ask,
                                  &g->batch);
                buffer_deinit(&g->batch);
        }
        if (g->awaiting)
                c->wait = CLIENT_GATHERS;
        else
                gather_finish(c);
}

void gather_on_answer(struct shard *s, unsigned source, const struct message_ask *ask, struct bytes body)
{
        struct client *c = client_find(s, ask->client);
        struct gather *g = c ? c->gather : NULL;

        if (!g || !g->asked || !(g->awaiting & bit(source)))
                return;
        g->awaiting &= ~bit(source);
        if (g->kind == GATHER_STATUS)
                status_take(s, g, source, body);
        else if (g->kind == GATHER_PARTS)
                parts_take(g->parts, source, body);
        else if (g->kind == GATHER_ROSTER)
                roster_take(g->roster, source, body);
        else if (g->kind == GATHER_INSPECT)
                inspect_take(g->inspect, source, body);
        else if (g->kind == GATHER_ORDER)
                buffer_put(&g->ordered, body.p, body.n);
        if (g->awaiting)
                return;
        gather_finish(c);
        client_resume(c);
}
