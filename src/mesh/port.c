/* SPDX-License-Identifier: MIT */
/*
 * A port: one thread's end of the mesh. Everything in struct port belongs to that thread; what ports share is
 * struct ring (one for each ordered pair) and struct park (one of each port).
 *
 * Sending. A message goes into the ring, or, when that is full, to the end of the target's backlog, a FIFO of
 * blocks; while a backlog is not empty new messages go behind it, so that order is kept. port_flush() moves
 * what it can from the backlogs to the rings, stores each tail once, announces once to each target that has
 * something new, and fires the wakers of those that are parked.
 *
 * What must not be lost:
 *  - Landing announces. Every flush of a target that has a backlog or got a message announces, whether the
 *    message is new or comes from the backlog: the target may have taken the previous announcement and found
 *    nothing.
 *  - Space is announced like data. A port with a backlog sets the ring's spilled flag before *every* announce
 *    to that target and announces even if nothing landed. The target, after it drained an announced source,
 *    takes the flag and, if it was set, announces itself to that source in its next port_flush(). So a port may
 *    sleep without end with a backlog: the target holds its announcement and will answer it.
 *  - A source that has something left when its budget is used up keeps its bit in `kept`, and a port with kept
 *    bits does not park.
 *  - Nothing gates the drain. A full backlog closes the gate (port_gated()) for requests that have not begun;
 *    draining hands messages over whatever the state of the own backlogs is.
 *
 * The bound of a backlog is over counted messages, in bytes with their block headers. The gate closes at the
 * bound and opens at half of it. The ring holds at most as many bytes in blocks, or one block.
 */

#include "mesh/port.h"

#include <stdlib.h>

#include "mesh/shared.h"
#include "util/bits.h"
#include "util/list.h"
#include "util/mem.h"
#include "util/plant.h"
#include "util/probe.h"

#define PORT_BUDGET_BYTES  4096 /* of a message that count as one more message of a drain's budget */
#define PORT_RELEASE_BATCH 32   /* messages after which a source gets its slots back while it is drained */

/* The way to one target. */
struct outbound {
        struct ring_writer ring;
        struct ring_block *first, **lastp; /* backlog, oldest first; *lastp is its terminating NULL */
        size_t bytes;                      /* in the backlog */
        size_t counted;                    /* of those, counted against the bound */
        struct waker waker;                /* fire NULL: the mesh's */
};

struct port {
        struct mesh *mesh;
        struct park *park; /* of this port */
        unsigned id;
        unsigned drain_first; /* source that the next drain begins with */
        uint64_t pending; /* targets with something new in ring or backlog, or that are owed an announcement of
                             space */
        uint64_t backlogged; /* targets whose backlog is not empty */
        uint64_t gated;      /* targets whose gate is closed */
        uint64_t kept;       /* sources that were announced and are not drained to their end */
        bool parked;         /* port_park() said true */
        bool draining;
        struct port_stats stats;
        struct ring_reader *in; /* of each source */
        struct outbound out[];  /* of each target */
};

struct port *port_new(struct mesh *mesh, unsigned id)
{
        unsigned n = mesh->n_ports;
        size_t out_size = n * sizeof(struct outbound), in_size = n * sizeof(struct ring_reader);
        struct port *port = mem_zalloc_aligned(RING_LINE, sizeof(*port) + out_size + in_size);

        port->mesh = mesh;
        port->park = &mesh->parks[id];
        port->id = id;
        port->in = (struct ring_reader *)&port->out[n];
        for (unsigned peer = 0; peer < n; peer++) {
                size_t to = mesh_ring_index(mesh, id, peer), from = mesh_ring_index(mesh, peer, id);

                ring_writer_init(&port->out[peer].ring, &mesh->rings[to], &mesh->slots[to * mesh->capacity],
                                 mesh->capacity, mesh->backlog_bytes);
                ring_reader_init(&port->in[peer], &mesh->rings[from], &mesh->slots[from * mesh->capacity],
                                 mesh->capacity);
                port->out[peer].lastp = &port->out[peer].first;
        }
        return port;
}

/* ---------------------------------------------------------------- backlog */

static size_t outbound_cost(const struct ring_block *block)
{
        return sizeof(*block) + block->size;
}

