/* SPDX-License-Identifier: MIT */

#include "shard/user.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "shard/client.h"
#include "shard/command.h"
#include "shard/deliver.h"
#include "shard/gather.h"
#include "shard/spool.h"
#include "shard/state.h"
#include "shard/transaction.h"
#include "util/clock.h"
#include "util/mem.h"
#include "util/plant.h"

#define USER_REST_NS   NSEC_PER_SEC
#define USER_ENDLESS   (UINT64_C(1) << 62) /* leased of a flow without a limit */
#define USER_READ_MAX  (16 * 1024)         /* bytes of room for which one more client is read from */
#define USER_READ_PART 8                   /* or this part of the bound */

static enum user_queue quota_queue(enum quota q)
{
        if (q == QUOTA_INPUT)
                return USER_READS;
        return quota_is_flow(q) ? USER_PUBLISHES : USER_SUBSCRIBES;
}

static uint64_t user_bound(const struct shard *s, enum quota q)
{
        return quota_bound(&s->policy->limits, q);
}

/* ------------------------------------------------------------------ life */

static bool user_has_uid(const void *item, const void *key)
{
        return ((const struct user *)item)->uid == *(const uid_t *)key;
}

/* Return: NULL: nobody of that uid is here. */
static struct user *user_find(struct shard *s, uid_t uid)
{
        if (uid == QUOTA_EVERYBODY)
                return &s->users.everybody;
        return table_find(&s->users.by_uid, hash_word(uid), user_has_uid, &uid);
}

static void user_init(const struct shard *s, struct user *u, uid_t uid)
{
        u->uid = uid;
        list_init(&u->clients);
        for (unsigned i = 0; i < _USER_QUEUE_N; i++)
                list_init(&u->waiting[i]);
        list_init(&u->dirty);
        list_init(&u->resting);
        list_init(&u->spilling);
        for (unsigned q = 0; q < _QUOTA_N; q++)
                if (quota_is_flow(q) && !user_bound(s, q))
                        u->leases[q].leased = USER_ENDLESS;
}

static void user_touch(struct shard *s, struct user *u)
{
        if (list_empty(&u->dirty))
                list_add_tail(&s->users.dirty, &u->dirty);
}

void user_join(struct client *c)
{
        struct shard *s = c->shard;
        struct user *u = user_find(s, c->uid);

        if (!u) {
                u = mem_zalloc(sizeof(*u));
                user_init(s, u, c->uid);
                table_add(&s->users.by_uid, hash_word(u->uid), u);
        }
        list_init(&c->slow);
        list_add_tail(&u->clients, &c->of_user);
        u->n_clients++;
        c->account = u;
}

void user_leave(struct client *c)
{
        struct user *u = c->account;

        assert(!c->input && !c->output);
        list_del(&c->of_user);
        u->n_clients--;
        u->tells = true;
        c->account = NULL;
        user_touch(c->shard, u);
}

static void user_free(struct shard *s, struct user *u)
{
        table_remove(&s->users.by_uid, hash_word(u->uid), u);
        list_del(&u->dirty);
        list_del(&u->resting);
        list_del(&u->spilling);
        free(u);
}

void shard_users_init(struct shard *s)
{
        const struct policy_limits *limits = &s->policy->limits;

        list_init(&s->users.dirty);
        list_init(&s->users.resting);
        list_init(&s->users.spilling);
        list_init(&s->users.slow);
        s->users.meters = limits->messages_user || limits->bytes_user;
        s->users.reads = limits->input_user;
        user_init(s, &s->users.everybody, QUOTA_EVERYBODY);
}

void shard_users_deinit(struct shard *s)
{
        struct user *u;

        port_uncharge(s->port);
        for (size_t pos = 0; (u = table_next(&s->users.by_uid, &pos)); pos = 0) {
                assert(!u->n_clients);
                user_free(s, u);
        }
        table_deinit(&s->users.by_uid);
}

/* ------------------------------------------------------------------ to control */

