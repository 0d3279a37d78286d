/* SPDX-License-Identifier: MIT */
/* Many streams in one turn: more than there are places for requests, completions or bytes. */

#include "cases.h"

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "reactor/uring.h"
#include "util/mem.h"

#define PATIENCE (10 * NSEC_PER_SEC)

static struct peer *crowd;
static unsigned n_crowd;
static bool *dirty; /* of each: it has output */
static unsigned n_closed;

/* ------------------------------------------------------------------ a crowd that is answered what it says */

static void echo(struct peer *p)
{
        outq_copy(&p->stream.out, &pool, buffer_view(&p->in));
        buffer_consume(&p->in, buffer_size(&p->in));
        dirty[p - crowd] = true;
}

static void count_closed(struct peer *p)
{
        (void)p;
        n_closed++;
}

static void crowd_open(unsigned n)
{
        n_crowd = n;
        n_closed = 0;
        crowd = mem_zalloc(n * sizeof(*crowd));
        dirty = mem_zalloc(n * sizeof(*dirty));
        for (unsigned i = 0; i < n; i++) {
                peer_open(&crowd[i]);
                crowd[i].on_data = echo;
                crowd[i].on_closed = count_closed;
        }
}

static void crowd_flush(void)
{
        for (unsigned i = 0; i < n_crowd; i++)
                if (dirty[i])
                        f.ops->flush(f.reactor, &crowd[i].stream);
        ck_assert_int_eq(f.ops->submit(f.reactor), 0);
        memset(dirty, 0, n_crowd * sizeof(*dirty));
}

/* As a shard's: wait, serve, flush. */
static void crowd_turn(uint64_t deadline)
{
        ck_assert_int_ge(f.ops->wait(f.reactor, deadline), 0);
        crowd_flush();
}

static void crowd_close(void)
{
        for (unsigned i = 0; i < n_crowd; i++)
                f.ops->remove(f.reactor, &crowd[i].stream);
        ck_assert(peers_wait(n_closed == n_crowd, PATIENCE));
        for (unsigned i = 0; i < n_crowd; i++) {
                close(crowd[i].far);
                buffer_deinit(&crowd[i].in);
        }
        free(crowd);
        free(dirty);
}

static void say(unsigned i, const char *text)
{
        suite_need(write(crowd[i].far, text, strlen(text)) == (ssize_t)strlen(text), "write");
}

/* Whether the far end has got as many bytes by now; they have to be these. */
static bool hears(unsigned i, const char *text)
{
        char got[64];
        ssize_t n = recv(crowd[i].far, got, sizeof(got), MSG_PEEK | MSG_DONTWAIT);

        if (n < (ssize_t)strlen(text))
                return false;
        n = recv(crowd[i].far, got, sizeof(got), 0);
        suite_need(n == (ssize_t)strlen(text) && !memcmp(got, text, strlen(text)), "stream %u hears \"%.*s\"",
                   i, (int)n, got);
        return true;
}

/* Turns until each of them has heard that. */
static void all_hear(unsigned from, unsigned to, const char *text)
{
        uint64_t end = clock_now() + PATIENCE;

        for (unsigned i = from; i < to; i++)
                while (!hears(i, text)) {
                        suite_need(clock_now() < end, "stream %u is not answered", i);
                        crowd_turn(end);
                }
}

/* ------------------------------------------------------------------ requests and completions without room */

/* Known failure 4. */
START_TEST(a_crowd_that_comes_in_one_turn_is_answered)
{
        crowd_open(64);
        for (unsigned i = 0; i < n_crowd; i++) {
                outq_copy(&crowd[i].stream.out, &pool, BYTES_LITERAL("hello"));
                dirty[i] = true;
        }
        crowd_flush();
        all_hear(0, n_crowd, "hello");
        for (unsigned i = 0; i < n_crowd; i++)
                say(i, "ping");
        all_hear(0, n_crowd, "ping");
        crowd_close();
}
END_TEST

