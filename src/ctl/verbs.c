/* SPDX-License-Identifier: MIT */
/* What brokerctl can do. Every verb but help connects, asks, and prints what came as data on stdout. */

#include "ctl/args.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ctl/json.h"
#include "ctl/link.h"
#include "ctl/say.h"
#include "ctl/status.h"
#include "ctl/text.h"
#include "util/clock.h"
#include "util/mem.h"

/* An answer of a shape that the verb cannot take. Return: CTL_FAILED. */
static int verb_strange(const struct link *link)
{
        say_error("%s gave an answer that does not fit the question: is it brokerd's, and of this version?",
                  link->path);
        return CTL_FAILED;
}

/* ---------------------------------------------------------------- ping */

static void ping_print(const struct ctl_request *request, struct bytes answer)
{
        struct json json;

        if (request->json) {
                json_begin(&json, stdout, "brokerctl.ping/1");
                json_bytes(&json, "answer", answer);
                json_end(&json);
        } else {
                text_escape(stdout, answer);
                putchar('\n');
        }
}

static int verb_ping(const struct ctl_request *request)
{
        struct bytes words[] = { BYTES_LITERAL("PING") };
        redisReply *reply;
        struct link link;
        int r = link_ask(&link, request, words, 1, &reply);

        if (!r) {
                if (reply->type == REDIS_REPLY_STATUS || reply->type == REDIS_REPLY_STRING) {
                        ping_print(request, bytes_of(reply->str, reply->len));
                        r = say_flush();
                } else {
                        r = verb_strange(&link);
                }
                freeReplyObject(reply);
        }
        link_close(&link);
        return r;
}

/* ---------------------------------------------------------------- status */

static int verb_status_show(const struct ctl_request *request, const struct link *link, const redisReply *reply)
{
        if (!status_valid(reply))
                return verb_strange(link);
        if (request->json)
                status_print_json(stdout, reply);
        else if (request->raw)
                status_print_raw(stdout, reply);
        else
                status_print(stdout, reply, time(NULL));
        return say_flush();
}

static int verb_status(const struct ctl_request *request)
{
        struct bytes words[] = { BYTES_LITERAL("BROKER"), BYTES_LITERAL("STATUS") };
        redisReply *reply;
        struct link link;
        int r = link_ask(&link, request, words, 2, &reply);

        if (!r) {
                r = verb_status_show(request, &link, reply);
                freeReplyObject(reply);
        }
        link_close(&link);
        return r;
}

/* ---------------------------------------------------------------- pub */

#define PUB_MESSAGE_MAX (UINT64_C(512) << 20) /* bytes: the protocol's largest argument */

/* Return: CTL_OK with all of standard input; CTL_FAILED after saying why. */
static int pub_read_stdin(struct buffer *message, const struct ctl_request *request)
{
        if (isatty(STDIN_FILENO))
                say_note(request, "reading the message from the terminal; end it with Ctrl-D");
        for (;;) {
                ssize_t n;

                if (buffer_reserve(message, 65536))
                        mem_fail();
                n = read(STDIN_FILENO, message->data + message->end, message->cap - message->end);
                if (n == 0)
                        return CTL_OK;
                if (n < 0 && errno != EINTR) {
                        say_error("cannot read the message from standard input: %s", strerror(errno));
                        return CTL_FAILED;
                }
                message->end += n > 0 ? (size_t)n : 0;
                if (buffer_size(message) > PUB_MESSAGE_MAX) {
                        say_error("the message on standard input is larger than 512 MiB");
                        return CTL_FAILED;
                }
        }
}

static void pub_print(const struct ctl_request *request, long long receivers)
{
        struct json json;

        if (request->json) {
                json_begin(&json, stdout, "brokerctl.pub/1");
                json_string(&json, "channel", request->operands[0]);
                json_number(&json, "receivers", receivers);
                json_end(&json);
        } else {
                printf("%lld\n", receivers);
        }
}

static int pub_result(const struct ctl_request *request, const struct link *link, const redisReply *reply)
{
        int r;

        if (reply->type != REDIS_REPLY_INTEGER)
                return verb_strange(link);
        pub_print(request, reply->integer);
        r = say_flush();
        if (r || reply->integer > 0)
                return r;
        if (!request->require_receivers) {
                say_note(request, "nobody subscribes to \"%s\": no receiver", request->operands[0]);
                return CTL_OK;
        }
        say_error("nobody subscribes to \"%s\": no receiver", request->operands[0]);
        return CTL_TIMEOUT;
}

static int pub_send(const struct ctl_request *request, struct bytes message)
{
        struct bytes words[] = { BYTES_LITERAL("PUBLISH"), bytes_str(request->operands[0]), message };
        redisReply *reply;
        struct link link;
        int r = link_ask(&link, request, words, 3, &reply);

        if (!r) {
                r = pub_result(request, &link, reply);
                freeReplyObject(reply);
        }
        link_close(&link);
        return r;
}

