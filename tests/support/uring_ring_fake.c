/* SPDX-License-Identifier: MIT */

#include "support/uring_ring_fake.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "support/suite.h"
#include "util/mem.h"

#define FAKE_REQUESTS 512 /* live at a time */
#define FAKE_FD       1000000
#define FAKE_GONE     0xdd /* what a buffer holds that was given back */

enum fake_place {
        FAKE_HOME,   /* the kernel has it */
        FAKE_FILLED, /* by a completion that is to come */
        FAKE_OUT,    /* the reactor has it */
};

struct uring_ring {
        struct uring_ring_options options;
        struct fake_request requests[FAKE_REQUESTS];
        unsigned top;      /* requests in use are below */
        unsigned n_queued; /* not entered */
        uint64_t n_made;
        struct {
                struct uring_completion *v;
                unsigned head, n, cap;
        } queue;
        uint8_t *bytes; /* of the buffers */
        enum fake_place *places;
        struct fake_sends sends;
        int message_error, enter_error;
        void (*on_enter)(void *arg, bool wait, uint64_t ns);
        void *arg;
        unsigned n_enters, n_sleeps;
};

static struct uring_ring *last;
static bool refuses;

struct uring_ring *fake_ring(void)
{
        return last;
}

/* ------------------------------------------------------------------ the ring */

int uring_ring_new(struct uring_ring **ringp, const struct uring_ring_options *options, char *why, size_t n)
{
        struct uring_ring *ring;

        if (refuses) {
                snprintf(why, n, "refused");
                return URING_RING_E_REFUSED;
        }
        ring = mem_zalloc(sizeof(*ring));
        ring->options = *options;
        ring->bytes = mem_alloc(options->buffers * options->buffer_bytes);
        ring->places = mem_zalloc(options->buffers * sizeof(*ring->places));
        ring->sends.take = SIZE_MAX;
        *ringp = last = ring;
        return 0;
}

struct uring_ring *uring_ring_free(struct uring_ring *ring)
{
        /* Known failure 11: every buffer has come back. */
        for (unsigned i = 0; i < ring->options.buffers; i++)
                suite_need(ring->places[i] == FAKE_HOME, "buffer %u did not come back", i);
        free(ring->queue.v);
        free(ring->bytes);
        free(ring->places);
        free(ring);
        last = NULL;
        return NULL;
}

int uring_ring_fd(const struct uring_ring *ring)
{
        (void)ring;
        return FAKE_FD;
}

unsigned uring_ring_buffers(const struct uring_ring *ring)
{
        return ring->options.buffers;
}

/* ------------------------------------------------------------------ requests */

bool uring_ring_room(const struct uring_ring *ring, unsigned n_iov)
{
        (void)n_iov;
        return ring->n_queued < ring->options.entries;
}

static struct fake_request *fake_make(struct uring_ring *ring, enum fake_kind kind, uint64_t tag, int fd)
{
        unsigned i = 0;

        suite_need(uring_ring_room(ring, 0), "a request without room for it");
        while (i < ring->top && ring->requests[i].live)
                i++;
        suite_need(i < FAKE_REQUESTS, "too many requests for the fake");
        if (i == ring->top)
                ring->top++;
        ring->n_queued++;
        ring->requests[i] = (struct fake_request){
                .kind = kind, .tag = tag, .fd = fd, .number = ring->n_made++, .live = true
        };
        return &ring->requests[i];
}

void uring_ring_receive(struct uring_ring *ring, uint64_t tag, int fd)
{
        suite_need(!fake_count(FAKE_RECEIVE, fd), "a second receive for descriptor %d", fd);
        fake_make(ring, FAKE_RECEIVE, tag, fd);
}

void uring_ring_send(struct uring_ring *ring, uint64_t tag, int fd, const struct iovec *iov, unsigned n)
{
        struct fake_request *request;

        /* Known failure 21: they might overtake each other. */
        suite_need(!fake_count(FAKE_SEND, fd), "a second send for descriptor %d", fd);
        suite_need(n <= FAKE_IOV, "%u slices in one send", n);
        request = fake_make(ring, FAKE_SEND, tag, fd);
        memcpy(request->iov, iov, n * sizeof(*iov));
        request->n_iov = n;
}

