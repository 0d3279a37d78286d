/* SPDX-License-Identifier: MIT */

/*
 * What a broker costs that has nothing to do: processor time and wake-ups of all its threads without clients,
 * and resident memory per connection, as it comes, after a PING each, and after a SUBSCRIBE each.
 */

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "stress/load.h"
#include "stress/process.h"
#include "util/clock.h"

#define BYTES_MAX   1536   /* of RSS for an idle connection */
#define CPU_MAX     0.0005 /* of one processor */
#define ROUND_LIMIT (20 * NSEC_PER_SEC)
#define CAN_MEASURE (!LOAD_SANITIZED)

struct idle {
        struct load load;
        struct process process;
        struct conn *conns;
        unsigned n, answered;
};

static struct idle idle;

static void on_event(struct conn *conn, uint32_t events)
{
        struct reply reply;
        size_t n;
        int r = conn_fill(&idle.load, conn);

        (void)events;
        if (r == 0 || (r < 0 && r != -EAGAIN))
                fail("the broker closed idle connection %u", conn->index);
        while (conn->n_in && (n = reply_parse(&reply, conn->in, conn->n_in)) != 0) {
                if (reply.items[0].type == '-')
                        fail("connection %u: %.*s", conn->index, (int)reply.items[0].n, reply.items[0].s);
                conn_consume(conn, n);
                idle.answered++;
        }
}

static void nap(double seconds)
{
        struct timespec ts = { (time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9) };

        while (nanosleep(&ts, &ts) < 0)
                ;
}

/* Waits until the broker has no more to do: what it takes from memory is settled then. A sanitizer has a thread
 * of its own that never rests. */
static void settle(struct usage *usage)
{
        uint64_t last;

        process_usage(&idle.process, usage);
        do {
                last = usage->switches;
                nap(0.2);
                process_usage(&idle.process, usage);
        } while (CAN_MEASURE && usage->switches != last);
}

#define BATCH                                                                                                  \
        64 /* connections that have a request open at a time: what their answers take is not theirs for long   \
            */

static void await_answers(unsigned n, const char *word, uint64_t deadline)
{
        while (idle.answered < n) {
                load_wait(&idle.load, 100);
                if (clock_now() > deadline)
                        fail("%u of %u connections have no reply to %s", n - idle.answered, n, word);
        }
}

/* Sends one request on every connection and waits for all replies. */
static void ask_all(const char *word, const char *argument)
{
        uint64_t deadline = clock_now() + ROUND_LIMIT;

        idle.answered = 0;
        for (unsigned i = 0; i < idle.n; i++) {
                struct conn *conn = &idle.conns[i];
                char name[32];

                snprintf(name, sizeof(name), argument ? argument : "", i);
                conn_request(conn, argument ? 2 : 1, (const char *[]){ word, name });
                if (conn_flush(&idle.load, conn, SIZE_MAX) < 0)
                        fail("connection %u cannot write", i);
                if (i % BATCH == BATCH - 1)
                        await_answers(i + 1, word, deadline);
        }
        await_answers(idle.n, word, deadline);
}

static void open_all(void)
{
        for (unsigned i = 0; i < idle.n; i++) {
                idle.conns[i] = (struct conn){ .name = "connection", .index = i, .on_event = on_event };
                while (!conn_open(&idle.load, &idle.conns[i], idle.process.socket))
                        nap(0.001);
        }
}

/* What the broker takes once for all, however many connect: receive buffers, the first chunks, tables. */
static void warm_up(void)
{
        unsigned n = idle.n;

        idle.n = n < BATCH ? n : BATCH;
        open_all();
        for (unsigned i = 0; i < 20; i++)
                ask_all("PING", NULL);
        for (unsigned i = 0; i < idle.n; i++)
                conn_close(&idle.conns[i]);
        process_expect_no_client(&idle.process);
        idle.n = n;
}

static double per_connection(const struct usage *before, const struct usage *after)
{
        return ((double)after->rss - (double)before->rss) / (double)idle.n;
}

