/* SPDX-License-Identifier: MIT */
#pragma once

#include <stddef.h>

/*
 * Allocation of what is small and bounded by configuration: it either succeeds or ends the process with a
 * line in the log. What a client can make large is allocated with malloc() and answered when it fails.
 */

_Noreturn void mem_fail(void);
void *mem_alloc(size_t size) __attribute__((malloc, returns_nonnull));
void *mem_zalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *mem_realloc(void *p, size_t size) __attribute__((returns_nonnull));

/* Zeroed memory aligned to a power of two; free() releases it. size is rounded up to the alignment. */
void *mem_zalloc_aligned(size_t alignment, size_t size) __attribute__((malloc, returns_nonnull));
