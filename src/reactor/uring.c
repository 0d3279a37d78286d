/* SPDX-License-Identifier: MIT */
/*
 * The reactor on io_uring.
 *
 * Receiving: each stream that is read has one receive armed, mostly for all that will ever come; its bytes
 * arrive in buffers of the ring, are handed up in wait(), and the buffer goes back at once. So nobody holds a
 * buffer between two waits, least of all a paused stream, whose receive is cancelled. A stream that found no
 * buffer is `starved` and asks again when one has come back.
 *
 * Sending: flush() queues one send, submit() hands all of them to the kernel with one system call. They never
 * wait for room, so they complete within that call, and nothing is under way between two turns: what a socket
 * did not take stays in its queue, free to be moved, and POLLOUT is awaited. Should a send ever complete later,
 * submit() waits for it; the bytes that it points at are kept until then.
 *
 * Completions: those of sends and failed wakes are dealt with when they are taken from the ring, which may be
 * anywhere; they call nobody back. All others go to `inbox`, and wait() works off what it finds there.
 *
 * Names: a request's tag has the operation, a slot, and the slot's generation. A slot belongs to a stream from
 * add() until it is closed, and a stream is closed only when each of its requests has had its last completion.
 * So no completion can meet another stream; one that bears an old generation is dropped and counted.
 *
 * Every open stream is in one state of reading: armed, being cancelled, starved, or rightly silent (paused, at
 * its end, failed, removed).
 */

#include "reactor/reactor.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "reactor/send.h"
#include "reactor/uring.h"
#include "reactor/uring_ring.h"
#include "reactor/uring_slots.h"
#include "util/clock.h"
#include "util/error.h"
#include "util/mem.h"
#include "util/plant.h"

#define URING_TAKE     64   /* completions taken at a time */
#define URING_LOOK_MAX 1024 /* completions after which those that came are worked off first */

enum uring_op {
        URING_OP_RECEIVE,
        URING_OP_SEND,
        URING_OP_ROOM,    /* POLLOUT */
        URING_OP_CANCEL,  /* its own completion says nothing */
        URING_OP_EVENTFD, /* the wake_fd is readable */
        URING_OP_WOKEN,   /* another ring's message; it is there to end the wait */
        URING_OP_WAKE,    /* a message to another ring that failed */
};

enum uring_receive {
        URING_SILENT,
        URING_ARMED,
        URING_CANCELLED, /* but its last completion is still to come */
};

struct uring_stream {
        struct reactor *reactor;
        struct list asks; /* in reactor.asking or reactor.starved */
        size_t offered;   /* bytes of the send under way */
        uint32_t slot;
        uint32_t taken_at_arm; /* reactor.n_taken then */
        enum uring_receive receive;
        unsigned n_requests; /* whose last completion is still to come */
        int error;           /* to report: an errno; 0: none */
        bool sending;
        bool awaits_room;
        bool end;         /* the peer sends no more */
        bool reported;    /* the error was */
        bool full_at_arm; /* all buffers were in the ring then */
        bool fresh;       /* no bytes came since it was armed */
};

struct reactor {
        struct uring_ring *ring;
        struct reactor_sink sink;
        int wake_fd;
        struct uring_slots slots;
        struct list pending; /* streams with something to report, by stream.pending */
        struct list asking;  /* streams whose receive is to be armed, by uring_stream.asks */
        struct list starved; /* streams that found no buffer, by the same */
        struct {
                struct uring_completion *v;
                unsigned n, cap;
        } inbox;
        int n_callbacks; /* of this wait() */
        unsigned n_streams;
        unsigned n_sends; /* under way */
        bool wakes;       /* some are queued */
        bool woken;       /* by another thread, in this wait() */
        unsigned n_held;  /* buffers in the inbox */
        uint32_t n_taken; /* buffers that ever came with a completion */
        int error;        /* -errno that a call without a result met */
        struct uring_stats stats;
};

static struct uring_stream *uring_of(struct stream *s)
{
        return stream_private(s);
}

/* ------------------------------------------------------------------ tags */

static uint64_t uring_tag(enum uring_op op, uint32_t slot, uint32_t generation)
{
        return (uint64_t)generation << 32 | (uint64_t)slot << 8 | op;
}

