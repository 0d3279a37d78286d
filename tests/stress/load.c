/* SPDX-License-Identifier: MIT */

#include "stress/load.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define READ_BYTES (64 * 1024)
#define BATCH      16 /* few, so that a program acts often between them */

void (*fail_hook)(void);

_Noreturn void fail(const char *format, ...)
{
        va_list args;

        fflush(stdout);
        fprintf(stderr, "FAILED: ");
        va_start(args, format);
        vfprintf(stderr, format, args);
        va_end(args);
        fprintf(stderr, "\n");
        if (fail_hook)
                fail_hook();
        _exit(1);
}

/* ---------------------------------------------------------------- replies */

static size_t line_parse(const char *input, size_t n, int64_t *valuep)
{
        const char *end = memchr(input, '\r', n < 32 ? n : 32);
        int64_t value = 0;
        size_t i = 1;
        bool negative = n > 1 && input[1] == '-';

        if (!end && n >= 32)
                fail("a reply's length line has no end: %.32s", input);
        if (!end || end + 1 == input + n)
                return 0;
        if (end[1] != '\n')
                fail("CR without LF in a reply");
        for (i += negative; input + i < end; i++) {
                if (input[i] < '0' || input[i] > '9')
                        fail("not a number in a reply: %.*s", (int)(end - input), input);
                value = value * 10 + (input[i] - '0');
        }
        *valuep = negative ? -value : value;
        return (size_t)(end - input) + 2;
}

static size_t text_parse(struct reply_item *item, const char *input, size_t n)
{
        const char *end = memchr(input, '\n', n);

        if (!end)
                return 0;
        if (end[-1] != '\r')
                fail("LF without CR in a reply");
        item->s = input + 1;
        item->n = end - 1 - item->s;
        return (size_t)(end - input) + 1;
}

static size_t bulk_parse(struct reply_item *item, const char *input, size_t n)
{
        size_t head = line_parse(input, n, &item->n);

        if (!head || item->n < 0)
                return head;
        if (n < head + (size_t)item->n + 2)
                return 0;
        item->s = input + head;
        if (item->s[item->n] != '\r' || item->s[item->n + 1] != '\n')
                fail("a bulk of %lld bytes does not end in CRLF", (long long)item->n);
        return head + (size_t)item->n + 2;
}

static size_t item_parse(struct reply_item *item, const char *input, size_t n)
{
        item->type = input[0];
        item->s = NULL;
        switch (item->type) {
        case '+':
        case '-':
                return text_parse(item, input, n);
        case '$':
                return bulk_parse(item, input, n);
        case ':':
        case '*':
        case '>':
        case '%':
                return line_parse(input, n, &item->n);
        case '_':
                return text_parse(item, input, n);
        default:
                fail("a reply begins with byte 0x%02x: %.*s", (unsigned char)item->type, (int)(n < 40 ? n : 40),
                     input);
        }
}

size_t reply_parse(struct reply *reply, const char *input, size_t n)
{
        size_t pos = 0, step;
        int64_t left = 1;

        reply->n_items = 0;
        while (left > 0) {
                struct reply_item *item = &reply->items[reply->n_items];

                if (pos == n)
                        return 0;
                step = item_parse(item, input + pos, n - pos);
                if (!step)
                        return 0;
                pos += step;
                left--;
                if (item->type == '*' || item->type == '>')
                        left += item->n;
                else if (item->type == '%')
                        left += 2 * item->n;
                if (++reply->n_items == REPLY_ITEMS && left > 0)
                        fail("a reply has too many items");
        }
        return pos;
}

bool reply_is(const struct reply_item *item, const char *text)
{
        return item->s && (size_t)item->n == strlen(text) && !memcmp(item->s, text, (size_t)item->n);
}

/* ---------------------------------------------------------------- connections */

void load_init(struct load *load)
{
        *load = (struct load){ .epoll = epoll_create1(EPOLL_CLOEXEC) };
        if (load->epoll < 0)
                fail("epoll_create1: %m");
}

void load_deinit(struct load *load)
{
        close(load->epoll);
        load->epoll = -1;
}

void load_wait(struct load *load, int ms)
{
        struct epoll_event events[BATCH];
        int n = epoll_wait(load->epoll, events, BATCH, ms);

        for (int i = 0; i < n; i++) {
                struct conn *conn = events[i].data.ptr;

                if (conn->fd >= 0)
                        conn->on_event(conn, events[i].events);
        }
}

static void conn_ctl(struct load *load, struct conn *conn, int op, uint32_t events)
{
        struct epoll_event event = { .events = events, .data.ptr = conn };

        if (epoll_ctl(load->epoll, op, conn->fd, &event) < 0)
                fail("epoll_ctl: %m");
        conn->events = events;
}

void conn_watch(struct load *load, struct conn *conn, uint32_t events)
{
        if (events != conn->events)
                conn_ctl(load, conn, EPOLL_CTL_MOD, events);
}

