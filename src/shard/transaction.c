/* SPDX-License-Identifier: MIT */
/*
 * MULTI, EXEC, DISCARD, WATCH, UNWATCH.
 *
 * Between MULTI and EXEC commands are checked and kept. EXEC then goes by steps, and while it waits in one the
 * client's further bytes stay unparsed, as for any gather:
 *
 * 0. Its user has leases for all that it publishes, and for every name that it may subscribe to; else it waits,
 * as a request that was not begun, or is refused.
 * 1. Nothing is executed. The other shards are told of every name in it that the client may subscribe to, and
 *    answer. Passwords in it are verified, one by one. Then the holds and the gates of all its PUBLISHes are
 *    looked at: if one is closed the client waits for it and looks at all again. So it waits whole or runs
 * whole.
 * 2. All commands run in one go, inside of one call. A subscription is made and ended in `topics` there and
 *    then, and the interest that the other shards know of is moved between the client and `promised`, so they
 *    need not be told. Every reply is held back, and so is every message to this client.
 * 3. What is left in `promised` is taken back: the other shards are told and answer, as for UNSUBSCRIBE. Then
 *    the questions of commands that ask other shards (gathers) are put, one after the other. Their handlers ran
 *    in their place; only the other shards' part, of the answer or of what is done, is later than the rest.
 *    To wait for it in between would let others publish between two of its PUBLISHes.
 * 4. The reply is written whole, and then the messages that were held back.
 *
 * With no other shard nothing is promised or taken back.
 *
 * A name is never in `promised` and subscribed to by the client at once. A command of the queue finds each name
 * that it may subscribe to in one of the two: step 1 sees to that, and step 2 only moves them.
 *
 * Memory: the commands take at most request_bytes; replies, open questions and messages count as the client's
 * waiting output.
 */

#include "shard/transaction.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "mesh/port.h"
#include "resp/writer.h"
#include "shard/auth.h"
#include "shard/counts.h"
#include "shard/gather.h"
#include "shard/limits.h"
#include "shard/permit.h"
#include "shard/inspect.h"
#include "shard/parts.h"
#include "shard/roster.h"
#include "shard/spool.h"
#include "shard/state.h"
#include "shard/tap.h"
#include "shard/user.h"
#include "util/mem.h"
#include "util/plant.h"

#define TRANSACTION_LONG 100 /* commands after which others come before the client's next request */

/* A command for EXEC. Its arguments' bytes stand behind argv. */
struct queued {
        struct list link;
        const struct command *command, *parent; /* command NULL: it is denied */
        const char *denial;
        struct message_verified verified; /* of a password in it */
        uint32_t argc;
        struct bytes argv[];
};

/* A gather whose question was not put yet, and the replies in front of its. */
struct question {
        struct list link;
        struct gather *gather;
        struct buffer before;
        size_t bytes;
};

/* ------------------------------------------------------------------ life */

static void transaction_begin(struct client *c)
{
        struct transaction *t = mem_zalloc(sizeof(*t));

        list_init(&t->queue);
        list_init(&t->open);
        outq_init(&t->messages);
        subscriber_init(&t->promised, WRITER_RESP2);
        c->transaction = t;
}

/* Whether there may be a password in it. */
static bool queued_authenticates(const struct queued *q)
{
        return q->command && (q->command->run == command_auth || q->command->run == command_hello);
}

static void queued_free(struct queued *q)
{
        for (uint32_t i = 0; queued_authenticates(q) && i < q->argc; i++)
                auth_wipe(q->argv[i]);
        free(q);
}

static void transaction_empty_queue(struct transaction *t)
{
        list_for_each_safe (i, next, &t->queue) {
                list_del(i);
                queued_free(container_of(i, struct queued, link));
        }
        t->bytes = 0;
}

/* Ends what is in `promised`. */
static void transaction_take_back(struct client *c, struct buffer *batch)
{
        struct shard *s = c->shard;
        struct transaction *t = c->transaction;

        while (!list_empty(&t->promised.subscriptions)) {
                struct subscription *sub = list_first(&t->promised.subscriptions, struct subscription, link);

                if (batch)
                        gather_add_change(s, batch, sub->topic->kind, topic_name(sub->topic), -1,
                                          topics_is_last(sub));
                topics_unsubscribe(s->topics, sub);
        }
}