static uint64_t uring_stream_tag(struct stream *s, enum uring_op op)
{
        const struct uring_stream *u = uring_of(s);

        return uring_tag(op, u->slot, u->reactor->slots.v[u->slot].generation);
}

/* Return: NULL: the stream is gone. */
static struct stream *uring_tagged(struct reactor *r, uint64_t tag)
{
        struct stream *s = uring_slots_find(&r->slots, (uint32_t)tag >> 8, (uint32_t)(tag >> 32));

        r->stats.stale += !s;
        return s;
}

/* ------------------------------------------------------------------ requests */

static void uring_take(struct reactor *r);

static void uring_enter(struct reactor *r, bool wait, uint64_t ns)
{
        int e = uring_ring_enter(r->ring, wait, ns);

        if (e < 0 && !r->error)
                r->error = error_origin(e);
        uring_take(r);
}

/* Makes room for a request. Queued ones go to the kernel if there is none, and their completions come along. */
static void uring_make_room(struct reactor *r, unsigned n_iov)
{
        while (!r->error && !uring_ring_room(r->ring, n_iov)) {
                r->stats.full++;
                uring_enter(r, false, 0);
        }
}

static void uring_cancel(struct stream *s, enum uring_op op)
{
        struct reactor *r = uring_of(s)->reactor;

        uring_make_room(r, 0);
        if (!r->error)
                uring_ring_cancel(r->ring, uring_tag(URING_OP_CANCEL, 0, 0), uring_stream_tag(s, op));
}

/* Whether the shard is to hear what arrives. */
static bool uring_wanted(struct stream *s)
{
        return !s->paused && !s->failed && !s->removed && !uring_of(s)->end;
}

/* Has it armed before the next enter, if what arrives is wanted and not under way. */
static void uring_arm(struct stream *s)
{
        struct uring_stream *u = uring_of(s);

        if (uring_wanted(s) && u->receive == URING_SILENT && list_empty(&u->asks))
                list_add_tail(&u->reactor->asking, &u->asks);
}

static void uring_receive(struct stream *s)
{
        struct uring_stream *u = uring_of(s);
        struct reactor *r = u->reactor;

        uring_ring_receive(r->ring, uring_stream_tag(s, URING_OP_RECEIVE), s->fd);
        u->receive = URING_ARMED;
        u->n_requests++;
        u->taken_at_arm = r->n_taken;
        u->full_at_arm = r->n_held == 0;
        u->fresh = true;
}

/* Ends what uring_arm() began. */
static void uring_disarm(struct stream *s)
{
        struct uring_stream *u = uring_of(s);

        list_del(&u->asks);
        if (u->receive != URING_ARMED)
                return;
        u->receive = URING_CANCELLED;
        uring_cancel(s, URING_OP_RECEIVE);
}

static void uring_await_room(struct stream *s)
{
        struct uring_stream *u = uring_of(s);

        s->writing = true;
        uring_make_room(u->reactor, 0);
        if (u->reactor->error)
                return;
        uring_ring_poll(u->reactor->ring, uring_stream_tag(s, URING_OP_ROOM), s->fd, POLLOUT, false);
        u->awaits_room = true;
        u->n_requests++;
}

static void uring_arm_wake(struct reactor *r)
{
        if (r->wake_fd < 0)
                return;
        uring_make_room(r, 0);
        if (r->error)
                return;
        uring_ring_poll(r->ring, uring_tag(URING_OP_EVENTFD, 0, 0), r->wake_fd, POLLIN, true);
}

/* ------------------------------------------------------------------ the end of a stream */

/* The bytes that a send points at are kept until it completes. */
static void uring_drop_output(struct stream *s)
{
        s->writing = false;
        if (!uring_of(s)->sending || PLANTED(21))
                outq_clear(&s->out);
}

static void uring_report_later(struct stream *s)
{
        if (list_empty(&s->pending))
                list_add_tail(&uring_of(s)->reactor->pending, &s->pending);
}

static void uring_stop_requests(struct stream *s)
{
        struct uring_stream *u = uring_of(s);

        uring_disarm(s);
        if (u->awaits_room)
                uring_cancel(s, URING_OP_ROOM);
}

static void uring_fail(struct stream *s, int error)
{
        if (s->failed || s->removed)
                return;
        s->failed = true;
        uring_of(s)->error = error;
        uring_drop_output(s);
        uring_stop_requests(s);
        uring_report_later(s);
}

