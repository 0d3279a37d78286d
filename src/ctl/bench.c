/* SPDX-License-Identifier: MIT */

#include "ctl/bench.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "ctl/link.h"
#include "ctl/say.h"
#include "util/clock.h"
#include "util/mem.h"

#define BENCH_QUEUED_MAX 65536     /* bytes that wait for a socket; more come when it takes them */
#define BENCH_BEHIND_MAX (8 << 20) /* bytes that the broker may have to keep for a subscriber */
#define BENCH_READ_SIZE  65536
#define BENCH_PATIENCE   (200 * NSEC_PER_MSEC) /* without a sign, what has not come is lost */

struct bench_peer {
        struct link link; /* for the descriptor, and for what is said before the load */
        struct buffer in, out;
        bool is_subscriber, wants_room; /* to write */
        uint64_t sent, answered;        /* of a publisher */
        uint64_t *starts;  /* of a publisher without a rate: when the last ones were sent, a ring */
        uint64_t *next;    /* of a subscriber: the number that comes next, of each publisher */
        uint64_t position; /* the sum of these */
};

struct bench {
        const struct bench_plan *plan;
        const struct ctl_request *request;
        struct bench_result *result;
        struct bench_peer *peers; /* publishers, then subscribers */
        unsigned n_peers;
        int epoll, timer;
        char channel[40];
        struct buffer head, frame; /* of a request, and of what a subscriber gets, before the message */
        char *filler;              /* behind times and numbers, with the end of the line */
        uint64_t begin, from, end; /* when the first message is due, and the time that is measured */
        uint64_t now;
        uint64_t measured_from, cpu_from;
        uint64_t sent, forgiven; /* messages; of these, what no subscriber is waited for any more */
        uint64_t last_sign;      /* when something came last */
        bool measuring;
};

/* What a message begins with; it stays on this machine. */
struct bench_stamp {
        uint64_t start;
        uint16_t publisher;
        uint16_t number[3]; /* of that publisher's messages, 48 bits, the lowest 16 first */
};

static_assert(sizeof(struct bench_stamp) == BENCH_SIZE_MIN, "the least message is a stamp");

/* ---------------------------------------------------------------- before the load */

static int bench_say(struct bench_peer *peer, const struct bench *b, const struct bytes *words, size_t n)
{
        redisReply *reply;
        int r;

        link_queue(&peer->link, words, n);
        r = link_receive(&peer->link, clock_now() + b->request->timeout, &reply);
        if (r)
                return link_explain(&peer->link, b->request, r);
        if (reply->type == REDIS_REPLY_ERROR)
                r = link_refused(&peer->link, reply);
        freeReplyObject(reply);
        return r;
}

static int bench_connect(struct bench *b, unsigned i)
{
        struct bytes name[] = { BYTES_LITERAL("CLIENT"), BYTES_LITERAL("SETNAME"),
                                BYTES_LITERAL("brokerctl-bench") };
        struct bytes subscribe[] = { BYTES_LITERAL("SUBSCRIBE"), bytes_str(b->channel) };
        struct bench_peer *peer = &b->peers[i];
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = peer };
        int r = link_open(&peer->link, b->request);

        peer->is_subscriber = i >= b->plan->n_publishers;
        if (!r)
                r = bench_say(peer, b, name, 3);
        if (!r && peer->is_subscriber)
                r = bench_say(peer, b, subscribe, 2);
        if (r)
                return r;
        if (peer->is_subscriber)
                peer->next = mem_zalloc(b->plan->n_publishers * sizeof(*peer->next));
        else if (!b->plan->rate)
                peer->starts = mem_zalloc(b->plan->pipeline * sizeof(*peer->starts));
        if (epoll_ctl(b->epoll, EPOLL_CTL_ADD, peer->link.fd, &event) < 0) {
                say_error("epoll_ctl: %s", strerror(errno));
                return CTL_FAILED;
        }
        return CTL_OK;
}

/* Each peer is a descriptor. */
static void bench_raise_limit(unsigned n)
{
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= n)
                return;
        limit.rlim_cur = limit.rlim_max < n ? limit.rlim_max : n;
        setrlimit(RLIMIT_NOFILE, &limit);
}