/* What it may subscribe to is counted as it does, or not at all. */
static void transaction_unreserve(struct client *c)
{
        struct transaction *t = c->transaction;

        user_unreserve(c, t->reserved, t->reserved_patterns);
        t->reserved = t->reserved_patterns = 0;
}

void transaction_drop(struct client *c, struct buffer *batch)
{
        struct transaction *t = c->transaction;

        if (!t)
                return;
        transaction_unreserve(c);
        transaction_take_back(c, batch);
        transaction_empty_queue(t);
        list_for_each_safe (i, next, &t->open) {
                struct question *q = container_of(i, struct question, link);

                list_del(i);
                gather_free(q->gather);
                buffer_deinit(&q->before);
                free(q);
        }
        buffer_deinit(&t->done);
        buffer_deinit(&t->reply);
        outq_clear(&t->messages);
        c->transaction = NULL;
        client_set_queue(c);
        free(t);
}

size_t transaction_holds(const struct client *c)
{
        const struct transaction *t = c->transaction;

        return t ? t->messages.bytes + buffer_size(&t->done) + buffer_size(&t->reply) + t->open_bytes : 0;
}

size_t transaction_queue_bytes(const struct client *c)
{
        const struct transaction *t = c->transaction;

        return t && !list_empty(&t->queue) ? t->bytes : 0;
}

/* ------------------------------------------------------------------ the queue */

void transaction_spoil(struct client *c, bool exec)
{
        if (exec) {
                transaction_drop(c, NULL);
        } else if (c->transaction) {
                c->transaction->spoilt = true;
                transaction_empty_queue(c->transaction); /* it will not be executed */
        }
}

static struct queued *queued_new(const struct request *request, size_t size)
{
        struct queued *q = malloc(size);
        uint8_t *p;

        if (!q)
                return NULL;
        *q = (struct queued){ .argc = request->argc };
        list_init(&q->link);
        p = (uint8_t *)(q->argv + q->argc);
        for (uint32_t i = 0; i < q->argc; i++) {
                size_t n = request->argv[i].n;

                if (n)
                        memcpy(p, request->argv[i].p, n);
                q->argv[i] = bytes_of(p, n);
                p += n;
        }
        return q;
}

/* Return: what is to be filled in; NULL: it is not kept, as was answered. */
static struct queued *transaction_keep(struct client *c, const struct request *request)
{
        struct transaction *t = c->transaction;
        size_t size = sizeof(struct queued) + request->argc * sizeof(struct bytes);
        struct queued *q = NULL;

        for (uint32_t i = 0; i < request->argc; i++)
                size += request->argv[i].n;
        if (t->spoilt) {
                writer_simple(&c->shard->reply, "QUEUED"); /* as Redis answers */
                return NULL;
        }
        if (limits_no_memory(c, 0))
                q = NULL;
        else if (t->bytes + size > c->shard->policy->limits.request_bytes)
                command_error(c, "the commands of the transaction take more memory than one request may");
        else if (!(q = queued_new(request, size)))
                command_error(c, "the commands of the transaction do not fit into memory");
        if (!q) {
                transaction_spoil(c, false);
                return NULL;
        }
        list_add_tail(&t->queue, &q->link);
        t->bytes += size;
        t->n++;
        writer_simple(&c->shard->reply, "QUEUED");
        return q;
}

bool transaction_denies(struct client *c, const struct request *request)
{
        const char *denial;
        struct queued *q;

        if (!c->transaction)
                return false;
        if (request->argc >= 2 && bytes_is(request->argv[0], "ssubscribe"))
                denial = "SSUBSCRIBE isn't allowed for a DENY BLOCKING client";
        else if (request->argc == 1 && bytes_is(request->argv[0], "monitor"))
                denial = "MONITOR isn't allowed for DENY BLOCKING client";
        else
                return false;
        q = transaction_keep(c, request);
        if (q)
                q->denial = denial;
        return true;
}

