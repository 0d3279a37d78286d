/* SPDX-License-Identifier: MIT */
/*
 * A worker is a thread with an epoll set of its own: subscribers and publishers are dealt out to the workers in
 * turn. A subscriber is read once per event into the worker's buffer, behind what the last read left of a
 * frame. A window is the publisher's prepared requests with new stamps, sent by one call.
 *
 * Shared between workers: the counters of what was published and delivered, and the stop. They are only ever
 * behind the truth, and the run ends when they agree.
 */

#include "bench/traffic.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/wire.h"

#define READ_BYTES   (256 * 1024)
#define EVENTS       256
#define POLL_NS      UINT64_C(5000000)     /* between two looks at the limits */
#define EARLY_NS     UINT64_C(80000)       /* before a message is due, sleep ends and polling begins */
#define PATIENCE_NS  UINT64_C(20000000000) /* without any progress: something is lost */
#define SOME_TIME_NS UINT64_C(1000000)

enum peer_kind {
        PEER_SUBSCRIBER,
        PEER_PUBLISHER,
};

struct peer {
        enum peer_kind kind;
        int fd;
        unsigned index, channel;
        /* a subscriber */
        uint32_t *next; /* number expected, by publisher */
        char *carry;    /* an unfinished frame */
        size_t n_carry;
        /* a publisher */
        char *out;
        size_t n_out, out_pos;
        unsigned turn; /* the next channel */
        uint64_t n_unanswered;
        size_t reply_pos;
        uint64_t left; /* messages to send in this run; UINT64_MAX: no limit */
        uint64_t due;  /* when the next is to be sent; with a rate only */
        bool blocked;  /* epoll watches for room */
};

struct worker {
        struct traffic *traffic;
        pthread_t thread;
        unsigned index;
        int epoll;
        char *buffer;
        _Atomic uint64_t published, delivered;
        _Atomic bool idle; /* its publishers have sent all and heard all answers */
        struct samples latency, late;
        uint64_t interval; /* between two messages of one publisher; 0: no rate */
};

struct traffic {
        struct traffic_options options;
        struct peer *subs, *pubs;
        struct worker *workers;
        unsigned fan;      /* subscribers of a channel */
        uint32_t *numbers; /* next number, by publisher and channel */
        struct wire wire;
        char reply[16];
        size_t reply_size;
        int patterns; /* -1: none */
        struct traffic_limits limits;
        struct meter_usage before;
        uint64_t begin;
        _Atomic bool stop;
};

/* ------------------------------------------------------------------ connecting */

static void watch(struct traffic *t, struct peer *peer, int op, uint32_t events)
{
        struct epoll_event event = { .events = events, .data.ptr = peer };

        if (epoll_ctl(t->workers[peer->index % t->options.n_threads].epoll, op, peer->fd, &event))
                meter_fail("epoll_ctl: %s", strerror(errno));
}

static void add_subscribers(struct traffic *t)
{
        t->subs = meter_alloc(t->options.n_subs * sizeof(*t->subs));
        for (unsigned i = 0; i < t->options.n_subs; i++) {
                struct peer *peer = &t->subs[i];

                *peer = (struct peer){ .kind = PEER_SUBSCRIBER,
                                       .index = i,
                                       .channel = i % t->options.n_channels };
                peer->next = meter_alloc(t->options.n_pubs * sizeof(*peer->next));
                peer->carry = meter_alloc(t->wire.frame_size);
                peer->fd = wire_connect(t->options.path);
                wire_subscribe(&t->wire, peer->fd, peer->channel);
                watch(t, peer, EPOLL_CTL_ADD, EPOLLIN);
        }
}

static void add_publishers(struct traffic *t)
{
        t->pubs = meter_alloc(t->options.n_pubs * sizeof(*t->pubs));
        for (unsigned i = 0; i < t->options.n_pubs; i++) {
                struct peer *peer = &t->pubs[i];

                *peer = (struct peer){ .kind = PEER_PUBLISHER, .index = i };
                peer->turn = i % t->options.n_channels;
                peer->out = meter_alloc(t->options.pipeline * t->wire.frame_size);
                peer->fd = wire_connect(t->options.path);
                watch(t, peer, EPOLL_CTL_ADD, EPOLLIN);
        }
}

/* ------------------------------------------------------------------ what arrives and leaves */

