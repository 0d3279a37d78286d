/* SPDX-License-Identifier: MIT */
/* Puts a broker together from its configuration, and takes it apart again. */

#include "broker/broker.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <config.h>

#include "broker/authority.h"
#include "broker/config_policy.h"
#include "broker/control.h"
#include "broker/crew.h"
#include "broker/listeners.h"
#include "broker/logging.h"
#include "broker/orders.h"
#include "broker/plan.h"
#include "broker/policies.h"
#include "broker/privileges.h"
#include "broker/reload.h"
#include "broker/secrets.h"
#include "broker/service.h"
#include "mesh/mesh.h"
#include "reactor/choose.h"
#include "shard/message.h"
#include "util/buffer.h"
#include "util/clock.h"
#include "util/cpu.h"
#include "util/log.h"
#include "util/mem.h"

/*
 * Messages of one source in one turn of a shard: enough that the fixed cost of a turn (one wait, some 1-2 us)
 * is a few nanoseconds a message, and few enough that a turn stays well under a millisecond of deliveries,
 * which is what sockets and other sources wait.
 */
#define BROKER_DRAIN_BUDGET  256
#define BROKER_RECEIVE_BYTES (128 * 1024) /* of one read, by libev */
#define BROKER_BUFFER_BYTES  (16 * 1024)  /* of one receive, by io_uring */
#define BROKER_LINGER_NS     (5 * NSEC_PER_SEC)

struct broker {
        struct reload reload; /* the configuration and what runs by it */
        char *file;           /* of reload */
        uint16_t cpus[CONFIG_CPUS_MAX];
        struct plan_machine machine; /* of reload; at the start */
        struct reactor_choice reactor;
        struct mesh *mesh;
        struct waker_eventfd waker; /* of control's port */
        bool has_waker;
        struct crew *crew;
        struct service service;
        struct secrets *secrets; /* until the authority has them */
        struct user user;
        bool becomes_user;
};

/*
 * Raises the soft limit of descriptors to the hard one. The hard one is the operator's word and stays, also
 * where this process could change it. Return: what holds now.
 */
static uint64_t broker_raise_files(void)
{
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return 0;
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
                log_warning("cannot raise the limit of descriptors to %ju: %s", (uintmax_t)limit.rlim_max,
                            strerror(errno));
        return getrlimit(RLIMIT_NOFILE, &limit) < 0 ? 0 : limit.rlim_cur;
}

/* Return: 0, BROKER_E_START. */
static int broker_plan(struct broker *b)
{
        const struct config *config = b->reload.config;
        struct buffer text = { 0 };
        unsigned cpu = 0;
        int r = cpu_allowed(b->cpus, CONFIG_CPUS_MAX, &b->machine.n_cpus);

        if (r < 0) {
                log_error("cannot tell which CPUs may be used: %s", strerror(-r));
                return BROKER_E_START;
        }
        b->machine.cpus = b->cpus;
        b->machine.n_passed = b->service.n_sockets;
        b->machine.n_files = broker_raise_files();
        b->reload.machine = &b->machine;
        r = plan_make(&b->reload.plan, config, &b->machine, &cpu);
        if (r) {
                plan_explain(r, &b->machine, cpu, &text);
                log_error("%s", (const char *)text.data);
        } else if (plan_warning(&b->reload.plan, config, b->machine.n_files, &text)) {
                log_warning("%s", (const char *)text.data);
        }
        buffer_deinit(&text);
        return r ? BROKER_E_START : 0;
}

/* Who may own the file of secrets, beside root. */
static uid_t broker_owner(const struct config *config)
{
        return config->user == (uid_t)-1 ? geteuid() : config->user;
}

int broker_check(const struct config *config, FILE *errors)
{
        struct hash_key key = { 0 };
        struct secrets *secrets = NULL;

        if (config->secrets && secrets_load(&secrets, config->secrets, broker_owner(config), &key, errors))
                return BROKER_E_CONFIG;
        secrets_free(secrets);
        return 0;
}

