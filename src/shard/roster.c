/* SPDX-License-Identifier: MIT */
/*
 * A shard's part of a list is rows of struct row and a line each, in rising order: by id, or as the ids were
 * named. The client that asked merges the parts, so that the whole is in that order, too.
 *
 * A list is as long as the output that may wait for a client at most; one that is longer is refused in words,
 * since its client would be disconnected.
 */

#include "shard/roster.h"

#include <assert.h>
#include <stdlib.h>

#include "resp/writer.h"
#include "shard/auth.h"
#include "shard/client.h"
#include "shard/gather.h"
#include "shard/spool.h"
#include "shard/state.h"
#include "shard/tap.h"
#include "shard/transaction.h"
#include "util/clock.h"
#include "util/mem.h"

#define ROSTER_LONG 100 /* clients that others shall not wait for twice */

/* What a shard answers to QUERY_LIST begins with this; then come its rows. */
struct part {
        uint64_t too_long; /* not all lines are here */
};

struct row {
        uint64_t order;
        uint64_t size; /* of the line behind it */
};

/* ------------------------------------------------------------------ a line */

#define PUT(_b, _text) buffer_put(_b, _text, sizeof(_text) - 1)

static void put_number(struct buffer *b, uint64_t n)
{
        uint8_t digits[20];

        buffer_put(b, digits, writer_digits(digits, n));
}

static void put_text(struct buffer *b, const char *text)
{
        if (text)
                buffer_put(b, text, strlen(text));
}

#define PUT_NUMBER(_b, _name, _n)  (PUT(_b, " " _name "="), put_number(_b, _n))
#define PUT_TEXT(_b, _name, _text) (PUT(_b, " " _name "="), put_text(_b, _text))

static void put_flags(struct buffer *b, const struct client *c)
{
        if (client_subscriptions(c))
                PUT(b, "P");
        if (c->transaction)
                PUT(b, "x");
        if (c->end == CLIENT_FINISHING)
                PUT(b, "c");
        if (tap_is_monitor(c))
                PUT(b, "O");
        PUT(b, "U");
        if (c->no_evict)
                PUT(b, "e");
        if (c->no_touch)
                PUT(b, "T");
}

static size_t text_size(const char *text)
{
        return text ? strlen(text) + 1 : 0;
}

/* Bytes that the client takes, by what is allocated for it. */
static size_t memory_of(const struct client *c)
{
        size_t n = sizeof(*c) + c->shard->ops->stream_size;

        n += c->reader.in.cap + client_output(c);
        if (c->transaction)
                n += sizeof(*c->transaction) + c->transaction->bytes;
        n += text_size(c->name) + text_size(c->lib_name) + text_size(c->lib_version);
        return n + client_subscriptions(c) * (sizeof(struct subscription) + sizeof(struct member));
}

static void put_connection(struct buffer *b, const struct client *c)
{
        uint64_t now = c->shard->now;

        PUT(b, "id=");
        put_number(b, c->id);
        PUT_TEXT(b, "addr", c->path);
        PUT(b, ":0 laddr=");
        put_text(b, c->path);
        PUT(b, ":0");
        PUT_NUMBER(b, "fd", (uint64_t)c->stream.fd);
        PUT_TEXT(b, "name", c->name);
        PUT_NUMBER(b, "age", (now - c->born) / NSEC_PER_SEC);
        PUT_NUMBER(b, "idle", (now - c->active) / NSEC_PER_SEC);
        PUT(b, " flags=");
        put_flags(b, c);
        PUT(b, " db=0");
        PUT_NUMBER(b, "sub", c->subscriber.n[TOPIC_CHANNEL]);
        PUT_NUMBER(b, "psub", c->subscriber.n[TOPIC_PATTERN]);
        PUT_NUMBER(b, "ssub", c->subscriber.n[TOPIC_SHARD]);
        if (c->transaction)
                PUT_NUMBER(b, "multi", c->transaction->n);
        else
                PUT(b, " multi=-1");
}

/* There is no reply buffer beside the queue, and no memory of arguments beside the input. */
static void put_memory(struct buffer *b, const struct client *c)
{
        const struct buffer *in = &c->reader.in;

        PUT_NUMBER(b, "qbuf", buffer_size(in));
        PUT_NUMBER(b, "qbuf-free", in->cap - in->end);
        PUT(b, " argv-mem=0");
        PUT_NUMBER(b, "multi-mem", c->transaction ? c->transaction->bytes : 0);
        PUT(b, " rbs=0 rbp=0 obl=0");
        PUT_NUMBER(b, "oll", c->stream.out.n + (c->spool ? c->spool->n_entries : 0));
        PUT_NUMBER(b, "omem", c->stream.out.bytes + (c->spool ? spool_bytes(c->spool) : 0));
        PUT_NUMBER(b, "tot-mem", memory_of(c));
}

