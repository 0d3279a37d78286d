/* SPDX-License-Identifier: MIT */
/*
 * Whole shards under any input: one to three of them with the real mesh, pubsub, resp and shard code and fake
 * reactors, and several clients that say any bytes at any time. Nothing asserts or reads astray; each client's
 * output is a row of RESP values, of which only the last may be cut. When all clients are gone no shard knows
 * of a subscription, and at the stop every client, buffer and message is given back.
 *
 * The input: a byte for the number of shards and their bounds, one for how reads are split, then a row of
 * steps. A step is a byte (what is done in the low half, by which client in the high one) and what that takes.
 */

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shard/message.h"
#include "shard/policy.h"
#include "support/cluster.h"
#include "util/clock.h"
#include "util/log.h"

#define CLIENTS      8
#define CONNECTS_MAX 32
#define INPUT_MAX    4000
#define DEPTH_MAX    8 /* of nested replies; COMMAND DOCS and BROKER STATUS have about half of it */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct peer {
        int fd; /* 0: none yet */
        unsigned shard;
};

struct play {
        struct cluster cluster;
        struct peer peers[CLIENTS];
        unsigned n_connects;
        size_t split; /* bytes that one read carries; 0: no limit */
        const uint8_t *data, *end;
};

static void require(bool truth)
{
        if (!truth)
                abort();
}

/* The next byte of the input, 0 behind its end. */
static uint8_t take(struct play *p)
{
        return p->data < p->end ? *p->data++ : 0;
}

/* ------------------------------------------------------------------ what clients hear */

enum parsed { CUT, WHOLE };

static enum parsed parse_line(struct bytes *b, struct bytes *linep)
{
        const uint8_t *end = b->n ? memchr(b->p, '\r', b->n) : NULL;

        if (!end || end + 1 == b->p + b->n)
                return CUT;
        require(end[1] == '\n' && end > b->p);
        *linep = bytes_of(b->p, (size_t)(end - b->p));
        *b = bytes_of(end + 2, b->n - linep->n - 2);
        return WHOLE;
}

static long long parse_number(struct bytes line)
{
        char text[24] = "", *end;
        long long n;

        require(line.n > 1 && line.n < sizeof(text));
        memcpy(text, line.p + 1, line.n - 1);
        n = strtoll(text, &end, 10);
        require(!*end);
        return n;
}

static enum parsed parse_value(struct bytes *b, unsigned depth)
{
        struct bytes line;
        long long n;

        require(depth < DEPTH_MAX);
        if (parse_line(b, &line) == CUT)
                return CUT;
        if (line.p[0] == '+' || line.p[0] == '-')
                return WHOLE;
        if (line.p[0] == '_') {
                require(line.n == 1);
                return WHOLE;
        }
        n = parse_number(line);
        if (line.p[0] == ':' || n == -1)
                return WHOLE;
        require(n >= 0);
        if (line.p[0] == '$' || line.p[0] == '=') {
                if (b->n < (size_t)n + 2)
                        return CUT;
                require(!memcmp(b->p + n, "\r\n", 2));
                *b = bytes_of(b->p + n + 2, b->n - (size_t)n - 2);
                return WHOLE;
        }
        require(strchr("*%~>", line.p[0]));
        for (n = line.p[0] == '%' ? 2 * n : n; n; n--)
                if (parse_value(b, depth + 1) == CUT)
                        return CUT;
        return WHOLE;
}

/* Every stream that there ever was: whole values, and at most one that is cut. */
static void check_streams(struct play *p)
{
        for (unsigned i = 0; i < p->cluster.n_shards; i++)
                for (int fd = 1; fd < (int)p->cluster.next_id; fd++) {
                        struct bytes b = buffer_view(&fake_stream(p->cluster.fakes[i], fd)->out);

                        while (b.n && parse_value(&b, 0) == WHOLE)
                                ;
                }
}

/* ------------------------------------------------------------------ what clients do */

/* Sends a connection to a shard, which takes it in one of its next turns. */
static void connect_peer(struct play *p, struct peer *peer, uint8_t choice)
{
        struct cluster *cl = &p->cluster;
        struct message_adopt *adopt;

        if (p->n_connects++ >= CONNECTS_MAX)
                return;
        peer->shard = choice % cl->n_shards;
        peer->fd = (int)cl->next_id;
        adopt = port_send(cl->control, peer->shard, MESSAGE_ADOPT, sizeof(*adopt), PORT_UNCOUNTED);
        *adopt = (struct message_adopt){ .id = cl->next_id++,
                                         .path = CLUSTER_PATH,
                                         .fd = peer->fd,
                                         .pid = 1,
                                         .uid = choice & 0x40 ? 1000 : 2000,
                                         .flags = choice & 0x80 ? ADOPT_ADMIN : 0 };
        port_flush(cl->control);
}

