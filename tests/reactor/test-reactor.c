/* SPDX-License-Identifier: MIT */
/* What every reactor promises, on real sockets. Each case runs on each of them. */

#include <config.h>

#include "reactor/reactor.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdalign.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/suite.h"
#include "util/buffer.h"
#include "util/clock.h"

struct peer {
        struct stream stream;
        struct buffer in;
        int ends, errors, closed, drained;
        alignas(16) uint8_t state[256];
};

struct fixture {
        const struct reactor_ops *ops;
        struct reactor *reactor;
        int wake;
};

static struct peer *peer_of(struct stream *s)
{
        return container_of(s, struct peer, stream);
}

static void on_data(void *arg, struct stream *s, struct bytes b)
{
        (void)arg;
        buffer_put(&peer_of(s)->in, b.p, b.n);
}

static void on_drained(void *arg, struct stream *s)
{
        (void)arg;
        peer_of(s)->drained++;
}

static void on_hangup(void *arg, struct stream *s, int error)
{
        (void)arg;
        if (error)
                peer_of(s)->errors++;
        else
                peer_of(s)->ends++;
}

static void on_closed(void *arg, struct stream *s)
{
        (void)arg;
        peer_of(s)->closed++;
}

static struct fixture f;
static struct stage_pool pool;

static void setup(const struct reactor_ops *ops, unsigned entries, unsigned buffers, bool single_shot)
{
        struct reactor_sink sink = { on_data, on_drained, on_hangup, on_closed, NULL };
        struct reactor_options options = { .receive_bytes = 4096 };

        options.ring.entries = entries;
        options.ring.completions = 2 * entries;
        options.ring.buffers = buffers;
        options.ring.buffer_bytes = 4096;
        options.ring.single_shot = single_shot;
        signal(SIGPIPE, SIG_DFL);
        f.ops = ops;
        f.wake = options.wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        stage_pool_init(&pool, 2048, 4);
        ck_assert_int_eq(f.ops->init(&f.reactor, &options, &sink), 0);
        ck_assert_uint_le(f.ops->stream_size, 256);
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
#endif

static void teardown(void)
{
        f.reactor = f.ops->deinit(f.reactor);
        close(f.wake);
        stage_pool_deinit(&pool);
}

/* Return: the far end's descriptor. */
static int peer_open(struct peer *p)
{
        int fds[2];

        *p = (struct peer){ 0 };
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        fcntl(fds[0], F_SETFL, O_NONBLOCK);
        p->stream.fd = fds[0];
        p->stream.private_offset = offsetof(struct peer, state) - offsetof(struct peer, stream);
        outq_init(&p->stream.out);
        f.ops->add(f.reactor, &p->stream);
        return fds[1];
}

static void flush(struct peer *p)
{
        f.ops->flush(f.reactor, &p->stream);
        ck_assert_int_eq(f.ops->submit(f.reactor), 0);
}

static void peer_close(struct peer *p)
{
        f.ops->remove(f.reactor, &p->stream);
        ck_assert_int_eq(p->closed, 0); /* never synchronously */
        ck_assert_int_ge(f.ops->wait(f.reactor, CLOCK_NEVER), 1);
        ck_assert_int_eq(p->closed, 1);
        buffer_deinit(&p->in);
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
        flush(&p);
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
        flush(&p);
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
START_TEST(a_peer_that_is_gone_is_an_error_and_no_signal)
{
        struct peer p;
        int fd = peer_open(&p);

        close(fd);
        outq_copy(&p.stream.out, &pool, BYTES_LITERAL("lost"));
        flush(&p);
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
        flush(&p);
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
        flush(&old);
        f.ops->wait(f.reactor, CLOCK_NEVER);
        ck_assert_int_eq(old.closed, 1);
        ck_assert_uint_eq(old.stream.out.bytes, 0);
        close(far);
        next = peer_open(&new);
        ck_assert_int_eq(new.stream.fd, number);
        flush(&old);
        outq_copy(&new.stream.out, &pool, BYTES_LITERAL("mine"));
        flush(&new);
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
        suite_add_tcase(suite, cases);
}

int main(void)
{
        Suite *suite = suite_create("reactor");

        add_reactor(suite, "libev", setup_ev);
#ifdef WITH_LIBURING
        add_reactor(suite, "io_uring", setup_uring);
        add_reactor(suite, "io_uring, single shot", setup_uring_single);
        add_reactor(suite, "io_uring, tiny", setup_uring_tiny);
#endif
        return suite_finish(suite);
}