static void user_send_lease(struct shard *s, const struct user *u, enum quota q, enum message_type type,
                            uint64_t serial, uint64_t n, uint64_t spent)
{
        struct message_lease *m = port_send(s->port, s->options.n_shards, type, sizeof(*m), PORT_UNCOUNTED);

        *m = (struct message_lease){ .uid = u->uid, .quota = q, .serial = serial, .n = n, .spent = spent };
}

/* What is leased and not used. */
static uint64_t lease_idle(const struct lease *lease)
{
        return lease->leased > lease->used ? lease->leased - lease->used : 0;
}

/*
 * PUBLISH takes its tokens from two numbers beside each other, and looks at nothing else. They are there while
 * nobody waits and no lease is looked at: who does either puts them back first.
 */
static void user_flow_out(struct user *u)
{
        u->messages_left = (int64_t)lease_idle(&u->leases[QUOTA_MESSAGES]);
        u->bytes_left = (int64_t)lease_idle(&u->leases[QUOTA_BYTES]);
        u->flows = true;
}

void user_flow_back(struct user *u)
{
        if (!u->flows)
                return;
        u->leases[QUOTA_MESSAGES].used = u->leases[QUOTA_MESSAGES].leased - (uint64_t)u->messages_left;
        u->leases[QUOTA_BYTES].used = u->leases[QUOTA_BYTES].leased - (uint64_t)u->bytes_left;
        u->messages_left = u->bytes_left = 0;
        u->flows = false;
}

/* Takes what is not used, and what of a flow was spent, out of the lease; control is to be told. */
static uint64_t lease_empty(struct lease *lease, enum quota q, uint64_t *spentp)
{
        uint64_t idle = lease_idle(lease);

        *spentp = quota_is_flow(q) ? lease->used : 0;
        lease->leased -= idle + *spentp;
        lease->used -= *spentp;
        lease->rested = 0;
        return idle;
}

/* Returns what is not used. serial: the recall that this answers; 0: none, and nothing is said if there is
 * nothing to return. */
static void user_return(struct shard *s, struct user *u, enum quota q, uint64_t serial)
{
        struct lease *lease = &u->leases[q];
        uint64_t spent, idle = lease_empty(lease, q, &spent);

        lease->back += idle;
        if (idle || spent || serial)
                user_send_lease(s, u, q, MESSAGE_LEASE_RETURN, serial, idle, spent);
}

/* Returns everything, and asks no more. */
static void user_drop(struct shard *s, struct user *u, enum quota q)
{
        struct lease *lease = &u->leases[q];
        uint64_t used = lease->used, n = quota_is_flow(q) ? lease_idle(lease) : lease->leased;

        if (lease->leased || lease->serial)
                user_send_lease(s, u, q, MESSAGE_LEASE_DROP, 0, n, quota_is_flow(q) ? used : 0);
        *lease = (struct lease){ .used = quota_is_flow(q) ? 0 : used };
}

/* Asks for what somebody needs, or (0) how things stand. Claims what is in use without a lease. */
static void user_send_ask(struct shard *s, struct user *u, enum quota q, uint64_t need, uint64_t asker)
{
        struct message_lease_ask *m =
                port_send(s->port, s->options.n_shards, MESSAGE_LEASE_ASK, sizeof(*m), PORT_UNCOUNTED);
        struct lease *lease = &u->leases[q];
        uint64_t spent, idle = lease_empty(lease, q, &spent);
        uint64_t claim = quota_is_flow(q) ? 0 : lease->used - lease->leased;

        lease->leased += claim;
        lease->serial = ++s->users.serial;
        lease->asker = asker;
        lease->back = 0;
        s->status.quota_asked[q]++;
        *m = (struct message_lease_ask){ .uid = u->uid,
                                         .quota = q,
                                         .serial = lease->serial,
                                         .back = idle,
                                         .spent = spent,
                                         .claim = claim,
                                         .need = need,
                                         .stuck = q == QUOTA_INPUT && u->stuck };
}

/* Room for one more client's input. */
static uint64_t user_read_need(const struct shard *s)
{
        uint64_t part = user_bound(s, QUOTA_INPUT) / USER_READ_PART;

        return 1 + (part < USER_READ_MAX ? part : USER_READ_MAX);
}

