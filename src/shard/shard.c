/* SPDX-License-Identifier: MIT */
/*
 * The one loop. Everything a turn produces leaves at its end: runs are settled, the mesh is flushed and its
 * targets are told once, every dirty connection is flushed once. Then it is decided whether to look for more
 * work, spin a little, or park; a parked shard sleeps until its next timer or without end.
 *
 * Stopping: STOP ends the execution of requests; each shard then tells the others its last; when all have, no
 * delivery can come any more, and clients leave as soon as they have taken their output, at the deadline all.
 */

#include "shard/shard.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "mesh/waker.h"
#include "pubsub/interest.h"
#include "shard/auth.h"
#include "shard/block.h"
#include "shard/client.h"
#include "shard/command.h"
#include "shard/gather.h"
#include "shard/limits.h"
#include "shard/inspect.h"
#include "shard/parts.h"
#include "shard/permit.h"
#include "shard/roster.h"
#include "shard/spool.h"
#include "shard/state.h"
#include "shard/status.h"
#include "shard/tap.h"
#include "shard/timeout.h"
#include "shard/transaction.h"
#include "shard/user.h"
#include "util/bits.h"
#include "util/clock.h"
#include "util/error.h"
#include "util/log.h"
#include "util/mem.h"
#include "util/plant.h"
#include "util/probe.h"

#define SHARD_CHUNK_BYTES   2048 /* of a client's own output; of a usual one */
#define SHARD_CHUNKS_IDLE   64
#define SHARD_STAGES_IDLE   4
#define SHARD_END_BUDGET    1000 /* clients and their subscriptions that are ended in one turn; some 0.5 ms */
#define SHARD_RESERVE_BYTES (1024 * 1024) /* for what a turn has begun when memory runs out */
#define SHARD_RECENT        1024          /* channels without subscribers whose matches are remembered */

void shard_touch(struct shard *s, struct client *c)
{
        if (list_empty(&c->dirty))
                list_add_tail(&s->dirty, &c->dirty);
}

void shard_touch_first(struct shard *s, struct client *c)
{
        if (list_empty(&c->dirty))
                list_add_tail(s->dirty.next, &c->dirty); /* in front of the first */
}

bool shard_would_notice(const struct shard *s)
{
        return !s->notice_at || s->now >= s->notice_at + NSEC_PER_SEC;
}

void shard_notice(struct shard *s, const struct client *c, const char *what)
{
        if (!shard_would_notice(s)) {
                s->notices_dropped++;
                return;
        }
        log_notice("client %llu (pid %d, uid %u): %s; %llu more notices since the last one",
                   (unsigned long long)c->id, (int)c->pid, (unsigned)c->uid, what,
                   (unsigned long long)s->notices_dropped);
        s->notice_at = s->now;
        s->notices_dropped = 0;
}

/* ------------------------------------------------------------------ from the reactor */

/* The clock has gone on while the shard slept. */
static void shard_awake(struct shard *s)
{
        if (!s->slept)
                return;
        s->now = s->options.now();
        s->slept = false;
        pace_woke(&s->pace, s->now);
}

static void shard_on_data(void *arg, struct stream *stream, struct bytes bytes)
{
        shard_awake(arg);
        client_on_data(client_of_stream(stream), bytes);
}

static void shard_on_drained(void *arg, struct stream *stream)
{
        (void)arg;
        client_on_drained(client_of_stream(stream));
}

static void shard_on_hangup(void *arg, struct stream *stream, int error)
{
        shard_awake(arg);
        client_on_hangup(client_of_stream(stream), error);
}

static void shard_on_closed(void *arg, struct stream *stream)
{
        (void)arg;
        client_free(client_of_stream(stream));
}

/* ------------------------------------------------------------------ from the mesh */

void shard_answer(struct shard *s, unsigned dst, const struct message_ask *ask, const void *body, size_t n)
{
        uint8_t *p;

        if (!ask->client)
                return;
        p = port_send(s->port, dst, MESSAGE_ANSWER, (uint32_t)(sizeof(*ask) + n), PORT_UNCOUNTED);
        memcpy(p, ask, sizeof(*ask));
        if (n)
                memcpy(p + sizeof(*ask), body, n);
}

