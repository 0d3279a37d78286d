/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "broker/config.h"
#include "util/buffer.h"

/*
 * What a configuration comes to on this machine: how many shards, where they run, how many clients fit. Pure
 * arithmetic, so that it can be tested for machines that are not at hand.
 */

struct plan_machine {
        const uint16_t *cpus; /* in the affinity mask of the start, rising */
        unsigned n_cpus;
        uint64_t n_files;  /* descriptors that the process may have */
        unsigned n_passed; /* of these, sockets that the service manager passed */
};

enum plan_pinning {
        PLAN_PINNED,
        PLAN_UNPINNED_BY_CONFIG, /* cpus: none */
        PLAN_UNPINNED_NO_SPARE,  /* cpus: auto, and no CPU would be left over for others */
};

struct plan {
        unsigned n_shards;
        int cpu[CONFIG_SHARDS_MAX]; /* of a shard; -1: not pinned */
        enum plan_pinning pinning;
        bool must_pin;    /* the CPUs were asked for by number */
        uint64_t spin_ns; /* 0 with more shards than CPUs: a spinning thread would keep the awaited one from
                             running */
        unsigned max_clients;
};

enum {
        _PLAN_E_SUCCESS,
        PLAN_E_CPU,   /* a CPU of the list is not in the mask: *cpup */
        PLAN_E_FILES, /* not a single client would fit into n_files */
};

/*
 * shards: auto becomes one for each listed CPU, or config_shards_auto() of the machine's. cpus: auto takes the
 * last CPUs of the mask, since the first ones get most of a machine's interrupts. A list that is shorter than
 * the shards is gone through again from its start.
 * Return: 0, PLAN_E_CPU (*cpup is set), PLAN_E_FILES.
 */
int plan_make(struct plan *plan, const struct config *config, const struct plan_machine *machine,
              unsigned *cpup);

/* Writes what plan_make() found wrong, as one line. */
void plan_explain(int error, const struct plan_machine *machine, unsigned cpu, struct buffer *out);

/* Writes, as one line, that fewer clients fit into n_files than are configured. Return: whether that is so. */
bool plan_warning(const struct plan *plan, const struct config *config, uint64_t n_files, struct buffer *out);

/* Descriptors that a broker of this configuration may need beside those of its clients. */
uint64_t plan_files_reserved(const struct config *config, unsigned n_shards);
