/* SPDX-License-Identifier: MIT */

#include "shard/block.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pubsub/contain.h"
#include "shard/client.h"
#include "shard/gather.h"
#include "shard/slow.h"
#include "shard/state.h"
#include "util/bits.h"
#include "util/clock.h"
#include "util/mem.h"
#include "util/plant.h"

/* The rule by which a client's subscription holds its topic: the first one that fits, if it says so. steps: of
 * pubsub/contain. Return: NULL: it never does. */
static const struct slow_rule *block_rule(const struct policy *policy, const struct client *c,
                                          const struct topic *topic, size_t *steps)
{
        uint32_t i = topic->kind == TOPIC_PATTERN
                             ? slow_rule_for_pattern(policy, c->path, topic_name(topic), steps)
                             : slow_rule_for(policy, c->path, topic_name(topic));

        return i != SLOW_NO_RULE && policy->slow[i].action == SLOW_BLOCK ? &policy->slow[i] : NULL;
}

/* ------------------------------------------------------------------ blocks */

/* Starts the client's timer for the first of its blocks whose time is up, or stops it. */
static void block_set_timer(struct client *c)
{
        struct timer *timer = &c->timers[CLIENT_TIMER_BLOCK];
        uint64_t deadline = CLOCK_NEVER;

        for (const struct block *b = c->blocks; b; b = b->next)
                deadline = b->deadline < deadline ? b->deadline : deadline;
        if (c->blocks)
                timers_start(&c->shard->timers, timer, deadline);
        else
                timers_stop(&c->shard->timers, timer);
}

/* The client's block for the rule, made if there is none. */
static struct block *block_get(struct shard *s, struct client *c, const struct slow_rule *rule)
{
        struct block *b = c->blocks;

        while (b && b->rule != rule)
                b = b->next;
        if (b)
                return b;
        b = mem_alloc(sizeof(*b));
        *b = (struct block){
                .client = c, .rule = rule, .next = c->blocks, .deadline = s->now + rule->block_ns
        };
        c->blocks = b;
        list_init(&b->link);
        list_add_tail(&s->blocks, &b->link);
        block_set_timer(c);
        return b;
}

static void block_free(struct block *b)
{
        struct client *c = b->client;
        struct block **at = &c->blocks;

        while (*at != b)
                at = &(*at)->next;
        *at = b->next;
        list_del(&b->link);
        if (b->rule->bytes < c->block_above)
                c->block_above = b->rule->bytes;
        free(b);
        block_set_timer(c);
}

/* ------------------------------------------------------------------ who waits */

/* Clients that waited for holds which ended. */
struct block_waiters {
        const struct client *first; /* NULL: there are none */
        unsigned n;
};

/* Takes them into shard.released. */
static struct block_waiters block_take_released(struct shard *s)
{
        struct list *released = topics_released(s->topics);
        struct block_waiters waiters = { 0 };

        while (!list_empty(released)) {
                struct client *c = list_first(released, struct client, waiting);

                list_del(&c->waiting);
                c->held_by = NULL;
                list_add_tail(&s->released, &c->waiting);
                if (!waiters.n++)
                        waiters.first = c;
        }
        return waiters;
}

bool block_waits(struct client *c, const struct topic *topic)
{
        struct hold *hold =
                topic_hold(topic, &c->subscriber, c->held_since && !PLANTED(29) ? c->held_since : UINT64_MAX);

        if (!hold)
                return false;
        if (!c->held_since) {
                c->held_since = topics_last_hold(c->shard->topics);
                c->shard->status.block_waits++;
        }
        c->held_by = hold;
        c->wait = CLIENT_HELD;
        list_add_tail(&hold->waiting, &c->waiting);
        return true;
}

/* ------------------------------------------------------------------ begin and end */

static void block_tell(struct shard *s, struct buffer *batch, const struct topic *topic, bool holds)
{
        if (batch && s->peers)
                gather_add_hold(s, batch, topic->kind, topic_name(topic), holds);
}

