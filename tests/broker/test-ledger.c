/* SPDX-License-Identifier: MIT */
/*
 * The ledger's algebra, against shards that are a few numbers each: they ask, use, return and go away at
 * random, and messages take their time. No threads, no sockets, no clock.
 */

#include "broker/ledger.h"

#include <stdlib.h>
#include <string.h>

#include "support/suite.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/prng.h"

#define SHARDS_MAX 4
#define UIDS       3
#define MAIL_MAX   256
#define NEED_MAX   6

/* A message that is under way, to control or from there. */
struct mail {
        enum message_type type;
        struct message_lease_ask ask;
        struct message_lease lease;
};

struct mailbox {
        struct mail mail[MAIL_MAX];
        unsigned first, n;
};

/* What a shard has of one quota of one user, by the rules of shard/user.h. */
struct stand {
        uint64_t leased, used, serial, back, need;
};

struct world {
        struct prng prng;
        unsigned n_shards;
        struct ledger *ledger;
        struct policy_limits limits;
        uint64_t now, started, serial;
        bool quiet; /* every message arrives before anything else happens */
        struct stand stands[SHARDS_MAX][UIDS][_QUOTA_N];
        struct mailbox up[SHARDS_MAX], down[SHARDS_MAX];
        uint64_t spent[UIDS][_QUOTA_N], grants, refusals, recalls;
};

static unsigned below(struct world *w, unsigned n)
{
        return (unsigned)prng_below(&w->prng, n);
}

static void mail_put(struct mailbox *box, const struct mail *mail)
{
        suite_need(box->n < MAIL_MAX, "too many messages");
        box->mail[(box->first + box->n++) % MAIL_MAX] = *mail;
}

static struct mail mail_take(struct mailbox *box)
{
        struct mail mail = box->mail[box->first];

        box->first = (box->first + 1) % MAIL_MAX;
        box->n--;
        return mail;
}

static uint64_t used_by_all(const struct world *w, unsigned uid, enum quota q)
{
        uint64_t used = 0;

        for (unsigned i = 0; i < w->n_shards; i++)
                used += w->stands[i][uid][q].used;
        return used;
}

/* The ledger speaks. It never grants above the bound, and refuses only what is not there. */
static void on_send(void *arg, unsigned shard, enum message_type type, const struct message_lease *lease)
{
        struct world *w = arg;
        const struct stand *t = &w->stands[shard][lease->uid][lease->quota];
        uint64_t bound = quota_bound(&w->limits, lease->quota);
        uint64_t total = ledger_leased(w->ledger, lease->uid, lease->quota, w->n_shards);

        w->grants += type == MESSAGE_LEASE_GRANT;
        w->refusals += type == MESSAGE_LEASE_REFUSE;
        w->recalls += type == MESSAGE_LEASE_RECALL;
        if (type == MESSAGE_LEASE_GRANT && lease->n && bound && !quota_is_flow(lease->quota))
                suite_need(total <= bound, "a grant above the bound");
        if (type == MESSAGE_LEASE_REFUSE) {
                suite_need(bound && !quota_is_flow(lease->quota), "a flow is refused");
                if (lease->quota == QUOTA_INPUT && t->need && lease->serial)
                        suite_need(total + t->need > bound, "input is refused that fits");
                else if (w->quiet && lease->serial)
                        suite_need(used_by_all(w, lease->uid, lease->quota) + t->need > bound,
                                   "a refusal below the bound");
        }
        mail_put(&w->down[shard], &(struct mail){ .type = type, .lease = *lease });
}

/* ------------------------------------------------------------------ shards */

static void shard_ask(struct world *w, unsigned shard, unsigned uid, enum quota q, uint64_t need)
{
        struct stand *t = &w->stands[shard][uid][q];
        struct mail m = { .type = MESSAGE_LEASE_ASK, .ask = { .uid = uid, .quota = q, .need = need } };

        if (quota_is_flow(q)) {
                m.ask.back = t->leased - t->used;
                m.ask.spent = t->used;
                t->leased = t->used = 0;
        } else if (t->used > t->leased) {
                m.ask.claim = t->used - t->leased;
                t->leased = t->used;
        } else {
                m.ask.back = t->leased - t->used;
                t->leased = t->used;
        }
        m.ask.serial = t->serial = ++w->serial;
        t->need = need;
        t->back = 0;
        mail_put(&w->up[shard], &m);
}

