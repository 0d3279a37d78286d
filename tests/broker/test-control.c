/* SPDX-License-Identifier: MIT */
/* The control thread against shards that are threads of this test and do only what a case needs. */

#include "broker/control.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "broker/config_policy.h"
#include "mesh/mesh.h"
#include "shard/message.h"
#include "support/suite.h"
#include "util/clock.h"

#define SHARDS 2

struct world;

struct fake_shard {
        struct world *world;
        struct port *port;
        struct waker_eventfd waker;
        pthread_t thread;
        bool asks, deaf, stopped;
        unsigned n_policies;         /* received */
        unsigned n_hold;             /* answered from so many on */
        unsigned n_taken;            /* answered */
        unsigned n_wanted;           /* asks for reloads until it has as many */
        const struct policy *policy; /* the newest */
        uint64_t deadline;           /* of the stop */
        struct control_status status;
        bool answered;
        bool orders; /* gives the world's orders, one after the other */
        unsigned n_ordered;
};

#define ORDERS 4

static const struct message_order orders[ORDERS] = { { .kind = ORDER_RELOAD },
                                                     { .kind = ORDER_LOG, .value = 5 },
                                                     { .kind = ORDER_DRAIN, .value = 1 },
                                                     { .kind = ORDER_RELOAD } };

struct world {
        char dir[32], path[64];
        struct listeners *listeners;
        struct policies *policies;
        unsigned n_reloads;
        struct mesh *mesh;
        struct waker_eventfd waker;
        struct control *control;
        struct fake_shard shards[SHARDS];
};

static void fake_ask(struct fake_shard *s)
{
        *(struct message_query *)port_send(s->port, SHARDS, MESSAGE_QUERY, sizeof(struct message_query),
                                           PORT_UNCOUNTED) =
                (struct message_query){ .ask = { .client = 7 }, .kind = QUERY_STATUS };
}

static void fake_order(struct fake_shard *s)
{
        struct {
                struct message_query query;
                struct message_order order;
        } *m = port_send(s->port, SHARDS, MESSAGE_QUERY, sizeof(*m), PORT_UNCOUNTED);

        m->query = (struct message_query){ .ask = { .client = 8 }, .kind = QUERY_ORDER };
        m->order = orders[s->n_ordered];
}

/* The first reload is good, the second is not. A broker without an admin socket does not drain. */
static void fake_on_ordered(struct fake_shard *s, const struct port_message *message)
{
        static const char *const texts[ORDERS] = { "f", "", "\0only with an admin socket", "f" };
        static const bool done[ORDERS] = { true, true, false, false };
        const struct message_answer *answer = message->data;
        const struct message_ordered *head = (const void *)(answer + 1);
        size_t n = texts[s->n_ordered][0] ? 1 : s->n_ordered == 2 ? 26 : 0;

        ck_assert_uint_eq(head->done, done[s->n_ordered]);
        ck_assert_uint_eq(head->draining, 0);
        ck_assert_int_eq(memcmp(head + 1, texts[s->n_ordered], n), 0);
        if (orders[s->n_ordered].kind == ORDER_RELOAD) /* what it changed came before the answer */
                ck_assert_uint_eq(s->n_policies, s->n_ordered ? 2 : 1);
        if (++s->n_ordered < ORDERS)
                fake_order(s);
        else
                fake_ask(s);
}

/* Until it answers it may still look at the one before. */
static void fake_on_policy(struct fake_shard *s, const struct policy *policy)
{
        ck_assert(!s->policy || s->policy->limits.request_bytes == 64);
        s->policy = policy;
        s->n_policies++;
        for (; s->n_policies >= s->n_hold && s->n_taken < s->n_policies; s->n_taken++)
                port_send(s->port, SHARDS, MESSAGE_POLICY_TAKEN, 0, PORT_UNCOUNTED);
        if (s->n_policies < s->n_wanted)
                kill(getpid(), SIGHUP);
        else if (s->n_policies == s->n_wanted)
                fake_ask(s);
}

