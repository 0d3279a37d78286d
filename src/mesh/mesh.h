/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

#include "mesh/port.h"
#include "mesh/waker.h"

/*
 * The mesh: n ports, and one single-producer single-consumer ring for every ordered pair of them. Everything
 * that two threads share lives in here. A port belongs to one thread; mesh_new(), mesh_set_waker() and
 * mesh_free() are called while no port is in use by another thread.
 */

#define MESH_PORTS_MAX 64 /* one bit each in a 64-bit word */

struct mesh_options {
        unsigned n_ports;     /* 2..MESH_PORTS_MAX */
        unsigned capacity;    /* slots of a ring; a power of two, at least 2 */
        size_t backlog_bytes; /* bound of a target's backlog, and of what its ring holds outside of slots, over
                                 counted messages with 24 bytes each on top */
};

/* Return: 0, -ENOMEM. */
int mesh_new(struct mesh **meshp, const struct mesh_options *options);

/*
 * Frees the mesh and every message still in it; each of those is shown to drop (may be NULL) first, so that
 * what it stands for (a descriptor) can be released. Return: NULL.
 */
struct mesh *mesh_free(struct mesh *mesh, port_message_fn drop, void *arg);

struct port *mesh_port(struct mesh *mesh, unsigned id);
void mesh_set_waker(struct mesh *mesh, unsigned id, struct waker waker);
