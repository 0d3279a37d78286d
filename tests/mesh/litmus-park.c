/* SPDX-License-Identifier: MIT */
/*
 * Litmus of mesh/park.h on two threads: known failure 1, a wake lost between announce and park.
 *
 * A hand-off is one race: the owner parks while the announcer announces. It is lost when the owner may sleep
 * and nobody fires its waker. The two threads meet before every hand-off, so that the four accesses fall
 * together, and a random delay sweeps them past each other. The functions of park.h must lose none. With the
 * pair weakened losses must show, else this program could not see one:
 *
 *      release/acquire     stores release, loads acquire
 *      seq_cst loads       the same with sequentially consistent loads
 *
 * The weak variants are judged on x86 only, where both compile to a plain store and a plain load on the owner's
 * side; elsewhere (release and acquire of AArch64 are ordered among themselves) they are only reported. The
 * thread sanitizer executes every atomic access in order: there they are left out.
 *
 *      litmus-park [MILLIONS]    of hand-offs of the strong pair, however long they take. Exit 77: the weak
 * pairs say nothing on this machine
 */

#include "mesh/park.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "util/clock.h"
#include "util/prng.h"

#if defined(__SANITIZE_THREAD__)
#define WEAK_PAIRS 0
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WEAK_PAIRS 0
#endif
#endif
#ifndef WEAK_PAIRS
#define WEAK_PAIRS 1
#endif

#define BATCH        512 /* hand-offs, each with a struct park of its own, between two checks */
#define MILLIONS     4   /* hand-offs of the strong pair, or what can be had in */
#define SECONDS      4
#define WEAK_SECONDS 30    /* at most, to see a loss */
#define WEAK_ENOUGH  100   /* losses */
#define OVERLAPS     10000 /* hand-offs in which both saw each other: the threads did run at once */

struct pair {
        const char *name;
        bool (*announce)(struct park *park, uint64_t source);
        bool (*begin)(struct park *park);
};

/* The two functions of park.h again, each with weaker orders. */
#define WEAK_PAIR(_name, _load)                                                                                \
        static bool _name##_announce(struct park *park, uint64_t source)                                       \
        {                                                                                                      \
                atomic_fetch_or_explicit(&park->inbound, source, memory_order_release);                        \
                if (!atomic_load_explicit(&park->parked, _load))                                               \
                        return false;                                                                          \
                return atomic_exchange_explicit(&park->parked, 0, memory_order_acq_rel) != 0;                  \
        }                                                                                                      \
        static bool _name##_begin(struct park *park)                                                           \
        {                                                                                                      \
                atomic_store_explicit(&park->parked, 1, memory_order_release);                                 \
                if (!atomic_load_explicit(&park->inbound, _load))                                              \
                        return true;                                                                           \
                atomic_store_explicit(&park->parked, 0, memory_order_relaxed);                                 \
                return false;                                                                                  \
        }

WEAK_PAIR(acquire, memory_order_acquire)
WEAK_PAIR(sc_load, memory_order_seq_cst)

static const struct pair strong = { "four seq_cst operations", park_announce, park_begin };
static const struct pair weak[] = {
        { "release/acquire", acquire_announce, acquire_begin },
        { "seq_cst loads", sc_load_announce, sc_load_begin },
};

struct litmus {
        struct pair pair;
        struct park parks[BATCH];
        struct {
                alignas(PARK_LINE) _Atomic uint64_t at; /* meetings that this thread came to */
        } threads[2];
        _Atomic bool over;
        bool fired[BATCH]; /* of the announcer, read after a meeting */
        bool slept[BATCH]; /* of the owner */
        uint64_t spins;    /* before a thread gives its CPU to the other: 0 on one CPU */
        uint64_t handoffs, lost, overlaps;
};

/* Both threads have come here n times. */
static void meet(struct litmus *l, unsigned me, uint64_t n)
{
        uint64_t spins = 0;

        /* pairs with the load of the other thread */
        atomic_store_explicit(&l->threads[me].at, n, memory_order_release);
        /* pairs with the store of the other thread */
        while (atomic_load_explicit(&l->threads[1 - me].at, memory_order_acquire) < n)
                if (spins++ >= l->spins)
                        sched_yield();
}

static void delay(struct prng *prng)
{
        for (uint64_t n = prng_below(prng, 128); n; n--)
                __asm__ volatile("" ::: "memory");
}

