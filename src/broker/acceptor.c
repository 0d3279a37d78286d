/* SPDX-License-Identifier: MIT */
/*
 * Accepting. What accept4() can say falls into three classes, and none of them ends anything:
 *
 *      nobody is there         done until the socket is readable again
 *      this connection         it is skipped, the next one is tried
 *      no descriptor, memory   all doors pause. A level-triggered loop would spin on what it cannot accept. A
 *                              timer and every close that a shard reports open them again. One line is logged
 *                              per episode, which lasts until nobody is left waiting.
 *
 * Any other error is treated as the third class: it is not known to pass, so it must not spin.
 *
 * Who is over a limit is told so and closed. It costs no more than a few system calls, and nothing is
 * remembered of it but a number; a line is logged once a second at most.
 */

#include "broker/acceptor.h"

#include <assert.h>
#include <errno.h>
#include <ev.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker/users.h"
#include "util/clock.h"
#include "util/list.h"
#include "util/log.h"
#include "util/mem.h"

#define ACCEPTOR_BATCH      64 /* connections of one door in one turn: others get theirs, and messages go out */
#define ACCEPTOR_BACKOFF    0.1   /* seconds */
#define ACCEPTOR_LAST_MAX   65536 /* connections of a door that goes; no queue is longer than that */
#define ACCEPTOR_SHARDS_MAX 63

struct door {
        ev_io io;
        const char *path; /* what clients are told that they are connected to */
        uint32_t flags;   /* ADOPT_* */
        struct list link;
};

struct acceptor {
        struct ev_loop *loop;
        struct port *port;
        unsigned n_shards;
        struct acceptor_limits limits;
        uint64_t (*now)(void);
        struct users users; /* without those of the admin socket */
        struct list doors;
        ev_timer backoff;
        bool draining;
        bool episode; /* logged that accepting pauses, and somebody waited ever since */
        uint64_t last_id;
        unsigned load[ACCEPTOR_SHARDS_MAX]; /* clients of a shard */
        unsigned n_clients, n_admins;       /* in all; of those, by the admin socket */
        struct acceptor_stats stats;
        uint64_t notice_at; /* when the last notice about a user's fault was logged; 0: never */
        uint64_t notices_dropped;
};

static void acceptor_pause(struct acceptor *a, int err)
{
        list_for_each (i, &a->doors)
                ev_io_stop(a->loop, &container_of(i, struct door, link)->io);
        ev_timer_again(a->loop, &a->backoff);
        a->stats.paused = true;
        if (!a->episode)
                log_warning("accepting pauses, and is tried again every %d ms: %s",
                            (int)(ACCEPTOR_BACKOFF * 1000), strerror(err));
        a->episode = true;
}

static void acceptor_resume(struct acceptor *a)
{
        ev_timer_stop(a->loop, &a->backoff);
        list_for_each (i, &a->doors)
                ev_io_start(a->loop, &container_of(i, struct door, link)->io);
        a->stats.paused = false;
}

static void acceptor_on_backoff(struct ev_loop *loop, ev_timer *timer, int events)
{
        (void)loop;
        (void)events;
        acceptor_resume(timer->data);
}

static unsigned acceptor_least_loaded(const struct acceptor *a)
{
        unsigned best = 0;

        for (unsigned i = 1; i < a->n_shards; i++)
                if (a->load[i] < a->load[best])
                        best = i;
        return best;
}

static bool acceptor_full(const struct acceptor *a, const struct door *door)
{
        if (door->flags & ADOPT_ADMIN)
                return a->n_admins >= ACCEPTOR_ADMINS_MAX;
        return a->n_clients - a->n_admins >= a->limits.max_clients;
}

static void acceptor_notice(struct acceptor *a, const struct ucred *peer, const char *what, uint64_t now)
{
        if (a->notice_at && now < a->notice_at + NSEC_PER_SEC) {
                a->notices_dropped++;
                return;
        }
        log_notice("refused a connection of pid %d, uid %u: %s; %llu more notices since the last one",
                   (int)peer->pid, (unsigned)peer->uid, what, (unsigned long long)a->notices_dropped);
        a->notice_at = now;
        a->notices_dropped = 0;
}

