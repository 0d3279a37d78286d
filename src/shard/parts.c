/* SPDX-License-Identifier: MIT */

#include "shard/parts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "shard/busiest.h"
#include "shard/gather.h"
#include "shard/latency.h"
#include "shard/state.h"
#include "shard/client.h"
#include "util/mem.h"

void parts_answer(struct shard *s, enum query_kind kind, struct bytes question, struct buffer *answer)
{
        uint32_t argument;

        assert(question.n == sizeof(argument));
        memcpy(&argument, question.p, sizeof(argument));
        if (kind == QUERY_TOP)
                busiest_answer(s, argument, answer);
        else
                latency_answer(s, kind == QUERY_LATENCY_RESET, answer);
}

void parts_ask(struct client *c, enum query_kind kind, uint32_t argument,
               void (*write)(struct client *c, const struct gather *g))
{
        struct shard *s = c->shard;
        struct gather *g = gather_collect(c, GATHER_PARTS);
        unsigned n = s->options.n_shards;

        g->parts = mem_zalloc(sizeof(*g->parts) + n * sizeof(struct buffer));
        g->parts->kind = kind;
        g->parts->argument = argument;
        g->parts->n = n;
        g->write = write;
        parts_answer(s, kind, bytes_of(&argument, sizeof(argument)), &g->parts->part[s->options.id]);
        gather_ask(c);
}

void parts_take(struct parts *parts, unsigned source, struct bytes body)
{
        assert(source < parts->n);
        buffer_put(&parts->part[source], body.p, body.n);
}

size_t parts_bytes(const struct parts *parts)
{
        size_t n = sizeof(*parts) + parts->n * sizeof(struct buffer);

        for (unsigned i = 0; i < parts->n; i++)
                n += parts->part[i].cap;
        return n;
}

struct parts *parts_free(struct parts *parts)
{
        if (!parts)
                return NULL;
        for (unsigned i = 0; i < parts->n; i++)
                buffer_deinit(&parts->part[i]);
        free(parts);
        return NULL;
}