/* ------------------------------------------------------------------ waiting */

static bool user_client_waits(const struct client *c, enum quota q)
{
        return c->end == CLIENT_OPEN && c->wait == CLIENT_LEASES && c->lease == q && !c->killed;
}

static void user_wait(struct client *c, enum quota q)
{
        struct user *u = c->account;

        c->wait = CLIENT_LEASES;
        c->lease = q;
        list_add_tail(&u->waiting[quota_queue(q)], &c->waiting);
        if (q == QUOTA_INPUT) {
                u->stuck_input += c->input;
                user_touch(c->shard, u);
        }
        c->shard->status.quota_paused[q]++;
}

/* What it has of what its request needs, nobody else takes before the rest is there; in the order of the
 * quotas, so that no two wait for each other. */
static void user_hold(struct client *c, const struct user_need *need, enum quota missing)
{
        if (missing > QUOTA_SUBSCRIPTIONS)
                c->held.subscriptions = need->n[QUOTA_SUBSCRIPTIONS];
        if (missing > QUOTA_PATTERNS)
                c->held.patterns = need->n[QUOTA_PATTERNS];
        user_reserve(c, c->held.subscriptions, c->held.patterns);
        if (missing > QUOTA_MESSAGES && !c->held.messages && user_bound(c->shard, QUOTA_MESSAGES)) {
                c->held.messages = need->n[QUOTA_MESSAGES];
                c->account->leases[QUOTA_MESSAGES].used += c->held.messages;
        }
}

static void user_let_go(struct client *c)
{
        user_unreserve(c, c->held.subscriptions, c->held.patterns);
        c->held.subscriptions = c->held.patterns = 0;
}

void user_stops_waiting(struct client *c)
{
        user_let_go(c);
        if (c->wait == CLIENT_LEASES && c->lease == QUOTA_INPUT)
                c->account->stuck_input -= c->input;
}

/*
 * Serves those who wait, first come first, as far as it goes: at most max of them. Who gets nothing stays the
 * first; who was served and needs more comes behind the others.
 */
static void user_resume(struct shard *s, struct user *u, enum user_queue queue, uint64_t max)
{
        struct list now, *waiting = &u->waiting[queue];
        bool first = false;

        list_swap(&now, waiting);
        while (!list_empty(&now) && list_empty(waiting) && max--) {
                struct client *c = list_first(&now, struct client, waiting);
                uint64_t served = u->served + s->status.messages_in;

                user_stops_waiting(c);
                list_del(&c->waiting);
                c->wait = CLIENT_RUNS;
                client_resume(c);
                first = served == u->served + s->status.messages_in && queue != USER_READS;
        }
        if (first) {
                list_join(waiting, &now);
        } else {
                list_join(&now, waiting);
                list_swap(waiting, &now);
        }
}

/* ------------------------------------------------------------------ asking first */

enum user_answer user_ask(struct client *c, const struct user_need *need, enum quota *quotap)
{
        struct shard *s = c->shard;
        struct user *u = c->account;
        bool refused = c->lease_refused;

        user_flow_back(u);
        c->lease_refused = false;
        for (enum quota q = 0; q < _QUOTA_N; q++) {
                struct lease *lease = &u->leases[q];
                bool behind = !list_empty(&u->waiting[quota_queue(q)]);

                if (!need->n[q] || !user_bound(s, q) || (q == QUOTA_MESSAGES && c->held.messages))
                        continue;
                *quotap = q;
                if (refused && c->lease == q) {
                        c->held.messages = 0;
                        u->served++;
                        return USER_REFUSED;
                }
                if (!behind && !lease->short_of && lease_idle(lease) >= need->n[q])
                        continue;
                if (c->gather)
                        gather_ask(c); /* first what came before; then this is looked at again */
                if (c->wait != CLIENT_RUNS)
                        return USER_WAITS;
                user_wait(c, q);
                user_hold(c, need, q);
                if (!lease->serial && !behind)
                        user_send_ask(s, u, q, need->n[q], c->id);
                return USER_WAITS;
        }
        u->served++;
        return USER_GOES_ON;
}

