/* SPDX-License-Identifier: MIT */
/* Becoming another user, in children of this process. What needs root is not tested without it. */

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/privileges.h"
#include "support/suite.h"

/* The one that every machine has. */
static uid_t nobody(void)
{
        const struct passwd *entry = getpwnam("nobody");

        ck_assert_ptr_nonnull(entry);
        return entry->pw_uid;
}

/* A number of /proc/self/status, read in base 16 or 10. */
static unsigned long long status(const char *field, int base)
{
        char line[256];
        unsigned long long value = ~0ull;
        FILE *file = fopen("/proc/self/status", "r");

        while (file && fgets(line, sizeof(line), file))
                if (!strncmp(line, field, strlen(field)) && line[strlen(field)] == ':')
                        value = strtoull(line + strlen(field) + 1, NULL, base);
        if (file)
                fclose(file);
        return value;
}

#define NEED(_condition)                                                                                       \
        do {                                                                                                   \
                if (!(_condition)) {                                                                           \
                        fprintf(stderr, "%s:%d: not so: %s\n", __func__, __LINE__, #_condition);               \
                        _exit(1);                                                                              \
                }                                                                                              \
        } while (0)

static void in_child(void (*run)(void))
{
        int how, pid = fork();

        if (pid == 0) {
                run();
                _exit(0);
        }
        ck_assert_int_eq(waitpid(pid, &how, 0), pid);
        ck_assert_msg(WIFEXITED(how) && WEXITSTATUS(how) == 0, "see above");
}

static void drop(void)
{
        struct user user;
        bool changes;
        uid_t uid = nobody();

        NEED(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0); /* an inherited habit that shall not matter */
        NEED(privileges_find(uid, &user, &changes) == 0 && changes);
        NEED(privileges_drop(&user) == 0);
        NEED(getuid() == uid && geteuid() == uid && getegid() == user.gid);
        NEED(status("CapEff", 16) == 0 && status("CapPrm", 16) == 0 && status("CapInh", 16) == 0);
        NEED(status("CapBnd", 16) == 0 && status("CapAmb", 16) == 0);
        NEED(setuid(0) < 0 && seteuid(0) < 0 && setgid(0) < 0);
        NEED(open("/etc/shadow", O_RDONLY) < 0);
        privileges_forget(&user);
        NEED(status("NoNewPrivs", 10) == 0);
        NEED(privileges_seal() == 0);
        NEED(status("NoNewPrivs", 10) == 1);
        NEED(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0);
        privileges_hide();
        NEED(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
}

START_TEST(all_rights_of_root_go)
{
        in_child(drop);
}
END_TEST

static int who(void *arg)
{
        *(uid_t *)arg = geteuid();
        return getegid() == 0 ? 2 : open("/etc/shadow", O_RDONLY) < 0 ? 7 : 1;
}

static void visit(void)
{
        struct user user;
        uid_t seen = 0;
        bool changes;

        NEED(privileges_find(nobody(), &user, &changes) == 0);
        NEED(privileges_as(&user, who, &seen) == 7);
        NEED(seen == nobody() && geteuid() == 0 && getegid() == 0);
        NEED(open("/etc/shadow", O_RDONLY) >= 0);
        privileges_forget(&user);
}

START_TEST(for_a_moment_it_comes_back)
{
        in_child(visit);
}
END_TEST

static void ask_another(void)
{
        struct user user;
        bool changes;

        NEED(geteuid() != 0 || setuid(nobody()) == 0);
        NEED(privileges_find(geteuid() + 1, &user, &changes) == PRIVILEGES_E_REFUSED);
        NEED(privileges_find(0, &user, &changes) == PRIVILEGES_E_REFUSED);
        NEED(privileges_find(geteuid(), &user, &changes) == 0 && !changes);
        NEED(privileges_find((uid_t)-1, &user, &changes) == 0 && !changes);
}

START_TEST(who_is_not_root_can_be_no_other)
{
        in_child(ask_another);
}
END_TEST

static void ask_unknown(void)
{
        struct user user;
        bool changes;

        NEED(privileges_find(3999999999u, &user, &changes) == PRIVILEGES_E_REFUSED);
        NEED(privileges_find(0, &user, &changes) == 0 && !changes);
        NEED(privileges_find((uid_t)-1, &user, &changes) == 0 && !changes);
}

START_TEST(a_uid_that_is_no_user_is_refused)
{
        in_child(ask_unknown);
}
END_TEST

static void add(TCase *cases)
{
        tcase_add_test(cases, who_is_not_root_can_be_no_other);
        if (geteuid() != 0)
                return;
        tcase_add_test(cases, all_rights_of_root_go);
        tcase_add_test(cases, for_a_moment_it_comes_back);
        tcase_add_test(cases, a_uid_that_is_no_user_is_refused);
}

int main(void)
{
        return suite_run("privileges", add);
}
