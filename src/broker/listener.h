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
 * listener_close() gives the name back. Called while the process has one thread, for the umask belongs to all.
 */
struct listener {
        char *path; /* as configured; owned */
        int fd;     /* non-blocking; -1: closed */
        unsigned backlog;
        struct lock lock; /* of a file */
        bool made;        /* the file is there, and dev and ino name it */
        dev_t dev;
        ino_t ino;
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

/* Lets clients connect. Return: 0, LISTENER_E_REFUSED. */
int listener_listen(struct listener *l);

/* Closes, removes the file if it is still ours, then gives up the lock. Idempotent, also after a failed bind.
 */
void listener_close(struct listener *l);