static void shard_on_publish(struct shard *s, uint32_t type, struct bytes body)
{
        const struct message_publish *publish = (const void *)body.p;
        struct bytes channel = bytes_of(body.p + sizeof(*publish), publish->channel_size);
        struct topic *topic = type == MESSAGE_PUBLISH ? topics_route(s->topics, channel)
                                                      : topics_route_shard(s->topics, channel);

        if (topic)
                deliver_local(s, topic, bytes_of(channel.p + channel.n, body.n - sizeof(*publish) - channel.n));
}

static void shard_on_interest(struct shard *s, unsigned source, struct bytes body)
{
        const struct message_ask *ask = (const void *)body.p;

        interest_apply(s->topics, source, bytes_of(body.p + sizeof(*ask), body.n - sizeof(*ask)));
        block_applied(s, NULL);
        shard_answer(s, source, ask, NULL, 0);
}

static void shard_on_timed_out(struct shard *s, unsigned source, struct bytes body)
{
        const struct message_timed_out *m = (const void *)body.p;

        interest_apply(s->topics, source, bytes_of(body.p + sizeof(*m), body.n - sizeof(*m)));
        block_applied(s, m);
}

static void shard_on_query(struct shard *s, unsigned source, struct bytes body)
{
        const struct message_query *query = (const void *)body.p;
        struct buffer answer = { 0 };

        if (query->kind >= QUERY_CLIENT) {
                inspect_asked(s, source, &query->ask, query->kind,
                              bytes_of(query + 1, body.n - sizeof(*query)));
                return;
        }
        if (query->kind == QUERY_LIST || query->kind == QUERY_KILL)
                roster_answer(s, query->kind, bytes_of(query + 1, body.n - sizeof(*query)), &answer);
        else if (query->kind == QUERY_LATENCY || query->kind == QUERY_LATENCY_RESET || query->kind == QUERY_TOP)
                parts_answer(s, query->kind, bytes_of(query + 1, body.n - sizeof(*query)), &answer);
        else
                status_answer(s, query->kind, &answer);
        shard_answer(s, source, &query->ask, buffer_view(&answer).p, buffer_size(&answer));
        buffer_deinit(&answer);
}

static void shard_on_stop(struct shard *s, const struct message_stop *stop)
{
        if (s->stop != SHARD_RUNS)
                return;
        s->stop = SHARD_STOPPING;
        s->stop_deadline = stop->deadline;
        list_for_each (i, &s->clients)
                s->ops->pause(s->reactor, &container_of(i, struct client, all)->stream, true);
        bits_for_each (dst, s->peers)
                port_send(s->port, (unsigned)dst, MESSAGE_LAST, 0, PORT_UNCOUNTED);
}

static void shard_wake(void *arg)
{
        const struct shard_wake *wake = arg;

        wake->shard->ops->wake(wake->shard->reactor, &wake->address);
}

static void shard_on_address(struct shard *s, unsigned source, const struct reactor_address *address)
{
        struct shard_wake *wake = &s->wakes[source];

        *wake = (struct shard_wake){ .shard = s, .address = *address };
        if (s->ops->wake)
                port_set_waker(s->port, source, (struct waker){ .fire = shard_wake, .arg = wake });
}

static void shard_use_policy(struct shard *s, const struct policy *policy)
{
        uint64_t request_bytes = policy->limits.request_bytes;

        assert(request_bytes <= POLICY_REQUEST_MAX);
        assert(policy->n_settings <= POLICY_SETTINGS_MAX);
        s->policy = policy;
        s->limits = (struct reader_limits){ request_bytes, request_bytes };
        permit_use_policy(s);
        s->publish_limited = s->memory_low || limits_on_publish(&policy->limits);
        list_for_each (i, &s->clients) {
                struct client *c = container_of(i, struct client, all);

                if (c->end != CLIENT_OPEN)
                        continue;
                limits_rate_over(c);
                timeout_adapt(c);
        }
}

static void shard_on_policy(struct shard *s, const struct message_policy *m)
{
        const struct policy *before = s->policy;

        slow_forget(&s->slow);
        shard_use_policy(s, m->policy);
        list_for_each (i, &s->clients)
                spool_use_policy(container_of(i, struct client, all));
        auth_review(s);
        block_policy(s);
        shard_users_on_policy(s, &before->limits);
        port_send(s->port, s->options.n_shards, MESSAGE_POLICY_TAKEN, 0, PORT_UNCOUNTED);
}

