/* SPDX-License-Identifier: MIT */

#include "peers.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

struct fixture f;
struct stage_pool pool;

static void on_data(void *arg, struct stream *s, struct bytes b)
{
        struct peer *p = peer_of(s);

        (void)arg;
        buffer_put(&p->in, b.p, b.n);
        p->received += b.n;
        if (p->on_data)
                p->on_data(p);
}

static void on_drained(void *arg, struct stream *s)
{
        (void)arg;
        peer_of(s)->drained++;
}

static void on_hangup(void *arg, struct stream *s, int error)
{
        struct peer *p = peer_of(s);

        (void)arg;
        if (error)
                p->errors++;
        else
                p->ends++;
        p->error = error;
        if (p->on_hangup)
                p->on_hangup(p);
}

static void on_closed(void *arg, struct stream *s)
{
        struct peer *p = peer_of(s);

        (void)arg;
        p->closed++;
        if (p->on_closed)
                p->on_closed(p);
}

void peers_setup(const struct reactor_ops *ops, struct reactor_options options)
{
        struct reactor_sink sink = { on_data, on_drained, on_hangup, on_closed, NULL };

        signal(SIGPIPE, SIG_DFL);
        f.ops = ops;
        f.wake = options.wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        stage_pool_init(&pool, 2048, 4);
        ck_assert_int_eq(f.ops->init(&f.reactor, &options, &sink), 0);
        ck_assert_uint_le(f.ops->stream_size, sizeof(((struct peer *)NULL)->state));
}

void peers_teardown(void)
{
        f.reactor = f.ops->deinit(f.reactor);
        close(f.wake);
        stage_pool_deinit(&pool);
}

void peer_adopt(struct peer *p, int fd, int far)
{
        *p = (struct peer){ .number = fd, .far = far };
        p->stream.fd = fd;
        p->stream.private_offset = offsetof(struct peer, state) - offsetof(struct peer, stream);
        outq_init(&p->stream.out);
        f.ops->add(f.reactor, &p->stream);
}

int peer_open(struct peer *p)
{
        int fds[2];

        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        fcntl(fds[0], F_SETFL, O_NONBLOCK);
        peer_adopt(p, fds[0], fds[1]);
        return fds[1];
}

void peer_flush(struct peer *p)
{
        f.ops->flush(f.reactor, &p->stream);
        ck_assert_int_eq(f.ops->submit(f.reactor), 0);
}

void peer_close(struct peer *p)
{
        f.ops->remove(f.reactor, &p->stream);
        ck_assert_int_eq(p->closed, 0); /* never synchronously */
        ck_assert_int_ge(f.ops->wait(f.reactor, CLOCK_NEVER), 1);
        ck_assert_int_eq(p->closed, 1);
        buffer_deinit(&p->in);
}
