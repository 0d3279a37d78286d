/* SPDX-License-Identifier: MIT */

#include "support/cluster.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shard/inspect.h"
#include "shard/message.h"
#include "shard/state.h"
#include "util/clock.h"

static uint64_t fake_now = 1000000;

uint64_t cluster_now(void)
{
        return fake_now;
}

void cluster_advance(uint64_t ns)
{
        fake_now += ns;
}

static void count_wake(void *arg)
{
        ++*(unsigned *)arg;
}

static void control_on_closed(struct cluster *cl, const struct message_closed *closed)
{
        const struct message_closed_user *users = (const void *)(closed + 1);
        unsigned n = 0;

        for (uint32_t i = 0; i < closed->n_users; i++) {
                n += users[i].n_clients;
                if (users[i].uid < CLUSTER_UIDS)
                        cl->n_closed_of[users[i].uid] += users[i].n_clients;
        }
        assert(n + closed->n_admins == closed->n_clients);
        cl->n_closed += closed->n_clients;
}

static void verify_answer(struct cluster *cl, const struct cluster_verify *v, enum verify_verdict verdict)
{
        struct message_verified *m =
                port_send(cl->control, v->shard, MESSAGE_VERIFIED, sizeof(*m), PORT_UNCOUNTED);

        *m = (struct message_verified){ .client = v->question.client, .verdict = verdict };
        for (unsigned i = 0; verdict == VERIFY_RIGHT && i < cl->current->n_secrets; i++)
                if (bytes_equal(bytes_str(cl->current->secrets[i].name),
                                bytes_of(v->question.name, v->question.name_size)))
                        m->mark = cl->current->secrets[i].mark;
}

/* As the broker's helper would decide. */
static enum verify_verdict verify_decide(const struct cluster *cl, const struct message_verify *q)
{
        char right[VERIFY_PASSWORD_MAX];

        for (unsigned i = 0; i < cl->current->n_secrets; i++) {
                const char *name = cl->current->secrets[i].name;

                snprintf(right, sizeof(right), "pw-%s", name);
                if (!q->hopeless && bytes_equal(bytes_str(name), bytes_of(q->name, q->name_size)) &&
                    bytes_equal(bytes_str(right), bytes_of(q->password, q->password_size)))
                        return VERIFY_RIGHT;
        }
        return VERIFY_WRONG;
}

static void verify_ask(struct cluster *cl, unsigned shard, const struct message_verify *question)
{
        struct cluster_verify v = { .shard = shard, .question = *question };

        if (!cl->holds_verify) {
                verify_answer(cl, &v, verify_decide(cl, question));
                return;
        }
        assert(cl->n_verify < sizeof(cl->verify) / sizeof(*cl->verify));
        cl->verify[cl->n_verify++] = v;
}

bool cluster_verify(struct cluster *cl, enum verify_verdict verdict)
{
        if (!cl->n_verify)
                return false;
        verify_answer(cl, &cl->verify[0], verdict);
        port_flush(cl->control);
        memmove(cl->verify, cl->verify + 1, --cl->n_verify * sizeof(*cl->verify));
        cluster_settle(cl);
        return true;
}

/* Each kind of order has its own outcome here, and DIFF finds errors. */
static void control_on_order(struct cluster *cl, unsigned shard, const struct message_query *query)
{
        static const struct {
                struct message_ordered head;
                struct bytes texts;
        } outcomes[] = {
                [ORDER_RELOAD] = { { .done = 1, .n_changes = 1 },
                                   BYTES_LITERAL("f\0shards\0002\0003\0restart\0") },
                [ORDER_DIFF] = { { .done = 0 }, BYTES_LITERAL("f\0f:1: bad\0f:2: worse\0") },
                [ORDER_SHOW] = { { .done = 1 }, BYTES_LITERAL("f\0a: 1\nb: 2\n\0") },
                [ORDER_LOG] = { { .done = 1 }, BYTES_LITERAL("f\0") },
                [ORDER_DRAIN] = { { .done = 1, .draining = 1, .n_clients = 3 }, BYTES_LITERAL("f\0") },
        };
        const struct message_order *order = (const void *)(query + 1);
        struct message_ordered head = outcomes[order->kind].head;
        struct bytes texts = outcomes[order->kind].texts;
        uint8_t *p = port_send(cl->control, shard, MESSAGE_ANSWER,
                               (uint32_t)(sizeof(query->ask) + sizeof(head) + texts.n), PORT_UNCOUNTED);

        cl->order = *order;
        cl->n_orders++;
        head.draining &= order->value;
        memcpy(p, &query->ask, sizeof(query->ask));
        memcpy(p + sizeof(query->ask), &head, sizeof(head));
        memcpy(p + sizeof(query->ask) + sizeof(head), texts.p, texts.n);
}

