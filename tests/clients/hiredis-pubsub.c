/* SPDX-License-Identifier: MIT */

/*
 * A client of hiredis's synchronous interface: two connections to the socket named on the command line, one
 * subscribes, the other publishes. Prints "ok" and exits 0 if every reply was the one that Redis gives.
 */

#include <hiredis/hiredis.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
        SECONDS = 10, /* deadline of any one reply */
        MESSAGES = 1000,
};

static void die(const char *what, redisContext *context)
{
        fprintf(stderr, "hiredis-pubsub: %s: %s\n", what,
                context && context->err ? context->errstr : "wrong reply");
        exit(EXIT_FAILURE);
}

static redisContext *client_new(const char *path)
{
        redisContext *context = redisConnectUnixWithTimeout(path, (struct timeval){ .tv_sec = SECONDS });

        if (!context || context->err)
                die("connect", context);
        if (redisSetTimeout(context, (struct timeval){ .tv_sec = SECONDS }) != REDIS_OK)
                die("set the deadline", context);
        return context;
}

static redisReply *reply_get(redisContext *context, const char *what)
{
        void *reply = NULL;

        if (redisGetReply(context, &reply) != REDIS_OK || !reply)
                die(what, context);
        return reply;
}

/* The next reply is an array of these three: two strings, and a number (payload NULL) or a string. */
static void expect_frame(redisContext *context, const char *kind, const char *channel, const char *payload,
                         long long number)
{
        redisReply *reply = reply_get(context, kind);

        if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3 || strcmp(reply->element[0]->str, kind) ||
            strcmp(reply->element[1]->str, channel))
                die(kind, context);
        if (payload ? reply->element[2]->type != REDIS_REPLY_STRING || strcmp(reply->element[2]->str, payload)
                    : reply->element[2]->type != REDIS_REPLY_INTEGER || reply->element[2]->integer != number)
                die(kind, context);
        freeReplyObject(reply);
}

static void expect_integer(redisContext *context, long long n, const char *what)
{
        redisReply *reply = reply_get(context, what);

        if (reply->type != REDIS_REPLY_INTEGER || reply->integer != n)
                die(what, context);
        freeReplyObject(reply);
}

static void append(redisContext *context, const char *format, ...)
{
        va_list ap;
        int r;

        va_start(ap, format);
        r = redisvAppendCommand(context, format, ap);
        va_end(ap);
        if (r != REDIS_OK)
                die(format, context);
}

static void expect_pong(redisContext *context)
{
        redisReply *reply = redisCommand(context, "PING");

        if (!reply || reply->type != REDIS_REPLY_STATUS || strcmp(reply->str, "PONG"))
                die("PING", context);
        freeReplyObject(reply);
}

static void one_by_one(redisContext *subscriber, redisContext *publisher)
{
        append(subscriber, "SUBSCRIBE %s %s", "hi", "ho");
        expect_frame(subscriber, "subscribe", "hi", NULL, 1);
        expect_frame(subscriber, "subscribe", "ho", NULL, 2);
        append(publisher, "PUBLISH %s %s", "hi", "hello");
        expect_integer(publisher, 1, "PUBLISH");
        expect_frame(subscriber, "message", "hi", "hello", 0);
        append(subscriber, "UNSUBSCRIBE ho");
        expect_frame(subscriber, "unsubscribe", "ho", NULL, 1);
        append(publisher, "PUBLISH ho x");
        expect_integer(publisher, 0, "PUBLISH after UNSUBSCRIBE");
}

static void in_a_pipeline(redisContext *subscriber, redisContext *publisher)
{
        char text[32];

        for (int i = 0; i < MESSAGES; ++i)
                append(publisher, "PUBLISH hi %d", i);
        for (int i = 0; i < MESSAGES; ++i)
                expect_integer(publisher, 1, "PUBLISH in a pipeline");
        for (int i = 0; i < MESSAGES; ++i) {
                snprintf(text, sizeof(text), "%d", i);
                expect_frame(subscriber, "message", "hi", text, 0);
        }
}

int main(int argc, char **argv)
{
        redisContext *subscriber;
        redisContext *publisher;

        if (argc != 2) {
                fprintf(stderr, "usage: hiredis-pubsub SOCKET\n");
                return 2;
        }
        subscriber = client_new(argv[1]);
        publisher = client_new(argv[1]);
        expect_pong(subscriber);
        expect_pong(publisher);
        one_by_one(subscriber, publisher);
        in_a_pipeline(subscriber, publisher);
        redisFree(subscriber);
        redisFree(publisher);
        puts("ok");
        return EXIT_SUCCESS;
}
