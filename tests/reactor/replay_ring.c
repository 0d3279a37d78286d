/* SPDX-License-Identifier: MIT */
/* What is not of one stream: names of those that are gone, wakes, and the ring's own errors. */

#include "replay.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "reactor/uring.h"

/* ------------------------------------------------------------------ names */

/* Known failure 24: the slot is another stream's by now, and so is the descriptor's number. */
START_TEST(a_completion_of_a_stream_that_is_gone_is_dropped_and_counted)
{
        uint64_t receive, poll;
        struct peer *p;

        replay_begin(8, 4);
        p = replay_add();
        replay_settle();
        fake_set_sends((struct fake_sends){ .take = 1 });
        replay_say(p, "xyz", 3);
        replay_flush(p);
        ck_assert_int_eq(replay_submit(), 0);
        replay_settle();
        receive = fake_find(FAKE_RECEIVE, p->number)->tag;
        poll = fake_find(FAKE_POLL, p->number)->tag;
        replay_remove(p);
        replay_settle();
        fake_complete(fake_find(FAKE_RECEIVE, p->number), -ECANCELED, -1, false);
        fake_complete(fake_find(FAKE_POLL, p->number), -ECANCELED, -1, false);
        replay_settle();
        replay_add_again(p);
        replay_settle();
        ck_assert_uint_ne(fake_find(FAKE_RECEIVE, p->number)->tag, receive);
        fake_post(receive, 5, fake_fill("stale", 5), true);
        fake_post(receive, 0, -1, false);
        fake_post(poll, POLLOUT, -1, false);
        fake_post((receive & ~UINT64_C(0xff)) | 1, 3, -1, false); /* of its send */
        fake_post(receive | 0xffff00, 5, fake_fill("never", 5), false);
        replay_settle();
        ck_assert_uint_eq(uring_stats(f.reactor)->stale, 5);
        ck_assert_uint_eq(p->received, 0);
        ck_assert_int_eq(p->ends + p->errors + p->closed, 0);
        ck_assert_uint_eq(fake_count(FAKE_RECEIVE, p->number), 1);
        replay_end();
}
END_TEST

/* ------------------------------------------------------------------ wakes */

/* Known failure 20. */
START_TEST(a_message_that_fails_becomes_a_write_to_the_eventfd)
{
        static const int errors[] = { EOVERFLOW, EBADF, EBADFD, ENOMEM, EINVAL };
        int other = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        struct reactor_address address = { .ring = 77, .wake_fd = other };
        uint64_t count;

        replay_begin(8, 4);
        f.ops->wake(f.reactor, &address);
        ck_assert_uint_eq(fake_count(FAKE_MESSAGE, 77), 1);
        ck_assert_int_eq(replay_submit(), 0);
        replay_settle();
        ck_assert_int_lt(read(other, &count, sizeof(count)), 0);
        for (unsigned i = 0; i < sizeof(errors) / sizeof(*errors); i++) {
                fake_fail_messages(errors[i]);
                f.ops->wake(f.reactor, &address);
                ck_assert_int_eq(replay_submit(), 0); /* no wait() needed */
                ck_assert_int_eq(read(other, &count, sizeof(count)), sizeof(count));
                ck_assert_uint_eq(count, 1);
        }
        ck_assert_uint_eq(uring_stats(f.reactor)->wakes_failed, sizeof(errors) / sizeof(*errors));
        close(other);
        replay_end();
}
END_TEST

static void wake_by_message(void *arg, bool wait, uint64_t ns)
{
        (void)ns;
        if (wait)
                fake_post(*(uint64_t *)arg, 0, -1, false);
}

