/* SPDX-License-Identifier: MIT */
/* A reload, without a signal: what differs, what it would do, and what it does to sockets and shards of this
 * test. */

#include "broker/reload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "broker/config_policy.h"
#include "broker/logging.h"
#include "broker/orders.h"
#include "mesh/mesh.h"
#include "shard/message.h"
#include "support/suite.h"
#include "util/log.h"

#define SHARDS  2
#define CLIENTS 16

struct stand_in {
        const struct policy *policy; /* the newest */
        unsigned n_policies;
        bool holds; /* does not say that it has taken them */
        unsigned n_owed;
};

struct world {
        char dir[32], file[64], a[64], b[64], c[64];
        struct mesh *mesh;
        struct waker_eventfd waker;
        uint16_t cpus[2];
        struct plan_machine machine;
        struct reload reload;
        struct stand_in shards[SHARDS];
        unsigned draining;
        struct message_adopt adopted[CLIENTS];
        unsigned n_adopted;
};

/* ------------------------------------------------------------------ two configurations */

static struct config *parse(const char *yaml)
{
        struct config *config;

        ck_assert_int_eq(config_parse(&config, "test", yaml, strlen(yaml), stderr), 0);
        return config;
}

static void check_change(const struct config_diff *diff, const char *key, const char *running, const char *next,
                         bool now)
{
        const struct config_change *change = config_diff_find(diff, key);

        ck_assert_msg(change != NULL, "no change of %s", key);
        ck_assert_str_eq(change->running, running);
        ck_assert_str_eq(change->next, next);
        ck_assert_int_eq(change->now, now);
}

START_TEST(a_difference_is_told_by_key_with_both_values)
{
        struct config *one = parse("shards: 2\nadmin: none\nlisteners:\n  - path: /run/a.sock\n"),
                      *two = parse("shards: auto\ncpus: [1, 0]\nadmin: /run/x.sock\nlog: {level: debug}\n"
                                   "max_clients: 5\nspin: 3us\n"
                                   "listeners:\n  - path: /run//a.sock\n    owner: 7\n  - path: \"@b c\"\n");
        struct config_diff diff;

        config_diff_init(&diff, one, two);
        ck_assert_uint_eq(diff.n, 7);
        ck_assert_uint_eq(config_diff_count(&diff, true), 3);
        ck_assert_uint_eq(config_diff_count(&diff, false), 4);
        check_change(&diff, "shards", "2", "auto", false);
        check_change(&diff, "cpus", "auto", "[1, 0]", false);
        check_change(&diff, "admin", "none", "/run/x.sock", false);
        check_change(&diff, "spin", "20us", "3us", false);
        check_change(&diff, "max_clients", "10000", "5", true);
        check_change(&diff, "log", "{target: stderr, format: human, level: info}",
                     "{target: stderr, format: human, level: debug}", true);
        check_change(&diff, "listeners",
                     "[{path: /run/a.sock, mode: 0600, backlog: 4096, authentication: none}]",
                     "[{path: /run/a.sock, mode: 0600, owner: 7, backlog: 4096, authentication: none}, "
                     "{path: \"@b c\", mode: 0600, backlog: 4096, authentication: none}]",
                     true);
        config_diff_deinit(&diff);
        config_keep(two, one);
        config_diff_init(&diff, one, two);
        ck_assert_uint_eq(diff.n, 3);
        ck_assert_uint_eq(config_diff_count(&diff, false), 0);
        ck_assert_ptr_null(two->admin);
        config_diff_deinit(&diff);
        config_keep(one, two);
        config_free(one);
        config_free(two);
}
END_TEST

START_TEST(what_is_kept_is_a_copy)
{
        struct config *one = parse("cpus: [3, 1]\nadmin: /run/x.sock\nlisteners: [{path: /run/a.sock}]\n"),
                      *two = parse("cpus: [0]\nlisteners: [{path: /run/a.sock}]\n");
        struct config_diff diff;

        config_keep(two, one);
        config_diff_init(&diff, one, two);
        ck_assert_uint_eq(diff.n, 0);
        config_diff_deinit(&diff);
        config_free(one);
        ck_assert_str_eq(two->admin, "/run/x.sock");
        ck_assert_uint_eq(two->n_cpu_list, 2);
        ck_assert_uint_eq(two->cpu_list[0], 3);
        config_free(two);
}
END_TEST

