/* SPDX-License-Identifier: MIT */
#pragma once

#include "reactor/reactor.h"

/* Which reactor a broker runs on: what was asked for, or what a short self-test at its start suggests. */

enum reactor_wish {
        REACTOR_WISH_AUTO,
        REACTOR_WISH_IO_URING,
        REACTOR_WISH_LIBEV,
};

enum reactor_receive {
        REACTOR_RECEIVE_AUTO, /* multishot; if that does not work, single shots */
        REACTOR_RECEIVE_MULTISHOT,
        REACTOR_RECEIVE_SINGLE,
};

struct reactor_wishes {
        enum reactor_wish wish;
        enum reactor_receive receive; /* of io_uring */
        unsigned n;                   /* how many reactors there will be */
};

struct reactor_choice {
        const struct reactor_ops *ops;
        bool single_shot;            /* for reactor_options.ring */
        char why[REACTOR_WHY_BYTES]; /* in words; also when there is no choice */
};

/*
 * Chooses. With auto it is io_uring where that works and sends at a cost that is lower by
 * REACTOR_WORTH_PERCENT, otherwise libev. Some 30 ms with io_uring in question; a thread is made and joined.
 * Return: 0, REACTOR_E_UNSUPPORTED (io_uring was wished for and does not work: why).
 */
int reactor_choose(struct reactor_choice *choice, const struct reactor_wishes *wishes,
                   const struct reactor_options *options);

#define REACTOR_WORTH_PERCENT 10

/*
 * Whether processes on io_uring were seen to hang, or worse, on the kernel of that release (uname -r); such a
 * kernel is not even tried out. Return: what was seen; NULL: nothing.
 */
const char *reactor_kernel_denied(const char *release);
