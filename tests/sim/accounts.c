/* SPDX-License-Identifier: MIT */
/*
 * Quotas of users, simulated: several shards and control's real ledger on one thread, a fake clock, tiny bounds
 * and rings. A seed picks who does what: a client says something whole or in part, takes some of its output or
 * none, or dies; a shard turns, control turns, time passes, the policy changes. Messages between shards and
 * control take as long as the seed likes.
 *
 * After every turn each shard's counts are what its clients have, and whoever waits for a lease has asked for
 * it (shard/invariant.c). At every step: while a bound stays, subscriptions above it do not become more, and
 * nobody publishes more than his rate and what shards have leased. When all has come to rest: no output waits
 * above a bound, and nobody waits to be read from for parts of requests; whoever is left is answered, however
 * often he waited; and once all are gone so are the accounts.
 *
 *      accounts [--seeds N] [--first SEED]
 */

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shard/client.h"
#include "shard/state.h"
#include "shard/transaction.h"
#include "support/accounts.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/prng.h"

#define CLIENTS_MAX 40
#define UIDS        3
#define RATE        40 /* messages per second of a user, always */

struct peer {
        int fd;
        unsigned shard;
        uid_t uid;
        bool alive;
        char rest[400]; /* of a request that was begun */
};

struct sim {
        uint64_t seed, step;
        struct prng prng;
        struct cluster cl;
        struct accounts accounts;
        struct policy policies[32];
        unsigned n_policies;
        struct peer peers[CLIENTS_MAX];
        unsigned n_peers;
        uint64_t used[UIDS][2], started;
        bool changing; /* some shard may not have taken the policy */
        uint64_t refused, paused;
};

static uint64_t current; /* seed */

/* An assertion does not know the seed. */
static void on_abort(int signo)
{
        char text[64];
        int n = snprintf(text, sizeof(text), "accounts: seed %llu\n", (unsigned long long)current);

        (void)signo;
        if (write(STDERR_FILENO, text, (size_t)n) < 0)
                _exit(EXIT_FAILURE);
}

static void sim_fail(const struct sim *sim, const char *what)
{
        fprintf(stderr, "accounts: seed %llu, step %llu: %s\n", (unsigned long long)sim->seed,
                (unsigned long long)sim->step, what);
        fprintf(stderr, "accounts: repeat with --first %llu --seeds 1\n", (unsigned long long)sim->seed);
        exit(EXIT_FAILURE);
}

static unsigned below(struct sim *sim, unsigned n)
{
        return (unsigned)prng_below(&sim->prng, n);
}

/* A bound, or mostly one. */
static uint32_t some(struct sim *sim, unsigned least, unsigned most)
{
        return below(sim, 4) ? least + below(sim, most) : 0;
}

static const struct policy *sim_policy(struct sim *sim)
{
        struct policy *p = &sim->policies[sim->n_policies++];

        p->limits = (struct policy_limits){ .request_bytes = 1 << 20,
                                            .output_hard = 1 << 20,
                                            .subscriptions_user = some(sim, 1, 12),
                                            .patterns_user = some(sim, 1, 6),
                                            .output_user = some(sim, 200, 2000),
                                            .output_all = some(sim, 400, 4000),
                                            .input_user = some(sim, 100, 1500),
                                            .messages_user = RATE,
                                            .bytes_user = below(sim, 3) ? 0 : 4000 };
        return p;
}

/* ------------------------------------------------------------------ what happens */

static struct peer *any_peer(struct sim *sim)
{
        for (unsigned tries = 0; tries < 20; tries++) {
                struct peer *p = &sim->peers[below(sim, sim->n_peers)];

                if (p->alive)
                        return p;
        }
        return NULL;
}

static void sim_connect(struct sim *sim)
{
        struct peer *p = &sim->peers[sim->n_peers];
        struct message_adopt *adopt;

        if (sim->n_peers == CLIENTS_MAX)
                return;
        sim->n_peers++;
        *p = (struct peer){ .shard = below(sim, sim->cl.n_shards),
                            .uid = 10 + below(sim, UIDS),
                            .alive = true };
        p->fd = (int)sim->cl.next_id++;
        adopt = port_send(sim->cl.control, p->shard, MESSAGE_ADOPT, sizeof(*adopt), PORT_UNCOUNTED);
        *adopt = (struct message_adopt){
                .id = (uint64_t)p->fd, .path = CLUSTER_PATH, .fd = p->fd, .pid = 1, .uid = p->uid
        };
        port_flush(sim->cl.control);
}

