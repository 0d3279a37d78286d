/* SPDX-License-Identifier: MIT */
/*
 * The eventfd waker. Its counter stays readable until it is cleared, so a fire before the poll, during it or
 * between two polls is equally seen. The owner clears before it drains: a fire that it clears away belongs to
 * an announcement that was made before and is drained after.
 */

#include "mesh/waker.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "util/error.h"

int waker_eventfd_init(struct waker_eventfd *w)
{
        int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

        if (fd < 0)
                return error_origin(-errno);
        w->fd = fd;
        return 0;
}

void waker_eventfd_deinit(struct waker_eventfd *w)
{
        if (w->fd >= 0)
                close(w->fd);
        w->fd = -1;
}

void waker_eventfd_clear(int fd)
{
        uint64_t count;
        ssize_t n;

        do
                n = read(fd, &count, sizeof(count));
        while (n < 0 && errno == EINTR);
        assert(n == sizeof(count) || errno == EAGAIN);
}

static void waker_eventfd_fire(void *arg)
{
        struct waker_eventfd *w = arg;
        uint64_t one = 1;
        ssize_t n;

        do
                n = write(w->fd, &one, sizeof(one));
        while (n < 0 && errno == EINTR);
        /* EAGAIN: the counter is at its end, hence readable, which is all that a wake asks for */
        assert(n == sizeof(one) || errno == EAGAIN);
}

struct waker waker_eventfd_waker(struct waker_eventfd *w)
{
        return (struct waker){ .fire = waker_eventfd_fire, .arg = w };
}