void uring_ring_poll(struct uring_ring *ring, uint64_t tag, int fd, unsigned events, bool multi)
{
        (void)events;
        (void)multi;
        suite_need(!fake_count(FAKE_POLL, fd), "a second poll for descriptor %d", fd);
        fake_make(ring, FAKE_POLL, tag, fd);
}

void uring_ring_cancel(struct uring_ring *ring, uint64_t tag, uint64_t target)
{
        fake_make(ring, FAKE_CANCEL, tag, -1)->target = target;
}

void uring_ring_message(struct uring_ring *ring, uint64_t tag, int target, uint64_t tag_there)
{
        fake_make(ring, FAKE_MESSAGE, tag, target)->target = tag_there;
}

/* ------------------------------------------------------------------ the kernel's side */

bool uring_ring_busy(const struct uring_ring *ring)
{
        return ring->n_queued || ring->queue.n;
}

/* It does at once what it does. */
bool uring_ring_puts_off(const struct uring_ring *ring)
{
        (void)ring;
        return false;
}

/* The oldest request that the kernel has not seen. */
static struct fake_request *fake_first_queued(struct uring_ring *ring)
{
        struct fake_request *first = NULL;

        for (unsigned i = 0; i < ring->top; i++) {
                struct fake_request *q = &ring->requests[i];

                if (q->live && !q->entered && (!first || q->number < first->number))
                        first = q;
        }
        return first;
}

static void fake_mark_cancelled(struct uring_ring *ring, uint64_t target)
{
        for (unsigned i = 0; i < ring->top; i++)
                if (ring->requests[i].live && ring->requests[i].entered && ring->requests[i].tag == target)
                        ring->requests[i].cancelled = true;
}

/* The kernel sees a request. */
static void fake_hand_over(struct uring_ring *ring, struct fake_request *q)
{
        q->entered = true;
        ring->n_queued--;
        if (q->kind == FAKE_CANCEL)
                fake_mark_cancelled(ring, q->target);
        else if (q->kind == FAKE_SEND && !ring->sends.late)
                fake_finish_send(q, ring->sends.take, ring->sends.error);
        else if (q->kind == FAKE_MESSAGE && ring->message_error)
                fake_complete(q, -ring->message_error, -1, false);
        else if (q->kind == FAKE_MESSAGE)
                q->live = false; /* no completion is how it goes well */
}

int uring_ring_enter(struct uring_ring *ring, bool wait, uint64_t ns)
{
        struct fake_request *q;

        ring->n_enters++;
        if (ring->enter_error)
                return -ring->enter_error;
        while ((q = fake_first_queued(ring)))
                fake_hand_over(ring, q);
        if (wait && !ring->queue.n)
                ring->n_sleeps++;
        if (ring->on_enter)
                ring->on_enter(ring->arg, wait, ns);
        suite_need(!wait || ns != FAKE_NEVER || ring->queue.n, "the reactor sleeps and nothing wakes it");
        return 0;
}

unsigned uring_ring_take(struct uring_ring *ring, struct uring_completion *completions, unsigned max)
{
        unsigned n = 0;

        for (; n < max && ring->queue.n; ring->queue.n--) {
                struct uring_completion *c = &completions[n++];

                *c = ring->queue.v[ring->queue.head++];
                if (c->buffer >= 0)
                        ring->places[c->buffer] = FAKE_OUT;
        }
        if (!ring->queue.n)
                ring->queue.head = 0;
        return n;
}

const uint8_t *uring_ring_buffer(const struct uring_ring *ring, int buffer)
{
        suite_need(ring->places[buffer] == FAKE_OUT, "it reads a buffer that it does not have");
        return ring->bytes + (size_t)buffer * ring->options.buffer_bytes;
}

void uring_ring_give_back(struct uring_ring *ring, int buffer)
{
        suite_need(ring->places[buffer] == FAKE_OUT, "it gives a buffer back that it does not have");
        ring->places[buffer] = FAKE_HOME;
        memset(ring->bytes + (size_t)buffer * ring->options.buffer_bytes, FAKE_GONE,
               ring->options.buffer_bytes);
}

/* ------------------------------------------------------------------ for tests */

void fake_set_sends(struct fake_sends sends)
{
        last->sends = sends;
}

void fake_fail_messages(int error)
{
        last->message_error = error;
}

void fake_fail_enters(int error)
{
        last->enter_error = error;
}

