/* SPDX-License-Identifier: MIT */
/* The acceptor on a real loop and a real mesh, whose shards are this test: they keep what they are handed. */

#include "broker/acceptor.h"

#include <errno.h>
#include <ev.h>
#include <grp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "mesh/mesh.h"
#include "support/suite.h"
#include "util/clock.h"

#define SHARDS  3
#define CLIENTS 128

struct adopted {
        unsigned shard;
        struct message_adopt message;
        uint32_t groups[64];
};

struct world {
        struct mesh *mesh;
        struct ev_loop *loop;
        struct acceptor *acceptor;
        int door, admin_door;
        struct adopted adopted[CLIENTS];
        unsigned n_adopted, draining;
};

static struct sockaddr_un address_of(const char *what, socklen_t *sizep)
{
        struct sockaddr_un un = { .sun_family = AF_UNIX };
        int n = snprintf(un.sun_path + 1, sizeof(un.sun_path) - 1, "brokerd-test-acceptor-%d-%s", (int)getpid(),
                         what);

        *sizep = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
        return un;
}

static int door_new(const char *what)
{
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        socklen_t size;
        struct sockaddr_un un = address_of(what, &size);

        ck_assert_int_eq(bind(fd, (struct sockaddr *)&un, size), 0);
        ck_assert_int_eq(listen(fd, 128), 0);
        return fd;
}

static int client_new(const char *what)
{
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        socklen_t size;
        struct sockaddr_un un = address_of(what, &size);

        ck_assert_int_eq(connect(fd, (struct sockaddr *)&un, size), 0);
        return fd;
}

static uint64_t fake_now = NSEC_PER_SEC;

static uint64_t now(void)
{
        return fake_now;
}

static void world_init(struct world *w, unsigned max_clients)
{
        struct mesh_options mesh = { .n_ports = SHARDS + 1, .capacity = 4, .backlog_bytes = 1 << 20 };
        struct acceptor_options options = { .n_shards = SHARDS,
                                            .limits = { .max_clients = max_clients },
                                            .now = now };

        memset(w, 0, sizeof(*w));
        ck_assert_int_eq(mesh_new(&w->mesh, &mesh), 0);
        w->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
        ck_assert_ptr_nonnull(w->loop);
        options.loop = w->loop;
        options.port = mesh_port(w->mesh, SHARDS);
        w->acceptor = acceptor_new(&options);
        w->door = door_new("door");
        w->admin_door = door_new("admin");
        acceptor_add(w->acceptor, w->door, "/run/door", 0);
        acceptor_add(w->acceptor, w->admin_door, "@admin", ADOPT_ADMIN);
}

static void on_message(void *arg, const struct port_message *message)
{
        struct world *w = arg;
        struct adopted *a = &w->adopted[w->n_adopted++];

        ck_assert_uint_eq(message->type, MESSAGE_ADOPT);
        ck_assert_uint_eq(message->source, SHARDS);
        a->shard = w->draining;
        memcpy(&a->message, message->data, sizeof(a->message));
        ck_assert_uint_eq(message->size, sizeof(a->message) + a->message.n_groups * sizeof(uint32_t));
        ck_assert_uint_le(a->message.n_groups, 64);
        memcpy(a->groups, (const uint8_t *)message->data + sizeof(a->message),
               a->message.n_groups * sizeof(uint32_t));
}

/* One turn of control, and then as many of the shards as they need. */
static void turn(struct world *w)
{
        ev_run(w->loop, EVRUN_NOWAIT);
        port_flush(mesh_port(w->mesh, SHARDS));
        for (unsigned round = 0; round < CLIENTS; round++) {
                for (w->draining = 0; w->draining < SHARDS; w->draining++) {
                        port_drain(mesh_port(w->mesh, w->draining), 256, on_message, w);
                        port_flush(mesh_port(w->mesh, w->draining));
                }
                port_drain(mesh_port(w->mesh, SHARDS), 256, on_message, w);
                port_flush(mesh_port(w->mesh, SHARDS));
        }
}

