/* SPDX-License-Identifier: MIT */
/* Written from the protocol in sd_notify(3), sd_listen_fds(3) and sd_watchdog_enabled(3). */

#include "broker/service.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/log.h"
#include "util/mem.h"

#define SERVICE_FIRST_FD 3 /* where passed sockets begin */
#define SERVICE_MAX      256

/* A decimal number and nothing else. Return: whether value is one. */
static bool service_number(const char *value, uint64_t *np)
{
        char *end;

        if (!value || !*value || strspn(value, "0123456789") != strlen(value))
                return false;
        errno = 0;
        *np = strtoull(value, &end, 10);
        return !errno;
}

/* Whether a variable that names a process names this one. */
static bool service_is_us(const char *value)
{
        uint64_t pid;

        return service_number(value, &pid) && pid == (uint64_t)getpid();
}

/* "@" in front stands for the abstract namespace. */
static void service_open_notify(struct service *service, const char *path)
{
        size_t n = path ? strlen(path) : 0;

        if (!n)
                return;
        if ((*path != '/' && *path != '@') || n >= sizeof(service->address.sun_path)) {
                log_warning("NOTIFY_SOCKET: neither a path nor an abstract name; the manager is told nothing");
                return;
        }
        service->address.sun_family = AF_UNIX;
        memcpy(service->address.sun_path, path, n);
        if (*path == '@')
                service->address.sun_path[0] = 0;
        service->address_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (*path == '/'));
        service->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (service->fd < 0)
                log_warning("the manager is told nothing, there is no socket for it: %s", strerror(errno));
}

static void service_read_watchdog(struct service *service)
{
        const char *pid = getenv("WATCHDOG_PID");
        uint64_t us;

        if ((!pid || service_is_us(pid)) && service_number(getenv("WATCHDOG_USEC"), &us) &&
            us < UINT64_MAX / NSEC_PER_USEC)
                service->watchdog_ns = us * NSEC_PER_USEC;
}

static const char *socket_fault(int fd)
{
        struct sockaddr_storage address = { 0 };
        socklen_t size = sizeof(address), int_size = sizeof(int);
        int type = 0, listening = 0;

        if (getsockname(fd, (struct sockaddr *)&address, &size) < 0)
                return strerror(errno);
        if (address.ss_family != AF_UNIX)
                return "not of the Unix domain";
        if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &int_size) < 0 || type != SOCK_STREAM)
                return "no stream socket";
        if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &int_size) < 0 || !listening)
                return "it does not listen";
        return NULL;
}

/* The name of one socket out of "a:b:c". */
static void service_name(struct service_socket *socket, const char *names, unsigned index)
{
        size_t n;

        while (names && index--) {
                names = strchr(names, ':');
                names += names ? 1 : 0;
        }
        if (!names)
                return;
        n = strcspn(names, ":");
        snprintf(socket->name, sizeof(socket->name), "%.*s", (int)(n < 63 ? n : 63), names);
}

bool service_has_sockets(void)
{
        uint64_t n;

        return service_is_us(getenv("LISTEN_PID")) && service_number(getenv("LISTEN_FDS"), &n) && n;
}

static int service_take_sockets(struct service *service)
{
        const char *names = getenv("LISTEN_FDNAMES"), *fault;
        uint64_t n;

        if (!service_is_us(getenv("LISTEN_PID")) || !service_number(getenv("LISTEN_FDS"), &n) || !n)
                return 0;
        if (n > SERVICE_MAX) {
                log_error("LISTEN_FDS: %" PRIu64 " sockets were passed, %d are the most", n, SERVICE_MAX);
                return SERVICE_E_SOCKET;
        }
        service->sockets = mem_zalloc(n * sizeof(*service->sockets));
        for (unsigned i = 0; i < n; i++) {
                struct service_socket *socket = &service->sockets[service->n_sockets++];

                socket->fd = SERVICE_FIRST_FD + (int)i;
                service_name(socket, names, i);
                fault = socket_fault(socket->fd);
                if (fault) {
                        log_error("socket %u (\"%s\") that the service manager passed cannot be used: %s", i,
                                  socket->name, fault);
                        return SERVICE_E_SOCKET;
                }
                fcntl(socket->fd, F_SETFD, FD_CLOEXEC);
                fcntl(socket->fd, F_SETFL, fcntl(socket->fd, F_GETFL) | O_NONBLOCK);
        }
        return 0;
}

int service_init(struct service *service)
{
        static const char *const ours[] = { "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID",
                                            "LISTEN_PID",    "LISTEN_FDS",    "LISTEN_FDNAMES" };
        int r;

        *service = (struct service){ .fd = -1 };
        service_open_notify(service, getenv("NOTIFY_SOCKET"));
        service_read_watchdog(service);
        r = service_take_sockets(service);
        for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++)
                unsetenv(ours[i]);
        return r;
}

void service_deinit(struct service *service)
{
        for (unsigned i = 0; i < service->n_sockets; i++)
                if (service->sockets[i].fd >= 0)
                        close(service->sockets[i].fd);
        free(service->sockets);
        if (service->fd >= 0)
                close(service->fd);
        *service = (struct service){ .fd = -1 };
}

void service_tell(struct service *service, const char *format, ...)
{
        char text[512];
        va_list ap;
        int n;

        if (!service || service->fd < 0)
                return;
        va_start(ap, format);
        n = vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        if (n >= (int)sizeof(text))
                n = sizeof(text) - 1;
        if (sendto(service->fd, text, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT,
                   (const struct sockaddr *)&service->address, service->address_size) >= 0)
                return;
        if (errno == EAGAIN)
                return; /* it is busy; what is told is told again */
        log_warning("the service manager cannot be told anything any more: %s", strerror(errno));
        close(service->fd);
        service->fd = -1;
}

void service_tell_reloading(struct service *service)
{
        service_tell(service, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, clock_now() / NSEC_PER_USEC);
}
