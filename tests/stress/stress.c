/* SPDX-License-Identifier: MIT */

/*
 * Many publishers and subscribers on channels and patterns, across all shards of a broker with tiny rings,
 * while other clients come and are killed all the time. Every delivery to those that stay is checked
 * (history.h), every reply is counted, nothing may take longer than 5 s, and at the end the broker has closed
 * every descriptor that it opened for clients, knows the exact receivers again, and exits with 0.
 */

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "stress/history.h"
#include "stress/load.h"
#include "stress/process.h"
#include "stress/victims.h"
#include "util/clock.h"
#include "util/prng.h"

#define STALL_NS  (5 * NSEC_PER_SEC)
#define DEPTH_MAX 128
#define EXTRA     8 /* private channels of a subscriber, which nobody publishes on */

struct publisher {
        struct conn conn;
        unsigned sent_on[DEPTH_MAX]; /* channels of the requests without reply, oldest at `first` */
        unsigned first, n;
        size_t cut; /* bytes after which the burst's first write ends */
        uint64_t since;
};

struct subscriber {
        struct conn conn;
        unsigned handshake; /* replies of the start that are still to come */
        unsigned acks;      /* later acknowledgements and pongs that are still to come */
        uint64_t since;
};

struct stress {
        struct load load;
        struct history history;
        struct victims victims;
        struct process process;
        struct prng prng;
        struct publisher *publishers;
        struct subscriber *subscribers;
        unsigned n_publishers, n_subscribers, n_victims;
        unsigned shards, ring, backlog;
        unsigned mean_copies; /* deliveries of one publish */
        uint64_t target, window, seed, published, pings;
        const char *server;
        bool exact; /* the last reply to the probe of a channel was exact */
        unsigned probes, probe_reply;
};

static struct stress stress;

/* ---------------------------------------------------------------- subscribers */

static void subscriber_handshake(struct subscriber *s, const struct reply *reply)
{
        const struct reply_item *items = reply->items;

        if (items[0].type == '-')
                fail("subscriber %u: error reply: %.*s", s->conn.index, (int)items[0].n, items[0].s);
        if (items[0].type != '%' && !reply_is(&items[1], "subscribe") && !reply_is(&items[1], "psubscribe"))
                fail("subscriber %u: an unexpected reply in its handshake", s->conn.index);
        s->handshake--;
}

static bool is_pong(const struct reply *reply)
{
        return reply_is(&reply->items[0], "PONG") || (reply->n_items > 1 && reply_is(&reply->items[1], "pong"));
}

static void subscriber_reply(struct subscriber *s, const struct reply *reply, uint64_t now)
{
        const struct reply_item *items = reply->items;

        if (s->handshake) {
                subscriber_handshake(s, reply);
        } else if (reply->n_items > 3 && (reply_is(&items[1], "message") || reply_is(&items[1], "pmessage"))) {
                history_deliver(&stress.history, s->conn.index, reply, now);
        } else if (s->acks &&
                   (is_pong(reply) || (reply->n_items == 4 && (reply_is(&items[1], "subscribe") ||
                                                               reply_is(&items[1], "unsubscribe"))))) {
                s->acks--;
                s->since = now;
        } else {
                fail("subscriber %u: a reply that it did not ask for (type %c, %u items)", s->conn.index,
                     items[0].type, reply->n_items);
        }
}

static void conn_fail_unless_open(struct conn *conn, int r)
{
        if (r == 0 || (r < 0 && r != -EAGAIN))
                fail("the broker closed the connection of %s %u: %s", conn->name, conn->index,
                     r ? strerror(-r) : "end of file");
}

/* Reads until there is nothing more, and hands over every reply. */
#define CONN_REPLIES(_conn, _reply, _now, _handle)                                                             \
        do {                                                                                                   \
                int _r = conn_fill(&stress.load, (_conn));                                                     \
                uint64_t _now = clock_now();                                                                   \
                size_t _pos = 0, _n;                                                                           \
                conn_fail_unless_open((_conn), _r);                                                            \
                while (_pos < (_conn)->n_in &&                                                                 \
                       (_n = reply_parse(&(_reply), (_conn)->in + _pos, (_conn)->n_in - _pos)) != 0) {         \
                        _handle;                                                                               \
                        _pos += _n;                                                                            \
                }                                                                                              \
                conn_consume((_conn), _pos);                                                                   \
                if (_r < 64 * 1024)                                                                            \
                        break;                                                                                 \
        } while (true)

