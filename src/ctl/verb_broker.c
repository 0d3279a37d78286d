/* SPDX-License-Identifier: MIT */
/* Verbs about the broker as a whole. */

#include <stdio.h>
#include <time.h>

#include "ctl/colour.h"
#include "ctl/json.h"
#include "ctl/say.h"
#include "ctl/status.h"
#include "ctl/text.h"
#include "ctl/verbs.h"
#include "util/clock.h"

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

int verb_ping(const struct ctl_request *request)
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
                status_print(stdout, reply, time(NULL), colour_wanted(request, stdout));
        return say_flush();
}

int verb_status(const struct ctl_request *request)
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

int verb_shutdown(const struct ctl_request *request)
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
