/* SPDX-License-Identifier: MIT */
/*
 * What the mesh itself costs per message, both sides: one thread sends bursts and tells once, the other drains
 * without ever sleeping. Only the calls are timed, not the waiting; medians over the bursts, so that being
 * preempted does not count. A message is written and read as a whole.
 */

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/meter.h"
#include "mesh/mesh.h"

#define CAPACITY 1024
#define BURST    64
#define BURSTS   4000

struct side {
        struct port *port;
        uint32_t size;  /* of a message */
        uint8_t *bytes; /* a message */
        _Atomic uint64_t *received;
        struct samples cost; /* ns per message, times 1000 */
        unsigned cpu;
};

static void pin(unsigned nth)
{
        cpu_set_t allowed, one;
        unsigned seen = 0;

        sched_getaffinity(0, sizeof(allowed), &allowed);
        for (int i = 0; i < CPU_SETSIZE; i++) {
                if (!CPU_ISSET(i, &allowed) || seen++ != nth)
                        continue;
                CPU_ZERO(&one);
                CPU_SET(i, &one);
                sched_setaffinity(0, sizeof(one), &one);
                return;
        }
}

static void receive(void *arg, const struct port_message *message)
{
        struct side *side = arg;

        memcpy(side->bytes, message->data, message->size);
        __asm__ volatile("" : : "r"(side->bytes) : "memory");
}

static void *drain(void *arg)
{
        struct side *side = arg;
        uint64_t n = 0, begin;
        unsigned drained;

        pin(side->cpu);
        while (n < (uint64_t)BURST * BURSTS) {
                while (!port_ready(side->port))
                        sched_yield();
                begin = meter_now();
                drained = port_drain(side->port, UINT32_MAX, receive, side);
                port_flush(side->port);
                if (drained)
                        samples_add(&side->cost, 1000 * (meter_now() - begin) / drained);
                n += drained;
                atomic_store_explicit(side->received, n, memory_order_release);
        }
        return NULL;
}

static void send(struct side *side)
{
        uint64_t begin;

        for (uint64_t n = 0; n < (uint64_t)BURST * BURSTS; n += BURST) {
                while (n + BURST - atomic_load_explicit(side->received, memory_order_acquire) > CAPACITY / 2)
                        sched_yield();
                begin = meter_now();
                for (unsigned i = 0; i < BURST; i++)
                        memcpy(port_send(side->port, 1, 1, side->size, PORT_COUNTED), side->bytes, side->size);
                port_flush(side->port);
                samples_add(&side->cost, 1000 * (meter_now() - begin) / BURST);
        }
}

static void measure(uint32_t size, bool apart)
{
        struct mesh_options options = { .n_ports = 2, .capacity = CAPACITY, .backlog_bytes = 16 << 20 };
        _Atomic uint64_t received = 0;
        struct side out = { .size = size, .received = &received }, in = out;
        struct mesh *mesh;
        pthread_t thread;

        if (mesh_new(&mesh, &options))
                meter_fail("no mesh");
        out.port = mesh_port(mesh, 0);
        in.port = mesh_port(mesh, 1);
        out.bytes = calloc(1, size);
        in.bytes = calloc(1, size);
        in.cpu = apart;
        if (!out.bytes || !in.bytes || pthread_create(&thread, NULL, drain, &in))
                meter_fail("no thread");
        pin(0);
        send(&out);
        pthread_join(thread, NULL);
        printf("mesh, %u bytes: %.1f ns to send, %.1f ns to drain a message, bursts of %d\n", size,
               (double)samples_quantile(&out.cost, 0.5) / 1e3, (double)samples_quantile(&in.cost, 0.5) / 1e3,
               BURST);
        samples_deinit(&out.cost);
        samples_deinit(&in.cost);
        free(out.bytes);
        free(in.bytes);
        mesh_free(mesh, NULL, NULL);
}

int main(void)
{
        measure(26, true); /* a payload of 16 bytes on a channel of 6 */
        measure(1034, true);
        measure(16394, true);
        return 0;
}
