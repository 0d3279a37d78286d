/* SPDX-License-Identifier: MIT */

/*
 * A client of hiredis's asynchronous interface on libev: two connections to the socket named on the command
 * line in one loop; one subscribes, the other publishes. With the word "restart" behind the socket it says
 * "ready" once it is subscribed, waits for the end of its connections, connects and subscribes again, says so,
 * and ends with the message that somebody else publishes. Its last line begins with "ok", and it exits 0, if
 * all came as it should.
 */

#include <ev.h>
#include <hiredis/alloc.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/adapters/libev.h>

enum {
        SECONDS = 10, /* deadline of the whole */
        MESSAGES = 1000,
};

/* All that one run knows. Each step ends when what it sent was answered, and starts the next one. */
struct run {
        struct ev_loop *loop;
        const char *path;
        bool restarts;
        bool again; /* subscribed for the second time, after the restart */
        redisAsyncContext *subscriber;
        redisAsyncContext *publisher;
        int n_connected;
        int n_ended;
        int n_acknowledged; /* of "hi", "ho" and "h*" */
        int n_channel;      /* messages by the channel "hi" */
        int n_pattern;      /* the same ones by the pattern "h*" */
        int n_replies;      /* to PUBLISH */
        ev_timer retry;
};

static struct run *run_of(const redisAsyncContext *context)
{
        return context->data;
}

static void die(const char *format, ...)
{
        va_list ap;

        fputs("hiredis-async: ", stderr);
        va_start(ap, format);
        vfprintf(stderr, format, ap);
        va_end(ap);
        fputc('\n', stderr);
        exit(EXIT_FAILURE);
}

static void on_late(struct ev_loop *loop, ev_timer *timer, int events)
{
        struct run *run = timer->data;

        (void)loop;
        (void)events;
        die("not within %d s: %d connected, %d acknowledged, %d replies, %d + %d messages, %d ended", SECONDS,
            run->n_connected, run->n_acknowledged, run->n_replies, run->n_channel, run->n_pattern,
            run->n_ended);
}

/* Whether the element is this text. */
static bool is(const redisReply *element, const char *text)
{
        return element->type == REDIS_REPLY_STRING && !strcmp(element->str, text);
}

static bool connection_open(struct run *run, redisAsyncContext **contextp);

/* ------------------------------------------------------------------ publishing */

static void on_receivers(redisAsyncContext *context, void *data, void *privdata)
{
        struct run *run = run_of(context);
        redisReply *reply = data;

        (void)privdata;
        if (!reply || reply->type != REDIS_REPLY_INTEGER || reply->integer != 2)
                die("wrong reply to PUBLISH");
        run->n_replies++;
}

static void publish_all(struct run *run)
{
        for (int i = 0; i < MESSAGES; i++)
                if (redisAsyncCommand(run->publisher, on_receivers, NULL, "PUBLISH hi %d", i) != REDIS_OK)
                        die("PUBLISH: %s", run->publisher->errstr);
}

/* ------------------------------------------------------------------ subscribing */

/* Both ends are orderly: what was asked is answered, then the connections close. */
static void leave(struct run *run)
{
        redisAsyncDisconnect(run->subscriber);
        redisAsyncDisconnect(run->publisher);
}

static void on_pong(redisAsyncContext *context, void *data, void *privdata)
{
        redisReply *reply = data;

        (void)privdata;
        if (!reply || reply->type != REDIS_REPLY_STATUS || strcmp(reply->str, "PONG"))
                die("wrong reply to a PING behind the last UNSUBSCRIBE");
        leave(run_of(context));
}

/* The callbacks of the subscriptions are told of their ends; behind those the connection is an ordinary one. */
static void unsubscribe(struct run *run)
{
        if (redisAsyncCommand(run->subscriber, NULL, NULL, "UNSUBSCRIBE hi ho") != REDIS_OK ||
            redisAsyncCommand(run->subscriber, NULL, NULL, "PUNSUBSCRIBE h*") != REDIS_OK)
                die("UNSUBSCRIBE: %s", run->subscriber->errstr);
}

static void received_all(struct run *run)
{
        if (run->again)
                leave(run);
        else if (run->restarts)
                printf("ready\n"), fflush(stdout);
        else
                unsubscribe(run);
}

static void on_acknowledged(struct run *run, const redisReply *reply)
{
        if (reply->element[2]->integer != ++run->n_acknowledged)
                die("%s is number %lld, expected %d", reply->element[1]->str, reply->element[2]->integer,
                    run->n_acknowledged);
        if (run->n_acknowledged < 3)
                return;
        if (run->again)
                printf("subscribed again\n"), fflush(stdout);
        else
                publish_all(run);
}

static void on_unsubscribed(struct run *run, const redisReply *reply)
{
        if (reply->element[2]->integer != --run->n_acknowledged)
                die("behind the end of %s %lld subscriptions are left, expected %d", reply->element[1]->str,
                    reply->element[2]->integer, run->n_acknowledged);
        if (!run->n_acknowledged && redisAsyncCommand(run->subscriber, on_pong, NULL, "PING") != REDIS_OK)
                die("PING: %s", run->subscriber->errstr);
}