static int bench_init(struct bench *b)
{
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = NULL };
        size_t size = b->plan->size;
        int n;

        b->n_peers = b->plan->n_publishers + b->plan->n_subscribers;
        bench_raise_limit(b->n_peers + 16);
        b->peers = mem_zalloc(b->n_peers * sizeof(*b->peers));
        for (unsigned i = 0; i < b->n_peers; i++)
                b->peers[i].link.fd = -1;
        b->epoll = epoll_create1(EPOLL_CLOEXEC);
        b->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        if (b->epoll < 0 || b->timer < 0 || epoll_ctl(b->epoll, EPOLL_CTL_ADD, b->timer, &event) < 0) {
                say_error("cannot wait for clients: %s", strerror(errno));
                return CTL_FAILED;
        }
        n = snprintf(b->channel, sizeof(b->channel), "__brokerctl_bench:%d", (int)getpid());
        buffer_printf(&b->head, "*3\r\n$7\r\nPUBLISH\r\n$%d\r\n%s\r\n$%zu\r\n", n, b->channel, size);
        buffer_printf(&b->frame, "*3\r\n$7\r\nmessage\r\n$%d\r\n%s\r\n$%zu\r\n", n, b->channel, size);
        b->filler = mem_alloc(size + 2);
        memset(b->filler, 'x', size);
        memcpy(b->filler + size - BENCH_SIZE_MIN, "\r\n", 2);
        return CTL_OK;
}

static void bench_deinit(struct bench *b)
{
        for (unsigned i = 0; i < b->n_peers; i++) {
                link_close(&b->peers[i].link);
                buffer_deinit(&b->peers[i].in);
                buffer_deinit(&b->peers[i].out);
                free(b->peers[i].starts);
                free(b->peers[i].next);
        }
        free(b->peers);
        free(b->filler);
        buffer_deinit(&b->head);
        buffer_deinit(&b->frame);
        if (b->epoll >= 0)
                close(b->epoll);
        if (b->timer >= 0)
                close(b->timer);
}

/* ---------------------------------------------------------------- what is published */

/* When the n-th message of the k-th publisher is due: they take turns. */
static uint64_t bench_due(const struct bench *b, unsigned k, uint64_t n)
{
        uint64_t turn = n * b->plan->n_publishers + k, rate = b->plan->rate;

        return b->begin + turn / rate * NSEC_PER_SEC + turn % rate * NSEC_PER_SEC / rate;
}

/* When the n-th message of the k-th publisher was due, or sent. */
static uint64_t bench_started(const struct bench *b, unsigned k, uint64_t n)
{
        return b->plan->rate ? bench_due(b, k, n) : b->peers[k].starts[n % b->plan->pipeline];
}

static bool bench_counts(const struct bench *b, uint64_t start)
{
        return start >= b->from && start < b->end;
}

static void bench_put(struct bench *b, unsigned k, uint64_t start)
{
        struct bench_peer *peer = &b->peers[k];
        uint64_t n = peer->sent++;
        struct bench_stamp stamp = { .start = start,
                                     .publisher = (uint16_t)k,
                                     .number = { (uint16_t)n, (uint16_t)(n >> 16), (uint16_t)(n >> 32) } };

        buffer_put(&peer->out, b->head.data, buffer_size(&b->head));
        buffer_put(&peer->out, &stamp, sizeof(stamp));
        buffer_put(&peer->out, b->filler, b->plan->size - sizeof(stamp) + 2);
        b->sent++;
}

/* With a rate: what is due by now, as far as the socket takes it. */
static void bench_publish_due(struct bench *b, unsigned k)
{
        struct bench_peer *peer = &b->peers[k];

        while (buffer_size(&peer->out) < BENCH_QUEUED_MAX) {
                uint64_t due = bench_due(b, k, peer->sent);

                if (due > b->now || due >= b->end)
                        return;
                bench_put(b, k, due);
        }
}

