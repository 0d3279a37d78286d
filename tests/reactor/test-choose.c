/* SPDX-License-Identifier: MIT */
/*
 * The self-test of a reactor and what follows from it. A reactor that does one thing wrong stands for a kernel
 * that does: it is libev's with one operation or one report replaced.
 */

#include "reactor/choose.h"

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "reactor/selftest.h"
#include "support/suite.h"
#include "util/clock.h"

static const struct reactor_options options = {
        .wake_fd = -1,
        .receive_bytes = 4096,
        .ring = { .entries = 256, .completions = 1024, .buffers = 64, .buffer_bytes = 16384 },
};

/* ------------------------------------------------------------------ reactors that do something wrong */

enum wrong {
        WRONG_NOTHING,
        WRONG_END_LOST,
        WRONG_END_EARLY,
        WRONG_BYTES_LOST,
        WRONG_PAUSE_IGNORED,
        WRONG_RESUME_IGNORED,
        WRONG_NEVER_CLOSED,
        WRONG_CLOSE_UNSEEN,
        WRONG_DRAINED_LOST,
        WRONG_NOT_SENT,
        WRONG_BUSY,
};

static enum wrong wrong;
static struct reactor_sink sink; /* the self-test's */

static void on_data(void *arg, struct stream *s, struct bytes b)
{
        static unsigned n;

        if (wrong == WRONG_END_EARLY)
                sink.on_hangup(arg, s, 0);
        if (wrong != WRONG_BYTES_LOST || b.n != 8 || ++n % 50) /* 8: of a crowd */
                sink.on_data(arg, s, b);
}

static void on_drained(void *arg, struct stream *s)
{
        if (wrong != WRONG_DRAINED_LOST)
                sink.on_drained(arg, s);
}

static void on_hangup(void *arg, struct stream *s, int error)
{
        static unsigned n;

        if (wrong != WRONG_END_LOST || ++n % 100)
                sink.on_hangup(arg, s, error);
}

static void on_closed(void *arg, struct stream *s)
{
        sink.on_closed(arg, s);
}

static int wrong_init(struct reactor **reactorp, const struct reactor_options *o, const struct reactor_sink *s)
{
        struct reactor_sink mine = { on_data, on_drained, on_hangup, on_closed, s->arg };

        sink = *s;
        return reactor_ev.init(reactorp, o, &mine);
}

static void wrong_pause(struct reactor *r, struct stream *s, bool paused)
{
        if (paused ? wrong != WRONG_PAUSE_IGNORED : wrong != WRONG_RESUME_IGNORED)
                reactor_ev.pause(r, s, paused);
}

static void wrong_remove(struct reactor *r, struct stream *s)
{
        if (wrong == WRONG_CLOSE_UNSEEN && s->fd >= 0)
                ck_assert_int_ge(dup(s->fd), 0); /* as a request that is not over would keep it */
        if (wrong != WRONG_NEVER_CLOSED)
                reactor_ev.remove(r, s);
}

static void wrong_flush(struct reactor *r, struct stream *s)
{
        if (wrong == WRONG_NOT_SENT)
                outq_clear(&s->out);
        reactor_ev.flush(r, s);
}

static int wrong_wait(struct reactor *r, uint64_t deadline)
{
        int n = reactor_ev.wait(r, wrong == WRONG_BUSY ? 0 : deadline);

        while (wrong == WRONG_BUSY && !n && clock_now() < deadline)
                n = reactor_ev.wait(r, 0);
        return n;
}

static struct reactor_ops wrong_ops(enum wrong what)
{
        struct reactor_ops ops = reactor_ev;

        wrong = what;
        ops.name = "wrong";
        ops.init = wrong_init;
        ops.pause = wrong_pause;
        ops.remove = wrong_remove;
        ops.flush = wrong_flush;
        ops.wait = wrong_wait;
        return ops;
}

static void expect(enum wrong what, const char *text)
{
        struct reactor_ops ops = wrong_ops(what);
        char why[REACTOR_WHY_BYTES];
        int r = reactor_selftest(&ops, &options, 2, why);

        ck_assert_msg(r == (text ? REACTOR_E_MISBEHAVES : 0) && !strcmp(why, text ? text : ""),
                      "fault %d: %d, %s", (int)what, r, why);
}

