/* SPDX-License-Identifier: MIT */
/*
 * What is particular here:
 *
 * - The ring is made disabled, by its own thread, then restricted to the operations of this file, then enabled
 *   (IORING_REGISTER_RESTRICTIONS, see io_uring_register(2)): a seccomp filter cannot see inside a ring.
 * Nothing can be registered with it afterwards.
 * - With IORING_SETUP_DEFER_TASKRUN the kernel does what it put off for this thread only inside
 *   io_uring_enter(2) with IORING_ENTER_GETEVENTS. IORING_SQ_TASKRUN says that there is some. So every enter
 * asks for events, and this thread waits nowhere else.
 * - Completions that did not fit into the queue are kept by the kernel until the next such enter;
 *   IORING_SQ_CQ_OVERFLOW says that there are some.
 * - Each buffer is the kernel's or the caller's; the map of those that are out is only there to notice a buffer
 *   that is given back twice.
 */

#include "reactor/uring_ring.h"

#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "reactor/send.h"
#include "util/mem.h"

#define URING_GROUP       0    /* of the receive buffers */
#define URING_IOVS        4096 /* slices of all sends between two enters */
#define URING_RETRIES     1000 /* enters that the kernel may refuse in a row for want of memory */
#define URING_MIN_ENTRIES 2    /* halving ends here */
#define URING_MIN_BUFFERS 1

struct uring_ring {
        pthread_t owner;
        struct io_uring uring;
        struct uring_ring_options options; /* as they came to be */
        struct io_uring_buf_ring *buf_ring;
        uint8_t *buffers;
        bool *out;            /* of each buffer: it is the caller's */
        struct iovec *iovs;   /* URING_IOVS; of queued sends */
        struct msghdr *heads; /* options.entries; of queued sends with several slices */
        unsigned n_iovs, n_heads;
};

/* ------------------------------------------------------------------ set-up */

/* The best set-up first. */
static const unsigned uring_flags[] = {
        IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                IORING_SETUP_TASKRUN_FLAG,
        IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
        0,
};

static void uring_why(char *why, size_t n, const char *call, int error)
{
        struct rlimit limit = { 0 };

        switch (error) {
        case EPERM:
                snprintf(why, n, "%s: not permitted (EPERM), by kernel.io_uring_disabled or a seccomp filter",
                         call);
                break;
        case ENOSYS:
                snprintf(why, n, "%s: not in this kernel, or hidden by a seccomp filter (ENOSYS)", call);
                break;
        case ENOMEM:
                getrlimit(RLIMIT_MEMLOCK, &limit);
                snprintf(why, n, "%s: not enough memory (ENOMEM); the limit of locked memory is %llu KiB", call,
                         (unsigned long long)limit.rlim_cur / 1024);
                break;
        case EINVAL:
                snprintf(why, n, "%s: this kernel is too old for it (EINVAL)", call);
                break;
        default:
                snprintf(why, n, "%s: %s", call, strerror(error));
        }
}

/* Return: 0, an errno. */
static int uring_set_up(struct uring_ring *ring)
{
        int r = -EINVAL;

        for (unsigned i = 0; r == -EINVAL && i < sizeof(uring_flags) / sizeof(*uring_flags); i++) {
                struct io_uring_params params = { .flags = uring_flags[i] | IORING_SETUP_CQSIZE |
                                                           IORING_SETUP_R_DISABLED,
                                                  .cq_entries = ring->options.completions };

                r = io_uring_queue_init_params(ring->options.entries, &ring->uring, &params);
        }
        return -r;
}

/* Lays a buffer into the ring, behind those that are not announced yet. */
static void uring_add_buffer(struct uring_ring *ring, unsigned buffer, unsigned behind)
{
        io_uring_buf_ring_add(ring->buf_ring, ring->buffers + buffer * ring->options.buffer_bytes,
                              (unsigned)ring->options.buffer_bytes, (unsigned short)buffer,
                              io_uring_buf_ring_mask(ring->options.buffers), (int)behind);
}

/* Return: 0, an errno. */
static int uring_register_buffers(struct uring_ring *ring)
{
        unsigned n = ring->options.buffers;
        struct io_uring_buf_reg reg = { .ring_addr = (uintptr_t)ring->buf_ring,
                                        .ring_entries = n,
                                        .bgid = URING_GROUP };
        int r = io_uring_register_buf_ring(&ring->uring, &reg, 0);

        if (r < 0)
                return -r;
        io_uring_buf_ring_init(ring->buf_ring);
        for (unsigned i = 0; i < n; i++)
                uring_add_buffer(ring, i, i);
        io_uring_buf_ring_advance(ring->buf_ring, (int)n);
        return 0;
}

/* By io_uring_register() itself, since the library does not export the call that wraps this. Return: 0, an
 * errno.
 */