static void say(struct sim *sim, struct peer *p, const char *text)
{
        cluster_say(&sim->cl, p->shard, p->fd, text);
}

/* What was begun is ended first. */
static void say_rest(struct sim *sim, struct peer *p)
{
        say(sim, p, p->rest);
        *p->rest = 0;
}

static void say_publish(struct sim *sim, struct peer *p)
{
        unsigned size = 1 + below(sim, below(sim, 4) ? 20 : 300), part;
        char line[400];
        int n = snprintf(line, sizeof(line), "PUBLISH c%u %0*d\r\n", below(sim, 3), (int)size, 0);

        part = below(sim, 3) ? (unsigned)n : below(sim, (unsigned)n);
        strcpy(p->rest, line + part);
        line[part] = 0;
        say(sim, p, line);
}

static void say_subscribe(struct sim *sim, struct peer *p)
{
        static const char *const words[] = { "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE",
                                             "PUNSUBSCRIBE" };
        char line[100];

        snprintf(line, sizeof(line), "%s c%u c%u c%u\r\n", words[below(sim, 5)], below(sim, 4), below(sim, 4),
                 below(sim, 4));
        say(sim, p, line);
}

static void say_transaction(struct sim *sim, struct peer *p)
{
        say(sim, p, "MULTI\r\n");
        for (unsigned n = below(sim, 5); n--;) {
                if (below(sim, 2))
                        say_subscribe(sim, p);
                else
                        say(sim, p, "PUBLISH c1 in-a-transaction\r\n");
        }
        say(sim, p, below(sim, 6) ? "EXEC\r\n" : "DISCARD\r\n");
}

static void peer_acts(struct sim *sim, struct peer *p)
{
        say_rest(sim, p);
        switch (below(sim, 12)) {
        case 0:
        case 1:
        case 2:
                say_subscribe(sim, p);
                break;
        case 3:
                say_transaction(sim, p);
                break;
        case 4:
                say(sim, p, "RESET\r\n");
                break;
        case 5:
                say(sim, p, "HELLO 3\r\n");
                break;
        default:
                for (unsigned n = 1 + below(sim, 4); n--; say_rest(sim, p))
                        say_publish(sim, p);
                say_publish(sim, p);
        }
}

static void peer_dies(struct sim *sim, struct peer *p)
{
        if (below(sim, 2))
                fake_end(sim->cl.fakes[p->shard], p->fd);
        else
                fake_fail(sim->cl.fakes[p->shard], p->fd, ECONNRESET);
        p->alive = false;
}

static void control_turns(struct sim *sim)
{
        cluster_control(&sim->cl);
        accounts_tick(&sim->accounts);
}

/* ------------------------------------------------------------------ what has to hold */

static const struct policy_limits *limits_now(const struct sim *sim)
{
        return &sim->policies[sim->n_policies - 1].limits;
}

static void check_subscriptions(struct sim *sim)
{
        for (unsigned i = 0; i < UIDS; i++)
                for (enum quota q = QUOTA_SUBSCRIPTIONS; q <= QUOTA_PATTERNS; q++) {
                        uint64_t used = accounts_used(&sim->accounts, 10 + i, q), before = sim->used[i][q];
                        uint64_t bound = quota_bound(limits_now(sim), q);

                        if (bound && !sim->changing && used > bound && used > before)
                                sim_fail(sim, "more subscriptions than may be");
                        sim->used[i][q] = used;
                }
}

static void check_rate(const struct sim *sim)
{
        uint64_t time = cluster_now() - sim->started, n = 0;

        for (unsigned i = 0; i < sim->cl.n_shards; i++)
                n += sim->cl.shards[i]->status.messages_in;
        if (n > UIDS * (RATE + RATE * time / NSEC_PER_SEC + 1))
                sim_fail(sim, "more messages than the rate allows");
}

