/* SPDX-License-Identifier: MIT */

#include "util/mem.h"

#include <stdlib.h>
#include <string.h>

#include "util/log.h"

#define MEM_SMALL (64 * 1024) /* bytes; of them there are not many in a request */

void mem_fail(void)
{
        log_error("out of memory");
        abort();
}

/* Of the thread: memory belongs to the process, but what was begun with it to a thread. */
static _Thread_local struct {
        void *block; /* NULL: it was needed */
        size_t size; /* 0: there is to be none */
} reserve;

void mem_reserve(size_t size)
{
        if (reserve.size)
                return;
        reserve.block = mem_alloc(size);
        reserve.size = size;
}

void mem_unreserve(void)
{
        mem_use_reserve();
        reserve.size = 0;
}

bool mem_is_short(void)
{
        return reserve.size && !reserve.block;
}

bool mem_is_low(void)
{
        if (mem_is_short())
                reserve.block = malloc(reserve.size);
        return mem_is_short();
}

bool mem_use_reserve(void)
{
        bool had = reserve.block;

        free(reserve.block);
        reserve.block = NULL;
        return had;
}

bool mem_fits(size_t size)
{
        void *volatile p = malloc(size); /* a compiler may leave out what nobody looks at */
        bool fits = p;

        free(p);
        return fits;
}

void *mem_try(size_t size)
{
        void *p = malloc(size);

        if (!p && size <= MEM_SMALL && mem_use_reserve())
                p = malloc(size);
        return p;
}

void *mem_alloc(size_t size)
{
        void *p = malloc(size);

        if (!p && mem_use_reserve())
                p = malloc(size);
        if (!p)
                mem_fail();
        return p;
}

void *mem_zalloc(size_t size)
{
        void *p = calloc(1, size);

        if (!p && mem_use_reserve())
                p = calloc(1, size);
        if (!p)
                mem_fail();
        return p;
}

void *mem_realloc(void *p, size_t size)
{
        void *q = realloc(p, size);

        if (!q && mem_use_reserve())
                q = realloc(p, size);
        if (!q)
                mem_fail();
        return q;
}

void *mem_zalloc_aligned(size_t alignment, size_t size)
{
        void *p;

        size = (size + alignment - 1) & ~(alignment - 1);
        p = aligned_alloc(alignment, size);
        if (!p && mem_use_reserve())
                p = aligned_alloc(alignment, size);
        if (!p)
                mem_fail();
        return memset(p, 0, size);
}
