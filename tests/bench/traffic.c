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
#include <sys/un.h>
#include <unistd.h>

#define READ_BYTES   (256 * 1024)
#define EVENTS       256
#define CHECK_BYTES  1024                  /* of a payload at a time */
#define BATCH        100                   /* patterns of one request */
#define POLL_NS      UINT64_C(5000000)     /* between two looks at the limits */
#define EARLY_NS     UINT64_C(80000)       /* before a message is due, sleep ends and polling begins */
#define PATIENCE_NS  UINT64_C(20000000000) /* without any progress: something is lost */
#define SOME_TIME_NS UINT64_C(1000000)

static const char message_head[] = "*3\r\n$7\r\nmessage\r\n";

struct stamp {
        uint64_t intended; /* monotonic nanoseconds */
        uint32_t number;
        uint16_t publisher, channel;
};

_Static_assert(sizeof(struct stamp) == TRAFFIC_SIZE_MIN, "the stamp");

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
        char *heads;       /* of the frames, by channel */
        size_t head_size, name_size, request_size, frame_size;
        char *rest; /* of a payload, and the end of the frame */
        size_t rest_size;
        char reply[16];
        size_t reply_size;
        int patterns; /* -1: none */
        struct traffic_limits limits;
        struct meter_usage before;
        uint64_t begin;
        _Atomic bool stop;
};

static void *alloc(size_t n)
{
        void *p = calloc(1, n ? n : 1);

        if (!p)
                meter_fail("no memory");
        return p;
}

/* ------------------------------------------------------------------ connecting */

/* A server that starts may be bound and not listening yet, and a full queue of connections empties soon. */
static int connect_to(const char *path)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        uint64_t deadline = meter_now() + PATIENCE_NS;
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0)
                meter_fail("socket: %s", strerror(errno));
        if (strlen(path) >= sizeof(address.sun_path))
                meter_fail("%s: too long", path);
        memcpy(address.sun_path, path, strlen(path));
        while (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
                if ((errno != ECONNREFUSED && errno != EAGAIN && errno != ENOENT) || meter_now() > deadline)
                        meter_fail("%s: %s", path, strerror(errno));
                usleep(1000);
        }
        return fd;
}

static void send_text(int fd, const char *text, size_t n)
{
        if (send(fd, text, n, MSG_NOSIGNAL) != (ssize_t)n)
                meter_fail("send: %s", strerror(errno));
}

/* Reads exactly the text. */
static void expect_text(int fd, const char *text, size_t n)
{
        char *got = alloc(n);
        ssize_t r = recv(fd, got, n, MSG_WAITALL);

        if (r != (ssize_t)n || memcmp(got, text, n))
                meter_fail("expected \"%.80s\", got \"%.*s\"", text, r > 0 ? (int)(r < 80 ? r : 80) : 0, got);
        free(got);
}

static void name_of(const struct traffic *t, unsigned channel, char *name, size_t size)
{
        snprintf(name, size, "%s%04u%s", t->options.prefix, channel, t->options.suffix);
}

static void subscribe(const struct traffic *t, const struct peer *peer)
{
        char name[64], text[128];
        int n;

        name_of(t, peer->channel, name, sizeof(name));
        n = snprintf(text, sizeof(text), "*2\r\n$9\r\nSUBSCRIBE\r\n$%zu\r\n%s\r\n", strlen(name), name);
        send_text(peer->fd, text, (size_t)n);
        n = snprintf(text, sizeof(text), "*3\r\n$9\r\nsubscribe\r\n$%zu\r\n%s\r\n:1\r\n", strlen(name), name);
        expect_text(peer->fd, text, (size_t)n);
}

static void watch(struct traffic *t, struct peer *peer, int op, uint32_t events)
{
        struct epoll_event event = { .events = events, .data.ptr = peer };

        if (epoll_ctl(t->workers[peer->index % t->options.n_threads].epoll, op, peer->fd, &event))
                meter_fail("epoll_ctl: %s", strerror(errno));
}

static void add_subscribers(struct traffic *t)
{
        t->subs = alloc(t->options.n_subs * sizeof(*t->subs));
        for (unsigned i = 0; i < t->options.n_subs; i++) {
                struct peer *peer = &t->subs[i];

                *peer = (struct peer){ .kind = PEER_SUBSCRIBER,
                                       .index = i,
                                       .channel = i % t->options.n_channels };
                peer->next = alloc(t->options.n_pubs * sizeof(*peer->next));
                peer->carry = alloc(t->frame_size);
                peer->fd = connect_to(t->options.path);
                subscribe(t, peer);
                watch(t, peer, EPOLL_CTL_ADD, EPOLLIN);
        }
}

static void add_publishers(struct traffic *t)
{
        t->pubs = alloc(t->options.n_pubs * sizeof(*t->pubs));
        for (unsigned i = 0; i < t->options.n_pubs; i++) {
                struct peer *peer = &t->pubs[i];

                *peer = (struct peer){ .kind = PEER_PUBLISHER, .index = i };
                peer->turn = i % t->options.n_channels;
                peer->out = alloc(t->options.pipeline * t->request_size);
                peer->fd = connect_to(t->options.path);
                watch(t, peer, EPOLL_CTL_ADD, EPOLLIN);
        }
}

/* ------------------------------------------------------------------ requests and frames */

