/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "reactor/outq.h"
#include "util/list.h"

/*
 * The seam between a shard and the kernel. It has the shape of completions: "here are bytes" upward, "take
 * bytes" downward, since readiness can imitate completion and not the other way round.
 *
 * One reactor per shard; every call comes from the shard's thread. Callbacks come only from inside wait().
 * A stream is embedded in the shard's client, and the reactor's own state lies behind it: the client is
 * allocated with room for ops->stream_size more bytes at stream_private(). A stream's memory may be freed from
 * on_closed() on, not before.
 */

struct reactor;

struct stream {
        int fd;
        struct outq out;         /* appended by the shard, consumed by the reactor only */
        struct list pending;     /* the reactor's: something to report at the next wait() */
        bool paused;             /* no on_data() wanted; what had arrived may still come */
        bool writing;            /* the reactor waits for the kernel to take more of out */
        bool failed;             /* on_hangup() was or will be called with an error; out is empty */
        bool removed;            /* on_closed() will come */
        uint32_t private_offset; /* of the reactor's state, from the stream's address */
};

static inline void *stream_private(struct stream *stream)
{
        return (char *)stream + stream->private_offset;
}

struct reactor_sink {
        /* Bytes arrived; they are lent for the call. */
        void (*on_data)(void *arg, struct stream *stream, struct bytes bytes);
        /* What an earlier flush() left behind has all been sent. */
        void (*on_drained)(void *arg, struct stream *stream);
        /* err 0: the peer sends no more (it may still read). Otherwise an errno: nothing can be sent, out was
         * dropped. Comes at most once with 0 and at most once with an error. */
        void (*on_hangup)(void *arg, struct stream *stream, int err);
        /* After remove(): the descriptor is closed and the stream untouched from here on. */
        void (*on_closed)(void *arg, struct stream *stream);
        void *arg;
};

enum {
        _REACTOR_E_SUCCESS,
        REACTOR_E_UNSUPPORTED, /* this kernel or build cannot run the reactor: why is in options.why */
        REACTOR_E_MISBEHAVES,  /* on this kernel it does not do what it should (reactor_selftest()) */
};

#define REACTOR_WHY_BYTES 256

struct reactor_options {
        int wake_fd;          /* an eventfd: readable ends a wait; the reactor clears it; -1: none */
        size_t receive_bytes; /* libev: of one read */
        struct {
                unsigned entries;     /* of the submission queue; a power of two */
                unsigned completions; /* entries of the completion queue; likewise, not fewer */
                unsigned buffers;     /* for what arrives; a power of two */
                size_t buffer_bytes;  /* of each */
                bool single_shot;     /* ask anew after each receive */
        } ring;                       /* io_uring */
        char *why; /* where init() says in words why it is not supported; REACTOR_WHY_BYTES; NULL: nobody asks
                    */
};

/* How a reactor of the same kind, of another thread, can be woken without a system call of its own. */
struct reactor_address {
        int32_t ring;    /* its descriptor */
        int32_t wake_fd; /* reactor_options.wake_fd */
};

struct reactor_ops {
        const char *name;
        size_t stream_size; /* bytes of private state per stream */

        /* Return: 0, REACTOR_E_UNSUPPORTED, -errno. */
        int (*init)(struct reactor **reactorp, const struct reactor_options *options,
                    const struct reactor_sink *sink);
        /* Every stream must have been reported closed. Return: NULL. */
        struct reactor *(*deinit)(struct reactor *reactor);

        /* Adopts stream->fd (non-blocking) and starts to read. The fd is closed by the reactor, after remove().
         */
        void (*add)(struct reactor *reactor, struct stream *stream);
        void (*pause)(struct reactor *reactor, struct stream *stream, bool paused);
        /*
         * Sends what out holds, at the latest in submit(); finishes by itself when the kernel does not take it
         * all at once. In between nothing but further calls of flush() may touch the stream.
         */
        void (*flush)(struct reactor *reactor, struct stream *stream);
        /*
         * Carries out what was put off. Afterwards the out of each flushed stream holds just what the kernel
         * did not take (stream.writing), or nothing (also when it failed). What is left may be taken out again,
         * also all of it: on_drained() still comes when the kernel has room. Return: 0, -errno.
         */
        int (*submit)(struct reactor *reactor);
        /* Ends in on_closed(), inside a later wait(). out is dropped. */
        void (*remove)(struct reactor *reactor, struct stream *stream);
        /*
         * Submits, waits until something happens or the deadline (monotonic ns; 0: do not block; CLOCK_NEVER)
         * passed, and delivers. Does not block while something is pending.
         * Return: the number of callbacks made, -errno.
         */
        int (*wait)(struct reactor *reactor, uint64_t deadline);

        /* Where others of its kind can wake it. It is good until the reactor ends; so is its wake_fd, longer.
         */
        struct reactor_address (*address)(const struct reactor *reactor);
        /* Ends the wait of the reactor with that address, at submit(), before what flush() has put off. */
        void (*wake)(struct reactor *reactor, const struct reactor_address *address);
};

extern const struct reactor_ops reactor_ev;
extern const struct reactor_ops reactor_uring; /* init() refuses in a build without liburing */
