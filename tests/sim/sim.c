/* SPDX-License-Identifier: MIT */
/*
 * Deterministic simulation: several shards on one thread, with the real mesh, pubsub, resp and shard code, fake
 * reactors, a fake clock and tiny rings. A seed picks the configuration and then, step by step, who does what:
 * a shard's turn, bytes from a client, room for a client's output, a death, the clock. A shard that would block
 * sleeps here until its waker fires, a client gives it something to do, or its deadline passes; nothing else.
 *
 * Checked at every step: no shard sleeps with something announced to it and no wake under way. Checked in every
 * client's stream: replies in order and of the right kind, nothing before its acknowledgement or after the end
 * of a subscription, each publisher's messages in the order sent across channels, patterns and shard channels,
 * none inside of the reply of EXEC, none of the same shard between those of an EXEC. Whenever everybody sleeps:
 * all shards agree on which topics are held back, and by whom. In the end, when everybody has read: nothing is
 * held, what had to be delivered was, once, and every buffer is freed.
 *
 *      sim [--seeds N] [--first SEED] [--verbose]
 */

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "pubsub/glob.h"
#include "pubsub/topics.h"
#include "shard/message.h"
#include "shard/policy.h"
#include "shard/state.h"
#include "support/cluster.h"
#include "util/clock.h"
#include "util/hash.h"
#include "util/log.h"
#include "util/mem.h"
#include "util/prng.h"

#define STACK_BYTES (256 * 1024)
#define NAMES       4
#define CLIENTS_MAX 16
#define STEPS_MAX   100000
#define EXECS_MAX   4096

static const char *const channel_names[NAMES] = { "a", "ab", "b", "abc" };
static const char *const pattern_names[NAMES] = { "a*", "*b", "?", "*" };

/* What each kind of topic calls things; channels and shard channels have the same names. */
static const struct {
        const char *prefix; /* of the commands and of the words that acknowledge and deliver */
        const char *const *names;
} kinds[_TOPIC_KIND_N] = {
        [TOPIC_CHANNEL] = { "", channel_names },
        [TOPIC_PATTERN] = { "p", pattern_names },
        [TOPIC_SHARD] = { "s", channel_names },
};

/* ------------------------------------------------------------------ what the clients know */

enum expect_kind {
        EXPECT_SUB,
        EXPECT_UNSUB,
        EXPECT_PUBLISH,
        EXPECT_PONG,
        EXPECT_RESET,
        EXPECT_INFO,
        EXPECT_LINE,  /* the text */
        EXPECT_ARRAY, /* first: what it announces; last: the replies that are in it */
};

/* A reply that is due. */
struct expect {
        enum expect_kind kind;
        enum topic_kind topic;
        unsigned name;
        unsigned publish;     /* index in sim.publishes */
        unsigned first, last; /* the client's intervals that the reply begins or ends */
        const char *text;
};

struct publish {
        unsigned client, channel;
        unsigned exec;          /* that it was part of; 0: none */
        bool shard;             /* to the shard channel */
        uint64_t said, replied; /* steps; replied 0: not yet */
};

/* A subscription as its client sees it. */
struct interval {
        enum topic_kind topic;
        unsigned name;
        uint64_t acked, ending; /* steps; 0: not yet */
        unsigned end_exec;      /* the EXEC that ends it; 0: none */
        bool ended;
        unsigned char *copies; /* of each publish, by index: COPY_* */
};

enum {
        COPY_HEARD = 1 << 0,
        COPY_OWN = 1 << 1, /* its client publishes it while it is subscribed, so it must come */
};

struct client {
        int fd; /* 0: none */
        unsigned shard, index;
        bool resp3, alive, finished; /* finished: said its last, by end of file */
        struct expect *due;
        unsigned n_due, done_due, cap_due;
        unsigned exec; /* what is said is part of this EXEC; 0: of none */
        struct expect queued[64];
        unsigned n_queued, n_commands;          /* replies and commands of that EXEC */
        unsigned in_array;                      /* replies that are still to come in the array that began */
        unsigned last_exec[CLUSTER_SHARDS_MAX]; /* of the last message of each shard's clients */
        bool exec_is_past[EXECS_MAX];           /* a message of the same shard came behind its */
        struct interval *intervals;
        unsigned n_intervals;
        bool wants[_TOPIC_KIND_N][NAMES];   /* subscriptions, once all that was said is done */
        unsigned last_publish[CLIENTS_MAX]; /* newest publish of each publisher that was seen, plus 1 */
        struct buffer heard;
};

