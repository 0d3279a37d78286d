/* SPDX-License-Identifier: MIT */
#pragma once

#include "reactor/outq.h"

/* Sending by plain system calls, as far as the kernel takes it. */

#define SEND_IOV_MAX 64                            /* slices in one call */
#define SEND_FLAGS   (MSG_NOSIGNAL | MSG_DONTWAIT) /* of every send of a reactor */

enum {
        _SEND_E_SUCCESS,
        SEND_E_FULL,   /* the kernel takes no more now; the rest is still queued */
        SEND_E_FAILED, /* nothing can be sent any more: *errorp */
};

/*
 * Sends until the queue is empty or the socket's buffer is full. *errorp is an errno.
 * Return: 0 (the queue is empty), SEND_E_FULL, SEND_E_FAILED.
 */
int send_queue(struct outq *out, int fd, int *errorp);