/* type RETURN: what is not used; DROP: everything, with the ask. */
static void shard_return(struct world *w, unsigned shard, unsigned uid, enum quota q, enum message_type type,
                         uint64_t serial)
{
        struct stand *t = &w->stands[shard][uid][q];
        struct mail m = { .type = type, .lease = { .uid = uid, .quota = q, .serial = serial } };

        if (type == MESSAGE_LEASE_DROP)
                t->serial = t->need = 0;
        m.lease.spent = quota_is_flow(q) ? t->used : 0;
        m.lease.n = t->leased - t->used;
        t->leased -= m.lease.n + m.lease.spent;
        t->used -= m.lease.spent;
        t->back += m.lease.n;
        mail_put(&w->up[shard], &m);
}

/* The user's last client closed. */
static void shard_leave(struct world *w, unsigned shard, unsigned uid, enum quota q)
{
        struct stand *t = &w->stands[shard][uid][q];

        if (!quota_is_flow(q))
                t->used = 0;
        if (t->leased || t->serial)
                shard_return(w, shard, uid, q, MESSAGE_LEASE_DROP, 0);
}

/* Somebody wants to use n more. */
static void shard_debit(struct world *w, unsigned shard, unsigned uid, enum quota q, uint64_t n)
{
        struct stand *t = &w->stands[shard][uid][q];

        if (quota_is_counted_after(q)) {
                t->used += n;
                if (t->used > t->leased)
                        shard_ask(w, shard, uid, q, 0);
                return;
        }
        if (t->serial)
                return; /* it waits behind another one */
        if (t->leased - t->used < n) {
                shard_ask(w, shard, uid, q, n);
                return;
        }
        t->used += n;
        w->spent[uid][q] += n;
}

static void shard_hear(struct world *w, unsigned shard)
{
        struct mail m = mail_take(&w->down[shard]);
        unsigned uid = m.lease.uid;
        enum quota q = m.lease.quota;
        struct stand *t = &w->stands[shard][uid][q];
        uint64_t need = t->need;

        switch (m.type) {
        case MESSAGE_LEASE_GRANT:
                t->leased += m.lease.n;
                if (m.lease.serial != t->serial)
                        break;
                t->serial = t->need = 0;
                if (need)
                        shard_debit(w, shard, uid, q, need);
                break;
        case MESSAGE_LEASE_REFUSE:
                if (!m.lease.serial && !t->serial)
                        shard_ask(w, shard, uid, q, 0);
                if (!m.lease.serial || m.lease.serial != t->serial)
                        break;
                t->serial = t->need = 0;
                if (quota_is_counted_after(q)) { /* cuts what waits */
                        uint64_t over = m.lease.n > t->back ? m.lease.n - t->back : 0;
                        uint64_t goal = t->leased > over ? t->leased - over : 0;

                        t->used = t->used < goal ? t->used : goal;
                        shard_return(w, shard, uid, q,
                                     q == QUOTA_INPUT ? MESSAGE_LEASE_RETURN : MESSAGE_LEASE_DROP, 0);
                }
                break;
        case MESSAGE_LEASE_RECALL:
                shard_return(w, shard, uid, q, MESSAGE_LEASE_RETURN, m.lease.serial);
                break;
        default:
                ck_abort();
        }
}

static void control_hear(struct world *w, unsigned shard)
{
        struct mail m = mail_take(&w->up[shard]);

        if (m.type == MESSAGE_LEASE_ASK)
                ledger_ask(w->ledger, shard, &m.ask, w->now);
        else if (m.type == MESSAGE_POLICY_TAKEN)
                ledger_taken(w->ledger, shard, w->now);
        else
                ledger_return(w->ledger, shard, &m.lease, m.type == MESSAGE_LEASE_DROP, w->now);
}

