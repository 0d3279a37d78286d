/* SPDX-License-Identifier: MIT */
/*
 * One preemption at every instruction of the compiled turn.
 *
 * The model shows that the order of the shared accesses is right; this shows that port.c has that order. The
 * processor's trap flag stops a port's turn after each instruction. There the process forks: in the child the
 * other port makes turns until it sleeps, then the first turn goes on, and from then on a port runs only when
 * its waker was fired. Everything must arrive in each child. The parent steps to the next instruction.
 *
 * x86-64 only, and not under a sanitizer, which delays signals or makes forks slow: exit 77.
 */

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "mesh/mesh.h"
#include "mesh/port.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__) || !defined(__x86_64__)
#define CAN_STEP 0
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define CAN_STEP 0
#endif
#endif
#ifndef CAN_STEP
#define CAN_STEP 1
#endif

#define TRAP_FLAG 0x100
#define PRODUCER  0
#define CONSUMER  1

struct side {
        struct port *port;
        unsigned fired;
        bool asleep;
        uint32_t received;
};

struct world {
        struct mesh *mesh;
        struct side sides[2];
        bool wrong_order;
        /* of the signal handler */
        unsigned other; /* who runs in it, in a child */
        bool child;     /* this is one */
        bool stepping;  /* the trap flag is set */
        bool over;      /* the turn is, and stepping has to end */
        unsigned steps, failures;
};

static struct world world;

static void fire(void *arg)
{
        struct side *side = arg;

        side->fired++;
}

static void receive(void *arg, const struct port_message *message)
{
        struct side *side = arg;
        uint32_t value;

        memcpy(&value, message->data, sizeof(value));
        world.wrong_order = world.wrong_order || value != side->received;
        side->received++;
}

/* A turn of the loop, from wake to sleep. */
static void turn(struct side *side)
{
        side->fired = 0;
        side->asleep = false;
        port_unpark(side->port);
        port_drain(side->port, 1000, receive, side);
        port_flush(side->port);
        side->asleep = port_park(side->port);
}

static bool runnable(const struct side *side)
{
        return !side->asleep || side->fired;
}

static void on_trap(int signal_number, siginfo_t *info, void *context)
{
#if CAN_STEP
        greg_t *flags = &((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL];
        struct side *other = &world.sides[world.other];
        int status;
        pid_t pid;

        if (!world.stepping || world.over) {
                world.stepping = !world.over;
                *flags = world.over ? *flags & ~(greg_t)TRAP_FLAG : *flags | TRAP_FLAG;
                return;
        }
        world.steps++;
        pid = fork();
        if (pid == 0) {
                world.child = true;
                *flags &= ~(greg_t)TRAP_FLAG;
                do /* once in any case: a client woke it */
                        turn(other);
                while (runnable(other));
        } else if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
                world.failures++;
        }
#endif
        (void)signal_number, (void)info, (void)context;
}

static void send_messages(uint32_t first, uint32_t n)
{
        for (uint32_t i = first; i < first + n; i++)
                memcpy(port_send(world.sides[PRODUCER].port, CONSUMER, 1, sizeof(i), PORT_COUNTED), &i,
                       sizeof(i));
}

static void setup(void)
{
        struct mesh_options options = { .n_ports = 2, .capacity = 2, .backlog_bytes = 1 << 20 };

        memset(&world, 0, sizeof(world));
        if (mesh_new(&world.mesh, &options))
                exit(EXIT_FAILURE);
        for (unsigned i = 0; i < 2; i++) {
                world.sides[i].port = mesh_port(world.mesh, i);
                mesh_set_waker(world.mesh, i, (struct waker){ fire, &world.sides[i] });
        }
}

/* Until both sleep. Return: whether all has arrived. */
static bool finish(uint32_t messages)
{
        struct side *producer = &world.sides[PRODUCER], *consumer = &world.sides[CONSUMER];

        while (runnable(producer) || runnable(consumer))
                turn(runnable(producer) ? producer : consumer);
        return !world.wrong_order && consumer->received == messages;
}

/*
 * Brings `before` messages in, with a turn of the consumer if it is to be asleep, then `after` more, and steps
 * through a turn of `stopped`. Return: whether all children were good.
 */
static bool run(unsigned stopped, uint32_t before, bool asleep, uint32_t after)
{
        bool good;

        setup();
        send_messages(0, before);
        port_flush(world.sides[PRODUCER].port);
        if (asleep)
                turn(&world.sides[CONSUMER]);
        send_messages(before, after);
        world.other = 1 - stopped;
        raise(SIGTRAP); /* from here on, an instruction at a time */
        turn(&world.sides[stopped]);
        world.over = true;
        good = finish(before + after);
        if (world.child)
                _exit(good ? EXIT_SUCCESS : EXIT_FAILURE);
        printf("%s, %u messages before%s, %u after: stopped at %u instructions, stuck or wrong after %u\n",
               stopped == PRODUCER ? "producer" : "consumer", before, asleep ? " and drained" : "", after,
               world.steps, world.failures);
        fflush(stdout);
        mesh_free(world.mesh, NULL, NULL);
        return good && !world.failures && world.steps > 50; /* a turn is longer than that */
}

int main(void)
{
        static const struct {
                unsigned stopped;
                uint32_t before;
                bool asleep;
                uint32_t after;
        } cases[] = {
                { PRODUCER, 0, true, 1 },  /* the announce against a sleeper */
                { PRODUCER, 2, false, 1 }, /* a full ring that is announced, and the first spill */
                { PRODUCER, 4, true, 0 },  /* landing what spilled, all of it */
                { PRODUCER, 6, true, 1 },  /* landing a part */
                { CONSUMER, 0, false, 1 }, /* parking against an announce */
                { CONSUMER, 2, false, 2 }, /* draining while the ring fills and spills */
                { CONSUMER, 4, false, 1 }, /* taking the ask while more is asked */
        };
        struct sigaction action = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO };
        bool good = true;

        if (!CAN_STEP) {
                printf("no single steps here\n");
                return 77;
        }
        sigaction(SIGTRAP, &action, NULL);
        for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++)
                good = run(cases[i].stopped, cases[i].before, cases[i].asleep, cases[i].after) && good;
        return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
