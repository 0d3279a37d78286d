/* SPDX-License-Identifier: MIT */
/*
 * Clients: input, waiting and the end.
 *
 * Every open client is in one state: it runs (reading is armed), it waits by name (client.wait; reading is
 * paused as soon as more comes in), it finishes (no reading; output left, with a deadline), or it closes (the
 * reactor has been told). client_teardown() is the one place where what it holds in the shard is given back,
 * and runs once.
 */

#include "shard/client.h"

#include <assert.h>
#include <stdlib.h>

#include "shard/auth.h"
#include "shard/block.h"
#include "shard/command.h"
#include "shard/gather.h"
#include "shard/limits.h"
#include "shard/loss.h"
#include "shard/permit.h"
#include "shard/spool.h"
#include "shard/state.h"
#include "shard/tap.h"
#include "shard/timeout.h"
#include "shard/transaction.h"
#include "shard/user.h"
#include "util/mem.h"
#include "util/plant.h"
#include "util/probe.h"

#define CLIENT_REPLY_MAX (16 * 1024)  /* bytes of replies to gather before they are queued */
#define CLIENT_TURN_MAX  (256 * 1024) /* bytes of output after which the rest waits for the next turn */

void client_adopt(struct shard *s, const struct message_adopt *adopt)
{
        struct client *c = mem_zalloc(sizeof(*c) + s->ops->stream_size);

        c->stream.fd = adopt->fd;
        c->stream.private_offset = sizeof(*c) - offsetof(struct client, stream);
        outq_init(&c->stream.out);
        c->messages = &c->stream.out;
        list_init(&c->dirty);
        list_init(&c->waiting);
        list_init(&c->linger);
        list_init(&c->unchecked);
        for (unsigned i = 0; i < _CLIENT_TIMER_N; i++)
                c->timers[i].kind = i;
        subscriber_init(&c->subscriber, WRITER_RESP2);
        c->shard = s;
        c->id = adopt->id;
        c->path = adopt->path;
        c->born = s->now;
        c->active = s->now;
        c->pid = adopt->pid;
        c->uid = adopt->uid;
        c->gid = adopt->gid;
        c->adopt_flags = adopt->flags;
        c->n_groups = adopt->n_groups;
        if (c->n_groups)
                c->groups = memcpy(mem_alloc(c->n_groups * sizeof(*c->groups)), adopt + 1,
                                   c->n_groups * sizeof(*c->groups));
        c->barred = adopt->flags & ADOPT_AUTHENTICATE;
        permit_classify(c);
        list_add_tail(&s->clients, &c->all);
        table_add(&s->clients_by_id, hash_word(c->id), c);
        s->status.clients++;
        timeout_begin(c);
        user_join(c);
        s->ops->add(s->reactor, &c->stream);
        if (mem_is_short())
                limits_keep(c, 0);
        permit_enter(c);
}

static bool client_has_id(const void *item, const void *key)
{
        return ((const struct client *)item)->id == *(const uint64_t *)key;
}

struct client *client_find(const struct shard *s, uint64_t id)
{
        return table_find(&s->clients_by_id, hash_word(id), client_has_id, &id);
}

void client_drop_subscriptions(struct client *c, struct buffer *batch)
{
        struct shard *s = c->shard;

        while (!list_empty(&c->subscriber.subscriptions)) {
                struct subscription *sub = list_first(&c->subscriber.subscriptions, struct subscription, link);

                block_end(c, sub, batch);
                if (batch)
                        gather_add_change(s, batch, sub->topic->kind, topic_name(sub->topic), -1,
                                          topics_is_last(sub));
                client_topic_changes(c, sub->topic, false);
                user_unsubscribed(c, sub->topic->kind);
                topics_unsubscribe(s->topics, sub);
                s->status.subscriptions--;
        }
}

unsigned client_wishes(const struct client *c)
{
        unsigned wishes = c->loss_push ? LOSS_PUSH : 0;

        if (c->loss_channel)
                wishes |= LOSS_CHANNEL | (c->subscriber.protocol == WRITER_RESP3 ? LOSS_RESP3 : 0);
        return wishes;
}

void client_topic_changes(struct client *c, const struct topic *topic, bool subscribed)
{
        if (topic->kind != TOPIC_CHANNEL || !bytes_equal(topic_name(topic), BYTES_LITERAL(LOSS_TOPIC)) ||
            c->loss_channel == subscribed)
                return;
        spool_mark(c);
        c->loss_channel = subscribed;
}

void client_set_queue(struct client *c)
{
        c->messages = transaction_answers(c) ? &c->transaction->messages : client_queue(c);
}

