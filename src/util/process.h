/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

/* What the kernel and the allocator say about this process. */

struct process_memory {
        uint64_t allocated; /* bytes that the allocator has handed out and not got back */
        uint64_t resident;  /* bytes of the process that are in memory; 0: the kernel does not say */
        uint64_t total;     /* bytes of memory of the machine */
};

struct process_cpu {
        uint64_t system_us, user_us;                   /* of all threads */
        uint64_t children_system_us, children_user_us; /* of children that were waited for */
};

struct process_memory process_memory(void);
struct process_cpu process_cpu(void);
