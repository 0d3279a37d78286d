/* SPDX-License-Identifier: MIT */

#include "reactor/choose.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "reactor/selftest.h"

/*
 * Kernels that a self-test of milliseconds cannot judge. A distribution's release often hides the patch level
 * (Debian's 6.1.0-27 is a 6.1.115), so series are named as a whole where that is so.
 */
static const struct denied {
        unsigned major, minor, first, last; /* patch levels */
        const char *what;
} choose_denied[] = {
        /* axboe/liburing#1289, bottlerocket-os/bottlerocket#4308, dragonflydb/dragonfly#5497 */
        { 6, 1, 0, UINT_MAX, "processes on io_uring were seen to hang for good on Linux 6.1" },
        /* nodejs/node#55587 */
        { 6, 6, 58, 59, "processes on io_uring were seen to hang for good on Linux 6.6.58 and 6.6.59" },
        /* ghostty-org/ghostty#7724 */
        { 6, 15, 4, 4, "waits on io_uring were seen to be very slow on Linux 6.15.4" },
};

const char *reactor_kernel_denied(const char *release)
{
        unsigned major = 0, minor = 0, patch = 0;

        if (sscanf(release, "%u.%u.%u", &major, &minor, &patch) < 2)
                return NULL;
        for (unsigned i = 0; i < sizeof(choose_denied) / sizeof(*choose_denied); i++) {
                const struct denied *d = &choose_denied[i];

                if (major == d->major && minor == d->minor && patch >= d->first && patch <= d->last)
                        return d->what;
        }
        return NULL;
}

/* Down the ladder: multishot receives; if the kernel does them wrong, single shots. Return: as
 * reactor_selftest(). */
static int choose_receive(struct reactor_choice *choice, const struct reactor_wishes *wishes,
                          const struct reactor_options *options)
{
        struct reactor_options tried = *options;
        char why[REACTOR_WHY_BYTES];
        int r;

        tried.ring.single_shot = wishes->receive == REACTOR_RECEIVE_SINGLE;
        r = reactor_selftest(choice->ops, &tried, wishes->n, choice->why);
        if (r == REACTOR_E_MISBEHAVES && wishes->receive == REACTOR_RECEIVE_AUTO) {
                tried.ring.single_shot = true;
                r = reactor_selftest(choice->ops, &tried, wishes->n, why);
        }
        choice->single_shot = tried.ring.single_shot;
        return r;
}

static void choose_libev(struct reactor_choice *choice, const char *format, const char *what)
{
        char why[REACTOR_WHY_BYTES];

        snprintf(why, sizeof(why), format, what);
        choice->ops = &reactor_ev;
        choice->single_shot = false;
        memcpy(choice->why, why, sizeof(why));
}

/* It works: whether it is worth it. */
static void choose_cheaper(struct reactor_choice *choice, const struct reactor_options *options)
{
        unsigned percent = reactor_compare(choice->ops, &reactor_ev, options);
        char what[64];

        snprintf(what, sizeof(what), "%u %% of what they cost on libev", percent);
        if (!percent)
                choose_libev(choice, "auto: io_uring works, but its cost could not be %s", "measured");
        else if (percent > 100 - REACTOR_WORTH_PERCENT)
                choose_libev(choice, "auto: io_uring works, but its sends cost %s", what);
        else
                snprintf(choice->why, sizeof(choice->why), "auto: io_uring works, and its sends cost %s", what);
}

static const char *choose_release(struct utsname *name)
{
        return uname(name) ? "" : name->release;
}

int reactor_choose(struct reactor_choice *choice, const struct reactor_wishes *wishes,
                   const struct reactor_options *options)
{
        struct utsname name;
        const char *denied = reactor_kernel_denied(choose_release(&name));
        int r;

        *choice = (struct reactor_choice){ .ops = &reactor_uring };
        if (wishes->wish == REACTOR_WISH_LIBEV) {
                choose_libev(choice, "as %s", "configured");
                return 0;
        }
        if (wishes->wish == REACTOR_WISH_AUTO && denied) {
                choose_libev(choice, "auto: %s", denied);
                return 0;
        }
        r = choose_receive(choice, wishes, options);
        if (wishes->wish == REACTOR_WISH_IO_URING) {
                if (!r && !(choice->single_shot && wishes->receive == REACTOR_RECEIVE_AUTO))
                        snprintf(choice->why, sizeof(choice->why), "as configured%s%s",
                                 denied ? ", although " : "", denied ? denied : "");
                return r ? REACTOR_E_UNSUPPORTED : 0;
        }
        if (r)
                choose_libev(choice, "auto: io_uring does not work here: %.200s", choice->why);
        else
                choose_cheaper(choice, options);
        return 0;
}