/* The answer is a courtesy: it is not waited for, and whether it arrives does not matter. */
static void acceptor_reject(int fd, const char *text)
{
        if (send(fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
                log_debug("rejected a client without an answer: %s", strerror(errno));
        close(fd);
}

/*
 * The peer's supplementary groups. Where the kernel does not tell them the primary one has to do, which comes
 * with the credentials. Return: how many, in *groupsp, which the caller frees.
 */
static uint32_t acceptor_groups(int fd, uint32_t **groupsp)
{
        socklen_t size = 0;

        *groupsp = NULL;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) == 0 || errno != ERANGE)
                return 0;
        *groupsp = mem_alloc(size);
        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, *groupsp, &size) < 0)
                return 0;
        return (uint32_t)(size / sizeof(**groupsp));
}

/* Whether one more of this user may come in by the door; it is counted then, and else closed. */
static bool acceptor_admit(struct acceptor *a, int fd, const struct ucred *peer, const struct door *door)
{
        const struct acceptor_limits *limits = &a->limits;
        uint64_t now = a->now();
        int r = 0;

        if (a->draining && !(door->flags & ADOPT_ADMIN)) {
                a->stats.rejected_draining++;
                acceptor_notice(a, peer, "the broker is draining", now);
                acceptor_reject(fd, "-ERR the broker is draining and takes no new clients\r\n");
                return false;
        }
        if (acceptor_full(a, door)) {
                a->stats.rejected_full++;
                acceptor_notice(a, peer, "there are max_clients", now);
                acceptor_reject(fd, "-ERR max number of clients reached\r\n");
                return false;
        }
        if (!(door->flags & ADOPT_ADMIN))
                r = users_enter(&a->users, peer->uid, limits->max_user_clients, limits->user_connects, now);
        if (r == USERS_E_CLIENTS) {
                a->stats.rejected_user_clients++;
                acceptor_notice(a, peer, "this user has max_clients_per_user", now);
                acceptor_reject(fd, "-ERR max number of clients per user reached\r\n");
        } else if (r == USERS_E_CONNECTS) {
                a->stats.rejected_user_connects++;
                acceptor_notice(a, peer, "this user connects more often than max_connects_per_user", now);
                acceptor_reject(fd, "-ERR max number of connections per second per user reached\r\n");
        }
        return !r;
}

/* Takes fd over. */
static void acceptor_hand_out(struct acceptor *a, int fd, const struct door *door)
{
        struct ucred peer;
        socklen_t size = sizeof(peer);
        struct message_adopt *adopt;
        uint32_t *groups, n_groups;
        unsigned shard;

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) {
                a->stats.errors++;
                log_notice("closed a connection whose peer is unknown: %s", strerror(errno));
                close(fd);
                return;
        }
        if (!acceptor_admit(a, fd, &peer, door))
                return;
        shard = acceptor_least_loaded(a);
        n_groups = acceptor_groups(fd, &groups);
        adopt = port_send(a->port, shard, MESSAGE_ADOPT,
                          (uint32_t)(sizeof(*adopt) + n_groups * sizeof(*groups)), PORT_UNCOUNTED);
        *adopt = (struct message_adopt){ .id = ++a->last_id,
                                         .path = door->path,
                                         .fd = fd,
                                         .flags = door->flags,
                                         .pid = peer.pid,
                                         .uid = peer.uid,
                                         .gid = peer.gid,
                                         .n_groups = n_groups };
        if (n_groups)
                memcpy(adopt + 1, groups, n_groups * sizeof(*groups));
        free(groups);
        a->load[shard]++;
        a->n_clients++;
        a->n_admins += !!(door->flags & ADOPT_ADMIN);
        a->stats.accepted++;
}

static bool acceptor_only_this_one(int err)
{
        /* What accept(2) tells about the new connection, or about the call; the socket itself is well. */
        return err == ECONNABORTED || err == EINTR || err == EPERM || err == EPROTO;
}

static void acceptor_caught_up(struct acceptor *a)
{
        if (a->episode)
                log_info("accepting again, nobody waits");
        a->episode = false;
}

/* Return: whether there may be one more. */
static bool acceptor_take(struct acceptor *a, struct door *door)
{
        int fd = accept4(door->io.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), err = errno;

        if (fd >= 0) {
                acceptor_hand_out(a, fd, door);
                return true;
        }
        if (err == EAGAIN) {
                acceptor_caught_up(a);
                return false;
        }
        a->stats.errors++;
        if (acceptor_only_this_one(err))
                return true;
        acceptor_pause(a, err);
        return false;
}

