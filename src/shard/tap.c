/* SPDX-License-Identifier: MIT */

#include "shard/tap.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "pubsub/glob.h"
#include "resp/writer.h"
#include "shard/client.h"
#include "shard/command.h"
#include "shard/gather.h"
#include "shard/spool.h"
#include "shard/state.h"
#include "shard/tap_event.h"
#include "util/bits.h"
#include "util/bucket.h"
#include "util/clock.h"
#include "util/mem.h"

#define TAP_TAKEN   (TAP_WINDOW / 16)     /* bytes that are given back at once */
#define TAP_SKIP_NS (100 * NSEC_PER_MSEC) /* what was skipped is told after so long, if nothing follows it */
#define TAP_DRY_NS                                                                                             \
        (5 * NSEC_PER_MSEC) /* above its rate it shows nothing for so long, so that it gets few writes */
#define TAP_IDLE   4096     /* bytes of a buffer that are kept for the next batch */
#define TAP_RECENT 64       /* bytes of a channel whose verdict is remembered */

/* What was skipped, and not told yet. */
struct tap_gap {
        uint64_t n;
        uint64_t since;
};

/* A tap somewhere in the broker, as a shard that executes commands sees it. */
struct tap {
        struct list link; /* in taps.all */
        struct message_tap_id id;
        unsigned shard; /* of the client that taps; maybe this one */
        enum tap_kind kind;
        uint32_t size;
        uint64_t limit;
        struct bucket bucket;
        uint64_t dry_until;  /* before that it shows nothing */
        struct buffer batch; /* of struct tap_record: what the client is told at the end of the turn */
        size_t under_way;    /* bytes of batches that did not come back yet */
        struct tap_gap gap;
        bool recent_matches;
        uint8_t recent_size; /* of the last channel; 0: not known */
        uint8_t recent[TAP_RECENT];
        bool any;
        size_t pattern_size;
        uint8_t pattern[];
};

/* Its end at the client that taps. */
struct tapper {
        struct list link; /* in taps.tappers, once it has begun */
        struct client *client;
        struct message_tap tap;
        uint8_t *pattern;
        struct bucket bucket;
        struct tap_gap gap;
        struct buffer out; /* of one batch; empty between two */
        uint32_t owed[64]; /* bytes of each shard that were taken and not given back */
};

/* A piece of a batch: something that happened, and what was skipped before it. */
struct tap_record {
        uint64_t skipped;
        uint32_t size; /* bytes behind it; 0: nothing more happened */
        uint32_t pad;
};

/* ------------------------------------------------------------------ the lists */

void tap_init(struct shard *s)
{
        list_init(&s->taps.all);
        list_init(&s->taps.tappers);
}

static void tap_update(struct shard *s)
{
        s->tapped = !list_empty(&s->taps.all);
        s->monitored = false;
        list_for_each (i, &s->taps.all)
                s->monitored |= container_of(i, struct tap, link)->kind == TAP_COMMANDS;
}

static void gap_add(struct tap_gap *gap, uint64_t n, uint64_t now)
{
        if (!gap->n)
                gap->since = now;
        gap->n += n;
}

/* Gives each tap what was passed over. */
static void tap_settle(struct shard *s)
{
        uint64_t n = s->taps.dry_n;

        if (!n)
                return;
        s->taps.dry_n = 0;
        list_for_each (i, &s->taps.all)
                gap_add(&container_of(i, struct tap, link)->gap, n, s->now);
}

static struct tap *tap_find(const struct shard *s, const struct message_tap_id *id)
{
        list_for_each (i, &s->taps.all) {
                struct tap *t = container_of(i, struct tap, link);

                if (t->id.client == id->client && t->id.serial == id->serial)
                        return t;
        }
        return NULL;
}

static void tap_add(struct shard *s, unsigned shard, const struct message_tap *m, struct bytes pattern)
{
        struct tap *t = mem_zalloc(sizeof(*t) + pattern.n);

        tap_settle(s);
        s->taps.dry_until = 0;
        t->id = (struct message_tap_id){ .client = m->client, .serial = m->serial };
        t->shard = shard;
        t->kind = m->kind;
        t->size = m->size;
        t->limit = m->limit;
        t->any = m->any;
        t->pattern_size = pattern.n;
        if (pattern.n)
                memcpy(t->pattern, pattern.p, pattern.n);
        list_add_tail(&s->taps.all, &t->link);
        tap_update(s);
}

