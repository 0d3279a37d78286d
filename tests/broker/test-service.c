/* SPDX-License-Identifier: MIT */

#include "broker/service.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/suite.h"
#include "util/clock.h"

static char dir[32], path[64];

static int listen_at(const char *name, int type)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, type, 0);

        strcpy(address.sun_path, name);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        return fd;
}

static void set_number(const char *name, long n)
{
        char text[32];

        snprintf(text, sizeof(text), "%ld", n);
        setenv(name, text, 1);
}

static void make_dir(void)
{
        strcpy(dir, "/tmp/test-service.XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(dir));
        snprintf(path, sizeof(path), "%s/s", dir);
}

static void remove_dir(void)
{
        unlink(path);
        rmdir(dir);
}

START_TEST(without_a_manager_nothing_happens)
{
        struct service s;

        ck_assert_int_eq(service_init(&s), 0);
        ck_assert_int_eq(s.fd, -1);
        ck_assert_uint_eq(s.n_sockets, 0);
        ck_assert(s.watchdog_ns == 0);
        service_tell(&s, "READY=1");
        service_tell_reloading(&s);
        service_deinit(&s);
}
END_TEST

static void expect_told(int fd, const char *expected)
{
        char text[600];
        ssize_t n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

        ck_assert_int_gt(n, 0);
        text[n] = 0;
        ck_assert_str_eq(text, expected);
}

START_TEST(the_manager_is_told_until_it_goes)
{
        struct service s;
        char text[64];
        ssize_t n;
        int fd;

        make_dir();
        fd = listen_at(path, SOCK_DGRAM);
        setenv("NOTIFY_SOCKET", path, 1);
        setenv("WATCHDOG_USEC", "2500", 1);
        ck_assert_int_eq(service_init(&s), 0);
        ck_assert_ptr_null(getenv("NOTIFY_SOCKET"));
        ck_assert(s.watchdog_ns == 2500 * NSEC_PER_USEC);
        service_tell(&s, "READY=1\nSTATUS=%d clients", 3);
        expect_told(fd, "READY=1\nSTATUS=3 clients");
        service_tell_reloading(&s);
        n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
        ck_assert_int_gt(n, 0);
        text[n] = 0;
        ck_assert_int_eq(strncmp(text, "RELOADING=1\nMONOTONIC_USEC=", 27), 0);
        ck_assert(strtoull(text + 27, NULL, 10) <= clock_now() / NSEC_PER_USEC);
        close(fd);
        service_tell(&s, "STATUS=nobody hears");
        ck_assert_int_eq(s.fd, -1);
        service_deinit(&s);
        remove_dir();
}
END_TEST

START_TEST(a_manager_may_listen_at_an_abstract_name)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        struct service s;
        char name[64];
        int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

        snprintf(name, sizeof(name), "@test-service-%d", (int)getpid());
        memcpy(address.sun_path + 1, name + 1, strlen(name) - 1);
        ck_assert_int_eq(bind(fd, (struct sockaddr *)&address,
                              (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
                         0);
        setenv("NOTIFY_SOCKET", name, 1);
        ck_assert_int_eq(service_init(&s), 0);
        service_tell(&s, "STOPPING=1");
        expect_told(fd, "STOPPING=1");
        service_deinit(&s);
        close(fd);
}
END_TEST

START_TEST(odd_values_are_passed_over)
{
        static const char *const odd[] = { "", "relative", "vsock:2:3" };
        struct service s;

        for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
                setenv("NOTIFY_SOCKET", odd[i], 1);
                setenv("WATCHDOG_USEC", "12x", 1);
                ck_assert_int_eq(service_init(&s), 0);
                ck_assert_int_eq(s.fd, -1);
                ck_assert(s.watchdog_ns == 0);
                service_deinit(&s);
        }
        setenv("WATCHDOG_USEC", "1000", 1);
        set_number("WATCHDOG_PID", getpid() + 1);
        set_number("LISTEN_PID", getpid() + 1);
        setenv("LISTEN_FDS", "1", 1);
        ck_assert_int_eq(service_init(&s), 0);
        ck_assert(s.watchdog_ns == 0);
        ck_assert_uint_eq(s.n_sockets, 0);
        service_deinit(&s);
}
END_TEST

/* What stands where a manager passes its descriptors, of a test that is no process of its own. */
static int kept[2];

static void keep(void)
{
        for (int i = 0; i < 2; i++)
                kept[i] = fcntl(3 + i, F_DUPFD_CLOEXEC, 10);
}

static void restore(void)
{
        for (int i = 0; i < 2; i++) {
                if (kept[i] < 0)
                        continue;
                dup2(kept[i], 3 + i);
                close(kept[i]);
        }
}

/* Puts a descriptor to where a manager passes its first one. */
static void pass(int fd)
{
        if (fd != 3) {
                ck_assert_int_eq(dup2(fd, 3), 3);
                close(fd);
        }
        set_number("LISTEN_PID", getpid());
        setenv("LISTEN_FDS", "1", 1);
}

START_TEST(sockets_are_taken_by_name)
{
        struct service s;
        int fd;

        keep();
        make_dir();
        fd = fcntl(listen_at(path, SOCK_STREAM), F_DUPFD, 20);
        ck_assert_int_eq(listen(fd, 1), 0);
        pass(fd);
        ck_assert_int_eq(dup2(3, 4), 4);
        setenv("LISTEN_FDS", "2", 1);
        setenv("LISTEN_FDNAMES", "admin:main", 1);
        ck_assert_int_eq(service_init(&s), 0);
        ck_assert_uint_eq(s.n_sockets, 2);
        ck_assert_str_eq(s.sockets[0].name, "admin");
        ck_assert_str_eq(s.sockets[1].name, "main");
        ck_assert_int_eq(s.sockets[1].fd, 4);
        ck_assert_int_ne(fcntl(4, F_GETFD) & FD_CLOEXEC, 0);
        ck_assert_int_ne(fcntl(4, F_GETFL) & O_NONBLOCK, 0);
        s.sockets[0].fd = -1; /* taken */
        service_deinit(&s);
        ck_assert_int_ge(fcntl(3, F_GETFD), 0);
        ck_assert_int_eq(fcntl(4, F_GETFD), -1);
        close(3);
        remove_dir();
        restore();
}
END_TEST

START_TEST(what_is_no_listening_socket_is_refused)
{
        struct service s;
        int fds[2];

        keep();
        ck_assert_int_eq(pipe(fds), 0);
        pass(fcntl(fds[0], F_DUPFD, 20));
        ck_assert_int_eq(service_init(&s), SERVICE_E_SOCKET);
        service_deinit(&s);
        close(fds[1]);
        make_dir();
        pass(fcntl(listen_at(path, SOCK_STREAM), F_DUPFD, 20)); /* bound only */
        ck_assert_int_eq(service_init(&s), SERVICE_E_SOCKET);
        service_deinit(&s);
        remove_dir();
        setenv("LISTEN_FDS", "100000", 1);
        set_number("LISTEN_PID", getpid());
        ck_assert_int_eq(service_init(&s), SERVICE_E_SOCKET);
        service_deinit(&s);
        restore();
}
END_TEST

static void add(TCase *cases)
{
        tcase_add_test(cases, without_a_manager_nothing_happens);
        tcase_add_test(cases, the_manager_is_told_until_it_goes);
        tcase_add_test(cases, a_manager_may_listen_at_an_abstract_name);
        tcase_add_test(cases, odd_values_are_passed_over);
        tcase_add_test(cases, sockets_are_taken_by_name);
        tcase_add_test(cases, what_is_no_listening_socket_is_refused);
}

int main(void)
{
        return suite_run("service", add);
}
