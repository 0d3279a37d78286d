/* SPDX-License-Identifier: MIT */

#include "broker/privileges.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util/log.h"
#include "util/mem.h"

#define PRIVILEGES_GROUPS_MAX 65536 /* NGROUPS_MAX */

static int privileges_refuse(const char *what)
{
        log_error("user: %s: %s", what, strerror(errno));
        return PRIVILEGES_E_REFUSED;
}

/* ------------------------------------------------------------------ who */

/* Return: 0, PRIVILEGES_E_REFUSED. */
static int user_groups(struct user *user, const char *name)
{
        int n = 16, r;

        do {
                user->groups = mem_realloc(user->groups, (size_t)n * sizeof(*user->groups));
                user->n_groups = n;
                r = getgrouplist(name, user->gid, user->groups, &user->n_groups);
                n = user->n_groups > n ? user->n_groups : 2 * n;
        } while (r < 0 && n <= PRIVILEGES_GROUPS_MAX);
        if (r >= 0)
                return 0;
        log_error("user: the groups of %s cannot be told", user->name);
        return PRIVILEGES_E_REFUSED;
}

/* Return: 0, PRIVILEGES_E_REFUSED. */
static int user_find(struct user *user, uid_t uid)
{
        struct passwd entry, *found = NULL;
        char text[4096];
        int r = getpwuid_r(uid, &entry, text, sizeof(text), &found);

        *user = (struct user){ .uid = uid };
        if (!found) {
                log_error("user: uid %u is no user of this machine%s%s; its groups are looked up there", uid,
                          r ? ": " : "", r ? strerror(r) : "");
                return PRIVILEGES_E_REFUSED;
        }
        user->gid = found->pw_gid;
        snprintf(user->name, sizeof(user->name), "%s", found->pw_name);
        return user_groups(user, found->pw_name);
}

int privileges_find(uid_t uid, struct user *user, bool *changesp)
{
        uid_t now = geteuid();

        *user = (struct user){ .uid = now };
        *changesp = false;
        if (uid == (uid_t)-1 || uid == now)
                return 0;
        if (now != 0) {
                log_error(
                        "user: only root can become another user: this is uid %u, and the option names uid %u; "
                        "start it as one of the two",
                        now, uid);
                return PRIVILEGES_E_REFUSED;
        }
        *changesp = true;
        return user_find(user, uid);
}

void privileges_forget(struct user *user)
{
        free(user->groups);
        user->groups = NULL;
}

/* ------------------------------------------------------------------ for a moment */

int privileges_as(const struct user *user, int (*call)(void *arg), void *arg)
{
        gid_t *groups = mem_alloc(PRIVILEGES_GROUPS_MAX * sizeof(*groups)), gid = getegid();
        uid_t uid = geteuid();
        int n = getgroups(PRIVILEGES_GROUPS_MAX, groups), r = PRIVILEGES_E_REFUSED;

        if (n < 0 || setgroups((size_t)user->n_groups, user->groups) < 0 || setegid(user->gid) < 0 ||
            seteuid(user->uid) < 0)
                privileges_refuse("cannot become it");
        else
                r = call(arg);
        if (seteuid(uid) < 0 || setegid(gid) < 0 || (n >= 0 && setgroups((size_t)n, groups) < 0)) {
                privileges_refuse("cannot come back from it");
                abort();
        }
        free(groups);
        return r;
}

/* ------------------------------------------------------------------ for good */

static int capabilities_get(struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3])
{
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };

        return (int)syscall(SYS_capget, &header, data);
}

/* Of the three sets that a process has by itself. */
static int capabilities_clear(void)
{
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { { 0 } };

        return (int)syscall(SYS_capset, &header, none);
}

/* What a program that it executes could get. Needs a capability itself, so it goes first. */
static int capabilities_unbind(void)
{
        for (unsigned long c = 0; prctl(PR_CAPBSET_READ, c, 0, 0, 0) >= 0; c++)
                if (prctl(PR_CAPBSET_DROP, c, 0, 0, 0) < 0)
                        return -1;
        return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

static bool capabilities_are_gone(void)
{
        struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

        if (capabilities_get(data) < 0)
                return false;
        for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
                if (data[i].effective | data[i].permitted | data[i].inheritable)
                        return false;
        for (unsigned long c = 0; prctl(PR_CAPBSET_READ, c, 0, 0, 0) >= 0; c++)
                if (prctl(PR_CAPBSET_READ, c, 0, 0, 0) || prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, c, 0, 0))
                        return false;
        return true;
}

static bool ids_are(const struct user *user)
{
        uid_t uid[3];
        gid_t gid[3];

        if (getresuid(&uid[0], &uid[1], &uid[2]) < 0 || getresgid(&gid[0], &gid[1], &gid[2]) < 0)
                return false;
        for (int i = 0; i < 3; i++)
                if (uid[i] != user->uid || gid[i] != user->gid)
                        return false;
        return getgroups(0, NULL) == user->n_groups;
}

/* What must fail now. */
static bool way_back_exists(void)
{
        return setresuid((uid_t)-1, 0, (uid_t)-1) == 0 || setresgid((gid_t)-1, 0, (gid_t)-1) == 0 ||
               setgroups(0, NULL) == 0;
}

int privileges_drop(const struct user *user)
{
        if (capabilities_unbind() < 0)
                return privileges_refuse("cannot give capabilities up, for which root needs CAP_SETPCAP");
        if (setgroups((size_t)user->n_groups, user->groups) < 0)
                return privileges_refuse("cannot take its groups");
        if (setresgid(user->gid, user->gid, user->gid) < 0 || setresuid(user->uid, user->uid, user->uid) < 0)
                return privileges_refuse("cannot become it");
        if (capabilities_clear() < 0)
                return privileges_refuse("cannot give capabilities up");
        errno = EPERM;
        if (!ids_are(user) || !capabilities_are_gone() || (user->gid != 0 && way_back_exists()))
                return privileges_refuse("not all rights of root are gone");
        log_info("runs as the user %s (uid %u, gid %u)", user->name, user->uid, user->gid);
        return 0;
}

int privileges_seal(void)
{
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
                return 0;
        log_error("cannot renounce new rights (no_new_privs): %s", strerror(errno));
        return PRIVILEGES_E_REFUSED;
}

void privileges_hide(void)
{
        if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
                log_warning("secrets could be read by other processes of this user: %s", strerror(errno));
}
