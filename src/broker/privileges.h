/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/*
 * Who the process is. Started as root it binds its sockets and then becomes another user, for good and without
 * any capability, while it has one thread and no ring: threads and rings keep the rights that they were made
 * with.
 */

struct user {
        uid_t uid;
        gid_t gid;
        char name[64]; /* cut, if it is longer */
        gid_t *groups; /* all of them, gid among them */
        int n_groups;
};

enum {
        _PRIVILEGES_E_SUCCESS,
        PRIVILEGES_E_REFUSED, /* it cannot be done; why was logged */
};

/*
 * Looks the user up whom the configuration names; uid (uid_t)-1: nobody is named. *changesp: whether the
 * process has to become that user. A process that is not root can be no other.
 * Return: 0, PRIVILEGES_E_REFUSED.
 */
int privileges_find(uid_t uid, struct user *user, bool *changesp);
void privileges_forget(struct user *user);

/* Calls a function as that user, and comes back. Return: what it returns. */
int privileges_as(const struct user *user, int (*call)(void *arg), void *arg);

/*
 * Becomes the user, with its groups, gives up every capability in every set, and sees to it that there is no
 * way back. Return: 0, PRIVILEGES_E_REFUSED; what it is then is not known, and it has to end.
 */
int privileges_drop(const struct user *user);

/* From here on no program that this process may start gains rights. Return: 0, PRIVILEGES_E_REFUSED. */
int privileges_seal(void);

/* From here on other processes of the user cannot look into the memory of this one, and no core of it is kept.
 */
void privileges_hide(void);