/* ------------------------------------------------------------------ what holds at any time */

/* What a message to control takes out of the lease there, when it arrives. */
static uint64_t mail_takes(const struct mail *m, unsigned uid, enum quota q)
{
        if (m->type == MESSAGE_LEASE_ASK)
                return m->ask.uid == uid && m->ask.quota == q ? m->ask.back + m->ask.spent - m->ask.claim : 0;
        if (m->type == MESSAGE_POLICY_TAKEN)
                return 0;
        return m->lease.uid == uid && m->lease.quota == q ? m->lease.n + m->lease.spent : 0;
}

static void check(const struct world *w)
{
        for (unsigned i = 0; i < w->n_shards; i++)
                for (unsigned uid = 0; uid < UIDS; uid++)
                        for (unsigned q = 0; q < _QUOTA_N; q++) {
                                uint64_t leased = w->stands[i][uid][q].leased;

                                for (unsigned k = 0; k < w->up[i].n; k++)
                                        leased += mail_takes(&w->up[i].mail[(w->up[i].first + k) % MAIL_MAX],
                                                             uid, q);
                                for (unsigned k = 0; k < w->down[i].n; k++) {
                                        const struct mail *m =
                                                &w->down[i].mail[(w->down[i].first + k) % MAIL_MAX];

                                        if (m->type == MESSAGE_LEASE_GRANT && m->lease.uid == uid &&
                                            m->lease.quota == q)
                                                leased += m->lease.n;
                                }
                                suite_need(ledger_leased(w->ledger, uid, q, i) == leased, "a lease is lost");
                        }
}

/* No more than a second's worth and the rate since, one debt, and what a lower rate inherits. */
static void check_flows(const struct world *w, uint64_t most_rate)
{
        uint64_t time = w->now - w->started;

        for (unsigned uid = 0; uid < UIDS; uid++)
                for (unsigned q = QUOTA_MESSAGES; q <= QUOTA_BYTES; q++)
                        ck_assert_uint_le(w->spent[uid][q],
                                          most_rate + NEED_MAX + most_rate * time / NSEC_PER_SEC + 1);
}

/* ------------------------------------------------------------------ walks */

static bool deliver_one(struct world *w)
{
        unsigned first = below(w, 2 * w->n_shards);

        for (unsigned k = 0; k < 2 * w->n_shards; k++) {
                unsigned i = (first + k) % (2 * w->n_shards);

                if (i < w->n_shards && w->up[i].n) {
                        control_hear(w, i);
                        return true;
                }
                if (i >= w->n_shards && w->down[i - w->n_shards].n) {
                        shard_hear(w, i - w->n_shards);
                        return true;
                }
        }
        return false;
}

static void deliver_all(struct world *w)
{
        while (deliver_one(w))
                check(w);
}

static void tick(struct world *w, uint64_t ns)
{
        w->now += ns;
        ledger_tick(w->ledger, w->now);
}

static void change_limits(struct world *w)
{
        uint32_t n = 1 + below(w, 12);

        /* those of flows stay, so that what they let through can be told */
        w->limits.subscriptions_user = n;
        w->limits.output_user = 1 + below(w, 12);
        w->limits.input_user = 1 + below(w, 12);
        ledger_set_limits(w->ledger, &w->limits, w->now);
        for (unsigned i = 0; i < w->n_shards; i++)
                mail_put(&w->up[i], &(struct mail){ .type = MESSAGE_POLICY_TAKEN });
}