static void measure_memory(void)
{
        struct usage empty, connected, pinged, subscribed, one;
        uint64_t deadline = clock_now() + ROUND_LIMIT;

        warm_up();
        settle(&empty);
        open_all();
        while (process_fds(&idle.process) < idle.process.n_fds + idle.n) {
                if (clock_now() > deadline)
                        fail("the broker took only %u of %u connections", process_fds(&idle.process), idle.n);
                nap(0.01);
        }
        settle(&connected);
        ask_all("PING", NULL);
        settle(&pinged);
        ask_all("SUBSCRIBE", "all");
        settle(&subscribed);
        ask_all("SUBSCRIBE", "channel.%u");
        settle(&one);
        printf("idle: %u connections: %.0f bytes of RSS each; %.0f after a PING, %.0f after a SUBSCRIBE to one "
               "channel in common, %.0f with one of its own beside\n",
               idle.n, per_connection(&empty, &connected), per_connection(&empty, &pinged),
               per_connection(&empty, &subscribed), per_connection(&empty, &one));
        if (CAN_MEASURE &&
            (per_connection(&empty, &connected) > BYTES_MAX || per_connection(&empty, &pinged) > BYTES_MAX))
                fail("more than %u bytes of RSS for an idle connection", BYTES_MAX);
        for (unsigned i = 0; i < idle.n; i++)
                conn_close(&idle.conns[i]);
        process_expect_no_client(&idle.process);
}

static void measure_idleness(double seconds)
{
        struct usage before, after;
        uint64_t start, wakes;
        double share;

        settle(&before);
        start = clock_now();
        nap(seconds);
        process_usage(&idle.process, &after);
        wakes = after.switches - before.switches;
        share = (double)(after.cpu_ns - before.cpu_ns) / (double)(clock_now() - start);
        printf("idle: %u threads in %.0f s: %.4f %% CPU, %" PRIu64 " wake-ups\n", after.n_threads, seconds,
               share * 100, wakes);
        if (CAN_MEASURE && wakes)
                fail("an idle broker woke %" PRIu64 " times", wakes);
        if (CAN_MEASURE && share >= CPU_MAX)
                fail("an idle broker uses %.4f %% CPU", share * 100);
}

/* Return: connections that the limit of descriptors allows, at most n. */
static unsigned raise_limit(unsigned n)
{
        struct rlimit limit, wanted;

        getrlimit(RLIMIT_NOFILE, &limit);
        wanted = (struct rlimit){ n + 1000, limit.rlim_max > n + 1000 ? limit.rlim_max : n + 1000 };
        if (setrlimit(RLIMIT_NOFILE, &wanted) == 0)
                return n;
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
        return (unsigned)limit.rlim_max - 1000;
}

int main(int argc, char **argv)
{
        static const char usage[] = "idle [--connections N] [--seconds N] [--shards N]\n";
        static const struct option names[] = { { "connections", required_argument, NULL, 'c' },
                                               { "seconds", required_argument, NULL, 't' },
                                               { "shards", required_argument, NULL, 'n' },
                                               { 0 } };
        unsigned n = 2000, shards = 3;
        double seconds = 1;
        char config[128];
        int c;

        while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
                if (c == 'c')
                        n = (unsigned)strtoul(optarg, NULL, 10);
                else if (c == 't')
                        seconds = strtod(optarg, NULL);
                else if (c == 'n')
                        shards = (unsigned)strtoul(optarg, NULL, 10);
                else
                        return fputs(usage, stderr), 2;
        }
        idle.n = raise_limit(n);
        if (idle.n < n)
                fprintf(stderr, "idle: only %u connections: RLIMIT_NOFILE\n", idle.n);
        idle.conns = calloc(idle.n, sizeof(*idle.conns));
        if (!idle.conns)
                fail("out of memory");
        snprintf(config, sizeof(config), "shards: %u\nmax_clients: %u\n", shards, idle.n + 100);
        process_start(&idle.process, config);
        load_init(&idle.load);
        measure_idleness(seconds);
        measure_memory();
        measure_idleness(seconds);
        printf("idle: stopped in %" PRIu64 " ms\n", process_stop(&idle.process) / NSEC_PER_MSEC);
        load_deinit(&idle.load);
        free(idle.conns);
        return 0;
}
