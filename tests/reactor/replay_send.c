/* SPDX-License-Identifier: MIT */
/* Sends: cut short anywhere, late, failing, and with the stream ending meanwhile. */

#include "replay.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "reactor/send.h"
#include "reactor/uring.h"

static char text[4096];

static void fill_text(void)
{
        for (unsigned i = 0; i < sizeof(text); i++)
                text[i] = (char)(i * 7 + i / 251);
}

/* What n slices of some bytes each come to. Return: bytes. */
static size_t say_slices(struct peer *p, unsigned n, size_t bytes)
{
        for (unsigned i = 0; i < n; i++)
                replay_say(p, text + i * bytes, bytes);
        return n * bytes;
}

static void room(struct peer *p)
{
        fake_complete(fake_find(FAKE_POLL, p->number), POLLOUT, -1, false);
}

/* A send of n slices that is cut to k bytes; the rest goes when there is room, in one piece. */
static void cut(unsigned n, size_t bytes, size_t k)
{
        struct peer *p;
        size_t size;

        replay_begin(8, 4);
        p = replay_add();
        replay_settle();
        size = say_slices(p, n, bytes);
        ck_assert_uint_eq(p->stream.out.n, n);
        fake_set_sends((struct fake_sends){ .take = k });
        replay_flush(p);
        ck_assert_int_eq(replay_submit(), 0);
        ck_assert_uint_eq(p->stream.out.bytes, k < size ? size - k : 0);
        ck_assert(p->stream.writing == (k < size));
        replay_settle();
        ck_assert_int_eq(p->drained, 0);
        ck_assert_uint_eq(fake_count(FAKE_POLL, p->number), k < size);
        replay_flush(p); /* changes nothing: there is no room */
        ck_assert_int_eq(replay_submit(), 0);
        ck_assert_uint_eq(fake_count(FAKE_SEND, p->number), 0);
        if (k < size)
                room(p);
        replay_settle();
        ck_assert_int_eq(p->drained, k < size);
        ck_assert_uint_eq(p->stream.out.bytes, 0);
        ck_assert(!p->stream.writing);
        replay_heard(p, text, size);
        replay_heard(p, "", 0);
        replay_end();
}

/* Known failure 22. */
START_TEST(every_byte_goes_out_once_wherever_a_send_is_cut)
{
        fill_text();
        for (size_t k = 0; k <= 40; k++) {
                cut(1, 8, k < 8 ? k : 8);
                cut(5, 8, k);
        }
        for (size_t k = 0; k <= 512; k++)
                cut(64, 8, k);
}
END_TEST

/* More slices than one request takes: the rest follows by system call, and only a full socket waits for room.
 */
START_TEST(more_slices_than_a_request_takes_go_out_in_order)
{
        for (unsigned n = SEND_IOV_MAX - 1; n <= 5 * SEND_IOV_MAX; n += SEND_IOV_MAX / 2) {
                struct peer *p;
                size_t size;

                fill_text();
                replay_begin(8, 4);
                p = replay_add();
                replay_settle();
                size = say_slices(p, n, 8);
                replay_flush(p);
                ck_assert_int_eq(replay_submit(), 0);
                ck_assert_uint_eq(p->stream.out.bytes, 0);
                replay_settle();
                ck_assert_int_eq(p->drained, 0);
                replay_heard(p, text, size);
                replay_end();
        }
}
END_TEST

/* Known failure 22: each of the sends is cut, and more is said in between. */
START_TEST(output_that_comes_while_room_is_awaited_goes_behind)
{
        struct peer *p;

        fill_text();
        replay_begin(8, 4);
        p = replay_add();
        replay_settle();
        fake_set_sends((struct fake_sends){ .take = 3 });
        for (unsigned i = 0; i < 20; i++) {
                replay_say(p, text + i * 16, 10);
                replay_flush(p);
                replay_say(p, text + i * 16 + 10, 6); /* the send is on its way to the kernel */
                replay_flush(p);
                ck_assert_int_eq(replay_submit(), 0);
                replay_settle();
                room(p);
                replay_settle();
                ck_assert_int_eq(p->drained, (int)i + 1);
                replay_heard(p, text + i * 16, 16);
        }
        replay_end();
}
END_TEST