static void client_teardown(struct client *c)
{
        struct shard *s = c->shard;
        struct buffer batch = { 0 };

        deliver_settle(s);
        if (c->gather && !c->gather->asked && c->wait == CLIENT_RUNS)
                gather_tell(s, &c->gather->batch); /* what the drop below takes back */
        gather_cancel(c);
        tap_end(c);
        list_del(&c->waiting);
        list_del(&c->unchecked);
        auth_cancel(c);
        user_stops_waiting(c);
        c->wait = CLIENT_RUNS;
        client_drop_subscriptions(c, s->peers && s->stop == SHARD_RUNS ? &batch : NULL);
        transaction_drop(c, s->peers && s->stop == SHARD_RUNS ? &batch : NULL);
        if (!PLANTED(11))
                gather_tell(s, &batch);
        buffer_deinit(&batch);
        s->ops->pause(s->reactor, &c->stream, true);
        reader_deinit(&c->reader);
        user_drop_input(c);
        for (unsigned i = 0; i < _CLIENT_TIMER_N; i++)
                timers_stop(&s->timers, &c->timers[i]);
}

size_t client_output_all(const struct client *c)
{
        return c->stream.out.bytes + (c->spool ? spool_bytes(c->spool) : 0) + transaction_holds(c);
}

void client_output_changed(struct client *c, size_t bytes)
{
        user_output_changed(c, bytes);
        c->shard->output += bytes - c->output;
        c->output = bytes;
}

void client_close(struct client *c)
{
        if (c->end == CLIENT_CLOSING)
                return;
        PROBE3(disconnect, c->id, c->uid, c->stream.out.bytes);
        if (c->end == CLIENT_OPEN)
                client_teardown(c);
        list_del(&c->linger);
        list_del(&c->dirty);
        spool_free(c);
        c->end = CLIENT_CLOSING;
        client_output_changed(c, 0);
        user_leave(c);
        c->shard->ops->remove(c->shard->reactor, &c->stream);
}

void client_close_at_limit(struct client *c)
{
        c->shard->status.output_limit_closed++;
        shard_notice(c->shard, c, "disconnected, its waiting output passed the limit");
        client_close(c);
}

void client_on_timer(struct client *c, enum client_timer kind)
{
        switch (kind) {
        case CLIENT_TIMER_SOFT:
                if (client_output(c) > c->shard->policy->limits.output_soft)
                        client_close_at_limit(c);
                break;
        case CLIENT_TIMER_RATE:
                limits_rate_over(c);
                break;
        case CLIENT_TIMER_HANDSHAKE:
                timeout_handshake(c);
                break;
        case CLIENT_TIMER_REQUEST:
                timeout_request(c);
                break;
        case CLIENT_TIMER_IDLE:
                timeout_idle(c);
                break;
        case CLIENT_TIMER_BLOCK:
                block_time_out(c);
                break;
        case _CLIENT_TIMER_N:
                break;
        }
}

static void client_grant_linger(struct client *c)
{
        struct shard *s = c->shard;

        c->linger_left = client_output(c);
        c->linger_deadline = s->now + s->options.linger_ns;
        list_add_tail(&s->lingering, &c->linger); /* all get the same time, so the list stays sorted */
}

void client_finish(struct client *c)
{
        struct shard *s = c->shard;

        if (c->end != CLIENT_OPEN)
                return;
        if (c->stream.failed || c->killed) {
                client_close(c); /* nothing can be sent, or nothing is to be */
                return;
        }
        client_teardown(c);
        c->end = CLIENT_FINISHING;
        client_grant_linger(c);
        spool_wake(c);
        shard_touch(s, c); /* the flush finds it empty sooner or later, and closes it */
}

void client_linger(struct client *c)
{
        assert(c->end == CLIENT_FINISHING);
        if (c->killed || client_output(c) >= c->linger_left) {
                client_close(c);
                return;
        }
        list_del(&c->linger);
        client_grant_linger(c);
}

void client_kill(struct client *c)
{
        struct shard *s = c->shard;

        assert(c->end != CLIENT_CLOSING && !c->killed);
        c->killed = true;
        if (c->end == CLIENT_FINISHING) {
                list_del(&c->linger);
                c->linger_deadline = s->now;
                list_add_tail(s->lingering.next, &c->linger); /* in front of the first */
                return;
        }
        list_del(&c->waiting); /* it waits for nothing any more */
        list_add_tail(&s->ended, &c->waiting);
        s->ops->pause(s->reactor, &c->stream, true);
}