/* Known failure 20: what a message to this ring brings ends its wait, and so does its eventfd, each time. */
START_TEST(a_message_or_the_eventfd_ends_a_wait_without_end)
{
        struct reactor_address self;
        uint64_t one = 1, tag;

        replay_begin(8, 4);
        self = f.ops->address(f.reactor);
        ck_assert_int_eq(self.ring, uring_ring_fd(fake_ring()));
        ck_assert_int_eq(self.wake_fd, f.wake);
        f.ops->wake(f.reactor, &self);
        tag = fake_find(FAKE_MESSAGE, self.ring)->target;
        ck_assert_int_eq(replay_submit(), 0);
        fake_on_enter(wake_by_message, &tag);
        ck_assert_int_eq(f.ops->wait(f.reactor, CLOCK_NEVER), 0);
        fake_on_enter(NULL, NULL);
        for (int more = 1; more >= 0; more--) {
                ck_assert_int_eq(write(f.wake, &one, sizeof(one)), sizeof(one));
                fake_complete(fake_find(FAKE_POLL, f.wake), POLLIN, -1, more);
                ck_assert_int_eq(f.ops->wait(f.reactor, CLOCK_NEVER), 0);
                ck_assert_int_lt(read(f.wake, &one, sizeof(one)), 0); /* cleared */
                replay_settle();
                ck_assert_uint_eq(fake_count(FAKE_POLL, f.wake), 1);
        }
        replay_end();
}
END_TEST

/* ------------------------------------------------------------------ the ring itself */

START_TEST(a_ring_that_is_refused_is_no_reactor)
{
        struct reactor_options options = { .wake_fd = -1 };
        struct reactor_sink sink = { .arg = NULL };
        char why[REACTOR_WHY_BYTES] = "";
        struct reactor *reactor = NULL;

        fake_refuse(true);
        ck_assert_int_eq(reactor_uring.init(&reactor, &options, &sink), REACTOR_E_UNSUPPORTED);
        options.why = why;
        ck_assert_int_eq(reactor_uring.init(&reactor, &options, &sink), REACTOR_E_UNSUPPORTED);
        ck_assert_str_eq(why, "refused");
        ck_assert_ptr_null(reactor);
        fake_refuse(false);
}
END_TEST

/* Nothing is tried for ever, and every call returns. */
START_TEST(an_error_of_the_ring_is_the_reactors)
{
        struct reactor_address address;
        struct peer *p;

        replay_begin(2, 4);
        p = replay_add();
        address = f.ops->address(f.reactor);
        fake_fail_enters(EFAULT);
        f.ops->wake(f.reactor, &address);
        f.ops->wake(f.reactor, &address);
        f.ops->wake(f.reactor, &address); /* has to make room, which fails */
        replay_say(p, "hello", 5);
        f.ops->flush(f.reactor, &p->stream);
        ck_assert_int_eq(f.ops->submit(f.reactor), -EFAULT);
        ck_assert_int_eq(f.ops->wait(f.reactor, CLOCK_NEVER), -EFAULT);
        f.ops->pause(f.reactor, &p->stream, true);
        f.ops->pause(f.reactor, &p->stream, false);
        f.ops->remove(f.reactor, &p->stream);
        ck_assert_int_eq(f.ops->wait(f.reactor, CLOCK_NEVER), -EFAULT);
        ck_assert_int_eq(p->closed, 1);
        close(p->far);
        close(p->number);
        peers_teardown();
}
END_TEST

/* An enter may be over before the time is. */
START_TEST(a_deadline_ends_a_wait_in_which_nothing_happens)
{
        uint64_t start = clock_now();

        replay_begin(8, 4);
        replay_add();
        ck_assert_int_eq(f.ops->wait(f.reactor, start + 2 * NSEC_PER_MSEC), 0);
        ck_assert_uint_ge(clock_now() - start, 2 * NSEC_PER_MSEC);
        ck_assert_int_eq(f.ops->wait(f.reactor, start), 0);
        replay_end();
}
END_TEST

void add_ring_cases(TCase *cases)
{
        tcase_add_test(cases, a_completion_of_a_stream_that_is_gone_is_dropped_and_counted);
        tcase_add_test(cases, a_message_that_fails_becomes_a_write_to_the_eventfd);
        tcase_add_test(cases, a_message_or_the_eventfd_ends_a_wait_without_end);
        tcase_add_test(cases, a_ring_that_is_refused_is_no_reactor);
        tcase_add_test(cases, an_error_of_the_ring_is_the_reactors);
        tcase_add_test(cases, a_deadline_ends_a_wait_in_which_nothing_happens);
}