static int uring_restrict(struct uring_ring *ring)
{
        static const uint8_t operations[] = { IORING_OP_RECV,     IORING_OP_SEND,         IORING_OP_SENDMSG,
                                              IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL, IORING_OP_MSG_RING };
        struct io_uring_restriction list[sizeof(operations) + 2];
        unsigned n = 0;
        int r;

        memset(list, 0, sizeof(list));
        for (; n < sizeof(operations); n++) {
                list[n].opcode = IORING_RESTRICTION_SQE_OP;
                list[n].sqe_op = operations[n];
        }
        list[n].opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
        list[n++].sqe_flags = IOSQE_BUFFER_SELECT | IOSQE_CQE_SKIP_SUCCESS;
        list[n].opcode = IORING_RESTRICTION_REGISTER_OP;
        list[n++].register_op = IORING_UNREGISTER_RING_FDS; /* at its end; else its thread keeps the ring */
        r = io_uring_register((unsigned)ring->uring.ring_fd, IORING_REGISTER_RESTRICTIONS, list, n);
        if (r < 0)
                return -r;
        r = io_uring_register((unsigned)ring->uring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
        return r < 0 ? -r : 0;
}

static size_t uring_buf_ring_bytes(const struct uring_ring *ring)
{
        return ring->options.buffers * sizeof(struct io_uring_buf);
}

static void *uring_map(size_t n)
{
        void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        return p == MAP_FAILED ? NULL : p;
}

/* Return: 0, an errno; *callp says of what. */
static int uring_make(struct uring_ring *ring, const char **callp)
{
        int r;

        *callp = "io_uring_setup";
        r = uring_set_up(ring);
        if (r)
                return r;
        *callp = "io_uring buffer ring";
        ring->buf_ring = uring_map(uring_buf_ring_bytes(ring));
        ring->buffers = uring_map(ring->options.buffers * ring->options.buffer_bytes);
        r = ring->buf_ring && ring->buffers ? uring_register_buffers(ring) : ENOMEM;
        if (r)
                return r;
        (void)io_uring_register_ring_fd(&ring->uring); /* only saves a look-up in each enter */
        *callp = "io_uring restrictions";
        return uring_restrict(ring);
}

static void uring_unmake(struct uring_ring *ring)
{
        if (ring->uring.ring_fd >= 0)
                io_uring_queue_exit(&ring->uring);
        ring->uring.ring_fd = -1;
        if (ring->buf_ring)
                munmap(ring->buf_ring, uring_buf_ring_bytes(ring));
        if (ring->buffers)
                munmap(ring->buffers, ring->options.buffers * ring->options.buffer_bytes);
        ring->buf_ring = NULL;
        ring->buffers = NULL;
}

/* Return: whether there is anything left to do without. */
static bool uring_halve(struct uring_ring_options *o)
{
        if (o->entries <= URING_MIN_ENTRIES && o->buffers <= URING_MIN_BUFFERS)
                return false;
        o->entries = o->entries > URING_MIN_ENTRIES ? o->entries / 2 : o->entries;
        o->completions = o->completions / 2 > o->entries ? o->completions / 2 : o->entries;
        o->buffers = o->buffers > URING_MIN_BUFFERS ? o->buffers / 2 : o->buffers;
        return true;
}

int uring_ring_new(struct uring_ring **ringp, const struct uring_ring_options *options, char *why, size_t n)
{
        struct uring_ring *ring = mem_zalloc(sizeof(*ring));
        const char *call;
        int r;

        ring->owner = pthread_self();
        ring->options = *options;
        ring->uring.ring_fd = -1;
        while ((r = uring_make(ring, &call))) {
                uring_unmake(ring);
                if (r != ENOMEM || !uring_halve(&ring->options)) {
                        uring_why(why, n, call, r);
                        free(ring);
                        return URING_RING_E_REFUSED;
                }
        }
        ring->out = mem_zalloc(ring->options.buffers * sizeof(*ring->out));
        ring->iovs = mem_alloc(URING_IOVS * sizeof(*ring->iovs));
        ring->heads = mem_alloc(ring->options.entries * sizeof(*ring->heads));
        *ringp = ring;
        return 0;
}

struct uring_ring *uring_ring_free(struct uring_ring *ring)
{
        if (!ring)
                return NULL;
        uring_unmake(ring);
        free(ring->out);
        free(ring->iovs);
        free(ring->heads);
        free(ring);
        return NULL;
}

int uring_ring_fd(const struct uring_ring *ring)
{
        return ring->uring.ring_fd;
}

unsigned uring_ring_buffers(const struct uring_ring *ring)
{
        return ring->options.buffers;
}

/* ------------------------------------------------------------------ requests */

bool uring_ring_room(const struct uring_ring *ring, unsigned n_iov)
{
        return io_uring_sq_space_left(&ring->uring) && URING_IOVS - ring->n_iovs >= n_iov &&
               ring->n_heads < ring->options.entries;
}

static struct io_uring_sqe *uring_sqe(struct uring_ring *ring)
{
        struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);

        assert(sqe);
        return sqe;
}

void uring_ring_receive(struct uring_ring *ring, uint64_t tag, int fd)
{
        struct io_uring_sqe *sqe = uring_sqe(ring);

        if (ring->options.single_shot)
                io_uring_prep_recv(sqe, fd, NULL, ring->options.buffer_bytes, 0);
        else
                io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
        sqe->flags |= IOSQE_BUFFER_SELECT;
        sqe->buf_group = URING_GROUP;
        io_uring_sqe_set_data64(sqe, tag);
}