static void check_output(struct sim *sim)
{
        const struct policy_limits *limits = limits_now(sim);
        uint64_t all = accounts_used(&sim->accounts, QUOTA_EVERYBODY, QUOTA_OUTPUT_ALL);

        if (limits->output_all && all > limits->output_all)
                sim_fail(sim, "more output than all may have");
        for (unsigned i = 0; i < UIDS; i++)
                if (limits->output_user &&
                    accounts_used(&sim->accounts, 10 + i, QUOTA_OUTPUT) > limits->output_user)
                        sim_fail(sim, "more output than a user may have");
}

/* Whether the user's input at a shard waits for something else than more of it. */
static bool input_moves(const struct user *u, bool *pausedp)
{
        uint64_t parts = 0;

        list_for_each (i, &u->clients) {
                const struct client *c = container_of(i, struct client, of_user);
                bool paused = c->wait == CLIENT_LEASES && c->lease == QUOTA_INPUT;

                *pausedp |= paused;
                parts += paused || c->wait == CLIENT_RUNS ? c->input : 0;
        }
        return parts != u->leases[QUOTA_INPUT].used;
}

/* Nobody waits to be read from while all that is kept are parts of requests. */
static void check_input(const struct sim *sim)
{
        for (uid_t uid = 10; uid < 10 + UIDS; uid++) {
                bool moves = false, paused = false;

                for (unsigned i = 0; i < sim->cl.n_shards; i++) {
                        const struct user *u;

                        for (size_t pos = 0; (u = table_next(&sim->cl.shards[i]->users.by_uid, &pos));)
                                moves |= u->uid == uid && input_moves(u, &paused);
                }
                if (paused && !moves)
                        sim_fail(sim, "input waits for what nobody may say");
        }
}

/* An EXEC that began before there was a limit ends as it began. */
static bool peer_executes(struct sim *sim, const struct peer *p)
{
        struct stream *stream = fake_stream(sim->cl.fakes[p->shard], p->fd)->stream;
        const struct transaction *t = stream ? client_of_stream(stream)->transaction : NULL;

        return t && t->step != TRANSACTION_QUEUES;
}

static void check_policy(struct sim *sim)
{
        sim->changing = false;
        for (unsigned i = 0; i < sim->cl.n_shards; i++)
                sim->changing |= &sim->cl.shards[i]->policy->limits != limits_now(sim);
        sim->changing |= port_ready(sim->cl.control);
        for (unsigned i = 0; i < sim->n_peers; i++)
                sim->changing |= peer_executes(sim, &sim->peers[i]);
}

/* ------------------------------------------------------------------ one seed */

static void sim_step(struct sim *sim)
{
        struct peer *p = any_peer(sim);

        sim->step++;
        switch (below(sim, 16)) {
        case 0:
        case 1:
        case 2:
                if (p)
                        peer_acts(sim, p);
                break;
        case 3:
                if (p)
                        fake_accept(sim->cl.fakes[p->shard], p->fd, below(sim, 3) ? below(sim, 400) : 0);
                break;
        case 4:
                if (p && below(sim, 6) == 0)
                        peer_dies(sim, p);
                sim_connect(sim);
                break;
        case 5:
                cluster_advance(below(sim, 2) ? below(sim, 1000000) : below(sim, 200) * NSEC_PER_MSEC);
                break;
        case 6:
                if (below(sim, 30) == 0 && sim->n_policies < 32) {
                        accounts_set_policy(&sim->accounts, sim_policy(sim));
                        sim->changing = true;
                }
                break;
        case 7:
        case 8:
                control_turns(sim);
                break;
        default:
                cluster_turn(&sim->cl, below(sim, sim->cl.n_shards));
        }
        check_subscriptions(sim);
        if (sim->changing)
                check_policy(sim);
}

static void settle(struct sim *sim)
{
        accounts_settle(&sim->accounts);
        cluster_advance(NSEC_PER_SEC);
        accounts_settle(&sim->accounts);
}

static bool peer_is_open(struct sim *sim, const struct peer *p)
{
        struct stream *stream = fake_stream(sim->cl.fakes[p->shard], p->fd)->stream;

        return p->alive && stream && client_of_stream(stream)->end == CLIENT_OPEN;
}

