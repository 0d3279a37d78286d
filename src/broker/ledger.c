/* SPDX-License-Identifier: MIT */
/*
 * For each account and quota: what every shard has leased, and the asks that are not answered, in order.
 *
 * What a shard has leased is counted here from the grant on, and there from its arrival; when it is returned,
 * there from the return on, and here from its arrival. So the sum here is never below the sum there.
 *
 * An ask has been looked for everywhere when each other shard with a lease answered a recall that was sent
 * after the ask came: recalls are numbered, an ask notes the number that was sent for it, and each answer says
 * to which it is one.
 */

#include "broker/ledger.h"

#include <assert.h>
#include <stdlib.h>

#include "util/bucket.h"
#include "util/clock.h"
#include "util/hash.h"
#include "util/list.h"
#include "util/log.h"
#include "util/mem.h"
#include "util/plant.h"
#include "util/timers.h"

#define LEDGER_BATCHES 128 /* grants per second of a flow that lacks tokens, at most */

/* What a shard has of one quota of an account. */
struct share {
        struct list link; /* in book.asks, while it asks */
        unsigned shard;
        uint64_t leased;
        uint64_t answered; /* the last recall that it answered */
        uint64_t recalled; /* for which recall this ask waits; 0: for none yet */
        bool cuts;         /* it was told to use less, and has not said what came of it */
        bool told;         /* of input: that there is no room, and it has not asked since */
        struct message_lease_ask ask;
};

/* One quota of an account. */
struct book {
        uint64_t total;   /* leased, over all shares */
        unsigned n_cuts;  /* shares that cut: 0 or 1, so that nothing is cut twice */
        struct list asks; /* of struct share, first come first */
        struct bucket bucket;
        struct share *shares; /* of each shard */
};

struct account {
        uid_t uid;
        struct timer timer; /* for its flows */
        struct book books[_QUOTA_N];
};

struct ledger {
        struct ledger_options options;
        struct policy_limits limits;
        struct table accounts; /* by uid */
        struct timers timers;
        unsigned untaken[64]; /* policies sent to a shard and not taken */
        unsigned n_untaken;
        uint64_t recalls;   /* sent so far, each to several shards; never the same for two asks */
        uint64_t notice_at; /* when the last notice was logged; 0: never */
        uint64_t notices_dropped;
};

/* ------------------------------------------------------------------ accounts */

static bool account_has_uid(const void *item, const void *key)
{
        return ((const struct account *)item)->uid == *(const uid_t *)key;
}

static struct account *account_find(const struct ledger *l, uid_t uid)
{
        return table_find(&l->accounts, hash_word(uid), account_has_uid, &uid);
}

static struct book *account_book(struct account *a, enum quota q)
{
        assert(q < _QUOTA_N);
        return &a->books[q];
}

static struct account *account_open(struct ledger *l, uid_t uid)
{
        unsigned n = l->options.n_shards;
        struct account *a = account_find(l, uid);
        struct share *shares;

        if (a)
                return a;
        a = mem_zalloc(sizeof(*a) + _QUOTA_N * n * sizeof(struct share));
        shares = (struct share *)(a + 1);
        a->uid = uid;
        for (unsigned q = 0; q < _QUOTA_N; q++) {
                a->books[q].shares = shares + q * n;
                list_init(&a->books[q].asks);
                for (unsigned i = 0; i < n; i++) {
                        list_init(&a->books[q].shares[i].link);
                        a->books[q].shares[i].shard = i;
                }
        }
        table_add(&l->accounts, hash_word(uid), a);
        return a;
}

static void account_close(struct ledger *l, struct account *a)
{
        timers_stop(&l->timers, &a->timer);
        table_remove(&l->accounts, hash_word(a->uid), a);
        free(a);
}

/* What the bucket may be taken for: more than a second's worth is a debt. */
static uint64_t book_required(const struct book *b, uint64_t rate)
{
        uint64_t need = list_empty(&b->asks) ? 0 : list_first(&b->asks, struct share, link)->ask.need;

        return need > rate / LEDGER_BATCHES ? need : rate / LEDGER_BATCHES;
}

