/* SPDX-License-Identifier: MIT */

#include "shard/permit.h"

#include <assert.h>
#include <stdio.h>

#include "pubsub/contain.h"
#include "resp/writer.h"
#include "shard/command.h"
#include "shard/gather.h"
#include "shard/loss.h"
#include "shard/policy.h"
#include "shard/state.h"
#include "shard/transaction.h"
#include "util/escape.h"

#define PERMIT_BUDGET   1000 /* clients and subscriptions to look at in one turn; some 0.5 ms */
#define PERMIT_STEPS    256  /* of a pattern's containment, that cost as much as one of these */
#define PERMIT_NAME_MAX 100  /* bytes of a channel in a line of the log */

/* ------------------------------------------------------------------ classes */

static struct access_subject permit_subject(const struct client *c)
{
        return (struct access_subject){ .uid = c->uid,
                                        .gid = c->gid,
                                        .groups = c->groups,
                                        .n_groups = c->n_groups,
                                        .name = c->user,
                                        .listener = c->path };
}

void permit_classify(struct client *c)
{
        struct shard *s = c->shard;
        struct access_subject subject = permit_subject(c);
        uid_t owner = s->options.owner;

        if (!s->policy->access && !access_is_stranger(&subject, owner)) {
                c->class = NULL;
                c->admin = c->uid == 0 || c->uid == owner;
        } else {
                c->class = access_classify(s->classes, &subject);
                c->admin = c->class->admin;
        }
        list_del(&c->unchecked);
        if (!client_subscriptions(c))
                subscriber_set_hears_less(&c->subscriber, c->class && c->class->hears_less);
        if (client_subscriptions(c) || (c->class && c->class->refused)) {
                subscriber_check_begin(&c->subscriber);
                list_add_tail(&s->unchecked, &c->unchecked);
        }
}

void permit_use_policy(struct shard *s)
{
        struct access_classes *old = s->classes;
        const struct access *access = s->policy->access;

        if (!access && !s->no_rules)
                s->no_rules = access_new(NULL, 0, true);
        s->classes = access_classes_new(access ? access : s->no_rules, s->options.owner, ++s->generation);
        list_for_each (i, &s->clients) {
                struct client *c = container_of(i, struct client, all);

                c->class = NULL;
                if (c->end == CLIENT_OPEN)
                        permit_classify(c);
        }
        access_classes_free(old);
}

void permit_deinit(struct shard *s)
{
        s->classes = access_classes_free(s->classes);
        s->no_rules = access_free(s->no_rules);
}

/* ------------------------------------------------------------------ refusals */

/* Logs that a client may not do something with a channel or pattern, and why. verdict NULL: the reason is said.
 */
static void permit_notice(const struct client *c, const char *what, const struct bytes *name,
                          const struct access_verdict *verdict)
{
        struct buffer b = { 0 };

        buffer_printf(&b, "%s", what);
        if (name)
                buffer_put(&b, " ", 1);
        if (name)
                escape_put(&b, *name, PERMIT_NAME_MAX);
        if (verdict)
                buffer_put(&b, ": ", 2);
        if (verdict)
                access_explain(&b, verdict);
        buffer_put(&b, "", 1);
        shard_notice(c->shard, c, (const char *)buffer_view(&b).p);
        buffer_deinit(&b);
}

static struct access_verdict permit_decide(const struct client *c, enum topic_kind kind, struct bytes name)
{
        size_t steps = CONTAIN_STEPS;

        return kind == TOPIC_PATTERN ? access_decide_pattern(c->class, name, &steps)
                                     : access_decide(c->class, ACCESS_SUBSCRIBE, name);
}

static void permit_error_channel(struct client *c)
{
        command_error_coded(
                c, transaction_runs(c)
                           ? "NOPERM ACLs rules changed between the moment the transaction was accumulated and "
                             "the EXEC call. This command is no longer allowed for the following reason: no "
                             "permission to access one of the channels used as arguments"
                           : "NOPERM No permissions to access a channel");
}

static void permit_error_command(struct client *c, const struct command *command)
{
        char text[256], name[64];

        if (transaction_runs(c)) {
                command_error_coded(
                        c, "NOPERM ACLs rules changed between the moment the transaction was accumulated and "
                           "the EXEC call. This command is no longer allowed for the following reason: no "
                           "permission to execute the command or subcommand");
                return;
        }
        snprintf(text, sizeof(text), "NOPERM User %.100s has no permissions to run the '%s' command",
                 c->user ? c->user : "default", command_full_name(command, name, sizeof(name)));
        command_error_coded(c, text);
}