struct sim {
        uint64_t seed, step, hash;
        struct prng prng;
        struct cluster cl;
        struct hash_key key;
        struct client *clients; /* also those that are gone */
        unsigned n_clients, cap_clients;
        struct publish *publishes;
        unsigned n_publishes, cap_publishes;
        unsigned n_execs;
        unsigned live;
        bool asleep[CLUSTER_SHARDS_MAX];
        uint64_t deadline[CLUSTER_SHARDS_MAX];
        unsigned wakes_seen[CLUSTER_SHARDS_MAX];
        ucontext_t main, fibers[CLUSTER_SHARDS_MAX];
        char *stacks[CLUSTER_SHARDS_MAX];
        unsigned running;
        unsigned percent_deaths, percent_slow;
        uint64_t deliveries, turns;
        struct slow_rule rules[2][2]; /* of each policy */
        struct policy policies[2];
        bool blocks; /* subscribers make publishers wait */
        uint64_t holds, waits;
};

static struct sim *current; /* for makecontext, which passes no pointers */
static bool verbose;

static void sim_fail(const struct sim *sim, const char *what, unsigned client)
{
        fprintf(stderr, "sim: seed %llu, step %llu, client %u: %s\n", (unsigned long long)sim->seed,
                (unsigned long long)sim->step, client, what);
        fprintf(stderr, "sim: repeat with --first %llu --seeds 1 --verbose\n", (unsigned long long)sim->seed);
        exit(EXIT_FAILURE);
}

static unsigned below(struct sim *sim, unsigned n)
{
        return (unsigned)prng_below(&sim->prng, n);
}

/* ------------------------------------------------------------------ shards as coroutines */

static void fiber_switch(struct sim *sim)
{
        swapcontext(&sim->fibers[sim->running], &sim->main);
}

static void fiber_main(void)
{
        struct sim *sim = current;
        unsigned i = sim->running;

        while (!sim->cl.stopped[i]) {
                cluster_turn(&sim->cl, i);
                fiber_switch(sim);
        }
        for (;;)
                fiber_switch(sim);
}

static void fiber_on_block(void *arg, uint64_t deadline)
{
        struct sim *sim = arg;

        sim->asleep[sim->running] = true;
        sim->deadline[sim->running] = deadline;
        fiber_switch(sim);
}

static bool shard_runnable(const struct sim *sim, unsigned i)
{
        if (sim->cl.stopped[i])
                return false;
        return !sim->asleep[i] || sim->cl.wakes[i] != sim->wakes_seen[i] || fake_runnable(sim->cl.fakes[i]) ||
               sim->deadline[i] <= cluster_now();
}

static void shard_run(struct sim *sim, unsigned i)
{
        sim->asleep[i] = false;
        sim->wakes_seen[i] = sim->cl.wakes[i];
        sim->running = i;
        sim->turns++;
        current = sim;
        swapcontext(&sim->main, &sim->fibers[i]);
}

static void check_wakes(struct sim *sim)
{
        for (unsigned i = 0; i < sim->cl.n_shards; i++)
                if (!sim->cl.stopped[i] && sim->asleep[i] && sim->cl.wakes[i] == sim->wakes_seen[i] &&
                    port_ready(mesh_port(sim->cl.mesh, i)))
                        sim_fail(sim, "a shard sleeps with something announced to it", i);
}

/* That a topic is held back by another shard is so, and what a shard holds back the others know. */
static void check_topic_holds(struct sim *sim, unsigned shard, const struct topic *topic)
{
        list_for_each (i, &topic->holds) {
                const struct hold *hold = container_of(i, struct hold, link);
                const struct topic *held = hold->by ? topic
                                                    : topics_find(sim->cl.shards[hold->shard]->topics,
                                                                  topic->kind, topic_name(topic));

                if (!held || !held->n_holds)
                        sim_fail(sim, "a shard thinks that another one holds a topic back", shard);
        }
        for (unsigned i = 0; topic->n_holds && i < sim->cl.n_shards; i++) {
                const struct topic *other =
                        topics_find(sim->cl.shards[i]->topics, topic->kind, topic_name(topic));

                if (!other || (i != shard && !holds_of_shard(other, shard)))
                        sim_fail(sim, "a shard holds a topic back and another one does not know", shard);
        }
}

/* While everybody sleeps. */
static void check_holds(struct sim *sim)
{
        for (unsigned i = 0; i < sim->cl.n_shards; i++)
                for (unsigned kind = 0; kind < _TOPIC_KIND_N; kind++) {
                        struct topic *topic;
                        size_t pos = 0;

                        while ((topic = topics_next(sim->cl.shards[i]->topics, kind, &pos)))
                                check_topic_holds(sim, i, topic);
                }
}

/* ------------------------------------------------------------------ what a client says */

static void client_due(struct client *c, struct expect e)
{
        if (c->n_due == c->cap_due) {
                c->cap_due = c->cap_due ? 2 * c->cap_due : 16;
                c->due = mem_realloc(c->due, c->cap_due * sizeof(*c->due));
        }
        c->due[c->n_due++] = e;
}

static void client_expect(struct client *c, struct expect e)
{
        if (c->exec)
                c->queued[c->n_queued++] = e;
        else
                client_due(c, e);
}