static bool user_same_name(const void *item, const void *key)
{
        const struct bytes *a = item, *b = key;

        return a->n == b->n && (!a->n || !memcmp(a->p, b->p, a->n));
}

bool user_is_new_name(struct client *c, enum topic_kind kind, const struct bytes *name, struct table *seen)
{
        struct shard *s = c->shard;
        uint64_t hash;

        if (topics_subscription(s->topics, &c->subscriber, kind, *name))
                return false;
        hash = hash_bytes(&s->options.hash_key, *name);
        if (table_find(seen, hash, user_same_name, name))
                return false;
        table_add(seen, hash, (void *)(uintptr_t)name);
        return true;
}

static uint64_t user_count_new(struct client *c, enum topic_kind kind, const struct bytes *names, size_t n)
{
        struct table seen = { 0 };
        uint64_t fresh = 0;

        for (size_t i = 0; i < n; i++)
                fresh += user_is_new_name(c, kind, &names[i], &seen);
        table_deinit(&seen);
        return fresh;
}

enum user_answer user_ask_subscribe(struct client *c, enum topic_kind kind, const struct bytes *names, size_t n,
                                    enum quota *quotap)
{
        const struct policy_limits *limits = &c->shard->policy->limits;
        struct user_need need = { 0 };

        if (!limits->subscriptions_user && !(kind == TOPIC_PATTERN && limits->patterns_user))
                return USER_GOES_ON;
        need.n[QUOTA_SUBSCRIPTIONS] = user_count_new(c, kind, names, n);
        need.n[QUOTA_PATTERNS] = kind == TOPIC_PATTERN ? need.n[QUOTA_SUBSCRIPTIONS] : 0;
        return user_ask(c, &need, quotap);
}

bool user_publishes_slow(struct client *c, size_t bytes)
{
        struct user_need need = { .n = { [QUOTA_MESSAGES] = 1, [QUOTA_BYTES] = bytes } };
        struct user *u = c->account;
        enum quota quota;

        if (u->messages_left >= 0) /* it was the bytes */
                u->bytes_left += (int64_t)bytes;
        u->messages_left++;
        if (transaction_runs(c))
                return true;
        if (user_ask(c, &need, &quota) != USER_GOES_ON)
                return false;
        user_spend(c, 1, bytes);
        user_flow_out(u);
        return true;
}

void user_spend(struct client *c, uint64_t messages, uint64_t bytes)
{
        struct user *u = c->account;

        if (!c->shard->users.meters)
                return;
        user_flow_back(u);
        u->leases[QUOTA_MESSAGES].used += c->held.messages ? 0 : messages;
        u->leases[QUOTA_BYTES].used += bytes;
        c->held.messages = 0;
}

void user_unspend(struct client *c, uint64_t messages, uint64_t bytes)
{
        struct user *u = c->account;

        if (!c->shard->users.meters || transaction_runs(c))
                return;
        user_flow_back(u);
        u->leases[QUOTA_MESSAGES].used -= messages;
        u->leases[QUOTA_BYTES].used -= bytes;
}

void user_reserve(struct client *c, uint64_t subscriptions, uint64_t patterns)
{
        c->account->leases[QUOTA_SUBSCRIPTIONS].used += subscriptions;
        c->account->leases[QUOTA_PATTERNS].used += patterns;
}

/* Less of a stock is in use. */
static void user_uses_less(struct client *c, enum quota q, uint64_t n)
{
        struct lease *lease = &c->account->leases[q];

        assert(lease->used >= n);
        lease->used -= n;
        if (n && user_bound(c->shard, q))
                user_touch(c->shard, c->account);
}

void user_unreserve(struct client *c, uint64_t subscriptions, uint64_t patterns)
{
        user_uses_less(c, QUOTA_SUBSCRIPTIONS, subscriptions);
        user_uses_less(c, QUOTA_PATTERNS, patterns);
}

