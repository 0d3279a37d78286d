/* SPDX-License-Identifier: MIT */
#pragma once

#include "peers.h"
#include "support/uring_ring_fake.h"

/*
 * The io_uring reactor on a ring that only does as it is told, with streams on real sockets. After each step it
 * is checked that every open stream is armed, asks to be, is being cancelled or is rightly silent, and that no
 * stream has two requests of a kind.
 */

#define REPLAY_PEERS 128

extern struct peer replay_peers[REPLAY_PEERS];
extern unsigned replay_n_peers;

void replay_begin(unsigned entries, unsigned buffers);

/* A stream, not yet armed. */
struct peer *replay_add(void);

/* The same in the place of one that is closed. */
void replay_add_again(struct peer *p);

/* Asserts what holds between two calls. */
void replay_check(void);

/* One wait() that does not sleep. Return: as wait(). */
int replay_turn(void);

/* Turns until the reactor has nothing more to do by itself. */
void replay_settle(void);

/* The calls of the seam, each with the checks. */
void replay_pause(struct peer *p, bool paused);
void replay_flush(struct peer *p);
void replay_remove(struct peer *p);
int replay_submit(void);

/* Bytes arrive by the receive of that stream. */
void replay_feed(struct peer *p, const char *text, bool more);

/* Queues output that the shard has copied. */
void replay_say(struct peer *p, const void *bytes, size_t n);

/* Asserts that the far end has got just these bytes. */
void replay_heard(struct peer *p, const void *bytes, size_t n);

/* Removes all streams, answers every request as a kernel would, and ends the reactor. */
void replay_end(void);

/* Cases by file. */
void add_buffer_cases(TCase *cases);
void add_order_cases(TCase *cases);
void add_send_cases(TCase *cases);
void add_ring_cases(TCase *cases);
void add_walk_cases(TCase *cases);
