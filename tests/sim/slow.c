/* SPDX-License-Identifier: MIT */
/*
 * Slow subscribers: for each of them and each policy, what it received and what it was told to have lost is
 * exactly what was published to it, in order, and each notice stands where the messages would have stood.
 *
 * Whole shards with tiny rings, fake reactors and a seeded schedule: publishers, each with channels of its own,
 * publish numbered messages; subscribers, by channels and patterns, stall and go on as it comes, hang up,
 * change their subscriptions and wishes, publish to themselves in transactions; policies are replaced. Now and
 * then everything that was published is let arrive, and then a subscriber says something: its reply is a fence
 * in what it hears, in front of which all that was published before has to be accounted for, and nothing else.
 *
 * In the end the counters have to agree: of each client, of each policy, and what the test knows.
 *
 *      slow [--seeds N] [--first SEED] [--verbose]
 */

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pubsub/glob.h"
#include "shard/client.h"
#include "shard/loss.h"
#include "shard/spool.h"
#include "shard/state.h"
#include "support/cluster.h"
#include "util/log.h"
#include "util/mem.h"
#include "util/prng.h"

#define CHANNELS_MAX 100
#define NAMES_MAX    (CHANNELS_MAX + 8) /* of subscriptions */
#define SUBS_MAX     6
#define POLICIES     3
#define RULES_MAX    3
#define WORDS_MAX    8

static const char *const patterns[] = { "a*", "*1", "?9", "*" };
#define N_PATTERNS (sizeof(patterns) / sizeof(*patterns))

enum fence_kind {
        FENCE_WORDS, /* a reply: these words */
        FENCE_ON,    /* the same, and notices begin behind it */
        FENCE_OFF,   /* the same, and they end before it */
};

/* A reply, and how many copies of each channel's messages precede it. */
struct fence {
        enum fence_kind kind;
        char words[96]; /* joined by blanks */
        uint64_t before[CHANNELS_MAX];
};

/* What one way of notices told, by channel. */
struct told {
        uint64_t lost[CHANNELS_MAX];
        uint64_t null; /* of several channels */
};

/* Of one message for one subscriber: copies of its channel's messages before it, and of itself. */
struct place {
        uint64_t before;
        unsigned copies;
};

struct sub {
        int fd;
        unsigned shard;
        uint64_t id;
        bool alive, resp3, push, channel; /* notices by push; by the channel */
        bool wishes[NAMES_MAX];           /* subscriptions: channels, then patterns */
        unsigned own;                     /* the channel that it publishes to itself */
        unsigned long said;
        bool hears_push, hears_channel; /* as far as it has read */
        bool loose;                     /* a notice named no channel: only the sums are known */
        uint64_t due[CHANNELS_MAX];     /* copies that were published to it */
        struct place *places[CHANNELS_MAX];
        uint64_t received[CHANNELS_MAX];
        uint64_t newest[CHANNELS_MAX]; /* number of the newest message that it received */
        struct told push_told, channel_told;
        struct fence *fences;
        unsigned n_fences, done, cap;
        struct buffer heard;
};

struct test {
        uint64_t seed, step;
        struct prng prng;
        struct cluster cl;
        struct policy policies[POLICIES];
        struct slow_rule rules[POLICIES][RULES_MAX];
        unsigned policy;
        bool reloaded;
        unsigned n_channels, n_subs, n_publishers;
        char names[CHANNELS_MAX][16];
        uint64_t published[CHANNELS_MAX];
        int publishers[3];
        struct sub subs[SUBS_MAX];
        uint64_t lost, notices, deliveries;
        uint64_t dead_lost; /* of clients that are gone */
        unsigned dead;
};

static bool verbose;

static void fail(const struct test *t, const struct sub *s, const char *what)
{
        fprintf(stderr, "slow: seed %llu, step %llu, subscriber %d: %s\n", (unsigned long long)t->seed,
                (unsigned long long)t->step, s ? (int)(s - t->subs) : -1, what);
        fprintf(stderr, "slow: repeat with --first %llu --seeds 1 --verbose\n", (unsigned long long)t->seed);
        exit(EXIT_FAILURE);
}

static unsigned below(struct test *t, unsigned n)
{
        return (unsigned)prng_below(&t->prng, n);
}

/* ------------------------------------------------------------------ what is known of a subscriber */