void user_subscribed(struct client *c, enum topic_kind kind)
{
        user_reserve(c, 1, kind == TOPIC_PATTERN);
}

void user_unsubscribed(struct client *c, enum topic_kind kind)
{
        user_unreserve(c, 1, kind == TOPIC_PATTERN);
}

void user_refuse_text(const struct client *c, enum quota q, char *text, size_t size)
{
        snprintf(text, size, "the limit of %llu for all clients of your user is reached: %s",
                 (unsigned long long)user_bound(c->shard, q), quota_name(q));
}

/* ------------------------------------------------------------------ output */

static bool user_waits_to_read(const struct user *u)
{
        return u->full || !list_empty(&u->waiting[USER_READS]);
}

/* Puts right a count that has changed, of a stock that is counted after. */
static void user_recount(struct shard *s, struct user *u, enum quota q, uint64_t before, uint64_t after)
{
        struct lease *lease = &u->leases[q];

        lease->used += after - before;
        if (user_bound(s, q))
                user_touch(s, u);
}

void user_output_changed(struct client *c, size_t bytes)
{
        struct shard *s = c->shard;

        user_recount(s, c->account, QUOTA_OUTPUT, c->output, bytes);
        user_recount(s, &s->users.everybody, QUOTA_OUTPUT_ALL, c->output, bytes);
        list_del(&c->slow);
        if (bytes)
                list_add_tail(&s->users.slow, &c->slow);
}

/* Some may have left without a word since it was counted. */
static void users_count_output(struct shard *s)
{
        list_for_each_safe (i, next, &s->users.slow) {
                struct client *c = container_of(i, struct client, slow);
                size_t bytes = client_output(c);

                if (bytes != c->output)
                        client_output_changed(c, bytes);
        }
}

/* Messages go, if the rules for slow subscribers say so; else the client. */
static void user_cut_client(struct client *c, uint64_t over)
{
        size_t before = c->output;

        if (c->spool) {
                spool_cut(c, before > over ? before - (size_t)over : 0);
                client_output_changed(c, client_output(c));
        }
        if (c->output >= before)
                client_close_at_limit(c);
}

/* The slow-consumer policy, as if that client had passed a bound of its own, until no more than goal is in use
 * by the user, or by all. */
static void user_cut_output(struct shard *s, struct user *u, enum quota q, uint64_t goal)
{
        users_count_output(s);
        while (u->leases[q].used > goal) {
                struct client *most = NULL;

                list_for_each (i, &s->users.slow) {
                        struct client *c = container_of(i, struct client, slow);

                        if ((q == QUOTA_OUTPUT_ALL || c->account == u) && (!most || c->output > most->output))
                                most = c;
                }
                assert(most);
                user_cut_client(most, u->leases[q].used - goal);
        }
}

/* ------------------------------------------------------------------ input */

/* A request that there is no room for, and never will be. */
static void user_end_at_input(struct client *c)
{
        char text[128];

        user_refuse_text(c, QUOTA_INPUT, text, sizeof(text));
        command_error(c, "%s", text);
        client_reply_flush(c);
        shard_notice(c->shard, c, "disconnected, its requests that wait passed the limit of its user");
        client_finish(c);
}

static void user_set_input(struct client *c, size_t bytes)
{
        if (user_client_waits(c, QUOTA_INPUT))
                c->account->stuck_input += bytes - c->input;
        user_recount(c->shard, c->account, QUOTA_INPUT, c->input, bytes);
        c->input = bytes;
}

void user_drop_input(struct client *c)
{
        if (c->input)
                user_set_input(c, 0);
}

/* Whether nothing that is kept of the user's input can be executed before more is read. */
static bool user_is_stuck(const struct user *u)
{
        return user_waits_to_read(u) && u->leases[QUOTA_INPUT].used == u->stuck_input;
}

static void user_ask_to_read(struct shard *s, struct user *u)
{
        u->stuck = user_is_stuck(u);
        user_send_ask(s, u, QUOTA_INPUT, user_read_need(s), 0);
}

