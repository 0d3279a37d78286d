/* SPDX-License-Identifier: MIT */
#pragma once

#include "mesh/mesh.h"
#include "mesh/park.h"
#include "mesh/ring.h"

/* What mesh.c and port.c know of each other; nobody outside of this room includes it. */

struct mesh {
        unsigned n_ports;
        unsigned capacity;       /* slots of a ring */
        size_t backlog_bytes;    /* bound of a target's backlog */
        struct ring *rings;      /* n_ports * n_ports; the diagonal is unused */
        struct ring_slot *slots; /* capacity for each ring, in the same order; mapped, touched by use only */
        size_t slots_size;       /* bytes of slots */
        struct park *parks;      /* one of each port */
        struct waker wakers[MESH_PORTS_MAX];
        struct port *ports[MESH_PORTS_MAX];
};

static inline size_t mesh_ring_index(const struct mesh *mesh, unsigned source, unsigned target)
{
        return (size_t)source * mesh->n_ports + target;
}

/* The mesh's rings, slots and parks are there; they outlive the port. */
struct port *port_new(struct mesh *mesh, unsigned id);

/*
 * Shows everything that the port sent and nobody received to drop, oldest first for each target, and frees it.
 * All ports are there, and none is in use by another thread.
 */
void port_discard(struct port *port, port_message_fn drop, void *arg);

/* What it sent has been received or discarded. Return: NULL. */
struct port *port_free(struct port *port);
