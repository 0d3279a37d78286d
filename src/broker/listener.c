/* SPDX-License-Identifier: MIT */
/*
 * The order is what makes a start safe:
 *
 *      lock -> look at what is there -> bind with the final mode -> owner, group -> listen
 *
 * Between bind and listen the kernel refuses every connect, so nobody gets in by permissions that were only
 * there for a moment. bind() gives the file its mode by way of the umask, with which the mode is exact from the
 * first instant; it is changed afterwards only where a default ACL of the directory overrode the umask.
 *
 * An abstract name needs neither lock nor removal: the kernel gives it to one socket and takes it back with it.
 */

#include "broker/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/log.h"
#include "util/mem.h"

#define LISTENER_PROBE_PAUSE_NS (10 * NSEC_PER_MSEC)

struct address {
        struct sockaddr_un un;
        socklen_t size;
};

static bool listener_abstract(const struct listener *l)
{
        return l->path[0] == '@';
}

static int listener_refuse(const struct listener *l, const char *why)
{
        log_error("cannot listen on %s: %s", l->path, why);
        return LISTENER_E_REFUSED;
}

static int listener_refuse_errno(const struct listener *l, const char *operation)
{
        log_error("cannot listen on %s: %s: %s", l->path, operation, strerror(errno));
        return LISTENER_E_REFUSED;
}

static int listener_refuse_served(const struct listener *l, const char *who, pid_t pid)
{
        if (pid > 0)
                log_error("cannot listen on %s: it is served by another %s (pid %d)", l->path, who, (int)pid);
        else
                log_error("cannot listen on %s: it is served by another %s", l->path, who);
        return LISTENER_E_REFUSED;
}

/* The path fits: listener_bind() has seen to it. */
static struct address listener_address(const struct listener *l)
{
        struct address a = { .un.sun_family = AF_UNIX };
        size_t n = strlen(l->path);

        memcpy(a.un.sun_path, l->path, n);
        a.size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
        if (listener_abstract(l))
                a.un.sun_path[0] = '\0';
        else
                a.size++;
        return a;
}

static int listener_socket(const struct listener *l)
{
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

        if (fd < 0)
                listener_refuse_errno(l, "socket");
        return fd;
}

/* The process that called listen() on what this socket is connected to; 0: unknown. */
static pid_t listener_peer(int fd)
{
        struct ucred peer;
        socklen_t size = sizeof(peer);

        return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 ? peer.pid : 0;
}

/* Whether a connect finds somebody. Return: 0, the errno of connect(2); *pidp is set with 0. */
static int listener_probe(const struct listener *l, int fd, pid_t *pidp)
{
        struct address a = listener_address(l);

        if (connect(fd, (const struct sockaddr *)&a.un, a.size) == 0) {
                *pidp = listener_peer(fd);
                return 0;
        }
        return errno;
}

static void listener_pause(void)
{
        struct timespec ts = { .tv_nsec = LISTENER_PROBE_PAUSE_NS };

        nanosleep(&ts, NULL);
}

/*
 * Nobody holds the lock, so whoever answers here is a program without one, or the last breath of a killed
 * broker, whose socket the kernel may keep for some milliseconds.
 * Return: 0 when the socket is dead, LISTENER_E_REFUSED.
 */
static int listener_expect_dead(const struct listener *l, uint64_t patience_ns)
{
        uint64_t deadline = clock_now() + patience_ns;
        pid_t pid = 0;
        int fd, err;

        for (;;) {
                fd = listener_socket(l);
                if (fd < 0)
                        return LISTENER_E_REFUSED;
                err = listener_probe(l, fd, &pid);
                close(fd);
                if (err == ECONNREFUSED || err == ENOENT)
                        return 0;
                if ((err != 0 && err != EAGAIN) || clock_now() >= deadline)
                        break;
                listener_pause();
        }
        if (err == 0 || err == EAGAIN || err == EPROTOTYPE)
                return listener_refuse_served(l, "program", pid);
        errno = err;
        return listener_refuse_errno(l, "a socket is there, and connecting to see whether it is alive failed");
}

