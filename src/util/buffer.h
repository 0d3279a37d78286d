/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "util/bytes.h"

/*
 * A growable byte queue: bytes are appended at end and consumed at start. Empty buffers own no memory
 * after buffer_deinit() or buffer_trim(). Growth doubles, so it allocates at most twice what was put in.
 */
struct buffer {
        uint8_t *data;
        size_t start, end, cap;
};

static inline size_t buffer_size(const struct buffer *b)
{
        return b->end - b->start;
}

static inline struct bytes buffer_view(const struct buffer *b)
{
        return (struct bytes){ b->data ? b->data + b->start : NULL, b->end - b->start };
}

void buffer_deinit(struct buffer *b);

/*
 * Makes room for n more bytes behind end; moves what is there to the front first where that is enough.
 * Return: 0, -ENOMEM (the buffer is unchanged).
 */
int buffer_reserve(struct buffer *b, size_t n);

/* buffer_reserve() for what is bounded by code or configuration: ends the process when memory is out. */
void buffer_make_room(struct buffer *b, size_t n);

/* Appends. Return: 0, -ENOMEM (the buffer is unchanged). */
int buffer_append(struct buffer *b, const void *p, size_t n);

/* buffer_append() likewise. */
void buffer_put(struct buffer *b, const void *p, size_t n);
void buffer_printf(struct buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

static inline void buffer_consume(struct buffer *b, size_t n)
{
        b->start += n;
        if (b->start == b->end)
                b->start = b->end = 0;
}

/* Gives the memory of an empty buffer back. */
void buffer_trim(struct buffer *b);
