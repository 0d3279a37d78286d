/* SPDX-License-Identifier: MIT */
/* What every reactor promises, on real sockets. Each case runs on each of them. */

#include <config.h>

#include "cases.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "reactor/uring.h"

static int first_free; /* descriptor, before each case */

static int free_descriptor(void)
{
        int fd = dup(0);

        close(fd);
        return fd;
}

static void setup(const struct reactor_ops *ops, unsigned entries, unsigned buffers, bool single_shot)
{
        struct reactor_options options = { .receive_bytes = 4096,
                                           .ring = { .entries = entries,
                                                     .completions = 2 * entries,
                                                     .buffers = buffers,
                                                     .buffer_bytes = 4096,
                                                     .single_shot = single_shot } };

        first_free = free_descriptor();
        peers_setup(ops, options);
}

static void setup_ev(void)
{
        setup(&reactor_ev, 0, 0, false);
}

#ifdef WITH_LIBURING
static void setup_uring(void)
{
        setup(&reactor_uring, 256, 64, false);
}

static void setup_uring_single(void)
{
        setup(&reactor_uring, 256, 64, true);
}

/* Everything is always full. */
static void setup_uring_tiny(void)
{
        setup(&reactor_uring, 2, 1, false);
}

/* Known failure 12: the completions that come in one turn do not fit into their queue, though their bytes do.
 */
static void setup_uring_few(void)
{
        setup(&reactor_uring, 4, 64, false);
}
#endif

/* No descriptor is left, and no completion came for a stream that was gone. */
static void teardown(void)
{
        if (f.ops == &reactor_uring)
                ck_assert_uint_eq(reactor_stats()->stale, 0);
        peers_teardown();
        ck_assert_int_eq(free_descriptor(), first_free);
}

const struct uring_stats *reactor_stats(void)
{
#ifdef WITH_LIBURING
        if (f.ops == &reactor_uring)
                return uring_stats(f.reactor);
#endif
        return NULL;
}

START_TEST(bytes_arrive_and_an_end_is_reported_once)
{
        struct peer p;
        int fd = peer_open(&p);

        ck_assert_int_eq(write(fd, "hello", 5), 5);
        ck_assert_int_eq(f.ops->wait(f.reactor, CLOCK_NEVER), 1);
        ck_assert_uint_eq(buffer_size(&p.in), 5);
        shutdown(fd, SHUT_WR);
        for (int i = 0; i < 3; i++)
                f.ops->wait(f.reactor, i ? 0 : CLOCK_NEVER);
        ck_assert_int_eq(p.ends, 1);
        outq_copy(&p.stream.out, &pool, BYTES_LITERAL("still heard"));
        peer_flush(&p);
        char text[32];
        ck_assert_int_eq(read(fd, text, sizeof(text)), 11);
        close(fd);
        peer_close(&p);
}
END_TEST

START_TEST(a_flush_that_the_kernel_does_not_take_finishes_by_itself)
{
        static char block[1 << 20], got[1 << 20];
        struct peer p;
        int fd = peer_open(&p);
        size_t n = 0;

        for (size_t i = 0; i < sizeof(block); i++)
                block[i] = (char)(i * 7 + i / 251);
        outq_copy(&p.stream.out, &pool, bytes_of(block, sizeof(block)));
        peer_flush(&p);
        ck_assert(p.stream.writing);
        while (n < sizeof(got)) {
                ssize_t r = read(fd, got + n, sizeof(got) - n < 5000 ? sizeof(got) - n : 5000);

                ck_assert_int_gt(r, 0);
                n += (size_t)r;
                f.ops->wait(f.reactor, 0);
        }
        ck_assert(!memcmp(block, got, sizeof(got)));
        ck_assert_int_eq(p.drained, 1);
        ck_assert(!p.stream.writing);
        close(fd);
        peer_close(&p);
}
END_TEST

/* Known failure 50: SIGPIPE has its default action here. */
/* While the kernel takes no more, what is left may be taken back, also all of it. */
START_TEST(output_that_was_taken_back_is_not_sent_and_room_is_told)
{
        static char block[1 << 20], got[1 << 20];
        struct peer p;
        int fd = peer_open(&p);
        struct outq rest;
        size_t sent, n = 0;
        ssize_t k;

        outq_init(&rest);
        outq_copy(&p.stream.out, &pool, bytes_of(block, sizeof(block)));
        peer_flush(&p);
        ck_assert(p.stream.writing);
        sent = p.stream.out.sent;
        outq_split(&p.stream.out, 0, &rest);
        ck_assert_uint_eq(sent + rest.bytes, sizeof(block));
        outq_clear(&rest);
        ck_assert_int_eq(p.drained, 0);
        while (n < sent) {
                k = read(fd, got + n, sizeof(got) - n);
                ck_assert_int_gt(k, 0);
                n += (size_t)k;
        }
        ck_assert(peers_wait(p.drained, NSEC_PER_SEC));
        ck_assert(!p.stream.writing && n == sent);
        outq_copy(&p.stream.out, &pool, BYTES_LITERAL("more"));
        peer_flush(&p);
        ck_assert_int_eq(read(fd, got, sizeof(got)), 4);
        ck_assert_mem_eq(got, "more", 4);
        close(fd);
        peer_close(&p);
}
END_TEST