void transaction_queue(struct client *c, const struct command *command, const struct command *parent,
                       const struct request *request)
{
        struct queued *q = transaction_keep(c, request);

        if (q) {
                q->command = command;
                q->parent = parent;
                if (queued_authenticates(q))
                        auth_wipe_request(c, request);
        }
}

/* ------------------------------------------------------------------ steps 0 and 1 */

/* What the command subscribes to. Return: false: nothing. */
static bool queued_subscribes(const struct queued *q, enum topic_kind *kindp)
{
        if (!q->command || (q->command->run != command_subscribe && q->command->run != command_psubscribe))
                return false;
        *kindp = q->command->run == command_subscribe ? TOPIC_CHANNEL : TOPIC_PATTERN;
        return true;
}

/* A SUBSCRIBE that would make more channels than there may be will answer an error. Here rather than when it
 * runs: what is promised are channels already. */
static void transaction_look_at_channels(struct client *c)
{
        struct table fresh = { 0 };
        enum topic_kind kind;

        list_for_each (i, &c->transaction->queue) {
                struct queued *q = container_of(i, struct queued, link);
                const char *error;

                if (!queued_subscribes(q, &kind) || kind != TOPIC_CHANNEL)
                        continue;
                error = limits_channels(c, &fresh, q->argv + 1, q->argc - 1);
                if (!error)
                        continue;
                limits_refused(c, error);
                q->command = NULL;
                q->denial = error;
        }
        table_deinit(&fresh);
}

static bool queued_publishes(const struct queued *q)
{
        return q->command && (q->command->run == command_publish || q->command->run == command_spublish);
}

/* What the queue needs of the user's quotas. Names that it ends again count all the same. */
static struct user_need transaction_need(struct client *c)
{
        struct user_need need = { 0 };
        struct table seen[_TOPIC_KIND_N] = { 0 };
        enum topic_kind kind;

        list_for_each (i, &c->transaction->queue) {
                const struct queued *q = container_of(i, struct queued, link);

                if (queued_publishes(q)) {
                        need.n[QUOTA_MESSAGES]++;
                        need.n[QUOTA_BYTES] += q->argv[2].n;
                } else if (queued_subscribes(q, &kind)) {
                        for (uint32_t k = 1; k < q->argc; k++) {
                                bool fresh = user_is_new_name(c, kind, &q->argv[k], &seen[kind]);

                                need.n[QUOTA_SUBSCRIPTIONS] += fresh;
                                need.n[QUOTA_PATTERNS] += fresh && kind == TOPIC_PATTERN;
                        }
                }
        }
        for (unsigned k = 0; k < _TOPIC_KIND_N; k++)
                table_deinit(&seen[k]);
        return need;
}

/* Takes what the queue needs, all or nothing. */
static enum user_answer transaction_lease(struct client *c, enum quota *quotap)
{
        const struct policy_limits *limits = &c->shard->policy->limits;
        struct transaction *t = c->transaction;
        struct user_need need;
        enum user_answer answer;

        if (!limits->subscriptions_user && !limits->patterns_user && !c->shard->users.meters)
                return USER_GOES_ON;
        need = transaction_need(c);
        answer = user_ask(c, &need, quotap);
        if (answer != USER_GOES_ON)
                return answer;
        user_spend(c, need.n[QUOTA_MESSAGES], need.n[QUOTA_BYTES]);
        t->reserved = need.n[QUOTA_SUBSCRIPTIONS];
        t->reserved_patterns = need.n[QUOTA_PATTERNS];
        user_reserve(c, t->reserved, t->reserved_patterns);
        return USER_GOES_ON;
}

static void transaction_promise_one(struct client *c, enum topic_kind kind, struct bytes name)
{
        struct shard *s = c->shard;
        struct subscriber *promised = &c->transaction->promised;

        if (topics_subscription(s->topics, &c->subscriber, kind, name) ||
            topics_subscription(s->topics, promised, kind, name))
                return;
        topics_subscribe(s->topics, promised, kind, name);
        gather_add_change(s, &gather_collect(c, GATHER_SUBSCRIBE)->batch, kind, name, 1, false);
}

