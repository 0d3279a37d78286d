/* SPDX-License-Identifier: MIT */
/* Few buffers and few places for requests: who is read when, and in which order bytes come. */

#include "replay.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "reactor/uring.h"

/* ------------------------------------------------------------------ buffers */

static struct peer *starving[8];
static unsigned n_starving;

/* All but the first of some streams find no buffer, because the first one has it. */
static void starve(unsigned n)
{
        struct peer *first;

        replay_begin(16, 1);
        first = replay_add();
        for (n_starving = 0; n_starving < n; n_starving++)
                starving[n_starving] = replay_add();
        replay_settle();
        replay_feed(first, "x", true);
        for (unsigned i = 0; i < n; i++)
                fake_complete(fake_find(FAKE_RECEIVE, starving[i]->number), -ENOBUFS, -1, false);
}

static bool all_armed(void)
{
        for (unsigned i = 0; i < n_starving; i++)
                if (!fake_count(FAKE_RECEIVE, starving[i]->number))
                        return false;
        return true;
}

static void on_sleep(void *arg, bool wait, uint64_t ns)
{
        (void)arg;
        (void)ns;
        if (!wait || fake_busy())
                return;
        ck_assert_msg(all_armed(), "it sleeps while a buffer is there and somebody waits for one");
        fake_post(fake_find(FAKE_POLL, f.wake)->tag, POLLIN, -1, true);
}

/* Known failure 10: -ENOBUFS comes also where nothing is to be read, so one buffer arms all of them. */
START_TEST(nobody_who_found_no_buffer_is_forgotten_when_it_is_back)
{
        starve(8);
        ck_assert_int_eq(f.ops->wait(f.reactor, CLOCK_NEVER), 1);
        replay_check();
        fake_on_enter(on_sleep, NULL);
        ck_assert_int_eq(f.ops->wait(f.reactor, CLOCK_NEVER), 0);
        ck_assert_uint_ge(fake_sleeps(), 1);
        ck_assert(all_armed());
        ck_assert_uint_eq(uring_stats(f.reactor)->starved, 8);
        replay_end();
}
END_TEST

static struct peer *holder;

static void feed_again(void *arg, bool wait, uint64_t ns)
{
        (void)arg;
        (void)wait;
        (void)ns;
        fake_on_enter(NULL, NULL);
        replay_feed(holder, "second", true);
}

/* The queue of requests has room for two, so the ring is entered, and the buffer is taken once more. */
static void flush_three(void)
{
        for (unsigned i = 0; i < 3; i++) {
                replay_say(starving[i], "x", 1);
                f.ops->flush(f.reactor, &starving[i]->stream);
        }
}

static void feed_and_flush(struct peer *p)
{
        (void)p;
        fake_on_enter(feed_again, NULL);
        flush_three();
}

/* Known failure 10: armed without a buffer it would find none again, and so on for ever. */
START_TEST(without_a_buffer_nobody_asks_for_one)
{
        struct peer *ends, *p;

        replay_begin(2, 1);
        holder = replay_add();
        ends = replay_add();
        p = replay_add();
        for (unsigned i = 0; i < 3; i++)
                starving[i] = replay_add();
        replay_settle();
        replay_feed(holder, "first", true);
        fake_complete(fake_find(FAKE_RECEIVE, p->number), -ENOBUFS, -1, false);
        ends->on_hangup = feed_and_flush;
        shutdown(ends->far, SHUT_WR);
        fake_complete(fake_find(FAKE_RECEIVE, ends->number), 0, -1, false);
        ck_assert_int_eq(replay_turn(), 2);
        ck_assert_uint_eq(fake_buffers_home(), 0);
        ck_assert_int_eq(replay_submit(), 0);
        ck_assert_uint_eq(fake_count(FAKE_RECEIVE, p->number), 0);
        ck_assert_int_eq(replay_turn(), 1);
        ck_assert_uint_eq(fake_buffers_home(), 1);
        replay_settle();
        ck_assert_uint_eq(fake_count(FAKE_RECEIVE, p->number), 1);
        ck_assert_uint_eq(holder->received, strlen("firstsecond"));
        replay_end();
}
END_TEST

/* Known failure 57: one that always has something to read would take the only buffer each time. */
START_TEST(who_found_no_buffer_comes_before_who_had_one)
{
        struct peer *busy, *p;

        replay_begin(8, 1);
        busy = replay_add();
        p = replay_add();
        replay_settle();
        replay_feed(busy, "x", false);
        fake_complete(fake_find(FAKE_RECEIVE, p->number), -ENOBUFS, -1, false);
        replay_settle();
        ck_assert_uint_lt(fake_find(FAKE_RECEIVE, p->number)->number,
                          fake_find(FAKE_RECEIVE, busy->number)->number);
        replay_end();
}
END_TEST

/* Known failure 11: a kernel that has lost all buffers is no reason to ask for ever. */
START_TEST(buffers_that_the_kernel_lost_end_the_reactor)
{
        struct peer *p;

        replay_begin(8, 2);
        p = replay_add();
        replay_settle();
        fake_complete(fake_find(FAKE_RECEIVE, p->number), -ENOBUFS, -1, false);
        ck_assert_int_eq(replay_turn(), -ENOBUFS);
        f.ops->remove(f.reactor, &p->stream);
        f.ops->wait(f.reactor, 0);
        ck_assert_int_eq(p->closed, 1);
        ck_assert_int_eq(f.ops->submit(f.reactor), -ENOBUFS);
        replay_n_peers = 0;
        close(p->far);
        close(p->number);
        f.reactor = f.ops->deinit(f.reactor);
}
END_TEST

