/* SPDX-License-Identifier: MIT */

#include "util/process.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <unistd.h>

/* The second number of /proc/self/statm, in pages. */
static uint64_t process_resident(void)
{
        char text[128], *end;
        int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
        ssize_t n;

        if (fd < 0)
                return 0;
        n = read(fd, text, sizeof(text) - 1);
        close(fd);
        if (n <= 0)
                return 0;
        text[n] = 0;
        strtoull(text, &end, 10);
        return strtoull(end, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

struct process_memory process_memory(void)
{
        struct mallinfo2 heap = mallinfo2();
        struct sysinfo machine;

        return (struct process_memory){
                .allocated = heap.uordblks + heap.hblkhd,
                .resident = process_resident(),
                .total = sysinfo(&machine) < 0 ? 0 : (uint64_t)machine.totalram * machine.mem_unit,
        };
}

static uint64_t process_us(const struct timeval *t)
{
        return (uint64_t)t->tv_sec * 1000000 + (uint64_t)t->tv_usec;
}

struct process_cpu process_cpu(void)
{
        struct rusage self = { 0 }, children = { 0 };

        getrusage(RUSAGE_SELF, &self);
        getrusage(RUSAGE_CHILDREN, &children);
        return (struct process_cpu){
                .system_us = process_us(&self.ru_stime),
                .user_us = process_us(&self.ru_utime),
                .children_system_us = process_us(&children.ru_stime),
                .children_user_us = process_us(&children.ru_utime),
        };
}
