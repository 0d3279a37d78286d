/* SPDX-License-Identifier: MIT */

#include "shard/busiest.h"

#include <assert.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "resp/writer.h"
#include "shard/client.h"
#include "shard/gather.h"
#include "shard/parts.h"
#include "shard/spool.h"
#include "shard/state.h"
#include "util/clock.h"
#include "util/mem.h"

#define BUSIEST_NAME 64 /* bytes of a client's name that are told */

enum busiest_kind {
        BUSIEST_WAITING,
        BUSIEST_PUBLISHING,
        _BUSIEST_N,
};

/* A client, as it travels. */
struct busiest_row {
        uint64_t order; /* the larger, the further in front */
        uint64_t id, lost, idle_ms;
        uint64_t output, spooled;
        int64_t unread;           /* memory of what its socket holds and it has not read; -1: not known */
        uint64_t messages, bytes; /* published between two looks, these being so far apart: */
        uint64_t interval_us;
        int32_t pid;
        uint32_t uid, shard, name_size;
        char name[BUSIEST_NAME];
};

/* A shard's answer begins with this; then come the rows. */
struct busiest_head {
        uint32_t n[_BUSIEST_N];
};

/* ------------------------------------------------------------------ a shard's part */

/* The best so far, in falling order. */
struct podium {
        uint32_t n, max;
        struct {
                uint64_t order;
                const struct client *client;
        } place[BUSIEST_MAX];
};

static void podium_offer(struct podium *p, const struct client *c, uint64_t order)
{
        uint32_t i;

        if (!order || (p->n == p->max && order <= p->place[p->n - 1].order))
                return;
        i = p->n < p->max ? p->n++ : p->n - 1;
        for (; i > 0 && p->place[i - 1].order < order; i--)
                p->place[i] = p->place[i - 1];
        p->place[i].order = order;
        p->place[i].client = c;
}

/* Looks at what all clients published since the last look, unless that was just now. */
static void busiest_look(struct shard *s, uint64_t now)
{
        if (now - s->looked_at < BUSIEST_PERIOD)
                return;
        s->look_interval = now - s->looked_at;
        s->looked_at = now;
        list_for_each (i, &s->clients) {
                struct client *c = container_of(i, struct client, all);

                c->lately.messages = c->published - c->looked_at.messages;
                c->lately.bytes = c->published_bytes - c->looked_at.bytes;
                c->looked_at.messages = c->published;
                c->looked_at.bytes = c->published_bytes;
        }
}

/* The kernel counts the memory of what it holds, not the bytes alone. */
static int64_t busiest_unread(const struct client *c)
{
        int n;

        return ioctl(c->stream.fd, SIOCOUTQ, &n) < 0 ? -1 : n;
}

static void busiest_put(struct buffer *answer, const struct client *c, uint64_t order)
{
        const struct shard *s = c->shard;
        struct busiest_row row = { .order = order,
                                   .id = c->id,
                                   .lost = c->lost,
                                   .idle_ms = (s->now - c->active) / NSEC_PER_MSEC,
                                   .output = c->output,
                                   .spooled = c->spool ? spool_bytes(c->spool) : 0,
                                   .unread = busiest_unread(c),
                                   .messages = c->lately.messages,
                                   .bytes = c->lately.bytes,
                                   .interval_us = s->look_interval / NSEC_PER_USEC,
                                   .pid = c->pid,
                                   .uid = c->uid,
                                   .shard = s->options.id };

        if (c->name) {
                row.name_size = (uint32_t)strnlen(c->name, sizeof(row.name));
                memcpy(row.name, c->name, row.name_size);
        }
        buffer_put(answer, &row, sizeof(row));
}

