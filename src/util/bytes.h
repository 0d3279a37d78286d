/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

/* A view of bytes that somebody else owns. Not terminated; may hold any byte. */
struct bytes {
        const uint8_t *p;
        size_t n;
};

#define BYTES_LITERAL(_s) ((struct bytes){ (const uint8_t *)(_s), sizeof(_s) - 1 })

static inline struct bytes bytes_of(const void *p, size_t n)
{
        return (struct bytes){ p, n };
}

static inline struct bytes bytes_str(const char *s)
{
        return (struct bytes){ (const uint8_t *)s, strlen(s) };
}

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
        return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* As memcmp() does; what goes on is behind what ends. */
static inline int bytes_compare(struct bytes a, struct bytes b)
{
        size_t n = a.n < b.n ? a.n : b.n;
        int r = n ? memcmp(a.p, b.p, n) : 0;

        return r ? r : (a.n > b.n) - (a.n < b.n);
}

/* ASCII letters compare without case, as command names do. */
static inline bool bytes_is(struct bytes a, const char *word)
{
        return a.n == strlen(word) && strncasecmp((const char *)a.p, word, a.n) == 0;
}
