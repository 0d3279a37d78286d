/* SPDX-License-Identifier: MIT */

#include "broker/crew.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/cpu.h"
#include "util/log.h"
#include "util/mem.h"

enum verdict {
        VERDICT_NONE,
        VERDICT_GO,
        VERDICT_LEAVE,
};

/* Where the threads meet at the start. */
struct gate {
        pthread_mutex_t mutex;
        pthread_cond_t changed;
        unsigned n_ready, n_failed;
        enum verdict verdict;
};

struct member {
        struct crew *crew;
        pthread_t thread;
        bool joinable;
        struct waker_eventfd waker;
        struct shard_options options;
        char why[REACTOR_WHY_BYTES]; /* of the reactor, that it cannot run */
};

struct crew {
        struct gate gate;
        bool must_pin;
        unsigned n; /* members with a waker */
        struct member members[];
};

static void gate_init(struct gate *gate)
{
        *gate = (struct gate){ .verdict = VERDICT_NONE };
        pthread_mutex_init(&gate->mutex, NULL);
        pthread_cond_init(&gate->changed, NULL);
}

static void gate_deinit(struct gate *gate)
{
        pthread_cond_destroy(&gate->changed);
        pthread_mutex_destroy(&gate->mutex);
}

/* A thread reports, and waits for the word. */
static enum verdict gate_report(struct gate *gate, bool well)
{
        enum verdict verdict;

        pthread_mutex_lock(&gate->mutex);
        *(well ? &gate->n_ready : &gate->n_failed) += 1;
        pthread_cond_broadcast(&gate->changed);
        while (gate->verdict == VERDICT_NONE)
                pthread_cond_wait(&gate->changed, &gate->mutex);
        verdict = gate->verdict;
        pthread_mutex_unlock(&gate->mutex);
        return verdict;
}

/* Waits for the reports of n threads. Return: how many of them are well. */
static unsigned gate_await(struct gate *gate, unsigned n)
{
        unsigned n_ready;

        pthread_mutex_lock(&gate->mutex);
        while (gate->n_ready + gate->n_failed < n)
                pthread_cond_wait(&gate->changed, &gate->mutex);
        n_ready = gate->n_ready;
        pthread_mutex_unlock(&gate->mutex);
        return n_ready;
}

/* The first word holds. */
static void gate_say(struct gate *gate, enum verdict verdict)
{
        pthread_mutex_lock(&gate->mutex);
        if (gate->verdict == VERDICT_NONE)
                gate->verdict = verdict;
        pthread_cond_broadcast(&gate->changed);
        pthread_mutex_unlock(&gate->mutex);
}

/* Return: whether the thread may go on. */
static bool member_pin(struct member *m)
{
        int r;

        if (m->options.cpu < 0)
                return true;
        r = cpu_pin((unsigned)m->options.cpu);
        if (r == 0)
                return true;
        if (m->crew->must_pin)
                log_error("shard %u cannot be pinned to CPU %d: %s", m->options.id, m->options.cpu,
                          strerror(-r));
        else
                log_warning("shard %u runs unpinned, CPU %d is not to be had: %s", m->options.id,
                            m->options.cpu, strerror(-r));
        m->options.cpu = -1;
        return !m->crew->must_pin;
}

static bool member_build(struct member *m, struct shard **shardp)
{
        int r;

        if (!member_pin(m))
                return false;
        r = shard_new(shardp, &m->options);
        if (r == SHARD_E_UNSUPPORTED)
                log_error("shard %u: the reactor %s cannot run here: %s", m->options.id,
                          m->options.reactor_ops->name, m->why);
        else if (r)
                log_error("shard %u cannot be made: %s", m->options.id, strerror(-r));
        return r == 0;
}