/* Whether nothing of the account is worth keeping; else *nextp: when that may change by itself. */
static bool account_is_done(const struct ledger *l, const struct account *a, uint64_t now, uint64_t *nextp)
{
        bool done = true;

        *nextp = CLOCK_NEVER;
        for (unsigned q = 0; q < _QUOTA_N; q++) {
                const struct book *b = &a->books[q];
                uint64_t rate = quota_bound(&l->limits, q), wait;

                done &= !b->total && list_empty(&b->asks);
                if (!quota_is_flow(q) || (list_empty(&b->asks) && bucket_is_full(&b->bucket, rate, now)))
                        continue;
                done = false;
                wait = bucket_wait(&b->bucket, rate, list_empty(&b->asks) ? rate : book_required(b, rate), now);
                if (now + wait < *nextp)
                        *nextp = now + wait;
        }
        return done;
}

/* Keeps an account while it is worth it, with its timer. */
static void account_rest(struct ledger *l, struct account *a, uint64_t now)
{
        uint64_t next;

        if (account_is_done(l, a, now, &next))
                account_close(l, a);
        else if (next == CLOCK_NEVER)
                timers_stop(&l->timers, &a->timer);
        else
                timers_start(&l->timers, &a->timer, next);
}

/* ------------------------------------------------------------------ answers */

static void ledger_send(const struct ledger *l, unsigned shard, enum message_type type, const struct account *a,
                        enum quota q, uint64_t serial, uint64_t n)
{
        struct message_lease m = { .uid = a->uid, .quota = q, .serial = serial, .n = n };

        l->options.send(l->options.arg, shard, type, &m);
}

/* A user met a bound. At most once a second it is logged, whoever it is. */
static void ledger_note(struct ledger *l, const struct account *a, enum quota q, uint64_t now)
{
        unsigned long long bound = quota_bound(&l->limits, q), more = l->notices_dropped;

        if (l->notice_at && now < l->notice_at + NSEC_PER_SEC) {
                l->notices_dropped++;
                return;
        }
        if (a->uid == QUOTA_EVERYBODY)
                log_notice("all users together are at %s (%llu); %llu more notices since the last one",
                           quota_name(q), bound, more);
        else
                log_notice("user %u is at %s (%llu); %llu more notices since the last one", (unsigned)a->uid,
                           quota_name(q), bound, more);
        l->notice_at = now ? now : 1;
        l->notices_dropped = 0;
}

/* The share does not ask any more. */
static void share_answered(struct share *s)
{
        list_del(&s->link);
        s->recalled = 0;
}

static void ledger_grant(const struct ledger *l, struct account *a, enum quota q, struct share *s, uint64_t n)
{
        s->leased += n;
        account_book(a, q)->total += n;
        share_answered(s);
        ledger_send(l, s->shard, MESSAGE_LEASE_GRANT, a, q, s->ask.serial, n);
}

static bool quota_is_cut(enum quota q)
{
        return q == QUOTA_OUTPUT || q == QUOTA_OUTPUT_ALL;
}

static void share_set_cuts(struct book *b, struct share *s, bool cuts)
{
        b->n_cuts += cuts;
        b->n_cuts -= s->cuts;
        s->cuts = cuts;
}

static void ledger_refuse(struct ledger *l, struct account *a, enum quota q, struct share *s, uint64_t now)
{
        uint64_t bound = quota_bound(&l->limits, q), total = account_book(a, q)->total;

        if (quota_is_cut(q))
                share_set_cuts(account_book(a, q), s, true);
        s->told = q == QUOTA_INPUT;
        ledger_note(l, a, q, now);
        share_answered(s);
        ledger_send(l, s->shard, MESSAGE_LEASE_REFUSE, a, q, s->ask.serial, total > bound ? total - bound : 0);
}

/* Asks the other shards for what they do not use. Return: whether all that have a lease answered since the ask
 * came. */
