/* SPDX-License-Identifier: MIT */
/*
 * A random walk through everything at once: streams come, pause, speak, fail and go, from inside callbacks as
 * well; requests complete at any time in any way that a kernel may choose, also inside of enters. What arrives
 * and what is sent are sequences per stream, so a byte that is lost, doubled or out of place shows at once. And
 * whenever the reactor would sleep, each stream that is to be read has a receive.
 */

#include "replay.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "reactor/uring.h"
#include "util/prng.h"

#define WALKERS     12
#define WALK_ROUNDS 10
#define WALK_SEEDS  10 /* of a round */
#define WALK_STEPS  3000

static struct prng prng;

static struct walker {
        size_t fed, said, heard;
        bool shut; /* the far end sends no more */
} walkers[WALKERS];

static uint64_t n_received, n_heard, n_closed, n_failed, n_sleeps;

static bool chance(unsigned one_in)
{
        return prng_below(&prng, one_in) == 0;
}

static struct peer *somebody(void)
{
        return &replay_peers[prng_below(&prng, replay_n_peers)];
}

static struct walker *walker_of(const struct peer *p)
{
        return &walkers[p - replay_peers];
}

/* The byte at a place of a stream's sequence. */
static uint8_t at(const struct peer *p, size_t i)
{
        return (uint8_t)(i * 31 + (i >> 8) + (size_t)(p - replay_peers));
}

/* ------------------------------------------------------------------ the shard's part */

static void say_some(struct peer *p)
{
        struct walker *w = walker_of(p);
        uint8_t bytes[64];
        size_t n = 1 + prng_below(&prng, sizeof(bytes));

        if (p->stream.failed || p->stream.removed)
                return;
        for (size_t i = 0; i < n; i++)
                bytes[i] = at(p, w->said + i);
        outq_copy(&p->stream.out, &pool, bytes_of(bytes, n));
        w->said += n;
        f.ops->flush(f.reactor, &p->stream);
}

static void do_something(struct peer *p)
{
        if (p->closed)
                return;
        switch (prng_below(&prng, 8)) {
        case 0:
        case 1:
                if (!p->stream.removed)
                        f.ops->pause(f.reactor, &p->stream, !p->stream.paused);
                break;
        case 2:
                if (chance(8))
                        f.ops->remove(f.reactor, &p->stream);
                break;
        default:
                say_some(p);
        }
}

static void on_some_data(struct peer *p)
{
        struct bytes b = buffer_view(&p->in);

        for (size_t i = 0; i < b.n; i++)
                suite_need(b.p[i] == at(p, p->received - b.n + i), "bytes are lost or out of order");
        n_received += b.n;
        buffer_consume(&p->in, b.n);
        suite_need(!p->stream.removed && !p->ends, "data after the end");
        if (chance(3))
                do_something(chance(2) ? p : somebody());
}

static void on_some_hangup(struct peer *p)
{
        if (!p->error)
                suite_need(walker_of(p)->shut, "an end that is none");
        n_failed += p->error != 0;
        if (chance(2))
                f.ops->remove(f.reactor, &p->stream);
}

static void dress(struct peer *p)
{
        *walker_of(p) = (struct walker){ 0 };
        p->on_data = on_some_data;
        p->on_hangup = on_some_hangup;
}

/* ------------------------------------------------------------------ the kernel's part */

static struct peer *peer_with(int number)
{
        for (unsigned i = 0; i < replay_n_peers; i++)
                if (!replay_peers[i].closed && replay_peers[i].number == number)
                        return &replay_peers[i];
        return NULL;
}

static void data_comes(struct fake_request *q)
{
        struct peer *p = peer_with(q->fd);
        struct walker *w = walker_of(p);
        uint8_t bytes[64];
        size_t n = 1 + prng_below(&prng, sizeof(bytes));
        int buffer;

        for (size_t i = 0; i < n; i++)
                bytes[i] = at(p, w->fed + i);
        buffer = fake_fill(bytes, n);
        if (buffer < 0) {
                fake_complete(q, -ENOBUFS, -1, false);
                return;
        }
        w->fed += n;
        fake_complete(q, (int)n, buffer, !chance(4));
}

static void receive_completes(struct fake_request *q)
{
        static const int nothing[] = { -EAGAIN, -EINTR, -ECANCELED, 0 };
        struct walker *w = walker_of(peer_with(q->fd));

        if (q->cancelled && chance(2))
                fake_complete(q, -ECANCELED, -1, false);
        else if (w->shut)
                fake_complete(q, 0, -1, chance(4));
        else if (chance(8))
                fake_complete(q, nothing[prng_below(&prng, 4)], -1, false);
        else if (chance(50))
                fake_complete(q, 0, -1, true);
        else if (chance(300))
                fake_complete(q, -ECONNRESET, -1, chance(2));
        else
                data_comes(q);
}

static void one_completes(struct fake_request *q)
{
        static const int cancels[] = { 0, -ENOENT, -EALREADY };

        switch (q->kind) {
        case FAKE_RECEIVE:
                receive_completes(q);
                break;
        case FAKE_SEND:
                fake_finish_send(q, 1 + prng_below(&prng, 100), chance(100) ? EPIPE : 0);
                break;
        case FAKE_POLL:
                if (q->fd == f.wake)
                        fake_complete(q, POLLIN, -1, chance(2));
                else
                        fake_complete(q, q->cancelled ? -ECANCELED : POLLOUT, -1, false);
                break;
        case FAKE_CANCEL:
                fake_complete(q, cancels[prng_below(&prng, 3)], -1, false);
                break;
        default:
                break;
        }
}