static const char *name_of(const struct test *t, unsigned i)
{
        return i < t->n_channels ? t->names[i] : patterns[i - t->n_channels];
}

static bool name_matches(const struct test *t, unsigned name, unsigned channel)
{
        if (name < t->n_channels)
                return name == channel;
        return glob_match(bytes_str(name_of(t, name)), bytes_str(t->names[channel]));
}

/* Copies of each message to a channel. */
static unsigned copies(const struct test *t, const struct sub *s, unsigned channel)
{
        unsigned n = 0;

        for (unsigned i = 0; i < t->n_channels + N_PATTERNS; i++)
                n += s->wishes[i] && name_matches(t, i, channel);
        return n;
}

static struct client *client_of(struct test *t, const struct sub *s)
{
        return client_find(t->cl.shards[s->shard], s->id);
}

static void check_spools(struct test *t)
{
        for (unsigned i = 0; i < t->n_subs; i++) {
                struct client *c = client_of(t, &t->subs[i]);

                if (c && c->spool && !c->stream.failed)
                        spool_assert(c);
        }
}

static void turn(struct test *t, unsigned shard)
{
        cluster_turn(&t->cl, shard);
        check_spools(t);
}

/* ------------------------------------------------------------------ what a subscriber hears */

struct words {
        unsigned n;
        struct bytes word[WORDS_MAX];
        bool null[WORDS_MAX];
};

/* Reads one value; the words of an array are those of its values. Return: what is behind it; NULL: it is not
 * whole. */
static const uint8_t *read_value(const uint8_t *p, const uint8_t *end, struct words *w)
{
        const uint8_t *line = memchr(p, '\n', (size_t)(end - p));
        long n;

        if (!line || w->n == WORDS_MAX)
                return NULL;
        line++;
        n = strtol((const char *)p + 1, NULL, 10);
        switch (*p) {
        case '*':
        case '>':
        case '%':
                n *= *p == '%' ? 2 : 1;
                while (n-- > 0 && line)
                        line = read_value(line, end, w);
                return line;
        case '$':
                if (end - line < n + 2)
                        return NULL;
                w->word[w->n++] = bytes_of(line, (size_t)n);
                return line + n + 2;
        default:
                w->null[w->n] = *p == '_';
                w->word[w->n++] = bytes_of(p, (size_t)(line - p) - 2);
                return line;
        }
}

static unsigned channel_of(const struct test *t, const struct sub *s, struct bytes name)
{
        for (unsigned i = 0; i < t->n_channels; i++)
                if (bytes_equal(name, bytes_str(t->names[i])))
                        return i;
        fail(t, s, "a channel that does not exist");
        return 0;
}

static bool reason_fits(const struct test *t, struct bytes reason, struct bytes channel)
{
        unsigned first = t->reloaded ? 0 : t->policy, last = t->reloaded ? POLICIES - 1 : t->policy;

        for (unsigned i = first; i <= last; i++) {
                uint32_t rule = slow_rule_for(&t->policies[i], CLUSTER_PATH, channel);

                if (slow_drops(&t->policies[i], rule) &&
                    bytes_equal(reason, bytes_str(loss_reason(t->policies[i].slow[rule].action))))
                        return true;
        }
        return false;
}

static void hear_notice(struct test *t, struct sub *s, struct told *told, const struct bytes *name, uint64_t n,
                        struct bytes reason)
{
        if (!n)
                fail(t, s, "a notice of nothing");
        t->notices++;
        if (!name) {
                s->loose = true;
                told->null += n;
                return;
        }
        if (!reason_fits(t, reason, *name))
                fail(t, s, "a notice for a reason that no rule has");
        told->lost[channel_of(t, s, *name)] += n;
}

/* "<count> <reason> <channel>", or without the channel. */
static void hear_channel_notice(struct test *t, struct sub *s, struct bytes text)
{
        char copy[64], reason[32] = "", name[32] = "";
        unsigned long long n = 0;
        struct bytes b;
        int words;

        if (!s->hears_channel || text.n >= sizeof(copy))
                fail(t, s, "a notice that nobody asked for");
        memcpy(copy, text.p, text.n);
        copy[text.n] = 0;
        words = sscanf(copy, "%llu %31s %31s", &n, reason, name);
        b = bytes_str(name);
        hear_notice(t, s, &s->channel_told, words == 3 ? &b : NULL, n, bytes_str(reason));
}

