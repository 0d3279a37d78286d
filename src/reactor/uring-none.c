/* SPDX-License-Identifier: MIT */
/* In place of reactor/uring.c in a build without liburing. */

#include <stdio.h>

#include "reactor/reactor.h"

static int none_init(struct reactor **reactorp, const struct reactor_options *options,
                     const struct reactor_sink *sink)
{
        (void)reactorp;
        (void)sink;
        if (options->why)
                snprintf(options->why, REACTOR_WHY_BYTES, "this brokerd was built without liburing");
        return REACTOR_E_UNSUPPORTED;
}

const struct reactor_ops reactor_uring = {
        .name = "io_uring",
        .init = none_init,
};
