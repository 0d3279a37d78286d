/* SPDX-License-Identifier: MIT */
/*
 * The io_uring reactor against every completion that a kernel may have for it, in every order: what the kernels
 * at hand do not do, others did. The known failures that the cases name are those of brokers and of users of
 * io_uring elsewhere.
 */

#include "replay.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

/* ------------------------------------------------------------------ one completion in every state */

enum state {
        ARMED,
        PAUSED,  /* its cancel is under way */
        RESUMED, /* likewise, but what arrives is wanted again */
        FAILED,
        REMOVED,
        ENDING, /* it heard of an end, and of more behind it: its cancel is under way */
        N_STATES,
};

static const int results[] = {
        5, 0, -ENOBUFS, -EAGAIN, -EINTR, -ECANCELED, -ECONNRESET, -EPIPE, -EINVAL, -ENOMEM,
};

struct row {
        enum state state;
        int res;
        bool more, buffer;
        bool gone; /* the peer sends no more */
};

struct outcome {
        size_t bytes;
        int ends, error;
        bool armed; /* afterwards */
};

static bool is_nothing(int res)
{
        return res == -ENOBUFS || res == -EAGAIN || res == -EINTR || res == -ECANCELED;
}

/* What has to come of it. */
static struct outcome expect(const struct row *row)
{
        bool reads = row->state == ARMED || row->state == RESUMED || row->state == ENDING;
        struct outcome o = { .armed = reads };

        if (row->state == FAILED)
                o.error = EPIPE;
        if (!reads && row->state != PAUSED)
                return o;
        if (row->res > 0 && row->buffer)
                o.bytes = (size_t)row->res;
        else if (row->res > 0)
                o.error = EIO;
        else if (row->res == 0)
                o.ends = reads && !row->more && (row->gone || row->state == ENDING);
        else if (!is_nothing(row->res))
                o.error = -row->res;
        o.armed = reads && !o.ends && !o.error;
        return o;
}

static void bring_to(struct peer *p, enum state state)
{
        switch (state) {
        case PAUSED:
                replay_pause(p, true);
                break;
        case RESUMED:
                replay_pause(p, true);
                replay_pause(p, false);
                break;
        case FAILED:
                fake_set_sends((struct fake_sends){ .error = EPIPE });
                replay_say(p, "lost", 4);
                replay_flush(p);
                ck_assert_int_eq(replay_submit(), 0);
                break;
        case REMOVED:
                replay_remove(p);
                break;
        case ENDING:
                shutdown(p->far, SHUT_WR);
                fake_complete(fake_find(FAKE_RECEIVE, p->number), 0, -1, true);
                break;
        default:
                break;
        }
        replay_settle();
}

/* Says which row it was. */
static void check(const struct row *row, const char *what, int is, int should_be)
{
        suite_need(is == should_be, "%s: %d, not %d; state %d, res %d,%s%s%s", what, is, should_be, row->state,
                   row->res, row->more ? " more" : "", row->buffer ? " buffer" : "", row->gone ? " gone" : "");
}

static void run(const struct row *row)
{
        struct outcome o = expect(row);
        struct peer *p, *other;

        replay_begin(8, 4);
        other = replay_add();
        p = replay_add();
        replay_settle();
        replay_feed(other, "x", true); /* so a buffer was there after it was armed */
        bring_to(p, row->state);
        if (row->gone)
                shutdown(p->far, SHUT_WR);
        fake_complete(fake_find(FAKE_RECEIVE, p->number), row->res, row->buffer ? fake_fill("hello", 5) : -1,
                      row->more);
        replay_settle();
        check(row, "bytes", (int)p->received, (int)o.bytes);
        check(row, "ends", p->ends, o.ends);
        check(row, "errors", p->errors, o.error != 0);
        check(row, "the error", p->error, o.error);
        check(row, "closed", p->closed, row->state == REMOVED && !row->more);
        check(row, "receives", (int)fake_count(FAKE_RECEIVE, p->number), o.armed || row->more);
        check(row, "receives of the other", (int)fake_count(FAKE_RECEIVE, other->number), 1);
        replay_end();
}

/* Known failures 5, 6 and 11. */
START_TEST(every_completion_of_a_receive_is_understood_in_every_state)
{
        unsigned n = 0;

        for (int state = 0; state < N_STATES; state++)
                for (unsigned i = 0; i < sizeof(results) / sizeof(*results); i++)
                        for (unsigned bits = 0; bits < 8; bits++, n++) {
                                struct row row = { .state = (enum state)state, .res = results[i] };

                                row.more = bits & 1;
                                row.buffer = bits & 2;
                                row.gone = bits & 4;
                                run(&row);
                        }
        ck_assert_uint_eq(n, 480);
}
END_TEST