static void close_clients(struct world *w, unsigned shard, unsigned n, unsigned n_admins)
{
        struct {
                struct message_closed all;
                struct message_closed_user user;
        } closed = { .all = { .n_clients = n, .n_admins = n_admins, .n_users = n > n_admins },
                     .user = { .uid = getuid(), .n_clients = n - n_admins } };

        acceptor_closed(w->acceptor, shard, &closed.all);
}

static void world_deinit(struct world *w)
{
        for (unsigned i = 0; i < w->n_adopted; i++)
                close(w->adopted[i].message.fd);
        acceptor_stop(w->acceptor);
        w->acceptor = acceptor_free(w->acceptor);
        close(w->door);
        close(w->admin_door);
        ev_loop_destroy(w->loop);
        mesh_free(w->mesh, NULL, NULL);
}

START_TEST(clients_are_spread_and_numbered_and_known_by_their_credentials)
{
        unsigned load[SHARDS] = { 0 };
        int clients[9];
        struct world w;

        world_init(&w, 100);
        for (int i = 0; i < 9; i++)
                clients[i] = client_new("door");
        turn(&w);
        ck_assert_uint_eq(w.n_adopted, 9);
        ck_assert_uint_eq(acceptor_clients(w.acceptor), 9);
        for (unsigned i = 0; i < 9; i++) {
                load[w.adopted[i].shard]++;
                ck_assert_uint_ge(w.adopted[i].message.id, 1);
                ck_assert_uint_le(w.adopted[i].message.id, 9);
                ck_assert_int_eq(w.adopted[i].message.pid, getpid());
                ck_assert_uint_eq(w.adopted[i].message.uid, getuid());
                ck_assert_uint_eq(w.adopted[i].message.gid, getgid());
                ck_assert_uint_eq(w.adopted[i].message.flags, 0);
                for (unsigned j = 0; j < i; j++)
                        ck_assert_uint_ne(w.adopted[i].message.id, w.adopted[j].message.id);
        }
        for (int i = 0; i < SHARDS; i++)
                ck_assert_uint_eq(load[i], 3);
        acceptor_stop(w.acceptor);
        for (unsigned i = 0; i < 9; i++)
                ck_assert_str_eq(w.adopted[i].message.path, "/run/door"); /* outlives the door */
        for (int i = 0; i < 9; i++)
                close(clients[i]);
        world_deinit(&w);
}
END_TEST

static void check_groups(gid_t *groups, int n)
{
        struct world w;
        int client;

        world_init(&w, 100);
        client = client_new("door");
        turn(&w);
        ck_assert_uint_eq(w.n_adopted, 1);
        ck_assert_uint_eq(w.adopted[0].message.n_groups, n);
        for (int i = 0; i < n; i++)
                ck_assert_uint_eq(w.adopted[0].groups[i], groups[i]);
        close(client);
        world_deinit(&w);
}

/* Those of the moment in which it connected. Only root can have others than the test was started with. */
START_TEST(a_client_is_known_by_its_supplementary_groups)
{
        gid_t groups[64], many[40];
        int n = getgroups(64, groups);

        if (n >= 0)
                check_groups(groups, n);
        for (unsigned i = 0; i < 40; i++)
                many[i] = 4200 + i; /* sorted, as the kernel keeps them */
        if (geteuid() != 0 || setgroups(40, many) < 0)
                return;
        check_groups(many, 40);
        ck_assert_int_eq(setgroups(0, NULL), 0);
        check_groups(NULL, 0);
        ck_assert_int_eq(setgroups((size_t)n, groups), 0);
}
END_TEST

