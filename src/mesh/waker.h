/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * How a parked port is woken. fire() is called by the thread of the port that announces, at most once per
 * target and turn, and only for a target that had announced itself parked.
 */
struct waker {
        void (*fire)(void *arg);
        void *arg;
};

/*
 * A waker on an eventfd (non-blocking, close-on-exec, level-triggered by whoever polls it). The owner polls
 * waker_eventfd_fd() and calls waker_eventfd_clear() when it is readable.
 */
struct waker_eventfd {
        int fd;
};

/* Return: 0, -errno of eventfd(2). */
int waker_eventfd_init(struct waker_eventfd *w);
void waker_eventfd_deinit(struct waker_eventfd *w);
void waker_eventfd_clear(int fd);
struct waker waker_eventfd_waker(struct waker_eventfd *w);