/* The payloads are the numbers in their order; after the restart there is one message. */
static void on_message(struct run *run, int *np, const redisReply *payload)
{
        char text[16];
        int all = run->again ? 1 : MESSAGES;

        snprintf(text, sizeof(text), "%d", *np);
        if (!is(payload, run->again ? "after" : text))
                die("message %d is \"%s\"", *np, payload->str);
        ++*np;
        if (run->n_channel == all && run->n_pattern == all)
                received_all(run);
}

/* Everything that the subscriber is told. The end of a connection is told with no reply at all. */
static void on_told(redisAsyncContext *context, void *data, void *privdata)
{
        struct run *run = run_of(context);
        redisReply *reply = data;

        (void)privdata;
        if (!reply)
                return;
        if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 3)
                die("a subscriber was told something of type %d", reply->type);
        if (is(reply->element[0], "message") && is(reply->element[1], "hi"))
                on_message(run, &run->n_channel, reply->element[2]);
        else if (is(reply->element[0], "pmessage") && is(reply->element[1], "h*") &&
                 is(reply->element[2], "hi") && reply->elements == 4)
                on_message(run, &run->n_pattern, reply->element[3]);
        else if (is(reply->element[0], "subscribe") || is(reply->element[0], "psubscribe"))
                on_acknowledged(run, reply);
        else if (is(reply->element[0], "unsubscribe") || is(reply->element[0], "punsubscribe"))
                on_unsubscribed(run, reply);
        else
                die("a subscriber was told \"%s\"", reply->element[0]->str);
}

static void subscribe(struct run *run)
{
        run->n_acknowledged = run->n_channel = run->n_pattern = 0;
        if (redisAsyncCommand(run->subscriber, on_told, NULL, "SUBSCRIBE hi ho") != REDIS_OK ||
            redisAsyncCommand(run->subscriber, on_told, NULL, "PSUBSCRIBE h*") != REDIS_OK)
                die("SUBSCRIBE: %s", run->subscriber->errstr);
}

/* ------------------------------------------------------------------ connections */

static void retry(struct run *run);

/* While the broker is away, all that can be done is to try again. */
static void on_retry(struct ev_loop *loop, ev_timer *timer, int events)
{
        struct run *run = timer->data;

        (void)loop;
        (void)events;
        if (!connection_open(run, &run->subscriber))
                retry(run);
        else if (!connection_open(run, &run->publisher))
                die("the broker went away once more");
}

static void retry(struct run *run)
{
        ev_timer_set(&run->retry, 0.005, 0);
        ev_timer_start(run->loop, &run->retry);
}

static void on_connect(const redisAsyncContext *context, int status)
{
        struct run *run = run_of(context);

        if (status != REDIS_OK)
                die("connect: %s", context->errstr);
        if (++run->n_connected == 2)
                subscribe(run);
}

static void on_disconnect(const redisAsyncContext *context, int status)
{
        struct run *run = run_of(context);
        bool expected = run->restarts && !run->again;

        if (expected ? status == REDIS_OK || context->err != REDIS_ERR_EOF : status != REDIS_OK)
                die("disconnected with status %d, error %d", status, context->err);
        if (++run->n_ended < 2)
                return;
        if (expected) {
                run->again = true;
                run->n_connected = run->n_ended = 0;
                retry(run);
        } else {
                ev_break(run->loop, EVBREAK_ALL);
        }
}

/* A Unix socket connects at once. Return: false if nobody listens there. */
static bool connection_open(struct run *run, redisAsyncContext **contextp)
{
        redisAsyncContext *context = redisAsyncConnectUnix(run->path);

        if (!context)
                die("no memory");
        if (context->err) {
                redisAsyncFree(context);
                return false;
        }
        context->data = run;
        *contextp = context;
        if (redisLibevAttach(run->loop, context) != REDIS_OK ||
            redisAsyncSetConnectCallback(context, on_connect) != REDIS_OK ||
            redisAsyncSetDisconnectCallback(context, on_disconnect) != REDIS_OK)
                die("attach to libev");
        return true;
}

int main(int argc, char **argv)
{
        struct run run = { .loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV) };
        ev_timer late;

        if (argc < 2 || argc > 3 || (argc == 3 && strcmp(argv[2], "restart"))) {
                fprintf(stderr, "usage: hiredis-async SOCKET [restart]\n");
                return 2;
        }
        run.path = argv[1];
        run.restarts = argc == 3;
        ev_timer_init(&late, on_late, SECONDS, 0);
        ev_timer_init(&run.retry, on_retry, 0, 0);
        late.data = run.retry.data = &run;
        ev_timer_start(run.loop, &late);
        if (!connection_open(&run, &run.subscriber) || !connection_open(&run, &run.publisher))
                die("nobody listens on %s", run.path);
        ev_run(run.loop, 0);
        ev_loop_destroy(run.loop);
        printf("ok %d messages by a channel and a pattern, %d replies%s\n", MESSAGES, run.n_replies,
               run.again ? ", and again after a restart" : "");
        return EXIT_SUCCESS;
}
