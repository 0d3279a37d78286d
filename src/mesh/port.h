/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * One thread's end of the mesh: it sends to the other ports and drains what they announced. All calls on a
 * port come from the thread that owns it.
 */

struct mesh;
struct port;
struct waker;

/* A message as the receiver sees it. data is aligned to 8 bytes and lent for the call. */
struct port_message {
        unsigned source; /* the port that sent it */
        uint16_t type;   /* opaque to the mesh */
        uint32_t size;   /* bytes of data */
        void *data;
};

typedef void (*port_message_fn)(void *arg, const struct port_message *message);

struct port_stats {
        uint64_t sent, received; /* messages */
        uint64_t spilled;        /* messages that went through a backlog */
        uint64_t wakes_sent;     /* wakers fired */
        uint64_t wakes_taken;    /* sleeps that others ended */
        uint64_t ring_high;      /* most slots seen in use in one outgoing ring */
        uint64_t backlog_high;   /* most bytes seen in one backlog, counted or not */
        uint64_t backlog_bytes;  /* bytes in all backlogs now */
};

enum port_count {
        PORT_UNCOUNTED, /* interest, acknowledgements, stop: bounded by their protocol, never by bytes */
        PORT_COUNTED,   /* data: counts against the backlog's bound */
};

/*
 * Queues a message of size bytes for the port dst (not the caller's own) and returns where to write them:
 * 8-byte aligned, valid until the next port_* call. The message goes into the ring, or behind the backlog.
 * Nobody is told before port_flush(). Never fails and never blocks; ends the process when memory is out.
 */
void *port_send(struct port *port, unsigned dst, uint16_t type, uint32_t size, enum port_count count);

/*
 * Counts the message that port_send() just queued for dst in *charge, in bytes as they count against the bound,
 * for as long as it is in a backlog; nothing if it is in none. *charge has to be there until it is 0, or until
 * port_uncharge(), after which nothing is counted of what is in a backlog now.
 */
void port_charge(struct port *port, unsigned dst, uint64_t *charge);
void port_uncharge(struct port *port);

/* The targets whose backlog reached its bound and has not fallen to the low-water mark (half of it) since. */
uint64_t port_gated(const struct port *port);

/*
 * Retries backlogs, stores the tails, announces once to every target that has something new or a backlog, and
 * wakes those that are parked. Once per turn.
 * Return: the targets whose gate opened since the last call.
 */
uint64_t port_flush(struct port *port);

/*
 * From here on this port wakes dst by waker, instead of by the one that mesh_set_waker() gave it for all.
 * fire() may put the wake off, if the caller carries it out after port_flush() and before it sleeps.
 */
void port_set_waker(struct port *port, unsigned dst, struct waker waker);

/*
 * Hands messages of announced sources to fn, from each source at most budget of them; 4 KiB of a message count
 * as one more, so that few large messages do not take as long as many small ones. fn may call port_send(), but
 * not port_drain() nor port_flush().
 * Return: the number of messages handed over.
 */
unsigned port_drain(struct port *port, unsigned budget, port_message_fn fn, void *arg);

/* Whether port_drain() has something to do now: a source kept over its budget, or a fresh announcement. */
bool port_ready(const struct port *port);

/* Whether a backlog still holds messages. */
bool port_spilled(const struct port *port);

/*
 * Declares the port parked. Return: true, the owner may sleep without end, every later announcement fires the
 * waker; false, there is something to drain or to flush, do not sleep. A backlog alone does not prevent sleep:
 * its target announces when there is space.
 */
bool port_park(struct port *port);
void port_unpark(struct port *port);

/* Slots in use now in the fullest outgoing ring, and how many a ring has. */
uint64_t port_ring_used(struct port *port);
uint64_t port_ring_slots(const struct port *port);

unsigned port_id(const struct port *port);
const struct port_stats *port_stats(const struct port *port);