/* In wait(): no request of it is under way. */
static void uring_close(struct stream *s)
{
        struct uring_stream *u = uring_of(s);
        struct reactor *r = u->reactor;

        assert(!u->n_requests && !s->out.n && list_empty(&u->asks));
        list_del(&s->pending);
        uring_slots_release(&r->slots, u->slot);
        close(s->fd);
        s->fd = -1;
        r->n_streams--;
        r->n_callbacks++;
        r->sink.on_closed(r->sink.arg, s);
}

/* ------------------------------------------------------------------ completions of sends */

/* Sends the rest by system calls: a socket that takes its bytes in parts is no case for speed. */
static void uring_send_rest(struct stream *s)
{
        int error, e = send_queue(&s->out, s->fd, &error);

        s->writing = false;
        if (e == SEND_E_FULL)
                uring_await_room(s);
        else if (e)
                uring_fail(s, error);
}

static void uring_on_sent(struct stream *s, int res)
{
        struct uring_stream *u = uring_of(s);

        u->sending = false;
        u->n_requests--;
        u->reactor->n_sends--;
        if (s->removed || s->failed) {
                outq_clear(&s->out);
                if (s->removed && !u->n_requests)
                        uring_report_later(s);
                return;
        }
        if (res > 0)
                outq_consume(&s->out, PLANTED(17) ? s->out.bytes : (size_t)res);
        if (res == -EAGAIN || (res >= 0 && (size_t)res < u->offered))
                uring_await_room(s);
        else if (res < 0 && res != -EINTR)
                uring_fail(s, -res);
        else if (s->out.n)
                uring_send_rest(s);
}

/* The other ring does not take messages: its eventfd does. */
static void uring_on_wake_failed(struct reactor *r, uint64_t tag)
{
        uint64_t one = 1;

        r->stats.wakes_failed++;
        while (write((int)(tag >> 32), &one, sizeof(one)) < 0 && errno == EINTR)
                ;
}

/* ------------------------------------------------------------------ taking completions */

static void uring_keep(struct reactor *r, const struct uring_completion *c)
{
        if (r->inbox.n == r->inbox.cap) {
                r->inbox.cap = r->inbox.cap ? 2 * r->inbox.cap : 256;
                r->inbox.v = mem_realloc(r->inbox.v, r->inbox.cap * sizeof(*r->inbox.v));
        }
        r->inbox.v[r->inbox.n++] = *c;
        if (c->buffer >= 0) {
                r->n_held++;
                r->n_taken++;
        }
}

static void uring_take_sent(struct reactor *r, const struct uring_completion *c)
{
        struct stream *s = uring_tagged(r, c->tag);

        if (s)
                uring_on_sent(s, c->res);
}

static void uring_take_other(struct reactor *r, const struct uring_completion *c)
{
        switch ((enum uring_op)(c->tag & 0xff)) {
        case URING_OP_WAKE:
                uring_on_wake_failed(r, c->tag);
                break;
        case URING_OP_WOKEN:
                r->woken = true;
                break;
        case URING_OP_CANCEL:
                break;
        default:
                uring_keep(r, c);
        }
}

static bool uring_is_send(const struct uring_completion *c)
{
        return (c->tag & 0xff) == URING_OP_SEND;
}

/* Empties the completion queue; calls nobody back. What follows from a send may need room, and take newer
 * completions to have it: all others are in the inbox by then, in the order of their coming. */
static void uring_take(struct reactor *r)
{
        struct uring_completion some[URING_TAKE];
        unsigned n;

        do {
                n = uring_ring_take(r->ring, some, URING_TAKE);
                for (unsigned i = 0; i < n; i++)
                        if (!uring_is_send(&some[i]))
                                uring_take_other(r, &some[i]);
                for (unsigned i = 0; i < n; i++)
                        if (uring_is_send(&some[i]))
                                uring_take_sent(r, &some[i]);
        } while (n == URING_TAKE);
}

/* ------------------------------------------------------------------ completions, worked off in wait() */

static void uring_give_back(struct reactor *r, int buffer)
{
        if (buffer < 0)
                return;
        uring_ring_give_back(r->ring, buffer);
        r->n_held--;
}

