/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "broker/config.h"
#include "broker/lock.h"

/*
 * A listening Unix socket of the broker, a file or an abstract name. The life of one: listener_bind() takes the
 * lock and binds, so the name is ours but every connect is refused; listener_listen() opens it; and
 * listener_close() gives the name back. Called by one thread, and no other one of the process makes files, for
 * the umask belongs to all.
 */
struct listener {
        char *path; /* as configured; owned */
        int fd;     /* non-blocking; -1: closed */
        unsigned backlog;
        int authentication; /* enum config_authentication */
        struct lock lock;   /* of a file */
        bool passed;        /* by the service manager, whose it stays: only its authentication is ours */
        bool made;          /* the file is there, and dev and ino name it */
        dev_t dev;
        ino_t ino;
        mode_t mode;              /* of the file, as configured */
        uid_t owner, first_owner; /* of the file: as configured ((uid_t)-1: as it came), and as it came */
        gid_t group, first_group; /* likewise */
};

#define LISTENER_PATH_MAX 107 /* bytes of a path or "@name"; the kernel cuts longer ones */

/* How long a start waits for a predecessor that is just dying, ns. */
#define LISTENER_PATIENCE_NS (100 * UINT64_C(1000000))

enum {
        _LISTENER_E_SUCCESS,
        LISTENER_E_REFUSED, /* the name is not to be had; why was logged */
};

/*
 * Takes the name: lock file first, bind second. A socket that a dead broker left behind is replaced; one that
 * somebody serves, and a file that is no socket, are refused. The file has its mode, owner and group before
 * anybody can connect. On any failure nothing stays behind.
 * Return: 0, LISTENER_E_REFUSED.
 */
int listener_bind(struct listener *l, const struct config_listener *config, uint64_t patience_ns);

/*
 * Takes a socket that the service manager opened: fd, and of the configuration the path and the authentication.
 * It is never bound, listened to, changed or removed.
 */
void listener_adopt(struct listener *l, int fd, const struct config_listener *config);

/* The name of a listening socket of the Unix domain, as a configuration spells it: a path, or "@name". Return:
 * whether it has one that a configuration can have. */
bool listener_name(int fd, char name[LISTENER_PATH_MAX + 1]);

/*
 * The process is about to become this user: gives it the lock file, and the socket where the configuration
 * names no other owner or group. Return: 0, LISTENER_E_REFUSED.
 */
int listener_give(struct listener *l, uid_t uid, gid_t gid);

/* Whether this process, by its effective ids, could remove the files at the end. Return: 0, LISTENER_E_REFUSED.
 */
int listener_look_ahead(const struct listener *l);

/* Lets clients connect. Return: 0, LISTENER_E_REFUSED. */
int listener_listen(struct listener *l);

/* Whether the configuration asks for another mode, owner, group or backlog than it has. */
bool listener_differs(const struct listener *l, const struct config_listener *config);

/*
 * Gives an open listener the mode, owner, group and backlog of the configuration, whose path is its own. At no
 * moment may somebody connect who may neither before nor after.
 * Return: 0, LISTENER_E_REFUSED; it has what it had then, and why was logged.
 */
int listener_change(struct listener *l, const struct config_listener *config);

/* What listener_change() would take to leave it as it is. The path is borrowed. */
struct config_listener listener_config(const struct listener *l);

/* Removes the file if it is still ours: nobody finds the socket any more, and those who wait at it can still be
 * accepted. An abstract name goes with listener_close(). */
void listener_hide(struct listener *l);

/* Closes, removes the file if it is still ours, then gives up the lock. Idempotent, also after a failed bind.
 */
void listener_close(struct listener *l);