void roster_line(struct buffer *b, const struct client *c)
{
        char name[64];

        put_connection(b, c);
        put_memory(b, c);
        PUT(b, " events=");
        if (!c->stream.paused)
                PUT(b, "r");
        if (c->stream.writing)
                PUT(b, "w");
        PUT_TEXT(b, "cmd", command_full_name(c->command, name, sizeof(name)));
        PUT_TEXT(b, "user", auth_user(c));
        PUT(b, " redir=-1");
        PUT_NUMBER(b, "resp", c->subscriber.protocol == WRITER_RESP3 ? 3 : 2);
        PUT_TEXT(b, "lib-name", c->lib_name);
        PUT_TEXT(b, "lib-ver", c->lib_version);
        PUT_NUMBER(b, "pid", (uint64_t)c->pid);
        PUT_NUMBER(b, "uid", c->uid);
        PUT_NUMBER(b, "gid", c->gid);
        PUT_NUMBER(b, "lost", c->lost);
        PUT_NUMBER(b, "shard", c->shard->options.id);
        PUT_NUMBER(b, "pub", c->published);
        PUT_NUMBER(b, "pub-bytes", c->published_bytes);
        PUT_NUMBER(b, "dlv", c->delivered);
        PUT_NUMBER(b, "sent", c->stream.out.sent);
        PUT(b, "\n");
}

/* ------------------------------------------------------------------ a shard's part */

/* A question, and what is done with those that fit. */
struct search {
        struct shard *shard;
        const struct message_roster *filter;
        const uint64_t *ids;
        struct bytes address, user;
        struct buffer *part; /* where lines go */
        bool too_long;
        uint64_t found;
        bool found_asker;
};

struct message_roster roster_filter(const struct client *c)
{
        return (struct message_roster){ .asker = c->id, .uid = c->uid, .any_uid = c->admin };
}

static bool address_fits(const struct client *c, struct bytes address)
{
        size_t n = strlen(c->path);

        return address.n == n + 2 && !memcmp(address.p, c->path, n) && !memcmp(address.p + n, ":0", 2);
}

static bool search_fits(const struct search *search, const struct client *c)
{
        const struct message_roster *f = search->filter;

        if (c->end == CLIENT_CLOSING || c->killed || (!f->any_uid && c->uid != f->uid))
                return false;
        if (f->skip_asker && c->id == f->asker)
                return false;
        if (f->type != ROSTER_ANY && f->type != (client_subscriptions(c) ? ROSTER_PUBSUB : ROSTER_NORMAL))
                return false;
        if (f->by_address && !address_fits(c, search->address))
                return false;
        if (f->user_size && !bytes_equal(search->user, bytes_str(auth_user(c))))
                return false;
        return (c->shard->now - c->born) / NSEC_PER_SEC >= f->min_age;
}

/* Calls found() for each client that fits. */
static void search_run(struct search *search, void (*found)(struct search *, struct client *, uint64_t order))
{
        const struct message_roster *f = search->filter;
        struct shard *s = search->shard;

        for (uint32_t i = 0; i < f->n_ids; i++) {
                struct client *c = client_find(s, search->ids[i]);

                if (c && search_fits(search, c))
                        found(search, c, i);
        }
        if (f->by_id)
                return;
        list_for_each (i, &s->clients) {
                struct client *c = container_of(i, struct client, all);

                if (search_fits(search, c))
                        found(search, c, c->id);
        }
}

static void search_list_one(struct search *search, struct client *c, uint64_t order)
{
        struct buffer *b = search->part;
        size_t at = buffer_size(b);
        struct row row = { .order = order };

        if (at > search->shard->policy->limits.output_hard)
                search->too_long = true;
        if (search->too_long)
                return;
        search->found++;
        buffer_put(b, &row, sizeof(row));
        roster_line(b, c);
        row.size = buffer_size(b) - at - sizeof(row);
        memcpy(b->data + b->start + at, &row, sizeof(row));
}

static void search_kill_one(struct search *search, struct client *c, uint64_t order)
{
        (void)order;
        search->found++;
        if (c->id == search->filter->asker)
                search->found_asker = true; /* it gets its reply first */
        else
                client_kill(c);
}

static struct search search_answer(struct shard *s, enum query_kind kind, struct bytes body,
                                   struct buffer *answer)
{
        const struct message_roster *f = (const void *)body.p;
        struct search search = { .shard = s, .filter = f, .ids = (const void *)(f + 1), .part = answer };
        struct part part = { 0 };

