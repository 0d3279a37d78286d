/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

/* Which CPUs a thread may run on, and pinning it to one. CPUs are counted from 0, as the kernel does. */

/*
 * The CPUs in the affinity mask of the calling thread, in rising order: the first max of them.
 * Return: 0 (*np: how many were written), -errno of sched_getaffinity(2).
 */
int cpu_allowed(uint16_t *cpus, unsigned max, unsigned *np);

/*
 * Pins the calling thread to one CPU.
 * Return: 0, -errno of sched_setaffinity(2): -EINVAL when there is no such CPU or it is not for this process.
 */
int cpu_pin(unsigned cpu);