static void tap_free(struct tap *t)
{
        list_del(&t->link);
        buffer_deinit(&t->batch);
        free(t);
}

static void tap_forget(struct shard *s, const struct message_tap_id *id)
{
        struct tap *t = tap_find(s, id);

        tap_settle(s);
        s->taps.dry_until = 0;
        if (t)
                tap_free(t);
        tap_update(s);
}

void tap_deinit(struct shard *s)
{
        list_for_each_safe (i, next, &s->taps.all)
                tap_free(container_of(i, struct tap, link));
}

/* ------------------------------------------------------------------ what happens */

static bool gap_is_due(const struct tap_gap *gap, uint64_t now)
{
        return gap->n && now >= gap->since + TAP_SKIP_NS;
}

static bool tap_has_window(const struct tap *t)
{
        return t->under_way + buffer_size(&t->batch) < TAP_WINDOW;
}

/* Whether the tap gets what happens now; counts it if not. */
static bool tap_admits(const struct shard *s, struct tap *t)
{
        bool has_window = tap_has_window(t);

        if (s->now >= t->dry_until && has_window && !bucket_wait(&t->bucket, t->limit, 1, s->now)) {
                bucket_take(&t->bucket, t->limit, 1, s->now);
                return true;
        }
        if (s->now >= t->dry_until)
                t->dry_until = s->now + (has_window ? TAP_DRY_NS : 1);
        gap_add(&t->gap, 1, s->now);
        return false;
}

static bool tap_matches(struct tap *t, struct bytes channel)
{
        if (t->any)
                return true;
        if (t->recent_size && t->recent_size == channel.n && !memcmp(t->recent, channel.p, channel.n))
                return t->recent_matches;
        t->recent_matches = glob_match(bytes_of(t->pattern, t->pattern_size), channel);
        t->recent_size = channel.n <= TAP_RECENT ? (uint8_t)channel.n : 0;
        if (t->recent_size)
                memcpy(t->recent, channel.p, channel.n);
        return t->recent_matches;
}

/* Begins a record, with what was skipped before it. Return: where its bytes begin. */
static size_t record_begin(struct tap *t)
{
        struct tap_record record = { .skipped = t->gap.n };

        t->gap.n = 0;
        buffer_put(&t->batch, &record, sizeof(record));
        return buffer_size(&t->batch);
}

static void record_end(struct tap *t, size_t begin)
{
        uint32_t size = (uint32_t)(buffer_size(&t->batch) - begin);

        memcpy(t->batch.data + t->batch.start + begin - sizeof(struct tap_record) +
                       offsetof(struct tap_record, size),
               &size, sizeof(size));
}

static void tap_put_command(struct client *c, const struct request *request, enum tap_secret secret)
{
        struct shard *s = c->shard;
        size_t size = 0, begin;

        for (uint32_t i = 0; i < request->argc; i++)
                size += request->argv[i].n;
        list_for_each (i, &s->taps.all) {
                struct tap *t = container_of(i, struct tap, link);

                if (t->kind != TAP_COMMANDS)
                        continue;
                if (size > TAP_ARGS_MAX) {
                        gap_add(&t->gap, 1, s->now);
                } else if (tap_admits(s, t)) {
                        begin = record_begin(t);
                        tap_event_command(&t->batch, c, request, secret);
                        record_end(t, begin);
                }
        }
}

void tap_published(struct client *c, const struct request *request, const struct topic *topic)
{
        struct shard *s = c->shard;
        uint64_t dry_until = s->monitored ? 0 : CLOCK_NEVER;

        tap_settle(s);
        list_for_each (i, &s->taps.all) {
                struct tap *t = container_of(i, struct tap, link);
                size_t begin;

                if (t->kind != TAP_MESSAGES)
                        continue;
                if (!tap_matches(t, request->argv[1])) {
                        dry_until = 0;
                        continue;
                }
                if (!tap_admits(s, t)) {
                        if (!t->any || t->dry_until < dry_until)
                                dry_until = t->any ? t->dry_until : 0;
                        continue;
                }
                begin = record_begin(t);
                tap_event_message(&t->batch, c, request, topic ? topic_receivers(topic) : 0, t->size);
                record_end(t, begin);
                dry_until = 0;
        }
        s->taps.dry_until = dry_until;
        if (s->monitored)
                tap_put_command(c, request, TAP_SECRET_NONE);
}

