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
        tcase_add_test(cases, an_end_behind_bytes_is_told_once_and_last);
        tcase_add_test(cases, an_end_while_paused_is_told_after_the_resumption);
}

static void add(TCase *cases)
{
        add_receive_cases(cases);
        add_buffer_cases(cases);
        add_order_cases(cases);
        add_send_cases(cases);
        add_ring_cases(cases);
}

int main(void)
{
        return suite_run("uring", add);
}
