/* SPDX-License-Identifier: MIT */

#include "mesh/port.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "mesh/mesh.h"
#include "support/suite.h"
#include "util/prng.h"

#define PORTS  3
#define HEADER 24 /* bytes that a backlog counts for a message beside its data */
#define NO_END 1000000

/* Check writes a mark to a file for each assertion that it passes; this one, for loops, only when it fails. */
#define expect(_condition)                                                                                     \
        do {                                                                                                   \
                if (!(_condition))                                                                             \
                        ck_abort_msg("not so: %s", #_condition);                                               \
        } while (0)

/* What one port received: the numbers in the messages, in order. */
struct inbox {
        uint32_t value[4096];
        unsigned source[4096];
        unsigned n;
};

struct world {
        struct mesh *mesh;
        struct port *port[PORTS];
        unsigned fired[PORTS];
        struct inbox inbox[PORTS];
};

static struct world *world;

static void count_fire(void *arg)
{
        unsigned *fired = arg;

        (*fired)++;
}

static void setup(unsigned capacity, size_t backlog_bytes)
{
        struct mesh_options options = { .n_ports = PORTS,
                                        .capacity = capacity,
                                        .backlog_bytes = backlog_bytes };

        world = calloc(1, sizeof(*world));
        ck_assert_int_eq(mesh_new(&world->mesh, &options), 0);
        for (unsigned i = 0; i < PORTS; i++) {
                world->port[i] = mesh_port(world->mesh, i);
                ck_assert_uint_eq(port_id(world->port[i]), i);
                mesh_set_waker(world->mesh, i, (struct waker){ count_fire, &world->fired[i] });
        }
}

static void teardown(void)
{
        mesh_free(world->mesh, NULL, NULL);
        free(world);
}

static void receive(void *arg, const struct port_message *message)
{
        struct inbox *inbox = arg;
        const uint8_t *bytes = message->data;
        uint32_t i;

        expect((uintptr_t)message->data % 8 == 0);
        expect(message->type == (message->size & 0xffff));
        expect(message->size >= 4);
        memcpy(&inbox->value[inbox->n], message->data, 4);
        for (i = 4; i < message->size && bytes[i] == (inbox->value[inbox->n] & 0xff); i++)
                ;
        expect(i == message->size);
        inbox->source[inbox->n++] = message->source;
}

static void send_sized(unsigned from, unsigned to, uint32_t value, uint32_t size, enum port_count count)
{
        void *data = port_send(world->port[from], to, (uint16_t)size, size, count);

        expect((uintptr_t)data % 8 == 0);
        memset(data, (int)value, size);
        memcpy(data, &value, 4);
}

static void send(unsigned from, unsigned to, uint32_t value)
{
        send_sized(from, to, value, 4, PORT_COUNTED);
}

static unsigned drain_some(unsigned id, unsigned budget)
{
        return port_drain(world->port[id], budget, receive, &world->inbox[id]);
}

static unsigned drain(unsigned id)
{
        return drain_some(id, NO_END);
}

static uint64_t flush(unsigned id)
{
        return port_flush(world->port[id]);
}

START_TEST(messages_arrive_in_order_once_flushed)
{
        setup(16, 1 << 20);
        send(0, 1, 10);
        send(0, 2, 20);
        send(0, 1, 11);
        ck_assert(!port_ready(world->port[1]));
        ck_assert_uint_eq(drain(1), 0);
        ck_assert_uint_eq(flush(0), 0);
        ck_assert(port_ready(world->port[1]));
        ck_assert_uint_eq(drain(1), 2);
        ck_assert(!port_ready(world->port[1]));
        ck_assert_uint_eq(world->inbox[1].value[0], 10);
        ck_assert_uint_eq(world->inbox[1].value[1], 11);
        ck_assert_uint_eq(world->inbox[1].source[0], 0);
        ck_assert_uint_eq(drain(2), 1);
        ck_assert_uint_eq(world->inbox[2].value[0], 20);
        ck_assert_uint_eq(port_stats(world->port[0])->sent, 3);
        ck_assert_uint_eq(port_stats(world->port[0])->ring_high, 2);
        ck_assert_uint_eq(port_stats(world->port[0])->spilled, 0);
        ck_assert_uint_eq(port_stats(world->port[1])->received, 2);
        teardown();
}
END_TEST

START_TEST(messages_that_spill_arrive_in_order_behind_those_in_the_ring)
{
        uint32_t next = 0;

        setup(2, 1 << 20);
        for (; next < 5; next++)
                send(0, 1, next);
        ck_assert(port_spilled(world->port[0]));
        flush(0);
        ck_assert_uint_eq(drain(1), 2);
        /* there is space now, but the backlog goes first */
        send(0, 1, next++);
        ck_assert_uint_eq(port_stats(world->port[0])->spilled, 4);
        while (port_spilled(world->port[0])) {
                flush(0);
                drain(1);
        }
        ck_assert_uint_eq(world->inbox[1].n, next);
        for (uint32_t i = 0; i < next; i++)
                expect(world->inbox[1].value[i] == i);
        ck_assert_uint_eq(port_stats(world->port[0])->ring_high, 2);
        ck_assert_uint_eq(port_stats(world->port[0])->backlog_bytes, 0);
        ck_assert_uint_eq(port_stats(world->port[0])->backlog_high, 4 * (4 + HEADER));
        teardown();
}
END_TEST

START_TEST(a_full_ring_shows_its_messages_at_once_to_a_target_that_drains)
{
        setup(2, 1 << 20);
        send(0, 1, 1);
        flush(0);
        ck_assert_uint_eq(drain(1), 1);
        send(0, 1, 2);
        send(0, 1, 3);
        ck_assert_uint_eq(flush(0), 0);
        ck_assert_uint_eq(drain_some(1, 1),
                          1); /* keeps its bit: the next drain looks without an announcement */
        send(0, 1, 4);
        send(0, 1, 5); /* full */
        ck_assert_uint_eq(drain(1), 2);
        teardown();
}
END_TEST

START_TEST(landing_a_spilled_message_announces_again)
{
        setup(2, 1 << 20);
        for (uint32_t i = 0; i < 3; i++)
                send(0, 1, i);
        flush(0);
        ck_assert_uint_eq(drain(1), 2);
        flush(1);
        ck_assert(!port_ready(world->port[1]));
        ck_assert(port_park(world->port[1]));
        flush(0); /* nothing new but what landed */
        ck_assert_uint_eq(world->fired[1], 1);
        port_unpark(world->port[1]);
        ck_assert(port_ready(world->port[1]));
        ck_assert_uint_eq(drain(1), 1);
        ck_assert(!port_spilled(world->port[0]));
        teardown();
}
END_TEST

START_TEST(space_is_announced_to_a_parked_sender_that_has_a_backlog)
{
        setup(2, 1 << 20);
        for (uint32_t i = 0; i < 5; i++)
                send(0, 1, i);
        flush(0);
        for (unsigned round = 0; round < 2; round++) { /* 2 of 5 are in the ring, then 2 more, then 1 */
                ck_assert(port_spilled(world->port[0]));
                ck_assert(port_park(world->port[0])); /* a backlog alone does not keep it awake */
                ck_assert_uint_eq(drain(1), 2);
                ck_assert_uint_eq(world->fired[0], round);
                flush(1);
                ck_assert_uint_eq(world->fired[0], round + 1);
                port_unpark(world->port[0]);
                ck_assert(port_ready(world->port[0]));
                ck_assert_uint_eq(drain(0), 0);
                flush(0);
        }
        ck_assert(!port_spilled(world->port[0]));
        ck_assert_uint_eq(drain(1), 1);
        flush(1);
        ck_assert(!port_ready(world->port[0])); /* nobody asked */
        ck_assert_uint_eq(port_stats(world->port[1])->wakes_sent, 2);
        teardown();
}
END_TEST

START_TEST(a_backlog_asks_for_space_and_announces_even_if_nothing_lands)
{
        setup(2, 1 << 20);
        for (uint32_t i = 0; i < 4; i++)
                send(0, 1, i);
        flush(0);
        ck_assert_uint_eq(drain_some(1, 1), 1); /* takes the ask and frees a slot */
        ck_assert(!port_park(world->port[1]));  /* and it owes an announcement */
        flush(0);                               /* lands one, asks again */
        flush(0);                               /* lands none, asks again */
        flush(1);
        ck_assert(port_ready(world->port[0]));
        drain(0);
        ck_assert(port_ready(world->port[1]));
        ck_assert_uint_eq(drain(1), 2);
        flush(1);
        ck_assert(port_ready(world->port[0]));
        ck_assert(port_park(world->port[1]));
        drain(0);
        flush(0);
        ck_assert_uint_eq(world->fired[1], 1);
        port_unpark(world->port[1]);
        ck_assert_uint_eq(drain(1), 1);
        ck_assert(!port_spilled(world->port[0]));
        teardown();
}
END_TEST

START_TEST(a_port_does_not_park_on_what_it_has_not_flushed)
{
        setup(2, 1 << 20);
        send(0, 1, 1);
        ck_assert(!port_park(world->port[0]));
        send(0, 1, 2);
        flush(0);
        ck_assert(port_park(world->port[0]));
        port_unpark(world->port[0]);
        send(0, 1, 3); /* straight to the backlog: the ring is full of what is announced already */
        ck_assert(!port_park(world->port[0]));
        flush(0);
        ck_assert(port_park(world->port[0]));
        teardown();
}
END_TEST

START_TEST(a_port_wakes_by_a_waker_of_its_own)
{
        unsigned own = 0;

        setup(64, 1 << 20);
        port_set_waker(world->port[0], 1, (struct waker){ count_fire, &own });
        ck_assert(port_park(world->port[1]));
        send(0, 1, 1);
        flush(0);
        ck_assert_uint_eq(own, 1);
        ck_assert_uint_eq(world->fired[1], 0);
        drain(1);
        ck_assert(port_park(world->port[1]));
        send(2, 1, 1); /* another source goes on as before */
        flush(2);
        ck_assert_uint_eq(own, 1);
        ck_assert_uint_eq(world->fired[1], 1);
        drain(1);
        teardown();
}
END_TEST

START_TEST(only_a_parked_target_is_woken_and_once_per_turn)
{
        setup(64, 1 << 20);
        for (uint32_t i = 0; i < 10; i++)
                send(0, 1, i);
        flush(0);
        ck_assert_uint_eq(world->fired[1], 0); /* not parked */
        ck_assert(!port_park(world->port[1])); /* announced */
        drain(1);
        ck_assert(port_park(world->port[1]));
        for (uint32_t i = 0; i < 10; i++)
                send(0, 1, i);
        flush(0);
        ck_assert_uint_eq(world->fired[1], 1);
        send(0, 1, 1);
        flush(0);
        send(2, 1, 1);
        flush(2);
        ck_assert_uint_eq(world->fired[1], 1); /* it is on its way already */
        ck_assert_uint_eq(world->fired[2], 0);
        port_unpark(world->port[1]);
        ck_assert_uint_eq(drain(1), 12);
        ck_assert_uint_eq(port_stats(world->port[0])->wakes_sent, 1);
        ck_assert_uint_eq(port_stats(world->port[2])->wakes_sent, 0);
        teardown();
}
END_TEST

START_TEST(a_target_that_woke_by_itself_is_not_woken)
{
        setup(64, 1 << 20);
        ck_assert(port_park(world->port[1]));
        port_unpark(world->port[1]);
        send(0, 1, 1);
        flush(0);
        ck_assert_uint_eq(world->fired[1], 0);
        teardown();
}
END_TEST

START_TEST(a_source_over_its_budget_keeps_its_bit_and_the_others_get_theirs)
{
        setup(64, 1 << 20);
        for (uint32_t i = 0; i < 50; i++)
                send(0, 1, i);
        send(2, 1, 1000);
        flush(0);
        flush(2);
        ck_assert_uint_eq(drain_some(1, 20), 21);
        ck_assert(port_ready(world->port[1]));
        ck_assert(!port_park(world->port[1]));
        ck_assert_uint_eq(drain_some(1, 20), 20);
        ck_assert(!port_park(world->port[1]));
        ck_assert_uint_eq(drain_some(1, 10), 10);
        ck_assert(!port_ready(world->port[1])); /* the budget was exactly what there was */
        ck_assert(port_park(world->port[1]));
        teardown();
}
END_TEST

START_TEST(the_first_source_to_be_drained_rotates)
{
        unsigned first[PORTS] = { 0 };

        setup(64, 1 << 20);
        for (unsigned turn = 0; turn < 30; turn++) {
                unsigned at = world->inbox[1].n;

                send(0, 1, 1);
                send(2, 1, 1);
                flush(0);
                flush(2);
                ck_assert_uint_eq(drain(1), 2);
                first[world->inbox[1].source[at]]++;
        }
        ck_assert_uint_ge(first[0], 10);
        ck_assert_uint_ge(first[2], 10);
        teardown();
}
END_TEST

START_TEST(the_gate_closes_at_the_bound_and_opens_at_half_of_it)
{
        size_t bound = 10 * (4 + HEADER);
        uint32_t value = 0;

        setup(2, bound);
        for (; value < 11; value++)
                send(0, 1, value);
        ck_assert_uint_eq(port_gated(world->port[0]), 0); /* 2 in the ring, 9 behind */
        send(0, 1, value++);
        ck_assert_uint_eq(port_gated(world->port[0]), 2);
        send(0, 1, value++); /* the request that is being executed is not cut in two */
        ck_assert_uint_eq(port_gated(world->port[0]), 2);
        ck_assert_uint_eq(flush(0), 0);
        for (unsigned left = 11; left > 7;) {
                ck_assert_uint_eq(drain(1), 2);
                ck_assert_uint_eq(flush(0), 0);
                left -= 2;
                ck_assert_uint_eq(port_gated(world->port[0]), 2);
        }
        ck_assert_uint_eq(drain(1), 2);
        ck_assert_uint_eq(flush(0), 2); /* 5 left */
        ck_assert_uint_eq(port_gated(world->port[0]), 0);
        ck_assert_uint_eq(drain(1), 2);
        ck_assert_uint_eq(flush(0), 0); /* said once */
        ck_assert(port_spilled(world->port[0]));
        teardown();
}
END_TEST

START_TEST(what_waits_in_a_backlog_is_charged_while_it_does)
{
        uint64_t charges[2] = { 0 };

        setup(2, 1 << 20);
        for (uint32_t i = 0; i < 7; i++) {
                send(0, 1, i);
                port_charge(world->port[0], 1, &charges[i % 2]);
        }
        ck_assert_uint_eq(charges[0], 3 * (4 + HEADER)); /* 2, 4, 6; the first two are in the ring */
        ck_assert_uint_eq(charges[1], 2 * (4 + HEADER));
        flush(0);
        drain(1);
        flush(0); /* 2 and 3 land */
        ck_assert_uint_eq(charges[0], 2 * (4 + HEADER));
        ck_assert_uint_eq(charges[1], 1 * (4 + HEADER));
        port_uncharge(world->port[0]);
        send(0, 1, 7);
        port_charge(world->port[0], 1, &charges[1]);
        while (port_spilled(world->port[0])) {
                drain(1);
                flush(0);
        }
        ck_assert_uint_eq(charges[0], 2 * (4 + HEADER));
        ck_assert_uint_eq(charges[1], 1 * (4 + HEADER));
        teardown();
}
END_TEST

START_TEST(gates_are_per_target)
{
        setup(2, 1);
        for (uint32_t i = 0; i < 3; i++)
                send(0, 1, i);
        send(0, 2, 0);
        ck_assert_uint_eq(port_gated(world->port[0]), 2);
        for (uint32_t i = 0; i < 2; i++)
                send(0, 2, i);
        ck_assert_uint_eq(port_gated(world->port[0]), 2 | 4);
        flush(0);
        drain(2);
        ck_assert_uint_eq(flush(0), 4);
        ck_assert_uint_eq(port_gated(world->port[0]), 2);
        teardown();
}
END_TEST

START_TEST(uncounted_messages_never_close_the_gate)
{
        setup(2, 100);
        for (uint32_t i = 0; i < 1000; i++)
                send_sized(0, 1, i, 4, PORT_UNCOUNTED);
        ck_assert_uint_eq(port_gated(world->port[0]), 0);
        ck_assert_uint_eq(port_stats(world->port[0])->backlog_bytes, 998 * (4 + HEADER));
        ck_assert_uint_eq(port_stats(world->port[0])->backlog_high, 998 * (4 + HEADER));
        for (uint32_t i = 0; i < 5; i++)
                send(0, 1, 1000 + i);
        ck_assert_uint_eq(port_gated(world->port[0]), 2);
        while (port_spilled(world->port[0])) {
                flush(0);
                drain(1);
        }
        for (uint32_t i = 0; i < 1005; i++)
                expect(world->inbox[1].value[i] == i);
        ck_assert_uint_eq(port_gated(world->port[0]), 0);
        teardown();
}
END_TEST

static void answer(void *arg, const struct port_message *message)
{
        struct inbox *inbox = arg;

        receive(arg, message);
        for (uint32_t i = 0; i < 3; i++)
                send(1, message->source, 3 * inbox->value[inbox->n - 1] + i);
}

START_TEST(a_drain_may_send_and_spill_whatever_its_own_backlogs_hold)
{
        setup(2, 1);
        for (uint32_t i = 0; i < 20; i++)
                send(0, 1, i);
        while (world->inbox[1].n < 20) {
                flush(0);
                port_drain(world->port[1], 8, answer, &world->inbox[1]);
        }
        ck_assert_uint_eq(port_gated(world->port[1]), 1);
        flush(1);
        while (world->inbox[0].n < 60) {
                drain(0);
                flush(0);
                drain(1);
                flush(1);
        }
        for (uint32_t i = 0; i < 60; i++)
                expect(world->inbox[0].value[i] == i);
        ck_assert(!port_spilled(world->port[1]));
        teardown();
}
END_TEST

START_TEST(messages_of_every_size_arrive_whole_by_ring_and_by_backlog)
{
        struct prng prng = { 3 };
        uint32_t value = 0;

        setup(4, 1 << 20);
        for (unsigned turn = 0; turn < 400; turn++) {
                for (uint64_t n = prng_below(&prng, 8); n; n--)
                        send_sized(0, 1, value++,
                                   4 + (uint32_t)prng_below(&prng, prng_below(&prng, 2) ? 300 : 70000),
                                   PORT_COUNTED);
                flush(0);
                drain(1);
        }
        while (port_spilled(world->port[0])) {
                flush(0);
                drain(1);
        }
        ck_assert_uint_eq(world->inbox[1].n, value);
        for (uint32_t i = 0; i < value; i++)
                expect(world->inbox[1].value[i] == i);
        teardown();
}
END_TEST

/* Single-threaded simulation: whoever sleeps is woken by its waker or by input only. */
struct sim {
        struct prng prng;
        uint32_t sent[PORTS][PORTS], seen[PORTS][PORTS];
        unsigned checked[PORTS];
        bool asleep[PORTS];
        unsigned input; /* messages that clients still have */
};

static void sim_turn(struct sim *sim, unsigned id, bool arrives)
{
        struct port *port = world->port[id];
        struct inbox *inbox = &world->inbox[id];

        sim->asleep[id] = false;
        world->fired[id] = 0;
        port_unpark(port);
        for (uint64_t n = arrives ? 1 + prng_below(&sim->prng, 7) : 0; n && sim->input; n--, sim->input--) {
                unsigned dst = (id + 1 + (unsigned)prng_below(&sim->prng, PORTS - 1)) % PORTS;

                send_sized(id, dst, sim->sent[id][dst]++, 4 + (uint32_t)prng_below(&sim->prng, 200), n & 1);
        }
        drain_some(id, 1 + (unsigned)prng_below(&sim->prng, 3));
        for (; sim->checked[id] < inbox->n; sim->checked[id]++) {
                unsigned source = inbox->source[sim->checked[id]];

                expect(inbox->value[sim->checked[id]] == sim->seen[source][id]++);
        }
        flush(id);
        sim->asleep[id] = port_park(port);
}

static bool sim_runnable(const struct sim *sim, unsigned id)
{
        return !sim->asleep[id] || world->fired[id];
}

START_TEST(random_turns_with_parking_deliver_everything_in_order)
{
        for (uint64_t seed = 1; seed <= 100; seed++) {
                struct sim sim = { .prng = { seed }, .input = 600 };
                unsigned quiet = 0;

                setup(2, 200);
                for (;;) {
                        unsigned id = (unsigned)prng_below(&sim.prng, PORTS);
                        bool arrives = sim.input && prng_below(&sim.prng, 30) == 0;

                        if (!sim_runnable(&sim, 0) && !sim_runnable(&sim, 1) && !sim_runnable(&sim, 2)) {
                                quiet++;
                                ck_assert_msg(memcmp(sim.sent, sim.seen, sizeof(sim.sent)) == 0,
                                              "seed %u: all asleep and something undelivered", (unsigned)seed);
                                if (!sim.input)
                                        break;
                                arrives = true;
                        }
                        if (arrives || sim_runnable(&sim, id))
                                sim_turn(&sim, id, arrives);
                }
                ck_assert_uint_gt(quiet, 1);
                for (unsigned i = 0; i < PORTS; i++)
                        ck_assert(!port_spilled(world->port[i]) && !port_gated(world->port[i]));
                teardown();
        }
}
END_TEST

START_TEST(what_nobody_received_is_dropped_with_the_mesh_in_order)
{
        static struct inbox dropped;

        dropped.n = 0;
        setup(2, 1 << 20);
        send_sized(0, 1, 0, 1000, PORT_COUNTED);
        send(0, 1, 1);
        flush(0);
        ck_assert_uint_eq(drain_some(1, 1), 1);
        flush(0);
        send_sized(0, 1, 2, 500, PORT_COUNTED); /* written, never flushed */
        send_sized(0, 1, 3, 500, PORT_UNCOUNTED);
        send(0, 1, 4);
        send(2, 0, 5);
        mesh_free(world->mesh, receive, &dropped);
        free(world);
        ck_assert_uint_eq(dropped.n, 5);
        for (uint32_t i = 0; i < 5; i++) {
                ck_assert_uint_eq(dropped.value[i], i + 1);
                ck_assert_uint_eq(dropped.source[i], i < 4 ? 0 : 2);
        }
}
END_TEST

START_TEST(sending_to_oneself_is_a_programmers_error)
{
        setup(2, 1 << 20);
        port_send(world->port[1], 1, 1, 4, PORT_COUNTED);
}
END_TEST

START_TEST(the_largest_mesh_delivers_between_all_ports)
{
        struct mesh_options options = { .n_ports = MESH_PORTS_MAX, .capacity = 2, .backlog_bytes = 1 << 20 };
        static struct inbox inbox;
        struct mesh *mesh;

        ck_assert_int_eq(mesh_new(&mesh, &options), 0);
        for (unsigned from = 0; from < MESH_PORTS_MAX; from++) {
                for (unsigned to = 0; to < MESH_PORTS_MAX; to++)
                        if (from != to)
                                memcpy(port_send(mesh_port(mesh, from), to, 4, 4, PORT_COUNTED), &from, 4);
                port_flush(mesh_port(mesh, from));
        }
        for (unsigned to = 0; to < MESH_PORTS_MAX; to++) {
                inbox.n = 0;
                ck_assert_uint_eq(port_drain(mesh_port(mesh, to), 10, receive, &inbox), MESH_PORTS_MAX - 1);
                for (unsigned i = 0; i < inbox.n; i++)
                        expect(inbox.value[i] == inbox.source[i]);
        }
        mesh_free(mesh, NULL, NULL);
}
END_TEST

static size_t resident_bytes(void)
{
        FILE *file = fopen("/proc/self/statm", "re");
        unsigned long size, resident;

        ck_assert_ptr_nonnull(file);
        ck_assert_int_eq(fscanf(file, "%lu %lu", &size, &resident), 2);
        fclose(file);
        return resident * (size_t)sysconf(_SC_PAGESIZE);
}

START_TEST(a_large_mesh_takes_no_memory_for_rings_that_are_not_used)
{
        struct mesh_options options = { .n_ports = MESH_PORTS_MAX, .capacity = 1024, .backlog_bytes = 1 << 20 };
        size_t before = resident_bytes();
        struct mesh *mesh;

        ck_assert_int_eq(mesh_new(&mesh, &options), 0); /* 512 MiB of slots */
        ck_assert_uint_lt(resident_bytes() - before, 8 << 20);
        mesh_free(mesh, NULL, NULL);
}
END_TEST

START_TEST(an_eventfd_waker_is_readable_from_fire_to_clear)
{
        struct waker_eventfd w;
        struct waker waker;
        struct pollfd pfd;

        ck_assert_int_eq(waker_eventfd_init(&w), 0);
        waker = waker_eventfd_waker(&w);
        pfd = (struct pollfd){ .fd = w.fd, .events = POLLIN };
        ck_assert_int_eq(poll(&pfd, 1, 0), 0);
        waker_eventfd_clear(w.fd); /* of nothing: does not block */
        waker.fire(waker.arg);
        waker.fire(waker.arg);
        ck_assert_int_eq(poll(&pfd, 1, 0), 1);
        ck_assert_int_eq(poll(&pfd, 1, 0), 1); /* by level */
        waker_eventfd_clear(w.fd);
        ck_assert_int_eq(poll(&pfd, 1, 0), 0);
        ck_assert_int_eq(fcntl(w.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        waker_eventfd_deinit(&w);
        ck_assert_int_eq(w.fd, -1);
}
END_TEST

static void add(TCase *cases)
{
        const char *fork = getenv("CK_FORK");

        tcase_add_test(cases, messages_arrive_in_order_once_flushed);
        tcase_add_test(cases, messages_that_spill_arrive_in_order_behind_those_in_the_ring);
        tcase_add_test(cases, a_full_ring_shows_its_messages_at_once_to_a_target_that_drains);
        tcase_add_test(cases, landing_a_spilled_message_announces_again);
        tcase_add_test(cases, space_is_announced_to_a_parked_sender_that_has_a_backlog);
        tcase_add_test(cases, a_backlog_asks_for_space_and_announces_even_if_nothing_lands);
        tcase_add_test(cases, a_port_does_not_park_on_what_it_has_not_flushed);
        tcase_add_test(cases, a_port_wakes_by_a_waker_of_its_own);
        tcase_add_test(cases, only_a_parked_target_is_woken_and_once_per_turn);
        tcase_add_test(cases, a_target_that_woke_by_itself_is_not_woken);
        tcase_add_test(cases, a_source_over_its_budget_keeps_its_bit_and_the_others_get_theirs);
        tcase_add_test(cases, the_first_source_to_be_drained_rotates);
        tcase_add_test(cases, the_gate_closes_at_the_bound_and_opens_at_half_of_it);
        tcase_add_test(cases, what_waits_in_a_backlog_is_charged_while_it_does);
        tcase_add_test(cases, gates_are_per_target);
        tcase_add_test(cases, uncounted_messages_never_close_the_gate);
        tcase_add_test(cases, a_drain_may_send_and_spill_whatever_its_own_backlogs_hold);
        tcase_add_test(cases, messages_of_every_size_arrive_whole_by_ring_and_by_backlog);
        tcase_add_test(cases, random_turns_with_parking_deliver_everything_in_order);
        tcase_add_test(cases, what_nobody_received_is_dropped_with_the_mesh_in_order);
        if (!fork || strcmp(fork, "no") != 0)
                tcase_add_test_raise_signal(cases, sending_to_oneself_is_a_programmers_error, 6);
        tcase_add_test(cases, the_largest_mesh_delivers_between_all_ports);
        tcase_add_test(cases, a_large_mesh_takes_no_memory_for_rings_that_are_not_used);
        tcase_add_test(cases, an_eventfd_waker_is_readable_from_fire_to_clear);
}

int main(void)
{
        return suite_run("port", add);
}