/* What came before is all that was published before, but for `slack` copies of the message that comes now. */
static void check_account(struct test *t, struct sub *s, const struct told *told, unsigned channel,
                          uint64_t due, unsigned slack)
{
        uint64_t sum = s->received[channel] + told->lost[channel];

        if (s->loose ? s->received[channel] > due + slack : sum < due || sum > due + slack)
                fail(t, s, "received and lost are not what was published");
}

static void hear_message(struct test *t, struct sub *s, struct bytes name, struct bytes payload)
{
        unsigned channel = channel_of(t, s, name);
        uint64_t number = strtoull((const char *)payload.p, NULL, 10); /* a colon or a line end is behind it */
        const struct place *place;

        if (!payload.n || number >= t->published[channel])
                fail(t, s, "a message without its number");
        if (number < s->newest[channel])
                fail(t, s, "messages of a channel in the wrong order");
        place = &s->places[channel][number];
        if (!place->copies || s->received[channel] >= place->before + place->copies)
                fail(t, s, "a message that was not published to it");
        if (s->hears_push)
                check_account(t, s, &s->push_told, channel, place->before, place->copies - 1);
        if (s->hears_channel)
                check_account(t, s, &s->channel_told, channel, place->before, place->copies - 1);
        s->newest[channel] = number;
        s->received[channel]++;
        t->deliveries++;
}

static void check_fence(struct test *t, struct sub *s, const struct fence *f)
{
        uint64_t received = 0, due = 0, pushed = 0, posted = 0;

        for (unsigned i = 0; i < t->n_channels; i++) {
                received += s->received[i];
                due += f->before[i];
                pushed += s->push_told.lost[i];
                posted += s->channel_told.lost[i];
                if (s->hears_push)
                        check_account(t, s, &s->push_told, i, f->before[i], 0);
                if (s->hears_channel)
                        check_account(t, s, &s->channel_told, i, f->before[i], 0);
                if (s->received[i] > f->before[i])
                        fail(t, s, "a message overtook a reply");
        }
        if (s->hears_push && received + pushed + s->push_told.null != due)
                fail(t, s, "the sum of what was received and lost (push) is not what was published");
        if (s->hears_channel && received + posted + s->channel_told.null != due)
                fail(t, s, "the sum of what was received and lost (channel) is not what was published");
}

/* From a fence on notices are told that were not before: what was lost in silence is taken as told. */
static void forgive(struct test *t, struct sub *s, struct told *told, const struct fence *f)
{
        *told = (struct told){ 0 };
        for (unsigned i = 0; i < t->n_channels; i++)
                told->lost[i] = f->before[i] - s->received[i];
}

static void hear_reply(struct test *t, struct sub *s, const struct words *w)
{
        char text[96] = "";
        struct fence *f;

        for (unsigned i = 0; i < w->n; i++) {
                size_t at = strlen(text);

                snprintf(text + at, sizeof(text) - at, "%s%.*s", i ? " " : "", (int)w->word[i].n,
                         (const char *)w->word[i].p);
        }
        if (s->done == s->n_fences)
                fail(t, s, "a reply that is not due");
        f = &s->fences[s->done++];
        if (strcmp(text, f->words)) {
                fprintf(stderr, "slow: due is \"%s\", heard \"%s\"\n", f->words, text);
                fail(t, s, "another reply than the one that is due");
        }
        check_fence(t, s, f);
        if (f->kind == FENCE_ON) {
                forgive(t, s, &s->push_told, f);
                s->hears_push = true;
        } else if (f->kind == FENCE_OFF) {
                s->hears_push = false;
        }
}

static void hear_words(struct test *t, struct sub *s, const struct words *w)
{
        struct bytes first = w->word[0];

        if (w->n == 4 && bytes_equal(first, BYTES_LITERAL("loss"))) {
                if (!s->hears_push)
                        fail(t, s, "a push that nobody asked for");
                hear_notice(t, s, &s->push_told, w->null[1] ? NULL : &w->word[1],
                            strtoull((const char *)w->word[2].p + 1, NULL, 10), w->word[3]);
        } else if (w->n == 3 && bytes_equal(first, BYTES_LITERAL("message"))) {
                if (bytes_equal(w->word[1], BYTES_LITERAL(LOSS_TOPIC)))
                        hear_channel_notice(t, s, w->word[2]);
                else
                        hear_message(t, s, w->word[1], w->word[2]);
        } else if (w->n == 4 && bytes_equal(first, BYTES_LITERAL("pmessage"))) {
                hear_message(t, s, w->word[2], w->word[3]);
        } else {
                hear_reply(t, s, w);
        }
}

