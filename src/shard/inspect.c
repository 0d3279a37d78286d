/* SPDX-License-Identifier: MIT */
/* The question, and one answer from the parts of all shards: rows of one name become one. */

#include "shard/inspect.h"

#include <assert.h>
#include <stdlib.h>

#include "pubsub/topics.h"
#include "resp/writer.h"
#include "shard/client.h"
#include "shard/gather.h"
#include "shard/state.h"
#include "util/clock.h"
#include "util/mem.h"

enum command_result inspect_ask(struct client *c, enum query_kind kind, struct message_inspect question,
                                struct bytes pattern)
{
        struct gather *g = gather_collect(c, GATHER_INSPECT);
        struct inspect *in = mem_zalloc(sizeof(*in));

        question.protocol = g->protocol;
        in->kind = kind;
        in->n_parts = c->shard->options.n_shards;
        in->parts = mem_zalloc(in->n_parts * sizeof(*in->parts));
        buffer_put(&in->question, &question, sizeof(question));
        buffer_put(&in->question, pattern.p, pattern.n);
        g->inspect = in;
        g->write = inspect_write;
        gather_ask(c);
        return COMMAND_DONE;
}

void inspect_take(struct inspect *in, unsigned source, struct bytes body)
{
        assert(source < in->n_parts);
        buffer_put(&in->parts[source], body.p, body.n);
}

size_t inspect_bytes(const struct inspect *in)
{
        size_t n = sizeof(*in) + in->question.cap + in->n_parts * sizeof(*in->parts);

        for (unsigned i = 0; i < in->n_parts; i++)
                n += in->parts[i].cap;
        return n;
}

struct inspect *inspect_free(struct inspect *in)
{
        if (!in)
                return NULL;
        for (unsigned i = 0; i < in->n_parts; i++)
                buffer_deinit(&in->parts[i]);
        free(in->parts);
        buffer_deinit(&in->question);
        free(in);
        return NULL;
}

/* ------------------------------------------------------------------ rows of one name */

/* The next row of a part. */
struct next {
        struct inspect_row row;
        struct bytes name, clients, patterns;
};

/* Return: false: there is none. */
static bool next_read(const struct buffer *part, struct next *next)
{
        struct bytes b = buffer_view(part);

        if (!b.n)
                return false;
        memcpy(&next->row, b.p, sizeof(next->row));
        next->name = bytes_of(b.p + sizeof(next->row), next->row.name_size);
        next->clients = bytes_of(next->name.p + next->name.n, next->row.clients_size);
        next->patterns = bytes_of(next->clients.p + next->clients.n, next->row.patterns_size);
        return true;
}

static void next_consume(struct buffer *part, const struct next *next)
{
        buffer_consume(part, sizeof(next->row) + next->name.n + next->clients.n + next->patterns.n);
}

/* By name, then by kind. */
static int next_compare(const struct next *a, const struct next *b)
{
        int r = bytes_compare(a->name, b->name);

        return r ? r : (a->row.kind > b->row.kind) - (a->row.kind < b->row.kind);
}

/* The parts that have rows of the name that comes first, and what these come to. */
struct merged {
        struct next first;
        struct next next[64];
        uint64_t parts; /* a bit for each that has one */
        struct inspect_row sum;
        const struct next *patterns; /* that has them; NULL: none */
};

static void merged_add(struct merged *m, const struct next *next)
{
        const struct inspect_row *row = &next->row;

        m->sum.subscribers += row->subscribers;
        m->sum.n_clients += row->n_clients;
        m->sum.messages += row->messages;
        m->sum.bytes += row->bytes;
        if (row->age < m->sum.age)
                m->sum.age = row->age;
        if (row->channels != INSPECT_UNKNOWN)
                m->sum.channels = row->channels;
        if (!m->patterns || row->patterns > m->patterns->row.patterns)
                m->patterns = next;
}

/* Return: false: there is no further name. */
static bool merged_next(const struct inspect *in, struct merged *m)
{
        m->parts = 0;
        m->patterns = NULL;
        m->sum = (struct inspect_row){ .age = INSPECT_UNKNOWN, .channels = INSPECT_UNKNOWN };
        for (unsigned i = 0; i < in->n_parts; i++) {
                int order;

                if (!next_read(&in->parts[i], &m->next[i]))
                        continue;
                order = m->parts ? next_compare(&m->next[i], &m->first) : -1;
                if (order > 0)
                        continue;
                if (order < 0) {
                        m->first = m->next[i];
                        m->parts = 0;
                }
                m->parts |= UINT64_C(1) << i;
        }
        for (unsigned i = 0; i < in->n_parts; i++)
                if (m->parts & UINT64_C(1) << i)
                        merged_add(m, &m->next[i]);
        return m->parts;
}