void tap_executed(struct client *c, const struct command *command, const struct command *parent,
                  const struct request *request)
{
        bool shown_elsewhere = command->run == command_publish || command->run == command_spublish ||
                               command->run == command_exec || command->run == command_quit;

        if (!shown_elsewhere && !tap_event_hides(command, parent))
                tap_put_command(c, request,
                                command->run == command_auth    ? TAP_SECRET_AUTH
                                : command->run == command_hello ? TAP_SECRET_HELLO
                                                                : TAP_SECRET_NONE);
}

/* Behind the commands that it executed, which may be long after it was said. */
void tap_exec(struct client *c)
{
        struct bytes exec = BYTES_LITERAL("EXEC");
        struct request request = { .argv = &exec, .argc = 1 };

        if (c->shard->monitored)
                tap_put_command(c, &request, TAP_SECRET_NONE);
}

/* ------------------------------------------------------------------ the client that taps */

static struct message_tap_id tapper_id(const struct tapper *t)
{
        return (struct message_tap_id){ .client = t->client->id, .serial = t->tap.serial };
}

void tap_ask(struct client *c, const struct message_tap *tap, struct bytes pattern)
{
        struct tapper *t = mem_zalloc(sizeof(*t));
        struct gather *g = gather_collect(c, GATHER_TAP);

        list_init(&t->link);
        t->client = c;
        t->tap = *tap;
        t->tap.client = c->id;
        t->tap.serial = ++c->shard->taps.serial;
        t->tap.pattern_size = (uint32_t)pattern.n;
        buffer_put(&g->batch, &t->tap, sizeof(t->tap));
        if (pattern.n) {
                t->pattern = memcpy(mem_alloc(pattern.n), pattern.p, pattern.n);
                buffer_put(&g->batch, pattern.p, pattern.n);
        }
        c->tapper = t;
        c->tapping = true;
}

void tap_begin(struct client *c)
{
        struct shard *s = c->shard;
        struct tapper *t = c->tapper;

        list_add_tail(&s->taps.tappers, &t->link);
        s->status.taps++;
        tap_add(s, s->options.id, &t->tap, bytes_of(t->pattern, t->tap.pattern_size));
}

void tap_end(struct client *c)
{
        struct shard *s = c->shard;
        struct tapper *t = c->tapper;
        struct message_tap_id id;

        if (!t)
                return;
        id = tapper_id(t);
        s->status.taps -= !list_empty(&t->link);
        list_del(&t->link);
        c->tapper = NULL;
        c->tapping = false;
        tap_forget(s, &id);
        buffer_deinit(&t->out);
        free(t->pattern);
        free(t);
        if (s->stop != SHARD_RUNS)
                return;
        bits_for_each (dst, s->peers)
                memcpy(port_send(s->port, (unsigned)dst, MESSAGE_TAP_END, sizeof(id), PORT_UNCOUNTED), &id,
                       sizeof(id));
}

bool tap_forbids(const struct client *c, const struct command *command)
{
        return c->tapper && c->tapper->tap.kind == TAP_MESSAGES && c->subscriber.protocol == WRITER_RESP2 &&
               command->run != command_ping && command->run != command_reset && command->run != command_quit;
}

bool tap_is_monitor(const struct client *c)
{
        return c->tapper && c->tapper->tap.kind == TAP_COMMANDS;
}

/* Bytes that may wait for it: it is not for a tap that a client meets the limits of output. */
static size_t tapper_room(const struct client *c)
{
        const struct policy_limits *limits = &c->shard->policy->limits;
        uint64_t max = TAP_OUTPUT_MAX;

        if (limits->output_hard / 2 < max)
                max = limits->output_hard / 2;
        if (limits->output_soft && limits->output_soft / 2 < max)
                max = limits->output_soft / 2;
        return max;
}

static void tapper_write_gap(struct tapper *t)
{
        struct client *c = t->client;
        struct buffer *out = &t->out;

        if (!t->gap.n)
                return;
        if (t->tap.kind == TAP_COMMANDS)
                tap_event_skipped_line(out, c->path, t->gap.n);
        else
                tap_event_skipped(out, c->subscriber.protocol, t->gap.n);
        t->gap.n = 0;
}

