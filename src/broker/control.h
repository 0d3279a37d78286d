/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

#include "broker/acceptor.h"
#include "broker/authority.h"
#include "broker/listeners.h"
#include "broker/policies.h"
#include "broker/service.h"
#include "mesh/port.h"
#include "mesh/waker.h"
#include "shard/message.h"
#include "util/buffer.h"

/*
 * The control thread, which is the main thread: it accepts, takes signals, answers what the shards ask, keeps
 * the ledger of what users may use, and leads the stop. It is one more port of the mesh and sleeps like one,
 * without any time-out.
 *
 * Stop (SIGTERM, SIGINT or MESSAGE_SHUTDOWN): the sockets are closed and removed, the shards are told, and
 * control_run() returns when each of them has reported MESSAGE_STOPPED. From the first signal on, a second one
 * ends the process at once with 128 + its number. A shard that does not stop in time ends it with 1.
 *
 * SIGHUP is an order to reload, carried out between two turns and once for all that came since the last one.
 * None is lost from control_block_signals() on, and during a stop none counts. SIGUSR1 opens the file of the
 * log anew. Clients give orders too, by QUERY_ORDER: what concerns the configuration is left to the function
 * order, and draining is done here.
 */
struct control;

/* What comes of an order: see struct message_ordered. */
struct control_answer {
        struct message_ordered head;
        struct buffer texts;
};

#define CONTROL_LINGER_NS (500 * UINT64_C(1000000)) /* clients' time to take their output at a stop */
#define CONTROL_STOP_NS   (900 * UINT64_C(1000000)) /* from the signal until the process ends by force */

struct control_options {
        struct port *port;
        struct waker_eventfd *waker; /* of that port; the caller's */
        unsigned n_shards;
        struct acceptor_limits limits;
        struct listeners *listeners; /* bound; the caller's, but closed here at a stop */
        struct policies *policies;   /* the caller's; told here what shards have taken */
        /* Carries out an order but ORDER_DRAIN. Return: whether it could; of a reload, whether it runs now. */
        bool (*order)(void *arg, const struct message_order *order, struct control_answer *answer);
        void *order_arg;
        struct service *service;     /* the caller's; NULL: no service manager */
        struct authority *authority; /* the caller's; NULL: nobody has a secret */
};

enum {
        _CONTROL_E_SUCCESS,
        CONTROL_E_LISTEN, /* a socket could not be opened; why was logged */
};

/*
 * Blocks SIGTERM, SIGINT, SIGHUP and SIGUSR1, which threads that are made later inherit, and ignores SIGPIPE. A
 * signal that arrives from here on waits for control_run(). Return: 0, -errno.
 */
int control_block_signals(void);

/* Return: 0, -errno. */
int control_new(struct control **controlp, const struct control_options *options);

/* Return: NULL. */
struct control *control_free(struct control *control);

/* Lets clients in: listens. Return: 0, CONTROL_E_LISTEN. */
int control_open(struct control *control);

/* Completes the change of the listeners, and lets in so many clients from here on. */
void control_change(struct control *control, struct listeners_change *change,
                    const struct acceptor_limits *limits);

/* Serves until the broker has stopped. *deadlinep: monotonic ns when the process must be gone. */
void control_run(struct control *control, uint64_t *deadlinep);
