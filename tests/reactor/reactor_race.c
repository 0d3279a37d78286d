/* SPDX-License-Identifier: MIT */
/* Ends, removals and long messages, with the peer doing something at the same time. */

#include "cases.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/prng.h"

#define RACES  5000
#define REUSES 10000

/* Ten times as many turns with REACTOR_HEAVY=1. */
static int turns(int n)
{
        return getenv("REACTOR_HEAVY") ? 10 * n : n;
}

/* ------------------------------------------------------------------ an end right behind bytes */

static struct {
        sem_t go, understood;
        int fd; /* -1: no more */
        int n;  /* messages */
} speaker;

/* A peer on a thread of its own, as fast as it can. */
static void *speak(void *arg)
{
        for (;;) {
                int fd, n;

                while (sem_wait(&speaker.go) && errno == EINTR)
                        ;
                fd = speaker.fd;
                n = speaker.n;
                sem_post(&speaker.understood);
                if (fd < 0)
                        return arg;
                for (int i = 0; i < n; i++)
                        suite_need(write(fd, "hello", 5) == 5, "write");
                shutdown(fd, SHUT_WR);
        }
}

static void let_speak(int fd, int n)
{
        while (sem_wait(&speaker.understood) && errno == EINTR)
                ;
        speaker.fd = fd;
        speaker.n = n;
        sem_post(&speaker.go);
}

/* Some bytes long before: behind the first ones the io_uring reactor looks for an end itself. */
static void hear_first(struct peer *p)
{
        suite_need(write(p->far, "x", 1) == 1, "write");
        suite_need(peers_wait(p->received, NSEC_PER_SEC), "no byte after 1 s");
}

/* Known failure 7: an end that comes right behind bytes is told, within a second. */
START_TEST(an_end_right_behind_bytes_is_never_missed)
{
        pthread_t thread;

        sem_init(&speaker.go, 0, 0);
        sem_init(&speaker.understood, 0, 1);
        ck_assert_int_eq(pthread_create(&thread, NULL, speak, NULL), 0);
        for (int i = 0; i < turns(RACES); i++) {
                int n = 1 + i % 2;
                struct peer p;

                peer_open(&p);
                if (i % 3 == 0)
                        f.ops->wait(f.reactor, 0); /* armed before there is anything, or after, or meanwhile */
                if (i % 4 > 1)
                        hear_first(&p);
                let_speak(p.far, n);
                suite_need(peers_wait(p.ends, NSEC_PER_SEC), "no end after 1 s, in turn %d", i);
                suite_need(p.received == (size_t)(5 * n + (i % 4 > 1)), "%zu bytes before the end", p.received);
                peer_close(&p);
                close(p.far);
        }
        let_speak(-1, 0);
        pthread_join(thread, NULL);
        sem_destroy(&speaker.go);
        sem_destroy(&speaker.understood);
}
END_TEST

/* ------------------------------------------------------------------ removals */

/* Known failure 8: what is armed does not keep the socket open. */
START_TEST(peers_of_removed_streams_see_the_end_at_once)
{
        struct peer peers[50];
        uint64_t start;

        for (unsigned i = 0; i < 50; i++)
                peer_open(&peers[i]);
        for (int i = 0; i < 3; i++)
                f.ops->wait(f.reactor, 0);
        start = clock_now();
        for (unsigned i = 0; i < 50; i++) {
                if (i % 2) /* its receive completes as it is cancelled */
                        ck_assert_int_eq(write(peers[i].far, "x", 1), 1);
                f.ops->remove(f.reactor, &peers[i].stream);
        }
        for (unsigned i = 0; i < 50; i++) {
                struct pollfd look = { .fd = peers[i].far, .events = POLLIN };
                char c;

                ck_assert(peers_wait(peers[i].closed, NSEC_PER_SEC));
                ck_assert_int_eq(poll(&look, 1, 1000), 1);
                ck_assert_int_le(read(peers[i].far, &c, 1), 0);
                ck_assert_uint_eq(peers[i].received, 0);
        }
        ck_assert_uint_lt(clock_now() - start, NSEC_PER_SEC);
        for (unsigned i = 0; i < 50; i++)
                close(peers[i].far);
}
END_TEST

static void fill(int fd)
{
        static char block[4096];

        while (send(fd, block, sizeof(block), MSG_DONTWAIT) > 0)
                ;
}

