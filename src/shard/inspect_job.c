/* SPDX-License-Identifier: MIT */
/*
 * A shard's part. A list is made in three steps, each in pieces: a walk over all topics keeps the first names
 * that fit (a heap with the last of them on top); for patterns, a second walk counts the channels that each
 * matches; then a row is written for each name, as it is by then.
 *
 * Jobs are done one after the other, since there is one count of channels at a time; one client is looked at
 * before all others, since that is short.
 */

#include <assert.h>
#include <stdlib.h>

#include "pubsub/glob.h"
#include "resp/writer.h"
#include "shard/client.h"
#include "shard/gather.h"
#include "shard/inspect.h"
#include "shard/state.h"
#include "util/mem.h"

#define JOB_BUDGET    1000               /* topics, or patterns tried, in one turn; some 0.2 ms */
#define JOB_TALLY_MAX (20 * 1000 * 1000) /* patterns tried for one answer; some seconds */

enum job_step {
        JOB_WALK,
        JOB_WALK_SHARD, /* the channels of the other kind */
        JOB_TALLY,
        JOB_SORT,
        JOB_ROWS,
};

struct job_name {
        uint8_t *p;
        size_t n;
        enum topic_kind kind;
};

struct job {
        struct list link; /* in shard.inspects */
        unsigned source;
        struct message_ask ask;
        enum query_kind kind;
        struct message_inspect question;
        uint8_t *pattern;
        enum job_step step;
        bool begun; /* the step's walk */
        struct walk walk;
        struct job_name *names; /* the first `heap` of them are one, those behind are in order */
        size_t n_names, cap_names, heap;
        size_t bytes; /* of the names */
        size_t row;   /* the next to be written */
        uint64_t tried;
        struct inspect_part part;
        struct buffer answer;
};

static struct job *job_free(struct job *job)
{
        list_del(&job->link);
        walk_end(&job->walk);
        for (size_t i = 0; i < job->n_names; i++)
                free(job->names[i].p);
        free(job->names);
        free(job->pattern);
        buffer_deinit(&job->answer);
        free(job);
        return NULL;
}

void inspect_asked(struct shard *s, unsigned source, const struct message_ask *ask, enum query_kind kind,
                   struct bytes body)
{
        struct job *job = mem_zalloc(sizeof(*job));
        size_t n;

        job->source = source;
        job->ask = *ask;
        job->kind = kind;
        memcpy(&job->question, body.p, sizeof(job->question));
        n = job->question.pattern_size;
        if (n)
                job->pattern = memcpy(mem_alloc(n), body.p + sizeof(job->question), n);
        list_add_tail(kind == QUERY_CLIENT ? s->inspects.next : &s->inspects, &job->link);
}

bool inspect_is_behind(const struct shard *s)
{
        return !list_empty(&s->inspects);
}

void inspect_deinit(struct shard *s)
{
        while (!list_empty(&s->inspects))
                job_free(list_first(&s->inspects, struct job, link));
}

/* ------------------------------------------------------------------ the first names */

static struct bytes name_view(const struct job_name *name)
{
        return bytes_of(name->p, name->n);
}

static int name_compare(const struct job_name *left, const struct job_name *right)
{
        int r = bytes_compare(name_view(left), name_view(right));

        return r ? r : (left->kind > right->kind) - (left->kind < right->kind);
}

static void heap_swap(struct job_name *a, struct job_name *b)
{
        struct job_name t = *a;

        *a = *b;
        *b = t;
}

static void heap_up(struct job_name *heap, size_t i)
{
        while (i && name_compare(&heap[i], &heap[(i - 1) / 2]) > 0) {
                heap_swap(&heap[i], &heap[(i - 1) / 2]);
                i = (i - 1) / 2;
        }
}

static void heap_down(struct job_name *heap, size_t n)
{
        for (size_t i = 0, child; (child = 2 * i + 1) < n; i = child) {
                if (child + 1 < n && name_compare(&heap[child + 1], &heap[child]) > 0)
                        child++;
                if (name_compare(&heap[i], &heap[child]) >= 0)
                        return;
                heap_swap(&heap[i], &heap[child]);
        }
}

/* Keeps the name if it is among the first ones. */
static void job_keep(struct job *job, const struct topic *topic)
{
        struct job_name name = { (uint8_t *)(uintptr_t)topic->name, topic->name_size, topic->kind };
        bool full = job->n_names == job->question.limit;

        if (full && name_compare(&name, &job->names[0]) > 0)
                return;
        name.p = memcpy(mem_alloc(name.n + 1), topic->name, name.n);
        job->bytes += name.n;
        if (full) {
                job->bytes -= job->names[0].n;
                free(job->names[0].p);
                job->names[0] = name;
                heap_down(job->names, job->n_names);
                return;
        }
        if (job->n_names == job->cap_names) {
                job->cap_names = job->cap_names ? 2 * job->cap_names : 64;
                job->names = mem_realloc(job->names, job->cap_names * sizeof(*job->names));
        }
        job->names[job->n_names++] = name;
        heap_up(job->names, job->n_names - 1);
}