static void acceptor_on_readable(struct ev_loop *loop, ev_io *io, int events)
{
        struct acceptor *a = io->data;
        struct door *door = container_of(io, struct door, io);

        (void)loop;
        (void)events;
        for (unsigned i = 0; i < ACCEPTOR_BATCH && acceptor_take(a, door); i++)
                ;
}

struct acceptor *acceptor_new(const struct acceptor_options *options)
{
        struct acceptor *a = mem_zalloc(sizeof(*a));

        assert(options->n_shards > 0 && options->n_shards <= ACCEPTOR_SHARDS_MAX);
        a->loop = options->loop;
        a->port = options->port;
        a->n_shards = options->n_shards;
        a->limits = options->limits;
        a->now = options->now;
        users_init(&a->users);
        list_init(&a->doors);
        ev_init(&a->backoff, acceptor_on_backoff);
        a->backoff.repeat = ACCEPTOR_BACKOFF;
        a->backoff.data = a;
        return a;
}

void acceptor_add(struct acceptor *a, int fd, const char *path, uint32_t flags)
{
        struct door *door = mem_zalloc(sizeof(*door));

        door->path = path;
        door->flags = flags;
        ev_io_init(&door->io, acceptor_on_readable, fd, EV_READ);
        door->io.data = a;
        list_add_tail(&a->doors, &door->link);
        if (!a->stats.paused)
                ev_io_start(a->loop, &door->io);
}

static struct door *acceptor_door(struct acceptor *a, int fd)
{
        list_for_each (i, &a->doors) {
                struct door *door = container_of(i, struct door, link);

                if (door->io.fd == fd)
                        return door;
        }
        return NULL;
}

void acceptor_remove(struct acceptor *a, int fd)
{
        struct door *door = acceptor_door(a, fd);

        assert(door);
        for (unsigned i = 0; i < ACCEPTOR_LAST_MAX && !a->stats.paused && acceptor_take(a, door); i++)
                ;
        ev_io_stop(a->loop, &door->io);
        list_del(&door->link);
        free(door);
}

void acceptor_set_flags(struct acceptor *a, int fd, uint32_t flags)
{
        struct door *door = acceptor_door(a, fd);

        assert(door);
        door->flags = flags;
}

void acceptor_stop(struct acceptor *a)
{
        ev_timer_stop(a->loop, &a->backoff);
        list_for_each (i, &a->doors)
                ev_io_stop(a->loop, &container_of(i, struct door, link)->io);
        a->stats.paused = false;
}

void acceptor_set_limits(struct acceptor *a, const struct acceptor_limits *limits)
{
        a->limits = *limits;
}

const struct acceptor_limits *acceptor_limits(const struct acceptor *a)
{
        return &a->limits;
}

void acceptor_closed(struct acceptor *a, unsigned shard, const struct message_closed *closed)
{
        const struct message_closed_user *users = (const void *)(closed + 1);
        uint64_t now = a->now();

        assert(shard < a->n_shards && closed->n_clients <= a->load[shard]);
        assert(closed->n_admins <= closed->n_clients && closed->n_admins <= a->n_admins);
        a->load[shard] -= closed->n_clients;
        a->n_clients -= closed->n_clients;
        a->n_admins -= closed->n_admins;
        for (uint32_t i = 0; i < closed->n_users; i++)
                users_leave(&a->users, users[i].uid, users[i].n_clients, a->limits.user_connects, now);
        if (a->stats.paused)
                acceptor_resume(a);
}

bool acceptor_drain(struct acceptor *a, bool on)
{
        bool admin = false;

        list_for_each (i, &a->doors)
                admin |= container_of(i, struct door, link)->flags & ADOPT_ADMIN;
        if (on && !admin)
                return false;
        a->draining = on;
        return true;
}

bool acceptor_is_draining(const struct acceptor *a)
{
        return a->draining;
}

unsigned acceptor_clients_left(const struct acceptor *a)
{
        return a->n_clients - a->n_admins;
}

unsigned acceptor_clients(const struct acceptor *a)
{
        return a->n_clients;
}

const struct acceptor_stats *acceptor_stats(const struct acceptor *a)
{
        return &a->stats;
}

struct acceptor *acceptor_free(struct acceptor *a)
{
        if (!a)
                return NULL;
        acceptor_stop(a);
        list_for_each_safe (i, next, &a->doors) {
                free(container_of(i, struct door, link));
        }
        users_deinit(&a->users);
        free(a);
        return NULL;
}