/* ------------------------------------------------------------------ a broker without clients */

static void write_file(const struct world *w, const char *format, ...)
{
        FILE *f = fopen(w->file, "w");
        va_list ap;

        ck_assert_ptr_nonnull(f);
        va_start(ap, format);
        vfprintf(f, format, ap);
        va_end(ap);
        ck_assert_int_eq(fclose(f), 0);
}

static bool no_order(void *arg, const struct message_order *order, struct control_answer *answer)
{
        (void)arg;
        (void)order;
        (void)answer;
        return false;
}

static void on_message(void *arg, const struct port_message *message)
{
        struct world *w = arg;
        struct stand_in *s = &w->shards[w->draining];

        if (message->type == MESSAGE_POLICY) {
                s->policy = ((const struct message_policy *)message->data)->policy;
                s->n_policies++;
                s->n_owed++;
        } else if (message->type == MESSAGE_ADOPT) {
                ck_assert_uint_lt(w->n_adopted, CLIENTS);
                memcpy(&w->adopted[w->n_adopted++], message->data, sizeof(struct message_adopt));
        }
}

/* The shards take what control gave them. */
static void turn(struct world *w)
{
        port_flush(mesh_port(w->mesh, SHARDS));
        for (w->draining = 0; w->draining < SHARDS; w->draining++) {
                struct stand_in *s = &w->shards[w->draining];

                port_drain(mesh_port(w->mesh, w->draining), 256, on_message, w);
                port_flush(mesh_port(w->mesh, w->draining));
                for (; !s->holds && s->n_owed; s->n_owed--)
                        policies_taken(w->reload.policies, w->draining);
        }
}

