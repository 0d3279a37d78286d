/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "util/hash.h"
#include "util/list.h"

/*
 * The users (uids) that have clients, how many, and how often they connect. Someone who comes and goes is
 * remembered until his bucket is full again, a second at most, so the table does not grow with the uids that
 * ever connected.
 */
struct users {
        struct table by_uid; /* of struct user */
        struct list left;    /* of those: without clients, the one that left first in front */
};

enum {
        _USERS_E_SUCCESS,
        USERS_E_CLIENTS,  /* the user has as many clients as one may have */
        USERS_E_CONNECTS, /* the user connects too often */
};

void users_init(struct users *users);
void users_deinit(struct users *users);

/*
 * A user connects. max_clients: of one user; rate: connections of one user per second, and as many at once. 0
 * is no limit. Clients are counted in any case, connections only where they have a limit. Return: 0: he is in,
 * and counted; USERS_E_CLIENTS, USERS_E_CONNECTS: nothing is changed.
 */
int users_enter(struct users *users, uid_t uid, unsigned max_clients, uint64_t rate, uint64_t now);

/* n clients of a user have gone; he must have as many. */
void users_leave(struct users *users, uid_t uid, unsigned n, uint64_t rate, uint64_t now);

/* Clients of a user. */
unsigned users_clients(const struct users *users, uid_t uid);
