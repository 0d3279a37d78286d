/* SPDX-License-Identifier: MIT */
/* Affinity by masks of any size: the kernel refuses a mask that is shorter than its own count of CPUs. */

#include "util/cpu.h"

#include <errno.h>
#include <sched.h>

#define CPU_MASK_FIRST 1024  /* CPUs in the first mask that is tried */
#define CPU_MASK_MAX   65536 /* what 16 bits can number */

static void cpu_mask_freep(cpu_set_t **maskp)
{
        if (*maskp)
                CPU_FREE(*maskp);
}

/* Return: 0, -EINVAL when a mask of this many CPUs is too short for the kernel, another -errno. */
static int cpu_allowed_of(unsigned width, uint16_t *cpus, unsigned max, unsigned *np)
{
        __attribute__((cleanup(cpu_mask_freep))) cpu_set_t *mask = CPU_ALLOC(width);
        size_t size = CPU_ALLOC_SIZE(width);
        unsigned n = 0;

        if (!mask)
                return -ENOMEM;
        CPU_ZERO_S(size, mask);
        if (sched_getaffinity(0, size, mask) < 0)
                return -errno;
        for (unsigned cpu = 0; cpu < width && n < max; cpu++)
                if (CPU_ISSET_S(cpu, size, mask))
                        cpus[n++] = (uint16_t)cpu;
        *np = n;
        return 0;
}

int cpu_allowed(uint16_t *cpus, unsigned max, unsigned *np)
{
        int r = -EINVAL;

        for (unsigned width = CPU_MASK_FIRST; r == -EINVAL && width <= CPU_MASK_MAX; width *= 2)
                r = cpu_allowed_of(width, cpus, max, np);
        return r;
}

int cpu_pin(unsigned cpu)
{
        __attribute__((cleanup(cpu_mask_freep))) cpu_set_t *mask = CPU_ALLOC(cpu + 1);
        size_t size = CPU_ALLOC_SIZE(cpu + 1);

        if (!mask)
                return -ENOMEM;
        CPU_ZERO_S(size, mask);
        CPU_SET_S(cpu, size, mask);
        return sched_setaffinity(0, size, mask) < 0 ? -errno : 0;
}