static void client_say(struct sim *sim, struct client *c, const char *text)
{
        if (verbose)
                printf("%llu client %u shard %u: %s", (unsigned long long)sim->step, c->index, c->shard, text);
        cluster_say(&sim->cl, c->shard, c->fd, text);
        if (c->exec) {
                client_due(c, (struct expect){ .kind = EXPECT_LINE, .text = "+QUEUED" });
                c->n_commands++;
        }
}

static unsigned client_wants(const struct client *c)
{
        unsigned n = 0;

        for (unsigned k = 0; k < _TOPIC_KIND_N; k++)
                for (unsigned i = 0; i < NAMES; i++)
                        n += c->wants[k][i];
        return n;
}

/* Return: the index of the interval that ends, n_intervals when there is none. */
static unsigned client_end_interval(struct sim *sim, struct client *c, enum topic_kind topic, unsigned name)
{
        for (unsigned i = 0; i < c->n_intervals; i++) {
                struct interval *v = &c->intervals[i];

                if (v->topic != topic || v->name != name || v->ending)
                        continue;
                v->ending = sim->step;
                v->end_exec = c->exec;
                return i;
        }
        return c->n_intervals;
}

static void client_subscribe(struct sim *sim, struct client *c)
{
        /* SSUBSCRIBE, the last kind, is denied in a transaction */
        enum topic_kind topic = below(sim, c->exec ? TOPIC_SHARD : _TOPIC_KIND_N);
        unsigned n = 1 + below(sim, 3);
        char line[64];

        snprintf(line, sizeof(line), "%sSUBSCRIBE", kinds[topic].prefix);
        for (unsigned i = 0; i < n; i++) {
                unsigned name = below(sim, NAMES);
                struct expect e;

                strcat(line, " ");
                strcat(line, kinds[topic].names[name]);
                e = (struct expect){ .kind = EXPECT_SUB,
                                     .topic = topic,
                                     .name = name,
                                     .first = c->n_intervals,
                                     .last = c->n_intervals };
                if (!c->wants[topic][name]) {
                        c->wants[topic][name] = true;
                        c->intervals = mem_realloc(c->intervals, (c->n_intervals + 1) * sizeof(*c->intervals));
                        c->intervals[c->n_intervals++] =
                                (struct interval){ .topic = topic, .name = name, .copies = mem_zalloc(4096) };
                        e.last++;
                }
                client_expect(c, e);
        }
        strcat(line, "\r\n");
        client_say(sim, c, line);
}

static void client_unsubscribe(struct sim *sim, struct client *c)
{
        enum topic_kind topic = below(sim, _TOPIC_KIND_N);
        unsigned name = below(sim, NAMES);
        struct expect e = { .kind = EXPECT_UNSUB, .topic = topic, .name = name };
        char line[64];

        snprintf(line, sizeof(line), "%sUNSUBSCRIBE %s\r\n", kinds[topic].prefix, kinds[topic].names[name]);
        e.first = client_end_interval(sim, c, topic, name);
        e.last = e.first + (e.first < c->n_intervals);
        c->wants[topic][name] = false;
        client_expect(c, e);
        client_say(sim, c, line);
}

static bool interval_matches(const struct interval *v, const struct publish *m)
{
        if (m->shard != (v->topic == TOPIC_SHARD))
                return false;
        if (v->topic != TOPIC_PATTERN)
                return v->name == m->channel;
        return glob_match(bytes_str(pattern_names[v->name]), bytes_str(channel_names[m->channel]));
}

static void client_publish(struct sim *sim, struct client *c)
{
        unsigned channel = below(sim, NAMES), size = below(sim, 8) ? below(sim, 20) : below(sim, 400);
        bool shard = below(sim, 3) == 0;
        char line[512];

        if (sim->n_publishes == 4096)
                return;
        if (sim->n_publishes == sim->cap_publishes) {
                sim->cap_publishes = sim->cap_publishes ? 2 * sim->cap_publishes : 64;
                sim->publishes = mem_realloc(sim->publishes, sim->cap_publishes * sizeof(*sim->publishes));
        }
        sim->publishes[sim->n_publishes] = (struct publish){
                .client = c->index, .channel = channel, .shard = shard, .exec = c->exec, .said = sim->step
        };
        for (unsigned i = 0; i < c->n_intervals; i++)
                if (!c->intervals[i].ending &&
                    interval_matches(&c->intervals[i], &sim->publishes[sim->n_publishes]))
                        c->intervals[i].copies[sim->n_publishes] |= COPY_OWN;
        client_expect(c, (struct expect){ .kind = EXPECT_PUBLISH, .publish = sim->n_publishes });
        snprintf(line, sizeof(line), "%sPUBLISH %s %u:%u:%0*d\r\n", shard ? "S" : "", channel_names[channel],
                 c->index, sim->n_publishes, (int)size, 0);
        sim->n_publishes++;
        client_say(sim, c, line);
}

