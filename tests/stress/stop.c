/* SPDX-License-Identifier: MIT */

/*
 * SIGTERM under load: publishers pipeline as fast as they can to subscribers that read, and the broker is told
 * to stop at a random moment. Every PUBLISH whose reply came must have reached every subscriber, in order, and
 * the broker must exit with 0 within a second of the signal and leave no socket behind.
 */

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "stress/load.h"
#include "stress/process.h"
#include "util/clock.h"
#include "util/prng.h"

#define PUBLISHERS  8
#define SUBSCRIBERS 16
#define DEPTH       512
#define AHEAD_MAX   (LOAD_SANITIZED ? 512 : 4096) /* messages that the slowest subscriber may be behind */
#define START_LIMIT (5 * NSEC_PER_SEC)
#define STOP_LIMIT  ((LOAD_SANITIZED ? 20 : 1) * NSEC_PER_SEC)

struct publisher {
        struct conn conn;
        uint64_t sent, acked;
};

struct subscriber {
        struct conn conn;
        bool subscribed;
        uint64_t got[PUBLISHERS];
};

struct message {
        uint32_t publisher;
        uint32_t size;
        uint64_t number; /* 1, 2, ... */
};

struct stop {
        struct load load;
        struct process process;
        struct prng prng;
        struct publisher publishers[PUBLISHERS];
        struct subscriber subscribers[SUBSCRIBERS];
        bool stopping;
        uint64_t acked, delivered, unacked, longest;
};

static struct stop stop;

/* Return: false if the connection is at its end. */
static bool still_open(struct conn *conn, int r)
{
        if (r > 0 || r == -EAGAIN)
                return true;
        if (!stop.stopping)
                fail("%s %u was closed before the signal: %s", conn->name, conn->index,
                     r ? strerror(-r) : "end");
        conn_close(conn);
        return false;
}

static void subscriber_reply(struct subscriber *s, const struct reply *reply)
{
        const struct reply_item *content = &reply->items[reply->n_items - 1];
        struct message m;

        if (!s->subscribed) {
                s->subscribed = reply_is(&reply->items[1], "subscribe");
                return;
        }
        if (!reply_is(&reply->items[1], "message") || !content->s || (size_t)content->n < sizeof(m))
                fail("subscriber %u got something that is no message", s->conn.index);
        memcpy(&m, content->s, sizeof(m));
        if (m.size != content->n || m.publisher >= PUBLISHERS || m.number != s->got[m.publisher] + 1)
                fail("subscriber %u got message %" PRIu64 " of publisher %u after %" PRIu64, s->conn.index,
                     m.number, m.publisher, m.publisher < PUBLISHERS ? s->got[m.publisher] : 0);
        s->got[m.publisher]++;
}

static void publisher_reply(struct publisher *p, const struct reply *reply)
{
        const struct reply_item *item = &reply->items[0];

        if (item->type != ':')
                fail("publisher %u: a reply of type %c: %.*s", p->conn.index, item->type,
                     item->s ? (int)item->n : 0, item->s);
        if (item->n != SUBSCRIBERS)
                fail("publisher %u: message %" PRIu64 " had %lld receivers of %u", p->conn.index, p->acked + 1,
                     (long long)item->n, SUBSCRIBERS);
        p->acked++;
}

/* Reads what is there; on a connection that ends, what came before the end counts. */
static void on_event(struct conn *conn, uint32_t events)
{
        bool subscriber = conn->name[0] == 's';
        struct reply reply;
        size_t pos = 0, n;
        int r;

        if (events & EPOLLOUT) {
                r = conn_flush(&stop.load, conn, SIZE_MAX);
                /* A write that fails says nothing about what can still be read. */
                if (r < 0 && r != -EAGAIN) {
                        if (!stop.stopping)
                                fail("%s %u cannot write before the signal: %s", conn->name, conn->index,
                                     strerror(-r));
                        conn->n_out = conn->pos_out = 0;
                        conn_watch(&stop.load, conn, EPOLLIN);
                }
        }
        if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
                return;
        r = conn_fill(&stop.load, conn);
        if (!still_open(conn, r))
                return;
        while (pos < conn->n_in && (n = reply_parse(&reply, conn->in + pos, conn->n_in - pos)) != 0) {
                if (subscriber)
                        subscriber_reply((struct subscriber *)(void *)conn, &reply);
                else
                        publisher_reply((struct publisher *)(void *)conn, &reply);
                pos += n;
        }
        conn_consume(conn, pos);
}

static void publish_more(struct publisher *p)
{
        static char buffer[4096];
        int r;

        if (p->conn.n_out || p->sent - p->acked >= DEPTH)
                return;
        for (unsigned i = 0; i < DEPTH / 4; i++) {
                struct message m = { .publisher = p->conn.index, .number = ++p->sent };
                size_t limit = prng_below(&stop.prng, 16) ? 64 : sizeof(buffer) - sizeof(m);

                m.size = (uint32_t)(sizeof(m) + prng_below(&stop.prng, limit));
                memcpy(buffer, &m, sizeof(m));
                conn_publish(&p->conn, "load", buffer, m.size);
        }
        r = conn_flush(&stop.load, &p->conn, SIZE_MAX);
        if (r < 0 && r != -EAGAIN) {
                if (!stop.stopping)
                        fail("publisher %u cannot write before the signal: %s", p->conn.index, strerror(-r));
                p->conn.n_out = p->conn.pos_out = 0;
        }
}