START_TEST(a_peer_that_is_gone_is_an_error_and_no_signal)
{
        struct peer p;
        int fd = peer_open(&p);

        close(fd);
        outq_copy(&p.stream.out, &pool, BYTES_LITERAL("lost"));
        peer_flush(&p);
        ck_assert(p.stream.failed);
        ck_assert_uint_eq(p.stream.out.bytes, 0);
        ck_assert_int_eq(p.errors, 0);
        f.ops->wait(f.reactor, CLOCK_NEVER);
        ck_assert_int_eq(p.errors, 1);
        peer_close(&p);
}
END_TEST

START_TEST(a_paused_stream_is_silent_until_it_resumes)
{
        struct peer p;
        int fd = peer_open(&p);

        f.ops->pause(f.reactor, &p.stream, true);
        ck_assert_int_eq(write(fd, "x", 1), 1);
        shutdown(fd, SHUT_WR);
        f.ops->wait(f.reactor, 0);
        ck_assert_uint_eq(buffer_size(&p.in), 0);
        ck_assert_int_eq(p.ends, 0);
        f.ops->pause(f.reactor, &p.stream, false);
        while (!p.ends)
                f.ops->wait(f.reactor, CLOCK_NEVER);
        ck_assert_uint_eq(buffer_size(&p.in), 1);
        ck_assert_int_eq(p.ends, 1);
        close(fd);
        peer_close(&p);
}
END_TEST

START_TEST(a_wake_and_a_deadline_end_a_wait)
{
        uint64_t one = 1, start = clock_now();

        ck_assert_int_eq(write(f.wake, &one, sizeof(one)), sizeof(one));
        ck_assert_int_eq(f.ops->wait(f.reactor, CLOCK_NEVER), 0);
        ck_assert_int_eq(f.ops->wait(f.reactor, clock_now() + 20 * NSEC_PER_MSEC), 0);
        ck_assert_uint_ge(clock_now() - start, 15 * NSEC_PER_MSEC); /* so the wake was cleared */
}
END_TEST

struct reset {
        int fd;
        pthread_t thread;
};

static void *reset_later(void *arg)
{
        usleep(20000); /* the test's thread waits by then, or not yet: both must do */
        close(((struct reset *)arg)->fd);
        return NULL;
}

/* The error comes while the reactor sleeps without end, and nothing else does. */
START_TEST(a_reset_ends_a_wait)
{
        struct peer p;
        struct reset reset = { .fd = peer_open(&p) };

        outq_copy(&p.stream.out, &pool, BYTES_LITERAL("unread"));
        peer_flush(&p);
        f.ops->wait(f.reactor, 0);
        ck_assert_int_eq(pthread_create(&reset.thread, NULL, reset_later, &reset), 0);
        while (!p.errors)
                ck_assert_int_ge(f.ops->wait(f.reactor, CLOCK_NEVER), 0);
        pthread_join(reset.thread, NULL);
        ck_assert_int_eq(p.errors, 1);
        peer_close(&p);
}
END_TEST

/* Known failure 53: the number of a closed descriptor is reused at once. */
START_TEST(reused_descriptors_get_their_own_bytes)
{
        for (int i = 0; i < 20000; i++) {
                struct peer p;
                int fd = peer_open(&p);
                char text[16];
                int n = snprintf(text, sizeof(text), "%d", i);

                ck_assert_int_eq(write(fd, text, (size_t)n), n);
                if (i % 3)
                        f.ops->wait(f.reactor, CLOCK_NEVER);
                if (i % 3)
                        ck_assert(bytes_equal(buffer_view(&p.in), bytes_of(text, (size_t)n)));
                if (i % 2)
                        close(fd);
                peer_close(&p);
                if (i % 2 == 0)
                        close(fd);
        }
}
END_TEST

/* Known failure 9: nothing else happens on this reactor, and the close must not wait for it. */
START_TEST(a_removal_on_an_idle_reactor_is_carried_out)
{
        struct peer p;
        int fd = peer_open(&p);
        char c;

        f.ops->wait(f.reactor, 0);
        f.ops->remove(f.reactor, &p.stream);
        f.ops->wait(f.reactor, CLOCK_NEVER);
        ck_assert_int_eq(p.closed, 1);
        ck_assert_int_eq(p.stream.fd, -1);
        ck_assert_int_eq(read(fd, &c, 1), 0);
        close(fd);
}
END_TEST