static void step(struct world *w)
{
        unsigned shard = below(w, w->n_shards), uid = below(w, UIDS);
        enum quota q = below(w, _QUOTA_N);
        struct stand *t = &w->stands[shard][uid][q];

        switch (below(w, 12)) {
        case 0:
        case 1:
        case 2:
                shard_debit(w, shard, uid, q, 1 + below(w, NEED_MAX));
                break;
        case 3: /* less is in use */
                if (t->used && !quota_is_flow(q))
                        t->used -= 1 + below(w, (unsigned)t->used);
                break;
        case 4:
                if (t->leased > t->used)
                        shard_return(w, shard, uid, q, MESSAGE_LEASE_RETURN, 0);
                break;
        case 5:
                if (below(w, 4) == 0)
                        shard_leave(w, shard, uid, q);
                break;
        case 6:
                tick(w, below(w, 2) ? below(w, 1000000) : below(w, 300) * NSEC_PER_MSEC);
                break;
        case 7:
                if (below(w, 10) == 0)
                        change_limits(w);
                break;
        default:
                deliver_one(w);
        }
        if (w->quiet)
                deliver_all(w);
}

static void begin(struct world *w, uint64_t seed)
{
        struct ledger_options options = { .send = on_send, .arg = w };

        memset(w, 0, sizeof(*w));
        w->prng.state = seed * 0x9e3779b97f4a7c15 + 1;
        w->n_shards = options.n_shards = 1 + below(w, SHARDS_MAX);
        w->quiet = seed % 2;
        w->now = w->started = 5 * NSEC_PER_SEC;
        w->limits = (struct policy_limits){ .subscriptions_user = 1 + below(w, 12),
                                            .patterns_user = 1 + below(w, 12),
                                            .output_user = 1 + below(w, 12),
                                            .output_all = 1 + below(w, 20),
                                            .input_user = below(w, 2) ? 0 : 1 + below(w, 12),
                                            .messages_user = 20,
                                            .bytes_user = 20 };
        options.limits = &w->limits;
        w->ledger = ledger_new(&options);
}

/* Everybody gives everything back; time goes on. Nothing is left, of asks, accounts and leases. */
static void end(struct world *w)
{
        for (unsigned round = 0; round < 20; round++) {
                deliver_all(w);
                for (unsigned i = 0; i < w->n_shards; i++)
                        for (unsigned uid = 0; uid < UIDS; uid++)
                                for (unsigned q = 0; q < _QUOTA_N; q++)
                                        shard_leave(w, i, uid, q);
                tick(w, 2 * NSEC_PER_SEC);
        }
        deliver_all(w);
        ck_assert_uint_eq(ledger_accounts(w->ledger), 0);
        ck_assert_uint_eq(ledger_next(w->ledger), CLOCK_NEVER);
        ledger_free(w->ledger);
}

START_TEST(nothing_is_lost_and_nothing_is_above_the_bound)
{
        static struct world w;
        uint64_t grants = 0, refusals = 0, recalls = 0;

        for (uint64_t seed = 1; seed <= 400; seed++) {
                begin(&w, seed);
                for (unsigned n = 0; n < 600; n++) {
                        step(&w);
                        check(&w);
                }
                check_flows(&w, 20);
                end(&w);
                grants += w.grants;
                refusals += w.refusals;
                recalls += w.recalls;
        }
        ck_assert_uint_gt(grants, 10000);
        ck_assert_uint_gt(refusals, 5000);
        ck_assert_uint_gt(recalls, 5000);
}
END_TEST

/* Each ask for a flow is granted in the time that it takes to flow in. */
START_TEST(a_flow_is_never_refused_only_later)
{
        static struct world w;

        for (uint64_t seed = 1; seed <= 50; seed++) {
                uint64_t asked = 0;

                begin(&w, 2 * seed + 1); /* a quiet one */
                for (unsigned n = 0; n < 300; n++) {
                        unsigned shard = below(&w, w.n_shards);
                        struct stand *t = &w.stands[shard][0][QUOTA_MESSAGES];
                        uint64_t need = 1 + below(&w, 40); /* more than a second's worth is no exception */

                        shard_debit(&w, shard, 0, QUOTA_MESSAGES, need);
                        deliver_all(&w);
                        for (asked = w.now; t->serial;) {
                                suite_need(w.now - asked < 4 * NSEC_PER_SEC, "a flow is late");
                                suite_need(ledger_next(w.ledger) < CLOCK_NEVER, "nobody will come back to it");
                                tick(&w, ledger_next(w.ledger) - w.now);
                                deliver_all(&w);
                        }
                }
                /* all the while there was somebody who wanted: none of it was wasted, but for leases */
                ck_assert_uint_ge(w.spent[0][QUOTA_MESSAGES] + 40, 20 * (w.now - w.started) / NSEC_PER_SEC);
                end(&w);
        }
}
END_TEST

