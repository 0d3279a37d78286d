/* SPDX-License-Identifier: MIT */
/*
 * Ports on threads of their own, with tiny rings and a tiny backlog bound, that sleep without time-out on real
 * eventfds (known failures 1 and 2).
 *
 * Each thread sends requests of random sizes in random bursts, as many to each peer as its window and the gate
 * allow; every request is answered from inside the drain. A thread whose windows are full or gated parks
 * without end: a lost wake, or space that is not announced, stops everything. Content and order of all messages
 * are checked, and at the end that each was received once and that nothing is left in the mesh.
 *
 *      stress-port [SECONDS [SEED]]    of each set-up (0.7, 1)
 */

#include "mesh/port.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mesh/mesh.h"
#include "util/bits.h"
#include "util/clock.h"
#include "util/prng.h"

#define PORTS_MAX     4
#define STALL_SECONDS 5

enum kind {
        REQUEST = 1,
        ANSWER,
        LAST_REQUEST, /* none comes after it */
};

struct head {
        uint32_t sequence; /* of this sender to this target, over all kinds */
        uint32_t seed;     /* of the bytes behind */
};

struct setup {
        unsigned ports, capacity;
        size_t backlog_bytes;
        unsigned window; /* requests that may wait for an answer, to each peer */
};

struct peer {
        uint32_t sent, received; /* messages */
        unsigned waiting;        /* requests without an answer */
        bool finished;           /* sent its last request */
};

struct worker {
        pthread_t thread;
        struct port *port;
        struct waker_eventfd waker;
        const struct setup *setup;
        struct prng prng;
        uint64_t end; /* of sending, monotonic ns */
        bool stopped; /* sent its last requests */
        struct peer peers[PORTS_MAX];
        uint64_t parks, gates;
        /* read by the watchdog */
        _Atomic uint64_t progress; /* messages received */
        _Atomic bool asleep, done;
};

static _Noreturn void fail(const struct worker *w, const char *what, unsigned peer)
{
        fprintf(stderr, "port %u, peer %u: %s\n", port_id(w->port), peer, what);
        exit(EXIT_FAILURE);
}

static uint32_t random_size(struct prng *prng)
{
        switch (prng_below(prng, 16)) {
        case 0:
                return (uint32_t)prng_below(prng, 20000);
        case 1:
        case 2:
        case 3:
                return (uint32_t)prng_below(prng, 1000);
        default:
                return (uint32_t)prng_below(prng, 125); /* around the size of a slot */
        }
}

static void send_message(struct worker *w, unsigned dst, enum kind kind)
{
        struct head head = { w->peers[dst].sent++, (uint32_t)prng_next(&w->prng) };
        uint32_t size = random_size(&w->prng);
        struct prng bytes = { head.seed };
        uint8_t *p = port_send(w->port, dst, (uint16_t)kind, (uint32_t)sizeof(head) + size,
                               kind == REQUEST ? PORT_COUNTED : PORT_UNCOUNTED);

        memcpy(p, &head, sizeof(head));
        memset(p + sizeof(head), (uint8_t)prng_next(&bytes), size);
}

static void receive(void *arg, const struct port_message *message)
{
        struct worker *w = arg;
        struct peer *peer = &w->peers[message->source];
        const uint8_t *p = (const uint8_t *)message->data + sizeof(struct head);
        struct head head;
        struct prng bytes;
        uint8_t expected;

        memcpy(&head, message->data, sizeof(head));
        if (head.sequence != peer->received++)
                fail(w, "lost, duplicated or out of order", message->source);
        bytes.state = head.seed;
        expected = (uint8_t)prng_next(&bytes);
        for (uint32_t i = 0; i < message->size - sizeof(head); i++)
                if (p[i] != expected)
                        fail(w, "content", message->source);
        if (message->type == REQUEST)
                send_message(w, message->source, ANSWER);
        else if (message->type == ANSWER && peer->waiting)
                peer->waiting--;
        else if (message->type == LAST_REQUEST && !peer->finished)
                peer->finished = true;
        else
                fail(w, "unexpected message", message->source);
}

static bool may_send(const struct worker *w, unsigned dst)
{
        return dst != port_id(w->port) && w->peers[dst].waiting < w->setup->window &&
               !(port_gated(w->port) & bit(dst));
}

static void send_burst(struct worker *w)
{
        for (uint64_t n = prng_below(&w->prng, 2 * w->setup->window); n; n--) {
                unsigned dst = (unsigned)prng_below(&w->prng, w->setup->ports);

                if (!may_send(w, dst))
                        continue;
                send_message(w, dst, REQUEST);
                w->peers[dst].waiting++;
        }
        w->gates += port_gated(w->port) != 0;
}

static void send_last(struct worker *w)
{
        for (unsigned dst = 0; dst < w->setup->ports; dst++)
                if (dst != port_id(w->port))
                        send_message(w, dst, LAST_REQUEST);
        w->stopped = true;
}

/* Whether the thread has something to do without being woken. */
static bool busy(const struct worker *w)
{
        for (unsigned dst = 0; !w->stopped && dst < w->setup->ports; dst++)
                if (may_send(w, dst))
                        return true;
        return false;
}

static bool finished(const struct worker *w)
{
        for (unsigned i = 0; i < w->setup->ports; i++)
                if (i != port_id(w->port) && (!w->peers[i].finished || w->peers[i].waiting))
                        return false;
        return w->stopped && !port_spilled(w->port);
}

static void wait_for_wake(struct worker *w)
{
        struct pollfd pfd = { .fd = w->waker.fd, .events = POLLIN };

        if (busy(w) || !port_park(w->port))
                return;
        w->parks++;
        atomic_store_explicit(&w->asleep, true, memory_order_relaxed);
        while (poll(&pfd, 1, -1) != 1)
                ;
        atomic_store_explicit(&w->asleep, false, memory_order_relaxed);
        waker_eventfd_clear(w->waker.fd);
        port_unpark(w->port);
}