static void subscriber_event(struct conn *conn, uint32_t events)
{
        struct subscriber *s = (struct subscriber *)(void *)conn;
        struct reply reply;

        if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                CONN_REPLIES(conn, reply, now, subscriber_reply(s, &reply, now));
        if (events & EPOLLOUT)
                conn_fail_unless_open(conn, conn_flush(&stress.load, conn, SIZE_MAX) ?: 1);
}

static void subscriber_start(struct subscriber *s, unsigned index)
{
        const struct sub_plan *plan = &stress.history.plans[index];
        const char *args[1 + HISTORY_SUB_CHANNELS] = { "SUBSCRIBE" };

        s->conn = (struct conn){ .name = "subscriber", .index = index, .on_event = subscriber_event };
        while (!conn_open(&stress.load, &s->conn, stress.process.socket))
                load_wait(&stress.load, 1);
        if (plan->protocol == 3)
                CONN_REQUEST(&s->conn, "HELLO", "3");
        for (unsigned i = 0; i < plan->n_channels; i++)
                args[1 + i] = history_channels[plan->channels[i]];
        conn_request(&s->conn, 1u + plan->n_channels, args);
        args[0] = "PSUBSCRIBE";
        for (unsigned i = 0; i < plan->n_patterns; i++)
                args[1 + i] = history_patterns[plan->patterns[i]];
        if (plan->n_patterns)
                conn_request(&s->conn, 1u + plan->n_patterns, args);
        s->handshake = (plan->protocol == 3) + plan->n_channels + plan->n_patterns;
        s->since = clock_now();
        conn_fail_unless_open(&s->conn, conn_flush(&stress.load, &s->conn, SIZE_MAX) ?: 1);
}

/* A subscriber that is served asks for something else beside: the acknowledgement comes between messages. */
static void subscriber_ask(struct subscriber *s, uint64_t now)
{
        char name[32], other[32];

        snprintf(name, sizeof(name), "own.%u.%u", s->conn.index, (unsigned)prng_below(&stress.prng, EXTRA));
        snprintf(other, sizeof(other), "own.%u.%u", s->conn.index, (unsigned)prng_below(&stress.prng, EXTRA));
        switch (prng_below(&stress.prng, 3)) {
        case 0:
                CONN_REQUEST(&s->conn, "SUBSCRIBE", name, other);
                s->acks = 2;
                break;
        case 1:
                CONN_REQUEST(&s->conn, "UNSUBSCRIBE", name, other);
                s->acks = 2;
                break;
        default:
                CONN_REQUEST(&s->conn, "PING");
                s->acks = 1;
                break;
        }
        s->since = now;
        stress.pings++;
        conn_fail_unless_open(&s->conn, conn_flush(&stress.load, &s->conn, SIZE_MAX) ?: 1);
}

/* ---------------------------------------------------------------- publishers */

static void publisher_reply(struct publisher *p, const struct reply *reply)
{
        unsigned channel = p->sent_on[p->first], least = stress.history.copies[channel];

        if (reply->items[0].type != ':')
                fail("publisher %u: a reply of type %c: %.*s", p->conn.index, reply->items[0].type,
                     reply->items[0].s ? (int)reply->items[0].n : 0, reply->items[0].s);
        if (p->n == 0)
                fail("publisher %u: a reply too many", p->conn.index);
        if (reply->items[0].n < least)
                fail("publisher %u: %lld receivers on %s, where %u stay", p->conn.index,
                     (long long)reply->items[0].n, history_channels[channel], least);
        stress.probe_reply = (unsigned)reply->items[0].n;
        stress.exact = reply->items[0].n == least;
        p->first = (p->first + 1) % DEPTH_MAX;
        p->n--;
        p->since = clock_now();
}