static void control_on_message(void *arg, const struct port_message *m)
{
        struct cluster *cl = arg;

        if (cl->control_fn && m->type >= MESSAGE_POLICY) {
                cl->control_fn(cl->control_arg, m);
                return;
        }
        switch (m->type) {
        case MESSAGE_CLOSED:
                control_on_closed(cl, m->data);
                break;
        case MESSAGE_SHUTDOWN:
                cl->n_shutdowns++;
                break;
        case MESSAGE_QUERY: {
                const struct message_query *query = m->data;
                struct control_status status = { .pid = 4711,
                                                 .max_clients = 100,
                                                 .accepted = 55,
                                                 .rejected_full = 66,
                                                 .reloads = 7,
                                                 .reloads_refused = 8,
                                                 .reload_time = 9 };
                uint8_t *p;

                if (query->kind == QUERY_ORDER) {
                        control_on_order(cl, m->source, query);
                        break;
                }
                p = port_send(cl->control, m->source, MESSAGE_ANSWER, sizeof(query->ask) + sizeof(status),
                              PORT_UNCOUNTED);

                memcpy(p, &query->ask, sizeof(query->ask));
                memcpy(p + sizeof(query->ask), &status, sizeof(status));
                break;
        }
        case MESSAGE_VERIFY:
                verify_ask(cl, m->source, m->data);
                break;
        case MESSAGE_POLICY_TAKEN:
                cl->n_policies++;
                break;
        case MESSAGE_STOPPED:
                break;
        default:
                assert(!"a message that control does not receive");
        }
}

void cluster_init(struct cluster *cl, const struct cluster_options *options)
{
        struct mesh_options mesh = { .n_ports = options->n_shards + 1,
                                     .capacity = options->capacity,
                                     .backlog_bytes = options->backlog_bytes };
        int r;

        *cl = (struct cluster){ .n_shards = options->n_shards,
                                .next_id = 1,
                                .control_fn = options->control_fn,
                                .control_arg = options->control_arg,
                                .policy = { .limits = { .request_bytes = 1 << 20,
                                                        .output_hard = options->output_max },
                                            .settings = options->settings,
                                            .n_settings = options->n_settings } };
        cl->current = options->policy ? options->policy : &cl->policy;
        r = mesh_new(&cl->mesh, &mesh);
        assert(!r);
        for (unsigned i = 0; i <= options->n_shards; i++)
                mesh_set_waker(cl->mesh, i, (struct waker){ count_wake, &cl->wakes[i] });
        cl->control = mesh_port(cl->mesh, options->n_shards);
        for (unsigned i = 0; i < options->n_shards; i++) {
                struct shard_options shard = { .id = i,
                                               .n_shards = options->n_shards,
                                               .port = mesh_port(cl->mesh, i),
                                               .reactor_ops = &reactor_fake,
                                               .reactor = { .wake_fd = -1 },
                                               .now = cluster_now,
                                               .drain_budget = options->drain_budget,
                                               .policy = options->policy ? options->policy : &cl->policy,
                                               .linger_ns = NSEC_PER_SEC,
                                               .hash_key = { 1, 2 },
                                               .owner = 1000,
                                               .cpu = -1,
                                               .version = "test",
                                               .reactor_reason = options->reactor_reason };

                r = shard_new(&cl->shards[i], &shard);
                assert(!r);
                cl->fakes[i] = fake_last();
        }
}

void cluster_turn(struct cluster *cl, unsigned i)
{
        int r;

        if (cl->stopped[i])
                return;
        r = shard_turn(cl->shards[i]);
        assert(r == 0 || r == SHARD_E_STOPPED);
        shard_assert_invariants(cl->shards[i]);
        cl->stopped[i] = r == SHARD_E_STOPPED;
}

