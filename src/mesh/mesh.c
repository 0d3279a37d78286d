/* SPDX-License-Identifier: MIT */
/*
 * Building and taking down the mesh. The slots of all rings are one mapping that is not written here: with 64
 * ports there are 4032 rings, and a page costs memory only once a message has passed through it. For the same
 * reason huge pages are declined, one of which would hold rings of ports that never talk.
 */

#include "mesh/mesh.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "mesh/shared.h"
#include "util/error.h"
#include "util/mem.h"

static int mesh_map_slots(struct mesh *mesh)
{
        size_t size = (size_t)mesh->n_ports * mesh->n_ports * mesh->capacity * sizeof(struct ring_slot);
        void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        if (p == MAP_FAILED)
                return -ENOMEM;
        (void)madvise(p, size, MADV_NOHUGEPAGE); /* refused where the kernel has no huge pages */
        mesh->slots = p;
        mesh->slots_size = size;
        return 0;
}

int mesh_new(struct mesh **meshp, const struct mesh_options *options)
{
        struct mesh *mesh;
        unsigned n = options->n_ports;
        int r;

        assert(n >= 2 && n <= MESH_PORTS_MAX);
        assert(options->capacity >= 2 && (options->capacity & (options->capacity - 1)) == 0);
        mesh = mem_zalloc(sizeof(*mesh));
        mesh->n_ports = n;
        mesh->capacity = options->capacity;
        mesh->backlog_bytes = options->backlog_bytes;
        r = mesh_map_slots(mesh);
        if (r) {
                free(mesh);
                return error_origin(r);
        }
        mesh->rings = mem_zalloc_aligned(RING_LINE, (size_t)n * n * sizeof(*mesh->rings));
        mesh->parks = mem_zalloc_aligned(PARK_LINE, n * sizeof(*mesh->parks));
        for (unsigned id = 0; id < n; id++)
                mesh->ports[id] = port_new(mesh, id);
        *meshp = mesh;
        return 0;
}

static void mesh_drop_nothing(void *arg, const struct port_message *message)
{
        (void)arg;
        (void)message;
}

struct mesh *mesh_free(struct mesh *mesh, port_message_fn drop, void *arg)
{
        if (!mesh)
                return NULL;
        for (unsigned id = 0; id < mesh->n_ports; id++)
                port_discard(mesh->ports[id], drop ? drop : mesh_drop_nothing, arg);
        for (unsigned id = 0; id < mesh->n_ports; id++)
                port_free(mesh->ports[id]);
        munmap(mesh->slots, mesh->slots_size);
        free(mesh->rings);
        free(mesh->parks);
        free(mesh);
        return NULL;
}

struct port *mesh_port(struct mesh *mesh, unsigned id)
{
        assert(id < mesh->n_ports);
        return mesh->ports[id];
}

void mesh_set_waker(struct mesh *mesh, unsigned id, struct waker waker)
{
        assert(id < mesh->n_ports);
        mesh->wakers[id] = waker;
}