static void publisher_event(struct conn *conn, uint32_t events)
{
        struct publisher *p = (struct publisher *)(void *)conn;
        struct reply reply;

        if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                CONN_REPLIES(conn, reply, now, ((void)now, publisher_reply(p, &reply)));
        if (events & EPOLLOUT)
                conn_fail_unless_open(conn, conn_flush(&stress.load, conn, SIZE_MAX) ?: 1);
}

static size_t random_size(struct prng *prng)
{
        static const size_t bounds[16] = { 64, 64, 64,  64,  64,  64,   64,   64,
                                           64, 64, 512, 512, 512, 2048, 2048, 4096 };

        if (prng_below(prng, 256) == 0)
                return sizeof(struct payload) + prng_below(prng, 20000);
        return sizeof(struct payload) + prng_below(prng, bounds[prng_below(prng, 16)]);
}

/* A pipeline of random depth; now and then its first write ends in the middle of a request. */
static void publisher_burst(struct publisher *p)
{
        static char buffer[PAYLOAD_MAX];
        struct payload *payload = (struct payload *)(void *)buffer;
        unsigned depth = 1 + (unsigned)prng_below(&stress.prng, prng_below(&stress.prng, 2) ? DEPTH_MAX : 8);
        uint64_t room = stress.history.delivered + stress.window - stress.history.expected;
        unsigned channel = 0;
        size_t limit = SIZE_MAX;

        if (depth > 1 + room / stress.mean_copies)
                depth = 1 + (unsigned)(room / stress.mean_copies);

        for (unsigned i = 0; i < depth; i++) {
                size_t size = random_size(&stress.prng);

                /* Runs on one channel are what the broker makes cheap, so there must be some. */
                if (i == 0 || prng_below(&stress.prng, 3) == 0)
                        channel = (unsigned)prng_below(&stress.prng, HISTORY_CHANNELS);
                history_publish(&stress.history, p->conn.index, channel, payload, size);
                conn_publish(&p->conn, history_channels[channel], payload, size);
                p->sent_on[(p->first + p->n++) % DEPTH_MAX] = channel;
                stress.published++;
        }
        if (prng_below(&stress.prng, 8) == 0)
                limit = 1 + prng_below(&stress.prng, p->conn.n_out);
        p->since = clock_now();
        conn_fail_unless_open(&p->conn, conn_flush(&stress.load, &p->conn, limit) ?: 1);
}

static void publisher_start(struct publisher *p, unsigned index)
{
        p->conn = (struct conn){ .name = "publisher", .index = index, .on_event = publisher_event };
        while (!conn_open(&stress.load, &p->conn, stress.process.socket))
                load_wait(&stress.load, 1);
}

/* ---------------------------------------------------------------- the run */

/* Return: whether somebody waits for the broker. Fails if somebody does so for too long. */
static bool check_waiting(uint64_t now)
{
        bool waiting = stress.history.delivered != stress.history.expected;

        for (unsigned i = 0; i < stress.n_publishers; i++) {
                const struct publisher *p = &stress.publishers[i];

                if (p->n && now > p->since + STALL_NS) {
                        history_explain(&stress.history);
                        fail("publisher %u waits for %u replies since %" PRIu64 " ms, %zu bytes unsent", i,
                             p->n, (now - p->since) / NSEC_PER_MSEC, p->conn.n_out - p->conn.pos_out);
                }
                waiting |= p->n > 0;
        }
        for (unsigned i = 0; i < stress.n_subscribers; i++) {
                const struct subscriber *s = &stress.subscribers[i];

                if ((s->acks || s->handshake) && now > s->since + STALL_NS)
                        fail("subscriber %u waits for %u acknowledgements since %" PRIu64 " ms", i,
                             s->acks + s->handshake, (now - s->since) / NSEC_PER_MSEC);
                waiting |= s->acks || s->handshake;
        }
        return waiting;
}

static void watch_stall(uint64_t now)
{
        static uint64_t n_read, since;

        if (stress.load.n_read != n_read || !since) {
                n_read = stress.load.n_read;
                since = now;
        }
        if (now < since + STALL_NS)
                return;
        history_explain(&stress.history);
        fail("nothing came for 5 s; %" PRIu64 " of %" PRIu64 " deliveries came", stress.history.delivered,
             stress.history.expected);
}