/* Everybody reads and says a last word; after a while all are answered. */
static void sim_rest(struct sim *sim)
{
        settle(sim);
        check_output(sim);
        check_input(sim);
        for (unsigned i = 0; i < sim->n_peers; i++) {
                struct peer *p = &sim->peers[i];

                if (!p->alive)
                        continue;
                fake_accept(sim->cl.fakes[p->shard], p->fd, SIZE_MAX);
                say_rest(sim, p);
                say(sim, p, "RESET\r\nPING the-end\r\n");
        }
        for (int n = 0; n < 100; n++)
                settle(sim);
        for (unsigned i = 0; i < sim->n_peers; i++) {
                struct peer *p = &sim->peers[i];
                char *heard;

                if (!peer_is_open(sim, p))
                        continue;
                heard = cluster_hear(&sim->cl, p->shard, p->fd);
                if (strlen(heard) < 14 || !strstr(heard + strlen(heard) - 14, "the-end"))
                        sim_fail(sim, "somebody is not answered");
                free(heard);
        }
}

static void sim_end(struct sim *sim)
{
        for (unsigned i = 0; i < sim->n_peers; i++)
                fake_fail(sim->cl.fakes[sim->peers[i].shard], sim->peers[i].fd, ECONNRESET);
        for (int n = 0; n < 6; n++)
                settle(sim);
        if (ledger_accounts(sim->accounts.ledger))
                sim_fail(sim, "an account is left");
        if (ledger_next(sim->accounts.ledger) != CLOCK_NEVER)
                sim_fail(sim, "the ledger waits for something");
        for (unsigned i = 0; i < sim->cl.n_shards; i++) {
                const struct shard_status *status = &sim->cl.shards[i]->status;

                if (sim->cl.shards[i]->users.by_uid.n)
                        sim_fail(sim, "a user is left");
                for (unsigned q = 0; q < _QUOTA_N; q++) {
                        sim->refused += status->quota_refused[q];
                        sim->paused += status->quota_paused[q];
                }
        }
        cluster_deinit(&sim->cl);
        accounts_deinit(&sim->accounts);
}

static void sim_run(uint64_t seed, uint64_t *refused, uint64_t *paused)
{
        static struct sim sim;
        unsigned steps;

        memset(&sim, 0, sizeof(sim));
        current = seed;
        sim.seed = seed;
        sim.prng.state = seed * 0x9e3779b97f4a7c15 + 1;
        cluster_init(&sim.cl, &(struct cluster_options){ .n_shards = 1 + below(&sim, 4),
                                                         .capacity = 2u << below(&sim, 3),
                                                         .backlog_bytes = below(&sim, 2) ? 400 : 100000,
                                                         .drain_budget = 1 + below(&sim, 8),
                                                         .policy = sim_policy(&sim),
                                                         .control_fn = accounts_on_message,
                                                         .control_arg = &sim.accounts });
        accounts_init(&sim.accounts, &sim.cl, limits_now(&sim));
        sim.started = cluster_now();
        for (unsigned i = 0; i < sim.cl.n_shards; i++)
                if (below(&sim, 2))
                        fake_split(sim.cl.fakes[i], 1 + below(&sim, 100));
        for (unsigned n = 2 + below(&sim, 6); n--;)
                sim_connect(&sim);
        steps = 100 + below(&sim, 2000);
        while (sim.step < steps)
                sim_step(&sim);
        check_rate(&sim);
        sim_rest(&sim);
        sim_end(&sim);
        *refused += sim.refused;
        *paused += sim.paused;
}

int main(int argc, char **argv)
{
        static const struct option options[] = { { "seeds", required_argument, NULL, 's' },
                                                 { "first", required_argument, NULL, 'f' },
                                                 { 0 } };
        uint64_t n = 300, first = 1, refused = 0, paused = 0;
        int o;

        log_set_level(LOG_LEVEL_ERROR);
        signal(SIGABRT, on_abort);
        while ((o = getopt_long(argc, argv, "s:f:", options, NULL)) != -1) {
                if (o == 's')
                        n = strtoull(optarg, NULL, 10);
                else if (o == 'f')
                        first = strtoull(optarg, NULL, 10);
                else
                        return 2;
        }
        for (uint64_t seed = first; seed < first + n; seed++)
                sim_run(seed, &refused, &paused);
        printf("accounts: %llu seeds from %llu on, %llu refusals, %llu pauses, nothing wrong\n",
               (unsigned long long)n, (unsigned long long)first, (unsigned long long)refused,
               (unsigned long long)paused);
        return refused && paused ? EXIT_SUCCESS : EXIT_FAILURE;
}