/* ------------------------------------------------------------------ cases */

static void small(struct world *w, unsigned n_shards)
{
        struct ledger_options options = {
                .n_shards = n_shards, .limits = &w->limits, .send = on_send, .arg = w
        };

        memset(w, 0, sizeof(*w));
        w->prng.state = 1;
        w->n_shards = n_shards;
        w->now = w->started = NSEC_PER_SEC;
        w->quiet = true;
        w->limits = (struct policy_limits){ .subscriptions_user = 10, .output_user = 100, .input_user = 100 };
        w->ledger = ledger_new(&options);
}

START_TEST(what_others_do_not_use_is_recalled_before_anybody_is_refused)
{
        static struct world w;

        small(&w, 3);
        for (unsigned i = 0; i < 3; i++) {
                shard_debit(&w, i, 0, QUOTA_SUBSCRIPTIONS, 1);
                deliver_all(&w);
        }
        shard_debit(&w, 2, 0, QUOTA_SUBSCRIPTIONS, 7);
        deliver_all(&w);
        ck_assert_uint_eq(w.stands[2][0][QUOTA_SUBSCRIPTIONS].used, 8);
        ck_assert_uint_eq(w.refusals, 0);
        shard_debit(&w, 1, 0, QUOTA_SUBSCRIPTIONS, 1);
        deliver_all(&w);
        ck_assert_uint_eq(w.stands[1][0][QUOTA_SUBSCRIPTIONS].used, 1);
        ck_assert_uint_eq(w.refusals, 1);
        shard_debit(&w, 1, 1, QUOTA_SUBSCRIPTIONS, 10); /* another user has his own */
        deliver_all(&w);
        ck_assert_uint_eq(w.stands[1][1][QUOTA_SUBSCRIPTIONS].used, 10);
        end(&w);
}
END_TEST

START_TEST(leases_shrink_near_the_bound)
{
        static struct world w;
        uint64_t last = UINT64_MAX;

        small(&w, 1);
        w.limits.subscriptions_user = 1000;
        ledger_set_limits(w.ledger, &w.limits, w.now);
        ledger_taken(w.ledger, 0, w.now);
        for (unsigned used = 0; used < 1000;) {
                struct stand *t = &w.stands[0][0][QUOTA_SUBSCRIPTIONS];

                shard_debit(&w, 0, 0, QUOTA_SUBSCRIPTIONS, 1);
                deliver_all(&w);
                ck_assert_uint_le(t->leased - t->used, last);
                last = t->leased - t->used;
                used = (unsigned)(t->used = t->leased);
        }
        ck_assert_uint_eq(last, 0);
        ck_assert_uint_ge(w.grants, 8);
        end(&w);
}
END_TEST

/* Until all shards have claimed what they had before, nobody gets more of it. */
START_TEST(a_limit_that_begins_knows_what_is_there)
{
        static struct world w;

        small(&w, 2);
        w.limits.patterns_user = 10;
        ledger_set_limits(w.ledger, &w.limits, w.now);
        w.stands[0][0][QUOTA_PATTERNS].used = 8;
        w.stands[1][0][QUOTA_PATTERNS].used = 3;
        shard_ask(&w, 0, 0, QUOTA_PATTERNS, 1);
        mail_put(&w.up[0], &(struct mail){ .type = MESSAGE_POLICY_TAKEN });
        deliver_all(&w);
        ck_assert_uint_eq(w.grants + w.refusals, 0);
        shard_ask(&w, 1, 0, QUOTA_PATTERNS, 0);
        mail_put(&w.up[1], &(struct mail){ .type = MESSAGE_POLICY_TAKEN });
        deliver_all(&w);
        ck_assert_uint_eq(w.stands[0][0][QUOTA_PATTERNS].used, 8);
        ck_assert_uint_eq(ledger_leased(w.ledger, 0, QUOTA_PATTERNS, 2), 11);
        end(&w);
}
END_TEST

