/* SPDX-License-Identifier: MIT */

#include "shard/latency.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "resp/writer.h"
#include "shard/client.h"
#include "shard/gather.h"
#include "shard/parts.h"
#include "shard/state.h"
#include "util/clock.h"
#include "util/mem.h"

/* What a shard answers. */
struct latency {
        uint64_t since_ms; /* age of the oldest of what is counted */
        struct histogram turns, answers;
};

void latency_answer(struct shard *s, bool reset, struct buffer *answer)
{
        struct pace *p = &s->pace;
        uint64_t since_ms = (s->now - p->since) / NSEC_PER_MSEC;

        buffer_put(answer, &since_ms, sizeof(since_ms));
        buffer_put(answer, &p->turns, sizeof(p->turns));
        buffer_put(answer, &p->answers, sizeof(p->answers));
        if (!reset)
                return;
        p->since = s->now;
        p->turns = (struct histogram){ 0 };
        p->answers = (struct histogram){ 0 };
}

static void write_number(struct buffer *b, const char *name, uint64_t n)
{
        writer_bulk_str(b, name);
        writer_integer(b, (int64_t)n);
}

static void write_histogram(struct buffer *b, enum writer_proto proto, const char *name,
                            const struct histogram *h)
{
        writer_bulk_str(b, name);
        writer_map(b, proto, 7);
        write_number(b, "count", h->n);
        write_number(b, "sum_ns", h->sum);
        write_number(b, "p50_ns", histogram_at(h, 500000));
        write_number(b, "p90_ns", histogram_at(h, 900000));
        write_number(b, "p99_ns", histogram_at(h, 990000));
        write_number(b, "p999_ns", histogram_at(h, 999000));
        write_number(b, "max_ns", h->max);
}

static void write_histograms(struct buffer *b, enum writer_proto proto, const struct latency *l)
{
        write_number(b, "since_ms", l->since_ms);
        write_histogram(b, proto, "turn", &l->turns);
        write_histogram(b, proto, "receive_to_write", &l->answers);
}

static void latency_read(struct latency *l, const struct buffer *part)
{
        struct bytes b = buffer_view(part);

        assert(b.n == sizeof(*l));
        memcpy(l, b.p, sizeof(*l));
}

static void latency_sum(struct latency *sum, const struct latency *one)
{
        if (one->since_ms > sum->since_ms)
                sum->since_ms = one->since_ms;
        histogram_merge(&sum->turns, &one->turns);
        histogram_merge(&sum->answers, &one->answers);
}

void latency_write(struct client *c, const struct gather *g)
{
        const struct parts *parts = g->parts;
        struct buffer *b = &c->shard->reply;
        enum writer_proto proto = c->subscriber.protocol;
        struct latency *one = mem_alloc(sizeof(*one)), *sum = mem_zalloc(sizeof(*sum));

        writer_map(b, proto, 2);
        writer_bulk_str(b, "shards");
        writer_array(b, parts->n);
        for (unsigned i = 0; i < parts->n; i++) {
                latency_read(one, &parts->part[i]);
                latency_sum(sum, one);
                writer_map(b, proto, 4);
                write_number(b, "id", i);
                write_histograms(b, proto, one);
        }
        writer_bulk_str(b, "all");
        writer_map(b, proto, 3);
        write_histograms(b, proto, sum);
        free(one);
        free(sum);
}