static void hear(struct test *t, struct sub *s)
{
        struct buffer *out;

        if (!s->fd)
                return;
        out = &fake_stream(t->cl.fakes[s->shard], s->fd)->out;
        buffer_put(&s->heard, buffer_view(out).p, buffer_size(out));
        buffer_put(&s->heard, "", 1); /* what ends the last number, should the frame be cut there */
        s->heard.end--;
        buffer_consume(out, buffer_size(out));
        for (;;) {
                struct bytes b = buffer_view(&s->heard);
                struct words w = { 0 };
                const uint8_t *end = b.n ? read_value(b.p, b.p + b.n, &w) : NULL;

                if (!end)
                        return;
                hear_words(t, s, &w);
                buffer_consume(&s->heard, (size_t)(end - b.p));
        }
}

/* ------------------------------------------------------------------ what happens */

static void add_fence(struct sub *s, enum fence_kind kind, const char *words)
{
        struct fence *f;

        if (s->n_fences == s->cap) {
                s->cap = s->cap ? 2 * s->cap : 16;
                s->fences = mem_realloc(s->fences, s->cap * sizeof(*s->fences));
        }
        f = &s->fences[s->n_fences++];
        f->kind = kind;
        snprintf(f->words, sizeof(f->words), "%s", words);
        memcpy(f->before, s->due, sizeof(f->before));
}

static void say(struct test *t, struct sub *s, const char *text)
{
        if (verbose)
                printf("%llu subscriber %d: %s", (unsigned long long)t->step, (int)(s - t->subs), text);
        cluster_say(&t->cl, s->shard, s->fd, text);
        cluster_settle(&t->cl);
}

/* Bytes of a payload, with its number in front. */
static void payload(struct test *t, char *text, size_t size, unsigned channel)
{
        unsigned pad = below(t, 4) ? below(t, 30) : below(t, 500);

        snprintf(text, size, "%llu:%0*d", (unsigned long long)t->published[channel], (int)pad, 0);
}

static void count_publish(struct test *t, unsigned channel)
{
        uint64_t number = t->published[channel]++;

        for (unsigned i = 0; i < t->n_subs; i++) {
                struct sub *s = &t->subs[i];
                unsigned k = copies(t, s, channel);

                if (!(number & (number - 1))) /* the room doubles */
                        s->places[channel] =
                                mem_realloc(s->places[channel], 2 * (number + 1) * sizeof(struct place));
                s->places[channel][number] = (struct place){ s->due[channel], k };
                s->due[channel] += k;
        }
}

static void publish(struct test *t)
{
        unsigned channel = below(t, t->n_channels - t->n_subs), n = 1 + below(t, below(t, 4) ? 2 : 12);
        unsigned publisher = channel % t->n_publishers;
        char text[600], line[700];

        while (n--) {
                payload(t, text, sizeof(text), channel);
                snprintf(line, sizeof(line), "PUBLISH %s %s\r\n", t->names[channel], text);
                if (verbose)
                        printf("%llu publish %s %.8s\n", (unsigned long long)t->step, t->names[channel], text);
                cluster_say(&t->cl, publisher, t->publishers[publisher], line);
                count_publish(t, channel);
                if (below(t, 3) == 0)
                        channel = (channel + t->n_publishers) % (t->n_channels - t->n_subs);
                if (channel % t->n_publishers != publisher)
                        break;
        }
}

static void sub_ping(struct test *t, struct sub *s)
{
        char text[32], words[32];

        snprintf(text, sizeof(text), "PING %lu\r\n", s->said);
        snprintf(words, sizeof(words), s->resp3 ? "%lu" : "pong %lu", s->said);
        s->said++;
        add_fence(s, FENCE_WORDS, words);
        say(t, s, text);
}

static unsigned count_wishes(const struct sub *s)
{
        unsigned n = s->channel;

        for (unsigned i = 0; i < NAMES_MAX; i++)
                n += s->wishes[i];
        return n;
}