static int verb_pub(const struct ctl_request *request)
{
        struct buffer message = {};
        int r;

        if (request->n_operands == 2 && strcmp(request->operands[1], "-"))
                return pub_send(request, bytes_str(request->operands[1]));
        r = pub_read_stdin(&message, request);
        if (!r)
                r = pub_send(request, buffer_view(&message));
        buffer_deinit(&message);
        return r;
}

/* ---------------------------------------------------------------- sub */

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

static void sub_print_json(const struct bytes *pattern, struct bytes channel, struct bytes payload)
{
        struct timespec now;
        struct json json;

        clock_gettime(CLOCK_REALTIME, &now);
        json_begin(&json, stdout, "brokerctl.sub/1");
        json_seconds(&json, "time_seconds", (double)now.tv_sec + (double)now.tv_nsec / 1e9);
        if (pattern)
                json_bytes(&json, "pattern", *pattern);
        json_bytes(&json, "channel", channel);
        json_bytes(&json, "payload", payload);
        json_end(&json);
}

/* pattern NULL: it came by a subscription to the channel. */
static void sub_print(struct sub *sub, const struct bytes *pattern, struct bytes channel, struct bytes payload)
{
        if (sub->request->json) {
                sub_print_json(pattern, channel, payload);
        } else if (sub->request->raw) {
                fwrite(payload.p, 1, payload.n, stdout);
        } else {
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

static int verb_sub(const struct ctl_request *request)
{
        struct sub sub = { .request = request };
        int r = link_open(&sub.link, request);

        if (!r) {
                sub.deadline = clock_now() + request->timeout;
                r = sub_run(&sub);
        }
        link_close(&sub.link);
        return r;
}

/* ---------------------------------------------------------------- shutdown */

/* The broker agrees by closing the connection. */
static int verb_shutdown_wait(struct link *link, const struct ctl_request *request)
{
        uint64_t deadline = clock_now() + request->timeout;

        for (;;) {
                redisReply *reply;
                int r = link_receive(link, deadline, &reply);

                if (r == LINK_E_EOF) {
                        say_note(request, "the broker shuts down");
                        return CTL_OK;
                }
                if (r)
                        return link_explain(link, request, r);
                r = reply->type == REDIS_REPLY_ERROR ? link_refused(link, reply) : CTL_OK;
                freeReplyObject(reply);
                if (r)
                        return r;
        }
}

static int verb_shutdown(const struct ctl_request *request)
{
        struct bytes words[] = { BYTES_LITERAL("SHUTDOWN") };
        struct link link;
        int r = link_open(&link, request);

        if (!r) {
                link_queue(&link, words, 1);
                r = verb_shutdown_wait(&link, request);
        }
        link_close(&link);
        return r;
}

/* ---------------------------------------------------------------- help */

static int verb_help(const struct ctl_request *request)
{
        const struct ctl_verb *verb = NULL;

        if (request->n_operands > 0) {
                verb = args_find_verb(request->operands[0]);
                if (!verb)
                        return args_unknown_verb(request->operands[0]);
        }
        args_print_help(stdout, verb);
        return say_flush();
}

/* ---------------------------------------------------------------- the table */

const struct ctl_verb ctl_verbs[] = {
        { "ping", "", 0, 0, "j", "ask whether the broker answers",
          "Asks the broker for a sign of life, and prints its answer, PONG.\n", verb_ping },
        { "status", "", 0, 0, "jR", "show the broker and its shards on one screen",
          "Shows what the broker and each of its shards are doing. Sizes (back, waits) are in\n"
          "binary units, counts in decimal ones; a total of ring and back is the largest value.\n"
          "With --raw: exact lines \"broker.NAME VALUE\" and \"shard.ID.NAME VALUE\".\n"
          "Only uid 0 and the user that brokerd runs as may ask.\n",
          verb_status },
        { "pub", "CHANNEL [MESSAGE]", 1, 2, "jr", "publish a message, print the number of receivers",
          "Publishes MESSAGE and prints how many subscribers it went to. Without MESSAGE, or when\n"
          "it is \"-\", the message is all of standard input, byte for byte.\n",
          verb_pub },
        { "sub", "CHANNEL...", 1, -1, "pnjR", "subscribe, print messages as they come",
          "Prints a line for each message: the channel, a tab, the message. Backslash, tab, newline\n"
          "and carriage return appear as \\\\ \\t \\n \\r, other bytes that are not printable as \\xHH.\n"
          "With --raw: the message's bytes only, as they are, and nothing between messages.\n"
          "Runs until interrupted, or until --count messages came.\n",
          verb_sub },
        { "shutdown", "", 0, 0, "", "stop the broker",
          "Asks the broker to stop, and waits until it closes the connection. Only uid 0 and the\n"
          "user that brokerd runs as may ask.\n",
          verb_shutdown },
        { "help", "[COMMAND]", 0, 1, "", "explain a command", "Explains a command, or lists them all.\n",
          verb_help },
        { .name = NULL },
};