/* One batch of hand-offs. Return: the meetings so far. */
static uint64_t run_batch(struct litmus *l, unsigned me, uint64_t met, struct prng *prng)
{
        for (unsigned i = 0; i < BATCH; i++) {
                meet(l, me, ++met);
                delay(prng);
                if (me)
                        l->fired[i] = l->pair.announce(&l->parks[i], 1);
                else
                        l->slept[i] = l->pair.begin(&l->parks[i]);
        }
        meet(l, me, ++met);
        return met;
}

static void *announcer(void *arg)
{
        struct litmus *l = arg;
        struct prng prng = { 1 };
        uint64_t met = 0;

        /* stored by the owner between the two meetings */
        while (!atomic_load_explicit(&l->over, memory_order_relaxed)) {
                met = run_batch(l, 1, met, &prng);
                meet(l, 1, ++met);
        }
        return NULL;
}

static void judge(struct litmus *l)
{
        for (unsigned i = 0; i < BATCH; i++) {
                l->lost += l->slept[i] && !l->fired[i];
                l->overlaps += !l->slept[i] && l->fired[i];
                atomic_store_explicit(&l->parks[i].inbound, 0, memory_order_relaxed);
                atomic_store_explicit(&l->parks[i].parked, 0, memory_order_relaxed);
        }
        l->handoffs += BATCH;
}

static void pin(pthread_t thread, const cpu_set_t *allowed, int nth)
{
        cpu_set_t one;

        CPU_ZERO(&one);
        for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
                if (CPU_ISSET(cpu, allowed) && nth-- == 0)
                        CPU_SET(cpu, &one);
        (void)pthread_setaffinity_np(thread, sizeof(one), &one); /* it is faster so, no more */
}

/* Runs the pair for so many seconds, or hand-offs, or until enough losses are seen. */
static void run(struct litmus *l, const struct pair *pair, double seconds, uint64_t handoffs, uint64_t enough)
{
        uint64_t end = clock_now() + (uint64_t)(seconds * (double)NSEC_PER_SEC), met = 0;
        struct prng prng = { 2 };
        cpu_set_t allowed;
        pthread_t thread;
        bool over = false;

        l->pair = *pair;
        l->handoffs = l->lost = l->overlaps = 0;
        atomic_store(&l->threads[0].at, 0);
        atomic_store(&l->threads[1].at, 0);
        atomic_store(&l->over, false);
        sched_getaffinity(0, sizeof(allowed), &allowed);
        l->spins = CPU_COUNT(&allowed) > 1 ? 1000 : 0;
        if (pthread_create(&thread, NULL, announcer, l))
                exit(EXIT_FAILURE);
        if (l->spins) {
                pin(pthread_self(), &allowed, 0);
                pin(thread, &allowed, 1);
        }
        while (!over) {
                met = run_batch(l, 0, met, &prng);
                judge(l);
                over = clock_now() >= end || l->handoffs >= handoffs || l->lost >= enough;
                /* loaded by the announcer after the meeting */
                atomic_store_explicit(&l->over, over, memory_order_relaxed);
                meet(l, 0, ++met);
        }
        pthread_join(thread, NULL);
        sched_setaffinity(0, sizeof(allowed), &allowed);
        printf("%s: %llu hand-offs, %llu lost, %llu overlaps\n", pair->name, (unsigned long long)l->handoffs,
               (unsigned long long)l->lost, (unsigned long long)l->overlaps);
        fflush(stdout);
}

/* Return: the exit code for this part. */
static int run_weak(struct litmus *l)
{
        for (unsigned i = 0; i < sizeof(weak) / sizeof(*weak); i++) {
                if (!l->spins) {
                        printf("one CPU: the weak pairs say nothing\n");
                        return 77;
                }
                run(l, &weak[i], WEAK_SECONDS, UINT64_MAX, WEAK_ENOUGH);
                if (l->lost)
                        continue;
#if defined(__x86_64__) || defined(__i386__)
                printf("no loss seen with a weak pair\n");
                return l->overlaps >= OVERLAPS ? EXIT_FAILURE : 77;
#endif
        }
        return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
        static struct litmus litmus;

        if (argc > 1)
                run(&litmus, &strong, 1e6, strtoull(argv[1], NULL, 10) * 1000000, UINT64_MAX);
        else
                run(&litmus, &strong, SECONDS, MILLIONS * UINT64_C(1000000), UINT64_MAX);
        if (litmus.lost)
                return EXIT_FAILURE;
        if (!WEAK_PAIRS)
                return EXIT_SUCCESS;
        return run_weak(&litmus);
}