static bool ledger_searched(struct ledger *l, struct account *a, enum quota q, struct share *s)
{
        const struct book *b = account_book(a, q);
        bool all = true, first = !s->recalled;

        if (PLANTED(31))
                return true;
        if (first)
                s->recalled = ++l->recalls;
        for (unsigned i = 0; i < l->options.n_shards; i++) {
                const struct share *other = &b->shares[i];

                if (other == s || !other->leased || other->answered >= s->recalled)
                        continue;
                all = false;
                if (first)
                        ledger_send(l, i, MESSAGE_LEASE_RECALL, a, q, s->recalled, 0);
        }
        return all;
}

/*
 * At the bound of input somebody waits to read more, and what others have is in use. Who still reads, or reads
 * from some of his clients, may have parts of requests only, of clients who say no more: he is told to stop. So
 * either something is executed, or all are stuck, which ledger_is_stuck() sees.
 */
static void ledger_stop_reading(const struct ledger *l, struct account *a)
{
        struct book *b = account_book(a, QUOTA_INPUT);

        for (unsigned i = 0; i < l->options.n_shards; i++) {
                struct share *s = &b->shares[i];

                if (!s->leased || s->told || (!list_empty(&s->link) && (!s->ask.need || s->ask.stuck)))
                        continue; /* the others are answered, or wait as they should */
                s->told = true;
                ledger_send(l, i, MESSAGE_LEASE_REFUSE, a, QUOTA_INPUT, 0, 0);
        }
}

/* ------------------------------------------------------------------ decisions */

/* More than is needed, so that not every debit asks: less the less is left, nothing when others wait. */
static uint64_t ledger_extra(const struct ledger *l, const struct book *b, const struct share *s, uint64_t left,
                             uint64_t bound)
{
        uint64_t n = l->options.n_shards, most = bound / (4 * n), some = left / (2 * n);

        if (b->asks.next != &s->link || b->asks.prev != &s->link)
                return 0;
        return some < most ? some : most;
}

/* Whether every shard with a lease waits to read more before it can give anything back. */
static bool ledger_is_stuck(const struct ledger *l, const struct book *b)
{
        for (unsigned i = 0; i < l->options.n_shards; i++) {
                const struct share *s = &b->shares[i];

                if (s->leased && (list_empty(&s->link) || !s->ask.need || !s->ask.stuck))
                        return false;
        }
        return true;
}

/* Refuses the shard that has most: a client of its will end. */
static void ledger_unstick(struct ledger *l, struct account *a, enum quota q, uint64_t now)
{
        const struct book *b = account_book(a, q);
        struct share *most = NULL;

        for (unsigned i = 0; i < l->options.n_shards; i++)
                if (!list_empty(&b->shares[i].link) && (!most || b->shares[i].leased > most->leased))
                        most = &b->shares[i];
        ledger_refuse(l, a, q, most, now);
}

/* Whether somebody waits for more, which comes first. */
static bool ledger_is_waited_for(const struct book *b)
{
        list_for_each (i, &b->asks)
                if (container_of(i, struct share, link)->ask.need)
                        return true;
        return false;
}

/* Answers an ask for a stock, if that can be decided. Return: whether it was. */
static bool ledger_decide(struct ledger *l, struct account *a, enum quota q, struct share *s, uint64_t now)
{
        struct book *b = account_book(a, q);
        uint64_t bound = quota_bound(&l->limits, q), need = s->ask.need;
        bool fits;

        if (q == QUOTA_INPUT && bound && need > bound)
                need = bound; /* any room will do; this was asked under another bound */
        fits = b->total <= bound && need <= bound - b->total;

        if (!bound) {
                ledger_grant(l, a, q, s, need);
                return true;
        }
        if (fits && (need || !ledger_is_waited_for(b))) {
                ledger_grant(l, a, q, s, need + ledger_extra(l, b, s, bound - b->total - need, bound));
                return true;
        }
        if (b->n_cuts || !ledger_searched(l, a, q, s))
                return false;
        if (q == QUOTA_INPUT && need) {
                ledger_stop_reading(l, a);
                return false;
        }
        ledger_refuse(l, a, q, s, now);
        return true;
}