static void transaction_promise(struct client *c)
{
        struct transaction *t = c->transaction;
        enum topic_kind kind;

        t->step = TRANSACTION_PROMISES;
        if (c->shard->policy->limits.channels)
                transaction_look_at_channels(c);
        if (!c->shard->peers)
                return;
        list_for_each (i, &t->queue) {
                const struct queued *q = container_of(i, struct queued, link);

                if (queued_subscribes(q, &kind))
                        for (uint32_t k = 1; k < q->argc; k++)
                                transaction_promise_one(c, kind, q->argv[k]);
        }
        if (c->gather)
                gather_ask(c);
}

/*
 * Takes the answer about the password that was asked for last, and asks for the next. Return: whether it did:
 * then the client waits.
 */
static bool transaction_verify(struct client *c)
{
        struct bytes user, password;

        if (!auth_has_secrets(c))
                return false;
        list_for_each (i, &c->transaction->queue) {
                struct queued *q = container_of(i, struct queued, link);
                struct request request = { .argv = q->argv, .argc = q->argc };

                if (!queued_authenticates(q) || q->verified.verdict ||
                    !auth_find(q->command, &request, &user, &password))
                        continue;
                if (auth_is_answered(c)) {
                        q->verified = c->verified;
                        c->verified.verdict = VERIFY_NONE;
                        continue;
                }
                auth_ask(c, user, password);
                return true;
        }
        return false;
}

/* The shards whose mesh is too full for one of its PUBLISHes. */
static uint64_t transaction_gates(struct client *c)
{
        uint64_t gates = 0;

        if (!port_gated(c->shard->port) || PLANTED(13))
                return 0;
        list_for_each (i, &c->transaction->queue) {
                const struct queued *q = container_of(i, struct queued, link);

                if (queued_publishes(q))
                        gates |= command_publish_gates(c, q->argv[1], q->command->run == command_spublish);
        }
        return gates;
}

/* Takes all its PUBLISHes from the client's rate. Return: false: the client waits. */
static bool transaction_charge(struct client *c)
{
        uint64_t n = 0, bytes = 0;

        list_for_each (i, &c->transaction->queue) {
                const struct queued *q = container_of(i, struct queued, link);

                if (!queued_publishes(q) || !limits_message_fits(c->shard, q->argv[2].n))
                        continue;
                n++;
                bytes += q->argv[2].n;
        }
        return limits_charge(c, n, bytes);
}

/* Makes the client wait if a slow subscriber holds a channel of one of its PUBLISHes back. Return: whether it
 * waits. */
static bool transaction_waits(struct client *c)
{
        if (!topics_n_holds(c->shard->topics))
                return false;
        list_for_each (i, &c->transaction->queue) {
                const struct queued *q = container_of(i, struct queued, link);

                if (queued_publishes(q) &&
                    command_publish_waits(c, q->argv[1], q->command->run == command_spublish))
                        return true;
        }
        return false;
}

/* ------------------------------------------------------------------ step 2 */

void transaction_subscribed(struct client *c, const struct subscription *subscription)
{
        struct shard *s = c->shard;
        const struct topic *topic = subscription->topic;
        struct subscription *promised;

        if (!transaction_runs(c) || !s->peers)
                return;
        promised = topics_subscription(s->topics, &c->transaction->promised, topic->kind, topic_name(topic));
        assert(promised);
        topics_unsubscribe(s->topics, promised);
}

void transaction_unsubscribes(struct client *c, const struct subscription *subscription)
{
        const struct topic *topic = subscription->topic;

        if (transaction_runs(c) && c->shard->peers)
                topics_subscribe(c->shard->topics, &c->transaction->promised, topic->kind, topic_name(topic));
}

bool transaction_keeps(struct client *c, const struct subscription *subscription)
{
        const struct topic *topic = subscription->topic;

        if (!c->transaction || c->transaction->step != TRANSACTION_PROMISES || !c->shard->peers)
                return false;
        topics_subscribe(c->shard->topics, &c->transaction->promised, topic->kind, topic_name(topic));
        return true;
}

void transaction_hold_reply(struct client *c)
{
        struct transaction *t = c->transaction;
        struct bytes reply = buffer_view(&c->shard->reply);

        buffer_put(t->step == TRANSACTION_RUNS ? &t->reply : &t->done, reply.p, reply.n);
}

