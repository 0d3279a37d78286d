/* SPDX-License-Identifier: MIT */
/* TIME and ROLE, and what Redis logs and measures by SLOWLOG and LATENCY: commands are not timed, which is what
 * they say.
 */

#include <stdio.h>
#include <time.h>

#include "resp/writer.h"
#include "shard/client.h"
#include "shard/command.h"
#include "shard/state.h"

static void write_decimal(struct buffer *b, long long n)
{
        char text[24];

        snprintf(text, sizeof(text), "%lld", n);
        writer_bulk_str(b, text);
}

enum command_result command_time(struct client *c, const struct request *request)
{
        struct timespec now;

        (void)request;
        clock_gettime(CLOCK_REALTIME, &now);
        writer_array(&c->shard->reply, 2);
        write_decimal(&c->shard->reply, now.tv_sec);
        write_decimal(&c->shard->reply, now.tv_nsec / 1000);
        return COMMAND_DONE;
}

/* A master at the start of its history, without replicas. */
enum command_result command_role(struct client *c, const struct request *request)
{
        struct buffer *b = &c->shard->reply;

        (void)request;
        writer_array(b, 3);
        writer_bulk_str(b, "master");
        writer_integer(b, 0);
        writer_array(b, 0);
        return COMMAND_DONE;
}

static enum command_result answer_nothing(struct client *c, const struct request *request)
{
        (void)request;
        writer_array(&c->shard->reply, 0);
        return COMMAND_DONE;
}

static enum command_result answer_none(struct client *c, const struct request *request)
{
        (void)request;
        writer_integer(&c->shard->reply, 0);
        return COMMAND_DONE;
}

/* ------------------------------------------------------------------ SLOWLOG */

static enum command_result slowlog_get(struct client *c, const struct request *request)
{
        long long count = 0;

        if (request->argc > 3)
                command_error(c,
                              "unknown subcommand or wrong number of arguments for '%.*s'. Try SLOWLOG HELP.",
                              (int)request->argv[1].n, (const char *)request->argv[1].p);
        else if (request->argc == 3 && (!command_integer(request->argv[2], &count) || count < -1))
                command_error(c, "count should be greater than or equal to -1");
        else
                writer_array(&c->shard->reply, 0);
        return COMMAND_DONE;
}

static enum command_result slowlog_reset(struct client *c, const struct request *request)
{
        (void)request;
        writer_simple(&c->shard->reply, "OK");
        return COMMAND_DONE;
}

const struct command command_slowlog_rows[] = {
        { "get", -2, 0, slowlog_get, NULL, "server", "[<count>]", "No entries: slow commands are not logged." },
        { "len", 2, 0, answer_none, NULL, "server", NULL, "0: slow commands are not logged." },
        { "reset", 2, 0, slowlog_reset, NULL, "server", NULL, "Clears the log, in which nothing is." },
        COMMAND_HELP("server"),
        { 0 },
};

/* ------------------------------------------------------------------ LATENCY */

static enum command_result latency_doctor(struct client *c, const struct request *request)
{
        (void)request;
        writer_verbatim(
                &c->shard->reply, c->subscriber.protocol, "txt",
                BYTES_LITERAL("There are no latency events; BROKER LATENCY tells how long turns take.\n"));
        return COMMAND_DONE;
}

static enum command_result latency_graph(struct client *c, const struct request *request)
{
        struct bytes event = request->argv[2];

        command_error(c, "No samples available for event '%.*s'", (int)(event.n < 128 ? event.n : 128),
                      (const char *)event.p);
        return COMMAND_DONE;
}

static enum command_result latency_histogram(struct client *c, const struct request *request)
{
        (void)request;
        writer_map(&c->shard->reply, c->subscriber.protocol, 0);
        return COMMAND_DONE;
}

const struct command command_latency_rows[] = {
        { "doctor", 2, 0, latency_doctor, NULL, "server", NULL, "Says where latencies are told." },
        { "graph", 3, 0, latency_graph, NULL, "server", "<event>", "No graph: there are no latency events." },
        { "histogram", -2, 0, latency_histogram, NULL, "server", "[<command> ...]",
          "No histograms: commands are not timed; BROKER LATENCY has turns." },
        { "history", 3, 0, answer_nothing, NULL, "server", "<event>",
          "No samples: there are no latency events." },
        { "latest", 2, 0, answer_nothing, NULL, "server", NULL, "No samples: there are no latency events." },
        { "reset", -2, 0, answer_none, NULL, "server", "[<event> ...]",
          "0, the number of events that were reset." },
        COMMAND_HELP("server"),
        { 0 },
};