static void *port_spill(struct port *port, unsigned dst, uint16_t type, uint32_t size, enum port_count count)
{
        struct outbound *out = &port->out[dst];
        struct ring_block *block = ring_block_new(type, size);

        *out->lastp = block;
        out->lastp = &block->next;
        out->bytes += outbound_cost(block);
        port->backlogged |= bit(dst);
        port->pending |= bit(dst); /* not announced yet: the port must not park before port_flush() */
        if (count == PORT_COUNTED) {
                block->counted = true;
                out->counted += outbound_cost(block);
                if (out->counted >= port->mesh->backlog_bytes)
                        port->gated |= bit(dst);
        }
        port->stats.spilled++;
        PROBE3(spill, port->id, dst, size);
        port->stats.backlog_bytes += outbound_cost(block);
        if (port->stats.backlog_high < out->bytes)
                port->stats.backlog_high = out->bytes;
        return block->data;
}

/* The oldest message of a backlog that is not empty; its block is the caller's. */
static struct ring_block *port_unspill(struct port *port, unsigned dst)
{
        struct outbound *out = &port->out[dst];
        struct ring_block *block = out->first;

        out->first = block->next;
        if (!out->first) {
                out->lastp = &out->first;
                port->backlogged &= ~bit(dst);
        }
        out->bytes -= outbound_cost(block);
        port->stats.backlog_bytes -= outbound_cost(block);
        if (block->counted)
                out->counted -= outbound_cost(block);
        if (block->charge)
                *block->charge -= outbound_cost(block);
        return block;
}

/* Moves what fits from the backlog into the ring. */
static void port_retry(struct port *port, unsigned dst)
{
        struct outbound *out = &port->out[dst];
        struct ring_slot *slot;

        while (out->first) {
                slot = ring_writer_reserve(&out->ring, out->first->size, true);
                if (!slot)
                        break;
                ring_slot_adopt(slot, port_unspill(port, dst));
        }
        if (out->counted <= port->mesh->backlog_bytes / 2)
                port->gated &= ~bit(dst);
}

/* ---------------------------------------------------------------- out */

void *port_send(struct port *port, unsigned dst, uint16_t type, uint32_t size, enum port_count count)
{
        struct outbound *out = &port->out[dst];
        struct ring_slot *slot;

        assert(dst < port->mesh->n_ports && dst != port->id);
        port->stats.sent++;
        if (port->backlogged & bit(dst) && !PLANTED(2))
                return port_spill(port, dst, type, size, count);
        slot = ring_writer_reserve(&out->ring, size, size > RING_INLINE_SIZE);
        if (!slot) {
                /* the target may be draining: let it have now what waits for the end of the turn */
                ring_writer_publish(&out->ring);
                if (ring_writer_used(&out->ring) == port->mesh->capacity)
                        port->stats.ring_high = port->mesh->capacity;
                return port_spill(port, dst, type, size, count);
        }
        port->pending |= bit(dst);
        return ring_slot_fill(slot, type, size);
}

void port_charge(struct port *port, unsigned dst, uint64_t *charge)
{
        struct outbound *out = &port->out[dst];
        struct ring_block *block;

        if (!out->first)
                return;
        block = container_of(out->lastp, struct ring_block, next); /* new messages go behind a backlog */
        assert(!block->charge);
        block->charge = charge;
        *charge += outbound_cost(block);
}

void port_uncharge(struct port *port)
{
        bits_for_each (dst, port->backlogged)
                for (struct ring_block *block = port->out[dst].first; block; block = block->next)
                        block->charge = NULL;
}

uint64_t port_gated(const struct port *port)
{
        return port->gated;
}

/* The head is looked at only when the record seems to be broken, at most once per target and turn. */
static void port_note_high(struct port *port, struct ring_writer *w)
{
        if (ring_writer_used(w) <= port->stats.ring_high)
                return;
        ring_writer_refresh(w);
        if (ring_writer_used(w) > port->stats.ring_high)
                port->stats.ring_high = ring_writer_used(w);
}

/* Return: whether dst has to be woken. */
static bool port_announce(struct port *port, unsigned dst)
{
        struct outbound *out = &port->out[dst];

        if (out->first)
                port_retry(port, dst);
        port_note_high(port, &out->ring);
        ring_writer_publish(&out->ring);
        if (out->first)
                ring_writer_ask_space(&out->ring);
        return park_announce(&port->mesh->parks[dst], bit(port->id));
}

uint64_t port_flush(struct port *port)
{
        uint64_t targets = PLANTED(1) ? port->pending : port->pending | port->backlogged, gated = port->gated,
                 wakes = 0;

        assert(!port->draining);
        if (!targets)
                return 0;
        bits_for_each (dst, targets) {
                if (port_announce(port, (unsigned)dst))
                        wakes |= bit((unsigned)dst);
        }
        port->pending = 0;
        /* system calls come last: nobody's announcement waits for another's wake */
        bits_for_each (dst, wakes) {
                const struct waker *own = &port->out[dst].waker;
                const struct waker *waker = own->fire ? own : &port->mesh->wakers[dst];

                PROBE2(wake, port->id, (unsigned)dst);
                waker->fire(waker->arg);
                port->stats.wakes_sent++;
        }
        return gated & ~port->gated;
}