static void tapper_skip(struct tapper *t, uint64_t n)
{
        t->client->shard->status.tap_skipped += n;
        gap_add(&t->gap, n, t->client->shard->now);
}

static void tapper_write(struct tapper *t, struct bytes event)
{
        struct client *c = t->client;
        struct buffer *out = &t->out;
        struct shard *s = c->shard;

        if (client_output_all(c) + buffer_size(out) + event.n > tapper_room(c) ||
            bucket_wait(&t->bucket, t->tap.limit, 1, s->now)) {
                tapper_skip(t, 1);
                return;
        }
        bucket_take(&t->bucket, t->tap.limit, 1, s->now);
        tapper_write_gap(t);
        if (t->tap.kind == TAP_MESSAGES)
                tap_event_head(out, c->subscriber.protocol);
        buffer_put(out, event.p, event.n);
        s->status.tap_events++;
}

/* Queues what was written. Lines of MONITOR are replies, as they are Redis's: a client may want none. */
static void tapper_queue(struct tapper *t)
{
        struct client *c = t->client;
        struct buffer *out = &t->out;

        if (buffer_size(out) && !(t->tap.kind == TAP_COMMANDS && client_is_silent(c))) {
                outq_copy(c->messages, &c->shard->chunks, buffer_view(out));
                if (c->spool)
                        spool_wake(c);
                shard_touch(c->shard, c);
        }
        buffer_consume(out, buffer_size(out));
        if (out->cap > TAP_IDLE)
                buffer_trim(out);
}

static bool tapper_hears(const struct tapper *t)
{
        const struct client *c = t->client;

        return !list_empty(&t->link) && !c->killed && !c->stream.failed;
}

static void tapper_take(struct tapper *t, unsigned source, struct bytes batch)
{
        struct tap_record record;

        t->owed[source] += (uint32_t)batch.n;
        while (batch.n && tapper_hears(t)) {
                memcpy(&record, batch.p, sizeof(record));
                batch = bytes_of(batch.p + sizeof(record), batch.n - sizeof(record));
                if (record.skipped)
                        tapper_skip(t, record.skipped);
                if (record.size)
                        tapper_write(t, bytes_of(batch.p, record.size));
                batch = bytes_of(batch.p + record.size, batch.n - record.size);
        }
        tapper_queue(t);
}

/* Gives back what it took, once it has read enough. */
static void tapper_give_back(struct shard *s, struct tapper *t)
{
        if (client_output_all(t->client) > tapper_room(t->client) / 2)
                return;
        for (unsigned i = 0; i < s->options.n_shards; i++) {
                struct message_tap_taken m = { .id = tapper_id(t), .bytes = t->owed[i] };

                if (m.bytes < TAP_TAKEN)
                        continue;
                t->owed[i] = 0;
                if (i == s->options.id)
                        tap_on_taken(s, &m);
                else
                        memcpy(port_send(s->port, i, MESSAGE_TAP_TAKEN, sizeof(m), PORT_UNCOUNTED), &m,
                               sizeof(m));
        }
}

/* The right that it needed is gone. */
static void tapper_deny(struct client *c)
{
        c->shard->status.denied_admin++;
        shard_notice(c->shard, c, "disconnected, it may not administer any more, and so not tap");
        tap_end(c);
        command_error_coded(c, "NOPERM this tap ends: you may not administer the broker any more");
        client_push_flush(c);
        client_finish(c);
}

static void tapper_tick(struct shard *s, struct tapper *t)
{
        struct client *c = t->client;

        if (!tapper_hears(t))
                return;
        if (!c->admin) {
                tapper_deny(c);
                return;
        }
        if (gap_is_due(&t->gap, s->now) && client_output_all(c) < tapper_room(c)) {
                tapper_write_gap(t);
                tapper_queue(t);
        }
        tapper_give_back(s, t);
}

/* ------------------------------------------------------------------ between shards */

void tap_on_tap(struct shard *s, unsigned source, struct bytes body)
{
        struct message_tap m;

        memcpy(&m, body.p, sizeof(m));
        tap_add(s, source, &m, bytes_of(body.p + sizeof(m), m.pattern_size));
}

void tap_on_end(struct shard *s, const struct message_tap_id *m)
{
        tap_forget(s, m);
}