/* Who waits is served in order. What is claimed only asks how things stand, and is told at once. */
static void ledger_settle_stock(struct ledger *l, struct account *a, enum quota q, uint64_t now)
{
        struct book *b = account_book(a, q);
        bool waits = false;

        if (l->n_untaken)
                return;
        list_for_each_safe (i, next, &b->asks) {
                struct share *s = container_of(i, struct share, link);

                if (s->ask.need && waits)
                        continue;
                if (!ledger_decide(l, a, q, s, now) && s->ask.need)
                        waits = true;
        }
        if (q == QUOTA_INPUT && waits && quota_bound(&l->limits, q) && ledger_is_stuck(l, b))
                ledger_unstick(l, a, q, now);
}

static void ledger_settle_flow(struct ledger *l, struct account *a, enum quota q, uint64_t now)
{
        struct book *b = account_book(a, q);
        uint64_t rate = quota_bound(&l->limits, q);

        while (!list_empty(&b->asks)) {
                struct share *s = list_first(&b->asks, struct share, link);
                uint64_t n = rate ? book_required(b, rate) : s->ask.need, left;

                if (bucket_wait(&b->bucket, rate, n, now)) {
                        if (!s->recalled)
                                ledger_note(l, a, q, now);
                        ledger_searched(l, a, q, s);
                        return;
                }
                left = bucket_left(&b->bucket, rate, now);
                n += rate && left > n ? ledger_extra(l, b, s, left - n, rate) : 0;
                bucket_take(&b->bucket, rate, n, now);
                ledger_grant(l, a, q, s, n);
        }
}

static void ledger_settle(struct ledger *l, struct account *a, enum quota q, uint64_t now)
{
        if (quota_is_flow(q))
                ledger_settle_flow(l, a, q, now);
        else
                ledger_settle_stock(l, a, q, now);
}

/* More bytes wait than may, and nobody asks: the shard that has most of them is told. */
static void ledger_press(struct ledger *l, struct account *a, enum quota q, uint64_t now)
{
        struct book *b = account_book(a, q);
        uint64_t bound = quota_bound(&l->limits, q);
        struct share *most = &b->shares[0];

        if (!quota_is_cut(q) || !bound || b->total <= bound || !list_empty(&b->asks) || b->n_cuts ||
            l->n_untaken)
                return;
        for (unsigned i = 1; i < l->options.n_shards; i++)
                if (b->shares[i].leased > most->leased)
                        most = &b->shares[i];
        most->ask.serial = 0;
        ledger_refuse(l, a, q, most, now);
}

/* ------------------------------------------------------------------ what shards say */

/* A shard returned n, and spent some of a flow. */
static void ledger_take_back(struct ledger *l, struct account *a, enum quota q, struct share *s, uint64_t n,
                             uint64_t spent, uint64_t now)
{
        struct book *b = account_book(a, q);

        assert(n <= s->leased && spent <= s->leased - n && s->leased <= b->total);
        s->leased -= n + spent;
        b->total -= n + spent;
        if (quota_is_flow(q) && n)
                bucket_give(&b->bucket, quota_bound(&l->limits, q), n, now);
}

void ledger_ask(struct ledger *l, unsigned shard, const struct message_lease_ask *ask, uint64_t now)
{
        struct account *a = account_open(l, ask->uid);
        struct book *b = &a->books[ask->quota];
        struct share *s = &b->shares[shard];

        assert(shard < l->options.n_shards && ask->quota < _QUOTA_N);
        assert(!ask->claim || !quota_is_flow(ask->quota));
        ledger_take_back(l, a, ask->quota, s, ask->back, ask->spent, now);
        s->leased += ask->claim;
        b->total += ask->claim;
        if (!list_empty(&s->link) && !s->ask.need != !ask->need)
                share_answered(s); /* it has another place in the order */
        share_set_cuts(b, s, false);
        s->told = false;
        s->ask = *ask;
        s->recalled = 0;
        if (list_empty(&s->link))
                list_add_tail(&b->asks, &s->link);
        ledger_settle(l, a, ask->quota, now);
        account_rest(l, a, now);
}

