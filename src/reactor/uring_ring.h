/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/*
 * One io_uring with its ring of receive buffers: requests in, completions out. Knows nothing of streams; what a
 * request is for is in its tag, which comes back with each of its completions. Everything that depends on
 * liburing is behind this file, so that tests can put completions of their own in its place.
 *
 * All calls come from the thread that made it. A request may be queued when uring_ring_room() says so; it is
 * seen by the kernel in the next uring_ring_enter(), and whatever it points at has to stay until then.
 */

struct uring_ring;

struct uring_ring_options {
        unsigned entries;     /* of the submission queue; a power of two */
        unsigned completions; /* entries of the completion queue; a power of two, at least entries */
        unsigned buffers;     /* a power of two, at most 32768 */
        size_t buffer_bytes;  /* of each */
        bool single_shot;     /* a receive ends with its first bytes */
};

struct uring_completion {
        uint64_t tag;
        int32_t res;    /* as the system call would have answered; an error as -errno */
        int32_t buffer; /* the receive buffer that holds the bytes; it is the caller's; -1: none */
        bool more;      /* not the last completion of this request */
};

enum {
        _URING_RING_E_SUCCESS,
        URING_RING_E_REFUSED, /* the kernel does not let it be, or is too old: said in why */
};

/*
 * Makes a ring with the best set-up that the kernel has, restricted to the operations below. With too little
 * memory (RLIMIT_MEMLOCK) it is made with a half of everything, a quarter, and so on. why has room for n bytes.
 * Return: 0, URING_RING_E_REFUSED.
 */
int uring_ring_new(struct uring_ring **ringp, const struct uring_ring_options *options, char *why, size_t n);

/* Every request has had its last completion. Return: NULL. */
struct uring_ring *uring_ring_free(struct uring_ring *ring);

/* Its descriptor, for uring_ring_message() of another one. */
int uring_ring_fd(const struct uring_ring *ring);

/* How many buffers it has in fact. */
unsigned uring_ring_buffers(const struct uring_ring *ring);

/* Whether one more request fits, which has at most n_iov slices. */
bool uring_ring_room(const struct uring_ring *ring, unsigned n_iov);

/* Receives into the ring's buffers, once or until further notice. -ENOBUFS: there was none. */
void uring_ring_receive(struct uring_ring *ring, uint64_t tag, int fd);

/* Sends what the socket's buffer takes at once; never waits, so it completes within uring_ring_enter(). */
void uring_ring_send(struct uring_ring *ring, uint64_t tag, int fd, const struct iovec *iov, unsigned n);

/* Completes when one of the events, as of poll, is there; with multi every time that one comes up. */
void uring_ring_poll(struct uring_ring *ring, uint64_t tag, int fd, unsigned events, bool multi);

/* Ends the request with the tag target, which completes with -ECANCELED unless it has completed already. */
void uring_ring_cancel(struct uring_ring *ring, uint64_t tag, uint64_t target);

/* Completes as tag_there at the ring with that descriptor. Completes here, with the error, only if it fails. */
void uring_ring_message(struct uring_ring *ring, uint64_t tag, int target, uint64_t tag_there);

/* Whether uring_ring_enter() has something to do or to show: what a spinning caller looks at. */
bool uring_ring_busy(const struct uring_ring *ring);

/* Whether the kernel has work for this thread, or completions that did not fit: they come in an enter. */
bool uring_ring_puts_off(const struct uring_ring *ring);

/*
 * Hands all queued requests to the kernel and lets it do what it put off for this thread. With wait it blocks
 * until there is a completion, at most ns (UINT64_MAX: without end).
 * Return: 0 (also when a signal or the time ended it), -errno.
 */
int uring_ring_enter(struct uring_ring *ring, bool wait, uint64_t ns);

/* Takes up to max completions, oldest first. Return: how many. */
unsigned uring_ring_take(struct uring_ring *ring, struct uring_completion *completions, unsigned max);

/* The bytes of a buffer that a completion named, and its way back to the kernel. */
const uint8_t *uring_ring_buffer(const struct uring_ring *ring, int buffer);
void uring_ring_give_back(struct uring_ring *ring, int buffer);