bool transaction_puts_off_end(struct client *c)
{
        if (transaction_answers(c))
                c->transaction->ends_client = true;
        return transaction_answers(c);
}

/* Of memory that the client's gather takes now. */
static size_t question_bytes(const struct client *c)
{
        const struct gather *g = c->gather;
        size_t n = sizeof(*g);

        if (g->shards)
                n += c->shard->options.n_shards * sizeof(*g->shards);
        if (g->counts)
                n += sizeof(*g->counts);
        if (g->roster)
                n += roster_bytes(g->roster);
        if (g->inspect)
                n += inspect_bytes(g->inspect);
        if (g->parts)
                n += parts_bytes(g->parts);
        return n;
}

/* The command asks other shards: that comes when all commands have run. */
static void transaction_put_off_question(struct client *c)
{
        struct transaction *t = c->transaction;
        struct question *q = mem_zalloc(sizeof(*q));

        assert(!c->gather->asked);
        q->gather = c->gather;
        q->before = t->reply;
        q->bytes = sizeof(*q) + buffer_size(&q->before) + question_bytes(c);
        list_add_tail(&t->open, &q->link);
        t->open_bytes += q->bytes;
        t->reply = (struct buffer){ 0 };
        c->gather = NULL;
}

static void transaction_run_one(struct client *c, struct queued *q)
{
        struct request request = { .argv = q->argv, .argc = q->argc };
        enum command_result r = COMMAND_DONE;

        if (!q->command) {
                command_error(c, "%s", q->denial);
        } else if (!permit_command(c, q->command, q->parent)) {
                r = COMMAND_REFUSED;
        } else {
                if (!queued_publishes(q))
                        deliver_settle(c->shard);
                c->verified = q->verified;
                r = command_call(c, q->command, q->parent, &request);
                c->verified.verdict = VERIFY_NONE;
        }
        assert(r != COMMAND_WAIT);
        client_reply_flush(c);
        if (c->end != CLIENT_OPEN)
                return;
        if (c->gather)
                transaction_put_off_question(c);
        if (transaction_holds(c) > c->shard->policy->limits.output_hard)
                client_close_at_limit(c);
}

/* The client may have ended when it comes back, and the transaction with it. */
static void transaction_run(struct client *c)
{
        struct transaction *t = c->transaction;

        t->step = TRANSACTION_RUNS;
        c->held_since = 0;
        transaction_unreserve(c);
        user_flow_back(c->account);
        deliver_settle(c->shard); /* what was published before comes before the reply */
        c->messages = &t->messages;
        while (c->end == CLIENT_OPEN && !list_empty(&t->queue)) {
                struct queued *q = list_first(&t->queue, struct queued, link);

                list_del(&q->link);
                transaction_run_one(c, q);
                queued_free(q);
        }
        if (c->end != CLIENT_OPEN)
                return;
        deliver_settle(c->shard);
        tap_exec(c);
        t->step = TRANSACTION_ENDS;
}

/* ------------------------------------------------------------------ steps 3 and 4 */

static void transaction_ask_next(struct client *c)
{
        struct transaction *t = c->transaction;
        struct question *q = list_first(&t->open, struct question, link);

        list_del(&q->link);
        t->open_bytes -= q->bytes;
        buffer_put(&t->done, buffer_view(&q->before).p, buffer_size(&q->before));
        buffer_deinit(&q->before);
        c->gather = q->gather;
        free(q);
        gather_ask(c);
}

static void transaction_answer(struct client *c)
{
        struct shard *s = c->shard;
        struct transaction *t = c->transaction;
        struct outq messages;
        bool ends = t->ends_client;

        deliver_settle(s);
        if (!t->silent)
                writer_array(&s->reply, t->n);
        buffer_put(&s->reply, buffer_view(&t->done).p, buffer_size(&t->done));
        buffer_put(&s->reply, buffer_view(&t->reply).p, buffer_size(&t->reply));
        outq_init(&messages);
        outq_join(&messages, &t->messages);
        transaction_drop(c, NULL);
        client_push_flush(c);
        outq_join(client_queue(c), &messages);
        spool_wake(c);
        shard_touch_first(s, c);
        if (ends)
                client_finish(c);
}

