/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "reactor/uring_ring.h"

/*
 * A uring_ring without a kernel: it keeps what is requested, and tests say what completes, when, and in which
 * order. A program that links this file gets the io_uring reactor on it, since it defines all that uring_ring.c
 * does.
 *
 * Sends are carried out inside uring_ring_enter(), on the real descriptor, as fake_sends says; everything else
 * completes by fake_complete() only. It fails the test when the reactor breaks the ring's rules: too many
 * requests, a buffer given back twice, a sleep that nothing would end.
 */

#define FAKE_IOV   64
#define FAKE_NEVER UINT64_MAX

enum fake_kind {
        FAKE_RECEIVE,
        FAKE_SEND,
        FAKE_POLL,
        FAKE_CANCEL,
        FAKE_MESSAGE,
};

struct fake_request {
        enum fake_kind kind;
        uint64_t tag;
        int fd;          /* of a message: the other ring */
        uint64_t target; /* of a cancel: the tag that it ends; of a message: the tag there */
        struct iovec iov[FAKE_IOV];
        unsigned n_iov;
        uint64_t number; /* they are counted as they are made */
        bool entered;    /* the kernel has it */
        bool live;       /* its last completion is still to come */
        bool cancelled;  /* the kernel has seen a cancel of it */
};

/* How sends end. */
struct fake_sends {
        size_t take; /* bytes that each takes at most */
        int error;   /* an errno that it fails with; 0: none */
        bool late;   /* not within the enter that hands it over, but by fake_finish_send() */
};

/* The ring that was made last. */
struct uring_ring *fake_ring(void);

/* Of this and each later send. */
void fake_set_sends(struct fake_sends sends);

/* Each later message fails with an errno, or goes well (0), which shows by no completion. */
void fake_fail_messages(int error);

/* Each later uring_ring_enter() fails with an errno, or does its work (0). */
void fake_fail_enters(int error);

/* Whether later rings can be made. */
void fake_refuse(bool refuse);

/* Called in each enter, after it took the requests; it may complete some. */
void fake_on_enter(void (*on_enter)(void *arg, bool wait, uint64_t ns), void *arg);

/* The live request of that kind for that descriptor (fd -1: any); the oldest of several. NULL: none. */
struct fake_request *fake_find(enum fake_kind kind, int fd);

/* The live cancel of the request with that tag. NULL: none. */
struct fake_request *fake_find_cancel(uint64_t target);

/* Live requests of that kind for that descriptor (-1: any). */
unsigned fake_count(enum fake_kind kind, int fd);

/* Live requests with that tag, of any kind. */
unsigned fake_count_tag(uint64_t tag);

/* The i-th live request. NULL: there are fewer. */
struct fake_request *fake_nth(unsigned i);

/* One completion of a request that the kernel has. buffer: of fake_fill(), or -1. */
void fake_complete(struct fake_request *request, int res, int buffer, bool more);

/* A completion of whatever has this tag or had it. */
void fake_post(uint64_t tag, int res, int buffer, bool more);

/* Puts bytes into a buffer that the kernel has. Return: its number; -1: it has none. */
int fake_fill(const void *p, size_t n);

/* Carries out a late send: at most take bytes of it, or it fails with an errno. */
void fake_finish_send(struct fake_request *request, size_t take, int error);

/* Buffers that the kernel has. */
unsigned fake_buffers_home(void);

/* Whether there are requests that the kernel has not seen, or completions that the reactor has not. */
bool fake_busy(void);

/* How often uring_ring_enter() was called, and how often it would have slept. */
unsigned fake_enters(void);
unsigned fake_sleeps(void);