static void client_reset(struct sim *sim, struct client *c)
{
        for (unsigned k = 0; k < _TOPIC_KIND_N; k++)
                for (unsigned i = 0; i < NAMES; i++) {
                        client_end_interval(sim, c, k, i);
                        c->wants[k][i] = false;
                }
        client_expect(c, (struct expect){ .kind = EXPECT_RESET, .last = c->n_intervals });
        client_say(sim, c, c->resp3 ? "RESET\r\nHELLO 3\r\n" : "RESET\r\n");
}

static void client_ping(struct sim *sim, struct client *c)
{
        client_expect(c, (struct expect){ .kind = EXPECT_PONG });
        client_say(sim, c, "PING\r\n");
}

/* A transaction that is not executed: nothing in it may be seen. */
static void client_discard(struct sim *sim, struct client *c)
{
        bool spoilt = below(sim, 2);

        client_due(c, (struct expect){ .kind = EXPECT_LINE, .text = "+OK" });
        client_due(c, (struct expect){ .kind = EXPECT_LINE, .text = "+QUEUED" });
        client_due(c, (struct expect){ .kind = EXPECT_LINE, .text = "+QUEUED" });
        if (spoilt)
                client_due(c, (struct expect){ .kind = EXPECT_LINE,
                                               .text = "-ERR wrong number of arguments for 'echo' command" });
        client_due(c, (struct expect){
                              .kind = EXPECT_LINE,
                              .text = spoilt ? "-EXECABORT Transaction discarded because of previous errors."
                                             : "+OK" });
        client_say(sim, c, "MULTI\r\nPSUBSCRIBE *\r\nPUBLISH a nothing\r\n");
        client_say(sim, c, spoilt ? "ECHO\r\nEXEC\r\n" : "DISCARD\r\n");
}

static void client_exec(struct sim *sim, struct client *c)
{
        unsigned n = below(sim, 7);

        if (sim->n_execs + 1 == EXECS_MAX)
                return;
        client_due(c, (struct expect){ .kind = EXPECT_LINE, .text = "+OK" });
        client_say(sim, c, "MULTI\r\n");
        c->exec = ++sim->n_execs;
        c->n_queued = c->n_commands = 0;
        while (n--) {
                switch (below(sim, 9)) {
                case 0:
                case 1:
                        client_subscribe(sim, c);
                        break;
                case 2:
                case 3:
                        client_unsubscribe(sim, c);
                        break;
                case 4:
                        client_ping(sim, c);
                        break;
                case 5:
                        client_expect(c, (struct expect){ .kind = EXPECT_INFO });
                        client_say(sim, c, "INFO nosuch\r\n");
                        break;
                default:
                        client_publish(sim, c);
                }
        }
        c->exec = 0;
        client_due(c, (struct expect){ .kind = EXPECT_ARRAY, .first = c->n_commands, .last = c->n_queued });
        for (unsigned i = 0; i < c->n_queued; i++)
                client_due(c, c->queued[i]);
        client_say(sim, c, "EXEC\r\n");
}

static void client_act(struct sim *sim, struct client *c)
{
        unsigned n = 1 + below(sim, 4);

        while (n--) {
                switch (below(sim, 14)) {
                case 0:
                case 1:
                        client_subscribe(sim, c);
                        break;
                case 2:
                        client_unsubscribe(sim, c);
                        break;
                case 3:
                        client_ping(sim, c);
                        break;
                case 12:
                case 13:
                        if (!c->resp3 && client_wants(c))
                                client_unsubscribe(sim, c); /* MULTI would be refused */
                        else if (below(sim, 6))
                                client_exec(sim, c);
                        else
                                client_discard(sim, c);
                        break;
                case 4:
                        if (!below(sim, 5))
                                client_reset(sim, c);
                        break;
                default:
                        if (c->resp3 || !client_wants(c))
                                client_publish(sim, c);
                        else
                                client_unsubscribe(sim, c);
                }
        }
}

/* ------------------------------------------------------------------ what a client hears */

/* One RESP value as a list of flat words. Return: bytes taken; 0: not whole yet. */
static size_t parse_value(struct bytes b, char words[8][512], unsigned *n, unsigned depth)
{
        const uint8_t *end = memchr(b.p, '\n', b.n);
        char number[24];
        size_t head, at;
        long count;

        if (!end)
                return 0;
        head = (size_t)(end - b.p) + 1;
        snprintf(number, sizeof(number), "%.*s", (int)(head - 1), b.p + 1);
        count = strtol(number, NULL, 10);
        if (b.p[0] == '*' || b.p[0] == '>' || b.p[0] == '%') {
                at = head;
                if (!depth)
                        snprintf(words[(*n)++], 512, "%c", b.p[0]);
                for (long i = 0; i < (b.p[0] == '%' ? 2 * count : count); i++) {
                        size_t got = parse_value(bytes_of(b.p + at, b.n - at), words, n, depth + 1);

                        if (!got)
                                return 0;
                        at += got;
                }
                return at;
        }
        if (*n == 8)
                --*n; /* a HELLO reply is longer, and not looked at */
        if ((b.p[0] == '$' || b.p[0] == '=') && count >= 0) {
                if (b.n < head + (size_t)count + 2)
                        return 0;
                snprintf(words[(*n)++], 512, "%.*s", (int)count, b.p + head);
                return head + (size_t)count + 2;
        }
        snprintf(words[(*n)++], 512, "%.*s", (int)head - 2, b.p);
        return head;
}

