/* SPDX-License-Identifier: MIT */
/*
 * BROKER EXPLAIN: what the rules say of somebody who need not be connected, as they would decide for a client
 * with these ids by this listener. Nothing of it is kept, and nothing of the clients' own verdicts changes.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pubsub/access.h"
#include "pubsub/contain.h"
#include "resp/writer.h"
#include "shard/client.h"
#include "shard/command.h"
#include "shard/loss.h"
#include "shard/policy.h"
#include "shard/state.h"
#include "util/mem.h"

struct question {
        enum access_action action;
        struct bytes channel; /* or pattern */
        struct access_subject subject;
        uint32_t *groups;
        char *listener, *name; /* NULL: the first listener; nobody */
        bool has_uid, has_gid;
};

/* ------------------------------------------------------------------ the question */

static bool explain_action(struct bytes word, enum access_action *actionp)
{
        static const char *const names[_ACCESS_ACTION_N] = { "publish", "subscribe", "psubscribe", "admin" };

        for (int i = 0; i < _ACCESS_ACTION_N; i++)
                if (bytes_is(word, names[i])) {
                        *actionp = (enum access_action)i;
                        return true;
                }
        return false;
}

static bool explain_id(struct bytes word, uint32_t *idp)
{
        long long n;

        if (!command_integer(word, &n) || n < 0 || n >= UINT32_MAX)
                return false;
        *idp = (uint32_t)n;
        return true;
}

static char *explain_text(struct bytes word)
{
        char *text = mem_alloc(word.n + 1);

        memcpy(text, word.p, word.n);
        text[word.n] = 0;
        return text;
}

static void explain_set(char **textp, struct bytes word)
{
        free(*textp);
        *textp = explain_text(word);
}

/* Return: whether it is a good pair. */
static bool explain_pair(struct question *q, struct bytes key, struct bytes value)
{
        uint32_t id;

        if (bytes_is(key, "listener")) {
                explain_set(&q->listener, value);
                return true;
        }
        if (bytes_is(key, "name")) {
                explain_set(&q->name, value);
                return true;
        }
        if (!explain_id(value, &id))
                return false;
        if (bytes_is(key, "uid")) {
                q->subject.uid = id;
                q->has_uid = true;
        } else if (bytes_is(key, "gid")) {
                q->subject.gid = id;
                q->has_gid = true;
        } else if (bytes_is(key, "group")) {
                q->groups[q->subject.n_groups++] = id;
        } else {
                return false;
        }
        return true;
}

/* Return: whether it could be read; q needs explain_deinit() in both cases. */
static bool explain_read(struct question *q, const struct request *request)
{
        uint32_t at = 3;

        *q = (struct question){ .groups = mem_alloc(request->argc * sizeof(*q->groups)) };
        if (!explain_action(request->argv[2], &q->action))
                return false;
        if (q->action != ACCESS_ADMIN)
                q->channel = request->argv[at++];
        for (; at + 1 < request->argc; at += 2)
                if (!explain_pair(q, request->argv[at], request->argv[at + 1]))
                        return false;
        if (!q->has_gid)
                q->subject.gid = UINT32_MAX; /* no group has it */
        q->subject.groups = q->groups;
        q->subject.name = q->name;
        return at == request->argc && q->has_uid;
}

static void explain_deinit(struct question *q)
{
        free(q->groups);
        free(q->listener);
        free(q->name);
}

static const char *explain_listener(const struct policy *policy)
{
        for (unsigned i = 0; i < policy->n_settings; i++)
                if (!strcmp(policy->settings[i].name, "unixsocket"))
                        return policy->settings[i].value;
        return "";
}

/* ------------------------------------------------------------------ the answer */

