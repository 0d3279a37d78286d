/* SPDX-License-Identifier: MIT */

#include "support/reactor_fake.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "util/mem.h"

#define FAKE_MAX 8192 /* descriptors */

struct fake {
        size_t split;
        void (*on_block)(void *arg, uint64_t deadline);
        void *arg;
        int top; /* descriptors in use are below */
        struct fake_stream *streams[FAKE_MAX];
};

struct reactor {
        struct fake *fake;
        struct reactor_sink sink;
        unsigned n_streams;
        bool flushed; /* some stream is */
};

static __thread struct fake *last;

struct fake *fake_last(void)
{
        return last;
}

void fake_split(struct fake *fake, size_t bytes)
{
        fake->split = bytes;
}

struct fake_stream *fake_stream(struct fake *fake, int fd)
{
        assert(fd >= 0 && fd < FAKE_MAX);
        if (!fake->streams[fd]) {
                fake->streams[fd] = mem_zalloc(sizeof(struct fake_stream));
                fake->streams[fd]->accept = SIZE_MAX;
                if (fd >= fake->top)
                        fake->top = fd + 1;
        }
        return fake->streams[fd];
}

void fake_feed(struct fake *fake, int fd, const void *p, size_t n)
{
        struct fake_stream *f = fake_stream(fake, fd);

        if (!f->end)
                buffer_put(&f->in, p, n);
}

void fake_end(struct fake *fake, int fd)
{
        fake_stream(fake, fd)->end = true;
}

void fake_fail(struct fake *fake, int fd, int error)
{
        fake_stream(fake, fd)->error = error;
}

void fake_accept(struct fake *fake, int fd, size_t bytes)
{
        fake_stream(fake, fd)->accept = bytes;
}

void fake_on_block(struct fake *fake, void (*on_block)(void *arg, uint64_t deadline), void *arg)
{
        fake->on_block = on_block;
        fake->arg = arg;
}

void fake_free(struct fake *fake)
{
        for (int fd = 0; fd < fake->top; fd++) {
                if (!fake->streams[fd])
                        continue;
                buffer_deinit(&fake->streams[fd]->in);
                buffer_deinit(&fake->streams[fd]->out);
                free(fake->streams[fd]);
        }
        free(fake);
}

/* What of a stream can be reported now. */
static bool fake_ready(const struct fake_stream *f)
{
        const struct stream *s = f->stream;

        if (!s)
                return false;
        if (s->removed)
                return true;
        if (f->error && !f->error_reported)
                return true;
        if (f->error)
                return false;
        if (s->writing && f->accept)
                return true;
        return !s->paused && (buffer_size(&f->in) || (f->end && !f->end_reported));
}

bool fake_runnable(const struct fake *fake)
{
        for (int fd = 0; fd < fake->top; fd++)
                if (fake->streams[fd] && fake_ready(fake->streams[fd]))
                        return true;
        return false;
}

static int fake_init(struct reactor **reactorp, const struct reactor_options *options,
                     const struct reactor_sink *sink)
{
        struct reactor *r = mem_zalloc(sizeof(*r));

        (void)options;
        r->fake = last = mem_zalloc(sizeof(*r->fake));
        r->sink = *sink;
        *reactorp = r;
        return 0;
}

static struct reactor *fake_deinit(struct reactor *r)
{
        assert(r->n_streams == 0);
        free(r); /* the fake itself belongs to the test */
        return NULL;
}

static void fake_add(struct reactor *r, struct stream *s)
{
        struct fake_stream *f = fake_stream(r->fake, s->fd);

        assert(!f->stream);
        f->stream = s;
        f->end_reported = f->error_reported = false;
        list_init(&s->pending);
        r->n_streams++;
}

static void fake_pause(struct reactor *r, struct stream *s, bool paused)
{
        assert(!fake_stream(r->fake, s->fd)->flushed);
        s->paused = paused;
}

static void fake_send(struct reactor *r, struct stream *s)
{
        struct fake_stream *f = fake_stream(r->fake, s->fd);
        struct iovec iov[3];
        unsigned n;
        size_t take;

        s->writing = false;
        while ((n = outq_iov(&s->out, iov, 3)) && f->accept) {
                for (unsigned i = 0; i < n && f->accept; i++) {
                        take = iov[i].iov_len < f->accept ? iov[i].iov_len : f->accept;
                        buffer_put(&f->out, iov[i].iov_base, take);
                        outq_consume(&s->out, take);
                        if (f->accept != SIZE_MAX)
                                f->accept -= take;
                        if (take < iov[i].iov_len)
                                break;
                }
        }
        s->writing = s->out.bytes > 0;
}

static void fake_flush(struct reactor *r, struct stream *s)
{
        struct fake_stream *f = fake_stream(r->fake, s->fd);

        if (!s->failed && !s->removed && !s->writing)
                f->flushed = r->flushed = true;
}

/* Everything is put off until here, as io_uring does it. */
static int fake_submit(struct reactor *r)
{
        for (int fd = 0; r->flushed && fd < r->fake->top; fd++) {
                struct fake_stream *f = r->fake->streams[fd];

                if (!f || !f->flushed)
                        continue;
                f->flushed = false;
                if (f->error) {
                        f->stream->failed = true;
                        outq_clear(&f->stream->out);
                } else {
                        fake_send(r, f->stream);
                }
        }
        r->flushed = false;
        return 0;
}

static void fake_remove(struct reactor *r, struct stream *s)
{
        assert(!fake_stream(r->fake, s->fd)->flushed);
        s->removed = true;
        s->writing = false;
        outq_clear(&s->out);
}

static void fake_report(struct reactor *r, struct fake_stream *f)
{
        struct stream *s = f->stream;
        struct bytes b = buffer_view(&f->in);

        if (s->removed) {
                f->stream = NULL;
                r->n_streams--;
                r->sink.on_closed(r->sink.arg, s);
        } else if (f->error) {
                f->error_reported = true;
                s->failed = true;
                s->writing = false;
                outq_clear(&s->out);
                r->sink.on_hangup(r->sink.arg, s, f->error);
        } else if (s->writing && f->accept) {
                fake_send(r, s);
                if (!s->writing)
                        r->sink.on_drained(r->sink.arg, s);
        } else if (b.n) {
                uint8_t *copy;

                if (r->fake->split && b.n > r->fake->split)
                        b.n = r->fake->split;
                copy = mem_alloc(b.n); /* exactly sized, so that reading past it is seen */
                memcpy(copy, b.p, b.n);
                buffer_consume(&f->in, b.n);
                r->sink.on_data(r->sink.arg, s, bytes_of(copy, b.n));
                free(copy);
        } else {
                f->end_reported = true;
                r->sink.on_hangup(r->sink.arg, s, 0);
        }
}

static int fake_wait(struct reactor *r, uint64_t deadline)
{
        int n = 0;

        if (deadline && r->fake->on_block && !fake_runnable(r->fake))
                r->fake->on_block(r->fake->arg, deadline);
        for (int fd = 0; fd < r->fake->top; fd++) {
                struct fake_stream *f = r->fake->streams[fd];

                if (f && fake_ready(f)) {
                        fake_report(r, f);
                        n++;
                }
        }
        return n;
}

const struct reactor_ops reactor_fake = {
        .name = "fake",
        .stream_size = 0,
        .init = fake_init,
        .deinit = fake_deinit,
        .add = fake_add,
        .pause = fake_pause,
        .flush = fake_flush,
        .submit = fake_submit,
        .remove = fake_remove,
        .wait = fake_wait,
};