static void clients_start(void)
{
        for (unsigned i = 0; i < stress.n_subscribers; i++)
                subscriber_start(&stress.subscribers[i], i);
        for (unsigned i = 0; i < stress.n_publishers; i++)
                publisher_start(&stress.publishers[i], i);
        while (check_waiting(clock_now()))
                load_wait(&stress.load, 100);
}

static void turn(bool publish)
{
        static uint64_t next_sweep;
        uint64_t now;

        load_wait(&stress.load, publish ? 0 : 5);
        now = clock_now();
        victims_turn(&stress.victims, now);
        for (unsigned i = 0; publish && i < stress.n_publishers; i++)
                if (stress.publishers[i].n == 0 &&
                    stress.history.expected < stress.history.delivered + stress.window)
                        publisher_burst(&stress.publishers[i]);
        for (unsigned n = 0; publish && n < 2; n++) {
                struct subscriber *s = &stress.subscribers[prng_below(&stress.prng, stress.n_subscribers)];

                if (!s->acks)
                        subscriber_ask(s, now);
        }
        if (now < next_sweep)
                return;
        if (check_waiting(now))
                watch_stall(now);
        history_sweep(&stress.history);
        next_sweep = now + NSEC_PER_SEC;
}

/* With the victims gone, the count of receivers becomes exact for every channel. */
static void expect_exact_counts(void)
{
        char buffer[sizeof(struct payload)];
        struct payload *payload = (struct payload *)(void *)buffer;
        struct publisher *p = &stress.publishers[0];
        uint64_t deadline = clock_now() + STALL_NS;

        for (unsigned c = 0; c < HISTORY_CHANNELS; c += stress.exact) {
                history_noise(payload, c, sizeof(*payload));
                conn_publish(&p->conn, history_channels[c], payload, sizeof(*payload));
                p->sent_on[p->first] = c;
                p->n = 1;
                p->since = clock_now();
                conn_fail_unless_open(&p->conn, conn_flush(&stress.load, &p->conn, SIZE_MAX) ?: 1);
                while (p->n) {
                        load_wait(&stress.load, 100);
                        check_waiting(clock_now());
                }
                stress.probes++;
                if (!stress.exact && clock_now() > deadline)
                        fail("%u receivers on %s, where %u are", stress.probe_reply, history_channels[c],
                             stress.history.copies[c]);
        }
}

static void summary(uint64_t ns, uint64_t stop_ns)
{
        const struct history *h = &stress.history;
        double seconds = (double)ns / (double)NSEC_PER_SEC;

        printf("stress: %" PRIu64 " deliveries of %" PRIu64 " publishes in %.1f s (%.0f/s), %u publishers, %u "
               "subscribers, seed %" PRIu64 "; killed %" PRIu64 ", noise %" PRIu64 ", asked beside %" PRIu64
               "; delay p50 %.2f p99 %.2f max %.2f ms; exact counts after %u probes; stopped in %" PRIu64
               " ms; "
               "lost 0, duplicated 0, reordered 0\n",
               h->delivered, stress.published, seconds, (double)h->delivered / seconds, stress.n_publishers,
               stress.n_subscribers, stress.seed, victims_kills(&stress.victims), h->noise, stress.pings,
               (double)histogram_quantile(&h->delay, 0.5) / 1e6,
               (double)histogram_quantile(&h->delay, 0.99) / 1e6, (double)h->delay.max / 1e6, stress.probes,
               stop_ns / NSEC_PER_MSEC);
}

