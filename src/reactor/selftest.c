/* SPDX-License-Identifier: MIT */
/*
 * Each check makes a reactor of the size that it needs, and pairs of sockets: the near end is a stream of the
 * reactor, the far end is played by the check itself. A check has a deadline, so that what a kernel forgets to
 * report is a finding and not a hang.
 */

#include "reactor/selftest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/mem.h"

#define SELFTEST_PATIENCE NSEC_PER_SEC /* of a check, for what takes microseconds: a busy machine stalls */
#define SELFTEST_PAIRS    20
#define SELFTEST_ENDS     200 /* rounds */
#define SELFTEST_IDLE     (10 * NSEC_PER_MSEC)
#define SELFTEST_BYTES    3072 /* of a send: 64 small messages */
#define SELFTEST_SENDS    25
#define SELFTEST_ROUNDS   15
#define SELFTEST_BIG      (1 << 20) /* bytes that no socket takes at once */

struct pair {
        int far; /* -1: closed */
        size_t arrived;
        bool ended, failed, drained, closed;
        bool overtaken;       /* bytes came after the end */
        struct stream stream; /* the reactor's state lies behind it */
};

struct selftest {
        const struct reactor_ops *ops;
        struct reactor_options options;
        struct reactor *reactor;
        struct stage_pool stages;
        struct pair *pairs[SELFTEST_SENDS];
        unsigned n_pairs;
        uint64_t deadline;
};

/* ------------------------------------------------------------------ pairs */

static struct pair *pair_of(struct stream *s)
{
        return container_of(s, struct pair, stream);
}

static void selftest_on_data(void *arg, struct stream *s, struct bytes b)
{
        struct pair *p = pair_of(s);

        (void)arg;
        p->arrived += b.n;
        p->overtaken = p->overtaken || p->ended;
}

static void selftest_on_drained(void *arg, struct stream *s)
{
        (void)arg;
        pair_of(s)->drained = true;
}

static void selftest_on_hangup(void *arg, struct stream *s, int error)
{
        (void)arg;
        if (error)
                pair_of(s)->failed = true;
        else
                pair_of(s)->ended = true;
}

static void selftest_on_closed(void *arg, struct stream *s)
{
        (void)arg;
        pair_of(s)->closed = true;
}

/* Return: NULL: there are no sockets to be had. */
static struct pair *selftest_open(struct selftest *t)
{
        struct pair *p;
        int fds[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds))
                return NULL;
        p = mem_zalloc(sizeof(*p) + t->ops->stream_size);
        p->far = fds[1];
        p->stream.fd = fds[0];
        p->stream.private_offset = sizeof(struct stream);
        outq_init(&p->stream.out);
        t->ops->add(t->reactor, &p->stream);
        t->pairs[t->n_pairs++] = p;
        return p;
}

static bool selftest_open_all(struct selftest *t, unsigned n)
{
        while (t->n_pairs < n)
                if (!selftest_open(t))
                        return false;
        return true;
}

/* One wait, but not beyond the deadline. Return: whether there is time left. */
static bool selftest_wait(struct selftest *t)
{
        return t->ops->wait(t->reactor, t->deadline) >= 0 && clock_now() < t->deadline;
}

static bool selftest_all_arrived(struct selftest *t, size_t n)
{
        for (unsigned i = 0; i < t->n_pairs; i++)
                if (t->pairs[i]->arrived < n)
                        return false;
        return true;
}

/* Return: whether all n bytes were written. */
static bool selftest_write(int fd, const void *p, size_t n)
{
        ssize_t r;

        do
                r = write(fd, p, n);
        while (r < 0 && errno == EINTR);
        return r == (ssize_t)n;
}

/* Writes n bytes into each far end and waits until each near end has seen total. */
static bool selftest_exchange(struct selftest *t, size_t n, size_t total)
{
        static const char bytes[64];

        for (unsigned i = 0; i < t->n_pairs; i++)
                if (!selftest_write(t->pairs[i]->far, bytes, n))
                        return false;
        while (!selftest_all_arrived(t, total))
                if (!selftest_wait(t))
                        return selftest_all_arrived(t, total);
        return true;
}

static bool selftest_closed(const struct selftest *t)
{
        for (unsigned i = 0; i < t->n_pairs; i++)
                if (!t->pairs[i]->closed)
                        return false;
        return true;
}