/* A message of that shard's clients came; exec: of this EXEC, 0: of none. */
static void heard_exec(struct sim *sim, struct client *c, unsigned shard, unsigned exec)
{
        unsigned *last = &c->last_exec[shard];

        if (*last != exec)
                c->exec_is_past[*last] = true;
        *last = exec;
        if (exec && c->exec_is_past[exec])
                sim_fail(sim, "a message of the same shard between those of an EXEC", c->index);
}

static void heard_message(struct sim *sim, struct client *c, enum topic_kind topic, const char *name,
                          const char *channel, const char *payload)
{
        unsigned publisher, publish;
        struct interval *found = NULL;

        if (sscanf(payload, "%u:%u:", &publisher, &publish) != 2 || publish >= sim->n_publishes ||
            sim->publishes[publish].client != publisher ||
            strcmp(channel, channel_names[sim->publishes[publish].channel]))
                sim_fail(sim, "a message that nobody sent", c->index);
        for (unsigned i = 0; i < c->n_intervals; i++) {
                struct interval *v = &c->intervals[i];

                if (v->topic != topic || !v->acked || strcmp(name, kinds[topic].names[v->name]))
                        continue;
                /* its own messages come behind the reply of EXEC, also of what ended in the same one */
                if (v->ended && (!(v->copies[publish] & COPY_OWN) || !v->end_exec ||
                                 v->end_exec != sim->publishes[publish].exec))
                        continue;
                if (!found || !(found->copies[publish] & COPY_OWN))
                        found = v;
        }
        if (!found || !interval_matches(found, &sim->publishes[publish]))
                sim_fail(sim, "a message outside its subscription", c->index);
        if (c->in_array)
                sim_fail(sim, "a message inside of the reply of EXEC", c->index);
        if (found->copies[publish] & COPY_HEARD)
                sim_fail(sim, "a message came twice", c->index);
        found->copies[publish] |= COPY_HEARD;
        publisher %= CLIENTS_MAX;
        heard_exec(sim, c, sim->clients[publisher].shard, sim->publishes[publish].exec);
        if (publish + 1 < c->last_publish[publisher])
                sim_fail(sim, "messages of one publisher in another order", c->index);
        c->last_publish[publisher] = publish + 1;
        sim->deliveries++;
}

static void heard_reply(struct sim *sim, struct client *c, char words[8][512])
{
        struct expect *e = &c->due[c->done_due];
        const char *word = words[1], *name = words[2];

        if (c->done_due == c->n_due)
                sim_fail(sim, "a reply that nothing asked for", c->index);
        c->done_due++;
        if (c->in_array)
                c->in_array--;
        switch (e->kind) {
        case EXPECT_SUB:
        case EXPECT_UNSUB: {
                bool sub = e->kind == EXPECT_SUB;
                char expected[16];

                snprintf(expected, sizeof(expected), "%s%s", kinds[e->topic].prefix,
                         sub ? "subscribe" : "unsubscribe");
                if (strcmp(word, expected) || strcmp(name, kinds[e->topic].names[e->name]))
                        sim_fail(sim, "another acknowledgement than asked for", c->index);
                if (e->first < e->last && sub)
                        c->intervals[e->first].acked = sim->step;
                if (e->first < e->last && !sub)
                        c->intervals[e->first].ended = true;
                break;
        }
        case EXPECT_PUBLISH:
                if (words[0][0] != ':')
                        sim_fail(sim, words[0], c->index);
                sim->publishes[e->publish].replied = sim->step;
                break;
        case EXPECT_PONG:
                if (strcmp(words[0], "+PONG") && strcmp(words[1], "pong"))
                        sim_fail(sim, words[0], c->index);
                break;
        case EXPECT_LINE:
                if (strcmp(words[0], e->text))
                        sim_fail(sim, words[0], c->index);
                break;
        case EXPECT_INFO:
                if (words[0][0] && strcmp(words[0], "txt:"))
                        sim_fail(sim, words[0], c->index);
                break;
        case EXPECT_ARRAY:
                sim_fail(sim, "something else than the reply of EXEC", c->index);
                break;
        case EXPECT_RESET:
                if (strcmp(words[0], "+RESET"))
                        sim_fail(sim, words[0], c->index);
                for (unsigned i = 0; i < e->last; i++)
                        c->intervals[i].ended = true;
                break;
        }
}

/*
 * The head of the array that EXEC answers: acknowledgements in it are more than it announces, so it is no
 * value. Return: bytes taken; 0: it is not that, or not whole yet.
 */
