/* SPDX-License-Identifier: MIT */

#include "util/buffer.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "util/mem.h"

#define BUFFER_MIN 64 /* bytes of the first allocation */

void buffer_deinit(struct buffer *b)
{
        free(b->data);
        *b = (struct buffer){ 0 };
}

int buffer_reserve(struct buffer *b, size_t n)
{
        size_t used = buffer_size(b), cap = b->cap ? b->cap : BUFFER_MIN;
        uint8_t *data;

        if (b->cap - b->end >= n)
                return 0;
        if (n > SIZE_MAX / 4 - used)
                return -ENOMEM;
        if (b->start && b->cap - used >= n && b->start >= used) {
                memcpy(b->data, b->data + b->start, used);
                b->start = 0;
                b->end = used;
                return 0;
        }
        while (cap < used + n)
                cap *= 2;
        data = mem_try(cap);
        if (!data)
                return -ENOMEM;
        if (used)
                memcpy(data, b->data + b->start, used);
        free(b->data);
        *b = (struct buffer){ .data = data, .end = used, .cap = cap };
        return 0;
}

void buffer_make_room(struct buffer *b, size_t n)
{
        if (buffer_reserve(b, n) && (!mem_use_reserve() || buffer_reserve(b, n)))
                mem_fail();
}

int buffer_append(struct buffer *b, const void *p, size_t n)
{
        int r = buffer_reserve(b, n);

        if (r)
                return r;
        if (n)
                memcpy(b->data + b->end, p, n);
        b->end += n;
        return 0;
}

void buffer_put(struct buffer *b, const void *p, size_t n)
{
        buffer_make_room(b, n);
        if (n)
                memcpy(b->data + b->end, p, n);
        b->end += n;
}

void buffer_printf(struct buffer *b, const char *format, ...)
{
        va_list ap;
        int n;

        va_start(ap, format);
        n = vsnprintf(NULL, 0, format, ap);
        va_end(ap);
        assert(n >= 0);
        buffer_make_room(b, (size_t)n + 1);
        va_start(ap, format);
        vsnprintf((char *)b->data + b->end, (size_t)n + 1, format, ap);
        va_end(ap);
        b->end += (size_t)n;
}

void buffer_trim(struct buffer *b)
{
        if (b->start == b->end)
                buffer_deinit(b);
}