static void sub_subscribe(struct test *t, struct sub *s, unsigned name)
{
        const char *prefix = name < t->n_channels ? "" : "p";
        const char *un = s->wishes[name] ? "un" : "";
        char text[64], words[64];
        unsigned n = count_wishes(s);

        if (*un && n == 1)
                return; /* a RESP2 client without subscriptions answers PING in another way */
        snprintf(text, sizeof(text), "%s%ssubscribe %s\r\n", prefix, un, name_of(t, name));
        snprintf(words, sizeof(words), "%s%ssubscribe %s :%u", prefix, un, name_of(t, name),
                 *un ? n - 1 : n + 1);
        add_fence(s, FENCE_WORDS, words);
        s->wishes[name] = !s->wishes[name];
        say(t, s, text);
}

static void sub_loss(struct test *t, struct sub *s)
{
        if (!s->resp3)
                return;
        s->push = !s->push;
        add_fence(s, s->push ? FENCE_ON : FENCE_OFF, "+OK");
        say(t, s, s->push ? "CLIENT LOSS ON\r\n" : "CLIENT LOSS OFF\r\n");
}

/* Publishes to itself: the messages come behind the reply. */
static void sub_exec(struct test *t, struct sub *s)
{
        unsigned n = 1 + below(t, 3), k = 0;
        char text[3000] = "MULTI\r\n", words[96] = "", line[600];

        if (!s->resp3)
                return;
        for (unsigned i = 0; i < t->n_subs; i++)
                k += copies(t, &t->subs[i], s->own);
        add_fence(s, FENCE_WORDS, "+OK");
        for (unsigned i = 0; i < n; i++) {
                add_fence(s, FENCE_WORDS, "+QUEUED");
                payload(t, line, sizeof(line), s->own);
                snprintf(text + strlen(text), sizeof(text) - strlen(text), "PUBLISH %s %s\r\n",
                         t->names[s->own], line);
                snprintf(words + strlen(words), sizeof(words) - strlen(words), "%s:%u", i ? " " : "", k);
                t->published[s->own]++;
        }
        add_fence(s, FENCE_WORDS, words);
        t->published[s->own] -= n;
        while (n--)
                count_publish(t, s->own);
        strcat(text, "EXEC\r\n");
        say(t, s, text);
}

/* Everything that was published arrives, and a subscriber says something. */
static void fence(struct test *t, struct sub *s)
{
        cluster_settle(&t->cl);
        if (!s->alive)
                return;
        switch (below(t, 6)) {
        case 0:
                sub_subscribe(t, s, below(t, t->n_channels + N_PATTERNS));
                break;
        case 1:
                sub_loss(t, s);
                break;
        case 2:
                sub_exec(t, s);
                break;
        default:
                sub_ping(t, s);
        }
        check_spools(t);
}

static void note_dead(struct test *t, struct sub *s)
{
        struct client *c = client_of(t, s);

        if (c)
                t->dead_lost += c->lost;
}

static void die(struct test *t, struct sub *s)
{
        cluster_settle(&t->cl);
        if (!s->alive || !cluster_is_open(&t->cl, s->shard, s->fd))
                return;
        note_dead(t, s);
        t->dead++;
        s->alive = false;
        fake_fail(t->cl.fakes[s->shard], s->fd, ECONNRESET);
        cluster_settle(&t->cl);
        hear(t, s);
        memset(s->wishes, 0, sizeof(s->wishes));
}

static void reload(struct test *t)
{
        t->reloaded = true;
        t->policy = below(t, POLICIES);
        if (verbose)
                printf("%llu policy %u\n", (unsigned long long)t->step, t->policy);
        cluster_set_policy(&t->cl, &t->policies[t->policy]);
        check_spools(t);
}

static void step(struct test *t)
{
        struct sub *s = &t->subs[below(t, t->n_subs)];

        t->step++;
        switch (below(t, 12)) {
        case 0:
        case 1:
        case 2:
        case 3:
                publish(t);
                break;
        case 4:
        case 5:
                if (s->alive)
                        fake_accept(t->cl.fakes[s->shard], s->fd, below(t, 8) ? below(t, 300) : SIZE_MAX);
                break;
        case 6:
                if (s->alive)
                        hear(t, s);
                break;
        case 7:
                if (below(t, 3) == 0)
                        fence(t, s);
                break;
        case 8:
                if (below(t, 60) == 0)
                        die(t, s);
                else if (below(t, 40) == 0)
                        reload(t);
                break;
        default:
                turn(t, below(t, t->cl.n_shards));
        }
        cluster_control(&t->cl);
}