START_TEST(a_reactor_that_does_its_work_passes)
{
        char why[REACTOR_WHY_BYTES];
        uint64_t start = clock_now();

        ck_assert_int_eq(reactor_selftest(&reactor_ev, &options, 3, why), 0);
        ck_assert_uint_le(clock_now() - start, NSEC_PER_SEC);
        expect(WRONG_NOTHING, NULL);
}
END_TEST

START_TEST(each_fault_is_found_and_named)
{
        expect(WRONG_END_LOST, "an end of file behind data is not reported");
        expect(WRONG_END_EARLY, "an end of file overtakes data");
        expect(WRONG_BYTES_LOST, "what many send at once does not all arrive");
        expect(WRONG_PAUSE_IGNORED, "a receive cannot be cancelled");
        expect(WRONG_RESUME_IGNORED, "what came meanwhile does not arrive");
        expect(WRONG_CLOSE_UNSEEN, "the peer does not see a close");
        expect(WRONG_DRAINED_LOST, "the end of a send is not reported");
        expect(WRONG_NOT_SENT, "a send does not say how much was taken");
        expect(WRONG_BUSY, "it is busy while nothing happens");
}
END_TEST

/* What it leaves behind then it leaves for good, so this is its own process' business. */
START_TEST(a_connection_that_does_not_close_is_found)
{
        expect(WRONG_NEVER_CLOSED, "a connection cannot be closed");
}
END_TEST

START_TEST(without_descriptors_nothing_is_concluded)
{
        struct rlimit limit = { 8, 8 };
        char why[REACTOR_WHY_BYTES];

        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
        ck_assert_int_eq(reactor_selftest(&reactor_ev, &options, 1, why), REACTOR_E_UNSUPPORTED);
        ck_assert_str_ne(why, "");
}
END_TEST

static int refusing_init(struct reactor **reactorp, const struct reactor_options *o,
                         const struct reactor_sink *s)
{
        (void)reactorp;
        (void)s;
        if (o->why)
                snprintf(o->why, REACTOR_WHY_BYTES, "not today");
        return REACTOR_E_UNSUPPORTED;
}

START_TEST(a_reactor_that_cannot_be_made_says_why)
{
        struct reactor_ops ops = reactor_ev;
        char why[REACTOR_WHY_BYTES];

        ops.init = refusing_init;
        ck_assert_int_eq(reactor_selftest(&ops, &options, 1, why), REACTOR_E_UNSUPPORTED);
        ck_assert_str_eq(why, "not today");
        ck_assert_uint_eq(reactor_compare(&ops, &reactor_ev, &options), 0);
}
END_TEST

/* ------------------------------------------------------------------ costs */

static int slow_submit(struct reactor *r)
{
        for (uint64_t end = clock_now() + 300 * NSEC_PER_USEC; clock_now() < end;)
                ;
        return reactor_ev.submit(r);
}

START_TEST(costs_are_compared)
{
        struct reactor_ops slow = reactor_ev;
        unsigned same = reactor_compare(&reactor_ev, &reactor_ev, &options), more, less;

        slow.submit = slow_submit;
        more = reactor_compare(&slow, &reactor_ev, &options);
        less = reactor_compare(&reactor_ev, &slow, &options);
        ck_assert_msg(same > 50 && same < 200, "%u", same);
        ck_assert_msg(less && less < same && same < more, "%u %u %u", less, same, more);
}
END_TEST

/* ------------------------------------------------------------------ the choice */