START_TEST(the_shard_with_the_fewest_clients_gets_the_next)
{
        int clients[7];
        struct world w;

        world_init(&w, 100);
        for (int i = 0; i < 6; i++)
                clients[i] = client_new("door");
        turn(&w);
        close_clients(&w, 1, 2, 0);
        clients[6] = client_new("door");
        turn(&w);
        ck_assert_uint_eq(w.n_adopted, 7);
        ck_assert_uint_eq(w.adopted[6].shard, 1);
        ck_assert_uint_eq(w.adopted[6].message.id, 7);
        ck_assert_uint_eq(acceptor_clients(w.acceptor), 5);
        for (int i = 0; i < 7; i++)
                close(clients[i]);
        world_deinit(&w);
}
END_TEST

START_TEST(clients_over_the_maximum_are_told_and_closed_and_one_that_leaves_makes_room)
{
        static const char expected[] = "-ERR max number of clients reached\r\n";
        int clients[4], rejected;
        char text[64] = "";
        struct world w;

        world_init(&w, 3);
        for (int i = 0; i < 3; i++)
                clients[i] = client_new("door");
        rejected = client_new("door");
        turn(&w);
        ck_assert_uint_eq(w.n_adopted, 3);
        ck_assert_int_eq(read(rejected, text, sizeof(text)), sizeof(expected) - 1);
        ck_assert_str_eq(text, expected);
        ck_assert_int_eq(read(rejected, text, sizeof(text)), 0);
        ck_assert_uint_eq(acceptor_stats(w.acceptor)->rejected_full, 1);
        ck_assert_uint_eq(acceptor_stats(w.acceptor)->accepted, 3);
        close_clients(&w, 2, 1, 0);
        clients[3] = client_new("door");
        turn(&w);
        ck_assert_uint_eq(w.n_adopted, 4);
        for (int i = 0; i < 4; i++)
                close(clients[i]);
        close(rejected);
        world_deinit(&w);
}
END_TEST

/* Return: whether this client was told so and closed. */
static bool is_refused(int client, const char *expected)
{
        char text[100] = "";
        ssize_t n = recv(client, text, sizeof(text) - 1, MSG_DONTWAIT);

        if (n < 0)
                return false;
        ck_assert_str_eq(text, expected);
        ck_assert_int_eq(read(client, text, sizeof(text)), 0);
        return true;
}

#define DRAINING "-ERR the broker is draining and takes no new clients\r\n"

/* The admin socket stays open, since it is how that is ended; who is there already stays. */
START_TEST(a_draining_broker_refuses_all_but_the_admin_socket)
{
        int clients[4];
        struct world w;

        world_init(&w, 100);
        clients[0] = client_new("door");
        turn(&w);
        ck_assert(acceptor_drain(w.acceptor, true));
        ck_assert(acceptor_is_draining(w.acceptor));
        clients[1] = client_new("door");
        clients[2] = client_new("admin");
        turn(&w);
        ck_assert(is_refused(clients[1], DRAINING));
        ck_assert_uint_eq(w.n_adopted, 2);
        ck_assert_uint_eq(w.adopted[1].message.flags, ADOPT_ADMIN);
        ck_assert_uint_eq(acceptor_clients(w.acceptor), 2);
        ck_assert_uint_eq(acceptor_clients_left(w.acceptor), 1);
        ck_assert_uint_eq(acceptor_stats(w.acceptor)->rejected_draining, 1);
        ck_assert(acceptor_drain(w.acceptor, false));
        clients[3] = client_new("door");
        turn(&w);
        ck_assert_uint_eq(w.n_adopted, 3);
        ck_assert_uint_eq(acceptor_clients_left(w.acceptor), 2);
        for (int i = 0; i < 4; i++)
                close(clients[i]);
        world_deinit(&w);
}
END_TEST

START_TEST(without_an_admin_socket_it_does_not_drain)
{
        struct world w;
        int client;

        world_init(&w, 100);
        acceptor_remove(w.acceptor, w.admin_door);
        ck_assert(!acceptor_drain(w.acceptor, true));
        ck_assert(!acceptor_is_draining(w.acceptor));
        ck_assert(acceptor_drain(w.acceptor, false));
        client = client_new("door");
        turn(&w);
        ck_assert_uint_eq(w.n_adopted, 1);
        close(client);
        world_deinit(&w);
}
END_TEST