/* ------------------------------------------------------------------ beginning and end */

static void make_policies(struct test *t)
{
        static const struct bytes groups[] = { BYTES_LITERAL("a*"), BYTES_LITERAL("b*"), BYTES_LITERAL("*1"),
                                               BYTES_LITERAL("c?") };
        static const enum slow_action actions[] = { SLOW_DROP_OLDEST, SLOW_DROP_NEWEST, SLOW_CONFLATE,
                                                    SLOW_DISCONNECT };

        for (unsigned i = 0; i < POLICIES; i++) {
                struct policy *p = &t->policies[i];

                bool large = below(t, 8) == 0; /* nothing but conflate drops, and clients may be stalled */

                p->limits = (struct policy_limits){ .request_bytes = 1 << 20, .output_hard = 2 << 20 };
                p->slow = t->rules[i];
                p->n_slow = 1 + below(t, RULES_MAX);
                for (unsigned k = 0; k < p->n_slow; k++) {
                        struct slow_rule *rule = &t->rules[i][k];

                        rule->action = actions[below(t, below(t, 6) ? 3 : 4)];
                        rule->listener = below(t, 4) ? NULL : below(t, 3) ? CLUSTER_PATH : "/run/other";
                        rule->bytes = large ? 1 << 20 : 300 + below(t, below(t, 2) ? 2000 : 10000);
                        if (k + 1 < p->n_slow) {
                                rule->channels = &groups[below(t, 4)];
                                rule->n_channels = 1;
                        }
                }
        }
}

static void make_sub(struct test *t, struct sub *s)
{
        char text[64];
        unsigned name;

        memset(s, 0, sizeof(*s));
        s->shard = below(t, t->cl.n_shards);
        s->fd = cluster_connect(&t->cl, s->shard, 7);
        s->id = t->cl.next_id - 1;
        s->alive = true;
        s->resp3 = below(t, 2);
        s->own = t->n_channels - t->n_subs + (unsigned)(s - t->subs);
        s->push = s->resp3 && below(t, 4);
        s->channel = below(t, 3) != 0;
        if (s->resp3)
                say(t, s, "HELLO 3\r\n");
        if (s->push)
                say(t, s, "CLIENT LOSS ON\r\n");
        if (s->channel)
                say(t, s, "SUBSCRIBE " LOSS_TOPIC "\r\n");
        s->hears_push = s->push;
        s->hears_channel = s->channel;
        for (unsigned n = 1 + below(t, 4); n;) {
                name = below(t, t->n_channels + N_PATTERNS);
                if (s->wishes[name] || (s->own == name && below(t, 2)))
                        continue;
                snprintf(text, sizeof(text), "%sSUBSCRIBE %s\r\n", name < t->n_channels ? "" : "P",
                         name_of(t, name));
                s->wishes[name] = true;
                say(t, s, text);
                n--;
        }
        free(cluster_hear(&t->cl, s->shard, s->fd));
}

static void test_init(struct test *t, uint64_t seed)
{
        struct cluster_options options;

        memset(t, 0, sizeof(*t));
        t->seed = seed;
        t->prng.state = seed * 0x9e3779b97f4a7c15 + 1;
        make_policies(t);
        options = (struct cluster_options){ .n_shards = 1 + below(t, 3),
                                            .capacity = 2u << below(t, 2),
                                            .backlog_bytes = below(t, 2) ? 400 : 100000,
                                            .drain_budget = 1 + below(t, 5),
                                            .policy = &t->policies[0] };
        cluster_init(&t->cl, &options);
        t->n_subs = 1 + below(t, SUBS_MAX);
        t->n_channels = (below(t, 20) ? 4 + below(t, 6) : CHANNELS_MAX - SUBS_MAX) + t->n_subs;
        for (unsigned i = 0; i < t->n_channels; i++)
                snprintf(t->names[i], sizeof(t->names[i]), "%c%u", 'a' + (int)(i % 3), i / 3);
        t->n_publishers = t->cl.n_shards;
        for (unsigned i = 0; i < t->n_publishers; i++)
                t->publishers[i] = cluster_connect(&t->cl, i, 7);
        for (unsigned i = 0; i < t->n_subs; i++)
                make_sub(t, &t->subs[i]);
}