/* Stops reading, if nothing else did. */
static void user_pause(struct client *c)
{
        struct shard *s = c->shard;

        if (c->end != CLIENT_OPEN || c->wait != CLIENT_RUNS || c->killed || c->eof || c->stream.failed)
                return;
        user_wait(c, QUOTA_INPUT);
        if (!c->stream.paused)
                s->ops->pause(s->reactor, &c->stream, true);
}

void user_count_input(struct client *c)
{
        uint64_t bound = user_bound(c->shard, QUOTA_INPUT);
        size_t bytes;

        if (c->end != CLIENT_OPEN)
                return;
        bytes = reader_size(&c->reader) + (c->transaction ? c->transaction->bytes : 0);
        if (bytes != c->input)
                user_set_input(c, bytes);
        if (!bound || c->wait != CLIENT_RUNS)
                return;
        if (bytes > bound)
                user_end_at_input(c); /* all that was whole in it is executed: this is one request */
        else if (c->account->full)
                user_pause(c);
}

/* Nothing more is read from the user's clients, until control grants room for more. */
static void user_fill(struct shard *s, struct user *u)
{
        u->full = true;
        list_for_each_safe (i, next, &u->clients)
                user_pause(container_of(i, struct client, of_user));
        user_ask_to_read(s, u);
}

/* Room for n more: some who wait are read from; the others go on waiting. */
static void user_read_on(struct shard *s, struct user *u, uint64_t n)
{
        u->full = u->stuck = false;
        user_resume(s, u, USER_READS, 1 + n / USER_READ_MAX);
        if (!list_empty(&u->waiting[USER_READS]) && !u->leases[QUOTA_INPUT].serial)
                user_ask_to_read(s, u);
}

/* Control sees no shard that could go on: a client has to end, for the others. */
static void user_unstick(struct shard *s, struct user *u)
{
        struct client *most = NULL;

        list_for_each (i, &u->clients) {
                struct client *c = container_of(i, struct client, of_user);

                if (user_client_waits(c, QUOTA_INPUT) && (!most || c->input > most->input))
                        most = c;
        }
        if (most && user_is_stuck(u))
                user_end_at_input(most);
        user_fill(s, u);
}

void user_charge(struct client *c, unsigned dst)
{
        struct user *u = c->account;

        if (!PLANTED(33))
                port_charge(c->shard->port, dst, &u->backlog);
        if (u->backlog && list_empty(&u->spilling))
                list_add_tail(&c->shard->users.spilling, &u->spilling);
}

void shard_users_flushed(struct shard *s)
{
        list_for_each_safe (i, next, &s->users.spilling) {
                struct user *u = container_of(i, struct user, spilling);

                user_recount(s, u, QUOTA_INPUT, u->backlog_seen, u->backlog);
                u->backlog_seen = u->backlog;
                if (u->backlog)
                        continue;
                list_del(&u->spilling);
                user_touch(s, u);
        }
}

/* ------------------------------------------------------------------ from control */

void user_on_grant(struct shard *s, const struct message_lease *m)
{
        struct user *u = user_find(s, m->uid);
        enum quota q = m->quota;
        struct lease *lease = u ? &u->leases[q] : NULL;

        if (!u || !user_bound(s, q)) { /* too late: the clients are gone, or the limit is */
                struct user nobody = { .uid = m->uid };

                if (m->n && !PLANTED(32))
                        user_send_lease(s, &nobody, q, MESSAGE_LEASE_RETURN, 0, m->n, 0);
                return;
        }
        user_flow_back(u);
        lease->leased += m->n;
        user_touch(s, u);
        if (m->serial != lease->serial)
                return;
        lease->serial = 0;
        lease->short_of = false;
        if (s->stop != SHARD_RUNS)
                return;
        if (q == QUOTA_INPUT)
                user_read_on(s, u, m->n);
        else
                user_resume(s, u, quota_queue(q), UINT64_MAX);
}

/* Who asked is refused; the others have their own needs. */
static void user_refuse_asker(struct shard *s, struct user *u, enum quota q)
{
        struct client *c = client_find(s, u->leases[q].asker);

        if (c && user_client_waits(c, q))
                c->lease_refused = true;
        user_resume(s, u, quota_queue(q), UINT64_MAX);
}

