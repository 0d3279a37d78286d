/* SPDX-License-Identifier: MIT */
/*
 * Ports that sleep in io_uring and wake each other by messages between their rings (known failures 12 and 20).
 *
 * A few tokens wander between the ports, each hop to a random one. There are fewer tokens than ports, so nearly
 * every hop meets a sleeper, which sleeps without end: one lost wake ends the wandering of its token, and once
 * all are lost nothing moves. Beside that each port has streams with itself, into whose far ends it writes in
 * every third round, so that its completion queue, which is smaller than their number, overflows. What was
 * written has to arrive as well. One port's address leads nowhere, so that those who wake it fall back to its
 * eventfd.
 *
 *      stress-wake [HOPS]    (4000)
 */

#include <config.h>

#include "mesh/port.h"

#include <errno.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "mesh/mesh.h"
#include "reactor/reactor.h"
#include "reactor/uring.h"
#include "util/clock.h"
#include "util/prng.h"

#define PORTS         4
#define TOKENS        2
#define STREAMS       40
#define COMPLETIONS   8
#define DEAF          (PORTS - 1) /* has an address that leads nowhere */
#define STALL_SECONDS 10

enum kind {
        TOKEN = 1,
        LAST,
};

struct worker;

struct near {
        struct stream stream;
        struct worker *worker;
        int far;
        bool closed;
        alignas(16) uint8_t state[256];
};

struct way {
        struct worker *worker;
        struct reactor_address address;
};

struct worker {
        pthread_t thread;
        unsigned id;
        struct port *port;
        struct waker_eventfd waker;
        struct reactor *reactor;
        struct prng prng;
        struct near near[STREAMS];
        struct way ways[PORTS];
        uint64_t written, arrived;
        uint64_t parks;
        bool over;
};

static struct worker workers[PORTS];
static pthread_barrier_t all_here;
static uint64_t n_hops; /* of each token */
static _Atomic uint64_t hops_done;

static _Noreturn void fail(const char *what)
{
        fprintf(stderr, "stress-wake: %s (%llu hops)\n", what, (unsigned long long)atomic_load(&hops_done));
        exit(EXIT_FAILURE);
}

/* ------------------------------------------------------------------ the reactor's side */

static struct near *near_of(struct stream *s)
{
        return container_of(s, struct near, stream);
}

static void on_data(void *arg, struct stream *s, struct bytes b)
{
        (void)s;
        ((struct worker *)arg)->arrived += b.n;
}

static void on_drained(void *arg, struct stream *s)
{
        (void)arg;
        (void)s;
}

static void on_hangup(void *arg, struct stream *s, int error)
{
        (void)arg;
        (void)s;
        fail(strerror(error));
}

static void on_closed(void *arg, struct stream *s)
{
        (void)arg;
        near_of(s)->closed = true;
}

static void wake(void *arg)
{
        struct way *way = arg;

        reactor_uring.wake(way->worker->reactor, &way->address);
}

static void start_reactor(struct worker *w)
{
        struct reactor_sink sink = { on_data, on_drained, on_hangup, on_closed, w };
        struct reactor_options options = { .wake_fd = w->waker.fd };

        options.ring.entries = COMPLETIONS / 2;
        options.ring.completions = COMPLETIONS;
        options.ring.buffers = 4;
        options.ring.buffer_bytes = 4096;
        if (reactor_uring.init(&w->reactor, &options, &sink))
                fail("no reactor");
        for (unsigned i = 0; i < STREAMS; i++) {
                struct near *near = &w->near[i];
                int fds[2];

                if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds))
                        fail("socketpair");
                near->stream.fd = fds[0];
                near->far = fds[1];
                near->stream.private_offset = offsetof(struct near, state) - offsetof(struct near, stream);
                outq_init(&near->stream.out);
                reactor_uring.add(w->reactor, &near->stream);
        }
}

/* As the shards do by message. */
static void learn_addresses(struct worker *w)
{
        for (unsigned i = 0; i < PORTS; i++) {
                struct way *way = &w->ways[i];

                if (i == w->id)
                        continue;
                way->worker = w;
                way->address = reactor_uring.address(workers[i].reactor);
                if (i == DEAF)
                        way->address.ring = way->address.wake_fd;
                port_set_waker(w->port, i, (struct waker){ wake, way });
        }
}

static void end_reactor(struct worker *w)
{
        bool open;

        for (unsigned i = 0; i < STREAMS; i++)
                reactor_uring.remove(w->reactor, &w->near[i].stream);
        do {
                open = false;
                if (reactor_uring.wait(w->reactor, 0) < 0)
                        fail("wait at the end");
                for (unsigned i = 0; i < STREAMS; i++)
                        open = open || !w->near[i].closed;
        } while (open);
        for (unsigned i = 0; i < STREAMS; i++)
                close(w->near[i].far);
        if (uring_stats(w->reactor)->stale)
                fail("completions of streams that were gone");
}

/* ------------------------------------------------------------------ the mesh's side */

static void pass(struct worker *w, unsigned dst, enum kind kind, uint64_t left)
{
        memcpy(port_send(w->port, dst, (uint16_t)kind, sizeof(left), PORT_UNCOUNTED), &left, sizeof(left));
}