/* What only root may read. Return: 0, BROKER_E_START, BROKER_E_CONFIG. */
static int broker_secrets(struct broker *b)
{
        const struct config *config = b->reload.config;

        b->reload.secrets_key = hash_key_random();
        if (config->secrets &&
            secrets_load(&b->secrets, config->secrets, broker_owner(config), &b->reload.secrets_key, stderr))
                return BROKER_E_CONFIG;
        return privileges_find(config->user, &b->user, &b->becomes_user) ? BROKER_E_START : 0;
}

/* Return: 0, BROKER_E_START, BROKER_E_CONFIG. */
static int broker_bind(struct broker *b)
{
        b->reload.listeners = listeners_new();
        switch (listeners_bind(b->reload.listeners, b->reload.config, &b->service)) {
        case 0:
                return 0;
        case LISTENERS_E_NONE:
                return BROKER_E_CONFIG;
        default:
                return BROKER_E_START;
        }
}

static int broker_look_ahead(void *listeners)
{
        return listeners_look_ahead(listeners);
}

/* Return: 0, BROKER_E_START. */
static int broker_become(struct broker *b)
{
        int r = 0;

        if (b->becomes_user)
                r = listeners_give(b->reload.listeners, b->user.uid, b->user.gid);
        if (!r && b->becomes_user)
                r = privileges_as(&b->user, broker_look_ahead, b->reload.listeners);
        if (!r && b->becomes_user)
                r = privileges_drop(&b->user);
        if (!r)
                r = privileges_seal();
        if (!r && b->secrets)
                privileges_hide();
        return r ? BROKER_E_START : 0;
}

static struct reactor_options broker_reactor_options(const struct broker *b)
{
        return (struct reactor_options){
                .wake_fd = -1,
                .receive_bytes = BROKER_RECEIVE_BYTES,
                .ring = { .entries = b->reload.config->io_uring_entries,
                          .completions = 4 * b->reload.config->io_uring_entries,
                          .buffers = b->reload.config->io_uring_buffers,
                          .buffer_bytes = BROKER_BUFFER_BYTES,
                          .single_shot = b->reactor.single_shot },
        };
}

/* Return: 0, BROKER_E_START. */
static int broker_reactor(struct broker *b)
{
        static const enum reactor_wish wish[] = { [CONFIG_REACTOR_AUTO] = REACTOR_WISH_AUTO,
                                                  [CONFIG_REACTOR_IO_URING] = REACTOR_WISH_IO_URING,
                                                  [CONFIG_REACTOR_LIBEV] = REACTOR_WISH_LIBEV };
        static const enum reactor_receive receive[] = { [CONFIG_RECEIVE_AUTO] = REACTOR_RECEIVE_AUTO,
                                                        [CONFIG_RECEIVE_MULTISHOT] = REACTOR_RECEIVE_MULTISHOT,
                                                        [CONFIG_RECEIVE_SINGLE] = REACTOR_RECEIVE_SINGLE };
        struct reactor_wishes wishes = { .wish = wish[b->reload.config->reactor],
                                         .receive = receive[b->reload.config->io_uring_receive],
                                         .n = b->reload.plan.n_shards };
        struct reactor_options options = broker_reactor_options(b);

        if (reactor_choose(&b->reactor, &wishes, &options) == 0)
                return 0;
        log_error("reactor: io_uring does not work here: %s", b->reactor.why);
        return BROKER_E_START;
}

static struct shard_options broker_shard_options(const struct broker *b)
{
        return (struct shard_options){
                .reactor_ops = b->reactor.ops,
                .reactor = broker_reactor_options(b),
                .reactor_reason = b->reactor.why,
                .now = clock_now,
                .spin_ns = b->reload.plan.spin_ns,
                .drain_budget = BROKER_DRAIN_BUDGET,
                .policy = policies_newest(b->reload.policies),
                .linger_ns = BROKER_LINGER_NS,
                .hash_key = hash_key_random(),
                .owner = geteuid(),
                .version = PACKAGE_VERSION,
        };
}

