/* SPDX-License-Identifier: MIT */
/*
 * The turn of the floors. Subscribers leave the epoll set once they have subscribed: nothing is expected of
 * them. A publisher's answers are cut from one prepared run of equal replies, and leave before the frames: so
 * its next requests are there when all is sent, and a turn under load costs no sleep.
 */

#include "bench/floor.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FLOOR_INPUT   (256 * 1024) /* more than a socket buffer holds: a turn takes all there is */
#define FLOOR_EVENTS  64
#define FLOOR_REPLIES 8192

static const char publish_head[] = "*3\r\n$7\r\nPUBLISH\r\n";
static const char message_head[] = "*3\r\n$7\r\nmessage\r\n";
static const char subscribe_head[] = "*2\r\n$9\r\nSUBSCRIBE\r\n";

#define PUBLISH_HEAD   (sizeof(publish_head) - 1)
#define MESSAGE_HEAD   (sizeof(message_head) - 1)
#define SUBSCRIBE_HEAD (sizeof(subscribe_head) - 1)

struct peer {
        int fd;
        bool subscribed;
        unsigned n_publishes; /* of this turn */
        size_t n_in, cap_in;
        char *in;
};

struct replies {
        char *data;
        size_t size; /* of one */
};

_Noreturn void floor_fail(const char *what)
{
        fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
        exit(1);
}

static void *grow(void *p, size_t *cap, size_t need, size_t item)
{
        while (*cap < need)
                *cap = *cap ? 2 * *cap : 64;
        p = realloc(p, *cap * item);
        if (!p)
                floor_fail("memory");
        return p;
}

/* The bulk string at p. Return: its end; NULL: unfinished. */
static const char *bulk_end(const char *p, const char *end)
{
        size_t n = 0;

        if (p < end && *p != '$') {
                errno = EPROTO;
                floor_fail("a bulk string");
        }
        for (p++; p < end && *p != '\r'; p++)
                n = 10 * n + (size_t)(*p - '0');
        return end - p >= (ptrdiff_t)(n + 4) ? p + 2 + n + 2 : NULL;
}

/* A frame is the request with another word in front. Return: the request's end; NULL: unfinished. */
static const char *serve_publish(struct floor *f, struct peer *peer, const char *p, const char *end)
{
        const char *tail = p + PUBLISH_HEAD;
        const char *stop = bulk_end(tail, end);
        size_t n;

        stop = stop ? bulk_end(stop, end) : NULL;
        if (!stop)
                return NULL;
        n = MESSAGE_HEAD + (size_t)(stop - tail);
        if (f->cap_frames - f->n_frames < n)
                f->frames = grow(f->frames, &f->cap_frames, f->n_frames + n, 1);
        memcpy(f->frames + f->n_frames, message_head, MESSAGE_HEAD);
        memcpy(f->frames + f->n_frames + MESSAGE_HEAD, tail, (size_t)(stop - tail));
        f->n_frames += n;
        peer->n_publishes++;
        return stop;
}

static void prepare_replies(const struct floor *f, struct replies *replies)
{
        char one[16];

        replies->size = (size_t)snprintf(one, sizeof(one), ":%u\r\n", f->n_subscribers);
        replies->data = realloc(replies->data, FLOOR_REPLIES * replies->size);
        if (!replies->data)
                floor_fail("memory");
        for (size_t i = 0; i < FLOOR_REPLIES; i++)
                memcpy(replies->data + i * replies->size, one, replies->size);
}

static const char *serve_subscribe(struct floor *f, struct peer *peer, const char *p, const char *end)
{
        const char *tail = p + SUBSCRIBE_HEAD;
        const char *stop = bulk_end(tail, end);
        size_t cap = f->cap_subscribers;

        if (!stop)
                return NULL;
        if (dprintf(peer->fd, "*3\r\n$9\r\nsubscribe\r\n%.*s:1\r\n", (int)(stop - tail), tail) < 0)
                floor_fail("the answer to a subscriber");
        f->subscribers = grow(f->subscribers, &cap, f->n_subscribers + 1, sizeof(*f->subscribers));
        f->cap_subscribers = (unsigned)cap;
        f->subscribers[f->n_subscribers++] = peer->fd;
        peer->subscribed = true;
        return stop;
}

