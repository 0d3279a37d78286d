/* SPDX-License-Identifier: MIT */

#include "reactor/send.h"

#include <errno.h>
#include <sys/socket.h>

/* One call. Return: the bytes that were taken, -1 with errno. *offeredp: how many it could have been. */
static ssize_t send_once(const struct outq *out, int fd, size_t *offeredp)
{
        struct iovec iov[SEND_IOV_MAX];
        struct msghdr msg = { .msg_iov = iov, .msg_iovlen = outq_iov(out, iov, SEND_IOV_MAX) };

        *offeredp = 0;
        for (unsigned i = 0; i < msg.msg_iovlen; i++)
                *offeredp += iov[i].iov_len;
        if (msg.msg_iovlen == 1)
                return send(fd, iov[0].iov_base, iov[0].iov_len, SEND_FLAGS);
        return sendmsg(fd, &msg, SEND_FLAGS);
}

int send_queue(struct outq *out, int fd, int *errorp)
{
        size_t offered;
        ssize_t n;

        while (out->n) {
                n = send_once(out, fd, &offered);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        return SEND_E_FULL;
                if (n < 0) {
                        *errorp = errno;
                        return SEND_E_FAILED;
                }
                outq_consume(out, (size_t)n);
                if ((size_t)n < offered)
                        return SEND_E_FULL; /* less than offered: the kernel's buffer is full */
        }
        return 0;
}
