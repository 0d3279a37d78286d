/* SPDX-License-Identifier: MIT */

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "ctl/json.h"
#include "ctl/say.h"
#include "ctl/text.h"
#include "ctl/verbs.h"
#include "util/clock.h"

/* A running subscription. Every channel is asked for by itself, so that each is granted or refused by itself.
 */
struct sub {
        const struct ctl_request *request;
        struct link link;
        int n_answered, n_refused;
        uint64_t n_messages;
        uint64_t deadline; /* for the answers; CLOCK_NEVER when all are there */
        int refusal;       /* exit status of the last refusal */
        bool done;
};

static void sub_ask(struct sub *sub)
{
        for (int i = 0; i < sub->request->n_operands; i++) {
                struct bytes words[] = { sub->request->pattern ? BYTES_LITERAL("PSUBSCRIBE")
                                                               : BYTES_LITERAL("SUBSCRIBE"),
                                         bytes_str(sub->request->operands[i]) };

                link_queue(&sub->link, words, 2);
        }
}

static struct bytes sub_element(const redisReply *reply, size_t i)
{
        const redisReply *e = reply->element[i];

        return e->type == REDIS_REPLY_STRING ? bytes_of(e->str, e->len) : (struct bytes){};
}

static void sub_print_json(const struct sub *sub, const struct bytes *pattern, struct bytes channel,
                           struct bytes payload)
{
        char text[TEXT_TIME_SIZE];
        struct timespec now;
        struct json json;

        clock_gettime(CLOCK_REALTIME, &now);
        json_begin(&json, stdout, "brokerctl.sub/1");
        json_seconds(&json, "time_seconds", (double)now.tv_sec + (double)now.tv_nsec / 1e9);
        if (sub->request->time) {
                text_time(text, &now);
                json_string(&json, "time", text);
        }
        if (pattern)
                json_bytes(&json, "pattern", *pattern);
        json_bytes(&json, "channel", channel);
        json_bytes(&json, "payload", payload);
        json_end(&json);
}

static void sub_print_time(void)
{
        char text[TEXT_TIME_SIZE];
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        text_time(text, &now);
        printf("%s\t", text);
}

/* pattern NULL: it came by a subscription to the channel. */
static void sub_print(struct sub *sub, const struct bytes *pattern, struct bytes channel, struct bytes payload)
{
        if (sub->request->json) {
                sub_print_json(sub, pattern, channel, payload);
        } else if (sub->request->raw) {
                fwrite(payload.p, 1, payload.n, stdout);
        } else {
                if (sub->request->time)
                        sub_print_time();
                text_escape(stdout, channel);
                putchar('\t');
                text_escape(stdout, payload);
                putchar('\n');
        }
        sub->n_messages++;
        sub->done = sub->request->count && sub->n_messages >= sub->request->count;
}

/* Answers come in the order of the requests. */
static int sub_answered(struct sub *sub, const redisReply *refusal)
{
        int n = sub->request->n_operands;

        if (sub->n_answered == n)
                return refusal ? link_refused(&sub->link, refusal) : verb_strange(&sub->link);
        if (refusal) {
                say_error("cannot subscribe to \"%s\"", sub->request->operands[sub->n_answered]);
                sub->refusal = link_refused(&sub->link, refusal);
                sub->n_refused++;
        }
        if (++sub->n_answered < n)
                return CTL_OK;
        sub->deadline = CLOCK_NEVER;
        if (sub->n_refused == n)
                return sub->refusal;
        say_note(sub->request, "subscribed to %d of %d", n - sub->n_refused, n);
        return CTL_OK;
}

static int sub_take(struct sub *sub, const redisReply *reply)
{
        struct bytes kind, pattern;

        if (reply->type == REDIS_REPLY_ERROR)
                return sub_answered(sub, reply);
        if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 3)
                return verb_strange(&sub->link);
        kind = sub_element(reply, 0);
        pattern = sub_element(reply, 1);
        if (bytes_is(kind, "message") && reply->elements == 3)
                sub_print(sub, NULL, sub_element(reply, 1), sub_element(reply, 2));
        else if (bytes_is(kind, "pmessage") && reply->elements == 4)
                sub_print(sub, &pattern, sub_element(reply, 2), sub_element(reply, 3));
        else if (bytes_is(kind, "subscribe") || bytes_is(kind, "psubscribe"))
                return sub_answered(sub, NULL);
        else
                return verb_strange(&sub->link);
        return CTL_OK;
}

/* Everything that has been read is printed and flushed before the next wait. */
static int sub_take_all(struct sub *sub)
{
        int r = CTL_OK;

        while (!r && !sub->done) {
                redisReply *reply;

                if (link_parse(&sub->link, &reply)) {
                        r = link_explain(&sub->link, sub->request, LINK_E_PROTOCOL);
                        break;
                }
                if (!reply)
                        break;
                r = sub_take(sub, reply);
                freeReplyObject(reply);
        }
        return r ? (void)say_flush(), r : say_flush();
}

static int sub_run(struct sub *sub)
{
        int r = CTL_OK;

        sub_ask(sub);
        while (!r && !sub->done) {
                r = link_pump(&sub->link, sub->deadline, STDOUT_FILENO);
                r = r ? link_explain(&sub->link, sub->request, r) : sub_take_all(sub);
        }
        return r ? r : sub->n_refused ? CTL_PARTIAL : CTL_OK;
}

int verb_sub(const struct ctl_request *request)
{
        struct sub sub = { .request = request };
        int r;

        if (request->raw && request->time)
                return say_usage("--raw writes the bytes of the messages only, so --time does not go with it");
        r = link_open(&sub.link, request);
        if (!r) {
                sub.deadline = clock_now() + request->timeout;
                r = sub_run(&sub);
        }
        link_close(&sub.link);
        return r;
}