/* Known failure 36: nobody waits for as many turns as a crowd in front of him takes. */
START_TEST(one_behind_a_crowd_that_hangs_up_is_heard_soon)
{
        unsigned waits = 0, last;

        crowd_open(1000);
        last = n_crowd - 1;
        say(last, "here");
        all_hear(last, n_crowd, "here");
        for (unsigned i = 0; i < last; i++)
                shutdown(crowd[i].far, SHUT_WR);
        say(last, "still here");
        while (!dirty[last]) {
                ck_assert_uint_lt(waits++, 20);
                ck_assert_int_ge(f.ops->wait(f.reactor, clock_now() + PATIENCE), 0);
        }
        crowd_flush();
        all_hear(last, n_crowd, "still here");
        crowd_close();
}
END_TEST

/* Known failure 12: many completions at once end receives, and no byte is lost by that, nor any stream. */
START_TEST(a_crowd_that_is_busy_all_the_time_is_answered)
{
        crowd_open(40);
        for (unsigned round = 0; round < 200; round++) {
                char text[16];

                snprintf(text, sizeof(text), "round %u", round);
                for (unsigned i = 0; i < n_crowd; i++)
                        say(i, text);
                all_hear(0, n_crowd, text);
        }
        crowd_close();
}
END_TEST

/* ------------------------------------------------------------------ bytes without room */

/* Known failure 10: where there are fewer buffers than streams, -ENOBUFS comes for idle ones as well. Those
 * that speak stand behind idle ones then, and the reactor sleeps in between. */
static void speak_among_idle(unsigned busy, unsigned idle)
{
        unsigned second = busy + idle, end = second + busy;

        crowd_open(end + idle);
        for (unsigned i = 0; i < end; i++)
                if (i < busy || i >= second)
                        say(i, "now");
        all_hear(0, busy, "now");
        all_hear(second, end, "now");
        for (unsigned i = 0; i < n_crowd; i++)
                say(i, "later");
        all_hear(0, n_crowd, "later");
        crowd_close();
}

START_TEST(idle_streams_keep_nobody_from_being_read)
{
        speak_among_idle(64, 600);
        speak_among_idle(1, 50);
}
END_TEST

static uint64_t thread_cpu(void)
{
        struct timespec t;

        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
        return (uint64_t)t.tv_sec * NSEC_PER_SEC + (uint64_t)t.tv_nsec;
}

static void take(struct peer *p)
{
        for (size_t i = 0; i < buffer_size(&p->in); i++)
                suite_need(buffer_view(&p->in).p[i] == (uint8_t)(p->received - buffer_size(&p->in) + i),
                           "bytes are lost or out of order");
        buffer_consume(&p->in, buffer_size(&p->in));
}

/* Sends what fits, of a sequence that goes on. Return: whether all has been sent. */
static bool send_some(unsigned i, size_t *sentp, size_t total)
{
        uint8_t bytes[3000];
        ssize_t n;

        while (*sentp < total) {
                for (size_t k = 0; k < sizeof(bytes); k++)
                        bytes[k] = (uint8_t)(*sentp + k);
                n = send(crowd[i].far, bytes, total - *sentp < sizeof(bytes) ? total - *sentp : sizeof(bytes),
                         MSG_DONTWAIT);
                if (n <= 0)
                        return false;
                *sentp += (size_t)n;
        }
        return true;
}

/* A reactor that is busy by itself is so in every window; a machine that is busy with others lets one pass. */
static bool costs_nothing(void)
{
        uint64_t since = clock_now(), cpu = thread_cpu();

        while (clock_now() < since + 100 * NSEC_PER_MSEC)
                ck_assert_int_eq(f.ops->wait(f.reactor, clock_now() + 5 * NSEC_PER_MSEC), 0);
        return thread_cpu() - cpu < (clock_now() - since) / 20;
}

