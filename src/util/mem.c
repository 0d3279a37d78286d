/* SPDX-License-Identifier: MIT */

#include "util/mem.h"

#include <stdlib.h>
#include <string.h>

#include "util/log.h"

void mem_fail(void)
{
        log_error("out of memory");
        abort();
}

void *mem_alloc(size_t size)
{
        void *p = malloc(size);

        if (!p)
                mem_fail();
        return p;
}

void *mem_zalloc(size_t size)
{
        void *p = calloc(1, size);

        if (!p)
                mem_fail();
        return p;
}

void *mem_realloc(void *p, size_t size)
{
        p = realloc(p, size);
        if (!p)
                mem_fail();
        return p;
}

void *mem_zalloc_aligned(size_t alignment, size_t size)
{
        void *p;

        size = (size + alignment - 1) & ~(alignment - 1);
        p = aligned_alloc(alignment, size);
        if (!p)
                mem_fail();
        return memset(p, 0, size);
}