/* Return: 0 when the name is free now, LISTENER_E_REFUSED. */
static int listener_clear(const struct listener *l, uint64_t patience_ns)
{
        struct stat before, after;
        int r;

        if (lstat(l->path, &before) < 0)
                return errno == ENOENT ? 0 : listener_refuse_errno(l, "stat");
        if (!S_ISSOCK(before.st_mode))
                return listener_refuse(l, "a file that is not a socket is in the way; it is left alone");
        r = listener_expect_dead(l, patience_ns);
        if (r)
                return r;
        if (lstat(l->path, &after) < 0)
                return errno == ENOENT ? 0 : listener_refuse_errno(l, "stat");
        if (after.st_dev != before.st_dev || after.st_ino != before.st_ino)
                return listener_refuse(l, "somebody else is putting a socket there at this moment");
        if (unlink(l->path) < 0 && errno != ENOENT)
                return listener_refuse_errno(l, "unlink of the socket of a dead broker");
        log_notice("replaced the socket %s of a broker that is dead", l->path);
        return 0;
}

static int listener_take_lock(struct listener *l, uint64_t patience_ns)
{
        pid_t holder = 0;
        int r = lock_take(&l->lock, l->path, patience_ns, &holder);

        switch (r) {
        case 0:
                return 0;
        case LOCK_E_BUSY:
                return listener_refuse_served(l, "broker", holder);
        case LOCK_E_FOREIGN:
                log_error("cannot listen on %s: its lock file %s.lock is no plain file of its own", l->path,
                          l->path);
                return LISTENER_E_REFUSED;
        default:
                log_error("cannot listen on %s: cannot open and lock its lock file %s.lock: %s", l->path,
                          l->path, strerror(-r));
                return LISTENER_E_REFUSED;
        }
}

static int listener_bind_name(struct listener *l, mode_t mode)
{
        struct address a = listener_address(l);
        mode_t saved;
        int r;

        l->fd = listener_socket(l);
        if (l->fd < 0)
                return LISTENER_E_REFUSED;
        saved = umask(0777 & ~mode);
        r = bind(l->fd, (const struct sockaddr *)&a.un, a.size) < 0 ? errno : 0;
        umask(saved);
        if (r == EADDRINUSE && listener_abstract(l)) {
                pid_t pid = 0;

                listener_probe(l, l->fd, &pid);
                return listener_refuse_served(l, "program", pid);
        }
        errno = r;
        return r ? listener_refuse_errno(l, "bind") : 0;
}

/* Owner and group of the file that is known to be ours; whatever else is put under its name stays as it is. */
static int listener_chown(const struct listener *l, uid_t uid, gid_t gid)
{
        int fd = open(l->path, O_PATH | O_NOFOLLOW | O_CLOEXEC), r;
        struct stat st;

        if (fd < 0)
                return -1;
        r = fstat(fd, &st);
        if (r == 0 && (st.st_dev != l->dev || st.st_ino != l->ino)) {
                errno = ESTALE;
                r = -1;
        }
        if (r == 0)
                r = fchownat(fd, "", uid, gid, AT_EMPTY_PATH);
        close(fd);
        return r;
}

/* Mode, owner and group of the bound file. Return: 0, LISTENER_E_REFUSED. */
static int listener_dress(struct listener *l, const struct config_listener *config)
{
        struct stat st;

        if (lstat(l->path, &st) < 0)
                return listener_refuse_errno(l, "stat");
        if (!S_ISSOCK(st.st_mode))
                return listener_refuse(l, "the file was exchanged at this moment");
        l->dev = st.st_dev;
        l->ino = st.st_ino;
        l->made = true;
        l->first_owner = st.st_uid;
        l->first_group = st.st_gid;
        if ((config->owner != (uid_t)-1 || config->group != (gid_t)-1) &&
            listener_chown(l, config->owner, config->group) < 0)
                return listener_refuse_errno(l, "chown");
        if ((st.st_mode & 07777) != config->mode &&
            fchmodat(AT_FDCWD, l->path, config->mode, AT_SYMLINK_NOFOLLOW) < 0)
                return listener_refuse_errno(l, "chmod");
        return 0;
}