static void shard_on_message(void *arg, const struct port_message *m)
{
        struct shard *s = arg;
        struct bytes body = bytes_of(m->data, m->size);

        if (m->type == MESSAGE_PUBLISH || m->type == MESSAGE_SPUBLISH) {
                shard_on_publish(s, m->type, body);
                return;
        }
        deliver_settle(s);
        switch (m->type) {
        case MESSAGE_ADOPT:
                client_adopt(s, m->data);
                break;
        case MESSAGE_INTEREST:
                shard_on_interest(s, m->source, body);
                break;
        case MESSAGE_QUERY:
                shard_on_query(s, m->source, body);
                break;
        case MESSAGE_ANSWER:
                gather_on_answer(
                        s, m->source, m->data,
                        bytes_of(body.p + sizeof(struct message_ask), body.n - sizeof(struct message_ask)));
                break;
        case MESSAGE_STOP:
                shard_on_stop(s, m->data);
                break;
        case MESSAGE_LAST:
                s->last_seen |= bit(m->source);
                break;
        case MESSAGE_POLICY:
                shard_on_policy(s, m->data);
                break;
        case MESSAGE_VERIFIED:
                auth_on_verified(s, m->data);
                break;
        case MESSAGE_TIMED_OUT:
                shard_on_timed_out(s, m->source, body);
                break;
        case MESSAGE_LEASE_GRANT:
                user_on_grant(s, m->data);
                break;
        case MESSAGE_LEASE_REFUSE:
                user_on_refuse(s, m->data);
                break;
        case MESSAGE_LEASE_RECALL:
                user_on_recall(s, m->data);
                break;
        case MESSAGE_TAP:
                tap_on_tap(s, m->source,
                           bytes_of(body.p + sizeof(struct message_ask), body.n - sizeof(struct message_ask)));
                shard_answer(s, m->source, m->data, NULL, 0);
                break;
        case MESSAGE_TAP_END:
                tap_on_end(s, m->data);
                break;
        case MESSAGE_TAPPED:
                tap_on_tapped(s, m->source, body);
                break;
        case MESSAGE_TAP_TAKEN:
                tap_on_taken(s, m->data);
                break;
        case MESSAGE_ADDRESS:
                shard_on_address(s, m->source, m->data);
                break;
        default:
                assert(!"a message that shards do not receive");
        }
}

/* ------------------------------------------------------------------ the turn's end */

/*
 * Ends the clients that hung up. Only now: what other shards announced before that has been delivered, so a
 * message whose PUBLISH was answered does not miss a subscriber that said its last afterwards. A crowd that
 * hangs up at once is spread over turns, so that nobody waits for the end of all its subscriptions.
 */
static void shard_end(struct shard *s)
{
        unsigned budget = SHARD_END_BUDGET;

        if (s->stop != SHARD_RUNS)
                return; /* all clients are ended together */
        while (budget && !list_empty(&s->ended)) {
                struct client *c = list_first(&s->ended, struct client, waiting);
                unsigned cost = 1 + client_subscriptions(c);

                budget -= cost < budget ? cost : budget;
                client_finish(c);
        }
}

/*
 * Serves the clients of a list, each of which may come to wait again at its end. When a target of gate closes,
 * the rest waits on, in front of those that were served, so they take turns. Return: whether there were any.
 */
static bool shard_resume(struct shard *s, struct list *list, uint64_t gate)
{
        struct list now;
        bool any = !list_empty(list);

        list_swap(&now, list);
        while (!list_empty(&now) && !(port_gated(s->port) & gate)) {
                struct client *c = list_first(&now, struct client, waiting);

                list_del(&c->waiting);
                c->wait = CLIENT_RUNS;
                client_resume(c);
        }
        deliver_settle(s);
        if (list_empty(&now))
                return any;
        while (!list_empty(list)) {
                struct list *served = list->next;

                list_del(served);
                list_add_tail(&now, served);
        }
        list_swap(list, &now);
        return any;
}