static void run(void)
{
        uint64_t start;

        history_init(&stress.history, stress.n_publishers, stress.n_subscribers, stress.seed);
        for (unsigned c = 0; c < HISTORY_CHANNELS; c++)
                stress.mean_copies += stress.history.copies[c];
        stress.mean_copies = stress.mean_copies / HISTORY_CHANNELS + 1;
        load_init(&stress.load);
        victims_init(&stress.victims, &stress.load, stress.process.socket, stress.n_victims, stress.seed + 1);
        /* Noise must not drown what is measured. */
        stress.victims.noise_left = stress.target / 400;
        clients_start();
        start = clock_now();
        while (stress.history.expected < stress.target)
                turn(true);
        while (check_waiting(clock_now()))
                turn(false);
        start = clock_now() - start;
        history_finish(&stress.history);
        victims_deinit(&stress.victims);
        expect_exact_counts();
        for (unsigned i = 0; i < stress.n_subscribers; i++)
                conn_close(&stress.subscribers[i].conn);
        for (unsigned i = 0; i < stress.n_publishers; i++)
                conn_close(&stress.publishers[i].conn);
        process_expect_no_client(&stress.process);
        summary(start, process_stop(&stress.process));
        load_deinit(&stress.load);
        history_deinit(&stress.history);
}

static _Noreturn void usage(int status)
{
        fprintf(status ? stderr : stdout,
                "stress [--deliveries N] [--publishers N] [--subscribers N] [--victims N] [--seed N]\n"
                "       [--window DELIVERIES] [--shards N] [--ring SLOTS] [--backlog BYTES] [--server "
                "SOCKET]\n");
        exit(status);
}

static void options(int argc, char **argv)
{
        static const struct option names[] = {
                { "deliveries", required_argument, NULL, 'd' },
                { "publishers", required_argument, NULL, 'p' },
                { "subscribers", required_argument, NULL, 's' },
                { "victims", required_argument, NULL, 'v' },
                { "seed", required_argument, NULL, 'S' },
                { "window", required_argument, NULL, 'w' },
                { "shards", required_argument, NULL, 'n' },
                { "ring", required_argument, NULL, 'r' },
                { "backlog", required_argument, NULL, 'b' },
                { "server", required_argument, NULL, 'u' },
                { "help", no_argument, NULL, 'h' },
                { 0 },
        };
        int c;

        while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
                uint64_t value = optarg ? strtoull(optarg, NULL, 10) : 0;

                switch (c) {
                case 'd':
                        stress.target = value;
                        break;
                case 'p':
                        stress.n_publishers = (unsigned)value;
                        break;
                case 's':
                        stress.n_subscribers = (unsigned)value;
                        break;
                case 'v':
                        stress.n_victims = (unsigned)value;
                        break;
                case 'S':
                        stress.seed = value;
                        break;
                case 'w':
                        stress.window = value;
                        break;
                case 'n':
                        stress.shards = (unsigned)value;
                        break;
                case 'r':
                        stress.ring = (unsigned)value;
                        break;
                case 'b':
                        stress.backlog = (unsigned)value;
                        break;
                case 'u':
                        stress.server = optarg;
                        break;
                case 'h':
                        usage(0);
                default:
                        usage(2);
                }
        }
}

int main(int argc, char **argv)
{
        char config[256];

        setvbuf(stdout, NULL, _IOLBF, 0);
        stress = (struct stress){ .n_publishers = 20,
                                  .n_subscribers = 200,
                                  .n_victims = 40,
                                  .seed = clock_now(),
                                  .shards = 3,
                                  .ring = 2,
                                  .backlog = 65536 };
        stress.target = LOAD_SANITIZED ? 100 * 1000 : 600 * 1000;
        stress.window = LOAD_SANITIZED ? 5 * 1000 : 200 * 1000;
        options(argc, argv);
        stress.prng.state = stress.seed + 2;
        stress.publishers = calloc(stress.n_publishers, sizeof(*stress.publishers));
        stress.subscribers = calloc(stress.n_subscribers, sizeof(*stress.subscribers));
        if (!stress.publishers || !stress.subscribers)
                fail("out of memory");
        snprintf(config, sizeof(config), "shards: %u\nring_capacity: %u\nbacklog_bytes: %u\n", stress.shards,
                 stress.ring, stress.backlog);
        fprintf(stderr, "stress: seed %" PRIu64 "\n", stress.seed);
        if (stress.server)
                process_foreign(&stress.process, stress.server);
        else
                process_start(&stress.process, config);
        run();
        free(stress.publishers);
        free(stress.subscribers);
        return 0;
}