static void write_request(struct traffic *t, struct peer *peer, char *p, uint64_t intended)
{
        struct stamp stamp = { .intended = intended, .publisher = (uint16_t)peer->index };
        unsigned c = peer->turn;

        stamp.channel = (uint16_t)c;
        stamp.number = t->numbers[peer->index * t->options.n_channels + c]++;
        peer->turn = c + 1 < t->options.n_channels ? c + 1 : 0;
        wire_request(&t->wire, p, &stamp);
}

static void check_frame(struct worker *w, struct peer *peer, const char *p, uint64_t now)
{
        const struct traffic *t = w->traffic;
        struct stamp stamp;

        if (!wire_frame(&t->wire, p, peer->channel, &stamp) || stamp.publisher >= t->options.n_pubs)
                meter_fail("subscriber %u received an altered frame", peer->index);
        if (stamp.number != peer->next[stamp.publisher])
                meter_fail("subscriber %u received message %u of publisher %u instead of %u", peer->index,
                           stamp.number, stamp.publisher, peer->next[stamp.publisher]);
        peer->next[stamp.publisher]++;
        if (w->interval)
                samples_add(&w->latency, now - stamp.intended);
}

static void count(_Atomic uint64_t *counter, uint64_t n)
{
        atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                              memory_order_release);
}

static void read_subscriber(struct worker *w, struct peer *peer)
{
        const struct traffic *t = w->traffic;
        char *begin = w->buffer + t->wire.frame_size;
        ssize_t r = recv(peer->fd, begin, READ_BYTES, MSG_DONTWAIT);
        uint64_t now = w->interval ? meter_now() : 0;
        size_t n, done = 0;

        if (r < 0 && errno == EAGAIN)
                return;
        if (r <= 0)
                meter_fail("subscriber %u was disconnected", peer->index);
        n = (size_t)r + peer->n_carry;
        begin -= peer->n_carry;
        memcpy(begin, peer->carry, peer->n_carry);
        for (; n - done >= t->wire.frame_size; done += t->wire.frame_size)
                check_frame(w, peer, begin + done, now);
        peer->n_carry = n - done;
        memcpy(peer->carry, begin + done, peer->n_carry);
        count(&w->delivered, done / t->wire.frame_size);
}

static void read_publisher(struct worker *w, struct peer *peer)
{
        const struct traffic *t = w->traffic;
        ssize_t r = recv(peer->fd, w->buffer, READ_BYTES, MSG_DONTWAIT);

        if (r < 0 && errno == EAGAIN)
                return;
        if (r <= 0)
                meter_fail("publisher %u was disconnected", peer->index);
        for (ssize_t i = 0; i < r; i++) {
                if (w->buffer[i] != t->reply[peer->reply_pos])
                        meter_fail("publisher %u was answered \"%.*s\" where \"%s\" was expected", peer->index,
                                   (int)(r - i < 80 ? r - i : 80), w->buffer + i, t->reply);
                if (++peer->reply_pos < t->reply_size)
                        continue;
                peer->reply_pos = 0;
                if (!peer->n_unanswered--)
                        meter_fail("publisher %u was answered too often", peer->index);
        }
}

/* ------------------------------------------------------------------ publishing */

static uint64_t total(const struct traffic *t, bool delivered)
{
        uint64_t n = 0;

        for (unsigned i = 0; i < t->options.n_threads; i++)
                n += atomic_load_explicit(delivered ? &t->workers[i].delivered : &t->workers[i].published,
                                          memory_order_acquire);
        return n;
}

/* Delivered is read first: what is missing may look more than it is, never less. */
static uint64_t missing(const struct traffic *t)
{
        uint64_t delivered = total(t, true);

        return total(t, false) * t->fan - delivered;
}

static void send_some(struct worker *w, struct peer *peer)
{
        ssize_t n = send(peer->fd, peer->out + peer->out_pos, peer->n_out - peer->out_pos,
                         MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno != EAGAIN)
                meter_fail("publisher %u: %s", peer->index, strerror(errno));
        if (n > 0)
                peer->out_pos += (size_t)n;
        if (peer->blocked != (peer->out_pos < peer->n_out)) {
                peer->blocked = !peer->blocked;
                watch(w->traffic, peer, EPOLL_CTL_MOD, EPOLLIN | (peer->blocked ? EPOLLOUT : 0));
        }
}

static void send_messages(struct worker *w, struct peer *peer, unsigned n, uint64_t intended)
{
        struct traffic *t = w->traffic;

        for (unsigned i = 0; i < n; i++)
                write_request(t, peer, peer->out + i * t->wire.frame_size, intended);
        peer->n_out = n * t->wire.frame_size;
        peer->out_pos = 0;
        peer->n_unanswered += n;
        if (peer->left != UINT64_MAX)
                peer->left -= n;
        count(&w->published, n);
        send_some(w, peer);
}