#define TOO_MANY  "-ERR max number of clients per user reached\r\n"
#define TOO_OFTEN "-ERR max number of connections per second per user reached\r\n"

START_TEST(a_user_has_as_many_clients_as_one_may_have)
{
        const struct acceptor_stats *stats;
        int clients[6];
        struct world w;

        world_init(&w, 100);
        stats = acceptor_stats(w.acceptor);
        acceptor_set_limits(w.acceptor, &(struct acceptor_limits){ .max_clients = 100, .max_user_clients = 2 });
        for (int i = 0; i < 3; i++)
                clients[i] = client_new("door");
        clients[3] = client_new("admin"); /* is not counted */
        turn(&w);
        ck_assert_uint_eq(w.n_adopted, 3);
        ck_assert(!is_refused(clients[1], "") && is_refused(clients[2], TOO_MANY));
        ck_assert_uint_eq(stats->rejected_user_clients, 1);
        ck_assert_uint_eq(stats->accepted, 3);
        for (unsigned i = 0; i < 3; i++)
                if (w.adopted[i].message.flags & ADOPT_ADMIN)
                        close_clients(&w, w.adopted[i].shard, 1, 1); /* and makes no room */
        clients[4] = client_new("door");
        turn(&w);
        ck_assert(is_refused(clients[4], TOO_MANY));
        for (int i = 0; i < 2; i++) /* one of these two is of the door */
                if (!(w.adopted[i].message.flags & ADOPT_ADMIN)) {
                        close_clients(&w, w.adopted[i].shard, 1, 0);
                        break;
                }
        clients[5] = client_new("door");
        turn(&w);
        ck_assert(!is_refused(clients[5], ""));
        ck_assert_uint_eq(w.n_adopted, 4);
        ck_assert_uint_eq(stats->rejected_full, 0);
        for (int i = 0; i < 6; i++)
                close(clients[i]);
        world_deinit(&w);
}
END_TEST

/* Known failure 52, as accepting sees it. */
START_TEST(a_user_connects_as_often_as_one_may)
{
        const struct acceptor_stats *stats;
        int clients[7];
        struct world w;

        world_init(&w, 100);
        stats = acceptor_stats(w.acceptor);
        acceptor_set_limits(w.acceptor, &(struct acceptor_limits){ .max_clients = 100, .user_connects = 3 });
        for (int i = 0; i < 5; i++)
                clients[i] = client_new("door");
        turn(&w);
        ck_assert_uint_eq(w.n_adopted, 3);
        ck_assert(is_refused(clients[3], TOO_OFTEN) && is_refused(clients[4], TOO_OFTEN));
        ck_assert_uint_eq(stats->rejected_user_connects, 2);
        fake_now += NSEC_PER_SEC / 3 + 1;
        clients[5] = client_new("door");
        clients[6] = client_new("door");
        turn(&w);
        ck_assert_uint_eq(w.n_adopted, 4);
        ck_assert(!is_refused(clients[5], "") && is_refused(clients[6], TOO_OFTEN));
        for (int i = 0; i < 7; i++)
                close(clients[i]);
        world_deinit(&w);
}
END_TEST

/* SO_PEERCRED has the effective uid. */
START_TEST(another_user_has_limits_of_his_own)
{
        int clients[4];
        struct world w;

        if (getuid() != 0)
                return; /* there is no other user to be */
        world_init(&w, 100);
        acceptor_set_limits(w.acceptor, &(struct acceptor_limits){ .max_clients = 100, .max_user_clients = 1 });
        for (int i = 0; i < 4; i++) {
                ck_assert_int_eq(seteuid(i % 2 ? 12345 : 0), 0);
                clients[i] = client_new("door");
                ck_assert_int_eq(seteuid(0), 0);
        }
        turn(&w);
        ck_assert_uint_eq(w.n_adopted, 2);
        ck_assert_uint_eq(w.adopted[0].message.uid + w.adopted[1].message.uid, 12345);
        ck_assert(is_refused(clients[2], TOO_MANY) && is_refused(clients[3], TOO_MANY));
        for (int i = 0; i < 4; i++)
                close(clients[i]);
        world_deinit(&w);
}
END_TEST