/* How many messages each subscriber has got or will not get. */
static uint64_t bench_position(const struct bench *b)
{
        uint64_t least = b->sent;

        for (unsigned i = b->plan->n_publishers; i < b->n_peers; i++)
                if (b->peers[i].position < least)
                        least = b->peers[i].position;
        return least;
}

static uint64_t bench_behind_max(const struct bench *b)
{
        uint64_t size = b->plan->size + buffer_size(&b->frame), bytes = BENCH_BEHIND_MAX / size;
        uint64_t messages = UINT64_C(4) * b->plan->n_publishers * b->plan->pipeline;

        return bytes == 0 ? 1 : bytes < messages ? bytes : messages;
}

/* Without a rate: as many as may be under way, the publishers in turn. */
static void bench_publish_next(struct bench *b)
{
        uint64_t room = bench_behind_max(b), least = bench_position(b), behind;
        bool more = true;

        behind = b->sent - (least > b->forgiven ? least : b->forgiven);
        room = room > behind ? room - behind : 0;
        while (more && room > 0) {
                more = false;
                for (unsigned k = 0; k < b->plan->n_publishers && room > 0; k++) {
                        struct bench_peer *peer = &b->peers[k];

                        if (peer->sent - peer->answered >= b->plan->pipeline ||
                            buffer_size(&peer->out) >= BENCH_QUEUED_MAX)
                                continue;
                        peer->starts[peer->sent % b->plan->pipeline] = clock_now();
                        bench_put(b, k, peer->starts[peer->sent % b->plan->pipeline]);
                        room--;
                        more = true;
                }
        }
}

/* Whether it waits for room to write is told to the kernel only when that changes. Return: whether it goes on.
 */
static bool bench_write(struct bench *b, struct bench_peer *peer)
{
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = peer };
        bool wants_room;

        while (buffer_size(&peer->out) > 0) {
                struct bytes bytes = buffer_view(&peer->out);
                ssize_t n = send(peer->link.fd, bytes.p, bytes.n, MSG_NOSIGNAL | MSG_DONTWAIT);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno != EAGAIN)
                        return false;
                if (n < 0)
                        break;
                buffer_consume(&peer->out, (size_t)n);
        }
        wants_room = buffer_size(&peer->out) > 0;
        if (wants_room == peer->wants_room)
                return true;
        peer->wants_room = wants_room;
        event.events |= wants_room ? EPOLLOUT : 0;
        return epoll_ctl(b->epoll, EPOLL_CTL_MOD, peer->link.fd, &event) == 0;
}

static int bench_lost_connection(const struct bench_peer *peer)
{
        say_error("the broker closed the connection of a %s: its log may say why",
                  peer->is_subscriber ? "subscriber" : "publisher");
        return CTL_CONNECT;
}

static int bench_publish(struct bench *b)
{
        if (!b->plan->rate && b->now < b->end)
                bench_publish_next(b);
        for (unsigned k = 0; k < b->plan->n_publishers; k++) {
                if (b->plan->rate)
                        bench_publish_due(b, k);
                if (!b->peers[k].wants_room && !bench_write(b, &b->peers[k]))
                        return bench_lost_connection(&b->peers[k]);
        }
        return CTL_OK;
}

/* ---------------------------------------------------------------- what comes */

static void bench_take_message(struct bench *b, struct bench_peer *peer, const uint8_t *message)
{
        struct bench_stamp stamp;
        uint64_t number, *next;

        memcpy(&stamp, message, sizeof(stamp));
        number = stamp.number[0] | (uint64_t)stamp.number[1] << 16 | (uint64_t)stamp.number[2] << 32;
        if (stamp.publisher >= b->plan->n_publishers)
                return;
        next = &peer->next[stamp.publisher];
        if (number < *next) {
                b->result->disordered++;
                b->result->lost -= b->result->lost > 0; /* as which it had counted */
        } else {
                b->result->lost += number - *next;
                peer->position += number + 1 - *next;
                *next = number + 1;
        }
        if (bench_counts(b, stamp.start))
                histogram_add(&b->result->latency, b->now - stamp.start);
        b->result->delivered += b->measuring;
}

