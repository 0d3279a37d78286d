/* SPDX-License-Identifier: MIT */
/*
 * The reactor on libev and epoll.
 *
 * Readiness imitates completion: a readable stream is read once per wait() into one buffer of the reactor and
 * handed up; a flush() writes at once and asks for writability only for what the kernel did not take. Nothing
 * is reported outside wait(): a failed flush() and a remove() put the stream on `pending` and the next wait()
 * reports them before it looks at the kernel, and does not block.
 *
 * The stream's watcher is stopped before its descriptor is closed. Received descriptors (SCM_RIGHTS) are closed
 * by the kernel, since no call here offers room for them.
 */

#include "reactor/reactor.h"

#include <assert.h>
#include <errno.h>
#include <ev.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "reactor/send.h"
#include "util/clock.h"
#include "util/error.h"
#include "util/mem.h"

#define EV_FAR_AWAY 1e9 /* seconds */

struct reactor {
        struct ev_loop *loop;
        struct reactor_sink sink;
        struct reactor_options options;
        ev_io wake;
        ev_timer deadline;
        ev_periodic calendar;
        struct list pending; /* streams with something to report, by stream.pending */
        uint8_t *scratch;    /* options.receive_bytes */
        int n_callbacks;     /* of this wait() */
        unsigned n_streams;
};

struct evr_stream {
        ev_io io;
        struct reactor *reactor;
        int error;     /* to report: an errno; 0: none */
        bool end;      /* the peer sends no more */
        bool reported; /* the error was */
};

static struct evr_stream *evr_of(struct stream *s)
{
        return stream_private(s);
}

/* Makes the watcher ask for just what is wanted now. */
static void evr_arm(struct stream *s)
{
        struct evr_stream *e = evr_of(s);
        int want = 0;

        if (!s->removed && !s->failed)
                want = (s->paused || e->end ? 0 : EV_READ) | (s->writing ? EV_WRITE : 0);
        if (want == (ev_is_active(&e->io) ? (e->io.events & (EV_READ | EV_WRITE)) : 0))
                return;
        ev_io_stop(e->reactor->loop, &e->io);
        ev_io_set(&e->io, s->fd, want);
        if (want)
                ev_io_start(e->reactor->loop, &e->io);
}

static void evr_fail(struct stream *s, int error)
{
        struct evr_stream *e = evr_of(s);

        s->failed = true;
        s->writing = false;
        e->error = error;
        outq_clear(&s->out);
        evr_arm(s);
        if (list_empty(&s->pending))
                list_add_tail(&e->reactor->pending, &s->pending);
}

/* Sends until the queue is empty or the kernel takes no more. */
static void evr_send(struct stream *s)
{
        int error, r = send_queue(&s->out, s->fd, &error);

        s->writing = r == SEND_E_FULL;
        if (r == SEND_E_FAILED)
                evr_fail(s, error);
        else
                evr_arm(s);
}

static void evr_read(struct stream *s)
{
        struct evr_stream *e = evr_of(s);
        struct reactor *r = e->reactor;
        ssize_t n = recv(s->fd, r->scratch, r->options.receive_bytes, MSG_DONTWAIT);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n < 0) {
                evr_fail(s, errno);
                return;
        }
        r->n_callbacks++;
        if (n > 0) {
                r->sink.on_data(r->sink.arg, s, bytes_of(r->scratch, (size_t)n));
                return;
        }
        e->end = true;
        evr_arm(s);
        r->sink.on_hangup(r->sink.arg, s, 0);
}

static void evr_on_io(struct ev_loop *loop, ev_io *io, int events)
{
        struct evr_stream *e = container_of(io, struct evr_stream, io);
        struct stream *s = io->data;
        struct reactor *r = e->reactor;

        (void)loop;
        if (events & EV_WRITE && s->writing) {
                evr_send(s);
                if (!s->writing && !s->failed) {
                        r->n_callbacks++;
                        r->sink.on_drained(r->sink.arg, s);
                }
        }
        if (events & EV_READ && !s->paused && !e->end && !s->failed && !s->removed)
                evr_read(s);
}

static void evr_on_wake(struct ev_loop *loop, ev_io *io, int events)
{
        uint64_t count;

        (void)loop;
        (void)events;
        while (read(io->fd, &count, sizeof(count)) < 0 && errno == EINTR)
                ;
}

static void evr_on_deadline(struct ev_loop *loop, ev_timer *timer, int events)
{
        (void)loop;
        (void)timer;
        (void)events;
}

