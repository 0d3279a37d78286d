/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What the load programs share: non-blocking connections with buffers under one epoll, and a strict parser of
 * replies. Everything that must not happen ends the program by fail().
 */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LOAD_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define LOAD_SANITIZED 1
#endif
#endif
#ifndef LOAD_SANITIZED
#define LOAD_SANITIZED 0
#endif

/* Prints "FAILED: text" and what the broker said, and exits with 1. The broker dies with this program. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Called by fail() before it exits; NULL: nothing. */
extern void (*fail_hook)(void);

#define REPLY_ITEMS 24

struct reply_item {
        char type;     /* the byte it began with */
        int64_t n;     /* an integer's value; the bytes of a text; the items of an aggregate */
        const char *s; /* a text: points into the input */
};

/* One reply, flattened: items[0] is the reply itself, then what it holds. */
struct reply {
        unsigned n_items;
        struct reply_item items[REPLY_ITEMS];
};

/* Return: bytes of the reply; 0: unfinished. A malformed reply is a failure. */
size_t reply_parse(struct reply *reply, const char *input, size_t n);

bool reply_is(const struct reply_item *item, const char *text);

struct conn {
        int fd;           /* -1: closed */
        const char *name; /* for failures */
        unsigned index;
        void (*on_event)(struct conn *conn, uint32_t events);
        uint32_t events; /* what epoll watches */
        char *in, *out;
        size_t n_in, cap_in;
        size_t pos_out, n_out, cap_out;
        uint64_t n_read; /* bytes in all */
};

struct load {
        int epoll;
        uint64_t n_read; /* bytes, of all connections */
};

void load_init(struct load *load);
void load_deinit(struct load *load);

/* Waits at most ms and runs on_event() of the connections that have something. */
void load_wait(struct load *load, int ms);

/* Opens a connection that watches for input. Return: false if the listener's queue is full: try again later. */
bool conn_open(struct load *load, struct conn *conn, const char *path);
void conn_close(struct conn *conn);
void conn_watch(struct load *load, struct conn *conn, uint32_t events);

/* Appends to the output; conn_flush() sends it. */
void conn_put(struct conn *conn, const void *data, size_t n);

/* Appends a request of n_args words. */
void conn_request(struct conn *conn, unsigned n_args, const char *const *args);
#define CONN_REQUEST(_conn, ...)                                                                               \
        conn_request((_conn), sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(char *),                        \
                     (const char *[]){ __VA_ARGS__ })

/* Appends PUBLISH with a payload of bytes. */
void conn_publish(struct conn *conn, const char *channel, const void *payload, size_t n);

/* Sends at most limit bytes of the output. Return: 0, -EAGAIN (some is left), or the error of a dead
 * connection. */
int conn_flush(struct load *load, struct conn *conn, size_t limit);

/* Reads once. Return: bytes, 0 (end of file), -EAGAIN or -ECONNRESET. */
int conn_fill(struct load *load, struct conn *conn);

/* Forgets the first n bytes of the input. */
void conn_consume(struct conn *conn, size_t n);

/* A histogram of nanoseconds, exact to 1/16. */
struct histogram {
        uint64_t n, max;
        uint64_t counts[64 * 16];
};

void histogram_add(struct histogram *h, uint64_t ns);
uint64_t histogram_quantile(const struct histogram *h, double q);