static void block_begin(struct shard *s, struct client *c, struct subscription *sub,
                        const struct slow_rule *rule, struct buffer *batch)
{
        struct block *b = block_get(s, c, rule);

        b->n++;
        s->status.block_holds++;
        s->status.block_holds_ever++;
        if (topics_hold(s->topics, sub, b))
                block_tell(s, batch, sub->topic, true);
}

void block_flushed(struct shard *s, struct client *c, size_t bytes)
{
        struct buffer batch = { 0 };
        size_t steps = CONTAIN_STEPS; /* for all of its patterns */

        if (!s->policy->n_slow || c->end != CLIENT_OPEN || c->killed || s->stop != SHARD_RUNS)
                return;
        if (bytes <= c->block_above && c->block_seen == c->subscriber.n_activated)
                return;
        c->block_above = UINT64_MAX;
        c->block_seen = c->subscriber.n_activated;
        list_for_each (i, &c->subscriber.subscriptions) {
                struct subscription *sub = container_of(i, struct subscription, link);
                const struct slow_rule *rule;

                if (!sub->live || sub->hold)
                        continue;
                rule = block_rule(s->policy, c, sub->topic, &steps);
                if (rule && bytes > rule->bytes)
                        block_begin(s, c, sub, rule, &batch);
                else if (rule && rule->bytes < c->block_above)
                        c->block_above = rule->bytes;
        }
        gather_tell(s, &batch);
        buffer_deinit(&batch);
}

/* Return: those who waited for it. */
static struct block_waiters block_end_one(struct client *c, struct subscription *sub, struct buffer *batch)
{
        struct shard *s = c->shard;
        struct block *b = sub->hold->why;

        if (topics_release(s->topics, sub))
                block_tell(s, batch, sub->topic, false);
        s->status.block_holds--;
        if (!--b->n)
                block_free(b);
        return block_take_released(s);
}

void block_end(struct client *c, struct subscription *sub, struct buffer *batch)
{
        if (sub->hold)
                block_end_one(c, sub, batch);
}

void block_end_now(struct client *c, struct subscription *sub)
{
        struct buffer batch = { 0 };

        block_end(c, sub, &batch);
        gather_tell(c->shard, &batch);
        buffer_deinit(&batch);
}

/* Ends the holds of a client's block; NULL: of all its blocks. */
static struct block_waiters block_end_all(struct client *c, const struct block *b, struct buffer *batch)
{
        struct block_waiters waiters = { 0 }, more;

        list_for_each (i, &c->subscriber.subscriptions) {
                struct subscription *sub = container_of(i, struct subscription, link);

                if (!sub->hold || (b && sub->hold->why != b))
                        continue;
                more = block_end_one(c, sub, batch);
                if (!waiters.n)
                        waiters.first = more.first;
                waiters.n += more.n;
        }
        return waiters;
}

void block_tick(struct shard *s)
{
        struct buffer batch = { 0 };

        if (s->stop != SHARD_RUNS)
                return;
        list_for_each_safe (i, next, &s->blocks) {
                struct block *b = container_of(i, struct block, link);

                if (client_output(b->client) <= b->rule->bytes / 2)
                        block_end_all(b->client, b, &batch);
        }
        gather_tell(s, &batch);
        buffer_deinit(&batch);
}

void block_policy(struct shard *s)
{
        struct buffer batch = { 0 };
        bool told = s->stop == SHARD_RUNS;

        while (!list_empty(&s->blocks))
                block_end_all(list_first(&s->blocks, struct block, link)->client, NULL, told ? &batch : NULL);
        gather_tell(s, &batch);
        buffer_deinit(&batch);
        list_for_each (i, &s->clients) {
                struct client *c = container_of(i, struct client, all);
                size_t bytes = client_output(c);

                c->block_above = 0;
                if (bytes && !c->stream.failed)
                        block_flushed(s, c, bytes);
        }
}

/* ------------------------------------------------------------------ the time-out */

/* What the others did not know yet of a client that goes, and for whom. */
static void block_tell_timed_out(struct shard *s, const struct client *c, const struct buffer *batch)
{
        struct message_timed_out m = { .client = c->id, .pid = c->pid, .uid = c->uid };
        struct bytes b = buffer_view(batch);

        bits_for_each (dst, b.n ? s->peers : 0) {
                uint8_t *p = port_send(s->port, (unsigned)dst, MESSAGE_TIMED_OUT, (uint32_t)(sizeof(m) + b.n),
                                       PORT_UNCOUNTED);

                memcpy(p, &m, sizeof(m));
                memcpy(p + sizeof(m), b.p, b.n);
        }
}