static bool stopped(const struct traffic *t)
{
        return atomic_load_explicit(&t->stop, memory_order_relaxed);
}

/* Return: whether it waits only for deliveries. */
static bool next_window(struct worker *w, struct peer *peer)
{
        const struct traffic_options *o = &w->traffic->options;
        uint64_t allowed = (uint64_t)o->lag * o->n_pubs * o->pipeline * w->traffic->fan;

        if (peer->n_unanswered || !peer->left || stopped(w->traffic))
                return false;
        if (missing(w->traffic) > allowed)
                return true;
        send_messages(w, peer, o->pipeline, meter_now());
        return false;
}

/* Sends what is due. Return: when the next is. */
static uint64_t next_due(struct worker *w, struct peer *peer)
{
        uint64_t now = meter_now();

        while (peer->left && !stopped(w->traffic) && peer->due <= now && peer->out_pos == peer->n_out) {
                samples_add(&w->late, now - peer->due);
                send_messages(w, peer, 1, peer->due);
                peer->due += w->interval;
                now = meter_now();
        }
        return peer->left && !stopped(w->traffic) ? peer->due : UINT64_MAX;
}

/* Lets all publishers of the worker go on. Return: nanoseconds to wait for events. */
static uint64_t publish(struct worker *w)
{
        struct traffic *t = w->traffic;
        uint64_t now, due, first = UINT64_MAX;
        bool waits = false, idle = true;

        for (unsigned i = w->index; i < t->options.n_pubs; i += t->options.n_threads) {
                struct peer *peer = &t->pubs[i];

                if (w->interval) {
                        due = next_due(w, peer);
                        first = due < first ? due : first;
                } else {
                        waits |= next_window(w, peer);
                }
                idle &= !peer->n_unanswered && (!peer->left || stopped(t));
        }
        atomic_store_explicit(&w->idle, idle, memory_order_release);
        if (t->options.spin)
                return 0;
        if (waits || first == UINT64_MAX)
                return t->options.n_threads > 1 ? SOME_TIME_NS : POLL_NS;
        now = meter_now();
        first = first > now + EARLY_NS ? first - now - EARLY_NS : 0;
        return first < POLL_NS ? first : POLL_NS;
}

/* ------------------------------------------------------------------ the run */

static void look_at_limits(struct traffic *t)
{
        const struct traffic_limits *l = &t->limits;

        if ((l->wall_ns && meter_now() - t->begin >= l->wall_ns) ||
            (l->server_cpu_ns && meter_usage(l->server).cpu_ns - t->before.cpu_ns >= l->server_cpu_ns))
                atomic_store_explicit(&t->stop, true, memory_order_relaxed);
}

static bool finished(const struct traffic *t)
{
        for (unsigned i = 0; i < t->options.n_threads; i++)
                if (!atomic_load_explicit(&t->workers[i].idle, memory_order_acquire))
                        return false;
        return !missing(t);
}

static void serve_events(struct worker *w, uint64_t wait_ns)
{
        struct timespec wait = { (time_t)(wait_ns / 1000000000), (long)(wait_ns % 1000000000) };
        struct epoll_event events[EVENTS];
        int n = epoll_pwait2(w->epoll, events, EVENTS, &wait, NULL);

        if (n < 0 && errno != EINTR)
                meter_fail("epoll_pwait2: %s", strerror(errno));
        for (int i = 0; i < n; i++) {
                struct peer *peer = events[i].data.ptr;

                if (peer->kind == PEER_SUBSCRIBER)
                        read_subscriber(w, peer);
                else if (events[i].events & ~(uint32_t)EPOLLOUT)
                        read_publisher(w, peer);
                if (events[i].events & EPOLLOUT)
                        send_some(w, peer);
        }
}

static void *work(void *arg)
{
        struct worker *w = arg;
        struct traffic *t = w->traffic;
        uint64_t seen = 0, looked = meter_now(), progress = looked;

        prctl(PR_SET_TIMERSLACK, 1);
        for (;;) {
                uint64_t wait_ns = publish(w), now;

                if (finished(t))
                        return NULL;
                serve_events(w, wait_ns);
                now = meter_now();
                if (now - looked < POLL_NS)
                        continue;
                looked = now;
                if (!w->index)
                        look_at_limits(t);
                if (total(t, true) + total(t, false) != seen)
                        progress = now;
                seen = total(t, true) + total(t, false);
                if (now - progress > PATIENCE_NS)
                        meter_fail("%llu deliveries are missing", (unsigned long long)missing(t));
        }
}