static void feed(struct play *p, const struct peer *peer, const void *bytes, size_t n)
{
        fake_feed(p->cluster.fakes[peer->shard], peer->fd, bytes, n);
}

static void feed_raw(struct play *p, const struct peer *peer)
{
        size_t n = take(p);

        n = n < (size_t)(p->end - p->data) ? n : (size_t)(p->end - p->data);
        feed(p, peer, p->data, n);
        p->data += n;
}

/* A whole request, so that an input of few bytes reaches far. The high bits choose among four names. */
static void feed_request(struct play *p, const struct peer *peer)
{
        static const char *const names[] = { "a", "ab", "*", "a?" };
        static const char *const requests[] = {
                "SUBSCRIBE %s\r\n",
                "PSUBSCRIBE %s\r\n",
                "UNSUBSCRIBE %s\r\n",
                "PUNSUBSCRIBE %s\r\n",
                "PUBLISH %s hello\r\n",
                "UNSUBSCRIBE\r\n",
                "PUNSUBSCRIBE\r\n",
                "SUBSCRIBE a b ab %s\r\n",
                "HELLO 3\r\n",
                "HELLO 2\r\n",
                "RESET\r\n",
                "QUIT\r\n",
                "PING %s\r\n",
                "PUBSUB CHANNELS\r\n",
                "PUBSUB NUMSUB %s\r\n",
                "BROKER STATUS\r\n",
                "COMMAND DOCS\r\n",
                "CLIENT SETNAME %s\r\n",
                "CLIENT GETNAME\r\n",
                "*1\r\n:\r\n",
                "SHUTDOWN\r\n",
                "PUBSUB HELP\r\n",
                "%s\r\n",
                "PUBLISH %s\r\n",
                "INFO\r\n",
                "SSUBSCRIBE %s\r\n",
                "SUNSUBSCRIBE %s\r\n",
                "SPUBLISH %s hello\r\n",
                "SUNSUBSCRIBE\r\n",
                "SSUBSCRIBE a b ab %s\r\n",
                "PUBSUB SHARDCHANNELS %s\r\n",
                "PUBSUB SHARDNUMSUB %s\r\n",
                "CLIENT REPLY OFF\r\n",
                "CLIENT REPLY SKIP\r\n",
                "CLIENT REPLY ON\r\n",
                "CLIENT INFO\r\n",
                "CLIENT LIST\r\n",
                "CLIENT LIST ID 2 1 7\r\n",
                "CLIENT KILL ID 1\r\n",
                "CLIENT KILL ID 4 SKIPME no\r\n",
                "CLIENT KILL TYPE pubsub\r\n",
                "CLIENT KILL USER default SKIPME no\r\n",
                "MULTI\r\n",
                "EXEC\r\n",
                "DISCARD\r\n",
                "WATCH %s\r\n",
        };
        uint8_t choice = take(p);
        char text[64];
        int n = snprintf(text, sizeof(text), requests[choice % 64 % (sizeof(requests) / sizeof(*requests))],
                         names[choice / 64]);

        feed(p, peer, text, (size_t)n);
}

/* PUBLISH of a large message: what passes bounds, but takes no more than some dozen reads. */
static void feed_large(struct play *p, const struct peer *peer)
{
        static uint8_t payload[255 * 64];
        size_t n = (size_t)take(p) * 64;
        char head[64];

        n = p->split && n > p->split * 64 ? p->split * 64 : n;
        feed(p, peer, head,
             (size_t)snprintf(head, sizeof(head), "*3\r\n$7\r\nPUBLISH\r\n$1\r\na\r\n$%zu\r\n", n));
        feed(p, peer, payload, n);
        feed(p, peer, "\r\n", 2);
}

enum step { RAW, REQUEST, LARGE, END, FAIL, ACCEPT, TURN, SETTLE, CONTROL, CLOCK, CONNECT, MANY, _STEP_N };