/* Serves the clients that waited for targets whose gate opened. Return: whether there were any. */
static bool shard_resume_gated(struct shard *s, uint64_t opened)
{
        bool any = false;

        bits_for_each (dst, opened)
                any |= shard_resume(s, &s->gated[dst], bit(dst));
        return any;
}

/* Starts or stops the time that a client has to come below the soft limit. */
static void shard_soft_limit(struct shard *s, struct client *c, size_t bytes)
{
        const struct policy_limits *limits = &s->policy->limits;
        struct timer *timer = &c->timers[CLIENT_TIMER_SOFT];

        if (!limits->output_soft || bytes <= limits->output_soft || c->end != CLIENT_OPEN)
                timers_stop(&s->timers, timer);
        else if (!timer_is_started(timer))
                timers_start(&s->timers, timer, s->now + limits->output_soft_ns);
}

/* After a flush: what the kernel did not take is the client's own, and bounded. */
static void shard_flushed(struct shard *s, struct client *c)
{
        struct outq *out = &c->stream.out;
        size_t bytes;

        PROBE2(flush, c->id, out->bytes);
        if (c->stream.failed)
                return; /* the reactor reports it in the next wait */
        if (out->bytes && !limits_keep(c, out->bytes))
                return;
        if (c->spool || (out->bytes && spool_is_needed(c)))
                spool_keep(c);
        if (!out->bytes && !c->spool)
                c->active = s->now;
        bytes = client_output(c);
        shard_soft_limit(s, c, bytes);
        if (bytes != c->output)
                client_output_changed(c, bytes);
        if (!bytes) {
                if (c->end == CLIENT_FINISHING)
                        client_close(c);
                return;
        }
        c->linger_left = bytes;
        if (bytes > s->policy->limits.output_hard) {
                client_close_at_limit(c);
                return;
        }
        block_flushed(s, c, bytes);
        if (c->spool)
                return;
        spool_trim_cut(out);
        if (!PLANTED(12))
                outq_detach(out, &s->chunks);
        if (c->messages != out)
                outq_detach(c->messages, &s->chunks); /* of a transaction */
}

/* The only place that flushes. Return: 0, -errno. */
static int shard_flush(struct shard *s)
{
        struct list now;
        int r;

        if (s->deliver.replaced)
                spool_wake_all(s);
        list_swap(&now, &s->dirty);
        list_for_each (i, &now) {
                struct client *c = container_of(i, struct client, dirty);

                if (c->spool)
                        spool_offer(c);
                s->ops->flush(s->reactor, &c->stream);
        }
        r = s->ops->submit(s->reactor);
        while (!list_empty(&now)) {
                struct client *c = list_first(&now, struct client, dirty);

                list_del(&c->dirty);
                shard_flushed(s, c);
        }
        slow_forget(&s->slow);
        deliver_recycle(&s->deliver);
        return r;
}

static void shard_tell_closed(struct shard *s)
{
        struct bytes users = buffer_view(&s->closed_users);
        struct message_closed *closed;

        if (!s->closed.n_clients)
                return;
        closed = port_send(s->port, s->options.n_shards, MESSAGE_CLOSED, (uint32_t)(sizeof(*closed) + users.n),
                           PORT_UNCOUNTED);
        *closed = s->closed;
        if (users.n)
                memcpy(closed + 1, users.p, users.n);
        s->closed = (struct message_closed){ 0 };
        buffer_deinit(&s->closed_users);
}

static void shard_close_all(struct shard *s)
{
        list_for_each_safe (i, next, &s->clients)
                client_close(container_of(i, struct client, all));
}

static void shard_finish_all(struct shard *s)
{
        list_for_each_safe (i, next, &s->clients)
                client_finish(container_of(i, struct client, all));
}

/* Moves a stop forward. Return: whether the shard may end once its last messages have left. */
static bool shard_stop(struct shard *s)
{
        if (s->now >= s->stop_deadline)
                shard_close_all(s);
        if (s->stop == SHARD_STOPPING && (s->last_seen == s->peers || s->now >= s->stop_deadline)) {
                s->stop = SHARD_DRAINING;
                shard_finish_all(s);
        }
        if (s->stop == SHARD_DRAINING && list_empty(&s->clients)) {
                s->stop = SHARD_STOPPED;
                port_send(s->port, s->options.n_shards, MESSAGE_STOPPED, 0, PORT_UNCOUNTED);
        }
        return s->stop == SHARD_STOPPED;
}