START_TEST(lowered_limits_are_for_those_who_come)
{
        struct acceptor_limits limits = { .max_clients = 2 };
        int clients[5];
        struct world w;

        world_init(&w, 100);
        for (int i = 0; i < 3; i++)
                clients[i] = client_new("door");
        turn(&w);
        acceptor_set_limits(w.acceptor, &limits);
        ck_assert_uint_eq(acceptor_limits(w.acceptor)->max_clients, 2);
        clients[3] = client_new("door");
        turn(&w);
        ck_assert_uint_eq(w.n_adopted, 3);
        ck_assert_uint_eq(acceptor_clients(w.acceptor), 3);
        ck_assert(is_refused(clients[3], "-ERR max number of clients reached\r\n"));
        close_clients(&w, w.adopted[0].shard, 1, 0);
        close_clients(&w, w.adopted[1].shard, 1, 0);
        clients[4] = client_new("door");
        turn(&w);
        ck_assert_uint_eq(w.n_adopted, 4);
        for (int i = 0; i < 5; i++)
                close(clients[i]);
        world_deinit(&w);
}
END_TEST

START_TEST(admin_clients_get_in_when_the_broker_is_full_and_are_bounded_themselves)
{
        int clients[1 + ACCEPTOR_ADMINS_MAX + 1], n = 0;
        char text[64];
        struct world w;

        world_init(&w, 1);
        clients[n++] = client_new("door");
        turn(&w);
        for (int i = 0; i < ACCEPTOR_ADMINS_MAX; i++)
                clients[n++] = client_new("admin");
        turn(&w);
        ck_assert_uint_eq(w.n_adopted, 1 + ACCEPTOR_ADMINS_MAX);
        ck_assert_uint_eq(w.adopted[w.n_adopted - 1].message.flags, ADOPT_ADMIN);
        ck_assert_str_eq(w.adopted[w.n_adopted - 1].message.path, "@admin");
        clients[n++] = client_new("admin");
        turn(&w);
        ck_assert_uint_eq(w.n_adopted, 1 + ACCEPTOR_ADMINS_MAX);
        ck_assert_int_gt(read(clients[n - 1], text, sizeof(text)), 0);
        close_clients(&w, w.adopted[5].shard, 1, 1);
        ck_assert_uint_eq(acceptor_clients(w.acceptor), ACCEPTOR_ADMINS_MAX);
        while (n)
                close(clients[--n]);
        world_deinit(&w);
}
END_TEST

/* Leaves room for n more descriptors. Return: the soft limit before. */
static rlim_t files_limit(unsigned n)
{
        struct rlimit limit;
        rlim_t saved;
        int next = dup(0);

        close(next);
        ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
        saved = limit.rlim_cur;
        limit.rlim_cur = (rlim_t)next + n;
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
        return saved;
}