/* The frames of all channels differ in their heads only; a request is a frame with another word. */
static void prepare(struct traffic *t)
{
        char name[64], head[160];

        name_of(t, 0, name, sizeof(name));
        t->name_size = strlen(name);
        t->head_size = (size_t)snprintf(head, sizeof(head), "%s$%zu\r\n%s\r\n$%zu\r\n", message_head,
                                        t->name_size, name, t->options.size);
        t->heads = alloc(t->options.n_channels * t->head_size);
        for (unsigned c = 0; c < t->options.n_channels; c++) {
                name_of(t, c, name, sizeof(name));
                snprintf(head, sizeof(head), "%s$%zu\r\n%s\r\n$%zu\r\n", message_head, t->name_size, name,
                         t->options.size);
                memcpy(t->heads + c * t->head_size, head, t->head_size);
        }
        t->rest_size = t->options.size - TRAFFIC_SIZE_MIN + 2;
        t->rest = alloc(t->rest_size);
        for (size_t i = 0; i + 2 < t->rest_size; i++)
                t->rest[i] = (char)('a' + i % 23);
        memcpy(t->rest + t->rest_size - 2, "\r\n", 2);
        t->frame_size = t->head_size + sizeof(struct stamp) + t->rest_size;
        t->request_size = t->frame_size;
        t->fan = t->options.n_subs / t->options.n_channels;
        t->reply_size = (size_t)snprintf(t->reply, sizeof(t->reply), ":%u\r\n", t->fan);
        t->numbers = alloc((size_t)t->options.n_pubs * t->options.n_channels * sizeof(*t->numbers));
}

static void write_request(struct traffic *t, struct peer *peer, char *p, uint64_t intended)
{
        struct stamp stamp = { .intended = intended, .publisher = (uint16_t)peer->index };
        unsigned c = peer->turn;

        stamp.channel = (uint16_t)c;
        stamp.number = t->numbers[peer->index * t->options.n_channels + c]++;
        peer->turn = c + 1 < t->options.n_channels ? c + 1 : 0;
        memcpy(p, t->heads + c * t->head_size, t->head_size);
        memcpy(p + 8, "PUBLISH", 7);
        memcpy(p + t->head_size, &stamp, sizeof(stamp));
        memcpy(p + t->head_size + sizeof(stamp), t->rest, t->rest_size);
}

/* Of a long payload a piece, another one in each message: the check shall not cost more than the delivery. */
static bool rest_is_intact(const struct traffic *t, const char *rest, uint32_t number)
{
        size_t pieces = t->rest_size / CHECK_BYTES;
        size_t at = pieces ? number % pieces * CHECK_BYTES : 0;
        size_t n = t->rest_size - at < 2 * CHECK_BYTES ? t->rest_size - at : CHECK_BYTES;

        return !memcmp(rest + at, t->rest + at, n) && !memcmp(rest + t->rest_size - 2, "\r\n", 2);
}

static void check_frame(struct worker *w, struct peer *peer, const char *p, uint64_t now)
{
        const struct traffic *t = w->traffic;
        struct stamp stamp;

        memcpy(&stamp, p + t->head_size, sizeof(stamp));
        if (memcmp(p, t->heads + peer->channel * t->head_size, t->head_size) ||
            stamp.channel != peer->channel || stamp.publisher >= t->options.n_pubs ||
            !rest_is_intact(t, p + t->head_size + sizeof(stamp), stamp.number))
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
        char *begin = w->buffer + t->frame_size;
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
        for (; n - done >= t->frame_size; done += t->frame_size)
                check_frame(w, peer, begin + done, now);
        peer->n_carry = n - done;
        memcpy(peer->carry, begin + done, peer->n_carry);
        count(&w->delivered, done / t->frame_size);
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
                write_request(t, peer, peer->out + i * t->request_size, intended);
        peer->n_out = n * t->request_size;
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
        struct traffic *t = alloc(sizeof(*t));

        t->options = *options;
        t->patterns = -1;
        prepare(t);
        t->workers = alloc(options->n_threads * sizeof(*t->workers));
        for (unsigned i = 0; i < options->n_threads; i++) {
                t->workers[i].traffic = t;
                t->workers[i].index = i;
                t->workers[i].epoll = epoll_create1(EPOLL_CLOEXEC);
                if (t->workers[i].epoll < 0)
                        meter_fail("epoll_create1: %s", strerror(errno));
                t->workers[i].buffer = alloc(READ_BYTES + t->frame_size);
        }
        if (options->subs_first)
                add_subscribers(t);
        add_publishers(t);
        if (!options->subs_first)
                add_subscribers(t);
        return t;
}

static size_t put_pattern(char *at, const char *verb, const char *format, unsigned i)
{
        const char *mark = strstr(format, "%u");
        char name[64];
        int n = snprintf(name, sizeof(name), "%.*s%05u%s", (int)(mark - format), format, i, mark + 2);

        return (size_t)sprintf(at, "$10\r\n%s\r\n$%d\r\n%s\r\n", verb, n, name);
}

void traffic_add_patterns(struct traffic *t, unsigned n, const char *format)
{
        char *text = alloc(BATCH * 160);
        size_t size;

        t->patterns = connect_to(t->options.path);
        for (unsigned i = 0, end; i < n; i = end) {
                end = i + BATCH < n ? i + BATCH : n;
                size = 0;
                for (unsigned k = i; k < end; k++) {
                        size += (size_t)sprintf(text + size, "*2\r\n");
                        size += put_pattern(text + size, "PSUBSCRIBE", format, k);
                }
                send_text(t->patterns, text, size);
                size = 0;
                for (unsigned k = i; k < end; k++) {
                        size += (size_t)sprintf(text + size, "*3\r\n");
                        size += put_pattern(text + size, "psubscribe", format, k);
                        size += (size_t)sprintf(text + size, ":%u\r\n", k + 1);
                }
                expect_text(t->patterns, text, size);
        }
        free(text);
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
        free(t->heads);
        free(t->rest);
        free(t);
        return NULL;
}