static int listener_bind_file(struct listener *l, const struct config_listener *config, uint64_t patience_ns)
{
        int r = listener_take_lock(l, patience_ns);

        if (!r)
                r = listener_clear(l, patience_ns);
        if (!r)
                r = listener_bind_name(l, config->mode);
        return r ? r : listener_dress(l, config);
}

int listener_bind(struct listener *l, const struct config_listener *config, uint64_t patience_ns)
{
        size_t n = strlen(config->path);
        int r;

        *l = (struct listener){ .path = strdup(config->path),
                                .fd = -1,
                                .lock = LOCK_INIT,
                                .backlog = config->backlog,
                                .authentication = config->authentication,
                                .mode = config->mode,
                                .owner = config->owner,
                                .group = config->group };
        if (!l->path)
                mem_fail();
        if (n == 0 || (n == 1 && listener_abstract(l)))
                r = listener_refuse(l, "the name is empty");
        else if (n > LISTENER_PATH_MAX)
                r = listener_refuse(l, "the name is longer than the 107 bytes that a Unix socket can have");
        else if (listener_abstract(l))
                r = listener_bind_name(l, 0777);
        else
                r = listener_bind_file(l, config, patience_ns);
        if (r)
                listener_close(l);
        return r;
}

void listener_adopt(struct listener *l, int fd, const struct config_listener *config)
{
        *l = (struct listener){ .path = strdup(config->path),
                                .fd = fd,
                                .lock = LOCK_INIT,
                                .passed = true,
                                .authentication = config->authentication,
                                .owner = (uid_t)-1,
                                .group = (gid_t)-1 };
        if (!l->path)
                mem_fail();
}

bool listener_name(int fd, char name[LISTENER_PATH_MAX + 1])
{
        struct address a = { .size = sizeof(a.un) };
        size_t n;

        if (getsockname(fd, (struct sockaddr *)&a.un, &a.size) < 0 ||
            a.size <= offsetof(struct sockaddr_un, sun_path) + 1)
                return false;
        n = a.size - offsetof(struct sockaddr_un, sun_path);
        if (a.un.sun_path[0])
                n = strnlen(a.un.sun_path, n);
        else
                a.un.sun_path[0] = '@';
        if (n > LISTENER_PATH_MAX || memchr(a.un.sun_path, 0, n))
                return false;
        memcpy(name, a.un.sun_path, n);
        name[n] = 0;
        return true;
}

int listener_give(struct listener *l, uid_t uid, gid_t gid)
{
        if (!l->made)
                return 0;
        if (fchown(l->lock.fd, uid, gid) < 0)
                return listener_refuse_errno(l, "chown of its lock file");
        l->first_owner = uid;
        l->first_group = gid;
        if (l->owner != (uid_t)-1)
                uid = (uid_t)-1;
        if (l->group != (gid_t)-1)
                gid = (gid_t)-1;
        return listener_chown(l, uid, gid) < 0 ? listener_refuse_errno(l, "chown") : 0;
}

/* In a sticky directory only the owners of the file and of the directory may remove it. */
static bool listener_sticks(const struct listener *l, const char *dir)
{
        struct stat st, file;

        return stat(dir, &st) == 0 && st.st_mode & S_ISVTX && st.st_uid != geteuid() &&
               lstat(l->path, &file) == 0 && file.st_uid != geteuid();
}

int listener_look_ahead(const struct listener *l)
{
        char dir[LISTENER_PATH_MAX + 1], *slash;

        if (!l->made)
                return 0;
        strcpy(dir, l->path);
        slash = strrchr(dir, '/');
        slash[slash == dir] = '\0';
        if (faccessat(AT_FDCWD, dir, W_OK | X_OK, AT_EACCESS) == 0 && !listener_sticks(l, dir))
                return 0;
        log_error("cannot listen on %s: the user that the broker becomes (uid %u) could not remove it at the "
                  "end; "
                  "give that user the directory %s",
                  l->path, (unsigned)geteuid(), dir);
        return LISTENER_E_REFUSED;
}

