/* SPDX-License-Identifier: MIT */

#include "broker/control.h"

#include <assert.h>
#include <errno.h>
#include <ev.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "broker/ledger.h"
#include "broker/logging.h"
#include "shard/message.h"
#include "util/bits.h"
#include "util/clock.h"
#include "util/error.h"
#include "util/log.h"
#include "util/mem.h"

#define CONTROL_DRAIN_BUDGET 256 /* messages of one shard in one turn */

struct control {
        struct ev_loop *loop;
        struct port *port;
        struct acceptor *acceptor;
        unsigned n_shards;
        struct listeners *listeners;
        struct policies *policies;
        bool (*order)(void *arg, const struct message_order *order, struct control_answer *answer);
        void *order_arg;
        bool reload_wanted; /* a SIGHUP came */
        uint64_t reloads, reloads_refused;
        uint64_t reload_time;        /* of the last one that was not refused, CLOCK_REALTIME seconds; 0: none */
        uint64_t start_time;         /* CLOCK_REALTIME seconds */
        struct acceptor_stats reset; /* when the counters that INFO shows were set to 0 last */
        uint64_t reset_wrong;        /* likewise */
        int signal_fd;
        ev_io on_wake, on_signal;
        struct authority *authority; /* NULL: none */
        ev_io on_verified;
        ev_timer patience; /* of a stop */
        struct service *service;
        ev_timer watchdog; /* twice as often as the service manager wants to hear */
        struct ledger *ledger;
        ev_timer ledger_due; /* when the ledger has something to do */
        bool stopping;
        uint64_t stop_deadline; /* monotonic ns */
        uint64_t running;       /* bits of the shards that have not stopped */
};

static sigset_t control_signals(void)
{
        sigset_t set;

        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGHUP);
        sigaddset(&set, SIGUSR1);
        return set;
}

int control_block_signals(void)
{
        struct sigaction ignore = { .sa_handler = SIG_IGN };
        sigset_t set = control_signals();
        int r = pthread_sigmask(SIG_BLOCK, &set, NULL);

        if (r == 0 && sigaction(SIGPIPE, &ignore, NULL) < 0)
                r = errno;
        return r ? error_origin(-r) : 0;
}

static void control_exit_at_once(int signo)
{
        _exit(128 + signo);
}

/*
 * Arms the second signal. It goes past the loop, through a handler, so that it works whatever this thread waits
 * for; a handler rather than the default action, which the kernel withholds from the first process of a
 * container.
 */
static void control_arm_second_signal(void)
{
        struct sigaction action = { .sa_handler = control_exit_at_once };
        sigset_t set;

        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGINT);
        sigaction(SIGTERM, &action, NULL);
        sigaction(SIGINT, &action, NULL);
        pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void control_stop(struct control *c, const char *why)
{
        uint64_t now = clock_now();

        if (c->stopping)
                return;
        c->stopping = true;
        c->stop_deadline = now + CONTROL_STOP_NS;
        log_info("%s: stopping, %u clients", why, acceptor_clients(c->acceptor));
        service_tell(c->service, "STOPPING=1\nSTATUS=Stopping: %s", why);
        acceptor_stop(c->acceptor);
        listeners_close(c->listeners);
        if (c->authority)
                authority_stop(c->authority);
        for (unsigned i = 0; i < c->n_shards; i++) {
                struct message_stop *stop = port_send(c->port, i, MESSAGE_STOP, sizeof(*stop), PORT_UNCOUNTED);

                *stop = (struct message_stop){ .deadline = now + CONTROL_LINGER_NS };
        }
        ev_now_update(c->loop);
        ev_timer_set(&c->patience, (double)CONTROL_STOP_NS / (double)NSEC_PER_SEC, 0.0);
        ev_timer_start(c->loop, &c->patience);
        control_arm_second_signal();
}

static void control_on_impatient(struct ev_loop *loop, ev_timer *timer, int events)
{
        struct control *c = timer->data;

        (void)loop;
        (void)events;
        bits_for_each (i, c->running)
                log_error("shard %u does not stop", (unsigned)i);
        _exit(EXIT_FAILURE);
}

static void control_on_watchdog(struct ev_loop *loop, ev_timer *timer, int events)
{
        struct control *c = timer->data;

        (void)loop;
        (void)events;
        service_tell(c->service, "WATCHDOG=1\nSTATUS=%s %u clients",
                     acceptor_is_draining(c->acceptor) ? "Draining," : "Serving",
                     acceptor_clients(c->acceptor));
}

static void control_on_wake(struct ev_loop *loop, ev_io *io, int events)
{
        (void)loop;
        (void)events;
        waker_eventfd_clear(io->fd);
}

