/* SPDX-License-Identifier: MIT */
/*
 * Known failure 23: what is cancelled may complete before, beside or instead of its cancellation. Every order
 * of the completions of a stream's requests and of their cancels, for everything that cancels.
 */

#include "replay.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "reactor/uring.h"

enum action {
        PAUSE,
        PAUSE_AND_RESUME,
        FAIL,
        REMOVE,
        FAIL_AND_REMOVE,
        PAUSE_AND_REMOVE,
        N_ACTIONS,
};

enum timing {
        ONE_BY_ONE,
        ALL_AT_ONCE,
        BEFORE_THE_CANCEL, /* as far as they come first: the kernel has not seen it yet */
        N_TIMINGS,
};

/* What still comes of a receive. */
static const struct ending {
        int res[2]; /* bytes, 0, -errno; the last one ends it */
        unsigned n;
        bool gone; /* the peer sends no more */
} endings[] = {
        { { -ECANCELED }, 1, false }, { { 5, -ECANCELED }, 2, false }, { { 5 }, 1, false },
        { { 5, 0 }, 2, true },        { { -ENOBUFS }, 1, false },      { { 0 }, 1, false },
        { { 0 }, 1, true },
};

#define N_ENDINGS (sizeof(endings) / sizeof(*endings))

/* Sequences that keep their order in themselves: each is of one request. */
enum track {
        RECEIVE,
        CANCEL_RECEIVE,
        ROOM,
        CANCEL_ROOM,
        N_TRACKS,
};

struct plan {
        enum action action;
        const struct ending *ending;
        enum timing timing;
        int cancel; /* how cancels complete */
        bool room;  /* POLLOUT is awaited as well */
        enum track order[8];
        unsigned n;
};

static unsigned n_plans;

static bool removes(const struct plan *plan)
{
        return plan->action >= REMOVE;
}

static bool fails(const struct plan *plan)
{
        return plan->action == FAIL || plan->action == FAIL_AND_REMOVE;
}

/* Whether POLLOUT's request is cancelled as well. */
static bool gives_up(const struct plan *plan)
{
        return removes(plan) || fails(plan);
}

/* Says which plan it was. */
static void check(const struct plan *plan, const char *what, int is, int should_be)
{
        char order[sizeof(plan->order) / sizeof(*plan->order) + 1] = "";

        for (unsigned i = 0; i < plan->n; i++)
                order[i] = "RcPp"[plan->order[i]];
        suite_need(is == should_be, "%s: %d, not %d; action %d, ending %d, timing %d, cancels %d, order %s",
                   what, is, should_be, plan->action, (int)(plan->ending - endings), plan->timing, plan->cancel,
                   order);
}

static struct peer *prepare(const struct plan *plan)
{
        struct peer *other, *p;

        replay_begin(8, 4);
        other = replay_add();
        p = replay_add();
        replay_settle();
        replay_feed(other, "x", true); /* so a buffer was there after the stream was armed */
        if (plan->room) {
                fake_set_sends((struct fake_sends){ .take = 1 });
                replay_say(p, "out", 3);
                replay_flush(p);
                suite_need(!replay_submit(), "submit");
        }
        replay_settle();
        return p;
}

static void act(const struct plan *plan, struct peer *p)
{
        if (plan->ending->gone)
                shutdown(p->far, SHUT_WR);
        if (fails(plan)) {
                fake_complete(fake_find(FAKE_RECEIVE, p->number), -ECONNRESET, -1, true);
                replay_turn();
        }
        if (plan->action == PAUSE || plan->action == PAUSE_AND_RESUME || plan->action == PAUSE_AND_REMOVE)
                replay_pause(p, true);
        if (plan->action == PAUSE_AND_RESUME)
                replay_pause(p, false);
        if (removes(plan))
                replay_remove(p);
}

struct under_way {
        struct fake_request *request, *cancel;
        uint64_t tag;
};

static void cancelled(struct under_way *w)
{
        if (!w->cancel)
                w->cancel = fake_find_cancel(w->tag);
}

/* One completion of a track; done counts those that were. */
static void complete(const struct plan *plan, enum track track, struct under_way *w, unsigned *done)
{
        unsigned i = done[track]++;
        int res;

        switch (track) {
        case RECEIVE:
                res = plan->ending->res[i];
                fake_complete(w[0].request, res, res > 0 ? fake_fill("hello", 5) : -1, i + 1 < plan->ending->n);
                break;
        case ROOM:
                fake_complete(w[1].request, plan->cancel ? POLLOUT : -ECANCELED, -1, false);
                break;
        default:
                fake_complete(w[track == CANCEL_ROOM].cancel, plan->cancel, -1, false);
        }
}

static bool is_cancel(enum track track)
{
        return track == CANCEL_RECEIVE || track == CANCEL_ROOM;
}

/* Closed as soon as each request of its own has had its last completion, and not before. */
static void check_closed(const struct plan *plan, struct peer *p, const unsigned *done)
{
        bool over = done[RECEIVE] == plan->ending->n && (!plan->room || done[ROOM]);

        check(plan, "closed", p->closed, removes(plan) && over);
}