/* What no rule can change. Return: the reason; NULL: there is none such. */
static const char *explain_fixed(const struct question *q, bool *allowedp)
{
        bool loss = bytes_equal(q->channel, BYTES_LITERAL(LOSS_TOPIC));

        *allowedp = q->action == ACCESS_SUBSCRIBE;
        if (q->action == ACCESS_SUBSCRIBE && loss)
                return "of what it lost itself, everybody may hear";
        if (q->action == ACCESS_PUBLISH && topics_is_reserved(q->channel))
                return "channels that begin with '" TOPICS_RESERVED
                       "' are the broker's: only it publishes there";
        return NULL;
}

static void explain_default(const struct shard *s, const struct question *q, bool allowed, bool stranger,
                            struct buffer *b)
{
        if (q->action == ACCESS_ADMIN && allowed)
                buffer_printf(b, "uid 0 and the broker's own user may administer, unless a rule denies it");
        else if (q->action == ACCESS_ADMIN)
                buffer_printf(b, "no rule allows it, and by default only uid 0 and the broker's own user may");
        else if (stranger)
                buffer_printf(b, "no rule allows it, which by an abstract socket it takes");
        else if (!s->policy->access)
                buffer_printf(b, "there are no rules, so everybody may");
        else
                buffer_printf(b, "no rule is about it, and access_default is %s", allowed ? "allow" : "deny");
}

static struct access_verdict explain_decide(const struct access_class *class, const struct question *q)
{
        size_t steps = CONTAIN_STEPS;

        if (q->action == ACCESS_ADMIN)
                return access_decide_admin(class);
        if (q->action == ACCESS_PSUBSCRIBE)
                return access_decide_pattern(class, q->channel, &steps);
        return access_decide(class, q->action, q->channel);
}

/* By classes of its own, so that the clients' ones stay as they are. */
static struct access_verdict explain_verdict(struct shard *s, const struct question *q, struct buffer *b)
{
        const struct access *rules = s->policy->access ? s->policy->access : s->no_rules;
        struct access_classes *classes = access_classes_new(rules, s->options.owner, 0);
        const struct access_class *class = access_classify(classes, &q->subject);
        struct access_verdict v = explain_decide(class, q);
        bool by_default = !v.place && !v.several && !v.unknown;

        if (class->refused) {
                v = (struct access_verdict){ 0 };
                buffer_printf(b, "no rule lets this user in by an abstract socket");
        } else if (by_default) {
                explain_default(s, q, v.allowed, access_is_stranger(&q->subject, s->options.owner), b);
        } else {
                access_explain(b, &v);
        }
        access_classes_free(classes);
        return v;
}

static void explain_write(struct client *c, const struct question *q, const struct access_verdict *v,
                          struct bytes reason)
{
        enum writer_proto proto = c->subscriber.protocol;
        struct buffer *b = &c->shard->reply;

        writer_map(b, proto, 4);
        writer_bulk_str(b, "allowed");
        writer_integer(b, v->allowed);
        writer_bulk_str(b, "rule");
        if (v->place)
                writer_bulk_str(b, v->place);
        else
                writer_null(b, proto);
        writer_bulk_str(b, "reason");
        writer_bulk(b, reason);
        writer_bulk_str(b, "listener");
        writer_bulk_str(b, q->subject.listener);
}

enum command_result command_broker_explain(struct client *c, const struct request *request)
{
        struct access_verdict verdict = { 0 };
        struct buffer reason = { 0 };
        struct question q;
        const char *fixed;

        if (explain_read(&q, request)) {
                q.subject.listener = q.listener ? q.listener : explain_listener(c->shard->policy);
                fixed = explain_fixed(&q, &verdict.allowed);
                if (fixed)
                        buffer_printf(&reason, "%s", fixed);
                else
                        verdict = explain_verdict(c->shard, &q, &reason);
                explain_write(c, &q, &verdict, buffer_view(&reason));
        } else {
                command_error(c,
                              "BROKER EXPLAIN takes publish, subscribe or psubscribe and a channel, or admin; "
                              "then UID uid [GID gid] [GROUP gid ...] [LISTENER path] [NAME name]");
        }
        buffer_deinit(&reason);
        explain_deinit(&q);
        return COMMAND_DONE;
}
