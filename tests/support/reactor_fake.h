/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "reactor/reactor.h"
#include "util/buffer.h"

/*
 * A reactor without a kernel: tests feed bytes to streams and take what was sent. It can split the input, take
 * only some bytes of output at a time, hang up, and fail. Streams are found by their descriptor, which is a
 * plain number here.
 */

extern const struct reactor_ops reactor_fake;

struct fake; /* the state of a reactor_fake; reactor_fake_of() */

struct fake_stream {
        struct stream *stream; /* NULL once it is closed */
        struct buffer in;      /* fed, not yet delivered */
        struct buffer out;     /* what the shard sent */
        size_t accept;         /* bytes that the kernel takes before it would block; SIZE_MAX: all */
        bool end, end_reported;
        int error;
        bool error_reported;
        bool paused;
        bool flushed; /* to be sent at submit() */
};

/* The fake behind the reactor that was made last on this thread. */
struct fake *fake_last(void);

/* Bytes of input that one on_data() carries at most; 0: no limit. */
void fake_split(struct fake *fake, size_t bytes);

/* The stream of a descriptor (created on demand, so it may be asked for before it is adopted). */
struct fake_stream *fake_stream(struct fake *fake, int fd);

/* What the peer says; nothing comes behind its end of file. */
void fake_feed(struct fake *fake, int fd, const void *p, size_t n);
void fake_end(struct fake *fake, int fd);
void fake_fail(struct fake *fake, int fd, int error);
void fake_accept(struct fake *fake, int fd, size_t bytes);

/*
 * What a wait() that would block does instead of returning at once: on_block(arg, deadline) may switch to
 * another shard, and returns when this one is to look again. NULL: nothing.
 */
void fake_on_block(struct fake *fake, void (*on_block)(void *arg, uint64_t deadline), void *arg);

/* Whether the next wait() has something to deliver. */
bool fake_runnable(const struct fake *fake);
void fake_free(struct fake *fake);
