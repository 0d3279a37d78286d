/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

/*
 * The service manager, as sd_notify(3) and sd_listen_fds(3) describe its side: a datagram socket that takes
 * lines of state, and sockets that it opened for us. Without one every call does nothing.
 */

struct service_socket {
        int fd;        /* listening, made non-blocking and close-on-exec; never to be unlinked by us */
        char name[64]; /* FileDescriptorName= of its unit; "" when there is none */
};

struct service {
        int fd; /* towards $NOTIFY_SOCKET; -1: nobody wants to know */
        struct sockaddr_un address;
        socklen_t address_size;
        uint64_t watchdog_ns; /* to be told alive at least so often; 0: not */
        struct service_socket *sockets;
        unsigned n_sockets;
};

/*
 * Reads the environment, and takes out of it what is for this process only. A socket that was passed and is no
 * listening stream socket of the Unix domain is refused.
 * Return: 0; SERVICE_E_SOCKET after saying in the log which one, and why.
 */
int service_init(struct service *service);

/* Whether sockets were passed; before service_init(), which takes that out of the environment. */
bool service_has_sockets(void);

/* Closes what was not taken (fd is -1 then). */
void service_deinit(struct service *service);

enum {
        _SERVICE_E_SUCCESS,
        SERVICE_E_SOCKET, /* a passed socket cannot be used */
};

/*
 * Tells lines such as "READY=1\nSTATUS=..."; service NULL: nobody. A manager that does not listen is no fault
 * of ours: it is logged once.
 */
void service_tell(struct service *service, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "RELOADING=1" with the time that notify-reload wants beside it. */
void service_tell_reloading(struct service *service);