/* Known failure 49: what was queued for a connection never reaches the next one that gets its number. */
START_TEST(output_of_a_closed_stream_reaches_nobody_else)
{
        struct peer old, new;
        int far = peer_open(&old), number = old.stream.fd, next;
        char text[64];

        outq_copy(&old.stream.out, &pool, BYTES_LITERAL("secret"));
        f.ops->remove(f.reactor, &old.stream);
        peer_flush(&old);
        f.ops->wait(f.reactor, CLOCK_NEVER);
        ck_assert_int_eq(old.closed, 1);
        ck_assert_uint_eq(old.stream.out.bytes, 0);
        close(far);
        next = peer_open(&new);
        ck_assert_int_eq(new.stream.fd, number);
        peer_flush(&old);
        outq_copy(&new.stream.out, &pool, BYTES_LITERAL("mine"));
        peer_flush(&new);
        ck_assert_int_eq(read(next, text, sizeof(text)), 4);
        ck_assert(!memcmp(text, "mine", 4));
        close(next);
        peer_close(&new);
}
END_TEST

/* Known failure 48: descriptors that come along are closed by the kernel. */
START_TEST(descriptors_sent_along_are_not_kept)
{
        struct peer p;
        int fd = peer_open(&p), before, after;
        char control[CMSG_SPACE(sizeof(int) * 200)] = { 0 };
        struct iovec iov = { (char[]){ 'x' }, 1 };
        struct msghdr msg = {
                .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
        };
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
        int fds[200];

        for (int i = 0; i < 200; i++)
                fds[i] = fd;
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(fds));
        memcpy(CMSG_DATA(cmsg), fds, sizeof(fds));
        before = dup(0);
        close(before);
        for (int i = 0; i < 50; i++) {
                ck_assert_int_eq(sendmsg(fd, &msg, 0), 1);
                f.ops->wait(f.reactor, CLOCK_NEVER);
        }
        after = dup(0);
        close(after);
        ck_assert_int_eq(before, after);
        ck_assert_uint_eq(buffer_size(&p.in), 50);
        close(fd);
        peer_close(&p);
}
END_TEST

static void add(TCase *cases)
{
        tcase_add_test(cases, bytes_arrive_and_an_end_is_reported_once);
        tcase_add_test(cases, a_flush_that_the_kernel_does_not_take_finishes_by_itself);
        tcase_add_test(cases, output_that_was_taken_back_is_not_sent_and_room_is_told);
        tcase_add_test(cases, a_peer_that_is_gone_is_an_error_and_no_signal);
        tcase_add_test(cases, a_paused_stream_is_silent_until_it_resumes);
        tcase_add_test(cases, a_wake_and_a_deadline_end_a_wait);
        tcase_add_test(cases, a_reset_ends_a_wait);
        tcase_add_test(cases, reused_descriptors_get_their_own_bytes);
        tcase_add_test(cases, a_removal_on_an_idle_reactor_is_carried_out);
        tcase_add_test(cases, output_of_a_closed_stream_reaches_nobody_else);
        tcase_add_test(cases, descriptors_sent_along_are_not_kept);
}

static void add_reactor(Suite *suite, const char *name, void (*set_up)(void))
{
        TCase *cases = tcase_create(name);

        tcase_set_timeout(cases, 60);
        tcase_add_checked_fixture(cases, set_up, teardown);
        add(cases);
        add_crowd_cases(cases);
        add_race_cases(cases);
        suite_add_tcase(suite, cases);
}

#ifdef WITH_LIBURING
/* By a signal, so in a process of its own. */
static void add_deaths(Suite *suite)
{
        const char *fork = getenv("CK_FORK");
        TCase *cases;

        if (fork && !strcmp(fork, "no"))
                return;
        cases = tcase_create("io_uring, deaths");
        tcase_add_checked_fixture(cases, setup_uring, teardown);
        add_death_cases(cases);
        suite_add_tcase(suite, cases);
}
#endif

int main(void)
{
        Suite *suite = suite_create("reactor");

        add_reactor(suite, "libev", setup_ev);
#ifdef WITH_LIBURING
        add_reactor(suite, "io_uring", setup_uring);
        add_reactor(suite, "io_uring, single shot", setup_uring_single);
        add_reactor(suite, "io_uring, tiny", setup_uring_tiny);
        add_reactor(suite, "io_uring, few completions", setup_uring_few);
        add_deaths(suite);
#endif
        return suite_finish(suite);
}
