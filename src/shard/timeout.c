/* SPDX-License-Identifier: MIT */

#include "shard/timeout.h"

#include "shard/client.h"
#include "shard/command.h"
#include "shard/state.h"

/* For so long from then on; 0: not at all. */
static void timeout_start(struct client *c, enum client_timer kind, uint64_t since, uint64_t ns)
{
        struct timers *timers = &c->shard->timers;

        if (ns)
                timers_start(timers, &c->timers[kind], since + ns);
        else
                timers_stop(timers, &c->timers[kind]);
}

void timeout_begin(struct client *c)
{
        const struct policy_limits *limits = &c->shard->policy->limits;

        if (limits->handshake_ns)
                timeout_start(c, CLIENT_TIMER_HANDSHAKE, c->born, limits->handshake_ns);
        if (limits->idle_ns)
                timeout_start(c, CLIENT_TIMER_IDLE, c->active, limits->idle_ns);
}

void timeout_served(struct client *c, bool any)
{
        struct shard *s = c->shard;
        uint64_t request_ns = s->policy->limits.request_ns;

        if (any && !c->heard && !c->barred) {
                c->heard = true;
                timers_stop(&s->timers, &c->timers[CLIENT_TIMER_HANDSHAKE]);
        }
        if (c->wait != CLIENT_RUNS || !reader_holds(&c->reader)) {
                c->request_since = 0;
                return;
        }
        if (any || !c->request_since)
                c->request_since = s->now;
        if (request_ns && !timer_is_started(&c->timers[CLIENT_TIMER_REQUEST]))
                timeout_start(c, CLIENT_TIMER_REQUEST, c->request_since, request_ns);
}

/* Ends a client whose time is over, with an error as its last word; NULL: without. One that ends anyway goes
 * its way. */
static void timeout_end(struct client *c, uint64_t *counter, const char *notice, const char *error)
{
        if (c->killed || c->stream.failed || !list_empty(&c->waiting))
                return;
        ++*counter;
        shard_notice(c->shard, c, notice);
        if (error) {
                command_error(c, "%s", error);
                client_reply_flush(c);
        }
        client_finish(c);
}

void timeout_handshake(struct client *c)
{
        struct shard *s = c->shard;

        if (c->heard)
                return;
        if (c->wait == CLIENT_VERIFIES) /* it is not who takes the time */
                timeout_start(c, CLIENT_TIMER_HANDSHAKE, s->now, s->policy->limits.handshake_ns);
        else if (c->barred)
                timeout_end(c, &s->status.handshake_timeouts,
                            "disconnected, it did not authenticate within handshake_timeout",
                            "handshake timeout: no right password came in time");
        else
                timeout_end(c, &s->status.handshake_timeouts,
                            "disconnected, it made no request within handshake_timeout",
                            "handshake timeout: no request came in time");
}

void timeout_request(struct client *c)
{
        struct shard *s = c->shard;
        uint64_t ns = s->policy->limits.request_ns;

        if (!ns || !c->request_since)
                return;
        if (c->request_since + ns > s->now)
                timeout_start(c, CLIENT_TIMER_REQUEST, c->request_since, ns);
        else
                timeout_end(c, &s->status.request_timeouts,
                            "disconnected, it did not end its request within request_timeout",
                            "request timeout: the end of a request did not come in time");
}

void timeout_idle(struct client *c)
{
        struct shard *s = c->shard;
        uint64_t ns = s->policy->limits.idle_ns;

        if (!ns)
                return;
        if (client_subscriptions(c) || c->tapper || c->wait != CLIENT_RUNS)
                timeout_start(c, CLIENT_TIMER_IDLE, s->now, ns);
        else if (c->active + ns > s->now)
                timeout_start(c, CLIENT_TIMER_IDLE, c->active, ns);
        else /* without a word, as Redis does: a program's pool of connections takes it for an answer */
                timeout_end(c, &s->status.idle_timeouts, "disconnected, it was idle for idle_timeout", NULL);
}

void timeout_adapt(struct client *c)
{
        struct shard *s = c->shard;
        const struct policy_limits *limits = &s->policy->limits;

        timeout_start(c, CLIENT_TIMER_HANDSHAKE, c->born, c->heard ? 0 : limits->handshake_ns);
        timeout_start(c, CLIENT_TIMER_REQUEST, c->request_since, c->request_since ? limits->request_ns : 0);
        timeout_start(c, CLIENT_TIMER_IDLE, c->active, limits->idle_ns);
}