static void merged_consume(struct inspect *in, const struct merged *m)
{
        for (unsigned i = 0; i < in->n_parts; i++)
                if (m->parts & UINT64_C(1) << i)
                        next_consume(&in->parts[i], &m->next[i]);
}

/* ------------------------------------------------------------------ the reply */

static void write_integer(struct buffer *b, const char *name, uint64_t n)
{
        writer_bulk_str(b, name);
        writer_integer(b, (int64_t)n);
}

static void write_known(struct buffer *b, enum writer_proto proto, const char *name, uint64_t n, uint64_t unit)
{
        writer_bulk_str(b, name);
        if (n == INSPECT_UNKNOWN)
                writer_null(b, proto);
        else
                writer_integer(b, (int64_t)(n / unit));
}

static void write_subscribers(struct buffer *b, const struct inspect *in, const struct merged *m)
{
        write_integer(b, "subscribers", m->sum.subscribers);
        writer_bulk_str(b, "by_shard");
        writer_array(b, in->n_parts);
        for (unsigned i = 0; i < in->n_parts; i++)
                writer_integer(b, m->parts & UINT64_C(1) << i ? m->next[i].row.subscribers : 0);
        writer_bulk_str(b, "clients");
        writer_array(b, m->sum.n_clients);
        for (unsigned i = 0; i < in->n_parts; i++)
                if (m->parts & UINT64_C(1) << i)
                        buffer_put(b, m->next[i].clients.p, m->next[i].clients.n);
}

static void write_row(struct buffer *b, enum writer_proto proto, const struct inspect *in,
                      const struct merged *m)
{
        bool pattern = m->first.row.kind == TOPIC_PATTERN;

        writer_map(b, proto, pattern ? 5 : 10);
        writer_bulk_str(b, "name");
        writer_bulk(b, m->first.name);
        write_subscribers(b, in, m);
        if (pattern) {
                write_known(b, proto, "channels", m->sum.channels, 1);
                return;
        }
        writer_bulk_str(b, "kind");
        writer_bulk_str(b, m->first.row.kind == TOPIC_SHARD ? "shard" : "channel");
        write_integer(b, "messages", m->sum.messages);
        write_integer(b, "bytes", m->sum.bytes);
        write_known(b, proto, "last_ms", m->sum.age, NSEC_PER_MSEC);
        write_integer(b, "matching", m->patterns->row.patterns);
        writer_bulk_str(b, "patterns");
        writer_array(b, m->patterns->row.n_patterns);
        buffer_put(b, m->patterns->patterns.p, m->patterns->patterns.n);
}

/* Takes the heads off. *totalp: what fits, as the shard that knows most of it says. Return: whether all have
 * rows. */
static bool take_heads(struct inspect *in, uint64_t *totalp)
{
        bool whole = true;

        *totalp = 0;
        for (unsigned i = 0; i < in->n_parts; i++) {
                struct inspect_part part;

                memcpy(&part, buffer_view(&in->parts[i]).p, sizeof(part));
                buffer_consume(&in->parts[i], sizeof(part));
                *totalp = part.total > *totalp ? part.total : *totalp;
                whole &= !part.too_long;
        }
        return whole;
}

static void write_list(struct client *c, struct inspect *in)
{
        struct shard *s = c->shard;
        enum writer_proto proto = c->subscriber.protocol;
        uint64_t limit = ((const struct message_inspect *)(const void *)buffer_view(&in->question).p)->limit;
        struct buffer rows = { 0 };
        struct merged m;
        uint64_t total, n = 0;
        bool fits = take_heads(in, &total);

        while (fits && n < limit && merged_next(in, &m)) {
                write_row(&rows, proto, in, &m);
                merged_consume(in, &m);
                n++;
                fits = buffer_size(&rows) <= s->policy->limits.output_hard;
        }
        if (fits) {
                writer_map(&s->reply, proto, 3);
                write_integer(&s->reply, "time_us", s->now / NSEC_PER_USEC);
                write_integer(&s->reply, "total", total);
                writer_bulk_str(&s->reply, in->kind == QUERY_PATTERNS ? "patterns" : "channels");
                writer_array(&s->reply, n);
                buffer_put(&s->reply, buffer_view(&rows).p, buffer_size(&rows));
        } else {
                command_error(c,
                              "the list is longer than the output that may wait for a client; give a pattern "
                              "or a smaller LIMIT");
        }
        buffer_deinit(&rows);
}

void inspect_write(struct client *c, const struct gather *g)
{
        struct inspect *in = g->inspect;

        if (in->kind != QUERY_CLIENT) {
                write_list(c, in);
                return;
        }
        for (unsigned i = 0; i < in->n_parts; i++) {
                struct bytes found = buffer_view(&in->parts[i]);

                if (!found.n)
                        continue;
                buffer_put(&c->shard->reply, found.p, found.n);
                return;
        }
        command_error(c, "No such client");
}