/* The user, or all, have so much more waiting than they may. */
static void user_cut(struct shard *s, struct user *u, enum quota q, uint64_t over)
{
        struct lease *lease = &u->leases[q];
        uint64_t spent;

        if (over)
                user_cut_output(s, u, q, lease->leased > over ? lease->leased - over : 0);
        user_send_lease(s, u, q, MESSAGE_LEASE_DROP, 0, lease_empty(lease, q, &spent), 0);
}

/* Control speaks first: more is in use than may be, or others wait to read. */
static void user_press(struct shard *s, struct user *u, enum quota q)
{
        if (!u->leases[q].serial)
                user_send_ask(s, u, q, 0, 0); /* it is not known what was under way */
        else if (q == QUOTA_INPUT && user_waits_to_read(u) && !u->full)
                user_fill(s, u); /* nor is more read from those who were served */
}

void user_on_refuse(struct shard *s, const struct message_lease *m)
{
        struct user *u = user_find(s, m->uid);
        enum quota q = m->quota;
        struct lease *lease = u ? &u->leases[q] : NULL;

        if (!u || !user_bound(s, q) || s->stop != SHARD_RUNS)
                return;
        if (!m->serial)
                user_press(s, u, q);
        if (!m->serial || m->serial != lease->serial)
                return;
        lease->serial = 0;
        s->status.quota_refused[q]++;
        if (!quota_is_counted_after(q)) {
                user_refuse_asker(s, u, q);
        } else if (q == QUOTA_INPUT) {
                if (user_waits_to_read(u))
                        user_unstick(s, u);
                else
                        user_fill(s, u);
        } else {
                user_cut(s, u, q, m->n > lease->back ? m->n - lease->back : 0);
        }
}

void user_on_recall(struct shard *s, const struct message_lease *m)
{
        struct user *u = user_find(s, m->uid), nobody = { .uid = m->uid };
        enum quota q = m->quota;

        if (!u || !user_bound(s, q)) {
                user_send_lease(s, &nobody, q, MESSAGE_LEASE_RETURN, m->serial, 0, 0);
                return;
        }
        if (q == QUOTA_OUTPUT || q == QUOTA_OUTPUT_ALL)
                users_count_output(s);
        user_flow_back(u);
        u->leases[q].short_of = true;
        user_return(s, u, q, m->serial);
}

/* ------------------------------------------------------------------ the turn */

/* A client's end, and those who are short, let go of what is not used. */
static void user_give(struct shard *s, struct user *u)
{
        for (enum quota q = 0; q < _QUOTA_N; q++) {
                bool returns = u->leases[q].short_of || (u->tells && !quota_is_flow(q)) ||
                               (q == QUOTA_INPUT && user_waits_to_read(u));

                if (user_bound(s, q) && returns)
                        user_return(s, u, q, 0);
        }
        u->tells = false;
}

/* What came to be without a lease. The shard alone does not pass a bound of output, whatever control knows. */
static void user_claim(struct shard *s, struct user *u, enum quota q)
{
        struct lease *lease = &u->leases[q];
        uint64_t bound = user_bound(s, q);

        if (!bound)
                return;
        if (q != QUOTA_INPUT && lease->used > bound) {
                s->status.quota_refused[q]++;
                user_cut_output(s, u, q, bound);
        }
        if (lease->used <= lease->leased)
                return;
        if (q == QUOTA_INPUT && user_waits_to_read(u))
                user_fill(s, u); /* there is no room that others do not wait for */
        else
                user_send_ask(s, u, q, 0, 0);
}

/* Control knows whether the user's input is stuck. */
static void user_tell_stuck(struct shard *s, struct user *u)
{
        if (user_waits_to_read(u) && user_is_stuck(u) != u->stuck)
                user_ask_to_read(s, u);
}