/* Makes control know, which counts clients by their users. */
static void client_tell_closed(const struct client *c)
{
        struct shard *s = c->shard;
        struct buffer *users = &s->closed_users;
        struct message_closed_user one = { .uid = c->uid, .n_clients = 1 }, *last = NULL;

        s->closed.n_clients++;
        if (c->adopt_flags & ADOPT_ADMIN) {
                s->closed.n_admins++;
                return;
        }
        if (buffer_size(users))
                last = (void *)(users->data + users->end - sizeof(*last));
        if (last && last->uid == c->uid) {
                last->n_clients++;
                return;
        }
        buffer_put(users, &one, sizeof(one));
        s->closed.n_users++;
}

void client_free(struct client *c)
{
        struct shard *s = c->shard;

        assert(c->end == CLIENT_CLOSING);
        assert(list_empty(&c->dirty) && list_empty(&c->waiting) && list_empty(&c->linger));
        assert(client_subscriptions(c) == 0 && !c->gather && !c->transaction);
        list_del(&c->all);
        table_remove(&s->clients_by_id, hash_word(c->id), c);
        s->status.clients--;
        s->status.bytes_out += c->stream.out.sent;
        client_tell_closed(c);
        free(c->protocol_error);
        free(c->user);
        free((void *)(uintptr_t)c->groups);
        free(c->name);
        free(c->lib_name);
        free(c->lib_version);
        free(c);
}

void client_push_flush(struct client *c)
{
        struct shard *s = c->shard;

        if (!buffer_size(&s->reply))
                return;
        if (transaction_answers(c)) {
                transaction_hold_reply(c);
        } else if (c->end == CLIENT_OPEN && !c->stream.failed && !c->killed) {
                outq_copy(client_queue(c), &s->chunks, buffer_view(&s->reply));
                if (c->spool)
                        spool_wake(c);
                shard_touch_first(s, c);
        }
        buffer_consume(&s->reply, buffer_size(&s->reply));
        if (s->reply.cap > 4 * CLIENT_REPLY_MAX)
                buffer_trim(&s->reply);
}

void client_reply_flush(struct client *c)
{
        struct buffer *reply = &c->shard->reply;

        if (client_is_silent(c))
                buffer_consume(reply, buffer_size(reply));
        client_push_flush(c);
}

/* A command of a client that does not get all replies was executed. */
static void client_executed(struct client *c)
{
        client_reply_flush(c);
        if (c->replies == CLIENT_REPLIES_SKIP)
                c->replies = CLIENT_REPLIES_ON;
        else if (c->replies == CLIENT_REPLIES_SKIP_NEXT)
                c->replies = CLIENT_REPLIES_SKIP;
}

/* A lost stream: the error is the last thing that the client hears. */
static void client_protocol_error(struct client *c, const char *text)
{
        if (c->gather && !c->gather->asked)
                gather_ask(c);
        if (c->wait != CLIENT_RUNS) {
                client_set_text(&c->protocol_error, bytes_str(text));
                return;
        }
        c->shard->status.protocol_errors++;
        command_error(c, "%s", text);
        client_reply_flush(c);
        client_finish(c);
}

/* Keeps what cannot be served now; nothing is left of input that was served. */
static void client_hold(struct client *c, struct bytes input)
{
        struct shard *s = c->shard;

        if (reader_hold(&c->reader, input) && (!mem_use_reserve() || reader_hold(&c->reader, input))) {
                shard_notice(s, c, "its waiting requests do not fit into memory");
                client_close(c);
                return;
        }
        if (c->wait == CLIENT_VERIFIES)
                auth_wipe(input); /* the reactor's copy */
        limits_input(c);
        if (c->end == CLIENT_OPEN && input.n && !c->stream.paused)
                s->ops->pause(s->reactor, &c->stream, true);
}

/* Lets the output be flushed and others be served before the rest of the input. */
static void client_yield(struct client *c, struct bytes input)
{
        if (c->end != CLIENT_OPEN || c->wait != CLIENT_RUNS || c->gather ||
            !(input.n || reader_holds(&c->reader)))
                return;
        c->wait = CLIENT_YIELDS;
        list_add_tail(&c->shard->yielded, &c->waiting);
}

/* Bytes that were queued for it, as far as they were not spooled. */
static size_t client_queued(const struct client *c)
{
        return c->stream.out.bytes + (c->spool ? c->spool->intake.bytes : 0);
}