int listener_listen(struct listener *l)
{
        int backlog = l->backlog > INT_MAX ? INT_MAX : (int)l->backlog;

        if (l->passed)
                return 0;
        return listen(l->fd, backlog) < 0 ? listener_refuse_errno(l, "listen") : 0;
}

/* ------------------------------------------------------------------ while it is open */

struct config_listener listener_config(const struct listener *l)
{
        return (struct config_listener){
                .path = l->path,
                .mode = l->mode,
                .owner = l->owner,
                .group = l->group,
                .backlog = l->backlog,
                .authentication = l->authentication,
        };
}

static bool listener_file_differs(const struct listener *l, const struct config_listener *config)
{
        return l->made && (l->mode != config->mode || l->owner != config->owner || l->group != config->group);
}

bool listener_differs(const struct listener *l, const struct config_listener *config)
{
        return (l->backlog != config->backlog && !l->passed) || l->authentication != config->authentication ||
               listener_file_differs(l, config);
}

static bool listener_is_there(const struct listener *l)
{
        struct stat st;

        return lstat(l->path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino;
}

static int listener_refuse_change(const struct listener *l, const char *why)
{
        log_error("cannot change the socket %s: %s", l->path, why);
        return LISTENER_E_REFUSED;
}

static int listener_chmod(const struct listener *l, mode_t mode)
{
        return fchmodat(AT_FDCWD, l->path, mode, AT_SYMLINK_NOFOLLOW) < 0 ? errno : 0;
}

/* Owner and group, then the mode. Return: 0, an errno. */
static int listener_redress(const struct listener *l, const struct config_listener *config)
{
        uid_t owner = config->owner == (uid_t)-1 ? l->first_owner : config->owner;
        gid_t group = config->group == (gid_t)-1 ? l->first_group : config->group;

        return lchown(l->path, owner, group) < 0 ? errno : listener_chmod(l, config->mode);
}

/* Between the two it has what both allow. Return: 0, LISTENER_E_REFUSED. */
static int listener_change_file(const struct listener *l, const struct config_listener *config)
{
        struct config_listener before = listener_config(l);
        int r, undone;

        if (!listener_is_there(l))
                return listener_refuse_change(l, "the file was removed or replaced");
        r = listener_chmod(l, l->mode & config->mode);
        if (r)
                return listener_refuse_change(l, strerror(r));
        r = listener_redress(l, config);
        if (r == 0)
                return 0;
        undone = listener_redress(l, &before);
        if (undone)
                log_error("cannot give the socket %s its owner and mode back: %s", l->path, strerror(undone));
        return listener_refuse_change(l, strerror(r));
}

static int listener_change_backlog(struct listener *l, unsigned backlog)
{
        unsigned before = l->backlog;
        int r;

        if (backlog == before || l->passed)
                return 0;
        l->backlog = backlog;
        r = listener_listen(l);
        if (r)
                l->backlog = before;
        return r;
}

int listener_change(struct listener *l, const struct config_listener *config)
{
        unsigned backlog = l->backlog;

        if (listener_change_backlog(l, config->backlog))
                return LISTENER_E_REFUSED;
        if (listener_file_differs(l, config) && listener_change_file(l, config)) {
                listener_change_backlog(l, backlog);
                return LISTENER_E_REFUSED;
        }
        l->authentication = config->authentication;
        if (l->passed)
                return 0;
        l->mode = config->mode;
        l->owner = config->owner;
        l->group = config->group;
        return 0;
}

/* ------------------------------------------------------------------ the end */

void listener_hide(struct listener *l)
{
        if (l->made && listener_is_there(l) && unlink(l->path) < 0)
                log_warning("cannot remove the socket %s: %s", l->path, strerror(errno));
        l->made = false;
}

void listener_close(struct listener *l)
{
        listener_hide(l);
        if (l->fd >= 0)
                close(l->fd);
        l->fd = -1;
        if (l->lock.path)
                lock_release(&l->lock);
        free(l->path);
        l->path = NULL;
}