        search.address = bytes_of(search.ids + f->n_ids, f->address_size);
        search.user = bytes_of(search.address.p + f->address_size, f->user_size);
        if (kind == QUERY_KILL) {
                search_run(&search, search_kill_one);
                buffer_put(answer, &search.found, sizeof(search.found));
        } else {
                buffer_put(answer, &part, sizeof(part));
                search_run(&search, search_list_one);
                part.too_long = search.too_long;
                memcpy(answer->data + answer->start, &part, sizeof(part));
        }
        return search;
}

void roster_answer(struct shard *s, enum query_kind kind, struct bytes body, struct buffer *answer)
{
        search_answer(s, kind, body, answer);
}

/* ------------------------------------------------------------------ the whole */

enum command_result roster_ask(struct client *c, enum query_kind kind, const struct message_roster *filter,
                               const uint64_t *ids, struct bytes address, struct bytes user)
{
        struct shard *s = c->shard;
        struct gather *g = gather_collect(c, GATHER_ROSTER);
        struct roster *r = mem_zalloc(sizeof(*r));
        struct buffer answer = { 0 };
        struct search search;

        r->kind = kind;
        r->n_parts = s->options.n_shards;
        r->parts = mem_zalloc(r->n_parts * sizeof(*r->parts));
        buffer_put(&r->question, filter, sizeof(*filter));
        buffer_put(&r->question, ids, filter->n_ids * sizeof(*ids));
        buffer_put(&r->question, address.p, filter->address_size);
        buffer_put(&r->question, user.p, filter->user_size);
        g->roster = r;
        g->write = roster_write;
        search = search_answer(s, kind, buffer_view(&r->question), &answer);
        r->ends_asker = search.found_asker;
        roster_take(r, s->options.id, buffer_view(&answer));
        buffer_deinit(&answer);
        gather_ask(c);
        return search.found > ROSTER_LONG ? COMMAND_YIELD : COMMAND_DONE;
}

void roster_take(struct roster *r, unsigned source, struct bytes body)
{
        struct part part;
        uint64_t killed;

        if (r->kind == QUERY_KILL) {
                assert(body.n == sizeof(killed));
                memcpy(&killed, body.p, sizeof(killed));
                r->killed += killed;
                return;
        }
        assert(body.n >= sizeof(part));
        memcpy(&part, body.p, sizeof(part));
        r->too_long |= part.too_long;
        buffer_put(&r->parts[source], body.p + sizeof(part), body.n - sizeof(part));
}

/* Moves the first of the next rows of all parts to the text. Return: whether there was one. */
static bool merge_one(struct roster *r, struct buffer *text)
{
        struct buffer *first = NULL;
        struct row row, other;

        for (unsigned i = 0; i < r->n_parts; i++) {
                if (!buffer_size(&r->parts[i]))
                        continue;
                memcpy(&other, buffer_view(&r->parts[i]).p, sizeof(other));
                if (first && row.order < other.order)
                        continue;
                first = &r->parts[i];
                row = other;
        }
        if (!first)
                return false;
        buffer_consume(first, sizeof(row));
        buffer_put(text, buffer_view(first).p, row.size);
        buffer_consume(first, row.size);
        return true;
}

void roster_write(struct client *c, const struct gather *g)
{
        struct shard *s = c->shard;
        struct roster *r = g->roster;
        struct buffer text = { 0 };

        if (r->kind == QUERY_KILL) {
                writer_integer(&s->reply, (int64_t)r->killed);
                return;
        }
        while (!r->too_long && merge_one(r, &text))
                r->too_long = buffer_size(&text) > s->policy->limits.output_hard;
        if (r->too_long)
                command_error(c,
                              "the list is longer than the output that may wait for a client; name a TYPE or "
                              "IDs");
        else
                writer_verbatim(&s->reply, c->subscriber.protocol, "txt", buffer_view(&text));
        buffer_deinit(&text);
}

size_t roster_bytes(const struct roster *r)
{
        size_t n = sizeof(*r) + r->question.cap + r->n_parts * sizeof(*r->parts);

        for (unsigned i = 0; i < r->n_parts; i++)
                n += r->parts[i].cap;
        return n;
}

struct roster *roster_free(struct roster *r)
{
        if (!r)
                return NULL;
        for (unsigned i = 0; i < r->n_parts; i++)
                buffer_deinit(&r->parts[i]);
        free(r->parts);
        buffer_deinit(&r->question);
        free(r);
        return NULL;
}