/* ------------------------------------------------------------------ the order of completions */

static int stage;

/* When the reactor waits for its sends, all come at once; more bytes arrive as it makes room for what follows.
 */
static void bring_all(void *arg, bool wait, uint64_t ns)
{
        struct fake_request *q;

        (void)arg;
        (void)ns;
        if (wait && stage == 0) {
                while ((q = fake_find(FAKE_SEND, -1)))
                        fake_finish_send(q, 1, 0);
                replay_feed(holder, "first, ", true);
                replay_feed(holder, "second, ", true);
                stage = 1;
        } else if (!wait && stage == 1) {
                replay_feed(holder, "third", false);
                stage = 2;
        }
}

/* Requests that follow from completions need room themselves, and newer completions come along with it. */
START_TEST(bytes_keep_their_order_when_room_is_made_in_between)
{
        replay_begin(2, 4);
        stage = 0;
        holder = replay_add();
        for (unsigned i = 0; i < 4; i++)
                starving[i] = replay_add();
        replay_settle();
        fake_set_sends((struct fake_sends){ .late = true });
        fake_on_enter(bring_all, NULL);
        for (unsigned i = 0; i < 4; i++) {
                replay_say(starving[i], "cut short", 9);
                replay_flush(starving[i]);
        }
        ck_assert_int_eq(replay_submit(), 0);
        ck_assert_int_eq(stage, 2);
        replay_settle();
        ck_assert_uint_eq(holder->received, strlen("first, second, third"));
        ck_assert(!memcmp(buffer_view(&holder->in).p, "first, second, third", holder->received));
        replay_end();
}
END_TEST

static void crowd_in(void *arg, bool wait, uint64_t ns)
{
        uint64_t gone = fake_find(FAKE_RECEIVE, holder->number)->tag ^ UINT64_C(1) << 40;

        (void)arg;
        (void)wait;
        (void)ns;
        fake_on_enter(NULL, NULL);
        for (unsigned i = 0; i < 5000; i++)
                fake_post(gone, 0, -1, false);
        replay_feed(holder, "second", true);
}

static void make_room_for_many(struct peer *p)
{
        p->on_data = NULL;
        fake_on_enter(crowd_in, NULL);
        flush_three();
}

/* More completions come from inside a callback than there was room for when it began; a sanitizer looks as
 * well. */
START_TEST(the_inbox_may_grow_while_it_is_worked_off)
{
        replay_begin(2, 2);
        holder = replay_add();
        holder->on_data = make_room_for_many;
        for (unsigned i = 0; i < 3; i++)
                starving[i] = replay_add();
        replay_settle();
        replay_feed(holder, "first, ", true);
        replay_settle();
        ck_assert_uint_eq(uring_stats(f.reactor)->stale, 5000);
        ck_assert_uint_eq(holder->received, strlen("first, second"));
        replay_end();
}
END_TEST

/* Known failure 4: whoever asks while the queue of requests is full is armed later, and nobody is forgotten. */
START_TEST(many_are_armed_through_a_queue_of_two)
{
        replay_begin(2, 4);
        for (unsigned i = 0; i < 100; i++)
                replay_add();
        for (unsigned i = 0; i < 100; i++) {
                replay_say(&replay_peers[i], "hello", 5);
                replay_flush(&replay_peers[i]);
        }
        ck_assert_int_eq(replay_submit(), 0);
        replay_settle();
        for (unsigned i = 0; i < 100; i++) {
                ck_assert_uint_eq(fake_count(FAKE_RECEIVE, replay_peers[i].number), 1);
                replay_heard(&replay_peers[i], "hello", 5);
        }
        ck_assert_uint_ge(uring_stats(f.reactor)->full, 90);
        replay_end();
}
END_TEST

/* The room for its receive is made by an enter in which its send fails. */
START_TEST(a_stream_that_fails_while_it_asks_is_not_armed)
{
        struct peer *p[3];

        replay_begin(2, 4);
        for (unsigned i = 0; i < 3; i++)
                p[i] = replay_add();
        fake_set_sends((struct fake_sends){ .error = EPIPE });
        for (unsigned i = 0; i < 2; i++) {
                replay_say(p[i], "lost", 4);
                replay_flush(p[i]);
        }
        ck_assert_int_eq(replay_submit(), 0);
        replay_settle();
        for (unsigned i = 0; i < 2; i++) {
                ck_assert_int_eq(p[i]->errors, 1);
                ck_assert_uint_eq(fake_count(FAKE_RECEIVE, p[i]->number), 0);
        }
        ck_assert_uint_eq(fake_count(FAKE_RECEIVE, p[2]->number), 1);
        replay_end();
}
END_TEST

void add_buffer_cases(TCase *cases)
{
        tcase_add_test(cases, nobody_who_found_no_buffer_is_forgotten_when_it_is_back);
        tcase_add_test(cases, without_a_buffer_nobody_asks_for_one);
        tcase_add_test(cases, who_found_no_buffer_comes_before_who_had_one);
        tcase_add_test(cases, buffers_that_the_kernel_lost_end_the_reactor);
        tcase_add_test(cases, bytes_keep_their_order_when_room_is_made_in_between);
        tcase_add_test(cases, the_inbox_may_grow_while_it_is_worked_off);
        tcase_add_test(cases, many_are_armed_through_a_queue_of_two);
        tcase_add_test(cases, a_stream_that_fails_while_it_asks_is_not_armed);
}