void ledger_return(struct ledger *l, unsigned shard, const struct message_lease *m, bool drops, uint64_t now)
{
        struct account *a = account_find(l, m->uid);
        struct share *s;

        assert(shard < l->options.n_shards && m->quota < _QUOTA_N);
        if (!a) {
                assert(!m->n && !m->spent);
                return; /* an answer to a recall of an account that is gone */
        }
        s = &a->books[m->quota].shares[shard];
        ledger_take_back(l, a, m->quota, s, m->n, m->spent, now);
        if (m->serial > s->answered)
                s->answered = m->serial;
        if (drops) {
                share_answered(s);
                share_set_cuts(account_book(a, m->quota), s, false);
                s->told = false;
        }
        ledger_settle(l, a, m->quota, now);
        ledger_press(l, a, m->quota, now);
        account_rest(l, a, now);
}

/* ------------------------------------------------------------------ limits */

static void ledger_settle_all(struct ledger *l, uint64_t now)
{
        struct account **all = mem_alloc((l->accounts.n + 1) * sizeof(struct account *)), *a;
        size_t n = 0;

        for (size_t pos = 0; (a = table_next(&l->accounts, &pos));)
                all[n++] = a;
        for (size_t i = 0; i < n; i++) {
                for (unsigned q = 0; q < _QUOTA_N; q++) {
                        ledger_settle(l, all[i], q, now);
                        ledger_press(l, all[i], q, now);
                }
                account_rest(l, all[i], now);
        }
        free(all);
}

void ledger_set_limits(struct ledger *l, const struct policy_limits *limits, uint64_t now)
{
        l->limits = *limits;
        for (unsigned i = 0; i < l->options.n_shards; i++)
                l->untaken[i]++;
        l->n_untaken += l->options.n_shards;
        ledger_settle_all(l, now);
}

void ledger_taken(struct ledger *l, unsigned shard, uint64_t now)
{
        assert(shard < l->options.n_shards && l->untaken[shard]);
        l->untaken[shard]--;
        if (!--l->n_untaken)
                ledger_settle_all(l, now);
}

/* ------------------------------------------------------------------ time and life */

uint64_t ledger_next(const struct ledger *l)
{
        return timers_next(&l->timers);
}

void ledger_tick(struct ledger *l, uint64_t now)
{
        struct timer *timer;

        while ((timer = timers_due(&l->timers, now))) {
                struct account *a = container_of(timer, struct account, timer);

                ledger_settle(l, a, QUOTA_MESSAGES, now);
                ledger_settle(l, a, QUOTA_BYTES, now);
                account_rest(l, a, now);
        }
}

struct ledger *ledger_new(const struct ledger_options *options)
{
        struct ledger *l = mem_zalloc(sizeof(*l));

        assert(options->n_shards > 0 && options->n_shards < 64);
        l->options = *options;
        l->limits = *options->limits;
        l->options.limits = NULL;
        return l;
}

struct ledger *ledger_free(struct ledger *l)
{
        struct account *a;

        if (!l)
                return NULL;
        for (size_t pos = 0; (a = table_next(&l->accounts, &pos)); pos = 0)
                account_close(l, a);
        table_deinit(&l->accounts);
        timers_deinit(&l->timers);
        free(l);
        return NULL;
}

size_t ledger_accounts(const struct ledger *l)
{
        return l->accounts.n;
}

uint64_t ledger_leased(const struct ledger *l, uid_t uid, enum quota q, unsigned shard)
{
        const struct account *a = account_find(l, uid);

        if (!a)
                return 0;
        return shard < l->options.n_shards ? a->books[q].shares[shard].leased : a->books[q].total;
}