/* Somebody subscribes to it, or it was published to for the patterns that match. */
static bool job_fits(const struct job *job, const struct topic *topic)
{
        if (!topic_subscriptions(topic) && (topic->kind == TOPIC_PATTERN || !topic->messages))
                return false;
        return job->question.any ||
               glob_match(bytes_of(job->pattern, job->question.pattern_size), topic_name(topic));
}

static void job_next_step(struct job *job, enum job_step step)
{
        job->step = step;
        job->begun = false;
}

/* Looks at one topic more. Return: what it cost. */
static size_t job_walk(struct shard *s, struct job *job)
{
        enum topic_kind kind = job->kind == QUERY_PATTERNS   ? TOPIC_PATTERN
                               : job->step == JOB_WALK_SHARD ? TOPIC_SHARD
                                                             : TOPIC_CHANNEL;
        const struct topic *topic;

        if (!job->begun)
                topics_walk_begin(s->topics, kind, &job->walk);
        job->begun = true;
        topic = topics_walk_next(&job->walk);
        if (topic && job_fits(job, topic)) {
                job->part.total += topic_subscriptions(topic) > 0;
                job_keep(job, topic);
                job->part.too_long |= job->bytes > s->policy->limits.output_hard;
        }
        if (topic && !job->part.too_long)
                return 1 + topic->name_size / 64;
        walk_end(&job->walk);
        if (kind == TOPIC_CHANNEL && !job->part.too_long)
                job_next_step(job, JOB_WALK_SHARD);
        else if (kind == TOPIC_PATTERN && job->source == s->options.id && !job->part.too_long)
                job_next_step(job, JOB_TALLY);
        else
                job_next_step(job, JOB_SORT);
        return 1;
}

/* ------------------------------------------------------------------ the channels of each pattern */

/* All shards know all channels, so only the one that asks counts them. Return: what it cost. */
static size_t job_tally(struct shard *s, struct job *job)
{
        const struct topic *topic;
        size_t cost = 1;

        if (!job->begun) {
                topics_tally_begin(s->topics);
                topics_walk_begin(s->topics, TOPIC_CHANNEL, &job->walk);
        }
        job->begun = true;
        topic = topics_walk_next(&job->walk);
        if (topic && topic_subscriptions(topic))
                cost += topics_tally(s->topics, topic_name(topic));
        job->tried += cost;
        if (topic && job->tried <= JOB_TALLY_MAX)
                return cost;
        walk_end(&job->walk);
        job_next_step(job, JOB_SORT);
        return cost;
}

/* ------------------------------------------------------------------ their order */

/* Puts one name more in its place. */
static size_t job_sort(struct job *job)
{
        if (!job->begun)
                job->heap = job->n_names;
        job->begun = true;
        if (job->heap < 2) {
                buffer_put(&job->answer, &job->part, sizeof(job->part)); /* its place */
                job_next_step(job, JOB_ROWS);
                return 1;
        }
        heap_swap(&job->names[0], &job->names[--job->heap]);
        heap_down(job->names, job->heap);
        return 2;
}

/* ------------------------------------------------------------------ rows */

static void write_member(struct buffer *b, unsigned protocol, const struct client *c)
{
        writer_map(b, protocol, 4);
        writer_bulk_str(b, "id");
        writer_integer(b, (int64_t)c->id);
        writer_bulk_str(b, "pid");
        writer_integer(b, c->pid);
        writer_bulk_str(b, "uid");
        writer_integer(b, c->uid);
        writer_bulk_str(b, "name");
        writer_bulk_str(b, c->name ? c->name : "");
}

/* A row that is being written. */
struct draft {
        struct inspect_row row;
        unsigned protocol;
        struct buffer clients, patterns;
};

static void draft_pattern(const struct topic *pattern, void *context)
{
        struct draft *draft = context;

        if (!topic_subscriptions(pattern) || draft->row.patterns++ >= INSPECT_LISTED)
                return;
        draft->row.n_patterns++;
        writer_map(&draft->patterns, draft->protocol, 2);
        writer_bulk_str(&draft->patterns, "name");
        writer_bulk(&draft->patterns, topic_name(pattern));
        writer_bulk_str(&draft->patterns, "subscribers");
        writer_integer(&draft->patterns, (int64_t)topic_subscriptions(pattern));
}

