/* SPDX-License-Identifier: MIT */

#include "stress/victims.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "stress/history.h"
#include "util/clock.h"

#define END_NS (5 * NSEC_PER_SEC)

static const char *const death_names[_VICTIM_N] = { "close",   "at once", "in a request",  "shutdown",
                                                    "SHUT_WR", "QUIT",    "protocol error" };

static const char *random_channel(struct victims *v)
{
        return history_channels[prng_below(&v->prng, HISTORY_CHANNELS)];
}

static const char *random_pattern(struct victims *v)
{
        return history_patterns[prng_below(&v->prng, history_n_patterns)];
}

static void gone(struct victims *v, struct victim *victim)
{
        v->kills[victim->death]++;
        conn_close(&victim->conn);
}

/* Sends what is waiting; the broker may have closed a victim that misbehaved. */
static void push(struct victims *v, struct victim *victim)
{
        int r = conn_flush(v->load, &victim->conn, SIZE_MAX);

        if (r < 0 && r != -EAGAIN)
                gone(v, victim);
}

static struct victims *owner; /* of the victims; there is one set in a program */

static void on_event(struct conn *conn, uint32_t events)
{
        struct victim *victim = (struct victim *)(void *)conn;
        int r = -EAGAIN;

        /* A victim takes what it is given faster than it comes. */
        for (unsigned i = 0; i < 16 && events & (EPOLLIN | EPOLLHUP | EPOLLERR); i++) {
                r = conn_fill(owner->load, conn);
                conn->n_in = 0;
                if (r <= 0)
                        break;
                if (victim->waits_for_end)
                        victim->due = clock_now() + END_NS;
        }
        if (r == 0 || (r < 0 && r != -EAGAIN)) {
                gone(owner, victim);
                return;
        }
        if (events & EPOLLOUT)
                push(owner, victim);
}

static void ask_subscribe(struct victims *v, struct victim *victim)
{
        struct conn *c = &victim->conn;

        if (prng_below(&v->prng, 2))
                CONN_REQUEST(c, "HELLO", "3");
        CONN_REQUEST(c, "SUBSCRIBE", random_channel(v), random_channel(v), random_channel(v),
                     random_channel(v));
        if (prng_below(&v->prng, 2))
                CONN_REQUEST(c, "PSUBSCRIBE", random_pattern(v), random_pattern(v));
}

static void ask_publish(struct victims *v, struct victim *victim)
{
        static char buffer[PAYLOAD_MAX];
        struct payload *payload = (struct payload *)(void *)buffer;
        uint64_t n = 1 + prng_below(&v->prng, 8);

        for (; n && v->noise_left; n--, v->noise_left--) {
                unsigned channel = (unsigned)prng_below(&v->prng, HISTORY_CHANNELS);
                size_t size = sizeof(*payload) + prng_below(&v->prng, prng_below(&v->prng, 8) ? 100 : 9000);

                history_noise(payload, channel, size);
                conn_publish(&victim->conn, history_channels[channel], payload, size);
        }
}

static void come(struct victims *v, struct victim *victim, uint64_t now)
{
        if (!conn_open(v->load, &victim->conn, v->path))
                return;
        victim->death = (enum victim_death)prng_below(&v->prng, _VICTIM_N);
        victim->publisher = prng_below(&v->prng, 3) == 0;
        victim->reads = prng_below(&v->prng, 3) != 0;
        victim->waits_for_end = false;
        victim->due = now + prng_below(&v->prng, 120) * NSEC_PER_MSEC;
        if (!victim->reads)
                conn_watch(v->load, &victim->conn, 0);
        if (victim->publisher)
                ask_publish(v, victim);
        else
                ask_subscribe(v, victim);
        push(v, victim);
        if (victim->conn.fd >= 0 && victim->death == VICTIM_AT_ONCE)
                gone(v, victim);
}

static void act(struct victims *v, struct victim *victim)
{
        struct conn *c = &victim->conn;

        if (victim->publisher) {
                ask_publish(v, victim);
        } else {
                switch (prng_below(&v->prng, 6)) {
                case 0:
                        CONN_REQUEST(c, "UNSUBSCRIBE", random_channel(v), random_channel(v));
                        break;
                case 1:
                        CONN_REQUEST(c, "UNSUBSCRIBE");
                        break;
                case 2:
                        CONN_REQUEST(c, "PUNSUBSCRIBE");
                        break;
                case 3:
                        CONN_REQUEST(c, "RESET");
                        break;
                default:
                        ask_subscribe(v, victim);
                        break;
                }
        }
        push(v, victim);
}

static void die(struct victims *v, struct victim *victim, uint64_t now)
{
        struct conn *c = &victim->conn;

        switch (victim->death) {
        case VICTIM_IN_A_REQUEST:
                conn_put(c, "*3\r\n$7\r\nPUBLISH\r\n$6\r\nst.a", 25);
                conn_flush(v->load, c, SIZE_MAX);
                break;
        case VICTIM_SHUTDOWN:
                shutdown(c->fd, SHUT_RDWR);
                break;
        case VICTIM_QUIT:
                CONN_REQUEST(c, "QUIT");
                victim->waits_for_end = true;
                break;
        case VICTIM_PROTOCOL_ERROR:
                conn_put(c, "*1\r\n+what\r\n", 11);
                victim->waits_for_end = true;
                break;
        case VICTIM_SHUTDOWN_WRITE:
                if (c->pos_out == c->n_out)
                        shutdown(c->fd, SHUT_WR);
                victim->waits_for_end = c->pos_out == c->n_out;
                break;
        default:
                break;
        }
        if (!victim->waits_for_end) {
                gone(v, victim);
                return;
        }
        victim->due = now + END_NS;
        conn_watch(v->load, c, c->events | EPOLLIN);
        push(v, victim);
}

void victims_init(struct victims *v, struct load *load, const char *path, unsigned n, uint64_t seed)
{
        *v = (struct victims){ .load = load, .path = path, .prng = { seed }, .n = n };
        v->victims = calloc(n ? n : 1, sizeof(*v->victims));
        if (!v->victims)
                fail("out of memory");
        for (unsigned i = 0; i < n; i++)
                v->victims[i].conn =
                        (struct conn){ .fd = -1, .name = "victim", .index = i, .on_event = on_event };
        owner = v;
}

void victims_turn(struct victims *v, uint64_t now)
{
        for (unsigned i = 0; i < v->n; i++) {
                struct victim *victim = &v->victims[i];

                if (victim->conn.fd < 0) {
                        if (prng_below(&v->prng, 8) == 0)
                                come(v, victim, now);
                } else if (now < victim->due) {
                        if (!victim->waits_for_end && prng_below(&v->prng, 64) == 0)
                                act(v, victim);
                } else if (victim->waits_for_end) {
                        fail("the broker neither closes nor serves a client (%s, %zu bytes unsent) for 5 s",
                             death_names[victim->death], victim->conn.n_out - victim->conn.pos_out);
                } else {
                        die(v, victim, now);
                }
        }
}

uint64_t victims_kills(const struct victims *v)
{
        uint64_t n = 0;

        for (unsigned i = 0; i < _VICTIM_N; i++)
                n += v->kills[i];
        return n;
}

void victims_deinit(struct victims *v)
{
        for (unsigned i = 0; i < v->n; i++)
                conn_close(&v->victims[i].conn);
        free(v->victims);
        v->victims = NULL;
        v->n = 0;
}
