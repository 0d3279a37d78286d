/* SPDX-License-Identifier: MIT */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/json.h"
#include "ctl/say.h"
#include "ctl/text.h"
#include "ctl/verbs.h"
#include "util/clock.h"
#include "util/mem.h"
#include "util/suggest.h"

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

/* The only name that the channel may have been meant to be; NULL: none, or there was no answer. */
static const char *pub_nearest(const char *channel, const redisReply *channels)
{
        const char **names;
        size_t n = 0, best;

        if (channels->type != REDIS_REPLY_ARRAY || !channels->elements)
                return NULL;
        names = mem_alloc(channels->elements * sizeof(*names));
        for (size_t i = 0; i < channels->elements; i++) {
                const redisReply *name = channels->element[i];

                if (name->type == REDIS_REPLY_STRING && strlen(name->str) == name->len)
                        names[n++] = name->str;
        }
        best = suggest_best(bytes_str(channel), names, n);
        channel = best < n ? names[best] : NULL;
        free(names);
        return channel;
}

/* Return: the answer, which freeReplyObject() releases; NULL: there was none in time, or an error. */
static redisReply *pub_ask(struct link *link, uint64_t deadline, const struct bytes *words, size_t n)
{
        redisReply *reply;

        link_queue(link, words, n);
        if (link_receive(link, deadline, &reply))
                return NULL;
        if (reply->type != REDIS_REPLY_ERROR)
                return reply;
        freeReplyObject(reply);
        return NULL;
}

static void pub_say_nearest(struct link *link, uint64_t deadline, const char *name)
{
        struct bytes words[] = { BYTES_LITERAL("PUBSUB"), BYTES_LITERAL("NUMSUB"), bytes_str(name) };
        redisReply *reply = pub_ask(link, deadline, words, 3);
        long long n = -1;

        if (reply && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2)
                n = reply->element[1]->integer;
        fputs("  did you mean \"", stderr);
        text_escape(stderr, bytes_str(name));
        if (n >= 0)
                fprintf(stderr, "\" (%lld subscriber%s)?\n", n, n == 1 ? "" : "s");
        else
                fputs("\"?\n", stderr);
        if (reply)
                freeReplyObject(reply);
}

/* Somebody who looks on may have mistyped the channel; a script is not kept waiting for a guess. */
static void pub_guess(const struct ctl_request *request, struct link *link)
{
        struct bytes words[] = { BYTES_LITERAL("PUBSUB"), BYTES_LITERAL("CHANNELS") };
        uint64_t deadline = clock_now() + request->timeout;
        const char *name;
        redisReply *channels;

        if (request->quiet || !isatty(STDERR_FILENO))
                return;
        channels = pub_ask(link, deadline, words, 2);
        if (!channels)
                return;
        name = pub_nearest(request->operands[0], channels);
        if (name)
                pub_say_nearest(link, deadline, name);
        freeReplyObject(channels);
}

static int pub_result(const struct ctl_request *request, struct link *link, const redisReply *reply)
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
                pub_guess(request, link);
                return CTL_OK;
        }
        say_error("nobody subscribes to \"%s\": no receiver", request->operands[0]);
        pub_guess(request, link);
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

int verb_pub(const struct ctl_request *request)
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
