/* SPDX-License-Identifier: MIT */

#include "ctl/explain.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/args.h"
#include "ctl/say.h"
#include "util/mem.h"

#define EXPLAIN_NAME_SIZE 80

/* "alice", or the number of a user without a name. */
static void explain_user(char *to, uid_t uid)
{
        const struct passwd *user = getpwuid(uid);

        if (user)
                snprintf(to, EXPLAIN_NAME_SIZE, "%s", user->pw_name);
        else
                snprintf(to, EXPLAIN_NAME_SIZE, "%ju", (uintmax_t)uid);
}

static void explain_group(char *to, gid_t gid)
{
        const struct group *group = getgrgid(gid);

        if (group)
                snprintf(to, EXPLAIN_NAME_SIZE, "%s", group->gr_name);
        else
                snprintf(to, EXPLAIN_NAME_SIZE, "%ju", (uintmax_t)gid);
}

static void explain_owner(const char *what, const char *path, const struct stat *st)
{
        char me[EXPLAIN_NAME_SIZE], user[EXPLAIN_NAME_SIZE], group[EXPLAIN_NAME_SIZE];

        explain_user(me, geteuid());
        explain_user(user, st->st_uid);
        explain_group(group, st->st_gid);
        say_hint("you are uid %ju (%s); %s %s is owned by %s:%s, mode %04o", (uintmax_t)geteuid(), me, what,
                 path, user, group, (unsigned)(st->st_mode & 07777));
}

/* The first directory on the way to path that may not be searched. Return: the length of its name, 0: none. */
static size_t explain_barrier(char *path)
{
        for (size_t i = 1; path[i]; i++) {
                struct stat st;
                bool closed;

                if (path[i] != '/')
                        continue;
                path[i] = 0;
                closed = stat(path, &st) == 0 && S_ISDIR(st.st_mode) &&
                         faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 && errno == EACCES;
                path[i] = '/';
                if (closed)
                        return i;
        }
        return 0;
}

static void explain_denied_directory(char *path, size_t n)
{
        struct stat st;

        path[n] = 0;
        if (stat(path, &st) == 0)
                explain_owner("directory", path, &st);
        say_hint("the directory must let you through (execute permission), or run this as its owner or root");
}

static void explain_denied(const char *name)
{
        size_t size = strlen(name) + 1;
        char *path = memcpy(mem_alloc(size), name, size), group[EXPLAIN_NAME_SIZE];
        size_t barrier = explain_barrier(path);
        struct stat st;

        if (barrier) {
                explain_denied_directory(path, barrier);
        } else if (stat(path, &st) == 0) {
                explain_owner("socket", path, &st);
                explain_group(group, st.st_gid);
                if (st.st_mode & S_IWGRP)
                        say_hint("join the group \"%s\", or run this as the owner or root", group);
                else
                        say_hint("run this as the owner or root, or name a listener that is open to you with "
                                 "-s");
        }
        free(path);
}

static void explain_refused(const char *path)
{
        struct stat st;

        if (path[0] == '@')
                say_hint("nobody listens on this abstract name: is brokerd running, and in this network "
                         "namespace?");
        else if (stat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
                say_hint("this is no socket; name the broker's with -s");
        else
                say_hint("the socket is stale, no broker listens on it: start brokerd, which replaces it");
}

int explain_connect(const char *path, int error)
{
        if (error == EAGAIN) {
                say_error("cannot connect to %s: timed out", path);
                say_hint("the queue of new connections stayed full: the broker is stopped, hanging or out of "
                         "descriptors");
                return CTL_TIMEOUT;
        }
        say_error("cannot connect to %s: %s", path, strerror(error));
        switch (error) {
        case EACCES:
        case EPERM:
                explain_denied(path);
                return CTL_DENIED;
        case ENOENT:
                say_hint("is brokerd running? try `systemctl status brokerd`, or name its socket with -s");
                return CTL_CONNECT;
        case ECONNREFUSED:
                explain_refused(path);
                return CTL_CONNECT;
        case EPROTOTYPE:
                say_hint("this socket is of another kind than brokerd's; name the broker's with -s");
                return CTL_CONNECT;
        default:
                return CTL_CONNECT;
        }
}
