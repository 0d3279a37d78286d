/* SPDX-License-Identifier: MIT */
#pragma once

#include "reactor/reactor.h"
#include "support/suite.h"
#include "util/buffer.h"
#include "util/clock.h"

/* A reactor under test, and streams on real sockets whose far ends are the test's. */

struct peer {
        struct stream stream;
        int number;       /* the stream's descriptor, also when it is closed */
        int far;          /* the other end */
        struct buffer in; /* what arrived */
        size_t received;  /* bytes of it in all; a case may consume `in` */
        int ends, errors; /* on_hangup(), without and with an error */
        int error;        /* the last one */
        int drained, closed;
        /* what else is to be done then; NULL: nothing */
        void (*on_data)(struct peer *peer);
        void (*on_hangup)(struct peer *peer);
        void (*on_closed)(struct peer *peer);
        _Alignas(16) uint8_t state[256];
};

struct fixture {
        const struct reactor_ops *ops;
        struct reactor *reactor;
        int wake;
};

extern struct fixture f;
extern struct stage_pool pool;

static inline struct peer *peer_of(struct stream *s)
{
        return container_of(s, struct peer, stream);
}

/* Makes the reactor. wake_fd is filled in. */
void peers_setup(const struct reactor_ops *ops, struct reactor_options options);

/* Ends it, when all streams are closed. */
void peers_teardown(void);

/* A stream on one end of a new pair of sockets. Return: the far end's descriptor. */
int peer_open(struct peer *p);

/* The same on a descriptor that is there already. */
void peer_adopt(struct peer *p, int fd, int far);

/* Flushes and submits. */
void peer_flush(struct peer *p);

/* Removes the stream and waits until it is closed; the far end stays open. */
void peer_close(struct peer *p);

/* Waits until the condition holds, at most for that time. Return: whether it holds. */
#define peers_wait(_condition, _ns)                                                                            \
        ({                                                                                                     \
                uint64_t _end = clock_now() + (_ns);                                                           \
                while (!(_condition) && clock_now() < _end)                                                    \
                        ck_assert_int_ge(f.ops->wait(f.reactor, _end), 0);                                     \
                (_condition);                                                                                  \
        })