static void world_init(struct world *w)
{
        struct mesh_options mesh = { .n_ports = SHARDS + 1, .capacity = 4, .backlog_bytes = 1 << 20 };
        struct control_options options = { .n_shards = SHARDS, .order = no_order };

        memset(w, 0, sizeof(*w));
        strcpy(w->dir, "/tmp/brokerd-test-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(w->dir));
        snprintf(w->file, sizeof(w->file), "%s/broker.yaml", w->dir);
        snprintf(w->a, sizeof(w->a), "%s/a.sock", w->dir);
        snprintf(w->b, sizeof(w->b), "%s/b.sock", w->dir);
        snprintf(w->c, sizeof(w->c), "%s/c.sock", w->dir);
        write_file(w, "shards: 2\nlisteners:\n  - path: %s\n", w->a);
        w->cpus[1] = 1;
        w->machine = (struct plan_machine){ .cpus = w->cpus, .n_cpus = 2, .n_files = 100000 };
        w->reload.file = w->file;
        w->reload.machine = &w->machine;
        ck_assert_int_eq(config_load(&w->reload.config, w->file, stderr), 0);
        ck_assert_int_eq(plan_make(&w->reload.plan, w->reload.config, &w->machine, &(unsigned){ 0 }), 0);
        ck_assert_int_eq(control_block_signals(), 0);
        ck_assert_int_eq(mesh_new(&w->mesh, &mesh), 0);
        ck_assert_int_eq(waker_eventfd_init(&w->waker), 0);
        mesh_set_waker(w->mesh, SHARDS, waker_eventfd_waker(&w->waker));
        w->reload.listeners = listeners_new();
        ck_assert_int_eq(listeners_bind(w->reload.listeners, w->reload.config, NULL), 0);
        options.port = mesh_port(w->mesh, SHARDS);
        options.waker = &w->waker;
        options.limits.max_clients = w->reload.plan.max_clients;
        options.listeners = w->reload.listeners;
        w->reload.policies =
                policies_new(options.port, SHARDS, config_policy_new(w->reload.config, &w->reload.plan));
        options.policies = w->reload.policies;
        ck_assert_int_eq(control_new(&w->reload.control, &options), 0);
        ck_assert_int_eq(control_open(w->reload.control), 0);
}

static void world_deinit(struct world *w)
{
        listeners_close(w->reload.listeners);
        control_free(w->reload.control);
        for (unsigned i = 0; i < w->n_adopted; i++)
                close(w->adopted[i].fd);
        mesh_free(w->mesh, NULL, NULL);
        waker_eventfd_deinit(&w->waker);
        listeners_free(w->reload.listeners);
        policies_free(w->reload.policies);
        config_free(w->reload.config);
        unlink(w->file);
        ck_assert_int_eq(rmdir(w->dir), 0);
}

static int reload(struct world *w)
{
        struct config_diff diff = { 0 };
        struct buffer errors = { 0 };
        int r = reload_run(&w->reload, &diff, &errors);

        ck_assert_int_eq(r != 0, buffer_size(&errors) != 0);
        config_diff_deinit(&diff);
        buffer_deinit(&errors);
        return r;
}

/* Return: a descriptor, -errno. */
static int client(const char *path)
{
        struct sockaddr_un un = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

        strcpy(un.sun_path, path);
        if (connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0)
                return fd;
        close(fd);
        return -errno;
}

static bool is_open(const char *path)
{
        int fd = client(path);

        if (fd >= 0)
                close(fd);
        return fd >= 0;
}

START_TEST(to_look_changes_nothing)
{
        struct reload_outlook outlook;
        struct buffer errors = { 0 };
        const struct config *before;
        struct world w;

        world_init(&w);
        before = w.reload.config;
        write_file(&w, "shards: 1\nmax_clients: 9\nlisteners:\n  - path: %s\n  - path: %s\n", w.a, w.b);
        ck_assert_int_eq(reload_look(&w.reload, &outlook, &errors), 0);
        ck_assert_uint_eq(buffer_size(&errors), 0);
        ck_assert_uint_eq(outlook.diff.n, 3);
        check_change(&outlook.diff, "shards", "2", "1", false);
        check_change(&outlook.diff, "max_clients", "10000", "9", true);
        ck_assert_uint_eq(outlook.config->shards, 2);
        ck_assert_uint_eq(outlook.plan.n_shards, 2);
        ck_assert_uint_eq(outlook.plan.max_clients, 9);
        reload_outlook_deinit(&outlook);
        turn(&w);
        ck_assert_uint_eq(w.shards[0].n_policies, 0);
        ck_assert_uint_eq(policies_count(w.reload.policies), 1);
        ck_assert_ptr_eq(w.reload.config, before);
        ck_assert(!is_open(w.b));
        world_deinit(&w);
}
END_TEST

/* Return: the limit of before. */
static rlim_t limit_files(rlim_t n)
{
        struct rlimit limit;
        rlim_t before;

        ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
        before = limit.rlim_cur;
        limit.rlim_cur = n;
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
        return before;
}

static void check_refused(struct world *w, const char *why)
{
        struct reload_outlook outlook = { 0 };
        struct buffer errors = { 0 };

        ck_assert_int_eq(reload_look(&w->reload, &outlook, &errors), RELOAD_E_REFUSED);
        ck_assert_ptr_null(outlook.config);
        buffer_put(&errors, "", 1);
        ck_assert_msg(strstr((const char *)errors.data, why) != NULL, "%s", (const char *)errors.data);
        buffer_deinit(&errors);
}

/* With what runs in the place of what only a start changes it would do; the next start would fail. */
START_TEST(a_file_that_no_start_could_take_is_refused)
{
        rlim_t usual;
        struct world w;

        world_init(&w);
        write_file(&w, "shards: 2\ncpus: [0, 7]\nlisteners:\n  - path: %s\n", w.a);
        check_refused(&w, "CPU 7 is not among those");
        write_file(&w, "shards: 2\ncolour: red\nlisteners:\n  - path: %s\n", w.a);
        check_refused(&w, "broker.yaml:2:1: error: unknown key \"colour\"");
        write_file(&w, "shards: 2\nlisteners:\n  - path: %s\n", w.a);
        usual = limit_files(30);
        check_refused(&w, "a limit of 30 descriptors leaves none");
        limit_files(usual);
        world_deinit(&w);
}
END_TEST

/* A pipe that nobody writes to would be waited for. */
START_TEST(a_file_that_is_none_is_not_waited_for)
{
        struct world w;

        world_init(&w);
        unlink(w.file);
        check_refused(&w, "No such file or directory");
        ck_assert_int_eq(mkfifo(w.file, 0600), 0);
        check_refused(&w, "not a plain file");
        unlink(w.file);
        write_file(&w, "shards: 2\nlisteners:\n  - path: %s", w.a);
        check_refused(&w, "the last line does not end");
        world_deinit(&w);
}
END_TEST

START_TEST(another_limit_of_descriptors_is_a_change)
{
        struct reload_outlook outlook;
        struct buffer errors = { 0 };
        struct world w;
        char fits[16];
        rlim_t usual;

        world_init(&w);
        usual = limit_files(200);
        ck_assert_int_eq(reload_look(&w.reload, &outlook, &errors), 0);
        ck_assert_uint_lt(outlook.plan.max_clients, 200);
        snprintf(fits, sizeof(fits), "%u", outlook.plan.max_clients);
        ck_assert_uint_eq(outlook.diff.n, 1);
        check_change(&outlook.diff, "max_clients", "10000", fits, true);
        reload_outlook_deinit(&outlook);
        ck_assert_int_eq(reload(&w), 0);
        ck_assert_int_eq(reload_look(&w.reload, &outlook, &errors), 0);
        ck_assert_uint_eq(outlook.diff.n, 0);
        reload_outlook_deinit(&outlook);
        limit_files(usual);
        world_deinit(&w);
}
END_TEST

START_TEST(a_policy_is_kept_until_every_shard_has_a_newer_one)
{
        struct world w;

        world_init(&w);
        w.shards[0].holds = true;
        for (unsigned i = 1; i <= 3; i++) {
                write_file(&w, "shards: 2\nmax_request_bytes: %u\nlisteners:\n  - path: %s\n", 1000 + i, w.a);
                ck_assert_int_eq(reload(&w), 0);
                turn(&w);
                ck_assert_uint_eq(policies_count(w.reload.policies), 1 + i);
                for (unsigned j = 0; j < SHARDS; j++) {
                        ck_assert_uint_eq(w.shards[j].n_policies, i);
                        ck_assert_uint_eq(w.shards[j].policy->limits.request_bytes, 1000 + i);
                }
        }
        for (unsigned i = 0; i < 3; i++) {
                w.shards[0].n_owed--;
                policies_taken(w.reload.policies, 0);
                ck_assert_uint_eq(policies_count(w.reload.policies), 3 - i);
        }
        ck_assert_uint_eq(policies_newest(w.reload.policies)->limits.request_bytes, 1003);
        ck_assert_int_eq(reload(&w), 0);
        turn(&w);
        ck_assert_uint_eq(w.shards[1].n_policies, 3); /* nothing changed */
        write_file(&w, "shards: 2\nlisteners:\n  - path: %s\n", w.a);
        ck_assert_int_eq(reload(&w), 0);
        world_deinit(&w); /* while it is under way */
}
END_TEST

/* ------------------------------------------------------------------ sockets */

/* Changes the sockets to these; control takes nobody in, so what waits stays. */
static int listen_on(struct world *w, const char *one, const char *two, const char *three)
{
        write_file(w, "shards: 2\nlisteners:\n  - path: %s\n%s%s%s%s%s", one, two ? "  - path: " : "",
                   two ? two : "", three ? "\n  - path: " : "", three ? three : "", two ? "\n" : "");
        return reload(w);
}

START_TEST(clients_of_a_listener_that_goes_know_its_name_and_so_do_those_of_its_return)
{
        const char *name;
        struct world w;
        int fds[3];

        world_init(&w);
        ck_assert_int_eq(listen_on(&w, w.b, NULL, NULL), 0);
        ck_assert(!is_open(w.a));
        fds[0] = client(w.b);
        fds[1] = client(w.b);
        ck_assert_int_ge(fds[0], 0);
        ck_assert_int_eq(listen_on(&w, w.a, NULL, NULL), 0);
        turn(&w);
        ck_assert_uint_eq(w.n_adopted, 2); /* both waited still */
        name = w.adopted[0].path;
        ck_assert_str_eq(name, w.b);
        ck_assert(!is_open(w.b));
        ck_assert_int_eq(listen_on(&w, w.a, w.b, NULL), 0);
        fds[2] = client(w.b);
        ck_assert_int_ge(fds[2], 0);
        ck_assert_int_eq(listen_on(&w, w.a, w.c, NULL), 0);
        turn(&w);
        ck_assert_uint_eq(w.n_adopted, 3);
        ck_assert_ptr_eq(w.adopted[2].path, name);
        listeners_close(w.reload.listeners);
        ck_assert_str_eq(name, w.b);
        for (unsigned i = 0; i < 3; i++)
                close(fds[i]);
        world_deinit(&w);
}
END_TEST

static mode_t mode_of(const char *path)
{
        struct stat st;

        ck_assert_int_eq(stat(path, &st), 0);
        return st.st_mode & 07777;
}

/* The last of three cannot be had: the first keeps its mode and its backlog, the second does not come. */
START_TEST(all_sockets_change_or_none)
{
        char lock[80];
        struct world w;
        int fd;

        world_init(&w);
        fd = open(w.c, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        close(fd);
        write_file(
                &w,
                "shards: 2\nmax_request_bytes: 77\nlisteners:\n  - path: %s\n    mode: 0666\n    backlog: 1\n"
                "  - path: %s\n  - path: %s\n",
                w.a, w.b, w.c);
        ck_assert_int_eq(reload(&w), RELOAD_E_REFUSED);
        turn(&w);
        ck_assert_uint_eq(w.shards[0].n_policies, 0);
        ck_assert_uint_eq(mode_of(w.a), 0600);
        ck_assert(is_open(w.a));
        snprintf(lock, sizeof(lock), "%s.lock", w.b);
        ck_assert_int_ne(access(w.b, F_OK), 0);
        ck_assert_int_ne(access(lock, F_OK), 0);
        ck_assert_int_eq(unlink(w.c), 0);
        ck_assert_int_eq(reload(&w), 0);
        ck_assert_uint_eq(mode_of(w.a), 0666);
        ck_assert(is_open(w.b) && is_open(w.c));
        world_deinit(&w);
}
END_TEST

/* The file of the first was removed, so its mode cannot be changed; the second has changed by then. */
START_TEST(a_change_that_fails_takes_back_those_before_it)
{
        struct world w;

        world_init(&w);
        ck_assert_int_eq(listen_on(&w, w.b, w.a, NULL), 0);
        ck_assert_int_eq(unlink(w.a), 0);
        write_file(&w,
                   "shards: 2\nlisteners:\n  - path: %s\n    mode: 0666\n  - path: %s\n    mode: 0666\n"
                   "  - path: %s\n",
                   w.b, w.a, w.c);
        ck_assert_int_eq(reload(&w), RELOAD_E_REFUSED);
        ck_assert_uint_eq(mode_of(w.b), 0600);
        ck_assert_int_ne(access(w.c, F_OK), 0);
        world_deinit(&w);
}
END_TEST

/* As many as there can be, with names of this kind and round. */
static int prepare_many(struct world *w, char kind, unsigned round, struct listeners_change **changep)
{
        struct config_listener many[CONFIG_LISTENERS_MAX];
        struct config config = { .listeners = many, .n_listeners = CONFIG_LISTENERS_MAX };
        char names[CONFIG_LISTENERS_MAX][32];

        for (unsigned i = 0; i < CONFIG_LISTENERS_MAX; i++) {
                snprintf(names[i], sizeof(names[i]), "@%d.%c.%u.%u", (int)getpid(), kind, round, i);
                many[i] = (struct config_listener){ .path = names[i], .backlog = 1 };
        }
        return listeners_prepare(w->reload.listeners, &config, changep);
}

/* Only those that were in use count. */
START_TEST(the_number_of_names_is_bounded)
{
        struct listeners_change *change;
        struct world w;
        unsigned round = 0;

        world_init(&w);
        log_set_level(LOG_LEVEL_ERROR);
        while (prepare_many(&w, 'a', round, &change) == 0) {
                listeners_cancel(change);
                ck_assert_int_eq(prepare_many(&w, 'b', round++, &change), 0);
                control_change(w.reload.control, change, &(struct acceptor_limits){ .max_clients = 10 });
        }
        ck_assert_uint_eq(round, (LISTENERS_NAMES_MAX - 1) / CONFIG_LISTENERS_MAX);
        ck_assert_int_eq(prepare_many(&w, 'b', 0, &change), 0);
        control_change(w.reload.control, change, &(struct acceptor_limits){ .max_clients = 10 });
        log_set_level(LOG_LEVEL_INFO);
        world_deinit(&w);
}
END_TEST

/* ------------------------------------------------------------------ orders of clients */

static bool obey(struct world *w, enum order_kind kind, uint32_t value, struct control_answer *answer)
{
        struct message_order order = { .kind = kind, .value = value };

        *answer = (struct control_answer){ 0 };
        return orders_obey(&w->reload, &order, answer);
}

/* What the texts are, each ended by a bar; the file comes first. */
static void check_texts(const struct world *w, struct control_answer *answer, const char *expected)
{
        size_t n = strlen(w->file) + 1;

        ck_assert_str_eq((const char *)answer->texts.data, w->file);
        buffer_consume(&answer->texts, n);
        for (size_t i = answer->texts.start; i < answer->texts.end; i++)
                answer->texts.data[i] = answer->texts.data[i] ? answer->texts.data[i] : '|';
        buffer_put(&answer->texts, "", 1);
        ck_assert_str_eq((const char *)buffer_view(&answer->texts).p, expected);
        buffer_deinit(&answer->texts);
}

START_TEST(orders_tell_what_changes_and_when)
{
        static const char changes[] = "shards|2|1|restart|max_clients|10000|9|now|";
        struct control_answer answer;
        struct world w;

        world_init(&w);
        write_file(&w, "shards: 1\nmax_clients: 9\nlisteners:\n  - path: %s\n", w.a);
        ck_assert(obey(&w, ORDER_DIFF, 0, &answer));
        ck_assert_uint_eq(answer.head.n_changes, 2);
        check_texts(&w, &answer, changes);
        ck_assert_uint_eq(w.reload.config->max_clients, 10000);
        ck_assert(obey(&w, ORDER_RELOAD, 0, &answer));
        check_texts(&w, &answer, changes);
        ck_assert_uint_eq(w.reload.config->max_clients, 9);
        ck_assert(obey(&w, ORDER_DIFF, 0, &answer));
        check_texts(&w, &answer, "shards|2|1|restart|");
        turn(&w);
        world_deinit(&w);
}
END_TEST

/* Errors of the file without its excerpts, and those of the change, which look at nobody's log. */
START_TEST(orders_tell_every_error)
{
        struct control_answer answer;
        struct world w;
        char text[500];
        int fd;

        world_init(&w);
        write_file(&w, "shard: 1\nmax_clients: 0\nlisteners:\n  - path: %s\n", w.a);
        snprintf(text, sizeof(text),
                 "%s:1:1: error: unknown key \"shard\"; did you mean \"shards\"?|"
                 "%s:2:14: error: bad value for \"max_clients\": got \"0\", expected an integer 1..1000000|",
                 w.file, w.file);
        ck_assert(!obey(&w, ORDER_DIFF, 0, &answer));
        ck_assert_uint_eq(answer.head.n_changes, 0);
        check_texts(&w, &answer, text);
        ck_assert(!obey(&w, ORDER_RELOAD, 0, &answer));
        check_texts(&w, &answer, text);
        fd = open(w.c, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        close(fd);
        write_file(&w, "shards: 2\nlisteners:\n  - path: %s\n  - path: %s\n", w.a, w.c);
        ck_assert(!obey(&w, ORDER_RELOAD, 0, &answer));
        buffer_consume(&answer.texts, strlen(w.file) + 1);
        ck_assert_ptr_nonnull(strstr((const char *)buffer_view(&answer.texts).p, w.c));
        buffer_deinit(&answer.texts);
        ck_assert_int_eq(unlink(w.c), 0);
        world_deinit(&w);
}
END_TEST

START_TEST(orders_show_what_runs)
{
        struct control_answer answer;
        struct world w;
        char text[300];

        world_init(&w);
        ck_assert(obey(&w, ORDER_SHOW, 1, &answer));
        snprintf(text, sizeof(text),
                 "shards: 2\nlisteners:\n  - path: %s\n    mode: 0600\n    # owner: not set\n"
                 "    # group: not set\n    backlog: 4096\n    authentication: none\n|",
                 w.a);
        check_texts(&w, &answer, text);
        ck_assert(obey(&w, ORDER_SHOW, 0, &answer));
        buffer_consume(&answer.texts, strlen(w.file) + 1);
        ck_assert_ptr_nonnull(strstr((const char *)buffer_view(&answer.texts).p, "\nmax_clients: 10000\n"));
        buffer_deinit(&answer.texts);
        world_deinit(&w);
}
END_TEST

/* It is a difference of file and running then, so that the next reload takes it back. */
START_TEST(an_ordered_level_holds_until_the_next_reload)
{
        struct control_answer answer;
        struct world w;

        world_init(&w);
        ck_assert(obey(&w, ORDER_LOG, LOG_LEVEL_ERROR, &answer));
        check_texts(&w, &answer, "");
        ck_assert(!log_would(LOG_LEVEL_WARNING));
        ck_assert(obey(&w, ORDER_RELOAD, 0, &answer));
        check_texts(&w, &answer,
                    "log|{target: stderr, format: human, level: error}|"
                    "{target: stderr, format: human, level: info}|now|");
        ck_assert(log_would(LOG_LEVEL_INFO));
        ck_assert(!log_would(LOG_LEVEL_DEBUG));
        turn(&w);
        world_deinit(&w);
}
END_TEST

/* ------------------------------------------------------------------ the log */

static char *contents(const char *file)
{
        static char text[8192];
        FILE *f = fopen(file, "r");

        ck_assert_ptr_nonnull(f);
        text[fread(text, 1, sizeof(text) - 1, f)] = 0;
        fclose(f);
        return text;
}

/* All or nothing: a log that cannot be written takes back the new listener, and what happens is logged where it
 * was so far. */
START_TEST(the_log_goes_elsewhere_with_the_rest_or_not_at_all)
{
        char log[80], other[80];
        struct world w;

        world_init(&w);
        snprintf(log, sizeof(log), "%s/log", w.dir);
        snprintf(other, sizeof(other), "%s/none/log", w.dir);
        write_file(&w, "shards: 2\nlisteners:\n  - path: %s\nlog: {target: %s, format: json}\n", w.a, log);
        ck_assert_int_eq(reload(&w), 0);
        ck_assert_ptr_nonnull(strstr(contents(log), "1 change (log)\"}\n"));
        write_file(&w, "shards: 2\nlisteners:\n  - path: %s\n  - path: %s\nlog: {target: %s}\n", w.a, w.b,
                   other);
        ck_assert_int_eq(reload(&w), RELOAD_E_REFUSED);
        ck_assert_ptr_nonnull(strstr(contents(log), "cannot log to"));
        ck_assert_ptr_nonnull(strstr(contents(log), "reload refused"));
        ck_assert_int_ne(access(w.b, F_OK), 0);
        ck_assert_int_eq(unlink(log), 0);
        write_file(&w, "shards: 2\nlisteners:\n  - path: %s\nlog: {target: %s, format: json, level: error}\n",
                   w.a, log);
        ck_assert_int_eq(reload(&w), 0); /* the level alone opens no file */
        ck_assert_int_ne(access(log, F_OK), 0);
        logging_reopen();
        log_error("here");
        ck_assert_ptr_nonnull(strstr(contents(log), "\"msg\":\"here\"}\n"));
        write_file(&w, "shards: 2\nlisteners:\n  - path: %s\n", w.a);
        ck_assert_int_eq(reload(&w), 0);
        ck_assert_ptr_null(strstr(contents(log), "reloaded"));
        ck_assert_int_eq(unlink(log), 0);
        turn(&w);
        world_deinit(&w);
}
END_TEST

static void add(TCase *cases)
{
        tcase_add_test(cases, the_log_goes_elsewhere_with_the_rest_or_not_at_all);
        tcase_add_test(cases, orders_tell_what_changes_and_when);
        tcase_add_test(cases, orders_tell_every_error);
        tcase_add_test(cases, orders_show_what_runs);
        tcase_add_test(cases, an_ordered_level_holds_until_the_next_reload);
        tcase_add_test(cases, a_difference_is_told_by_key_with_both_values);
        tcase_add_test(cases, what_is_kept_is_a_copy);
        tcase_add_test(cases, to_look_changes_nothing);
        tcase_add_test(cases, a_file_that_no_start_could_take_is_refused);
        tcase_add_test(cases, a_file_that_is_none_is_not_waited_for);
        tcase_add_test(cases, another_limit_of_descriptors_is_a_change);
        tcase_add_test(cases, a_policy_is_kept_until_every_shard_has_a_newer_one);
        tcase_add_test(cases, clients_of_a_listener_that_goes_know_its_name_and_so_do_those_of_its_return);
        tcase_add_test(cases, all_sockets_change_or_none);
        tcase_add_test(cases, a_change_that_fails_takes_back_those_before_it);
        tcase_add_test(cases, the_number_of_names_is_bounded);
}

int main(void)
{
        return suite_run("reload", add);
}