static int bench_strange(const struct bench *b)
{
        say_error("something else than the messages of this run came from %s", b->channel);
        return CTL_FAILED;
}

static int bench_take_messages(struct bench *b, struct bench_peer *peer)
{
        size_t head = buffer_size(&b->frame), size = head + b->plan->size + 2;

        while (buffer_size(&peer->in) >= size) {
                const uint8_t *p = peer->in.data + peer->in.start;

                if (memcmp(p, b->frame.data, head) != 0)
                        return bench_strange(b);
                bench_take_message(b, peer, p + head);
                buffer_consume(&peer->in, size);
        }
        head = buffer_size(&peer->in) < head ? buffer_size(&peer->in) : head;
        return head && memcmp(peer->in.data + peer->in.start, b->frame.data, head) != 0 ? bench_strange(b)
                                                                                        : CTL_OK;
}

/* Answers are numbers; the first error ends the run. */
static int bench_take_answer(struct bench *b, struct bench_peer *peer, struct bytes line)
{
        unsigned k = (unsigned)(peer - b->peers);
        char text[256];
        redisReply error = { .type = REDIS_REPLY_ERROR, .str = text };
        uint64_t start;

        if (line.p[0] == '-') {
                error.len = line.n - 1 < sizeof(text) ? line.n - 1 : sizeof(text);
                memcpy(text, line.p + 1, error.len);
                return link_refused(&peer->link, &error);
        }
        if (line.p[0] != ':' || peer->answered >= peer->sent)
                return bench_strange(b);
        start = bench_started(b, k, peer->answered++);
        if (!b->plan->n_subscribers && bench_counts(b, start))
                histogram_add(&b->result->latency, b->now - start);
        b->result->published += b->measuring;
        return CTL_OK;
}

static int bench_take_answers(struct bench *b, struct bench_peer *peer)
{
        for (;;) {
                struct bytes in = buffer_view(&peer->in);
                const uint8_t *end = in.n ? memchr(in.p, '\n', in.n) : NULL;
                int r;

                if (!end)
                        return CTL_OK;
                if (end - in.p < 2)
                        return bench_strange(b);
                r = bench_take_answer(b, peer, bytes_of(in.p, (size_t)(end - in.p) - 1));
                if (r)
                        return r;
                buffer_consume(&peer->in, (size_t)(end - in.p) + 1);
        }
}