bool permit_command(struct client *c, const struct command *command, const struct command *parent)
{
        char what[128], name[64];

        if (c->admin || !((command->flags | (parent ? parent->flags : 0)) & COMMAND_ADMIN) ||
            command->flags & COMMAND_OPEN)
                return true;
        c->shard->status.denied_admin++;
        c->denied++;
        permit_error_command(c, command);
        snprintf(what, sizeof(what), "may not administer, and so not execute %s",
                 command_full_name(command, name, sizeof(name)));
        shard_notice(c->shard, c, what);
        return false;
}

static bool permit_deny_publish(struct client *c, struct bytes channel)
{
        struct access_verdict verdict;

        c->shard->status.denied_publish++;
        c->denied++;
        permit_error_channel(c);
        if (!shard_would_notice(c->shard)) {
                shard_notice(c->shard, c, ""); /* counts it */
                return false;
        }
        verdict = access_decide(c->class, ACCESS_PUBLISH, channel);
        permit_notice(c, "may not publish to the channel", &channel, &verdict);
        return false;
}

bool permit_publish(struct client *c, struct topic *topic, struct bytes channel)
{
        bool allowed = true;

        if (topics_is_reserved(channel)) {
                c->shard->status.denied_publish++;
                c->denied++;
                command_error_coded(c, "NOPERM channels that begin with '" TOPICS_RESERVED
                                       "' are the broker's: only it publishes there");
                permit_notice(c, "may not publish to a channel of the broker:", &channel, NULL);
                return false;
        }
        if (c->class)
                allowed = topic ? access_may(c->class, ACCESS_MAY_PUBLISH, channel, topic_verdicts(topic))
                                : access_decide(c->class, ACCESS_PUBLISH, channel).allowed;
        return allowed || permit_deny_publish(c, channel);
}

/* topic NULL: nobody subscribes to it. */
static bool permit_subscribe(struct client *c, enum topic_kind kind, struct bytes name, struct topic *topic,
                             size_t *steps)
{
        if (kind == TOPIC_CHANNEL && bytes_equal(name, BYTES_LITERAL(LOSS_TOPIC)))
                return true; /* of what it lost itself, everybody may hear */
        if (!topic && kind == TOPIC_PATTERN)
                return access_decide_pattern(c->class, name, steps).allowed;
        if (!topic)
                return access_decide(c->class, ACCESS_SUBSCRIBE, name).allowed;
        return kind == TOPIC_PATTERN ? access_may_pattern(c->class, name, topic_verdicts(topic), steps)
                                     : access_may(c->class, ACCESS_MAY_SUBSCRIBE, name, topic_verdicts(topic));
}

uint32_t permit_find_denied(struct client *c, enum topic_kind kind, const struct request *request,
                            size_t *steps)
{
        for (uint32_t i = 1; i < request->argc; i++) {
                struct bytes name = request->argv[i];

                if (!permit_subscribe(c, kind, name, topics_find(c->shard->topics, kind, name), steps))
                        return i;
        }
        return 0;
}

void permit_deny_subscribe(struct client *c, enum topic_kind kind, struct bytes name)
{
        static const char *const what[_TOPIC_KIND_N] = { "may not subscribe to the channel",
                                                         "may not subscribe to the pattern",
                                                         "may not subscribe to the shard channel" };
        struct access_verdict verdict;

        c->shard->status.denied_subscribe++;
        c->denied++;
        permit_error_channel(c);
        if (!shard_would_notice(c->shard)) {
                shard_notice(c->shard, c, ""); /* counts it */
                return;
        }
        verdict = permit_decide(c, kind, name);
        if (verdict.allowed) /* but not within what steps the other patterns of its command left */
                verdict.unknown = true;
        permit_notice(c, what[kind], &name, &verdict);
}

/* What a command subscribes to. Return: false: nothing. */
static bool permit_kind(const struct command *command, enum topic_kind *kindp)
{
        if (command->run == command_subscribe)
                *kindp = TOPIC_CHANNEL;
        else if (command->run == command_psubscribe)
                *kindp = TOPIC_PATTERN;
        else if (command->run == command_ssubscribe)
                *kindp = TOPIC_SHARD;
        else
                return false;
        return true;
}