/* A lower bound of output is kept although nobody asks. */
START_TEST(a_lower_bound_of_output_is_told_to_who_has_most)
{
        static struct world w;

        small(&w, 3);
        for (unsigned i = 0; i < 3; i++) {
                shard_debit(&w, i, 0, QUOTA_OUTPUT, 10 + 20 * i);
                deliver_all(&w);
        }
        w.limits.output_user = 25;
        ledger_set_limits(w.ledger, &w.limits, w.now);
        for (unsigned i = 0; i < 3; i++)
                ledger_taken(w.ledger, i, w.now);
        deliver_all(&w);
        ck_assert_uint_le(used_by_all(&w, 0, QUOTA_OUTPUT), 25);
        ck_assert_uint_eq(w.stands[0][0][QUOTA_OUTPUT].used, 10);
        end(&w);
}
END_TEST

/* When each shard waits to read more, one is refused; while one is not stuck, none is. */
START_TEST(input_that_nobody_can_execute_is_refused_to_one)
{
        static struct world w;
        struct message_lease_ask ask = { .quota = QUOTA_INPUT, .claim = 60, .serial = 1 };

        small(&w, 2);
        w.limits.input_user = 100;
        ledger_ask(w.ledger, 0, &ask, w.now);
        ledger_ask(w.ledger, 1, &ask, w.now);
        while (w.down[0].n)
                mail_take(&w.down[0]);
        w.stands[0][0][QUOTA_INPUT].need = w.stands[1][0][QUOTA_INPUT].need = 13;
        ask = (struct message_lease_ask){ .quota = QUOTA_INPUT, .need = 13, .serial = 2, .stuck = 1 };
        ledger_ask(w.ledger, 0, &ask, w.now);
        ask.stuck = 0;
        ledger_ask(w.ledger, 1, &ask, w.now);
        for (unsigned i = 0; i < 2; i++)
                while (w.down[i].n) {
                        struct mail m = mail_take(&w.down[i]);

                        if (m.type == MESSAGE_LEASE_RECALL) {
                                m.lease.n = 0;
                                ledger_return(w.ledger, i, &m.lease, false, w.now);
                        }
                }
        w.refusals = 0;
        ask.stuck = 1;
        ask.serial = 3;
        ledger_ask(w.ledger, 1, &ask, w.now);
        for (unsigned i = 0; i < 2; i++)
                while (w.down[i].n) {
                        struct mail m = mail_take(&w.down[i]);

                        if (m.type == MESSAGE_LEASE_RECALL) {
                                m.lease.n = 0;
                                ledger_return(w.ledger, i, &m.lease, false, w.now);
                        }
                }
        ck_assert_uint_eq(w.refusals, 1);
        ledger_free(w.ledger);
}
END_TEST

static void add(TCase *cases)
{
        tcase_set_timeout(cases, 60);
        tcase_add_test(cases, nothing_is_lost_and_nothing_is_above_the_bound);
        tcase_add_test(cases, a_flow_is_never_refused_only_later);
        tcase_add_test(cases, what_others_do_not_use_is_recalled_before_anybody_is_refused);
        tcase_add_test(cases, leases_shrink_near_the_bound);
        tcase_add_test(cases, a_limit_that_begins_knows_what_is_there);
        tcase_add_test(cases, a_lower_bound_of_output_is_told_to_who_has_most);
        tcase_add_test(cases, input_that_nobody_can_execute_is_refused_to_one);
}

int main(void)
{
        log_set_level(LOG_LEVEL_ERROR);
        return suite_run("ledger", add);
}