void busiest_answer(struct shard *s, uint32_t n, struct buffer *answer)
{
        struct podium *podium = mem_zalloc(_BUSIEST_N * sizeof(*podium));
        struct busiest_head head;

        busiest_look(s, s->now);
        for (unsigned kind = 0; kind < _BUSIEST_N; kind++)
                podium[kind].max = n;
        list_for_each (i, &s->clients) {
                const struct client *c = container_of(i, struct client, all);

                if (c->end == CLIENT_CLOSING || c->killed)
                        continue;
                podium_offer(&podium[BUSIEST_WAITING], c, c->output);
                podium_offer(&podium[BUSIEST_PUBLISHING], c, c->lately.messages);
        }
        for (unsigned kind = 0; kind < _BUSIEST_N; kind++)
                head.n[kind] = podium[kind].n;
        buffer_put(answer, &head, sizeof(head));
        for (unsigned kind = 0; kind < _BUSIEST_N; kind++)
                for (uint32_t i = 0; i < podium[kind].n; i++)
                        busiest_put(answer, podium[kind].place[i].client, podium[kind].place[i].order);
        free(podium);
}

/* ------------------------------------------------------------------ the reply */

static void write_number(struct buffer *b, const char *name, uint64_t n)
{
        writer_bulk_str(b, name);
        writer_integer(b, (int64_t)n);
}

static void write_row(struct buffer *b, enum writer_proto proto, const struct busiest_row *row)
{
        writer_map(b, proto, 13);
        write_number(b, "id", row->id);
        write_number(b, "shard", row->shard);
        write_number(b, "pid", (uint64_t)row->pid);
        write_number(b, "uid", row->uid);
        writer_bulk_str(b, "name");
        writer_bulk(b, bytes_of(row->name, row->name_size));
        write_number(b, "output_bytes", row->output);
        write_number(b, "spooled_bytes", row->spooled);
        writer_bulk_str(b, "unread_bytes");
        if (row->unread < 0)
                writer_null(b, proto);
        else
                writer_integer(b, row->unread);
        write_number(b, "lost", row->lost);
        write_number(b, "idle_ms", row->idle_ms);
        write_number(b, "messages", row->messages);
        write_number(b, "bytes", row->bytes);
        write_number(b, "interval_us", row->interval_us);
}

static int compare_rows(const void *a, const void *b)
{
        const struct busiest_row *x = a, *y = b;

        if (x->order != y->order)
                return x->order > y->order ? -1 : 1;
        return x->id < y->id ? -1 : x->id > y->id;
}

/* The rows of one kind, of all shards. They go by the clock of each shard, whose looks need not be at one time.
 */
static void write_rows(struct buffer *b, enum writer_proto proto, const struct parts *parts,
                       enum busiest_kind kind)
{
        struct busiest_row *rows = mem_alloc(parts->n * BUSIEST_MAX * sizeof(*rows));
        uint32_t n = 0, shown;

        for (unsigned i = 0; i < parts->n; i++) {
                const uint8_t *p = buffer_view(&parts->part[i]).p;
                struct busiest_head head;

                memcpy(&head, p, sizeof(head));
                p += sizeof(head);
                if (kind == BUSIEST_PUBLISHING)
                        p += head.n[BUSIEST_WAITING] * sizeof(*rows);
                memcpy(rows + n, p, head.n[kind] * sizeof(*rows));
                n += head.n[kind];
        }
        qsort(rows, n, sizeof(*rows), compare_rows);
        shown = n < parts->argument ? n : parts->argument;
        writer_array(b, shown);
        for (uint32_t i = 0; i < shown; i++)
                write_row(b, proto, &rows[i]);
        free(rows);
}

void busiest_write(struct client *c, const struct gather *g)
{
        struct buffer *b = &c->shard->reply;
        enum writer_proto proto = c->subscriber.protocol;

        writer_map(b, proto, 2);
        writer_bulk_str(b, "waiting");
        write_rows(b, proto, g->parts, BUSIEST_WAITING);
        writer_bulk_str(b, "publishers");
        write_rows(b, proto, g->parts, BUSIEST_PUBLISHING);
}