/* ------------------------------------------------------------------ ends */

/* Known failure 5: what came before the end is read first. */
START_TEST(an_end_behind_bytes_is_told_once_and_last)
{
        struct peer *p;

        replay_begin(8, 4);
        p = replay_add();
        replay_settle();
        ck_assert_int_eq(write(p->far, "abc", 3), 3);
        shutdown(p->far, SHUT_WR);
        fake_complete(fake_find(FAKE_RECEIVE, p->number), 0, -1, false); /* too early: bytes are waiting */
        replay_settle();
        ck_assert_int_eq(p->ends, 0);
        ck_assert_int_eq(recv(p->number, (char[3]){ 0 }, 3, 0), 3);
        replay_feed(p, "abc", true);
        fake_complete(fake_find(FAKE_RECEIVE, p->number), 0, -1, false);
        replay_settle();
        ck_assert_uint_eq(p->received, 3);
        ck_assert_int_eq(p->ends, 1);
        ck_assert_uint_eq(fake_count(FAKE_RECEIVE, p->number), 0);
        replay_end();
}
END_TEST

/* Known failure 5: no bytes, but the receive goes on, and has taken some from a socket that looks ended by now.
 */
START_TEST(an_end_before_bytes_of_the_same_receive_is_asked_for_again)
{
        struct peer *p;

        replay_begin(8, 4);
        p = replay_add();
        replay_settle();
        fake_complete(fake_find(FAKE_RECEIVE, p->number), 0, -1, true);
        replay_feed(p, "abc", true);
        shutdown(p->far, SHUT_WR);
        replay_settle();
        ck_assert_uint_eq(p->received, 3);
        ck_assert_int_eq(p->ends, 0);
        ck_assert_uint_eq(fake_count(FAKE_CANCEL, -1), 1);
        fake_complete(fake_find(FAKE_RECEIVE, p->number), -ECANCELED, -1, false);
        replay_settle();
        fake_complete(fake_find(FAKE_RECEIVE, p->number), 0, -1, false);
        replay_settle();
        ck_assert_int_eq(p->ends, 1);
        replay_end();
}
END_TEST

/* Known failure 7: bytes and an end that come as a receive is armed, of which the kernel tells the bytes only.
 */
START_TEST(an_end_that_is_never_told_is_found_behind_the_first_bytes)
{
        struct peer *p;

        replay_begin(8, 4);
        p = replay_add();
        replay_settle();
        shutdown(p->far, SHUT_WR);
        replay_feed(p, "abc", true);
        replay_settle();
        ck_assert_uint_eq(p->received, 3);
        ck_assert_int_eq(p->ends, 0);
        ck_assert_uint_eq(fake_count(FAKE_CANCEL, -1), 1);
        fake_complete(fake_find(FAKE_RECEIVE, p->number), -ECANCELED, -1, false);
        replay_settle();
        fake_complete(fake_find(FAKE_RECEIVE, p->number), 0, -1, false);
        replay_settle();
        ck_assert_int_eq(p->ends, 1);
        replay_end();
}
END_TEST

/* Known failure 5: the completion that said it was the last is lost for a stream that did not want it. */
START_TEST(an_end_while_paused_is_told_after_the_resumption)
{
        struct peer *p;

        replay_begin(8, 4);
        p = replay_add();
        replay_settle();
        replay_pause(p, true);
        shutdown(p->far, SHUT_WR);
        fake_complete(fake_find(FAKE_RECEIVE, p->number), 0, -1, false);
        replay_settle();
        ck_assert_int_eq(p->ends, 0);
        replay_pause(p, false);
        replay_settle();
        fake_complete(fake_find(FAKE_RECEIVE, p->number), 0, -1, false);
        replay_settle();
        ck_assert_int_eq(p->ends, 1);
        replay_end();
}
END_TEST

static void add_receive_cases(TCase *cases)
{
        tcase_add_test(cases, every_completion_of_a_receive_is_understood_in_every_state);
        tcase_add_test(cases, an_end_behind_bytes_is_told_once_and_last);
        tcase_add_test(cases, an_end_before_bytes_of_the_same_receive_is_asked_for_again);
        tcase_add_test(cases, an_end_that_is_never_told_is_found_behind_the_first_bytes);
        tcase_add_test(cases, an_end_while_paused_is_told_after_the_resumption);
}

static void add(TCase *cases)
{
        add_receive_cases(cases);
        add_buffer_cases(cases);
        add_order_cases(cases);
        add_send_cases(cases);
        add_ring_cases(cases);
        add_walk_cases(cases);
}

int main(void)
{
        return suite_run("uring", add);
}