static unsigned somebody_else(struct worker *w)
{
        return (w->id + 1 + (unsigned)prng_below(&w->prng, PORTS - 1)) % PORTS;
}

static void receive(void *arg, const struct port_message *message)
{
        struct worker *w = arg;
        uint64_t left;

        memcpy(&left, message->data, sizeof(left));
        if (message->type == LAST) {
                w->over = true;
                return;
        }
        atomic_fetch_add(&hops_done, 1);
        if (left)
                pass(w, somebody_else(w), TOKEN, left - 1);
}

static void write_some(struct worker *w)
{
        for (unsigned i = 0; i < STREAMS; i++)
                if (write(w->near[i].far, "x", 1) == 1)
                        w->written++;
                else if (errno != EAGAIN)
                        fail("write");
}

static void turn(struct worker *w)
{
        bool parked = port_park(w->port);

        w->parks += parked;
        if (reactor_uring.wait(w->reactor, parked ? CLOCK_NEVER : 0) < 0)
                fail("wait");
        port_unpark(w->port);
        if (prng_below(&w->prng, 3) == 0)
                write_some(w);
        port_drain(w->port, 16, receive, w);
        port_flush(w->port);
        if (reactor_uring.submit(w->reactor))
                fail("submit");
}

static void *work(void *arg)
{
        struct worker *w = arg;

        start_reactor(w);
        pthread_barrier_wait(&all_here);
        learn_addresses(w);
        pthread_barrier_wait(&all_here);
        if (w->id < TOKENS)
                pass(w, somebody_else(w), TOKEN, n_hops);
        port_flush(w->port);
        if (reactor_uring.submit(w->reactor))
                fail("submit");
        while (!w->over)
                turn(w);
        for (uint64_t end = clock_now() + STALL_SECONDS * NSEC_PER_SEC; w->arrived < w->written;)
                if (reactor_uring.wait(w->reactor, end) < 0 || clock_now() >= end)
                        fail("bytes did not arrive");
        end_reactor(w);
        pthread_barrier_wait(&all_here); /* nobody's ring ends while another may write to it */
        printf("port %u: %llu parks, %llu bytes, %llu times no buffer, %llu times no room, %llu wakes by "
               "eventfd\n",
               w->id, (unsigned long long)w->parks, (unsigned long long)w->arrived,
               (unsigned long long)uring_stats(w->reactor)->starved,
               (unsigned long long)uring_stats(w->reactor)->full,
               (unsigned long long)uring_stats(w->reactor)->wakes_failed);
        w->reactor = reactor_uring.deinit(w->reactor);
        return NULL;
}

/* Control's part: waits for the tokens' last hop, then ends all, by eventfd. */
static void watch(struct port *port)
{
        uint64_t before = 0, since = clock_now(), now;

        while (atomic_load(&hops_done) < TOKENS * (n_hops + 1)) {
                nanosleep(&(struct timespec){ .tv_nsec = 5 * (long)NSEC_PER_MSEC }, NULL);
                now = clock_now();
                if (atomic_load(&hops_done) != before) {
                        before = atomic_load(&hops_done);
                        since = now;
                }
                if (now - since > STALL_SECONDS * NSEC_PER_SEC)
                        fail("nothing moves");
        }
        for (unsigned i = 0; i < PORTS; i++) {
                uint64_t none = 0;

                memcpy(port_send(port, i, LAST, sizeof(none), PORT_UNCOUNTED), &none, sizeof(none));
        }
        port_flush(port);
}

static void nobody(void *arg)
{
        (void)arg;
}

int main(int argc, char **argv)
{
        struct mesh_options options = { .n_ports = PORTS + 1, .capacity = 8, .backlog_bytes = 1 << 20 };
        uint64_t wakes = 0, start = clock_now();
        struct mesh *mesh;

        n_hops = (argc > 1 ? strtoull(argv[1], NULL, 0) : 4000) / TOKENS;
        if (mesh_new(&mesh, &options))
                fail("no mesh");
        pthread_barrier_init(&all_here, NULL, PORTS);
        mesh_set_waker(mesh, PORTS, (struct waker){ nobody, NULL });
        for (unsigned i = 0; i < PORTS; i++) {
                workers[i] = (struct worker){ .id = i, .port = mesh_port(mesh, i), .prng = { i + 1 } };
                if (waker_eventfd_init(&workers[i].waker))
                        fail("no eventfd");
                mesh_set_waker(mesh, i, waker_eventfd_waker(&workers[i].waker));
        }
        for (unsigned i = 0; i < PORTS; i++)
                if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
                        fail("no thread");
        watch(mesh_port(mesh, PORTS));
        for (unsigned i = 0; i < PORTS; i++) {
                pthread_join(workers[i].thread, NULL);
                wakes += port_stats(workers[i].port)->wakes_sent;
                waker_eventfd_deinit(&workers[i].waker);
        }
        mesh_free(mesh, NULL, NULL);
        printf("%llu hops, %llu wakes in %.1f s\n", (unsigned long long)atomic_load(&hops_done),
               (unsigned long long)wakes, (double)(clock_now() - start) / (double)NSEC_PER_SEC);
        return wakes ? EXIT_SUCCESS : EXIT_FAILURE;
}
