/* SPDX-License-Identifier: MIT */
/*
 * The floor with batched sends: a turn's sends to all subscribers enter the kernel with one io_uring_enter().
 * Descriptors are registered, so a send looks up no file. A send that cannot go on is carried on by the kernel
 * (MSG_WAITALL); the turn ends when all have completed, so the frames can be built anew.
 */

#include <errno.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "bench/floor.h"

#define URING_ENTRIES 1024
#define URING_FILES   16384

static void check(int r, const char *what)
{
        if (r >= 0)
                return;
        errno = -r;
        floor_fail(what);
}

static void register_last(struct floor *f)
{
        unsigned i = f->n_subscribers - 1;

        if (f->n_subscribers > URING_FILES) {
                errno = EMFILE;
                floor_fail("subscribers");
        }
        check(io_uring_register_files_update(f->arg, i, &f->subscribers[i], 1), "register a file");
}

static void reap(struct io_uring *ring, const struct floor *f)
{
        struct io_uring_cqe *cqe;
        unsigned head, n = 0;

        io_uring_for_each_cqe(ring, head, cqe)
        {
                if (cqe->res != (int)f->n_frames) {
                        errno = cqe->res < 0 ? -cqe->res : EIO;
                        floor_fail("send");
                }
                n++;
        }
        io_uring_cq_advance(ring, n);
}

static void send_all(struct floor *f)
{
        struct io_uring *ring = f->arg;

        for (unsigned i = 0; i < f->n_subscribers;) {
                unsigned n = f->n_subscribers - i < URING_ENTRIES ? f->n_subscribers - i : URING_ENTRIES;

                for (unsigned k = 0; k < n; k++, i++) {
                        struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

                        io_uring_prep_send(sqe, (int)i, f->frames, f->n_frames, MSG_NOSIGNAL | MSG_WAITALL);
                        sqe->flags |= IOSQE_FIXED_FILE;
                }
                check(io_uring_submit_and_wait(ring, n), "submit");
                reap(ring, f);
        }
}

int main(int argc, char **argv)
{
        struct io_uring ring;

        if (argc != 2) {
                fprintf(stderr, "usage: floor-uring SOCKET\n");
                return 2;
        }
        check(io_uring_queue_init(URING_ENTRIES, &ring,
                                  IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN),
              "io_uring");
        check(io_uring_register_ring_fd(&ring), "register the ring");
        check(io_uring_register_files_sparse(&ring, URING_FILES), "register files");
        floor_run(argv[1], send_all, register_last, &ring);
}