/* Return: 0, BROKER_E_START. */
static int broker_mesh(struct broker *b)
{
        struct mesh_options options = { .n_ports = b->reload.plan.n_shards + 1,
                                        .capacity = b->reload.config->ring_capacity,
                                        .backlog_bytes = b->reload.config->backlog_bytes };
        int r = mesh_new(&b->mesh, &options);

        if (r == 0)
                r = waker_eventfd_init(&b->waker);
        if (r < 0) {
                log_error("cannot make the mesh of %u threads: %s", options.n_ports, strerror(-r));
                return BROKER_E_START;
        }
        b->has_waker = true;
        mesh_set_waker(b->mesh, b->reload.plan.n_shards, waker_eventfd_waker(&b->waker));
        return 0;
}

/* Return: 0, BROKER_E_START. */
static int broker_authority(struct broker *b)
{
        struct reload *reload = &b->reload;
        int r = authority_new(&reload->authority, mesh_port(b->mesh, reload->plan.n_shards));

        if (r < 0)
                log_error("cannot make an eventfd: %s", strerror(-r));
        else if (b->secrets)
                r = authority_prepare(reload->authority);
        return r < 0 ? BROKER_E_START : 0;
}

/* Return: 0, BROKER_E_START. */
static int broker_control(struct broker *b)
{
        struct reload *reload = &b->reload;
        unsigned n = reload->plan.n_shards;
        struct port *port = mesh_port(b->mesh, n);
        struct policy *policy = config_policy_new(reload->config, &reload->plan);
        struct control_options options = { .port = port,
                                           .waker = &b->waker,
                                           .n_shards = n,
                                           .limits = config_acceptor_limits(reload->config, &reload->plan),
                                           .service = &b->service,
                                           .authority = reload->authority,
                                           .listeners = reload->listeners,
                                           .order = orders_obey,
                                           .order_arg = reload };
        int r;

        config_policy_set_secrets(policy, b->secrets);
        authority_set_secrets(reload->authority, b->secrets);
        b->secrets = NULL;
        reload->policies = policies_new(port, n, policy);
        options.policies = reload->policies;
        r = control_new(&reload->control, &options);
        if (r < 0)
                log_error("cannot make the control thread's loop: %s", strerror(-r));
        return r < 0 ? BROKER_E_START : 0;
}

/* Return: 0, BROKER_E_START. */
static int broker_crew(struct broker *b)
{
        struct crew_options options = { .n_shards = b->reload.plan.n_shards,
                                        .mesh = b->mesh,
                                        .cpus = b->reload.plan.cpu,
                                        .must_pin = b->reload.plan.must_pin,
                                        .shard = broker_shard_options(b) };

        return crew_new(&b->crew, &options) ? BROKER_E_START : 0;
}

static const char *broker_receive_name(const struct broker *b)
{
        if (b->reactor.ops != &reactor_uring)
                return "";
        return b->reactor.single_shot ? " (single receives)" : " (multishot receives)";
}

static void broker_announce(const struct broker *b)
{
        struct buffer where = { 0 };

        if (b->reload.plan.pinning == PLAN_UNPINNED_BY_CONFIG)
                buffer_printf(&where, "not pinned");
        else if (b->reload.plan.pinning == PLAN_UNPINNED_NO_SPARE)
                buffer_printf(&where, "not pinned, since no CPU would be to spare");
        else
                for (unsigned i = 0; i < b->reload.plan.n_shards; i++)
                        buffer_printf(&where, "%s%d", i ? "," : "pinned to CPU ", b->reload.plan.cpu[i]);
        log_info("brokerd %s: %u shard%s on %s, %.*s, at most %u clients", PACKAGE_VERSION,
                 b->reload.plan.n_shards, b->reload.plan.n_shards == 1 ? "" : "s", b->reactor.ops->name,
                 (int)buffer_size(&where), (const char *)buffer_view(&where).p, b->reload.plan.max_clients);
        log_info("reactor %s%s: %s", b->reactor.ops->name, broker_receive_name(b), b->reactor.why);
        buffer_deinit(&where);
        if (geteuid() == 0 && b->reload.config->user == (uid_t)-1)
                log_warning("it runs as root; set the option user to a user that it shall become");
}

/*
 * From here on the log goes where it shall. What goes wrong is said on stderr all the same: nobody looks into
 * the log of a broker that did not start. Return: 0, BROKER_E_START.
 */