static void *member_main(void *arg)
{
        struct member *m = arg;
        struct shard *shard = NULL;
        char name[16];
        int r = 0;

        snprintf(name, sizeof(name), "brokerd-%u", m->options.id % 1000);
        pthread_setname_np(pthread_self(), name);
        if (gate_report(&m->crew->gate, member_build(m, &shard)) == VERDICT_GO)
                while (!r)
                        r = shard_turn(shard);
        if (r < 0) {
                log_error("shard %u failed: %s; the broker ends", m->options.id, strerror(-r));
                _exit(CREW_EXIT_FAILED);
        }
        shard_free(shard);
        return NULL;
}

/* Return: 0, an errno. */
static int member_start(struct member *m)
{
        sigset_t all, saved;
        int r;

        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &saved);
        r = pthread_create(&m->thread, NULL, member_main, m);
        pthread_sigmask(SIG_SETMASK, &saved, NULL);
        m->joinable = r == 0;
        return r;
}

/* Return: 0, -errno. */
static int member_init(struct member *m, struct crew *crew, const struct crew_options *options, unsigned id)
{
        int r = waker_eventfd_init(&m->waker);

        if (r < 0)
                return r;
        m->crew = crew;
        m->options = options->shard;
        m->options.id = id;
        m->options.n_shards = options->n_shards;
        m->options.port = mesh_port(options->mesh, id);
        m->options.reactor.wake_fd = m->waker.fd;
        m->options.reactor.why = m->why;
        m->options.cpu = options->cpus[id];
        mesh_set_waker(options->mesh, id, waker_eventfd_waker(&m->waker));
        return 0;
}

/* Return: 0, CREW_E_FAILED. */
static int crew_start(struct crew *crew)
{
        unsigned n = 0;
        int r = 0;

        while (n < crew->n && !(r = member_start(&crew->members[n])))
                n++;
        if (r)
                log_error("cannot start the thread of shard %u: %s", n, strerror(r));
        return gate_await(&crew->gate, n) == crew->n ? 0 : CREW_E_FAILED;
}

int crew_new(struct crew **crewp, const struct crew_options *options)
{
        struct crew *crew = mem_zalloc(sizeof(*crew) + options->n_shards * sizeof(struct member));
        int r = 0;

        gate_init(&crew->gate);
        crew->must_pin = options->must_pin;
        while (crew->n < options->n_shards &&
               !(r = member_init(&crew->members[crew->n], crew, options, crew->n)))
                crew->n++;
        if (r < 0)
                log_error("cannot make the eventfd of shard %u: %s", crew->n, strerror(-r));
        if (r < 0 || crew_start(crew)) {
                crew_free(crew);
                return CREW_E_FAILED;
        }
        *crewp = crew;
        return 0;
}

void crew_go(struct crew *crew)
{
        gate_say(&crew->gate, VERDICT_GO);
}

static int member_join(struct member *m, uint64_t deadline)
{
        struct timespec at;
        uint64_t now = clock_now(), ns;

        if (deadline == CLOCK_NEVER)
                return pthread_join(m->thread, NULL);
        clock_gettime(CLOCK_REALTIME, &at);
        ns = (uint64_t)at.tv_nsec + (deadline > now ? deadline - now : 0);
        at.tv_sec += (time_t)(ns / NSEC_PER_SEC);
        at.tv_nsec = (long)(ns % NSEC_PER_SEC);
        return pthread_timedjoin_np(m->thread, NULL, &at);
}

int crew_join(struct crew *crew, uint64_t deadline)
{
        for (unsigned i = 0; i < crew->n; i++) {
                if (!crew->members[i].joinable)
                        continue;
                if (member_join(&crew->members[i], deadline))
                        return CREW_E_LATE;
                crew->members[i].joinable = false;
        }
        return 0;
}

struct crew *crew_free(struct crew *crew)
{
        if (!crew)
                return NULL;
        gate_say(&crew->gate, VERDICT_LEAVE);
        crew_join(crew, CLOCK_NEVER);
        for (unsigned i = 0; i < crew->n; i++)
                waker_eventfd_deinit(&crew->members[i].waker);
        gate_deinit(&crew->gate);
        free(crew);
        return NULL;
}