static void files_unlimit(rlim_t saved)
{
        struct rlimit limit;

        ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
        limit.rlim_cur = saved;
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* Known failures 13 and 14: no accept call and no event while it waits. */
START_TEST(without_descriptors_accepting_pauses_and_a_close_resumes_it)
{
        const struct acceptor_stats *stats;
        int clients[5];
        struct world w;
        rlim_t saved;

        world_init(&w, 100);
        stats = acceptor_stats(w.acceptor);
        for (int i = 0; i < 5; i++)
                clients[i] = client_new("door");
        saved = files_limit(2);
        turn(&w);
        ck_assert_uint_eq(w.n_adopted, 2);
        ck_assert(stats->paused);
        ck_assert_uint_eq(stats->errors, 1);
        for (int i = 0; i < 100; i++)
                ev_run(w.loop, EVRUN_NOWAIT);
        ck_assert_uint_le(stats->errors, 2); /* a timer may have run out meanwhile, on a slow machine */
        close(w.adopted[0].message.fd);
        w.adopted[0].message.fd = -1;
        close_clients(&w, w.adopted[0].shard, 1, 0);
        ck_assert(!stats->paused);
        turn(&w);
        ck_assert_uint_eq(w.n_adopted, 3);
        ck_assert(stats->paused);
        files_unlimit(saved);
        for (int i = 0; i < 5; i++)
                close(clients[i]);
        world_deinit(&w);
}
END_TEST

START_TEST(without_descriptors_a_timer_resumes_too)
{
        const struct acceptor_stats *stats;
        int clients[2];
        struct world w;
        rlim_t saved;

        world_init(&w, 100);
        stats = acceptor_stats(w.acceptor);
        clients[0] = client_new("door");
        clients[1] = client_new("admin");
        saved = files_limit(0);
        turn(&w);
        ck_assert(stats->paused);
        ck_assert_uint_eq(stats->errors, 1); /* the first door stopped the other one as well */
        files_unlimit(saved);
        while (stats->paused)
                ev_run(w.loop, EVRUN_ONCE);
        while (w.n_adopted < 2)
                turn(&w);
        ck_assert(!stats->paused);
        for (int i = 0; i < 2; i++)
                close(clients[i]);
        world_deinit(&w);
}
END_TEST

START_TEST(a_burst_is_taken_in_batches)
{
        int clients[100];
        struct world w;

        world_init(&w, 100);
        for (int i = 0; i < 100; i++)
                clients[i] = client_new("door");
        turn(&w);
        ck_assert_uint_lt(w.n_adopted, 100);
        turn(&w);
        ck_assert_uint_eq(w.n_adopted, 100);
        for (int i = 0; i < 100; i++)
                close(clients[i]);
        world_deinit(&w);
}
END_TEST

START_TEST(nothing_is_accepted_after_the_stop)
{
        struct world w;
        int client;

        world_init(&w, 100);
        acceptor_stop(w.acceptor);
        client = client_new("door");
        turn(&w);
        ck_assert_uint_eq(w.n_adopted, 0);
        close(client);
        world_deinit(&w);
}
END_TEST

static void add(TCase *cases)
{
        tcase_add_test(cases, clients_are_spread_and_numbered_and_known_by_their_credentials);
        tcase_add_test(cases, a_client_is_known_by_its_supplementary_groups);
        tcase_add_test(cases, the_shard_with_the_fewest_clients_gets_the_next);
        tcase_add_test(cases, clients_over_the_maximum_are_told_and_closed_and_one_that_leaves_makes_room);
        tcase_add_test(cases, a_user_has_as_many_clients_as_one_may_have);
        tcase_add_test(cases, a_user_connects_as_often_as_one_may);
        tcase_add_test(cases, another_user_has_limits_of_his_own);
        tcase_add_test(cases, lowered_limits_are_for_those_who_come);
        tcase_add_test(cases, a_draining_broker_refuses_all_but_the_admin_socket);
        tcase_add_test(cases, without_an_admin_socket_it_does_not_drain);
        tcase_add_test(cases, admin_clients_get_in_when_the_broker_is_full_and_are_bounded_themselves);
        tcase_add_test(cases, without_descriptors_accepting_pauses_and_a_close_resumes_it);
        tcase_add_test(cases, without_descriptors_a_timer_resumes_too);
        tcase_add_test(cases, a_burst_is_taken_in_batches);
        tcase_add_test(cases, nothing_is_accepted_after_the_stop);
}

int main(void)
{
        return suite_run("acceptor", add);
}