static void control_on_verified(struct ev_loop *loop, ev_io *io, int events)
{
        (void)loop;
        (void)events;
        authority_on_answers(io->data);
}

static void control_on_signal(struct ev_loop *loop, ev_io *io, int events)
{
        struct control *c = io->data;
        struct signalfd_siginfo info;

        (void)loop;
        (void)events;
        while (read(io->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
                if (info.ssi_signo == SIGHUP)
                        c->reload_wanted = true;
                else if (info.ssi_signo == SIGUSR1)
                        logging_reopen();
                else if (c->stopping)
                        control_exit_at_once((int)info.ssi_signo); /* read before its handler ran */
                else
                        control_stop(c, info.ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT");
        }
}

static bool control_reload(struct control *c, struct control_answer *answer)
{
        const struct policy *before = policies_newest(c->policies);
        struct message_order order = { .kind = ORDER_RELOAD };
        bool good;

        service_tell_reloading(c->service);
        good = c->order(c->order_arg, &order, answer);
        if (policies_newest(c->policies) != before)
                ledger_set_limits(c->ledger, &policies_newest(c->policies)->limits, clock_now());
        if (good) {
                c->reloads++;
                c->reload_time = (uint64_t)time(NULL);
        } else {
                c->reloads_refused++;
        }
        service_tell(c->service, "READY=1\nSTATUS=Serving%s", good ? "" : "; the last reload was refused");
        return good;
}

static void control_on_hangup_signal(struct control *c)
{
        struct control_answer nobody = { 0 };

        c->reload_wanted = false;
        control_reload(c, &nobody);
        buffer_deinit(&nobody.texts);
}

void control_change(struct control *c, struct listeners_change *change, const struct acceptor_limits *limits)
{
        acceptor_set_limits(c->acceptor, limits);
        listeners_commit(c->listeners, change, c->acceptor);
}

/* The texts are those of struct message_ordered, without a file. */
static bool control_refuse_order(struct control_answer *answer, const char *why)
{
        buffer_printf(&answer->texts, "%c%s%c", 0, why, 0);
        return false;
}

static bool control_drain(struct control *c, bool on, struct control_answer *answer)
{
        bool before = acceptor_is_draining(c->acceptor);

        if (!acceptor_drain(c->acceptor, on))
                return control_refuse_order(answer,
                                            "only with an admin socket (the option admin) can the broker "
                                            "drain: no other would let anybody in to end that");
        if (on == before)
                return true;
        if (on)
                log_notice("draining: no new clients are let in, %u are left",
                           acceptor_clients_left(c->acceptor));
        else
                log_notice("draining has ended, clients are let in again");
        service_tell(c->service, "STATUS=%s", on ? "Draining" : "Serving");
        return true;
}

static bool control_obey(struct control *c, const struct message_order *order, struct control_answer *answer)
{
        if (c->stopping)
                return control_refuse_order(answer, "the broker is stopping");
        if (order->kind == ORDER_DRAIN)
                return control_drain(c, order->value, answer);
        if (order->kind == ORDER_RELOAD)
                return control_reload(c, answer);
        return c->order(c->order_arg, order, answer);
}

/* The answer comes behind what the order gave the shards: the client sees what it asked for. */
static void control_on_order(struct control *c, unsigned shard, const struct message_query *query)
{
        const struct message_order *order = (const void *)(query + 1);
        struct message_answer to = { .ask = query->ask };
        struct control_answer answer = { 0 };
        struct bytes texts;
        uint8_t *out;

        answer.head.done = control_obey(c, order, &answer);
        answer.head.draining = acceptor_is_draining(c->acceptor);
        answer.head.n_clients = acceptor_clients_left(c->acceptor);
        texts = buffer_view(&answer.texts);
        out = port_send(c->port, shard, MESSAGE_ANSWER, (uint32_t)(sizeof(to) + sizeof(answer.head) + texts.n),
                        PORT_UNCOUNTED);
        memcpy(out, &to, sizeof(to));
        memcpy(out + sizeof(to), &answer.head, sizeof(answer.head));
        if (texts.n)
                memcpy(out + sizeof(to) + sizeof(answer.head), texts.p, texts.n);
        buffer_deinit(&answer.texts);
}

static void control_answer(struct control *c, const struct port_message *message)
{
        const struct message_query *query = message->data;
        const struct acceptor_stats *stats = acceptor_stats(c->acceptor);
        struct acceptor_stats since = { 0 };
        uint64_t wrong = c->authority ? authority_wrong(c->authority) : 0;
        struct {
                struct message_answer answer;
                struct control_status status;
        } * out;

        if (query->kind == QUERY_ORDER) {
                assert(message->size == sizeof(*query) + sizeof(struct message_order));
                control_on_order(c, message->source, query);
                return;
        }
        assert(message->size == sizeof(*query));
        if (query->kind == QUERY_RESET) {
                c->reset = *stats;
                c->reset_wrong = wrong;
        }
        if (query->kind == QUERY_COUNTS)
                since = c->reset;
        out = port_send(c->port, message->source, MESSAGE_ANSWER, sizeof(*out), PORT_UNCOUNTED);
        out->answer = (struct message_answer){ .ask = query->ask };
        out->status = (struct control_status){
                .start_time = c->start_time,
                .accepted = stats->accepted - since.accepted,
                .rejected_full = stats->rejected_full - since.rejected_full,
                .rejected_user_clients = stats->rejected_user_clients - since.rejected_user_clients,
                .rejected_user_connects = stats->rejected_user_connects - since.rejected_user_connects,
                .accept_errors = stats->errors,
                .auth_wrong = wrong - (query->kind == QUERY_COUNTS ? c->reset_wrong : 0),
                .max_clients = acceptor_limits(c->acceptor)->max_clients,
                .reloads = c->reloads,
                .reloads_refused = c->reloads_refused,
                .reload_time = c->reload_time,
                .pid = getpid(),
                .accept_paused = stats->paused,
                .draining = acceptor_is_draining(c->acceptor),
                .n_drained = acceptor_is_draining(c->acceptor) ? acceptor_clients_left(c->acceptor) : 0,
                .rejected_draining = stats->rejected_draining - since.rejected_draining,
        };
}

/* What the ledger says to a shard. */
static void control_send_lease(void *arg, unsigned shard, enum message_type type,
                               const struct message_lease *lease)
{
        struct control *c = arg;
        struct message_lease *m = port_send(c->port, shard, type, sizeof(*m), PORT_UNCOUNTED);

        *m = *lease;
}

/* The loop wakes for it; control_turn() sees to it then. */
static void control_on_ledger_due(struct ev_loop *loop, ev_timer *timer, int events)
{
        (void)loop;
        (void)timer;
        (void)events;
}

static void control_time_ledger(struct control *c)
{
        uint64_t now = clock_now(), next;

        ledger_tick(c->ledger, now);
        next = ledger_next(c->ledger);
        ev_timer_stop(c->loop, &c->ledger_due);
        if (next == CLOCK_NEVER || c->stopping)
                return;
        ev_now_update(c->loop);
        ev_timer_set(&c->ledger_due, next > now ? (double)(next - now) / (double)NSEC_PER_SEC : 0.0, 0.0);
        ev_timer_start(c->loop, &c->ledger_due);
}

static void control_on_message(void *arg, const struct port_message *message)
{
        struct control *c = arg;

        switch (message->type) {
        case MESSAGE_CLOSED:
                assert(message->size >= sizeof(struct message_closed));
                acceptor_closed(c->acceptor, message->source, message->data);
                break;
        case MESSAGE_QUERY:
                control_answer(c, message);
                break;
        case MESSAGE_VERIFY:
                assert(message->size == sizeof(struct message_verify));
                authority_on_question(c->authority, message->source, message->data);
                break;
        case MESSAGE_LEASE_ASK:
                assert(message->size == sizeof(struct message_lease_ask));
                ledger_ask(c->ledger, message->source, message->data, clock_now());
                break;
        case MESSAGE_LEASE_RETURN:
        case MESSAGE_LEASE_DROP:
                assert(message->size == sizeof(struct message_lease));
                ledger_return(c->ledger, message->source, message->data, message->type == MESSAGE_LEASE_DROP,
                              clock_now());
                break;
        case MESSAGE_SHUTDOWN:
                control_stop(c, "a client asked for it");
                break;
        case MESSAGE_POLICY_TAKEN:
                policies_taken(c->policies, message->source);
                ledger_taken(c->ledger, message->source, clock_now());
                break;
        case MESSAGE_STOPPED:
                c->running &= ~bit(message->source);
                break;
        default:
                assert(!"a message that is not for control");
        }
}

/* Return: 0, -errno. */
static int control_init_signals(struct control *c)
{
        sigset_t set = control_signals();

        c->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
        if (c->signal_fd < 0)
                return error_origin(-errno);
        ev_io_init(&c->on_signal, control_on_signal, c->signal_fd, EV_READ);
        c->on_signal.data = c;
        ev_io_start(c->loop, &c->on_signal);
        return 0;
}

static void control_periodic(struct ev_loop *loop, ev_periodic *periodic, int events)
{
        (void)loop;
        (void)periodic;
        (void)events;
}

/*
 * libev looks about once a minute whether the wall clock jumped, unless it has a descriptor that tells. It
 * makes that one when a periodic watcher is started and keeps it, so an idle loop then sleeps without waking.
 */
static void control_sleep_long(struct ev_loop *loop)
{
        ev_periodic periodic;

        ev_periodic_init(&periodic, control_periodic, 0., 3600., NULL);
        ev_periodic_start(loop, &periodic);
        ev_periodic_stop(loop, &periodic);
}

static int control_init(struct control *c, const struct control_options *options)
{
        struct acceptor_options accepting = { .port = options->port,
                                              .n_shards = options->n_shards,
                                              .limits = options->limits,
                                              .now = clock_now };

        c->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
        if (!c->loop)
                return error_origin(-ENOSYS);
        control_sleep_long(c->loop);
        ev_io_init(&c->on_wake, control_on_wake, options->waker->fd, EV_READ);
        ev_io_start(c->loop, &c->on_wake);
        if (c->authority) {
                ev_io_init(&c->on_verified, control_on_verified, authority_fd(c->authority), EV_READ);
                c->on_verified.data = c->authority;
                ev_io_start(c->loop, &c->on_verified);
        }
        ev_init(&c->patience, control_on_impatient);
        c->patience.data = c;
        ev_init(&c->watchdog, control_on_watchdog);
        c->watchdog.data = c;
        ev_init(&c->ledger_due, control_on_ledger_due);
        accepting.loop = c->loop;
        c->acceptor = acceptor_new(&accepting);
        return error_trace(control_init_signals(c));
}

int control_new(struct control **controlp, const struct control_options *options)
{
        static const struct policy_limits none;
        struct control *c = mem_zalloc(sizeof(*c));
        struct ledger_options ledger = { .n_shards = options->n_shards,
                                         .limits = options->policies
                                                           ? &policies_newest(options->policies)->limits
                                                           : &none,
                                         .send = control_send_lease,
                                         .arg = c };
        int r;

        c->port = options->port;
        c->n_shards = options->n_shards;
        c->listeners = options->listeners;
        c->policies = options->policies;
        c->order = options->order;
        c->order_arg = options->order_arg;
        c->service = options->service;
        c->authority = options->authority;
        c->start_time = (uint64_t)time(NULL);
        c->running = bit(options->n_shards) - 1;
        c->signal_fd = -1;
        c->ledger = ledger_new(&ledger);
        r = control_init(c, options);
        if (r < 0) {
                control_free(c);
                return error_trace(r);
        }
        *controlp = c;
        return 0;
}

struct control *control_free(struct control *c)
{
        if (!c)
                return NULL;
        c->acceptor = acceptor_free(c->acceptor);
        c->ledger = ledger_free(c->ledger);
        if (c->loop) {
                ev_timer_stop(c->loop, &c->patience);
                ev_timer_stop(c->loop, &c->watchdog);
                ev_timer_stop(c->loop, &c->ledger_due);
                ev_io_stop(c->loop, &c->on_wake);
                if (c->authority)
                        ev_io_stop(c->loop, &c->on_verified);
                if (c->signal_fd >= 0)
                        ev_io_stop(c->loop, &c->on_signal);
                ev_loop_destroy(c->loop);
        }
        if (c->signal_fd >= 0)
                close(c->signal_fd);
        free(c);
        return NULL;
}

int control_open(struct control *c)
{
        return listeners_open(c->listeners, c->acceptor) ? CONTROL_E_LISTEN : 0;
}

static void control_turn(struct control *c)
{
        bool sleepy = port_park(c->port);

        ev_run(c->loop, sleepy ? EVRUN_ONCE : EVRUN_NOWAIT);
        port_unpark(c->port);
        port_drain(c->port, CONTROL_DRAIN_BUDGET, control_on_message, c);
        if (c->reload_wanted && !c->stopping)
                control_on_hangup_signal(c);
        control_time_ledger(c);
        port_flush(c->port);
}

/* Tells the service manager that all is well, and again and again if it wants to. */
static void control_tell_ready(struct control *c)
{
        if (!c->service)
                return;
        service_tell(c->service, "READY=1\nSTATUS=Serving");
        if (!c->service->watchdog_ns)
                return;
        c->watchdog.repeat = (double)c->service->watchdog_ns / 2 / (double)NSEC_PER_SEC;
        ev_timer_again(c->loop, &c->watchdog);
}

void control_run(struct control *c, uint64_t *deadlinep)
{
        control_tell_ready(c);
        while (!c->stopping || c->running)
                control_turn(c);
        *deadlinep = c->stop_deadline;
}