static void transaction_end(struct client *c)
{
        struct gather *g;

        if (!list_empty(&c->transaction->promised.subscriptions)) {
                g = gather_collect(c, GATHER_UNSUBSCRIBE);
                transaction_take_back(c, &g->batch);
                gather_ask(c);
        }
        while (c->wait == CLIENT_RUNS && !list_empty(&c->transaction->open)) {
                if (transaction_holds(c) > c->shard->policy->limits.output_hard) {
                        client_close_at_limit(c);
                        return;
                }
                transaction_ask_next(c);
        }
        if (c->wait == CLIENT_RUNS)
                transaction_answer(c);
}

/* Takes an EXEC as far as it goes without waiting. Return: whether its commands ran now. */
static bool transaction_go_on(struct client *c)
{
        struct transaction *t = c->transaction;
        bool runs = t->step == TRANSACTION_PROMISES;
        uint64_t gates;

        if (c->shard->stop != SHARD_RUNS && (runs || !list_empty(&t->open)))
                return false; /* nothing is executed and nobody is asked any more */
        if (runs) {
                if (transaction_verify(c) || transaction_waits(c))
                        return false;
                gates = transaction_gates(c);
                if (gates) {
                        command_wait_gate(c, gates);
                        return false;
                }
                if (c->shard->publish_limited && !transaction_charge(c))
                        return false;
                transaction_run(c);
        }
        if (c->end == CLIENT_OPEN)
                transaction_end(c);
        return runs;
}

bool transaction_resume(struct client *c)
{
        return c->transaction && c->transaction->step != TRANSACTION_QUEUES && transaction_go_on(c);
}

/* ------------------------------------------------------------------ the commands */

enum command_result command_multi(struct client *c, const struct request *request)
{
        (void)request;
        if (c->transaction) {
                command_error(c, "MULTI calls can not be nested");
                return COMMAND_DONE;
        }
        transaction_begin(c);
        writer_simple(&c->shard->reply, "OK");
        return COMMAND_DONE;
}

static void transaction_refuse(struct client *c, enum quota quota)
{
        static const char why[] = "EXECABORT Transaction discarded because of: ";
        char text[sizeof(why) + 128];

        memcpy(text, why, sizeof(why));
        user_refuse_text(c, quota, text + sizeof(why) - 1, 128);
        transaction_drop(c, NULL);
        command_error_coded(c, text);
}

enum command_result command_exec(struct client *c, const struct request *request)
{
        enum quota quota;
        bool is_long;

        (void)request;
        if (!c->transaction) {
                command_error(c, "EXEC without MULTI");
                tap_exec(c);
                return COMMAND_DONE;
        }
        if (c->transaction->spoilt) {
                transaction_drop(c, NULL);
                command_error_coded(c, "EXECABORT Transaction discarded because of previous errors.");
                tap_exec(c);
                return COMMAND_DONE;
        }
        switch (transaction_lease(c, &quota)) {
        case USER_WAITS:
                return COMMAND_WAIT;
        case USER_REFUSED:
                transaction_refuse(c, quota);
                return COMMAND_DONE;
        case USER_GOES_ON:
                break;
        }
        c->transaction->silent = client_is_silent(c);
        is_long = c->transaction->n > TRANSACTION_LONG;
        client_reply_flush(c);
        transaction_promise(c);
        if (c->wait == CLIENT_RUNS)
                transaction_go_on(c);
        return is_long ? COMMAND_YIELD : COMMAND_DONE;
}

enum command_result command_discard(struct client *c, const struct request *request)
{
        (void)request;
        if (!c->transaction) {
                command_error(c, "DISCARD without MULTI");
                return COMMAND_DONE;
        }
        transaction_drop(c, NULL);
        writer_simple(&c->shard->reply, "OK");
        return COMMAND_DONE;
}

enum command_result command_watch(struct client *c, const struct request *request)
{
        (void)request;
        if (c->transaction)
                command_error(c, "WATCH inside MULTI is not allowed");
        else
                writer_simple(&c->shard->reply, "OK");
        return COMMAND_DONE;
}

enum command_result command_unwatch(struct client *c, const struct request *request)
{
        (void)request;
        writer_simple(&c->shard->reply, "OK");
        return COMMAND_DONE;
}