void port_set_waker(struct port *port, unsigned dst, struct waker waker)
{
        assert(dst < port->mesh->n_ports && dst != port->id);
        port->out[dst].waker = waker;
}

/* ---------------------------------------------------------------- in */

/* Return: the message's part of a budget. */
static unsigned port_deliver(unsigned source, struct ring_slot *slot, port_message_fn fn, void *arg)
{
        struct port_message message = {
                .source = source,
                .type = slot->type,
                .size = slot->size,
                .data = ring_slot_data(slot),
        };

        fn(arg, &message);
        ring_slot_done(slot);
        return 1 + message.size / PORT_BUDGET_BYTES;
}

static unsigned port_drain_source(struct port *port, unsigned source, unsigned budget, port_message_fn fn,
                                  void *arg)
{
        struct ring_reader *in = &port->in[source];
        unsigned n = 0, left = budget, cost;

        while (left) {
                uint64_t batch = ring_reader_available(in);

                if (!batch)
                        break;
                if (batch > PORT_RELEASE_BATCH)
                        batch = PORT_RELEASE_BATCH;
                for (; batch && left; batch--, n++) {
                        cost = port_deliver(source, ring_reader_next(in), fn, arg);
                        left -= cost < left ? cost : left;
                }
                ring_reader_release(in);
        }
        if (!left && ring_reader_available(in) && !PLANTED(5))
                port->kept |= bit(source);
        if (ring_reader_take_ask(in) && !PLANTED(3))
                port->pending |= bit(source);
        return n;
}

unsigned port_drain(struct port *port, unsigned budget, port_message_fn fn, void *arg)
{
        uint64_t todo = port->kept, later;
        unsigned n = 0;

        assert(budget && !port->draining);
        if (park_peek(port->park))
                todo |= park_take(port->park);
        if (!todo)
                return 0;
        port->draining = true;
        port->kept = 0;
        later = todo & (bit(port->drain_first) - 1);
        bits_for_each (source, todo & ~later)
                n += port_drain_source(port, (unsigned)source, budget, fn, arg);
        bits_for_each (source, later)
                n += port_drain_source(port, (unsigned)source, budget, fn, arg);
        port->drain_first = (port->drain_first + 1) % port->mesh->n_ports;
        port->draining = false;
        port->stats.received += n;
        return n;
}

bool port_ready(const struct port *port)
{
        return port->kept || park_peek(port->park);
}

bool port_spilled(const struct port *port)
{
        return port->backlogged != 0;
}

/* ---------------------------------------------------------------- park */

bool port_park(struct port *port)
{
        assert(port->mesh->wakers[port->id].fire);
        if (port->kept || port->pending)
                return false;
        port->parked = park_begin(port->park);
        PROBE2(park, port->id, port->parked);
        return port->parked;
}

void port_unpark(struct port *port)
{
        if (!port->parked)
                return;
        port->parked = false;
        port->stats.wakes_taken += park_woken(port->park);
        park_end(port->park);
}

/* ---------------------------------------------------------------- the rest */

uint64_t port_ring_used(struct port *port)
{
        uint64_t most = 0;

        for (unsigned dst = 0; dst < port->mesh->n_ports; dst++) {
                struct ring_writer *w = &port->out[dst].ring;

                ring_writer_refresh(w);
                if (ring_writer_used(w) > most)
                        most = ring_writer_used(w);
        }
        return most;
}

uint64_t port_ring_slots(const struct port *port)
{
        return port->mesh->capacity;
}

unsigned port_id(const struct port *port)
{
        return port->id;
}

const struct port_stats *port_stats(const struct port *port)
{
        return &port->stats;
}

void port_discard(struct port *port, port_message_fn drop, void *arg)
{
        for (unsigned dst = 0; dst < port->mesh->n_ports; dst++) {
                struct outbound *out = &port->out[dst];
                struct ring_reader *in = &port->mesh->ports[dst]->in[port->id];

                do {
                        port_retry(port, dst);
                        ring_writer_publish(&out->ring);
                        while (ring_reader_available(in))
                                port_deliver(port->id, ring_reader_next(in), drop, arg);
                        ring_reader_release(in);
                } while (out->first);
        }
}

struct port *port_free(struct port *port)
{
        assert(!port->backlogged && !port->stats.backlog_bytes);
        free(port);
        return NULL;
}