static void some_complete(unsigned n)
{
        unsigned live = 0;

        while (fake_nth(live))
                live++;
        for (; n && live; n--) {
                struct fake_request *q = fake_nth((unsigned)prng_below(&prng, live));

                if (!q || !q->entered)
                        continue;
                one_completes(q);
                live -= !q->live;
        }
}

/* Nobody waits for something that only the reactor can bring about. */
static void check_sleep(void)
{
        for (unsigned i = 0; i < replay_n_peers; i++) {
                struct peer *p = &replay_peers[i];

                if (p->closed)
                        continue;
                suite_need(!p->stream.removed || fake_count(FAKE_RECEIVE, p->number) ||
                                   fake_count(FAKE_POLL, p->number),
                           "it sleeps instead of closing");
                if (!p->stream.paused && !p->stream.failed && !p->stream.removed && !p->ends)
                        suite_need(fake_count(FAKE_RECEIVE, p->number), "it sleeps without a receive");
        }
        n_sleeps++;
}

static void on_enter(void *arg, bool wait, uint64_t ns)
{
        struct fake_request *q;

        (void)arg;
        if (chance(2))
                some_complete((unsigned)prng_below(&prng, 4));
        if (!wait || ns != FAKE_NEVER || fake_busy())
                return;
        while ((q = fake_find(FAKE_SEND, -1)))
                one_completes(q);
        if (fake_busy())
                return;
        check_sleep();
        one_completes(fake_find(FAKE_POLL, f.wake));
}

/* ------------------------------------------------------------------ the far ends */

static void listen_to(struct peer *p)
{
        struct walker *w = walker_of(p);
        uint8_t bytes[512];
        ssize_t n = recv(p->far, bytes, sizeof(bytes), 0);

        for (ssize_t i = 0; i < n; i++)
                suite_need(bytes[i] == at(p, w->heard++), "bytes are sent twice or out of order");
        n_heard += n > 0 ? (uint64_t)n : 0;
}

static void shut(struct peer *p)
{
        if (p->closed || !chance(40))
                return;
        walker_of(p)->shut = true;
        shutdown(p->far, SHUT_WR);
}

static void come_again(struct peer *p)
{
        if (!p->closed)
                return;
        n_closed++;
        replay_add_again(p);
        dress(p);
}

/* ------------------------------------------------------------------ the walk */

static void choose_sends(void)
{
        struct fake_sends sends = { .take = chance(2) ? SIZE_MAX : prng_below(&prng, 80) };

        sends.late = chance(3);
        sends.error = chance(100) ? EPIPE : 0;
        fake_set_sends(sends);
}

static void step(void)
{
        struct peer *p = somebody();

        switch (prng_below(&prng, 10)) {
        case 0:
                suite_need(f.ops->wait(f.reactor, CLOCK_NEVER) >= 0, "wait");
                break;
        case 1:
                suite_need(replay_turn() >= 0, "wait");
                break;
        case 2:
                suite_need(!replay_submit(), "submit");
                break;
        case 3:
                choose_sends();
                break;
        case 4:
                listen_to(p);
                break;
        case 5:
                shut(p);
                come_again(p);
                break;
        case 6:
        case 7:
                some_complete(1 + (unsigned)prng_below(&prng, 6));
                break;
        default:
                do_something(p);
        }
        replay_check();
}

/* Everything that was under way ends well: nothing is missing then. */
static void calm_down(void)
{
        fake_on_enter(NULL, NULL);
        fake_set_sends((struct fake_sends){ .take = SIZE_MAX });
        for (unsigned i = 0; i < 100; i++) {
                struct fake_request *q;

                while ((q = fake_find(FAKE_SEND, -1)) && q->entered)
                        fake_finish_send(q, SIZE_MAX, 0);
                suite_need(!replay_submit(), "submit");
                for (unsigned k = 0; (q = fake_nth(k)); k++)
                        if (q->entered && q->kind == FAKE_POLL && q->fd != f.wake)
                                one_completes(q);
                replay_settle();
                for (unsigned k = 0; k < replay_n_peers; k++)
                        listen_to(&replay_peers[k]);
        }
        for (unsigned i = 0; i < replay_n_peers; i++) {
                struct peer *p = &replay_peers[i];

                if (p->closed || p->stream.removed || p->stream.failed)
                        continue;
                ck_assert_uint_eq(p->received, walkers[i].fed);
                ck_assert_uint_eq(walkers[i].heard, walkers[i].said);
        }
}

static void walk(uint64_t seed)
{
        prng = (struct prng){ seed };
        replay_begin(2u << prng_below(&prng, 4), 1u << prng_below(&prng, 4));
        fake_on_enter(on_enter, NULL);
        for (unsigned i = 0; i < WALKERS; i++)
                dress(replay_add());
        for (unsigned i = 0; i < WALK_STEPS; i++)
                step();
        calm_down();
        replay_end();
}

/* WALK_SEED in the environment: the first seed; the number of a round that fails is in Check's line. */
START_TEST(a_random_walk_loses_nothing)
{
        const char *first = getenv("WALK_SEED");
        uint64_t seed = (first ? strtoull(first, NULL, 0) : 1) + (uint64_t)_i * WALK_SEEDS;

        n_received = n_heard = n_closed = n_failed = n_sleeps = 0;
        for (unsigned i = 0; i < WALK_SEEDS; i++)
                walk(seed + i);
        ck_assert_uint_gt(n_received, 10000);
        ck_assert_uint_gt(n_heard, 10000);
        ck_assert_uint_gt(n_closed, 10);
        ck_assert_uint_gt(n_failed, 2);
        ck_assert_uint_gt(n_sleeps, 10);
}
END_TEST

void add_walk_cases(TCase *cases)
{
        tcase_add_loop_test(cases, a_random_walk_loses_nothing, 0, WALK_ROUNDS);
}