static void begin(struct traffic *t, const struct traffic_limits *limits)
{
        unsigned n_pubs = t->options.n_pubs, window = limits->rate > 0 ? 1 : t->options.pipeline;
        uint64_t each = (limits->messages + n_pubs - 1) / n_pubs;

        t->limits = *limits;
        t->before = meter_usage(limits->server);
        t->begin = meter_now();
        atomic_store(&t->stop, false);
        for (unsigned i = 0; i < t->options.n_threads; i++) {
                struct worker *w = &t->workers[i];

                atomic_store(&w->idle, false);
                w->interval = limits->rate > 0 ? (uint64_t)(1e9 * n_pubs / limits->rate) : 0;
                w->latency = w->late = (struct samples){ 0 };
        }
        for (unsigned i = 0; i < n_pubs; i++) {
                t->pubs[i].left = limits->messages ? (each + window - 1) / window * window : UINT64_MAX;
                t->pubs[i].due = t->begin + SOME_TIME_NS;
                if (limits->rate > 0)
                        t->pubs[i].due += (uint64_t)(1e9 * i / limits->rate);
        }
}

struct traffic_result traffic_run(struct traffic *t, const struct traffic_limits *limits)
{
        struct traffic_result result = { .publishes = total(t, false), .deliveries = total(t, true) };

        begin(t, limits);
        for (unsigned i = 1; i < t->options.n_threads; i++)
                if (pthread_create(&t->workers[i].thread, NULL, work, &t->workers[i]))
                        meter_fail("no thread");
        work(&t->workers[0]);
        for (unsigned i = 1; i < t->options.n_threads; i++)
                pthread_join(t->workers[i].thread, NULL);
        result.wall_ns = meter_now() - t->begin;
        result.publishes = total(t, false) - result.publishes;
        result.deliveries = total(t, true) - result.deliveries;
        for (unsigned i = 0; i < t->options.n_threads; i++) {
                samples_join(&result.latency, &t->workers[i].latency);
                samples_join(&result.late, &t->workers[i].late);
                samples_deinit(&t->workers[i].latency);
                samples_deinit(&t->workers[i].late);
        }
        return result;
}

/* ------------------------------------------------------------------ life */

struct traffic *traffic_new(const struct traffic_options *options)
{
        struct traffic *t = meter_alloc(sizeof(*t));

        t->options = *options;
        t->patterns = -1;
        wire_init(&t->wire, options->prefix, options->suffix, options->n_channels, options->size);
        t->fan = options->n_subs / options->n_channels;
        t->reply_size = (size_t)snprintf(t->reply, sizeof(t->reply), ":%u\r\n", t->fan + options->n_others);
        t->numbers = meter_alloc((size_t)options->n_pubs * options->n_channels * sizeof(*t->numbers));
        t->workers = meter_alloc(options->n_threads * sizeof(*t->workers));
        for (unsigned i = 0; i < options->n_threads; i++) {
                t->workers[i].traffic = t;
                t->workers[i].index = i;
                t->workers[i].epoll = epoll_create1(EPOLL_CLOEXEC);
                if (t->workers[i].epoll < 0)
                        meter_fail("epoll_create1: %s", strerror(errno));
                t->workers[i].buffer = meter_alloc(READ_BYTES + t->wire.frame_size);
        }
        if (options->subs_first)
                add_subscribers(t);
        add_publishers(t);
        if (!options->subs_first)
                add_subscribers(t);
        return t;
}

void traffic_add_patterns(struct traffic *t, unsigned n, const char *format)
{
        t->patterns = wire_connect(t->options.path);
        wire_psubscribe(t->patterns, n, format);
}

struct traffic *traffic_free(struct traffic *t)
{
        for (unsigned i = 0; i < t->options.n_subs; i++) {
                close(t->subs[i].fd);
                free(t->subs[i].next);
                free(t->subs[i].carry);
        }
        for (unsigned i = 0; i < t->options.n_pubs; i++) {
                close(t->pubs[i].fd);
                free(t->pubs[i].out);
        }
        for (unsigned i = 0; i < t->options.n_threads; i++) {
                close(t->workers[i].epoll);
                free(t->workers[i].buffer);
        }
        if (t->patterns >= 0)
                close(t->patterns);
        free(t->subs);
        free(t->pubs);
        free(t->workers);
        free(t->numbers);
        wire_deinit(&t->wire);
        free(t);
        return NULL;
}