/* The client's block whose time is up first. */
static const struct block *block_first(const struct client *c)
{
        const struct block *first = c->blocks;

        for (const struct block *b = c->blocks; b; b = b->next)
                if (b->deadline < first->deadline)
                        first = b;
        return first;
}

void block_time_out(struct client *c)
{
        struct shard *s = c->shard;
        const struct slow_rule *rule = block_first(c)->rule;
        struct buffer batch = { 0 };
        struct block_waiters waiters;
        char text[256];
        int n;

        s->status.block_timeouts++;
        waiters = block_end_all(c, NULL, &batch);
        block_tell_timed_out(s, c, &batch);
        buffer_deinit(&batch);
        n = snprintf(
                text, sizeof(text),
                "disconnected, it held publishers back and did not come down to %llu bytes of waiting output "
                "in %llu ms; on its shard ",
                (unsigned long long)rule->bytes / 2, (unsigned long long)(rule->block_ns / NSEC_PER_MSEC));
        if (waiters.n)
                snprintf(text + n, sizeof(text) - (size_t)n,
                         "%u waited, the first is client %llu (pid %d, uid %u)", waiters.n,
                         (unsigned long long)waiters.first->id, (int)waiters.first->pid,
                         (unsigned)waiters.first->uid);
        else
                snprintf(text + n, sizeof(text) - (size_t)n, "none waited");
        shard_notice(s, c, text);
        client_close(c);
}

void block_applied(struct shard *s, const struct message_timed_out *timed_out)
{
        struct block_waiters waiters = block_take_released(s);
        char text[200];

        if (!timed_out || !waiters.n)
                return;
        snprintf(text, sizeof(text),
                 "waited to publish until client %llu (pid %d, uid %u) was disconnected, which took too little "
                 "of "
                 "its output for too long; %u waited on this shard",
                 (unsigned long long)timed_out->client, (int)timed_out->pid, (unsigned)timed_out->uid,
                 waiters.n);
        shard_notice(s, waiters.first, text);
}

/* ------------------------------------------------------------------ invariants */

static void block_assert_one(const struct shard *s, const struct block *b)
{
        const struct client *c = b->client;
        uint32_t n = 0;

        list_for_each (i, &c->subscriber.subscriptions) {
                const struct subscription *sub = container_of(i, struct subscription, link);

                n += sub->hold && sub->hold->why == b;
                assert(!sub->hold || sub->hold->by == &c->subscriber);
        }
        assert(n == b->n && n > 0);
        assert(c->end == CLIENT_OPEN && timer_is_started(&c->timers[CLIENT_TIMER_BLOCK]));
        assert(c->timers[CLIENT_TIMER_BLOCK].deadline <= b->deadline);
        assert(b->rule >= s->policy->slow && b->rule < s->policy->slow + s->policy->n_slow);
        assert(s->stop != SHARD_RUNS || client_output(c) > b->rule->bytes / 2);
}

void block_assert_invariants(const struct shard *s)
{
        uint64_t n = 0;

        list_for_each (i, &s->blocks) {
                block_assert_one(s, container_of(i, struct block, link));
                n += container_of(i, struct block, link)->n;
        }
        assert(n == s->status.block_holds);
        assert(list_empty(topics_released(s->topics)));
        assert(list_empty(&s->released) || s->busy || s->stop != SHARD_RUNS);
}

/* A held client waits for a hold that exists, and is older than its waiting, or is about to be served. */
void block_assert_waits(const struct client *c)
{
        bool found = false;

        assert(c->held_since && !list_empty(&c->waiting));
        list_for_each (i, c->held_by ? &c->held_by->waiting : &c->shard->released)
                found |= i == &c->waiting;
        assert(found);
        assert(!c->held_by || c->held_by->since <= c->held_since);
        assert(!c->held_by || c->held_by->by != &c->subscriber);
}