static void check_end(const struct plan *plan, struct peer *p)
{
        bool hears = !gives_up(plan), reads = plan->action == PAUSE_AND_RESUME;
        bool end = reads && plan->ending->gone;

        check(plan, "received", (int)p->received, hears && plan->ending->res[0] > 0 ? 5 : 0);
        check(plan, "drained", p->drained, hears && plan->room);
        check(plan, "errors", p->errors, plan->action == FAIL);
        check(plan, "ends", p->ends, end);
        check(plan, "receives", (int)fake_count(FAKE_RECEIVE, p->number), reads && !end);
        if (plan->room)
                replay_heard(p, "out", hears ? 3 : 1);
        if (plan->action != PAUSE)
                return;
        replay_pause(p, false);
        replay_settle();
        check(plan, "receives", (int)fake_count(FAKE_RECEIVE, p->number), 1);
        if (!plan->ending->gone)
                return;
        fake_complete(fake_find(FAKE_RECEIVE, p->number), 0, -1, false);
        replay_settle();
        check(plan, "ends", p->ends, 1);
}

static void run(const struct plan *plan)
{
        struct peer *p = prepare(plan);
        struct under_way w[2] = { { .request = fake_find(FAKE_RECEIVE, p->number) } };
        unsigned done[N_TRACKS] = { 0 };

        n_plans++;
        w[0].tag = w[0].request->tag;
        if (plan->room) {
                w[1].request = fake_find(FAKE_POLL, p->number);
                w[1].tag = w[1].request->tag;
        }
        act(plan, p);
        for (unsigned i = 0; i < plan->n; i++) {
                if (plan->timing != BEFORE_THE_CANCEL || is_cancel(plan->order[i])) {
                        if (plan->timing != ALL_AT_ONCE || !i)
                                replay_settle();
                        cancelled(&w[0]);
                        cancelled(&w[1]);
                }
                complete(plan, plan->order[i], w, done);
                if (plan->timing == ONE_BY_ONE) {
                        replay_settle();
                        check_closed(plan, p, done);
                }
        }
        replay_settle();
        check_closed(plan, p, done);
        check_end(plan, p);
        replay_end();
}

/* Runs every interleaving of what is left of the tracks. */
static void interleave(struct plan *plan, unsigned *left)
{
        bool some = false;

        for (int track = 0; track < N_TRACKS; track++) {
                if (!left[track])
                        continue;
                some = true;
                left[track]--;
                plan->order[plan->n++] = (enum track)track;
                interleave(plan, left);
                plan->n--;
                left[track]++;
        }
        if (!some)
                run(plan);
}

static void run_all(enum action action, int cancel)
{
        for (unsigned e = 0; e < N_ENDINGS; e++)
                for (int timing = 0; timing < N_TIMINGS; timing++)
                        for (int room = 0; room < 2; room++) {
                                struct plan plan = { .action = action,
                                                     .ending = &endings[e],
                                                     .timing = (enum timing)timing,
                                                     .cancel = cancel,
                                                     .room = room };
                                unsigned left[N_TRACKS] = { endings[e].n, 1, room, room && gives_up(&plan) };

                                interleave(&plan, left);
                        }
}

START_TEST(every_order_of_completions_and_cancels_ends_the_same)
{
        n_plans = 0;
        for (int action = 0; action < N_ACTIONS; action++) {
                run_all((enum action)action, 0);
                run_all((enum action)action, -ENOENT);
                run_all((enum action)action, -EALREADY);
        }
        ck_assert_uint_gt(n_plans, 10000);
}
END_TEST

/* Known failure 8: the descriptor is closed only when the kernel has let go of it. */
START_TEST(a_stream_that_was_never_armed_is_closed_at_once)
{
        struct peer *p;

        replay_begin(8, 4);
        p = replay_add();
        replay_remove(p);
        ck_assert_int_eq(replay_turn(), 1);
        ck_assert_int_eq(p->closed, 1);
        ck_assert_uint_eq(fake_count(FAKE_CANCEL, -1), 0);
        replay_end();
}
END_TEST

static void remove_another(struct peer *p)
{
        (void)p;
        f.ops->remove(f.reactor, &replay_peers[1].stream);
        f.ops->remove(f.reactor, &replay_peers[0].stream);
        f.ops->remove(f.reactor, &replay_peers[1].stream);
}

/* From inside a callback, itself and another one, whose completions are in the same inbox, and more than once.
 */
START_TEST(a_callback_may_remove_any_stream)
{
        for (int more = 0; more < 2; more++) {
                replay_begin(8, 4);
                replay_add()->on_data = remove_another;
                replay_add();
                replay_settle();
                replay_feed(&replay_peers[0], "first", true);
                replay_feed(&replay_peers[0], "second", more);
                replay_feed(&replay_peers[1], "third", more);
                replay_settle();
                ck_assert_uint_eq(replay_peers[0].received, 5);
                ck_assert_uint_eq(replay_peers[1].received, 0);
                ck_assert_int_eq(replay_peers[0].closed + replay_peers[1].closed, more ? 0 : 2);
                replay_end();
        }
}
END_TEST

void add_order_cases(TCase *cases)
{
        tcase_add_test(cases, every_order_of_completions_and_cancels_ends_the_same);
        tcase_add_test(cases, a_stream_that_was_never_armed_is_closed_at_once);
        tcase_add_test(cases, a_callback_may_remove_any_stream);
}
