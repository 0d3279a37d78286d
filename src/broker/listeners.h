/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>

#include "broker/acceptor.h"
#include "broker/config.h"
#include "broker/listener.h"

/*
 * All sockets of a broker: the configured ones, which a reload may change, and that for administration, which
 * stays. They are bound first and opened later; the changes of a reload are made whole or not at all.
 *
 * The names by which clients know their sockets are kept for as long as this lives, since clients outlive
 * their socket; one that comes back is kept once. There is a bound on them, which takes thousands of reloads,
 * each with names that were never there, to reach.
 */
struct listeners;
struct service;
struct listeners_change;

#define LISTENERS_NAMES_MAX 4096

enum {
        _LISTENERS_E_SUCCESS,
        LISTENERS_E_REFUSED, /* why was logged */
        LISTENERS_E_NONE,    /* no socket is configured, and none was passed; that was logged */
};

struct listeners *listeners_new(void);

/* Closes what is open. No client of its sockets may be left. Return: NULL. */
struct listeners *listeners_free(struct listeners *set);

/*
 * Takes the names of a configuration's sockets, but for those that the service manager passed: these are taken
 * over, the one of the name "admin" for administration. Such a socket stays until the end, with the options of
 * the item that has its path, or with defaults.
 * Return: 0, LISTENERS_E_REFUSED, LISTENERS_E_NONE; what is bound then is closed by listeners_close().
 */
int listeners_bind(struct listeners *set, const struct config *config, struct service *service);

/* The process is about to become this user: see listener_give(). Return: 0, LISTENERS_E_REFUSED. */
int listeners_give(struct listeners *set, uid_t uid, gid_t gid);

/* Whether this process, by its effective ids, could remove all files at the end. Return: 0,
 * LISTENERS_E_REFUSED. */
int listeners_look_ahead(const struct listeners *set);

/* Lets clients in by all of them. Return: 0, LISTENERS_E_REFUSED. */
int listeners_open(struct listeners *set, struct acceptor *acceptor);

/* Closes and removes all; the acceptor has stopped. Idempotent. */
void listeners_close(struct listeners *set);

/*
 * Does of the change to another configuration all that can fail: binds and opens what is new, although nobody
 * is accepted yet, and gives the others their new mode, owner, group and backlog.
 * Return: 0, LISTENERS_E_REFUSED; everything is as it was then.
 */
int listeners_prepare(struct listeners *set, const struct config *config, struct listeners_change **changep);

/* Takes back what was prepared, and frees it. */
void listeners_cancel(struct listeners_change *change);

/* Completes what was prepared, and frees it. Who has connected to a socket that goes is still let in. */
void listeners_commit(struct listeners *set, struct listeners_change *change, struct acceptor *acceptor);