static void user_rest(struct shard *s, struct user *u)
{
        bool idle = false;

        for (enum quota q = 0; q < _QUOTA_N; q++)
                idle |= user_bound(s, q) && lease_idle(&u->leases[q]);
        if (!idle || !list_empty(&u->resting))
                return;
        u->rests_until = s->now + USER_REST_NS;
        list_add_tail(&s->users.resting, &u->resting); /* all get the same time, so the list stays sorted */
}

static void user_settle(struct shard *s, struct user *u)
{
        user_flow_back(u);
        if (!u->n_clients && !u->backlog && u != &s->users.everybody) {
                for (enum quota q = 0; q < _QUOTA_N; q++)
                        if (user_bound(s, q))
                                user_drop(s, u, q);
                user_free(s, u);
                return;
        }
        user_give(s, u);
        user_claim(s, u, QUOTA_OUTPUT);
        user_claim(s, u, QUOTA_OUTPUT_ALL);
        user_claim(s, u, QUOTA_INPUT);
        user_tell_stuck(s, u);
        user_rest(s, u);
}

void shard_users_settle(struct shard *s)
{
        while (s->stop == SHARD_RUNS && !list_empty(&s->users.dirty)) {
                struct user *u = list_first(&s->users.dirty, struct user, dirty);

                list_del(&u->dirty);
                user_settle(s, u);
        }
}

static void user_look(struct shard *s, struct user *u)
{
        user_flow_back(u);
        for (enum quota q = 0; q < _QUOTA_N; q++) {
                struct lease *lease = &u->leases[q];
                uint64_t idle = lease_idle(lease);

                if (!user_bound(s, q))
                        continue;
                if (lease->rested && idle >= lease->rested)
                        user_return(s, u, q, 0);
                else
                        lease->rested = idle;
        }
        user_rest(s, u);
}

void shard_users_tick(struct shard *s)
{
        if (s->stop != SHARD_RUNS)
                return;
        while (!list_empty(&s->users.resting)) {
                struct user *u = list_first(&s->users.resting, struct user, resting);

                if (u->rests_until > s->now)
                        break;
                list_del(&u->resting);
                user_look(s, u);
        }
}

uint64_t shard_users_next(const struct shard *s)
{
        if (s->stop != SHARD_RUNS || list_empty(&s->users.resting))
                return CLOCK_NEVER;
        return list_first(&s->users.resting, struct user, resting)->rests_until;
}

/* ------------------------------------------------------------------ another policy */

static void user_on_policy(struct shard *s, struct user *u, const struct policy_limits *before)
{
        user_flow_back(u);
        for (enum quota q = 0; q < _QUOTA_N; q++) {
                struct lease *lease = &u->leases[q];
                bool was = quota_bound(before, q), is = user_bound(s, q);

                if (was && !is)
                        user_drop(s, u, q);
                if (was != is && quota_is_flow(q))
                        *lease = (struct lease){ .leased = is ? 0 : USER_ENDLESS };
                if (is && !was && !quota_is_flow(q) && lease->used)
                        user_send_ask(s, u, q, 0, 0);
                if (is && (!was || user_bound(s, q) < quota_bound(before, q))) {
                        lease->short_of = true;
                        user_return(s, u, q, 0);
                }
        }
        if (!user_bound(s, QUOTA_INPUT))
                u->full = u->stuck = false;
        user_touch(s, u);
}

void shard_users_on_policy(struct shard *s, const struct policy_limits *before)
{
        struct user *u, **all = mem_alloc((s->users.by_uid.n + 1) * sizeof(struct user *));
        size_t n = 0;

        s->users.meters = user_bound(s, QUOTA_MESSAGES) || user_bound(s, QUOTA_BYTES);
        s->users.reads = user_bound(s, QUOTA_INPUT);
        for (size_t pos = 0; (u = table_next(&s->users.by_uid, &pos));)
                all[n++] = u;
        user_on_policy(s, &s->users.everybody, before);
        for (size_t i = 0; i < n; i++) {
                user_on_policy(s, all[i], before);
                for (unsigned queue = 0; s->stop == SHARD_RUNS && queue < _USER_QUEUE_N; queue++)
                        user_resume(s, all[i], queue, UINT64_MAX);
        }
        free(all);
}