/* Ends clients that do not take their last output, and works off the timers. */
static void shard_tick(struct shard *s)
{
        struct timer *timer;

        while ((timer = timers_due(&s->timers, s->now)))
                client_on_timer(client_of_timer(timer), timer->kind);
        while (!list_empty(&s->lingering)) {
                struct client *c = list_first(&s->lingering, struct client, linger);

                if (c->linger_deadline > s->now)
                        break;
                client_linger(c);
        }
        if (!list_empty(&s->users.resting))
                shard_users_tick(s);
}

static uint64_t shard_next_timer(const struct shard *s)
{
        uint64_t next = s->stop == SHARD_RUNS ? CLOCK_NEVER : s->stop_deadline;

        if (!list_empty(&s->lingering)) {
                uint64_t first = list_first(&s->lingering, struct client, linger)->linger_deadline;

                next = first < next ? first : next;
        }
        if (next > shard_users_next(s))
                next = shard_users_next(s);
        if (next > tap_next(s))
                next = tap_next(s);
        return next < timers_next(&s->timers) ? next : timers_next(&s->timers);
}

/* Waits as the last turn suggests: not at all, a little by polling, or parked. */
static int shard_wait(struct shard *s)
{
        bool parked = false;
        uint64_t since = s->now;
        int n;

        if (!s->busy && !(s->spins && s->now - s->last_work < s->options.spin_ns)) {
                parked = port_park(s->port);
                s->status.parks += parked;
        }
        s->slept = parked;
        n = s->ops->wait(s->reactor, parked ? shard_next_timer(s) : 0);
        s->now = s->options.now();
        if (s->slept)
                pace_woke(&s->pace, s->now);
        s->slept = false;
        if (parked) {
                port_unpark(s->port);
                s->spins = s->now - since < s->options.spin_ns;
        }
        return n;
}

static int shard_turn_unchecked(struct shard *s)
{
        uint64_t opened, heard = s->status.bytes_in;
        unsigned drained;
        bool resumed, busy = s->busy;
        int n, r;

        shard_resume(s, &s->yielded, 0); /* what they were served in the last turn has been flushed */
        n = shard_wait(s);
        if (n < 0)
                return error_trace(n);
        s->status.turns++;
        drained = port_drain(s->port, s->options.drain_budget, shard_on_message, s);
        inspect_work(s);
        deliver_settle(s);
        shard_end(s);
        permit_check(s);
        tap_flush(s);
        if (s->stop != SHARD_RUNS && shard_stop(s)) {
                port_flush(s->port);
                r = s->ops->submit(s->reactor); /* the wakes */
                if (r < 0)
                        return error_trace(r);
                if (!port_spilled(s->port) || s->now >= s->stop_deadline)
                        return SHARD_E_STOPPED;
        }
        shard_tell_closed(s);
        opened = port_flush(s->port);
        if (!list_empty(&s->users.spilling))
                shard_users_flushed(s);
        resumed = shard_resume_gated(s, opened);
        if (s->stop == SHARD_RUNS)
                resumed |= shard_resume(s, &s->released, 0);
        r = shard_flush(s);
        if (r < 0)
                return error_trace(r);
        block_tick(s);
        shard_tick(s);
        limits_look_at_memory(s);
        if (!list_empty(&s->users.dirty))
                shard_users_settle(s);
        if (n || drained)
                s->last_work = s->now;
        if (n || drained || resumed || busy)
                pace_worked(&s->pace, s->options.now(), s->status.bytes_in != heard);
        else
                pace_idled(&s->pace, s->now);
        s->busy = resumed || port_ready(s->port) || !list_empty(&s->dirty) || !list_empty(&s->yielded) ||
                  !list_empty(&s->ended) || (!list_empty(&s->released) && !PLANTED(28)) ||
                  permit_is_behind(s) || inspect_is_behind(s) || tap_is_behind(s);
        return 0;
}

