/* SPDX-License-Identifier: MIT */
/* The floor with one send() per subscriber and turn. */

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "bench/floor.h"

static void send_all(struct floor *f)
{
        for (unsigned i = 0; i < f->n_subscribers; i++) {
                size_t done = 0;

                while (done < f->n_frames) {
                        ssize_t n = send(f->subscribers[i], f->frames + done, f->n_frames - done, MSG_NOSIGNAL);

                        if (n < 0 && errno != EINTR)
                                floor_fail("send");
                        if (n > 0)
                                done += (size_t)n;
                }
        }
}

int main(int argc, char **argv)
{
        if (argc != 2) {
                fprintf(stderr, "usage: floor-write SOCKET\n");
                return 2;
        }
        floor_run(argv[1], send_all, NULL, NULL);
}