bool conn_open(struct load *load, struct conn *conn, const char *path)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        if (strlen(path) >= sizeof(address.sun_path))
                fail("the socket's path is too long");
        strcpy(address.sun_path, path);
        conn->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (conn->fd < 0)
                fail("socket: %m");
        if (connect(conn->fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
                if (errno != EAGAIN)
                        fail("connect to %s: %m", path);
                close(conn->fd);
                conn->fd = -1;
                return false;
        }
        conn->n_in = conn->pos_out = conn->n_out = 0;
        conn->n_read = 0;
        conn_ctl(load, conn, EPOLL_CTL_ADD, EPOLLIN);
        return true;
}

void conn_close(struct conn *conn)
{
        if (conn->fd >= 0)
                close(conn->fd);
        conn->fd = -1;
        free(conn->in);
        free(conn->out);
        conn->in = conn->out = NULL;
        conn->n_in = conn->cap_in = conn->pos_out = conn->n_out = conn->cap_out = 0;
}

static void reserve(char **bufferp, size_t *capp, size_t n)
{
        size_t cap = *capp ? *capp : 4096;

        if (n <= *capp)
                return;
        while (cap < n)
                cap *= 2;
        *bufferp = realloc(*bufferp, cap);
        if (!*bufferp)
                fail("out of memory");
        *capp = cap;
}

void conn_put(struct conn *conn, const void *data, size_t n)
{
        reserve(&conn->out, &conn->cap_out, conn->n_out + n);
        memcpy(conn->out + conn->n_out, data, n);
        conn->n_out += n;
}

static void conn_put_head(struct conn *conn, char type, size_t n)
{
        char head[32];

        conn_put(conn, head, (size_t)snprintf(head, sizeof(head), "%c%zu\r\n", type, n));
}

static void conn_put_bulk(struct conn *conn, const void *data, size_t n)
{
        conn_put_head(conn, '$', n);
        conn_put(conn, data, n);
        conn_put(conn, "\r\n", 2);
}

void conn_request(struct conn *conn, unsigned n_args, const char *const *args)
{
        conn_put_head(conn, '*', n_args);
        for (unsigned i = 0; i < n_args; i++)
                conn_put_bulk(conn, args[i], strlen(args[i]));
}

void conn_publish(struct conn *conn, const char *channel, const void *payload, size_t n)
{
        static const char head[] = "*3\r\n$7\r\nPUBLISH\r\n";

        conn_put(conn, head, sizeof(head) - 1);
        conn_put_bulk(conn, channel, strlen(channel));
        conn_put_bulk(conn, payload, n);
}

int conn_flush(struct load *load, struct conn *conn, size_t limit)
{
        while (conn->pos_out < conn->n_out && limit) {
                size_t left = conn->n_out - conn->pos_out;
                ssize_t n =
                        send(conn->fd, conn->out + conn->pos_out, left < limit ? left : limit, MSG_NOSIGNAL);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno != EAGAIN)
                        return -errno;
                if (n < 0)
                        break;
                conn->pos_out += (size_t)n;
                limit -= (size_t)n;
        }
        if (conn->pos_out < conn->n_out) {
                conn_watch(load, conn, conn->events | EPOLLOUT);
                return -EAGAIN;
        }
        conn->pos_out = conn->n_out = 0;
        conn_watch(load, conn, conn->events & ~(uint32_t)EPOLLOUT);
        return 0;
}

int conn_fill(struct load *load, struct conn *conn)
{
        ssize_t n;

        reserve(&conn->in, &conn->cap_in, conn->n_in + READ_BYTES);
        do
                n = recv(conn->fd, conn->in + conn->n_in, READ_BYTES, 0);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        conn->n_in += (size_t)n;
        conn->n_read += (uint64_t)n;
        load->n_read += (uint64_t)n;
        return (int)n;
}

void conn_consume(struct conn *conn, size_t n)
{
        memmove(conn->in, conn->in + n, conn->n_in - n);
        conn->n_in -= n;
}

/* ---------------------------------------------------------------- figures */

static unsigned histogram_bucket(uint64_t ns)
{
        unsigned log = ns < 16 ? 0 : 63 - (unsigned)__builtin_clzll(ns) - 3;

        return log * 16 + (unsigned)(ns >> (log ? log - 1 : 0) & 15);
}

/* The least value of the bucket after b. */
static uint64_t histogram_above(unsigned b)
{
        unsigned log = b / 16;

        return log ? (uint64_t)(16 + b % 16 + 1) << (log - 1) : b + 1;
}

void histogram_add(struct histogram *h, uint64_t ns)
{
        h->n++;
        if (ns > h->max)
                h->max = ns;
        h->counts[histogram_bucket(ns)]++;
}

uint64_t histogram_quantile(const struct histogram *h, double q)
{
        uint64_t rank = (uint64_t)((double)h->n * q), seen = 0;

        for (unsigned b = 0; b < 64 * 16; b++) {
                seen += h->counts[b];
                if (seen > rank)
                        return histogram_above(b) < h->max ? histogram_above(b) : h->max;
        }
        return h->max;
}