static int bench_read(struct bench *b, struct bench_peer *peer)
{
        ssize_t n;

        if (buffer_reserve(&peer->in, BENCH_READ_SIZE))
                mem_fail();
        n = recv(peer->link.fd, peer->in.data + peer->in.end, peer->in.cap - peer->in.end, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return CTL_OK;
        if (n <= 0)
                return bench_lost_connection(peer);
        peer->in.end += (size_t)n;
        b->now = b->last_sign = clock_now();
        return peer->is_subscriber ? bench_take_messages(b, peer) : bench_take_answers(b, peer);
}

/* ---------------------------------------------------------------- the run */

static uint64_t bench_cpu(void)
{
        struct rusage usage;

        getrusage(RUSAGE_SELF, &usage);
        return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * NSEC_PER_SEC +
               (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * NSEC_PER_USEC;
}

/* Begins and ends the time that is measured, as it comes. */
static void bench_measure(struct bench *b)
{
        if (!b->measuring && !b->measured_from && b->now >= b->from) {
                b->measuring = true;
                b->measured_from = b->now;
                b->cpu_from = bench_cpu();
        } else if (b->measuring && b->now >= b->end) {
                b->measuring = false;
                b->result->duration = b->now - b->measured_from;
                b->result->cpu = (double)(bench_cpu() - b->cpu_from) / (double)b->result->duration;
        }
}

/* With a rate: wakes when the next message is due of those whose socket takes it. */
static void bench_arm(struct bench *b)
{
        uint64_t next = b->end;
        struct itimerspec when = { 0 };

        for (unsigned k = 0; k < b->plan->n_publishers; k++) {
                uint64_t due = bench_due(b, k, b->peers[k].sent);

                if (!b->peers[k].wants_room && due < next)
                        next = due;
        }
        when.it_value.tv_sec = (time_t)(next / NSEC_PER_SEC);
        when.it_value.tv_nsec = (long)(next % NSEC_PER_SEC);
        timerfd_settime(b->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

/* Whether each message has been sent, answered and delivered. */
static bool bench_complete(const struct bench *b)
{
        for (unsigned k = 0; k < b->plan->n_publishers; k++) {
                const struct bench_peer *peer = &b->peers[k];

                if (peer->answered < peer->sent || (b->plan->rate && bench_due(b, k, peer->sent) < b->end))
                        return false;
        }
        return bench_position(b) == b->sent;
}

/* Milliseconds to wait: not past the next step, nor longer than a sign is waited for. */
static int bench_wait_ms(const struct bench *b)
{
        uint64_t until = b->now < b->from ? b->from : b->now < b->end ? b->end : b->now + BENCH_PATIENCE;

        if (until - b->now > BENCH_PATIENCE)
                until = b->now + BENCH_PATIENCE;
        return (int)((until - b->now) / NSEC_PER_MSEC) + 1;
}

static int bench_turn(struct bench *b)
{
        struct epoll_event events[64];
        int r = bench_publish(b), n;

        if (r)
                return r;
        if (b->plan->rate && b->now < b->end)
                bench_arm(b);
        n = epoll_wait(b->epoll, events, 64, bench_wait_ms(b));
        for (int i = 0; i < n && !r; i++) {
                struct bench_peer *peer = events[i].data.ptr;
                uint64_t expired;

                if (!peer) {
                        (void)!read(b->timer, &expired, sizeof(expired));
                        continue;
                }
                if (events[i].events & EPOLLOUT && !bench_write(b, peer))
                        return bench_lost_connection(peer);
                if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                        r = bench_read(b, peer);
        }
        b->now = clock_now();
        if (b->now - b->last_sign > BENCH_PATIENCE)
                b->forgiven = b->sent;
        bench_measure(b);
        return r;
}

/* Behind the end: until all is there, or nothing more comes, or the patience of the command line is over. */
static int bench_finish(struct bench *b)
{
        uint64_t deadline = clock_now() + b->request->timeout;

        while (b->now < deadline && !bench_complete(b)) {
                int r = bench_turn(b);

                if (r)
                        return r;
                if (b->now - b->last_sign > b->request->timeout / 2)
                        break;
        }
        return CTL_OK;
}

static void bench_sum(struct bench *b)
{
        for (unsigned k = 0; k < b->plan->n_publishers; k++) {
                const struct bench_peer *peer = &b->peers[k];

                b->result->unanswered += peer->sent - peer->answered;
                for (uint64_t n = peer->sent; b->plan->rate && bench_due(b, k, n) < b->end; n++)
                        b->result->unsent += bench_counts(b, bench_due(b, k, n));
                for (unsigned i = b->plan->n_publishers; i < b->n_peers; i++)
                        if (peer->answered > b->peers[i].next[k])
                                b->result->lost += peer->answered - b->peers[i].next[k];
        }
}

static int bench_load(struct bench *b)
{
        int r = CTL_OK;

        for (unsigned i = 0; i < b->n_peers && !r; i++)
                r = bench_connect(b, i);
        b->now = b->begin = b->last_sign = clock_now();
        b->from = b->begin + b->plan->warm_up;
        b->end = b->from + b->plan->measure;
        while (!r && (b->now < b->end || b->measuring))
                r = bench_turn(b);
        if (!r)
                r = bench_finish(b);
        if (!r)
                bench_sum(b);
        return r;
}

int bench_run(struct bench_result *result, const struct bench_plan *plan, const struct ctl_request *request)
{
        struct bench b = { .plan = plan, .request = request, .result = result, .epoll = -1, .timer = -1 };
        int r;

        *result = (struct bench_result){ 0 };
        r = bench_init(&b);
        if (!r)
                r = bench_load(&b);
        bench_deinit(&b);
        return r;
}