static size_t heard_array(struct client *c, struct bytes b)
{
        const struct expect *e = &c->due[c->done_due];
        char head[24];
        int n;

        if (c->done_due == c->n_due || e->kind != EXPECT_ARRAY || b.p[0] != '*')
                return 0;
        n = snprintf(head, sizeof(head), "*%u\r\n", e->first);
        if (b.n < (size_t)n + 2 * !!e->first || memcmp(b.p, head, (size_t)n))
                return 0;
        if (e->first && b.p[n] == '$' && b.p[n + 1] != '0')
                return 0; /* a message in RESP2 */
        c->in_array = e->last;
        c->done_due++;
        return (size_t)n;
}

static void client_hear(struct sim *sim, struct client *c)
{
        struct buffer *out = &fake_stream(sim->cl.fakes[c->shard], c->fd)->out;
        char words[8][512];
        size_t got;
        unsigned n;

        if (buffer_size(out)) {
                sim->hash = hash_bytes(&sim->key, buffer_view(out)) ^ hash_word(sim->hash + c->index);
                buffer_put(&c->heard, buffer_view(out).p, buffer_size(out));
                buffer_consume(out, buffer_size(out));
        }
        while (buffer_size(&c->heard)) {
                memset(words, 0, sizeof(words));
                n = 0;
                got = heard_array(c, buffer_view(&c->heard));
                if (got) {
                        buffer_consume(&c->heard, got);
                        continue;
                }
                got = parse_value(buffer_view(&c->heard), words, &n, 0);
                if (!got)
                        break;
                buffer_consume(&c->heard, got);
                if (!strcmp(words[1], "message"))
                        heard_message(sim, c, TOPIC_CHANNEL, words[2], words[2], words[3]);
                else if (!strcmp(words[1], "smessage"))
                        heard_message(sim, c, TOPIC_SHARD, words[2], words[2], words[3]);
                else if (!strcmp(words[1], "pmessage"))
                        heard_message(sim, c, TOPIC_PATTERN, words[2], words[3], words[4]);
                else if (strcmp(words[1], "server"))
                        heard_reply(sim, c, words);
        }
}

/* ------------------------------------------------------------------ rules for slow consumers */

static const struct bytes block_channels[] = { BYTES_LITERAL("a*") };

/* Marks that small output passes. The clock stands while clients act, so nobody's time is up. */
static void sim_make_policies(struct sim *sim)
{
        sim->blocks = below(sim, 2);
        for (unsigned i = 0; i < 2; i++) {
                sim->rules[i][0] = (struct slow_rule){ .action = SLOW_BLOCK,
                                                       .channels = block_channels,
                                                       .n_channels = 1,
                                                       .bytes = below(sim, 300),
                                                       .block_ns = NSEC_PER_SEC };
                sim->rules[i][1] = (struct slow_rule){ .action = SLOW_BLOCK,
                                                       .bytes = below(sim, 1000),
                                                       .block_ns = NSEC_PER_SEC };
                sim->policies[i] =
                        (struct policy){ .limits = { .request_bytes = 1 << 20, .output_hard = 1 << 20 },
                                         .slow = sim->rules[i],
                                         .n_slow = sim->blocks ? below(sim, 3) : 0 };
        }
}

static void sim_change_policy(struct sim *sim)
{
        const struct policy *policy = &sim->policies[below(sim, 2)];

        for (unsigned i = 0; i < sim->cl.n_shards; i++) {
                struct message_policy *m =
                        port_send(sim->cl.control, i, MESSAGE_POLICY, sizeof(*m), PORT_UNCOUNTED);

                m->policy = policy;
        }
        port_flush(sim->cl.control);
}

/* ------------------------------------------------------------------ life */

static void client_connect(struct sim *sim)
{
        struct message_adopt *adopt;
        struct client *c;

        if (sim->n_clients == CLIENTS_MAX)
                return;
        c = &sim->clients[sim->n_clients];
        *c = (struct client){ .index = sim->n_clients++, .shard = below(sim, sim->cl.n_shards), .alive = true };
        c->fd = (int)++sim->cl.next_id;
        adopt = port_send(sim->cl.control, c->shard, MESSAGE_ADOPT, sizeof(*adopt), PORT_UNCOUNTED);
        *adopt = (struct message_adopt){ .id = (uint64_t)c->fd, .path = CLUSTER_PATH, .fd = c->fd };
        port_flush(sim->cl.control);
        sim->live++;
        if (below(sim, 100) < sim->percent_slow)
                fake_accept(sim->cl.fakes[c->shard], c->fd, below(sim, 300));
        c->resp3 = below(sim, 2);
        if (c->resp3)
                client_say(sim, c, "HELLO 3\r\n");
}

static void client_die(struct sim *sim, struct client *c)
{
        if (verbose)
                printf("%llu client %u dies\n", (unsigned long long)sim->step, c->index);
        if (below(sim, 2)) {
                c->finished = true;
                fake_end(sim->cl.fakes[c->shard], c->fd);
        } else {
                fake_fail(sim->cl.fakes[c->shard], c->fd, ECONNRESET);
        }
        c->alive = false;
        sim->live--;
}