static void serve(struct floor *f, struct peer *peer)
{
        const char *p = peer->in, *next, *end = peer->in + peer->n_in;

        for (; !peer->subscribed && (size_t)(end - p) >= SUBSCRIBE_HEAD; p = next) {
                if (!memcmp(p, publish_head, PUBLISH_HEAD)) {
                        next = serve_publish(f, peer, p, end);
                } else if (!memcmp(p, subscribe_head, SUBSCRIBE_HEAD)) {
                        next = serve_subscribe(f, peer, p, end);
                } else {
                        errno = EPROTO;
                        floor_fail("a request");
                }
                if (!next)
                        break;
        }
        peer->n_in = (size_t)(end - p);
        memmove(peer->in, p, peer->n_in);
}

static struct peer *drop(struct floor *f, struct peer *peer)
{
        epoll_ctl(f->epoll, EPOLL_CTL_DEL, peer->fd, NULL);
        if (!peer->subscribed)
                close(peer->fd);
        free(peer->in);
        free(peer);
        return NULL;
}

static void answer(const struct peer *peer, const struct replies *replies)
{
        for (unsigned n, left = peer->n_publishes; left; left -= n) {
                n = left < FLOOR_REPLIES ? left : FLOOR_REPLIES;
                if (send(peer->fd, replies->data, n * replies->size, MSG_NOSIGNAL) < 0)
                        floor_fail("the answer to a publisher");
        }
}

/* Reads once. Return: the peer; NULL: it is gone, or is a subscriber now. */
static struct peer *take(struct floor *f, struct peer *peer)
{
        ssize_t n;

        if (peer->n_in == peer->cap_in)
                peer->in = grow(peer->in, &peer->cap_in, peer->cap_in + 1, 1);
        n = recv(peer->fd, peer->in + peer->n_in, peer->cap_in - peer->n_in, MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
                return peer;
        if (n <= 0)
                return drop(f, peer);
        peer->n_in += (size_t)n;
        serve(f, peer);
        return peer->subscribed ? drop(f, peer) : peer;
}

static void welcome(struct floor *f)
{
        struct epoll_event event = { .events = EPOLLIN };
        struct peer *peer = calloc(1, sizeof(*peer));

        if (!peer)
                floor_fail("memory");
        peer->fd = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);
        if (peer->fd < 0)
                floor_fail("accept");
        peer->cap_in = FLOOR_INPUT;
        peer->in = malloc(peer->cap_in);
        if (!peer->in)
                floor_fail("memory");
        event.data.ptr = peer;
        if (epoll_ctl(f->epoll, EPOLL_CTL_ADD, peer->fd, &event))
                floor_fail("epoll_ctl");
}

static void floor_listen(struct floor *f, const char *path)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        struct epoll_event event = { .events = EPOLLIN };

        if (strlen(path) >= sizeof(address.sun_path)) {
                errno = ENAMETOOLONG;
                floor_fail(path);
        }
        memcpy(address.sun_path, path, strlen(path) + 1);
        f->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        f->epoll = epoll_create1(EPOLL_CLOEXEC);
        unlink(path);
        if (f->listener < 0 || f->epoll < 0 ||
            bind(f->listener, (struct sockaddr *)&address, sizeof(address)) || listen(f->listener, 4096) ||
            epoll_ctl(f->epoll, EPOLL_CTL_ADD, f->listener, &event))
                floor_fail(path);
}

_Noreturn void floor_run(const char *path, floor_send_fn *send_all, floor_added_fn *added, void *arg)
{
        struct floor f = { .arg = arg };
        struct replies replies = { 0 };
        struct epoll_event events[FLOOR_EVENTS];
        struct peer *served[FLOOR_EVENTS];
        unsigned known = 0;

        floor_listen(&f, path);
        prepare_replies(&f, &replies);
        for (;;) {
                int n = epoll_wait(f.epoll, events, FLOOR_EVENTS, -1), n_served = 0;

                for (int i = 0; i < n; i++) {
                        if (!events[i].data.ptr)
                                welcome(&f);
                        else if ((served[n_served] = take(&f, events[i].data.ptr)))
                                n_served++;
                }
                while (known < f.n_subscribers) {
                        known++;
                        if (added)
                                added(&f);
                        if (known == f.n_subscribers)
                                prepare_replies(&f, &replies);
                }
                for (int i = 0; i < n_served; i++) {
                        answer(served[i], &replies);
                        served[i]->n_publishes = 0;
                }
                if (f.n_frames && f.n_subscribers)
                        send_all(&f);
                f.n_frames = 0;
        }
}