void uring_ring_send(struct uring_ring *ring, uint64_t tag, int fd, const struct iovec *iov, unsigned n)
{
        struct io_uring_sqe *sqe = uring_sqe(ring);

        if (n == 1) {
                io_uring_prep_send(sqe, fd, iov->iov_base, iov->iov_len, SEND_FLAGS);
        } else {
                struct iovec *slices = ring->iovs + ring->n_iovs;
                struct msghdr *head = &ring->heads[ring->n_heads++];

                memcpy(slices, iov, n * sizeof(*iov));
                ring->n_iovs += n;
                *head = (struct msghdr){ .msg_iov = slices, .msg_iovlen = n };
                io_uring_prep_sendmsg(sqe, fd, head, SEND_FLAGS);
        }
        io_uring_sqe_set_data64(sqe, tag);
}

void uring_ring_poll(struct uring_ring *ring, uint64_t tag, int fd, unsigned events, bool multi)
{
        struct io_uring_sqe *sqe = uring_sqe(ring);

        if (multi)
                io_uring_prep_poll_multishot(sqe, fd, events);
        else
                io_uring_prep_poll_add(sqe, fd, events);
        io_uring_sqe_set_data64(sqe, tag);
}

void uring_ring_cancel(struct uring_ring *ring, uint64_t tag, uint64_t target)
{
        struct io_uring_sqe *sqe = uring_sqe(ring);

        io_uring_prep_cancel64(sqe, target, 0);
        io_uring_sqe_set_data64(sqe, tag);
}

void uring_ring_message(struct uring_ring *ring, uint64_t tag, int target, uint64_t tag_there)
{
        struct io_uring_sqe *sqe = uring_sqe(ring);

        io_uring_prep_msg_ring(sqe, target, 0, tag_there, 0);
        sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
        io_uring_sqe_set_data64(sqe, tag);
}

/* ------------------------------------------------------------------ the kernel's side */

bool uring_ring_puts_off(const struct uring_ring *ring)
{
        return IO_URING_READ_ONCE(*ring->uring.sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

bool uring_ring_busy(const struct uring_ring *ring)
{
        return io_uring_sq_ready(&ring->uring) || io_uring_cq_ready(&ring->uring) || uring_ring_puts_off(ring);
}

/* One enter. Return: 0, -errno. */
static int uring_enter_once(struct uring_ring *ring, bool wait, uint64_t ns)
{
        struct __kernel_timespec ts = { .tv_sec = (long long)(ns / 1000000000),
                                        .tv_nsec = (long long)(ns % 1000000000) };
        struct io_uring_cqe *cqe;
        int r;

        if (!wait)
                r = io_uring_submit_and_get_events(&ring->uring);
        else if (ns == UINT64_MAX)
                r = io_uring_submit_and_wait(&ring->uring, 1);
        else
                r = io_uring_submit_and_wait_timeout(&ring->uring, &cqe, 1, &ts, NULL);
        return r < 0 ? r : 0;
}

int uring_ring_enter(struct uring_ring *ring, bool wait, uint64_t ns)
{
        int r = 0;

        assert(pthread_equal(ring->owner, pthread_self()));
        for (unsigned i = 0; i < URING_RETRIES; i++) {
                r = uring_enter_once(ring, wait, ns);
                /* full of completions (EBUSY): the caller takes them and comes again for the rest */
                if (r != -EAGAIN)
                        break;
        }
        if (!io_uring_sq_ready(&ring->uring))
                ring->n_iovs = ring->n_heads = 0;
        return r == -EINTR || r == -ETIME || r == -EBUSY ? 0 : r;
}

unsigned uring_ring_take(struct uring_ring *ring, struct uring_completion *completions, unsigned max)
{
        struct io_uring_cqe *cqe;
        unsigned head, n = 0;

        io_uring_for_each_cqe(&ring->uring, head, cqe)
        {
                struct uring_completion *c = &completions[n];

                if (n == max)
                        break;
                n++;
                c->tag = cqe->user_data;
                c->res = cqe->res;
                c->more = cqe->flags & IORING_CQE_F_MORE;
                c->buffer =
                        cqe->flags & IORING_CQE_F_BUFFER ? (int)(cqe->flags >> IORING_CQE_BUFFER_SHIFT) : -1;
                if (c->buffer >= 0) {
                        assert((unsigned)c->buffer < ring->options.buffers && !ring->out[c->buffer]);
                        ring->out[c->buffer] = true;
                }
        }
        io_uring_cq_advance(&ring->uring, n);
        return n;
}

const uint8_t *uring_ring_buffer(const struct uring_ring *ring, int buffer)
{
        return ring->buffers + (size_t)buffer * ring->options.buffer_bytes;
}

void uring_ring_give_back(struct uring_ring *ring, int buffer)
{
        assert(ring->out[buffer]);
        ring->out[buffer] = false;
        uring_add_buffer(ring, (unsigned)buffer, 0);
        io_uring_buf_ring_advance(ring->buf_ring, 1);
}