static void fake_on_message(void *arg, const struct port_message *message)
{
        struct fake_shard *s = arg;

        if (message->type == MESSAGE_POLICY)
                fake_on_policy(s, ((const struct message_policy *)message->data)->policy);
        if (message->type == MESSAGE_STOP && !s->deaf) {
                s->deadline = ((const struct message_stop *)message->data)->deadline;
                s->stopped = true;
                port_send(s->port, SHARDS, MESSAGE_STOPPED, 0, PORT_UNCOUNTED);
        } else if (message->type == MESSAGE_ANSWER && s->orders && s->n_ordered < ORDERS) {
                fake_on_ordered(s, message);
        } else if (message->type == MESSAGE_ANSWER) {
                const struct message_answer *answer = message->data;

                ck_assert_uint_eq(answer->ask.client, 7);
                ck_assert_uint_eq(message->size, sizeof(*answer) + sizeof(s->status));
                memcpy(&s->status, answer + 1, sizeof(s->status));
                s->answered = true;
                port_send(s->port, SHARDS, MESSAGE_SHUTDOWN, 0, PORT_UNCOUNTED);
        }
}

static void *fake_main(void *arg)
{
        struct fake_shard *s = arg;

        if (s->asks)
                fake_ask(s);
        if (s->orders)
                fake_order(s);
        port_flush(s->port);
        while (!s->stopped || port_spilled(s->port)) {
                struct pollfd p = { .fd = s->waker.fd, .events = POLLIN };

                if (port_park(s->port))
                        poll(&p, 1, -1);
                port_unpark(s->port);
                waker_eventfd_clear(s->waker.fd);
                port_drain(s->port, 16, fake_on_message, s);
                port_flush(s->port);
        }
        return NULL;
}