static void draft_clients(struct draft *draft, const struct topic *topic)
{
        struct inspect_row *row = &draft->row;

        row->subscribers = topic->n_members;
        row->n_clients = topic->n_members < INSPECT_LISTED ? topic->n_members : INSPECT_LISTED;
        for (uint32_t i = 0; i < row->n_clients; i++)
                write_member(&draft->clients, draft->protocol,
                             client_of_subscriber(topic->members[i].subscriber));
}

static void draft_finish(struct draft *draft, struct job *job, struct bytes name)
{
        draft->row.name_size = (uint32_t)name.n;
        draft->row.clients_size = (uint32_t)buffer_size(&draft->clients);
        draft->row.patterns_size = (uint32_t)buffer_size(&draft->patterns);
        buffer_put(&job->answer, &draft->row, sizeof(draft->row));
        buffer_put(&job->answer, name.p, name.n);
        buffer_put(&job->answer, buffer_view(&draft->clients).p, draft->row.clients_size);
        buffer_put(&job->answer, buffer_view(&draft->patterns).p, draft->row.patterns_size);
}

/* Writes the row of one name more, if the topic is still there. Return: what it cost. */
static size_t job_row(struct shard *s, struct job *job)
{
        const struct job_name *name = &job->names[job->row++];
        const struct topic *topic = topics_find(s->topics, name->kind, name_view(name));
        struct draft draft = {
                .row = { .kind = name->kind, .age = INSPECT_UNKNOWN, .channels = INSPECT_UNKNOWN },
                .protocol = job->question.protocol
        };
        size_t cost = 1 + INSPECT_LISTED;

        if (!topic)
                return 1;
        draft_clients(&draft, topic);
        draft.row.messages = topic->messages;
        draft.row.bytes = topic->bytes;
        if (topic->last)
                draft.row.age = s->now - topic->last;
        if (name->kind == TOPIC_CHANNEL)
                cost += topics_matches(s->topics, topic_name(topic), draft_pattern, &draft);
        else if (name->kind == TOPIC_PATTERN && job->source == s->options.id && job->tried <= JOB_TALLY_MAX)
                draft.row.channels = topics_tallied(s->topics, topic);
        if (topic_subscriptions(topic) || draft.row.patterns)
                draft_finish(&draft, job, topic_name(topic));
        buffer_deinit(&draft.clients);
        buffer_deinit(&draft.patterns);
        job->part.too_long |= buffer_size(&job->answer) > s->policy->limits.output_hard;
        return cost;
}

/* ------------------------------------------------------------------ the whole */

/* Return: whether the job is done. *costp: what was done of it. */
static bool job_do(struct shard *s, struct job *job, size_t *costp)
{
        struct client *c;

        if (job->kind == QUERY_CLIENT) {
                *costp = INSPECT_SUBJECTS;
                c = client_find(s, job->question.id);
                if (c && c->end != CLIENT_CLOSING && !c->killed)
                        inspect_client(&job->answer, job->question.protocol, c);
                return true;
        }
        switch (job->step) {
        case JOB_WALK:
        case JOB_WALK_SHARD:
                *costp = job_walk(s, job);
                break;
        case JOB_TALLY:
                *costp = job_tally(s, job);
                break;
        case JOB_SORT:
                *costp = job_sort(job);
                break;
        case JOB_ROWS:
                if (job->row == job->n_names || job->part.too_long)
                        return true;
                *costp = job_row(s, job);
                break;
        }
        return false;
}

static void job_answer(struct shard *s, struct job *job)
{
        struct bytes answer = buffer_view(&job->answer);

        if (job->kind != QUERY_CLIENT) {
                if (job->part.too_long)
                        answer.n = sizeof(job->part);
                memcpy(job->answer.data + job->answer.start, &job->part, sizeof(job->part));
        }
        list_del(&job->link);
        if (job->source == s->options.id)
                gather_on_answer(s, job->source, &job->ask, answer);
        else
                shard_answer(s, job->source, &job->ask, answer.p, answer.n);
        job_free(job);
}

/* Whether nobody waits for it any more, as far as is known here. */
static bool job_is_idle(const struct shard *s, const struct job *job)
{
        const struct client *c;

        if (job->source != s->options.id)
                return false;
        c = client_find(s, job->ask.client);
        return !c || !c->gather;
}

void inspect_work(struct shard *s)
{
        size_t done = 0;

        while (!list_empty(&s->inspects) && done < JOB_BUDGET) {
                struct job *job = list_first(&s->inspects, struct job, link);
                size_t cost = 0;

                if (s->stop != SHARD_RUNS || job_is_idle(s, job))
                        job_free(job);
                else if (job_do(s, job, &cost))
                        job_answer(s, job);
                done += cost + 1;
        }
}
