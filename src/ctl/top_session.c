/* SPDX-License-Identifier: MIT */

#include "ctl/top_session.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl/say.h"
#include "ctl/verbs.h"
#include "util/clock.h"

int top_session_open(struct top_session *s, const struct ctl_request *request)
{
        *s = (struct top_session){ .request = request };
        return link_open(&s->link, request);
}

void top_session_close(struct top_session *s)
{
        top_clients_deinit(&s->waiting);
        top_clients_deinit(&s->publishers);
        top_channels_deinit(&s->channels);
        if (s->refusal)
                freeReplyObject(s->refusal);
        link_close(&s->link);
}

/* ---------------------------------------------------------------- questions */

static void session_queue(struct top_session *s, enum top_question question, const struct bytes *words,
                          size_t n)
{
        assert(s->n_pending < sizeof(s->pending) / sizeof(*s->pending));
        if (!s->n_pending)
                s->asked_at = clock_now();
        s->pending[s->n_pending++] = question;
        link_queue(&s->link, words, n);
}

static void session_ask_status(struct top_session *s)
{
        struct bytes words[] = { BYTES_LITERAL("BROKER"), BYTES_LITERAL("STATUS") };

        session_queue(s, TOP_STATUS, words, 2);
}

static void session_ask_clients(struct top_session *s)
{
        char n[16];
        struct bytes words[] = { BYTES_LITERAL("BROKER"), BYTES_LITERAL("TOP"), { 0 } };

        if (s->no_clients)
                return;
        snprintf(n, sizeof(n), "%d", TOP_CLIENTS);
        words[2] = bytes_str(n);
        session_queue(s, TOP_CLIENT_LISTS, words, 3);
}

static void session_ask_channels(struct top_session *s)
{
        struct bytes words[] = { BYTES_LITERAL("BROKER"), BYTES_LITERAL("CHANNELS") };

        if (!s->no_channels)
                session_queue(s, TOP_CHANNELS, words, 2);
}

/* The first time all, so that there is something to see; then one list and the other by turns. */
bool top_session_ask(struct top_session *s)
{
        uint64_t now = clock_now();

        if (s->n_pending || now < s->next)
                return false;
        s->next = s->next + s->request->interval > now ? s->next + s->request->interval
                                                       : now + s->request->interval;
        session_ask_status(s);
        if (s->n_asked % 2 == 0)
                session_ask_clients(s);
        if (s->n_asked % 2 == 1 || !s->n_asked)
                session_ask_channels(s);
        s->n_asked++;
        return true;
}

void top_session_kill(struct top_session *s, uint64_t id)
{
        char text[24];
        struct bytes words[] = { BYTES_LITERAL("CLIENT"), BYTES_LITERAL("KILL"), BYTES_LITERAL("ID"), { 0 } };

        if (s->n_pending == sizeof(s->pending) / sizeof(*s->pending))
                return;
        snprintf(text, sizeof(text), "%" PRIu64, id);
        words[3] = bytes_str(text);
        s->kill_id = id;
        session_queue(s, TOP_KILL, words, 4);
}

/* ---------------------------------------------------------------- answers */

static void session_rates(struct top_session *s)
{
        s->has_rates = s->n_looks && top_look_follows(&s->look, &s->before);
        s->sum = (struct top_rates){ 0 };
        for (unsigned i = 0; i < s->look.n_shards; i++) {
                s->shards[i] = (struct top_rates){ 0 };
                if (s->has_rates)
                        top_rates(&s->shards[i], &s->before.shards[i], &s->look.shards[i]);
                top_rates_add(&s->sum, &s->shards[i]);
        }
}

static bool session_take_status(struct top_session *s, const redisReply *reply)
{
        struct top_look look;

        if (!top_look(&look, reply, clock_now() / NSEC_PER_USEC))
                return false;
        s->before = s->look;
        s->look = look;
        session_rates(s);
        s->n_looks++;
        return true;
}

static bool session_take_clients(struct top_session *s, const redisReply *reply)
{
        top_clients_deinit(&s->waiting);
        top_clients_deinit(&s->publishers);
        return top_clients(&s->waiting, reply, "waiting") && top_clients(&s->publishers, reply, "publishers");
}

static bool session_take_channels(struct top_session *s, const redisReply *reply)
{
        struct top_channels before = s->channels;
        bool fits = top_channels(&s->channels, reply);

        if (fits)
                top_channels_rates(&s->channels, &before);
        top_channels_deinit(&before);
        return fits;
}

static void session_take_kill(struct top_session *s, const redisReply *reply)
{
        if (reply->type == REDIS_REPLY_INTEGER && reply->integer == 1)
                snprintf(s->note, sizeof(s->note), "client %" PRIu64 " was ended", s->kill_id);
        else if (reply->type == REDIS_REPLY_ERROR)
                snprintf(s->note, sizeof(s->note), "client %" PRIu64 " cannot be ended: the broker refused it",
                         s->kill_id);
        else
                snprintf(s->note, sizeof(s->note), "client %" PRIu64 " had gone already", s->kill_id);
}

/* Return: whether the answer fits the question. */
static bool session_take_one(struct top_session *s, enum top_question question, const redisReply *reply)
{
        switch (question) {
        case TOP_STATUS:
                return session_take_status(s, reply);
        case TOP_CLIENT_LISTS:
                return session_take_clients(s, reply);
        case TOP_CHANNELS:
                return session_take_channels(s, reply);
        default:
                session_take_kill(s, reply);
                return true;
        }
}

/* A list that the broker refuses is left out from then on; without a status there is nothing to show. */
static bool session_refused(struct top_session *s, enum top_question question)
{
        if (question == TOP_CLIENT_LISTS)
                s->no_clients = true;
        if (question == TOP_CHANNELS)
                s->no_channels = true;
        return question == TOP_STATUS;
}

static bool session_answered(struct top_session *s, redisReply *reply)
{
        enum top_question question = s->pending[0];
        bool error = reply->type == REDIS_REPLY_ERROR;

        if (!s->n_pending || (error && session_refused(s, question))) {
                s->refusal = error ? reply : NULL;
                s->strange = !error;
                if (!error)
                        freeReplyObject(reply);
                return false;
        }
        memmove(s->pending, s->pending + 1, --s->n_pending * sizeof(*s->pending));
        s->asked_at = clock_now();
        s->strange = (!error || question == TOP_KILL) && !session_take_one(s, question, reply);
        freeReplyObject(reply);
        return !s->strange;
}

bool top_session_take(struct top_session *s)
{
        for (;;) {
                redisReply *reply;

                s->fault = link_parse(&s->link, &reply);
                if (s->fault)
                        return false;
                if (!reply)
                        break;
                if (!session_answered(s, reply))
                        return false;
        }
        if (s->n_pending && clock_now() > s->asked_at + s->request->timeout)
                s->fault = LINK_E_TIMEOUT;
        return !s->fault;
}

bool top_session_wait(struct top_session *s)
{
        bool asked = s->n_pending;

        while (asked ? s->n_pending : clock_now() < s->next) {
                int r = link_pump(&s->link, asked ? s->asked_at + s->request->timeout : s->next, STDOUT_FILENO);

                if (r && (asked || r != LINK_E_TIMEOUT)) {
                        s->fault = r;
                        return false;
                }
                if (!top_session_take(s))
                        return false;
        }
        return true;
}

int top_session_explain(struct top_session *s)
{
        if (s->refusal)
                return link_refused(&s->link, s->refusal);
        if (s->strange)
                return verb_strange(&s->link);
        return link_explain(&s->link, s->request, s->fault);
}