static void world_prepare(struct world *w)
{
        memset(w, 0, sizeof(*w));
        strcpy(w->dir, "/tmp/brokerd-test-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(w->dir));
        snprintf(w->path, sizeof(w->path), "%s/x.sock", w->dir);
}

/* However it ended: socket and lock are gone. */
static void world_leave(const struct world *w)
{
        ck_assert_int_eq(rmdir(w->dir), 0);
}

static struct policy *policy_new(struct world *w)
{
        struct config_listener one = { .path = w->path };
        struct config config = { .listeners = &one, .n_listeners = 1, .max_request_bytes = 64 };
        struct plan plan = { .max_clients = 77 };

        return config_policy_new(&config, &plan);
}

/* A policy each time; every second reload is refused. */
static bool on_order(void *arg, const struct message_order *order, struct control_answer *answer)
{
        struct world *w = arg;

        if (order->kind == ORDER_LOG) {
                ck_assert_uint_eq(order->value, 5);
                return true;
        }
        ck_assert_uint_eq(order->kind, ORDER_RELOAD);
        buffer_put(&answer->texts, "f", 2);

        policies_give(w->policies, policy_new(w));
        return ++w->n_reloads % 2;
}

static void world_init(struct world *w)
{
        struct mesh_options mesh = { .n_ports = SHARDS + 1, .capacity = 2, .backlog_bytes = 1 << 20 };
        struct control_options options = { .waker = &w->waker,
                                           .n_shards = SHARDS,
                                           .limits = { .max_clients = 77 },
                                           .order = on_order,
                                           .order_arg = w };
        struct config_listener one = {
                .path = w->path, .mode = 0600, .owner = (uid_t)-1, .group = (gid_t)-1, .backlog = 4
        };
        struct config config = { .listeners = &one, .n_listeners = 1 };

        w->listeners = listeners_new();
        ck_assert_int_eq(listeners_bind(w->listeners, &config, NULL), 0);
        options.listeners = w->listeners;
        ck_assert_int_eq(control_block_signals(), 0);
        ck_assert_int_eq(mesh_new(&w->mesh, &mesh), 0);
        ck_assert_int_eq(waker_eventfd_init(&w->waker), 0);
        mesh_set_waker(w->mesh, SHARDS, waker_eventfd_waker(&w->waker));
        options.port = mesh_port(w->mesh, SHARDS);
        w->policies = policies_new(options.port, SHARDS, policy_new(w));
        options.policies = w->policies;
        ck_assert_int_eq(control_new(&w->control, &options), 0);
        for (unsigned i = 0; i < SHARDS; i++) {
                struct fake_shard *s = &w->shards[i];

                s->world = w;
                s->port = mesh_port(w->mesh, i);
                ck_assert_int_eq(waker_eventfd_init(&s->waker), 0);
                mesh_set_waker(w->mesh, i, waker_eventfd_waker(&s->waker));
        }
        ck_assert_int_eq(control_open(w->control), 0);
}

static void world_go(struct world *w)
{
        for (unsigned i = 0; i < SHARDS; i++)
                ck_assert_int_eq(pthread_create(&w->shards[i].thread, NULL, fake_main, &w->shards[i]), 0);
}

/* For a case that ends without joining them. */
static void world_let_go(struct world *w)
{
        for (unsigned i = 0; i < SHARDS; i++)
                pthread_detach(w->shards[i].thread);
}

static void world_deinit(struct world *w)
{
        for (unsigned i = 0; i < SHARDS; i++) {
                pthread_join(w->shards[i].thread, NULL);
                waker_eventfd_deinit(&w->shards[i].waker);
        }
        control_free(w->control);
        mesh_free(w->mesh, NULL, NULL);
        waker_eventfd_deinit(&w->waker);
        listeners_free(w->listeners);
        policies_free(w->policies);
}

START_TEST(a_query_is_answered_and_a_shutdown_stops_every_shard)
{
        uint64_t deadline = 0, before = clock_now();
        struct world w;

        world_prepare(&w);
        world_init(&w);
        w.shards[1].asks = true;
        world_go(&w);
        control_run(w.control, &deadline);
        ck_assert_uint_ge(deadline, before + CONTROL_STOP_NS);
        ck_assert_uint_le(deadline, clock_now() + CONTROL_STOP_NS);
        world_deinit(&w);
        world_leave(&w);
        ck_assert(w.shards[1].answered);
        ck_assert_uint_eq(w.shards[1].status.max_clients, 77);
        ck_assert_int_eq(w.shards[1].status.pid, getpid());
        ck_assert_uint_ge(w.shards[1].status.start_time + 60, (uint64_t)time(NULL));
        for (unsigned i = 0; i < SHARDS; i++)
                ck_assert_uint_eq(w.shards[i].deadline, deadline - CONTROL_STOP_NS + CONTROL_LINGER_NS);
}
END_TEST

/* A reload that a client orders counts as one by SIGHUP. */
START_TEST(orders_are_carried_out_and_answered_behind_what_they_change)
{
        uint64_t deadline;
        struct world w;

        world_prepare(&w);
        world_init(&w);
        w.shards[0].orders = true;
        world_go(&w);
        control_run(w.control, &deadline);
        ck_assert_uint_eq(w.n_reloads, 2);
        ck_assert_uint_eq(w.shards[0].n_ordered, ORDERS);
        ck_assert_uint_eq(w.shards[0].status.reloads, 1);
        ck_assert_uint_eq(w.shards[0].status.reloads_refused, 1);
        ck_assert_uint_eq(w.shards[0].status.draining, 0);
        world_deinit(&w);
        world_leave(&w);
}
END_TEST

/* In a process of its own: signals, and ends by _exit(). Return: its wait status. */
static int in_child(void (*fn)(struct world *), struct world *w)
{
        int status;
        pid_t pid;

        world_prepare(w);
        pid = fork();
        if (pid == 0) {
                alarm(20);
                fn(w);
                _exit(0);
        }
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        world_leave(w);
        return status;
}

static void stop_by_signal(struct world *w)
{
        uint64_t deadline;

        world_init(w);
        raise(SIGTERM); /* blocked: waits for control_run() */
        raise(SIGHUP);
        world_go(w);
        control_run(w->control, &deadline);
        ck_assert_uint_eq(w->n_reloads, 0); /* it stops; nobody needs another configuration */
        world_deinit(w);
}

START_TEST(a_signal_that_comes_before_serving_is_not_lost)
{
        struct world w;

        ck_assert_int_eq(in_child(stop_by_signal, &w), 0);
}
END_TEST

static void reload_by_signals(struct world *w)
{
        uint64_t deadline, before = (uint64_t)time(NULL);
        const struct control_status *status = &w->shards[1].status;

        world_init(w);
        w->shards[0].n_hold = 3;
        w->shards[1].n_wanted = 5;
        for (int i = 0; i < 10; i++)
                raise(SIGHUP); /* during the start: one */
        world_go(w);
        control_run(w->control, &deadline);
        ck_assert(w->shards[1].answered);
        ck_assert_uint_eq(w->n_reloads, 5);
        ck_assert_uint_eq(status->reloads, 3);
        ck_assert_uint_eq(status->reloads_refused, 2);
        ck_assert_uint_ge(status->reload_time, before);
        ck_assert_uint_le(status->reload_time, (uint64_t)time(NULL));
        world_deinit(w);
}

START_TEST(each_sighup_reloads_once_and_policies_outlive_their_use)
{
        struct world w;

        ck_assert_int_eq(in_child(reload_by_signals, &w), 0);
}
END_TEST

static void *signal_twice(void *arg)
{
        struct world *w = arg;

        kill(getpid(), SIGTERM);
        while (access(w->path, F_OK) == 0) /* removed: the first one was taken */
                usleep(1000);
        kill(getpid(), SIGINT);
        return NULL;
}

static void stop_by_two_signals(struct world *w)
{
        pthread_t thread;
        uint64_t deadline;

        world_init(w);
        w->shards[0].deaf = true;
        pthread_create(&thread, NULL, signal_twice, w);
        pthread_detach(thread);
        world_go(w);
        world_let_go(w);
        control_run(w->control, &deadline);
}

/* The status tells that it was the signal: a process that waits for the deaf shard ends with 1. */
START_TEST(a_second_signal_ends_the_process_at_once)
{
        struct world w;
        int status = in_child(stop_by_two_signals, &w);

        ck_assert(WIFEXITED(status));
        ck_assert_int_eq(WEXITSTATUS(status), 128 + SIGINT);
}
END_TEST

static void stop_with_a_deaf_shard(struct world *w)
{
        uint64_t deadline;

        world_init(w);
        w->shards[0].deaf = true;
        raise(SIGINT);
        world_go(w);
        world_let_go(w);
        control_run(w->control, &deadline);
}

START_TEST(a_shard_that_does_not_stop_is_not_waited_for)
{
        uint64_t before = clock_now();
        struct world w;
        int status = in_child(stop_with_a_deaf_shard, &w);

        ck_assert(WIFEXITED(status));
        ck_assert_int_eq(WEXITSTATUS(status), 1);
        ck_assert_uint_ge(clock_now() - before, CONTROL_LINGER_NS);
        ck_assert_uint_lt(clock_now() - before, 5 * CONTROL_STOP_NS);
}
END_TEST

static void add(TCase *cases)
{
        tcase_add_test(cases, a_query_is_answered_and_a_shutdown_stops_every_shard);
        tcase_add_test(cases, orders_are_carried_out_and_answered_behind_what_they_change);
        tcase_add_test(cases, a_signal_that_comes_before_serving_is_not_lost);
        tcase_add_test(cases, each_sighup_reloads_once_and_policies_outlive_their_use);
        tcase_add_test(cases, a_second_signal_ends_the_process_at_once);
        tcase_add_test(cases, a_shard_that_does_not_stop_is_not_waited_for);
}

int main(void)
{
        return suite_run("control", add);
}