bool permit_queued(struct client *c, const struct command *command, const struct request *request)
{
        bool spublish = command->run == command_spublish;
        size_t steps = CONTAIN_STEPS;
        enum topic_kind kind;
        uint32_t denied;

        if (spublish || command->run == command_publish)
                return permit_publish(
                        c,
                        topics_find(c->shard->topics, spublish ? TOPIC_SHARD : TOPIC_CHANNEL, request->argv[1]),
                        request->argv[1]);
        if (!c->class || !permit_kind(command, &kind))
                return true;
        denied = permit_find_denied(c, kind, request, &steps);
        if (denied)
                permit_deny_subscribe(c, kind, request->argv[denied]);
        return !denied;
}

/* ------------------------------------------------------------------ strangers */

static void permit_refuse(struct client *c)
{
        struct shard *s = c->shard;

        s->status.denied_connections++;
        shard_notice(s, c, "disconnected, no access rule lets its user in by an abstract socket");
        command_error_coded(c, "NOPERM no access rule lets your user in by an abstract socket");
        client_push_flush(c);
        client_finish(c);
}

void permit_enter(struct client *c)
{
        if (c->class && c->class->refused)
                permit_refuse(c);
}

/* ------------------------------------------------------------------ delivery */

bool permit_hears(struct client *c, struct topic *topic, struct topic *channel)
{
        size_t steps = CONTAIN_STEPS;

        if (!c->class)
                return true;
        if (!list_empty(&c->unchecked) && !permit_subscribe(c, topic->kind, topic_name(topic), topic, &steps))
                return false;
        return topic->kind != TOPIC_PATTERN || !c->class->hears_less ||
               access_may(c->class, ACCESS_MAY_HEAR, topic_name(channel), topic_verdicts(channel));
}

/* ------------------------------------------------------------------ what is forbidden from now on */

static void permit_end(struct client *c, struct buffer *batch, struct subscription *sub)
{
        static const char *const what[_TOPIC_KIND_N] = { "its subscription was ended, to the channel",
                                                         "its subscription was ended, to the pattern",
                                                         "its subscription was ended, to the shard channel" };
        struct shard *s = c->shard;
        struct bytes name = topic_name(sub->topic);
        struct access_verdict verdict;

        s->status.subscriptions_ended++;
        if (shard_would_notice(s)) {
                verdict = permit_decide(c, sub->topic->kind, name);
                permit_notice(c, what[sub->topic->kind], &name, &verdict);
        } else {
                shard_notice(s, c, ""); /* counts it */
        }
        if (!sub->live)
                gather_drop_pending(c->gather, sub);
        command_end_subscription(c, s->peers ? batch : NULL, sub);
}

/* Queues what tells the client, in shard.reply: behind the acknowledgements that wait, and never inside of what
 * an EXEC will answer. */
static void permit_tell(struct client *c)
{
        struct buffer *reply = &c->shard->reply;

        if (!buffer_size(reply))
                return;
        if (transaction_answers(c))
                outq_copy(c->messages, &c->shard->chunks, buffer_view(reply));
        else if (c->gather)
                buffer_put(&c->gather->reply, buffer_view(reply).p, buffer_size(reply));
        else
                client_push_flush(c);
        buffer_consume(reply, buffer_size(reply));
}

/* Looks at the client's subscriptions, from where it stopped. Return: whether it was done within the budget. */
static bool permit_check_client(struct client *c, size_t *budget)
{
        struct buffer batch = { 0 };
        struct subscription *sub;

        subscriber_set_hears_less(&c->subscriber, c->class && c->class->hears_less);
        while (c->class && *budget > 0 && (sub = subscriber_check_next(&c->subscriber))) {
                size_t steps = CONTAIN_STEPS, cost;

                if (!permit_subscribe(c, sub->topic->kind, topic_name(sub->topic), sub->topic, &steps))
                        permit_end(c, &batch, sub);
                cost = 1 + (CONTAIN_STEPS - steps) / PERMIT_STEPS;
                *budget -= cost < *budget ? cost : *budget;
        }
        gather_tell(c->shard, &batch);
        buffer_deinit(&batch);
        permit_tell(c);
        return !c->class || !c->subscriber.cursor;
}

bool permit_is_behind(const struct shard *s)
{
        return s->stop == SHARD_RUNS && !list_empty(&s->unchecked);
}

void permit_check(struct shard *s)
{
        size_t budget = PERMIT_BUDGET;

        if (!permit_is_behind(s))
                return;
        deliver_settle(s);
        while (budget > 0 && !list_empty(&s->unchecked)) {
                struct client *c = list_first(&s->unchecked, struct client, unchecked);

                budget--;
                if (c->class && c->class->refused)
                        permit_refuse(c);
                else if (permit_check_client(c, &budget))
                        list_del(&c->unchecked);
        }
}