static void act(struct play *p, enum step step, struct peer *peer)
{
        struct cluster *cl = &p->cluster;
        struct fake *fake = cl->fakes[peer->shard];
        uint8_t n;

        switch (step) {
        case RAW:
                feed_raw(p, peer);
                break;
        case REQUEST:
                feed_request(p, peer);
                break;
        case LARGE:
                feed_large(p, peer);
                break;
        case END:
                fake_end(fake, peer->fd);
                break;
        case FAIL:
                fake_fail(fake, peer->fd, ECONNRESET);
                break;
        case ACCEPT:
                n = take(p);
                fake_accept(fake, peer->fd, n == 255 ? SIZE_MAX : n);
                break;
        case TURN:
                cluster_turn(cl, peer->shard);
                break;
        case SETTLE:
                cluster_settle(cl);
                break;
        case CONTROL:
                cluster_control(cl);
                break;
        case CLOCK:
                cluster_advance((uint64_t)take(p) * 20 * NSEC_PER_MSEC);
                break;
        case CONNECT:
                connect_peer(p, peer, take(p));
                break;
        case MANY: /* a burst of one request */
                n = take(p) % 32;
                for (const uint8_t *at = p->data; n; n--, p->data = n ? at : p->data)
                        feed_request(p, peer);
                break;
        default:
                break;
        }
}

/* All clients go; nobody is subscribed any more, as every shard tells a new one. */
static void check_forgotten(struct play *p)
{
        struct cluster *cl = &p->cluster;

        for (unsigned i = 0; i < cl->n_shards; i++)
                for (int fd = 1; fd < (int)cl->next_id; fd++)
                        fake_fail(cl->fakes[i], fd, ECONNRESET);
        cluster_settle(cl);
        require(cl->n_closed == cl->next_id - 1);
        for (unsigned i = 0; i < cl->n_shards; i++) {
                int fd = cluster_connect(cl, i, 1000);
                char *heard;

                cluster_say(cl, i, fd,
                            "PUBSUB CHANNELS\r\nPUBSUB NUMPAT\r\nPUBLISH a x\r\n"
                            "PUBSUB SHARDCHANNELS\r\nSPUBLISH a x\r\n");
                cluster_settle(cl);
                heard = cluster_hear(cl, i, fd);
                require(!strcmp(heard, "*0\r\n:0\r\n:0\r\n*0\r\n:0\r\n"));
                free(heard);
        }
}

/* Slow subscribers make publishers wait, from a few messages on. */
static const struct slow_rule block_rules[] = {
        { .action = SLOW_BLOCK, .bytes = 100, .block_ns = NSEC_PER_SEC },
};

/* Messages for them are dropped, of each channel in another way. */
static const struct bytes drop_channels[] = { BYTES_LITERAL("*a*"), BYTES_LITERAL("*b*") };
static const struct slow_rule drop_rules[] = {
        { .action = SLOW_DROP_OLDEST, .bytes = 900, .channels = &drop_channels[0], .n_channels = 1 },
        { .action = SLOW_DROP_NEWEST, .bytes = 900, .channels = &drop_channels[1], .n_channels = 1 },
        { .action = SLOW_CONFLATE },
};

static struct policy policy_of(uint8_t bounds)
{
        return (struct policy){ .limits = { .request_bytes = 1 << 20,
                                            .output_hard = bounds & 16 ? 1 << 20 : 1000 },
                                .slow = bounds & 128 ? drop_rules : block_rules,
                                .n_slow = bounds & 128  ? 3
                                          : bounds & 64 ? 1
                                                        : 0 };
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct policy policy;
        struct play p = { .data = data, .end = data + size };
        uint8_t bounds;

        if (size < 3 || size > INPUT_MAX)
                return 0;
        log_set_level(LOG_LEVEL_ERROR);
        bounds = take(&p);
        p.split = take(&p);
        policy = policy_of(bounds);
        cluster_init(&p.cluster, &(struct cluster_options){ .n_shards = 1 + bounds % 4 % 3,
                                                            .capacity = bounds & 4 ? 64 : 2,
                                                            .backlog_bytes = bounds & 8 ? 1 << 20 : 100,
                                                            .drain_budget = bounds & 32 ? 100 : 1,
                                                            .policy = &policy });
        for (unsigned i = 0; i < p.cluster.n_shards; i++)
                fake_split(p.cluster.fakes[i], p.split);
        for (unsigned i = 0; i < CLIENTS; i++)
                connect_peer(&p, &p.peers[i], (uint8_t)(i * 0x43));
        while (p.data < p.end) {
                uint8_t step = take(&p);

                act(&p, step % 16 % _STEP_N, &p.peers[step / 16 % CLIENTS]);
                if (step & 0x80)
                        cluster_turn(&p.cluster, p.peers[step / 16 % CLIENTS].shard);
        }
        cluster_settle(&p.cluster);
        check_streams(&p);
        check_forgotten(&p);
        cluster_deinit(&p.cluster);
        return 0;
}