void cluster_set_policy(struct cluster *cl, const struct policy *policy)
{
        cl->current = policy;
        for (unsigned i = 0; i < cl->n_shards; i++) {
                struct message_policy *m =
                        port_send(cl->control, i, MESSAGE_POLICY, sizeof(*m), PORT_UNCOUNTED);

                m->policy = policy;
        }
        port_flush(cl->control);
        cluster_settle(cl);
}

bool cluster_control(struct cluster *cl)
{
        bool work = port_ready(cl->control);

        port_drain(cl->control, 1000, control_on_message, cl);
        port_flush(cl->control);
        return work;
}

/* Rounds of everybody's turns, until a few in a row brought nothing to anybody. */
unsigned cluster_settle(struct cluster *cl)
{
        unsigned rounds = 0, quiet = 0;

        while (quiet < 4) {
                unsigned work = 0;

                for (unsigned i = 0; i < cl->n_shards; i++) {
                        struct port *port = mesh_port(cl->mesh, i);

                        work += cl->stopped[i] ? 0
                                               : fake_runnable(cl->fakes[i]) || port_ready(port) ||
                                                         inspect_is_behind(cl->shards[i]);
                        cluster_turn(cl, i);
                }
                work += cluster_control(cl);
                quiet = work ? 0 : quiet + 1;
                assert(++rounds < 1000000);
        }
        return rounds;
}

int cluster_connect(struct cluster *cl, unsigned shard, uid_t uid)
{
        return cluster_connect_as(cl, shard,
                                  &(struct message_adopt){ .path = CLUSTER_PATH, .uid = uid, .gid = 5 }, NULL);
}

int cluster_connect_by(struct cluster *cl, unsigned shard, uid_t uid, uint32_t flags)
{
        return cluster_connect_as(
                cl, shard,
                &(struct message_adopt){ .path = CLUSTER_PATH, .flags = flags, .uid = uid, .gid = 5 }, NULL);
}

int cluster_connect_as(struct cluster *cl, unsigned shard, const struct message_adopt *peer,
                       const uint32_t *groups)
{
        size_t size = peer->n_groups * sizeof(*groups);
        struct message_adopt *adopt =
                port_send(cl->control, shard, MESSAGE_ADOPT, (uint32_t)(sizeof(*adopt) + size), PORT_UNCOUNTED);
        int fd = (int)cl->next_id;

        *adopt = *peer;
        adopt->id = cl->next_id++;
        adopt->fd = fd;
        adopt->pid = 1;
        if (size)
                memcpy(adopt + 1, groups, size);
        port_flush(cl->control);
        cluster_settle(cl);
        return fd;
}

void cluster_say(struct cluster *cl, unsigned shard, int fd, const char *text)
{
        fake_feed(cl->fakes[shard], fd, text, strlen(text));
}

char *cluster_hear(struct cluster *cl, unsigned shard, int fd)
{
        struct buffer *out = &fake_stream(cl->fakes[shard], fd)->out;
        char *text;

        buffer_put(out, "", 1);
        text = strdup((const char *)buffer_view(out).p);
        buffer_consume(out, buffer_size(out));
        return text;
}

bool cluster_is_open(struct cluster *cl, unsigned shard, int fd)
{
        return fake_stream(cl->fakes[shard], fd)->stream != NULL;
}

void cluster_deinit(struct cluster *cl)
{
        for (unsigned i = 0; i < cl->n_shards; i++) {
                struct message_stop *stop;

                stop = port_send(cl->control, i, MESSAGE_STOP, sizeof(*stop), PORT_UNCOUNTED);
                stop->deadline = fake_now + NSEC_PER_SEC;
        }
        port_flush(cl->control);
        cluster_settle(cl);
        cluster_advance(2 * NSEC_PER_SEC);
        cluster_settle(cl);
        for (unsigned i = 0; i < cl->n_shards; i++) {
                assert(cl->stopped[i]);
                cl->shards[i] = shard_free(cl->shards[i]);
                fake_free(cl->fakes[i]);
        }
        cl->mesh = mesh_free(cl->mesh, NULL, NULL);
}