/* Known failure 24: the number is always the same, and something is always under way for the last one. */
START_TEST(a_number_that_is_used_again_and_again_stays_clean)
{
        int number = -1;

        for (int i = 0; i < turns(REUSES); i++) {
                struct peer p;
                int fd = peer_open(&p);

                if (number < 0)
                        number = p.number;
                suite_need(p.number == number, "descriptor %d leaked", number);
                if (i % 4 == 1)
                        suite_need(write(fd, "old", 3) == 3, "write");
                if (i % 64 == 2)
                        fill(p.number); /* so that room is awaited below */
                if (i % 3)
                        f.ops->wait(f.reactor, 0);
                if (i % 4 == 3)
                        suite_need(write(fd, "old", 3) == 3, "write");
                outq_copy(&p.stream.out, &pool, BYTES_LITERAL("out"));
                peer_flush(&p);
                f.ops->remove(f.reactor, &p.stream);
                suite_need(peers_wait(p.closed, NSEC_PER_SEC), "not closed after 1 s, in turn %d", i);
                suite_need(p.closed == 1 && !p.ends && !p.errors, "turn %d", i);
                suite_need(p.received == 0 || (p.received == 3 && i % 2), "turn %d: foreign bytes", i);
                buffer_deinit(&p.in);
                close(fd);
        }
}
END_TEST

/* ------------------------------------------------------------------ long messages */

#define LONG     (1 << 20)
#define MESSAGES 3

static char text[LONG];

/* One message, in slices of two stages by turns, so that none continues the one before; short ones are copied.
 */
static void say_long(struct peer *p, struct stage *const *stages, struct prng *prng)
{
        uint32_t off = 0;

        for (unsigned i = 0; off < LONG; i++) {
                uint32_t n = 1 + (uint32_t)prng_below(prng, i % 3 ? 6000 : 100);

                if (n > LONG - off)
                        n = LONG - off;
                outq_slice(&p->stream.out, &pool, stages[i % 2], off, n);
                off += n;
        }
        peer_flush(p);
}

/* Reads a little. Return: bytes heard in all; they have to be the message, again and again. */
static size_t hear_some(int fd, size_t heard, struct prng *prng)
{
        char got[8000];
        ssize_t n = recv(fd, got, 1 + prng_below(prng, sizeof(got)), MSG_DONTWAIT);

        for (ssize_t i = 0; i < n; i++)
                suite_need(got[i] == text[(heard + (size_t)i) % LONG], "byte %zu is wrong", heard + (size_t)i);
        return n > 0 ? heard + (size_t)n : heard;
}

static void make_stages(struct stage **stages)
{
        for (unsigned i = 0; i < LONG; i++)
                text[i] = (char)(i * 7 + i / 251 + i / 65537);
        for (int i = 0; i < 2; i++) {
                stages[i] = stage_new(&pool, LONG);
                stages[i]->shared = true;
                stages[i]->used = LONG;
                memcpy(stages[i]->data, text, LONG);
        }
}

/* Known failures 21 and 22. */
START_TEST(long_messages_through_a_small_socket_keep_their_bytes_and_their_order)
{
        struct prng prng = { 3 };
        struct stage *stages[2];
        struct peer p;
        int fd = peer_open(&p), small = 4096;
        size_t heard = 0;

        make_stages(stages);
        setsockopt(p.number, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
        say_long(&p, stages, &prng);
        ck_assert(p.stream.writing);
        for (unsigned said = 1; heard < (size_t)MESSAGES * LONG;) {
                heard = hear_some(fd, heard, &prng);
                ck_assert_int_ge(f.ops->wait(f.reactor, 0), 0);
                if (said < MESSAGES && heard > said * (size_t)LONG / 3) {
                        ck_assert(p.stream.writing);
                        said++;
                        say_long(&p, stages, &prng);
                }
        }
        for (int i = 0; i < 3; i++)
                f.ops->wait(f.reactor, 0);
        ck_assert_uint_eq(p.stream.out.bytes, 0);
        ck_assert_int_eq(p.drained, 1);
        ck_assert_uint_eq(hear_some(fd, heard, &prng), heard);
        for (int i = 0; i < 2; i++)
                stage_unref(stages[i]);
        peer_close(&p);
        close(fd);
}
END_TEST

/* ------------------------------------------------------------------ the wrong thread */

static void *wait_elsewhere(void *arg)
{
        f.ops->wait(f.reactor, clock_now() + NSEC_PER_SEC);
        return arg;
}

/* Known failure 18: rather than what the kernel makes of it. */
START_TEST(a_call_from_another_thread_ends_by_assertion)
{
        pthread_t thread;

        ck_assert_int_eq(pthread_create(&thread, NULL, wait_elsewhere, NULL), 0);
        pthread_join(thread, NULL);
}
END_TEST

void add_race_cases(TCase *cases)
{
        tcase_add_test(cases, an_end_right_behind_bytes_is_never_missed);
        tcase_add_test(cases, peers_of_removed_streams_see_the_end_at_once);
        tcase_add_test(cases, a_number_that_is_used_again_and_again_stays_clean);
        tcase_add_test(cases, long_messages_through_a_small_socket_keep_their_bytes_and_their_order);
}

void add_death_cases(TCase *cases)
{
        tcase_add_test_raise_signal(cases, a_call_from_another_thread_ends_by_assertion, SIGABRT);
}