int shard_turn(struct shard *s)
{
        int r = shard_turn_unchecked(s);

#ifdef SHARD_INVARIANTS
        if (r >= 0)
                shard_assert_invariants(s);
#endif
        return r;
}

/* ------------------------------------------------------------------ life */

static void shard_init_lists(struct shard *s)
{
        list_init(&s->dirty);
        list_init(&s->stalled);
        list_init(&s->clients);
        list_init(&s->blocks);
        list_init(&s->released);
        list_init(&s->yielded);
        list_init(&s->ended);
        list_init(&s->lingering);
        list_init(&s->unchecked);
        list_init(&s->inspects);
        for (unsigned i = 0; i < sizeof(s->gated) / sizeof(*s->gated); i++)
                list_init(&s->gated[i]);
}

/* Tells the other shards how to wake this one without a system call of their own. */
static void shard_tell_address(struct shard *s)
{
        struct reactor_address address;

        if (!s->ops->address)
                return;
        address = s->ops->address(s->reactor);
        bits_for_each (dst, s->peers)
                memcpy(port_send(s->port, (unsigned)dst, MESSAGE_ADDRESS, sizeof(address), PORT_UNCOUNTED),
                       &address, sizeof(address));
        port_flush(s->port);
}

/* Where the calls of a command are counted. */
static uint64_t *shard_calls(struct shard *s, struct bytes name)
{
        return &s->counts.commands[command_number(command_find(name), NULL)].calls;
}

int shard_new(struct shard **shardp, const struct shard_options *options)
{
        struct shard *s = mem_zalloc(sizeof(*s));
        struct reactor_sink sink = { .on_data = shard_on_data,
                                     .on_drained = shard_on_drained,
                                     .on_hangup = shard_on_hangup,
                                     .on_closed = shard_on_closed,
                                     .arg = s };
        int r;

        r = options->reactor_ops->init(&s->reactor, &options->reactor, &sink);
        if (r) {
                free(s);
                return r > 0 ? SHARD_E_UNSUPPORTED : error_trace(r);
        }
        s->owner = pthread_self();
        s->options = *options;
        s->ops = options->reactor_ops;
        s->port = options->port;
        s->peers = (bit(options->n_shards) - 1) & ~bit(options->id);
        shard_init_lists(s);
        tap_init(s);
        shard_use_policy(s, options->policy);
        shard_users_init(s);
        s->publish_calls = shard_calls(s, BYTES_LITERAL("publish"));
        s->spublish_calls = shard_calls(s, BYTES_LITERAL("spublish"));
        s->publish = command_find(bytes_str("publish"));
        s->spublish = command_find(bytes_str("spublish"));
        s->topics = topics_new(&options->hash_key, SHARD_RECENT);
        stage_pool_init(&s->stages, DELIVER_STAGE_BYTES, SHARD_STAGES_IDLE);
        stage_pool_init(&s->chunks, SHARD_CHUNK_BYTES, SHARD_CHUNKS_IDLE);
        s->now = options->now();
        mem_reserve(SHARD_RESERVE_BYTES);
        s->pace.at = s->pace.since = s->looked_at = s->now;
        shard_tell_address(s);
        *shardp = s;
        return 0;
}

struct shard *shard_free(struct shard *s)
{
        if (!s)
                return NULL;
        if (s->stop == SHARD_RUNS)
                s->stop = SHARD_DRAINING; /* nobody is told any more */
        deliver_settle(s);
        shard_close_all(s);
        while (!list_empty(&s->clients))
                if (s->ops->wait(s->reactor, 0) < 0)
                        break;
        s->reactor = s->ops->deinit(s->reactor);
        tap_deinit(s);
        deliver_deinit(&s->deliver);
        slow_deinit(&s->slow);
        stage_pool_deinit(&s->stages);
        stage_pool_deinit(&s->chunks);
        inspect_deinit(s);
        s->topics = topics_free(s->topics);
        table_deinit(&s->clients_by_id);
        shard_users_deinit(s);
        timers_deinit(&s->timers);
        permit_deinit(s);
        reader_scratch_deinit(&s->scratch);
        buffer_deinit(&s->reply);
        buffer_deinit(&s->closed_users);
        mem_unreserve();
        free(s);
        return NULL;
}
