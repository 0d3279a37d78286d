/* SPDX-License-Identifier: MIT */
/*
 * Random life of a few shards, each with its own topics, that tell each other by batches which arrive late but
 * in order. What they answer is compared, at every step, with a model that knows states and counts and searches
 * all of them, holds included. The seed of a run is one more than the iteration that Check names.
 */

#include "pubsub/interest.h"
#include "pubsub/topics.h"

#include "pubsub/reference.h"
#include "support/suite.h"
#include "util/bits.h"
#include "util/prng.h"

/* ck_assert() tells the runner of every success as well, which costs more than what is tested here. */
#define require(_truth)                                                                                        \
        do {                                                                                                   \
                if (!(_truth))                                                                                 \
                        ck_abort_msg("%s", #_truth);                                                           \
        } while (0)
#define require_eq(_a, _b) require((_a) == (_b))

#define SHARDS       3
#define SUBSCRIBERS  8  /* of each shard */
#define NAMES        24 /* of each kind */
#define BATCHES      16 /* on their way between two shards */
#define NAME_MAX_LEN 90

enum state {
        NONE,
        PENDING,
        LIVE,
};

struct batch {
        struct buffer bytes;
        int32_t n[_TOPIC_KIND_N][NAMES];
        int8_t hold[_TOPIC_KIND_N][NAMES]; /* 1: begins, -1: ends; at most one begins in a batch */
};

struct model_shard {
        struct topics *topics;
        struct subscriber subscribers[SUBSCRIBERS];
        enum state state[SUBSCRIBERS][_TOPIC_KIND_N][NAMES];
        uint32_t told[SHARDS][_TOPIC_KIND_N][NAMES]; /* by each other shard, as far as it arrived */
        struct batch in[SHARDS][BATCHES];
        unsigned n_in[SHARDS];

        /* numbers of the holds, 0 without one */
        uint64_t holds[SUBSCRIBERS][_TOPIC_KIND_N][NAMES], told_holds[SHARDS][_TOPIC_KIND_N][NAMES];
        uint64_t last_hold;
};

struct model {
        struct prng prng;
        struct model_shard shards[SHARDS];
        char names[_TOPIC_KIND_N][NAMES][NAME_MAX_LEN + 1];
        bool matches[NAMES][NAMES]; /* [pattern][channel] */
};

static unsigned below(struct model *m, unsigned n)
{
        return (unsigned)prng_below(&m->prng, n);
}

static struct bytes name_of(const struct model *m, unsigned kind, unsigned i)
{
        return bytes_str(m->names[kind][i]);
}

static unsigned name_index(const struct model *m, const struct topic *topic)
{
        for (unsigned i = 0; i < NAMES; i++)
                if (bytes_equal(name_of(m, topic->kind, i), topic_name(topic)))
                        return i;
        ck_abort_msg("a name from nowhere");
        return 0;
}

static bool name_taken(const struct model *m, unsigned kind, unsigned i)
{
        for (unsigned k = 0; k < i; k++)
                if (strcmp(m->names[kind][k], m->names[kind][i]) == 0)
                        return true;
        return false;
}

static void names_make(struct model *m)
{
        /* many shard channels are named as a channel is */
        static const char *const alphabets[_TOPIC_KIND_N] = { "aaabc", "aabc**?[]", "aaabc" };

        for (unsigned kind = 0; kind < _TOPIC_KIND_N; kind++) {
                for (unsigned i = 0; i < NAMES; i++) {
                        char *name = m->names[kind][i];

                        do {
                                unsigned n = below(m, 20) == 0 ? NAME_MAX_LEN : below(m, 6);

                                for (unsigned k = 0; k < n; k++)
                                        name[k] = alphabets[kind][below(m, (unsigned)strlen(alphabets[kind]))];
                                name[n] = '\0';
                        } while (name_taken(m, kind, i));
                }
        }
        for (unsigned p = 0; p < NAMES; p++)
                for (unsigned c = 0; c < NAMES; c++)
                        m->matches[p][c] =
                                reference_glob(name_of(m, TOPIC_PATTERN, p), name_of(m, TOPIC_CHANNEL, c));
}

/* ---------------------------------------------------------------------------------------- what the model says
 */

static uint32_t count_local(const struct model_shard *s, unsigned kind, unsigned i, enum state least)
{
        uint32_t n = 0;

        for (unsigned k = 0; k < SUBSCRIBERS; k++)
                n += s->state[k][kind][i] >= least;
        return n;
}

static uint64_t count_remote(const struct model_shard *s, unsigned kind, unsigned i, uint64_t *maskp)
{
        uint64_t n = 0;

        for (unsigned from = 0; from < SHARDS; from++) {
                n += s->told[from][kind][i];
                if (maskp && s->told[from][kind][i] > 0)
                        *maskp |= bit(from);
        }
        return n;
}

static bool is_counted(const struct model_shard *s, unsigned kind, unsigned i)
{
        return count_local(s, kind, i, LIVE) > 0 || count_remote(s, kind, i, NULL) > 0;
}

static unsigned count_holds(const struct model_shard *s, unsigned kind, unsigned i)
{
        unsigned n = 0;

        for (unsigned who = 0; who < SUBSCRIBERS; who++)
                n += s->holds[who][kind][i] > 0;
        return n;
}

/* Whether a hold of one topic with a number up to until, not the publisher's own, exists; other: that number.
 */
static bool is_held(const struct model_shard *s, unsigned kind, unsigned i, unsigned publisher, uint64_t until,
                    uint64_t other)
{
        for (unsigned who = 0; who < SUBSCRIBERS; who++) {
                uint64_t number = s->holds[who][kind][i];

                if (number && number <= until && who != publisher && (!other || number == other))
                        return true;
        }
        for (unsigned from = 0; from < SHARDS; from++) {
                uint64_t number = s->told_holds[from][kind][i];

                if (number && number <= until && (!other || number == other))
                        return true;
        }
        return false;
}

static bool channel_is_held(const struct model *m, const struct model_shard *s, unsigned channel,
                            unsigned publisher, uint64_t until, uint64_t other)
{
        bool held = is_held(s, TOPIC_CHANNEL, channel, publisher, until, other);

        for (unsigned p = 0; p < NAMES && !held; p++)
                held = m->matches[p][channel] && is_held(s, TOPIC_PATTERN, p, publisher, until, other);
        return held;
}

/* ---------------------------------------------------------------------------------------- checks */

/* What a publisher sees of the holds, for some publishers and numbers. */
static void check_holds(struct model *m, const struct model_shard *s, const struct topic *topic, unsigned i)
{
        bool shard = topic->kind == TOPIC_SHARD;

        for (unsigned n = 0; n < 4; n++) {
                unsigned who = below(m, SUBSCRIBERS + 1); /* the last one is nobody */
                const struct subscriber *publisher = who < SUBSCRIBERS ? &s->subscribers[who] : NULL;
                uint64_t until = n % 2 ? UINT64_MAX : prng_below(&m->prng, s->last_hold + 1);
                struct subscriber stranger;
                struct hold *hold;

                subscriber_init(&stranger, 0);
                hold = topic_hold(topic, publisher ? publisher : &stranger, until);
                require_eq(hold != NULL, shard ? is_held(s, TOPIC_SHARD, i, who, until, 0)
                                               : channel_is_held(m, s, i, who, until, 0));
                if (hold)
                        require(shard ? is_held(s, TOPIC_SHARD, i, who, until, hold->since)
                                      : channel_is_held(m, s, i, who, until, hold->since));
        }
        require_eq(topic->n_holds, count_holds(s, topic->kind, i));
        require_eq(!!(topic_mask(topic) & TOPIC_HELD),
                   shard ? is_held(s, TOPIC_SHARD, i, SUBSCRIBERS, UINT64_MAX, 0)
                         : channel_is_held(m, s, i, SUBSCRIBERS, UINT64_MAX, 0));
}

static void check_members(const struct model_shard *s, const struct topic *topic, unsigned kind, unsigned i)
{
        uint32_t n_protocol[SUBSCRIBER_PROTOCOLS] = { 0 };
        bool seen[SUBSCRIBERS] = { false };

        require_eq(topic->n_members, count_local(s, kind, i, LIVE));
        for (uint32_t k = 0; k < topic->n_members; k++) {
                struct member member = topic->members[k];
                size_t who = (size_t)(member.subscriber - s->subscribers);

                require(who < SUBSCRIBERS);
                require(!seen[who] && s->state[who][kind][i] == LIVE);
                require_eq(member.subscription->subscriber, member.subscriber);
                require_eq(member.subscription->topic, topic);
                require_eq(member.subscription->index, k);
                seen[who] = true;
                n_protocol[member.subscriber->protocol]++;
        }
        for (unsigned p = 0; p < SUBSCRIBER_PROTOCOLS; p++)
                require_eq(topic->n_protocol[p], n_protocol[p]);
}

static void check_matches(const struct model *m, const struct model_shard *s, const struct topic *topic,
                          unsigned channel)
{
        bool seen[NAMES] = { false };

        for (uint32_t k = 0; k < topic->n_matches; k++) {
                unsigned p = name_index(m, topic->matches[k]);

                require(!seen[p]);
                seen[p] = true;
                check_members(s, topic->matches[k], TOPIC_PATTERN, p);
        }
        for (unsigned p = 0; p < NAMES; p++) {
                bool held = count_local(s, TOPIC_PATTERN, p, PENDING) > 0 ||
                            count_remote(s, TOPIC_PATTERN, p, NULL) > 0;

                if (seen[p] != (held && m->matches[p][channel]))
                        ck_abort_msg("pattern %s, channel %s", m->names[TOPIC_PATTERN][p],
                                     m->names[TOPIC_CHANNEL][channel]);
        }
}

static void check_route(struct model *m, struct model_shard *s, unsigned channel)
{
        struct topic *topic = topics_route(s->topics, name_of(m, TOPIC_CHANNEL, channel));
        uint64_t mask = 0;
        uint64_t receivers =
                count_local(s, TOPIC_CHANNEL, channel, LIVE) + count_remote(s, TOPIC_CHANNEL, channel, &mask);

        for (unsigned p = 0; p < NAMES; p++)
                if (m->matches[p][channel])
                        receivers += count_local(s, TOPIC_PATTERN, p, LIVE) +
                                     count_remote(s, TOPIC_PATTERN, p, &mask);
        require_eq(topic != NULL, receivers > 0);
        if (!topic)
                return;
        require_eq(name_index(m, topic), channel);
        require_eq(topic_receivers(topic), receivers);
        require_eq(topic_remote_mask(topic), mask);
        check_members(s, topic, TOPIC_CHANNEL, channel);
        check_matches(m, s, topic, channel);
        check_holds(m, s, topic, channel);
}

static void check_route_shard(struct model *m, struct model_shard *s, unsigned channel)
{
        struct topic *topic = topics_route_shard(s->topics, name_of(m, TOPIC_SHARD, channel));
        uint64_t mask = 0;
        uint64_t receivers =
                count_local(s, TOPIC_SHARD, channel, LIVE) + count_remote(s, TOPIC_SHARD, channel, &mask);

        require_eq(topic != NULL, receivers > 0);
        if (!topic)
                return;
        require_eq(topic->kind, TOPIC_SHARD);
        require_eq(name_index(m, topic), channel);
        require_eq(topic_receivers(topic), receivers);
        require_eq(topic_remote_mask(topic), mask);
        require_eq(topic->n_matches, 0);
        check_members(s, topic, TOPIC_SHARD, channel);
        check_holds(m, s, topic, channel);
}

static void check_walk(struct model *m, struct model_shard *s, unsigned kind)
{
        bool seen[NAMES] = { false };
        struct topic *topic;
        size_t pos = 0, n = 0;

        while ((topic = topics_next(s->topics, kind, &pos))) {
                unsigned i = name_index(m, topic);

                require(!seen[i] && is_counted(s, kind, i));
                seen[i] = true;
                n++;
        }
        require_eq(topics_count(s->topics, kind), n);
        for (unsigned i = 0; i < NAMES; i++)
                require(seen[i] == is_counted(s, kind, i));
}

static void check_subscriber(struct model *m, struct model_shard *s, unsigned who)
{
        struct subscriber *subscriber = &s->subscribers[who];
        size_t n = 0, n_linked = 0;

        for (unsigned kind = 0; kind < _TOPIC_KIND_N; kind++) {
                size_t n_kind = 0;

                for (unsigned i = 0; i < NAMES; i++) {
                        struct subscription *sub =
                                topics_subscription(s->topics, subscriber, kind, name_of(m, kind, i));

                        require_eq(sub ? (sub->live ? LIVE : PENDING) : NONE, s->state[who][kind][i]);
                        require_eq(sub && sub->hold ? sub->hold->since : 0, s->holds[who][kind][i]);
                        n_kind += sub != NULL;
                }
                require_eq(subscriber->n[kind], n_kind);
                n += n_kind;
        }
        list_for_each (i, &subscriber->subscriptions)
                n_linked++;
        require_eq(n_linked, n);
        require_eq(subscriber->n_all, n);
}

static void check_all(struct model *m)
{
        for (unsigned i = 0; i < SHARDS; i++) {
                size_t n = 0;

                for (unsigned kind = 0; kind < _TOPIC_KIND_N; kind++)
                        for (unsigned k = 0; k < NAMES; k++) {
                                n += count_holds(&m->shards[i], kind, k);
                                for (unsigned from = 0; from < SHARDS; from++)
                                        n += m->shards[i].told_holds[from][kind][k] > 0;
                        }
                require_eq(topics_n_holds(m->shards[i].topics), n);
                require_eq(topics_last_hold(m->shards[i].topics), m->shards[i].last_hold);
                for (unsigned c = 0; c < NAMES; c++) {
                        check_route(m, &m->shards[i], c);
                        check_route_shard(m, &m->shards[i], c);
                }
                for (unsigned kind = 0; kind < _TOPIC_KIND_N; kind++)
                        check_walk(m, &m->shards[i], kind);
                for (unsigned who = 0; who < SUBSCRIBERS; who++)
                        check_subscriber(m, &m->shards[i], who);
        }
}

/* ---------------------------------------------------------------------------------------- steps */

static void batch_apply(struct model *m, unsigned to, unsigned from)
{
        struct model_shard *s = &m->shards[to];
        struct batch *batch = &s->in[from][0];

        if (s->n_in[from] == 0)
                return;
        interest_apply(s->topics, from, buffer_view(&batch->bytes));
        for (unsigned kind = 0; kind < _TOPIC_KIND_N; kind++)
                for (unsigned i = 0; i < NAMES; i++) {
                        s->told[from][kind][i] += (uint32_t)batch->n[kind][i];
                        if (batch->hold[kind][i])
                                s->told_holds[from][kind][i] = batch->hold[kind][i] > 0 ? ++s->last_hold : 0;
                }
        buffer_deinit(&batch->bytes);
        s->n_in[from]--;
        memmove(batch, batch + 1, s->n_in[from] * sizeof(*batch));
}

static void batch_send(struct model *m, unsigned from, struct batch *batch)
{
        for (unsigned to = 0; to < SHARDS; to++) {
                struct model_shard *s = &m->shards[to];
                struct batch *copy;

                if (to == from || buffer_size(&batch->bytes) == 0)
                        continue;
                if (s->n_in[from] == BATCHES)
                        batch_apply(m, to, from);
                copy = &s->in[from][s->n_in[from]++];
                *copy = *batch;
                copy->bytes = (struct buffer){ 0 };
                buffer_put(&copy->bytes, batch->bytes.data, buffer_size(&batch->bytes));
        }
        buffer_deinit(&batch->bytes);
}

static void release(struct model *m, unsigned shard, unsigned who, unsigned kind, unsigned i,
                    struct batch *batch)
{
        struct model_shard *s = &m->shards[shard];
        bool last = count_holds(s, kind, i) == 1;

        require_eq(topics_release(s->topics, topics_subscription(s->topics, &s->subscribers[who], kind,
                                                                 name_of(m, kind, i))),
                   last);
        s->holds[who][kind][i] = 0;
        if (!last)
                return;
        interest_put_hold(&batch->bytes, kind, name_of(m, kind, i), false);
        batch->hold[kind][i] = -1;
}

/* A live subscription begins to hold its topic back, or ends that. */
static void step_hold(struct model *m, unsigned shard, unsigned who)
{
        struct model_shard *s = &m->shards[shard];
        unsigned kind = below(m, _TOPIC_KIND_N), i = below(m, NAMES);
        struct batch batch = { 0 };

        while (s->state[who][kind][i] != LIVE && below(m, 50) > 0)
                i = below(m, NAMES);
        if (s->state[who][kind][i] != LIVE)
                return;
        if (s->holds[who][kind][i]) {
                release(m, shard, who, kind, i, &batch);
        } else {
                bool first = count_holds(s, kind, i) == 0;

                require_eq(topics_hold(s->topics,
                                       topics_subscription(s->topics, &s->subscribers[who], kind,
                                                           name_of(m, kind, i)),
                                       NULL),
                           first);
                s->holds[who][kind][i] = ++s->last_hold;
                if (first) {
                        interest_put_hold(&batch.bytes, kind, name_of(m, kind, i), true);
                        batch.hold[kind][i] = 1;
                }
        }
        batch_send(m, shard, &batch);
}

static void leave(struct model *m, unsigned shard, unsigned who, unsigned kind, unsigned i, struct batch *batch)
{
        struct model_shard *s = &m->shards[shard];
        struct subscription *sub =
                topics_subscription(s->topics, &s->subscribers[who], kind, name_of(m, kind, i));
        bool last = count_local(s, kind, i, PENDING) == 1;

        require_eq(topics_is_last(sub), last);
        if (sub->hold)
                release(m, shard, who, kind, i, batch);
        interest_put(&batch->bytes, kind, name_of(m, kind, i), -1, last);
        batch->n[kind][i]--;
        topics_unsubscribe(s->topics, sub);
        s->state[who][kind][i] = NONE;
}

/* A subscriber subscribes to, or leaves, some names; none becomes pending, pending live or none. */
static void step_subscriptions(struct model *m, unsigned shard, unsigned who)
{
        struct model_shard *s = &m->shards[shard];
        struct batch batch = { 0 };

        for (unsigned n = 1 + below(m, 4); n > 0; n--) {
                unsigned kind = below(m, _TOPIC_KIND_N), i = below(m, NAMES);
                struct bytes name = name_of(m, kind, i);

                switch (s->state[who][kind][i]) {
                case NONE:
                        topics_subscribe(s->topics, &s->subscribers[who], kind, name);
                        interest_put(&batch.bytes, kind, name, 1, false);
                        batch.n[kind][i]++;
                        s->state[who][kind][i] = PENDING;
                        break;
                case PENDING:
                        if (below(m, 4) > 0) {
                                topics_activate(s->topics, topics_subscription(s->topics, &s->subscribers[who],
                                                                               kind, name));
                                s->state[who][kind][i] = LIVE;
                                break;
                        }
                        /* fall through */
                case LIVE:
                        leave(m, shard, who, kind, i, &batch);
                        break;
                }
        }
        batch_send(m, shard, &batch);
}

/* The end of a client: all it has, in one batch. */
static void step_end(struct model *m, unsigned shard, unsigned who)
{
        struct batch batch = { 0 };

        for (unsigned kind = 0; kind < _TOPIC_KIND_N; kind++)
                for (unsigned i = 0; i < NAMES; i++)
                        if (m->shards[shard].state[who][kind][i] != NONE)
                                leave(m, shard, who, kind, i, &batch);
        batch_send(m, shard, &batch);
}

static void step(struct model *m)
{
        unsigned shard = below(m, SHARDS), who = below(m, SUBSCRIBERS), choice = below(m, 100);

        if (choice < 35)
                step_subscriptions(m, shard, who);
        else if (choice < 50)
                step_hold(m, shard, who);
        else if (choice < 92)
                batch_apply(m, shard, below(m, SHARDS));
        else if (choice < 96)
                subscriber_set_protocol(&m->shards[shard].subscribers[who], below(m, SUBSCRIBER_PROTOCOLS));
        else
                step_end(m, shard, who);
        for (unsigned i = 0; i < SHARDS; i++) {
                unsigned channel = below(m, NAMES);

                check_route(m, &m->shards[i], channel);
                if (below(m, 2))
                        check_route(m, &m->shards[i], channel); /* as the one routed last */
                check_route_shard(m, &m->shards[i], below(m, NAMES));
        }
}

static void run(uint64_t seed, unsigned steps)
{
        struct hash_key key = { seed, 1 };
        struct model *m = calloc(1, sizeof(*m));

        m->prng.state = seed;
        names_make(m);
        for (unsigned i = 0; i < SHARDS; i++) {
                m->shards[i].topics = topics_new(&key, i * 3); /* as few as one recent channel */
                for (unsigned who = 0; who < SUBSCRIBERS; who++)
                        subscriber_init(&m->shards[i].subscribers[who], who % SUBSCRIBER_PROTOCOLS);
        }
        for (unsigned turn = 0; turn < steps; turn++) {
                step(m);
                if (turn % 100 == 0)
                        check_all(m);
        }
        for (unsigned i = 0; i < SHARDS; i++)
                for (unsigned who = 0; who < SUBSCRIBERS; who++)
                        step_end(m, i, who);
        for (unsigned to = 0; to < SHARDS; to++)
                for (unsigned from = 0; from < SHARDS; from++)
                        while (m->shards[to].n_in[from] > 0)
                                batch_apply(m, to, from);
        check_all(m);
        for (unsigned i = 0; i < SHARDS; i++) {
                for (unsigned kind = 0; kind < _TOPIC_KIND_N; kind++)
                        require_eq(topics_count(m->shards[i].topics, kind), 0);
                topics_free(m->shards[i].topics);
        }
        free(m);
}

START_TEST(random_lives_of_shards_answer_as_the_model_does)
{
        run((uint64_t)_i + 1, 5000);
}
END_TEST

static void add(TCase *tests)
{
        tcase_add_loop_test(tests, random_lives_of_shards_answer_as_the_model_does, 0, 20);
}

int main(void)
{
        return suite_run("topics-model", add);
}
