/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "bench/meter.h"

/*
 * Publishers and subscribers of one broker, in plain RESP2.
 *
 * Subscriber i listens to channel i % n_channels; every publisher goes round robin over the channels. Each
 * delivery is checked: that nothing is lost, doubled, out of order or altered.
 * A fault ends the program.
 */

struct traffic_options {
        const char *path;
        unsigned n_subs; /* 0, or a multiple of n_channels */
        unsigned n_pubs, n_channels;
        unsigned n_others; /* subscribers of each channel that somebody else connected */
        unsigned n_threads;
        size_t size; /* of a payload */
        unsigned pipeline;
        unsigned lag;                /* windows whose deliveries may be missing when the next one is sent */
        const char *prefix, *suffix; /* of a channel's name; between them four digits */
        bool subs_first;             /* in the order of connecting; otherwise the publishers */
        bool spin;                   /* poll instead of sleeping */
};

/* When to stop: at the first limit that is reached. 0: no such limit. */
struct traffic_limits {
        uint64_t messages; /* of all publishers; rounded up to whole windows */
        uint64_t wall_ns;
        uint64_t server_cpu_ns;
        double rate; /* messages per second of all publishers, one by one; 0: a window after the other */
        pid_t server;
};

struct traffic_result {
        uint64_t publishes, deliveries;
        uint64_t wall_ns;       /* to the last delivery */
        struct samples latency; /* from when a message was to be sent; with a rate only */
        struct samples late;    /* how late messages were sent; with a rate only */
};

struct traffic;

/* Connects and subscribes; returns when all is acknowledged. */
struct traffic *traffic_new(const struct traffic_options *options);
struct traffic *traffic_free(struct traffic *traffic);

/* One more connection, which subscribes to n patterns made by a format with one %u. */
void traffic_add_patterns(struct traffic *traffic, unsigned n, const char *format);

/* Publishes until a limit, and returns when all is delivered and answered. The samples are the caller's. */
struct traffic_result traffic_run(struct traffic *traffic, const struct traffic_limits *limits);