static struct tapper *tapper_find(const struct shard *s, const struct message_tap_id *id)
{
        struct client *c = client_find(s, id->client);

        return c && c->tapper && c->tapper->tap.serial == id->serial ? c->tapper : NULL;
}

void tap_on_tapped(struct shard *s, unsigned source, struct bytes body)
{
        struct message_tap_id id;
        struct tapper *t;

        memcpy(&id, body.p, sizeof(id));
        t = tapper_find(s, &id);
        if (t)
                tapper_take(t, source, bytes_of(body.p + sizeof(id), body.n - sizeof(id)));
}

void tap_on_taken(struct shard *s, const struct message_tap_taken *m)
{
        struct tap *t = tap_find(s, &m->id);

        if (!t)
                return;
        assert(t->under_way >= m->bytes);
        t->under_way -= m->bytes;
}

/* Uncounted: it must not make publishers wait, and is bounded by the window. */
static void tap_send(struct shard *s, struct tap *t)
{
        struct bytes batch = buffer_view(&t->batch);
        uint8_t *p;

        t->under_way += batch.n;
        if (t->shard == s->options.id) {
                tapper_take(tapper_find(s, &t->id), t->shard, batch);
        } else {
                p = port_send(s->port, t->shard, MESSAGE_TAPPED, (uint32_t)(sizeof(t->id) + batch.n),
                              PORT_UNCOUNTED);
                memcpy(p, &t->id, sizeof(t->id));
                memcpy(p + sizeof(t->id), batch.p, batch.n);
        }
        buffer_consume(&t->batch, batch.n);
        if (t->batch.cap > TAP_IDLE)
                buffer_trim(&t->batch);
}

/* Whether what was skipped last is to be told although nothing follows it. */
static bool tap_tells_gap(const struct tap *t, uint64_t now)
{
        return gap_is_due(&t->gap, now) && tap_has_window(t);
}

void tap_flush(struct shard *s)
{
        if (s->stop != SHARD_RUNS || (!s->tapped && list_empty(&s->taps.tappers)))
                return;
        tap_settle(s);
        list_for_each (i, &s->taps.all) {
                struct tap *t = container_of(i, struct tap, link);

                if (tap_tells_gap(t, s->now))
                        record_begin(t);
                if (buffer_size(&t->batch))
                        tap_send(s, t);
        }
        list_for_each_safe (i, next, &s->taps.tappers)
                tapper_tick(s, container_of(i, struct tapper, link));
}

bool tap_is_behind(const struct shard *s)
{
        if (!s->tapped || s->stop != SHARD_RUNS)
                return false;
        list_for_each (i, &s->taps.all)
                if (buffer_size(&container_of(i, struct tap, link)->batch))
                        return true;
        return false;
}

static uint64_t gap_next(const struct tap_gap *gap, uint64_t next)
{
        return gap->n && gap->since + TAP_SKIP_NS < next ? gap->since + TAP_SKIP_NS : next;
}

uint64_t tap_next(const struct shard *s)
{
        uint64_t next = CLOCK_NEVER;

        if (s->stop != SHARD_RUNS)
                return next;
        list_for_each (i, &s->taps.all) {
                const struct tap *t = container_of(i, struct tap, link);

                if (tap_has_window(t)) /* else it is told when what is under way has come back */
                        next = gap_next(&t->gap, next);
        }
        list_for_each (i, &s->taps.tappers) {
                const struct tapper *t = container_of(i, struct tapper, link);

                if (tapper_hears(t) && client_output_all(t->client) < tapper_room(t->client))
                        next = gap_next(&t->gap, next);
        }
        return next;
}

void tap_assert(const struct client *c)
{
        const struct tapper *t = c->tapper;
        struct message_tap_id id;

        if (!t)
                return;
        assert(t->client == c && c->tapping && c->end == CLIENT_OPEN);
        if (list_empty(&t->link)) {
                assert(c->wait == CLIENT_GATHERS || c->killed || c->stream.failed ||
                       c->shard->stop != SHARD_RUNS);
                return;
        }
        id = tapper_id(t);
        assert(tap_find(c->shard, &id) && c->shard->tapped);
        assert(c->admin || c->killed || c->stream.failed || c->shard->stop != SHARD_RUNS);
}