static void evr_on_calendar(struct ev_loop *loop, ev_periodic *periodic, int events)
{
        (void)loop;
        (void)periodic;
        (void)events;
}

/* Reports what happened since the last wait(). */
static void evr_report(struct reactor *r)
{
        struct list now;
        struct stream *s;
        struct evr_stream *e;

        list_swap(&now, &r->pending);
        while (!list_empty(&now)) {
                s = list_first(&now, struct stream, pending);
                e = evr_of(s);
                list_del(&s->pending);
                r->n_callbacks++;
                if (s->removed) {
                        assert(!ev_is_active(&e->io));
                        close(s->fd);
                        s->fd = -1;
                        r->n_streams--;
                        r->sink.on_closed(r->sink.arg, s);
                } else if (e->error && !e->reported) {
                        e->reported = true;
                        r->sink.on_hangup(r->sink.arg, s, e->error);
                }
        }
}

static struct reactor *evr_deinit(struct reactor *r)
{
        assert(r->n_streams == 0);
        ev_io_stop(r->loop, &r->wake);
        ev_timer_stop(r->loop, &r->deadline);
        ev_periodic_stop(r->loop, &r->calendar);
        ev_loop_destroy(r->loop);
        free(r->scratch);
        free(r);
        return NULL;
}

static int evr_init_loop(struct reactor **reactorp, const struct reactor_options *options,
                         const struct reactor_sink *sink)
{
        struct reactor *r = mem_zalloc(sizeof(*r));

        r->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
        if (!r->loop) {
                free(r);
                return error_origin(errno ? -errno : -EINVAL);
        }
        r->sink = *sink;
        r->options = *options;
        r->scratch = mem_alloc(options->receive_bytes);
        list_init(&r->pending);
        ev_init(&r->deadline, evr_on_deadline);
        /* A running calendar watcher makes libev notice clock changes by timerfd; without it, it would wake
         * every minute to look at the clock. */
        ev_periodic_init(&r->calendar, evr_on_calendar, 0., EV_FAR_AWAY, NULL);
        ev_periodic_start(r->loop, &r->calendar);
        ev_io_init(&r->wake, evr_on_wake, options->wake_fd, EV_READ);
        if (options->wake_fd >= 0)
                ev_io_start(r->loop, &r->wake);
        *reactorp = r;
        return 0;
}

static void evr_add(struct reactor *r, struct stream *s)
{
        struct evr_stream *e = evr_of(s);

        *e = (struct evr_stream){ .reactor = r };
        ev_init(&e->io, evr_on_io);
        e->io.data = s;
        list_init(&s->pending);
        r->n_streams++;
        evr_arm(s);
}

static void evr_pause(struct reactor *r, struct stream *s, bool paused)
{
        (void)r;
        s->paused = paused;
        evr_arm(s);
}

static void evr_flush(struct reactor *r, struct stream *s)
{
        (void)r;
        if (!s->failed && !s->removed && !s->writing)
                evr_send(s);
}

/* Nothing was put off. */
static int evr_submit(struct reactor *r)
{
        (void)r;
        return 0;
}

static void evr_remove(struct reactor *r, struct stream *s)
{
        if (s->removed)
                return;
        s->removed = true;
        s->writing = false;
        outq_clear(&s->out);
        evr_arm(s);
        if (list_empty(&s->pending))
                list_add_tail(&r->pending, &s->pending);
}

static int evr_wait(struct reactor *r, uint64_t deadline)
{
        uint64_t now;

        r->n_callbacks = 0;
        evr_report(r);
        if (r->n_callbacks || !list_empty(&r->pending))
                deadline = 0;
        if (deadline && deadline != CLOCK_NEVER) {
                now = clock_now();
                ev_now_update(r->loop);
                ev_timer_set(&r->deadline, deadline > now ? (double)(deadline - now) / 1e9 : 0., 0.);
                ev_timer_start(r->loop, &r->deadline);
        }
        ev_run(r->loop, deadline ? EVRUN_ONCE : EVRUN_NOWAIT);
        ev_timer_stop(r->loop, &r->deadline);
        return r->n_callbacks;
}

const struct reactor_ops reactor_ev = {
        .name = "libev",
        .stream_size = sizeof(struct evr_stream),
        .init = evr_init_loop,
        .deinit = evr_deinit,
        .add = evr_add,
        .pause = evr_pause,
        .flush = evr_flush,
        .submit = evr_submit,
        .remove = evr_remove,
        .wait = evr_wait,
};