static int broker_open(struct broker *b)
{
        const struct config_log *log = &b->reload.config->log;
        struct buffer errors = { 0 };
        int r;

        if (logging_open(log))
                return BROKER_E_START;
        broker_announce(b);
        log_echo(&errors);
        r = control_open(b->reload.control);
        log_echo(NULL);
        if (r && !logging_is_stderr(log))
                fprintf(stderr, "%.*s", (int)buffer_size(&errors), (const char *)buffer_view(&errors).p);
        buffer_deinit(&errors);
        return r ? BROKER_E_START : 0;
}

/* Return: 0, BROKER_E_START, BROKER_E_CONFIG. */
static int broker_start(struct broker *b)
{
        int r = service_init(&b->service) ? BROKER_E_START : 0;

        if (!r)
                r = broker_plan(b);
        if (!r)
                r = broker_secrets(b);
        if (!r)
                r = broker_bind(b);
        if (!r)
                r = broker_become(b);
        if (!r)
                r = broker_reactor(b);
        if (!r)
                r = broker_mesh(b);
        if (!r)
                r = broker_authority(b);
        if (!r)
                r = broker_control(b);
        if (!r)
                r = broker_crew(b);
        return r ? r : broker_open(b);
}

/* A descriptor that was on its way to a shard when that stopped, or a password. */
static void broker_drop_message(void *arg, const struct port_message *message)
{
        (void)arg;
        if (message->type == MESSAGE_ADOPT)
                close(((const struct message_adopt *)message->data)->fd);
        else if (message->type == MESSAGE_VERIFY)
                explicit_bzero(message->data, message->size);
}

static void broker_deinit(struct broker *b)
{
        if (b->reload.listeners)
                listeners_close(b->reload.listeners);
        b->reload.control = control_free(b->reload.control);
        b->crew = crew_free(b->crew);
        b->reload.authority = authority_free(b->reload.authority);
        b->secrets = secrets_free(b->secrets);
        privileges_forget(&b->user);
        if (b->mesh)
                b->mesh = mesh_free(b->mesh, broker_drop_message, NULL);
        if (b->has_waker)
                waker_eventfd_deinit(&b->waker);
        service_deinit(&b->service);
        b->reload.listeners = listeners_free(b->reload.listeners);
        b->reload.policies = policies_free(b->reload.policies);
        b->reload.config = config_free(b->reload.config);
        free(b->file);
}

static void broker_serve(struct broker *b)
{
        uint64_t deadline;

        crew_go(b->crew);
        log_info("ready");
        control_run(b->reload.control, &deadline);
        if (crew_join(b->crew, deadline)) {
                log_error("a shard's thread does not end");
                _exit(EXIT_FAILURE);
        }
        if (!authority_join(b->reload.authority, deadline)) {
                log_info("stopped, while a password was being verified");
                _exit(EXIT_SUCCESS); /* nothing is left that would miss it */
        }
        log_info("stopped");
}

/*
 * A message that crosses shards and is too large for a slot is allocated by one thread and freed by another.
 * With the allocator's own limits that makes heaps shrink and grow again at every turn, and each of their pages
 * fault.
 */
static void broker_keep_memory(void)
{
        mallopt(M_TRIM_THRESHOLD, 64 << 20);
        mallopt(M_TOP_PAD, 1 << 20);
        mallopt(M_MMAP_THRESHOLD, 4 << 20);
}

/* A name of the directory that the broker was started in is made one of the machine. */
static char *broker_file(const char *file)
{
        char *dir = *file == '/' ? NULL : getcwd(NULL, 0);
        struct buffer path = { 0 };

        buffer_printf(&path, "%s%s%s", dir ? dir : "", dir ? "/" : "", file);
        free(dir);
        return (char *)path.data;
}

int broker_run(struct config *config)
{
        struct broker b = { .reload.config = config,
                            .file = broker_file(config->file),
                            .service = { .fd = -1 } };
        int r;

        b.reload.file = b.file;
        broker_keep_memory();
        r = control_block_signals() ? BROKER_E_START : broker_start(&b);
        if (!r)
                broker_serve(&b);
        broker_deinit(&b);
        return r;
}