void fake_refuse(bool refuse)
{
        refuses = refuse;
}

void fake_on_enter(void (*on_enter)(void *arg, bool wait, uint64_t ns), void *arg)
{
        last->on_enter = on_enter;
        last->arg = arg;
}

static bool fake_is(const struct fake_request *q, enum fake_kind kind, int fd)
{
        return q->live && q->kind == kind && (fd < 0 || q->fd == fd);
}

struct fake_request *fake_find(enum fake_kind kind, int fd)
{
        struct fake_request *first = NULL;

        for (unsigned i = 0; i < last->top; i++) {
                struct fake_request *q = &last->requests[i];

                if (fake_is(q, kind, fd) && (!first || q->number < first->number))
                        first = q;
        }
        return first;
}

struct fake_request *fake_find_cancel(uint64_t target)
{
        for (unsigned i = 0; i < last->top; i++)
                if (fake_is(&last->requests[i], FAKE_CANCEL, -1) && last->requests[i].target == target)
                        return &last->requests[i];
        return NULL;
}

unsigned fake_count(enum fake_kind kind, int fd)
{
        unsigned n = 0;

        for (unsigned i = 0; i < last->top; i++)
                n += fake_is(&last->requests[i], kind, fd);
        return n;
}

unsigned fake_count_tag(uint64_t tag)
{
        unsigned n = 0;

        for (unsigned i = 0; i < last->top; i++)
                n += last->requests[i].live && last->requests[i].tag == tag;
        return n;
}

struct fake_request *fake_nth(unsigned i)
{
        for (unsigned k = 0; k < last->top; k++)
                if (last->requests[k].live && !i--)
                        return &last->requests[k];
        return NULL;
}

void fake_post(uint64_t tag, int res, int buffer, bool more)
{
        struct uring_ring *ring = last;

        if (ring->queue.head + ring->queue.n == ring->queue.cap) {
                ring->queue.cap = ring->queue.cap ? 2 * ring->queue.cap : 64;
                ring->queue.v = mem_realloc(ring->queue.v, ring->queue.cap * sizeof(*ring->queue.v));
        }
        ring->queue.v[ring->queue.head + ring->queue.n++] =
                (struct uring_completion){ .tag = tag, .res = res, .buffer = buffer, .more = more };
}

void fake_complete(struct fake_request *q, int res, int buffer, bool more)
{
        suite_need(q, "nothing was requested that could complete");
        suite_need(q->live && q->entered, "a completion of a request that the kernel does not have");
        fake_post(q->tag, res, buffer, more);
        q->live = more;
}

int fake_fill(const void *p, size_t n)
{
        suite_need(n <= last->options.buffer_bytes, "too much for a buffer");
        for (unsigned i = 0; i < last->options.buffers; i++)
                if (last->places[i] == FAKE_HOME) {
                        last->places[i] = FAKE_FILLED;
                        memcpy(last->bytes + i * last->options.buffer_bytes, p, n);
                        return (int)i;
                }
        return -1;
}

/* As send(2) with the first take bytes of what is asked. Return: the bytes that were sent, -errno. */
static int fake_send(const struct fake_request *q, size_t take)
{
        struct iovec iov[FAKE_IOV];
        struct msghdr msg = { .msg_iov = iov };
        ssize_t n;

        for (unsigned i = 0; i < q->n_iov && take; i++) {
                iov[i] = q->iov[i];
                if (iov[i].iov_len > take)
                        iov[i].iov_len = take;
                take -= iov[i].iov_len;
                msg.msg_iovlen++;
        }
        if (!msg.msg_iovlen)
                return 0;
        n = sendmsg(q->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
        return n < 0 ? -errno : (int)n;
}

void fake_finish_send(struct fake_request *q, size_t take, int error)
{
        fake_complete(q, error ? -error : fake_send(q, take), -1, false);
}

unsigned fake_buffers_home(void)
{
        unsigned n = 0;

        for (unsigned i = 0; i < last->options.buffers; i++)
                n += last->places[i] == FAKE_HOME;
        return n;
}

bool fake_busy(void)
{
        return uring_ring_busy(last);
}

unsigned fake_enters(void)
{
        return last->n_enters;
}

unsigned fake_sleeps(void)
{
        return last->n_sleeps;
}