/* Serves requests until the input ends, the client has to wait, or it had its part of the turn. */
static void client_serve(struct client *c, struct bytes input)
{
        struct shard *s = c->shard;
        const struct reader_limits *limits = auth_limits(c); /* what changes them yields */
        struct request request = { 0 };
        enum command_result done;
        const char *error = NULL;
        size_t before = client_queued(c);
        int r = 0;

        while (c->end == CLIENT_OPEN && c->wait == CLIENT_RUNS) {
                r = reader_next(&c->reader, &s->scratch, limits, &input, &request, &error);
                if (r)
                        break;
                done = command_dispatch(c, &request);
                if (done == COMMAND_WAIT)
                        reader_unread(&c->reader, &input, &request);
                else if (c->replies != CLIENT_REPLIES_ON)
                        client_executed(c);
                if (client_subscriptions(c) || buffer_size(&s->reply) > CLIENT_REPLY_MAX)
                        client_reply_flush(c);
                if (done == COMMAND_YIELD || client_queued(c) > before + CLIENT_TURN_MAX)
                        client_yield(c, input);
        }
        client_reply_flush(c);
        if (c->end != CLIENT_OPEN)
                return;
        if (r == READER_E_PROTOCOL) {
                if (reader_error_is_of_size(error))
                        limits_request(c);
                client_protocol_error(c, error);
        } else if (r == READER_E_NOMEM) {
                shard_notice(s, c, "its request does not fit into memory");
                client_close(c);
        } else {
                if (c->gather && !c->gather->asked)
                        gather_ask(c);
                client_hold(c, input);
                if (c->end == CLIENT_OPEN)
                        timeout_served(c, request.argc > 0);
        }
}

/* What is kept of its input may be another number of bytes than before, or may not be more. */
static inline void client_count_input(struct client *c)
{
        if (buffer_size(&c->reader.in) || c->input || c->transaction || c->shard->users.reads)
                user_count_input(c);
}

static void client_go_on(struct client *c)
{
        struct shard *s = c->shard;

        if (c->end != CLIENT_OPEN || c->wait != CLIENT_RUNS)
                return;
        if (c->stream.failed || c->killed)
                return; /* it is in shard.ended, or the next wait tells */
        c->active = s->now;
        if (transaction_resume(c) && c->end == CLIENT_OPEN && c->replies != CLIENT_REPLIES_ON)
                client_executed(c);
        if (s->stop != SHARD_RUNS)
                return;
        if (c->protocol_error) {
                client_protocol_error(c, c->protocol_error);
                return;
        }
        client_serve(c, (struct bytes){ 0 });
        c->verified.verdict = VERIFY_NONE; /* the request that asked has been served */
        if (c->end != CLIENT_OPEN || c->wait != CLIENT_RUNS)
                return;
        reader_trim(&c->reader);
        if (c->eof)
                list_add_tail(&s->ended, &c->waiting);
        else if (c->stream.paused)
                s->ops->pause(s->reactor, &c->stream, false);
}

void client_resume(struct client *c)
{
        client_go_on(c);
        client_count_input(c);
}

void client_on_data(struct client *c, struct bytes bytes)
{
        struct shard *s = c->shard;

        if (c->end != CLIENT_OPEN || c->killed || s->stop != SHARD_RUNS)
                return;
        s->status.bytes_in += bytes.n;
        c->active = s->now;
        if (c->wait != CLIENT_RUNS || c->protocol_error) {
                client_hold(c, bytes);
                client_count_input(c);
                return;
        }
        client_serve(c, bytes);
        if (c->end == CLIENT_OPEN && c->wait == CLIENT_RUNS)
                reader_trim(&c->reader);
        client_count_input(c);
}

void client_on_hangup(struct client *c, int error)
{
        if (c->killed)
                return;
        if (error)
                list_del(&c->waiting); /* it waits for nothing any more */
        else
                c->eof = true;
        if (c->end != CLIENT_OPEN) {
                if (error)
                        client_close(c);
        } else if (error || c->wait == CLIENT_RUNS || PLANTED(14)) {
                list_add_tail(&c->shard->ended, &c->waiting);
        }
}

void client_on_drained(struct client *c)
{
        if (c->spool) {
                spool_wake(c); /* the flush goes on with it */
                return;
        }
        timers_stop(&c->shard->timers, &c->timers[CLIENT_TIMER_SOFT]);
        if (c->end == CLIENT_OPEN)
                client_output_changed(c, client_output(c));
        else if (c->end == CLIENT_FINISHING)
                client_close(c);
}

void client_set_text(char **field, struct bytes value)
{
        free(*field);
        *field = NULL;
        if (!value.n)
                return;
        *field = mem_alloc(value.n + 1);
        memcpy(*field, value.p, value.n);
        (*field)[value.n] = 0;
}