/* Everybody reads, and all that is under way arrives; one more fence accounts for the rest. */
static void quiesce(struct test *t)
{
        cluster_settle(&t->cl);
        for (unsigned i = 0; i < t->n_subs; i++) {
                struct sub *s = &t->subs[i];

                if (!s->alive)
                        continue;
                fake_accept(t->cl.fakes[s->shard], s->fd, SIZE_MAX);
                cluster_settle(&t->cl);
                if (!cluster_is_open(&t->cl, s->shard, s->fd))
                        fail(t, s, "it was disconnected");
                sub_ping(t, s);
                cluster_settle(&t->cl);
                hear(t, s);
                if (s->done != s->n_fences || buffer_size(&s->heard))
                        fail(t, s, "replies are missing");
                if (client_of(t, s)->spool)
                        fail(t, s, "it has taken everything and is spooled");
        }
}

static void check_counters(struct test *t)
{
        uint64_t clients = t->dead_lost, shards = 0;

        for (unsigned i = 0; i < t->n_subs; i++) {
                struct sub *s = &t->subs[i];
                uint64_t received = 0, due = 0, lost;

                if (!s->alive)
                        continue;
                lost = client_of(t, s)->lost;
                for (unsigned k = 0; k < t->n_channels; k++) {
                        received += s->received[k];
                        due += s->due[k];
                }
                if (received + lost != due)
                        fail(t, s, "the client's counter is not what is missing");
                clients += lost;
        }
        for (unsigned i = 0; i < t->cl.n_shards; i++) {
                const struct shard_status *status = &t->cl.shards[i]->status;

                shards += status->lost_drop_oldest + status->lost_drop_newest + status->lost_conflate;
        }
        /* the end of a client takes apart what it had not taken in yet */
        if (t->dead ? shards < clients : shards != clients)
                fail(t, NULL, "the counters of the policies are not those of the clients");
        t->lost = shards;
}

static void test_deinit(struct test *t)
{
        for (unsigned i = 0; i < t->n_subs; i++) {
                for (unsigned k = 0; k < t->n_channels; k++)
                        free(t->subs[i].places[k]);
                free(t->subs[i].fences);
                buffer_deinit(&t->subs[i].heard);
        }
        cluster_deinit(&t->cl);
}

struct sums {
        uint64_t deliveries, lost, notices;
};

static void run(uint64_t seed, struct sums *sums)
{
        static struct test t;
        unsigned steps;

        test_init(&t, seed);
        steps = 50 + below(&t, 500);
        while (t.step < steps)
                step(&t);
        quiesce(&t);
        check_counters(&t);
        sums->deliveries += t.deliveries;
        sums->lost += t.lost;
        sums->notices += t.notices;
        test_deinit(&t);
}

int main(int argc, char **argv)
{
        static const struct option options[] = { { "seeds", required_argument, NULL, 's' },
                                                 { "first", required_argument, NULL, 'f' },
                                                 { "verbose", no_argument, NULL, 'v' },
                                                 { 0 } };
        uint64_t n = 4000, first = 1;
        struct sums sums = { 0 };
        int o;

        log_set_level(LOG_LEVEL_ERROR);
        while ((o = getopt_long(argc, argv, "s:f:v", options, NULL)) != -1) {
                if (o == 's')
                        n = strtoull(optarg, NULL, 10);
                else if (o == 'f')
                        first = strtoull(optarg, NULL, 10);
                else if (o == 'v')
                        verbose = true;
                else
                        return 2;
        }
        for (uint64_t seed = first; seed < first + n; seed++)
                run(seed, &sums);
        printf("slow: %llu seeds from %llu on: %llu messages received, %llu lost, %llu notices, nothing "
               "wrong\n",
               (unsigned long long)n, (unsigned long long)first, (unsigned long long)sums.deliveries,
               (unsigned long long)sums.lost, (unsigned long long)sums.notices);
        return n < 100 || (sums.deliveries && sums.lost && sums.notices) ? EXIT_SUCCESS : EXIT_FAILURE;
}
