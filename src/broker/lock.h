/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The lock file beside a socket decides who serves it: flock(2) first, bind(2) second. The kernel lets go of
 * the lock when its holder dies, however it dies, so a lock is never stale.
 *
 * The file is removed on release. That is safe because a taker trusts its lock only if the locked inode is
 * still what the path names, and starts over otherwise: nobody can hold a lock that the next taker cannot see.
 */
struct lock {
        char *path; /* owned; NULL: none */
        int fd;     /* never shared, never passed to a ring, close-on-exec; -1: not held */
};

#define LOCK_INIT                                                                                              \
        {                                                                                                      \
                NULL, -1                                                                                       \
        }

enum {
        _LOCK_E_SUCCESS,
        LOCK_E_BUSY,    /* somebody else holds it */
        LOCK_E_FOREIGN, /* the path is not a plain file of ours: a link, a directory, a second name of some file
                         */
};

/*
 * Takes the lock for target: the file "target.lock", mode 0600, that holds the holder's pid. Waits at most
 * patience_ns for a holder that is just dying.
 * Return: 0, LOCK_E_BUSY (*holderp: its pid as it wrote it, 0 if unknown), LOCK_E_FOREIGN, -errno.
 */
int lock_take(struct lock *lock, const char *target, uint64_t patience_ns, pid_t *holderp);

/* Removes the file, then unlocks. Idempotent. */
void lock_release(struct lock *lock);
