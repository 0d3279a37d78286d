/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What is measured: clocks, the CPU that a process used, and the quantiles of samples. */

struct meter_usage {
        uint64_t cpu_ns; /* of all live threads */
        uint64_t runs;   /* times that a thread was put on a CPU */
};

/* Prints "load: text" and exits with 1. */
_Noreturn void meter_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Zeroed memory; never fails. */
void *meter_alloc(size_t n);

uint64_t meter_now(void); /* monotonic nanoseconds */

/* Reads the usage of a process; exact while it sleeps. */
struct meter_usage meter_usage(pid_t pid);

/* CPU nanoseconds of the calling process, exited threads included. */
uint64_t meter_own_cpu(void);

/* Samples in nanoseconds; those over four seconds count as four. */
struct samples {
        uint32_t *v;
        size_t n, cap;
};

void samples_deinit(struct samples *samples);
void samples_add(struct samples *samples, uint64_t ns);
void samples_join(struct samples *samples, const struct samples *more);

/* The q-th quantile, 0 to 1, in nanoseconds; 0 without samples. Sorts them. */
uint64_t samples_quantile(struct samples *samples, double q);