static void *work(void *arg)
{
        struct worker *w = arg;

        while (!finished(w)) {
                wait_for_wake(w);
                if (!w->stopped) {
                        if (clock_now() < w->end)
                                send_burst(w);
                        else
                                send_last(w);
                }
                port_drain(w->port, 1 + (unsigned)prng_below(&w->prng, 10), receive, w);
                port_flush(w->port);
                atomic_store_explicit(&w->progress, port_stats(w->port)->received, memory_order_relaxed);
        }
        atomic_store_explicit(&w->done, true, memory_order_relaxed);
        return NULL;
}

static void print_state(const struct worker *w, unsigned id)
{
        const char *state = "awake";

        if (atomic_load(&w->done))
                state = "done";
        else if (atomic_load(&w->asleep))
                state = "asleep";
        fprintf(stderr, "  port %u: %s after %llu messages\n", id, state,
                (unsigned long long)atomic_load(&w->progress));
}

/* Until all are done. Ends the process when no message was received for a while. */
static void watch(struct worker *workers, unsigned n)
{
        uint64_t before = 0, since = clock_now();
        bool all = false;

        while (!all) {
                uint64_t progress = 0;

                nanosleep(&(struct timespec){ .tv_nsec = 10 * (long)NSEC_PER_MSEC }, NULL);
                all = true;
                for (unsigned i = 0; i < n; i++) {
                        bool done = atomic_load_explicit(&workers[i].done, memory_order_relaxed);

                        progress += atomic_load_explicit(&workers[i].progress, memory_order_relaxed) + done;
                        all = all && done;
                }
                if (progress != before) {
                        before = progress;
                        since = clock_now();
                }
                if (all || clock_now() - since < STALL_SECONDS * NSEC_PER_SEC)
                        continue;
                fprintf(stderr, "no message received for %u s:\n", STALL_SECONDS);
                for (unsigned i = 0; i < n; i++)
                        print_state(&workers[i], i);
                exit(EXIT_FAILURE);
        }
}

static void report_drop(void *arg, const struct port_message *message)
{
        fprintf(stderr, "left in the mesh: a message of type %u from port %u\n", message->type,
                message->source);
        *(bool *)arg = true;
}

static void start(struct worker *w, struct mesh *mesh, unsigned id, const struct setup *setup, double seconds,
                  uint64_t seed)
{
        w->port = mesh_port(mesh, id);
        w->setup = setup;
        w->prng.state = seed * PORTS_MAX + id;
        w->end = clock_now() + (uint64_t)(seconds * (double)NSEC_PER_SEC);
        if (waker_eventfd_init(&w->waker))
                exit(EXIT_FAILURE);
        mesh_set_waker(mesh, id, waker_eventfd_waker(&w->waker));
}

/* What was sent was received, and the run was one of parks, spills and gates. */
static bool check(const struct worker *workers, const struct setup *setup)
{
        uint64_t received = 0, spilled = 0, wakes = 0, parks = 0, gates = 0;
        bool good = true;

        for (unsigned i = 0; i < setup->ports; i++) {
                for (unsigned k = 0; k < setup->ports; k++)
                        good = good && workers[i].peers[k].sent == workers[k].peers[i].received;
                good = good && port_stats(workers[i].port)->backlog_bytes == 0;
                received += port_stats(workers[i].port)->received;
                spilled += port_stats(workers[i].port)->spilled;
                wakes += port_stats(workers[i].port)->wakes_sent;
                parks += workers[i].parks;
                gates += workers[i].gates;
        }
        printf("%u ports, capacity %u, bound %zu, window %u: %llu messages, %llu spilled, %llu turns gated, "
               "%llu parks, %llu wakes\n",
               setup->ports, setup->capacity, setup->backlog_bytes, setup->window, (unsigned long long)received,
               (unsigned long long)spilled, (unsigned long long)gates, (unsigned long long)parks,
               (unsigned long long)wakes);
        fflush(stdout);
        return good && spilled && parks && wakes && gates;
}

static bool run(const struct setup *setup, double seconds, uint64_t seed)
{
        struct mesh_options options = { setup->ports, setup->capacity, setup->backlog_bytes };
        struct worker *workers = calloc(setup->ports, sizeof(*workers));
        bool good, dropped = false;
        struct mesh *mesh;

        if (!workers || mesh_new(&mesh, &options))
                exit(EXIT_FAILURE);
        for (unsigned i = 0; i < setup->ports; i++)
                start(&workers[i], mesh, i, setup, seconds, seed);
        for (unsigned i = 0; i < setup->ports; i++)
                if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
                        exit(EXIT_FAILURE);
        watch(workers, setup->ports);
        for (unsigned i = 0; i < setup->ports; i++)
                pthread_join(workers[i].thread, NULL);
        good = check(workers, setup);
        mesh_free(mesh, report_drop, &dropped);
        for (unsigned i = 0; i < setup->ports; i++)
                waker_eventfd_deinit(&workers[i].waker);
        free(workers);
        return good && !dropped;
}

int main(int argc, char **argv)
{
        static const struct setup setups[] = {
                { 3, 2, 300, 3 },
                { 3, 4, 2000, 40 },
                { 4, 2, 1, 40 },
                { 4, 4, 300, 8 },
        };
        double seconds = argc > 1 ? strtod(argv[1], NULL) : 0.7;
        uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
        bool good = true;

        for (unsigned i = 0; i < sizeof(setups) / sizeof(*setups); i++)
                good = run(&setups[i], seconds, seed + i) && good;
        return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