START_TEST(kernels_that_hang_are_denied)
{
        /* known failure 29 */
        static const struct {
                const char *release;
                bool denied;
        } kernels[] = {
                { "6.1.0-27-amd64", true },
                { "6.1.115", true },
                { "6.1.141-155.amzn2023", true },
                { "6.0.19", false },
                { "6.2.0", false },
                { "6.10.1", false },
                { "6.15.4-arch2-1", true },
                { "6.15.3", false },
                { "6.15.5", false },
                { "6.6.58", true },
                { "6.6.59", true },
                { "6.6.57", false },
                { "6.6.60-generic", false },
                { "6.18.44", false },
                { "16.1.5", false },
                { "6.12.48+deb13-amd64", false },
                { "", false },
                { "unknown", false },
        };

        for (size_t i = 0; i < sizeof(kernels) / sizeof(*kernels); i++)
                ck_assert_msg(!!reactor_kernel_denied(kernels[i].release) == kernels[i].denied, "%s",
                              kernels[i].release);
}
END_TEST

START_TEST(libev_is_taken_when_it_is_wished_for)
{
        struct reactor_wishes wishes = { .wish = REACTOR_WISH_LIBEV, .n = 1 };
        struct reactor_choice choice;

        ck_assert_int_eq(reactor_choose(&choice, &wishes, &options), 0);
        ck_assert_ptr_eq(choice.ops, &reactor_ev);
        ck_assert_str_eq(choice.why, "as configured");
}
END_TEST

/* What the kernel refuses: more entries than it has. */
START_TEST(what_cannot_be_is_refused_or_done_without)
{
        struct reactor_wishes wishes = { .wish = REACTOR_WISH_IO_URING, .n = 1 };
        struct reactor_options absurd = options;
        struct reactor_choice choice;

        absurd.ring.entries = 1 << 20;
        absurd.ring.completions = 1 << 20;
        ck_assert_int_eq(reactor_choose(&choice, &wishes, &absurd), REACTOR_E_UNSUPPORTED);
        ck_assert_str_ne(choice.why, "");
        wishes.wish = REACTOR_WISH_AUTO;
        ck_assert_int_eq(reactor_choose(&choice, &wishes, &absurd), 0);
        ck_assert_ptr_eq(choice.ops, &reactor_ev);
        ck_assert(strstr(choice.why, "auto: ") == choice.why);
}
END_TEST

/* Where io_uring works, each step of its ladder does, and auto says what it found; where not, all say so. */
START_TEST(the_choice_follows_what_works)
{
        static const enum reactor_receive receive[] = { REACTOR_RECEIVE_AUTO, REACTOR_RECEIVE_MULTISHOT,
                                                        REACTOR_RECEIVE_SINGLE };
        struct reactor_wishes wishes = { .wish = REACTOR_WISH_IO_URING, .n = 2 };
        struct reactor_choice choice;
        bool works = reactor_choose(&choice, &wishes, &options) == 0;

        for (size_t i = 0; works && i < sizeof(receive) / sizeof(*receive); i++) {
                wishes.receive = receive[i];
                ck_assert_int_eq(reactor_choose(&choice, &wishes, &options), 0);
                ck_assert_ptr_eq(choice.ops, &reactor_uring);
                if (receive[i])
                        ck_assert(choice.single_shot == (receive[i] == REACTOR_RECEIVE_SINGLE));
        }
        wishes = (struct reactor_wishes){ .wish = REACTOR_WISH_AUTO, .n = 2 };
        ck_assert_int_eq(reactor_choose(&choice, &wishes, &options), 0);
        ck_assert_str_ne(choice.why, "");
        if (!works)
                ck_assert_ptr_eq(choice.ops, &reactor_ev);
}
END_TEST

static void add(TCase *cases)
{
        tcase_add_test(cases, a_reactor_that_does_its_work_passes);
        tcase_add_test(cases, each_fault_is_found_and_named);
        tcase_add_test(cases, a_reactor_that_cannot_be_made_says_why);
        tcase_add_test(cases, costs_are_compared);
        tcase_add_test(cases, kernels_that_hang_are_denied);
        tcase_add_test(cases, libev_is_taken_when_it_is_wished_for);
        tcase_add_test(cases, what_cannot_be_is_refused_or_done_without);
        tcase_add_test(cases, the_choice_follows_what_works);
        tcase_add_test(cases, a_connection_that_does_not_close_is_found);
        tcase_add_test(cases, without_descriptors_nothing_is_concluded);
}

int main(void)
{
        return suite_run("choose", add);
}