/* Known failures 10 and 11. */
START_TEST(a_crowd_that_sends_more_than_there_are_buffers_is_read_and_then_costs_nothing)
{
        size_t sent[64] = { 0 }, total = 200000;
        uint64_t end = clock_now() + PATIENCE, starved = 0;
        bool all = false;

        crowd_open(64);
        for (unsigned i = 0; i < n_crowd; i++)
                crowd[i].on_data = take;
        while (!all) {
                all = true;
                for (unsigned i = 0; i < n_crowd; i++)
                        all = send_some(i, &sent[i], total) && crowd[i].received == total && all;
                ck_assert_int_ge(f.ops->wait(f.reactor, all ? 0 : end), 0);
                ck_assert_uint_lt(clock_now(), end);
        }
        for (int i = 0; i < 3; i++)
                f.ops->wait(f.reactor, 0);
        if (reactor_stats())
                starved = reactor_stats()->starved;
        for (int i = 0; i < 20 && !costs_nothing(); i++)
                ck_assert_int_lt(i, 19);
        if (reactor_stats())
                ck_assert_uint_eq(reactor_stats()->starved, starved);
        crowd_close();
}
END_TEST

/* ------------------------------------------------------------------ ten thousand, or as many as there may be
 */

#define THOUSANDS     10000u
#define FEW_THOUSANDS 2000u /* fewer show nothing */

/* Return: how many streams may be open, with their far ends, as far as they are wanted. */
static unsigned how_many(void)
{
        struct rlimit limit, all = { 2 * THOUSANDS + 64, 2 * THOUSANDS + 64 };

        getrlimit(RLIMIT_NOFILE, &limit);
        if (limit.rlim_cur < all.rlim_cur && setrlimit(RLIMIT_NOFILE, &all)) {
                limit.rlim_cur = limit.rlim_max;
                setrlimit(RLIMIT_NOFILE, &limit);
        }
        getrlimit(RLIMIT_NOFILE, &limit);
        return limit.rlim_cur < all.rlim_cur ? ((unsigned)limit.rlim_cur - 64) / 2 : THOUSANDS;
}

START_TEST(ten_thousand_with_output_are_served_by_one_submit)
{
        unsigned n = how_many();
        uint64_t full = 0;

        if (n < FEW_THOUSANDS) {
                fprintf(stderr, "SKIP: only %u streams may be open here\n", n);
                return;
        }
        crowd_open(n);
        ck_assert_int_ge(f.ops->wait(f.reactor, 0), 0);
        if (reactor_stats())
                full = reactor_stats()->full;
        for (unsigned i = 0; i < n_crowd; i++) {
                outq_copy(&crowd[i].stream.out, &pool, BYTES_LITERAL("hello"));
                dirty[i] = true;
        }
        crowd_flush();
        for (unsigned i = 0; i < n_crowd; i++) {
                suite_need(!crowd[i].stream.out.n && !crowd[i].stream.writing, "the output of %u is left", i);
                suite_need(hears(i, "hello"), "%u has not got its bytes", i);
        }
        if (reactor_stats())
                ck_assert_uint_ge(reactor_stats()->full - full, n / 256 - 1);
        say(0, "first");
        say(n - 1, "last");
        all_hear(0, 1, "first");
        all_hear(n - 1, n, "last");
        crowd_close();
}
END_TEST

void add_crowd_cases(TCase *cases)
{
        tcase_add_test(cases, a_crowd_that_comes_in_one_turn_is_answered);
        tcase_add_test(cases, one_behind_a_crowd_that_hangs_up_is_heard_soon);
        tcase_add_test(cases, a_crowd_that_is_busy_all_the_time_is_answered);
        tcase_add_test(cases, idle_streams_keep_nobody_from_being_read);
        tcase_add_test(cases, a_crowd_that_sends_more_than_there_are_buffers_is_read_and_then_costs_nothing);
        tcase_add_test(cases, ten_thousand_with_output_are_served_by_one_submit);
}