static struct client *any_live(struct sim *sim)
{
        for (unsigned tries = 0; tries < 20; tries++) {
                struct client *c = &sim->clients[below(sim, sim->n_clients)];

                if (c->alive)
                        return c;
        }
        return NULL;
}

/* Lets one runnable shard run. Return: false, all sleep. */
static bool run_any(struct sim *sim)
{
        unsigned first = below(sim, sim->cl.n_shards);

        for (unsigned i = 0; i < sim->cl.n_shards; i++) {
                unsigned shard = (first + i) % sim->cl.n_shards;

                if (!shard_runnable(sim, shard))
                        continue;
                shard_run(sim, shard);
                check_wakes(sim);
                return true;
        }
        return false;
}

static void hear_all(struct sim *sim)
{
        for (unsigned i = 0; i < sim->n_clients; i++)
                if (sim->clients[i].alive)
                        client_hear(sim, &sim->clients[i]);
}

static void sim_step(struct sim *sim)
{
        struct client *c;

        sim->step++;
        switch (below(sim, 10)) {
        case 0:
        case 1:
        case 2:
                c = any_live(sim);
                if (c)
                        client_act(sim, c);
                break;
        case 3:
                c = any_live(sim);
                if (c && fake_stream(sim->cl.fakes[c->shard], c->fd)->accept != SIZE_MAX)
                        fake_accept(sim->cl.fakes[c->shard], c->fd, 1 + below(sim, 200));
                break;
        case 4:
                c = any_live(sim);
                if (c && sim->live > 2 && below(sim, 100) < sim->percent_deaths)
                        client_die(sim, c);
                if (below(sim, 4) == 0)
                        client_connect(sim);
                break;
        case 5:
                hear_all(sim);
                if (sim->blocks && !below(sim, 20))
                        sim_change_policy(sim);
                break;
        default:
                run_any(sim);
        }
        cluster_control(&sim->cl);
}

/* Until everybody sleeps. */
static void sim_rest(struct sim *sim)
{
        for (unsigned n = 0; run_any(sim) || cluster_control(&sim->cl); n++) {
                sim->step++;
                if (n > STEPS_MAX)
                        sim_fail(sim, "it never comes to rest", 0);
        }
        sim->step++;
        check_holds(sim);
}

/* Everybody reads, and everything that is under way arrives. */
static void sim_quiesce(struct sim *sim)
{
        if (sim->blocks)
                sim_rest(sim); /* with what slow readers hold back */
        for (unsigned i = 0; i < sim->n_clients; i++)
                if (sim->clients[i].alive)
                        fake_accept(sim->cl.fakes[sim->clients[i].shard], sim->clients[i].fd, SIZE_MAX);
        sim_rest(sim);
        for (unsigned i = sim->live; sim->blocks && i < sim->n_clients; i++) {
                /* who ended while it was held and does not read may hold others back, until its time is up */
                cluster_advance(NSEC_PER_SEC);
                sim_rest(sim);
        }
        hear_all(sim);
}

static void check_end(struct sim *sim)
{
        for (unsigned i = 0; i < sim->n_clients; i++) {
                struct client *c = &sim->clients[i];

                if (!c->alive)
                        continue;
                if (!cluster_is_open(&sim->cl, c->shard, c->fd))
                        sim_fail(sim, "it was disconnected", i);
                if (c->done_due != c->n_due)
                        sim_fail(sim, "replies are missing", i);
                for (unsigned k = 0; k < c->n_intervals; k++) {
                        const struct interval *v = &c->intervals[k];

                        for (unsigned p = 0; p < sim->n_publishes; p++) {
                                const struct publish *m = &sim->publishes[p];
                                /* a message under way when its subscription ends may be dropped */
                                bool must = v->acked && !v->ending && m->replied && m->said > v->acked &&
                                            interval_matches(v, m);

                                must |= v->copies[p] & COPY_OWN;
                                if (must && !(v->copies[p] & COPY_HEARD))
                                        sim_fail(sim, "a message was lost", i);
                        }
                }
        }
        if (port_spilled(sim->cl.control))
                sim_fail(sim, "control's backlog never left", 0);
        for (unsigned i = 0; i < sim->cl.n_shards; i++)
                if (port_spilled(mesh_port(sim->cl.mesh, i)))
                        sim_fail(sim, "a backlog never left", i);
        for (unsigned i = 0; i < sim->cl.n_shards; i++) {
                const struct shard *s = sim->cl.shards[i];

                for (unsigned k = 0; k < sim->n_clients; k++)
                        if (sim->clients[k].alive && topics_n_holds(s->topics))
                                sim_fail(sim, "a topic is held back although everybody read", k);
                sim->holds += s->status.block_holds_ever;
                sim->waits += s->status.block_waits;
        }
}

