/* SPDX-License-Identifier: MIT */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/json.h"
#include "ctl/say.h"
#include "ctl/verbs.h"
#include "util/mem.h"

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