/* Return: whether all near ends were closed in time. */
static bool selftest_close_all(struct selftest *t)
{
        bool closed;

        for (unsigned i = 0; i < t->n_pairs; i++)
                t->ops->remove(t->reactor, &t->pairs[i]->stream);
        t->deadline = clock_now() + SELFTEST_PATIENCE;
        while (!(closed = selftest_closed(t)) && selftest_wait(t))
                ;
        return closed;
}

static void selftest_free_pairs(struct selftest *t)
{
        while (t->n_pairs) {
                struct pair *p = t->pairs[--t->n_pairs];

                if (p->far >= 0)
                        close(p->far);
                free(p);
        }
}

/* ------------------------------------------------------------------ checks: NULL, or what is wrong */

static const char selftest_no_means[] = "there are no sockets or threads to try it with";

static uint64_t selftest_cpu(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
        return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* Known failures 11 and 12: many are busy, and there is little of everything. Then known failure 10: with
 * nothing to do the reactor sleeps. */
static const char *check_crowd(struct selftest *t)
{
        uint64_t cpu;

        if (!selftest_open_all(t, SELFTEST_PAIRS))
                return selftest_no_means;
        for (size_t round = 1; round <= 3; round++)
                if (!selftest_exchange(t, 8, 8 * round))
                        return "what many send at once does not all arrive";
        cpu = selftest_cpu();
        t->ops->wait(t->reactor, clock_now() + SELFTEST_IDLE);
        if (selftest_cpu() - cpu > SELFTEST_IDLE / 10)
                return "it is busy while nothing happens";
        return NULL;
}

static const char *check_pause(struct selftest *t)
{
        struct pair *p = selftest_open(t);

        if (!p)
                return selftest_no_means;
        if (!selftest_exchange(t, 1, 1))
                return "what is sent does not arrive";
        t->ops->pause(t->reactor, &p->stream, true);
        t->ops->wait(t->reactor, 0);
        if (!selftest_write(p->far, "x", 1) || t->ops->wait(t->reactor, 0) < 0 || p->arrived != 1)
                return "a receive cannot be cancelled";
        t->ops->pause(t->reactor, &p->stream, false);
        return selftest_exchange(t, 1, 3) ? NULL : "what came meanwhile does not arrive";
}

/* Known failure 8. */
static const char *check_close(struct selftest *t)
{
        struct pair *p = selftest_open(t);
        struct pollfd far;

        if (!p)
                return selftest_no_means;
        t->ops->wait(t->reactor, 0); /* the receive is armed */
        if (!selftest_close_all(t))
                return "a connection cannot be closed";
        far = (struct pollfd){ .fd = p->far, .events = POLLIN };
        return poll(&far, 1, (int)(SELFTEST_PATIENCE / NSEC_PER_MSEC)) == 1 ? NULL
                                                                            : "the peer does not see a close";
}

static const char *check_big_send(struct selftest *t)
{
        static char sink[1 << 16];
        struct pair *p = selftest_open(t);
        struct stage *stage;
        size_t taken = 0;
        ssize_t n;

        if (!p)
                return selftest_no_means;
        stage = stage_new(&t->stages, SELFTEST_BIG);
        memset(stage->data, 0, SELFTEST_BIG);
        stage->used = SELFTEST_BIG;
        outq_slice(&p->stream.out, &t->stages, stage, 0, SELFTEST_BIG);
        stage_unref(stage);
        t->ops->flush(t->reactor, &p->stream);
        if (t->ops->submit(t->reactor) || !p->stream.writing)
                return "a send does not say how much was taken";
        while (!p->drained || taken < SELFTEST_BIG) {
                while ((n = recv(p->far, sink, sizeof(sink), MSG_DONTWAIT)) > 0)
                        taken += (size_t)n;
                /* the far end is this thread, so it may not sleep until the near end is done */
                if (t->ops->wait(t->reactor, 0) < 0 || clock_now() >= t->deadline)
                        return taken < SELFTEST_BIG ? "a send is not continued"
                                                    : "the end of a send is not reported";
        }
        return taken == SELFTEST_BIG ? NULL : "a send repeats bytes";
}

struct hanging_up {
        int commands[2]; /* a pipe: descriptors to hang up on; -1: the end */
        pthread_t thread;
};

/* Says something and hangs up, on another CPU if there is one. */
static void *hang_up(void *arg)
{
        const struct hanging_up *h = arg;
        ssize_t n;
        int fd;

        while ((n = read(h->commands[0], &fd, sizeof(fd))) == sizeof(fd) || (n < 0 && errno == EINTR)) {
                if (n < 0)
                        continue;
                if (fd < 0 || !selftest_write(fd, "bye", 3) || shutdown(fd, SHUT_WR))
                        break;
        }
        return NULL;
}

static const char *selftest_ends(struct selftest *t, const struct hanging_up *h)
{
        for (unsigned i = 0; i < SELFTEST_ENDS; i++) {
                struct pair *p = selftest_open(t);

                if (!p || !selftest_write(p->far, "hi", 2))
                        return selftest_no_means;
                t->deadline = clock_now() + SELFTEST_PATIENCE;
                while (p->arrived < 2) /* behind the first bytes the reactor looks for an end itself */
                        if (!selftest_wait(t))
                                return "bytes do not arrive";
                if (!selftest_write(h->commands[1], &p->far, sizeof(p->far)))
                        return selftest_no_means;
                while (!p->ended)
                        if (!selftest_wait(t))
                                return "an end of file behind data is not reported";
                if (p->arrived != 5 || p->overtaken)
                        return "an end of file overtakes data";
                if (!selftest_close_all(t))
                        return "a connection cannot be closed";
                selftest_free_pairs(t);
        }
        return NULL;
}

/* Known failures 5 to 7. */
static const char *check_ends(struct selftest *t)
{
        struct hanging_up h;
        const char *wrong;
        int end = -1;

        if (pipe2(h.commands, O_CLOEXEC))
                return selftest_no_means;
        if (pthread_create(&h.thread, NULL, hang_up, &h)) {
                wrong = selftest_no_means;
        } else {
                wrong = selftest_ends(t, &h);
                if (!selftest_write(h.commands[1], &end, sizeof(end)))
                        wrong = selftest_no_means;
                pthread_join(h.thread, NULL);
        }
        close(h.commands[0]);
        close(h.commands[1]);
        return wrong;
}

/* ------------------------------------------------------------------ the whole */

static const struct check {
        const char *(*run)(struct selftest *t);
        unsigned entries, buffers;
} selftest_checks[] = {
        { check_pause, 4, 4 }, { check_close, 4, 4 }, { check_big_send, 4, 4 },
        { check_ends, 8, 4 },  { check_crowd, 4, 2 },
};

static int selftest_init(struct selftest *t, const struct reactor_ops *ops,
                         const struct reactor_options *options)
{
        struct reactor_sink sink = { selftest_on_data, selftest_on_drained, selftest_on_hangup,
                                     selftest_on_closed, t };
        int r;

        *t = (struct selftest){ .ops = ops, .options = *options };
        t->options.wake_fd = -1;
        stage_pool_init(&t->stages, SELFTEST_BYTES, 4);
        r = ops->init(&t->reactor, &t->options, &sink);
        t->deadline = clock_now() + SELFTEST_PATIENCE;
        return r;
}

/* A reactor that does not close its streams is left as it is, with all that it may still touch. Return: whether
 * it did close them. */
static bool selftest_deinit(struct selftest *t)
{
        if (!selftest_close_all(t))
                return false;
        t->reactor = t->ops->deinit(t->reactor);
        selftest_free_pairs(t);
        stage_pool_deinit(&t->stages);
        return true;
}

static int selftest_run(const struct check *check, const struct reactor_ops *ops,
                        const struct reactor_options *options, char *why)
{
        struct reactor_options small = *options;
        struct selftest *t = mem_zalloc(sizeof(*t));
        const char *wrong;

        small.ring.entries = check->entries;
        small.ring.completions = 2 * check->entries;
        small.ring.buffers = check->buffers;
        small.why = why;
        if (selftest_init(t, ops, &small)) {
                free(t);
                return REACTOR_E_UNSUPPORTED;
        }
        wrong = check->run(t);
        if (selftest_deinit(t))
                free(t);
        else
                wrong = wrong ? wrong : "a connection cannot be closed";
        if (wrong)
                snprintf(why, REACTOR_WHY_BYTES, "%s", wrong);
        if (wrong == selftest_no_means)
                return REACTOR_E_UNSUPPORTED;
        return wrong ? REACTOR_E_MISBEHAVES : 0;
}

/* As many reactors as there will be, of their full size, fit into this user's limits. */
static int selftest_fit(const struct reactor_ops *ops, const struct reactor_options *options, unsigned n,
                        char *why)
{
        struct selftest *all = mem_zalloc(n * sizeof(*all));
        struct reactor_options full = *options;
        unsigned made = 0;

        full.why = why;
        while (made < n && !selftest_init(&all[made], ops, &full))
                made++;
        for (unsigned i = 0; i < made; i++)
                selftest_deinit(&all[i]);
        free(all);
        return made == n ? 0 : REACTOR_E_UNSUPPORTED;
}

int reactor_selftest(const struct reactor_ops *ops, const struct reactor_options *options, unsigned n,
                     char *why)
{
        int r;

        why[0] = 0;
        r = selftest_fit(ops, options, n, why);
        for (unsigned i = 0; !r && i < sizeof(selftest_checks) / sizeof(*selftest_checks); i++)
                r = selftest_run(&selftest_checks[i], ops, options, why);
        if (r && !why[0])
                snprintf(why, REACTOR_WHY_BYTES, "it cannot be set up");
        return r;
}

/* ------------------------------------------------------------------ costs */

static void selftest_drain_far(struct selftest *t)
{
        static char sink[SELFTEST_BYTES];

        for (unsigned i = 0; i < t->n_pairs; i++)
                while (recv(t->pairs[i]->far, sink, sizeof(sink), MSG_DONTWAIT) > 0)
                        ;
}

/* One turn's sends. Return: ns of CPU; UINT64_MAX: it failed. */
static uint64_t selftest_round(struct selftest *t, struct stage *stage)
{
        uint64_t cpu;
        int r;

        for (unsigned i = 0; i < t->n_pairs; i++)
                outq_slice(&t->pairs[i]->stream.out, &t->stages, stage, 0, SELFTEST_BYTES);
        cpu = selftest_cpu();
        for (unsigned i = 0; i < t->n_pairs; i++)
                t->ops->flush(t->reactor, &t->pairs[i]->stream);
        r = t->ops->submit(t->reactor);
        cpu = selftest_cpu() - cpu;
        selftest_drain_far(t);
        return r ? UINT64_MAX : cpu;
}

static void selftest_race(struct selftest *t, uint64_t *least)
{
        struct stage *stages[2];

        for (unsigned k = 0; k < 2; k++) {
                stages[k] = stage_new(&t[k].stages, SELFTEST_BYTES);
                memset(stages[k]->data, 0, SELFTEST_BYTES);
                stages[k]->used = SELFTEST_BYTES;
                stages[k]->shared = true;
        }
        for (unsigned round = 0; round < SELFTEST_ROUNDS; round++)
                for (unsigned k = 0; k < 2; k++) {
                        uint64_t cost = selftest_round(&t[k], stages[k]);

                        least[k] = cost < least[k] ? cost : least[k];
                }
        for (unsigned k = 0; k < 2; k++)
                stage_unref(stages[k]);
}

unsigned reactor_compare(const struct reactor_ops *ops, const struct reactor_ops *base,
                         const struct reactor_options *options)
{
        const struct reactor_ops *both[2] = { ops, base };
        uint64_t least[2] = { UINT64_MAX, UINT64_MAX };
        struct selftest *t = mem_zalloc(2 * sizeof(*t));
        unsigned made = 0;
        bool good = true;

        while (made < 2 && !selftest_init(&t[made], both[made], options))
                made++;
        for (unsigned k = 0; k < made; k++)
                good = selftest_open_all(&t[k], SELFTEST_SENDS) && good;
        if (made == 2 && good)
                selftest_race(t, least);
        for (unsigned k = 0; k < made; k++)
                good = selftest_deinit(&t[k]) && good;
        if (good)
                free(t);
        if (!good || least[1] == UINT64_MAX || !least[1] || least[0] > least[1] * 100)
                return 0;
        return (unsigned)(least[0] * 100 / least[1]);
}