/* There is room for a part of the rest each time; all of it has gone out when that is reported. */
START_TEST(a_rest_that_goes_in_parts_is_drained_once)
{
        static char block[100000], got[sizeof(block)];
        size_t n = 0;
        int small = 4096;
        struct peer *p;

        for (unsigned i = 0; i < sizeof(block); i++)
                block[i] = (char)(i * 7 + i / 251);
        replay_begin(8, 4);
        p = replay_add();
        replay_settle();
        setsockopt(p->number, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
        fake_set_sends((struct fake_sends){ .take = 10 });
        replay_say(p, block, sizeof(block));
        replay_flush(p);
        ck_assert_int_eq(replay_submit(), 0);
        while (n < sizeof(block)) {
                ssize_t r = recv(p->far, got + n, sizeof(got) - n, 0);

                ck_assert_int_gt(r, 0);
                n += (size_t)r;
                replay_turn();
                if (p->stream.writing)
                        room(p);
                replay_turn();
                ck_assert_int_eq(p->drained, !p->stream.writing);
        }
        ck_assert(!memcmp(got, block, sizeof(block)));
        replay_settle();
        ck_assert_int_eq(p->drained, 1);
        replay_end();
}
END_TEST

/* What a send may end with, other than bytes. */
START_TEST(errors_of_a_send_end_the_stream_or_are_tried_again)
{
        static const struct {
                int error;
                bool fails, room;
        } rows[] = { { EAGAIN, false, true },     { EINTR, false, false }, { EPIPE, true, false },
                     { ECONNRESET, true, false }, { ENOMEM, true, false }, { ENOBUFS, true, false } };

        for (unsigned i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
                struct peer *p;

                replay_begin(8, 4);
                p = replay_add();
                replay_settle();
                fake_set_sends((struct fake_sends){ .error = rows[i].error });
                replay_say(p, "hello", 5);
                replay_flush(p);
                ck_assert_int_eq(replay_submit(), 0);
                ck_assert(p->stream.failed == rows[i].fails);
                ck_assert_uint_eq(p->stream.out.bytes, rows[i].room ? 5 : 0);
                ck_assert_int_eq(p->errors, 0); /* only inside wait() */
                ck_assert_uint_eq(fake_count(FAKE_POLL, p->number), rows[i].room);
                replay_settle();
                ck_assert_int_eq(p->errors, rows[i].fails);
                ck_assert_int_eq(p->error, rows[i].fails ? rows[i].error : 0);
                if (rows[i].room)
                        room(p);
                replay_settle();
                replay_heard(p, "hello", rows[i].fails ? 0 : 5);
                replay_end();
        }
}
END_TEST

/* The kernel has room again, but the peer is gone by then. */
START_TEST(a_rest_that_cannot_be_sent_any_more_is_one_error)
{
        struct peer *p;

        replay_begin(8, 4);
        p = replay_add();
        replay_settle();
        fake_set_sends((struct fake_sends){ .take = 2 });
        replay_say(p, "hello", 5);
        replay_flush(p);
        ck_assert_int_eq(replay_submit(), 0);
        replay_settle();
        shutdown(p->far, SHUT_RD);
        room(p);
        replay_settle();
        ck_assert_int_eq(p->errors, 1);
        ck_assert_int_eq(p->error, EPIPE);
        ck_assert_int_eq(p->drained, 0);
        replay_end();
}
END_TEST

/* ------------------------------------------------------------------ late */

enum meanwhile {
        NOTHING,
        REMOVED,
        FAILED,
        FAILED_AND_REMOVED,
        N_MEANWHILE,
};

static struct {
        struct peer *p;
        size_t take;
        int error;
        bool alive; /* the bytes have to be there still */
} late;

/* The send ends when the reactor would sleep for it. */
static void finish_late(void *arg, bool wait, uint64_t ns)
{
        struct fake_request *q = fake_find(FAKE_SEND, -1);

        (void)arg;
        (void)ns;
        if (!wait || !q)
                return;
        ck_assert_uint_gt(pool.n_live, 0);
        fake_finish_send(q, late.take, late.error);
}

static void let_happen(struct peer *p, enum meanwhile meanwhile)
{
        if (meanwhile == FAILED || meanwhile == FAILED_AND_REMOVED) {
                fake_complete(fake_find(FAKE_RECEIVE, p->number), -ECONNRESET, -1, false);
                replay_turn();
                ck_assert(p->stream.failed);
                ck_assert_int_eq(p->errors + (int)!list_empty(&p->stream.pending), 1);
        }
        if (meanwhile == REMOVED || meanwhile == FAILED_AND_REMOVED)
                replay_remove(p);
}

/* How a send ends late: after take bytes or with an error. Its bytes stay until then; a sanitizer looks as
 * well. */
static void be_late(enum meanwhile meanwhile, size_t take, int error)
{
        struct peer *p;

        replay_begin(8, 4);
        p = replay_add();
        replay_settle();
        fake_set_sends((struct fake_sends){ .late = true });
        replay_say(p, "hello world", 11);
        replay_flush(p);
        ck_assert_int_ge(replay_turn(), 0); /* takes it to the kernel */
        ck_assert_uint_eq(fake_count(FAKE_SEND, p->number), 1);
        let_happen(p, meanwhile);
        late.take = take;
        late.error = error;
        fake_on_enter(finish_late, NULL);
        ck_assert_int_eq(replay_submit(), 0); /* is back only when it has ended */
        ck_assert_uint_eq(fake_count(FAKE_SEND, p->number), 0);
        ck_assert_int_eq(p->closed, 0);
        if (meanwhile != NOTHING)
                ck_assert_uint_eq(pool.n_live, 0);
        else if (!error)
                ck_assert_uint_eq(p->stream.out.bytes, take < 11 ? 11 - take : 0);
        fake_on_enter(NULL, NULL);
        replay_settle();
        if (!error)
                replay_heard(p, "hello world", take < 11 ? take : 11);
        ck_assert_int_eq(p->errors, meanwhile == FAILED || (meanwhile == NOTHING && error));
        replay_end();
}

START_TEST(the_bytes_of_a_send_that_ends_late_stay_until_then)
{
        for (int meanwhile = 0; meanwhile < N_MEANWHILE; meanwhile++) {
                be_late((enum meanwhile)meanwhile, 11, 0);
                be_late((enum meanwhile)meanwhile, 4, 0);
                be_late((enum meanwhile)meanwhile, 0, EPIPE);
        }
}
END_TEST

/* Its last request is the send, which ends outside of wait(): closed in the next one, which does not sleep. */
START_TEST(a_removed_stream_whose_send_ends_last_is_closed_in_the_next_wait)
{
        struct peer *p;

        replay_begin(8, 4);
        p = replay_add();
        replay_settle();
        fake_set_sends((struct fake_sends){ .late = true });
        replay_say(p, "hello", 5);
        replay_flush(p);
        replay_turn();
        replay_remove(p);
        replay_turn();
        fake_complete(fake_find(FAKE_RECEIVE, p->number), -ECANCELED, -1, false);
        replay_settle();
        ck_assert_int_eq(p->closed, 0);
        late.take = SIZE_MAX;
        late.error = 0;
        fake_on_enter(finish_late, NULL);
        ck_assert_int_eq(replay_submit(), 0);
        ck_assert_int_eq(p->closed, 0);
        ck_assert_int_eq(f.ops->wait(f.reactor, CLOCK_NEVER), 1);
        ck_assert_int_eq(p->closed, 1);
        replay_end();
}
END_TEST

/* Known failure 21: the second flush meets the first one's send under way; all goes out in order, once. */
START_TEST(a_flush_while_a_send_is_under_way_is_no_second_send)
{
        struct peer *p;

        replay_begin(8, 4);
        p = replay_add();
        replay_settle();
        fake_set_sends((struct fake_sends){ .late = true });
        replay_say(p, "first ", 6);
        replay_flush(p);
        replay_turn();
        replay_say(p, "second", 6);
        replay_flush(p);
        late.take = SIZE_MAX;
        late.error = 0;
        fake_on_enter(finish_late, NULL);
        ck_assert_int_eq(replay_submit(), 0);
        replay_heard(p, "first second", 12);
        replay_end();
}
END_TEST

void add_send_cases(TCase *cases)
{
        tcase_add_test(cases, every_byte_goes_out_once_wherever_a_send_is_cut);
        tcase_add_test(cases, more_slices_than_a_request_takes_go_out_in_order);
        tcase_add_test(cases, output_that_comes_while_room_is_awaited_goes_behind);
        tcase_add_test(cases, a_rest_that_goes_in_parts_is_drained_once);
        tcase_add_test(cases, errors_of_a_send_end_the_stream_or_are_tried_again);
        tcase_add_test(cases, a_rest_that_cannot_be_sent_any_more_is_one_error);
        tcase_add_test(cases, the_bytes_of_a_send_that_ends_late_stay_until_then);
        tcase_add_test(cases, a_removed_stream_whose_send_ends_last_is_closed_in_the_next_wait);
        tcase_add_test(cases, a_flush_while_a_send_is_under_way_is_no_second_send);
}