/* No buffer was there. If none had left the ring since the request, the kernel has lost them all. */
static void uring_starve(struct stream *s)
{
        struct uring_stream *u = uring_of(s);
        struct reactor *r = u->reactor;

        r->stats.starved++;
        if (u->full_at_arm && u->taken_at_arm == r->n_taken) {
                r->error = error_origin(-ENOBUFS);
                return;
        }
        if (uring_wanted(s) && u->receive == URING_SILENT)
                list_add_tail(&r->starved, &u->asks);
}

/* Kernels differ in what they complete with 0 bytes, so the socket is asked. */
static bool uring_at_end(const struct stream *s)
{
        char c;

        return recv(s->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

/* A kernel that finds bytes and an end at once while it arms a receive tells the bytes, and never the end (seen
 * on Linux 6.18, on Unix sockets). So behind the first bytes the socket is asked, and then the kernel anew. */
static void uring_look_behind(struct stream *s, bool more)
{
        struct uring_stream *u = uring_of(s);

        if (u->fresh && more && uring_at_end(s) && !PLANTED(22))
                uring_disarm(s);
        u->fresh = false;
}

static void uring_on_bytes(struct stream *s, const struct uring_completion *c)
{
        struct reactor *r = uring_of(s)->reactor;

        if (c->buffer < 0) {
                uring_fail(s, EIO); /* somewhere in the ring, and nobody knows where */
                return;
        }
        uring_look_behind(s, c->more);
        r->n_callbacks++;
        r->sink.on_data(r->sink.arg, s, bytes_of(uring_ring_buffer(r->ring, c->buffer), (size_t)c->res));
}

/* Of a stream that is read. A paused one hears of its end when it is resumed and asks again. So does one whose
 * receive goes on, since bytes may be behind this completion that are no longer in the socket. */
static void uring_on_end(struct stream *s, bool more)
{
        struct uring_stream *u = uring_of(s);
        struct reactor *r = u->reactor;

        if (s->paused || !uring_at_end(s))
                return;
        if (more) {
                uring_disarm(s);
                return;
        }
        u->end = true;
        r->n_callbacks++;
        r->sink.on_hangup(r->sink.arg, s, 0);
}

static void uring_on_receive(struct stream *s, const struct uring_completion *c)
{
        struct uring_stream *u = uring_of(s);

        if (!c->more) {
                u->receive = URING_SILENT;
                u->n_requests--;
        }
        if (s->removed || s->failed || u->end)
                ; /* nobody wants it any more */
        else if (c->res > 0)
                uring_on_bytes(s, c);
        else if (c->res == 0)
                uring_on_end(s, c->more);
        else if (c->res == -ENOBUFS)
                uring_starve(s);
        else if (c->res != -ECANCELED && c->res != -EINTR && c->res != -EAGAIN)
                uring_fail(s, -c->res);
        if (!PLANTED(18))
                uring_arm(s);
}

static void uring_on_room(struct stream *s)
{
        struct uring_stream *u = uring_of(s);
        struct reactor *r = u->reactor;

        u->awaits_room = false;
        u->n_requests--;
        if (s->removed || s->failed)
                return;
        uring_send_rest(s);
        if (s->writing || s->failed)
                return;
        r->n_callbacks++;
        r->sink.on_drained(r->sink.arg, s);
}

static void uring_on_eventfd(struct reactor *r, const struct uring_completion *c)
{
        uint64_t count;

        while (read(r->wake_fd, &count, sizeof(count)) < 0 && errno == EINTR)
                ;
        r->woken = true;
        if (!c->more)
                uring_arm_wake(r);
}

static void uring_complete(struct reactor *r, const struct uring_completion *c)
{
        struct stream *s;

        if ((c->tag & 0xff) == URING_OP_EVENTFD) {
                uring_on_eventfd(r, c);
                return;
        }
        s = uring_tagged(r, c->tag);
        if (s && (c->tag & 0xff) == URING_OP_RECEIVE)
                uring_on_receive(s, c);
        else if (s)
                uring_on_room(s);
        uring_give_back(r, c->buffer);
        if (s && s->removed && (!uring_of(s)->n_requests || PLANTED(19)))
                uring_close(s);
}

/* Works off what is in the inbox now; what comes meanwhile has its turn in the next wait(). */
static void uring_work_off(struct reactor *r)
{
        unsigned n = r->inbox.n;

        if (!n)
                return;
        for (unsigned i = 0; i < n; i++) {
                struct uring_completion c = r->inbox.v[i]; /* the inbox may move */

                uring_complete(r, &c);
        }
        r->inbox.n -= n;
        memmove(r->inbox.v, r->inbox.v + n, r->inbox.n * sizeof(*r->inbox.v));
}

/* Arms at most n of a list. The enters that make room may take streams off it. */
static void uring_arm_some(struct reactor *r, struct list *list, unsigned n)
{
        for (; n && !list_empty(list); n--) {
                struct uring_stream *u;

                uring_make_room(r, 0);
                if (r->error || list_empty(list))
                        return;
                u = list_first(list, struct uring_stream, asks);
                list_del(&u->asks);
                uring_receive(r->slots.v[u->slot].stream);
        }
}

/* Arms those that ask, and before them, of those that found no buffer, as many as there are buffers now. */
static void uring_feed(struct reactor *r)
{
        uring_arm_some(r, &r->starved, uring_ring_buffers(r->ring) - r->n_held);
        uring_arm_some(r, &r->asking, r->n_streams);
}

/* Reports what happened since the last wait(). */
static void uring_report(struct reactor *r)
{
        struct list now;

        list_swap(&now, &r->pending);
        while (!list_empty(&now)) {
                struct stream *s = list_first(&now, struct stream, pending);
                struct uring_stream *u = uring_of(s);

                list_del(&s->pending);
                if (s->removed && !u->n_requests) {
                        uring_close(s);
                } else if (!s->removed && u->error && !u->reported) {
                        u->reported = true;
                        r->n_callbacks++;
                        r->sink.on_hangup(r->sink.arg, s, u->error);
                }
        }
}

/* ------------------------------------------------------------------ the seam */

static int uring_init(struct reactor **reactorp, const struct reactor_options *options,
                      const struct reactor_sink *sink)
{
        struct uring_ring_options ring = { .entries = options->ring.entries,
                                           .completions = options->ring.completions,
                                           .buffers = options->ring.buffers,
                                           .buffer_bytes = options->ring.buffer_bytes,
                                           .single_shot = options->ring.single_shot };
        struct reactor *r = mem_zalloc(sizeof(*r));
        char why[REACTOR_WHY_BYTES] = "";

        if (uring_ring_new(&r->ring, &ring, options->why ? options->why : why, REACTOR_WHY_BYTES)) {
                free(r);
                return REACTOR_E_UNSUPPORTED;
        }
        r->sink = *sink;
        r->wake_fd = options->wake_fd;
        uring_slots_init(&r->slots);
        list_init(&r->pending);
        list_init(&r->asking);
        list_init(&r->starved);
        uring_arm_wake(r);
        *reactorp = r;
        return 0;
}

static struct reactor *uring_deinit(struct reactor *r)
{
        assert(r->n_streams == 0 && r->n_held == 0 && r->n_sends == 0);
        uring_ring_free(r->ring);
        uring_slots_deinit(&r->slots);
        free(r->inbox.v);
        free(r);
        return NULL;
}

static void uring_add(struct reactor *r, struct stream *s)
{
        struct uring_stream *u = uring_of(s);

        *u = (struct uring_stream){ .reactor = r, .slot = uring_slots_take(&r->slots, s) };
        list_init(&u->asks);
        list_init(&s->pending);
        r->n_streams++;
        uring_arm(s);
}

static void uring_pause(struct reactor *r, struct stream *s, bool paused)
{
        (void)r;
        s->paused = paused;
        if (paused)
                uring_disarm(s);
        else
                uring_arm(s);
}

static void uring_flush(struct reactor *r, struct stream *s)
{
        struct uring_stream *u = uring_of(s);
        struct iovec iov[SEND_IOV_MAX];
        unsigned n;

        if (s->failed || s->removed || u->sending || u->awaits_room || !s->out.n)
                return;
        n = outq_iov(&s->out, iov, SEND_IOV_MAX);
        uring_make_room(r, n);
        if (r->error)
                return;
        u->offered = 0;
        for (unsigned i = 0; i < n; i++)
                u->offered += iov[i].iov_len;
        uring_ring_send(r->ring, uring_stream_tag(s, URING_OP_SEND), s->fd, iov, n);
        u->sending = true;
        u->n_requests++;
        r->n_sends++;
}

static int uring_submit(struct reactor *r)
{
        if (r->n_sends || r->wakes) {
                uring_feed(r);
                uring_enter(r, false, 0);
        }
        r->wakes = false;
        while (r->n_sends && !r->error)
                uring_enter(r, true, CLOCK_NEVER);
        return r->error;
}

static void uring_remove(struct reactor *r, struct stream *s)
{
        (void)r;
        if (s->removed)
                return;
        s->removed = true;
        uring_drop_output(s);
        uring_stop_requests(s);
        if (!uring_of(s)->n_requests)
                uring_report_later(s);
}

/* Whether a wait() has to return. */
static bool uring_done(const struct reactor *r, uint64_t deadline)
{
        return !deadline || r->n_callbacks || r->woken || r->error ||
               (deadline != CLOCK_NEVER && clock_now() >= deadline);
}

/*
 * Newer kernels do a few things only in one enter (20 on Linux 6.18), however many there are. A crowd that says
 * something, or hangs up, at once would be spread over as many turns, and somebody behind it wait for all of
 * them. So they are asked again, as long as something comes of it, and buffers are left for it to come in.
 */
static void uring_look_on(struct reactor *r)
{
        unsigned before = 0;

        while (r->inbox.n != before && r->inbox.n < URING_LOOK_MAX &&
               2 * r->n_held < uring_ring_buffers(r->ring) && !r->error && uring_ring_puts_off(r->ring)) {
                before = r->inbox.n;
                uring_enter(r, false, 0);
        }
}

/* What feeding met on its way to the kernel is not slept over, nor are streams that still starve: those that
 * were armed may have nothing to read, and their buffer is then there for the next ones. */
static void uring_look(struct reactor *r, uint64_t deadline)
{
        uint64_t now;

        uring_feed(r);
        if (r->inbox.n || r->woken || !list_empty(&r->pending) || (!list_empty(&r->starved) && !PLANTED(20)))
                deadline = 0;
        if (deadline == CLOCK_NEVER) {
                uring_enter(r, true, CLOCK_NEVER);
        } else if (deadline) {
                now = clock_now();
                uring_enter(r, true, deadline > now ? deadline - now : 0);
        } else if (!r->inbox.n && uring_ring_busy(r->ring)) {
                uring_enter(r, false, 0);
        }
        uring_look_on(r);
        uring_work_off(r);
}

static int uring_wait(struct reactor *r, uint64_t deadline)
{
        r->n_callbacks = 0;
        r->woken = false;
        do {
                uring_report(r);
                if (r->n_callbacks || r->inbox.n || r->error)
                        deadline = 0;
                uring_look(r, deadline);
        } while (!uring_done(r, deadline));
        return r->error ? r->error : r->n_callbacks;
}

static struct reactor_address uring_address(const struct reactor *r)
{
        return (struct reactor_address){ .ring = uring_ring_fd(r->ring), .wake_fd = r->wake_fd };
}

static void uring_wake(struct reactor *r, const struct reactor_address *address)
{
        uring_make_room(r, 0);
        if (r->error)
                return;
        uring_ring_message(r->ring, uring_tag(URING_OP_WAKE, 0, (uint32_t)address->wake_fd), address->ring,
                           uring_tag(URING_OP_WOKEN, 0, 0));
        r->wakes = true;
}

const struct uring_stats *uring_stats(const struct reactor *r)
{
        return &r->stats;
}

void uring_assert_stream(struct stream *s)
{
        const struct uring_stream *u = uring_of(s);
        bool wanted = uring_wanted(s), asks = !list_empty(&u->asks);

        assert(u->n_requests == (unsigned)u->sending + u->awaits_room + (u->receive != URING_SILENT));
        assert(!asks || u->receive == URING_SILENT);
        assert(wanted ? asks || u->receive != URING_SILENT : !asks && u->receive != URING_ARMED);
        assert(!s->failed || !s->writing);
        assert(!(u->sending && u->awaits_room));
        assert(s->writing == u->awaits_room || s->failed || s->removed);
        assert(!(s->failed || s->removed) || u->sending || !s->out.n);
}

const struct reactor_ops reactor_uring = {
        .name = "io_uring",
        .stream_size = sizeof(struct uring_stream),
        .init = uring_init,
        .deinit = uring_deinit,
        .add = uring_add,
        .pause = uring_pause,
        .flush = uring_flush,
        .submit = uring_submit,
        .remove = uring_remove,
        .wait = uring_wait,
        .address = uring_address,
        .wake = uring_wake,
};
