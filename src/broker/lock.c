/* SPDX-License-Identifier: MIT */
/*
 * The lock file. Invariant: whoever returns 0 from lock_take() holds flock(2) on the inode that the path names,
 * and nobody but the holder removes that name.
 */

#include "broker/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/mem.h"

#define LOCK_RETRY_NS  (2 * NSEC_PER_MSEC)
#define LOCK_AGAIN_MAX 1000 /* each stands for a holder that came and went in between */

enum {
        _LOCK_TRY_SUCCESS,
        LOCK_TRY_BUSY,  /* locked by somebody */
        LOCK_TRY_AGAIN, /* the path names another file by now */
        LOCK_TRY_FOREIGN,
};

static bool lock_same(const struct stat *a, const struct stat *b)
{
        return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static int lock_open(const char *path)
{
        mode_t saved = umask(0177);
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
        int r = fd < 0 ? -errno : fd;

        umask(saved);
        return r;
}

static pid_t lock_read_pid(int fd)
{
        char text[16] = "";
        ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

        return n > 0 ? (pid_t)strtol(text, NULL, 10) : 0;
}

/* The pid is there for messages only, so it does not matter if it cannot be written. */
static void lock_write_pid(int fd)
{
        char text[16];
        int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());

        if (ftruncate(fd, 0) == 0 && pwrite(fd, text, (size_t)n, 0) == n)
                return;
}

/* Return: 0 (fd is locked and verified), LOCK_TRY_*, -errno. */
static int lock_verify(int fd, const char *path)
{
        struct stat ours, named;

        if (fstat(fd, &ours) < 0)
                return -errno;
        if (!S_ISREG(ours.st_mode) || ours.st_nlink > 1)
                return LOCK_TRY_FOREIGN; /* a pid is written into it, so it must not be somebody's file */
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
                return errno == EWOULDBLOCK ? LOCK_TRY_BUSY : errno == EINTR ? LOCK_TRY_AGAIN : -errno;
        if (lstat(path, &named) < 0)
                return errno == ENOENT ? LOCK_TRY_AGAIN : -errno;
        return lock_same(&ours, &named) ? 0 : LOCK_TRY_AGAIN;
}

/* Return: 0 (*fdp is set), LOCK_TRY_* (*holderp is set when busy), -errno. */
static int lock_try(const char *path, int *fdp, pid_t *holderp)
{
        int fd = lock_open(path), r;

        if (fd == -ELOOP || fd == -EISDIR || fd == -ENXIO)
                return LOCK_TRY_FOREIGN;
        if (fd < 0)
                return fd;
        r = lock_verify(fd, path);
        if (r == LOCK_TRY_BUSY)
                *holderp = lock_read_pid(fd);
        if (r) {
                close(fd);
                return r;
        }
        *fdp = fd;
        return 0;
}

static void lock_pause(void)
{
        struct timespec ts = { .tv_nsec = LOCK_RETRY_NS };

        nanosleep(&ts, NULL);
}

int lock_take(struct lock *lock, const char *target, uint64_t patience_ns, pid_t *holderp)
{
        uint64_t deadline = clock_now() + patience_ns;
        pid_t holder = 0;
        int r;

        *lock = (struct lock)LOCK_INIT;
        if (asprintf(&lock->path, "%s.lock", target) < 0) {
                lock->path = NULL;
                mem_fail();
        }
        for (unsigned again = 0;;) {
                r = lock_try(lock->path, &lock->fd, &holder);
                if (r == LOCK_TRY_AGAIN && ++again < LOCK_AGAIN_MAX)
                        continue;
                if (r != LOCK_TRY_BUSY || clock_now() >= deadline)
                        break;
                lock_pause();
        }
        if (r == 0) {
                lock_write_pid(lock->fd);
                return 0;
        }
        free(lock->path);
        lock->path = NULL;
        if (r == LOCK_TRY_FOREIGN)
                return LOCK_E_FOREIGN;
        if (r < 0)
                return r;
        *holderp = holder;
        return LOCK_E_BUSY;
}

void lock_release(struct lock *lock)
{
        struct stat ours, named;

        if (lock->fd >= 0) {
                if (fstat(lock->fd, &ours) == 0 && lstat(lock->path, &named) == 0 && lock_same(&ours, &named))
                        unlink(lock->path);
                close(lock->fd);
        }
        free(lock->path);
        *lock = (struct lock)LOCK_INIT;
}