static void sim_stop(struct sim *sim)
{
        for (unsigned i = 0; i < sim->cl.n_shards; i++) {
                struct message_stop *stop =
                        port_send(sim->cl.control, i, MESSAGE_STOP, sizeof(*stop), PORT_UNCOUNTED);

                stop->deadline = cluster_now() + NSEC_PER_SEC;
        }
        port_flush(sim->cl.control);
        while (run_any(sim) || cluster_control(&sim->cl))
                ;
        cluster_advance(2 * NSEC_PER_SEC); /* for those that ended and do not read */
        while (run_any(sim) || cluster_control(&sim->cl))
                ;
        for (unsigned i = 0; i < sim->cl.n_shards; i++)
                if (!sim->cl.stopped[i])
                        sim_fail(sim, "a shard does not stop", i);
}

static void sim_init(struct sim *sim, uint64_t seed)
{
        struct cluster_options options;

        memset(sim, 0, sizeof(*sim));
        sim->seed = seed;
        sim->prng.state = seed * 0x9e3779b97f4a7c15 + 1;
        sim->key = (struct hash_key){ 3, 4 };
        options = (struct cluster_options){ .n_shards = 1 + below(sim, 4),
                                            .capacity = 2u << below(sim, 2),
                                            .backlog_bytes = below(sim, 2) ? 200 : 100000,
                                            .drain_budget = 1 + below(sim, 5),
                                            .policy = &sim->policies[0] };
        sim_make_policies(sim);
        cluster_init(&sim->cl, &options);
        sim->percent_deaths = below(sim, 2) ? 0 : below(sim, 40);
        sim->percent_slow = !sim->blocks && below(sim, 2) ? 0 : below(sim, 60);
        sim->clients = mem_zalloc(CLIENTS_MAX * sizeof(*sim->clients));
        for (unsigned i = 0; i < sim->cl.n_shards; i++) {
                fake_on_block(sim->cl.fakes[i], fiber_on_block, sim);
                if (below(sim, 3) == 0)
                        fake_split(sim->cl.fakes[i], 1 + below(sim, 30));
                sim->stacks[i] = mem_alloc(STACK_BYTES);
                getcontext(&sim->fibers[i]);
                sim->fibers[i].uc_stack.ss_sp = sim->stacks[i];
                sim->fibers[i].uc_stack.ss_size = STACK_BYTES;
                makecontext(&sim->fibers[i], fiber_main, 0);
        }
        for (unsigned i = 0; i < 3 + below(sim, 6); i++)
                client_connect(sim);
}

static void sim_deinit(struct sim *sim)
{
        for (unsigned i = 0; i < sim->n_clients; i++) {
                struct client *c = &sim->clients[i];

                for (unsigned k = 0; k < c->n_intervals; k++)
                        free(c->intervals[k].copies);
                free(c->intervals);
                free(c->due);
                buffer_deinit(&c->heard);
        }
        for (unsigned i = 0; i < sim->cl.n_shards; i++) {
                free(sim->stacks[i]);
                fake_on_block(sim->cl.fakes[i], NULL, NULL);
        }
        cluster_deinit(&sim->cl);
        free(sim->clients);
        free(sim->publishes);
}

/* What happened in all runs; each must, somewhere. */
struct totals {
        uint64_t deliveries, holds, waits;
};

/* Return: a hash of everything that clients heard. */
static uint64_t sim_run(uint64_t seed, struct totals *totals)
{
        static struct sim sim;
        unsigned steps;
        uint64_t hash;

        sim_init(&sim, seed);
        steps = 50 + below(&sim, 1500);
        while (sim.step < steps)
                sim_step(&sim);
        sim_quiesce(&sim);
        check_end(&sim);
        sim_stop(&sim);
        hash = sim.hash;
        totals->deliveries += sim.deliveries;
        totals->holds += sim.holds;
        totals->waits += sim.waits;
        sim_deinit(&sim);
        return hash;
}

int main(int argc, char **argv)
{
        static const struct option options[] = { { "seeds", required_argument, NULL, 's' },
                                                 { "first", required_argument, NULL, 'f' },
                                                 { "verbose", no_argument, NULL, 'v' },
                                                 { 0 } };
        uint64_t n = 500, first = 1;
        struct totals totals = { 0 }, ignored = { 0 };
        int o;

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
        log_set_level(LOG_LEVEL_ERROR);
        for (uint64_t seed = first; seed < first + n; seed++) {
                uint64_t hash = sim_run(seed, &totals);

                if (seed % 50 == 0 && hash != sim_run(seed, &ignored)) {
                        fprintf(stderr, "sim: seed %llu ends in two states\n", (unsigned long long)seed);
                        return EXIT_FAILURE;
                }
        }
        printf("sim: %llu seeds from %llu on, %llu deliveries, %llu holds, %llu publishers that waited for "
               "one; "
               "nothing wrong\n",
               (unsigned long long)n, (unsigned long long)first, (unsigned long long)totals.deliveries,
               (unsigned long long)totals.holds, (unsigned long long)totals.waits);
        if (n >= 100 && !(totals.holds && totals.waits))
                return EXIT_FAILURE;
        return totals.deliveries ? EXIT_SUCCESS : EXIT_FAILURE;
}