/* What waits for the slowest subscriber must fit into the time that a stopping broker lingers. */
static bool subscribers_follow(void)
{
        uint64_t sent = 0, least = UINT64_MAX;

        for (unsigned i = 0; i < PUBLISHERS; i++)
                sent += stop.publishers[i].sent;
        for (unsigned i = 0; i < SUBSCRIBERS; i++) {
                uint64_t got = 0;

                for (unsigned p = 0; p < PUBLISHERS; p++)
                        got += stop.subscribers[i].got[p];
                least = got < least ? got : least;
        }
        return sent - least < AHEAD_MAX;
}

static void connect_all(unsigned round)
{
        uint64_t deadline = clock_now() + START_LIMIT;

        for (unsigned i = 0; i < SUBSCRIBERS; i++) {
                struct subscriber *s = &stop.subscribers[i];

                *s = (struct subscriber){ .conn = { .name = "subscriber", .index = i, .on_event = on_event } };
                while (!conn_open(&stop.load, &s->conn, stop.process.socket))
                        load_wait(&stop.load, 1);
                CONN_REQUEST(&s->conn, "SUBSCRIBE", "load");
                conn_flush(&stop.load, &s->conn, SIZE_MAX);
        }
        for (unsigned i = 0; i < PUBLISHERS; i++) {
                struct publisher *p = &stop.publishers[i];

                *p = (struct publisher){ .conn = { .name = "publisher", .index = i, .on_event = on_event } };
                while (!conn_open(&stop.load, &p->conn, stop.process.socket))
                        load_wait(&stop.load, 1);
        }
        for (unsigned i = 0; i < SUBSCRIBERS; i++)
                while (!stop.subscribers[i].subscribed) {
                        load_wait(&stop.load, 100);
                        if (clock_now() > deadline)
                                fail("round %u: a SUBSCRIBE is not acknowledged within 5 s", round);
                }
}

/* Return: connections that are still open. */
static unsigned turn(void)
{
        unsigned n_open = 0;
        bool more = subscribers_follow();

        for (unsigned i = 0; i < PUBLISHERS; i++) {
                if (more && stop.publishers[i].conn.fd >= 0)
                        publish_more(&stop.publishers[i]);
                n_open += stop.publishers[i].conn.fd >= 0;
        }
        for (unsigned i = 0; i < SUBSCRIBERS; i++)
                n_open += stop.subscribers[i].conn.fd >= 0;
        load_wait(&stop.load, more ? 0 : 10);
        return n_open;
}

static void settle(unsigned round)
{
        unsigned lost = 0;

        for (unsigned p = 0; p < PUBLISHERS; p++) {
                uint64_t acked = stop.publishers[p].acked;

                stop.acked += acked;
                stop.unacked += stop.publishers[p].sent - acked;
                for (unsigned s = 0; s < SUBSCRIBERS; s++) {
                        uint64_t got = stop.subscribers[s].got[p];

                        stop.delivered += got;
                        if (got >= acked || lost++ >= 4)
                                continue;
                        fprintf(stderr,
                                "round %u: subscriber %u got %" PRIu64 " messages of publisher %u, but %" PRIu64
                                " are acknowledged\n",
                                round, s, got, p, acked);
                }
        }
        if (lost)
                fail("round %u: acknowledged messages were lost, %u times", round, lost);
}

static void run_round(unsigned round, const char *config)
{
        uint64_t end, since, took;

        process_start(&stop.process, config);
        load_init(&stop.load);
        stop.stopping = false;
        connect_all(round);
        end = clock_now() + (20 + prng_below(&stop.prng, 200)) * NSEC_PER_MSEC;
        while (clock_now() < end)
                turn();
        since = clock_now();
        stop.stopping = true;
        process_terminate(&stop.process);
        while (turn() > 0)
                if (clock_now() > since + STOP_LIMIT)
                        fail("round %u: connections are open %" PRIu64 " ms after SIGTERM", round,
                             (clock_now() - since) / NSEC_PER_MSEC);
        took = process_wait(&stop.process, since, STOP_LIMIT);
        if (took > stop.longest)
                stop.longest = took;
        settle(round);
        load_deinit(&stop.load);
}

int main(int argc, char **argv)
{
        static const char usage[] = "stop [--rounds N] [--seed N] [--shards N] [--ring SLOTS]\n";
        static const struct option names[] = { { "rounds", required_argument, NULL, 'r' },
                                               { "seed", required_argument, NULL, 's' },
                                               { "shards", required_argument, NULL, 'n' },
                                               { "ring", required_argument, NULL, 'R' },
                                               { 0 } };
        unsigned rounds = 3, shards = 3, ring = 64;
        uint64_t seed = clock_now();
        char config[128];
        int c;

        while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
                uint64_t value = optarg ? strtoull(optarg, NULL, 10) : 0;

                if (c == 'r')
                        rounds = (unsigned)value;
                else if (c == 's')
                        seed = value;
                else if (c == 'n')
                        shards = (unsigned)value;
                else if (c == 'R')
                        ring = (unsigned)value;
                else
                        return fputs(usage, stderr), 2;
        }
        stop.prng.state = seed;
        fprintf(stderr, "stop: seed %" PRIu64 "\n", seed);
        snprintf(config, sizeof(config), "shards: %u\nring_capacity: %u\n", shards, ring);
        for (unsigned round = 0; round < rounds; round++)
                run_round(round, config);
        printf("stop: %u rounds, %u publishers, %u subscribers: %" PRIu64 " publishes acknowledged, %" PRIu64
               " not, %" PRIu64 " deliveries, 0 acknowledged ones lost; longest stop %" PRIu64 " ms\n",
               rounds, PUBLISHERS, SUBSCRIBERS, stop.acked, stop.unacked, stop.delivered,
               stop.longest / NSEC_PER_MSEC);
        return 0;
}
